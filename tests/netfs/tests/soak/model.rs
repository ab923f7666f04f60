//! What must hold, whatever the network and the signals do.

use std::collections::{BTreeMap, BTreeSet};

use super::FOLDERS;

/// Where a message is: folder and UID.
pub(crate) type Place = (usize, u32);

/// What the clients know together. Messages are known by their numbers, which are their subjects.
#[derive(Default)]
pub(crate) struct Model {
    /// Places whose message somebody was promised: APPEND or COPY was answered with OK.
    filed: BTreeMap<Place, u32>,
    /// Commands that may have put a message into a folder, told or not.
    arrivals: BTreeMap<(usize, u32), u32>,
    /// Commands that may have taken a message out of a folder, told or not.
    attempts: BTreeMap<(usize, u32), u32>,
    /// Moves that were answered with OK, by message and the folder that it left.
    moved: BTreeMap<(usize, u32), Place>,
    /// Messages expunged with an OK, by folder.
    removed: BTreeSet<(usize, u32)>,
    /// Keywords that somebody was promised, by place.
    keywords: BTreeMap<Place, BTreeSet<String>>,
    validity: BTreeMap<usize, u32>,
    /// What a UID of a folder was seen to be.
    seen: BTreeMap<Place, u32>,
}

impl Model {
    pub(crate) fn validity(&mut self, folder: usize, value: u32) {
        let known = *self.validity.entry(folder).or_insert(value);
        assert_eq!(
            known, value,
            "UIDVALIDITY of {} has changed",
            FOLDERS[folder]
        );
    }

    pub(crate) fn saw(&mut self, place: Place, number: u32) {
        let known = *self.seen.entry(place).or_insert(number);
        assert_eq!(
            known, number,
            "UID {} of {} was message {known} and is {number}",
            place.1, FOLDERS[place.0]
        );
    }

    /// An OK with a UID: no other message may ever have had that one.
    pub(crate) fn filed(&mut self, place: Place, number: u32) {
        self.saw(place, number);
        let other = self.filed.insert(place, number);
        assert_eq!(
            other, None,
            "UID {} of {} was given twice",
            place.1, FOLDERS[place.0]
        );
    }

    /// A command is about to put the message into the folder.
    pub(crate) fn arrival(&mut self, folder: usize, number: u32) {
        *self.arrivals.entry((folder, number)).or_default() += 1;
    }

    /// A command is about to take the message out of the folder.
    pub(crate) fn attempt(&mut self, folder: usize, number: u32) {
        *self.attempts.entry((folder, number)).or_default() += 1;
    }

    pub(crate) fn moved(&mut self, from: usize, number: u32, to: Place) {
        self.saw(to, number);
        self.moved.insert((from, number), to);
    }

    pub(crate) fn removed(&mut self, folder: usize, number: u32) {
        self.removed.insert((folder, number));
    }

    pub(crate) fn keyword(&mut self, place: Place, keyword: String) {
        self.keywords.entry(place).or_default().insert(keyword);
    }

    /// Promises made.
    pub(crate) fn promises(&self) -> usize {
        self.filed.len() + self.moved.len() + self.keywords.len()
    }

    fn untouched(&self, (folder, _): Place, number: u32) -> bool {
        !self.attempts.contains_key(&(folder, number))
    }

    /// Compares the end with everything that was promised. `ends` are the folders' contents, UID to number and
    /// keywords.
    pub(crate) fn check(&self, ends: &[BTreeMap<u32, (u32, BTreeSet<String>)>]) {
        let there = |(folder, uid): Place| ends[folder].get(&uid).map(|message| message.0);
        for (folder, end) in ends.iter().enumerate() {
            for (uid, (number, _)) in end {
                let known = self.seen.get(&(folder, *uid)).unwrap_or(number);
                assert_eq!(known, number, "UID {uid} of {} changed", FOLDERS[folder]);
            }
        }
        for (place, number) in &self.filed {
            if self.untouched(*place, *number) {
                let name = FOLDERS[place.0];
                let uid = place.1;
                assert_eq!(
                    there(*place),
                    Some(*number),
                    "UID {uid} of {name}, message {number}, is lost"
                );
            }
        }
        for ((from, number), to) in &self.moved {
            if self.untouched(*to, *number) {
                let name = FOLDERS[to.0];
                let uid = to.1;
                assert_eq!(
                    there(*to),
                    Some(*number),
                    "UID {uid} of {name}, message {number}, is lost after a move"
                );
            }
            // The only attempt, and told to be done: it must not have come back.
            if self.attempts.get(&(*from, *number)) == Some(&1) {
                self.is_away(*from, *number, ends);
            }
        }
        for (folder, number) in &self.removed {
            if self.attempts.get(&(*folder, *number)) == Some(&1) {
                self.is_away(*folder, *number, ends);
            }
        }
        for (place, promised) in &self.keywords {
            let Some((_, found)) = ends[place.0].get(&place.1) else {
                continue;
            };
            let lost: Vec<&String> = promised.difference(found).collect();
            let (uid, name) = (place.1, FOLDERS[place.0]);
            assert!(lost.is_empty(), "UID {uid} of {name} has lost {lost:?}");
        }
    }

    /// The message is not in the folder any more, unless it may have been put there twice.
    fn is_away(&self, folder: usize, number: u32, ends: &[BTreeMap<u32, (u32, BTreeSet<String>)>]) {
        let once = self.arrivals.get(&(folder, number)) == Some(&1);
        let left = ends[folder].values().any(|message| message.0 == number);
        assert!(!(once && left), "{number} is back in {}", FOLDERS[folder]);
    }
}
