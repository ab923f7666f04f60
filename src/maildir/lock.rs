//! The folder lock `tmp/courier.lock`: Courier's own dot-lock, to the byte, so that old and new servers on one store
//! exclude each other (contract: maildir 10; rules: shared-storage 1-5).
//!
//! - Content is exactly `pid:hostname`. It is made under a unique name and linked into place; success is judged by
//!   the link count, since a network file system may lose the reply to link().
//! - A lock is stale when its owner on this host is dead, or when its file is older than 120 s by the file server's
//!   clock, even if a process of that pid lives (another container may share the host name).
//! - Taking a stale lock over is exclusive: `courier.lock.break` is taken first and the lock judged again.
//! - The holder recognises its lock by device and inode of the descriptor it keeps open and checks that before it
//!   relies on it ([`Lock::is_ours`]), when a new file is ready and only to be renamed or linked into place. It may be
//!   stopped between that look and the rename: so who takes a lock over removes the files that its holder had ready.
//! - Waiting is short polling with a bound; liveness is judged at every poll.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::stat::{UtimensatFlags, fstat, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use super::error::{Error, ErrorKind, Result};
use super::files::{self, Dir, Stamp};
use super::options::{Options, host_name};
use crate::sys::log::{Level, log};

const LOCK: &[u8] = b"courier.lock";
const BREAK: &[u8] = b"courier.lock.break";

/// Age at which any lock is stale.
const STALE_AFTER: Duration = Duration::from_secs(120);
/// Longest pause between two looks at a lock held by somebody else.
const POLL_MAX: Duration = Duration::from_millis(100);

/// Locks that this process holds, by device and inode: the one case in which our own pid in a lock file does not
/// mean a leftover of a dead process that had the same pid.
static HELD: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

fn held() -> std::sync::MutexGuard<'static, BTreeSet<(u64, u64)>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder lock. Dropping it releases it.
#[derive(Debug)]
pub(crate) struct Lock<'a> {
    tmp: &'a Dir,
    /// `None` when locks are switched off.
    held: Option<Held>,
    renewed: Instant,
}

/// A lock file of ours. The open descriptor keeps its inode number from being used again while we rely on it.
#[derive(Debug)]
struct Held {
    identity: (u64, u64),
    _file: File,
}

/// What a look at somebody's lock file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// No lock file.
    Free,
    /// The owner may be alive.
    Held,
    /// Nobody can be holding it. Names the file, so that no other one is removed, and the pid in it.
    Stale(Stamp, Option<u32>),
}

