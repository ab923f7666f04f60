//! couriertcpd from its first instruction to the accept loop (contract: couriertcpd 1.3). Everything that can be
//! wrong with the command line, the sockets or the access database is found before the starter reports success.

use std::ffi::{CString, OsString};
use std::fs::OpenOptions;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use courier::sys::log::{Level, log};
use courier::sys::process::{Fork, exit_now, fork};
use courier::sys::{fd, readiness};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::environment::Environment;
use crate::options::{Action, Service, Stderr, parse};
use crate::pidfile::{Daemonised, Lock, Starter, daemonise, restart, stop};
use crate::renew::{self, Inherited};
use crate::server::{Access, Server, hold_signals};
use crate::{listen, reason};

/// Variables that describe one connection, and one between courierlogger and us: never passed on from our starter.
const NOT_INHERITED: &[&str] = &[
    "TCPREMOTEIP",
    "TCPREMOTEPORT",
    "TCPREMOTEHOST",
    "TCPREMOTEINFO",
    "TCPLOCALIP",
    "TCPLOCALPORT",
    "TCPLOCALHOST",
    readiness::LOGGER_VARIABLE,
    renew::VARIABLE,
    renew::QUESTION,
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    readiness::NOTIFY_VARIABLE,
];

/// The whole program.
pub fn main(program: &str, arguments: &[OsString]) -> ExitCode {
    let inherited = renew::take_over();
    let action = match parse(program, arguments) {
        Ok(action) => action,
        Err(message) => return fail(format_args!("{message}")),
    };
    let done = match action {
        Action::Stop(pid_file) => stop(&pid_file).map_err(|error| (pid_file, error)),
        Action::Restart(pid_file) => restart(&pid_file).map_err(|error| (pid_file, error)),
        Action::Serve(service) => {
            return match validate_if_asked(&service) {
                Ok(false) => start(service, inherited),
                Ok(true) => ExitCode::SUCCESS,
                Err(message) => fail(format_args!("{message}")),
            };
        }
        Action::Validate(service) => {
            return match validate(&service) {
                Ok(()) => ExitCode::SUCCESS,
                Err(message) => fail(format_args!("{message}")),
            };
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((pid_file, error)) => fail(format_args!("{}: {}", pid_file.display(), reason(&error))),
    }
}

fn fail(message: std::fmt::Arguments<'_>) -> ExitCode {
    log(Level::Plain, message);
    ExitCode::FAILURE
}

/// True if this process is only to say whether and how it would serve.
fn validate_if_asked(service: &Service) -> Result<bool, String> {
    if std::env::var_os(renew::QUESTION).is_some() {
        validate(service)?;
    }
    renew::answer().map_err(|error| reason(&error))
}

/// Whether a server with these options would start, as far as can be told without listening.
fn validate(service: &Service) -> Result<(), String> {
    Access::open(service).map_err(|error| error.to_string())?;
    let program = service
        .argv
        .first()
        .map(CString::as_c_str)
        .unwrap_or_default();
    nix::unistd::access(program, nix::unistd::AccessFlags::X_OK)
        .map_err(|errno| format!("{}: {}", program.to_string_lossy(), errno.desc()))
}

fn start(service: Box<Service>, inherited: Inherited) -> ExitCode {
    let Inherited {
        listeners: old,
        sessions,
        activated,
    } = inherited;
    let activated = activated && !old.is_empty();
    let mut daemon: Option<(Lock, Starter)> = None;
    if let Some(pid_file) = &service.pid_file {
        match daemonise(pid_file) {
            Ok(Daemonised::Starter { up: true }) => return ExitCode::SUCCESS,
            Ok(Daemonised::Starter { up: false }) => return ExitCode::FAILURE,
            Ok(Daemonised::Daemon(lock, starter)) => daemon = Some((lock, starter)),
            Err(error) => return fail(format_args!("fork: {}", reason(&error))),
        }
    }
    if let Err(error) = hold_signals() {
        return fail(format_args!("sigprocmask: {}", reason(&error)));
    }
    // What keeps a successor from listening where it should does not end the service.
    let mut complete = true;
    let opened = if activated {
        listen::prepare(&old)
    } else {
        listen::open(&service.entries, service.backlog, &old)
    };
    let listeners = match opened {
        Ok(listeners) => listeners,
        Err(error) if old.is_empty() => return fail(format_args!("{error}")),
        Err(error) => {
            log(
                Level::Err,
                format_args!("{error}; listening where the old server listened"),
            );
            complete = false;
            match old.iter().map(TcpListener::try_clone).collect() {
                Ok(listeners) => listeners,
                Err(error) => return fail(format_args!("{}", reason(&error))),
            }
        }
    };
    // Where nobody wants to listen any more.
    drop(old);
    let (lock, starter) = daemon.unzip();
    if let (Some(lock), Some(pid_file)) = (&lock, &service.pid_file) {
        if let Err(error) = lock.write_pid() {
            return fail(format_args!("{}: {}", pid_file.display(), reason(&error)));
        }
    }
    match set_up(service, listeners, starter, complete) {
        Ok(mut server) => {
            server.resume(&sessions, activated);
            // The lock lives as long as the server.
            let result = server.run();
            drop(lock);
            match result {
                Ok(()) => ExitCode::SUCCESS,
                Err(_already_logged) => ExitCode::FAILURE,
            }
        }
        Err(message) => {
            if let Some(lock) = &lock {
                lock.remove_pid();
            }
            fail(format_args!("{message}"))
        }
    }
}

/// From bound sockets to a server that is ready to run, telling those who wait for it.
fn set_up(
    service: Box<Service>,
    listeners: Vec<TcpListener>,
    starter: Option<Starter>,
    complete: bool,
) -> Result<Server, String> {
    service
        .identity
        .assume()
        .map_err(|error| error.to_string())?;
    // Opened by whom it will be opened again on SIGHUP.
    let access = Access::open(&service).map_err(|error| error.to_string())?;
    if service.access_local && service.access.is_none() {
        log(Level::Plain, format_args!("-accesslocal requires -access"));
    }
    let stderr = open_stderr(&service.stderr)?;
    let environment = Environment::new(std::env::vars_os(), NOT_INHERITED);
    // In a group of our own, so that a stop can signal all sessions. Fails only for the leader of a session, which
    // has such a group. Without -pid the logger stays outside: it ends with the last writer.
    let _ = nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0));
    crate::sys::drop_terminal();
    let server =
        Server::new(service, listeners, access, environment).map_err(|error| reason(&error))?;
    if let Some(starter) = starter {
        silence_standard_descriptors(stderr.is_none())?;
        starter.report_ready();
    }
    if let Some(stderr) = stderr {
        fd::duplicate_to(stderr.as_fd(), 2).map_err(|error| reason(&error))?;
    }
    if complete {
        readiness::report();
        readiness::notify();
    }
    Ok(server)
}

