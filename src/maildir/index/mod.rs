//! The folder index `courierimapindex`: a folder as a quiet, complete listing showed it, so that opening it again
//! unchanged needs neither a listing nor the UID database nor the keywords (rules: architecture 4.1, shared-storage
//! 12-13).
//!
//! Derived data only. It says what the folder's directories and files looked like; when any of them looks different
//! now, when the file is not ours alone, or when anything about it makes no sense, it is as if it were not there. It
//! is never changed in place: a new one is renamed over it. A failure to write it never fails a command.

mod format;
mod verify;

use std::io::{self, BufWriter, Read as _, Write as _};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::error::{Error, Result};
use super::files::{Dir, Stamp};
use super::flags::Flags;
use super::folder::{Folder, Inner, Mode};
use super::keywords::KeywordTable;
use super::roll::{Held, Names, Roll, Trust, Unread};
use super::snapshot::{FolderStamps, Message, Snapshot};
use crate::sys::log::{Level, log};
use crate::sys::map::Map;
pub(crate) use format::encode_stamps;
use format::{Header, LENGTH};
#[cfg(feature = "fuzzing")]
pub(crate) use verify::fuzz;
pub(crate) use verify::is_whole;

/// The file's name in the folder.
pub(crate) const NAME: &[u8] = b"courierimapindex";
/// Folders with fewer messages are listed faster than an index is kept.
pub(crate) const WORTH: usize = 200;
/// With so many messages they are read when they are asked for.
pub(crate) const LATE: usize = 1000;
/// A session that changes a folder time and again spends at most one part in so many on its index.
const SHARE: u32 = 50;

/// Opens the index if it is the owner's, and nobody else can write or read it.
fn open(dir: &Dir) -> Option<(std::fs::File, u64)> {
    // Unreadable is as good as absent.
    let (file, stat) = dir.open_file(NAME).ok().flatten()?;
    let ours = stat.st_uid == nix::unistd::geteuid().as_raw() && stat.st_mode & 0o077 == 0;
    ours.then_some((file, u64::try_from(stat.st_size).unwrap_or(0)))
}

/// The folder as the index has it, if it was made of what `stamps` says. With `late` messages or more they are read
/// when they are asked for.
pub(crate) fn load(folder: &Folder, stamps: &FolderStamps, late: usize) -> Option<Snapshot> {
    load_if(folder, stamps, late, |header| {
        header.is_of(stamps, folder.inner.network)
    })
}

/// As [`load`] for a folder in which only `new` looks different: a view of what was there before, which is not told what
/// `new` looked like then.
pub(crate) fn load_without_new(
    folder: &Folder,
    stamps: &FolderStamps,
    late: usize,
) -> Option<Snapshot> {
    let mut view = load_if(folder, stamps, late, |header| {
        header.is_of_cur(stamps, folder.inner.network)
    })?;
    view.stamps = Some(FolderStamps {
        new: Stamp::NEVER,
        ..*stamps
    });
    view.indexed = false;
    Some(view)
}

fn load_if(
    folder: &Folder,
    stamps: &FolderStamps,
    late: usize,
    fits: impl Fn(&Header) -> bool,
) -> Option<Snapshot> {
    let inner = &folder.inner;
    let (mut file, size) = open(&inner.dir)?;
    let mut start = [0_u8; LENGTH];
    file.read_exact(&mut start).ok()?;
    let header = Header::parse(&start)?;
    if header.size()? != size || !fits(&header) {
        return None;
    }
    let mut octets = vec![0; header.keyword_octets()];
    file.read_exact(&mut octets).ok()?;
    let keywords = header.keywords(&octets)?;
    let sets = keywords.table.number_of_sets();
    let uids = header.uids();
    let length = usize::try_from(size).ok()?;
    let roll = if inner.network {
        // No mapping of what another host may take away.
        let mut bytes = start.to_vec();
        bytes.append(&mut octets);
        bytes
            .try_reserve_exact(length.checked_sub(bytes.len())?)
            .ok()?;
        file.take(size).read_to_end(&mut bytes).ok()?;
        let messages = format::read_messages(&header, sets, &bytes)?;
        let names = Names::owned(bytes);
        Roll::new(Held { messages, names })
    } else if header.count() < late {
        let map = Map::new(&file, length).ok()?;
        let messages = format::read_messages(&header, sets, &map)?;
        let names = Names::mapped(map);
        Roll::new(Held { messages, names })
    } else {
        let (folder, table) = (folder.clone(), keywords.table.clone());
        Roll::unread(Unread {
            count: header.count(),
            first_unseen: header.first_unseen(),
            keywords: keywords.in_use,
            read: Box::new(move || {
                let messages = Map::new(&file, length).ok().and_then(|map| {
                    let messages = format::read_messages(&header, sets, &map)?;
                    let names = Names::mapped(map);
                    Some(Held { messages, names })
                });
                match messages {
                    Some(held) => (held, Trust::Full),
                    None => folder.read_without_index(header.count(), header.uids().1, &table),
                }
            }),
        })
    };
    let mut view = Snapshot::restored(uids, roll, keywords.table);
    view.stamps = Some(*stamps);
    view.settled = true;
    view.indexed = true;
    Some(view)
}

