//! The roster with processes that live and processes that have ended.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// A process that lives until it is dropped.
struct Living(Child);

impl Living {
    fn new() -> Self {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn entry(&self, account: &str) -> Entry {
        let mut entry = Entry::now(
            Service::Imap,
            true,
            account.as_bytes(),
            b"::ffff:192.0.2.1",
            b"4711",
        );
        entry.pid = self.0.id();
        entry
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn roster() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("courier-sessions");
    (directory, path)
}

#[test]
fn an_entry_comes_back_as_it_was() {
    let (_directory, path) = roster();
    let process = Living::new();
    let entry = process.entry("alice@example.com");
    assert_eq!(sessions(&path).unwrap(), []);
    assert_eq!(enter(&path, &entry, 0).unwrap(), Entered::Yes);
    assert_eq!(sessions(&path).unwrap(), [entry]);
    drop(process);
    assert_eq!(sessions(&path).unwrap(), []);
}

#[test]
fn the_limit_is_for_each_account_and_the_dead_do_not_count() {
    let (_directory, path) = roster();
    let mut processes: Vec<Living> = (0..3).map(|_| Living::new()).collect();
    for process in &processes {
        assert_eq!(enter(&path, &process.entry("a"), 3).unwrap(), Entered::Yes);
    }
    let more = Living::new();
    assert_eq!(
        enter(&path, &more.entry("a"), 3).unwrap(),
        Entered::Limit(3)
    );
    assert_eq!(enter(&path, &more.entry("b"), 3).unwrap(), Entered::Yes);
    processes.pop();
    assert_eq!(enter(&path, &more.entry("a"), 3).unwrap(), Entered::Yes);
    assert_eq!(
        enter(&path, &more.entry("a"), 3).unwrap(),
        Entered::Limit(3)
    );
}

#[test]
fn places_of_the_dead_are_used_again_and_those_of_the_living_are_not() {
    let (_directory, path) = roster();
    let alive = Living::new();
    assert_eq!(enter(&path, &alive.entry("a"), 0).unwrap(), Entered::Yes);
    let dead = Living::new();
    let entry = dead.entry("a");
    drop(dead);
    for _ in 0..GROUP * 3 {
        assert_eq!(enter(&path, &entry, 0).unwrap(), Entered::Yes);
    }
    assert_eq!(sessions(&path).unwrap().len(), 1);
    for _ in 1..GROUP {
        assert_eq!(enter(&path, &alive.entry("a"), 0).unwrap(), Entered::Yes);
    }
    assert_eq!(enter(&path, &alive.entry("a"), 0).unwrap(), Entered::Full);
}

#[test]
fn another_process_with_the_same_number_is_not_the_session() {
    let process = Living::new();
    let mut entry = process.entry("a");
    assert!(entry.is_alive());
    // Logged in before that process began.
    entry.boot = entry.boot.saturating_sub(Duration::from_secs(1));
    entry.since -= 1;
    assert!(!entry.is_alive());
    // Before the system was started.
    let mut entry = process.entry("a");
    entry.since -= 1000;
    assert!(!entry.is_alive());
    entry.boot += Duration::from_secs(1000);
    assert!(!entry.is_alive());
}

#[test]
fn rubbish_is_replaced_and_never_an_entry() {
    let (_directory, path) = roster();
    let process = Living::new();
    std::fs::write(&path, vec![0xff; 5000]).unwrap();
    assert_eq!(sessions(&path).unwrap(), []);
    assert_eq!(enter(&path, &process.entry("a"), 1).unwrap(), Entered::Yes);
    assert_eq!(sessions(&path).unwrap().len(), 1);
    let mut content = std::fs::read(&path).unwrap();
    for byte in content.iter_mut().skip(HEADER) {
        *byte = 0xff;
    }
    std::fs::write(&path, content).unwrap();
    assert_eq!(sessions(&path).unwrap(), []);
    assert_eq!(enter(&path, &process.entry("a"), 1).unwrap(), Entered::Yes);
}

#[test]
fn what_somebody_else_may_have_put_there_is_left_alone() {
    let (directory, path) = roster();
    let process = Living::new();
    let entry = process.entry("a");
    let other = directory.path().join("shadow");
    std::fs::write(&other, "root:x").unwrap();
    let refused = || {
        assert!(enter(&path, &entry, 1).is_err());
        assert!(sessions(&path).is_err());
        std::fs::remove_file(&path).unwrap();
    };
    std::os::unix::fs::symlink(&other, &path).unwrap();
    refused();
    std::fs::hard_link(&other, &path).unwrap();
    refused();
    assert_eq!(std::fs::read(&other).unwrap(), b"root:x");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused();
    let nobody = directory.path().join("not there");
    std::os::unix::fs::symlink(&nobody, &path).unwrap();
    refused();
    assert!(!nobody.exists());
    if nix::unistd::geteuid().is_root() {
        assert_eq!(enter(&path, &entry, 1).unwrap(), Entered::Yes);
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        refused();
    } else {
        let line = b"skipped: a file of another user, since this is not root\n";
        io::Write::write_all(&mut io::stdout().lock(), line).unwrap();
    }
    assert_eq!(enter(&path, &entry, 1).unwrap(), Entered::Yes);
}

#[test]
fn a_process_that_is_stopped_with_the_lock_holds_nobody_up() {
    let (_directory, path) = roster();
    let process = Living::new();
    let held = lock(&path).unwrap();
    let start = Instant::now();
    let error = enter(&path, &process.entry("a"), 1).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(8));
    drop(held);
    assert_eq!(enter(&path, &process.entry("a"), 1).unwrap(), Entered::Yes);
}
