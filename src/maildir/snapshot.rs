//! One session's view of one folder: the messages in UID order with their flags and keywords, and what changed
//! between two views. Names of files live in one arena and never leave the store.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::Error;
use super::filename;
use super::files::Stamp;
use super::flags::Flags;
use super::keywords::{KeywordSet, KeywordTable};
use super::modseq::Modseqs;
use super::roll::{Held, Names, Roll, Trust};
use super::witness::Witness;
use crate::sys::map::Map;

/// One message of a [`Snapshot`]. Its position there plus one is its IMAP sequence number.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    uid: u32,
    name: u32,
    /// Of the file as a listing gave it, folded to half its length; 0 if not known.
    inode: u32,
    /// Octets of the file as it was last looked at, for names that do not say; 0 if not known.
    size: u32,
    keywords: KeywordSet,
    flags: Flags,
    state: u8,
}

const RECENT: u8 = 1;
/// The file is in `new/` (a read-only session does not move it).
const IN_NEW: u8 = 2;
/// The file is known to be gone: removed by this session, or found absent.
const GONE: u8 = 4;
/// Numbered, but not seen in the listings so far; only the base name is known.
const UNLOCATED: u8 = 8;
/// Others changed the flags, and no rescan has reported it.
const NEWS: u8 = 16;

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
    /// [`super::Folder::rescan`] yet. Content requests fail; flag changes pass it over.
    pub fn is_gone(&self) -> bool {
        self.state & GONE != 0
    }

    /// The message's keywords; resolve with [`Snapshot::keywords`].
    pub fn keyword_set(&self) -> KeywordSet {
        self.keywords
    }

    pub(crate) fn is_in_new(&self) -> bool {
        self.state & IN_NEW != 0
    }

    pub(crate) fn is_unlocated(&self) -> bool {
        self.state & UNLOCATED != 0
    }

    fn set(&mut self, bit: u8, on: bool) {
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

    fn set_size(&mut self, size: u64) {
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
            message.inode == Message::fold_inode(inode) && message.known_size() != Some(size);
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

/// One message that left, for `* n EXPUNGE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expunged {
    /// Sequence number to announce: already lowered by the expunges before it in the same [`Diff`].
    pub sequence: usize,
    /// The UID it had.
    pub uid: u32,
}

/// What [`super::Folder::rescan`] changed in a snapshot, in the order in which it is reported.
#[derive(Debug, Default)]
pub struct Diff {
    /// Messages that left, ascending.
    pub expunged: Vec<Expunged>,
    /// Indexes, in the updated snapshot, of the messages whose flags or keywords changed; ascending.
    pub changed: Vec<usize>,
    /// How many messages were added at the end.
    pub added: usize,
    /// The set of keywords in use is another one now.
    pub keywords_changed: bool,
    /// Look again after this time: the folder changed so recently or so busily that not everything can be told
    /// yet. Of interest while idling; any later rescan does it too.
    pub again: Option<Duration>,
}

impl Diff {
    /// True if there is nothing to report.
    pub fn is_empty(&self) -> bool {
        self.expunged.is_empty()
            && self.changed.is_empty()
            && self.added == 0
            && !self.keywords_changed
    }

    /// Compares two views; both in UID order. Keyword sets of both must be of one table.
    pub(crate) fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let mut diff = Self::default();
        let mut sequence = 1;
        let mut fresh = new.messages.iter().enumerate().peekable();
        for message in &old.messages {
            match fresh.next_if(|(_, candidate)| candidate.uid == message.uid) {
                Some((index, candidate)) => {
                    if candidate.flags != message.flags
                        || candidate.keywords != message.keywords
                        || message.state & NEWS != 0
                    {
                        diff.changed.push(index);
                    }
                    sequence += 1;
                }
                None => diff.expunged.push(Expunged {
                    sequence,
                    uid: message.uid,
                }),
            }
        }
        diff.added = fresh.count();
        diff.keywords_changed = old.keywords_in_use() != new.keywords_in_use();
        diff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(messages: &[(u32, &[u8])]) -> Snapshot {
        let mut snapshot = Snapshot::new(1, false);
        for (uid, name) in messages {
            snapshot.push(Message::new(*uid, filename::flags(name)), name);
        }
        snapshot
    }

    #[test]
    fn expunges_are_numbered_as_imap_wants_them() {
        let old = snapshot(&[(1, b"a:2,"), (2, b"b:2,"), (3, b"c:2,"), (5, b"e:2,S")]);
        let new = snapshot(&[(2, b"b:2,S"), (5, b"e:2,S"), (6, b"f:2,")]);
        let diff = Diff::between(&old, &new);
        assert_eq!(
            diff.expunged,
            [
                Expunged {
                    sequence: 1,
                    uid: 1
                },
                Expunged {
                    sequence: 2,
                    uid: 3
                }
            ]
        );
        assert_eq!(diff.changed, [0]);
        assert_eq!(diff.added, 1);
    }

    #[test]
    fn messages_are_found_by_base_name() {
        let names: Vec<String> = (0..40).map(|number| format!("{number}.a:2,S")).collect();
        let messages: Vec<(u32, &[u8])> = (1..).zip(names.iter().map(String::as_bytes)).collect();
        let view = snapshot(&messages);
        for count in [0, 1, 8, 9, 30] {
            let mut bases: Vec<String> = (0..count).map(|number| format!("{number}.a")).collect();
            bases.push("1.".to_owned());
            bases.push("3.a:2".to_owned());
            let bases: Vec<&[u8]> = bases.iter().map(String::as_bytes).collect();
            let mut expected: Vec<Option<usize>> = (0..count).map(Some).collect();
            expected.extend([None, None]);
            assert_eq!(view.positions(&bases), expected);
        }
    }

    #[test]
    fn names_survive_renames_and_compaction() {
        let mut snapshot = snapshot(&[]);
        for uid in 1..=2000 {
            let name = format!("{uid:050}:2,");
            snapshot.push(Message::new(uid, Flags::NONE), name.as_bytes());
        }
        for round in 0..4 {
            for index in 0..2000 {
                let letters = if round % 2 == 0 { "FS" } else { "" };
                let name = format!("{:050}:2,{letters}", index + 1);
                snapshot.renamed(index, name.as_bytes());
            }
        }
        assert_eq!(
            snapshot.messages.held().names.len() - snapshot.waste,
            2000 * 54
        );
        let last = snapshot.messages[1999];
        assert_eq!(snapshot.name(&last), format!("{:050}:2,", 2000).as_bytes());
        assert_eq!(snapshot.index_of_uid(7), Some(6));
        assert_eq!(snapshot.indexes_of_uids(3, 5), 2..5);
        assert_eq!(snapshot.indexes_of_uids(5, 3), 4..4);
        assert_eq!(snapshot.indexes_of_uids(1999, u32::MAX), 1998..2000);
    }
}
