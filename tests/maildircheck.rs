//! maildircheck as a program: what root repairs belongs to the maildir's owner.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;

const OWNER: u32 = 4321;

#[test]
fn root_works_with_the_owner_s_rights() {
    if !nix::unistd::geteuid().is_root() {
        writeln!(
            std::io::stderr().lock(),
            "skipped: only root can be somebody else"
        )
        .unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let maildir = dir.path().join("Maildir");
    courier::maildir::make_maildir(&maildir, 0o700).unwrap();
    std::fs::remove_dir(maildir.join("new")).unwrap();
    std::fs::write(maildir.join("courierimapsubscribed"), "INBOX").unwrap();
    for file in ["", "tmp", "cur", "courierimapsubscribed"] {
        chown(maildir.join(file), Some(OWNER), Some(OWNER)).unwrap();
    }
    // What the owner cannot remove stays, even for root.
    std::fs::create_dir(maildir.join(".Locked")).unwrap();
    std::fs::create_dir(maildir.join(".Locked/cur")).unwrap();

    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_maildircheck"))
            .args(arguments)
            .arg(&maildir)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let (status, text) = run(&["--repair"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("(subscriptions) [repaired]"), "{text}");
    assert!(text.contains("[not repaired: mkdir "), "{text}");
    for file in ["new", "courierimapsubscribed"] {
        let metadata = std::fs::metadata(maildir.join(file)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (OWNER, OWNER), "{file}");
    }
    std::fs::remove_dir_all(maildir.join(".Locked")).unwrap();
    let (status, text) = run(&[]);
    assert_eq!(status, Some(0), "{text}");
}
