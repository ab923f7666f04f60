//! COPY and MOVE where the file system refuses a hard link: too many links, another file system, no permission, no
//! such thing. The bytes are copied then; a name that is taken is never overwritten; nothing is lost in between.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use courier::maildir::{Details, FolderName, Maildir, Options};

/// A maildir with three messages in INBOX and an empty folder Other.
fn prepared() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("Maildir");
    courier::maildir::make_maildir(&root, 0o700).unwrap();
    let maildir = Maildir::open(&root, Options::default()).unwrap();
    maildir.create(&FolderName::new(b"Other").unwrap()).unwrap();
    let inbox = maildir.folder(&FolderName::inbox()).unwrap();
    for number in 1..=3 {
        let mut delivery = inbox.deliver().unwrap();
        let text = format!("Subject: message {number}\r\n\r\nThe text of {number}.\r\n");
        delivery.write_wire(text.as_bytes()).unwrap();
        let pending = delivery.finish(Details::default()).unwrap();
        inbox.append(vec![pending]).unwrap();
    }
    directory
}

/// Text and inode of each message in a folder.
fn messages(folder: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder.join("cur")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        found.insert(text, std::fs::metadata(&path).unwrap().ino());
    }
    found
}

/// What a session says to `command` while links into the folder Other fail in this way; `None` where that cannot be
/// arranged.
fn with_fault(root: &Path, fault: &str, command: &str) -> Option<String> {
    if let Some(reason) = crash::unavailable() {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {reason}").unwrap();
        return None;
    }
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=linkat", "-P"])
        .arg(root.join(".Other/cur"))
        .args(["-e", &format!("inject=linkat:{fault}")])
        .arg(crash::imapd())
        .current_dir(root.parent().unwrap())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("MAILDIR", root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let commands = format!("a SELECT INBOX\r\nb {command}\r\nz LOGOUT\r\n");
    let mut input = child.stdin.take().unwrap();
    input.write_all(commands.as_bytes()).unwrap();
    drop(input);
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(output.contains("z OK"), "{output}");
    Some(output)
}

#[test]
fn where_no_link_can_be_made_the_bytes_are_copied() {
    // The first link alone fails where a copy of the bytes can be linked; where nothing can, it is renamed.
    for fault in [
        "error=EMLINK:when=1",
        "error=EMLINK:when=2",
        "error=EACCES:when=1",
        "error=EXDEV",
        "error=EPERM",
        "error=EOPNOTSUPP",
        "error=ENOSYS",
    ] {
        for command in ["COPY 1:3 INBOX.Other", "MOVE 1:3 INBOX.Other"] {
            let directory = prepared();
            let root = directory.path().join("Maildir");
            let other = root.join(".Other");
            let before = messages(&root);
            let Some(output) = with_fault(&root, fault, command) else {
                return;
            };
            assert!(output.contains("b OK"), "{fault} {command}\n{output}");
            assert!(output.contains(" 1:3 1:3]"), "{fault} {command}\n{output}");
            let (here, there) = (messages(&root), messages(&other));
            assert!(there.keys().eq(before.keys()), "{fault} {command}");
            assert!(
                there
                    .iter()
                    .all(|(text, inode)| before.get(text) != Some(inode)),
                "{fault} {command}: a link all the same"
            );
            match command.starts_with("COPY") {
                true => assert_eq!(here, before, "{fault}"),
                false => assert!(here.is_empty(), "{fault}"),
            }
            for folder in [&root, &other] {
                let left = std::fs::read_dir(folder.join("tmp")).unwrap().count();
                assert_eq!(left, 0, "{fault} {command}");
            }
        }
    }
}

#[test]
fn where_links_can_be_made_the_files_are_shared() {
    let directory = prepared();
    let root = directory.path().join("Maildir");
    let before = messages(&root);
    // A fault that never comes.
    let Some(output) = with_fault(&root, "error=EIO:when=1000", "MOVE 1:3 INBOX.Other") else {
        return;
    };
    assert!(output.contains("b OK"), "{output}");
    assert_eq!(messages(&root.join(".Other")), before);
    assert!(messages(&root).is_empty());
}

#[test]
fn a_name_that_is_taken_is_not_overwritten_and_a_failed_copy_leaves_nothing() {
    for fault in [
        "error=EEXIST:when=2",
        "error=EIO:when=3",
        "error=ENOSPC:when=2",
    ] {
        for command in ["COPY 1:3 INBOX.Other", "MOVE 1:3 INBOX.Other"] {
            let directory = prepared();
            let root = directory.path().join("Maildir");
            let before = messages(&root);
            let Some(output) = with_fault(&root, fault, command) else {
                return;
            };
            assert!(output.contains("b NO"), "{fault} {command}\n{output}");
            assert_eq!(messages(&root), before, "{fault} {command}");
            assert!(
                messages(&root.join(".Other")).is_empty(),
                "{fault} {command}"
            );
        }
    }
}
