use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use super::log::{HEADER, RECORD};
use super::*;
use crate::maildir::fixture::{Mailbox, SmallDisk, append, list, names, settle, uids};
use crate::maildir::{Action, Change, FolderName, Maildir, Message, Mode, Options, make_maildir};

mod faults;
mod property;

/// What a client knows of a message.
type Seen = (Flags, Vec<String>);

fn seen(view: &Snapshot, message: &Message) -> Seen {
    let mut keywords: Vec<String> = view
        .keywords(message)
        .map(|keyword| String::from_utf8_lossy(keyword).to_ascii_lowercase())
        .collect();
    keywords.sort();
    (message.flags(), keywords)
}

/// A client that has seen a view.
#[derive(Debug, Clone)]
struct Client {
    messages: BTreeMap<u32, Seen>,
    modseq: u64,
}

impl Client {
    fn of(view: &Snapshot) -> Self {
        Self {
            messages: view
                .messages()
                .iter()
                .map(|message| (message.uid(), seen(view, message)))
                .collect(),
            modseq: view.highest_modseq(),
        }
    }

    /// Learns what QRESYNC would tell; returns the UIDs it was told of as changed.
    fn learn(&mut self, view: &Snapshot) -> Vec<u32> {
        let changes = view.changes_since(self.modseq);
        for (first, last) in changes.vanished {
            self.messages.retain(|uid, _| *uid < first || *uid > last);
        }
        let mut told = Vec::new();
        for index in changes.changed {
            let message = view.get(index).unwrap();
            self.messages.insert(message.uid(), seen(view, message));
            told.push(message.uid());
        }
        assert_eq!(self.messages, Self::of(view).messages);
        self.modseq = view.highest_modseq();
        told
    }
}

struct Log {
    mailbox: Mailbox,
    folder: Folder,
}

impl Log {
    /// A folder of `count` messages.
    fn new(count: usize) -> Self {
        let mailbox = Mailbox::new();
        for number in 0..count {
            mailbox.put(&format!("cur/{number}.a:2,"), "x\n");
        }
        settle();
        let folder = mailbox.inbox();
        Self { mailbox, folder }
    }

    fn path(&self) -> PathBuf {
        self.mailbox.path().join("courierimapindex.log")
    }

    fn open(&self) -> Snapshot {
        let mut view = self.folder.scan(Mode::ReadWrite).unwrap();
        self.folder.track(&mut view).unwrap();
        view
    }

    fn flag(&self, view: &mut Snapshot, index: usize) {
        self.change(view, index, Action::Add, Flags::FLAGGED);
    }

    fn change(&self, view: &mut Snapshot, index: usize, action: Action, flags: Flags) {
        let change = Change::new(action, flags, Vec::new());
        self.folder.change(view, &[index], &change).unwrap();
    }

    fn expunge(&self, view: &mut Snapshot, index: usize) {
        self.change(view, index, Action::Add, Flags::DELETED);
        self.folder.expunge(view, &[index]).unwrap();
        self.look(view);
    }

    /// Until the folder is quiet enough for absence to count.
    fn look(&self, view: &mut Snapshot) {
        settle();
        self.folder.rescan(view).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        let cur = self.mailbox.path().join("cur");
        fs::rename(cur.join(from), cur.join(to)).unwrap();
    }
}

#[test]
fn a_session_that_does_not_ask_has_no_log() {
    let log = Log::new(3);
    let mut view = log.folder.scan(Mode::ReadWrite).unwrap();
    log.flag(&mut view, 0);
    log.look(&mut view);
    assert!(!log.path().exists());
    assert_eq!((view.highest_modseq(), view.modseq(0)), (0, 0));
    assert_eq!(view.changes_since(0), Changes::default());
    assert!(!view.has_lasting_modseqs());
}

