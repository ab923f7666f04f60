//! The session of an account that another server serves: what the client and the log are told, and the relay in a
//! process without privileges.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Instant;

use nix::sys::signalfd::SignalFd;

use super::super::logline::{self, Counts};
use super::super::parser::mail_user;
use super::super::settings::{Protocol, Settings};
use super::relay::{self, End, Ends, Patience};
use crate::config::paths::Paths;
use crate::sys::fd;
use crate::sys::log::{Level, log};
use crate::sys::process::{drop_privileges, exit_now};
use crate::sys::sandbox::{self, Ceilings, RelayFilter, SandboxError};

/// Heap of a relay, in bytes: two pieces and what the login program had before.
const HEAP_MAX: u64 = 8 * 1024 * 1024;

/// A session that is logged in at another server.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// Those of the login program.
    pub settings: &'a Settings,
    /// The client is to be told the server's capabilities in place of a plain OK.
    pub foreign: bool,
    /// The account.
    pub address: &'a [u8],
    /// POP3: what the log has as protocol.
    pub protocol: &'a [u8],
    /// IMAP: the tag of the client's login.
    pub tag: &'a [u8],
}

impl Session<'_> {
    /// Becomes the mail user, tells the client that it is logged in, and passes on what both sides say. When that is
    /// over the process ends.
    ///
    /// # Errors
    /// Privileges cannot be given up. The client has been told nothing.
    pub fn run(
        &self,
        paths: &Paths,
        signals: &SignalFd,
        server: &OwnedFd,
    ) -> io::Result<Infallible> {
        if nix::unistd::geteuid().is_root() {
            drop_privileges(&mail_user(paths)).map_err(io::Error::other)?;
        }
        // Those below the highest one that is needed are close-on-exec pipes and sockets of the login program, whose
        // other ends are gone.
        let highest = signals.as_fd().as_raw_fd().max(server.as_raw_fd());
        let unused = highest.unsigned_abs().saturating_add(1);
        fd::close_from(unused)?;
        if let Err(error) = confine(unused) {
            // A kernel without one of the mechanisms is worth a line, not a refused login.
            log(Level::Warning, format_args!("sandbox: {error}"));
        }
        log(Level::Info, format_args!("{}", self.line()));
        let start = Instant::now();
        let ends = Ends {
            input: fd::stdin(),
            output: fd::stdout(),
            server,
        };
        let [to_client, to_server] = self.first_words();
        let patience = Patience::of(self.settings.protocol);
        let first = [to_client.as_slice(), to_server.as_slice()];
        match relay::run(ends, signals, patience, first) {
            Ok(ended) => {
                let counts = Counts {
                    received: ended.received,
                    sent: ended.sent,
                    time: start.elapsed(),
                };
                self.log_end(ended.end, counts);
                exit_now(0)
            }
            Err(error) => {
                log(Level::Err, format_args!("proxy: {error}"));
                exit_now(1)
            }
        }
    }

    fn line(&self) -> String {
        let protocol = match self.settings.protocol {
            Protocol::Imap => b"IMAP",
            Protocol::Pop3 => self.protocol,
        };
        logline::proxied(self.settings, self.address, protocol)
    }

    /// What is said to the client, and to the server, before they speak for themselves.
    fn first_words(&self) -> [Vec<u8>; 2] {
        match self.settings.protocol {
            // The server's reply to this is the reply to the client's login.
            Protocol::Imap if self.foreign => [Vec::new(), [self.tag, b" CAPABILITY\r\n"].concat()],
            Protocol::Imap => [
                [self.tag, b" OK connected to proxy server.\r\n"].concat(),
                Vec::new(),
            ],
            Protocol::Pop3 => [b"+OK Connected to proxy server.\r\n".to_vec(), Vec::new()],
        }
    }

    fn log_end(&self, end: End, counts: Counts) {
        let (level, word) = match end {
            End::Server => (Level::Info, "LOGOUT"),
            End::Broken => (Level::Info, "DISCONNECTED"),
            End::TimedOut => (Level::Info, "TIMEOUT"),
            End::Signal => (
                Level::Plain,
                "NOTICE: Disconnected during shutdown by signal",
            ),
        };
        let line = logline::proxied_end(self.settings, word, self.address, counts);
        log(level, format_args!("{line}"));
    }
}

/// No files, no processes, no connections but the two.
fn confine(descriptors: u32) -> Result<(), SandboxError> {
    sandbox::limit(Ceilings {
        descriptors: u64::from(descriptors),
        heap: HEAP_MAX,
        cpu_seconds: libc::RLIM_INFINITY,
    })?;
    // A kernel may have one of the two.
    let files = sandbox::no_files();
    RelayFilter::new()?.install()?;
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::environment::Environment;

    #[test]
    fn the_first_words_answer_the_login() {
        let words = |protocol, foreign| {
            let settings = Settings::read(protocol, &Environment::default());
            let session = Session {
                settings: &settings,
                foreign,
                address: b"al",
                protocol: b"",
                tag: b"a1",
            };
            session.first_words()
        };
        assert_eq!(
            words(Protocol::Imap, false),
            [b"a1 OK connected to proxy server.\r\n".to_vec(), Vec::new()]
        );
        assert_eq!(
            words(Protocol::Imap, true),
            [Vec::new(), b"a1 CAPABILITY\r\n".to_vec()]
        );
        assert_eq!(
            words(Protocol::Pop3, false),
            [b"+OK Connected to proxy server.\r\n".to_vec(), Vec::new()]
        );
    }
}
