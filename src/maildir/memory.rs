//! What is remembered of a folder's messages between sessions: the message cache, asked by position in a snapshot.
//!
//! A hit costs no system call: the file's name and inode are known from the listing, its size from its name. Where
//! the name promises no size (`,S=`, which our own deliveries have) the first one costs a stat; from then on the size
//! is remembered in the view and in the folder index.
//! Nothing in here ever fails a command. Somebody else's folder has no memory: what that owner could have written into the
//! file would go to the client as it is.

mod rows;

use std::io::{self, ErrorKind};
use std::time::SystemTime;

use nix::sys::stat::SFlag;

use super::cache::{Cache, Field, Key, Record, Storage};
use super::filename;
use super::files;
use super::folder::{Folder, OpenMessage};
use super::snapshot::{Message, Snapshot};
use crate::sys::log::{Level, log};
use rows::Shelf;

/// Octets of cache that are looked through in about the time that one message takes to be opened and parsed.
pub(super) const PER_MESSAGE: u64 = 32 * 1024;
/// A cache of this size is looked through even for one message.
pub(super) const SMALL: u64 = 256 * 1024;

/// A file's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Size in bytes as stored.
    pub size: u64,
    /// INTERNALDATE, the file's modification time.
    pub internal_date: SystemTime,
}

/// The memory of one folder. Costs nothing until it is used.
#[derive(Debug, Default)]
pub struct Memory {
    state: State,
    /// What looking through the file may cost: as much as was asked for.
    credit: u64,
    /// The cache knows what its file holds.
    ready: bool,
    warned: bool,
    sort: Shelf,
    thread: Shelf,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unopened,
    Open(Cache),
    /// Not to be used in this session.
    Unusable,
}

impl Memory {
    /// Begins a command that asks for `messages` messages. False if the memory is of no use to it.
    pub fn begin(&mut self, folder: &Folder, messages: usize) -> bool {
        self.ready = false;
        if matches!(self.state, State::Unopened) {
            self.state = Self::open(folder);
        }
        let State::Open(cache) = &mut self.state else {
            return false;
        };
        self.credit = self
            .credit
            .saturating_add(PER_MESSAGE.saturating_mul(messages as u64));
        self.ready = cache.refresh_within(self.credit.max(SMALL));
        self.ready
    }

    /// As [`Memory::begin`] for one message more of a command that does not know how many it will ask for.
    pub fn one_more(&mut self, folder: &Folder) -> bool {
        self.ready || self.begin(folder, 1)
    }

    fn open(folder: &Folder) -> State {
        use std::os::fd::AsFd;
        let Some(storage) = storage(folder) else {
            return State::Unusable;
        };
        Cache::open(folder.inner.dir.as_fd(), storage).map_or(State::Unusable, State::Open)
    }

    fn cache(&mut self) -> Option<&mut Cache> {
        match &mut self.state {
            State::Open(cache) if self.ready => Some(cache),
            _ => None,
        }
    }

