//! What the login programs take from the environment (contract: login §2), and the differences between IMAP and
//! POP3 that are mere names and texts.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::environment::Environment;

/// Which protocol a login program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// imaplogin.
    Imap,
    /// pop3login.
    Pop3,
}

impl Protocol {
    /// The name of the program, for messages before anything else works.
    pub fn program(self) -> &'static str {
        match self {
            Self::Imap => "imaplogin",
            Self::Pop3 => "pop3login",
        }
    }

    /// The service name for authdaemond when no AUTHSERVICE variable names another.
    pub fn service(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
        }
    }

    /// The port that a connection is said to have come to when nothing tells (contract: couriertcpd §4).
    fn port(self) -> &'static [u8] {
        match self {
            Self::Imap => b"143",
            Self::Pop3 => b"110",
        }
    }

    /// What the names of this protocol's variables begin with.
    pub fn variable(self, suffix: &str) -> String {
        match self {
            Self::Imap => format!("IMAP_{suffix}"),
            Self::Pop3 => format!("POP3_{suffix}"),
        }
    }

    /// A line that ends the session with `text`.
    pub fn farewell(self, text: &str) -> Vec<u8> {
        let word = match self {
            Self::Imap => "* BYE ",
            Self::Pop3 => "-ERR ",
        };
        format!("{word}{text}\r\n").into_bytes()
    }

    /// The line for what an administrator must repair first (POP3: RFC 3206).
    pub fn temporary(self) -> Vec<u8> {
        self.farewell(match self {
            Self::Imap => "Temporary problem, please try again later",
            Self::Pop3 => "[SYS/TEMP] Temporary problem, please try again later",
        })
    }

    /// What log lines of sessions under TLS end with.
    pub fn tls_mark(self) -> &'static str {
        match self {
            Self::Imap => ", starttls=1",
            Self::Pop3 => ", stls=1",
        }
    }
}

/// One session's settings. Built again after STARTTLS, which changes the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// IMAP or POP3.
    pub protocol: Protocol,
    /// The peer's address as couriertcpd wrote it.
    pub remote_ip: Vec<u8>,
    /// The peer's port.
    pub remote_port: Vec<u8>,
    /// The service name for authdaemond.
    pub service: Vec<u8>,
    /// TLS is on.
    pub tls: bool,
    /// Passwords are refused until TLS is on.
    pub tls_required: bool,
    /// The couriertls to start for STARTTLS; `None` when STARTTLS cannot be offered.
    pub starttls: Option<PathBuf>,
    /// The identity that EXTERNAL gives: the certificate's field that TLS_EXTERNAL names.
    pub external: Option<Vec<u8>>,
    /// Accounts with a `mailhost` are to be proxied.
    pub proxy: bool,
    /// The name under which this host appears in `mailhost`.
    pub proxy_hostname: Vec<u8>,
    /// IMAP: clients are shown the capabilities of the server that serves them, which is of another make.
    pub proxy_foreign: bool,
    /// The connections to those servers are encrypted.
    pub proxy_tls: bool,
    /// AUTH_MKHOMEDIR_SKEL.
    pub skeleton: Option<PathBuf>,
    /// Whether sessions are entered into the roster (ROSTER).
    pub roster: bool,
    /// Whether guessing of passwords is slowed down (BRAKE).
    pub brake: bool,
    /// Most sessions of one account at the same time, if not 0 (MAXPERACCOUNT).
    pub account_limit: usize,
    /// DEBUG_LOGIN: 1 logs commands and names, 2 passwords too.
    pub debug: i64,
}

