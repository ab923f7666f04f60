//! The parser's side of the connection to the peer. Input is consumed exactly through the command in hand, never
//! further: what a client pipelines behind its login belongs to the mail server that is exec'd later, and finds it
//! in the socket. On a socket whole pieces are looked at (MSG_PEEK) before they are taken; from anything else one
//! byte is read at a time.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::MsgFlags;

use crate::sys::{fd, find};

/// Why no more can be read from the peer or written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// End of file or an error: the peer has left, perhaps in the middle of a command.
    Peer,
    /// The time for logging in is over.
    Time,
    /// The other side of the privilege border has ended.
    Monitor,
}

/// How a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// With its line feed, which is part of the bytes.
    Whole,
    /// The limit was reached first; the rest of the line is still to come.
    TooLong,
}

/// Bytes looked at in one go.
const PIECE: usize = 1024;

/// How long a peer that was turned away may take to read why.
const LINGER: Duration = Duration::from_secs(1);
/// How much of what such a peer still sends is read over, in bytes.
const LINGER_MAX: usize = 1024 * 1024;

/// The connection, and the count of what went over it.
#[derive(Debug)]
pub struct Peer<'a> {
    input: BorrowedFd<'a>,
    output: BorrowedFd<'a>,
    monitor: BorrowedFd<'a>,
    deadline: Instant,
    is_socket: bool,
    unsent: Vec<u8>,
    received: u64,
    sent: u64,
}

impl<'a> Peer<'a> {
    /// Talks over `input` and `output` until `deadline`, or until `monitor` hangs up.
    pub fn new(
        input: BorrowedFd<'a>,
        output: BorrowedFd<'a>,
        monitor: BorrowedFd<'a>,
        deadline: Instant,
    ) -> Self {
        Self {
            input,
            output,
            monitor,
            deadline,
            is_socket: true,
            unsent: Vec::new(),
            received: 0,
            sent: 0,
        }
    }

