//! The session's confinement, seen from outside. What exactly remains is tested beside it, in the library.

#![allow(clippy::unwrap_used)] // test code: a failure is a failed test

#[path = "../../imapd/tests/login_rig/mod.rs"]
mod login_rig;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A home directory with an empty maildir.
fn home() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let maildir = home.path().join("Maildir");
    for part in ["new", "tmp"] {
        std::fs::create_dir_all(maildir.join(part)).unwrap();
    }
    (home, maildir)
}

/// A session, its first line, and the rest of what it says.
fn start(home: &Path, setting: &str) -> (Child, String, BufReader<ChildStdout>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pop3d"))
        .arg("Maildir")
        .current_dir(home)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("POP3_SANDBOX", setting)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    (child, line, output)
}

/// Says `commands` and waits for the end.
fn finish(
    (mut child, _, mut output): (Child, String, BufReader<ChildStdout>),
    commands: &str,
) -> String {
    let mut input = child.stdin.take().unwrap();
    // One that refuses reads nothing.
    input.write_all(commands.as_bytes()).ok();
    drop(input);
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    child.wait().unwrap();
    rest
}

fn status(child: &Child, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap_or_default().trim().to_owned()
}

#[test]
fn a_session_is_confined_unless_that_is_turned_off() {
    let (home, maildir) = home();
    std::fs::create_dir(maildir.join("cur")).unwrap();
    let required = start(home.path(), "required");
    if required.1.starts_with("-ERR") {
        assert_eq!(
            required.1,
            "-ERR [SYS/PERM] The session cannot be confined.\r\n"
        );
        finish(required, "");
        let line = b"skipped: this kernel has no Landlock or no seccomp filters\n";
        std::io::stdout().lock().write_all(line).unwrap();
        return;
    }
    for (session, filter) in [
        (required, "2"),
        (start(home.path(), ""), "2"),
        (start(home.path(), "off"), "0"),
    ] {
        assert_eq!(session.1, "+OK logged in.\r\n");
        assert_eq!(status(&session.0, "Seccomp:"), filter);
        assert_eq!(status(&session.0, "NoNewPrivs:"), "1");
        assert_eq!(finish(session, "QUIT\r\n"), "+OK Bye-bye.\r\n");
    }
}

/// All that a session does to files, in a maildir on another disk, and the account's hook outside of it.
#[test]
fn mail_behind_a_link_is_served_and_the_hook_runs_unconfined() {
    let (home, maildir) = home();
    let disk = home.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    symlink(&disk, maildir.join("cur")).unwrap();
    std::fs::write(maildir.join("new/1.a"), "Subject: a\n\nx\n").unwrap();
    std::fs::write(maildir.join("new/2.b"), "Subject: b\n\nx\n").unwrap();
    std::fs::write(maildir.join("maildirsize"), "1000000S\n28 2\n").unwrap();
    let hook = maildir.join("loginexec");
    login_rig::put_program(&hook, "#!/bin/sh\necho ran >../outside\n");
    let session = start(home.path(), "");
    assert_eq!(session.1, "+OK logged in.\r\n");
    let replies = finish(session, "RETR 1\r\nDELE 2\r\nUIDL\r\nQUIT\r\n");
    assert!(
        replies
            .starts_with("+OK 17 octets follow.\r\nSubject: a\r\n\r\nx\r\n.\r\n+OK Deleted.\r\n"),
        "{replies}"
    );
    assert!(replies.ends_with("\r\n.\r\n+OK Bye-bye.\r\n"), "{replies}");
    let names: Vec<_> = std::fs::read_dir(&disk)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["1.a:2,S"]);
    assert!(home.path().join("outside").exists() && !hook.exists());
    assert!(maildir.join("courierpop3dsizelist").exists());
    let quota = std::fs::read_to_string(maildir.join("maildirsize")).unwrap();
    let last: Vec<_> = quota.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(last, ["-14", "-1"]);
}
