use super::*;
use crate::maildir::Mode;
use crate::maildir::fixture::{Mailbox, append, list, uids};
use std::os::unix::fs::PermissionsExt;

fn name(text: &str) -> FolderName {
    FolderName::new(text.as_bytes()).unwrap()
}

fn listed(mailbox: &Mailbox) -> Vec<(String, bool, bool)> {
    mailbox
        .maildir
        .folders()
        .unwrap()
        .into_iter()
        .map(|entry| (entry.name.to_string(), entry.selectable, entry.has_children))
        .collect()
}

#[test]
fn folders_are_listed_with_virtual_parents_and_without_what_is_none() {
    let mailbox = Mailbox::new();
    for folder in ["b", "a.x.y", "a b", "b.c", "Entwürfe"] {
        mailbox.maildir.create(&name(folder)).unwrap();
    }
    mailbox.put(".file", "");
    std::fs::create_dir(mailbox.path().join(".empty")).unwrap();
    std::fs::create_dir_all(mailbox.path().join("..odd/cur")).unwrap();
    std::fs::create_dir_all(mailbox.path().join("nodot/cur")).unwrap();
    let entry = |name: &str, selectable, has_children| (name.to_owned(), selectable, has_children);
    assert_eq!(
        listed(&mailbox),
        [
            entry("INBOX", true, true),
            entry("INBOX.Entw\\xc3\\xbcrfe", true, false),
            entry("INBOX.a", false, true),
            entry("INBOX.a b", true, false),
            entry("INBOX.a.x", false, true),
            entry("INBOX.a.x.y", true, false),
            entry("INBOX.b", true, true),
            entry("INBOX.b.c", true, false),
        ]
    );
    assert!(mailbox.maildir.has_children(&name("a")).unwrap());
    assert!(!mailbox.maildir.has_children(&name("b.c")).unwrap());
    assert!(mailbox.maildir.has_children(&FolderName::inbox()).unwrap());
    assert!(!mailbox.maildir.exists(&name("a")));
}

#[test]
fn a_new_folder_is_complete_and_its_uidvalidity_is_fixed() {
    let mailbox = Mailbox::new();
    let folder = mailbox.maildir.create(&name("A.B")).unwrap();
    let path = mailbox.path().join(".A.B");
    assert_eq!(
        list(&path),
        [
            "courierimapacl",
            "courierimapuiddb",
            "courierimapuidmark",
            "cur",
            "maildirfolder",
            "new",
            "tmp"
        ]
    );
    let mode = |part: &str| {
        std::fs::metadata(path.join(part))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode(""), mode("cur"), mode("maildirfolder")),
        (0o700, 0o700, 0o600)
    );
    let validity = folder.uid_validity().unwrap().unwrap();
    assert_eq!(
        folder.scan(Mode::ReadWrite).unwrap().uid_validity(),
        validity
    );
    assert_eq!(folder.status().unwrap().uid_validity, validity);
    for (again, kind) in [
        (name("A.B"), ErrorKind::FolderExists),
        (FolderName::inbox(), ErrorKind::FolderExists),
        (name("a\nb"), ErrorKind::InvalidName),
        (name(&"x".repeat(254)), ErrorKind::FolderExists),
    ] {
        let result = mailbox.maildir.create(&again);
        if again.as_bytes().len() < 254 {
            assert_eq!(result.unwrap_err().kind(), kind, "{again}");
        } else {
            assert!(result.is_ok());
        }
    }
    assert!(list(&mailbox.path().join("tmp")).is_empty());
}

#[test]
fn a_mailbox_created_anew_never_gets_an_old_uidvalidity() {
    let mailbox = Mailbox::new();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let folder = mailbox.maildir.create(&name("A")).unwrap();
        seen.push(folder.uid_validity().unwrap().unwrap());
        mailbox.maildir.delete(&name("A")).unwrap();
    }
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    // One that the original made, with a clock ahead of ours.
    let folder = mailbox.maildir.create(&name("B")).unwrap();
    mailbox.put(".B/courierimapuiddb", "1 4000000000 5\n");
    assert_eq!(folder.uid_validity().unwrap(), Some(4_000_000_000));
    mailbox.maildir.rename(&name("B"), &name("C")).unwrap();
    let folder = mailbox.maildir.create(&name("B")).unwrap();
    assert_eq!(folder.uid_validity().unwrap(), Some(4_000_000_001));
    assert!(list(&mailbox.path().join("tmp")).is_empty());
}

#[test]
fn rename_takes_children_uids_and_subscriptions_along() {
    let mailbox = Mailbox::new();
    let folder = mailbox.folder("a");
    append(&folder, "x\r\n").unwrap();
    append(&folder, "y\r\n").unwrap();
    let before = folder.scan(Mode::ReadWrite).unwrap();
    mailbox.folder("a.b.c");
    mailbox.folder("ab");
    std::fs::create_dir(mailbox.path().join("courierimaphieracl")).unwrap();
    mailbox.put("courierimaphieracl/a.b", "owner lr\n");
    for subscribed in [
        "INBOX",
        "INBOX.a",
        "INBOX.a.b.c",
        "INBOX.ab",
        "#shared.x.a",
        "INBOX.new",
    ] {
        mailbox.maildir.subscribe(subscribed.as_bytes()).unwrap();
    }
    mailbox
        .maildir
        .rename(&name("a"), &name("new.sub"))
        .unwrap();
    let moved = mailbox.maildir.folder(&name("new.sub")).unwrap();
    let after = moved.scan(Mode::ReadWrite).unwrap();
    assert_eq!(after.uid_validity(), before.uid_validity());
    assert_eq!(uids(&after), uids(&before));
    assert_eq!(
        listed(&mailbox)
            .into_iter()
            .map(|entry| entry.0)
            .collect::<Vec<_>>(),
        [
            "INBOX",
            "INBOX.ab",
            "INBOX.new",
            "INBOX.new.sub",
            "INBOX.new.sub.b",
            "INBOX.new.sub.b.c"
        ]
    );
    assert_eq!(
        list(&mailbox.path().join("courierimaphieracl")),
        ["new.sub.b"]
    );
    let subscriptions = mailbox.maildir.subscriptions().unwrap();
    let subscriptions: Vec<_> = subscriptions
        .iter()
        .map(|name| String::from_utf8_lossy(name))
        .collect();
    assert_eq!(
        subscriptions,
        [
            "INBOX",
            "INBOX.new.sub",
            "INBOX.new.sub.b.c",
            "INBOX.ab",
            "#shared.x.a",
            "INBOX.new"
        ]
    );
    // A session that has it open goes on.
    append(&folder, "z\r\n").unwrap();
    assert_eq!(moved.status().unwrap().messages, 3);
}

