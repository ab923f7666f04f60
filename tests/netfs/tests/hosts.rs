//! The test file system does what it promises, so that tests that stand on it mean something.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use netfs::{Caching, Mount};

/// Two hosts on one directory; `None`, with the reason printed, where that cannot be.
fn two_hosts(caching: Caching) -> Option<(tempfile::TempDir, Mount, Mount)> {
    if let Some(reason) = netfs::unavailable() {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {reason}").unwrap();
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    for name in ["store", "one", "two"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    let store = directory.path().join("store");
    let one = Mount::new(&store, &directory.path().join("one"), caching, 1).unwrap();
    let two = Mount::new(&store, &directory.path().join("two"), caching, 2).unwrap();
    Some((directory, one, two))
}

#[test]
fn what_one_host_writes_the_other_reads() {
    let Some((_directory, one, two)) = two_hosts(Caching::default()) else {
        return;
    };
    fs::write(one.path().join("a"), vec![7; 300_000]).unwrap();
    assert_eq!(fs::read(two.path().join("a")).unwrap(), vec![7; 300_000]);
    fs::rename(two.path().join("a"), two.path().join("b")).unwrap();
    assert_eq!(
        fs::read(one.path().join("a")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    fs::hard_link(one.path().join("b"), one.path().join("c")).unwrap();
    assert_eq!(fs::metadata(two.path().join("c")).unwrap().nlink(), 2);
    fs::create_dir(one.path().join("d")).unwrap();
    let names = fs::read_dir(two.path()).unwrap().count();
    assert_eq!(names, 3);
}

#[test]
fn names_and_listings_are_believed_for_the_set_time() {
    let caching = Caching {
        attributes: Duration::from_millis(400),
        listings: Duration::from_millis(400),
    };
    let Some((_directory, one, two)) = two_hosts(caching) else {
        return;
    };
    assert_eq!(fs::read_dir(two.path()).unwrap().count(), 0);
    assert!(fs::metadata(two.path().join("new")).is_err());
    fs::write(one.path().join("new"), "x").unwrap();
    assert!(
        fs::metadata(two.path().join("new")).is_err(),
        "absence was not remembered"
    );
    assert_eq!(
        fs::read_dir(two.path()).unwrap().count(),
        0,
        "listing was not remembered"
    );
    std::thread::sleep(Duration::from_millis(600));
    assert!(fs::metadata(two.path().join("new")).is_ok());
    assert_eq!(fs::read_dir(two.path()).unwrap().count(), 1);
}

#[test]
fn a_lost_reply_reports_failure_of_something_done() {
    let Some((_directory, one, _two)) = two_hosts(Caching::default()) else {
        return;
    };
    fs::write(one.path().join("a"), "x").unwrap();
    one.faults().lost_reply.store(1000, Ordering::Relaxed);
    let link = fs::hard_link(one.path().join("a"), one.path().join("b"));
    assert_eq!(link.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let rename = fs::rename(one.path().join("a"), one.path().join("c"));
    assert_eq!(rename.unwrap_err().kind(), ErrorKind::NotFound);
    one.faults().clear();
    assert!(one.path().join("b").exists());
    assert!(one.path().join("c").exists() && !one.path().join("a").exists());
}

#[test]
fn a_full_disk_shows_at_close_and_leaves_half_a_file() {
    let Some((_directory, one, two)) = two_hosts(Caching::default()) else {
        return;
    };
    let mut file = fs::File::create(one.path().join("a")).unwrap();
    file.write_all(&[1; 10_000]).unwrap();
    one.faults().full_at_close.store(1000, Ordering::Relaxed);
    assert_eq!(file.sync_all().unwrap_err().raw_os_error(), Some(28));
    one.faults().clear();
    drop(file);
    assert_eq!(fs::metadata(two.path().join("a")).unwrap().len(), 5_000);
    one.faults().stale.store(1000, Ordering::Relaxed);
    assert_eq!(
        fs::read(one.path().join("a")).unwrap_err().raw_os_error(),
        Some(116)
    );
}