#[test]
fn a_change_gets_a_modseq_above_all_that_was_told() {
    let log = Log::new(3);
    let mut view = log.open();
    let first = view.highest_modseq();
    assert!(view.has_lasting_modseqs());
    assert_eq!([0, 1, 2].map(|index| view.modseq(index)), [first; 3]);
    let mut client = Client::of(&view);
    log.flag(&mut view, 1);
    let second = view.highest_modseq();
    assert!(second > first);
    assert_eq!(
        [0, 1, 2].map(|index| view.modseq(index)),
        [first, second, first]
    );
    assert_eq!(client.learn(&view), [2]);
    // Nothing different, nothing new.
    log.flag(&mut view, 1);
    log.look(&mut view);
    assert_eq!(view.highest_modseq(), second);
    // One command, one MODSEQ.
    let seen = Change::new(Action::Add, Flags::SEEN, vec![b"work".to_vec()]);
    log.folder.change(&mut view, &[0, 2], &seen).unwrap();
    let third = view.highest_modseq();
    assert!(third > second);
    assert_eq!(
        [0, 1, 2].map(|index| view.modseq(index)),
        [third, second, third]
    );
    assert_eq!(client.learn(&view), [1, 3]);
    log.expunge(&mut view, 1);
    assert!(view.highest_modseq() > third);
    let changes = view.changes_since(third);
    assert_eq!((changes.changed, changes.vanished), (vec![], vec![(2, 2)]));
    client.learn(&view);
    append(&log.folder, "Subject: x\r\n\r\n").unwrap();
    log.look(&mut view);
    assert_eq!(client.learn(&view), [4]);
    // Another session has it all from the log.
    let again = log.open();
    assert_eq!(again.highest_modseq(), view.highest_modseq());
    for index in 0..3 {
        assert_eq!(again.modseq(index), view.modseq(index));
    }
    assert_eq!(list(&log.mailbox.path().join("tmp")), Vec::<String>::new());
}

#[test]
fn modseqs_are_microseconds_where_the_clock_allows() {
    let log = Log::new(1);
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
    let before = now();
    let mut view = log.open();
    log.flag(&mut view, 0);
    let modseq = u128::from(view.highest_modseq());
    assert!(before <= modseq && modseq <= now() + 1);
}

#[test]
fn what_others_do_is_found_and_gets_fresh_modseqs() {
    let log = Log::new(6);
    let mut view = log.open();
    let mut client = Client::of(&view);
    let mut old = client.clone();
    let cur = log.mailbox.path().join("cur");
    let keywords = log.mailbox.path().join("courierimapkeywords");
    fs::create_dir(&keywords).unwrap();
    let steps: [(&[u32], &dyn Fn()); 7] = [
        (&[1], &|| log.rename("0.a:2,", "0.a:2,S")),
        (&[2], &|| log.rename("1.a:2,", "1.a:2,T")),
        (&[1], &|| log.rename("0.a:2,S", "0.a:2,")),
        (&[], &|| fs::remove_file(cur.join("2.a:2,")).unwrap()),
        (&[4], &|| {
            fs::write(keywords.join("3.a"), "Work\n").unwrap();
        }),
        (&[7], &|| log.mailbox.put("new/9.z", "x\n")),
        // The original, with its own file of keywords and its own UID database.
        (&[4, 5], &|| {
            fs::write(keywords.join(":list"), "work\nurgent\n\n3.a:1\n4.a:0\n").unwrap();
            fs::remove_file(keywords.join("3.a")).unwrap_or_default();
            let stale: Vec<PathBuf> = fs::read_dir(&keywords)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| !path.ends_with(":list"))
                .collect();
            for path in stale {
                fs::remove_file(path).unwrap();
            }
            let db = log.mailbox.db();
            fs::write(log.mailbox.path().join("db"), db).unwrap();
            fs::rename(
                log.mailbox.path().join("db"),
                log.mailbox.path().join("courierimapuiddb"),
            )
            .unwrap();
        }),
    ];
    for (number, (changed, step)) in steps.into_iter().enumerate() {
        let before = view.highest_modseq();
        step();
        log.look(&mut view);
        assert!(view.highest_modseq() > before, "step {number}");
        assert_eq!(client.learn(&view), changed, "step {number}");
        // A session that starts now finds nothing that is not in the log.
        let fresh = log.open();
        assert_eq!(fresh.highest_modseq(), view.highest_modseq());
    }
    old.learn(&view);
    // And while nobody is there.
    drop(view);
    log.rename("5.a:2,", "5.a:2,RS");
    fs::remove_file(cur.join("4.a:2,")).unwrap();
    settle();
    let view = log.open();
    assert!(view.highest_modseq() > client.modseq);
    assert_eq!(client.learn(&view), [6]);
}

#[test]
fn what_a_session_without_modseqs_does_counts_as_well() {
    let log = Log::new(3);
    let mut view = log.open();
    let mut client = Client::of(&view);
    let mut other = log.folder.scan(Mode::ReadWrite).unwrap();
    log.flag(&mut other, 2);
    log.expunge(&mut other, 0);
    log.look(&mut view);
    assert_eq!(client.learn(&view), [3]);
    assert_eq!(uids(&view), [2, 3]);
}

