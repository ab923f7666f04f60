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

mod judge;
mod takeover;

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use super::error::{Error, ErrorKind, Result};
use super::files::{self, Dir};
use super::options::{Options, host_name};
use crate::sys::log::{Level, log};
use judge::{Verdict, judge};
use takeover::{Takeover, take_over};

const LOCK: &[u8] = b"courier.lock";
const BREAK: &[u8] = b"courier.lock.break";

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
        match &self.held {
            Some(held) => is_file(self.tmp, LOCK, held.identity),
            None => Ok(true),
        }
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
        if let Some(lock) = self.held.take() {
            if let Err(error) = give_back(self.tmp, LOCK, lock.identity) {
                log(Level::Err, format_args!("{error}"));
            }
        }
    }
}

/// Removes a lock file of ours, if it is ours still.
fn give_back(tmp: &Dir, name: &[u8], identity: (u64, u64)) -> Result<()> {
    // The whole of it is asked again: one that is asked again within would make a second into ten.
    let removed = insist(tmp, || match look(tmp, name, identity)? {
        true => tmp.remove(name),
        false => Ok(()),
    });
    // The file first: one that is there and not known as ours is a leftover, which another thread takes away, and
    // then this would remove the lock of whoever came next.
    held().remove(&identity);
    removed
}

/// True if the lock file `name` is the one with this device and inode.
fn is_file(tmp: &Dir, name: &[u8], identity: (u64, u64)) -> Result<bool> {
    insist(tmp, || look(tmp, name, identity))
}

/// As [`is_file`], asked once.
fn look(tmp: &Dir, name: &[u8], identity: (u64, u64)) -> Result<bool> {
    // Looked for on the server and opened, so that on a network file system another host's lock is not taken for ours.
    tmp.look_again(name);
    let lock = tmp.open_file(name)?;
    Ok(lock.is_some_and(|(_, stat)| (stat.st_dev, stat.st_ino) == identity))
}

/// Asks for about a second what a network file system answers with an error. Nobody else could tell that a lock file
/// of ours is one that we do not hold, or do not know of: all would wait until it is old.
fn insist<T>(tmp: &Dir, ask: impl Fn() -> Result<T>) -> Result<T> {
    let mut pause = Duration::from_millis(1);
    loop {
        match ask() {
            Err(_) if tmp.is_on_network() && pause < Duration::from_secs(1) => {
                std::thread::sleep(pause);
                pause *= 2;
            }
            answer => return answer,
        }
    }
}

/// Makes a file of ours under a unique name, with the content of a lock file.
fn make(tmp: &Dir, options: &Options) -> Result<(Vec<u8>, File, FileStat)> {
    let (unique, file) = tmp.create_unique("courierlock", &options.host, 0o644)?;
    let unique = unique.tmp();
    let content = format!("{}:{}", std::process::id(), host_name());
    match files::write_all(&file, content.as_bytes(), false, &tmp.path_of(&unique)) {
        Ok(stat) => Ok((unique, file, stat)),
        Err(error) => {
            discard(tmp, &unique);
            Err(error)
        }
    }
}

/// Removes a name that has served. It is not worth failing for: what is left is purged after 36 hours.
fn discard(tmp: &Dir, unique: &[u8]) {
    if let Err(error) = tmp.remove(unique) {
        log(Level::Debug, format_args!("{error}"));
    }
}

/// Tries once to make the lock file `name`; its device and inode when it is ours.
fn take(tmp: &Dir, name: &[u8], options: &Options) -> Result<Option<Held>> {
    let (unique, file, stat) = make(tmp, options)?;
    let identity = (stat.st_dev, stat.st_ino);
    let result = link_and_judge(tmp, &unique, name, &file, identity);
    discard(tmp, &unique);
    Ok(result?.then_some(Held {
        identity,
        _file: file,
    }))
}

/// True if the lock file is ours now.
fn link_and_judge(
    tmp: &Dir,
    unique: &[u8],
    name: &[u8],
    file: &File,
    identity: (u64, u64),
) -> Result<bool> {
    // Known as ours before anybody can see it, so that another thread never judges it a leftover.
    held().insert(identity);
    let linked = tmp.link(unique, tmp, name);
    let ours = match tmp.stat_open(file) {
        Ok(stat) => Ok(stat.st_nlink == 2),
        // What the link count would have told: the lock may be ours, and nobody would ever give it back.
        Err(_) => is_file(tmp, name, identity),
    };
    if matches!(ours, Ok(true)) {
        return ours;
    }
    held().remove(&identity);
    match linked {
        Ok(()) | Err(Errno::EEXIST) => ours,
        Err(errno) => Err(tmp.error("link", name, errno)),
    }
}

/// Between half of `pause` and one and a half, so that waiters do not move in step.
fn jitter(pause: Duration) -> Duration {
    // RandomState is seeded from the system: a small source of randomness without another dependency.
    let random = RandomState::new().build_hasher().finish();
    let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX).max(2);
    Duration::from_micros(micros / 2 + random % micros)
}

#[cfg(test)]
mod tests;
