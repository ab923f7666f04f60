//! One session of the roster, and its octets: 256 of them, numbers little-endian.
//!
//! | Octets | What |
//! |---|---|
//! | 0-3 | process id; 0 is a free place |
//! | 4-7 | protocol (1 IMAP, 2 POP3), TLS (0, 1), lengths of address and account |
//! | 8-15 | time of the login since the system started, nanoseconds |
//! | 16-23 | time of the login since 1970, seconds |
//! | 24-25 | the client's port, 0 if it is not known |
//! | 32-79 | the client's address, as TCPREMOTEIP has it |
//! | 80-87 | the account's number, see [`number_of`] |
//! | 88-255 | the account, cut at 168 octets |

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys::clock;

/// Octets of an entry.
pub(super) const LENGTH: usize = 256;
const ADDRESS: std::ops::Range<usize> = 32..80;
const ACCOUNT: std::ops::Range<usize> = 88..LENGTH;
/// The clock may have been set by this many seconds since a login before its entry is taken for one of an earlier
/// start of the system, when other processes had these numbers.
const CLOCK_SET: u64 = 120;
/// The kernel tells when a process began in hundredths of a second.
const TICK: Duration = Duration::from_millis(20);

/// What a session's protocol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// imapd.
    Imap,
    /// pop3d.
    Pop3,
}

impl Service {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
        }
    }
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The session's process.
    pub pid: u32,
    /// What it serves.
    pub service: Service,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// When it logged in, on the clock of [`clock::since_boot`].
    pub boot: Duration,
    /// When it logged in, in seconds since 1970.
    pub since: u64,
    /// The client's address as text.
    pub address: Vec<u8>,
    /// The client's port; 0 if it is not known.
    pub port: u16,
    /// The account, as log lines have it; the first 168 octets of it when it was read from the roster.
    pub account: Vec<u8>,
}

/// An account's number: FNV-1a. Accounts that share one also share a limit, which takes an administrator to arrange.
pub(super) fn number_of(account: &[u8]) -> u64 {
    account.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

impl Entry {
    /// A session of this process that begins now.
    pub fn now(service: Service, tls: bool, account: &[u8], address: &[u8], port: &[u8]) -> Self {
        Self {
            pid: std::process::id(),
            service,
            tls,
            boot: clock::since_boot(),
            since: seconds(),
            address: address.to_vec(),
            port: std::str::from_utf8(port)
                .ok()
                .and_then(|port| port.parse().ok())
                .unwrap_or(0),
            account: account.to_vec(),
        }
    }

    /// The octets.
    pub fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let mut put = |at: usize, what: &[u8]| {
            let place = bytes.get_mut(at..at.saturating_add(what.len()));
            if let Some(place) = place {
                place.copy_from_slice(what);
            }
        };
        let address = cut(&self.address, ADDRESS.len());
        let account = cut(&self.account, ACCOUNT.len());
        let length = |text: &[u8]| u8::try_from(text.len()).unwrap_or(u8::MAX);
        put(0, &self.pid.to_le_bytes());
        let service = match self.service {
            Service::Imap => 1,
            Service::Pop3 => 2,
        };
        put(
            4,
            &[
                service,
                u8::from(self.tls),
                length(address),
                length(account),
            ],
        );
        let boot = u64::try_from(self.boot.as_nanos()).unwrap_or(u64::MAX);
        put(8, &boot.to_le_bytes());
        put(16, &self.since.to_le_bytes());
        put(24, &self.port.to_le_bytes());
        put(ADDRESS.start, address);
        put(80, &number_of(&self.account).to_le_bytes());
        put(ACCOUNT.start, account);
        bytes
    }

    /// Reads octets; `None` for a free place and for anything else that is no entry.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let &[service, tls, address, account] = bytes.get(4..8)?.first_chunk::<4>()?;
        let text = |range: std::ops::Range<usize>, length: u8| {
            bytes
                .get(range)?
                .get(..usize::from(length))
                .map(<[u8]>::to_vec)
        };
        Some(Self {
            pid: pid_in(bytes).filter(|&pid| pid != 0)?,
            service: match service {
                1 => Service::Imap,
                2 => Service::Pop3,
                _ => return None,
            },
            tls: tls == 1,
            boot: Duration::from_nanos(word(bytes, 8)?),
            since: word(bytes, 16)?,
            address: text(ADDRESS, address)?,
            port: u16::from_le_bytes(*bytes.get(24..26)?.first_chunk()?),
            account: text(ACCOUNT, account)?,
        })
    }

    /// Whether the session's process still runs, and is the one that logged in.
    pub fn is_alive(&self) -> bool {
        let now = clock::since_boot();
        let started =
            |seconds: u64, since_boot: Duration| seconds.saturating_sub(since_boot.as_secs());
        if self.boot > now
            || started(self.since, self.boot).abs_diff(started(seconds(), now)) > CLOCK_SET
        {
            return false;
        }
        // Whoever got the number of a process that had ended began after that process had logged in.
        clock::start_of(self.pid).is_some_and(|start| start <= self.boot.saturating_add(TICK))
    }
}

/// The process id of an entry, 0 for a free place.
pub(super) fn pid_in(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.first_chunk()?))
}

/// The account's number in an entry.
pub(super) fn number_in(bytes: &[u8]) -> Option<u64> {
    word(bytes, 80)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn cut(text: &[u8], length: usize) -> &[u8] {
    text.get(..length).unwrap_or(text)
}

fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
