use super::*;
use std::collections::BTreeMap;

fn write(path: &Path, records: u32) {
    let temporary = path.with_extension("tmp");
    let mut writer = Writer::create(&temporary, 0o600).unwrap();
    for number in 0..records {
        // Temporaries on purpose: a wrapper that keeps their pointers stores freed memory.
        let stored = writer
            .insert(
                format!("key {number}").as_bytes(),
                format!("value {number}").as_bytes(),
            )
            .unwrap();
        assert!(stored);
    }
    writer.commit(path).unwrap();
    assert!(!temporary.exists());
}

#[test]
fn what_was_stored_is_found_and_listed_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.dat");
    write(&path, 5000);
    for reader in [
        Reader::open(&path).unwrap(),
        Reader::open_mapped(&path).unwrap(),
    ] {
        assert_eq!(reader.get(b"key 4999").unwrap().unwrap(), b"value 4999");
        assert_eq!(reader.get(b"key 5000").unwrap(), None);
        assert_eq!(reader.get(b"").unwrap(), None);
        let all: BTreeMap<_, _> = reader.records().map(Result::unwrap).collect();
        assert_eq!(all.len(), 5000);
        assert_eq!(reader.records().count(), 5000);
    }
}

#[test]
fn the_file_has_the_magic_that_courier_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.dat");
    write(&path, 1);
    let content = std::fs::read(&path).unwrap();
    assert_eq!(&content[..4], 0x1357_9acf_u32.to_ne_bytes());
}

#[test]
fn empty_values_and_nul_bytes_survive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.dat");
    let mut writer = Writer::create(&directory.path().join("t"), 0o600).unwrap();
    assert!(writer.insert(b"empty", b"").unwrap());
    assert!(writer.insert(b"\0\xff", b"a\0b").unwrap());
    writer.commit(&path).unwrap();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.get(b"empty").unwrap().unwrap(), b"");
    assert_eq!(reader.get(b"\0\xff").unwrap().unwrap(), b"a\0b");
}

#[test]
fn insert_keeps_the_first_record_and_replace_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.dat");
    let mut writer = Writer::create(&directory.path().join("t"), 0o600).unwrap();
    assert!(writer.insert(b"k", b"1").unwrap());
    assert!(!writer.insert(b"k", b"2").unwrap());
    writer.replace(b"l", b"1").unwrap();
    writer.replace(b"l", b"2").unwrap();
    writer.commit(&path).unwrap();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.get(b"k").unwrap().unwrap(), b"1");
    assert_eq!(reader.get(b"l").unwrap().unwrap(), b"2");
}

#[test]
fn an_abandoned_writer_leaves_nothing_and_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.dat");
    write(&path, 1);
    let temporary = directory.path().join("t");
    let mut writer = Writer::create(&temporary, 0o600).unwrap();
    writer.insert(b"other", b"x").unwrap();
    drop(writer);
    assert!(!temporary.exists());
    assert!(
        Reader::open(&path)
            .unwrap()
            .get(b"key 0")
            .unwrap()
            .is_some()
    );
}

#[test]
fn an_existing_temporary_file_is_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let temporary = directory.path().join("t");
    std::fs::write(&temporary, b"mine").unwrap();
    assert!(matches!(
        Writer::create(&temporary, 0o600),
        Err(Error::Open(_, error)) if error.kind() == io::ErrorKind::AlreadyExists
    ));
    assert_eq!(std::fs::read(&temporary).unwrap(), b"mine");
}

#[test]
fn missing_and_garbage_files_are_errors_that_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Reader::open(&directory.path().join("missing")).unwrap_err();
    assert!(
        missing
            .to_string()
            .ends_with("missing: No such file or directory"),
        "{missing}"
    );
    for (name, content) in [("empty", &b""[..]), ("text", &[b'x'; 9000][..])] {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = Reader::open(&path).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn descriptors_are_close_on_exec() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.dat");
    write(&path, 1);
    let reader = Reader::open(&path).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let entry = entry.unwrap();
        if std::fs::read_link(entry.path()).is_ok_and(|target| target == path) {
            let info = Path::new("/proc/self/fdinfo").join(entry.file_name());
            let info = std::fs::read_to_string(info).unwrap();
            let flags = info
                .lines()
                .find_map(|line| line.strip_prefix("flags:"))
                .unwrap();
            let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
            assert_ne!(flags & 0o2_000_000, 0, "{info}");
            seen += 1;
        }
    }
    assert_eq!(seen, 1);
    drop(reader);
}

#[test]
fn damaged_files_give_errors_and_no_crash() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.dat");
    write(&path, 400);
    let good = std::fs::read(&path).unwrap();
    let damaged = directory.path().join("b.dat");
    let mut seed = 12345_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap()
    };
    for round in 0..300 {
        let mut bad = good.clone();
        if round % 3 == 0 {
            bad.truncate(next() % good.len());
        }
        for _ in 0..20 {
            // Mostly header and directory, where the numbers are.
            let range = if next() % 2 == 0 { 4200 } else { good.len() };
            let at = next() % range.min(bad.len().max(1));
            if let Some(byte) = bad.get_mut(at) {
                *byte = u8::try_from(next() % 256).unwrap();
            }
        }
        std::fs::write(&damaged, &bad).unwrap();
        if let Ok(reader) = Reader::open(&damaged) {
            for number in 0..400 {
                // Either outcome is fine, as long as there is one.
                let _ = reader.get(format!("key {number}").as_bytes());
            }
            let _ = reader.records().take(10_000).count();
        }
    }
}
