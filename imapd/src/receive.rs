//! Input from the client: frames commands and never understands them. A command is a line and the literals that its
//! lines announce; what exceeds the budgets is read and dropped here, so that it is never taken for commands.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use courier::sys::{fd, find, heap};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::writer::{Disconnected, Writer};

/// Idle time before a command (RFC 3501 section 5.4 asks for at least 30 minutes).
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Silence after which a session is taken to rest and gives memory back. Clients that talk never wait for that.
pub const QUIET: Duration = Duration::from_secs(1);
/// Wait for more bytes of a literal.
pub const LITERAL_TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of one command, its literals included (streamed ones aside).
pub const MAX_COMMAND: usize = 256 * 1024;
/// Largest literal that is kept in memory.
pub const MAX_LITERAL: u64 = 64 * 1024;
/// Most literals of one command.
pub const MAX_LITERALS: u32 = 256;
/// Largest unannounced literal (LITERAL+) that is read only to be dropped; beyond it the session ends.
pub const MAX_SKIPPED: u64 = 1 << 30;

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;
/// Bytes asked for while commands come one by one. The space is cleared first, for nothing if it is not used.
const SMALL_CHUNK: usize = 2 * 1024;
/// Read at once while a literal streams.
const STREAM_CHUNK: usize = 64 * 1024;
/// End of a line that may hold a literal's announcement: `~{9223372036854775807+}`.
const TAIL: usize = 32;

/// Why there is no more input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// End of input, or an error of the connection.
    Disconnected,
    /// Nothing came in time.
    TimedOut,
    /// SIGTERM, SIGHUP or SIGINT.
    Signalled,
}

/// The announcement of a literal at the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Literal {
    /// Bytes that follow; `None` if the number is beyond 63 bits.
    pub size: Option<u64>,
    /// The client waits for `+` before it sends them.
    pub synchronising: bool,
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// Plainly: the command is complete.
    Command,
    /// With a literal, whose bytes are next.
    Literal(Literal),
    /// The line exceeds its budget: what was kept is its beginning, the rest was dropped. With the literal that the
    /// end of it announced.
    TooLong(Option<Literal>),
}

/// What ended a wait in IDLE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Input is there.
    Input,
    /// The other descriptor is readable.
    Other,
    /// The time is over.
    Timeout,
}

/// The input side of a session: descriptor 0, and the signals that end it. Whenever it would have to wait it writes out
/// what the writer has gathered first, so the replies to commands that came together leave together.
#[derive(Debug)]
pub struct Input {
    buffer: Vec<u8>,
    /// Unread bytes are `buffer[start..]`.
    start: usize,
    received: u64,
    signals: Option<SignalFd>,
    signalled: bool,
    /// How often the buffer has been filled.
    fills: u32,
    /// The last time all of the space was used: more is waiting.
    filled: bool,
}

