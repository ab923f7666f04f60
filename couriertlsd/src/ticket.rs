//! Keys for session tickets: made at random, replaced while still good, shared by every process of a service
//! (memory, inherited by fork) or of a machine (the session cache file, `TLS_CACHEFILE`).
//!
//! In the cache file: magic, then up to [`KEPT`] keys of 88 octets, newest first: time of creation (u64,
//! little-endian), name, AES key, HMAC key. See `cache` for the rest of the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{SystemTime, UNIX_EPOCH};

use courier::sys::whole;

use crate::sys::TicketKey;

/// A key makes tickets for this many seconds, then a new one takes over.
pub(crate) const ROTATION: u64 = 3600;
/// How many old keys still open tickets.
const KEPT: usize = 3;
const MAGIC: &[u8; 8] = b"CTLSTK1\n";
const KEY_LENGTH: usize = 88;

/// A key and when it was made.
#[derive(Clone, Copy)]
pub(crate) struct Dated {
    created: u64,
    pub(crate) key: TicketKey,
}

/// A new random key.
pub(crate) fn fresh() -> io::Result<Dated> {
    let mut random = [0; 80];
    openssl::rand::rand_bytes(&mut random)?;
    let mut key = TicketKey {
        name: [0; 16],
        aes: [0; 32],
        hmac: [0; 32],
    };
    let (name, rest) = random.split_at(16);
    let (aes, hmac) = rest.split_at(32);
    key.name.copy_from_slice(name);
    key.aes.copy_from_slice(aes);
    key.hmac.copy_from_slice(hmac);
    Ok(Dated {
        created: now(),
        key,
    })
}

/// Whether the newest key is too old, or there is none.
pub(crate) fn is_due(keys: &[Dated]) -> bool {
    !keys.first().is_some_and(|newest| {
        now()
            .checked_sub(newest.created)
            .is_some_and(|age| age < ROTATION)
    })
}

/// Puts a new key in front when the newest is too old; true if `keys` changed.
pub(crate) fn rotate(keys: &mut Vec<Dated>) -> io::Result<bool> {
    if !is_due(keys) {
        return Ok(false);
    }
    keys.insert(0, fresh()?);
    keys.truncate(KEPT);
    Ok(true)
}

/// The keys at the start of the cache file, rotated if it is time.
///
/// # Errors
/// When the file cannot be used: the caller goes on with keys of its own.
pub(crate) fn shared(file: &File) -> io::Result<Vec<Dated>> {
    whole::lock(file)?;
    let result = (|| {
        let mut content = [0; MAGIC.len() + KEPT * KEY_LENGTH];
        let mut length = 0;
        while let Some(rest) = content.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, u64::try_from(length).unwrap_or(u64::MAX))? {
                0 => break,
                count => length = length.saturating_add(count),
            }
        }
        let mut keys = parse(content.get(..length).unwrap_or_default());
        if rotate(&mut keys)? {
            file.write_all_at(&encode(&keys), 0)?;
        }
        Ok(keys)
    })();
    whole::unlock(file)?;
    result
}

fn parse(content: &[u8]) -> Vec<Dated> {
    let Some(rest) = content.strip_prefix(MAGIC) else {
        return Vec::new();
    };
    rest.chunks_exact(KEY_LENGTH)
        .filter_map(parse_key)
        .filter(|dated| dated.created != 0)
        .take(KEPT)
        .collect()
}

fn parse_key(bytes: &[u8]) -> Option<Dated> {
    let created = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let key = TicketKey {
        name: bytes.get(8..24)?.try_into().ok()?,
        aes: bytes.get(24..56)?.try_into().ok()?,
        hmac: bytes.get(56..88)?.try_into().ok()?,
    };
    Some(Dated { created, key })
}

fn encode(keys: &[Dated]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for dated in keys {
        bytes.extend_from_slice(&dated.created.to_le_bytes());
        bytes.extend_from_slice(&dated.key.name);
        bytes.extend_from_slice(&dated.key.aes);
        bytes.extend_from_slice(&dated.key.hmac);
    }
    bytes
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |now| now.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_share_keys_and_rubbish_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .unwrap()
        };
        let name = |keys: &[Dated]| keys[0].key.name;
        let first = shared(&open()).unwrap();
        assert_eq!(name(&first), name(&shared(&open()).unwrap()));
        std::fs::write(&path, [0xff; 500]).unwrap();
        let second = shared(&open()).unwrap();
        assert_ne!(name(&first), name(&second));
        assert_eq!(name(&second), name(&shared(&open()).unwrap()));
    }

    #[test]
    fn old_keys_open_tickets_for_a_while() {
        let mut keys = vec![fresh().unwrap()];
        assert!(!rotate(&mut keys).unwrap());
        for _ in 0..5 {
            keys[0].created -= ROTATION;
            assert!(rotate(&mut keys).unwrap());
        }
        assert_eq!(keys.len(), KEPT);
    }
}
