//! courierlogger: starts a program and hands what it writes to descriptor 2, line by line, to syslog (contract:
//! couriertcpd 2). Also plainly a logger of its standard input.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use courier::sys::fd;
use courier::sys::log::{Level, log};

use crate::pidfile::{Daemonised, Lock, daemonise, drain, renew, restart, stop};
use crate::reason;

mod lines;
mod options;
mod sink;
mod supervisor;

use options::{Action, Run};
use sink::Sink;
use supervisor::{Program, Supervisor};

/// The whole program.
pub fn main(arguments: &[OsString]) -> ExitCode {
    crate::sys::close_inherited();
    let done = match options::parse(arguments) {
        Err(message) => return fail(&message),
        Ok(Action::Stop(pid_file)) => stop(&pid_file).map_err(|error| (pid_file, error)),
        Ok(Action::Restart(pid_file)) => restart(&pid_file).map_err(|error| (pid_file, error)),
        Ok(Action::Renew(pid_file)) => renew(&pid_file).map_err(|error| (pid_file, error)),
        Ok(Action::Drain(pid_file)) => drain(&pid_file).map_err(|error| (pid_file, error)),
        Ok(Action::Run(run)) => return start(*run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((pid_file, error)) => fail(&format!("{}: {}", pid_file.display(), reason(&error))),
    }
}

/// `message` may have several lines.
fn fail(message: &str) -> ExitCode {
    for line in message.lines() {
        log(Level::Plain, format_args!("{line}"));
    }
    ExitCode::FAILURE
}

fn start(run: Run) -> ExitCode {
    let mut daemon = None;
    if let Some(pid_file) = &run.pid_file {
        match daemonise(pid_file) {
            Ok(Daemonised::Starter { up: true }) => return ExitCode::SUCCESS,
            Ok(Daemonised::Starter { up: false }) => return ExitCode::FAILURE,
            Ok(Daemonised::Daemon(lock, starter)) => daemon = Some((lock, starter)),
            Err(error) => return fail(&format!("fork: {}", reason(&error))),
        }
    }
    if let Err(error) = supervisor::hold_signals() {
        return fail(&format!("sigprocmask: {}", reason(&error)));
    }
    let (lock, starter) = daemon.unzip();
    if let (Some(lock), Some(pid_file)) = (&lock, &run.pid_file) {
        if let Err(error) = lock.write_pid() {
            return fail(&format!("{}: {}", pid_file.display(), reason(&error)));
        }
    }
    match supervise(run, starter, lock.as_ref()) {
        Ok(Outcome::Ended) => ExitCode::SUCCESS,
        Ok(Outcome::NeverReady) => {
            if let Some(lock) = &lock {
                lock.remove_pid();
            }
            ExitCode::FAILURE
        }
        Err(message) => {
            if let Some(lock) = &lock {
                lock.remove_pid();
            }
            fail(&message)
        }
    }
}

/// How a supervision ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// As it should.
    Ended,
    /// The program ended while the starter was still waiting for it.
    NeverReady,
}

fn supervise(
    run: Run,
    starter: Option<crate::pidfile::Starter>,
    lock: Option<&Lock>,
) -> Result<Outcome, String> {
    let text = |error| reason(&error);
    let mut sink = Sink::open(&run.name, run.facility, run.to_stderr);
    let program = match run.argv.is_empty() {
        true => None,
        false => Some(Program::new(
            run.argv,
            run.respawn,
            run.drop_root.then(|| run.identity.clone()),
            starter.is_some(),
        )),
    };
    let mut supervisor = Supervisor::new(program).map_err(text)?;
    if supervisor.has_program() {
        supervisor.spawn().map_err(text)?;
    } else {
        let stdin = fd::stdin().try_clone_to_owned().map_err(text)?;
        supervisor.read_from(stdin);
    }
    run.identity.assume().map_err(|error| error.to_string())?;
    if starter.is_some() {
        // The caller sees what the program says until it is up.
        sink.echo(true);
        let up = supervisor.run_until_ready(&mut sink).map_err(text)?;
        sink.echo(false);
        if !up {
            return Ok(Outcome::NeverReady);
        }
    }
    detach(run.to_stderr).map_err(text)?;
    if let Some(starter) = starter {
        starter.report_ready();
    }
    supervisor.run(&mut sink, lock).map_err(text)?;
    Ok(Outcome::Ended)
}

/// Lets go of the caller's directory and descriptors; standard input stays where it is the log.
fn detach(keep_stderr: bool) -> std::io::Result<()> {
    std::env::set_current_dir(Path::new("/"))?;
    let null: OwnedFd = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?
        .into();
    for target in if keep_stderr { 0..2 } else { 0..3 } {
        fd::duplicate_to(null.as_fd(), target)?;
    }
    Ok(())
}
