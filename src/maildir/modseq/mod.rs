//! Modification sequences (RFC 7162): which state of which message is newer than what a client has seen, and which
//! messages have gone since. Kept in `courierimapindex.log`, from the first session on that wants them; sessions that do
//! not want them neither read nor write it, and what they or other software change is found by comparing.
//!
//! The log has the state of each message as somebody last saw it. Whoever sees a message in another state, by its own
//! doing or not, appends that state with a new MODSEQ. Only under the log's lock (an OFD lock; the folder's lock on a
//! network file system) is a MODSEQ given: the file server's time in microseconds, but above all before it.
//!
//! One rule makes the rest follow: when a session tells a client a MODSEQ, its view is what the log says. Whatever a later
//! view shows differently must then be a later record, since that view too is what the log says by then. It does not
//! matter who looked first, or whether somebody appended what he saw a moment too late: at worst a MODSEQ is given for
//! nothing. The exceptions hold the number down that is told as the highest: messages that others have logged and the
//! view does not show yet, and changes that cannot be logged now.
//!
//! A log that is lost, damaged, or put back from a backup starts anew above the present time, all times of the folder and
//! all that can be read in it. What was expunged before that is not known then, and [`Changes`] names every UID that is
//! not there.

mod compare;
mod log;
mod rest;
mod sync;
mod verify;

use std::fs::File;

use super::error::Result;
use super::flags::Flags;
use super::folder::Folder;
use super::snapshot::Snapshot;
use log::{Header, Record, Rest};
#[cfg(feature = "fuzzing")]
pub(crate) use verify::fuzz;
pub(crate) use verify::is_whole;

/// The file's name in the folder.
pub(crate) const NAME: &[u8] = b"courierimapindex.log";

/// What MODSEQ is about: flags and keywords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct State {
    flags: Flags,
    /// A sum of the keywords' names; 0 for none.
    keywords: u64,
}

/// A message as the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    uid: u32,
    state: State,
    modseq: u64,
}

/// A message that the log says is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expunge {
    uid: u32,
    modseq: u64,
}

/// The log as a session has read it.
#[derive(Debug, Default)]
pub(crate) struct Modseqs {
    /// Ascending by UID.
    known: Vec<Known>,
    /// Ascending by MODSEQ.
    expunged: Vec<Expunge>,
    /// Expunges up to this MODSEQ may be missing in `expunged`.
    floor: u64,
    /// The highest MODSEQ in the log.
    last: u64,
    /// Up to here the view shows everything.
    shown: u64,
    /// Device and inode of the file that was read, and how far. `None`: nothing was, or it must be judged under the lock.
    read: Option<(u64, u64, u64)>,
    /// How that file begins: another file may get the same inode number.
    header: Option<Header>,
    /// That file, where its inode number must stay its own: not on network file systems. Never the descriptor that a
    /// lock was taken through, which would last as long.
    pinned: Option<File>,
    /// What that file says of the folder at rest, as far as this session knows.
    rest: Option<Rest>,
    /// There is no log, and none can be made: the numbers are this session's own.
    in_memory: bool,
    /// UIDs, ascending, whose state could not be logged; `provisional` stands for their MODSEQ.
    pending: Vec<u32>,
    provisional: u64,
}

impl Modseqs {
    /// How far the file with this identity was read, if it was.
    fn read_up_to(&self, device: u64, inode: u64) -> Option<u64> {
        self.read
            .filter(|(read_device, read_inode, _)| (*read_device, *read_inode) == (device, inode))
            .map(|(_, _, place)| place)
    }

    fn position(&self, uid: u32) -> std::result::Result<usize, usize> {
        self.known.binary_search_by_key(&uid, |known| known.uid)
    }

    fn modseq(&self, uid: u32) -> u64 {
        if self.pending.binary_search(&uid).is_ok() {
            return self.provisional;
        }
        let known = self
            .position(uid)
            .ok()
            .and_then(|index| self.known.get(index));
        known.map_or(0, |known| known.modseq)
    }

    /// Takes one record over. [`Self::tidy`] must follow the last one.
    fn apply(&mut self, record: Record) {
        match record {
            Record::Is(known) => {
                self.last = self.last.max(known.modseq);
                // The base records of a file come in this order.
                if self.known.last().is_none_or(|last| last.uid < known.uid) {
                    return self.known.push(known);
                }
                match self.position(known.uid) {
                    Ok(index) => {
                        if let Some(place) = self.known.get_mut(index) {
                            *place = known;
                        }
                    }
                    Err(index) => self.known.insert(index, known),
                }
            }
            Record::Gone(gone) => {
                self.last = self.last.max(gone.modseq);
                self.expunged.push(gone);
                let place = self
                    .position(gone.uid)
                    .ok()
                    .and_then(|index| self.known.get_mut(index));
                if let Some(place) = place {
                    place.modseq = 0;
                }
            }
        }
    }

    /// Takes out what [`Self::apply`] found gone: all at once, for there may be many.
    fn tidy(&mut self) {
        self.known.retain(|known| known.modseq > 0);
        if !self.expunged.is_sorted_by_key(|gone| gone.modseq) {
            self.expunged.sort_by_key(|gone| gone.modseq);
        }
    }

