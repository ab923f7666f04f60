//! courierwho as a program, on a roster whose sessions are processes of the test.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use courier::roster::{self, Entered, Entry, Service};

fn who(directory: &Path, arguments: &[&str]) -> Output {
    let paths = directory.join("paths");
    std::fs::write(&paths, format!("piddir={}\n", directory.display())).unwrap();
    Command::new(env!("CARGO_BIN_EXE_courierwho"))
        .args(arguments)
        .env("COURIER_PATHS", paths)
        .env("TZ", "UTC")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn session(directory: &Path, account: &str, service: Service) -> Child {
    let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let address = b"::ffff:192.0.2.1";
    let mut entry = Entry::now(service, true, account.as_bytes(), address, b"4711");
    entry.pid = child.id();
    let path = directory.join("courier-sessions");
    assert_eq!(roster::enter(&path, &entry, 0).unwrap(), Entered::Yes);
    child
}

#[test]
fn sessions_are_listed_and_ended() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let output = who(directory, &[]);
    assert_eq!(text(&output).lines().count(), 1);
    assert!(output.status.success());

    let mut first = session(directory, "alice", Service::Imap);
    let mut second = session(directory, "alice", Service::Pop3);
    let mut third = session(directory, "b\"ob\n", Service::Pop3);
    let list = text(&who(directory, &[]));
    let lines: Vec<Vec<&str>> = list
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 4);
    let pid = first.id().to_string();
    assert_eq!(lines[1][..4], ["alice", "imap", "yes", "192.0.2.1"]);
    assert_eq!(lines[1].last(), Some(&pid.as_str()));
    assert_eq!(lines[3][0], "b\"ob?");
    assert_eq!(text(&who(directory, &["nobody"])).lines().count(), 1);
    let json = text(&who(directory, &["--json", "b\"ob\n"]));
    assert!(
        json.starts_with("[{\"account\":\"b\\\"ob\\u000a\",\"service\":\"pop3\",\"tls\":true,"),
        "{json}"
    );

    let output = who(directory, &["--kick", "alice"]);
    assert!(output.status.success());
    assert_eq!(
        text(&output),
        format!("{pid} alice\n{} alice\n", second.id())
    );
    for child in [&mut first, &mut second] {
        assert_eq!(child.wait().unwrap().signal(), Some(15));
    }
    let output = who(directory, &["--kick", "alice"]);
    assert_eq!(output.status.code(), Some(1));
    let pid = third.id().to_string();
    assert!(who(directory, &["--kick", &pid]).status.success());
    assert_eq!(third.wait().unwrap().signal(), Some(15));
    // Not a session: not ended.
    let pid = std::process::id().to_string();
    assert_eq!(who(directory, &["--kick", &pid]).status.code(), Some(1));
    assert_eq!(who(directory, &["--kick"]).status.code(), Some(2));
}
