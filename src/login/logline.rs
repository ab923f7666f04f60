//! The log lines of the login programs, word for word (contract: login §10). fail2ban and logcheck match them, so
//! new fields go behind `port=[..]`, and nothing that a client typed may look like another field.

use std::fmt;
use std::time::Duration;

use super::settings::{Protocol, Settings};

/// Longest user name in a log line, in bytes. The name is cut, never the fields behind it.
const NAME_MAX: usize = 512;

/// A client's text as one field: bytes that do not print, and those that end or frame fields, become `.`.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a>(pub &'a [u8]);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0.iter().take(NAME_MAX) {
            let harmless = (byte == b' ' || byte.is_ascii_graphic()) && !b",[]".contains(&byte);
            fmt::Write::write_char(f, if harmless { char::from(byte) } else { '.' })?;
        }
        Ok(())
    }
}

/// `ip=[..], port=[..]`.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a>(pub &'a Settings);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ip=[{}], port=[{}]",
            Field(&self.0.remote_ip),
            Field(&self.0.remote_port)
        )
    }
}

/// `LOGIN FAILED, ...` for a login by LOGIN or PASS (`method` is `None`) or by a SASL mechanism.
pub fn login_failed(settings: &Settings, method: Option<&[u8]>, user: &[u8]) -> String {
    let place = Place(settings);
    match method {
        None => format!("LOGIN FAILED, user={}, {place}", Field(user)),
        Some(method) if user.is_empty() => {
            format!("LOGIN FAILED, method={}, {place}", Field(method))
        }
        Some(method) => format!(
            "LOGIN FAILED, method={}, {place}, user={}",
            Field(method),
            Field(user)
        ),
    }
}

/// `Disconnected, ...` for a conversation that ended without a login.
pub fn disconnected(settings: &Settings, time: Duration) -> String {
    if settings.protocol == Protocol::Pop3 {
        return format!("Disconnected, {}", Place(settings));
    }
    format!(
        "Disconnected, {}, time={}{}",
        Place(settings),
        time.as_secs(),
        tls_mark(settings)
    )
}

/// `LOGOUT, ...` before login, with the bytes of the conversation.
pub fn logout(settings: &Settings, received: u64, sent: u64) -> String {
    format!("LOGOUT, {}, rcvd={received}, sent={sent}", Place(settings))
}

/// `LOGIN, ...` of an account that another server serves; `protocol` is empty for POP3.
pub fn proxied(settings: &Settings, user: &[u8], protocol: &[u8]) -> String {
    format!(
        "LOGIN, user={}, {}, protocol={}{}",
        Field(user),
        Place(settings),
        Field(protocol),
        tls_mark(settings)
    )
}

/// `WORD, user=...` at the end of such a session. What was in its octets is not known, so the counters of mail are 0.
pub fn proxied_end(settings: &Settings, word: &str, user: &[u8], counts: Counts) -> String {
    let of_mail = match settings.protocol {
        Protocol::Imap => "headers=0, body=0",
        Protocol::Pop3 => "top=0, retr=0",
    };
    format!(
        "{word}, user={}, {}, {of_mail}, rcvd={}, sent={}, time={}{}",
        Field(user),
        Place(settings),
        counts.received,
        counts.sent,
        counts.time.as_secs(),
        tls_mark(settings)
    )
}

/// What a session amounted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Octets from the client.
    pub received: u64,
    /// Octets to it.
    pub sent: u64,
    /// How long it took.
    pub time: Duration,
}

/// `NOTICE: Disconnected during shutdown by signal, ...` (the level word is part of the text).
pub fn shut_down(settings: &Settings, time: Duration) -> String {
    format!(
        "NOTICE: Disconnected during shutdown by signal, {}, time={}{}",
        Place(settings),
        time.as_secs(),
        tls_mark(settings)
    )
}

fn tls_mark(settings: &Settings) -> &'static str {
    if settings.tls {
        settings.protocol.tls_mark()
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::environment::Environment;

    fn settings(tls: &str) -> Settings {
        let environment = Environment::from([
            ("TCPREMOTEIP", "::ffff:192.0.2.7"),
            ("TCPREMOTEPORT", "4711"),
            ("IMAP_TLS", tls),
        ]);
        Settings::read(Protocol::Imap, &environment)
    }

    #[test]
    fn lines_are_those_of_the_contract() {
        let settings = settings("0");
        assert_eq!(
            login_failed(&settings, None, b"al\x07ice"),
            "LOGIN FAILED, user=al.ice, ip=[::ffff:192.0.2.7], port=[4711]"
        );
        assert_eq!(
            login_failed(&settings, Some(b"PLAIN"), b""),
            "LOGIN FAILED, method=PLAIN, ip=[::ffff:192.0.2.7], port=[4711]"
        );
        assert_eq!(
            login_failed(&settings, Some(b"PLAIN"), b"bob"),
            "LOGIN FAILED, method=PLAIN, ip=[::ffff:192.0.2.7], port=[4711], user=bob"
        );
        assert_eq!(
            logout(&settings, 12, 345),
            "LOGOUT, ip=[::ffff:192.0.2.7], port=[4711], rcvd=12, sent=345"
        );
    }

    #[test]
    fn sessions_on_other_servers_have_the_lines_of_sessions() {
        let imap = settings("1");
        assert_eq!(
            proxied(&imap, b"al", b"IMAP"),
            "LOGIN, user=al, ip=[::ffff:192.0.2.7], port=[4711], protocol=IMAP, starttls=1"
        );
        let counts = Counts {
            received: 1,
            sent: 2,
            time: Duration::from_millis(3999),
        };
        assert_eq!(
            proxied_end(&imap, "LOGOUT", b"al", counts),
            "LOGOUT, user=al, ip=[::ffff:192.0.2.7], port=[4711], headers=0, body=0, rcvd=1, sent=2, time=3, \
             starttls=1"
        );
        let pop3 = Settings::read(Protocol::Pop3, &Environment::from([("POP3_TLS", "1")]));
        assert_eq!(
            proxied(&pop3, b"al", b""),
            "LOGIN, user=al, ip=[127.0.0.1], port=[N/A], protocol=, stls=1"
        );
        assert_eq!(
            proxied_end(&pop3, "TIMEOUT", b"al", counts),
            "TIMEOUT, user=al, ip=[127.0.0.1], port=[N/A], top=0, retr=0, rcvd=1, sent=2, time=3, stls=1"
        );
    }

    #[test]
    fn a_user_name_cannot_frame_another_address() {
        let line = login_failed(&settings("0"), None, b"x, ip=[203.0.113.9], port=[1]");
        assert_eq!(line.matches("ip=[").count(), 1, "{line}");
        assert!(line.ends_with("ip=[::ffff:192.0.2.7], port=[4711]"));
        let line = login_failed(&settings("0"), None, &[b'x'; 9000]);
        assert!(line.ends_with("port=[4711]") && line.len() < 700);
    }

    #[test]
    fn tls_is_marked_where_the_contract_marks_it() {
        let line = disconnected(&settings("1"), Duration::from_millis(1500));
        assert!(line.ends_with("port=[4711], time=1, starttls=1"), "{line}");
    }
}
