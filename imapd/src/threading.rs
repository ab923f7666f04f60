//! Threads of messages (RFC 5256 section 3), from what their headers say. Knows no files.
//!
//! Linear in the number of messages and references, but for sorting and for the logarithm in [`links`]. A message
//! costs some tens of bytes: ids and subjects are kept as hashes of 128 bits under a secret key.

mod links;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use links::{Links, NONE};
pub use tree::Threads;
use tree::{Entry, Item, Sink};

/// References of one message that are followed: its nearest ancestors.
const MAX_REFERENCES: usize = 1000;

/// Ids that no message of the mailbox may have used before further ones are passed over, besides those that each
/// message has on average. What a mailbox full of hostile headers may cost.
const MAX_UNKNOWN: usize = 1_000_000;

/// Node of the link forest: the message with that id, or [`NONE`] while none is known.
type Owner = u32;

/// What THREAD needs to know of a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    /// Sent date, Unix time.
    pub sent: i64,
    /// Base subject in the form in which subjects are compared.
    pub subject: &'a [u8],
    /// The subject says that this is a reply or a forward.
    pub reply: bool,
    /// Its message id, if it has a valid one.
    pub id: Option<&'a [u8]>,
}

/// Gathers messages, which must be added in the order of their numbers.
#[derive(Debug)]
pub struct Gatherer {
    keys: (RandomState, RandomState),
    subjects: HashMap<(u64, u64), u32>,
    ids: HashMap<(u64, u64), u32>,
    links: Links,
    /// Of each node.
    owners: Vec<Owner>,
    /// Of each message its node.
    nodes: Vec<u32>,
    entries: Vec<Entry>,
    max_unknown: usize,
}

impl Default for Gatherer {
    fn default() -> Self {
        Self {
            keys: (RandomState::new(), RandomState::new()),
            subjects: HashMap::new(),
            ids: HashMap::new(),
            links: Links::default(),
            owners: Vec::new(),
            nodes: Vec::new(),
            entries: Vec::new(),
            max_unknown: MAX_UNKNOWN,
        }
    }
}

impl Gatherer {
    /// Adds a message. Its number is what the result calls it; `references` are the ids of its ancestors, furthest
    /// first.
    pub fn add<'a>(
        &mut self,
        number: u32,
        headers: &Headers<'_>,
        references: impl Iterator<Item = &'a [u8]> + Clone,
    ) {
        let subject = self.subject(headers.subject);
        let entry = u32::try_from(self.entries.len()).unwrap_or(NONE);
        self.entries.push(Entry {
            number,
            sent: headers.sent,
            subject,
            reply: headers.reply,
        });
        // Step 1 of REFERENCES.
        let node = self.own_node(headers.id, entry);
        self.nodes.push(node);
        let skipped = references.clone().count().saturating_sub(MAX_REFERENCES);
        let mut last = NONE;
        for id in references.skip(skipped) {
            let Some(next) = self.node(id) else {
                continue;
            };
            if last != NONE {
                self.links.link(next, last);
            }
            last = next;
        }
        // Whatever put it below another message knew less than its own header does.
        self.links.cut(node);
        if last != NONE {
            self.links.link(node, last);
        }
    }

    /// Threads by subject and date (ORDEREDSUBJECT).
    #[must_use]
    pub fn by_subject(self) -> Threads {
        let mut sink = Sink::new(self.entries);
        sink.by_subject();
        sink.finish()
    }

    /// Threads by references, then by subject (REFERENCES).
    #[must_use]
    pub fn by_references(self) -> Threads {
        let items = self.items();
        let mut sink = Sink::new(self.entries);
        sink.by_references(&items);
        sink.finish()
    }

    /// Threads by references only, in the order of their newest messages (REFS).
    #[must_use]
    pub fn by_references_alone(self) -> Threads {
        let items = self.items();
        let mut sink = Sink::new(self.entries);
        sink.by_references_alone(&items);
        sink.finish()
    }

    /// Steps 2 and 3 of REFERENCES: of each message the message above it, dummies left out; of those without one, the
    /// topmost dummy.
    fn items(&self) -> Vec<Item> {
        const UNKNOWN: Item = Item::Below(NONE);
        // Of each node what the nodes below it hang on.
        let mut anchors = vec![UNKNOWN; self.owners.len()];
        let mut path = Vec::new();
        let anchor_of = |node: u32, anchors: &mut Vec<Item>, path: &mut Vec<u32>| {
            let mut at = node;
            let mut found = loop {
                if let Some(&known) = anchors.get(at as usize).filter(|known| **known != UNKNOWN) {
                    break known;
                }
                path.push(at);
                let owner = self.owner(at);
                if owner != NONE {
                    break Item::Below(owner);
                }
                let parent = self.links.parent(at);
                if parent == NONE {
                    break Item::Dummy(at);
                }
                at = parent;
            };
            while let Some(node) = path.pop() {
                let owner = self.owner(node);
                if owner != NONE {
                    found = Item::Below(owner);
                }
                if let Some(anchor) = anchors.get_mut(node as usize) {
                    *anchor = found;
                }
            }
            found
        };
        self.nodes
            .iter()
            .map(|&node| match self.links.parent(node) {
                NONE => Item::Top,
                parent => anchor_of(parent, &mut anchors, &mut path),
            })
            .collect()
    }

    fn owner(&self, node: u32) -> Owner {
        self.owners.get(node as usize).copied().unwrap_or(NONE)
    }

    /// The node of a message. An id that an earlier message has, and none, is as good as a new one.
    fn own_node(&mut self, id: Option<&[u8]>, entry: u32) -> u32 {
        let known = id.and_then(|id| self.named(id));
        let node = match known {
            Some(node) if self.owner(node) == NONE => node,
            Some(_) => self.new_node(),
            None => {
                let node = self.new_node();
                if let Some(id) = id {
                    let hash = self.hash(id);
                    self.ids.insert(hash, node);
                }
                node
            }
        };
        if let Some(owner) = self.owners.get_mut(node as usize) {
            *owner = entry;
        }
        node
    }

    /// The node of an id that a message refers to; `None` if there are too many already.
    fn node(&mut self, id: &[u8]) -> Option<u32> {
        if let Some(node) = self.named(id) {
            return Some(node);
        }
        let most = self
            .max_unknown
            .saturating_add(self.entries.len().saturating_mul(8));
        if self.owners.len() >= most {
            return None;
        }
        let node = self.new_node();
        let hash = self.hash(id);
        self.ids.insert(hash, node);
        Some(node)
    }

    fn named(&self, id: &[u8]) -> Option<u32> {
        self.ids.get(&self.hash(id)).copied()
    }

    fn new_node(&mut self) -> u32 {
        self.owners.push(NONE);
        self.links.add()
    }

    /// 0 for the empty subject, else a number for each.
    fn subject(&mut self, subject: &[u8]) -> u32 {
        if subject.is_empty() {
            return 0;
        }
        let hash = self.hash(subject);
        let next = u32::try_from(self.subjects.len())
            .unwrap_or(NONE)
            .saturating_add(1);
        *self.subjects.entry(hash).or_insert(next)
    }

    fn hash(&self, text: &[u8]) -> (u64, u64) {
        (self.keys.0.hash_one(text), self.keys.1.hash_one(text))
    }
}
