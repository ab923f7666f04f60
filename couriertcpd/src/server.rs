//! The parent: accepts, forks, reaps. Per connection it makes one accept, one fork or spawn and one close, reads no
//! file, asks no name service and writes nothing to the peer, so no peer can hold it up.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use courier::sys::log::{Level, log};
use courier::sys::process::{Fork, fork};
use courier::sys::readiness;
use courier_dbm::Reader;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::child::{self, Context, QUIET, cell};
use crate::environment::Environment;
use crate::options::Service;
use crate::renew::{self, Place, Question, Session};
use crate::shared_slots::SharedSlots;
use crate::slots::{Slots, mapped};
use crate::sys::Shared;
use crate::sys::spawn::Stack;

/// How many waiting connections of one listener are taken before the signals are looked at again.
const BURST: usize = 16;
/// How long nothing is accepted after descriptors, memory or processes ran out.
const PAUSE: Duration = Duration::from_millis(200);

/// A message that is written at most once a minute.
#[derive(Debug, Default)]
struct Rare(Option<Instant>);

impl Rare {
    fn due(&mut self) -> bool {
        let now = Instant::now();
        let due = self
            .0
            .is_none_or(|last| now.duration_since(last) >= Duration::from_secs(QUIET));
        if due {
            self.0 = Some(now);
        }
        due
    }
}

/// The access database of the running server.
#[derive(Debug)]
pub enum Access {
    /// No `-access`.
    None,
    /// Open.
    Open(Reader),
    /// It could not be opened after SIGHUP: everybody is refused until the next one.
    Unusable,
}

impl Access {
    /// Opens what `-access` names.
    ///
    /// # Errors
    /// Those of opening; the text names the file.
    pub fn open(service: &Service) -> Result<Self, courier_dbm::Error> {
        match &service.access {
            None => Ok(Self::None),
            Some(path) => Reader::open_mapped(path).map(Self::Open),
        }
    }
}

/// The listening process.
#[derive(Debug)]
pub struct Server {
    service: Box<Service>,
    listeners: Vec<TcpListener>,
    access: Access,
    environment: Environment,
    page: Shared,
    slots: Slots,
    /// For [`child::spawn`].
    stack: Stack,
    /// With `-haproxy` only.
    proxied: Option<SharedSlots>,
    signals: SignalFd,
    /// Until when nothing is accepted.
    paused: Option<Instant>,
    /// Who has started us.
    place: Place,
    /// What a successor to be was asked.
    question: Option<Question>,
    /// Nothing new is taken; the last session ends this process.
    draining: bool,
    full: Rare,
    many: Rare,
    exhausted: Rare,
    refused: Rare,
}

/// The signals that are taken from a descriptor instead of by handlers.
fn signal_set() -> SigSet {
    [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR2,
    ]
    .into_iter()
    .collect()
}

/// Blocks the server's signals, which from here on wait for [`Server::run`]. Before anything shows that there is a
/// server: whoever finds its socket or its pid file may send one.
///
/// # Errors
/// Never seen.
pub fn hold_signals() -> io::Result<()> {
    Ok(signal_set().thread_block()?)
}

impl Server {
    /// Sets the server up, whose signals are [held](hold_signals) already.
    ///
    /// # Errors
    /// No memory or descriptors.
    pub fn new(
        service: Box<Service>,
        listeners: Vec<TcpListener>,
        access: Access,
        environment: Environment,
    ) -> io::Result<Self> {
        let set = signal_set();
        // Handlers are reset by exec but "ignored" is not: sessions must not inherit it from our starter.
        // A shell ignores SIGQUIT for what it starts in the background.
        for signal in set.iter() {
            courier::sys::process::default_signal(signal)?;
        }
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let proxied = match service.proxies.any() {
            true => Some(SharedSlots::new(service.max_processes)?),
            false => None,
        };
        let slots = Slots::new(service.whole);
        Ok(Self {
            service,
            listeners,
            access,
            environment,
            page: Shared::new(cell::COUNT)?,
            slots,
            stack: Stack::new()?,
            proxied,
            signals: SignalFd::with_flags(&set, flags)?,
            paused: None,
            place: Place {
                announced: readiness::is_awaited(),
                activated: false,
            },
            question: None,
            draining: false,
            full: Rare::default(),
            many: Rare::default(),
            exhausted: Rare::default(),
            refused: Rare::default(),
        })
    }

