use std::os::fd::AsFd;

use nix::sys::stat::Mode;

use super::*;

fn open(directory: &Path, storage: Storage) -> Cache {
    let directory = File::open(directory).unwrap();
    let mut cache = Cache::open(directory.as_fd(), storage).unwrap();
    cache.refresh();
    cache
}

fn key(base: &str, inode: u64) -> Key<'_> {
    Key {
        base: base.as_bytes(),
        inode,
        size: 100,
    }
}

fn fill(cache: &mut Cache, from: u64, to: u64) {
    for number in from..to {
        let envelope = format!("(envelope {number})");
        cache.add(
            &key(&format!("{number}.M1.host"), number),
            &[(Field::Envelope, envelope.as_bytes())],
        );
    }
    cache.flush().unwrap();
}

fn envelope(cache: &mut Cache, number: u64) -> Option<Vec<u8>> {
    let name = format!("{number}.M1.host");
    let record = cache.get(&key(&name, number))?;
    record.field(Field::Envelope).map(<[u8]>::to_vec)
}

#[test]
fn another_session_finds_what_one_has_written() {
    for storage in [Storage::Local, Storage::Network] {
        let directory = tempfile::tempdir().unwrap();
        let mut other = open(directory.path(), storage);
        fill(&mut open(directory.path(), storage), 0, 1000);
        assert_eq!(envelope(&mut other, 7), None);
        other.refresh();
        assert_eq!(envelope(&mut other, 7).unwrap(), b"(envelope 7)");
        assert_eq!(envelope(&mut other, 999).unwrap(), b"(envelope 999)");
        assert_eq!(envelope(&mut other, 1000), None);
    }
}

#[test]
fn fields_added_later_join_those_known_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut cache = open(directory.path(), Storage::Local);
    fill(&mut cache, 1, 2);
    cache.refresh();
    cache.add(&key("1.M1.host", 1), &[(Field::Preview, b"hello")]);
    cache.flush().unwrap();
    cache.refresh();
    let record = cache.get(&key("1.M1.host", 1)).unwrap();
    assert_eq!(record.field(Field::Preview), Some(b"hello".as_slice()));
    assert_eq!(
        record.field(Field::Envelope),
        Some(b"(envelope 1)".as_slice())
    );
}

#[test]
fn a_file_replaced_under_the_same_name_is_a_miss() {
    let directory = tempfile::tempdir().unwrap();
    let mut cache = open(directory.path(), Storage::Local);
    fill(&mut cache, 1, 2);
    cache.refresh();
    assert!(cache.get(&key("1.M1.host", 2)).is_none());
    assert!(
        cache
            .get(&Key {
                size: 101,
                ..key("1.M1.host", 1)
            })
            .is_none()
    );
}

#[test]
fn damage_costs_the_damaged_records_only() {
    let directory = tempfile::tempdir().unwrap();
    fill(&mut open(directory.path(), Storage::Local), 0, 100);
    let path = directory.path().join(FILE_NAME);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 40].fill(0xff);
    std::fs::write(&path, &bytes).unwrap();
    let mut cache = open(directory.path(), Storage::Local);
    let found = (0..100)
        .filter(|&number| envelope(&mut cache, number).is_some())
        .count();
    assert!((97..100).contains(&found), "{found}");
    assert!(cache.wants_compaction(100));
    fill(&mut cache, 100, 110);
    cache.refresh();
    assert!(envelope(&mut cache, 105).is_some());
}

#[test]
fn a_torn_tail_does_not_hide_what_is_appended_after_it() {
    let directory = tempfile::tempdir().unwrap();
    fill(&mut open(directory.path(), Storage::Local), 0, 10);
    let path = directory.path().join(FILE_NAME);
    let bytes = std::fs::read(&path).unwrap();
    for cut in 1..48 {
        std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        let mut cache = open(directory.path(), Storage::Local);
        fill(&mut cache, 20, 40);
        cache.refresh();
        assert!(envelope(&mut cache, 20).is_some(), "cut {cut}");
        assert!(envelope(&mut cache, 39).is_some(), "cut {cut}");
        assert!(envelope(&mut cache, 8).is_some(), "cut {cut}");
    }
}

