use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::maildir::fixture::{Mailbox, append, names, settle, uids};
use crate::maildir::{Action, Change, Flags, Mode};

/// UID, name, inode, flags and keywords.
type Row = (u32, String, u32, Flags, Vec<String>);

/// UIDVALIDITY, UIDNEXT and the messages.
fn image(view: &Snapshot) -> (u32, u32, Vec<Row>) {
    let messages = view
        .messages()
        .iter()
        .zip(names(view))
        .map(|(message, name)| {
            let keywords = view.keywords(message);
            let mut keywords: Vec<String> = keywords
                .map(|keyword| String::from_utf8_lossy(keyword).into_owned())
                .collect();
            keywords.sort();
            (
                message.uid(),
                name,
                message.inode(),
                message.flags(),
                keywords,
            )
        })
        .collect();
    (view.uid_validity(), view.uid_next(), messages)
}

struct Large {
    mailbox: Mailbox,
    folder: Folder,
}

impl Large {
    /// A folder of 250 messages with an index.
    fn new() -> Self {
        let mailbox = Mailbox::new();
        for number in 0..250 {
            mailbox.put(&format!("cur/{number}.a,S=2:2,S"), "x\n");
        }
        let folder = mailbox.inbox();
        let large = Self { mailbox, folder };
        large.index();
        large
    }

    /// Opens the folder until it is quiet enough for an index.
    fn index(&self) -> Snapshot {
        settle();
        let mut view = self.folder.scan(Mode::ReadWrite).unwrap();
        for _ in 0..20 {
            if self.loaded().is_some() {
                return view;
            }
            settle();
            self.folder.rescan(&mut view).unwrap();
            self.folder.close(&mut view);
        }
        panic!("no index is written");
    }

    fn path(&self) -> PathBuf {
        self.mailbox.path().join("courierimapindex")
    }

    fn loaded(&self) -> Option<Snapshot> {
        load(&self.folder, &self.folder.stamps().unwrap(), usize::MAX)
    }

    /// As a large folder is: the messages are read when they are asked for.
    fn loaded_late(&self) -> Option<Snapshot> {
        load(&self.folder, &self.folder.stamps().unwrap(), 0)
    }

    /// What a folder without index shows.
    fn plain(&self) -> Snapshot {
        let kept = std::fs::read(self.path()).ok();
        if kept.is_some() {
            std::fs::remove_file(self.path()).unwrap();
        }
        let view = self.folder.scan(Mode::ReadOnly).unwrap();
        if let Some(kept) = kept {
            std::fs::write(self.path(), kept).unwrap();
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(self.path(), mode).unwrap();
        }
        view
    }
}

#[test]
fn an_unchanged_folder_is_what_its_index_says() {
    let large = Large::new();
    let stat = std::fs::metadata(large.path()).unwrap();
    assert_eq!(stat.permissions().mode() & 0o777, 0o600);
    let mut view = large.folder.scan(Mode::ReadWrite).unwrap();
    assert!(view.indexed && view.settled && !view.read_only);
    assert_eq!(image(&view), image(&large.plain()));
    assert!(large.folder.rescan(&mut view).unwrap().is_empty());
    assert!(large.folder.scan(Mode::ReadOnly).unwrap().read_only);
    // The view works as any other: files are found, changed and removed.
    assert_eq!(large.folder.open_message(&mut view, 7).unwrap().size, 2);
    let change = Change::new(Action::Add, Flags::FLAGGED, vec![b"work".to_vec()]);
    large.folder.change(&mut view, &[3], &change).unwrap();
    let deleted = Change::new(Action::Add, Flags::DELETED, Vec::new());
    large.folder.change(&mut view, &[4], &deleted).unwrap();
    large.folder.expunge(&mut view, &[4]).unwrap();
    let diff = large.folder.rescan(&mut view).unwrap();
    assert_eq!(diff.expunged.len(), 1);
    assert_eq!(image(&view), image(&large.plain()));
    assert_eq!(image(&large.index()), image(&large.loaded().unwrap()));
    assert_eq!(image(&large.loaded().unwrap()), image(&large.plain()));
}

#[test]
fn a_small_folder_has_no_index_and_a_read_only_session_writes_none() {
    let mailbox = Mailbox::new();
    mailbox.put("cur/1.a:2,", "x\n");
    settle();
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    settle();
    folder.rescan(&mut view).unwrap();
    assert!(!mailbox.path().join("courierimapindex").exists());
    let large = Large::new();
    std::fs::remove_file(large.path()).unwrap();
    let mut view = large.folder.scan(Mode::ReadOnly).unwrap();
    large.folder.rescan(&mut view).unwrap();
    assert!(!large.path().exists());
}

