//! STARTTLS and STLS: the connection is handed to couriertls, which runs as the mail user and gives back clear text
//! over a socket pair (contract: login §6, couriertls §6.2).

use std::ffi::{CString, NulError};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::PollFlags;
use nix::sys::wait::{WaitStatus, waitpid};

use super::environment::Environment;
use super::logline::Field;
use super::settings::Protocol;
use crate::auth::system::{Groups, identity};
use crate::config::paths::Paths;
use crate::sys::fd;
use crate::sys::process::{Fork, drop_privileges, exec, exit_now, fork};

/// Longest dump of a certificate that is read, in bytes.
const DUMP_MAX: usize = 64 * 1024;
/// Longest error text that is kept, in bytes.
const STATUS_MAX: usize = 126;
/// Most subject fields passed on.
const FIELDS_MAX: usize = 64;

/// Why there is no TLS; the connection cannot be used any more.
#[derive(Debug)]
pub enum TlsError {
    /// Descriptors or processes could not be made.
    System(io::Error),
    /// couriertls could not be started as the mail user.
    Start,
    /// What couriertls said.
    Handshake(Vec<u8>),
    /// It took too long.
    Time,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => write!(f, "{error}"),
            Self::Start => f.write_str("500 Error starting couriertls."),
            Self::Handshake(text) => write!(f, "{}", Field(text)),
            Self::Time => f.write_str("the handshake took too long"),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<Errno> for TlsError {
    fn from(errno: Errno) -> Self {
        Self::System(errno.into())
    }
}

/// Hands descriptors 0 and 1 to `couriertls` and waits for the end of the handshake. Afterwards 0 and 1 are the
/// clear side and `environment` says that TLS is on.
///
/// # Errors
/// [`TlsError`]; the session must end.
pub fn start(
    couriertls: &Path,
    environment: &mut Environment,
    protocol: Protocol,
    deadline: Instant,
) -> Result<(), TlsError> {
    let (ours, theirs) = fd::socket_pair()?;
    let (status, status_end) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    let (dump, dump_end) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    match fork()? {
        Fork::Child => launch(couriertls, environment, [&status_end, &dump_end, &theirs]),
        Fork::Parent(child) => {
            drop((status_end, dump_end, theirs));
            let launched = loop {
                match waitpid(child, None) {
                    Err(Errno::EINTR) => {}
                    result => break matches!(result, Ok(WaitStatus::Exited(_, 0))),
                }
            };
            if !launched {
                return Err(TlsError::Start);
            }
        }
    }
    let dump = read_both(&status, &dump, deadline)?;
    fd::duplicate_to(ours.as_fd(), 0)?;
    fd::duplicate_to(ours.as_fd(), 1)?;
    for (suffix, value) in [("STARTTLS", "NO"), ("TLS_REQUIRED", "0"), ("TLS", "1")] {
        environment.set(&protocol.variable(suffix), value.as_bytes());
    }
    environment.remove_prefix("TLS_SUBJECT_");
    for (name, value) in subject(&dump) {
        environment.set(&format!("TLS_SUBJECT_{name}"), &value);
    }
    Ok(())
}

/// In the child: a grandchild becomes couriertls, so that the session never has to wait for it.
fn launch(couriertls: &Path, environment: &Environment, ends: [&OwnedFd; 3]) -> ! {
    if let Err(error) = become_mail_user() {
        crate::sys::log::log(
            crate::sys::log::Level::Err,
            format_args!("couriertls: {error}"),
        );
        exit_now(1)
    }
    match fork() {
        Ok(Fork::Child) => {}
        Ok(Fork::Parent(_)) => exit_now(0),
        Err(_) => exit_now(1),
    }
    let [status, ..] = ends;
    let Err(error) = run_couriertls(couriertls, environment, ends);
    let text = format!("500 Unable to start couriertls: {error}");
    // If even this fails, the end of file without a dump says as much.
    nix::unistd::write(status, text.as_bytes()).ok();
    exit_now(1)
}

fn become_mail_user() -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let paths = Paths::load().map_err(io::Error::other)?;
    let name = paths.mailuser.as_os_str().as_bytes();
    let identity = identity(name, Groups::All)?
        .ok_or_else(|| io::Error::other("no mail user on this system"))?;
    drop_privileges(&identity).map_err(io::Error::other)?;
    Ok(())
}