    /// Forgets the oldest expunges beyond `most`.
    fn shorten(&mut self, most: usize) {
        let surplus = self.expunged.len().saturating_sub(most);
        if let Some(last) = surplus
            .checked_sub(1)
            .and_then(|last| self.expunged.get(last))
        {
            // Others with the same MODSEQ stay, but nobody who asks from there on is told less.
            self.floor = self.floor.max(last.modseq);
        }
        self.expunged.drain(..surplus);
    }
}

/// What is different since a MODSEQ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Indexes of messages whose MODSEQ is higher, ascending.
    pub changed: Vec<usize>,
    /// Ranges of UIDs that are not there any more, ascending. May name more than what has gone since, and UIDs that
    /// never were, when that is not known (RFC 7162 section 3.2.5.2 allows it).
    pub vanished: Vec<(u32, u32)>,
}

impl Snapshot {
    /// HIGHESTMODSEQ: this view shows every change up to it. 0 unless [`Folder::track`] was called.
    pub fn highest_modseq(&self) -> u64 {
        self.modseqs.as_ref().map_or(0, |modseqs| modseqs.shown)
    }

    /// False if the MODSEQs of this view end with the session, because they can be kept nowhere: the folder is somebody
    /// else's, or there is no log and none can be made. RFC 7162 section 3.1.2.2 wants such a mailbox to be announced
    /// with NOMODSEQ.
    pub fn has_lasting_modseqs(&self) -> bool {
        self.modseqs
            .as_ref()
            .is_some_and(|modseqs| !modseqs.in_memory)
    }

    /// The MODSEQ of the message at `index`, not 0; 0 unless [`Folder::track`] was called.
    pub fn modseq(&self, index: usize) -> u64 {
        let known = self.modseqs.as_ref().zip(self.get(index));
        known.map_or(0, |(modseqs, message)| modseqs.modseq(message.uid()))
    }

    /// What has changed or gone since the view of somebody, perhaps long ago, had `modseq` as its
    /// [`Self::highest_modseq`]. Everything for a MODSEQ that this folder has never told anybody. Nothing unless
    /// [`Folder::track`] was called.
    pub fn changes_since(&self, modseq: u64) -> Changes {
        let Some(modseqs) = &self.modseqs else {
            return Changes::default();
        };
        if modseq > modseqs.last.max(modseqs.provisional) {
            return Changes {
                changed: (0..self.len()).collect(),
                vanished: self.absent(),
            };
        }
        let mut changes = Changes::default();
        let mut known = modseqs.known.iter().peekable();
        let mut gone = Vec::new();
        for (index, message) in self.messages().iter().enumerate() {
            while let Some(known) = known.next_if(|known| known.uid < message.uid()) {
                // Not logged yet.
                gone.push(known.uid);
            }
            let newer = known
                .next_if(|known| known.uid == message.uid())
                .is_none_or(|known| known.modseq > modseq);
            if newer || modseqs.pending.binary_search(&message.uid()).is_ok() {
                changes.changed.push(index);
            }
        }
        gone.extend(
            known
                .map(|known| known.uid)
                .take_while(|uid| *uid < self.uid_next()),
        );
        changes.vanished = match modseq < modseqs.floor {
            true => self.absent(),
            false => {
                let first = modseqs
                    .expunged
                    .partition_point(|gone| gone.modseq <= modseq);
                let since = modseqs.expunged.get(first..).unwrap_or_default();
                gone.extend(since.iter().map(|gone| gone.uid));
                gone.retain(|uid| self.index_of_uid(*uid).is_none());
                gone.sort_unstable();
                ranges(gone.into_iter())
            }
        };
        changes
    }

    /// All UIDs below UIDNEXT without a message.
    fn absent(&self) -> Vec<(u32, u32)> {
        let mut absent = Vec::new();
        let mut next = 1;
        let ends = self.messages().iter().map(|message| message.uid());
        for uid in ends.chain([self.uid_next()]) {
            if uid > next {
                absent.push((next, uid - 1));
            }
            next = uid.saturating_add(1);
        }
        absent
    }
}

/// Ascending UIDs as ranges.
fn ranges(uids: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for uid in uids {
        match ranges.last_mut() {
            Some((_, last)) if uid.saturating_sub(*last) <= 1 => *last = uid,
            _ => ranges.push((uid, uid)),
        }
    }
    ranges
}

impl Folder {
    /// Gives the messages of `view` MODSEQs from now on, across rescans and changes: after [`Self::rescan`],
    /// [`Self::change`] and [`Self::open_message`] every message has the one that belongs to the state that the view
    /// shows it in.
    ///
    /// Somebody else's folder, or one where no log can be made: the numbers are this session's own, and above those of
    /// sessions before.
    ///
    /// # Errors
    /// The folder's times cannot be read.
    pub fn track(&self, view: &mut Snapshot) -> Result<()> {
        if view.modseqs.is_none() {
            view.modseqs = Some(Box::new(self.open_log(view)?));
            self.note_changes(view);
            self.rest(view);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