#[test]
fn whatever_others_change_makes_the_index_void() {
    let large = Large::new();
    let path = large.mailbox.path();
    let cur = path.join("cur");
    let restore = |change: &dyn Fn()| {
        let times = std::fs::metadata(&cur).unwrap().modified().unwrap();
        change();
        let dir = std::fs::File::open(&cur).unwrap();
        dir.set_modified(times).unwrap();
    };
    let changes: [(&str, &dyn Fn()); 7] = [
        ("flags", &|| {
            std::fs::rename(cur.join("5.a,S=2:2,S"), cur.join("5.a,S=2:2,FS")).unwrap();
        }),
        ("removal", &|| {
            std::fs::remove_file(cur.join("6.a,S=2:2,S")).unwrap()
        }),
        ("flags, mtime restored", &|| {
            restore(&|| {
                std::fs::rename(cur.join("7.a,S=2:2,S"), cur.join("7.a,S=2:2,")).unwrap();
            });
        }),
        ("removal, mtime restored", &|| {
            restore(&|| std::fs::remove_file(cur.join("8.a,S=2:2,S")).unwrap());
        }),
        ("delivery", &|| large.mailbox.put("new/999.b", "x\n")),
        ("keywords", &|| {
            std::fs::create_dir_all(path.join("courierimapkeywords")).unwrap();
            std::fs::write(path.join("courierimapkeywords/9.a,S=2"), "work\n").unwrap();
        }),
        ("the original rewrote the UID database", &|| {
            let db = large.mailbox.db();
            let (_, entries) = db.split_once('\n').unwrap();
            let header = db.split(' ').nth(1).unwrap();
            std::fs::write(path.join("db"), format!("1 {header} 5000\n{entries}")).unwrap();
            std::fs::rename(path.join("db"), path.join("courierimapuiddb")).unwrap();
        }),
    ];
    for (what, change) in changes {
        large.index();
        assert!(large.loaded().is_some(), "{what}");
        change();
        assert!(large.loaded().is_none(), "{what}");
        let plain = image(&large.plain());
        let view = large.folder.scan(Mode::ReadWrite).unwrap();
        let seen = image(&view);
        assert_eq!((seen.0, seen.1), (plain.0, plain.1), "{what}");
        assert_eq!(seen.2.len(), plain.2.len(), "{what}");
        large.index();
        assert_eq!(
            image(&large.loaded().unwrap()),
            image(&large.plain()),
            "{what}"
        );
    }
    let view = large.loaded().unwrap();
    assert_eq!(view.uid_next(), 5000);
    let message = view
        .messages()
        .iter()
        .find(|message| !message.keyword_set().is_empty());
    assert!(view.has_keyword(message.unwrap(), b"work"));
}

#[test]
fn a_damaged_index_is_as_good_as_none() {
    let large = Large::new();
    let good = std::fs::read(large.path()).unwrap();
    let expected = image(&large.plain());
    let check = |bytes: &[u8], what: &str| {
        std::fs::write(large.path(), bytes).unwrap();
        assert!(large.loaded().is_none(), "{what}");
    };
    for at in (0..good.len()).step_by(7).chain([4, 9, 17]) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        check(&bytes, &format!("octet {at}"));
    }
    for length in (0..good.len()).step_by(61).chain([good.len() - 1]) {
        check(&good[..length], &format!("cut at {length}"));
    }
    check(&[good.clone(), vec![0]].concat(), "longer");
    // Counts that no memory could hold.
    let mut huge = good;
    huge[LENGTH - 24..LENGTH - 12].fill(0xff);
    check(&huge, "huge counts");
    assert_eq!(
        image(&large.folder.scan(Mode::ReadWrite).unwrap()),
        expected
    );
    // What was damaged has been replaced.
    assert_eq!(image(&large.loaded().unwrap()), expected);
}

