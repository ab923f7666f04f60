//! The parent links between messages while threads are put together: a forest in which a link can be made, broken
//! and asked for a loop, each in logarithmic time however long the chains are. A walk upwards for every reference
//! would take hours on headers written for that.
//!
//! The forest is kept as link-cut trees (Sleator and Tarjan 1983): every path is a splay tree ordered by depth.

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// Places in the splay trees.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// The parent in the forest.
    parent: u32,
    /// In the splay tree: what is less deep.
    left: u32,
    /// In the splay tree: what is deeper.
    right: u32,
    /// The splay tree's parent, or from its root the node that its path hangs on.
    up: u32,
}

const LONE: Node = Node {
    parent: NONE,
    left: NONE,
    right: NONE,
    up: NONE,
};

/// A forest of nodes numbered from 0.
#[derive(Debug, Default)]
pub(super) struct Links {
    nodes: Vec<Node>,
}

impl Links {
    /// Adds a node without parent; returns its number.
    pub(super) fn add(&mut self) -> u32 {
        let number = self.len();
        self.nodes.push(LONE);
        number
    }

    /// Number of nodes.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(NONE)
    }

    /// The parent of a node, or [`NONE`].
    pub(super) fn parent(&self, node: u32) -> u32 {
        self.get(node).parent
    }

    /// Makes `parent` the parent of `child`, unless it has one or that would make a loop. True if done.
    pub(super) fn link(&mut self, child: u32, parent: u32) -> bool {
        if child == parent || self.parent(child) != NONE || self.root(parent) == child {
            return false;
        }
        self.access(child);
        self.set(child, |node| {
            node.up = parent;
            node.parent = parent;
        });
        true
    }

    /// Takes a node away from its parent.
    pub(super) fn cut(&mut self, child: u32) {
        if self.parent(child) == NONE {
            return;
        }
        self.access(child);
        let above = self.get(child).left;
        self.set(above, |node| node.up = NONE);
        self.set(child, |node| {
            node.left = NONE;
            node.parent = NONE;
        });
    }

    /// The topmost node above `node`, or itself.
    fn root(&mut self, node: u32) -> u32 {
        self.access(node);
        let mut top = node;
        loop {
            let left = self.get(top).left;
            if left == NONE {
                break;
            }
            top = left;
        }
        // Pays for the walk.
        self.splay(top);
        top
    }

    /// Makes the path from the root to `node` one splay tree, with `node` at its root and nothing right of it.
    fn access(&mut self, node: u32) {
        let mut last = NONE;
        let mut at = node;
        while at != NONE {
            self.splay(at);
            self.set(at, |node| node.right = last);
            last = at;
            at = self.get(at).up;
        }
        self.splay(node);
    }

    /// Rotates `node` to the root of its splay tree.
    fn splay(&mut self, node: u32) {
        while !self.is_splay_root(node) {
            let parent = self.get(node).up;
            if !self.is_splay_root(parent) {
                let grand = self.get(parent).up;
                let straight = (self.get(grand).left == parent) == (self.get(parent).left == node);
                self.rotate(if straight { parent } else { node });
            }
            self.rotate(node);
        }
    }

    fn is_splay_root(&self, node: u32) -> bool {
        let up = self.get(node).up;
        let parent = self.get(up);
        up == NONE || (parent.left != node && parent.right != node)
    }

    /// Swaps `node` with its splay parent.
    fn rotate(&mut self, node: u32) {
        let parent = self.get(node).up;
        let grand = self.get(parent).up;
        let parent_was_root = self.is_splay_root(parent);
        let moved;
        if self.get(parent).left == node {
            moved = self.get(node).right;
            self.set(parent, |place| place.left = moved);
            self.set(node, |place| place.right = parent);
        } else {
            moved = self.get(node).left;
            self.set(parent, |place| place.right = moved);
            self.set(node, |place| place.left = parent);
        }
        self.set(moved, |place| place.up = parent);
        self.set(parent, |place| place.up = node);
        self.set(node, |place| place.up = grand);
        if !parent_was_root {
            self.set(grand, |place| {
                if place.left == parent {
                    place.left = node;
                } else {
                    place.right = node;
                }
            });
        }
    }

    /// A node that does not exist has no neighbours.
    fn get(&self, node: u32) -> Node {
        self.nodes.get(node as usize).copied().unwrap_or(LONE)
    }

    fn set(&mut self, node: u32, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(node as usize) {
            change(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Links, NONE};
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    proptest! {
        #[test]
        fn same_as_walking(steps in proptest::collection::vec((0u32..12, 0u32..12, 0u8..4), 0..200)) {
            let mut links = Links::default();
            let mut parents = [NONE; 12];
            for _ in 0..12 {
                links.add();
            }
            for (child, parent, what) in steps {
                if what == 0 {
                    links.cut(child);
                    parents[child as usize] = NONE;
                } else {
                    let mut at = parent;
                    while at != child && parents[at as usize] != NONE {
                        at = parents[at as usize];
                    }
                    let allowed = at != child && parents[child as usize] == NONE;
                    prop_assert_eq!(links.link(child, parent), allowed);
                    if allowed {
                        parents[child as usize] = parent;
                    }
                }
                for node in 0..12 {
                    prop_assert_eq!(links.parent(node), parents[node as usize]);
                }
            }
        }
    }

    #[test]
    fn long_chains_are_no_trouble() {
        const LENGTH: u32 = 200_000;
        let start = Instant::now();
        let mut links = Links::default();
        for node in 0..LENGTH {
            links.add();
            if node > 0 {
                assert!(links.link(node - 1, node));
            }
        }
        for node in 0..LENGTH {
            assert!(!links.link(LENGTH - 1, node));
        }
        assert!(start.elapsed() < Duration::from_secs(8));
    }
}
