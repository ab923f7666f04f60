use super::*;
use crate::maildir::FolderName;
use crate::maildir::fixture::{Mailbox, SmallDisk, append, list, uids};
use crate::maildir::{Action, Change, ErrorKind, Keep, Maildir, Mode, Options, make_maildir};
use std::path::Path;

#[test]
fn line_ends_are_converted_however_the_bytes_are_cut() {
    let mailbox = Mailbox::new();
    let folder = mailbox.inbox();
    let wire = b"a\r\n\r\r\nb\rc\n\r\n\r";
    for cut in 0..wire.len() {
        let mut delivery = folder.deliver().unwrap();
        delivery.write_wire(&wire[..cut]).unwrap();
        delivery.write_wire(b"").unwrap();
        delivery.write_wire(&wire[cut..]).unwrap();
        let pending = delivery.finish(Details::default()).unwrap();
        let stored = std::fs::read(
            mailbox
                .path()
                .join("tmp")
                .join(String::from_utf8(pending.tmp.clone()).unwrap()),
        )
        .unwrap();
        assert_eq!(stored, b"a\n\r\nb\rc\n\n\r", "{cut}");
    }
    assert!(list(&mailbox.path().join("tmp")).is_empty());
}

#[test]
fn an_abandoned_message_leaves_nothing() {
    let mailbox = Mailbox::new();
    let folder = mailbox.inbox();
    let mut delivery = folder.deliver().unwrap();
    delivery.write_wire(&vec![b'x'; 100_000]).unwrap();
    drop(delivery);
    let delivery = folder.deliver().unwrap();
    drop(delivery.finish(Details::default()).unwrap());
    for part in ["tmp", "new", "cur"] {
        assert!(list(&mailbox.path().join(part)).is_empty());
    }
}

#[test]
fn names_follow_the_contract() {
    let mailbox = Mailbox::new();
    append(&mailbox.inbox(), "12345\r\n").unwrap();
    let names = list(&mailbox.path().join("cur"));
    let stat = std::fs::metadata(mailbox.path().join("cur").join(&names[0])).unwrap();
    use std::os::unix::fs::MetadataExt;
    let middle = format!(
        "P{}V{:016X}I{:016X}_",
        std::process::id(),
        stat.dev(),
        stat.ino()
    );
    assert!(names[0].contains(&middle), "{names:?} {middle}");
    assert!(names[0].ends_with(",S=6:2,"), "{names:?}");
    assert_eq!(stat.nlink(), 1);
}

#[test]
fn dates_before_1970_and_far_ahead_are_kept() {
    let mailbox = Mailbox::new();
    let folder = mailbox.inbox();
    let second = std::time::Duration::from_secs(1);
    for date in [
        SystemTime::UNIX_EPOCH,
        SystemTime::UNIX_EPOCH + second * 4_000_000_000,
    ] {
        let details = Details {
            internal_date: Some(date),
            ..Details::default()
        };
        let pending = folder.deliver().unwrap().finish(details).unwrap();
        folder.append(vec![pending]).unwrap();
        let mut view = folder.scan(Mode::ReadOnly).unwrap();
        let last = view.len() - 1;
        assert_eq!(
            folder.open_message(&mut view, last).unwrap().internal_date,
            date
        );
    }
}

