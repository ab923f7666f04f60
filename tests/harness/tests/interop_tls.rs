//! Our login programs with Debian's couriertls, and Debian's with ours, on the port that is encrypted from the start
//! and by STARTTLS. `make check-interop` runs all of it; without `COURIER_INTEROP=1` only ours meets ours.

use std::process::Command;

use harness::client::Client;
use harness::process::output;
use harness::server::{PASSWORD, Parts, Server, Setup, Side};
use harness::tls::{self, Tls};
use harness::{Error, mail, programs};

/// The login programs of `login` and the couriertls of `program`.
fn mixed(login: Side, tls: Tls) -> Result<(), Error> {
    harness::run(|| {
        let debian = login == Side::Reference || tls.program == Side::Reference;
        if debian && std::env::var_os("COURIER_INTEROP").is_none() {
            return Err(Error::Skipped(
                "interchange with Debian's couriertls: run by make check-interop".to_owned(),
            ));
        }
        let mut setup = Setup::new(Side::Ours, &["tess"]);
        setup.parts = Parts {
            login,
            auth: login,
            session: Side::Ours,
        };
        setup.tls = Some(tls);
        let server = Server::start(&setup)?;
        for starttls in [false, true] {
            let (mut client, mut child) = Client::through(&mut tls::client(&server, starttls)?)?;
            client.greeting()?;
            if starttls {
                assert_eq!(client.response()?.line(), "x STARTTLS");
                let begin = client.response()?.line();
                assert!(begin.starts_with("x OK Begin "), "{begin}");
            }
            let capability = client.expect_ok("CAPABILITY")?;
            let capability = capability.with("CAPABILITY")?.line();
            assert!(!capability.contains("STARTTLS"), "{capability}");
            client.expect_ok("LOGIN tess secret")?;
            let message = mail::message(7, 1, 200_000);
            client.append("INBOX", &message)?;
            client.expect_ok("SELECT INBOX")?;
            let fetched = client.expect_ok("FETCH 1 BODY.PEEK[]")?;
            assert!(fetched.with("FETCH")?.literals == [message]);
            client.expect_ok("LOGOUT")?;
            drop(client);
            assert!(child.wait()?.success());
        }
        let lines = server.wait_for_log(&["LOGIN, user=tess, ip=[::ffff:127.0.0.1]"])?;
        assert_eq!(lines.len(), 2, "{lines:?}");
        Ok(())
    })
}

/// The same for POP3, with Python's poplib.
fn mixed_pop3(login: Side, tls: Side) -> Result<(), Error> {
    harness::run(|| {
        if std::env::var_os("COURIER_INTEROP").is_none() {
            return Err(Error::Skipped(
                "interchange with Debian's couriertls: run by make check-interop".to_owned(),
            ));
        }
        let python = programs::installed("python3")?;
        let mut setup = Setup::new(Side::Ours, &["tess"]);
        setup.parts = Parts {
            login,
            auth: login,
            session: Side::Ours,
        };
        setup.tls = Some(Tls::new(tls));
        let pop3login = match login {
            Side::Ours => programs::ours("pop3login")?,
            Side::Reference => "/usr/lib/courier/courier/courierpop3login".into(),
        };
        setup.command = Some(vec![
            pop3login.into(),
            programs::ours("pop3d")?.into(),
            "Maildir".into(),
        ]);
        let server = Server::start(&setup)?;
        let script = programs::source_root().join("tests/clients/tls_session.py");
        for (port, starttls) in [(server.tls_port, ""), (server.port, "starttls=1")] {
            let printed = output(
                Command::new(&python)
                    .arg(&script)
                    .arg(port.to_string())
                    .args(["tess", PASSWORD])
                    .arg(tls::certificate(server.state()))
                    .arg("protocol=pop3")
                    .args([starttls].iter().filter(|word| !word.is_empty())),
            )?;
            assert_eq!(String::from_utf8_lossy(&printed), "ok\n");
        }
        Ok(())
    })
}

#[test]
fn our_pop3login_with_their_couriertls() -> Result<(), Error> {
    mixed_pop3(Side::Ours, Side::Reference)
}

#[test]
fn their_pop3login_with_our_couriertls() -> Result<(), Error> {
    mixed_pop3(Side::Reference, Side::Ours)
}

#[test]
fn our_login_with_our_couriertls() -> Result<(), Error> {
    mixed(Side::Ours, Tls::new(Side::Ours))
}

#[test]
fn our_login_with_our_couriertls_without_the_service() -> Result<(), Error> {
    mixed(Side::Ours, Tls::new(Side::Ours).without_service())
}

#[test]
fn our_login_with_their_couriertls() -> Result<(), Error> {
    mixed(Side::Ours, Tls::new(Side::Reference))
}

#[test]
fn their_login_with_our_couriertls() -> Result<(), Error> {
    mixed(Side::Reference, Tls::new(Side::Ours))
}

#[test]
fn their_login_with_our_couriertls_without_the_service() -> Result<(), Error> {
    mixed(Side::Reference, Tls::new(Side::Ours).without_service())
}

/// The reference itself, so that what the others show is known to be its own behaviour.
#[test]
fn their_login_with_their_couriertls() -> Result<(), Error> {
    mixed(Side::Reference, Tls::new(Side::Reference))
}
