//! One worker: reads requests from several peers at once and answers them one by one.
//!
//! A peer gets the worker's whole attention for a moment, long enough for every honest client to have sent its
//! request; one that is slower is read beside others. So a peer that stalls costs nobody else anything, and while
//! this worker computes a hash the next peer goes to another one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use courier::sys::log::{Level, log, reason};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{MsgFlags, send};

use crate::listen::Listener;
use crate::protocol::{self, Parsed};
use crate::service::{Answer, Service};

/// How long a new peer keeps the worker from taking another one, shared with those that are stalled already: a crowd
/// of silent peers must not make an honest one queue behind 50 ms for each of them.
const ATTENTION: Duration = Duration::from_millis(50);
/// Without any request for so long the modules close what they hold open.
const IDLE: Duration = Duration::from_secs(300);
/// How long peers that are connected when the worker is to end may take to finish.
const FAREWELL: Duration = Duration::from_secs(1);
/// Most peers at once; beyond it the one that has stalled longest goes.
const PEERS_MAX: usize = 64;
/// Most bytes of one request that are kept.
const INPUT_MAX: usize = 32 * 1024;

/// How long peers are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a whole request.
    pub read: Duration,
    /// For each wait for room to write.
    pub write: Duration,
}

impl Default for Limits {
    /// The original's, except that the one for reading does not begin again with every byte.
    fn default() -> Self {
        Self {
            read: Duration::from_secs(10),
            write: Duration::from_secs(30),
        }
    }
}

/// Works until `until` reports end of file, which it does when the parent wants it or has vanished, and then until
/// the requests at hand are answered.
pub fn run(listener: &Listener, until: BorrowedFd<'_>, service: &mut Service, limits: Limits) {
    Worker {
        doorbell: doorbell(listener, until),
        listener,
        until,
        service,
        limits,
        peers: Vec::new(),
        ending: None,
        attentive_until: Instant::now(),
        last_request: Instant::now(),
        idle: false,
    }
    .run();
}

/// Waits for the next peer so that the kernel wakes one idle worker for it and not all of them. Without it (no
/// descriptor left) all are woken, and one gets the peer.
fn doorbell(listener: &Listener, until: BorrowedFd<'_>) -> Option<Epoll> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).ok()?;
    let alone = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
    epoll.add(listener, EpollEvent::new(alone, KNOCK)).ok()?;
    epoll
        .add(until, EpollEvent::new(EpollFlags::EPOLLIN, END))
        .ok()?;
    Some(epoll)
}

/// What an event of the doorbell is about.
const KNOCK: u64 = 0;
const END: u64 = 1;

struct Worker<'a> {
    doorbell: Option<Epoll>,
    listener: &'a Listener,
    until: BorrowedFd<'a>,
    service: &'a mut Service,
    limits: Limits,
    peers: Vec<Peer>,
    /// When to stop for good, once asked to.
    ending: Option<Instant>,
    /// No other peer is taken before, as long as one is being read.
    attentive_until: Instant,
    last_request: Instant,
    idle: bool,
}

struct Peer {
    socket: OwnedFd,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    deadline: Instant,
}

/// What is to be done with a peer after looking at it.
#[derive(PartialEq, Eq)]
enum Fate {
    Keep,
    Close,
}

