//! A brake on guessing passwords: each wrong one for an account from a network makes the next answer there slower.
//!
//! Only answers to wrong passwords wait, never those to right ones, so nobody is locked out. The same wrong password
//! again does not count: that is a telephone that was not told of a new one. The state is a file in the directory of
//! pid files, `courier-guesses`, which only root reads: a secret, then places for an account and a network each. Of
//! passwords it has 16 bits that mean nothing without the secret, and little with it. An hour without a wrong
//! password, or another pair that needs the place, and all is forgotten.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::paths::Paths;
use crate::roster;
use crate::sys::log::{Level, log, reason};
use crate::sys::random;

use super::logline::{Field, Place};
use super::settings::Settings;

/// How long the answer to a wrong password takes at first.
pub(super) const DELAY: Duration = Duration::from_secs(5);
/// The longest: a login has a minute altogether.
const DELAY_MAX: Duration = Duration::from_secs(40);
/// So many different wrong passwords are an ordinary mistake.
const PATIENCE: u8 = 3;
/// After so many seconds without one, all is forgotten.
const MEMORY: u64 = 3600;

const MAGIC: &[u8; 8] = b"CGUESS1\n";
const SECRET: usize = 16;
const HEADER: u64 = 64;
const PLACES: u64 = 8192;
const LENGTH: usize = 32;
/// Passwords that are recognised when they come again.
const TAGS: usize = 6;

/// What is known of an account and a network. In the file: key, time of the last wrong password (seconds since
/// 1970), how many there were, and what is kept of the last of them; numbers little-endian.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Guesses {
    key: u64,
    time: u64,
    count: u8,
    tags: [u16; TAGS],
}

impl Guesses {
    fn decode(bytes: &[u8; LENGTH]) -> Self {
        let word = |at: usize| {
            let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        let mut tags = [0; TAGS];
        let pairs = bytes.get(20..).unwrap_or_default().chunks_exact(2);
        for (tag, pair) in tags.iter_mut().zip(pairs) {
            *tag = pair
                .first_chunk()
                .map_or(0, |pair| u16::from_le_bytes(*pair));
        }
        Self {
            key: word(0),
            time: word(8),
            count: bytes.get(16).copied().unwrap_or(0),
            tags,
        }
    }

    fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let tags = self.tags.iter().flat_map(|tag| tag.to_le_bytes());
        let all = self.key.to_le_bytes().into_iter();
        let all = all.chain(self.time.to_le_bytes());
        let all = all.chain([self.count, 0, 0, 0]).chain(tags);
        for (place, byte) in bytes.iter_mut().zip(all) {
            *place = byte;
        }
        bytes
    }

    /// One more wrong password; true if it is another than the last ones.
    fn add(&mut self, key: u64, now: u64, tag: u16) -> bool {
        if self.key != key || now.abs_diff(self.time) > MEMORY {
            *self = Self {
                key,
                ..Self::default()
            };
        }
        self.time = now;
        if self.tags.contains(&tag) {
            return false;
        }
        self.tags.rotate_right(1);
        if let Some(first) = self.tags.first_mut() {
            *first = tag;
        }
        self.count = self.count.saturating_add(1);
        true
    }

    fn delay(&self) -> Duration {
        let doubled = u32::from(self.count.saturating_sub(PATIENCE)).min(8);
        DELAY.saturating_mul(1 << doubled).min(DELAY_MAX)
    }
}

/// How long the answer to this wrong `password` waits. What cannot be kept is said, and costs nobody more than the
/// ordinary delay.
pub(super) fn delay(paths: &Paths, settings: &Settings, user: &[u8], password: &[u8]) -> Duration {
    if !settings.brake {
        return DELAY;
    }
    let path = paths.piddir.join("courier-guesses");
    match record(&path, user, &settings.remote_ip, password) {
        Ok((guesses, new)) => {
            if new && guesses.count == PATIENCE.saturating_add(1) {
                let (user, place) = (Field(user), Place(settings));
                log(
                    Level::Info,
                    format_args!("BRAKE, user={user}, {place}, passwords={}", guesses.count),
                );
            }
            guesses.delay()
        }
        Err(error) => {
            let usual = matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            );
            if !usual {
                log(
                    Level::Warning,
                    format_args!("{}: {}", path.display(), reason(&error)),
                );
            }
            DELAY
        }
    }
}

