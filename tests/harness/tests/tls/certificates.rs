//! Certificates of clients: required, optional, and as a login.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::process;
use harness::server::{Server, Side};
use harness::tls::Tls;
use harness::{Error, programs};

use crate::clients::{Wish, expect, python_session, server, setup};

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
