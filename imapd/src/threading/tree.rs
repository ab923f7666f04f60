//! The threads while and after they are sorted and merged.

use std::collections::HashMap;

use super::links::NONE;
use crate::writer::Writer;

/// What is kept of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// What the caller calls it.
    pub(super) number: u32,
    /// Sent date, Unix time.
    pub(super) sent: i64,
    /// Number of its base subject; 0 for the empty one.
    pub(super) subject: u32,
    /// The subject is that of a reply or forward.
    pub(super) reply: bool,
}

/// Where a message stands by its references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    /// Nothing is above it.
    Top,
    /// Below the message with this entry.
    Below(u32),
    /// Below a message that is not there; the node that stands for it.
    Dummy(u32),
}

/// Sorts before another by date, and by number where the dates are the same.
type Age = (i64, u32);

/// Older than everything.
const OLDEST: Age = (i64::MAX, NONE);

/// Puts the threads together. Messages are numbered by their entries, dummies from there on.
#[derive(Debug)]
pub(super) struct Sink {
    entries: Vec<Entry>,
    /// Of messages, then dummies: the one above, or [`NONE`].
    above: Vec<u32>,
    /// Of each dummy its oldest child, which stands for it.
    oldest: Vec<Age>,
    /// Of each dummy: it was merged into the one above it.
    merged: Vec<bool>,
    /// Threads stand in the order of their newest messages, not of their first ones.
    newest_orders: bool,
}

