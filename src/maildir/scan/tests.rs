use super::*;
use crate::maildir::fixture::{Mailbox, list, names, settle, uids};
use crate::maildir::flags::Flags;
use crate::maildir::{Action, Change, Details, FolderName, Keep, Maildir, Options};

#[test]
fn the_first_select_numbers_in_order_moves_new_and_calls_it_recent() {
    let mailbox = Mailbox::new();
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
    let mailbox = Mailbox::new();
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
fn examine_leaves_recent_to_what_was_put_into_cur() {
    let mailbox = Mailbox::new();
    mailbox.put("cur/1.a:2,S", "x\n");
    mailbox.put("cur/2.b:2,", "x\n");
    // Never recent.
    mailbox.put("cur/3.c", "x\n");
    let folder = mailbox.inbox();
    let mut other = folder.scan(Mode::ReadOnly).unwrap();
    assert_eq!((uids(&other), other.recent()), (vec![1, 2, 3], 2));
    assert_eq!(folder.scan(Mode::ReadOnly).unwrap().recent(), 2);
    settle();
    mailbox.put("cur/4.d:2,", "x\n");
    assert_eq!(folder.rescan(&mut other).unwrap().added, 1);
    assert_eq!(other.recent(), 3);
    assert_eq!(folder.status().unwrap().recent, 3);
    let view = folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!((uids(&view), view.recent()), (vec![1, 2, 3, 4], 3));
    assert_eq!(folder.status().unwrap().recent, 0);
    assert_eq!(folder.scan(Mode::ReadWrite).unwrap().recent(), 0);
    assert_eq!(folder.scan(Mode::ReadOnly).unwrap().recent(), 0);
    // Also for a session that has the folder selected already.
    let mut view = view;
    mailbox.put("cur/5.e:2,", "x\n");
    assert_eq!(folder.scan(Mode::ReadOnly).unwrap().recent(), 1);
    assert_eq!(folder.rescan(&mut view).unwrap().added, 1);
    assert_eq!(view.recent(), 4);
    assert_eq!(folder.scan(Mode::ReadWrite).unwrap().recent(), 0);
    // A list that is rubbish costs nothing but the flag.
    mailbox.put(
        "courierimapindex.recent",
        "rubbish 1 2\n7 9\n9999999999 1 2\n",
    );
    assert_eq!(folder.scan(Mode::ReadWrite).unwrap().recent(), 0);
    assert!(!list(&mailbox.path()).contains(&"courierimapindex.recent".to_owned()));
}

#[test]
fn a_rescan_reports_what_others_did() {
    let mailbox = Mailbox::new();
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
    let mailbox = Mailbox::new();
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
    let mut keywords: Vec<&[u8]> = there.keywords(&there.messages()[0]).collect();
    // In no order: that of the directory.
    keywords.sort_unstable();
    assert_eq!(keywords, [&b"$Later"[..], b"Work"]);
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

#[test]
fn odd_names_are_healed_and_odd_files_left_alone() {
    use std::os::unix::ffi::OsStrExt;
    let mailbox = Mailbox::new();
    let cur = mailbox.path().join("cur");
    let odd: [&[u8]; 5] = [
        b"1.a\nb:2,S",
        b" lead:2,F",
        b":2,S",
        b"\xff\xfe.bin:2,",
        &[b'x'; 255],
    ];
    for name in odd {
        std::fs::write(cur.join(std::ffi::OsStr::from_bytes(name)), "x\n").unwrap();
    }
    std::fs::write(mailbox.path().join("new").join("y".repeat(254)), "x\n").unwrap();
    std::fs::create_dir(cur.join("dir:2,")).unwrap();
    nix::unistd::mkfifo(&cur.join("fifo:2,"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("loop:2,", cur.join("loop:2,")).unwrap();
    std::fs::write(mailbox.dir.path().join("shared"), "shared\n").unwrap();
    std::os::unix::fs::symlink(mailbox.dir.path().join("shared"), cur.join("link:2,")).unwrap();
    let folder = mailbox.inbox();
    let examined = folder.scan(Mode::ReadOnly).unwrap();
    let mut shown = names(&examined);
    shown.sort();
    assert_eq!(shown, ["link:2,", "loop:2,", "\u{fffd}\u{fffd}.bin:2,"]);
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!(view.len(), 8);
    assert_eq!(uids(&view)[..3], uids(&examined)[..]);
    let flags: Flags = view
        .messages()
        .iter()
        .fold(Flags::NONE, |all, message| all | message.flags());
    assert_eq!(flags, Flags::SEEN | Flags::FLAGGED);
    let mut readable = 0;
    for index in 0..view.len() {
        match folder.open_message(&mut view, index) {
            Ok(opened) => {
                assert!(opened.size > 0);
                readable += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Gone),
        }
    }
    assert_eq!(readable, 7);
    let again = folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!((uids(&again), names(&again)), (uids(&view), names(&view)));
    assert!(list(&cur).contains(&"fifo:2,".to_owned()));
}

#[test]
fn two_names_with_one_base_are_one_message_and_a_cut_short_move_is_completed() {
    let mailbox = Mailbox::new();
    mailbox.put("cur/1.a:2,", "x\n");
    mailbox.put("cur/1.a:2,S", "y\n");
    mailbox.put("new/2.b", "x\n");
    std::fs::hard_link(
        mailbox.path().join("new/2.b"),
        mailbox.path().join("cur/2.b:2,"),
    )
    .unwrap();
    mailbox.put("new/3.c", "new\n");
    mailbox.put("cur/3.c:2,F", "old\n");
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!(view.len(), 4);
    assert_eq!(names(&view)[..2], ["1.a:2,S", "2.b:2,"]);
    assert!(list(&mailbox.path().join("new")).is_empty());
    let mut texts: Vec<String> = (0..4)
        .map(|index| {
            std::io::read_to_string(folder.open_message(&mut view, index).unwrap().file).unwrap()
        })
        .collect();
    texts.sort();
    assert_eq!(texts, ["new\n", "old\n", "x\n", "y\n"]);
    // Removing it removes the name that was shown; the other one is a message of its own from then on.
    let index = 0;
    folder
        .change(
            &mut view,
            &[index],
            &Change::new(Action::Add, Flags::DELETED, vec![]),
        )
        .unwrap();
    folder.expunge(&mut view, &[index]).unwrap();
    let diff = folder.rescan(&mut view).unwrap();
    assert_eq!((diff.expunged.len(), diff.added), (1, 1));
    assert_eq!(uids(&view), [2, 3, 4, 5]);
}

#[test]
fn flag_changes_merge_with_those_of_others_and_keep_unknown_letters() {
    let mailbox = Mailbox::new();
    mailbox.put("cur/1.a:2,PSa", "x\n");
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    let cur = mailbox.path().join("cur");
    std::fs::rename(cur.join("1.a:2,PSa"), cur.join("1.a:2,PRSa")).unwrap();
    let change = |view: &mut Snapshot, action, flags| {
        folder
            .change(view, &[0], &Change::new(action, flags, Vec::new()))
            .unwrap()
    };
    change(&mut view, Action::Add, Flags::FLAGGED);
    assert_eq!(list(&cur), ["1.a:2,FPRSa"]);
    assert_eq!(
        view.messages()[0].flags(),
        Flags::FLAGGED | Flags::ANSWERED | Flags::SEEN
    );
    change(&mut view, Action::Remove, Flags::SEEN | Flags::DRAFT);
    assert_eq!(list(&cur), ["1.a:2,FPRa"]);
    let mut restricted = Change::new(Action::Replace, Flags::DELETED | Flags::SEEN, Vec::new());
    restricted.mask = Flags::SEEN;
    folder.change(&mut view, &[0], &restricted).unwrap();
    assert_eq!(list(&cur), ["1.a:2,FPRSa"]);
    // Deleted here, undeleted there: not removed.
    change(&mut view, Action::Add, Flags::DELETED);
    std::fs::rename(cur.join("1.a:2,FPRSTa"), cur.join("1.a:2,S")).unwrap();
    assert_eq!(folder.expunge(&mut view, &[0]).unwrap().kept, [0]);
    std::fs::remove_file(cur.join("1.a:2,S")).unwrap();
    assert_eq!(change(&mut view, Action::Add, Flags::DRAFT).missing, [0]);
    assert!(view.messages()[0].is_gone());
}

#[test]
fn a_message_that_comes_back_gets_a_new_uid() {
    let mailbox = Mailbox::new();
    for number in 1..=3 {
        mailbox.put(&format!("cur/{number}.a:2,"), "x\n");
    }
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    let mut reader = folder.scan(Mode::ReadOnly).unwrap();
    let path = mailbox.path().join("cur/1.a:2,");
    std::fs::remove_file(&path).unwrap();
    // A read-only session sees it leave; the database still has it then.
    assert_eq!(folder.rescan(&mut reader).unwrap().expunged.len(), 1);
    mailbox.put("cur/1.a:2,", "x\n");
    let diff = folder.rescan(&mut reader).unwrap();
    assert_eq!((diff.added, uids(&reader)), (1, vec![2, 3, 4]));
    let diff = folder.rescan(&mut view).unwrap();
    assert_eq!((diff.expunged.len(), uids(&view)), (1, vec![2, 3, 4]));
}

#[test]
fn a_mailbox_created_anew_is_noticed() {
    let mailbox = Mailbox::new();
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    mailbox.put("courierimapuiddb", "1 5 1\n");
    assert_eq!(
        folder.rescan(&mut view).unwrap_err().kind(),
        ErrorKind::Recreated
    );
}

#[test]
fn a_foreign_lock_stops_only_what_must_be_numbered() {
    let mailbox = Mailbox::new();
    mailbox.put("cur/1.a:2,", "x\n");
    let options = Options {
        lock_wait: Duration::from_millis(50),
        ..Options::default()
    };
    let maildir = Maildir::open(&mailbox.path(), options).unwrap();
    let folder = maildir.folder(&FolderName::inbox()).unwrap();
    folder.scan(Mode::ReadWrite).unwrap();
    mailbox.put("tmp/courier.lock", "1:elsewhere");
    assert_eq!(folder.scan(Mode::ReadWrite).unwrap().len(), 1);
    assert_eq!(folder.status().unwrap().messages, 1);
    mailbox.put("new/2.b", "x\n");
    assert_eq!(folder.status().unwrap().messages, 2);
    assert_eq!(
        folder.scan(Mode::ReadWrite).unwrap_err().kind(),
        ErrorKind::Locked
    );
    mailbox.age("tmp/courier.lock", Duration::from_secs(125));
    assert_eq!(folder.scan(Mode::ReadWrite).unwrap().len(), 2);
}

#[test]
fn status_counts_and_fixes_the_uidvalidity() {
    let mailbox = Mailbox::new();
    mailbox.put("new/1.a", "x\n");
    mailbox.put("cur/2.a:2,ST", "x\n");
    mailbox.put("cur/3.a:2,F", "x\n");
    let folder = mailbox.inbox();
    let status = folder.status().unwrap();
    assert_eq!(
        (
            status.messages,
            status.recent,
            status.unseen,
            status.deleted,
            status.uid_next
        ),
        (3, 3, 2, 1, 4)
    );
    assert_eq!(list(&mailbox.path().join("new")), ["1.a"]);
    let view = folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!(
        (view.uid_validity(), view.uid_next()),
        (status.uid_validity, 4)
    );
    let status = folder.status().unwrap();
    assert_eq!((status.recent, status.uid_next), (0, 4));
}

#[test]
fn old_files_in_tmp_and_trash_are_purged() {
    let mailbox = Mailbox::new();
    mailbox.put("tmp/young", "x");
    mailbox.put("cur/1.a:2,", "x\n");
    let folder = mailbox.inbox();
    folder.scan(Mode::ReadWrite).unwrap();
    // ctime cannot be set: nothing here is old.
    assert_eq!(list(&mailbox.path().join("tmp")), ["young"]);
    assert_eq!(folder.purge_older(7).unwrap(), 0);
}

#[test]
fn a_watch_wakes_for_changes_of_messages_and_keywords() {
    let mailbox = Mailbox::new();
    mailbox.put("cur/1.a:2,", "x\n");
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    let mut watch = crate::maildir::Watch::new(&folder, &mut view);
    if watch.fd().is_none() {
        return;
    }
    watch.changed();
    assert!(!watch.changed());
    let keyword = Change::new(Action::Add, Flags::NONE, vec![b"x".to_vec()]);
    folder.change(&mut view, &[0], &keyword).unwrap();
    assert!(watch.changed());
    mailbox.put("new/2.a", "x\n");
    assert!(watch.changed());
    std::fs::remove_file(mailbox.path().join("cur/1.a:2,")).unwrap();
    assert!(watch.changed());
    assert!(!watch.changed());
}

#[test]
fn no_message_is_lost_or_renumbered_while_another_session_renames_without_pause() {
    let mailbox = Mailbox::new();
    let count = 3000;
    for number in 0..count {
        mailbox.put(&format!("cur/{number}.a:2,"), "");
    }
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    let before = uids(&view);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let cur = mailbox.path().join("cur");
            let mut seen = false;
            while !stop.load(Ordering::Relaxed) {
                let (from, to) = if seen { ("S", "") } else { ("", "S") };
                for number in 0..count {
                    let name = |letters: &str| cur.join(format!("{number}.a:2,{letters}"));
                    std::fs::rename(name(from), name(to)).unwrap();
                }
                seen = !seen;
            }
        });
        for _ in 0..5 {
            let diff = folder.rescan(&mut view).unwrap();
            assert!(diff.expunged.is_empty() && diff.added == 0);
            let fresh = folder.scan(Mode::ReadWrite).unwrap();
            assert_eq!(uids(&fresh), before);
            let mut fresh = fresh;
            for index in (0..fresh.len()).step_by(500) {
                folder.open_message(&mut fresh, index).unwrap();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    settle();
    let diff = folder.rescan(&mut view).unwrap();
    assert!(diff.expunged.is_empty() && diff.added == 0);
    assert_eq!(uids(&folder.scan(Mode::ReadWrite).unwrap()), before);
}

/// The same folder, taken to be on a network file system.
pub(super) fn on_network(mut folder: Folder) -> Folder {
    let inner = std::sync::Arc::get_mut(&mut folder.inner).unwrap();
    inner.network = true;
    folder
}

#[test]
fn a_new_mailbox_on_a_network_file_system_is_numbered() {
    for garbage in [None, Some(""), Some("rubbish\n")] {
        let mailbox = Mailbox::new();
        mailbox.put("new/1.a", "x\n");
        if let Some(garbage) = garbage {
            mailbox.put("courierimapuiddb", garbage);
        }
        let started = Instant::now();
        let folder = on_network(mailbox.inbox());
        let view = folder.scan(Mode::ReadWrite).unwrap();
        assert_eq!((uids(&view), view.uid_next()), (vec![1], 2), "{garbage:?}");
        let again = folder.scan(Mode::ReadWrite).unwrap();
        assert_eq!(again.uid_validity(), view.uid_validity(), "{garbage:?}");
        assert!(started.elapsed() < Duration::from_secs(4), "{garbage:?}");
    }
}
