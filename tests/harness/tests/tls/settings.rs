//! Protocols, ciphers, application protocols, STLS, and passwords where TLS is required.

use std::process::Command;

use harness::client::Client;
use harness::process;
use harness::server::{PASSWORD, Server, Side};
use harness::tls::{self, Tls};
use harness::{Error, programs};

use crate::clients::{Wish, expect, expect_both, openssl, port, python_session, server, setup};

#[test]
fn every_client_with_and_without_the_service() -> Result<(), Error> {
    harness::run(|| {
        let with_service = server(Tls::new(Side::Ours))?;
        expect_both(&with_service, &Wish::default(), true, "with the service")?;
        let alone = server(Tls::new(Side::Ours).without_service())?;
        expect_both(&alone, &Wish::default(), true, "without the service")
    })
}

#[test]
fn the_lowest_protocol() -> Result<(), Error> {
    harness::run(|| {
        let old = Wish {
            old: true,
            ..Wish::default()
        };
        let new = server(Tls::new(Side::Ours).with("TLS_PROTOCOL", "TLSv1.3"))?;
        expect(&new, &Wish::default(), true, "TLSv1.3")?;
        expect(&new, &old, false, "TLSv1.3")?;
        let gnutls = Tls::new(Side::Ours).with("TLS_PRIORITY", "NORMAL:-VERS-TLS1.3");
        expect(&server(gnutls)?, &old, true, "TLS_PRIORITY")
    })
}

/// Settings that the service does not have, as an access file can give them to some clients.
#[test]
fn settings_of_a_client_win_over_the_service() -> Result<(), Error> {
    harness::run(|| {
        let mut tls = Tls::new(Side::Ours);
        tls.of_connections
            .insert("TLS_PROTOCOL".to_owned(), "TLSv1.3".to_owned());
        let server = server(tls)?;
        let old = Wish {
            old: true,
            ..Wish::default()
        };
        assert!(openssl(&server, &Wish::default())?);
        assert!(!openssl(&server, &old)?);
        // The other port has the service's.
        let starttls = Wish {
            starttls: true,
            ..old
        };
        assert!(openssl(&server, &starttls)?);
        Ok(())
    })
}

#[test]
fn ciphers() -> Result<(), Error> {
    harness::run(|| {
        let wish = |ciphers| Wish {
            old: true,
            ciphers: Some(ciphers),
            ..Wish::default()
        };
        let tls = Tls::new(Side::Ours).with("TLS_CIPHER_LIST", "ECDHE-ECDSA-AES256-GCM-SHA384");
        let server = server(tls)?;
        expect(
            &server,
            &wish("ECDHE-ECDSA-AES256-GCM-SHA384"),
            true,
            "the cipher",
        )?;
        expect(
            &server,
            &wish("ECDHE-ECDSA-AES128-GCM-SHA256"),
            false,
            "another",
        )?;
        server.wait_for_log(&[
            "ip=[::ffff:127.0.0.1], couriertls: accept: error:",
            "no shared cipher",
        ])?;
        Ok(())
    })
}

#[test]
fn the_application_protocol() -> Result<(), Error> {
    harness::run(|| {
        let server = server(Tls::new(Side::Ours).with("TLS_ALPN", "imap"))?;
        expect(&server, &Wish::default(), true, "no protocol offered")?;
        for starttls in [false, true] {
            let wish = Wish {
                starttls,
                ..Wish::default()
            };
            assert!(python_session(&server, &wish, &["alpn=imap"])?);
            assert!(!python_session(&server, &wish, &["alpn=pop3"])?);
        }
        server.wait_for_log(&["couriertls: accept: error:", "no application protocol"])?;
        Ok(())
    })
}

#[test]
fn pop3_by_stls_and_encrypted_from_the_start() -> Result<(), Error> {
    harness::run(|| {
        for service in [true, false] {
            let mut tls = Tls::new(Side::Ours);
            tls.service = service;
            let mut setup = setup(tls);
            setup.command = Some(vec![
                programs::ours("pop3login")?.into(),
                programs::ours("pop3d")?.into(),
                "Maildir".into(),
            ]);
            let server = Server::start(&setup)?;
            for starttls in [false, true] {
                let wish = Wish {
                    starttls,
                    ..Wish::default()
                };
                assert!(
                    python_session(&server, &wish, &["protocol=pop3"])?,
                    "{wish:?}\n{}",
                    server.log()
                );
                let scheme = if starttls { "pop3" } else { "pop3s" };
                let listed = process::output(
                    Command::new(programs::installed("curl")?)
                        .args(["--silent", "--ssl-reqd", "--max-time", "30"])
                        .args(["--connect-to", "localhost::127.0.0.1:"])
                        .args(["--user", &format!("tess:{PASSWORD}")])
                        .arg("--cacert")
                        .arg(tls::certificate(server.state()))
                        .arg(format!("{scheme}://localhost:{}/", port(&server, &wish))),
                )?;
                assert_eq!(
                    String::from_utf8_lossy(&listed).trim(),
                    "",
                    "an empty mailbox"
                );
            }
        }
        Ok(())
    })
}

#[test]
fn without_tls_no_password_where_it_is_required() -> Result<(), Error> {
    harness::run(|| {
        // Some clients remember LOGINDISABLED and need a mechanism.
        let setup = setup(Tls::new(Side::Ours))
            .with("IMAP_TLS_REQUIRED", "1")
            .with("IMAP_CAPABILITY_TLS", "IMAP4rev1 IDLE AUTH=PLAIN");
        let server = Server::start(&setup)?;
        let mut client = Client::connect(server.port)?;
        let greeting = client.greeting()?;
        assert!(
            greeting.contains("STARTTLS") && greeting.contains("LOGINDISABLED"),
            "{greeting}"
        );
        let refused = client.command(&format!("LOGIN tess {PASSWORD}"))?;
        assert!(refused.tagged.starts_with("NO "), "{refused:?}");
        expect(&server, &Wish::default(), true, "IMAP_TLS_REQUIRED")
    })
}