#[test]
fn compaction_keeps_the_living_and_the_newest() {
    for storage in [Storage::Local, Storage::Network] {
        let directory = tempfile::tempdir().unwrap();
        let mut cache = open(directory.path(), storage);
        for _ in 0..20 {
            fill(&mut cache, 0, 50);
        }
        cache.refresh();
        assert!(cache.wants_compaction(50));
        let before: u64 = sizes(directory.path());
        cache.compact(|base| base.starts_with(b"1")).unwrap();
        assert!(sizes(directory.path()) < before / 10);
        assert_eq!(envelope(&mut cache, 10).unwrap(), b"(envelope 10)");
        assert_eq!(envelope(&mut cache, 20), None);
        assert!(!cache.wants_compaction(50));
        let left = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 1);
    }
}

#[test]
fn rubbish_of_every_kind_is_an_empty_cache() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    std::fs::create_dir(&path).unwrap();
    assert_eq!(
        envelope(&mut open(directory.path(), Storage::Local), 1),
        None
    );
    std::fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert_eq!(
        envelope(&mut open(directory.path(), Storage::Local), 1),
        None
    );
    std::fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    assert_eq!(
        envelope(&mut open(directory.path(), Storage::Local), 1),
        None
    );
    std::fs::remove_file(&path).unwrap();
    // Nothing but false records, each claiming the greatest length: bounded work.
    let mut lie = b"CMC\x01\x00\x00\x10\x00".to_vec();
    lie.extend_from_slice(&[0; 32]);
    std::fs::write(&path, lie.repeat(100_000)).unwrap();
    let mut cache = open(directory.path(), Storage::Local);
    assert_eq!(envelope(&mut cache, 1), None);
    assert!(cache.wants_compaction(10));
    cache.compact(|_| true).unwrap();
    fill(&mut cache, 0, 3);
    cache.refresh();
    assert!(envelope(&mut cache, 2).is_some());
}

#[test]
fn sessions_that_append_at_the_same_time_do_not_overwrite_each_other() {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let path = directory.path();
            scope.spawn(move || {
                for round in 0..20 {
                    let mut cache = open(path, Storage::Local);
                    let from = worker * 1000 + round * 10;
                    fill(&mut cache, from, from + 10);
                }
            });
        }
    });
    let mut cache = open(directory.path(), Storage::Local);
    assert!(!cache.wants_compaction(2000), "damaged");
    let found = (0..4000)
        .filter(|&number| envelope(&mut cache, number).is_some())
        .count();
    assert!(found > 0 && found <= 800);
    assert_eq!(found, cache.index.len());
}

#[test]
fn a_read_only_cache_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fill(&mut open(directory.path(), Storage::ReadOnly), 0, 10);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

fn sizes(directory: &Path) -> u64 {
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

#[test]
fn a_failed_rename_leaves_nothing_behind() {
    for storage in [Storage::Local, Storage::Network] {
        let directory = tempfile::tempdir().unwrap();
        let descriptor = File::open(directory.path()).unwrap();
        let name = FILE_NAME.to_owned();
        let mut store = Store::open(descriptor.as_fd(), storage, name).unwrap();
        // Whatever name the new file is to get, it is not there to be renamed any more, or a directory is.
        let replaced = store.replace(|_, _| {
            match storage {
                Storage::Local => std::fs::create_dir(directory.path().join(FILE_NAME))?,
                _ => {
                    for entry in std::fs::read_dir(directory.path())? {
                        std::fs::remove_file(entry?.path())?;
                    }
                }
            }
            Ok(())
        });
        assert!(replaced.is_err());
        let left: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != FILE_NAME)
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