    /// Bytes read from the peer and written to it so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.received, self.sent)
    }

    /// When the time for logging in is over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Changes how long waits may take from now on.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Adds to what is sent before the next wait.
    pub fn say(&mut self, text: &[u8]) {
        self.unsent.extend_from_slice(text);
    }

    /// Sends what was said.
    ///
    /// # Errors
    /// [`Gone`]; what was not sent is dropped.
    pub fn flush(&mut self) -> Result<(), Gone> {
        let unsent = std::mem::take(&mut self.unsent);
        let mut rest = unsent.as_slice();
        while !rest.is_empty() {
            match self.send(rest) {
                Ok(count) => {
                    self.sent = self.sent.saturating_add(count as u64);
                    rest = rest.get(count..).unwrap_or_default();
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => self.wait(self.output, PollFlags::POLLOUT)?,
                Err(_) => return Err(Gone::Peer),
            }
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> nix::Result<usize> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match nix::sys::socket::send(self.output.as_raw_fd(), bytes, flags) {
            Err(Errno::ENOTSOCK) => nix::unistd::write(self.output, bytes),
            result => result,
        }
    }

    /// Appends one line, line feed included, to `line`, which never grows beyond `limit` bytes.
    ///
    /// # Errors
    /// [`Gone`]; `line` holds what came before.
    pub fn read_line(&mut self, line: &mut Vec<u8>, limit: usize) -> Result<Line, Gone> {
        loop {
            let room = limit.saturating_sub(line.len());
            if room == 0 {
                return Ok(Line::TooLong);
            }
            if self.read_piece(line, room, Some(b'\n'))? {
                return Ok(Line::Whole);
            }
        }
    }

    /// Appends exactly `count` bytes to `bytes`. The caller has checked `count` against its budget.
    ///
    /// # Errors
    /// [`Gone`]; `bytes` holds what came before.
    pub fn read_exactly(&mut self, bytes: &mut Vec<u8>, count: usize) -> Result<(), Gone> {
        let end = bytes.len().saturating_add(count);
        while bytes.len() < end {
            self.read_piece(bytes, end.saturating_sub(bytes.len()), None)?;
        }
        Ok(())
    }

    /// Reads over the rest of a line, however long it is: the time limit is its bound.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn skip_line(&mut self) -> Result<(), Gone> {
        let mut piece = Vec::new();
        while !self.read_piece(&mut piece, PIECE, Some(b'\n'))? {
            piece.clear();
        }
        Ok(())
    }

    /// Reads `count` bytes and forgets them.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn skip(&mut self, count: usize) -> Result<(), Gone> {
        let mut left = count;
        while left > 0 {
            let mut piece = Vec::new();
            self.read_piece(&mut piece, left, None)?;
            left = left.saturating_sub(piece.len());
        }
        Ok(())
    }

    /// True when the peer has sent something that no command has claimed: after STARTTLS such bytes would change
    /// from clear text into protected text.
    pub fn has_more(&mut self) -> bool {
        let mut byte = [0];
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        matches!(
            nix::sys::socket::recv(self.input.as_raw_fd(), &mut byte, flags),
            Ok(1..)
        )
    }

    /// Lets the peer read what was said last: closing a socket with unread input makes the system throw away what
    /// is still on its way. Says that no more will come, and reads over a bounded amount for a short time.
    pub fn linger(&mut self) {
        self.deadline = Instant::now() + LINGER;
        let shutdown =
            nix::sys::socket::shutdown(self.output.as_raw_fd(), nix::sys::socket::Shutdown::Write);
        // A pipe has nothing to linger for; a peer that has left shows below.
        if shutdown.is_ok() {
            // Either all was read over or there is no more: both are the end.
            self.skip(LINGER_MAX).ok();
        }
    }

    /// Takes what has arrived, at least one and at most `room` bytes, up to and including `stop`; tells whether
    /// `stop` was reached.
    fn read_piece(
        &mut self,
        into: &mut Vec<u8>,
        room: usize,
        stop: Option<u8>,
    ) -> Result<bool, Gone> {
        self.flush()?;
        let mut piece = [0_u8; PIECE];
        loop {
            self.wait(self.input, PollFlags::POLLIN)?;
            let wanted = if self.is_socket { room.min(PIECE) } else { 1 };
            let space = piece.get_mut(..wanted).unwrap_or_default();
            let looked = if self.is_socket && stop.is_some() {
                self.receive(space, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)
            } else if self.is_socket {
                self.receive(space, MsgFlags::MSG_DONTWAIT)
            } else {
                nix::unistd::read(self.input, space)
            };
            let count = match looked {
                Ok(0) => return Err(Gone::Peer),
                Ok(count) => count,
                Err(Errno::ENOTSOCK) => {
                    self.is_socket = false;
                    continue;
                }
                Err(Errno::EINTR | Errno::EAGAIN) => continue,
                Err(_) => return Err(Gone::Peer),
            };
            let seen = space.get(..count).unwrap_or_default();
            let end = stop.and_then(|stop| find::byte(stop, seen));
            let taken = end.map_or(count, |end| end.saturating_add(1));
            if self.is_socket && stop.is_some() {
                let space = piece.get_mut(..taken).unwrap_or_default();
                // What was seen a moment ago is there: nobody else reads this socket.
                if self.receive(space, MsgFlags::MSG_DONTWAIT) != Ok(taken) {
                    return Err(Gone::Peer);
                }
            }
            into.extend_from_slice(piece.get(..taken).unwrap_or_default());
            self.received = self.received.saturating_add(taken as u64);
            return Ok(end.is_some());
        }
    }

    fn receive(&self, space: &mut [u8], flags: MsgFlags) -> nix::Result<usize> {
        nix::sys::socket::recv(self.input.as_raw_fd(), space, flags)
    }

    fn wait(&self, fd: BorrowedFd<'_>, events: PollFlags) -> Result<(), Gone> {
        // POLLHUP is reported without being asked for.
        let fds = [(fd, events), (self.monitor.as_fd(), PollFlags::empty())];
        match fd::wait_any(fds, Some(self.deadline)) {
            Ok(Some([_, true])) => Err(Gone::Monitor),
            Ok(Some([_, false])) => Ok(()),
            Ok(None) => Err(Gone::Time),
            Err(_) => Err(Gone::Peer),
        }
    }
}

