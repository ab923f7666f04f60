use super::*;
use crate::maildir::fixture::{Mailbox, append};
use crate::maildir::{Action, Change, Keep, Mode as ScanMode};

fn file(mailbox: &Mailbox) -> String {
    std::fs::read_to_string(mailbox.path().join("maildirsize")).unwrap_or_default()
}

/// The sums of the file: bytes and messages.
fn sums(mailbox: &Mailbox) -> (i64, i64) {
    let tally = Place::of(&mailbox.maildir.root).unwrap().read().unwrap();
    let used = tally.unwrap().used;
    (used.bytes, used.messages)
}

fn old(mailbox: &Mailbox) {
    mailbox.age("maildirsize", Duration::from_secs(1000));
}

#[test]
fn adding_appends_a_line_and_stops_at_the_limit() {
    let mailbox = Mailbox::new();
    mailbox.put("maildirsize", "12S,4C\n           0            0\n");
    append(&mailbox.inbox(), "12345\r\n").unwrap();
    assert_eq!(
        file(&mailbox),
        "12S,4C\n           0            0\n           6            1\n"
    );
    // To the last byte is within it.
    append(&mailbox.inbox(), "12345\r\n").unwrap();
    let error = append(&mailbox.inbox(), "\r\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OverQuota);
    // Over, with more than one line: counted anew before it was believed.
    assert_eq!(file(&mailbox), "12S,4C\n          12            2\n");
    assert!(mailbox.inbox().has_room(0, Flags::NONE).is_ok());
    assert!(mailbox.inbox().has_room(1, Flags::NONE).is_err());
    assert!(mailbox.inbox().has_room(1, Flags::DELETED).is_ok());
    // A fresh count is believed, an older one is not.
    for entry in std::fs::read_dir(mailbox.path().join("cur")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert!(append(&mailbox.inbox(), "\r\n").is_err());
    old(&mailbox);
    append(&mailbox.inbox(), "\r\n").unwrap();
    assert_eq!(sums(&mailbox), (1, 1));
}

#[test]
fn a_file_that_cannot_be_right_is_counted_anew() {
    let mailbox = Mailbox::new();
    let inbox = mailbox.inbox();
    append(&inbox, "12345\r\n").unwrap();
    let negative = "100S\n          -1            1\n".to_owned();
    let long = format!("100S\n{}", "           1            0\n".repeat(300));
    for text in [negative, long] {
        mailbox.put("maildirsize", &text);
        append(&mailbox.folder("a"), "1\r\n").unwrap();
        let (_, messages) = sums(&mailbox);
        let used = mailbox.maildir.quota().unwrap().unwrap();
        assert_eq!(i64::try_from(used.messages).unwrap(), messages);
        assert_eq!(file(&mailbox).lines().count(), 3, "{}", file(&mailbox));
    }
    mailbox.put(
        "maildirsize",
        &format!("1C\n{}", "           9            9\n".repeat(300)),
    );
    assert_eq!(mailbox.maildir.quota().unwrap().unwrap().messages, 3);
    // Not a quota: nothing is added to it.
    for text in ["junk\n", "", "0S\n"] {
        mailbox.put("maildirsize", text);
        append(&inbox, "1\r\n").unwrap();
        assert_eq!(file(&mailbox), text);
        assert_eq!(mailbox.maildir.quota().unwrap(), None);
    }
    std::fs::remove_file(mailbox.path().join("maildirsize")).unwrap();
    append(&inbox, "1\r\n").unwrap();
    assert_eq!(file(&mailbox), "");
}

#[test]
fn the_limit_from_outside_replaces_the_files() {
    let mailbox = Mailbox::new();
    append(&mailbox.folder("a"), "12345\r\n").unwrap();
    append(&mailbox.folder("Trash"), "12345\r\n").unwrap();
    append(&mailbox.folder("Trash.x"), "1\r\n").unwrap();
    let mut options = mailbox.maildir.options().clone();
    options.quota = Some(QuotaLimits::parse(b"3C"));
    let maildir = Maildir::open(&mailbox.path(), options).unwrap();
    append(&maildir.folder(&FolderName::inbox()).unwrap(), "1\r\n").unwrap();
    assert_eq!(
        file(&mailbox),
        "3C\n           8            2\n           2            1\n"
    );
    mailbox.put("maildirsize", "1S\n           0            0\n");
    assert!(append(&maildir.folder(&FolderName::inbox()).unwrap(), "1\r\n").is_err());
    assert_eq!(file(&mailbox), "3C\n          10            3\n");
}

#[test]
fn deleted_messages_and_the_trash_do_not_count() {
    let mailbox = Mailbox::new();
    let inbox = mailbox.inbox();
    mailbox
        .maildir
        .set_quota(QuotaLimits::parse(b"2C"))
        .unwrap();
    append(&inbox, "12345\r\n").unwrap();
    append(&inbox, "12\r\n").unwrap();
    let mut view = inbox.scan(ScanMode::ReadWrite).unwrap();
    let delete = |action| Change::new(action, Flags::DELETED, Vec::new());
    inbox.change(&mut view, &[0], &delete(Action::Add)).unwrap();
    assert_eq!(sums(&mailbox), (3, 1));
    // Again: no change, nothing to count.
    inbox.change(&mut view, &[0], &delete(Action::Add)).unwrap();
    assert_eq!(sums(&mailbox), (3, 1));
    append(&inbox, "\r\n").unwrap();
    let error = inbox
        .change(&mut view, &[0], &delete(Action::Remove))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OverQuota);
    assert!(view.messages()[0].flags().contains(Flags::DELETED));
    assert_eq!(sums(&mailbox), (4, 2));
    // Expunging what does not count changes nothing.
    inbox.expunge(&mut view, &[0]).unwrap();
    assert_eq!(sums(&mailbox), (4, 2));
    // To the trash and back.
    let trash = mailbox.folder("Trash");
    inbox.copy(&mut view, &[1], &trash, Keep::ALL).unwrap();
    assert_eq!(sums(&mailbox), (4, 2));
    inbox.move_to(&mut view, &[1], &trash, Keep::ALL).unwrap();
    assert_eq!(sums(&mailbox), (1, 1));
    let mut trashed = trash.scan(ScanMode::ReadWrite).unwrap();
    trash
        .change(&mut trashed, &[0], &delete(Action::Add))
        .unwrap();
    assert_eq!(sums(&mailbox), (1, 1));
    trash
        .move_to(&mut trashed, &[1], &inbox, Keep::ALL)
        .unwrap();
    assert_eq!(sums(&mailbox), (4, 2));
    assert!(
        trash
            .copy(
                &mut trashed,
                &[0],
                &inbox,
                Keep {
                    flags: Flags::NONE,
                    keywords: true
                }
            )
            .is_err()
    );
    assert_eq!(sums(&mailbox), (4, 2));
}

#[test]
fn a_full_account_can_still_move_and_throw_away() {
    let mailbox = Mailbox::new();
    let inbox = mailbox.inbox();
    append(&inbox, "12345\r\n").unwrap();
    append(&inbox, "1\r\n").unwrap();
    mailbox
        .maildir
        .set_quota(QuotaLimits::parse(b"1C"))
        .unwrap();
    let mut view = inbox.scan(ScanMode::ReadWrite).unwrap();
    let other = mailbox.folder("other");
    inbox.move_to(&mut view, &[0], &other, Keep::ALL).unwrap();
    assert_eq!(sums(&mailbox), (8, 2));
    let delete = Change::new(Action::Add, Flags::DELETED, Vec::new());
    inbox.change(&mut view, &[1], &delete).unwrap();
    let keep = Keep {
        flags: Flags::ALL.without(Flags::DELETED),
        keywords: true,
    };
    inbox
        .discard_to(&mut view, &[1], &mailbox.folder("Papierkorb"), keep)
        .unwrap();
    assert_eq!(sums(&mailbox), (8, 2));
    mailbox
        .maildir
        .delete(&FolderName::new(b"other").unwrap())
        .unwrap();
    assert_eq!(file(&mailbox), "1C\n           2            1\n");
}

#[test]
fn a_folder_opened_as_a_maildir_uses_the_file_above_it() {
    let mailbox = Mailbox::new();
    mailbox.folder("a");
    mailbox
        .maildir
        .set_quota(QuotaLimits::parse(b"5C"))
        .unwrap();
    let options = mailbox.maildir.options().clone();
    let folder = Maildir::open(&mailbox.path().join(".a"), options).unwrap();
    append(&folder.folder(&FolderName::inbox()).unwrap(), "1\r\n").unwrap();
    assert_eq!(sums(&mailbox), (2, 1));
    assert!(!mailbox.path().join(".a/maildirsize").exists());
}
