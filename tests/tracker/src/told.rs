//! What must hold of everything that sessions tell.

use std::collections::BTreeMap;

use crate::Answer;

/// A client that has seen a folder at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The HIGHESTMODSEQ that it was told with it.
    pub modseq: u64,
    /// Flags and keywords by UID.
    pub messages: BTreeMap<u32, String>,
}

impl Client {
    /// One that has just been told everything.
    pub fn of(answer: &Answer) -> Self {
        let messages = answer.messages.iter();
        Self {
            modseq: answer.highest,
            messages: messages
                .map(|(uid, (_, state))| (*uid, state.clone()))
                .collect(),
        }
    }

    /// Learns what has changed since, from the answer to `since`.
    pub fn learn(&mut self, changes: &Answer) {
        for (first, last) in &changes.vanished {
            self.messages.retain(|uid, _| uid < first || uid > last);
        }
        for (uid, (_, state)) in &changes.messages {
            self.messages.insert(*uid, state.clone());
        }
        self.modseq = changes.highest;
    }
}

/// Clients that are kept, however long a run takes.
const CLIENTS: usize = 600;

/// All that was told about one folder.
#[derive(Debug, Default)]
pub struct Told {
    /// Clients of any time; of many, some.
    pub clients: Vec<Client>,
    states: BTreeMap<(u32, u64), String>,
    highest: u64,
    /// How many answers there were.
    count: usize,
}

impl Told {
    /// The highest HIGHESTMODSEQ so far.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Notes what a session has told after it told `before`, or as its first answer, to a client that came when
    /// `floor` was the highest ever told.
    ///
    /// # Errors
    /// What does not hold.
    pub fn tell(
        &mut self,
        before: Option<&Answer>,
        floor: u64,
        answer: &Answer,
    ) -> Result<(), String> {
        if answer.highest == 0 {
            // Not lasting: nothing is promised.
            return Ok(());
        }
        let least = before.map_or(floor, |before| before.highest);
        if answer.highest < least {
            return Err(format!(
                "HIGHESTMODSEQ fell from {least} to {}",
                answer.highest
            ));
        }
        for (uid, (modseq, state)) in &answer.messages {
            if *modseq == 0 {
                return Err(format!("UID {uid} has no MODSEQ"));
            }
            let known = self
                .states
                .entry((*uid, *modseq))
                .or_insert_with(|| state.clone());
            if known != state {
                return Err(format!(
                    "UID {uid} was {known} and is {state}, both {modseq}"
                ));
            }
            let earlier = before.and_then(|before| before.messages.get(uid));
            if let Some((earlier, was)) = earlier {
                if modseq < earlier || (modseq == earlier && was != state) {
                    return Err(format!(
                        "UID {uid} went from {was} at {earlier} to {state} at {modseq}"
                    ));
                }
            }
        }
        self.highest = self.highest.max(answer.highest);
        self.count += 1;
        let client = Client::of(answer);
        // Scattered over the whole run.
        if self.clients.len() < CLIENTS {
            self.clients.push(client);
        } else {
            let place = self.count.wrapping_mul(2_654_435_761) % (CLIENTS * 4);
            if let Some(place) = self.clients.get_mut(place) {
                *place = client;
            }
        }
        Ok(())
    }
}