impl Folder {
    /// Writes the index if `view` is worth it and certain: what it says must stay true for as long as the stamps
    /// are the same.
    pub(crate) fn save_index(&self, view: &mut Snapshot) {
        let inner = &self.inner;
        if view.index_rests.is_some_and(|rests| Instant::now() < rests)
            || view.indexed
            || view.read_only
            || !view.settled
            || view.hidden.is_some()
            || view.surplus
            || view.len() < WORTH
        {
            return;
        }
        let Some(stamps) = view.stamps else { return };
        let Some(now) = inner.now() else { return };
        let settled = [
            Some(stamps.cur),
            Some(stamps.new),
            stamps.keywords,
            stamps.db,
        ]
        .iter()
        .flatten()
        .all(|stamp| !stamp.is_racy(now, inner.window()));
        let ours = nix::sys::stat::fstat(&inner.dir)
            .is_ok_and(|stat| stat.st_uid == nix::unistd::geteuid().as_raw());
        let whole = view
            .messages()
            .iter()
            .all(|message| !message.is_in_new() && !message.is_unlocated() && !message.is_gone());
        if !settled || !ours || !whole || self.stamps().ok() != Some(stamps) {
            return;
        }
        // Tried once per state of the folder, whatever comes of it.
        view.indexed = true;
        view.sized = false;
        let began = Instant::now();
        match write(inner, view, &stamps) {
            Ok(Some((file, start))) if !inner.network => adopt(view, &file, start),
            Ok(_) => {}
            Err(error) => self.warn(&error),
        }
        let now = Instant::now();
        view.index_rests = Some(now + now.duration_since(began).saturating_mul(SHARE));
    }

    /// Messages that an index has promised and does not have: the folder is listed for them. `count` of them have been
    /// told of, their keyword sets are numbered as in `table`.
    fn read_without_index(
        &self,
        count: usize,
        uid_next: u32,
        table: &KeywordTable,
    ) -> (Held, Trust) {
        log(
            Level::Warning,
            format_args!(
                "{}: damaged, listing the folder instead",
                self.inner.dir.path_of(NAME).display()
            ),
        );
        // If it stays it is found damaged again.
        let _ = self.inner.dir.remove(NAME);
        let (mut view, mut trust) = match self.collect(Mode::ReadOnly, None) {
            Ok(view) => (view, Trust::Doubtful),
            Err(error) => {
                self.warn(&error);
                (Snapshot::new(1, true), Trust::Lost)
            }
        };
        for index in 0..view.len() {
            let message = view.get(index).copied();
            let set = message.and_then(|message| table.find(view.keywords(&message)));
            view.set_keywords(index, set.unwrap_or_default());
        }
        let mut uid = uid_next.max(view.messages().last().map_or(0, Message::uid));
        while view.len() < count {
            // Nothing of these is left. The next look takes them out.
            let mut message = Message::new(uid, Flags::NONE);
            message.set_unlocated(true);
            view.push(message, b"");
            match uid.checked_add(1) {
                Some(next) => uid = next,
                None => trust = Trust::Lost,
            }
        }
        let held = std::mem::take(view.messages.held_mut());
        let Held {
            mut messages,
            names,
        } = held;
        messages.truncate(count);
        (Held { messages, names }, trust)
    }

    /// Waits the moment until a large folder that just changed can be told to be at rest: without an index the next
    /// session must list it. Takes nothing in that has not been told to the client.
    fn await_rest(&self, view: &mut Snapshot) {
        let inner = &self.inner;
        std::thread::sleep(inner.window() + Duration::from_millis(1));
        let mut empty = true;
        let listed = inner
            .new
            .list(|entry| empty &= entry.name.starts_with(b"."));
        if listed.is_ok() && empty {
            // Without success there is no index, and that is all.
            let _ = self.follow(view);
        }
    }

    /// Ends the use of a view: the folder is left with an index if it is at rest.
    pub fn close(&self, view: &mut Snapshot) {
        view.index_rests = None;
        self.rest(view);
        if view.sized && view.indexed {
            // Worth another index: what is remembered of the messages is then found without a look at their files.
            view.indexed = false;
        }
        if !view.indexed && view.attended && !view.read_only && view.len() >= LATE {
            self.await_rest(view);
        }
        // A folder that cannot be looked at has no use for one.
        if !view.indexed && matches!(self.is_changed(view), Ok(false)) {
            self.save_index(view);
        }
    }
}

/// Lets the names of a large view be those in the index just written, which cost the session nothing.
fn adopt(view: &mut Snapshot, file: &std::fs::File, start: usize) {
    if view.len() < LATE {
        return;
    }
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let Ok(length) = u32::try_from(length) else {
        return;
    };
    if let Ok(map) = Map::new(file, usize::try_from(length).unwrap_or(0)) {
        view.adopt_names(map, start);
        crate::sys::map::trim();
    }
}

/// Writes the index; the file, and where the names begin in it. `None` where there can be none.
fn write(
    inner: &Inner,
    view: &Snapshot,
    stamps: &FolderStamps,
) -> Result<Option<(std::fs::File, usize)>> {
    let options = &inner.root.options;
    let (unique, file) = inner.tmp.create_unique("imapindex", &options.host, 0o600)?;
    let unique = unique.tmp();
    let path = inner.tmp.path_of(&unique);
    let written = (|| -> io::Result<usize> {
        let mut out = BufWriter::with_capacity(64 * 1024, &file);
        let start = format::encode(view, stamps, inner.network, &mut out)?;
        // Not synced: what a crash leaves of it is recognised by its checksum, and clients wait for this.
        out.flush()?;
        Ok(start)
    })()
    .map_err(|error| Error::std("write", &path, &error))
    .and_then(|start| {
        inner.tmp.replace(&unique, &inner.dir, NAME)?;
        Ok(start)
    });
    match written {
        Ok(start) => Ok(Some((file, start))),
        Err(error) => {
            // The failure itself is reported; a leftover is purged after 36 hours.
            let _ = inner.tmp.remove(&unique);
            // The mailbox was deleted, or is nobody's to write to.
            match error.errno() {
                Some(Errno::ENOENT | Errno::EACCES | Errno::EROFS) => Ok(None),
                _ => Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests;
