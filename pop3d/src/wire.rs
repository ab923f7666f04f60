//! Lines from the client and bytes to it, with a time limit on both: a peer that neither sends nor reads must not
//! hold a session for ever.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use courier::sys::{fd, find};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::MsgFlags;

use crate::command::LINE_MAX;

/// How long a client may be silent, or may leave what it was sent unread.
pub const TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes gathered before they are sent.
const GATHER: usize = 64 * 1024;
/// Bytes read at a time.
const PIECE: usize = 8 * 1024;

/// Why the session ends without QUIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// End of file, or the connection failed.
    Closed,
    /// The time limit has passed.
    Time,
}

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// A line of the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// With its line end.
    Whole(Vec<u8>),
    /// It was longer than [`LINE_MAX`] and has been read over.
    TooLong,
}

/// What the client sends.
#[derive(Debug)]
pub struct Input<'a> {
    from: BorrowedFd<'a>,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that have been taken already.
    taken: usize,
    received: u64,
    limit: Duration,
}

impl<'a> Input<'a> {
    /// Reads from `from`.
    pub fn new(from: BorrowedFd<'a>) -> Self {
        Self {
            from,
            buffer: Vec::new(),
            taken: 0,
            received: 0,
            limit: TIMEOUT,
        }
    }

    /// Waits this long for a command instead of [`TIMEOUT`].
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Bytes of commands so far; of a line that was too long only as many as are looked at.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The next line. Sends what is to be sent before it waits.
    ///
    /// # Errors
    /// [`Gone`]; the beginning of a line that was never finished is forgotten.
    pub fn line(&mut self, output: &mut Output<'_>) -> Result<Line, Gone> {
        let mut too_long = false;
        let mut searched = 0_usize;
        let mut deadline = None;
        loop {
            let pending = self.buffer.get(self.taken..).unwrap_or_default();
            let end = find::byte(b'\n', pending.get(searched..).unwrap_or_default())
                .map(|end| end.saturating_add(searched).saturating_add(1));
            if let Some(length) = end {
                let line = pending.get(..length).unwrap_or_default().to_vec();
                self.taken = self.taken.saturating_add(length);
                too_long |= line.len() > LINE_MAX;
                let counted = if too_long { LINE_MAX } else { line.len() };
                self.received = self.received.saturating_add(counted as u64);
                return Ok(if too_long {
                    Line::TooLong
                } else {
                    Line::Whole(line)
                });
            }
            searched = pending.len();
            if searched > LINE_MAX {
                too_long = true;
                self.taken = self.buffer.len();
                searched = 0;
            }
            output.flush()?;
            // For the whole command, however slowly it comes or however long it is.
            let now = Instant::now();
            let deadline = *deadline.get_or_insert_with(|| now + self.limit);
            if now > deadline {
                return Err(Gone::Time);
            }
            self.fill(deadline)?;
        }
    }

    fn fill(&mut self, deadline: Instant) -> Result<(), Gone> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let mut piece = [0; PIECE];
        loop {
            if !fd::wait_ready(&self.from, PollFlags::POLLIN, Some(deadline))? {
                return Err(Gone::Time);
            }
            match nix::unistd::read(self.from, &mut piece) {
                Ok(0) => return Err(Gone::Closed),
                Ok(count) => {
                    let read = piece.get(..count).unwrap_or_default();
                    self.buffer.extend_from_slice(read);
                    return Ok(());
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(_) => return Err(Gone::Closed),
            }
        }
    }
}

/// What the client is sent.
#[derive(Debug)]
pub struct Output<'a> {
    to: BorrowedFd<'a>,
    gathered: Vec<u8>,
    sent: u64,
    limit: Duration,
}

impl<'a> Output<'a> {
    /// Writes to `to`.
    pub fn new(to: BorrowedFd<'a>) -> Self {
        Self {
            to,
            gathered: Vec::new(),
            sent: 0,
            limit: TIMEOUT,
        }
    }

