//! Questions to authdaemond (contract: authdaemon §4). One connection per question; the daemon closes it.
//!
//! Used by the login programs and the tools. Nothing here logs; [`Failure`] says what to log.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::account::AccountInfo;
use super::domain::DefaultDomain;
use super::wire;
use crate::config::paths::Paths;
use crate::sys::log::reason;

/// Longest reply to a login or lookup, in bytes. A longer one counts as a temporary failure.
pub const REPLY_MAX: usize = 8191;
/// Longest body of an AUTH request.
pub const BODY_MAX: usize = 8191;
/// Longest command line, without its line feed.
pub const LINE_MAX: usize = 8190;
/// Longest peer address passed on.
const REMOTE_MAX: usize = 39;

/// The answer to a login or lookup.
#[derive(Debug)]
pub enum Outcome {
    /// The account exists and, for a login, the credentials are right.
    Accepted(Box<AccountInfo>),
    /// Definite no: wrong credentials, no such account, or text that no account can have.
    Rejected,
    /// Nobody knows at the moment.
    Temporary(Failure),
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// The socket could not be connected to: the daemon is not running, or may not be reached.
    Connect(io::Error),
    /// Sending or receiving failed or took too long.
    Exchange(io::Error),
    /// The daemon closed the connection without a whole reply: a back end is down.
    NoReply,
    /// The reply is too long or says nonsense.
    BadReply,
}

impl Failure {
    /// The error as errno, what the original's callers put into their messages.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Connect(error) => Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
            Self::Exchange(_) | Self::NoReply | Self::BadReply => Errno::EIO,
        }
    }

    /// True when the usual reason is that authdaemond does not run; deserves a hint in the log.
    pub fn daemon_is_down(&self) -> bool {
        match self {
            Self::Connect(_) => matches!(
                self.errno(),
                Errno::ECONNREFUSED | Errno::ENOENT | Errno::ETIMEDOUT
            ),
            _ => false,
        }
    }

    /// Writes the log lines that the original's client library writes; nothing for failures behind the connect.
    pub fn log(&self) {
        use crate::sys::log::{Level, log};
        if let Self::Connect(error) = self {
            log(
                Level::Err,
                format_args!("authdaemon: s_connect() failed: {}", reason(error)),
            );
            if self.daemon_is_down() {
                log(
                    Level::Err,
                    format_args!("[Hint: perhaps authdaemond is not running?]"),
                );
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => f.write_str(&reason(error)),
            // The words of strerror(EIO), which log watchers know.
            _ => f.write_str("Input/output error"),
        }
    }
}

impl std::error::Error for Failure {}

/// Time limits of one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection to be accepted.
    pub connect: Duration,
    /// For the whole reply.
    pub read: Duration,
    /// For each wait for room to write.
    pub write: Duration,
}

impl Timeouts {
    /// 10, 30 and 10 seconds, or what `TIMEOUT_SOCK`, `TIMEOUT_READ`, `TIMEOUT_WRITE` say if positive numbers.
    pub fn from_env() -> Self {
        let seconds = |name: &str, default| {
            let value = std::env::var(name).ok().and_then(|text| text.parse().ok());
            // A day is more than any answer is worth, and keeps the arithmetic of deadlines away from its edges.
            Duration::from_secs(
                value
                    .filter(|&n: &u64| n > 0)
                    .unwrap_or(default)
                    .min(86_400),
            )
        };
        Self {
            connect: seconds("TIMEOUT_SOCK", 10),
            read: seconds("TIMEOUT_READ", 30),
            write: seconds("TIMEOUT_WRITE", 10),
        }
    }
}

/// What a login program needs to ask questions; cheap to build, holds no connection.
#[derive(Debug, Clone)]
pub struct Client {
    /// The daemon's socket.
    pub socket: PathBuf,
    /// Time limits.
    pub timeouts: Timeouts,
    /// The peer's address (TCPREMOTEIP), passed on for PAM.
    pub remote: Option<Vec<u8>>,
    /// Appended to login names without a domain; not to those of lookups.
    pub default_domain: Option<DefaultDomain>,
}

impl Client {
    /// With the socket of `paths` and everything else from the environment: `TIMEOUT_SOCK`, `TIMEOUT_READ`,
    /// `TIMEOUT_WRITE`, `TCPREMOTEIP`, `DEFDOMAIN`, `DOMAINSEP`.
    pub fn from_env(paths: &Paths) -> Self {
        Self {
            socket: paths.authdaemond_socket(),
            timeouts: Timeouts::from_env(),
            remote: std::env::var_os("TCPREMOTEIP").map(OsStringExt::into_vec),
            default_domain: DefaultDomain::from_env(),
        }
    }

    /// Are these the user's name and password? `service` is `imap`, `pop3` or what AUTHSERVICE says. The default
    /// domain is appended here; log the name as the user typed it.
    pub fn login(&self, service: &[u8], user: &[u8], password: &[u8]) -> Outcome {
        if has_control(user) || has_control(password) {
            return Outcome::Rejected;
        }
        let user = self.complete(user);
        self.auth(service, b"login", &[user.as_slice(), password])
    }

