use std::fs;

use super::*;
use crate::maildir::fixture::{Mailbox, settle};
use crate::maildir::{Action, Change, Flags, Mode};

/// A folder that is taken to be on a network file system, and a view that is tracked.
fn on_network() -> (Mailbox, Folder, Snapshot) {
    let mailbox = Mailbox::new();
    for number in 0..3 {
        mailbox.put(&format!("cur/{number}.a:2,"), "x\n");
    }
    settle();
    let mut folder = mailbox.inbox();
    if let Some(inner) = std::sync::Arc::get_mut(&mut folder.inner) {
        inner.network = true;
    }
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    folder.track(&mut view).unwrap();
    (mailbox, folder, view)
}

#[test]
fn on_the_network_the_folder_s_lock_guards_the_log() {
    let (mailbox, folder, mut view) = on_network();
    let before = view.highest_modseq();
    let held = folder.hold().unwrap().unwrap();
    let lock = mailbox.path().join("tmp/courier.lock");
    assert!(held.dot.is_some() && lock.exists());
    drop(held);
    assert!(!lock.exists());
    let change = Change::new(Action::Add, Flags::SEEN, Vec::new());
    folder.change(&mut view, &[1], &change).unwrap();
    assert!(view.highest_modseq() > before && !lock.exists());
}

#[test]
fn nothing_is_written_under_a_lock_that_somebody_has_taken_away() {
    let (mailbox, folder, mut view) = on_network();
    let mut modseqs = view.modseqs.take().unwrap();
    let change = Change::new(Action::Add, Flags::SEEN, Vec::new());
    folder.change(&mut view, &[1], &change).unwrap();
    let held = folder.hold().unwrap().unwrap();
    let log = mailbox.path().join("courierimapindex.log");
    let before = fs::read(&log).unwrap();
    // Stopped for longer than a lock is believed: another host has it by now.
    let lock = mailbox.path().join("tmp/courier.lock");
    fs::remove_file(&lock).unwrap();
    fs::write(&lock, "1:elsewhere").unwrap();
    let difference = Difference::between(&view, &modseqs);
    assert!(!difference.is_empty());
    let appended = folder.append_to(&held, &view, &mut modseqs, &difference);
    assert!(!appended.unwrap());
    assert_eq!(fs::read(&log).unwrap(), before);
    drop(held);
    // Its lock is not removed either; and once it is free the change is logged.
    assert!(lock.exists());
    fs::remove_file(&lock).unwrap();
    let told = modseqs.last;
    folder.note(&view, &mut modseqs).unwrap();
    assert!(modseqs.last > told);
    assert_eq!(fs::read(&log).unwrap().len(), before.len() + RECORD);
}