    /// What is known of the message at `index`.
    pub fn get(
        &mut self,
        folder: &Folder,
        snapshot: &mut Snapshot,
        index: usize,
    ) -> Option<Record<'_>> {
        let cache = self.cache()?;
        let mut message = *snapshot.get(index)?;
        if snapshot.promised_size(&message).is_none() {
            let (inode, attributes) = look(folder, snapshot, &message)?;
            snapshot.note_size(index, inode, attributes.size);
            message = *snapshot.get(index)?;
        }
        let key = key(snapshot, &message, None)?;
        cache.get(&key)
    }

    /// Remembers `fields` of the message at `index`, which `opened` was read from. Does nothing unless that is
    /// certainly the file that the snapshot means.
    pub fn add(
        &mut self,
        snapshot: &mut Snapshot,
        index: usize,
        opened: (u64, u64),
        fields: &[(Field, &[u8])],
    ) {
        let Some(cache) = self.cache() else {
            return;
        };
        let (size, inode) = opened;
        snapshot.note_size(index, inode, size);
        let key = snapshot
            .get(index)
            .and_then(|message| key(snapshot, message, Some(opened)));
        let Some(key) = key else {
            return;
        };
        cache.add(&key, fields);
        if cache.batch_is_full() {
            self.write();
        }
    }

    /// Ends a command: writes what it has found out.
    pub fn end(&mut self) {
        self.write();
        if let State::Open(cache) = &mut self.state {
            cache.release();
        }
        self.ready = false;
        self.end_rows();
    }

    /// Gives back all memory that this holds, until the next command that asks.
    pub fn rest(&mut self) {
        self.end();
        if matches!(self.state, State::Open(_)) {
            self.state = State::Unopened;
        }
        self.rest_rows();
    }

    fn write(&mut self) {
        let State::Open(cache) = &mut self.state else {
            return;
        };
        if let Err(error) = cache.flush() {
            self.warn(&error);
        }
    }

    /// A cache that cannot be written: said once.
    fn warn(&mut self, error: &io::Error) {
        // The mailbox was deleted.
        if error.kind() != ErrorKind::NotFound && !std::mem::replace(&mut self.warned, true) {
            let name = super::cache::FILE_NAME;
            log(Level::Warning, format_args!("{name}: {error}"));
        }
    }

    /// Ends the use of the folder: tidies up if the file has grown far beyond what `snapshot` needs.
    pub fn finish(&mut self, snapshot: &Snapshot) {
        self.end();
        self.finish_rows(snapshot);
        let State::Open(cache) = &mut self.state else {
            return;
        };
        let known = cache.refresh_within(self.credit.max(SMALL));
        if known && cache.wants_compaction(snapshot.len()) {
            let names = snapshot.index();
            if let Err(error) = cache.compact(|base| names.contains_key(base)) {
                self.warn(&error);
            }
        }
    }
}

/// How what is remembered of a folder is kept; `None` for somebody else's.
fn storage(folder: &Folder) -> Option<Storage> {
    let inner = &folder.inner;
    let ours = nix::sys::stat::fstat(&inner.dir)
        .is_ok_and(|stat| stat.st_uid == nix::unistd::geteuid().as_raw());
    ours.then_some(if inner.network {
        Storage::Network
    } else {
        Storage::Local
    })
}

/// The name of a message in the cache; `None` if it cannot be told which file it is. `opened` is size and inode of the
/// file that was opened for it.
fn key<'a>(
    snapshot: &'a Snapshot,
    message: &Message,
    opened: Option<(u64, u64)>,
) -> Option<Key<'a>> {
    if message.is_gone() || message.is_unlocated() || message.inode() == 0 {
        return None;
    }
    let name = snapshot.name(message);
    let size = match (opened, filename::stored_size(name)) {
        (Some((size, inode)), promised) => {
            let same = Message::fold_inode(inode) == message.inode()
                && promised.is_none_or(|promised| promised == size);
            same.then_some(size)?
        }
        (None, Some(size)) => size,
        (None, None) => message.known_size()?,
    };
    Some(Key {
        base: filename::base(name),
        inode: u64::from(message.inode()),
        size,
    })
}

/// Inode and attributes of the file that the snapshot names, if it is there and a regular file.
fn look(folder: &Folder, snapshot: &Snapshot, message: &Message) -> Option<(u64, Attributes)> {
    let dir = folder.inner.place(message);
    let stat = dir.stat(snapshot.name(message)).ok().flatten()?;
    let regular = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    let attributes = Attributes {
        size: u64::try_from(stat.st_size).ok()?,
        internal_date: files::modified(&stat),
    };
    regular.then_some((stat.st_ino, attributes))
}

impl Folder {
    /// Attributes of the message at `index` without opening it; `None` if only [`Folder::open_message`] can tell:
    /// it was renamed or removed, or is on a file server.
    pub fn attributes(&self, snapshot: &Snapshot, index: usize) -> Option<Attributes> {
        let message = snapshot.get(index)?;
        if self.inner.network || message.is_gone() || message.is_unlocated() {
            return None;
        }
        look(self, snapshot, message).map(|(_, attributes)| attributes)
    }
}

impl OpenMessage {
    /// What [`Memory::add`] wants to know of the file.
    pub fn identity(&self) -> (u64, u64) {
        (self.size, self.inode)
    }
}

#[cfg(test)]
mod tests;
