//! A listing that misses a name expunges nothing: on a network file system it takes two of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use courier::maildir::{FolderName, Maildir, Mode, Options, Snapshot};
use netfs::{Caching, Mount};

fn uids(view: &Snapshot) -> Vec<u32> {
    view.messages()
        .iter()
        .map(|message| message.uid())
        .collect()
}

#[test]
fn what_one_listing_misses_is_still_there() {
    if let Some(reason) = netfs::unavailable() {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {reason}").unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for name in ["host", "store/Maildir/tmp", "store/Maildir/new"] {
        std::fs::create_dir_all(directory.path().join(name)).unwrap();
    }
    let store = directory.path().join("store");
    let cur = store.join("Maildir/cur");
    std::fs::create_dir(&cur).unwrap();
    for number in 0..4 {
        std::fs::write(cur.join(format!("{number}.a:2,")), "x\n").unwrap();
    }
    let point = directory.path().join("host");
    let host = Mount::new(&store, &point, Caching::default(), 1).unwrap();
    let maildir = Maildir::open(&host.path().join("Maildir"), Options::default()).unwrap();
    let folder = maildir.folder(&FolderName::inbox()).unwrap();
    assert_eq!(uids(&folder.scan(Mode::ReadWrite).unwrap()), [1, 2, 3, 4]);
    // Older than the window: what is absent now is absent.
    std::thread::sleep(Duration::from_millis(3100));
    for mode in [Mode::ReadWrite, Mode::ReadOnly] {
        host.faults().short_listings.store(1, Ordering::Relaxed);
        let mut view = folder.scan(mode).unwrap();
        assert_eq!(host.faults().short_listings.load(Ordering::Relaxed), 0);
        assert_eq!(uids(&view), [1, 2, 3, 4]);
        let diff = folder.rescan(&mut view).unwrap();
        assert!(diff.expunged.is_empty() && diff.added == 0);
    }
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    std::fs::remove_file(cur.join("2.a:2,")).unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while uids(&view) != [1, 2, 4] {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(100));
        folder.rescan(&mut view).unwrap();
    }
}
