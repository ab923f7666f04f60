//! The parent: keeps the configured number of workers running, replaces those that die, reloads on SIGHUP and ends
//! on SIGTERM (contract: authdaemond §3).
//!
//! Every generation of workers shares the reading end of a pipe whose writing end only the parent has. Closing it
//! tells them to finish; it also closes by itself if the parent vanishes.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use courier::config::paths::Paths;
use courier::sys::fd::{duplicate_to, wait_ready};
use courier::sys::log::{Level, log, reason};
use courier::sys::process::{Fork, exit_now, fork, ignore_signal};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::PollFlags;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, pipe2};

use crate::debug::{Debug, Text};
use crate::listen::Listener;
use crate::module::{self, Kind};
use crate::rc::{Pinned, RcError, Settings};
use crate::service::Service;
use crate::worker;

/// A worker that dies younger than this is replaced with a delay, so that a fault at start does not spin.
const YOUNG: Duration = Duration::from_secs(1);
/// Delay after a failed fork.
const FORK_RETRY: Duration = Duration::from_secs(5);

/// Why the daemon did not start.
#[derive(Debug)]
pub enum StartError {
    /// authdaemonrc.
    Configuration(RcError),
    /// The socket.
    Listen(io::Error),
    /// Something that the system should always grant.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(error) => write!(f, "{error}"),
            Self::Listen(error) => write!(f, "cannot listen: {}", reason(error)),
            Self::System(call, error) => write!(f, "{call}: {}", reason(error)),
        }
    }
}

impl std::error::Error for StartError {}

/// Runs the daemon in the foreground until SIGTERM.
///
/// # Errors
/// [`StartError`], before anything is served.
pub fn run(paths: &Paths) -> Result<(), StartError> {
    // First: whoever finds the socket may send a signal, and what is read below may be asked to be read again.
    let signals = prepare_process()?;
    let settings = Settings::read(&paths.authdaemonrc).map_err(StartError::Configuration)?;
    let pinned = Pinned::at_start(&settings);
    let listener = Listener::bind(paths).map_err(StartError::Listen)?;
    let mut pool = Pool {
        paths,
        listener,
        signals,
        pinned,
        plan: Plan::default(),
        stop: None,
        workers: Vec::new(),
        restarts: Vec::new(),
    };
    pool.adopt(&settings);
    pool.serve();
    pool.listener.remove();
    Ok(())
}

/// Standard input and output lead nowhere; the signals that matter arrive as data; memory, which has passwords in
/// it, is never dumped to a file.
fn prepare_process() -> Result<SignalFd, StartError> {
    let system = |call| move |error: io::Error| StartError::System(call, error);
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .map_err(|errno| StartError::System("setrlimit", errno.into()))?;
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(system("/dev/null"))?;
    for fd in [0, 1] {
        duplicate_to(null.as_fd(), fd).map_err(system("dup2"))?;
    }
    let mut mask = SigSet::empty();
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGCHLD,
    ] {
        mask.add(signal);
    }
    mask.thread_block()
        .map_err(|errno| StartError::System("sigprocmask", errno.into()))?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(|errno| StartError::System("signalfd", errno.into()))
}

/// What workers are made from.
#[derive(Default)]
struct Plan {
    names: Vec<Vec<u8>>,
    kinds: Vec<Kind>,
    workers: usize,
    default_options: Vec<u8>,
    debug: u8,
}

struct Worker {
    pid: Pid,
    born: Instant,
    /// Told to finish; not to be replaced.
    leaving: bool,
}

struct Pool<'a> {
    paths: &'a Paths,
    listener: Listener,
    signals: SignalFd,
    pinned: Pinned,
    plan: Plan,
    /// Both ends of the present generation's pipe.
    stop: Option<(OwnedFd, OwnedFd)>,
    workers: Vec<Worker>,
    /// When to start workers in the place of those that are missing.
    restarts: Vec<Instant>,
}