    /// Goes on with the sessions of a predecessor, or its sockets: those of systemd if `activated`.
    pub fn resume(&mut self, sessions: &[Session], activated: bool) {
        self.place.activated = activated;
        for session in sessions {
            self.slots.add(session.pid, session.peer);
            if let Some(proxied) = &mut self.proxied {
                if let Some(slot) = proxied.reserve() {
                    proxied.enter(slot, session.client);
                    proxied.assign(session.pid, slot);
                }
            }
        }
        // The signals of those that have ended since they were taken over went when SIGCHLD got its default back.
        self.reap();
    }

    /// Serves until SIGTERM or SIGINT, which is passed to the whole process group.
    ///
    /// # Errors
    /// poll failed for another reason than a signal.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            let ready = self.wait()?;
            if ready.signals && self.take_signals() {
                return Ok(());
            }
            if self.draining && self.slots.is_empty() {
                return Ok(());
            }
            for index in ready.listeners {
                self.accept_some(index);
            }
        }
    }

    /// Waits for signals and, unless all slots are taken or resources ran out, for connections.
    fn wait(&mut self) -> io::Result<Ready> {
        let mut timeout = PollTimeout::NONE;
        if let Some(until) = self.paused {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.paused = None;
            } else {
                let milliseconds = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
                timeout = PollTimeout::from(milliseconds.saturating_add(1));
            }
        }
        let mut fds = Vec::with_capacity(self.listeners.len().saturating_add(1));
        fds.push(PollFd::new(self.signals.as_fd(), PollFlags::POLLIN));
        if self.paused.is_none() && self.slots.len() < self.service.max_processes {
            for listener in &self.listeners {
                fds.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
            }
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => {
                log(Level::Err, format_args!("poll: {}", errno.desc()));
                return Err(errno.into());
            }
        }
        let ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let (signals, listeners) = match fds.split_first() {
            Some((first, rest)) => (ready(first), rest),
            None => (false, &[][..]),
        };
        Ok(Ready {
            signals,
            listeners: (0..)
                .zip(listeners)
                .filter_map(|(index, fd)| ready(fd).then_some(index))
                .collect(),
        })
    }

    /// True when the server has to end.
    fn take_signals(&mut self) -> bool {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match i32::try_from(signal.ssi_signo).map(Signal::try_from) {
                Ok(Ok(Signal::SIGCHLD)) => self.reap(),
                Ok(Ok(Signal::SIGHUP)) => self.reload(),
                Ok(Ok(Signal::SIGUSR2)) => self.ask(),
                Ok(Ok(Signal::SIGQUIT)) => {
                    // Whoever connects from now on is refused by the kernel.
                    self.listeners.clear();
                    self.draining = true;
                }
                Ok(Ok(Signal::SIGTERM | Signal::SIGINT)) => {
                    // Only a group that we lead: it has our sessions and our logger, and nobody else.
                    if nix::unistd::getpgrp() == nix::unistd::getpid() {
                        // SIGTERM is blocked here, so this process survives it; the group exists, we are in it.
                        let _ = killpg(nix::unistd::getpgrp(), Signal::SIGTERM);
                    }
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    fn reap(&mut self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(status @ (WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..))) => {
                    if let Some(question) = self.question.take_if(|question| question.pid == pid) {
                        self.renew(question, status);
                        continue;
                    }
                    self.slots.remove(pid);
                    if let Some(proxied) = &mut self.proxied {
                        proxied.release(pid);
                    }
                }
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    fn reload(&mut self) {
        // The old file is closed first: two mappings of it are never needed.
        self.access = Access::None;
        self.access = Access::open(&self.service).unwrap_or_else(|error| {
            self.say(
                Level::Err,
                format_args!("{error}; refusing all connections"),
            );
            Access::Unusable
        });
    }

    /// Asks whether a successor could serve with the settings of now, and how.
    fn ask(&mut self) {
        let Some(command) = &self.service.renew else {
            return self.reload();
        };
        if self.question.is_some() || self.draining {
            return;
        }
        match renew::ask(command, &self.environment) {
            Ok(question) => self.question = Some(question),
            Err(error) => self.say(Level::Err, format_args!("fork: {}", crate::reason(&error))),
        }
    }

    /// Gives everything to a successor, if it will do.
    fn renew(&mut self, question: Question, status: WaitStatus) {
        if !matches!(status, WaitStatus::Exited(_, 0)) || self.draining {
            return self.say(
                Level::Err,
                format_args!("the settings of now cannot be used; going on with the old ones"),
            );
        }
        let client = |pid| {
            let proxied = self.proxied.as_ref();
            proxied.map_or(Ipv6Addr::UNSPECIFIED, |proxied| proxied.address_of(pid))
        };
        let sessions: Vec<Session> = self
            .slots
            .sessions()
            .map(|(pid, peer)| Session {
                pid,
                peer,
                client: client(pid),
            })
            .collect();
        let error = question.renew(&self.listeners, &sessions, self.place);
        self.say(
            Level::Err,
            format_args!(
                "exec: {}; going on with the old settings",
                crate::reason(&error)
            ),
        );
    }

    fn accept_some(&mut self, index: usize) {
        for _ in 0..BURST {
            if self.paused.is_some() || self.slots.len() >= self.service.max_processes {
                return;
            }
            let Some(listener) = self.listeners.get(index) else {
                return;
            };
            match listener.accept() {
                Ok((connection, peer)) => self.serve(connection, peer),
                Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
                        return self.exhausted("accept", &error);
                    }
                    // Nothing more waits, or what waited has gone.
                    _ => return,
                },
            }
        }
    }

    fn serve(&mut self, connection: TcpStream, peer: SocketAddr) {
        let access = match &self.access {
            Access::None => None,
            Access::Open(reader) => Some(reader),
            Access::Unusable => {
                if self.refused.due() {
                    self.say(
                        Level::Err,
                        format_args!("the access list is unusable; connections are refused"),
                    );
                }
                return;
            }
        };
        let slot = self.proxied.as_mut().and_then(SharedSlots::reserve);
        let context = Context {
            service: &self.service,
            access,
            slots: &self.slots,
            environment: &self.environment,
            page: &self.page,
            proxied: self.proxied.as_ref().zip(slot),
        };
        if let Some(environment) = child::at_once(&context, &connection, peer) {
            let started = child::spawn(&mut self.stack, &self.service, &connection, &environment);
            drop(connection);
            return self.spawned(started, peer);
        }
        match fork() {
            Ok(Fork::Parent(pid)) => {
                drop(connection);
                if let (Some(proxied), Some(slot)) = (&mut self.proxied, slot) {
                    proxied.assign(pid, slot);
                }
                self.started(pid, peer);
            }
            Ok(Fork::Child) => child::run(&context, connection, peer),
            Err(error) => {
                if let (Some(proxied), Some(slot)) = (&mut self.proxied, slot) {
                    proxied.give_back(slot);
                }
                self.exhausted("fork", &error);
            }
        }
    }

    /// What came of a program that was started without a fork.
    fn spawned(&mut self, result: Result<Pid, Errno>, peer: SocketAddr) {
        match result {
            Ok(pid) => self.started(pid, peer),
            Err(errno @ (Errno::EAGAIN | Errno::ENOMEM)) => self.exhausted("fork", &errno.into()),
            Err(errno) => {
                let program = self.service.argv.first().cloned().unwrap_or_default();
                let program = program.to_string_lossy();
                self.say(Level::Plain, format_args!("{program}: {}", errno.desc()));
            }
        }
    }

    fn started(&mut self, pid: Pid, peer: SocketAddr) {
        self.slots.add(pid, mapped(peer.ip()));
        let count = self.slots.len();
        if count >= self.service.max_processes {
            if self.full.due() {
                self.say(
                    Level::Plain,
                    format_args!("ALERT: {count} maximum active connections."),
                );
            }
        } else if count >= self.service.warn && self.many.due() {
            self.say(
                Level::Plain,
                format_args!("WARN: {count} active connections."),
            );
        }
    }

    fn exhausted(&mut self, call: &str, error: &io::Error) {
        self.paused = Some(Instant::now() + PAUSE);
        if self.exhausted.due() {
            self.say(Level::Err, format_args!("{call}: {}", crate::reason(error)));
        }
    }

    /// Logs unless the log's reader is stuck: then the message is lost rather than the service.
    fn say(&self, level: Level, text: std::fmt::Arguments<'_>) {
        let stderr = courier::sys::fd::stderr();
        let mut fds = [PollFd::new(stderr, PollFlags::POLLOUT)];
        if matches!(poll(&mut fds, PollTimeout::ZERO), Ok(ready) if ready > 0) {
            log(level, text);
        }
    }
}

struct Ready {
    signals: bool,
    listeners: Vec<usize>,
}
