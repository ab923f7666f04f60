//! Many texts looked for in one pass (Aho and Corasick, 1975): what a byte costs does not grow with the number of texts.
//!
//! Nodes lie in the order of a breadth-first walk, so that the children of each are side by side and end where those of
//! the next begin: a node is 13 bytes, and a command's texts are a few hundred kilobytes at most.

/// No text ends at this node.
const NONE: u32 = u32::MAX;

/// The texts of a command, ready to be looked for.
#[derive(Debug, Clone)]
pub(super) struct Automaton {
    /// The byte that leads to each node from its parent.
    bytes: Vec<u8>,
    /// Where the children of each node begin.
    children: Vec<u32>,
    /// The node of the longest proper suffix of what each node stands for.
    suffix: Vec<u32>,
    /// The first of the texts that end at each node, if any.
    ends: Vec<u32>,
    /// For each text the next that is the same.
    same: Vec<u32>,
    /// The nodes below the root, by byte; 0 for none.
    first: Vec<u32>,
}

/// Where a text that is looked through has got to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct State(u32);

/// Nodes whose texts, and those of their suffixes, are known to be found in this message: nobody looks at them twice.
#[derive(Debug, Default)]
pub(super) struct Visited(Vec<u64>);

impl Visited {
    /// True if it was not in the set before.
    fn insert(&mut self, node: u32) -> bool {
        let Some(word) = self.0.get_mut(node as usize / 64) else {
            return false;
        };
        let bit = 1_u64 << (node % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

impl Automaton {
    /// For texts, none of them empty. `None` if they are too many bytes to number.
    pub(super) fn new(texts: &[&[u8]]) -> Option<Self> {
        let total: usize = texts.iter().map(|text| text.len()).sum();
        if u32::try_from(total).is_err() || u32::try_from(texts.len()).is_err() {
            return None;
        }
        let mut order: Vec<u32> = (0..).take(texts.len()).collect();
        let text = |number: u32| texts.get(number as usize).copied().unwrap_or_default();
        order.sort_by_key(|&number| text(number));
        let mut made = Self {
            bytes: vec![0],
            children: Vec::new(),
            suffix: vec![0],
            ends: Vec::new(),
            same: vec![NONE; texts.len()],
            first: vec![0; 256],
        };
        // The texts of each node that begin as it says, in their order; and how long that beginning is.
        let mut ranges = vec![(0, order.len(), 0)];
        let mut parents = vec![0];
        let mut node = 0;
        while let Some(&(from, to, depth)) = ranges.get(node) {
            made.children.push(u32::try_from(ranges.len()).ok()?);
            let mut at = from;
            let mut ends = NONE;
            while let Some(&number) = order.get(at).filter(|_| at < to) {
                let Some(&byte) = text(number).get(depth) else {
                    // The shortest come first, so these are all that end here.
                    if let Some(same) = made.same.get_mut(number as usize) {
                        *same = ends;
                    }
                    ends = number;
                    at += 1;
                    continue;
                };
                let rest = order.get(at..to).unwrap_or_default();
                let count = rest.partition_point(|&other| text(other).get(depth) == Some(&byte));
                made.bytes.push(byte);
                ranges.push((at, at + count, depth + 1));
                parents.push(u32::try_from(node).ok()?);
                at += count.max(1);
            }
            made.ends.push(ends);
            node += 1;
        }
        // The end of the last node's children.
        made.children.push(u32::try_from(ranges.len()).ok()?);
        for child in made.below(0) {
            let byte = made.byte(child);
            if let Some(first) = made.first.get_mut(usize::from(byte)) {
                *first = child;
            }
        }
        // What is above comes first, so its suffix is known.
        for node in 1..u32::try_from(ranges.len()).ok()? {
            let parent = parents.get(node as usize).copied().unwrap_or(0);
            let suffix = match parent {
                0 => 0,
                _ => made.step(State(made.suffix_of(parent)), made.byte(node)).0,
            };
            made.suffix.push(suffix);
        }
        Some(made)
    }

    /// An empty set of visited nodes.
    pub(super) fn visited(&self) -> Visited {
        Visited(vec![0; self.bytes.len() / 64 + 1])
    }

    /// Looks through more of a text and gives `found` the number of each text that it meets for the first time.
    pub(super) fn look(
        &self,
        mut state: State,
        bytes: &[u8],
        visited: &mut Visited,
        mut found: impl FnMut(usize),
    ) -> State {
        for &byte in bytes {
            state = self.step(state, byte);
            let mut node = state.0;
            while node != 0 && visited.insert(node) {
                let mut number = self.ends.get(node as usize).copied().unwrap_or(NONE);
                while number != NONE {
                    found(number as usize);
                    number = self.same.get(number as usize).copied().unwrap_or(NONE);
                }
                node = self.suffix_of(node);
            }
        }
        state
    }

    fn step(&self, state: State, byte: u8) -> State {
        let mut node = state.0;
        while node != 0 {
            if let Some(child) = self.child(node, byte) {
                return State(child);
            }
            node = self.suffix_of(node);
        }
        State(self.first.get(usize::from(byte)).copied().unwrap_or(0))
    }

    fn child(&self, node: u32, byte: u8) -> Option<u32> {
        let below = self.below(node);
        let bytes = self.bytes.get(below.start as usize..below.end as usize)?;
        // Most nodes have one child.
        let index = match bytes {
            [] => return None,
            [only] => (*only == byte).then_some(0)?,
            _ => bytes.binary_search(&byte).ok()?,
        };
        below.start.checked_add(u32::try_from(index).ok()?)
    }

    fn below(&self, node: u32) -> std::ops::Range<u32> {
        let at = |node: usize| self.children.get(node).copied().unwrap_or(0);
        at(node as usize)..at(node as usize + 1)
    }

    fn byte(&self, node: u32) -> u8 {
        self.bytes.get(node as usize).copied().unwrap_or(0)
    }

    fn suffix_of(&self, node: u32) -> u32 {
        self.suffix.get(node as usize).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{Automaton, State};

    fn found(texts: &[&[u8]], pieces: &[&[u8]]) -> Vec<usize> {
        let automaton = Automaton::new(texts).unwrap();
        let mut visited = automaton.visited();
        let mut state = State::default();
        let mut found = Vec::new();
        for piece in pieces {
            state = automaton.look(state, piece, &mut visited, |number| found.push(number));
        }
        found.sort_unstable();
        found
    }

    #[test]
    fn texts_within_and_across_pieces() {
        let texts: [&[u8]; 6] = [b"he", b"she", b"his", b"hers", b"she", b"zz"];
        assert_eq!(found(&texts, &[b"ushers"]), [0, 1, 3, 4]);
        assert_eq!(found(&texts, &[b"us", b"he", b"", b"rs"]), [0, 1, 3, 4]);
        assert_eq!(found(&texts, &[b"hi", b"s"]), [2]);
        assert_eq!(found(&texts, &[b"h", b"z"]), [0_usize; 0]);
        assert_eq!(found(&[], &[b"abc"]), [0_usize; 0]);
    }

    #[test]
    fn endings_of_each_other_are_walked_once() {
        // `a`, `aa`, `aaa` ...: at each byte of the text all of them end.
        let longest = vec![b'a'; 500];
        let texts: Vec<&[u8]> = (1..=500).map(|length| &longest[..length]).collect();
        let text = vec![b'a'; 2_000_000];
        assert_eq!(found(&texts, &[&text]).len(), 500);
    }

    proptest! {
        #[test]
        fn the_same_as_one_by_one(
            texts in proptest::collection::vec(proptest::collection::vec(b'a'..=b'c', 1..6), 1..30),
            text in proptest::collection::vec(b'a'..=b'c', 0..200),
            cut in 0_usize..200,
        ) {
            let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
            let (before, behind) = text.split_at(cut.min(text.len()));
            let expected: BTreeSet<usize> = (0..texts.len())
                .filter(|&number| text.windows(texts[number].len()).any(|window| window == texts[number]))
                .collect();
            prop_assert_eq!(found(&texts, &[before, behind]), Vec::from_iter(expected));
        }
    }
}
