use super::*;
use crate::maildir::fixture::{Mailbox, append, uids};
use crate::maildir::{Mode, Snapshot};
use proptest::prelude::*;

/// Database and mark as found, and what is read: UIDVALIDITY, UIDNEXT, entries, whether it needs repair.
type Case<'a> = (
    &'a [u8],
    Option<&'a str>,
    (u32, u32, &'a [(u32, &'a str)], bool),
);

fn read(db: &[u8], mark: Option<&str>) -> Found {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("courierimapuiddb"), db).unwrap();
    if let Some(mark) = mark {
        std::fs::write(dir.path().join("courierimapuidmark"), mark).unwrap();
    }
    UidDb::read(&Dir::open(dir.path()).unwrap()).unwrap()
}

fn entries(db: &UidDb) -> Vec<(u32, String)> {
    (0..db.len())
        .map(|position| {
            let (uid, name) = db.entry(position).unwrap();
            (uid, String::from_utf8_lossy(name).into_owned())
        })
        .collect()
}

#[test]
fn damage_is_repaired_without_renumbering() {
    let cases: &[Case<'_>] = &[
        // As the original writes it, and with what its reader tolerates.
        (
            b"1 795395414 5\n1 900.foo.bar\n2 x y,S=18\n",
            None,
            (
                795_395_414,
                5,
                &[(1, "900.foo.bar"), (2, "x y,S=18")],
                false,
            ),
        ),
        (
            b"1  7\t5 and more\n 3 c\nnot a line\n4 d\n1 a\n",
            None,
            (7, 5, &[(1, "a"), (4, "d")], false),
        ),
        (b"1 7 0000000003\r\n1 a\n", None, (7, 3, &[(1, "a")], false)),
        (b"1 7 5\n4 torn", None, (7, 5, &[(4, "torn")], false)),
        (b"1 7 5\n", None, (7, 5, &[], false)),
        // Two messages with one UID, one message with two, UIDNEXT too low.
        (
            b"1 7 9\n2 a\n2 b\n3 c\n",
            None,
            (7, 9, &[(2, "a"), (3, "c")], true),
        ),
        (b"1 7 9\n2 a\n5 a\n", None, (7, 9, &[(2, "a")], true)),
        (
            b"1 7 2\n2 a\n8 b\n",
            None,
            (7, 9, &[(2, "a"), (8, "b")], true),
        ),
        (
            b"1 7 2\n2 a\n8 b\n",
            Some("1 7 1005\n"),
            (7, 1005, &[(2, "a"), (8, "b")], true),
        ),
        (
            b"1 7 2\n2 a\n8 b\n",
            Some("1 6 1005\n"),
            (7, 9, &[(2, "a"), (8, "b")], true),
        ),
        // A header that lost its end, or everything.
        (b"1 7 \n2 a\n", None, (7, 1003, &[(2, "a")], true)),
        (
            b"1 7 99999999999\n2 a\n",
            Some("1 7 50\n"),
            (7, 50, &[(2, "a")], true),
        ),
        (
            b"\0\0\0\0\0\0\n2 a\n",
            Some("1 7 50\n"),
            (7, 50, &[(2, "a")], true),
        ),
        (
            b"2 a\n3 b\n",
            Some("1 7 50\n"),
            (7, 50, &[(2, "a"), (3, "b")], true),
        ),
        (b"", Some("1 7 50\n"), (7, 50, &[], true)),
        (
            b"2 7 5\n3 b\n",
            Some("1 7 50\n"),
            (7, 50, &[(2, "7 5"), (3, "b")], true),
        ),
        // Names and numbers that cannot be.
        (
            b"1 7 9\n0 a\n4294967295 b\n99999999999 c\n5d\n6 \n7 x:2,S\n8 a/b\n3 ok\n",
            None,
            (7, 9, &[(3, "ok")], false),
        ),
    ];
    for (db, mark, (uid_validity, uid_next, expected, needs_repair)) in cases {
        let shown = format!("{} {mark:?}", db.escape_ascii());
        let Found::Db(db) = read(db, *mark) else {
            panic!("{shown}: no UIDVALIDITY");
        };
        assert_eq!(
            (db.uid_validity, db.uid_next),
            (*uid_validity, *uid_next),
            "{shown}"
        );
        let expected: Vec<(u32, String)> = expected
            .iter()
            .map(|(uid, name)| (*uid, (*name).to_owned()))
            .collect();
        assert_eq!(entries(&db), expected, "{shown}");
        assert_eq!(db.needs_repair, *needs_repair, "{shown}");
    }
}

#[test]
fn without_any_uidvalidity_the_uids_are_kept_for_the_new_one() {
    for db in [
        &b""[..],
        b"2 7 5\n3 b\n",
        b"garbage",
        b"1 0 5\n3 b\n",
        b"1\n",
    ] {
        assert!(
            matches!(read(db, None), Found::NoValidity(_)),
            "{}",
            db.escape_ascii()
        );
        assert!(matches!(read(db, Some("rubbish")), Found::NoValidity(_)));
    }
    let Found::NoValidity(db) = read(b"\xff\xfe\n3 b\n", None) else {
        panic!("validity")
    };
    assert_eq!((entries(&db), db.uid_next), (vec![(3, "b".to_owned())], 4));
}

