use std::fs;

use super::*;

/// Fills the cache of INBOX with a record.
fn cached(mailbox: &Mailbox) {
    let dir = fs::File::open(mailbox.path()).unwrap();
    let mut cache = Cache::open(std::os::fd::AsFd::as_fd(&dir), Storage::Local).unwrap();
    for number in 0..10_u64 {
        let key = Key {
            base: b"1.a",
            inode: number,
            size: 5,
        };
        cache.add(&key, &[(Field::Envelope, &[b'x'; 100])]);
    }
    cache.flush().unwrap();
}

#[test]
fn damaged_derived_files_go() {
    let mailbox = used();
    cached(&mailbox);
    assert_eq!(codes(&run(&mailbox, false).1), [""; 0]);
    repaired(&["derived"], |mailbox| {
        cached(mailbox);
        let path = mailbox.path().join("courierimapcache");
        let mut bytes = fs::read(&path).unwrap();
        bytes[500] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    repaired(&["derived", "derived"], |mailbox| {
        symlink("/etc/hostname", mailbox.path().join("courierimapcache")).unwrap();
        mailbox.put("courierimapindex", "rubbish");
        mode(mailbox, "courierimapindex", 0o600);
    });
    repaired(&["derived"], |mailbox| {
        cached(mailbox);
        mode(mailbox, "courierimapcache", 0o644);
    });
    repaired(&["derived"], |mailbox| {
        mailbox.put("courierimapindex.pop3", "rubbish");
        mode(mailbox, "courierimapindex.pop3", 0o600);
    });
}

#[test]
fn a_damaged_or_copied_log_of_changes_goes() {
    let logged = |mailbox: &Mailbox| {
        let folder = mailbox.inbox();
        let mut view = folder.scan(Mode::ReadWrite).unwrap();
        folder.track(&mut view).unwrap();
        mailbox.path().join("courierimapindex.log")
    };
    let mailbox = used();
    let path = logged(&mailbox);
    assert!(path.exists());
    assert_eq!(codes(&run(&mailbox, false).1), [""; 0]);
    // A crash in the middle of a record is nothing to repair.
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(&[3; 9]);
    fs::write(path, bytes).unwrap();
    assert_eq!(codes(&run(&mailbox, false).1), [""; 0]);
    repaired(&["derived"], |mailbox| {
        let path = logged(mailbox);
        let mut bytes = fs::read(&path).unwrap();
        bytes[325] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    repaired(&["derived"], |mailbox| {
        let path = logged(mailbox);
        let bytes = fs::read(&path).unwrap();
        fs::rename(&path, mailbox.path().join("kept")).unwrap();
        fs::write(&path, bytes).unwrap();
        mode(mailbox, "courierimapindex.log", 0o600);
    });
}

#[test]
fn derived_files_and_nothing_else_are_removed_before_going_back() {
    let mailbox = used();
    let before = tree(&mailbox.path());
    cached(&mailbox);
    mailbox.put(".Work/courierimapindex", "x");
    mailbox.put(".Work/courierimapindex.log", "x");
    for name in [
        "courierimapcache.1P2_0.host",
        "courierimapcache.sort",
        "courierimapcache.thread.1P2_0.host",
        "courierimapindex.recent",
    ] {
        mailbox.put(&format!(".Work/{name}"), "x");
    }
    mailbox.put("courierimapcachement", "somebody's");
    let removed = remove_derived(&mailbox.path()).unwrap();
    assert_eq!(removed.len(), 7, "{removed:?}");
    fs::remove_file(mailbox.path().join("courierimapcachement")).unwrap();
    let files = |tree: BTreeMap<_, (u32, u64, i64, i64, Vec<u8>)>| -> Vec<_> {
        tree.into_iter()
            .map(|(path, file)| (path, file.4))
            .collect()
    };
    assert_eq!(files(tree(&mailbox.path())), files(before));
    assert_eq!(remove_derived(&mailbox.path()).unwrap().len(), 0);
}

#[test]
fn a_large_index_is_whole_and_one_octet_more_is_not() {
    let mailbox = Mailbox::new();
    for number in 0..250 {
        mailbox.put(&format!("cur/{number}.M1.h:2,S"), "x");
    }
    settle();
    let folder = mailbox.inbox();
    drop(folder.scan(Mode::ReadWrite).unwrap());
    settle();
    drop(folder.scan(Mode::ReadWrite).unwrap());
    assert!(mailbox.path().join("courierimapindex").exists());
    assert_eq!(codes(&run(&mailbox, false).1), [""; 0]);
    let path = mailbox.path().join("courierimapindex");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
    assert_eq!(codes(&run(&mailbox, false).1), ["derived"]);
}
