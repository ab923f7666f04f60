//! How `couriertls`, which links no OpenSSL, hands a connection to the TLS service `couriertlsd`.
//!
//! One packet goes to the service over a UNIX socket of packets: what TLS settings apply, and the descriptors: the
//! log, the peer's connection, the plain side, then the status and dump descriptors if there are any. The service
//! refuses settings that are not its own. Its answers are packets too. Both sides are ours; the format may change
//! with the version.

mod options;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

pub use options::{OptionError, Options};

/// Longest packet.
pub const PACKET_MAX: usize = 64 * 1024;
/// The socket of the service, below the directory of pid files, unless `COURIERTLSD_SOCKET` names another.
pub const SOCKET_NAME: &str = "couriertlsd.socket";

const MAGIC: &[u8] = b"CTLS1\0";
const HAS_STATUS: u8 = 1;
const HAS_DUMP: u8 = 2;

/// A connection handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Every variable that decides how the connection is secured, sorted; see [`tls_settings`].
    pub settings: Vec<(OsString, OsString)>,
    /// `TCPLOCALIP`: chooses the certificate of an address.
    pub local_ip: OsString,
    /// `TCPREMOTEIP`: for log lines.
    pub remote_ip: OsString,
    /// A status descriptor comes with the packet.
    pub has_status: bool,
    /// A descriptor for the dump of the peer's certificate comes with the packet.
    pub has_dump: bool,
}

/// What the service says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The handshake succeeded: `TLS_CONNECTED_PROTOCOL` and `TLS_SUBJECT_*` for the program.
    Connected(Vec<(OsString, OsString)>),
    /// It did not; the service has said why.
    Failed,
    /// The settings are not the service's: serve the connection without it.
    Refused,
}

/// The variables of `environment` that decide how a connection is secured, sorted by name. Those that say what was
/// agreed with a peer, or are read by others, do not count.
pub fn tls_settings(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let mut settings: Vec<_> = environment
        .filter(|(name, value)| {
            let name = name.as_bytes();
            name.starts_with(b"TLS_")
                && !name.starts_with(b"TLS_SUBJECT_")
                && !matches!(
                    name,
                    b"TLS_CONNECTED_PROTOCOL" | b"TLS_EXTERNAL" | b"TLS_STARTTLS_PROTOCOL"
                )
                && !value.is_empty()
        })
        .collect();
    settings.sort();
    settings
}

impl Request {
    /// How many descriptors come with it.
    pub fn descriptors(&self) -> usize {
        3 + usize::from(self.has_status) + usize::from(self.has_dump)
    }

    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        let mut packet = MAGIC.to_vec();
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        packet.push(flag(self.has_status, HAS_STATUS) | flag(self.has_dump, HAS_DUMP));
        for address in [&self.local_ip, &self.remote_ip] {
            packet.extend_from_slice(address.as_bytes());
            packet.push(0);
        }
        push_pairs(&self.settings, &mut packet);
        packet
    }

    /// Reads a packet; `None` if it is not one of ours.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let (&flags, rest) = packet.strip_prefix(MAGIC)?.split_first()?;
        if flags & !(HAS_STATUS | HAS_DUMP) != 0 {
            return None;
        }
        let (local_ip, rest) = cut(rest)?;
        let (remote_ip, rest) = cut(rest)?;
        Some(Self {
            settings: pairs(rest)?,
            local_ip: OsString::from_vec(local_ip.to_vec()),
            remote_ip: OsString::from_vec(remote_ip.to_vec()),
            has_status: flags & HAS_STATUS != 0,
            has_dump: flags & HAS_DUMP != 0,
        })
    }
}

impl Reply {
    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Connected(variables) => {
                let mut packet = b"C".to_vec();
                push_pairs(variables, &mut packet);
                packet
            }
            Self::Failed => b"F".to_vec(),
            Self::Refused => b"R".to_vec(),
        }
    }

    /// Reads a packet; `None` if it is not one of ours.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        match packet.split_first()? {
            (b'C', rest) => pairs(rest).map(Self::Connected),
            (b'F', []) => Some(Self::Failed),
            (b'R', []) => Some(Self::Refused),
            _ => None,
        }
    }
}

fn push_pairs(pairs: &[(OsString, OsString)], packet: &mut Vec<u8>) {
    for (name, value) in pairs {
        packet.extend_from_slice(name.as_bytes());
        packet.push(b'=');
        packet.extend_from_slice(value.as_bytes());
        packet.push(0);
    }
}

fn pairs(mut rest: &[u8]) -> Option<Vec<(OsString, OsString)>> {
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (line, tail) = cut(rest)?;
        let equals = line.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (line.get(..equals)?, line.get(equals.checked_add(1)?..)?);
        pairs.push((
            OsStr::from_bytes(name).to_owned(),
            OsStr::from_bytes(value).to_owned(),
        ));
        rest = tail;
    }
    Some(pairs)
}

fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end.checked_add(1)?..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(name: &str, value: &str) -> (OsString, OsString) {
        (OsString::from(name), OsString::from(value))
    }

    #[test]
    fn only_what_decides_about_tls_is_compared() {
        let environment = [
            pair("TLS_CERTFILE", "b"),
            pair("PATH", "x"),
            pair("TLS_ALPN", "imap"),
            pair("TLS_SUBJECT_CN", "forged"),
            pair("TLS_TRUSTCERTS", ""),
            pair("TLS_EXTERNAL", "email"),
        ];
        let settings = tls_settings(environment.into_iter());
        assert_eq!(
            settings,
            [pair("TLS_ALPN", "imap"), pair("TLS_CERTFILE", "b")]
        );
    }

    proptest! {
        #[test]
        fn requests_come_through(
            settings in proptest::collection::vec(("TLS_[A-Z]{1,9}", "[^\0]{0,30}"), 0..20),
            ip in "[0-9a-f:.]{0,40}",
            has_status: bool,
            has_dump: bool,
        ) {
            let settings: Vec<_> = settings.iter().map(|(name, value)| pair(name, value)).collect();
            let request = Request {
                settings: settings.clone(),
                local_ip: OsString::from(&ip),
                remote_ip: OsString::from(&ip),
                has_status,
                has_dump,
            };
            prop_assert_eq!(Request::decode(&request.encode()), Some(request));
            let reply = Reply::Connected(settings);
            prop_assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }

        #[test]
        fn anything_else_is_refused_or_read_within_its_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(request) = Request::decode(&bytes) {
                prop_assert_eq!(Request::decode(&request.encode()), Some(request));
            }
            Reply::decode(&bytes);
        }
    }
}