    /// Is this the right response to that challenge? `challenge` and `response` are the base64 texts exchanged
    /// with the peer, `mechanism` is `cram-md5`, `cram-sha1` or `cram-sha256`.
    pub fn cram(
        &self,
        service: &[u8],
        mechanism: &str,
        challenge: &[u8],
        response: &[u8],
    ) -> Outcome {
        use base64::Engine;
        use base64::engine::general_purpose::STANDARD;
        let Ok(decoded) = STANDARD.decode(response) else {
            return Outcome::Rejected;
        };
        // The last space is the border: a name may contain spaces, the digest cannot.
        let Some(space) = decoded.iter().rposition(|&byte| byte == b' ') else {
            return Outcome::Rejected;
        };
        let (user, digest) = decoded.split_at(space);
        if has_control(&decoded) || user.is_empty() || has_control(challenge) {
            return Outcome::Rejected;
        }
        let mut completed = self.complete(user);
        completed.extend_from_slice(digest);
        let response = STANDARD.encode(completed);
        self.auth(
            service,
            mechanism.as_bytes(),
            &[challenge, response.as_bytes()],
        )
    }

    /// The account `user`, without a password: for SASL EXTERNAL and the tools. No default domain.
    pub fn lookup(&self, service: &[u8], user: &[u8]) -> Outcome {
        if has_control(user) || user.is_empty() || !is_word(service) {
            return Outcome::Rejected;
        }
        let line = [b"PRE . ", service, b" ", user].concat();
        if line.len() > LINE_MAX {
            return Outcome::Rejected;
        }
        let mut request = self.meta();
        request.extend_from_slice(&line);
        request.push(b'\n');
        self.ask(&request)
    }

    /// Changes a password. Accepted or rejected; [`Failure`] when nobody answered.
    ///
    /// # Errors
    /// [`Failure`] as for the other questions.
    pub fn change_password(
        &self,
        service: &[u8],
        user: &[u8],
        old: &[u8],
        new: &[u8],
    ) -> Result<bool, Failure> {
        let fields = [service, user, old, new];
        if fields.iter().any(|field| has_control(field)) {
            return Ok(false);
        }
        let mut line = b"PASSWD ".to_vec();
        line.extend_from_slice(&fields.join(&b'\t'));
        if line.len() > LINE_MAX {
            return Ok(false);
        }
        line.push(b'\n');
        match self.exchange(&line)?.as_slice() {
            b"OK\n" => Ok(true),
            b"FAIL\n" => Ok(false),
            b"" => Err(Failure::NoReply),
            _ => Err(Failure::BadReply),
        }
    }

    fn auth(&self, service: &[u8], mechanism: &[u8], data: &[&[u8]]) -> Outcome {
        if has_control(service) {
            return Outcome::Rejected;
        }
        let mut body = Vec::with_capacity(256);
        for line in [service, mechanism].iter().chain(data) {
            body.extend_from_slice(line);
            body.push(b'\n');
        }
        // No account has such a name or password: a plain failure, so that nobody retries it.
        if body.len() > BODY_MAX {
            return Outcome::Rejected;
        }
        let mut request = self.meta();
        request.extend_from_slice(format!("AUTH {}\n", body.len()).as_bytes());
        request.extend_from_slice(&body);
        self.ask(&request)
    }

    fn ask(&self, request: &[u8]) -> Outcome {
        match self.exchange(request) {
            Err(failure) => Outcome::Temporary(failure),
            Ok(reply) if reply == b"FAIL\n" => Outcome::Rejected,
            Ok(reply) if reply.is_empty() => Outcome::Temporary(Failure::NoReply),
            Ok(reply) => match reply
                .strip_suffix(b"\n.\n")
                .map(AccountInfo::parse)
                .ok_or(Failure::NoReply)
            {
                Ok(Some(info)) => Outcome::Accepted(Box::new(info)),
                Ok(None) => Outcome::Temporary(Failure::BadReply),
                Err(failure) => Outcome::Temporary(failure),
            },
        }
    }

    /// Sends `request` and reads until the daemon closes, the reply says that it is complete, or it is too long.
    fn exchange(&self, request: &[u8]) -> Result<Vec<u8>, Failure> {
        let socket = wire::open(&self.socket, self.timeouts.connect).map_err(Failure::Connect)?;
        // A daemon that has closed already may still have left a reply.
        let written = wire::write(&socket, request, self.timeouts.write);
        let deadline = Instant::now() + self.timeouts.read;
        // Most replies fit; more room at once is pages of their own for some allocators.
        let mut reply = Vec::with_capacity(256);
        let mut buffer = [0_u8; 4096];
        loop {
            let count = wire::read(&socket, &mut buffer, deadline).map_err(Failure::Exchange)?;
            reply.extend_from_slice(buffer.get(..count).unwrap_or_default());
            if reply.len() > REPLY_MAX {
                return Err(Failure::BadReply);
            }
            if reply.ends_with(b"\n.\n") || reply == b"FAIL\n" || reply == b"OK\n" {
                return Ok(reply);
            }
            if count == 0 {
                written.map_err(Failure::Exchange)?;
                return Ok(reply);
            }
        }
    }

    /// The line before the command that tells the daemon who the peer is.
    fn meta(&self) -> Vec<u8> {
        match &self.remote {
            Some(remote)
                if !remote.is_empty() && remote.len() <= REMOTE_MAX && !has_control(remote) =>
            {
                [b"TCPREMOTEIP=", remote.as_slice(), b"\n"].concat()
            }
            _ => Vec::new(),
        }
    }

    fn complete(&self, user: &[u8]) -> Vec<u8> {
        match &self.default_domain {
            Some(domain) => domain.complete(user),
            None => user.to_vec(),
        }
    }
}

/// Bytes that would break the protocol's lines, NUL among them.
fn has_control(text: &[u8]) -> bool {
    text.iter().any(|&byte| byte < 0x20)
}

/// Non-empty, without blanks and control bytes.
fn is_word(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| byte > b' ')
}

#[cfg(test)]
mod tests;
