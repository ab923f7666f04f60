//! The digests `courierimapcache.sort` and `courierimapcache.thread`: what one kind of command asks of every message,
//! packed, so that asking a folder costs one pass over a few octets a message and nothing of the large records beside.
//!
//! The files are made of records like the cache's (damage, locks and several hosts are the same), but each holds many
//! messages. The record's key is the one below, with UIDVALIDITY in the place of the inode; its only field is rows,
//! little-endian, each padded to a multiple of 4:
//!
//! ```text
//!  0  u32  UID
//!  4  u32  inode of the message file, folded
//!  8  u32  checksum that the caller makes of the file's name and size
//! 12  u32  length of the value
//! 16       value, in the form that the protocol layer chooses
//! ```
//! A row counts if all of that matches; the newest of a UID wins.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use super::record::{self, HEADER_LEN, Key, Record};
use super::segment::Segment;
use super::store::{Store, segment_of};
use super::{BATCH, FILE_NAME, Storage};

/// Key of the records; the last octet is the version of the rows.
const NAME: &[u8] = b"R\x01";
/// Number of the field that holds the rows.
const ROWS: u16 = 1;
/// Where the rows begin in a record.
const ROWS_AT: usize = HEADER_LEN + NAME.len() + 6;
/// Octets before a row's value.
const ROW: usize = 16;
/// Rows begin at multiples of it.
const ALIGN: usize = 4;
/// A longer value is not remembered.
pub(super) const VALUE_MAX: usize = 16 * 1024;

/// What is asked of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sent date and subject, for SORT and SEARCH.
    Sort,
    /// Message id, references and subject, for THREAD.
    Thread,
}

impl Kind {
    /// What the name of the file has behind that of the cache.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Sort => ".sort",
            Self::Thread => ".thread",
        }
    }
}

/// Which message a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::maildir) struct About {
    pub(in crate::maildir) uid: u32,
    /// As the folder index has it.
    pub(in crate::maildir) inode: u32,
    /// Of the name and size of its file.
    pub(in crate::maildir) sum: u32,
}

/// One digest of one folder, as one session sees it.
#[derive(Debug)]
pub(in crate::maildir) struct Digest {
    store: Store,
    uid_validity: u32,
    /// UID and place, in units of [`ALIGN`], of the newest row of each message, by UID.
    rows: Vec<(u32, u32)>,
    /// Where the next row is looked for first.
    next: usize,
    /// Rows in the files, those superseded included.
    total: usize,
    /// There are records of another UIDVALIDITY or version.
    foreign: bool,
    batch: Vec<u8>,
}

impl Digest {
    /// The digest of the folder open as `directory`. Nothing is read yet.
    ///
    /// # Errors
    /// Only when the descriptor cannot be duplicated or examined.
    pub(in crate::maildir) fn open(
        directory: BorrowedFd<'_>,
        storage: Storage,
        kind: Kind,
        uid_validity: u32,
    ) -> io::Result<Self> {
        let name = [FILE_NAME, kind.suffix()].concat();
        Ok(Self {
            store: Store::open(directory, storage, name)?,
            uid_validity,
            rows: Vec::new(),
            next: 0,
            total: 0,
            foreign: false,
            batch: Vec::new(),
        })
    }

    /// Takes notice of what others have written, as [`super::Cache::refresh_within`].
    pub(in crate::maildir) fn refresh_within(&mut self, limit: u64) -> bool {
        let seen = self.store.look();
        if seen.reopened {
            self.rows.clear();
            (self.next, self.total, self.foreign) = (0, 0, false);
        }
        if seen.unread > limit {
            return false;
        }
        let key = key(self.uid_validity);
        let known = self.rows.len();
        let (rows, foreign) = (&mut self.rows, &mut self.foreign);
        self.store.scan(&seen, |place, _, record| {
            let Some(found) = rows_in(&record, &key) else {
                *foreign = true;
                return;
            };
            let start = place.saturating_add(ROWS_AT as u64);
            for (at, about, _) in Rows::new(found) {
                let place = start.saturating_add(at as u64) / ALIGN as u64;
                // One beyond 16 GiB is not found again.
                rows.extend(u32::try_from(place).ok().map(|place| (about.uid, place)));
            }
        });
        let added = rows.len() - known;
        self.total = self.total.saturating_add(added);
        if added > 0 && !rows.is_sorted_by(|a, b| a.0 < b.0) {
            // The newest of each first, which is the one that stays.
            rows.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
            rows.dedup_by_key(|row| row.0);
        }
        true
    }

    /// The place of the newest row of this UID; cheapest in ascending order.
    fn find(&mut self, uid: u32) -> Option<u64> {
        let at = match self.rows.get(self.next) {
            Some(row) if row.0 == uid => self.next,
            _ => self.rows.binary_search_by_key(&uid, |row| row.0).ok()?,
        };
        self.next = at + 1;
        let place = self.rows.get(at)?.1;
        Some(u64::from(place) * ALIGN as u64)
    }

    /// What is remembered of exactly this message.
    pub(in crate::maildir) fn get(&mut self, about: About) -> Option<&[u8]> {
        let place = self.find(about.uid)?;
        let (found, value) = row_at(&mut self.store.segments, place)?;
        (found == about).then_some(value)
    }

    /// True if [`Self::get`] gives something.
    pub(in crate::maildir) fn has(&mut self, about: About) -> bool {
        self.get(about).is_some()
    }

    /// True if there is a row of the UID, of whichever file.
    pub(in crate::maildir) fn knows(&mut self, uid: u32) -> bool {
        self.find(uid).is_some()
    }

