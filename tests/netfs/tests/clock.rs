//! A file server whose clock is wrong is noticed before a session begins (contract: imapd 1.1, step 16).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use courier::maildir::{Maildir, Options};
use netfs::{Caching, Mount};

#[test]
fn a_clock_that_is_behind_is_noticed() {
    if let Some(reason) = netfs::unavailable() {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {reason}").unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for name in ["host", "store/tmp", "store/new", "store/cur"] {
        std::fs::create_dir_all(directory.path().join(name)).unwrap();
    }
    let point: PathBuf = directory.path().join("host");
    let host = Mount::new(
        &directory.path().join("store"),
        &point,
        Caching::default(),
        1,
    )
    .unwrap();
    let maildir = Maildir::open(host.path(), Options::default()).unwrap();
    assert!(maildir.clock_skew().unwrap() < Duration::from_secs(20));
    host.faults().clock_behind.store(100, Ordering::Relaxed);
    assert!(maildir.clock_skew().unwrap() > Duration::from_secs(60));
    // The probe is gone, and one that somebody left behind does not mislead.
    let probe = directory
        .path()
        .join("store/tmp/courier-imap.clockskew.chk");
    assert!(!probe.exists());
    std::fs::write(&probe, "").unwrap();
    host.faults().clock_behind.store(0, Ordering::Relaxed);
    assert!(maildir.clock_skew().unwrap() < Duration::from_secs(20));
}
