//! What reading a message tells POP3 about it, and where that is remembered beside `courierpop3dsizelist`: imapd writes
//! it to the message cache with whatever else it finds out, so that a mailbox that has been read over IMAP is not
//! read again for the first POP3 session.

use std::os::fd::AsFd;

use super::cache::{Cache, Field, Key, Storage};
use super::filename;
use super::files::Dir;
use super::memory::{PER_MESSAGE, SMALL};
use super::snapshot::Message;

/// What reading a message tells about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// Octets as POP3 sends them: every LF with a CR added, an unfinished last line finished, without dot stuffing.
    pub size: u64,
    /// A header, of the message or of a part, holds bytes above 0x7f.
    pub utf8: bool,
}

impl Measure {
    /// That of a message of `bytes` bytes as stored, which hold `lines` line feeds.
    #[must_use]
    pub fn new(bytes: u64, lines: u64, finished: bool, utf8: bool) -> Self {
        // A line feed is sent as two bytes, and an unfinished line is finished.
        let added = if finished { 0 } else { 2 };
        Self {
            size: bytes.saturating_add(lines).saturating_add(added),
            utf8,
        }
    }

    /// As it is remembered in [`Field::Pop3`].
    #[must_use]
    pub fn encode(self) -> [u8; 9] {
        let mut bytes = [u8::from(self.utf8); 9];
        if let Some((size, _)) = bytes.split_first_chunk_mut() {
            *size = self.size.to_le_bytes();
        }
        bytes
    }

    /// Reads what [`Measure::encode`] wrote.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (size, utf8) = bytes.split_first_chunk()?;
        let utf8 = match utf8 {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let size = u64::from_le_bytes(*size);
        Some(Self { size, utf8 })
    }
}

/// The message cache of a maildir as POP3 reads it. Nothing in here ever fails a session.
#[derive(Debug)]
pub(crate) struct Remembered(Option<Cache>);

impl Remembered {
    /// That of the folder `root`, for `wanted` messages: a cache is not looked through if that would take longer
    /// than reading them. Somebody else's maildir has none: its owner could have written anything into it.
    pub(crate) fn open(root: &Dir, wanted: usize) -> Self {
        let ours = root
            .stat_open(root)
            .is_ok_and(|stat| stat.st_uid == nix::unistd::geteuid().as_raw());
        if wanted == 0 || !ours {
            return Self(None);
        }
        let storage = if root.is_on_network() {
            Storage::Network
        } else {
            Storage::Local
        };
        let limit = PER_MESSAGE.saturating_mul(wanted as u64).max(SMALL);
        Self(
            Cache::open(root.as_fd(), storage)
                .ok()
                .and_then(|mut cache| cache.refresh_within(limit).then_some(cache)),
        )
    }

    /// What is known of the message called `name` in `cur`, whose folded inode number is `inode`.
    pub(crate) fn get(&mut self, cur: &Dir, name: &[u8], inode: u32) -> Option<Measure> {
        let cache = self.0.as_mut().filter(|cache| !cache.is_empty())?;
        if inode == 0 {
            return None;
        }
        let size = match filename::stored_size(name) {
            Some(size) => size,
            None => {
                let stat = cur.stat(name).ok()??;
                if Message::fold_inode(stat.st_ino) != inode {
                    return None;
                }
                u64::try_from(stat.st_size).ok()?
            }
        };
        let record = cache.get(&Key {
            base: filename::base(name),
            inode: u64::from(inode),
            size,
        })?;
        Measure::decode(record.field(Field::Pop3)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_again() {
        for (size, utf8) in [(0, false), (1 << 40, true)] {
            let measure = Measure { size, utf8 };
            assert_eq!(Measure::decode(&measure.encode()), Some(measure));
        }
        let mut bytes = Measure::new(1, 0, false, true).encode();
        assert_eq!(Measure::decode(&bytes).map(|known| known.size), Some(3));
        assert_eq!(Measure::decode(&bytes[1..]), None);
        bytes[8] = 2;
        assert_eq!(Measure::decode(&bytes), None);
    }
}