#[test]
fn a_large_folder_is_read_when_somebody_asks_for_a_message() {
    let large = Large::new();
    let path = large.mailbox.path();
    std::fs::create_dir_all(path.join("courierimapkeywords")).unwrap();
    std::fs::write(path.join("courierimapkeywords/9.a,S=2"), "work\n").unwrap();
    let cur = path.join("cur");
    std::fs::rename(cur.join("7.a,S=2:2,S"), cur.join("7.a,S=2:2,")).unwrap();
    let known = large.index();
    let view = large.loaded_late().unwrap();
    assert!(view.messages.summary().is_some());
    // What SELECT says, and NOOP.
    let told = (
        view.len(),
        view.recent(),
        view.first_unseen(),
        view.uid_next(),
    );
    assert_eq!(told, (250, 0, known.first_unseen(), known.uid_next()));
    assert_eq!(view.keywords_in_use(), [b"work"]);
    assert!(!large.folder.is_changed(&view).unwrap());
    // All the rest.
    assert_eq!(image(&view), image(&large.plain()));
    let mut view = large.loaded_late().unwrap();
    let change = Change::new(Action::Add, Flags::FLAGGED, vec![b"more".to_vec()]);
    large
        .folder
        .change(&mut view, &[0, 100, 249], &change)
        .unwrap();
    assert!(view.messages.summary().is_none());
    assert!(large.folder.rescan(&mut view).unwrap().is_empty());
    assert_eq!(image(&view), image(&large.plain()));
}

#[test]
fn a_delivery_costs_a_look_at_new_and_not_at_the_folder() {
    let large = Large::new();
    large.mailbox.put("new/300.b", "x\n");
    large.mailbox.put("new/299.b", "x\n");
    let stamps = large.folder.stamps().unwrap();
    let view = large.folder.scan_new(&stamps).unwrap().unwrap();
    assert_eq!((view.len(), view.recent()), (252, 2));
    assert_eq!(names(&view)[250..], ["299.b:2,", "300.b:2,"]);
    assert_eq!(view.first_unseen(), Some(250));
    assert_eq!(image(&view), image(&large.plain()));
    drop(view);
    // Anything else that is different needs a listing.
    let cur = large.mailbox.path().join("cur");
    large.index();
    large.mailbox.put("new/301.b", "x\n");
    std::fs::rename(cur.join("7.a,S=2:2,S"), cur.join("7.a,S=2:2,")).unwrap();
    let stamps = large.folder.stamps().unwrap();
    assert!(large.folder.scan_new(&stamps).unwrap().is_none());
    large.index();
    large.mailbox.put("new/302.b", "x\n");
    append(&large.folder, "Subject: x\r\n\r\n").unwrap();
    let stamps = large.folder.stamps().unwrap();
    assert!(large.folder.scan_new(&stamps).unwrap().is_none());
    let view = large.folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!(view.len(), 255);
    assert_eq!(image(&view), image(&large.plain()));
    // A session that may change nothing leaves what is new where it is.
    large.index();
    large.mailbox.put("new/303.b", "x\n");
    let view = large.folder.scan(Mode::ReadOnly).unwrap();
    assert_eq!(view.len(), 256);
    assert!(large.mailbox.path().join("new/303.b").exists());
}

#[test]
fn a_session_that_ends_just_after_a_change_leaves_an_index_all_the_same() {
    let mailbox = Mailbox::new();
    for number in 0..LATE {
        mailbox.put(&format!("cur/{number}.a,S=2:2,S"), "x\n");
    }
    let large = Large {
        folder: mailbox.inbox(),
        mailbox,
    };
    large.index();
    large.mailbox.put("new/5000.b", "x\n");
    let mut view = large.folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!(view.len(), LATE + 1);
    large.folder.close(&mut view);
    assert_eq!(large.loaded().unwrap().len(), LATE + 1);
    // What nobody has been told of stays new.
    let change = Change::new(Action::Add, Flags::FLAGGED, Vec::new());
    let mut view = large.folder.scan(Mode::ReadWrite).unwrap();
    large.folder.change(&mut view, &[0], &change).unwrap();
    large.mailbox.put("new/5001.b", "x\n");
    large.folder.close(&mut view);
    assert!(large.loaded().is_none());
    assert!(large.mailbox.path().join("new/5001.b").exists());
}

#[test]
fn sizes_that_names_do_not_tell_are_kept_until_the_file_is_another_one() {
    let mailbox = Mailbox::new();
    for number in 0..250 {
        mailbox.put(&format!("cur/{number}.a:2,S"), "x\n");
    }
    let large = Large {
        folder: mailbox.inbox(),
        mailbox,
    };
    let mut view = large.index();
    assert_eq!(view.get(3).unwrap().known_size(), None);
    let inode = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(large.mailbox.path().join(name))
            .unwrap()
            .ino()
    };
    // Of another file: not of this one.
    view.note_size(3, inode("cur/4.a:2,S"), 2);
    assert_eq!(view.get(3).unwrap().known_size(), None);
    view.note_size(3, inode("cur/3.a:2,S"), 2);
    view.note_size(4, inode("cur/4.a:2,S"), 2);
    large.folder.close(&mut view);
    let mut view = large.loaded().unwrap();
    assert_eq!(view.get(3).unwrap().known_size(), Some(2));
    assert_eq!(view.get(5).unwrap().known_size(), None);
    // Another file of the name, seen by a listing; a rename is not one.
    let cur = large.mailbox.path().join("cur");
    std::fs::write(cur.join("../tmp/3"), "longer\n").unwrap();
    std::fs::rename(cur.join("../tmp/3"), cur.join("3.a:2,S")).unwrap();
    std::fs::rename(cur.join("4.a:2,S"), cur.join("4.a:2,FS")).unwrap();
    large.folder.rescan(&mut view).unwrap();
    assert_eq!(view.get(3).unwrap().known_size(), None);
    assert_eq!(view.get(4).unwrap().known_size(), Some(2));
}

