//! The TLS_* settings, read from the environment as the original's variables (contract: couriertls 3).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::strength::{Strength, strength};

/// What is asked of the peer's certificate (`TLS_VERIFYPEER`; only the first letter counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VerifyPeer {
    None,
    /// A certificate need not be sent, but one that is must be good.
    Peer,
    Require,
}

/// Everything that decides how a connection is secured.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) private_key: Option<PathBuf>,
    pub(crate) dh_parameters: Option<PathBuf>,
    pub(crate) strength: Strength,
    pub(crate) verify_peer: VerifyPeer,
    pub(crate) trust: Option<PathBuf>,
    pub(crate) alpn: Vec<String>,
    /// Seconds for which a session can be resumed.
    pub(crate) timeout: u32,
    pub(crate) cache_file: Option<PathBuf>,
    /// Size of that file in bytes.
    pub(crate) cache_size: u64,
    /// Sessions that are kept in memory where there is no file.
    pub(crate) memory_sessions: u64,
    /// Smallest Diffie-Hellman group that a client accepts, in bits.
    pub(crate) min_dh_bits: u32,
    /// Says in the log what was offered and agreed (`TLS_DEBUG`, any value).
    pub(crate) debug: bool,
    pub(crate) local_ip: Option<String>,
    pub(crate) remote_ip: Option<String>,
    /// Words of the administrator's strings that were not understood: one log line.
    pub(crate) remarks: Vec<String>,
}

/// Resumption for five minutes when `TLS_TIMEOUT` says nothing (or 0, which would switch the cache off).
const DEFAULT_TIMEOUT: u32 = 300;
/// Bytes of the session cache file when `TLS_CACHESIZE` says nothing.
const DEFAULT_CACHE_SIZE: u64 = 524_288;
/// Sessions kept in memory when `TLS_INTCACHESIZE` says nothing.
const DEFAULT_MEMORY_SESSIONS: u64 = 1000;

impl Settings {
    /// Reads the settings through `variable`, which is the environment in all but tests.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(|value| value.to_string_lossy().into_owned())
        };
        let path = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let mut remarks = Vec::new();
        let strength = strength(
            text("TLS_PROTOCOL").as_deref(),
            text("TLS_CIPHER_LIST").as_deref(),
            text("TLS_PRIORITY").as_deref(),
            &mut remarks,
        );
        let verify_peer = match text("TLS_VERIFYPEER").and_then(|value| value.bytes().next()) {
            Some(b'n' | b'N') => VerifyPeer::None,
            Some(b'r' | b'R') => VerifyPeer::Require,
            _ => VerifyPeer::Peer,
        };
        let number = |name: &str| text(name).and_then(|value| value.parse::<u64>().ok());
        let timeout = number("TLS_TIMEOUT")
            .and_then(|seconds| u32::try_from(seconds).ok())
            .filter(|&seconds| seconds > 0);
        Self {
            certificate: path("TLS_CERTFILE"),
            private_key: path("TLS_PRIVATE_KEYFILE"),
            dh_parameters: path("TLS_DHPARAMS"),
            strength,
            verify_peer,
            trust: path("TLS_TRUSTCERTS").filter(|path| path.exists()),
            alpn: text("TLS_ALPN")
                .map(|value| {
                    value
                        .split([',', ' ', '\t'])
                        .filter(|word| {
                            !word.is_empty() && !word.starts_with('@') && word.len() < 256
                        })
                        .map(str::to_owned)
                        .collect()
                })
                .unwrap_or_default(),
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            cache_file: path("TLS_CACHEFILE"),
            cache_size: number("TLS_CACHESIZE").unwrap_or(DEFAULT_CACHE_SIZE),
            memory_sessions: number("TLS_INTCACHESIZE")
                .filter(|&sessions| sessions > 0)
                .unwrap_or(DEFAULT_MEMORY_SESSIONS),
            min_dh_bits: number("TLS_MIN_DH_BITS")
                .and_then(|bits| u32::try_from(bits).ok())
                .unwrap_or(0),
            debug: text("TLS_DEBUG").is_some(),
            local_ip: text("TCPLOCALIP").map(|address| plain_address(&address)),
            remote_ip: text("TCPREMOTEIP"),
            remarks,
        }
    }

    /// A log line about this connection: `ip=[…], text` (contract: couriertls 5).
    pub(crate) fn line(&self, text: &str) -> String {
        let mut line = String::new();
        if let Some(ip) = &self.remote_ip {
            // Writing to a String cannot fail.
            let _infallible = write!(line, "ip=[{ip}], ");
        }
        line.push_str(text);
        line
    }
}

/// `::ffff:192.0.2.1` names the same certificate as `192.0.2.1`.
pub(crate) fn plain_address(address: &str) -> String {
    address
        .strip_prefix("::ffff:")
        .filter(|rest| rest.contains('.'))
        .unwrap_or(address)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ssl::SslVersion;

    fn read(variables: &[(&str, &str)]) -> Settings {
        Settings::read(|name| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn tls_1_2_is_the_floor_unless_something_older_is_asked_for_by_name() {
        for (value, floor) in [
            ("", SslVersion::TLS1_2),
            ("SSL23", SslVersion::TLS1_2),
            ("TLSv1", SslVersion::TLS1),
            ("TLSv1.1++", SslVersion::TLS1_1),
            ("TLSv1.2+", SslVersion::TLS1_2),
            ("TLSv1.3", SslVersion::TLS1_3),
        ] {
            assert_eq!(
                read(&[("TLS_PROTOCOL", value)]).strength.floor,
                floor,
                "{value}"
            );
        }
        assert_eq!(read(&[("TLS_PROTOCOL", "SSL23")]).remarks.len(), 1);
    }

    #[test]
    fn small_settings() {
        let settings = read(&[
            ("TLS_VERIFYPEER", "requirepeer"),
            ("TLS_ALPN", "imap, @oimap pop3"),
            ("TCPLOCALIP", "::ffff:192.0.2.1"),
            ("TCPREMOTEIP", "::1"),
            ("TLS_TIMEOUT", "0"),
        ]);
        assert_eq!(settings.verify_peer, VerifyPeer::Require);
        assert_eq!(settings.alpn, ["imap", "pop3"]);
        assert_eq!(settings.local_ip.as_deref(), Some("192.0.2.1"));
        assert_eq!(settings.line("x"), "ip=[::1], x");
        assert_eq!(settings.timeout, DEFAULT_TIMEOUT);
    }
}