impl Pool<'_> {
    fn adopt(&mut self, settings: &Settings) {
        let workers = settings.workers.unwrap_or_else(|| {
            log(
                Level::Err,
                format_args!("Configuration error - missing 'daemons' setting, using 1"),
            );
            1
        });
        let list = settings.modules.join(&b' ');
        log(
            Level::Info,
            format_args!("modules=\"{}\", daemons={workers}", Text(&list)),
        );
        self.plan = Plan {
            names: settings.modules.clone(),
            kinds: module::install(&settings.modules, self.paths),
            workers,
            default_options: self.pinned.default_options(settings),
            debug: self.pinned.debug_level(settings),
        };
    }

    fn serve(&mut self) {
        self.start_generation();
        loop {
            let next = self.restarts.iter().min().copied();
            match wait_ready(&self.signals, PollFlags::POLLIN, next) {
                Ok(_) => {}
                Err(error) => {
                    log(Level::Err, format_args!("poll: {}", reason(&error)));
                    std::thread::sleep(YOUNG);
                }
            }
            while let Some(signal) = self.next_signal() {
                match signal {
                    Signal::SIGTERM | Signal::SIGINT => return self.shut_down(),
                    Signal::SIGHUP => self.reload(),
                    _ => self.reap(),
                }
            }
            let now = Instant::now();
            let due = self.restarts.iter().filter(|&&when| when <= now).count();
            self.restarts.retain(|&when| when > now);
            for _ in 0..due {
                self.start_worker();
            }
        }
    }

    fn next_signal(&mut self) -> Option<Signal> {
        let info = self.signals.read_signal().ok().flatten()?;
        let number = i32::try_from(info.ssi_signo).ok()?;
        Signal::try_from(number).ok()
    }

    fn start_generation(&mut self) {
        match pipe2(OFlag::O_CLOEXEC) {
            Ok(pipe) => self.stop = Some(pipe),
            Err(errno) => {
                // Without a pipe no worker could be told anything; the next try is soon.
                log(Level::Err, format_args!("pipe: {}", errno.desc()));
                self.restarts = vec![Instant::now() + FORK_RETRY; self.plan.workers];
                return;
            }
        }
        self.restarts.clear();
        for _ in 0..self.plan.workers {
            self.start_worker();
        }
    }

    fn start_worker(&mut self) {
        if self.stop.is_none() {
            match pipe2(OFlag::O_CLOEXEC) {
                Ok(pipe) => self.stop = Some(pipe),
                Err(errno) => {
                    log(Level::Err, format_args!("pipe: {}", errno.desc()));
                    self.restarts.push(Instant::now() + FORK_RETRY);
                    return;
                }
            }
        }
        match fork() {
            Ok(Fork::Child) => self.be_worker(),
            Ok(Fork::Parent(pid)) => self.workers.push(Worker {
                pid,
                born: Instant::now(),
                leaving: false,
            }),
            Err(error) => {
                log(Level::Err, format_args!("fork: {}", reason(&error)));
                self.restarts.push(Instant::now() + FORK_RETRY);
            }
        }
    }

    /// The child's life.
    fn be_worker(&mut self) -> ! {
        let Some((reader, writer)) = self.stop.take() else {
            exit_now(1);
        };
        drop(writer);
        // A terminal's signals go to the parent, which tells us through the pipe.
        let quiet = ignore_signal(Signal::SIGHUP)
            .and_then(|()| ignore_signal(Signal::SIGINT))
            .and_then(|()| {
                sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
                    .map_err(io::Error::from)
            });
        if let Err(error) = quiet {
            log(Level::Err, format_args!("signals: {}", reason(&error)));
            exit_now(1);
        }
        let mut service = Service::new(
            module::build(&self.plan.kinds, self.paths),
            Debug(self.plan.debug),
            std::mem::take(&mut self.plan.default_options),
        );
        worker::run(
            &self.listener,
            reader.as_fd(),
            &mut service,
            worker::Limits::default(),
        );
        // Ends the programs that modules keep running.
        drop(service);
        exit_now(0)
    }

    /// Tells the present generation to finish what it is doing.
    fn dismiss(&mut self) {
        log(Level::Info, format_args!("stopping authdaemond children"));
        self.stop = None;
        self.restarts.clear();
        for worker in &mut self.workers {
            worker.leaving = true;
        }
    }

    fn reload(&mut self) {
        match Settings::read(&self.paths.authdaemonrc) {
            Ok(settings) => {
                self.dismiss();
                log(Level::Info, format_args!("restarting authdaemond children"));
                for name in &self.plan.names {
                    log(Level::Info, format_args!("Uninstalling {}", Text(name)));
                }
                self.adopt(&settings);
            }
            Err(error) => {
                log(Level::Err, format_args!("{error}"));
                self.dismiss();
                log(
                    Level::Info,
                    format_args!("restarting authdaemond children with the old settings"),
                );
            }
        }
        self.start_generation();
    }

    /// Collects dead workers and arranges for their successors.
    fn reap(&mut self) {
        loop {
            let (pid, how) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) => (pid, format!("exit status {status}")),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, format!("signal {signal}")),
                Err(Errno::EINTR) => continue,
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            let Some(position) = self.workers.iter().position(|worker| worker.pid == pid) else {
                continue;
            };
            let worker = self.workers.swap_remove(position);
            if worker.leaving {
                continue;
            }
            log(
                Level::Err,
                format_args!("worker {pid} died ({how}), starting another"),
            );
            let delay = if worker.born.elapsed() < YOUNG {
                YOUNG
            } else {
                Duration::ZERO
            };
            self.restarts.push(Instant::now() + delay);
        }
    }

    fn shut_down(&mut self) {
        self.dismiss();
        while !self.workers.is_empty() {
            match wait_ready(&self.signals, PollFlags::POLLIN, None) {
                Ok(_) => {}
                Err(error) => {
                    log(Level::Err, format_args!("poll: {}", reason(&error)));
                    return;
                }
            }
            while let Some(signal) = self.next_signal() {
                match signal {
                    Signal::SIGTERM | Signal::SIGINT => {
                        // Asked twice: no more patience.
                        for worker in &self.workers {
                            // It may have ended meanwhile.
                            let _ = kill(worker.pid, Signal::SIGKILL);
                        }
                        return;
                    }
                    _ => self.reap(),
                }
            }
        }
    }
}