#[test]
fn what_a_large_folder_s_index_does_not_hold_after_all_is_listed() {
    let large = Large::new();
    let good = std::fs::read(large.path()).unwrap();
    let expected = image(&large.plain());
    let mode = std::fs::Permissions::from_mode(0o600);
    let damaged = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        std::fs::write(large.path(), bytes).unwrap();
        std::fs::set_permissions(large.path(), mode.clone()).unwrap();
    };
    for at in [LENGTH + 13, LENGTH + 1000, good.len() - 1] {
        damaged(at);
        let mut view = large.loaded_late().unwrap();
        assert_eq!(view.len(), 250);
        assert_eq!(image(&view), expected, "octet {at}");
        assert!(!large.path().exists(), "octet {at}");
        assert!(large.folder.rescan(&mut view).unwrap().is_empty());
        assert_eq!(image(&view), expected, "octet {at}");
        assert!(view.settled && view.messages.trust() == Trust::Full);
    }
    // Messages that left and came between SELECT and the discovery: told by the next look, none under another UID.
    damaged(LENGTH + 77);
    let mut view = large.loaded_late().unwrap();
    std::fs::remove_file(large.mailbox.path().join("cur/8.a,S=2:2,S")).unwrap();
    std::fs::remove_file(large.mailbox.path().join("cur/9.a,S=2:2,S")).unwrap();
    large.mailbox.put("cur/999.b:2,", "x\n");
    assert_eq!(view.messages().len(), 250);
    let diff = large.folder.rescan(&mut view).unwrap();
    assert_eq!(view.len(), 249);
    assert!(diff.expunged.len() - diff.added == 1);
    let before: Vec<&Row> = expected
        .2
        .iter()
        .filter(|row| !["8.a", "9.a"].contains(&&row.1[..3]))
        .collect();
    assert_eq!(image(&view).2.iter().take(248).collect::<Vec<_>>(), before);
}