#[test]
fn what_others_have_logged_and_the_view_does_not_show_is_not_claimed() {
    let log = Log::new(2);
    let mut one = log.open();
    let mut client = Client::of(&one);
    let mut two = log.open();
    append(&log.folder, "Subject: x\r\n\r\n").unwrap();
    log.look(&mut two);
    assert_eq!(two.len(), 3);
    // `one` writes to the log that has message 3 by now.
    log.flag(&mut one, 0);
    assert_eq!(one.len(), 2);
    assert!(one.highest_modseq() < two.modseq(2));
    assert!(one.modseq(0) > two.modseq(2));
    let kept = Client::of(&one);
    assert_eq!(client.learn(&one), [1]);
    log.look(&mut one);
    assert!(one.highest_modseq() >= one.modseq(0));
    client.learn(&one);
    let mut kept = kept;
    kept.learn(&one);
    // An expunge that the view has not told yet does not count either.
    log.expunge(&mut two, 1);
    log.flag(&mut one, 2);
    let mut kept = Client::of(&one);
    assert_eq!(kept.messages.len(), 3);
    log.look(&mut one);
    kept.learn(&one);
    assert_eq!(kept.messages.len(), 2);
    log.look(&mut two);
    let mut client = Client::of(&two);
    client.learn(&log.open());
}

#[test]
fn a_conditional_store_spares_what_others_have_changed() {
    let log = Log::new(5);
    let mut view = log.open();
    let told = view.highest_modseq();
    log.flag(&mut view, 0);
    // Not logged by anybody: flags, keywords, a removal.
    log.rename("1.a:2,", "1.a:2,S");
    let keywords = log.mailbox.path().join("courierimapkeywords");
    fs::create_dir_all(&keywords).unwrap();
    fs::write(keywords.join("2.a"), "work\n").unwrap();
    fs::remove_file(log.mailbox.path().join("cur/3.a:2,")).unwrap();
    for keyword in [None, Some(b"mine".to_vec())] {
        let change = Change {
            unchanged_since: Some(told),
            ..Change::new(
                Action::Replace,
                Flags::ANSWERED,
                keyword.into_iter().collect(),
            )
        };
        let outcome = log
            .folder
            .change(&mut view, &[0, 1, 2, 3], &change)
            .unwrap();
        assert_eq!(outcome.modified, [0, 1, 2]);
        assert_eq!(outcome.missing, [3]);
    }
    // Flags that are as wanted already, by what the view shows.
    log.rename("4.a:2,", "4.a:2,S");
    let change = Change {
        unchanged_since: Some(told),
        ..Change::new(Action::Remove, Flags::SEEN, Vec::new())
    };
    let outcome = log.folder.change(&mut view, &[4], &change).unwrap();
    assert_eq!(outcome.modified, [4]);
    log.look(&mut view);
    let found: Vec<Flags> = view.messages().iter().map(Message::flags).collect();
    assert_eq!(
        found,
        [Flags::FLAGGED, Flags::SEEN, Flags::NONE, Flags::SEEN]
    );
    let change = Change {
        unchanged_since: Some(view.highest_modseq()),
        ..Change::new(Action::Replace, Flags::ANSWERED, Vec::new())
    };
    let outcome = log.folder.change(&mut view, &[0, 1], &change).unwrap();
    assert!(outcome.modified.is_empty() && outcome.missing.is_empty());
    assert_eq!(view.messages()[0].flags(), Flags::ANSWERED);
}

#[test]
fn a_client_from_the_future_is_told_everything() {
    let log = Log::new(3);
    let mut view = log.open();
    log.expunge(&mut view, 1);
    // As after the whole disk was put back: nobody here can know what that client has seen.
    let changes = view.changes_since(view.highest_modseq() + 1_000_000);
    assert_eq!(changes.changed, [0, 1]);
    assert_eq!(changes.vanished, [(2, 2)]);
}

#[test]
fn the_log_is_bounded_and_so_is_its_memory_of_expunges() {
    let log = Log::new(60);
    let mut view = log.open();
    let early = Client::of(&view);
    let mut middle = early.clone();
    for round in 0..60 {
        let action = match round % 2 {
            0 => Action::Add,
            _ => Action::Remove,
        };
        let change = Change::new(action, Flags::FLAGGED, Vec::new());
        let all: Vec<usize> = (0..view.len()).collect();
        log.folder.change(&mut view, &all, &change).unwrap();
        if round == 30 {
            middle = Client::of(&view);
        }
    }
    let size = || fs::metadata(log.path()).unwrap().len();
    assert!(size() < (HEADER + (60 + 30 + 1024 + 60) * RECORD) as u64);
    for client in [&early, &middle, &Client::of(&view)] {
        client.clone().learn(&view);
        client.clone().learn(&log.open());
    }
    let mut modseqs = Modseqs::default();
    for number in 1..=10 {
        let gone = Expunge {
            uid: number,
            modseq: 100 + u64::from(number) / 2,
        };
        modseqs.apply(Record::Gone(gone));
    }
    modseqs.tidy();
    modseqs.shorten(3);
    assert_eq!(modseqs.expunged.len(), 3);
    // Above what was dropped everything is known.
    assert_eq!(modseqs.floor, 103);
}

