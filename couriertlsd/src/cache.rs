//! What processes that serve different connections share: the keys of session tickets, and the sessions of clients
//! without tickets (contract: couriertls 3.3).
//!
//! A file of `TLS_CACHESIZE` octets, or memory of the same layout that the children of one service inherit. The rc
//! scripts remake the file empty at every start, so its format is ours. The first page holds the keys (see
//! `ticket`). Then come slots of [`SLOT`] octets: a digest of the rest, time of creation (u64, little-endian),
//! lengths of identifier and session (u16 each), both. A session has two slots to choose from, by its identifier.
//!
//! Slots are not locked: one write makes a slot, and a slot that a reader finds half written, or damaged, fails its
//! digest and counts as empty. A process that stops in the middle holds nobody up.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use openssl::sha::sha256;

use crate::ticket::{self, Dated};

/// Octets of a slot; longer sessions (with large client certificates) are not kept.
const SLOT: usize = 2048;
/// Octets before the first slot.
const FIRST: u64 = 4096;
/// A smaller `TLS_CACHESIZE` is an error.
const SIZE_MIN: u64 = 16_384;
/// A larger one would be a mistake.
const SIZE_MAX: u64 = 1 << 30;
const DIGEST: usize = 16;
const HEADER: usize = DIGEST + 8 + 2 + 2;
/// Longest session identifier (RFC 5246 section 7.4.1.2).
const ID_MAX: usize = 32;

/// Keys and sessions that several processes share.
#[derive(Debug)]
pub(crate) struct Cache {
    file: File,
    slots: u64,
}

impl Cache {
    /// Opens the file, which only its owner may read, and gives it its size.
    ///
    /// # Errors
    /// It cannot be used; `EINVAL` for a size that is too small.
    pub(crate) fn open(path: &Path, size: u64) -> io::Result<Self> {
        if size < SIZE_MIN {
            return Err(Errno::EINVAL.into());
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.mode() & 0o077 != 0 {
            return Err(io::Error::other("others can read it"));
        }
        Self::sized(file, size)
    }

    /// Memory for this process and its children, with room for this many sessions.
    ///
    /// # Errors
    /// Those of memfd_create(2).
    pub(crate) fn in_memory(sessions: u64) -> io::Result<Self> {
        use nix::sys::memfd::{MFdFlags, memfd_create};
        let memory = memfd_create(c"couriertlsd", MFdFlags::MFD_CLOEXEC)?;
        let slot = u64::try_from(SLOT).unwrap_or(u64::MAX);
        let size = sessions.saturating_mul(slot).saturating_add(FIRST);
        Self::sized(File::from(memory), size.max(SIZE_MIN))
    }

    fn sized(file: File, size: u64) -> io::Result<Self> {
        let size = size.min(SIZE_MAX);
        if file.metadata()?.len() < size {
            file.set_len(size)?;
        }
        let slot = u64::try_from(SLOT).unwrap_or(u64::MAX);
        Ok(Self {
            file,
            slots: size.saturating_sub(FIRST) / slot,
        })
    }

    /// The ticket keys, newest first, with a new one if it is time.
    ///
    /// # Errors
    /// Those of the file and the random generator.
    pub(crate) fn keys(&self) -> io::Result<Vec<Dated>> {
        ticket::shared(&self.file)
    }

    /// Keeps `session` (as DER) under `id`. A session that cannot be kept is not: its client shakes hands in full.
    pub(crate) fn store(&self, id: &[u8], session: &[u8]) {
        if let Some(mut slot) = encode(ticket::now(), id, session) {
            // Whole slots, so that a file that somebody made shorter grows again.
            slot.resize(SLOT, 0);
            let [first, second] = self.places(id);
            let place = if self.age(first) <= self.age(second) {
                first
            } else {
                second
            };
            // A full disk, say, is no reason to fail a handshake.
            let _not_kept = self.file.write_all_at(&slot, place);
        }
    }

    /// The session kept under `id`.
    pub(crate) fn find(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.places(id).into_iter().find_map(|place| {
            let slot = self.read(place)?;
            let (_, found, session) = decode(&slot)?;
            (found == id).then(|| session.to_vec())
        })
    }

    /// When what is in a slot was put there; 0 for nothing.
    fn age(&self, place: u64) -> u64 {
        self.read(place)
            .and_then(|slot| decode(&slot).map(|(created, _, _)| created))
            .unwrap_or(0)
    }

    fn read(&self, place: u64) -> Option<[u8; SLOT]> {
        let mut slot = [0; SLOT];
        self.file.read_exact_at(&mut slot, place).ok()?;
        Some(slot)
    }

    fn places(&self, id: &[u8]) -> [u64; 2] {
        let digest = sha256(id);
        let place = |range: std::ops::Range<usize>| {
            let number = digest
                .get(range)
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u64::from_le_bytes);
            let slot = u64::try_from(SLOT).unwrap_or(u64::MAX);
            FIRST + number.checked_rem(self.slots).unwrap_or(0) * slot
        };
        [place(0..8), place(8..16)]
    }
}

