use super::*;
use crate::maildir::{
    Action, Change, Details, ErrorKind, FolderName, Keep, Maildir, Options, Snapshot, make_maildir,
};
use std::path::{Path, PathBuf};

/// A fresh maildir in a temporary directory.
struct Box {
    dir: tempfile::TempDir,
    maildir: Maildir,
}

impl Box {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Maildir");
        make_maildir(&path, 0o700).unwrap();
        let maildir = Maildir::open(&path, Options::default()).unwrap();
        Self { dir, maildir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("Maildir")
    }

    fn inbox(&self) -> Folder {
        self.maildir.folder(&FolderName::inbox()).unwrap()
    }

    fn put(&self, name: &str, content: &str) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    fn db(&self) -> String {
        std::fs::read_to_string(self.path().join("courierimapuiddb")).unwrap()
    }
}

fn uids(view: &Snapshot) -> Vec<u32> {
    view.messages().iter().map(Message::uid).collect()
}

fn names(view: &Snapshot) -> Vec<String> {
    view.messages()
        .iter()
        .map(|message| String::from_utf8_lossy(view.name(message)).into_owned())
        .collect()
}

fn settle() {
    std::thread::sleep(Duration::from_millis(25));
}

fn list(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_first_select_numbers_in_order_moves_new_and_calls_it_recent() {
    let mailbox = Box::new();
    mailbox.put("new/1000.b.host", "x\n");
    mailbox.put("new/999.a.host", "x\n");
    mailbox.put("cur/1001.c.host,S=2:2,S", "x\n");
    mailbox.put("cur/900.foo.bar", "x\n");
    mailbox.put("cur/.hidden", "x\n");
    let folder = mailbox.inbox();
    let view = folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!(
        names(&view),
        [
            "900.foo.bar",
            "999.a.host:2,",
            "1000.b.host:2,",
            "1001.c.host,S=2:2,S"
        ]
    );
    assert_eq!(uids(&view), [1, 2, 3, 4]);
    let recent: Vec<bool> = view.messages().iter().map(Message::is_recent).collect();
    // A name without `:2,` is never recent.
    assert_eq!(recent, [false, true, true, true]);
    let db = mailbox.db();
    let mut lines = db.lines();
    let header: Vec<&str> = lines.next().unwrap().split(' ').collect();
    assert_eq!(
        header,
        ["1", &view.uid_validity().to_string(), "0000000005"]
    );
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "1 900.foo.bar",
            "2 999.a.host",
            "3 1000.b.host",
            "4 1001.c.host,S=2"
        ]
    );
    assert_eq!(list(&mailbox.path().join("new")), Vec::<String>::new());
    assert_eq!(list(&mailbox.path().join("tmp")), Vec::<String>::new());
    let again = folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!(uids(&again), [1, 2, 3, 4]);
    assert_eq!(again.recent(), 0);
    assert_eq!(again.uid_validity(), view.uid_validity());
}

#[test]
fn examine_numbers_but_leaves_new_for_the_next_select() {
    let mailbox = Box::new();
    mailbox.put("new/1.a", "x\n");
    let folder = mailbox.inbox();
    for _ in 0..2 {
        let mut view = folder.scan(Mode::ReadOnly).unwrap();
        assert_eq!((uids(&view), view.recent()), (vec![1], 1));
        assert_eq!(folder.open_message(&mut view, 0).unwrap().size, 2);
    }
    let view = folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!((uids(&view), view.recent()), (vec![1], 1));
    assert_eq!(list(&mailbox.path().join("cur")), ["1.a:2,"]);
    assert_eq!(folder.scan(Mode::ReadOnly).unwrap().recent(), 0);
}

#[test]
fn a_rescan_reports_what_others_did() {
    let mailbox = Box::new();
    for number in 1..=4 {
        mailbox.put(&format!("cur/{number}.a:2,"), "x\n");
    }
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    settle();
    assert!(folder.rescan(&mut view).unwrap().is_empty());
    assert!(!folder.is_changed(&view).unwrap());
    let cur = mailbox.path().join("cur");
    std::fs::remove_file(cur.join("2.a:2,")).unwrap();
    std::fs::rename(cur.join("3.a:2,"), cur.join("3.a:2,S")).unwrap();
    mailbox.put("new/9.z", "x\n");
    let diff = folder.rescan(&mut view).unwrap();
    assert_eq!(diff.expunged.len(), 1);
    assert_eq!((diff.expunged[0].sequence, diff.expunged[0].uid), (2, 2));
    assert_eq!((diff.changed, diff.added), (vec![1], 1));
    assert_eq!(uids(&view), [1, 3, 4, 5]);
    assert!(view.messages()[3].is_recent());
    assert!(!mailbox.db().contains("2.a"));
}

