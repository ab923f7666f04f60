//! `IMAP_FSYNC` by the system calls that it asks for: `never` waits for nothing, `batched` for new messages once per
//! command however many there are, `always` for flags and removals as well.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use courier::maildir::{Details, FolderName, Maildir, Options};

/// A maildir with so many messages in INBOX and an empty folder Other.
fn prepared(messages: usize) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("Maildir");
    courier::maildir::make_maildir(&root, 0o700).unwrap();
    let maildir = Maildir::open(&root, Options::default()).unwrap();
    maildir.create(&FolderName::new(b"Other").unwrap()).unwrap();
    let inbox = maildir.folder(&FolderName::inbox()).unwrap();
    let pending = (0..messages).map(|number| {
        let mut delivery = inbox.deliver().unwrap();
        let text = format!("Subject: message {number}\r\n\r\nx\r\n");
        delivery.write_wire(text.as_bytes()).unwrap();
        delivery.finish(Details::default()).unwrap()
    });
    inbox.append(pending.collect()).unwrap();
    directory
}

/// How often a session with these commands waits for the disk.
fn syncs(root: &Path, fsync: Option<&str>, commands: &[&str]) -> usize {
    let trace = root.parent().unwrap().join("trace");
    let mut program = Command::new("strace");
    program
        .args([
            "-f",
            "-qq",
            "-e",
            "trace=fsync,fdatasync,syncfs,sync,sync_file_range,msync",
            "-o",
        ])
        .arg(&trace)
        .arg(crash::imapd())
        .current_dir(root.parent().unwrap())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("IMAP_KEYWORDS", "1")
        .env("MAILDIR", root)
        .envs(fsync.map(|value| ("IMAP_FSYNC", value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = program.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for command in commands {
        input
            .write_all(format!("a {command}\r\n").as_bytes())
            .unwrap();
    }
    input.write_all(b"z LOGOUT\r\n").unwrap();
    drop(input);
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(output.contains("z OK"), "{output}");
    assert!(
        !output.contains("a NO") && !output.contains("a BAD"),
        "{output}"
    );
    let trace = std::fs::read_to_string(trace).unwrap();
    let lines = trace.lines().filter(|line| line.contains("sync"));
    lines.count()
}

/// How often `command` waits in a folder of `messages`, beyond what selecting the folder takes.
fn syncs_of(fsync: Option<&str>, messages: usize, command: &str) -> usize {
    let directory = prepared(messages);
    let root = directory.path().join("Maildir");
    let select = "SELECT INBOX";
    // The first SELECT may have something to put in order; the second has not.
    syncs(&root, fsync, &[select]);
    let before = syncs(&root, fsync, &[select]);
    syncs(&root, fsync, &[select, command]) - before
}

fn skipped() -> bool {
    match crash::unavailable() {
        Some(reason) => {
            let mut stderr = std::io::stderr().lock();
            writeln!(stderr, "skipped: {reason}").unwrap();
            true
        }
        None => false,
    }
}

const APPEND: &str = "APPEND INBOX.Other {7+}\r\nx: y\r\n\r";
const FLAGS: &str = "STORE 1:* +FLAGS (\\Flagged \\Seen)";

#[test]
fn never_waits_for_nothing() {
    if skipped() {
        return;
    }
    let directory = prepared(3);
    let root = directory.path().join("Maildir");
    let commands = [
        "SELECT INBOX",
        APPEND,
        "COPY 1:* INBOX.Other",
        FLAGS,
        "STORE 1 +FLAGS (work \\Deleted)",
        "EXPUNGE",
        "MOVE 1 INBOX.Other",
        "CREATE INBOX.New",
    ];
    assert_eq!(syncs(&root, Some("never"), &commands), 0);
    let directory = prepared(3);
    let root = directory.path().join("Maildir");
    assert!(syncs(&root, Some("batched"), &commands) > 5);
}

#[test]
fn batched_waits_for_new_messages_once_per_command_and_not_for_flags() {
    if skipped() {
        return;
    }
    for fsync in [None, Some("batched")] {
        assert_eq!(syncs_of(fsync, 5, FLAGS), 0);
        let keyword = "STORE 1:* +FLAGS (work)";
        assert_eq!(syncs_of(fsync, 5, keyword), 0);
    }
    let few = syncs_of(None, 50, "COPY 1:* INBOX.Other");
    let many = syncs_of(None, 150, "COPY 1:* INBOX.Other");
    assert!(few > 0 && few == many, "{few} for 50, {many} for 150");
}

#[test]
fn always_waits_for_flags_and_removals_once_per_command() {
    if skipped() {
        return;
    }
    let always = Some("always");
    assert_eq!(syncs_of(always, 3, FLAGS), 1);
    assert_eq!(syncs_of(always, 30, FLAGS), 1);
    let removed = |messages| {
        let directory = prepared(messages);
        let root = directory.path().join("Maildir");
        let mark = "STORE 1:* +FLAGS (\\Deleted)";
        syncs(&root, Some("never"), &["SELECT INBOX", mark]);
        let without = syncs(&root, always, &["SELECT INBOX"]);
        syncs(&root, always, &["SELECT INBOX", "EXPUNGE"]) - without
    };
    assert!(removed(3) > 0);
    assert_eq!(removed(3), removed(30));
}
