//! One session's view of one folder: the messages in UID order with their flags and keywords, and what changed
//! between two views. Names of files live in one arena and never leave the store.

mod diff;
mod message;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use super::error::Error;
use super::filename;
use super::files::Stamp;
use super::flags::Flags;
use super::keywords::{KeywordSet, KeywordTable};
use super::modseq::Modseqs;
use super::roll::{Held, Names, Roll, Trust};
use super::witness::Witness;
use crate::sys::map::Map;
pub use diff::{Diff, Expunged};
pub use message::Message;
use message::{GONE, IN_NEW, NEWS, UNLOCATED};

/// Messages that exist but could not be given a UID, because the UID database cannot be written (full disk). They
/// appear once it can.
#[derive(Debug)]
pub struct Hidden {
    /// How many.
    pub count: usize,
    /// Why.
    pub error: Error,
}

/// What the folder's files looked like when they were read; compared to notice changes cheaply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FolderStamps {
    pub(crate) cur: Stamp,
    pub(crate) new: Stamp,
    pub(crate) keywords: Option<Stamp>,
    pub(crate) db: Option<Stamp>,
}

/// A view of a folder. Made by [`super::Folder::scan`], brought up to date by [`super::Folder::rescan`], changed by
/// the folder's operations on messages. Sequence numbers move only in `rescan`.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    pub(crate) messages: Roll,
    /// Octets of the names in memory that no message refers to any more.
    waste: usize,
    pub(crate) table: KeywordTable,
    pub(crate) hidden: Option<Hidden>,
    pub(crate) stamps: Option<FolderStamps>,
    /// False if the next rescan must list the folder whatever the stamps say.
    pub(crate) settled: bool,
    pub(crate) read_only: bool,
    /// Highest UID ever shown to this session.
    pub(crate) highest: u32,
    /// The folder index has been made of this view, or this view of it.
    pub(crate) indexed: bool,
    /// Sizes are known that the folder index does not have.
    pub(crate) sized: bool,
    /// The index is not written again before this.
    pub(crate) index_rests: Option<Instant>,
    /// The UID database has entries of messages that are not in here.
    pub(crate) surplus: bool,
    pub(crate) witness: Option<Arc<Witness>>,
    /// The witness has seen all that happened in `cur` since this view was read.
    pub(crate) attended: bool,
    /// The folder's log of changes, if the session wants MODSEQs.
    pub(crate) modseqs: Option<Box<Modseqs>>,
    /// Messages came, went or changed since that log was last compared.
    pub(crate) touched: bool,
    /// The UID database, so that its inode stays its own.
    pub(crate) pinned: Option<Arc<File>>,
}

impl Snapshot {
    pub(crate) fn new(uid_validity: u32, read_only: bool) -> Self {
        Self {
            uid_validity,
            uid_next: 1,
            messages: Roll::default(),
            waste: 0,
            table: KeywordTable::default(),
            hidden: None,
            stamps: None,
            settled: false,
            read_only,
            highest: 0,
            indexed: false,
            sized: false,
            index_rests: None,
            surplus: false,
            witness: None,
            attended: false,
            modseqs: None,
            touched: false,
            pinned: None,
        }
    }

    /// A view as the folder index has it. `uids`: UIDVALIDITY, UIDNEXT, and the highest UID in it.
    pub(crate) fn restored(uids: (u32, u32, u32), messages: Roll, table: KeywordTable) -> Self {
        let mut view = Self::new(uids.0, false);
        view.uid_next = uids.1;
        view.highest = uids.2;
        view.messages = messages;
        view.table = table;
        view
    }

    /// Highest UID ever shown to this session.
    pub(crate) fn highest_shown(&self) -> u32 {
        if self.messages.trust() == Trust::Full {
            return self.highest;
        }
        // The index that it came from was wrong.
        let mut located = self
            .messages
            .iter()
            .filter(|message| !message.is_unlocated());
        located.next_back().map_or(0, Message::uid)
    }

    /// UIDVALIDITY, never 0.
    pub fn uid_validity(&self) -> u32 {
        self.uid_validity
    }

    /// UIDNEXT: above every UID in here.
    pub fn uid_next(&self) -> u32 {
        self.uid_next
    }

    /// The messages in ascending UID order; index + 1 is the sequence number.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Number of messages (EXISTS).
    pub fn len(&self) -> usize {
        self.messages.count()
    }

    /// True if there are no messages.
    pub fn is_empty(&self) -> bool {
        self.messages.count() == 0
    }

    /// The message at `index` (sequence number − 1).
    pub fn get(&self, index: usize) -> Option<&Message> {
        self.messages.get(index)
    }