impl Worker<'_> {
    fn run(mut self) {
        loop {
            let now = Instant::now();
            self.peers.retain(|peer| peer.deadline > now);
            if let Some(end) = self.ending {
                if self.peers.is_empty() || now >= end {
                    return;
                }
            }
            self.rest(now);
            if let Err(error) = self.wait(now) {
                log(Level::Err, format_args!("poll: {}", reason(&error)));
                return;
            }
        }
    }

    /// Tells the modules once when it has been quiet for long.
    fn rest(&mut self, now: Instant) {
        if !self.idle && now.duration_since(self.last_request) >= IDLE {
            self.idle = true;
            self.service.idle();
        }
    }

    /// Waits for the next event and deals with it.
    fn wait(&mut self, now: Instant) -> io::Result<()> {
        let reading = self.peers.iter().any(|peer| peer.output.is_empty());
        let accepting = self.ending.is_none() && (!reading || now >= self.attentive_until);
        if self.peers.is_empty() && accepting {
            if let Some(doorbell) = &self.doorbell {
                let mut events = [EpollEvent::empty(); 2];
                let count = match doorbell.wait(&mut events, self.timeout(now, accepting)) {
                    Ok(count) => count,
                    Err(Errno::EINTR) => return Ok(()),
                    Err(errno) => return Err(errno.into()),
                };
                let rung = |what: u64| events.iter().take(count).any(|event| event.data() == what);
                if rung(END) {
                    self.ending = Some(Instant::now() + FAREWELL);
                } else if rung(KNOCK) {
                    self.take_peer();
                }
                return Ok(());
            }
        }
        let mut fds = Vec::with_capacity(self.peers.len() + 2);
        // Not asked for any event once it has spoken: its end of file stays, and would be reported for ever.
        if self.ending.is_none() {
            fds.push(PollFd::new(self.until, PollFlags::POLLIN));
        }
        if accepting {
            fds.push(PollFd::new(self.listener.as_fd(), PollFlags::POLLIN));
        }
        for peer in &self.peers {
            let events = if peer.output.is_empty() {
                PollFlags::POLLIN
            } else {
                PollFlags::POLLOUT
            };
            fds.push(PollFd::new(peer.socket.as_fd(), events));
        }
        match poll(&mut fds, self.timeout(now, accepting)) {
            Ok(0) | Err(Errno::EINTR) => return Ok(()),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
        let ended = self.ending.is_none() && ready.next().unwrap_or(false);
        let knocked = accepting && ready.next().unwrap_or(false);
        let ready: Vec<bool> = ready.collect();
        if ended {
            self.ending = Some(Instant::now() + FAREWELL);
        }
        let mut peers = std::mem::take(&mut self.peers);
        let mut ready = ready.into_iter();
        peers.retain_mut(|peer| !ready.next().unwrap_or(false) || self.look_at(peer) == Fate::Keep);
        self.peers = peers;
        if knocked && !ended {
            self.take_peer();
        }
        Ok(())
    }

    /// Until the earliest thing that happens by itself.
    fn timeout(&self, now: Instant, accepting: bool) -> PollTimeout {
        let mut until = now + IDLE;
        if !self.idle {
            until = until.min(self.last_request + IDLE);
        }
        for peer in &self.peers {
            until = until.min(peer.deadline);
        }
        if !accepting && self.ending.is_none() {
            until = until.min(self.attentive_until);
        }
        if let Some(end) = self.ending {
            until = until.min(end);
        }
        // Rounded up, so that the moment has passed when poll returns.
        let milliseconds = until.saturating_duration_since(now).as_millis() + 1;
        PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
    }

    fn take_peer(&mut self) {
        let socket = match self.listener.accept() {
            Ok(Some(socket)) => socket,
            // Another worker was faster, or the peer may not ask.
            Ok(None) => return,
            Err(error) => {
                log(Level::Err, format_args!("accept: {}", reason(&error)));
                // Descriptors or memory are short; trying again at once would only burn time.
                std::thread::sleep(Duration::from_millis(100));
                return;
            }
        };
        if self.peers.len() >= PEERS_MAX {
            // They are in the order of arrival.
            self.peers.remove(0);
        }
        let now = Instant::now();
        let waiting = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        self.attentive_until = now + ATTENTION / waiting.saturating_add(1);
        let mut peer = Peer {
            socket,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            deadline: now + self.limits.read,
        };
        // Most clients have sent their request by now.
        if self.look_at(&mut peer) == Fate::Keep {
            self.peers.push(peer);
        }
    }

    fn look_at(&mut self, peer: &mut Peer) -> Fate {
        if !peer.output.is_empty() {
            return peer.send(self.limits.write);
        }
        match peer.receive() {
            Received::Nothing => return Fate::Keep,
            Received::End => return Fate::Close,
            Received::Bytes => {}
        }
        match protocol::parse(&peer.input) {
            Parsed::Incomplete if peer.input.len() < INPUT_MAX => Fate::Keep,
            Parsed::Incomplete | Parsed::Malformed => peer.leave(),
            Parsed::Request(request) => {
                let answer = self.service.answer(&request);
                self.last_request = Instant::now();
                self.idle = false;
                match answer {
                    Answer::Nothing => peer.leave(),
                    Answer::Reply(reply) => {
                        peer.output = reply;
                        peer.send(self.limits.write)
                    }
                }
            }
        }
    }
}

enum Received {
    Bytes,
    Nothing,
    End,
}

impl Peer {
    /// Reads once. A peer that has closed its side before its request was complete gets nothing.
    fn receive(&mut self) -> Received {
        let mut chunk = [0_u8; 8192];
        loop {
            match nix::unistd::read(&self.socket, &mut chunk) {
                Ok(0) => return Received::End,
                Ok(count) => {
                    self.input
                        .extend_from_slice(chunk.get(..count).unwrap_or_default());
                    return Received::Bytes;
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Received::Nothing,
                Err(_) => return Received::End,
            }
        }
    }

    fn send(&mut self, limit: Duration) -> Fate {
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match send(self.socket.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => {
                    self.sent += count;
                    self.deadline = Instant::now() + limit;
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    if self.sent == 0 {
                        self.deadline = Instant::now() + limit;
                    }
                    return Fate::Keep;
                }
                Err(_) => return Fate::Close,
            }
        }
        self.leave()
    }

    /// Reads what the peer sent beside its request: closing a socket with unread bytes would turn the end of file
    /// that the peer waits for into an error.
    fn leave(&mut self) -> Fate {
        for _ in 0..8 {
            self.input.clear();
            if !matches!(self.receive(), Received::Bytes) {
                break;
            }
        }
        Fate::Close
    }
}