/// Writes `text` to the peer from the monitor, which never reads from it: best effort, without waiting.
pub fn last_words(output: BorrowedFd<'_>, text: &[u8]) {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    if nix::sys::socket::send(output.as_raw_fd(), text, flags) == Err(Errno::ENOTSOCK) {
        let result: io::Result<usize> = nix::unistd::write(output, text).map_err(Into::into);
        // The session ends in any case, and there is nobody else to tell.
        drop(result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(200)
    }

    #[test]
    fn a_line_is_taken_and_what_follows_stays_in_the_socket() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let (_monitor, channel) = UnixStream::pair().unwrap();
        client.write_all(b"first\r\nsecond\r\n").unwrap();
        let mut peer = Peer::new(server.as_fd(), server.as_fd(), channel.as_fd(), soon());
        let mut line = Vec::new();
        assert_eq!(peer.read_line(&mut line, 100), Ok(Line::Whole));
        assert_eq!(line, b"first\r\n");
        assert_eq!(peer.counts().0, 7);
        assert!(peer.has_more());
        let mut rest = [0; 8];
        (&server).read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"second\r\n");
    }

    #[test]
    fn a_pipe_is_read_byte_by_byte() {
        let (input, output) = nix::unistd::pipe().unwrap();
        let (_monitor, channel) = UnixStream::pair().unwrap();
        nix::unistd::write(&output, b"one\ntwo\n").unwrap();
        let mut peer = Peer::new(input.as_fd(), output.as_fd(), channel.as_fd(), soon());
        let mut line = Vec::new();
        assert_eq!(peer.read_line(&mut line, 100), Ok(Line::Whole));
        assert_eq!(line, b"one\n");
        let mut rest = [0; 16];
        assert_eq!(nix::unistd::read(&input, &mut rest), Ok(4));
    }

    #[test]
    fn a_long_line_stops_at_the_limit_and_can_be_skipped() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let (_monitor, channel) = UnixStream::pair().unwrap();
        client.write_all(&[b'x'; 3000]).unwrap();
        client.write_all(b"\nnext\n").unwrap();
        let mut peer = Peer::new(server.as_fd(), server.as_fd(), channel.as_fd(), soon());
        let mut line = Vec::new();
        assert_eq!(peer.read_line(&mut line, 2000), Ok(Line::TooLong));
        assert_eq!(line.len(), 2000);
        peer.skip(1001).unwrap();
        line.clear();
        assert_eq!(peer.read_line(&mut line, 2000), Ok(Line::Whole));
        assert_eq!(line, b"next\n");
    }

    #[test]
    fn leaving_silence_and_a_dead_monitor_are_told_apart() {
        let (client, server) = UnixStream::pair().unwrap();
        let (monitor, channel) = UnixStream::pair().unwrap();
        let mut peer = Peer::new(server.as_fd(), server.as_fd(), channel.as_fd(), soon());
        let mut line = Vec::new();
        assert_eq!(peer.read_line(&mut line, 100), Err(Gone::Time));
        let later = Instant::now() + Duration::from_secs(60);
        let mut peer = Peer::new(server.as_fd(), server.as_fd(), channel.as_fd(), later);
        drop(client);
        assert_eq!(peer.read_line(&mut line, 100), Err(Gone::Peer));
        drop(monitor);
        assert_eq!(peer.read_line(&mut line, 100), Err(Gone::Monitor));
    }

    #[test]
    fn a_peer_that_does_not_read_costs_no_more_than_the_time_limit() {
        let (_client, server) = UnixStream::pair().unwrap();
        let (_monitor, channel) = UnixStream::pair().unwrap();
        let mut peer = Peer::new(server.as_fd(), server.as_fd(), channel.as_fd(), soon());
        peer.say(&vec![b'x'; 8 << 20]);
        assert_eq!(peer.flush(), Err(Gone::Time));
    }
}