    /// Index of the message with this UID.
    pub fn index_of_uid(&self, uid: u32) -> Option<usize> {
        self.messages
            .binary_search_by_key(&uid, |message| message.uid)
            .ok()
    }

    /// Indexes of the messages with `first <= UID <= last`, a contiguous range since UIDs ascend.
    pub fn indexes_of_uids(&self, first: u32, last: u32) -> std::ops::Range<usize> {
        let start = self.messages.partition_point(|message| message.uid < first);
        let end = self.messages.partition_point(|message| message.uid <= last);
        start..end.max(start)
    }

    /// Number of `\Recent` messages.
    pub fn recent(&self) -> usize {
        if self.messages.summary().is_some() {
            // What an index is made of has been seen by the session that made it.
            return 0;
        }
        self.messages
            .iter()
            .filter(|message| message.is_recent())
            .count()
    }

    /// Index of the first message without `\Seen`.
    pub fn first_unseen(&self) -> Option<usize> {
        if let Some(summary) = self.messages.summary() {
            return summary.first_unseen;
        }
        self.messages
            .iter()
            .position(|message| !message.flags.contains(Flags::SEEN))
    }

    /// Messages that could not be numbered, if any. To be told to the user once.
    pub fn hidden(&self) -> Option<&Hidden> {
        self.hidden.as_ref()
    }

    /// The keywords of a message, as first spelled.
    pub fn keywords(&self, message: &Message) -> impl Iterator<Item = &[u8]> {
        self.table.names_of(message.keywords)
    }

    /// True if the message has the keyword, compared without regard to ASCII case.
    pub fn has_keyword(&self, message: &Message, keyword: &[u8]) -> bool {
        self.table.contains(message.keywords, keyword)
    }

    /// Every keyword that some message has, each once, in order of first appearance.
    pub fn keywords_in_use(&self) -> Vec<&[u8]> {
        if let Some(summary) = self.messages.summary() {
            let ids = summary.keywords.iter();
            return ids.map(|id| self.table.name(*id)).collect();
        }
        let sets = self.messages.iter().map(|message| message.keywords);
        self.table.in_use(sets)
    }

    /// Size in bytes, as stored with LF line ends, that the file name promises. A hint, for estimates; the truth is
    /// the open file.
    pub fn stored_size(&self, message: &Message) -> Option<u64> {
        filename::stored_size(self.name(message))
    }

    /// The file below the folder, as in log lines about expunged messages: `cur/NAME`.
    pub fn log_name(&self, message: &Message) -> Vec<u8> {
        let mut path = if message.is_in_new() {
            b"new/".to_vec()
        } else {
            b"cur/".to_vec()
        };
        path.extend_from_slice(self.name(message));
        path
    }

    /// Indexes of messages whose flags were found changed by others while a command used them, since the last call
    /// or rescan: to be announced at the end of the command.
    pub fn take_news(&mut self) -> Vec<usize> {
        let mut news = Vec::new();
        if self.messages.summary().is_some() {
            return news;
        }
        for (index, message) in self.messages.iter_mut().enumerate() {
            if message.state & NEWS != 0 {
                message.set(NEWS, false);
                news.push(index);
            }
        }
        news
    }

    /// The index of the message with each of these base names, which are all different.
    pub(crate) fn positions(&self, bases: &[&[u8]]) -> Vec<Option<usize>> {
        /// So few are compared one by one, which costs less than to take every name apart.
        const FEW: usize = 8;
        let mut found = vec![None; bases.len()];
        if bases.is_empty() {
            return found;
        }
        let numbers: HashMap<&[u8], usize> = match bases.len() > FEW {
            true => bases.iter().copied().zip(0..).collect(),
            false => HashMap::new(),
        };
        let names = &self.messages.held().names;
        for (index, message) in self.messages.iter().enumerate() {
            let number = match numbers.is_empty() {
                true => bases
                    .iter()
                    .position(|base| names.has_base(message.name, base)),
                false => {
                    let base = filename::base(names.get(message.name));
                    numbers.get(base).copied()
                }
            };
            if let Some(place) = number.and_then(|number| found.get_mut(number)) {
                *place = Some(index);
            }
        }
        found
    }

    /// From base name to index.
    pub(crate) fn index(&self) -> HashMap<&[u8], usize> {
        self.messages
            .iter()
            .enumerate()
            .map(|(index, message)| (filename::base(self.name(message)), index))
            .collect()
    }

