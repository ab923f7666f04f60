use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

fn options() -> Options {
    Options {
        lock_wait: Duration::from_millis(300),
        ..Options::default()
    }
}

fn folder() -> (tempfile::TempDir, Dir) {
    let dir = tempfile::tempdir().unwrap();
    let tmp = Dir::open(dir.path()).unwrap();
    (dir, tmp)
}

fn plant(dir: &tempfile::TempDir, content: &str, age: Duration) {
    let path = dir.path().join("courier.lock");
    std::fs::write(&path, content).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::SystemTime::now() - age)
        .unwrap();
}

/// A pid that was ours to give and is dead.
fn dead_pid() -> u32 {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    pid
}

#[test]
fn the_lock_file_is_courier_s_to_the_byte_and_gone_afterwards() {
    let (dir, tmp) = folder();
    let lock = Lock::acquire(&tmp, &options()).unwrap();
    let content = std::fs::read(dir.path().join("courier.lock")).unwrap();
    assert_eq!(
        content,
        format!("{}:{}", std::process::id(), host_name()).as_bytes()
    );
    assert!(lock.is_ours().unwrap());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    drop(lock);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_held_lock_is_waited_for_and_then_reported() {
    let (_dir, tmp) = folder();
    let _lock = Lock::acquire(&tmp, &options()).unwrap();
    let error = Lock::acquire(&tmp, &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
}

#[test]
fn stale_locks_are_taken_over_and_live_ones_are_not() {
    let host = host_name();
    let second = Duration::from_secs(1);
    // Content, age, and whether the lock can be had at once.
    for (content, age, stale) in [
        (format!("{}:{host}", dead_pid()), Duration::ZERO, true),
        (
            format!("{}:{host}", std::process::id()),
            Duration::ZERO,
            true,
        ),
        (format!("1:{host}"), Duration::ZERO, false),
        (format!("1:{host}"), 130 * second, true),
        ("1:elsewhere".to_owned(), 110 * second, false),
        ("1:elsewhere".to_owned(), 130 * second, true),
        ("rubbish".to_owned(), 110 * second, false),
        (String::new(), 130 * second, true),
        (format!("{}:{host}\n", dead_pid()), Duration::ZERO, false),
    ] {
        let (dir, tmp) = folder();
        plant(&dir, &content, age);
        let got = Lock::acquire(&tmp, &options());
        assert_eq!(got.is_ok(), stale, "{content:?} {age:?}");
    }
}

#[test]
fn a_lock_whose_owner_dies_while_waiting_is_taken_within_a_second() {
    let (dir, tmp) = folder();
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    plant(
        &dir,
        &format!("{}:{}", child.id(), host_name()),
        Duration::ZERO,
    );
    let options = Options {
        lock_wait: Duration::from_secs(5),
        ..options()
    };
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        Lock::acquire(&tmp, &options).unwrap();
    });
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_lost_lock_is_noticed_and_the_new_owner_s_is_left_alone() {
    let (dir, tmp) = folder();
    let lock = Lock::acquire(&tmp, &options()).unwrap();
    std::fs::remove_file(dir.path().join("courier.lock")).unwrap();
    plant(&dir, "1:elsewhere", Duration::ZERO);
    assert!(!lock.is_ours().unwrap());
    drop(lock);
    assert!(dir.path().join("courier.lock").exists());
}

#[test]
fn threads_racing_for_a_stale_lock_never_hold_it_together() {
    for _ in 0..10 {
        let (dir, tmp) = folder();
        plant(
            &dir,
            &format!("{}:{}", dead_pid(), host_name()),
            Duration::ZERO,
        );
        let options = Options {
            lock_wait: Duration::from_secs(10),
            ..options()
        };
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let _lock = Lock::acquire(&tmp, &options).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

/// Its holder may be stopped just before it renames a file into place, and so may those whom that one took it from
/// and, stopped at once, did not come to clear up after.
#[test]
fn who_takes_a_lock_over_removes_what_its_holders_had_ready() {
    let (dir, _) = folder();
    let paths = ["tmp", "courierimapkeywords"].map(|name| dir.path().join(name));
    for path in &paths {
        std::fs::create_dir(path).unwrap();
    }
    let tmp = Dir::open(&paths[0]).unwrap();
    let lock = paths[0].join("courier.lock");
    std::fs::write(&lock, "77:elsewhere").unwrap();
    let age = std::time::SystemTime::now() - Duration::from_secs(130);
    File::options()
        .write(true)
        .open(&lock)
        .unwrap()
        .set_modified(age)
        .unwrap();
    let kept = [
        // A message, the original's, what was made without the lock.
        "tmp/1.M1P77_5.h",
        "tmp/1.M1P77_imapuid_5.h",
        "tmp/1.M1P77_newkeywords5.h",
        "courierimapkeywords/1.M1P77_keywords5.h",
        "courierimapkeywords/.tmp.11.M1P77_newkeywords6.h",
    ];
    let removed = [
        "tmp/1.M1P77_imapuid5.h",
        "tmp/1.M1P7_imapuid5.h",
        "courierimapkeywords/.tmp.11.M1P77_keywords6.h",
    ];
    for name in kept.iter().chain(&removed) {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let taken = Lock::acquire(&tmp, &options()).unwrap();
    assert!(taken.is_ours().unwrap());
    for name in kept {
        assert!(dir.path().join(name).exists(), "{name}");
    }
    for name in removed {
        assert!(!dir.path().join(name).exists(), "{name}");
    }
    drop(taken);
    assert!(!lock.exists());
    assert_eq!(std::fs::read_dir(&paths[0]).unwrap().count(), 3);
}

/// A release must not look like a leftover to another thread at any moment.
#[test]
fn threads_that_come_and_go_never_hold_it_together() {
    let (dir, tmp) = folder();
    let options = Options {
        lock_wait: Duration::from_secs(30),
        ..options()
    };
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..60 {
                    let lock = Lock::acquire(&tmp, &options).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    assert!(lock.is_ours().unwrap());
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// A server that answers with nothing but errors holds a session up for about a second, not for one each time.
#[test]
fn a_release_that_fails_gives_up_soon() {
    let (_dir, tmp) = folder();
    let tmp = tmp.on_network();
    let started = Instant::now();
    // No file system has a name of this length.
    assert!(give_back(&tmp, &[b'x'; 300], (0, 0)).is_err());
    let waited = started.elapsed();
    assert!(waited > Duration::from_millis(500), "{waited:?}");
    assert!(waited < Duration::from_secs(8), "{waited:?}");
}
