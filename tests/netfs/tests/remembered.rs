//! What a host remembers of names and listings is out of date for up to a minute. Nothing may be lost by that: a
//! message that another host has renamed is moved and removed all the same, and keywords change on top of what is
//! there, not of what was.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use courier::maildir::{
    Action, Change, Flags, Folder, FolderName, Keep, Maildir, Mode, Options, Snapshot,
};
use netfs::{Caching, Mount};

/// One host that believes everything for a minute. What the tests do in `store` is done by others.
struct Host {
    maildir: Maildir,
    /// Its `Maildir` as this host has it.
    here: PathBuf,
    /// And as it is.
    store: PathBuf,
    mount: Mount,
    _directory: tempfile::TempDir,
}

impl Host {
    /// `None`, with the reason printed, where that cannot be.
    fn new() -> Option<Self> {
        if let Some(reason) = netfs::unavailable() {
            let mut stderr = std::io::stderr().lock();
            writeln!(stderr, "skipped: {reason}").unwrap();
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store/Maildir");
        for part in ["tmp", "new", "cur", "courierimapkeywords"] {
            fs::create_dir_all(store.join(part)).unwrap();
            fs::create_dir_all(store.join(".Other").join(part)).unwrap();
        }
        let point = directory.path().join("host");
        fs::create_dir(&point).unwrap();
        let caching = Caching {
            attributes: Duration::from_secs(60),
            listings: Duration::from_secs(60),
        };
        let mount = Mount::new(&directory.path().join("store"), &point, caching, 1).unwrap();
        let here = point.join("Maildir");
        Some(Self {
            maildir: Maildir::open(&here, Options::default()).unwrap(),
            here,
            store,
            mount,
            _directory: directory,
        })
    }

    fn folder(&self, name: &str) -> Folder {
        let name = FolderName::from_full(name.as_bytes()).unwrap();
        self.maildir.folder(&name).unwrap()
    }

    /// INBOX with these files in `cur`.
    fn inbox(&self, names: &[&str]) -> (Folder, Snapshot) {
        for name in names {
            fs::write(self.store.join("cur").join(name), "Subject: x\n\nx\n").unwrap();
        }
        let folder = self.folder("INBOX");
        let view = folder.scan(Mode::ReadWrite).unwrap();
        (folder, view)
    }

    /// Another host renames a file of `cur` to a name that this host remembers as absent.
    fn rename(&self, old: &str, new: &str) {
        assert!(fs::metadata(self.here.join("cur").join(new)).is_err());
        let cur = self.store.join("cur");
        fs::rename(cur.join(old), cur.join(new)).unwrap();
    }

    fn cur(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store.join("cur")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn keywords(&self, name: &str) -> Vec<String> {
        let path = self.store.join("courierimapkeywords").join(name);
        let text = fs::read_to_string(path).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

fn add(keyword: &str) -> Change {
    let keywords = vec![keyword.as_bytes().to_vec()];
    Change::new(Action::Add, Flags::NONE, keywords)
}

#[test]
fn a_message_under_a_name_remembered_as_absent_is_there() {
    let Some(host) = Host::new() else {
        return;
    };
    let names = ["1.a:2,", "2.a:2,", "3.a:2,T", "4.a:2,"];
    let (folder, mut view) = host.inbox(&names);
    host.rename("1.a:2,", "1.a:2,S");
    host.rename("2.a:2,", "2.a:2,S");
    host.rename("3.a:2,T", "3.a:2,ST");
    host.rename("4.a:2,", "4.a:2,S");
    let moved = folder
        .move_to(&mut view, &[0], &host.folder("INBOX.Other"), Keep::ALL)
        .unwrap();
    assert_eq!(moved.uids, [(1, 1)]);
    let flag = Change::new(Action::Add, Flags::FLAGGED, Vec::new());
    let changed = folder.change(&mut view, &[1], &flag).unwrap();
    assert!(changed.missing.is_empty());
    let expunged = folder.expunge(&mut view, &[2]).unwrap();
    assert!(expunged.missing.is_empty() && expunged.kept.is_empty());
    folder.open_message(&mut view, 3).unwrap();
    assert_eq!(host.cur(), ["2.a:2,FS", "4.a:2,S"]);
}

#[test]
fn an_update_that_another_host_has_replaced_is_not_read_for_the_new_one() {
    let Some(host) = Host::new() else {
        return;
    };
    let (folder, mut view) = host.inbox(&["1.a:2,"]);
    let directory = host.store.join("courierimapkeywords");
    fs::write(directory.join("1.a"), "k1\n").unwrap();
    let known = fs::read(host.here.join("courierimapkeywords/1.a")).unwrap();
    assert_eq!(known, b"k1\n");
    // Another host merges it and writes the next.
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let merged = directory.join(format!(".{}.1.a", now / 300 + 1));
    fs::rename(directory.join("1.a"), merged).unwrap();
    fs::write(directory.join("1.a"), "k1\nk2\n").unwrap();
    folder.change(&mut view, &[0], &add("k3")).unwrap();
    assert_eq!(host.keywords("1.a"), ["k1", "k2", "k3"]);
}

/// What its old holder, stopped, was about to put in place is not in the listing that this host remembers.
#[test]
fn who_takes_a_lock_over_removes_what_was_made_ready_since_the_last_listing() {
    let Some(host) = Host::new() else {
        return;
    };
    let (folder, mut view) = host.inbox(&["1.a:2,"]);
    assert_eq!(
        fs::read_dir(host.here.join("courierimapkeywords"))
            .unwrap()
            .count(),
        0
    );
    let staged = host
        .store
        .join("courierimapkeywords/.tmp.11.M1P77_keywords6.h");
    fs::write(&staged, "k9\n").unwrap();
    let lock = host.store.join("tmp/courier.lock");
    fs::write(&lock, "77:elsewhere").unwrap();
    let old = SystemTime::now() - Duration::from_secs(130);
    let file = fs::File::options().write(true).open(&lock).unwrap();
    file.set_modified(old).unwrap();
    folder.change(&mut view, &[0], &add("k1")).unwrap();
    assert!(!staged.exists());
    assert_eq!(host.keywords("1.a"), ["k1"]);
}

/// A lock file that is left behind stops everybody until it is two minutes old.
#[test]
fn no_lock_is_left_behind_when_the_server_answers_with_errors() {
    let Some(host) = Host::new() else {
        return;
    };
    let (folder, mut view) = host.inbox(&["1.a:2,"]);
    let faults = host.mount.faults();
    let mut done = 0;
    for number in 0..150 {
        faults.stale.store(80, Ordering::Relaxed);
        faults.lost_reply.store(80, Ordering::Relaxed);
        let changed = folder.change(&mut view, &[0], &add(&format!("k{number}")));
        faults.clear();
        done += usize::from(changed.is_ok());
        assert!(
            !host.store.join("tmp/courier.lock").exists(),
            "{number}: {changed:?}"
        );
    }
    assert!(done > 10);
}

/// However the moves of one host and the flags of another one meet: what is moved is not where it was.
#[test]
fn a_message_that_is_moved_while_its_flags_change_does_not_stay() {
    let Some(host) = Host::new() else {
        return;
    };
    let other = host.folder("INBOX.Other");
    for number in 0..60 {
        let (folder, mut view) = host.inbox(&[&format!("{number}.a:2,")]);
        let mut their_view = folder.scan(Mode::ReadWrite).unwrap();
        // Those before are gone, but not for certain yet.
        let last = [view.len() - 1];
        let changes = AtomicU32::new(0);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for action in [Action::Add, Action::Remove].iter().cycle() {
                    let change = Change::new(*action, Flags::SEEN, Vec::new());
                    // An error or a message that is gone when the other is done.
                    let _changed = folder.change(&mut their_view, &last, &change);
                    changes.fetch_add(1, Ordering::Relaxed);
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            while changes.load(Ordering::Relaxed) < 2 {
                std::thread::yield_now();
            }
            let moved = folder.move_to(&mut view, &last, &other, Keep::ALL);
            over.store(true, Ordering::Relaxed);
            assert_eq!(moved.unwrap().uids.len(), 1, "{number}");
        });
        assert_eq!(host.cur(), [] as [&str; 0], "{number}");
    }
}