    /// Remembers `value`. Written with the next batch. False if a batch should be written now.
    ///
    /// Not for what [`Self::get`] gives already: the files would grow.
    pub(in crate::maildir) fn add(&mut self, about: About, value: &[u8]) -> bool {
        if self.store.storage != Storage::ReadOnly {
            encode(about, value, &mut self.batch);
        }
        self.batch.len() < BATCH
    }

    /// Writes what is waiting.
    ///
    /// # Errors
    /// As [`super::Cache::flush`].
    pub(in crate::maildir) fn flush(&mut self) -> io::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let mut record = Vec::with_capacity(batch.len().saturating_add(ROWS_AT + 8));
        seal(&key(self.uid_validity), &batch, &mut record);
        self.store.write(&record)
    }

    /// Gives back the memory of buffers; the next use allocates again.
    pub(in crate::maildir) fn release(&mut self) {
        self.store.release();
        self.next = 0;
    }

    /// True if [`Self::compact`] would gain something for a folder of `messages` messages.
    pub(in crate::maildir) fn wants_compaction(&self, messages: usize) -> bool {
        let most = messages.saturating_mul(2).saturating_add(256);
        self.store.wants_compaction()
            || (self.store.storage != Storage::ReadOnly && (self.foreign || self.total > most))
    }

    /// Writes new files with the rows of the messages for which `live` gives what they are about now.
    ///
    /// # Errors
    /// The kernel's; the old files are then still there.
    pub(in crate::maildir) fn compact(
        &mut self,
        mut live: impl FnMut(u32) -> Option<About>,
    ) -> io::Result<()> {
        self.refresh_within(u64::MAX);
        let (rows, key) = (&self.rows, key(self.uid_validity));
        self.store.replace(|store, file: &File| {
            let (mut batch, mut sealed, mut end) = (Vec::new(), Vec::new(), 0_u64);
            let mut put = |batch: &mut Vec<u8>| {
                sealed.clear();
                if !batch.is_empty() && seal(&key, batch, &mut sealed) {
                    file.write_all_at(&sealed, end)?;
                    end = end.saturating_add(sealed.len() as u64);
                }
                batch.clear();
                io::Result::Ok(())
            };
            for &(uid, place) in rows {
                let place = u64::from(place) * ALIGN as u64;
                let row = row_at(&mut store.segments, place);
                if let Some((about, value)) = row.filter(|row| live(uid) == Some(row.0)) {
                    encode(about, value, &mut batch);
                }
                if batch.len() >= BATCH {
                    put(&mut batch)?;
                }
            }
            put(&mut batch)
        })?;
        Ok(())
    }
}

/// The key of all records of a folder.
fn key(uid_validity: u32) -> Key<'static> {
    Key {
        base: NAME,
        inode: u64::from(uid_validity),
        size: 0,
    }
}

/// The rows in a record; `None` if it is not one that this version wrote for this folder.
fn rows_in<'a>(record: &Record<'a>, key: &Key<'_>) -> Option<&'a [u8]> {
    let first = record.fields().next().filter(|_| record.matches(key));
    first.filter(|(tag, _)| *tag == ROWS).map(|(_, rows)| rows)
}

fn seal(key: &Key<'_>, rows: &[u8], out: &mut Vec<u8>) -> bool {
    record::encode(key, std::iter::once((ROWS, rows)), out)
}

fn encode(about: About, value: &[u8], out: &mut Vec<u8>) {
    let Some(length) = u32::try_from(value.len())
        .ok()
        .filter(|_| value.len() <= VALUE_MAX)
    else {
        return;
    };
    for number in [about.uid, about.inode, about.sum, length] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// The start of a row: what it is about, and the length of its value.
fn start(bytes: &[u8]) -> Option<(About, usize)> {
    let numbers: &[u8; ROW] = bytes.first_chunk()?;
    let number = |at: usize| {
        let octets = numbers
            .get(at..at + 4)
            .and_then(|octets| octets.try_into().ok());
        octets.map_or(0, u32::from_le_bytes)
    };
    let about = About {
        uid: number(0),
        inode: number(4),
        sum: number(8),
    };
    let length = usize::try_from(number(12)).ok()?;
    (length <= VALUE_MAX).then_some((about, length))
}

fn row_at(segments: &mut [Segment], place: u64) -> Option<(About, &[u8])> {
    let (segment, offset) = segment_of(segments, place)?;
    let (about, length) = start(segment.bytes(offset, ROW)?)?;
    let row = segment.bytes(offset, ROW + length)?;
    Some((about, row.get(ROW..)?))
}

/// The rows of a record: where each begins, what it is about, its value. Ends at the first that is none.
struct Rows<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Rows<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = (usize, About, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let rest = self.bytes.get(at..)?;
        let (about, length) = start(rest)?;
        let value = rest.get(ROW..)?.get(..length)?;
        self.at = at.saturating_add((ROW + length).next_multiple_of(ALIGN));
        Some((at, about, value))
    }
}

/// Takes hostile bytes for rows: each lies in them, and is read again after it was written.
#[cfg(feature = "fuzzing")]
pub(super) fn fuzz(bytes: &[u8]) {
    let mut written = Vec::new();
    let mut octets = 0;
    for (_, about, value) in Rows::new(bytes) {
        octets += ROW + value.len();
        encode(about, value, &mut written);
    }
    assert!(octets <= bytes.len());
    let values = |bytes| Rows::new(bytes).map(|(_, about, value)| (about, value));
    assert!(values(bytes).eq(values(&written)));
}

#[cfg(test)]
mod tests;
