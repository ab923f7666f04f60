//! The message cache `courierimapcache`: what is expensive to learn about a message and never changes.
//!
//! Derived data only. It is never trusted (checksum, inode and size must match), may be deleted at any time, and
//! a failure to read or write it never fails a command: callers compute instead. Nothing is ever truncated or
//! changed in place, so a reader needs no lock.
//!
//! On a local file system there is one file, appended to under an OFD lock. On a network file system, where two
//! hosts must not append to one file, every batch becomes a file of its own, written under a temporary name and
//! renamed; compaction folds them together.

mod digest;
mod index;
mod record;
mod segment;
mod store;
mod verify;

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub use digest::Kind;
pub(super) use digest::{About, Digest};
use index::Index;
pub use record::{Field, Key, Record};
use record::{HEADER_LEN, Header};
use segment::Segment;
use store::{Store, raw_in, record_in};
#[cfg(feature = "fuzzing")]
pub(crate) use verify::fuzz;
pub(crate) use verify::is_whole;

/// Name of the file in the folder directory; segments add a dot and a unique part.
pub const FILE_NAME: &str = "courierimapcache";
/// A batch is written when it has grown to this many octets.
const BATCH: usize = 256 * 1024;

/// Where the folder lives; decides how the cache is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Appending under a lock is safe.
    Local,
    /// Several hosts may write: only whole files are added.
    Network,
    /// Somebody else's folder: read, never written.
    ReadOnly,
}

/// The cache of one folder, as one session sees it.
#[derive(Debug)]
pub struct Cache {
    store: Store,
    index: Index,
    batch: Vec<u8>,
}

impl Cache {
    /// The cache of the folder open as `directory`. Nothing is read before the first look-up.
    ///
    /// # Errors
    /// Only when the descriptor cannot be duplicated or examined.
    pub fn open(directory: BorrowedFd<'_>, storage: Storage) -> io::Result<Self> {
        Ok(Self {
            store: Store::open(directory, storage, FILE_NAME.to_owned())?,
            index: Index::default(),
            batch: Vec::new(),
        })
    }

    /// Takes notice of what others have written. To be called once per command that uses the cache; costs one
    /// stat when nothing has changed.
    pub fn refresh(&mut self) {
        self.refresh_within(u64::MAX);
    }

    /// As [`Cache::refresh`], unless more than `limit` octets would have to be looked through; false then. The cache
    /// is not to be used until a later call looks through them: it would not know what it has.
    pub fn refresh_within(&mut self, limit: u64) -> bool {
        let seen = self.store.look();
        let index = &mut self.index;
        if seen.reopened {
            *index = Index::default();
        }
        if seen.unread > limit {
            return false;
        }
        self.store
            .scan(&seen, |place, header, _| index.add(header.hash, place));
        index.settle();
        true
    }

    /// What is known of `key`'s message.
    pub fn get(&mut self, key: &Key<'_>) -> Option<Record<'_>> {
        let place = self.find(key)?;
        // Its checksum was found right just now.
        Record::parse_verified(raw_in(&mut self.store.segments, place)?)
    }

    fn find(&mut self, key: &Key<'_>) -> Option<u64> {
        let Self { index, store, .. } = self;
        let segments = &mut store.segments;
        index
            .places(record::hash(key.base))
            .find(|&place| record_in(segments, place).is_some_and(|record| record.matches(key)))
    }

    /// Remembers `fields` of `key`'s message, beside what is known already. Written with the next batch.
    pub fn add(&mut self, key: &Key<'_>, fields: &[(Field, &[u8])]) {
        if self.store.storage == Storage::ReadOnly {
            return;
        }
        let place = self.find(key);
        let Self { store, batch, .. } = self;
        let segments = &mut store.segments;
        let known = place
            .and_then(|place| raw_in(segments, place))
            .and_then(Record::parse_verified);
        let new = fields.iter().map(|&(field, value)| (field as u16, value));
        let kept = known
            .iter()
            .flat_map(Record::fields)
            .filter(|&(tag, _)| !fields.iter().any(|&(field, _)| field as u16 == tag));
        record::encode(key, new.chain(kept), batch);
    }

    /// True while nothing is known of any message.
    pub(crate) fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// True once so much is waiting that it should be written.
    pub fn batch_is_full(&self) -> bool {
        self.batch.len() >= BATCH
    }

    /// Writes what is waiting. When another session holds the lock the batch is dropped: this is a cache, and
    /// nobody waits for it.
    ///
    /// # Errors
    /// The kernel's, ENOSPC and EDQUOT mostly. The batch is dropped; the caller logs at most once and goes on.
    pub fn flush(&mut self) -> io::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.store.write(&batch)
    }

    /// Gives back the memory of buffers; the next use allocates again.
    pub fn release(&mut self) {
        self.batch.shrink_to_fit();
        self.store.release();
    }

    /// True if [`Cache::compact`] would gain something for a folder of `messages` messages.
    pub fn wants_compaction(&self, messages: usize) -> bool {
        let most = messages.saturating_mul(2).saturating_add(256);
        self.store.wants_compaction()
            || (self.store.storage != Storage::ReadOnly && self.index.len() > most)
    }

    /// Writes a new file with the newest record of each message for which `live` is true, and puts it in place
    /// of the old ones.
    ///
    /// # Errors
    /// The kernel's; the old files are then still there.
    pub fn compact(&mut self, mut live: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        self.refresh();
        let index = &self.index;
        let write = |store: &mut Store, file: &File| write_live(store, index, file, &mut live);
        if self.store.replace(write)? {
            self.refresh();
        }
        Ok(())
    }
}

/// Writes the newest record of each message that lives.
fn write_live(
    store: &mut Store,
    index: &Index,
    file: &File,
    live: &mut dyn FnMut(&[u8]) -> bool,
) -> io::Result<()> {
    let segments = &mut store.segments;
    let (mut buffer, mut end) = (Vec::with_capacity(BATCH), 0_u64);
    for place in index.all() {
        let Some(hash) = header_hash(segments, place) else {
            continue;
        };
        let base = record_in(segments, place).map(|record| record.base().to_vec());
        let Some(base) = base else {
            continue;
        };
        // Superseded by a later record of the same name (same inode or not: only one file can exist).
        let newest = index
            .places(hash)
            .find(|&other| record_in(segments, other).is_some_and(|record| record.base() == base));
        if newest != Some(place) || !live(&base) {
            continue;
        }
        if let Some(bytes) = raw_in(segments, place) {
            buffer.extend_from_slice(bytes);
        }
        if buffer.len() >= BATCH {
            file.write_all_at(&buffer, end)?;
            end = end.saturating_add(buffer.len() as u64);
            buffer.clear();
        }
    }
    file.write_all_at(&buffer, end)
}

fn header_hash(segments: &mut [Segment], place: u64) -> Option<u32> {
    let bytes = raw_in(segments, place)?;
    Header::parse(bytes.get(..HEADER_LEN)?).map(|header| header.hash)
}

impl Drop for Cache {
    fn drop(&mut self) {
        // What cannot be written is computed again by the next session.
        self.flush().unwrap_or_default();
    }
}

/// Removes every cache file of the folder at `directory`, for going back to software that does not know them.
///
/// # Errors
/// The kernel's, with the first file that could not be removed.
pub fn remove(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry
            .file_name()
            .as_bytes()
            .starts_with(FILE_NAME.as_bytes())
        {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
