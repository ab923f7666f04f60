//! What a folder costs that nobody has touched: no listing, no UID database, however many messages there are.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::{Home, run};

/// A folder of 300 messages at rest, with its index.
fn indexed(home: &Home) {
    home.folder(".Large");
    for number in 0..300 {
        home.place(".Large", &format!("{number}.a:2,S"));
    }
    let index = home.maildir().join(".Large/courierimapindex");
    let end = Instant::now() + Duration::from_secs(8);
    while !index.exists() {
        assert!(Instant::now() < end, "no index is written");
        std::thread::sleep(Duration::from_millis(60));
        home.run(b"a SELECT INBOX.Large\r\nb NOOP\r\nc LOGOUT\r\n");
    }
    std::thread::sleep(Duration::from_millis(60));
}

#[test]
fn select_and_noop_of_an_unchanged_folder_list_nothing_and_read_no_uids() {
    let probe = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        let reason = "skipped: no strace, or it may not trace";
        writeln!(std::io::stderr().lock(), "{reason}").unwrap();
        return;
    }
    let home = Home::new();
    indexed(&home);
    let trace = home.path().join("trace");
    let traced = |commands: &[u8]| {
        let imapd = home.command();
        let mut command = Command::new("strace");
        command
            .args(["-f", "-y", "-s", "0", "-e", "trace=getdents64,openat"])
            .arg("-o")
            .arg(&trace)
            .arg(imapd.get_program())
            .current_dir(home.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin");
        for (name, value) in imapd.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let output = run(command, commands).output;
        let calls = fs::read_to_string(&trace).unwrap();
        let listed = calls.lines().any(|call| {
            call.contains("getdents64(")
                && [".Large/cur>", ".Large/new>", ".Large/courierimapkeywords>"]
                    .iter()
                    .any(|name| call.contains(name))
        });
        // `-s 0` hides names that are asked for, and shows those that are opened.
        let read = calls.contains("courierimapuiddb>");
        (output, listed, read)
    };
    let commands =
        b"a SELECT INBOX.Large\r\nb NOOP\r\nc NOOP\r\nd EXAMINE INBOX.Large\r\ne LOGOUT\r\n";
    let (output, listed, read) = traced(commands);
    assert!(output.contains("* 300 EXISTS"), "{output}");
    assert!(output.contains("e OK"), "{output}");
    assert!(!listed, "the folder was listed");
    assert!(!read, "the UID database was read");
    // The test of this test: what has changed is found by a listing.
    fs::rename(
        home.maildir().join(".Large/cur/7.a:2,S"),
        home.maildir().join(".Large/cur/7.a:2,"),
    )
    .unwrap();
    let (output, listed, read) = traced(commands);
    assert!(output.contains("* 300 EXISTS"), "{output}");
    assert!(listed && read);
}