#[test]
fn an_index_of_another_kind_or_owner_is_not_looked_at() {
    let large = Large::new();
    let good = std::fs::read(large.path()).unwrap();
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(large.path(), mode(0o644)).unwrap();
    assert!(large.loaded().is_none());
    std::fs::remove_file(large.path()).unwrap();
    let elsewhere = large.mailbox.path().join("elsewhere");
    std::fs::write(&elsewhere, &good).unwrap();
    std::fs::set_permissions(&elsewhere, mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&elsewhere, large.path()).unwrap();
    assert!(large.loaded().is_none());
    std::fs::remove_file(large.path()).unwrap();
    nix::unistd::mkfifo(&large.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(large.loaded().is_none());
    std::fs::remove_file(large.path()).unwrap();
    std::fs::create_dir(large.path()).unwrap();
    // It cannot be written either, and nothing fails for that.
    assert_eq!(large.folder.scan(Mode::ReadWrite).unwrap().len(), 250);
    std::fs::remove_dir(large.path()).unwrap();
    // Another folder's, however good in itself.
    let other = Large::new();
    std::fs::write(other.path(), &good).unwrap();
    assert!(other.loaded().is_none());
}

/// A step that somebody takes, chosen by number.
fn step(large: &Large, view: &mut Snapshot, kind: u8, pick: usize, serial: usize) {
    let cur = large.mailbox.path().join("cur");
    let count = view.len().max(1);
    let index = pick % count;
    match kind % 8 {
        0 => {
            let flags = if pick % 2 == 0 {
                Flags::FLAGGED
            } else {
                Flags::SEEN
            };
            let action = if pick % 3 == 0 {
                Action::Add
            } else {
                Action::Remove
            };
            let keywords = if pick % 5 == 0 {
                vec![b"kw".to_vec()]
            } else {
                Vec::new()
            };
            let change = Change::new(action, flags, keywords);
            large.folder.change(view, &[index], &change).unwrap();
        }
        1 => {
            let deleted = Change::new(Action::Add, Flags::DELETED, Vec::new());
            large.folder.change(view, &[index], &deleted).unwrap();
            large.folder.expunge(view, &[index]).unwrap();
        }
        2 => {
            append(&large.folder, "Subject: x\r\n\r\n").unwrap();
        }
        3 => large.mailbox.put(&format!("new/{serial}.new"), "x\n"),
        4 => {
            if let Some(name) = names(view).get(index) {
                let base = name.split(':').next().unwrap();
                // Gone already, perhaps.
                let _ = std::fs::rename(cur.join(name), cur.join(format!("{base}:2,RT")));
            }
        }
        5 => {
            if let Some(name) = names(view).get(index) {
                let _ = std::fs::remove_file(cur.join(name));
            }
        }
        6 => settle(),
        _ => {
            large.folder.rescan(view).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn with_and_without_index_the_folder_is_the_same(
        steps in proptest::collection::vec((any::<u8>(), any::<usize>()), 1..40)
    ) {
        let large = Large::new();
        let mut view = large.folder.scan(Mode::ReadWrite).unwrap();
        let mut known = std::collections::BTreeMap::new();
        for (serial, (kind, pick)) in steps.into_iter().enumerate() {
            step(&large, &mut view, kind, pick, serial);
            if let Some(loaded) = large.loaded() {
                prop_assert_eq!(image(&loaded), image(&large.plain()));
            }
            let other = large.folder.scan(Mode::ReadWrite).unwrap();
            for (uid, name) in uids(&other).into_iter().zip(names(&other)) {
                let base = name.split(':').next().unwrap().to_owned();
                prop_assert_eq!(known.entry(uid).or_insert_with(|| base.clone()), &base);
            }
        }
        settle();
        large.folder.rescan(&mut view).unwrap();
        prop_assert_eq!(image(&large.index()), image(&large.plain()));
    }

    #[test]
    fn any_view_survives_a_round_trip(
        messages in proptest::collection::vec(
            (1_u32..5, "[a-zA-Z0-9,=._-]{1,120}", 0_u8..32, any::<u32>(),
                proptest::collection::vec("[a-z$]{1,9}", 0..4)), 0..60),
        uid_next in 1_000_u32..u32::MAX,
    ) {
        let mut view = Snapshot::new(77, false);
        view.uid_next = uid_next;
        let mut uid = 0;
        for (step, name, bits, inode, keywords) in messages {
            uid += step;
            let flags = Flags::from_bits(bits).unwrap();
            let ids = keywords.iter().map(|keyword| view.table.keyword(keyword.as_bytes())).collect();
            let set = view.table.set(ids);
            let file = (inode, inode ^ 0x55);
            view.push(Message::restored(uid, 0, file, set, flags), name.as_bytes());
        }
        let large = tempfile::tempdir().unwrap();
        let stamp = Dir::open(large.path()).unwrap().stamp().unwrap();
        let stamps = FolderStamps { cur: stamp, new: stamp, keywords: None, db: Some(stamp) };
        let mut bytes = Vec::new();
        format::encode(&view, &stamps, false, &mut bytes).unwrap();
        let (start, body) = bytes.split_first_chunk::<LENGTH>().unwrap();
        let header = Header::parse(start).unwrap();
        prop_assert!(header.is_of(&stamps, false) && !header.is_of(&stamps, true));
        prop_assert_eq!(header.size(), Some(bytes.len() as u64));
        let keywords = header.keywords(&body[..header.keyword_octets()]).unwrap();
        let sets = keywords.table.number_of_sets();
        let messages = format::read_messages(&header, sets, &bytes).unwrap();
        let used: Vec<&[u8]> = keywords.in_use.iter().map(|id| keywords.table.name(*id)).collect();
        prop_assert_eq!(used, view.keywords_in_use());
        prop_assert_eq!(header.first_unseen(), view.first_unseen());
        let sizes = |messages: &[Message]| -> Vec<u32> { messages.iter().map(Message::size_word).collect() };
        prop_assert_eq!(sizes(&messages), sizes(view.messages()));
        let roll = Roll::new(Held { messages, names: Names::owned(bytes) });
        let again = Snapshot::restored(header.uids(), roll, keywords.table);
        prop_assert_eq!(image(&again), image(&view));
    }

    #[test]
    fn any_octets_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut image = b"CIMAPix\x02".to_vec();
        image.extend_from_slice(&bytes);
        if let Some((start, _)) = image.split_first_chunk::<LENGTH>() {
            if let Some(header) = Header::parse(start) {
                prop_assert!(format::read_messages(&header, u32::MAX, &image).is_none());
            }
        }
    }
}
