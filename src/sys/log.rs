//! Log lines. Programs under couriertcpd write `LEVEL: text` lines to descriptor 2, which courierlogger reads,
//! strips of the level and hands to syslog (contract: couriertcpd, login).

use std::fmt;
use std::io::Write;

use super::fd;

/// Severity; the word courierlogger recognises at the start of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something failed that an administrator must look at.
    Err,
    /// Something odd that the program worked around.
    Warning,
    /// Normal events: logins, refusals.
    Info,
    /// Only interesting while looking for a fault.
    Debug,
    /// No level word: the text stands alone.
    Plain,
}

impl Level {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Err => b"ERR: ",
            Self::Warning => b"WARN: ",
            Self::Info => b"INFO: ",
            Self::Debug => b"DEBUG: ",
            Self::Plain => b"",
        }
    }
}

/// Longest line written, so that one write to a pipe stays atomic and a peer's text cannot flood the log.
const LINE_MAX: usize = 2048;

/// Writes one line to descriptor 2 in a single write. Control bytes become `.`, so that nothing a peer or a file
/// name contains can forge a line. A log that cannot be written is not an error of the session.
pub fn log(level: Level, text: fmt::Arguments<'_>) {
    let mut line = Vec::with_capacity(256);
    line.extend_from_slice(level.prefix());
    if write!(line, "{text}").is_err() {
        return;
    }
    line.truncate(LINE_MAX);
    for byte in &mut line {
        if *byte < 0x20 || *byte == 0x7f {
            *byte = b'.';
        }
    }
    line.push(b'\n');
    let mut rest = line.as_slice();
    while !rest.is_empty() {
        match nix::unistd::write(fd::stderr(), rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(nix::errno::Errno::EINTR) => {}
            // Nowhere left to tell it to.
            Err(_) => return,
        }
    }
}

/// The system's words for an error, without the number that std appends: administrators and log watchers know
/// them from the original's messages.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _number)) => words.to_owned(),
        None => text,
    }
}

/// Installs a panic hook that writes one `ERR:` line; release builds abort right after it.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        log(Level::Err, format_args!("internal error: {info}"))
    }));
}