impl Sink {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        Self {
            above: vec![NONE; entries.len()],
            entries,
            oldest: Vec::new(),
            merged: Vec::new(),
            newest_orders: false,
        }
    }

    /// ORDEREDSUBJECT: the oldest message of each subject, and the others below it.
    pub(super) fn by_subject(&mut self) {
        let mut first: HashMap<u32, Age> = HashMap::new();
        for (entry, number) in self.entries.iter().zip(0..) {
            let age = (entry.sent, number);
            let oldest = first.entry(entry.subject).or_insert(age);
            *oldest = age.min(*oldest);
        }
        for ((entry, above), number) in self.entries.iter().zip(&mut self.above).zip(0..) {
            match first.get(&entry.subject) {
                Some(&(_, oldest)) if oldest != number => *above = oldest,
                _ => {}
            }
        }
    }

    /// Steps 3 to 5 of REFERENCES.
    pub(super) fn by_references(&mut self, items: &[Item]) {
        self.put_together(items);
        self.merge();
    }

    /// REFS: step 3 of REFERENCES, and the threads by their newest messages.
    pub(super) fn by_references_alone(&mut self, items: &[Item]) {
        self.put_together(items);
        self.newest_orders = true;
    }

    /// Step 3 of REFERENCES.
    fn put_together(&mut self, items: &[Item]) {
        // A dummy at the top goes if it has one child only (step 3).
        let mut children: HashMap<u32, u32> = HashMap::new();
        for item in items {
            if let Item::Dummy(node) = item {
                let count = children.entry(*node).or_default();
                *count = count.saturating_add(1);
            }
        }
        let mut dummies: HashMap<u32, u32> = HashMap::new();
        for (item, number) in items.iter().zip(0..) {
            let above = match *item {
                Item::Top => NONE,
                Item::Below(entry) => entry,
                Item::Dummy(node) if children.get(&node).is_some_and(|count| *count > 1) => {
                    match dummies.get(&node) {
                        Some(dummy) => *dummy,
                        None => {
                            let dummy = self.new_dummy();
                            dummies.insert(node, dummy);
                            dummy
                        }
                    }
                }
                Item::Dummy(_) => NONE,
            };
            self.put_below(number, above);
        }
    }

    /// Steps 4 and 5 of REFERENCES: threads with one base subject become one.
    fn merge(&mut self) {
        let mut top: Vec<(Age, u32)> = (0..self.count())
            .filter(|&item| self.above(item) == NONE)
            .map(|item| (self.age(item), item))
            .collect();
        top.sort_unstable();
        let mut table: HashMap<u32, u32> = HashMap::new();
        for &(_, item) in &top {
            let Some(subject) = self.subject(item) else {
                continue;
            };
            let kept = *table.entry(subject).or_insert(item);
            let better = self.is_dummy(item) || (self.is_reply(kept) && !self.is_reply(item));
            if kept != item && !self.is_dummy(kept) && better {
                table.insert(subject, item);
            }
        }
        for &(_, item) in &top {
            let Some(subject) = self.subject(item) else {
                continue;
            };
            let Some(&kept) = table.get(&subject).filter(|&&kept| kept != item) else {
                continue;
            };
            if self.is_dummy(kept) {
                if self.is_dummy(item) {
                    self.merge_dummy(item, kept);
                } else {
                    self.put_below(item, kept);
                }
            } else if self.is_reply(item) && !self.is_reply(kept) {
                self.put_below(item, kept);
            } else {
                let dummy = self.new_dummy();
                self.put_below(kept, dummy);
                self.put_below(item, dummy);
                table.insert(subject, dummy);
            }
        }
    }

    fn new_dummy(&mut self) -> u32 {
        let dummy = self.count();
        self.above.push(NONE);
        self.oldest.push(OLDEST);
        self.merged.push(false);
        dummy
    }

    fn merge_dummy(&mut self, dummy: u32, into: u32) {
        self.put_below(dummy, into);
        if let Some(merged) = self.dummy(dummy).and_then(|at| self.merged.get_mut(at)) {
            *merged = true;
        }
    }

    fn put_below(&mut self, item: u32, above: u32) {
        let age = self.age(item);
        if let Some(place) = self.above.get_mut(item as usize) {
            *place = above;
        }
        if let Some(oldest) = self.dummy(above).and_then(|at| self.oldest.get_mut(at)) {
            *oldest = age.min(*oldest);
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.above.len()).unwrap_or(NONE)
    }

    fn above(&self, item: u32) -> u32 {
        self.above.get(item as usize).copied().unwrap_or(NONE)
    }

    /// Index into the lists of dummies.
    fn dummy(&self, item: u32) -> Option<usize> {
        (item as usize)
            .checked_sub(self.entries.len())
            .filter(|&at| at < self.oldest.len())
    }

    fn is_dummy(&self, item: u32) -> bool {
        self.dummy(item).is_some()
    }

    fn is_merged(&self, item: u32) -> bool {
        self.dummy(item)
            .and_then(|at| self.merged.get(at))
            .is_some_and(|merged| *merged)
    }

    fn age(&self, item: u32) -> Age {
        match self.dummy(item).and_then(|at| self.oldest.get(at)) {
            Some(oldest) => *oldest,
            None => self
                .entries
                .get(item as usize)
                .map_or(OLDEST, |entry| (entry.sent, item)),
        }
    }

    /// The message itself, or the first child of a dummy.
    fn representative(&self, item: u32) -> Option<&Entry> {
        let entry = match self.dummy(item).and_then(|at| self.oldest.get(at)) {
            Some(&(_, entry)) => entry,
            None => item,
        };
        self.entries.get(entry as usize)
    }

    /// The thread subject; `None` if it is empty.
    fn subject(&self, item: u32) -> Option<u32> {
        self.representative(item)
            .map(|entry| entry.subject)
            .filter(|&subject| subject != 0)
    }

    fn is_reply(&self, item: u32) -> bool {
        !self.is_dummy(item) && self.representative(item).is_some_and(|entry| entry.reply)
    }

    /// Of each item at the top the date of the newest message in its thread.
    fn newest(&self) -> Vec<i64> {
        let mut newest = vec![i64::MIN; self.above.len()];
        // Of each item the top of its thread, once known.
        let mut tops: Vec<u32> = vec![NONE; self.above.len()];
        let mut path = Vec::new();
        for (entry, number) in self.entries.iter().zip(0_u32..) {
            let mut at = number;
            let top = loop {
                match tops.get(at as usize) {
                    Some(&known) if known != NONE => break known,
                    _ => path.push(at),
                }
                match self.above(at) {
                    NONE => break at,
                    above => at = above,
                }
            };
            for item in path.drain(..) {
                if let Some(place) = tops.get_mut(item as usize) {
                    *place = top;
                }
            }
            if let Some(place) = newest.get_mut(top as usize) {
                *place = entry.sent.max(*place);
            }
        }
        newest
    }

    /// Step 6: siblings in the order of their dates.
    pub(super) fn finish(self) -> Threads {
        let mut links: Vec<(u32, Age, u32)> = Vec::with_capacity(self.above.len());
        for item in 0..self.count() {
            if self.is_merged(item) {
                continue;
            }
            let mut above = self.above(item);
            if self.is_merged(above) {
                above = self.above(above);
            }
            links.push((above, self.age(item), item));
        }
        if self.newest_orders {
            let newest = self.newest();
            for (above, age, item) in &mut links {
                if *above == NONE {
                    age.0 = newest.get(*item as usize).copied().unwrap_or(age.0);
                }
            }
        }
        links.sort_unstable();
        let mut starts = vec![(0, 0); self.above.len()];
        let mut top = 0..0;
        let mut from = 0;
        for group in links.chunk_by(|a, b| a.0 == b.0) {
            let range = (from, from + group.len());
            from = range.1;
            match group.first() {
                Some(&(NONE, ..)) => top = range.0..range.1,
                Some(&(above, ..)) => {
                    if let Some(place) = starts.get_mut(above as usize) {
                        *place = range;
                    }
                }
                None => {}
            }
        }
        Threads {
            numbers: self.entries.iter().map(|entry| entry.number).collect(),
            order: links.into_iter().map(|(_, _, item)| item).collect(),
            children: starts,
            top,
        }
    }
}

