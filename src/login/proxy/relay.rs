//! The conversation of a client with the server that it is logged in at, passed on as it is. What this process holds is
//! one piece for each direction: nothing more is read from one side before the other has taken that.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{MsgFlags, Shutdown, shutdown};

use super::super::settings::Protocol;
use crate::sys::fd;

/// Octets on their way in one direction.
const PIECE: usize = 16 * 1024;

/// How long the relay waits for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For anything at all to be said. Longer than the servers themselves wait: 30 minutes (RFC 9051 section 5.4) and
    /// 10 minutes (RFC 1939 section 3).
    pub quiet: Duration,
    /// For a side to take what the other has said.
    pub stalled: Duration,
    /// For the server's last words when the client has said all that it will.
    pub ending: Duration,
    /// For a client to take the last words and leave.
    pub linger: Duration,
}

impl Patience {
    /// What suits a protocol.
    pub fn of(protocol: Protocol) -> Self {
        Self {
            quiet: Duration::from_secs(match protocol {
                Protocol::Imap => 60 * 60,
                Protocol::Pop3 => 15 * 60,
            }),
            stalled: Duration::from_secs(5 * 60),
            ending: Duration::from_secs(60),
            linger: Duration::from_secs(1),
        }
    }
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The server closed it, as it does when it is told to.
    Server,
    /// The client left, or a connection broke.
    Broken,
    /// Nothing moved for too long.
    TimedOut,
    /// This process was told to end.
    Signal,
}

/// A session that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub end: End,
    /// Octets that came from the client.
    pub received: u64,
    /// Octets that it was sent.
    pub sent: u64,
}

/// The side of a [`Flow`] that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    From,
    To,
}

/// One direction.
#[derive(Debug)]
struct Flow<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    piece: Vec<u8>,
    start: usize,
    end: usize,
    moved: u64,
    /// There will be no more.
    finished: bool,
    /// The other side knows.
    told: bool,
}