fn run_couriertls(
    couriertls: &Path,
    environment: &Environment,
    ends: [&OwnedFd; 3],
) -> io::Result<std::convert::Infallible> {
    for end in ends {
        // Onto itself: only the close-on-exec mark goes.
        fd::duplicate_to(end.as_fd(), end.as_raw_fd())?;
    }
    let [status, dump, local] = ends.map(AsRawFd::as_raw_fd);
    let text = |text: String| CString::new(text);
    let arguments: Result<Vec<CString>, NulError> = [
        text("couriertls".to_owned()),
        text(format!("-statusfd={status}")),
        text(format!("-printx509={dump}")),
        text(format!("-localfd={local}")),
        text("-tcpd".to_owned()),
        text("-server".to_owned()),
    ]
    .into_iter()
    .collect();
    let program = CString::new(couriertls.as_os_str().as_bytes())?;
    Err(exec(&program, &arguments?, &environment.for_exec()?))
}

/// Reads both pipes to their ends. The dump is never empty after a handshake.
fn read_both(status: &OwnedFd, dump: &OwnedFd, deadline: Instant) -> Result<Vec<u8>, TlsError> {
    // couriertls writes the dump and closes it before it closes the status. Reading the dump first therefore never
    // leaves it waiting: an error text is far smaller than a pipe.
    let text = read_all(dump, DUMP_MAX, deadline)?;
    let words = read_all(status, STATUS_MAX, deadline)?;
    if !words.is_empty() {
        return Err(TlsError::Handshake(words.trim_ascii_end().to_vec()));
    }
    if text.is_empty() {
        return Err(TlsError::Handshake(
            b"Failed to initialize TLS/SSL".to_vec(),
        ));
    }
    Ok(text)
}

/// Reads to the end of file; keeps the first `limit` bytes.
fn read_all(from: &OwnedFd, limit: usize, deadline: Instant) -> Result<Vec<u8>, TlsError> {
    let mut kept = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        if !fd::wait_ready(from, PollFlags::POLLIN, Some(deadline))? {
            return Err(TlsError::Time);
        }
        match nix::unistd::read(from, &mut buffer) {
            Ok(0) => return Ok(kept),
            Ok(count) => {
                let room = limit.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The fields of the first certificate's subject: lines of three blanks, name, `=`, value after `Subject:`.
fn subject(dump: &[u8]) -> Vec<(String, Vec<u8>)> {
    dump.split(|&byte| byte == b'\n')
        .skip_while(|line| *line != b"Subject:")
        .skip(1)
        .map_while(|line| line.strip_prefix(b"   "))
        .filter_map(|line| {
            let equals = line.iter().position(|&byte| byte == b'=')?;
            let (name, value) = line.split_at(equals);
            let value = value.get(1..)?;
            // Only letters: other names (dotted numbers) cannot be variables. Control bytes have no business in an
            // identity.
            let clean = !name.is_empty()
                && name.iter().all(u8::is_ascii_alphabetic)
                && !value.iter().any(|byte| *byte < 0x20);
            let name = String::from_utf8_lossy(name).to_ascii_uppercase();
            clean.then(|| (name, value.to_vec()))
        })
        .take(FIELDS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_subject_alone_is_exported() {
        let dump = b"Subject:\n   C=US\n   CN=John Smith\n   1.2.3=x\n   emailAddress=john@example.com\n\n\
                     Not-Before: 2026-01-01 00:00:00\nSubject:\n   CN=Some CA\n\nVersion: TLS1.3\n";
        let fields = subject(dump);
        let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["C", "CN", "EMAILADDRESS"]);
        assert_eq!(fields[1].1, b"John Smith");
        assert!(subject(b"Version: TLS1.3\nBits: 256\n").is_empty());
        assert!(subject(b"Subject:\n   CN=a\x01b\n").is_empty());
    }
}