impl Input {
    /// Reads descriptor 0, which must be non-blocking. SIGTERM, SIGHUP and SIGINT are blocked from here on and
    /// looked at only while waiting, so that no command is cut short by them.
    ///
    /// # Errors
    /// The signals cannot be redirected.
    pub fn standard() -> io::Result<Self> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTERM);
        signals.add(Signal::SIGHUP);
        signals.add(Signal::SIGINT);
        signals.thread_block()?;
        let signals =
            SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self {
            buffer: Vec::new(),
            start: 0,
            received: 0,
            signals: Some(signals),
            signalled: false,
            fills: 0,
            filled: false,
        })
    }

    /// Bytes received since the session began.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// True if a signal has asked the session to end.
    pub fn signalled(&mut self) -> bool {
        if let Some(signals) = &mut self.signals {
            if matches!(signals.read_signal(), Ok(Some(_))) {
                self.signalled = true;
            }
        }
        self.signalled
    }

    /// True if input has been read that no command has used yet: the client pipelines.
    pub fn has_buffered(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// Appends one line to `command`, without its end. Of a line with a literal the announcement and CRLF are
    /// appended too. `command` grows to at most [`MAX_COMMAND`] bytes.
    ///
    /// # Errors
    /// [`Closed`]; a line cut off by the end of input is no line.
    pub fn line(
        &mut self,
        command: &mut Vec<u8>,
        timeout: Duration,
        out: &mut Writer,
    ) -> Result<LineEnd, Closed> {
        let mut dropping = false;
        let mut tail: Vec<u8> = Vec::new();
        let mut quotes = Quotes::default();
        let from = command.len();
        loop {
            let unread = self.unread();
            let end = find::byte(b'\n', unread);
            let piece = unread.get(..end.unwrap_or(unread.len())).unwrap_or(unread);
            quotes.see(piece);
            if !dropping && command.len().saturating_add(piece.len()) <= MAX_COMMAND {
                command.extend_from_slice(piece);
            } else {
                if !dropping {
                    dropping = true;
                    tail.extend_from_slice(last(command.get(from..).unwrap_or_default()));
                }
                tail.extend_from_slice(last(piece));
                if tail.len() > TAIL {
                    tail = last(&tail).to_vec();
                }
            }
            let used = piece.len();
            self.start = self.start.saturating_add(used);
            if end.is_none() {
                let chunk = if self.filled { CHUNK } else { SMALL_CHUNK };
                self.fill(chunk, timeout, out)?;
                continue;
            }
            self.start = self.start.saturating_add(1);
            let line = if dropping {
                tail.as_slice()
            } else {
                command.get(from..).unwrap_or_default()
            };
            let literal = if quotes.open {
                None
            } else {
                announced(line.strip_suffix(b"\r").unwrap_or(line))
            };
            return Ok(match literal {
                literal if dropping => LineEnd::TooLong(literal),
                Some(literal) => {
                    command.push(b'\n');
                    LineEnd::Literal(literal)
                }
                None => {
                    if command.len() > from && command.last() == Some(&b'\r') {
                        command.pop();
                    }
                    LineEnd::Command
                }
            });
        }
    }

    /// Appends the next `size` bytes to `command`.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn literal(
        &mut self,
        command: &mut Vec<u8>,
        size: u64,
        out: &mut Writer,
    ) -> Result<(), Closed> {
        self.stream(size, out, |bytes| command.extend_from_slice(bytes))
    }

    /// Hands the next `size` bytes to `sink`, in pieces.
    ///
    /// # Errors
    /// [`Closed`]; `sink` has seen a part then.
    pub fn stream(
        &mut self,
        size: u64,
        out: &mut Writer,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(), Closed> {
        let mut left = size;
        while left > 0 {
            if !self.has_buffered() {
                self.fill(STREAM_CHUNK, LITERAL_TIMEOUT, out)?;
            }
            let unread = self.unread();
            let wanted = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(unread.len());
            let (piece, _) = unread.split_at_checked(wanted).unwrap_or((unread, &[]));
            sink(piece);
            left = left.saturating_sub(wanted as u64);
            self.start = self.start.saturating_add(wanted);
        }
        Ok(())
    }

    /// Waits until input is there, `other` is readable or `deadline` has passed.
    ///
    /// # Errors
    /// [`Closed::Signalled`], or [`Closed::Disconnected`] if waiting is impossible.
    pub fn wait<F: AsFd>(&mut self, other: Option<&F>, deadline: Instant) -> Result<Woken, Closed> {
        if self.has_buffered() {
            return Ok(Woken::Input);
        }
        // Nothing may come for hours: keep no memory for it.
        self.buffer = Vec::new();
        self.start = 0;
        self.wait_for_more(other, deadline)
    }

    /// As [`Self::wait`], whatever has been read already.
    fn wait_for_more<F: AsFd>(
        &mut self,
        other: Option<&F>,
        deadline: Instant,
    ) -> Result<Woken, Closed> {
        loop {
            let input = fd::stdin();
            let mut fds = vec![PollFd::new(input, PollFlags::POLLIN)];
            if let Some(signals) = &self.signals {
                fds.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
            }
            let with_other = fds.len();
            if let Some(other) = other {
                fds.push(PollFd::new(other.as_fd(), PollFlags::POLLIN));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let milliseconds =
                i32::try_from(left.as_millis().saturating_add(1)).unwrap_or(i32::MAX);
            let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
            match nix::poll::poll(&mut fds, timeout) {
                Ok(0) if Instant::now() >= deadline => return Ok(Woken::Timeout),
                Ok(0) | Err(Errno::EINTR) => continue,
                Ok(_) => {}
                Err(_) => return Err(Closed::Disconnected),
            }
            let ready: Vec<bool> = fds
                .iter()
                .map(|fd| fd.any().is_some_and(|any| any))
                .collect();
            let is_ready = |index: usize| ready.get(index).is_some_and(|ready| *ready);
            if (1..with_other).any(is_ready) && self.signalled() {
                return Err(Closed::Signalled);
            }
            if is_ready(0) {
                return Ok(Woken::Input);
            }
            if is_ready(with_other) {
                return Ok(Woken::Other);
            }
        }
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Reads more, at least one byte.
    fn fill(&mut self, chunk: usize, timeout: Duration, out: &mut Writer) -> Result<(), Closed> {
        if self.start >= self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let deadline = Instant::now() + timeout;
        // A client that never lets us wait must not keep a signal waiting for ever.
        self.fills = self.fills.wrapping_add(1);
        if self.fills % 256 == 0 && self.signalled() {
            return Err(Closed::Signalled);
        }
        loop {
            let before = self.buffer.len();
            self.buffer.resize(before.saturating_add(chunk), 0);
            let space = self.buffer.get_mut(before..).unwrap_or_default();
            let result = nix::unistd::read(fd::stdin(), space);
            let read = *result.as_ref().unwrap_or(&0);
            self.buffer.truncate(before.saturating_add(read));
            match result {
                Ok(0) => return Err(Closed::Disconnected),
                Ok(read) => {
                    self.received = self.received.saturating_add(read as u64);
                    self.filled = read == chunk;
                    return Ok(());
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    out.flush().map_err(|Disconnected| Closed::Disconnected)?;
                    if before == 0 {
                        self.buffer = Vec::new();
                    }
                    let quiet = deadline.min(Instant::now() + QUIET);
                    let mut woken = self.wait_for_more(None::<&SignalFd>, quiet)?;
                    if woken == Woken::Timeout && quiet < deadline {
                        heap::give_back();
                        woken = self.wait_for_more(None::<&SignalFd>, deadline)?;
                    }
                    match woken {
                        Woken::Timeout => return Err(Closed::TimedOut),
                        Woken::Input | Woken::Other => {}
                    }
                }
                Err(_) => return Err(Closed::Disconnected),
            }
        }
    }
}

/// Whether a line is inside a quoted string: a `{5}` there announces nothing.
#[derive(Debug, Default)]
struct Quotes {
    open: bool,
    escaped: bool,
}

impl Quotes {
    fn see(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if self.escaped && !rest.is_empty() {
            rest = rest.get(1..).unwrap_or_default();
            self.escaped = false;
        }
        while let Some(at) = find::either(*b"\"\\", rest) {
            let quote = rest.get(at) == Some(&b'"');
            rest = rest.get(at.saturating_add(1)..).unwrap_or_default();
            if quote {
                self.open = !self.open;
            } else if self.open {
                self.escaped = rest.is_empty();
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }
}

/// ```abnf
/// literal  = "{" number64 ["+"] "}" CRLF *CHAR8
/// literal8 = "~{" number64 ["+"] "}" CRLF *OCTET      ; RFC 3516, RFC 7888
/// ```
fn announced(line: &[u8]) -> Option<Literal> {
    let line = line.strip_suffix(b"}")?;
    let (line, synchronising) = match line.strip_suffix(b"+") {
        Some(line) => (line, false),
        None => (line, true),
    };
    let digits = line
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (before, digits) = line.split_at_checked(line.len().saturating_sub(digits))?;
    if digits.is_empty() || before.last() != Some(&b'{') {
        return None;
    }
    let size = digits
        .iter()
        .try_fold(0_u64, |value, &digit| {
            value
                .checked_mul(10)?
                .checked_add(u64::from(digit.wrapping_sub(b'0')))
        })
        .filter(|&size| i64::try_from(size).is_ok());
    Some(Literal {
        size,
        synchronising,
    })
}

fn last(bytes: &[u8]) -> &[u8] {
    bytes
        .get(bytes.len().saturating_sub(TAIL)..)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_hour_of_silence_is_allowed() {
        // RFC 3501 section 5.4. Each wait for a command begins with all of it.
        assert!(COMMAND_TIMEOUT >= Duration::from_secs(30 * 60));
        assert!(QUIET < COMMAND_TIMEOUT);
    }

    #[test]
    fn announcements() {
        let literal = |size, synchronising| {
            Some(Literal {
                size,
                synchronising,
            })
        };
        assert_eq!(announced(b"a LOGIN {3}"), literal(Some(3), true));
        assert_eq!(announced(b"a APPEND x ~{30+}"), literal(Some(30), false));
        assert_eq!(announced(b"{99999999999999999999}"), literal(None, true));
        for text in [&b"{}"[..], b"{a}", b"3}", b"{3} ", b"{-3}", b"", b"}"] {
            assert_eq!(announced(text), None, "{text:?}");
        }
    }

    #[test]
    fn quotes_are_followed_across_pieces() {
        let open = |pieces: &[&[u8]]| {
            let mut quotes = Quotes::default();
            for piece in pieces {
                quotes.see(piece);
            }
            quotes.open
        };
        assert!(open(&[b"a \"b {3}"]));
        assert!(!open(&[b"a \"b\" {3}"]));
        assert!(open(&[b"a \"b\\", b"\" {3}"]));
        assert!(open(&[b"a \"b\\\\\\", b"\"", b" {3}"]));
        assert!(!open(&[b"a \\\"\" {3}"]));
    }
}
