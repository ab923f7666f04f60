//! Which misbehaviour is switched on, and the dice.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What can go wrong, most of it with its chance in a thousand. All may be changed while the file system is in use.
#[derive(Debug, Default)]
pub struct Faults {
    /// The operation is done, but the answer is lost and the retransmission fails: `link` says EEXIST, `rename`
    /// and `unlink` say ENOENT, `mkdir` says EEXIST, as NFS clients see it.
    pub lost_reply: AtomicU32,
    /// An operation on a file handle or inode says ESTALE without being done.
    pub stale: AtomicU32,
    /// A read, write or fsync says EIO without being done.
    pub io: AtomicU32,
    /// A write says ENOSPC without being done.
    pub full_at_write: AtomicU32,
    /// The data of a file was accepted, but close (flush) and fsync say ENOSPC and the file is left half written.
    pub full_at_close: AtomicU32,
    /// So many listings of message files still miss the last one, as those do that are read while names move.
    pub short_listings: AtomicU32,
    /// Seconds that the server's clock is behind; no chance but a time.
    pub clock_behind: AtomicU32,
    dice: AtomicU64,
}

impl Faults {
    /// Nothing fails; the dice start from `seed`.
    pub fn none(seed: u64) -> Self {
        let faults = Self::default();
        faults.dice.store(seed | 1, Ordering::Relaxed);
        faults
    }

    /// Switches everything off.
    pub fn clear(&self) {
        for chance in [
            &self.lost_reply,
            &self.stale,
            &self.io,
            &self.full_at_write,
            &self.full_at_close,
            &self.short_listings,
            &self.clock_behind,
        ] {
            chance.store(0, Ordering::Relaxed);
        }
    }

    /// Takes one of a number of faults to come.
    pub(crate) fn takes(&self, count: &AtomicU32) -> bool {
        let less = |count: u32| count.checked_sub(1);
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }

    /// Throws the dice for `chance`.
    pub(crate) fn strikes(&self, chance: &AtomicU32) -> bool {
        let chance = chance.load(Ordering::Relaxed);
        if chance == 0 {
            return false;
        }
        // splitmix64: reproducible for one thread, and good enough for several.
        let mut value = self
            .dice
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % 1000 < u64::from(chance)
    }
}

/// How long a host believes what it was told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Caching {
    /// Names and attributes.
    pub attributes: Duration,
    /// Directory listings, and names found absent.
    pub listings: Duration,
}
