//! What a view shows and the log does not say.

use std::collections::HashMap;

use super::log::Record;
use super::{Expunge, Known, Modseqs, State};
use crate::maildir::keywords::{KeywordSet, KeywordTable};
use crate::maildir::snapshot::Snapshot;

/// Sums of keyword sets, each worked out once.
struct Sums<'a> {
    table: &'a KeywordTable,
    sums: HashMap<KeywordSet, u64>,
}

impl Sums<'_> {
    fn of(&mut self, set: KeywordSet) -> u64 {
        if set.is_empty() {
            return 0;
        }
        let table = self.table;
        *self.sums.entry(set).or_insert_with(|| {
            let mut names: Vec<Vec<u8>> = table
                .names_of(set)
                .map(<[u8]>::to_ascii_lowercase)
                .collect();
            names.sort_unstable();
            sum(&names).max(1)
        })
    }
}

/// FNV-1a over names that are ended by a line feed, which no keyword has.
fn sum(names: &[Vec<u8>]) -> u64 {
    let octets = names
        .iter()
        .flat_map(|name| name.iter().copied().chain([b'\n']));
    octets.fold(0xcbf2_9ce4_8422_2325, |sum, octet| {
        (sum ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What a view shows that the log does not say.
#[derive(Default)]
pub(super) struct Difference {
    states: Vec<(u32, State)>,
    gone: Vec<u32>,
}

impl Difference {
    /// A message that is known to be gone counts as it was until the view loses it: the client still has it.
    pub(super) fn between(view: &Snapshot, modseqs: &Modseqs) -> Self {
        let mut difference = Self::default();
        let mut sums = Sums {
            table: &view.table,
            sums: HashMap::new(),
        };
        let mut known = modseqs.known.iter().peekable();
        for message in view.messages() {
            let uid = message.uid();
            while let Some(absent) = known.next_if(|known| known.uid < uid) {
                difference.gone.push(absent.uid);
            }
            let before = known.next_if(|known| known.uid == uid);
            let state = State {
                flags: message.flags(),
                keywords: sums.of(message.keyword_set()),
            };
            // What was told with a provisional number gets one above that, even if others have logged it meanwhile.
            if before.is_none_or(|before| before.state != state)
                || modseqs.pending.binary_search(&uid).is_ok()
            {
                difference.states.push((uid, state));
            }
        }
        // What is above came after the view was read.
        let after = known.take_while(|known| known.uid < view.uid_next());
        difference.gone.extend(after.map(|known| known.uid));
        difference
    }

    pub(super) fn is_empty(&self) -> bool {
        self.states.is_empty() && self.gone.is_empty()
    }

    /// UIDs of messages that are in another state, ascending.
    pub(super) fn uids(&self) -> Vec<u32> {
        self.states.iter().map(|(uid, _)| *uid).collect()
    }

    /// As records with one MODSEQ.
    pub(super) fn records(&self, modseq: u64) -> Vec<Record> {
        let gone = self.gone.iter();
        let gone = gone.map(|uid| Record::Gone(Expunge { uid: *uid, modseq }));
        let states = self.states.iter().map(|(uid, state)| {
            Record::Is(Known {
                uid: *uid,
                state: *state,
                modseq,
            })
        });
        gone.chain(states).collect()
    }
}

/// The highest MODSEQ up to which `view` shows everything, now that the log says nothing else of its messages.
pub(super) fn shown(view: &Snapshot, modseqs: &Modseqs) -> u64 {
    // Others have logged messages that are too new for this view.
    let unseen = modseqs.known.iter().rev();
    let unseen = unseen.take_while(|known| known.uid >= view.uid_next());
    match unseen.map(|known| known.modseq).min() {
        Some(lowest) => modseqs.shown.max(lowest.saturating_sub(1)),
        None => modseqs.last,
    }
}
