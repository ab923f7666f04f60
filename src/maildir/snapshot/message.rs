//! One message of a view.

use crate::maildir::flags::Flags;
use crate::maildir::keywords::KeywordSet;

/// One message of a [`super::Snapshot`]. Its position there plus one is its IMAP sequence number.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    pub(super) uid: u32,
    pub(super) name: u32,
    /// Of the file as a listing gave it, folded to half its length; 0 if not known.
    inode: u32,
    /// Octets of the file as it was last looked at, for names that do not say; 0 if not known.
    size: u32,
    pub(super) keywords: KeywordSet,
    pub(super) flags: Flags,
    pub(super) state: u8,
}

const RECENT: u8 = 1;
/// The file is in `new/` (a read-only session does not move it).
pub(super) const IN_NEW: u8 = 2;
/// The file is known to be gone: removed by this session, or found absent.
pub(super) const GONE: u8 = 4;
/// Numbered, but not seen in the listings so far; only the base name is known.
pub(super) const UNLOCATED: u8 = 8;
/// Others changed the flags, and no rescan has reported it.
pub(super) const NEWS: u8 = 16;

impl Message {
    pub(crate) fn new(uid: u32, flags: Flags) -> Self {
        Self {
            uid,
            name: 0,
            inode: 0,
            size: 0,
            keywords: KeywordSet::EMPTY,
            flags,
            state: 0,
        }
    }

    /// A message as the folder index has it; `name` is its place in the arena, `file` its inode and size as remembered.
    pub(crate) fn restored(
        uid: u32,
        name: u32,
        file: (u32, u32),
        keywords: KeywordSet,
        flags: Flags,
    ) -> Self {
        Self {
            uid,
            name,
            inode: file.0,
            size: file.1,
            keywords,
            flags,
            state: 0,
        }
    }

    /// The unique identifier, above 0.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The flags as of the last scan or change of ours.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// `\Recent`: this session's scan was the first to see the message (contract: maildir 5.3). Never for messages
    /// that came by APPEND or COPY.
    pub fn is_recent(&self) -> bool {
        self.state & RECENT != 0
    }

    /// True if the message's file is known to be gone although its expunge has not been reported by
    /// [`crate::maildir::Folder::rescan`] yet. Content requests fail; flag changes pass it over.
    pub fn is_gone(&self) -> bool {
        self.state & GONE != 0
    }

    /// The message's keywords; resolve with [`super::Snapshot::keywords`].
    pub fn keyword_set(&self) -> KeywordSet {
        self.keywords
    }

    pub(crate) fn is_in_new(&self) -> bool {
        self.state & IN_NEW != 0
    }

    pub(crate) fn is_unlocated(&self) -> bool {
        self.state & UNLOCATED != 0
    }

    pub(super) fn set(&mut self, bit: u8, on: bool) {
        if on {
            self.state |= bit;
        } else {
            self.state &= !bit;
        }
    }

    pub(crate) fn set_recent(&mut self, on: bool) {
        self.set(RECENT, on);
    }

    pub(crate) fn set_in_new(&mut self, on: bool) {
        self.set(IN_NEW, on);
    }

    /// Half an inode number: beside the name it tells files apart all the same, and mailboxes are large.
    pub(crate) fn fold_inode(inode: u64) -> u32 {
        u32::try_from((inode >> 32) ^ (inode & 0xffff_ffff)).unwrap_or(0)
    }

    pub(crate) fn inode(&self) -> u32 {
        self.inode
    }

    pub(crate) fn set_inode(&mut self, inode: u64) {
        self.inode = Self::fold_inode(inode);
    }

    /// The number of octets that was remembered; `None` if there is none or it is too large to remember.
    pub(crate) fn known_size(&self) -> Option<u64> {
        (self.size > 0).then_some(u64::from(self.size))
    }

    /// As it is kept in the folder index.
    pub(crate) fn size_word(&self) -> u32 {
        self.size
    }

    pub(super) fn set_size(&mut self, size: u64) {
        self.size = u32::try_from(size).unwrap_or(0);
    }

    /// Remembers what `before`, an earlier view's, knows of the same file.
    pub(crate) fn learn(&mut self, before: &Self) {
        if before.inode == self.inode && self.inode != 0 {
            self.size = before.size;
        }
    }

    pub(crate) fn has_news(&self) -> bool {
        self.state & NEWS != 0
    }

    pub(crate) fn clear_news(&mut self) {
        self.set(NEWS, false);
    }

    /// Notes a change by others; one noted before stays.
    pub(crate) fn set_news(&mut self, news: bool) {
        self.set(NEWS, news || self.state & NEWS != 0);
    }

    pub(crate) fn set_unlocated(&mut self, on: bool) {
        self.set(UNLOCATED, on);
    }
}
