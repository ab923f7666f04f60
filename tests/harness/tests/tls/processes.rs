//! What the processes of a session hold, and what happens when the service is killed.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::Error;
use harness::client::Client;
use harness::process;
use harness::server::{PASSWORD, Server, Side};
use harness::tls::{self, Tls};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getuid};

use crate::clients::{Wish, expect, server};

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
