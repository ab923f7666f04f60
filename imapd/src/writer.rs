//! Output to the client: one buffer over descriptor 1, written in large pieces and flushed at the tagged reply.
//!
//! Errors stick: once the client is gone, everything further is dropped and [`Writer::check`] and
//! [`Writer::flush`] say so. A command that writes much calls `check` now and then and stops when it fails.
//! The buffer is bounded: a client that reads slowly makes the command wait, and one that does not read for
//! [`WRITE_TIMEOUT`] is disconnected.

use std::fmt;
use std::io::{IoSlice, Write as _};
use std::time::{Duration, Instant};

use courier::sys::fd;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::trace::Trace;

/// How long one write may make no progress.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes gathered before a write.
const BUFFER: usize = 64 * 1024;

/// Capacity kept between commands, so that an idle session is small.
const KEPT: usize = 4 * 1024;

/// Longest value sent as a quoted string.
const MAX_QUOTED: usize = 4096;

/// The client is gone or does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected;

/// The output side of a session.
#[derive(Debug)]
pub struct Writer {
    to: Sink,
    buffer: Vec<u8>,
    sent: u64,
    gone: bool,
    /// Where the session is recorded.
    pub trace: Option<Trace>,
}

#[derive(Debug, Clone, Copy)]
enum Sink {
    /// Descriptor 1.
    Standard,
    /// Nowhere: everything stays in the buffer (tests).
    Memory,
}

impl Writer {
    /// Writes to descriptor 1, which must be non-blocking.
    pub fn standard() -> Self {
        Self::new(Sink::Standard)
    }

    /// Keeps everything, for tests of code that writes; see [`Self::take`].
    pub fn memory() -> Self {
        Self::new(Sink::Memory)
    }

    fn new(to: Sink) -> Self {
        Self {
            to,
            buffer: Vec::new(),
            sent: 0,
            gone: false,
            trace: None,
        }
    }

