//! Who is served, and the log lines about it (contract: imapd 17, login 10). Log analysers and fail2ban read these
//! lines: their words, their order and their blanks are interface.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::time::Instant;

use courier::auth::system;
use courier::sys::log::{Level, log};
use courier::sys::user::Query;
use courier::sys::{endpoint, fd};

/// The account and its client.
#[derive(Debug, Clone)]
pub struct Account {
    /// `AUTHENTICATED`: the name in log lines. Bytes that would forge a field of the line are replaced.
    pub name: String,
    ip: String,
    port: String,
    tls: bool,
    started: Instant,
}

/// What the last log line of a session counts, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    /// Message headers fetched, line ends counted as in the file.
    pub headers: u64,
    /// Message bodies fetched, counted likewise.
    pub body: u64,
    /// Received from the client.
    pub received: u64,
    /// Sent to the client.
    pub sent: u64,
}

/// How the session ended, as its last log line says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// LOGOUT.
    Logout,
    /// The client went away, or does not read.
    Disconnected,
    /// Nothing came for too long.
    TimedOut,
    /// A signal.
    Signalled,
}

/// Why there is nobody to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nobody {
    /// Logged in, but `AUTHENTICATED` is missing.
    NoName,
    /// Logged in, but `TCPREMOTEIP` or `TCPREMOTEPORT` is missing.
    NoPeer,
    /// Not logged in, and this uid has no name.
    UnknownUid(u32),
}

/// The other end of standard input, if inetd has made that a TCP connection.
fn peer() -> Option<(String, String)> {
    let known = endpoint::variables(fd::stdin(), |_| false);
    let value = |wanted| {
        let found = known.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value.clone())
    };
    Some((value("TCPREMOTEIP")?, value("TCPREMOTEPORT")?))
}

impl Account {
    /// From the environment. A pre-authenticated session belongs to `AUTHENTICATED` or to whoever runs the program.
    ///
    /// # Errors
    /// [`Nobody`].
    pub fn from_environment(logged_in: bool, tls: bool) -> Result<Self, Nobody> {
        let text = |name: &str| {
            let value = env::var_os(name).map(OsString::into_vec)?;
            Some(loggable(&String::from_utf8_lossy(&value)))
        };
        let filled = |name: &str| text(name).filter(|value| !value.is_empty());
        let (name, ip, port) = if logged_in {
            let name = text("AUTHENTICATED").ok_or(Nobody::NoName)?;
            let ip = filled("TCPREMOTEIP").ok_or(Nobody::NoPeer)?;
            let port = filled("TCPREMOTEPORT").ok_or(Nobody::NoPeer)?;
            (name, ip, port)
        } else {
            let name = match filled("AUTHENTICATED") {
                Some(name) => name,
                None => {
                    let uid = nix::unistd::getuid();
                    match system::entry(Query::Uid(uid)) {
                        Ok(Some(user)) => loggable(&user.name),
                        Ok(None) | Err(_) => return Err(Nobody::UnknownUid(uid.as_raw())),
                    }
                }
            };
            let (ip, port) = peer().unwrap_or_else(|| ("127.0.0.1".to_owned(), "0".to_owned()));
            (name, ip, port)
        };
        Ok(Self {
            name,
            ip,
            port,
            tls,
            started: Instant::now(),
        })
    }

    /// The `LOGIN` line.
    pub fn log_login(&self, protocol: &[u8]) {
        log(
            Level::Info,
            format_args!(
                "LOGIN, {self}, protocol={}{}",
                String::from_utf8_lossy(protocol),
                self.tls_field()
            ),
        );
    }

    /// The account is locked by the sticky bit.
    pub fn log_locked(&self) {
        log(Level::Info, format_args!("LOCKED, {self}"));
    }

    /// The last line of the session.
    pub fn log_end(&self, ending: Ending, counters: &Counters) {
        let (level, word) = match ending {
            Ending::Logout => (Level::Info, "LOGOUT"),
            Ending::Disconnected => (Level::Info, "DISCONNECTED"),
            Ending::TimedOut => (Level::Info, "TIMEOUT"),
            Ending::Signalled => (
                Level::Plain,
                "NOTICE: Disconnected during shutdown by signal",
            ),
        };
        log(
            level,
            format_args!(
                "{word}, {self}, headers={}, body={}, rcvd={}, sent={}, time={}{}",
                counters.headers,
                counters.body,
                counters.received,
                counters.sent,
                self.started.elapsed().as_secs(),
                self.tls_field()
            ),
        );
    }

    fn tls_field(&self) -> &'static str {
        if self.tls { ", starttls=1" } else { "" }
    }
}

impl fmt::Display for Account {
    /// `user=U, ip=[I], port=[P]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "user={}, ip=[{}], port=[{}]",
            self.name, self.ip, self.port
        )
    }
}

/// A value that cannot end its field of a log line: fields are separated by commas, addresses stand in brackets.
pub fn loggable(value: &str) -> String {
    value
        .chars()
        .map(|c| match c {
            ',' | '[' | ']' => '_',
            c if c.is_control() => '.',
            c => c,
        })
        .collect()
}
