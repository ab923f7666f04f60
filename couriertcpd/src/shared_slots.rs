//! Who is connected when a proxy stands before a port: the client's address is known only after the child has read
//! the header, so it is the child that enters it, in memory that all of them share. Looked through once per
//! connection, and used only with `-haproxy`; without it [`crate::slots`] needs no walk.

use std::collections::HashMap;
use std::net::Ipv6Addr;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::slots::{Whole, block};
use crate::sys::Shared;

/// An address per slot, in two cells each; zero is a free slot or one whose client is not known yet.
#[derive(Debug)]
pub struct SharedSlots {
    cells: Shared,
    free: Vec<usize>,
    sessions: HashMap<Pid, usize>,
}

impl SharedSlots {
    /// Room for `count` sessions.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(count: usize) -> Result<Self, Errno> {
        Ok(Self {
            cells: Shared::new(count.saturating_mul(2))?,
            free: (0..count).rev().collect(),
            sessions: HashMap::new(),
        })
    }

    /// The parent, before a fork: a slot for the new session; None when all are taken.
    pub fn reserve(&mut self) -> Option<usize> {
        self.free.pop()
    }

    /// The parent, after a failed fork.
    pub fn give_back(&mut self, slot: usize) {
        self.free.push(slot);
    }

    /// The parent, after the fork.
    pub fn assign(&mut self, pid: Pid, slot: usize) {
        self.sessions.insert(pid, slot);
    }

    /// The parent, when the session has ended.
    pub fn release(&mut self, pid: Pid) {
        if let Some(slot) = self.sessions.remove(&pid) {
            self.enter(slot, Ipv6Addr::UNSPECIFIED);
            self.free.push(slot);
        }
    }

    /// The child: this is my client.
    pub fn enter(&self, slot: usize, address: Ipv6Addr) {
        let bits = u128::from(address);
        let (high, low) = cells_of(slot);
        // The halves, not numbers.
        #[allow(clippy::cast_possible_truncation)]
        let (high_bits, low_bits) = ((bits >> 64) as u64, bits as u64);
        self.cells.store(low, low_bits);
        self.cells.store(high, high_bits);
    }

    /// The client of the session of `pid`; `::` while it is not known.
    pub fn address_of(&self, pid: Pid) -> Ipv6Addr {
        self.sessions
            .get(&pid)
            .map_or(Ipv6Addr::UNSPECIFIED, |&slot| self.address_in(slot))
    }

    fn address_in(&self, slot: usize) -> Ipv6Addr {
        let (high, low) = cells_of(slot);
        let bits = (u128::from(self.cells.load(high)) << 64) | u128::from(self.cells.load(low));
        Ipv6Addr::from(bits)
    }

    /// How many slots other than `own` have `address`, or one that counts as the same, and how many are in its block.
    pub fn count(&self, own: usize, address: Ipv6Addr, whole: Whole) -> (usize, usize) {
        let mut same = 0_usize;
        let mut near = 0_usize;
        for slot in 0..self.cells.len() / 2 {
            let other = self.address_in(slot);
            if slot == own || other.is_unspecified() {
                continue;
            }
            same = same.saturating_add(usize::from(whole.of(other) == whole.of(address)));
            near = near.saturating_add(usize::from(block(other) == block(address)));
        }
        (same, near)
    }
}

fn cells_of(slot: usize) -> (usize, usize) {
    let high = slot.saturating_mul(2);
    (high, high.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_entered_by_children_are_counted_and_freed() {
        let mut slots = SharedSlots::new(3).unwrap();
        let address = |text: &str| text.parse::<Ipv6Addr>().unwrap();
        let taken: Vec<usize> = (0..3).map(|_| slots.reserve().unwrap()).collect();
        assert_eq!(slots.reserve(), None);
        for (&slot, number) in taken.iter().zip(100..) {
            slots.assign(Pid::from_raw(number), slot);
        }
        slots.enter(taken[0], address("::ffff:192.0.2.1"));
        slots.enter(taken[1], address("::ffff:192.0.2.9"));
        assert_eq!(
            slots.count(taken[2], address("::ffff:192.0.2.1"), Whole::default()),
            (1, 2)
        );
        assert_eq!(
            slots.count(taken[0], address("::ffff:192.0.2.1"), Whole::default()),
            (0, 1)
        );
        assert_eq!(
            slots.count(taken[2], address("2001:db8::1"), Whole::default()),
            (0, 0)
        );
        slots.release(Pid::from_raw(100));
        assert_eq!(
            slots.count(taken[2], address("::ffff:192.0.2.1"), Whole::default()),
            (0, 1)
        );
        assert_eq!(slots.reserve(), Some(taken[0]));
    }
}