fn record(path: &Path, user: &[u8], ip: &[u8], password: &[u8]) -> io::Result<(Guesses, bool)> {
    let file = roster::lock(path)?;
    let mut header = [0; MAGIC.len() + SECRET];
    let read = file.read_at(&mut header, 0)?;
    if read < header.len() || !header.starts_with(MAGIC) {
        let (magic, secret) = header.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        random::fill(secret)?;
        file.set_len(0)?;
        file.write_all_at(&header, 0)?;
    }
    let mut hasher = DefaultHasher::new();
    header.hash(&mut hasher);
    // Many a database takes all of these for the same.
    user.trim_ascii().to_ascii_lowercase().hash(&mut hasher);
    network(ip).hash(&mut hasher);
    // 0 is a place that nobody has.
    let key = hasher.finish().max(1);
    password.hash(&mut hasher);
    let bits = hasher.finish().to_le_bytes();
    let tag = bits
        .first_chunk()
        .map_or(1, |pair| u16::from_le_bytes(*pair))
        .max(1);
    let length = u64::try_from(LENGTH).unwrap_or(u64::MAX);
    let at = HEADER.saturating_add((key % PLACES).saturating_mul(length));
    let mut bytes = [0; LENGTH];
    // Beyond the end of the file nothing is known.
    if file.read_at(&mut bytes, at)? < LENGTH {
        bytes.fill(0);
    }
    let mut guesses = Guesses::decode(&bytes);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let new = guesses.add(key, now, tag);
    file.write_all_at(&guesses.encode(), at)?;
    Ok((guesses, new))
}

/// An IPv4 address, or the first 64 bits of an IPv6 address: what one customer has at least.
fn network(ip: &[u8]) -> u128 {
    let parsed = std::str::from_utf8(ip).ok().and_then(|ip| ip.parse().ok());
    let whole = match parsed {
        Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped(),
        Some(IpAddr::V6(v6)) => v6,
        None => Ipv6Addr::UNSPECIFIED,
    };
    match whole.to_ipv4_mapped() {
        Some(_) => u128::from(whole),
        None => u128::from(whole) >> 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_with_different_passwords_of_one_pair_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("courier-guesses");
        let after = |user: &str, ip: &str, password: &str| {
            let user = user.as_bytes();
            let (guesses, _) = record(&path, user, ip.as_bytes(), password.as_bytes()).unwrap();
            guesses.delay().as_secs()
        };
        let one = "2001:db8::1";
        let delays: Vec<u64> = ["a", "b", "c", "c", "a", "d", "e", "f", "g"]
            .iter()
            .map(|password| after("alice", one, password))
            .collect();
        assert_eq!(delays, [5, 5, 5, 5, 5, 10, 20, 40, 40]);
        // The same network, and what is not it.
        assert_eq!(after("alice", "2001:db8::ffff:2", "h"), 40);
        assert_eq!(after("alice", "2001:db8:0:1::1", "h"), 5);
        assert_eq!(after("alice", "::ffff:192.0.2.1", "h"), 5);
        assert_eq!(after("bob", one, "h"), 5);
        // Another way to write the name is no fresh start.
        assert_eq!(after("ALICE ", one, "h"), 40);
        // Rubbish is replaced.
        std::fs::write(&path, [0xff; 3000]).unwrap();
        assert_eq!(after("alice", one, "i"), 5);
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut guesses = Guesses::default();
        for tag in 1..10 {
            assert!(guesses.add(7, 1000, tag));
        }
        assert_eq!(guesses, Guesses::decode(&guesses.encode()));
        assert_eq!(guesses.delay(), DELAY_MAX);
        assert!(guesses.add(7, 1001 + MEMORY, 9));
        assert_eq!((guesses.count, guesses.delay()), (1, DELAY));
        // Another pair that came to the same place.
        assert!(guesses.add(8, 1001 + MEMORY, 9));
        assert_eq!(guesses.count, 1);
    }
}
