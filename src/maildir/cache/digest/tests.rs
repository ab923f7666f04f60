use std::os::fd::AsFd;
use std::path::Path;

use proptest::prelude::*;

use super::super::{Cache, Field};
use super::*;

fn open(directory: &Path, storage: Storage, uid_validity: u32) -> Digest {
    let directory = File::open(directory).unwrap();
    let mut digest = Digest::open(directory.as_fd(), storage, Kind::Sort, uid_validity).unwrap();
    assert!(digest.refresh_within(u64::MAX));
    digest
}

fn about(uid: u32) -> About {
    About {
        uid,
        inode: uid * 3,
        sum: !uid,
    }
}

fn value(uid: u32) -> Vec<u8> {
    vec![b'v'; usize::try_from(uid % 100).unwrap()]
}

fn fill(digest: &mut Digest, uids: std::ops::Range<u32>) {
    for uid in uids {
        if !digest.add(about(uid), &value(uid)) {
            digest.flush().unwrap();
        }
    }
    digest.flush().unwrap();
}

fn check(digest: &mut Digest, uids: std::ops::Range<u32>) {
    for uid in uids {
        assert_eq!(digest.get(about(uid)), Some(&value(uid)[..]), "{uid}");
    }
}

const BOTH: [Storage; 2] = [Storage::Local, Storage::Network];

#[test]
fn another_session_finds_what_one_has_written() {
    for storage in BOTH {
        let directory = tempfile::tempdir().unwrap();
        let mut other = open(directory.path(), storage, 7);
        fill(&mut open(directory.path(), storage, 7), 1..9000);
        assert!(!other.knows(7));
        assert!(other.refresh_within(u64::MAX));
        check(&mut other, 1..9000);
        assert!(!other.knows(9000));
        // Later ones, and in no order.
        fill(&mut open(directory.path(), storage, 7), 9000..9010);
        fill(&mut open(directory.path(), storage, 7), 500..600);
        assert!(other.refresh_within(u64::MAX));
        check(&mut other, 1..9010);
        assert_eq!(other.get(about(3)).unwrap(), value(3));
        // Beside the cache, which is none the wiser.
        let folder = File::open(directory.path()).unwrap();
        let mut cache = Cache::open(folder.as_fd(), storage).unwrap();
        cache.refresh();
        assert!(cache.is_empty());
        let key = Key {
            base: b"1.a",
            inode: 1,
            size: 1,
        };
        cache.add(&key, &[(Field::Envelope, b"()")]);
        cache.flush().unwrap();
        assert!(!open(directory.path(), storage, 7).foreign);
    }
}

#[test]
fn only_what_is_about_the_very_file_is_given() {
    let directory = tempfile::tempdir().unwrap();
    fill(&mut open(directory.path(), Storage::Local, 7), 1..10);
    let mut digest = open(directory.path(), Storage::Local, 7);
    let five = about(5);
    assert!(digest.get(five).is_some());
    assert!(digest.get(About { inode: 1, ..five }).is_none());
    assert!(digest.get(About { sum: 1, ..five }).is_none());
    // The newest counts.
    let other = About { inode: 1, ..five };
    digest.add(other, b"other");
    digest.flush().unwrap();
    assert!(digest.refresh_within(u64::MAX));
    assert_eq!(digest.get(other), Some(&b"other"[..]));
    assert!(digest.get(five).is_none());
    // Of another mailbox of that name.
    let mut digest = open(directory.path(), Storage::Local, 8);
    assert!(!digest.knows(5));
    assert!(digest.wants_compaction(100));
    digest.compact(|uid| Some(about(uid))).unwrap();
    assert!(!open(directory.path(), Storage::Local, 8).wants_compaction(100));
}

#[test]
fn compaction_keeps_the_newest_row_of_each_message_there_is() {
    for storage in BOTH {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            fill(&mut open(directory.path(), storage, 7), 1..1000);
        }
        let mut digest = open(directory.path(), storage, 7);
        assert!(digest.wants_compaction(1000));
        let even = |uid: u32| (uid % 2 == 0).then(|| about(uid));
        digest.compact(even).unwrap();
        for mut digest in [open(directory.path(), storage, 7), digest] {
            assert!(digest.refresh_within(u64::MAX));
            assert!(!digest.wants_compaction(500));
            for uid in 1..1000 {
                assert_eq!(digest.get(about(uid)).is_some(), uid % 2 == 0, "{uid}");
            }
        }
        let files = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(files, 1);
    }
}

#[test]
fn damage_costs_the_rows_that_it_hits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("courierimapcache.sort");
    fill(&mut open(directory.path(), Storage::Local, 7), 1..50);
    let first = std::fs::metadata(&path).unwrap().len();
    fill(&mut open(directory.path(), Storage::Local, 7), 50..100);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(first / 2).unwrap()] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let mut digest = open(directory.path(), Storage::Local, 7);
    assert!(!digest.knows(49));
    check(&mut digest, 50..100);
    assert!(digest.wants_compaction(1000));
}

#[test]
fn long_values_are_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut digest = open(directory.path(), Storage::Local, 7);
    digest.add(about(1), &vec![0; VALUE_MAX + 1]);
    digest.add(about(2), &vec![0; VALUE_MAX]);
    digest.flush().unwrap();
    assert!(digest.refresh_within(u64::MAX));
    assert!(!digest.knows(1));
    assert_eq!(digest.get(about(2)).map(<[u8]>::len), Some(VALUE_MAX));
}

proptest! {
    #[test]
    fn rows_are_read_as_written(rows in proptest::collection::vec((any::<[u32; 3]>(), "[a-z]{0,9}"), 0..9)) {
        let mut bytes = Vec::new();
        for ([uid, inode, sum], value) in &rows {
            encode(About { uid: *uid, inode: *inode, sum: *sum }, value.as_bytes(), &mut bytes);
        }
        let read: Vec<_> = Rows::new(&bytes)
            .map(|(_, about, value)| ([about.uid, about.inode, about.sum], value.to_vec()))
            .collect();
        let wrote: Vec<_> = rows.iter().map(|(about, value)| (*about, value.clone().into_bytes())).collect();
        prop_assert_eq!(read, wrote);
    }

    #[test]
    fn rubbish_is_survived(bytes: Vec<u8>) {
        let octets: usize = Rows::new(&bytes).map(|(_, _, value)| ROW + value.len()).sum();
        prop_assert!(octets <= bytes.len());
    }
}
