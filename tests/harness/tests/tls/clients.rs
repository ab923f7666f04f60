//! openssl, curl, Python and mbsync as clients of a server; all of them check its certificate and name.

use std::path::Path;
use std::process::{Command, Stdio};

use harness::process;
use harness::server::{PASSWORD, Server, Setup, Side};
use harness::tls::{self, Tls};
use harness::{Error, programs};

/// What a client does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wish<'a> {
    /// STARTTLS on the plain port.
    pub(crate) starttls: bool,
    /// Nothing above TLS 1.2.
    pub(crate) old: bool,
    /// These ciphers of TLS 1.2 only.
    pub(crate) ciphers: Option<&'a str>,
    /// A file with certificate and key.
    pub(crate) certificate: Option<&'a Path>,
}

type Attempt = fn(&Server, &Wish<'_>) -> Result<bool, Error>;

/// All of them check the server's certificate and name.
const CLIENTS: [(&str, Attempt); 4] = [
    ("openssl", openssl),
    ("curl", curl),
    ("python3", python),
    ("mbsync", mbsync),
];

pub(crate) fn port(server: &Server, wish: &Wish<'_>) -> u16 {
    if wish.starttls {
        server.port
    } else {
        server.tls_port
    }
}

pub(crate) fn openssl(server: &Server, wish: &Wish<'_>) -> Result<bool, Error> {
    let mut command = Command::new(programs::installed("openssl")?);
    command
        .args(["s_client", "-quiet", "-crlf", "-verify_return_error"])
        .args(["-verify_hostname", "localhost", "-servername", "localhost"])
        .arg("-connect")
        .arg(format!("127.0.0.1:{}", port(server, wish)))
        .arg("-CAfile")
        .arg(tls::certificate(server.state()));
    if wish.starttls {
        command.args(["-starttls", "imap"]);
    }
    if wish.old {
        command.arg("-tls1_2");
    }
    if let Some(ciphers) = wish.ciphers {
        command.args(["-cipher", ciphers]);
    }
    if let Some(certificate) = wish.certificate {
        command.arg("-cert").arg(certificate);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let commands = format!("a LOGIN tess {PASSWORD}\nb SELECT INBOX\nc LOGOUT\n");
        // A client that the server refuses reads no commands.
        let _refused = std::io::Write::write_all(&mut stdin, commands.as_bytes());
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.contains("b OK") && text.contains("c OK"))
}

fn curl(server: &Server, wish: &Wish<'_>) -> Result<bool, Error> {
    let scheme = if wish.starttls { "imap" } else { "imaps" };
    let mut command = Command::new(programs::installed("curl")?);
    command
        .args(["--silent", "--ssl-reqd", "--max-time", "30"])
        .args(["--connect-to", "localhost::127.0.0.1:"])
        .args(["--user", &format!("tess:{PASSWORD}")])
        .arg("--cacert")
        .arg(tls::certificate(server.state()));
    if wish.old {
        command.args(["--tls-max", "1.2"]);
    }
    if let Some(ciphers) = wish.ciphers {
        command.args(["--ciphers", ciphers]);
    }
    if let Some(certificate) = wish.certificate {
        command.arg("--cert").arg(certificate);
    }
    let output = command
        .arg(format!(
            "{scheme}://localhost:{}/INBOX?ALL",
            port(server, wish)
        ))
        .output()?;
    Ok(output.status.success() && output.stdout.starts_with(b"* SEARCH"))
}

fn python(server: &Server, wish: &Wish<'_>) -> Result<bool, Error> {
    python_session(server, wish, &[])
}

pub(crate) fn python_session(
    server: &Server,
    wish: &Wish<'_>,
    more: &[&str],
) -> Result<bool, Error> {
    let script = programs::source_root().join("tests/clients/tls_session.py");
    let mut command = Command::new(programs::installed("python3")?);
    command
        .arg(script)
        .arg(port(server, wish).to_string())
        .args(["tess", PASSWORD])
        .arg(tls::certificate(server.state()))
        .args(more);
    if wish.starttls {
        command.arg("starttls=1");
    }
    if wish.old {
        command.arg("max=1.2");
    }
    if let Some(ciphers) = wish.ciphers {
        command.arg(format!("ciphers={ciphers}"));
    }
    if let Some(certificate) = wish.certificate {
        command.arg(format!("certificate={}", certificate.display()));
    }
    let output = command.output()?;
    Ok(output.status.success() && output.stdout == b"ok\n")
}

fn mbsync(server: &Server, wish: &Wish<'_>) -> Result<bool, Error> {
    let program = programs::installed("mbsync")?;
    let files = tempfile::tempdir()?;
    let rc = files.path().join("rc");
    let mut configuration = format!(
        "IMAPAccount test\nHost localhost\nPort {}\nUser tess\nPass {PASSWORD}\nAuthMechs LOGIN\n\
         SSLType {}\nCertificateFile {}\nSystemCertificates no\n",
        port(server, wish),
        if wish.starttls { "STARTTLS" } else { "IMAPS" },
        tls::certificate(server.state()).display()
    );
    if wish.old {
        configuration.push_str("SSLVersions TLSv1.2\n");
    }
    if let Some(ciphers) = wish.ciphers {
        configuration.push_str(&format!("CipherString {ciphers}\n"));
    }
    if let Some(certificate) = wish.certificate {
        let path = certificate.display();
        configuration.push_str(&format!("ClientCertificate {path}\nClientKey {path}\n"));
    }
    let top = files.path().display();
    configuration.push_str(&format!(
        "\nIMAPStore far\nAccount test\n\nMaildirStore near\nPath {top}/\nInbox {top}/INBOX\n\n\
         Channel both\nFar :far:\nNear :near:\nCreate Near\nSync Pull\n"
    ));
    process::write_file(&rc, configuration, 0o600)?;
    let output = Command::new(program)
        .args(["--config".as_ref(), rc.as_os_str()])
        .args(["--quiet", "--all"])
        .env("HOME", files.path())
        .current_dir(files.path())
        .output()?;
    Ok(output.status.success())
}

/// Every client has the same luck, half of them on the encrypted port and half by STARTTLS.
pub(crate) fn expect(
    server: &Server,
    wish: &Wish<'_>,
    luck: bool,
    what: &str,
) -> Result<(), Error> {
    for (number, client) in CLIENTS.into_iter().enumerate() {
        attempt(server, wish, client, number % 2 == 1, luck, what)?;
    }
    Ok(())
}

/// The same with every client both ways.
pub(crate) fn expect_both(
    server: &Server,
    wish: &Wish<'_>,
    luck: bool,
    what: &str,
) -> Result<(), Error> {
    for client in CLIENTS {
        for starttls in [false, true] {
            attempt(server, wish, client, starttls, luck, what)?;
        }
    }
    Ok(())
}

pub(crate) fn attempt(
    server: &Server,
    wish: &Wish<'_>,
    (name, client): (&str, Attempt),
    starttls: bool,
    luck: bool,
    what: &str,
) -> Result<(), Error> {
    let wish = Wish { starttls, ..*wish };
    match client(server, &wish) {
        Err(Error::Skipped(why)) => harness::skip(&why),
        outcome => assert_eq!(outcome?, luck, "{what}: {name}, {wish:?}\n{}", server.log()),
    }
    Ok(())
}

pub(crate) fn setup(tls: Tls) -> Setup {
    let mut setup = Setup::new(Side::Ours, &["tess"]);
    setup.tls = Some(tls);
    setup
}

pub(crate) fn server(tls: Tls) -> Result<Server, Error> {
    Server::start(&setup(tls))
}