/// Scans after `damage` was done to the database of three messages; returns the views before and after.
fn after(damage: impl Fn(&std::path::Path)) -> (Mailbox, Snapshot, Snapshot) {
    let mailbox = Mailbox::new();
    let folder = mailbox.inbox();
    for _ in 0..4 {
        append(&folder, "x\r\n").unwrap();
    }
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    // The highest UID is gone: it must not come back.
    folder
        .change(
            &mut view,
            &[3],
            &crate::maildir::Change::new(
                crate::maildir::Action::Add,
                crate::maildir::Flags::DELETED,
                Vec::new(),
            ),
        )
        .unwrap();
    folder.expunge(&mut view, &[3]).unwrap();
    folder.rescan(&mut view).unwrap();
    damage(&mailbox.path().join("courierimapuiddb"));
    let again = folder.scan(Mode::ReadWrite).unwrap();
    (mailbox, view, again)
}

#[test]
fn no_damage_changes_uidvalidity_or_reuses_a_uid() {
    let rewrite = |from: &'static str, to: &'static str| {
        move |path: &std::path::Path| {
            let db = std::fs::read_to_string(path).unwrap();
            assert!(db.contains(from));
            std::fs::write(path, db.replacen(from, to, 1)).unwrap();
        }
    };
    type Damage = Box<dyn Fn(&std::path::Path)>;
    let keeps_uids: Vec<Damage> = vec![
        Box::new(rewrite("0000000005", "0000000001")),
        Box::new(rewrite("0000000005", "5")),
        Box::new(rewrite("0000000005", "junk")),
        Box::new(rewrite("1 ", "9 ")),
        Box::new(rewrite("1 ", "\0\u{1}\u{2}")),
    ];
    for (number, damage) in keeps_uids.iter().enumerate() {
        let (mailbox, before, after) = after(damage);
        assert_eq!(after.uid_validity(), before.uid_validity(), "{number}");
        assert_eq!(uids(&after), [1, 2, 3], "{number}");
        assert!(after.uid_next() >= 5, "{number}: {}", after.uid_next());
        let uid = append(&mailbox.inbox(), "y\r\n").unwrap().uids[0];
        assert!(uid >= 5, "{number}: {uid}");
    }
    let loses_uids: Vec<Damage> = vec![
        Box::new(|path| std::fs::remove_file(path).unwrap()),
        Box::new(|path| std::fs::write(path, b"").unwrap()),
        Box::new(|path| std::fs::write(path, [0xff; 5000]).unwrap()),
        Box::new(|path| std::fs::write(path, b"1").unwrap()),
    ];
    for (number, damage) in loses_uids.iter().enumerate() {
        let (_mailbox, before, after) = after(damage);
        assert_eq!(after.uid_validity(), before.uid_validity(), "{number}");
        assert_eq!(after.len(), 3, "{number}");
        assert!(
            uids(&after).iter().all(|uid| *uid >= 5),
            "{number}: {:?}",
            uids(&after)
        );
    }
}

#[test]
fn what_is_no_regular_file_counts_as_missing_and_is_replaced() {
    let (mailbox, before, after) = after(|path| {
        std::fs::remove_file(path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", path).unwrap();
    });
    assert_eq!(after.uid_validity(), before.uid_validity());
    assert!(mailbox.db().starts_with("1 "));
    assert!(
        std::fs::read_to_string("/etc/passwd")
            .unwrap()
            .contains(':')
    );
}

#[test]
fn an_unreadable_database_is_an_error_and_stays() {
    let (mailbox, _, _) = after(|_| {});
    let path = mailbox.path().join("courierimapuiddb");
    // Too large to be one: refused without being read, root or not.
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(LIMIT + 1)
        .unwrap();
    assert!(mailbox.inbox().scan(Mode::ReadWrite).is_err());
    assert_eq!(std::fs::metadata(&path).unwrap().len(), LIMIT + 1);
}

#[test]
fn extending_in_place_mends_a_torn_line() {
    let mailbox = Mailbox::new();
    let folder = mailbox.inbox();
    append(&folder, "x\r\n").unwrap();
    let path = mailbox.path().join("courierimapuiddb");
    let inode = |path: &std::path::Path| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).unwrap().ino()
    };
    let before = inode(&path);
    let mut db = std::fs::read(&path).unwrap();
    db.extend_from_slice(b"2 half a na");
    std::fs::write(&path, &db).unwrap();
    // UID 2 may have been promised to somebody: UIDNEXT is raised above it.
    let uid = append(&folder, "y\r\n").unwrap().uids[0];
    assert_eq!(uid, 1001.max(uid));
    assert_ne!(inode(&path), before);
    let before = inode(&path);
    append(&folder, "z\r\n").unwrap();
    assert_eq!(inode(&path), before);
    assert_eq!(folder.scan(Mode::ReadWrite).unwrap().len(), 3);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic_and_uidnext_is_above_all(
        db in proptest::collection::vec(any::<u8>(), 0..200), mark in "[0-9 \n]{0,20}"
    ) {
        let (Found::Db(db) | Found::NoValidity(db)) = read(&db, Some(&mark));
        let entries = entries(&db);
        prop_assert!(entries.iter().all(|(uid, _)| *uid < db.uid_next));
        prop_assert!(entries.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn lines_in_any_order_give_each_uid_and_each_name_once(
        lines in proptest::collection::vec((0_u32..20, 0_u32..20), 0..30), next in 0_u32..30
    ) {
        use std::fmt::Write as _;
        let mut text = format!("1 7 {next}\n");
        for (uid, name) in &lines {
            writeln!(text, "{uid} n{name}").unwrap();
        }
        let (Found::Db(db) | Found::NoValidity(db)) = read(text.as_bytes(), None);
        let entries = entries(&db);
        let names: std::collections::BTreeSet<&String> = entries.iter().map(|(_, name)| name).collect();
        prop_assert_eq!(names.len(), entries.len());
        prop_assert!(entries.windows(2).all(|pair| pair[0].0 < pair[1].0));
        prop_assert!(entries.iter().all(|(uid, _)| *uid < db.uid_next));
    }
}
