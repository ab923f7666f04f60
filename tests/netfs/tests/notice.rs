//! On a network file system nobody tells a host what another does: an idling session polls, and says so once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use netfs::{Caching, Mount};

/// `COURIER_BINDIR`, else the directory that cargo builds programs into.
fn imapd() -> PathBuf {
    let directory = std::env::var_os("COURIER_BINDIR").filter(|value| !value.is_empty());
    let directory = directory.map_or_else(
        || {
            let test = std::env::current_exe().unwrap();
            test.parent().unwrap().parent().unwrap().to_owned()
        },
        PathBuf::from,
    );
    let imapd = directory.join("imapd");
    assert!(
        imapd.exists(),
        "{} is not built: run make check, or cargo build first",
        imapd.display()
    );
    imapd
}

/// Waits for a line that begins so.
fn wait_for(lines: &Receiver<String>, start: &str) -> String {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        match lines.recv_timeout(rest) {
            Ok(line) if line.starts_with(start) => return line,
            Ok(_) => {}
            Err(error) => panic!("no {start:?}: {error}"),
        }
    }
}

fn deliver(host: &Path, name: &str) {
    let tmp = host.join("Maildir/tmp").join(name);
    std::fs::write(&tmp, "Subject: x\n\nx\n").unwrap();
    std::fs::rename(tmp, host.join("Maildir/new").join(name)).unwrap();
}

#[test]
fn an_idling_session_hears_of_what_another_host_does() {
    if let Some(reason) = netfs::unavailable() {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {reason}").unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for name in ["one", "two", "store/Maildir/tmp", "store/Maildir/new"] {
        std::fs::create_dir_all(directory.path().join(name)).unwrap();
    }
    let store = directory.path().join("store");
    std::fs::create_dir(store.join("Maildir/cur")).unwrap();
    let caching = Caching::default();
    let one = Mount::new(&store, &directory.path().join("one"), caching, 1).unwrap();
    let two = Mount::new(&store, &directory.path().join("two"), caching, 2).unwrap();
    let mut child = Command::new(imapd())
        .current_dir(one.path())
        .env_clear()
        .env("MAILDIR", one.path().join("Maildir"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in output.lines() {
            if line.is_err() || send.send(line.unwrap_or_default()).is_err() {
                return;
            }
        }
    });
    input.write_all(b"a SELECT INBOX\r\n").unwrap();
    wait_for(&lines, "a OK");
    for round in 1..3 {
        input.write_all(b"i IDLE\r\n").unwrap();
        wait_for(&lines, "+ entering idle mode");
        let inotify = std::fs::read_dir(format!("/proc/{}/fd", child.id()))
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .any(|target| target.as_os_str() == "anon_inode:inotify");
        assert!(!inotify);
        deliver(two.path(), &format!("{round}.z"));
        wait_for(&lines, &format!("* {round} EXISTS"));
        input.write_all(b"DONE\r\n").unwrap();
        wait_for(&lines, "i OK");
    }
    input.write_all(b"z LOGOUT\r\n").unwrap();
    let log = child.wait_with_output().unwrap().stderr;
    let log = String::from_utf8_lossy(&log);
    assert_eq!(log.matches("polling for changes").count(), 1, "{log}");
    assert!(log.contains("is on a network file system"), "{log}");
}
