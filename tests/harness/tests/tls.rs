//! The server over TLS with openssl, curl, Python and mbsync as clients, for each setting, and what its processes
//! hold meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::client::Client;
use harness::process;
use harness::server::{PASSWORD, Server, Setup, Side};
use harness::tls::{self, Tls};
use harness::{Error, programs};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getuid};

/// What a client does.
#[derive(Debug, Clone, Copy, Default)]
struct Wish<'a> {
    /// STARTTLS on the plain port.
    starttls: bool,
    /// Nothing above TLS 1.2.
    old: bool,
    /// These ciphers of TLS 1.2 only.
    ciphers: Option<&'a str>,
    /// A file with certificate and key.
    certificate: Option<&'a Path>,
}

type Attempt = fn(&Server, &Wish<'_>) -> Result<bool, Error>;

/// All of them check the server's certificate and name.
const CLIENTS: [(&str, Attempt); 4] = [
    ("openssl", openssl),
    ("curl", curl),
    ("python3", python),
    ("mbsync", mbsync),
];

fn port(server: &Server, wish: &Wish<'_>) -> u16 {
    if wish.starttls {
        server.port
    } else {
        server.tls_port
    }
}

fn openssl(server: &Server, wish: &Wish<'_>) -> Result<bool, Error> {
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

fn python_session(server: &Server, wish: &Wish<'_>, more: &[&str]) -> Result<bool, Error> {
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
fn expect(server: &Server, wish: &Wish<'_>, luck: bool, what: &str) -> Result<(), Error> {
    for (number, client) in CLIENTS.into_iter().enumerate() {
        attempt(server, wish, client, number % 2 == 1, luck, what)?;
    }
    Ok(())
}

/// The same with every client both ways.
fn expect_both(server: &Server, wish: &Wish<'_>, luck: bool, what: &str) -> Result<(), Error> {
    for client in CLIENTS {
        for starttls in [false, true] {
            attempt(server, wish, client, starttls, luck, what)?;
        }
    }
    Ok(())
}

fn attempt(
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

fn setup(tls: Tls) -> Setup {
    let mut setup = Setup::new(Side::Ours, &["tess"]);
    setup.tls = Some(tls);
    setup
}

fn server(tls: Tls) -> Result<Server, Error> {
    Server::start(&setup(tls))
}

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

/// A certificate for `subject`, signed by an authority in the file that is returned second. The options are those of
/// `openssl req`.
fn client_certificate(
    directory: &Path,
    subject: &str,
    options: &[&str],
) -> Result<(PathBuf, PathBuf), Error> {
    let openssl = programs::installed("openssl")?;
    let file = |name: &str| directory.join(name);
    let (authority, key) = (file("authority.pem"), file("authority.key"));
    let curve = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    process::output(
        Command::new(&openssl)
            .args([
                "req",
                "-new",
                "-x509",
                "-days",
                "30",
                "-subj",
                "/CN=authority",
            ])
            .args(curve)
            .args(["-keyout".as_ref(), key.as_os_str()])
            .args(["-out".as_ref(), authority.as_os_str()]),
    )?;
    let (own_key, own) = (file("client.key"), file("client.crt"));
    process::output(
        Command::new(&openssl)
            .args(["req", "-new", "-x509", "-days", "30", "-subj", subject])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(options)
            .args(curve)
            .args(["-CA".as_ref(), authority.as_os_str()])
            .args(["-CAkey".as_ref(), key.as_os_str()])
            .args(["-keyout".as_ref(), own_key.as_os_str()])
            .args(["-out".as_ref(), own.as_os_str()]),
    )?;
    let both = file("client.pem");
    let mut pem = fs::read(&own)?;
    pem.extend(fs::read(&own_key)?);
    fs::write(&both, pem)?;
    // Debug builds of both kinds of process read it.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(&authority, fs::Permissions::from_mode(0o644))?;
    Ok((both, authority))
}

#[test]
fn required_client_certificates() -> Result<(), Error> {
    harness::run(|| {
        let files = tempfile::tempdir()?;
        let (certificate, authority) = client_certificate(files.path(), "/CN=tess", &[])?;
        let tls = Tls::new(Side::Ours)
            .with("TLS_TRUSTCERTS", &authority.to_string_lossy())
            .with("TLS_VERIFYPEER", "REQUIREPEER");
        let with = Wish {
            certificate: Some(&certificate),
            ..Wish::default()
        };
        let required = server(tls)?;
        expect(&required, &with, true, "the certificate that is required")?;
        expect(&required, &Wish::default(), false, "no certificate")?;
        required.wait_for_log(&[
            "ip=[::ffff:127.0.0.1], couriertls: accept: error:",
            "peer did not return a certificate",
        ])?;
        Ok(())
    })
}

#[test]
fn optional_client_certificates() -> Result<(), Error> {
    harness::run(|| {
        let files = tempfile::tempdir()?;
        let (certificate, authority) = client_certificate(files.path(), "/CN=tess", &[])?;
        let with = Wish {
            certificate: Some(&certificate),
            ..Wish::default()
        };
        let tls = Tls::new(Side::Ours)
            .with("TLS_TRUSTCERTS", &authority.to_string_lossy())
            .with("TLS_VERIFYPEER", "PEER");
        let optional = server(tls)?;
        expect(&optional, &with, true, "an optional certificate")?;
        expect(&optional, &Wish::default(), true, "none, which is allowed")?;
        // From another authority.
        let others = tempfile::tempdir()?;
        let (wrong, _) = client_certificate(others.path(), "/CN=tess", &[])?;
        let wrong = Wish {
            certificate: Some(&wrong),
            ..Wish::default()
        };
        expect(&optional, &wrong, false, "a stranger's certificate")?;
        optional.wait_for_log(&["couriertls: accept: error:", "certificate verify failed ("])?;
        Ok(())
    })
}

/// AUTHENTICATE EXTERNAL by a field of the subject, and by the mail address among the alternative names; a
/// certificate without the field gives no name and is not even offered it.
#[test]
fn external_by_subject_and_by_mail_address() -> Result<(), Error> {
    harness::run(|| {
        for (field, subject, options, luck) in [
            ("CN", "/CN=tess", &[] as &[&str], true),
            ("emailaddress", "/emailAddress=tess", &[], true),
            (
                "email",
                "/O=Example",
                &["-addext", "subjectAltName=email:tess@localhost"],
                true,
            ),
            ("emailaddress", "/CN=tess", &[], false),
            ("email", "/CN=tess", &[], false),
        ] {
            let files = tempfile::tempdir()?;
            let (certificate, authority) = client_certificate(files.path(), subject, options)?;
            let user = if field == "email" {
                "tess@localhost"
            } else {
                "tess"
            };
            let services: &[bool] = if luck { &[true, false] } else { &[true] };
            for &service in services {
                let mut tls = Tls::new(Side::Ours)
                    .with("TLS_TRUSTCERTS", &authority.to_string_lossy())
                    .with("TLS_VERIFYPEER", "PEER")
                    .with("TLS_EXTERNAL", field);
                tls.service = service;
                let mut setup = setup(tls);
                setup.accounts = vec![user.to_owned()];
                let server = Server::start(&setup)?;
                for starttls in [false, true] {
                    let wish = Wish {
                        starttls,
                        certificate: Some(&certificate),
                        ..Wish::default()
                    };
                    let outcome = python_session(&server, &wish, &["external=1"])?;
                    assert_eq!(
                        outcome,
                        luck,
                        "{field} {subject} {wish:?}\n{}",
                        server.log()
                    );
                }
                if luck {
                    let line = format!("LOGIN, user={user}, ip=[");
                    assert_eq!(server.wait_for_log(&[&line])?.len(), 2);
                }
            }
        }
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

/// Processes that serve the one session of `server`: everything but the services.
fn session_processes(server: &Server) -> Vec<(i32, String)> {
    let all = process::tree(server.listener.id().as_raw())
        .into_iter()
        .chain(
            server
                .tls_listener
                .iter()
                .flat_map(|listener| process::tree(listener.id().as_raw())),
        );
    all.filter_map(|id| {
        let name = fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
        Some((id, name.trim().to_owned()))
    })
    .collect()
}

/// What no process of the account may hold: the key file, the certificates of authorities, TLS secrets, or a TLS
/// library at all.
#[test]
fn the_session_process_has_no_key_and_no_secret() -> Result<(), Error> {
    harness::run(|| {
        for service in [true, false] {
            let cache = tempfile::tempdir()?;
            let path = cache.path().join("cache");
            let mut tls = Tls::new(Side::Ours)
                .with("TLS_CACHEFILE", &path.to_string_lossy())
                .with("TLS_VERIFYPEER", "PEER");
            if Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
                tls = tls.with("TLS_TRUSTCERTS", "/etc/ssl/certs/ca-certificates.crt");
            }
            tls.service = service;
            let server = server(tls)?;
            let key = fs::read_to_string(tls::certificate(server.state()))?;
            let secret = key
                .lines()
                .skip_while(|line| *line != "-----BEGIN PRIVATE KEY-----")
                .nth(2)
                .unwrap_or_default()
                .to_owned();
            assert!(secret.len() > 40, "{secret}");
            for starttls in [false, true] {
                let (mut client, mut child) =
                    Client::through(&mut tls::client(&server, starttls)?)?;
                client.greeting()?;
                if starttls {
                    client.response()?;
                    client.response()?;
                }
                client.expect_ok(&format!("LOGIN tess {PASSWORD}"))?;
                let sessions: Vec<i32> = session_processes(&server)
                    .into_iter()
                    .filter_map(|(id, name)| (name == "imapd").then_some(id))
                    .collect();
                assert_eq!(sessions.len(), 1, "{:?}", session_processes(&server));
                for id in sessions {
                    audit(id, &secret, &path)?;
                }
                client.expect_ok("LOGOUT")?;
                drop(client);
                child.wait()?;
            }
        }
        Ok(())
    })
}

fn audit(id: i32, secret: &str, cache: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(format!("/proc/{id}/fd"))? {
        let target = fs::read_link(entry?.path())?;
        let text = target.to_string_lossy();
        assert!(
            !text.contains(".pem")
                && !text.contains("/etc/ssl")
                && !text.contains("memfd:couriertlsd")
                && target != cache,
            "descriptor of {text}"
        );
    }
    let maps = fs::read_to_string(format!("/proc/{id}/maps"))?;
    for library in ["libssl", "libcrypto", "libgnutls", "ca-certificates"] {
        assert!(!maps.contains(library), "{library} is mapped");
    }
    if !getuid().is_root() {
        harness::skip("the memory of a session can be read by root only");
        return Ok(());
    }
    // The key in PEM, and the beginning of any certificate.
    let memory = fs::File::open(format!("/proc/{id}/mem"))?;
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let Some((start, end)) = line
            .split_once(' ')
            .and_then(|(range, _)| range.split_once('-'))
        else {
            continue;
        };
        let number = |text| u64::from_str_radix(text, 16).unwrap_or(0);
        let (start, end) = (number(start), number(end));
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
        // Some mappings cannot be read.
        if std::os::unix::fs::FileExt::read_exact_at(&memory, &mut bytes, start).is_err() {
            continue;
        }
        for needle in [secret.as_bytes(), b"-----BEGIN CERT", b"-----BEGIN PRIV"] {
            assert!(
                !bytes.windows(needle.len()).any(|window| window == needle),
                "{line}: a secret"
            );
        }
    }
    Ok(())
}

/// Sessions go on, and new ones are served another way.
#[test]
fn the_service_may_be_killed() -> Result<(), Error> {
    harness::run(|| {
        let mut server = server(Tls::new(Side::Ours))?;
        let (mut client, mut child) = Client::through(&mut tls::client(&server, false)?)?;
        client.greeting()?;
        client.expect_ok(&format!("LOGIN tess {PASSWORD}"))?;
        let service = server.tls_service.as_ref().map(|service| service.id());
        let id = service.unwrap_or_else(Pid::this);
        let listening = process::tree(id.as_raw());
        kill(id, Signal::SIGKILL)?;
        client.expect_ok("SELECT INBOX")?;
        // The listening process goes when the loader is gone.
        let end = Instant::now() + Duration::from_secs(10);
        while listening
            .iter()
            .skip(1)
            .take(1)
            .any(|id| Path::new(&format!("/proc/{id}/environ")).exists() && alive(*id))
        {
            assert!(Instant::now() < end, "the listening process goes on");
            std::thread::sleep(Duration::from_millis(20));
        }
        expect(&server, &Wish::default(), true, "the service is gone")?;
        client.expect_ok("NOOP")?;
        client.expect_ok("LOGOUT")?;
        drop(client);
        child.wait()?;
        drop(server.tls_service.take());
        Ok(())
    })
}

fn alive(id: i32) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}