/// Threads, ready to be shown.
#[derive(Debug)]
pub struct Threads {
    /// What the caller calls each message.
    numbers: Vec<u32>,
    /// The items by what is above them, siblings in order.
    order: Vec<u32>,
    /// Of each item the range of `order` that is below it.
    children: Vec<(usize, usize)>,
    /// The threads.
    top: std::ops::Range<usize>,
}

impl Threads {
    /// Writes ` (1 2 (3)(4))(5)`; nothing if there are no threads.
    /// ```abnf
    /// thread-data    = "THREAD" [SP 1*thread-list]
    /// thread-list    = "(" (thread-members / thread-nested) ")"
    /// thread-members = nz-number *(SP nz-number) [SP thread-nested]
    /// thread-nested  = 2*thread-list
    /// ```
    /// `shown` gives what the client calls a message.
    pub fn write(&self, out: &mut Writer, shown: impl Fn(u32) -> u32) {
        if self.top.is_empty() {
            return;
        }
        out.put(b" ");
        // What is still to be shown of each level of branches.
        let mut levels = vec![(self.top.start, self.top.end)];
        while let Some(level) = levels.last_mut() {
            if level.0 >= level.1 {
                levels.pop();
                if !levels.is_empty() {
                    out.put(b")");
                }
                continue;
            }
            let at = level.0;
            level.0 += 1;
            out.put(b"(");
            match self.chain(at, out, &shown) {
                Some(branches) => levels.push(branches),
                None => out.put(b")"),
            }
        }
    }

    /// Writes a message and what follows it up to the next branch, which is returned.
    fn chain(
        &self,
        at: usize,
        out: &mut Writer,
        shown: &impl Fn(u32) -> u32,
    ) -> Option<(usize, usize)> {
        let mut at = at;
        let mut separator: &[u8] = b"";
        loop {
            let item = *self.order.get(at)? as usize;
            if let Some(&number) = self.numbers.get(item) {
                out.put(separator);
                out.number(u64::from(shown(number)));
                separator = b" ";
            }
            let (start, end) = self.children.get(item).copied().unwrap_or((0, 0));
            match end.saturating_sub(start) {
                0 => return None,
                1 => at = start,
                _ => {
                    out.put(separator);
                    return Some((start, end));
                }
            }
        }
    }
}
