//! The TLS_* settings, read from the environment as the original's variables (contract: couriertls 3).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use openssl::ssl::SslVersion;

/// Ciphers for TLS 1.2 and lower when the administrator names none: forward secrecy first, nothing broken.
const DEFAULT_CIPHERS: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:AESGCM:AES:\
                               !aNULL:!eNULL:!EXP:!MD5:!RC4:!3DES:!DES:!PSK:!SRP:!DSS:!CAMELLIA:!ARIA:!SEED:!IDEA";

/// What is asked of the peer's certificate (`TLS_VERIFYPEER`; only the first letter counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VerifyPeer {
    None,
    /// A certificate need not be sent, but one that is must be good.
    Peer,
    Require,
}

/// Lowest protocol and TLS 1.2 ciphers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Strength {
    pub(crate) floor: SslVersion,
    pub(crate) ciphers: String,
    pub(crate) renegotiation: bool,
    pub(crate) server_preference: bool,
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
    pub(crate) local_ip: Option<String>,
    pub(crate) remote_ip: Option<String>,
    /// Words of the administrator's strings that were not understood: one log line.
    pub(crate) remarks: Vec<String>,
}

/// Resumption for five minutes when `TLS_TIMEOUT` says nothing (or 0, which would switch the cache off).
const DEFAULT_TIMEOUT: u32 = 300;

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
        let timeout = text("TLS_TIMEOUT")
            .and_then(|value| value.parse().ok())
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

fn strength(
    protocol: Option<&str>,
    ciphers: Option<&str>,
    priority: Option<&str>,
    remarks: &mut Vec<String>,
) -> Strength {
    let mut strength = Strength {
        floor: SslVersion::TLS1_2,
        ciphers: DEFAULT_CIPHERS.to_owned(),
        renegotiation: false,
        server_preference: true,
    };
    if let Some(priority) = priority {
        translate_priority(priority, &mut strength, remarks);
    }
    match protocol {
        None => {}
        Some("TLSv1" | "TLS1") => strength.floor = SslVersion::TLS1,
        Some("TLSv1.1" | "TLSv1.1+" | "TLSv1.1++") => strength.floor = SslVersion::TLS1_1,
        Some("TLSv1.2" | "TLSv1.2+" | "TLSv1.2++") => strength.floor = SslVersion::TLS1_2,
        Some("TLSv1.3" | "TLSv1.3+" | "TLSv1.3++") => strength.floor = SslVersion::TLS1_3,
        Some(other) => remarks.push(format!(
            "TLS_PROTOCOL={other} is not known, TLSv1.2 is the minimum"
        )),
    }
    if let Some(ciphers) = ciphers {
        strength.ciphers = ciphers.to_owned();
    }
    if matches!(strength.floor, SslVersion::TLS1 | SslVersion::TLS1_1) {
        // OpenSSL 3 refuses the signatures of TLS 1.1 and lower at its normal security level.
        strength.ciphers.push_str(":@SECLEVEL=0");
    }
    strength
}

/// Understands the common words of a GnuTLS priority string (`TLS_PRIORITY`); the others are remarked upon.
fn translate_priority(priority: &str, strength: &mut Strength, remarks: &mut Vec<String>) {
    const VERSIONS: [(&str, SslVersion); 4] = [
        ("VERS-TLS1.0", SslVersion::TLS1),
        ("VERS-TLS1.1", SslVersion::TLS1_1),
        ("VERS-TLS1.2", SslVersion::TLS1_2),
        ("VERS-TLS1.3", SslVersion::TLS1_3),
    ];
    // GnuTLS's NORMAL allows all four; what is safe by default is ours to say.
    let mut allowed = [false, false, true, true];
    let mut named = false;
    for word in priority.split(':').filter(|word| !word.is_empty()) {
        let (sign, name) = match word.split_at_checked(1) {
            Some((sign @ ("+" | "-" | "!"), name)) => (sign, name),
            _ => ("", word),
        };
        if let Some(index) = VERSIONS.iter().position(|(version, _)| *version == name) {
            named = true;
            if let Some(slot) = allowed.get_mut(index) {
                *slot = sign == "+";
            }
            continue;
        }
        match (sign, name) {
            ("-" | "!", "VERS-ALL" | "VERS-TLS-ALL") => allowed = [false; 4],
            ("+", "VERS-ALL" | "VERS-TLS-ALL") => allowed = [true; 4],
            ("", "NORMAL" | "SYSTEM" | "PERFORMANCE" | "LEGACY")
            | ("-" | "!", "CTYPE-OPENPGP" | "ARCFOUR-128" | "3DES-CBC" | "MD5" | "VERS-SSL3.0") => {
            }
            ("", "SECURE128" | "SECURE192") => strength.ciphers = DEFAULT_CIPHERS.to_owned(),
            ("", "SECURE256") => strength.ciphers = format!("{DEFAULT_CIPHERS}:!AES128"),
            ("", "PFS") | ("-" | "!", "RSA") => strength.ciphers.push_str(":!kRSA"),
            ("-" | "!", "DHE-RSA") => strength.ciphers.push_str(":!DHE"),
            ("-" | "!", "SHA1") => strength.ciphers.push_str(":!SHA1"),
            ("-" | "!", "AES-128-CBC") => strength.ciphers.push_str(":!AES128-SHA:!AES128-SHA256"),
            ("", "%SERVER_PRECEDENCE") => strength.server_preference = true,
            (
                "",
                "%SAFE_RENEGOTIATION"
                | "%NO_EXTENSIONS"
                | "%COMPAT"
                | "%DISABLE_SAFE_RENEGOTIATION",
            ) => {}
            _ => remarks.push(format!(
                "TLS_PRIORITY: {word} is not understood and ignored"
            )),
        }
    }
    if let Some(index) = allowed
        .iter()
        .position(|&allowed| allowed)
        .filter(|_| named || allowed != [false, false, true, true])
    {
        if let Some((_, version)) = VERSIONS.get(index) {
            strength.floor = *version;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn gnutls_priorities_are_translated_where_they_can_be() {
        let settings = read(&[(
            "TLS_PRIORITY",
            "SECURE256:-VERS-TLS-ALL:+VERS-TLS1.3:%WEIRD",
        )]);
        assert_eq!(settings.strength.floor, SslVersion::TLS1_3);
        assert!(settings.strength.ciphers.contains("!AES128"));
        assert_eq!(settings.remarks.len(), 1);
        let settings = read(&[("TLS_PRIORITY", "NORMAL:-CTYPE-OPENPGP")]);
        assert_eq!(settings.strength.floor, SslVersion::TLS1_2);
        assert!(settings.remarks.is_empty());
        let old = read(&[("TLS_PRIORITY", "NORMAL:+VERS-TLS1.0")]);
        assert_eq!(old.strength.floor, SslVersion::TLS1);
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
