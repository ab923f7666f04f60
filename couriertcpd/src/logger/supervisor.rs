//! The logger's loop: one program, the pipes its runs write to, and signals.

use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use courier::sys::log::{Level, log};
use courier::sys::process::{self, Fork, exit_now, fork};
use courier::sys::{fd, readiness};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::lines::Lines;
use super::sink::Sink;
use crate::environment::Environment;
use crate::identity::Identity;
use crate::pidfile::{Lock, knows};
use crate::reason;

/// Pause before a program that ended is started again.
const RESPAWN_AFTER: Duration = Duration::from_secs(5);
/// How long a program may take to end after SIGTERM.
const KILL_AFTER: Duration = Duration::from_secs(8);
/// A program that does not say that it is ready is taken for ready after this.
const READY_AFTER: Duration = Duration::from_secs(1);
/// Where programs without a slash in their name are looked for when PATH is not set.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What to start, and how.
#[derive(Debug)]
pub(super) struct Program {
    argv: Vec<CString>,
    respawn: bool,
    identity: Option<Identity>,
    announce: bool,
    /// Where it is started, also after the logger has gone to `/`.
    directory: Option<File>,
}

impl Program {
    /// `identity`: who it becomes; `announce`: tell it whom to report its readiness to.
    pub(super) fn new(
        argv: Vec<CString>,
        respawn: bool,
        identity: Option<Identity>,
        announce: bool,
    ) -> Self {
        Self {
            argv,
            respawn,
            identity,
            announce,
            // A directory that cannot be opened is the one we stay in until then.
            directory: File::open(".").ok(),
        }
    }
}

#[derive(Debug)]
struct Input {
    fd: OwnedFd,
    lines: Lines,
}

/// What is going on with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running(Pid),
    /// To be started at that time.
    Waiting(Instant),
    /// Not running and not to be started.
    Over,
}

/// The logger.
#[derive(Debug)]
pub(super) struct Supervisor {
    program: Option<Program>,
    state: State,
    inputs: Vec<Input>,
    signals: SignalFd,
    /// SIGHUP was passed on: should the program end, it is started again.
    hung_up: bool,
    /// SIGTERM arrived; SIGKILL follows at that time.
    kill_at: Option<Instant>,
    stopping: bool,
    /// Stopped while no program ran: nothing is waited for.
    quit: bool,
    ready: bool,
    /// The program was asked for its successor, which has not reported yet.
    renewing: bool,
    /// It has.
    renewed: bool,
}

/// The signals that are taken from a descriptor instead of by handlers.
fn signal_set() -> SigSet {
    [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
    ]
    .into_iter()
    .collect()
}

/// Blocks the logger's signals, which from here on wait for [`Supervisor::run`]. Before the pid file is there: whoever
/// finds it may send one.
///
/// # Errors
/// Never seen.
pub(super) fn hold_signals() -> io::Result<()> {
    Ok(signal_set().thread_block()?)
}