    /// Waits this long for the client to read instead of [`TIMEOUT`].
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Bytes given to [`Output::put`] so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Takes `bytes`; sends when enough has gathered.
    ///
    /// # Errors
    /// [`Gone`] from sending.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.sent = self.sent.saturating_add(bytes.len() as u64);
        self.put_uncounted(bytes)
    }

    /// As [`Output::put`], for what the session's account leaves out.
    ///
    /// # Errors
    /// [`Gone`] from sending.
    pub fn put_uncounted(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= GATHER {
            self.flush()?;
        }
        Ok(())
    }

    /// As [`Output::put`] with what `append` appends.
    ///
    /// # Errors
    /// [`Gone`] from sending.
    pub fn put_with(&mut self, append: impl FnOnce(&mut Vec<u8>)) -> Result<(), Gone> {
        let before = self.gathered.len();
        append(&mut self.gathered);
        let added = self.gathered.len().saturating_sub(before);
        self.sent = self.sent.saturating_add(added as u64);
        if self.gathered.len() >= GATHER {
            self.flush()?;
        }
        Ok(())
    }

    /// Takes a line without its line end.
    ///
    /// # Errors
    /// [`Gone`] from sending.
    pub fn line(&mut self, text: &[u8]) -> Result<(), Gone> {
        self.put(text)?;
        self.put(b"\r\n")
    }

    /// Sends everything.
    ///
    /// # Errors
    /// [`Gone`]; what was not sent is dropped.
    pub fn flush(&mut self) -> Result<(), Gone> {
        let mut rest = self.gathered.as_slice();
        let mut deadline = Instant::now() + self.limit;
        while !rest.is_empty() {
            match send(self.to, rest) {
                Ok(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    deadline = Instant::now() + self.limit;
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    if !fd::wait_ready(&self.to, PollFlags::POLLOUT, Some(deadline))? {
                        self.gathered.clear();
                        return Err(Gone::Time);
                    }
                }
                Err(_) => {
                    self.gathered.clear();
                    return Err(Gone::Closed);
                }
            }
        }
        self.gathered.clear();
        Ok(())
    }
}

fn send(to: BorrowedFd<'_>, bytes: &[u8]) -> nix::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    match nix::sys::socket::send(to.as_raw_fd(), bytes, flags) {
        Err(Errno::ENOTSOCK) => nix::unistd::write(to, bytes),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn lines_come_one_by_one_and_long_ones_are_read_over() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let mut text = b"STAT\r\nNOOP\n".to_vec();
        text.extend_from_slice(&vec![b'x'; 30_000]);
        text.extend_from_slice(b"\nQUIT\r\nhalf");
        let writer = std::thread::spawn(move || {
            client.write_all(&text).unwrap();
        });
        let mut output = Output::new(server.as_fd());
        let mut input = Input::new(server.as_fd());
        let mut next = || input.line(&mut output);
        assert_eq!(next(), Ok(Line::Whole(b"STAT\r\n".to_vec())));
        assert_eq!(next(), Ok(Line::Whole(b"NOOP\n".to_vec())));
        assert_eq!(next(), Ok(Line::TooLong));
        assert_eq!(next(), Ok(Line::Whole(b"QUIT\r\n".to_vec())));
        assert_eq!(next(), Err(Gone::Closed));
        assert_eq!(input.received(), 11 + 8191 + 6);
        writer.join().unwrap();
    }

    #[test]
    fn a_silent_client_and_one_that_does_not_read_are_given_up() {
        const MOMENT: Duration = Duration::from_millis(20);
        let (_client, server) = UnixStream::pair().unwrap();
        let mut output = Output::new(server.as_fd()).with_limit(MOMENT);
        let mut input = Input::new(server.as_fd()).with_limit(MOMENT);
        assert_eq!(input.line(&mut output), Err(Gone::Time));
        // More than any socket holds.
        let mut put = || output.put(&[b'x'; 8 * 1024]);
        assert!((0..1000).any(|_| put() == Err(Gone::Time)));
    }

    #[test]
    fn a_command_has_to_be_whole_in_time_and_not_its_next_byte() {
        let (client, server) = UnixStream::pair().unwrap();
        // It is given up long before it has said all.
        let drip = std::thread::spawn(move || {
            (0..2000).all(|_| {
                std::thread::sleep(Duration::from_millis(5));
                (&client).write_all(b"x").is_ok()
            })
        });
        let mut output = Output::new(server.as_fd());
        let mut input = Input::new(server.as_fd()).with_limit(Duration::from_millis(200));
        assert_eq!(input.line(&mut output), Err(Gone::Time));
        drop(server);
        assert!(!drip.join().unwrap());
    }

    #[test]
    fn replies_are_sent_before_waiting() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let mut output = Output::new(server.as_fd());
        let mut input = Input::new(server.as_fd());
        output.line(b"+OK").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(input.line(&mut output), Err(Gone::Closed));
        let mut reply = [0; 5];
        client.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+OK\r\n");
        assert_eq!(output.sent(), 5);
    }
}
