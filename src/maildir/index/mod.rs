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
use std::time::Instant;

use nix::errno::Errno;

use super::error::{Error, Result};
use super::files::Dir;
use super::folder::{Folder, Inner};
use super::snapshot::{FolderStamps, Snapshot};
use format::{Header, LENGTH};
pub(crate) use verify::is_whole;

/// The file's name in the folder.
pub(crate) const NAME: &[u8] = b"courierimapindex";
/// Folders with fewer messages are listed faster than an index is kept.
pub(crate) const WORTH: usize = 200;
/// A session that changes a folder time and again spends at most one part in so many on its index.
const SHARE: u32 = 50;

/// Opens the index if it is the owner's, and nobody else can write or read it.
fn open(dir: &Dir) -> Option<(std::fs::File, u64)> {
    // Unreadable is as good as absent.
    let (file, stat) = dir.open_file(NAME).ok().flatten()?;
    let ours = stat.st_uid == nix::unistd::geteuid().as_raw() && stat.st_mode & 0o077 == 0;
    ours.then_some((file, u64::try_from(stat.st_size).unwrap_or(0)))
}

/// The folder as the index has it, if it was made of what `stamps` says.
pub(crate) fn load(inner: &Inner, stamps: &FolderStamps) -> Option<Snapshot> {
    let (mut file, size) = open(&inner.dir)?;
    let mut start = [0_u8; LENGTH];
    file.read_exact(&mut start).ok()?;
    let header = Header::parse(&start)?;
    if header.size()? != size || !header.is_of(stamps, inner.network) {
        return None;
    }
    let mut view = format::read_body(&header, &mut file)?;
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
        let began = Instant::now();
        if let Err(error) = write(inner, view, &stamps) {
            self.warn(&error);
        }
        let now = Instant::now();
        view.index_rests = Some(now + now.duration_since(began).saturating_mul(SHARE));
    }

    /// Ends the use of a view: the folder is left with an index if it is at rest.
    pub fn close(&self, view: &mut Snapshot) {
        view.index_rests = None;
        // A folder that cannot be looked at has no use for one.
        if !view.indexed && matches!(self.is_changed(view), Ok(false)) {
            self.save_index(view);
        }
    }
}

fn write(inner: &Inner, view: &Snapshot, stamps: &FolderStamps) -> Result<()> {
    let options = &inner.root.options;
    let (unique, file) = inner.tmp.create_unique("imapindex", &options.host, 0o600)?;
    let unique = unique.tmp();
    let path = inner.tmp.path_of(&unique);
    let written = (|| -> io::Result<()> {
        let mut out = BufWriter::with_capacity(64 * 1024, &file);
        format::encode(view, stamps, inner.network, &mut out)?;
        // Not synced: what a crash leaves of it is recognised by its checksum, and clients wait for this.
        out.flush()
    })()
    .map_err(|error| Error::std("write", &path, &error))
    .and_then(|()| inner.tmp.replace(&unique, &inner.dir, NAME));
    if written.is_err() {
        // The failure itself is reported; a leftover is purged after 36 hours.
        let _ = inner.tmp.remove(&unique);
    }
    match written {
        // The mailbox was deleted, or is nobody's to write to.
        Err(error)
            if matches!(
                error.errno(),
                Some(Errno::ENOENT | Errno::EACCES | Errno::EROFS)
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