impl Supervisor {
    /// Takes the signals that are [held](hold_signals) into its hands.
    ///
    /// # Errors
    /// No descriptors.
    pub(super) fn new(program: Option<Program>) -> io::Result<Self> {
        let set = signal_set();
        // "Ignored" would survive the program's exec.
        for signal in set.iter() {
            process::default_signal(signal)?;
        }
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self {
            program,
            state: State::Over,
            inputs: Vec::new(),
            signals: SignalFd::with_flags(&set, flags)?,
            hung_up: false,
            kill_at: None,
            stopping: false,
            quit: false,
            ready: false,
            renewing: false,
            renewed: false,
        })
    }

    /// False for a logger of standard input.
    pub(super) fn has_program(&self) -> bool {
        self.program.is_some()
    }

    /// Logs what comes from `fd`.
    pub(super) fn read_from(&mut self, fd: OwnedFd) {
        self.inputs.push(Input {
            fd,
            lines: Lines::default(),
        });
    }

    /// Starts the program with a pipe of its own; sessions of an earlier run may still hold theirs.
    ///
    /// # Errors
    /// No descriptors, no processes. That the program cannot be executed it says itself, in the pipe.
    pub(super) fn spawn(&mut self) -> io::Result<()> {
        let Some(program) = &self.program else {
            self.state = State::Over;
            return Ok(());
        };
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let logger = nix::unistd::getpid();
        match fork()? {
            Fork::Parent(pid) => {
                self.state = State::Running(pid);
                self.hung_up = false;
            }
            Fork::Child => execute(program, &write, logger),
        }
        drop(write);
        self.read_from(read);
        Ok(())
    }

    /// Runs until the program has said that it is up, has lived long enough, or has ended: then false, with
    /// everything it had to say logged. With `-respawn` there is no such thing as a failed start.
    ///
    /// # Errors
    /// poll failed.
    pub(super) fn run_until_ready(&mut self, sink: &mut Sink) -> io::Result<bool> {
        let deadline = Instant::now() + READY_AFTER;
        while !self.ready && Instant::now() < deadline {
            match self.state {
                State::Running(_) => {}
                State::Waiting(_) => return Ok(true),
                State::Over => {
                    if self.inputs.is_empty() || self.quit {
                        return Ok(false);
                    }
                }
            }
            self.turn(sink, Some(deadline))?;
        }
        Ok(self.state != State::Over)
    }

    /// Runs until there is no program to watch and nobody holds a pipe any more.
    ///
    /// # Errors
    /// poll failed.
    pub(super) fn run(&mut self, sink: &mut Sink, lock: Option<&Lock>) -> io::Result<()> {
        while !self.quit && (self.state != State::Over || !self.inputs.is_empty()) {
            self.turn(sink, None)?;
            if std::mem::take(&mut self.renewed) {
                // This is what the one who asked for it waits for.
                if let Some(Err(error)) = lock.map(Lock::write_pid) {
                    sink.line(format!("ERR: pid file: {}", reason(&error)).as_bytes());
                }
            }
        }
        Ok(())
    }

    /// Waits for something to happen and deals with it.
    fn turn(&mut self, sink: &mut Sink, deadline: Option<Instant>) -> io::Result<()> {
        let due = match self.state {
            State::Waiting(at) => Some(at),
            State::Running(_) => self.kill_at,
            State::Over => None,
        };
        let wake = [due, deadline].into_iter().flatten().min();
        let timeout = match wake {
            None => PollTimeout::NONE,
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now()).as_millis();
                PollTimeout::from(u16::try_from(left).unwrap_or(u16::MAX).saturating_add(1))
            }
        };
        let mut fds = Vec::with_capacity(self.inputs.len().saturating_add(1));
        fds.push(PollFd::new(self.signals.as_fd(), PollFlags::POLLIN));
        for input in &self.inputs {
            fds.push(PollFd::new(input.fd.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
        let signalled = ready.next().unwrap_or(false);
        let readable: Vec<bool> = ready.collect();
        drop(fds);
        // What the program said comes before what became of it.
        let mut readable = readable.into_iter();
        self.inputs
            .retain_mut(|input| !readable.next().unwrap_or(false) || input.read(sink));
        if signalled {
            self.take_signals(sink);
        }
        self.keep_time(sink);
        Ok(())
    }

    fn keep_time(&mut self, sink: &Sink) {
        let now = Instant::now();
        match self.state {
            State::Waiting(at) if at <= now => {
                if let Err(error) = self.spawn() {
                    // Too many processes at the moment: that is no reason to give the service up.
                    self.state = State::Waiting(now + RESPAWN_AFTER);
                    sink.line(format!("ERR: fork: {}", reason(&error)).as_bytes());
                }
            }
            State::Running(pid) if self.kill_at.is_some_and(|at| at <= now) => {
                self.kill_at = None;
                send(pid, Signal::SIGKILL, sink);
            }
            _ => {}
        }
    }

    fn take_signals(&mut self, sink: &Sink) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match i32::try_from(signal.ssi_signo).map(Signal::try_from) {
                Ok(Ok(Signal::SIGCHLD)) => self.reap(),
                Ok(Ok(Signal::SIGHUP)) => match self.state {
                    State::Running(pid) => {
                        self.hung_up = true;
                        send(pid, Signal::SIGHUP, sink);
                    }
                    State::Waiting(_) => self.state = State::Waiting(Instant::now()),
                    State::Over => {}
                },
                Ok(Ok(Signal::SIGTERM | Signal::SIGINT)) => self.stop(sink),
                Ok(Ok(Signal::SIGUSR1)) => {
                    let sender = i32::try_from(signal.ssi_pid).map(Pid::from_raw);
                    if sender.is_ok_and(|sender| self.state == State::Running(sender)) {
                        self.ready = true;
                        self.renewed = std::mem::take(&mut self.renewing);
                        if self.renewed {
                            self.hung_up = false;
                        }
                    }
                }
                Ok(Ok(Signal::SIGUSR2)) => self.renew(sink),
                Ok(Ok(Signal::SIGQUIT)) => self.drain(sink),
                _ => {}
            }
        }
    }

    /// Asks the program for its successor in the same process. Should it end instead, it is started again at once.
    fn renew(&mut self, sink: &Sink) {
        match self.state {
            State::Running(pid) => {
                self.hung_up = true;
                if knows(pid, Signal::SIGUSR2) {
                    self.renewing = true;
                    send(pid, Signal::SIGUSR2, sink);
                } else {
                    send(pid, Signal::SIGHUP, sink);
                    self.renewed = true;
                }
            }
            State::Waiting(_) => self.state = State::Waiting(Instant::now()),
            State::Over => {}
        }
    }

    /// Asks the program to end by itself.
    fn drain(&mut self, sink: &Sink) {
        self.stopping = true;
        match self.state {
            State::Running(pid) if knows(pid, Signal::SIGQUIT) => send(pid, Signal::SIGQUIT, sink),
            State::Running(pid) => send(pid, Signal::SIGTERM, sink),
            State::Waiting(_) => self.state = State::Over,
            State::Over => {}
        }
    }

    fn stop(&mut self, sink: &Sink) {
        self.stopping = true;
        match self.state {
            State::Running(pid) => {
                self.kill_at = Some(Instant::now() + KILL_AFTER);
                send(pid, Signal::SIGTERM, sink);
            }
            // In the pause before a new start, or with only sessions left: over.
            State::Waiting(_) | State::Over => {
                self.state = State::Over;
                self.quit = true;
            }
        }
    }

    fn reap(&mut self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) => {
                    if self.state == State::Running(pid) {
                        self.ended();
                    }
                }
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    fn ended(&mut self) {
        let respawn = self.program.as_ref().is_some_and(|program| program.respawn);
        let now = Instant::now();
        self.state = if self.stopping {
            State::Over
        } else if self.hung_up {
            State::Waiting(now)
        } else if respawn {
            State::Waiting(now + RESPAWN_AFTER)
        } else {
            State::Over
        };
    }
}

