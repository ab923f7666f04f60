//! The digests of a folder, asked by position in a snapshot: one row for each message and kind of question.

use std::os::fd::AsFd;

use super::super::cache::{About, Digest, Kind};
use super::super::filename;
use super::super::folder::Folder;
use super::super::snapshot::{Message, Snapshot};
use super::{Memory, PER_MESSAGE, SMALL, key, look, storage};

/// One digest, opened when it is first asked.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    digest: Option<Digest>,
    /// Not to be used in this session.
    unusable: bool,
    /// What looking through the files may cost, see [`Memory`].
    credit: u64,
    ready: bool,
}

impl Shelf {
    /// For one message more of a command: true if the digest knows what its files hold.
    fn one_more(&mut self, folder: &Folder, kind: Kind, uid_validity: u32) -> bool {
        if self.ready || self.unusable {
            return self.ready;
        }
        if self.digest.is_none() {
            self.digest = storage(folder).and_then(|storage| {
                Digest::open(folder.inner.dir.as_fd(), storage, kind, uid_validity).ok()
            });
            self.unusable = self.digest.is_none();
        }
        self.credit = self.credit.saturating_add(PER_MESSAGE);
        let limit = self.credit.max(SMALL);
        self.ready = match &mut self.digest {
            Some(digest) => digest.refresh_within(limit),
            None => false,
        };
        self.ready
    }
}

impl Memory {
    fn shelf(&mut self, kind: Kind) -> &mut Shelf {
        match kind {
            Kind::Sort => &mut self.sort,
            Kind::Thread => &mut self.thread,
        }
    }

    /// What is remembered for questions of this kind about the message at `index`. Cheapest in ascending order.
    pub fn row(
        &mut self,
        kind: Kind,
        folder: &Folder,
        snapshot: &mut Snapshot,
        index: usize,
    ) -> Option<&[u8]> {
        let shelf = self.shelf(kind);
        if !shelf.one_more(folder, kind, snapshot.uid_validity()) {
            return None;
        }
        let digest = shelf.digest.as_mut()?;
        let message = *snapshot.get(index)?;
        if message.is_gone() || message.is_unlocated() || message.inode() == 0 {
            return None;
        }
        let mut about = about(snapshot, &message);
        // A size that neither the name nor the index has is asked for once, as for the cache.
        if message.size_word() == 0
            && !digest.has(about)
            && digest.knows(about.uid)
            && snapshot.promised_size(&message).is_none()
        {
            let (inode, attributes) = look(folder, snapshot, &message)?;
            snapshot.note_size(index, inode, attributes.size);
            about = self::about(snapshot, snapshot.get(index)?);
        }
        digest.get(about)
    }

    /// Remembers rows of the message at `index`, of which [`Memory::row`] had none. `opened` is what they were made
    /// from if that was the file, else it was what [`Memory::get`] gave. Does nothing unless that is certainly the file
    /// that the snapshot means.
    pub fn add_rows(
        &mut self,
        folder: &Folder,
        snapshot: &mut Snapshot,
        index: usize,
        opened: Option<(u64, u64)>,
        rows: [(Kind, &[u8]); 2],
    ) {
        if let Some((size, inode)) = opened {
            snapshot.note_size(index, inode, size);
        }
        let Some(message) = snapshot.get(index).copied() else {
            return;
        };
        if key(snapshot, &message, opened).is_none() {
            return;
        }
        let about = about(snapshot, &message);
        let mut full = false;
        for (kind, value) in rows {
            let shelf = self.shelf(kind);
            if !shelf.one_more(folder, kind, snapshot.uid_validity()) {
                continue;
            }
            // What was asked for the other kind of row may find this one there. A row of another version is replaced.
            if let Some(digest) = &mut shelf.digest {
                full |= digest.get(about) != Some(value) && !digest.add(about, value);
            }
        }
        if full {
            self.write_rows();
        }
    }

    pub(super) fn write_rows(&mut self) {
        for kind in [Kind::Sort, Kind::Thread] {
            let written = self.shelf(kind).digest.as_mut().map(Digest::flush);
            if let Some(Err(error)) = written {
                self.warn(&error);
            }
        }
    }

    /// Ends a command, as [`Memory::end`].
    pub(super) fn end_rows(&mut self) {
        self.write_rows();
        for shelf in [&mut self.sort, &mut self.thread] {
            shelf.ready = false;
            if let Some(digest) = &mut shelf.digest {
                digest.release();
            }
        }
    }

    /// Gives back all memory.
    pub(super) fn rest_rows(&mut self) {
        self.sort.digest = None;
        self.thread.digest = None;
    }

    /// Tidies up, as [`Memory::finish`].
    pub(super) fn finish_rows(&mut self, snapshot: &Snapshot) {
        for kind in [Kind::Sort, Kind::Thread] {
            let shelf = self.shelf(kind);
            let limit = shelf.credit.max(SMALL);
            let Some(digest) = &mut shelf.digest else {
                continue;
            };
            if !digest.refresh_within(limit) || !digest.wants_compaction(snapshot.len()) {
                continue;
            }
            let compacted = digest.compact(|uid| {
                let message = snapshot.get(snapshot.index_of_uid(uid)?)?;
                Some(about(snapshot, message))
            });
            if let Err(error) = compacted {
                self.warn(&error);
            }
        }
    }
}

/// Which message this is, in a digest.
fn about(snapshot: &Snapshot, message: &Message) -> About {
    let base = filename::base(snapshot.name(message));
    About {
        uid: message.uid(),
        inode: message.inode(),
        sum: crc32fast::hash(base) ^ message.size_word().rotate_left(7),
    }
}
