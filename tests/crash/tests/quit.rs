//! POP3's QUIT when the disk does not confirm what was removed: the client must not take it for done.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What pop3d answers to `commands`, with strace's `options`.
fn session(root: &Path, options: &[&str], commands: &str) -> String {
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fsync", "-o"])
        .arg(root.parent().unwrap().join("trace"))
        .args(options)
        .arg(crash::program("pop3d"))
        .arg(root)
        .current_dir(root.parent().unwrap())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(commands.as_bytes()).unwrap();
    drop(input);
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn a_removal_that_the_disk_does_not_confirm_is_told() {
    if let Some(reason) = crash::unavailable() {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {reason}").unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("Maildir");
    courier::maildir::make_maildir(&root, 0o700).unwrap();
    for name in ["1.a:2,", "2.b:2,"] {
        std::fs::write(root.join("cur").join(name), "Subject: x\n\ny\n").unwrap();
    }
    // Writes the size list, so that the next session has nothing to sync but its removals.
    let answers = session(&root, &[], "QUIT\r\n");
    assert!(answers.ends_with("+OK Bye-bye.\r\n"), "{answers}");
    let fault = ["-e", "inject=fsync:error=EIO"];
    let answers = session(&root, &fault, "DELE 1\r\nQUIT\r\n");
    assert!(
        answers.ends_with(
            "+OK Deleted.\r\n-ERR [SYS/TEMP] Some deleted messages could not be removed.\r\n"
        ),
        "{answers}"
    );
    let answers = session(&root, &[], "DELE 1\r\nQUIT\r\n");
    assert!(answers.ends_with("+OK Bye-bye.\r\n"), "{answers}");
}