impl<'a> Lock<'a> {
    /// Takes the lock of the folder whose `tmp` is given, waiting at most `options.lock_wait`.
    ///
    /// # Errors
    /// `Locked` after the wait; otherwise why no lock file can be made.
    pub(crate) fn acquire(tmp: &'a Dir, options: &Options) -> Result<Self> {
        if !options.use_locks {
            return Ok(Self {
                tmp,
                held: None,
                renewed: Instant::now(),
            });
        }
        let deadline = Instant::now() + options.lock_wait;
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(held) = take(tmp, LOCK, options)? {
                return Ok(Self {
                    tmp,
                    held: Some(held),
                    renewed: Instant::now(),
                });
            }
            match judge(tmp, LOCK, options)? {
                Verdict::Free => {
                    // Released meanwhile; but an endless stream of others must not make us spin.
                    if Instant::now() >= deadline {
                        return Err(Error::new(ErrorKind::Locked, "lock", &tmp.path_of(LOCK)));
                    }
                    std::thread::sleep(jitter(Duration::from_millis(1)));
                    continue;
                }
                Verdict::Stale(..) => match take_over(tmp, options)? {
                    Takeover::Taken(held) => {
                        return Ok(Self {
                            tmp,
                            held: Some(held),
                            renewed: Instant::now(),
                        });
                    }
                    Takeover::Changed => continue,
                    Takeover::No => {}
                },
                Verdict::Held => {}
            }
            if Instant::now() >= deadline {
                return Err(Error::new(ErrorKind::Locked, "lock", &tmp.path_of(LOCK)));
            }
            std::thread::sleep(jitter(pause));
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    /// True while the lock file is still the one that we made. Asked immediately before a file that the lock
    /// protects is replaced: a holder that was stopped for long may have lost it.
    pub(crate) fn is_ours(&self) -> Result<bool> {
        let Some(held) = &self.held else {
            return Ok(true);
        };
        // Opened, so that on a network file system another host's lock is not taken for ours.
        let lock = self.tmp.open_file(LOCK)?;
        Ok(lock.is_some_and(|(_, stat)| (stat.st_dev, stat.st_ino) == held.identity))
    }

    /// Renews the lock's time if it is held for long; cheap to call in a loop.
    pub(crate) fn renew(&mut self) -> Result<()> {
        if self.held.is_none() || self.renewed.elapsed() < Duration::from_secs(20) {
            return Ok(());
        }
        if self.is_ours()? {
            let now = TimeSpec::UTIME_NOW;
            utimensat(self.tmp, LOCK, &now, &now, UtimensatFlags::NoFollowSymlink)
                .map_err(|errno| self.tmp.error("utimens", LOCK, errno))?;
        }
        self.renewed = Instant::now();
        Ok(())
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        let ours = self.is_ours().unwrap_or(false);
        let Some(lock) = self.held.take() else {
            return;
        };
        // The file first: one that is there and not known as ours is a leftover, which another thread takes away,
        // and then this would remove the lock of whoever came next.
        if ours {
            if let Err(error) = self.tmp.remove(LOCK) {
                log(Level::Err, format_args!("{error}"));
            }
        }
        held().remove(&lock.identity);
    }
}

/// Tries once to make the lock file `name`; its device and inode when it is ours.
fn take(tmp: &Dir, name: &[u8], options: &Options) -> Result<Option<Held>> {
    let (unique, file) = tmp.create_unique("courierlock", &options.host, 0o644)?;
    let unique = unique.tmp();
    let content = format!("{}:{}", std::process::id(), host_name());
    let result = files::write_all(&file, content.as_bytes(), false, &tmp.path_of(&unique))
        .and_then(|stat| link_and_judge(tmp, &unique, name, &file, (stat.st_dev, stat.st_ino)));
    tmp.remove(&unique)?;
    Ok(result?.map(|identity| Held {
        identity,
        _file: file,
    }))
}

fn link_and_judge(
    tmp: &Dir,
    unique: &[u8],
    name: &[u8],
    file: &File,
    identity: (u64, u64),
) -> Result<Option<(u64, u64)>> {
    // Known as ours before anybody can see it, so that another thread never judges it a leftover.
    held().insert(identity);
    let linked = tmp.link(unique, tmp, name);
    match tmp.stat_open(file) {
        Ok(stat) if stat.st_nlink == 2 => return Ok(Some(identity)),
        Ok(_) => {}
        Err(errno) => {
            held().remove(&identity);
            return Err(tmp.error("stat", unique, errno));
        }
    }
    held().remove(&identity);
    match linked {
        Ok(()) | Err(Errno::EEXIST) => Ok(None),
        Err(errno) => Err(tmp.error("link", name, errno)),
    }
}

/// Looks at the lock file `name`.
fn judge(tmp: &Dir, name: &[u8], options: &Options) -> Result<Verdict> {
    let Some(stat) = tmp.stat(name)? else {
        return Ok(Verdict::Free);
    };
    let content = match tmp.read(name, 4096) {
        Ok(Some((content, _))) => content,
        Ok(None) => {
            return Ok(if tmp.stat(name)?.is_none() {
                Verdict::Free
            } else {
                Verdict::Held
            });
        }
        // Unreadable: only its age can tell.
        Err(_) => Vec::new(),
    };
    let identity = (stat.st_dev, stat.st_ino);
    let stale = Verdict::Stale(Stamp::of(&stat), parse(&content).map(|(pid, _)| pid));
    match owner(&content, host_name().as_bytes()) {
        Some(pid) if pid == std::process::id() && !held().contains(&identity) => {
            return Ok(stale);
        }
        Some(pid) => {
            let dead = i32::try_from(pid)
                .is_ok_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH));
            if dead {
                return Ok(stale);
            }
        }
        None => {}
    }
    // Younger by the local clock and by a margin for its error: no need to bother the server.
    let age = server_now(tmp, options)?
        .duration_since(files::modified(&stat))
        .unwrap_or_default();
    Ok(if age > STALE_AFTER {
        stale
    } else {
        Verdict::Held
    })
}

/// Pid and host in a lock file; `None` for unparsable content.
fn parse(content: &[u8]) -> Option<(u32, &[u8])> {
    let colon = memchr::memchr(b':', content)?;
    let (pid, rest) = content.split_at_checked(colon)?;
    let pid: u32 = std::str::from_utf8(pid).ok()?.parse().ok()?;
    (pid > 0).then_some((pid, rest.get(1..)?))
}

/// The pid in a lock file of this host; `None` for other hosts and unparsable content.
fn owner(content: &[u8], host: &[u8]) -> Option<u32> {
    let (pid, found) = parse(content)?;
    (found == host).then_some(pid)
}

/// The file server's time, by a file made there.
fn server_now(tmp: &Dir, options: &Options) -> Result<std::time::SystemTime> {
    let (unique, file) = tmp.create_unique("courierlock", &options.host, 0o644)?;
    let unique = unique.tmp();
    let touched = futimens(&file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW)
        .and_then(|()| fstat(&file))
        .map_err(|errno| tmp.error("stat", &unique, errno));
    tmp.remove(&unique)?;
    Ok(files::modified(&touched?))
}

/// What [`take_over`] did.
enum Takeover {
    /// The lock is ours.
    Taken(Held),
    /// It may be free now.
    Changed,
    /// It is not stale, or somebody else is at it.
    No,
}