fn encode(created: u64, id: &[u8], session: &[u8]) -> Option<Vec<u8>> {
    if id.is_empty() || id.len() > ID_MAX || HEADER + id.len() + session.len() > SLOT {
        return None;
    }
    let mut rest = created.to_le_bytes().to_vec();
    for length in [id.len(), session.len()] {
        rest.extend_from_slice(&u16::try_from(length).ok()?.to_le_bytes());
    }
    rest.extend_from_slice(id);
    rest.extend_from_slice(session);
    let mut slot = sha256(&rest).get(..DIGEST)?.to_vec();
    slot.extend_from_slice(&rest);
    Some(slot)
}

/// Time, identifier and session of a slot that is whole.
fn decode(slot: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (digest, rest) = slot.split_at_checked(DIGEST)?;
    let (header, body) = rest.split_at_checked(HEADER - DIGEST)?;
    let created = u64::from_le_bytes(header.get(..8)?.try_into().ok()?);
    let length = |range: std::ops::Range<usize>| {
        let bytes: [u8; 2] = header.get(range)?.try_into().ok()?;
        Some(usize::from(u16::from_le_bytes(bytes)))
    };
    let (id, body) = body.split_at_checked(length(8..10)?)?;
    let session = body.get(..length(10..12)?)?;
    let whole = rest.get(..header.len() + id.len() + session.len())?;
    (!id.is_empty() && sha256(whole).get(..DIGEST) == Some(digest))
        .then_some((created, id, session))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sessions_are_found_by_another_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let one = Cache::open(&path, 65_536).unwrap();
        let other = Cache::open(&path, 65_536).unwrap();
        one.store(b"id", b"session");
        assert_eq!(other.find(b"id").as_deref(), Some(&b"session"[..]));
        assert_eq!(other.find(b"id2"), None);
        other.store(b"id", b"replaced");
        other.store(b"id", &[0; 3000]);
        assert!(one.find(b"id").is_some());
        // The keys have a page of their own.
        let keys = one.keys().unwrap();
        assert!(one.find(b"id").is_some());
        assert!(keys.len() == 1 && other.keys().unwrap().len() == 1);
    }

    #[test]
    fn old_sessions_make_room() {
        let cache = Cache::in_memory(0).unwrap();
        for number in 0..100_u32 {
            cache.store(&number.to_le_bytes(), b"session");
        }
        let kept = (0..100_u32).filter(|number| cache.find(&number.to_le_bytes()).is_some());
        assert!((3..=6).contains(&kept.count()));
        assert!(cache.find(&99_u32.to_le_bytes()).is_some());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_and_rubbish_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let error = Cache::open(&path, 1000).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        std::fs::write(&path, vec![0x41; 20_000]).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        assert!(Cache::open(&path, 65_536).is_err());
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let cache = Cache::open(&path, 65_536).unwrap();
        assert_eq!(cache.find(b"AAAA"), None);
        cache.store(b"id", b"session");
        // Somebody makes it shorter while it is in use.
        std::fs::write(&path, "").unwrap();
        assert_eq!(cache.find(b"id"), None);
        cache.store(b"id", b"session");
        assert!(cache.find(b"id").is_some());
        assert_eq!(cache.keys().unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn damage_is_noticed(
            session in proptest::collection::vec(any::<u8>(), 0..500),
            at in 0_usize..600,
            bit in 0_u8..8,
        ) {
            let mut slot = encode(7, b"identifier", &session).unwrap();
            prop_assert_eq!(decode(&slot), Some((7, &b"identifier"[..], session.as_slice())));
            let at = at % slot.len();
            slot[at] ^= 1 << bit;
            prop_assert_eq!(decode(&slot), None);
            decode(&slot[..at]);
        }
    }
}