#[test]
fn below_the_floor_every_absent_uid_is_named() {
    let log = Log::new(6);
    let mut view = log.open();
    let mut early = Client::of(&view);
    for _ in 0..2 {
        log.expunge(&mut view, 1);
    }
    let between = view.highest_modseq();
    log.expunge(&mut view, 2);
    let modseqs = view.modseqs.as_mut().unwrap();
    modseqs.shorten(1);
    assert!(modseqs.floor <= between);
    assert_eq!(view.changes_since(between).vanished, [(5, 5)]);
    assert_eq!(view.changes_since(early.modseq).vanished, [(2, 3), (5, 5)]);
    early.learn(&view);
}

#[test]
fn examine_numbers_changes_as_well() {
    let log = Log::new(2);
    let mut view = log.folder.scan(Mode::ReadOnly).unwrap();
    log.folder.track(&mut view).unwrap();
    let mut client = Client::of(&view);
    log.rename("0.a:2,", "0.a:2,S");
    log.look(&mut view);
    assert_eq!(client.learn(&view), [1]);
    assert_eq!(log.open().highest_modseq(), view.highest_modseq());
}

#[test]
fn flags_found_while_a_file_is_opened_have_their_modseq() {
    let log = Log::new(2);
    let mut view = log.open();
    let told = view.highest_modseq();
    log.rename("1.a:2,", "1.a:2,S");
    log.folder.open_message(&mut view, 1).unwrap();
    assert_eq!(view.messages()[1].flags(), Flags::SEEN);
    assert!(view.modseq(1) > told);
    assert_eq!(view.highest_modseq(), view.modseq(1));
    assert_eq!(names(&view)[1], "1.a:2,S");
}

#[test]
fn a_folder_at_rest_tells_its_highest_without_being_read() {
    let log = Log::new(1100);
    let folder = &log.folder;
    let end = std::time::Instant::now() + std::time::Duration::from_secs(8);
    let rest = || {
        loop {
            settle();
            let mut view = folder.scan(Mode::ReadWrite).unwrap();
            let highest = folder.highest_modseq(&mut view).unwrap();
            folder.close(&mut view);
            assert!(view.modseqs.is_none());
            let view = folder.scan(Mode::ReadWrite).unwrap();
            if view.indexed && folder.at_rest(&view).unwrap() == Some(highest) {
                return highest;
            }
            assert!(std::time::Instant::now() < end);
        }
    };
    let first = rest();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!(folder.highest_modseq(&mut view).unwrap(), first);
    assert!(view.messages.summary().is_some(), "the messages were read");
    assert_eq!(log.open().highest_modseq(), first);
    // Whoever changes something, however: it is not at rest then, and rises.
    let change = |flags| Change::new(Action::Replace, flags, Vec::new());
    let steps: [&dyn Fn(); 4] = [
        &|| log.rename("0.a:2,", "0.a:2,S"),
        &|| fs::remove_file(log.mailbox.path().join("cur/9.a:2,")).unwrap(),
        &|| {
            let mut view = folder.scan(Mode::ReadWrite).unwrap();
            folder
                .change(&mut view, &[5], &change(Flags::SEEN))
                .unwrap();
        },
        &|| {
            let mut view = log.open();
            folder
                .change(&mut view, &[5], &change(Flags::FLAGGED))
                .unwrap();
        },
    ];
    let mut told = first;
    for step in steps {
        step();
        let mut view = folder.scan(Mode::ReadWrite).unwrap();
        let highest = folder.highest_modseq(&mut view).unwrap();
        assert!(highest > told);
        told = highest;
        told = told.max(rest());
    }
    // The view of before is not what is there now.
    assert_eq!(folder.at_rest(&view).unwrap(), None);
    // Damage to what is said of it costs time only.
    let good = fs::read(log.path()).unwrap();
    for at in (64..320).step_by(17) {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        fs::write(log.path(), bytes).unwrap();
        let mut view = folder.scan(Mode::ReadWrite).unwrap();
        assert_eq!(folder.at_rest(&view).unwrap(), None);
        assert_eq!(folder.highest_modseq(&mut view).unwrap(), told);
    }
    // One record more or less is another log.
    for bytes in [
        &good[..good.len() - RECORD],
        &[&good[..], &[0; RECORD]].concat(),
    ] {
        fs::write(log.path(), bytes).unwrap();
        let view = folder.scan(Mode::ReadWrite).unwrap();
        assert_eq!(folder.at_rest(&view).unwrap(), None);
    }
}