/// Runs this test binary again as `count` processes, each running only the test `name` with the mailbox to work
/// on in its environment.
fn processes(name: &str, mailbox: &Path, count: u32) {
    let children: Vec<std::process::Child> = (0..count)
        .map(|_| {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args([name, "--exact", "--quiet"])
                .env("STORE_TEST_MAILBOX", mailbox)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
}

/// In a process started by [`processes`]: adds, scans, flags and moves.
fn busy(path: &Path) {
    let maildir = Maildir::open(path, Options::default()).unwrap();
    let folder = maildir.folder(&FolderName::inbox()).unwrap();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    let pid = std::process::id();
    for number in 0..12 {
        let uid = append(&folder, &format!("{pid} {number}\r\n"))
            .unwrap()
            .uids[0];
        std::fs::write(
            path.join(format!("new/{number}.{pid}")),
            format!("new {pid}\n"),
        )
        .unwrap();
        folder.rescan(&mut view).unwrap();
        // What was acknowledged is there, under its UID.
        let index = view.index_of_uid(uid).unwrap();
        let opened = folder.open_message(&mut view, index).unwrap();
        assert_eq!(
            io::read_to_string(opened.file).unwrap(),
            format!("{pid} {number}\n")
        );
        let change = Change::new(
            Action::Add,
            Flags::SEEN,
            vec![format!("k{number}").into_bytes()],
        );
        let all: Vec<usize> = (0..view.len()).rev().take(5).collect();
        folder.change(&mut view, &all, &change).unwrap();
        assert!(
            view.messages()
                .windows(2)
                .all(|pair| pair[0].uid() < pair[1].uid())
        );
        Write::write_all(
            &mut File::options()
                .append(true)
                .create(true)
                .open(path.join("uids"))
                .unwrap(),
            format!("{uid} {pid} {number}\n").as_bytes(),
        )
        .unwrap();
    }
}

#[test]
fn processes_at_work_on_one_folder_share_uids_without_clash() {
    const NAME: &str =
        "maildir::append::tests::processes_at_work_on_one_folder_share_uids_without_clash";
    if let Some(path) = std::env::var_os("STORE_TEST_MAILBOX") {
        busy(Path::new(&path));
        return;
    }
    let mailbox = Mailbox::new();
    processes(NAME, &mailbox.path(), 4);
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!(view.len(), 4 * 12 * 2);
    let told = std::fs::read_to_string(mailbox.path().join("uids")).unwrap();
    assert_eq!(told.lines().count(), 4 * 12);
    for line in told.lines() {
        let (uid, text) = line.split_once(' ').unwrap();
        let index = view.index_of_uid(uid.parse().unwrap()).unwrap();
        let opened = folder.open_message(&mut view, index).unwrap();
        assert_eq!(
            io::read_to_string(opened.file).unwrap(),
            format!("{text}\n")
        );
    }
    assert!(list(&mailbox.path().join("tmp")).is_empty());
    let db = mailbox.db();
    assert_eq!(db.lines().count(), 1 + view.len());
}

#[test]
fn a_full_disk_loses_nothing_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::new(dir.path(), 600) else {
        return;
    };
    let path = disk.path().join("Maildir");
    make_maildir(&path, 0o700).unwrap();
    let maildir = Maildir::open(&path, Options::default()).unwrap();
    let folder = maildir.folder(&FolderName::inbox()).unwrap();
    for _ in 0..3 {
        append(&folder, "x\r\n").unwrap();
    }
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    let db = std::fs::read(path.join("courierimapuiddb")).unwrap();
    // Room for a file's name, none for its bytes.
    std::fs::write(path.join("new/1.new"), b"").unwrap();
    disk.fill();
    let error = append(&folder, &"y\r\n".repeat(100_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    let error = append(&folder, "y\r\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    let error = maildir.create(&FolderName::new(b"x").unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    let error = folder.copy(&mut view, &[0], &folder, Keep::ALL);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NoSpace);
    let error = maildir.subscribe(b"INBOX").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");

    // Numbered messages are served, the other is hidden, and removal works.
    let fresh = folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!(uids(&fresh), [1, 2, 3]);
    let hidden = fresh.hidden().unwrap();
    assert_eq!((hidden.count, hidden.error.kind()), (1, ErrorKind::NoSpace));
    assert_eq!(fresh.uid_validity(), view.uid_validity());
    assert_eq!(std::fs::read(path.join("courierimapuiddb")).unwrap(), db);
    let deleted = Change::new(Action::Add, Flags::DELETED, Vec::new());
    folder.change(&mut view, &[1], &deleted).unwrap();
    folder.expunge(&mut view, &[1]).unwrap();
    // The removal gave a block back.
    disk.fill();
    let diff = folder.rescan(&mut view).unwrap();
    assert_eq!((diff.expunged.len(), uids(&view)), (1, vec![1, 3]));
    assert!(
        list(&path.join("tmp")).is_empty(),
        "{:?}",
        list(&path.join("tmp"))
    );
    assert_eq!(
        list(&path),
        [
            "courierimapuiddb",
            "courierimapuidmark",
            "courierimapuidvalidity",
            "cur",
            "new",
            "tmp"
        ]
    );

    disk.free();
    let diff = folder.rescan(&mut view).unwrap();
    assert_eq!((diff.added, uids(&view)), (1, vec![1, 3, 4]));
    assert!(view.hidden().is_none());
    assert_eq!(append(&folder, "z\r\n").unwrap().uids, [5]);
}
