//! Who is connected: the table that `-maxprocs`, `-maxperip` and `-maxperc` are checked against. The parent keeps
//! it; a forked child asks its copy. Nothing here grows with more than the number of live sessions, and nothing
//! walks over them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use nix::unistd::Pid;

/// The form in which addresses are compared, looked up and shown: IPv4 as `::ffff:a.b.c.d`.
pub fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The block that `-maxperc` counts by: /24 of IPv4; /64 of IPv6, where one customer has at least that much (the
/// original counts by /120, which limits nobody).
pub fn block(address: Ipv6Addr) -> u128 {
    let bits = match address.to_ipv4_mapped() {
        Some(_) => 8,
        None => 64,
    };
    (u128::from(address) >> bits) << bits
}

/// What counts as one address for `-maxperip`: the first so many bits of an IPv6 address (`-maxperipv6bits`). A
/// customer's network has 2^64 addresses at least, each of which would have a limit of its own otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole(pub u8);

impl Default for Whole {
    fn default() -> Self {
        Self(128)
    }
}

impl Whole {
    /// The first address of those that count as one with `address`.
    pub fn of(self, address: Ipv6Addr) -> Ipv6Addr {
        if address.to_ipv4_mapped().is_some() {
            return address;
        }
        let rest = 128_u32.saturating_sub(u32::from(self.0));
        let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
        Ipv6Addr::from(u128::from(address) & mask)
    }
}

/// Live sessions by process, address and block.
#[derive(Debug, Default)]
pub struct Slots {
    whole: Whole,
    sessions: HashMap<Pid, Ipv6Addr>,
    addresses: HashMap<Ipv6Addr, usize>,
    blocks: HashMap<u128, usize>,
}

impl Slots {
    /// None yet.
    pub fn new(whole: Whole) -> Self {
        Self {
            whole,
            ..Self::default()
        }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// All sessions.
    pub fn sessions(&self) -> impl Iterator<Item = (Pid, Ipv6Addr)> {
        self.sessions.iter().map(|(&pid, &address)| (pid, address))
    }

    /// How many come from `address`, or from one that counts as the same.
    pub fn from_address(&self, address: Ipv6Addr) -> usize {
        self.addresses
            .get(&self.whole.of(address))
            .copied()
            .unwrap_or(0)
    }

    /// How many come from the block of `address`, itself included.
    pub fn from_block(&self, address: Ipv6Addr) -> usize {
        self.blocks.get(&block(address)).copied().unwrap_or(0)
    }

    /// Records a session.
    pub fn add(&mut self, pid: Pid, address: Ipv6Addr) {
        self.remove(pid);
        self.sessions.insert(pid, address);
        increment(&mut self.addresses, self.whole.of(address));
        increment(&mut self.blocks, block(address));
    }

    /// Forgets the session of `pid`, if it is one.
    pub fn remove(&mut self, pid: Pid) {
        if let Some(address) = self.sessions.remove(&pid) {
            decrement(&mut self.addresses, &self.whole.of(address));
            decrement(&mut self.blocks, &block(address));
        }
    }
}

fn increment<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    let count = counts.entry(key).or_insert(0);
    *count = count.saturating_add(1);
}

fn decrement<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_counted_by_address_and_block_and_forgotten() {
        let mut slots = Slots::default();
        let addresses = ["192.0.2.1", "192.0.2.1", "192.0.2.9", "192.0.3.1"];
        for (number, address) in (100..).zip(addresses) {
            slots.add(Pid::from_raw(number), mapped(address.parse().unwrap()));
        }
        let first = mapped("192.0.2.1".parse().unwrap());
        assert_eq!(slots.len(), 4);
        assert_eq!(slots.from_address(first), 2);
        assert_eq!(slots.from_block(first), 3);
        for number in 100..104 {
            slots.remove(Pid::from_raw(number));
            slots.remove(Pid::from_raw(number));
        }
        assert!(slots.is_empty());
        assert!(slots.addresses.is_empty() && slots.blocks.is_empty());
    }

    #[test]
    fn addresses_of_one_network_can_count_as_one() {
        let mut slots = Slots::new(Whole(64));
        let address = |text: &str| mapped(text.parse().unwrap());
        slots.add(Pid::from_raw(100), address("2001:db8::1"));
        slots.add(Pid::from_raw(101), address("192.0.2.1"));
        assert_eq!(slots.from_address(address("2001:db8::ffff:0:2")), 1);
        assert_eq!(slots.from_address(address("2001:db8:0:1::1")), 0);
        assert_eq!(slots.from_address(address("192.0.2.2")), 0);
        slots.remove(Pid::from_raw(100));
        assert_eq!(slots.from_address(address("2001:db8::1")), 0);
    }

    #[test]
    fn an_ipv6_block_is_a_64() {
        let mut slots = Slots::default();
        slots.add(Pid::from_raw(100), "2001:db8::1".parse().unwrap());
        assert_eq!(slots.from_block("2001:db8::ffff:0:1".parse().unwrap()), 1);
        assert_eq!(slots.from_block("2001:db8:0:1::1".parse().unwrap()), 0);
        assert_eq!(slots.from_address("2001:db8::2".parse().unwrap()), 0);
    }
}
