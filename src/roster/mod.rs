//! Who is on: a table of sessions in a file of the directory of pid files, `courier-sessions`, which only root reads.
//!
//! A login program enters its session before it becomes the mail server; nobody strikes it out. A place whose process
//! has ended is free, and is found to be so when room is needed. So a session costs a lock, two reads and a write,
//! the end of a session nothing, and a crash leaves nothing wrong.
//!
//! An account's sessions are in one group of [`GROUP`] places, which its number chooses. What is in the file is not
//! trusted: an entry that makes no sense is a free place.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::config::paths::Paths;

mod entry;
mod shared;

pub use entry::{Entry, Service};
pub(crate) use shared::lock;

/// Octets in front of the places.
const HEADER: usize = entry::LENGTH;
const MAGIC: &[u8; 8] = b"CWHO 1\n\0";
/// Places of one group: as many sessions can an account have that are counted.
pub const GROUP: usize = 64;
const GROUPS: u64 = 1024;
/// Octets of a whole roster, and more than that.
const LENGTH_MAX: u64 = 17 * 1024 * 1024;

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
/// Those of the file: `NotFound` without a directory of pid files, `TimedOut` if somebody holds the lock too long.
pub fn enter(path: &Path, session: &Entry, limit: usize) -> io::Result<Entered> {
    let file = lock(path)?;
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
    let file = match shared::read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(LENGTH_MAX).read_to_end(&mut content)?;
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