/// A daemon keeps no descriptor of its starter.
fn silence_standard_descriptors(stderr_too: bool) -> Result<(), String> {
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| format!("/dev/null: {}", reason(&error)))?;
    for target in if stderr_too { 0..3 } else { 0..2 } {
        fd::duplicate_to(null.as_fd(), target).map_err(|error| reason(&error))?;
    }
    Ok(())
}

/// What descriptor 2 becomes; None leaves it.
fn open_stderr(stderr: &Stderr) -> Result<Option<OwnedFd>, String> {
    match stderr {
        Stderr::Inherited | Stderr::Socket => Ok(None),
        Stderr::File(path) => append_to(path).map(Some),
        Stderr::Logger(path, name) => {
            let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)
                .map_err(|errno| format!("pipe: {}", errno.desc()))?;
            let argv = [path.clone(), name.clone()];
            start_orphan(read.as_fd(), &argv)
                .map_err(|error| format!("fork: {}", reason(&error)))?;
            Ok(Some(write))
        }
    }
}

fn append_to(path: &Path) -> Result<OwnedFd, String> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o660)
        .open(path)
        .map(OwnedFd::from)
        .map_err(|error| format!("{}: {}", path.display(), reason(&error)))
}

/// Starts the `-stderrlogger`, reading from `input`, as a child of nobody: it must be able to outlive us and must
/// not show up among the sessions.
fn start_orphan(input: std::os::fd::BorrowedFd<'_>, argv: &[CString; 2]) -> std::io::Result<()> {
    match fork()? {
        Fork::Parent(child) => {
            // It ends at once and its status says nothing.
            let _ = nix::sys::wait::waitpid(child, None);
            return Ok(());
        }
        Fork::Child => {}
    }
    if !matches!(fork(), Ok(Fork::Child)) {
        exit_now(0);
    }
    let ready = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .and_then(|null| {
            fd::duplicate_to(input, 0)?;
            fd::duplicate_to(null.as_fd(), 1)?;
            fd::duplicate_to(null.as_fd(), 2)?;
            courier::sys::process::ignore_signal(Signal::SIGHUP)
        });
    let [path, _name] = argv;
    if ready.is_ok() {
        let environment = Environment::new(std::env::vars_os(), NOT_INHERITED);
        // Nobody is there to be told why; 5 is what the original exits with.
        let _ = courier::sys::process::exec(path, argv, environment.entries());
    }
    exit_now(5)
}