impl Settings {
    /// Reads the settings of `protocol`. Looks at the file system once, to see whether couriertls can be run.
    pub fn read(protocol: Protocol, environment: &Environment) -> Self {
        let number = |suffix| environment.number(&protocol.variable(suffix)) != 0;
        let tls = number("TLS");
        let couriertls = environment.text("COURIERTLS");
        let starttls =
            (!tls && environment.yes(&protocol.variable("STARTTLS")) && !couriertls.is_empty())
                .then(|| path(couriertls))
                .filter(|path| nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok());
        let skeleton = environment.text("AUTH_MKHOMEDIR_SKEL");
        Self {
            protocol,
            remote_ip: or(environment.text("TCPREMOTEIP"), b"127.0.0.1"),
            remote_port: or(environment.text("TCPREMOTEPORT"), b"N/A"),
            service: service(protocol, environment),
            tls,
            tls_required: number("TLS_REQUIRED"),
            starttls,
            external: external(tls, environment),
            proxy: number("PROXY"),
            proxy_hostname: environment.text("PROXY_HOSTNAME").to_vec(),
            proxy_foreign: protocol == Protocol::Imap && number("PROXY_FOREIGN"),
            proxy_tls: number("PROXY_TLS"),
            skeleton: (!skeleton.is_empty()).then(|| path(skeleton)),
            roster: environment.text("ROSTER").is_empty() || environment.yes("ROSTER"),
            brake: environment.text("BRAKE").is_empty() || environment.yes("BRAKE"),
            account_limit: usize::try_from(environment.number("MAXPERACCOUNT")).unwrap_or(0),
            debug: environment.number("DEBUG_LOGIN"),
        }
    }

    /// True when a password must not be accepted now.
    pub fn tls_missing(&self) -> bool {
        self.tls_required && !self.tls
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

fn or(value: &[u8], default: &[u8]) -> Vec<u8> {
    if value.is_empty() { default } else { value }.to_vec()
}

fn service(protocol: Protocol, environment: &Environment) -> Vec<u8> {
    let port = match environment.text("TCPLOCALPORT") {
        b"" => protocol.port(),
        port => port,
    };
    if !port.is_empty() && port.len() <= 5 && port.iter().all(u8::is_ascii_digit) {
        let name = format!("AUTHSERVICE{}", String::from_utf8_lossy(port));
        let service = environment.text(&name);
        if !service.is_empty() {
            return service.to_vec();
        }
    }
    protocol.service().as_bytes().to_vec()
}

fn external(tls: bool, environment: &Environment) -> Option<Vec<u8>> {
    let field = environment.text("TLS_EXTERNAL");
    if !tls || field.is_empty() {
        return None;
    }
    let name = format!(
        "TLS_SUBJECT_{}",
        String::from_utf8_lossy(field).to_ascii_uppercase()
    );
    let identity = environment.text(&name);
    (!identity.is_empty()).then(|| identity.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_addresses_and_ports_have_the_contracts_defaults() {
        let settings = Settings::read(Protocol::Pop3, &Environment::default());
        assert_eq!(settings.remote_ip, b"127.0.0.1");
        assert_eq!(settings.remote_port, b"N/A");
        assert_eq!(settings.service, b"pop3");
        assert!(!settings.tls && settings.starttls.is_none());
    }

    #[test]
    fn the_service_follows_the_local_port() {
        let environment = Environment::from([("TCPLOCALPORT", "993"), ("AUTHSERVICE993", "imaps")]);
        assert_eq!(
            Settings::read(Protocol::Imap, &environment).service,
            b"imaps"
        );
        // Nobody said which port: the protocol's own.
        for (protocol, name) in [
            (Protocol::Imap, "AUTHSERVICE143"),
            (Protocol::Pop3, "AUTHSERVICE110"),
        ] {
            let environment = Environment::from([(name, "named"), ("AUTHSERVICE", "not")]);
            assert_eq!(Settings::read(protocol, &environment).service, b"named");
        }
    }

    #[test]
    fn external_needs_tls_and_a_subject() {
        let mut environment =
            Environment::from([("TLS_EXTERNAL", "email"), ("TLS_SUBJECT_EMAIL", "a@b")]);
        assert_eq!(Settings::read(Protocol::Imap, &environment).external, None);
        environment.set("IMAP_TLS", b"1");
        assert_eq!(
            Settings::read(Protocol::Imap, &environment).external,
            Some(b"a@b".to_vec())
        );
    }
}
