//! A large maildir in which nothing has happened since the last session is not listed: `courierimapindex.pop3` says for
//! which state of `cur` the size list holds exactly its messages.
//!
//! The file is nothing but two stamps, and counts only if both are those of now, to the byte. Flags of names in the
//! list may be out of date even so (a change of flags does not rewrite it); [`Maildrop::open_message`] finds such a
//! message all the same.

use std::fs::File;
use std::io::{Read, Write};
use std::time::SystemTime;

use super::{LIST, LIST_MAX, Maildrop, Merged, Message, WINDOW};
use crate::maildir::error::{Error, Result};
use crate::maildir::filename;
use crate::maildir::files::{Dir, Stamp};
use crate::maildir::options::Options;
use crate::maildir::sizelist::SizeList;
use crate::sys::log::{Level, log};

/// The file's name.
const NAME: &[u8] = b"courierimapindex.pop3";
/// What it begins with.
const MAGIC: [u8; 8] = *b"CPOP3D\0\x01";
/// Its length.
const LENGTH: usize = 8 + 56 + 56;
/// Maildirs with fewer messages are listed: that costs no more than reading another file.
const MIN: usize = 200;

/// True if the file is one of ours, for `maildircheck`.
pub(crate) fn is_whole(file: &File) -> bool {
    let mut content = Vec::new();
    let read = file.take(LENGTH as u64 + 1).read_to_end(&mut content);
    read.is_ok() && content.len() == LENGTH && content.starts_with(&MAGIC)
}

fn content(cur: &Stamp, list: &Stamp) -> Vec<u8> {
    let stamps = [cur.encode(false), list.encode(false)];
    [&MAGIC[..], stamps.as_flattened()].concat()
}

impl Maildrop {
    /// Takes the messages from the size list alone, if that holds exactly what is in `cur`.
    pub(super) fn load_unchanged(&mut self) -> bool {
        if self.root.is_on_network() {
            // Its times are this host's memory of them.
            return false;
        }
        let Ok(Some((known, _))) = self.root.read(NAME, LENGTH as u64) else {
            return false;
        };
        let Ok(cur) = self.cur.stamp() else {
            return false;
        };
        let half = MAGIC.len() + 56;
        if known.get(..half) != content(&cur, &Stamp::NEVER).get(..half) {
            return false;
        }
        let Ok(Some((bytes, list))) = self.root.read(LIST, LIST_MAX) else {
            return false;
        };
        if known != content(&cur, &list) {
            return false;
        }
        let mut messages = Vec::with_capacity(bytes.len() / 48);
        let mut fits = true;
        SizeList::parse_each(&bytes, |name, entry| {
            // Names stay where they are in the list.
            let start = name.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
            match (u32::try_from(start), u32::try_from(name.len())) {
                (Ok(start), Ok(length)) => messages.push(Message {
                    order: filename::leading_number(name),
                    start,
                    length,
                    entry,
                    inode: 0,
                    listed: true,
                }),
                _ => fits = false,
            }
        });
        if fits {
            self.names = bytes;
            self.messages = messages;
        }
        fits
    }

    /// Remembers that the size list holds exactly what is in `cur`, if that is so and will be seen to be so.
    pub(super) fn remember_unchanged(&self, merged: &Merged, tmp: &Dir, options: &Options) {
        if let Some(list) = &merged.list {
            if merged.exact && !list.is_racy(SystemTime::now(), WINDOW) {
                self.remember(list, tmp, options);
            }
        }
    }

    /// The same of a list that was written just now, in whose place another one would be another file.
    pub(super) fn remember_written(&self, list: &Stamp, tmp: &Dir, options: &Options) {
        if self.messages.len() == self.files {
            self.remember(list, tmp, options);
        }
    }

    fn remember(&self, list: &Stamp, tmp: &Dir, options: &Options) {
        let Some(cur) = &self.listed_at else {
            return;
        };
        if self.messages.len() < MIN
            || self.root.is_on_network()
            || cur.is_racy(SystemTime::now(), WINDOW)
        {
            return;
        }
        if let Err(error) = self.write_unchanged(&content(cur, list), tmp, options) {
            // Whoever cannot write there has been told at the list, which matters more.
            log(Level::Debug, format_args!("{error}"));
        }
    }

    fn write_unchanged(&self, content: &[u8], tmp: &Dir, options: &Options) -> Result<()> {
        let (unique, file) = tmp.create_unique("pop3index", &options.host, 0o600)?;
        let unique = unique.tmp();
        // Not synced: what a crash leaves of it is not what it has to be.
        let written = (&file)
            .write_all(content)
            .map_err(|error| Error::std("write", &tmp.path_of(&unique), &error))
            .and_then(|()| tmp.replace(&unique, &self.root, NAME));
        if written.is_err() {
            // The failure itself is reported; a leftover is purged after 48 hours.
            let _ = tmp.remove(&unique);
        }
        written
    }
}