impl<'a> Flow<'a> {
    /// With `first` on its way already.
    fn new(from: BorrowedFd<'a>, to: BorrowedFd<'a>, first: &[u8]) -> Self {
        let mut piece = first.to_vec();
        piece.resize(PIECE.max(first.len()), 0);
        Self {
            from,
            to,
            piece,
            start: 0,
            end: first.len(),
            moved: 0,
            finished: false,
            told: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What it waits for.
    fn wants(&self) -> Option<(BorrowedFd<'a>, PollFlags)> {
        if !self.is_empty() {
            Some((self.to, PollFlags::POLLOUT))
        } else if self.finished {
            None
        } else {
            Some((self.from, PollFlags::POLLIN))
        }
    }

    /// Moves what can be moved without waiting. True if something was read or written, the end included.
    fn step(&mut self) -> Result<bool, Side> {
        let mut changed = false;
        if self.is_empty() && !self.finished {
            match receive(self.from, &mut self.piece).map_err(|_| Side::From)? {
                None => return Ok(false),
                Some(0) => self.finished = true,
                Some(count) => (self.start, self.end) = (0, count),
            }
            changed = true;
        }
        if !self.is_empty() {
            let rest = self.piece.get(self.start..self.end).unwrap_or_default();
            if let Some(count) = send(self.to, rest).map_err(|_| Side::To)? {
                self.start = self.start.saturating_add(count);
                self.moved = self.moved.saturating_add(count as u64);
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Nobody takes any more of it.
    fn abandon(&mut self) {
        (self.start, self.end) = (0, 0);
        (self.finished, self.told) = (true, true);
    }

    /// Tells the receiving side that there will be no more, once it has everything. True if it could be told.
    fn finish(&mut self) -> bool {
        self.told = true;
        shutdown(self.to.as_raw_fd(), Shutdown::Write).is_ok()
    }
}

/// A call's count; nothing where the kernel asks to come back later.
fn settle(result: nix::Result<usize>) -> nix::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn receive(from: BorrowedFd<'_>, into: &mut [u8]) -> nix::Result<Option<usize>> {
    settle(
        match nix::sys::socket::recv(from.as_raw_fd(), into, MsgFlags::MSG_DONTWAIT) {
            // Descriptor 0 of a program that was started by hand.
            Err(Errno::ENOTSOCK) => nix::unistd::read(from, into),
            result => result,
        },
    )
}

fn send(to: BorrowedFd<'_>, bytes: &[u8]) -> nix::Result<Option<usize>> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    settle(match nix::sys::socket::send(to.as_raw_fd(), bytes, flags) {
        Err(Errno::ENOTSOCK) => nix::unistd::write(to, bytes),
        result => result,
    })
}

/// The two ends of a session.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    /// Where the client's octets come from.
    pub input: BorrowedFd<'a>,
    /// Where the client takes octets.
    pub output: BorrowedFd<'a>,
    /// The connection to the server.
    pub server: &'a OwnedFd,
}

/// Passes on what both say until it is over. `first` is said to the client and to the server before that.
///
/// # Errors
/// Those of poll(2).
pub fn run(
    ends: Ends<'_>,
    signals: &SignalFd,
    patience: Patience,
    first: [&[u8]; 2],
) -> io::Result<Ended> {
    let server = ends.server.as_fd();
    let mut to_client = Flow::new(server, ends.output, first[0]);
    let mut to_server = Flow::new(ends.input, server, first[1]);
    let end = pass_on(&mut to_client, &mut to_server, signals, patience)?;
    Ok(Ended {
        end,
        received: to_server.moved.saturating_sub(first[1].len() as u64),
        sent: to_client.moved,
    })
}

fn pass_on(
    to_client: &mut Flow<'_>,
    to_server: &mut Flow<'_>,
    signals: &SignalFd,
    patience: Patience,
) -> io::Result<End> {
    let mut moved = Instant::now();
    let mut client_left = false;
    loop {
        if to_client.finished && to_client.is_empty() {
            linger(to_client, to_server, patience);
            return Ok(if client_left {
                End::Broken
            } else {
                End::Server
            });
        }
        if to_server.finished && to_server.is_empty() && !to_server.told && !to_server.finish() {
            return Ok(End::Broken);
        }
        let limit = if !to_client.is_empty() || !to_server.is_empty() {
            patience.stalled
        } else if to_server.finished {
            patience.ending
        } else {
            patience.quiet
        };
        let wanted = [to_client.wants(), to_server.wants()];
        let Some(ready) = wait(wanted, signals, moved + limit)? else {
            return Ok(End::TimedOut);
        };
        if ready.signal {
            return Ok(End::Signal);
        }
        let mut changed = false;
        if ready.first {
            match to_client.step() {
                Ok(step) => changed |= step,
                Err(_) => return Ok(End::Broken),
            }
        }
        if ready.second {
            match to_server.step() {
                Ok(step) => {
                    changed |= step;
                    client_left |= to_server.finished;
                }
                Err(Side::From) => return Ok(End::Broken),
                // It has closed; what it said before that is still to be read.
                Err(Side::To) => to_server.abandon(),
            }
        }
        if changed {
            moved = Instant::now();
        }
    }
}

/// Which of the things waited for are there.
struct Ready {
    first: bool,
    second: bool,
    signal: bool,
}

/// `None` when it is too late.
fn wait(
    wanted: [Option<(BorrowedFd<'_>, PollFlags)>; 2],
    signals: &SignalFd,
    until: Instant,
) -> io::Result<Option<Ready>> {
    loop {
        let mut polled = Vec::with_capacity(3);
        polled.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
        for (fd, events) in wanted.into_iter().flatten() {
            polled.push(PollFd::new(fd, events));
        }
        let left = until.saturating_duration_since(Instant::now());
        let left = i32::try_from(left.as_millis().saturating_add(1)).unwrap_or(i32::MAX);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match nix::poll::poll(&mut polled, timeout) {
            Ok(0) if Instant::now() >= until => return Ok(None),
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut ready = polled
            .iter()
            .map(|fd| fd.revents().is_none_or(|events| !events.is_empty()));
        let mut next = |wanted: bool| wanted && ready.next().unwrap_or(false);
        return Ok(Some(Ready {
            signal: next(true),
            first: next(wanted[0].is_some()),
            second: next(wanted[1].is_some()),
        }));
    }
}

/// Lets the client take the server's last words: closing a socket with unread input makes the system throw away what is
/// on its way.
fn linger(to_client: &mut Flow<'_>, to_server: &mut Flow<'_>, patience: Patience) {
    if to_server.finished && to_server.told || !to_client.finish() {
        return;
    }
    let until = Instant::now() + patience.linger;
    while matches!(
        fd::wait_ready(&to_server.from, PollFlags::POLLIN, Some(until)),
        Ok(true)
    ) {
        match receive(to_server.from, &mut to_server.piece) {
            Ok(Some(0)) | Err(_) => return,
            Ok(_) if Instant::now() >= until => return,
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