    /// What a memory writer has gathered.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Bytes written to the client and gathered for it, since the session began.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Appends bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) {
        self.sent = self.sent.saturating_add(bytes.len() as u64);
        if self.gone {
            return;
        }
        if self.buffer.len().saturating_add(bytes.len()) <= BUFFER
            || matches!(self.to, Sink::Memory)
        {
            self.buffer.extend_from_slice(bytes);
        } else {
            self.write_out(bytes);
        }
    }

    /// Appends formatted text.
    pub fn text(&mut self, text: fmt::Arguments<'_>) {
        let before = self.buffer.len();
        if self.buffer.write_fmt(text).is_err() {
            // Writing to a Vec fails only if a Display does, and then the reply would be cut: better none.
            self.buffer.truncate(before);
            self.gone = true;
            return;
        }
        let added = self.buffer.len().saturating_sub(before);
        self.sent = self.sent.saturating_add(added as u64);
        if self.gone {
            self.buffer.truncate(before);
        } else if self.buffer.len() > BUFFER && matches!(self.to, Sink::Standard) {
            self.write_out(&[]);
        }
    }

    /// Appends a decimal number.
    pub fn number(&mut self, number: u64) {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        let mut rest = number;
        for (index, place) in digits.iter_mut().enumerate().rev() {
            // The remainder is below 10.
            *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            at = index;
            if rest == 0 {
                break;
            }
        }
        self.put(digits.get(at..).unwrap_or_default());
    }

    /// Appends CRLF.
    pub fn end_line(&mut self) {
        self.put(b"\r\n");
    }

    /// Appends `string`: quoted if it may be (no CR, LF, NUL; ASCII, or UTF-8 where `utf8` allows it), else as a
    /// literal. A NUL cannot stand in a literal either (RFC 3501 `CHAR8`) and becomes 0x80, as in the UW convention.
    pub fn string(&mut self, value: &[u8], utf8: bool) {
        let ascii = value.is_ascii();
        let quotable = value.len() <= MAX_QUOTED
            && (ascii || (utf8 && std::str::from_utf8(value).is_ok()))
            && memchr::memchr3(b'\r', b'\n', 0, value).is_none();
        if quotable {
            self.put(b"\"");
            let mut rest = value;
            while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
                let (plain, special) = rest.split_at_checked(at).unwrap_or((rest, &[]));
                self.put(plain);
                self.put(b"\\");
                self.put(special.get(..1).unwrap_or_default());
                rest = special.get(1..).unwrap_or_default();
            }
            self.put(rest);
            self.put(b"\"");
            return;
        }
        self.literal_header(value.len() as u64);
        if memchr::memchr(0, value).is_some() {
            let cleaned: Vec<u8> = value
                .iter()
                .map(|&byte| if byte == 0 { 0x80 } else { byte })
                .collect();
            self.put(&cleaned);
        } else {
            self.put(value);
        }
    }

    /// Appends `NIL` or the string.
    pub fn nstring(&mut self, value: Option<&[u8]>, utf8: bool) {
        match value {
            Some(value) => self.string(value, utf8),
            None => self.put(b"NIL"),
        }
    }

    /// Appends `{size}` CRLF; exactly `size` bytes must follow.
    pub fn literal_header(&mut self, size: u64) {
        self.put(b"{");
        self.number(size);
        self.put(b"}\r\n");
    }

    /// Fails once the client is gone.
    ///
    /// # Errors
    /// [`Disconnected`].
    pub fn check(&self) -> Result<(), Disconnected> {
        if self.gone { Err(Disconnected) } else { Ok(()) }
    }

    /// As [`Self::check`], after asking whether anybody is left to read. A client that is merely silent is there.
    ///
    /// # Errors
    /// [`Disconnected`].
    pub fn look(&mut self) -> Result<(), Disconnected> {
        if matches!(self.to, Sink::Standard) && !self.gone {
            let mut fds = [PollFd::new(fd::stdout(), PollFlags::empty())];
            if matches!(nix::poll::poll(&mut fds, PollTimeout::ZERO), Ok(1..)) {
                let [fd] = fds;
                self.gone = fd.revents().is_some_and(|events| {
                    events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP)
                });
            }
        }
        self.check()
    }

    /// Writes out what has been gathered.
    ///
    /// # Errors
    /// [`Disconnected`], now or before.
    pub fn flush(&mut self) -> Result<(), Disconnected> {
        if matches!(self.to, Sink::Standard) && !self.buffer.is_empty() && !self.gone {
            self.write_out(&[]);
        }
        if self.buffer.capacity() > KEPT && self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
        self.check()
    }

    /// Writes the buffer and then `more`, both completely, and empties the buffer.
    fn write_out(&mut self, more: &[u8]) {
        if let Some(trace) = &self.trace {
            trace.written(&self.buffer, more);
        }
        let mut first = self.buffer.as_slice();
        let mut second = more;
        let mut deadline = None;
        while !first.is_empty() || !second.is_empty() {
            let slices = [IoSlice::new(first), IoSlice::new(second)];
            match nix::sys::uio::writev(fd::stdout(), &slices) {
                Ok(written) => {
                    deadline = None;
                    let of_first = written.min(first.len());
                    first = first.get(of_first..).unwrap_or_default();
                    second = second
                        .get(written.saturating_sub(of_first)..)
                        .unwrap_or_default();
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let until = *deadline.get_or_insert_with(|| Instant::now() + WRITE_TIMEOUT);
                    let ready = fd::wait_ready(&fd::stdout(), PollFlags::POLLOUT, Some(until));
                    if !matches!(ready, Ok(true)) {
                        self.gone = true;
                        break;
                    }
                }
                Err(_) => {
                    self.gone = true;
                    break;
                }
            }
        }
        self.buffer.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Writer)) -> String {
        let mut writer = Writer::memory();
        write(&mut writer);
        String::from_utf8_lossy(&writer.take()).into_owned()
    }

    #[test]
    fn strings_are_quoted_where_they_may_be() {
        assert_eq!(written(|w| w.string(b"a \"b\\c", false)), r#""a \"b\\c""#);
        assert_eq!(written(|w| w.string(b"", false)), "\"\"");
        assert_eq!(written(|w| w.string(b"a\nb", false)), "{3}\r\na\nb");
        assert_eq!(written(|w| w.string("ü".as_bytes(), false)), "{2}\r\nü");
        assert_eq!(written(|w| w.string("ü".as_bytes(), true)), "\"ü\"");
        assert_eq!(written(|w| w.nstring(None, false)), "NIL");
    }

    #[test]
    fn numbers() {
        assert_eq!(written(|w| w.number(0)), "0");
        assert_eq!(written(|w| w.number(u64::MAX)), u64::MAX.to_string());
    }
}
