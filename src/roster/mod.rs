//! Who is on: a table of sessions in a file of the directory of pid files, `courier-sessions`, which only root reads.
//!
//! A login program enters its session before it becomes the mail server; nobody strikes it out. A place whose process
//! has ended is free, and is found to be so when room is needed. So a session costs a lock, two reads and a write,
//! the end of a session nothing, and a crash leaves nothing wrong.
//!
//! An account's sessions are in one group of [`GROUP`] places, which its number chooses. What is in the file is not
//! trusted: an entry that makes no sense is a free place.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use crate::config::paths::Paths;

mod entry;

pub use entry::{Entry, Service};

/// Octets in front of the places.
const HEADER: usize = entry::LENGTH;
const MAGIC: &[u8; 8] = b"CWHO 1\n\0";
/// Places of one group: as many sessions can an account have that are counted.
pub const GROUP: usize = 64;
const GROUPS: u64 = 1024;
/// How long a login waits for another's lock; then it goes on without an entry.
const PATIENCE: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_millis(2);

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// It is in the roster.
    Yes,
    /// It is not: the account has so many sessions already.
    Limit(usize),
    /// It is not: there is no place left.
    Full,
}

/// Where the roster of this installation is.
pub fn path(paths: &Paths) -> PathBuf {
    paths.piddir.join("courier-sessions")
}

/// Enters a session, unless its account has `limit` of them (0: no limit).
///
/// # Errors
/// Those of the file: `NotFound` without a directory of pid files, ETIMEDOUT if somebody holds the lock too long.
pub fn enter(path: &Path, session: &Entry, limit: usize) -> io::Result<Entered> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let file = lock(file)?;
    let mut magic = [0; MAGIC.len()];
    if file.read_at(&mut magic, 0)? < MAGIC.len() || magic != *MAGIC {
        // New, or of another version.
        file.set_len(0)?;
        file.write_all_at(MAGIC, 0)?;
    }
    let number = entry::number_of(&session.account);
    let mut group = Group::read(&file, number % GROUPS)?;
    if limit > 0 && group.count(number) >= limit {
        group.sweep();
        let count = group.count(number);
        if count >= limit {
            return Ok(Entered::Limit(count));
        }
    }
    let free = group.free().or_else(|| {
        group.sweep();
        group.free()
    });
    let Some(place) = free else {
        return Ok(Entered::Full);
    };
    group.write(&file, place, session)?;
    Ok(Entered::Yes)
}

/// All sessions that are on, those that logged in first in front. Empty without a roster.
///
/// # Errors
/// Those of reading the file.
pub fn sessions(path: &Path) -> io::Result<Vec<Entry>> {
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    if !content.starts_with(MAGIC) {
        return Ok(Vec::new());
    }
    let places = content.get(HEADER..).unwrap_or_default();
    let mut sessions: Vec<Entry> = places
        .chunks_exact(entry::LENGTH)
        .filter_map(Entry::decode)
        .filter(Entry::is_alive)
        .collect();
    sessions.sort_by_key(|session| session.boot);
    Ok(sessions)
}

/// Locks a small file that login programs share, for a moment.
///
/// # Errors
/// `TimedOut` if somebody holds it too long.
pub(crate) fn lock(mut file: File) -> io::Result<Flock<File>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(locked),
            Err((unlocked, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < deadline => {
                file = unlocked;
                std::thread::sleep(RETRY);
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Err(io::ErrorKind::TimedOut.into()),
            Err((_, errno)) => return Err(errno.into()),
        }
    }
}

/// The places that one account can have, as they were read.
struct Group {
    start: u64,
    bytes: Vec<u8>,
}

impl Group {
    fn read(file: &File, index: u64) -> io::Result<Self> {
        let length = GROUP.saturating_mul(entry::LENGTH);
        let to_u64 = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let start = to_u64(HEADER).saturating_add(index.saturating_mul(to_u64(length)));
        let mut bytes = vec![0; length];
        let mut read = 0;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            // What is beyond the end of the file are free places.
            match file.read_at(rest, start.saturating_add(to_u64(read)))? {
                0 => break,
                count => read = read.saturating_add(count),
            }
        }
        Ok(Self { start, bytes })
    }

    fn places(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(entry::LENGTH)
    }

    fn count(&self, number: u64) -> usize {
        self.places()
            .filter(|place| {
                entry::pid_in(place) != Some(0) && entry::number_in(place) == Some(number)
            })
            .count()
    }

    fn free(&self) -> Option<usize> {
        self.places()
            .position(|place| entry::pid_in(place) == Some(0))
    }

    /// Frees the places of sessions that have ended. The file is not changed: the next one finds the same.
    fn sweep(&mut self) {
        for place in self.bytes.chunks_exact_mut(entry::LENGTH) {
            if !Entry::decode(place).is_some_and(|session| session.is_alive()) {
                place.fill(0);
            }
        }
    }

    /// Writes the entry, and with it what a sweep has freed.
    fn write(&mut self, file: &File, place: usize, session: &Entry) -> io::Result<()> {
        let start = place.saturating_mul(entry::LENGTH);
        let end = start.saturating_add(entry::LENGTH);
        if let Some(bytes) = self.bytes.get_mut(start..end) {
            bytes.copy_from_slice(&session.encode());
        }
        file.write_all_at(&self.bytes, self.start)
    }
}

#[cfg(test)]
mod tests;