/// Makes a stale lock ours under the exclusive right to do so. It is never free in between: until what its old
/// holder had ready is removed nobody else may begin.
fn take_over(tmp: &Dir, options: &Options) -> Result<Takeover> {
    let Some(breaker) = take(tmp, BREAK, options)? else {
        // Somebody else is at it, or died at it.
        if let Verdict::Stale(stamp, _) = judge(tmp, BREAK, options)? {
            remove_if(tmp, BREAK, stamp)?;
            return Ok(Takeover::Changed);
        }
        return Ok(Takeover::No);
    };
    let result = match judge(tmp, LOCK, options) {
        Ok(Verdict::Stale(stamp, pid)) => replace_stale(tmp, options, stamp, pid),
        Ok(Verdict::Free) => Ok(Takeover::Changed),
        Ok(Verdict::Held) => Ok(Takeover::No),
        Err(error) => Err(error),
    };
    let ours = tmp
        .stat(BREAK)?
        .is_some_and(|stat| (stat.st_dev, stat.st_ino) == breaker.identity);
    let removed = if ours { tmp.remove(BREAK) } else { Ok(()) };
    held().remove(&breaker.identity);
    removed?;
    if matches!(result, Ok(Takeover::Taken(_))) {
        log(
            Level::Info,
            format_args!("removed the stale lock {}", tmp.path_of(LOCK).display()),
        );
    }
    result
}

/// Puts a lock of ours in the place of the stale one, which had that stamp and pid.
fn replace_stale(tmp: &Dir, options: &Options, stale: Stamp, pid: Option<u32>) -> Result<Takeover> {
    let (unique, file) = tmp.create_unique("courierlock", &options.host, 0o644)?;
    let unique = unique.tmp();
    let content = format!("{}:{}", std::process::id(), host_name());
    let replaced = files::write_all(&file, content.as_bytes(), false, &tmp.path_of(&unique))
        .and_then(|stat| {
            if tmp.stamp_of(LOCK)? != Some(stale) {
                return Ok(None);
            }
            let identity = (stat.st_dev, stat.st_ino);
            held().insert(identity);
            match tmp.replace(&unique, tmp, LOCK) {
                // Done, and only the answer is lost.
                Err(_) if tmp.is_on_network() && files::is_in_place(tmp, LOCK, &stat) => {}
                Ok(()) => {}
                Err(error) => {
                    held().remove(&identity);
                    return Err(error);
                }
            }
            Ok(Some(identity))
        });
    let Ok(Some(identity)) = replaced else {
        tmp.remove(&unique)?;
        return replaced.map(|_| Takeover::Changed);
    };
    let lock = Held {
        identity,
        _file: file,
    };
    if let Some(pid) = pid {
        remove_staged(tmp, pid);
    }
    Ok(Takeover::Taken(lock))
}

/// Removes the files that a process had ready to put in place under its lock. A process with that pid on another
/// host may lose one too: it then does its work again, as the stopped one does.
fn remove_staged(tmp: &Dir, pid: u32) {
    let remove = |dir: &Dir, dot: bool| {
        let mut names = Vec::new();
        let listed = dir.list(|entry| {
            if is_staged(entry.name, pid) && entry.name.starts_with(b".") == dot {
                names.push(entry.name.to_vec());
            }
        });
        // Nothing more can be done than to try: the process is stopped or dead in all likelihood.
        let removed = names.iter().try_for_each(|name| dir.remove(name));
        if let Err(error) = listed.and(removed) {
            log(Level::Err, format_args!("{error}"));
        }
    };
    remove(tmp, false);
    if let Ok(keywords) = tmp.open_dir(b"../courierimapkeywords") {
        remove(&keywords, true);
    }
}

/// True for the name of a file that this program made under a folder's lock: `...P<pid>_<purpose><number>...`.
fn is_staged(name: &[u8], pid: u32) -> bool {
    let middle = format!("P{pid}_");
    memchr::memmem::find(name, middle.as_bytes())
        .and_then(|start| name.get(start + middle.len()..))
        .is_some_and(|rest| {
            ["imapuid", "keywords", "pop3"].iter().any(|purpose| {
                rest.strip_prefix(purpose.as_bytes())
                    .and_then(<[u8]>::first)
                    .is_some_and(u8::is_ascii_digit)
            })
        })
}

/// Removes `name` if it is still the very file that was judged; times included, as inode numbers are used again.
fn remove_if(tmp: &Dir, name: &[u8], stamp: Stamp) -> Result<()> {
    if tmp.stamp_of(name)? == Some(stamp) {
        tmp.remove(name)?;
    }
    Ok(())
}

/// Between half of `pause` and one and a half, so that waiters do not move in step.
fn jitter(pause: Duration) -> Duration {
    // RandomState is seeded from the system: a small source of randomness without another dependency.
    let random = RandomState::new().build_hasher().finish();
    let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX).max(2);
    Duration::from_micros(micros / 2 + random % micros)
}

#[cfg(test)]
mod tests {
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

    /// Its holder may be stopped just before it renames a file into place.
    #[test]
    fn who_takes_a_lock_over_removes_what_its_holder_had_ready() {
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
            // A message, the original's, another process's.
            "tmp/1.M1P77_5.h",
            "tmp/1.M1P77_imapuid_5.h",
            "tmp/1.M1P7_imapuid5.h",
            "courierimapkeywords/1.M1P77_keywords5.h",
        ];
        let removed = [
            "tmp/1.M1P77_imapuid5.h",
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
}