#[test]
fn append_change_copy_move_and_expunge_work_together() {
    let mailbox = Box::new();
    let inbox = mailbox.inbox();
    let sent = mailbox
        .maildir
        .create(&FolderName::new(b"Sent").unwrap())
        .unwrap();
    let mut delivery = inbox.deliver().unwrap();
    delivery.write_wire(b"Subject: x\r").unwrap();
    delivery.write_wire(b"\n\r\nlone\rcr\r\n").unwrap();
    let date = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_007);
    let first = delivery
        .finish(Details {
            flags: Flags::SEEN,
            keywords: vec![b"Work".to_vec()],
            internal_date: Some(date),
        })
        .unwrap();
    let mut delivery = inbox.deliver().unwrap();
    delivery.write_wire(b"no end").unwrap();
    delivery.end_line().unwrap();
    let second = delivery.finish(Details::default()).unwrap();
    let appended = inbox.append(vec![first, second]).unwrap();
    assert_eq!(appended.uids, [1, 2]);
    let mut view = inbox.scan(Mode::ReadWrite).unwrap();
    assert_eq!((uids(&view), view.recent()), (vec![1, 2], 0));
    assert_eq!(appended.uid_validity, view.uid_validity());
    let opened = inbox.open_message(&mut view, 0).unwrap();
    assert_eq!(opened.internal_date, date);
    assert_eq!(
        std::io::read_to_string(opened.file).unwrap(),
        "Subject: x\n\nlone\rcr\n"
    );
    assert_eq!(view.stored_size(&view.messages()[0]), Some(20));
    assert!(view.has_keyword(&view.messages()[0], b"wORK"));
    assert_eq!(view.keywords_in_use(), [b"Work"]);

    let change = Change::new(Action::Add, Flags::FLAGGED, vec![b"$Later".to_vec()]);
    assert!(
        inbox
            .change(&mut view, &[0, 1], &change)
            .unwrap()
            .missing
            .is_empty()
    );
    let copied = inbox.copy(&mut view, &[0, 1], &sent, Keep::ALL).unwrap();
    assert_eq!(copied.uids, [(1, 1), (2, 2)]);
    let there = sent.scan(Mode::ReadWrite).unwrap();
    assert_eq!(there.uid_validity(), copied.uid_validity);
    assert_eq!(there.messages()[0].flags(), Flags::SEEN | Flags::FLAGGED);
    let keywords: Vec<&[u8]> = there.keywords(&there.messages()[0]).collect();
    assert_eq!(keywords, [&b"Work"[..], b"$Later"]);
    assert_eq!(there.recent(), 0);

    let moved = inbox.move_to(&mut view, &[1], &sent, Keep::ALL).unwrap();
    assert_eq!(moved.uids, [(2, 3)]);
    let diff = inbox.rescan(&mut view).unwrap();
    assert_eq!((diff.expunged.len(), view.len()), (1, 1));
    let change = Change::new(Action::Add, Flags::DELETED, Vec::new());
    inbox.change(&mut view, &[0], &change).unwrap();
    assert!(inbox.expunge(&mut view, &[0]).unwrap().kept.is_empty());
    let diff = inbox.rescan(&mut view).unwrap();
    assert_eq!((diff.expunged.len(), view.len()), (1, 0));
    assert!(list(&mailbox.path().join("cur")).is_empty());
    assert!(list(&mailbox.path().join("tmp")).is_empty());
    assert_eq!(sent.scan(Mode::ReadWrite).unwrap().len(), 3);
    assert_eq!(
        inbox
            .open_message(&mut there_is_none(&inbox), 0)
            .unwrap_err()
            .kind(),
        ErrorKind::Gone
    );
}

fn there_is_none(folder: &Folder) -> Snapshot {
    folder.scan(Mode::ReadWrite).unwrap()
}