fn send(pid: Pid, signal: Signal, sink: &Sink) {
    if let Err(errno) = kill(pid, signal) {
        sink.line(format!("ERR: kill {pid}: {}", errno.desc()).as_bytes());
    }
}

impl Input {
    /// Logs what can be read now; false at the end of it.
    fn read(&mut self, sink: &Sink) -> bool {
        let mut buffer = [0_u8; 4096];
        match nix::unistd::read(&self.fd, &mut buffer) {
            Ok(0) => {}
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                self.lines.push(bytes, |line| sink.line(line));
                return true;
            }
            Err(Errno::EINTR | Errno::EAGAIN) => return true,
            Err(_) => {}
        }
        self.lines.finish(|line| sink.line(line));
        false
    }
}

/// In the forked child: becomes the program.
fn execute(program: &Program, log_pipe: &OwnedFd, logger: Pid) -> ! {
    let set_up = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .and_then(|null| {
            fd::duplicate_to(log_pipe.as_fd(), 2)?;
            fd::duplicate_to(null.as_fd(), 0)?;
            fd::duplicate_to(null.as_fd(), 1)?;
            if let Some(directory) = &program.directory {
                nix::unistd::fchdir(directory)?;
            }
            Ok(())
        });
    if let Err(error) = set_up {
        log(Level::Plain, format_args!("exec: {}", reason(&error)));
        exit_now(1);
    }
    if let Some(Err(error)) = program.identity.as_ref().map(Identity::assume) {
        log(Level::Plain, format_args!("{error}"));
        exit_now(1);
    }
    let mut environment = Environment::new(std::env::vars_os(), &[readiness::LOGGER_VARIABLE]);
    if program.announce {
        let name = readiness::LOGGER_VARIABLE.as_bytes();
        environment.set(name, logger.to_string().as_bytes());
    }
    let error = search_and_exec(&program.argv, &environment);
    log(Level::Plain, format_args!("exec: {}", reason(&error)));
    exit_now(1)
}

/// exec with a search of PATH for names without a slash.
fn search_and_exec(argv: &[CString], environment: &Environment) -> io::Error {
    let Some(name) = argv.first() else {
        return Errno::ENOENT.into();
    };
    if name.to_bytes().contains(&b'/') {
        return process::exec(name, argv, environment.entries());
    }
    let path = environment.get(b"PATH").unwrap_or(DEFAULT_PATH);
    let mut result = io::Error::from(Errno::ENOENT);
    for directory in path.split(|&byte| byte == b':') {
        let directory = if directory.is_empty() {
            b"."
        } else {
            directory
        };
        let candidate = std::path::Path::new(OsStr::from_bytes(directory))
            .join(OsStr::from_bytes(name.to_bytes()));
        let Ok(candidate) = CString::new(candidate.as_os_str().as_bytes()) else {
            continue;
        };
        let error = process::exec(&candidate, argv, environment.entries());
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ENOTDIR) => {}
            // Remembered, as a later directory may have a better one.
            Some(Errno::EACCES) => result = error,
            _ => return error,
        }
    }
    result
}
