use super::*;
use crate::maildir::fixture::{Mailbox, SmallDisk, append, list, uids};
use crate::maildir::{FolderName, Maildir, Mode, Options, make_maildir};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

fn only_file(folder: &Path) -> std::fs::Metadata {
    let cur = folder.join("cur");
    let names = list(&cur);
    assert_eq!(names.len(), 1, "{names:?}");
    std::fs::metadata(cur.join(&names[0])).unwrap()
}

#[test]
fn a_copy_is_a_hard_link_unless_the_file_looks_foreign() {
    let mailbox = Mailbox::new();
    let inbox = mailbox.inbox();
    append(&inbox, "x\r\n").unwrap();
    let mut view = inbox.scan(Mode::ReadWrite).unwrap();
    let original = only_file(&mailbox.path());
    let linked = mailbox.folder("linked");
    inbox.copy(&mut view, &[0], &linked, Keep::ALL).unwrap();
    assert_eq!(
        only_file(&mailbox.path().join(".linked")).ino(),
        original.ino()
    );
    // Another mode than a fresh file gets means nothing where nobody else can come.
    let path = mailbox
        .path()
        .join("cur")
        .join(&list(&mailbox.path().join("cur"))[0]);
    let mode = std::fs::Permissions::from_mode;
    std::fs::set_permissions(&path, mode(0o640)).unwrap();
    let private = mailbox.folder("private");
    inbox.copy(&mut view, &[0], &private, Keep::ALL).unwrap();
    assert_eq!(
        only_file(&mailbox.path().join(".private")).ino(),
        original.ino()
    );
    // Where others can, the bytes are copied, the time too.
    let copied = mailbox.folder("copied");
    std::fs::set_permissions(mailbox.path().join(".copied/cur"), mode(0o750)).unwrap();
    inbox.copy(&mut view, &[0], &copied, Keep::ALL).unwrap();
    let copy = only_file(&mailbox.path().join(".copied"));
    assert_ne!(copy.ino(), original.ino());
    // So they are where the owner's own rights differ.
    std::fs::set_permissions(&path, mode(0o440)).unwrap();
    let sealed = mailbox.folder("sealed");
    inbox.copy(&mut view, &[0], &sealed, Keep::ALL).unwrap();
    assert_ne!(
        only_file(&mailbox.path().join(".sealed")).ino(),
        original.ino()
    );
    assert_eq!(
        (copy.mtime(), copy.mtime_nsec()),
        (original.mtime(), original.mtime_nsec())
    );
    assert!(list(&mailbox.path().join("tmp")).is_empty());
    assert!(list(&mailbox.path().join(".copied/tmp")).is_empty());
}

#[test]
fn copies_to_another_file_system_carry_everything() {
    let mailbox = Mailbox::new();
    let Some(disk) = SmallDisk::new(mailbox.dir.path(), 2000) else {
        return;
    };
    let path = disk.path().join("Maildir");
    make_maildir(&path, 0o700).unwrap();
    let there = Maildir::open(&path, Options::default()).unwrap();
    let there = there.folder(&FolderName::inbox()).unwrap();
    let inbox = mailbox.inbox();
    for text in ["one\r\n", "two\r\n", "three\r\n"] {
        append(&inbox, text).unwrap();
    }
    let mut view = inbox.scan(Mode::ReadWrite).unwrap();
    let moved = inbox
        .move_to(&mut view, &[0, 2], &there, Keep::ALL)
        .unwrap();
    assert_eq!(moved.uids, [(1, 1), (3, 2)]);
    inbox.rescan(&mut view).unwrap();
    assert_eq!(uids(&view), [2]);
    let mut view = there.scan(Mode::ReadWrite).unwrap();
    let text = std::io::read_to_string(there.open_message(&mut view, 1).unwrap().file).unwrap();
    assert_eq!(text, "three\n");
}

#[test]
fn rights_on_the_destination_filter_flags_and_keywords() {
    let mailbox = Mailbox::new();
    mailbox.put("cur/1.a:2,FST", "x\n");
    std::fs::create_dir(mailbox.path().join("courierimapkeywords")).unwrap();
    mailbox.put("courierimapkeywords/1.a", "work\n");
    let inbox = mailbox.inbox();
    let mut view = inbox.scan(Mode::ReadWrite).unwrap();
    assert_eq!(view.keywords_in_use(), [b"work"]);
    let to = mailbox.folder("to");
    let keep = Keep {
        flags: Flags::SEEN,
        keywords: false,
    };
    inbox.copy(&mut view, &[0], &to, keep).unwrap();
    let there = to.scan(Mode::ReadWrite).unwrap();
    assert_eq!(there.messages()[0].flags(), Flags::SEEN);
    assert!(there.keywords_in_use().is_empty());
}

#[test]
fn messages_renamed_or_removed_by_others_are_found_or_passed_over() {
    let mailbox = Mailbox::new();
    for number in 1..=4 {
        mailbox.put(&format!("cur/{number}.a:2,"), "x\n");
    }
    let inbox = mailbox.inbox();
    let mut view = inbox.scan(Mode::ReadWrite).unwrap();
    let cur = mailbox.path().join("cur");
    std::fs::rename(cur.join("2.a:2,"), cur.join("2.a:2,RS")).unwrap();
    std::fs::remove_file(cur.join("3.a:2,")).unwrap();
    let to = mailbox.folder("to");
    let copied = inbox
        .move_to(&mut view, &[0, 1, 2], &to, Keep::ALL)
        .unwrap();
    assert_eq!(
        (copied.uids, copied.missing),
        (vec![(1, 1), (2, 2)], vec![2])
    );
    let there = to.scan(Mode::ReadWrite).unwrap();
    assert_eq!(there.messages()[1].flags(), Flags::SEEN | Flags::ANSWERED);
    assert_eq!(view.take_news(), [1]);
    let diff = inbox.rescan(&mut view).unwrap();
    assert_eq!((diff.expunged.len(), uids(&view)), (3, vec![4]));
}

#[test]
fn a_folder_can_be_copied_and_moved_into_itself() {
    let mailbox = Mailbox::new();
    let inbox = mailbox.inbox();
    append(&inbox, "x\r\n").unwrap();
    let mut view = inbox.scan(Mode::ReadWrite).unwrap();
    assert_eq!(
        inbox.copy(&mut view, &[0], &inbox, Keep::ALL).unwrap().uids,
        [(1, 2)]
    );
    assert_eq!(
        inbox
            .move_to(&mut view, &[0], &inbox, Keep::ALL)
            .unwrap()
            .uids,
        [(1, 3)]
    );
    let diff = inbox.rescan(&mut view).unwrap();
    assert_eq!((diff.expunged.len(), diff.added), (1, 2));
    assert_eq!(uids(&view), [2, 3]);
}