    /// True for a view made by EXAMINE.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub(crate) fn name(&self, message: &Message) -> &[u8] {
        self.messages.held().names.get(message.name)
    }

    /// Number of octets of the message's file: what the name promises, else what was remembered.
    pub(crate) fn promised_size(&self, message: &Message) -> Option<u64> {
        filename::stored_size(self.name(message)).or_else(|| message.known_size())
    }

    /// Remembers how long the file of the message at `index` is, if its name does not say.
    pub(crate) fn note_size(&mut self, index: usize, inode: u64, size: u64) {
        let Some(message) = self.messages.get(index).copied() else {
            return;
        };
        let news =
            message.inode() == Message::fold_inode(inode) && message.known_size() != Some(size);
        if news && filename::stored_size(self.name(&message)).is_none() {
            if let Some(message) = self.messages.get_mut(index) {
                message.set_size(size);
                self.sized = true;
            }
        }
    }

    /// Adds a message at the end; the caller keeps UIDs ascending.
    pub(crate) fn push(&mut self, mut message: Message, name: &[u8]) {
        self.touched = true;
        let held = self.messages.held_mut();
        message.name = held.names.add(name);
        held.messages.push(message);
    }

    /// Room for so many messages, whose names will mostly be in `names`.
    pub(crate) fn begin(&mut self, messages: usize, names: Vec<u8>) {
        let held = self.messages.held_mut();
        held.messages.reserve_exact(messages);
        held.names = Names::owned(names);
    }

    /// Adds a message at the end whose name is at `place` already.
    pub(crate) fn push_named(&mut self, mut message: Message, place: u32) {
        message.name = place;
        self.touched = true;
        self.messages.push(message);
    }

    /// The name at `place`.
    pub(crate) fn name_at(&self, place: u32) -> &[u8] {
        self.messages.held().names.get(place)
    }

    /// All messages have been added: memory that was set aside for more is given back.
    pub(crate) fn complete(&mut self) {
        let held = self.messages.held_mut();
        let used = held.messages.iter();
        let used: usize = used
            .map(|message| held.names.get(message.name).len() + 1)
            .sum();
        let waste = held.names.len().saturating_sub(used);
        held.messages.shrink_to_fit();
        held.names.shrink();
        self.waste = waste;
    }

    /// The file of the message at `index` is now called `name`.
    pub(crate) fn renamed(&mut self, index: usize, name: &[u8]) {
        let Some(message) = self.messages.get(index).copied() else {
            return;
        };
        let old = self.name(&message).len();
        let names = &mut self.messages.held_mut().names;
        let start = if name.len() <= old && names.replace(message.name, name) {
            self.waste += old - name.len();
            message.name
        } else {
            if names.is_own(message.name) {
                self.waste += old + 1;
            }
            names.add(name)
        };
        self.touched = true;
        if let Some(message) = self.messages.get_mut(index) {
            message.name = start;
            message.flags = filename::flags(name);
            message.set(IN_NEW | UNLOCATED, false);
        }
        if self.waste > 65536 && self.waste > self.messages.held().names.owned_len() / 2 {
            self.compact();
        }
    }

    /// Takes the messages at these indexes out.
    pub(crate) fn take_out(&mut self, gone: &BTreeSet<usize>) {
        let mut waste = 0;
        for message in gone.iter().filter_map(|index| self.messages.get(*index)) {
            if self.messages.held().names.is_own(message.name) {
                waste += self.name(message).len() + 1;
            }
        }
        self.waste += waste;
        self.touched |= !gone.is_empty();
        let mut index = 0;
        self.messages.retain(|_| {
            index += 1;
            !gone.contains(&(index - 1))
        });
    }

    fn compact(&mut self) {
        let old = std::mem::take(self.messages.held_mut());
        let mut held = Held::default();
        held.names
            .reserve(old.names.len().saturating_sub(self.waste));
        held.messages = old.messages;
        for message in &mut held.messages {
            message.name = held.names.add(old.names.get(message.name));
        }
        self.messages = Roll::new(held);
        self.waste = 0;
    }

    /// From here on the names are those in the index just written, which has them in the order of the messages from
    /// `start` on.
    pub(crate) fn adopt_names(&mut self, map: Map, start: usize) {
        let held = self.messages.held_mut();
        let mut place = start;
        for message in &mut held.messages {
            let length = held.names.get(message.name).len();
            message.name = u32::try_from(place).unwrap_or(u32::MAX);
            place += length + 1;
        }
        held.names = Names::mapped(map);
        self.waste = 0;
    }

    /// The file of the message at `index` is gone.
    pub(crate) fn mark_gone(&mut self, index: usize) {
        if let Some(message) = self.messages.get_mut(index) {
            message.set(GONE, true);
        }
    }

    pub(crate) fn set_keywords(&mut self, index: usize, keywords: KeywordSet) {
        if let Some(message) = self.messages.get_mut(index) {
            self.touched |= message.keywords != keywords;
            message.keywords = keywords;
        }
    }
}

#[cfg(test)]
mod tests;