#[test]
fn what_must_not_be_renamed_or_deleted_is_refused() {
    let mailbox = Mailbox::new();
    for folder in ["a", "b", "Trash", "c.x", "d.x"] {
        mailbox.folder(folder);
    }
    let inbox = FolderName::inbox();
    for (from, to, kind) in [
        (inbox.clone(), name("x"), ErrorKind::Protected),
        (name("a"), inbox.clone(), ErrorKind::Protected),
        (name("Trash"), name("x"), ErrorKind::Protected),
        (name("a"), name("Trash"), ErrorKind::Protected),
        (name("a"), name("a"), ErrorKind::Protected),
        (name("a"), name("a.b"), ErrorKind::Protected),
        (name("a"), name("b"), ErrorKind::FolderExists),
        (name("nosuch"), name("x"), ErrorKind::NoSuchFolder),
        // A child's new name is taken.
        (name("c"), name("d"), ErrorKind::FolderExists),
        (name("a"), name("x\x01"), ErrorKind::InvalidName),
    ] {
        assert_eq!(
            mailbox.maildir.rename(&from, &to).unwrap_err().kind(),
            kind,
            "{from} {to}"
        );
    }
    for (folder, kind) in [
        (inbox, ErrorKind::Protected),
        (name("Trash"), ErrorKind::Protected),
        (name("nosuch"), ErrorKind::NoSuchFolder),
        (name("c"), ErrorKind::NoSuchFolder),
    ] {
        assert_eq!(
            mailbox.maildir.delete(&folder).unwrap_err().kind(),
            kind,
            "{folder}"
        );
    }
    assert_eq!(listed(&mailbox).len(), 8);
}

#[test]
fn deleting_keeps_children_and_follows_no_link() {
    let mailbox = Mailbox::new();
    let folder = mailbox.folder("a");
    mailbox.folder("a.b");
    append(&folder, "x\r\n").unwrap();
    let outside = mailbox.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("precious"), "x").unwrap();
    std::os::unix::fs::symlink(&outside, mailbox.path().join(".a/link")).unwrap();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    mailbox.maildir.delete(&name("a")).unwrap();
    assert_eq!(list(&outside), ["precious"]);
    assert_eq!(
        folder.rescan(&mut view).unwrap_err().kind(),
        ErrorKind::NoSuchFolder
    );
    assert_eq!(
        listed(&mailbox)
            .into_iter()
            .map(|entry| (entry.0, entry.1))
            .collect::<Vec<_>>(),
        [
            ("INBOX".to_owned(), true),
            ("INBOX.a".to_owned(), false),
            ("INBOX.a.b".to_owned(), true)
        ]
    );
    assert!(list(&mailbox.path().join("tmp")).is_empty());
}

#[test]
fn subscriptions_keep_order_and_spelling() {
    let mailbox = Mailbox::new();
    let maildir = &mailbox.maildir;
    assert!(maildir.subscriptions().unwrap().is_empty());
    for name in ["INBOX.b", "inbox", "INBOX", "INBOX.a", "inbox.A", "INBOX.b"] {
        maildir.subscribe(name.as_bytes()).unwrap();
    }
    let file = || std::fs::read_to_string(mailbox.path().join("courierimapsubscribed")).unwrap();
    assert_eq!(file(), "INBOX.b\ninbox\nINBOX.a\ninbox.A\n");
    assert!(maildir.unsubscribe(b"INBOX").unwrap());
    assert!(!maildir.unsubscribe(b"INBOX").unwrap());
    assert_eq!(file(), "INBOX.b\nINBOX.a\ninbox.A\n");
    assert_eq!(
        maildir.subscribe(b"a\nb").unwrap_err().kind(),
        ErrorKind::InvalidName
    );
}

#[test]
fn half_a_maildir_is_completed_and_none_is_refused() {
    let mailbox = Mailbox::new();
    std::fs::create_dir_all(mailbox.path().join(".half/tmp")).unwrap();
    std::fs::create_dir(mailbox.path().join(".none")).unwrap();
    let folder = mailbox.maildir.folder(&name("half")).unwrap();
    assert!(folder.scan(Mode::ReadWrite).unwrap().is_empty());
    assert_eq!(
        mailbox.maildir.folder(&name("none")).unwrap_err().kind(),
        ErrorKind::NoSuchFolder
    );
    assert_eq!(
        Maildir::open(&mailbox.path().join("nosuch"), Options::default())
            .unwrap_err()
            .kind(),
        ErrorKind::NoSuchFolder
    );
}
