//! What directory times prove and what they do not (architecture 4.1).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::fixture::{Mailbox, append, names, settle, uids};
use super::tests::on_network;
use super::*;
use crate::maildir::flags::Flags;
use crate::maildir::{Action, Change};

fn mailbox(count: usize) -> Mailbox {
    let mailbox = Mailbox::new();
    for number in 0..count {
        mailbox.put(&format!("cur/{number}.a:2,"), "x\n");
    }
    settle();
    mailbox
}

fn rename(mailbox: &Mailbox, from: &str, to: &str) {
    let cur = mailbox.path().join("cur");
    std::fs::rename(cur.join(from), cur.join(to)).unwrap();
}

#[test]
fn a_time_as_young_as_the_window_proves_nothing() {
    let mailbox = mailbox(1);
    let stamp = mailbox.inbox().inner.cur.stamp().unwrap();
    let changed = std::fs::metadata(mailbox.path().join("cur")).unwrap();
    let changed = changed.modified().unwrap();
    let window = Duration::from_millis(20);
    for (now, racy) in [
        (changed, true),
        (changed + window / 2, true),
        // The server's clock may be behind.
        (changed - window / 2, true),
        (changed + window * 2, false),
        (UNIX_EPOCH, false),
    ] {
        assert_eq!(stamp.is_racy(now, window), racy, "{now:?}");
    }
    // The other of the two times counts as well: tools set mtime, and with it change ctime to now.
    let dir = std::fs::File::open(mailbox.path().join("cur")).unwrap();
    dir.set_modified(UNIX_EPOCH).unwrap();
    let stamp = mailbox.inbox().inner.cur.stamp().unwrap();
    assert!(stamp.is_racy(SystemTime::now(), Duration::from_secs(8)));
}

#[test]
fn a_change_whose_time_was_set_back_is_found() {
    let mailbox = mailbox(3);
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    settle();
    folder.rescan(&mut view).unwrap();
    assert!(!folder.is_changed(&view).unwrap());
    let dir = std::fs::File::open(mailbox.path().join("cur")).unwrap();
    let before = dir.metadata().unwrap().modified().unwrap();
    rename(&mailbox, "1.a:2,", "1.a:2,S");
    dir.set_modified(before).unwrap();
    assert!(folder.is_changed(&view).unwrap());
    assert_eq!(folder.rescan(&mut view).unwrap().changed, [1]);
}

#[test]
fn a_scan_of_a_folder_that_has_just_changed_is_made_again() {
    let mailbox = mailbox(2);
    let folder = mailbox.inbox();
    mailbox.put("cur/9.b:2,", "x\n");
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    // Whether or not it was too young by then: until it is old enough, every look lists.
    let end = Instant::now() + Duration::from_secs(8);
    while !view.settled {
        assert!(folder.is_changed(&view).unwrap());
        let diff = folder.rescan(&mut view).unwrap();
        assert!(diff.again.is_some() || view.settled);
        assert!(Instant::now() < end);
    }
    assert!(!folder.is_changed(&view).unwrap());
}

#[test]
fn a_rename_of_our_own_hides_nobody_elses() {
    for network in [false, true] {
        for round in 0..5 {
            let mailbox = mailbox(4);
            let mut folder = mailbox.inbox();
            if network {
                folder = on_network(folder);
            }
            let mut view = folder.scan(Mode::ReadWrite).unwrap();
            let change = Change::new(Action::Add, Flags::FLAGGED, Vec::new());
            // Within one tick of the clock, before and after ours.
            rename(&mailbox, "1.a:2,", "1.a:2,S");
            folder.change(&mut view, &[0], &change).unwrap();
            rename(&mailbox, "2.a:2,", "2.a:2,T");
            let mut changed = folder.rescan(&mut view).unwrap().changed;
            settle();
            changed.extend(folder.rescan(&mut view).unwrap().changed);
            changed.sort_unstable();
            assert_eq!(changed, [1, 2], "round {round}");
            assert_eq!(
                names(&view),
                ["0.a:2,F", "1.a:2,S", "2.a:2,T", "3.a:2,"],
                "round {round}"
            );
        }
    }
}

#[test]
fn absence_from_a_scan_that_is_too_young_is_not_believed() {
    let mailbox = mailbox(3);
    let folder = on_network(mailbox.inbox());
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    // Three seconds count as young here.
    std::fs::remove_file(mailbox.path().join("cur/1.a:2,")).unwrap();
    let diff = folder.rescan(&mut view).unwrap();
    assert!(diff.expunged.is_empty() && diff.again.is_some());
    assert_eq!(uids(&view), [1, 2, 3]);
    let end = Instant::now() + Duration::from_secs(8);
    while uids(&view).len() == 3 {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(200));
        folder.rescan(&mut view).unwrap();
    }
    assert_eq!(uids(&view), [1, 3]);
    assert!(!mailbox.db().contains("1.a"));
    append(&folder, "Subject: x\r\n\r\n").unwrap();
    folder.rescan(&mut view).unwrap();
    assert_eq!(uids(&view), [1, 3, 4]);
}

#[test]
fn the_index_is_mapped_locally_and_read_on_the_network() {
    let mailbox = mailbox(250);
    for network in [false, true] {
        let mut folder = mailbox.inbox();
        if network {
            folder = on_network(folder);
        }
        let index = mailbox.path().join("courierimapindex");
        // Neither believes the other's.
        std::fs::remove_file(&index).unwrap_or_default();
        let end = Instant::now() + Duration::from_secs(9);
        while !index.exists() {
            assert!(Instant::now() < end);
            let mut view = folder.scan(Mode::ReadWrite).unwrap();
            settle();
            folder.close(&mut view);
        }
        let view = folder.scan(Mode::ReadWrite).unwrap();
        assert!(view.indexed);
        assert_eq!(view.messages.held().names.owned_len() > 0, network);
        assert_eq!(names(&view).len(), 250);
    }
}
