//! Confining a process that reads what strangers send: no new privileges, resource limits, a seccomp filter.
//!
//! A filter survives exec, so none of this is ever called in a process that will exec the mail server.

use std::fmt;
use std::io;

use nix::sys::resource::{Resource, setrlimit};

use super::filter;

/// Why a process could not be confined; the caller logs it and goes on, unless the administrator requires it.
#[derive(Debug)]
pub enum SandboxError {
    /// The kernel or this processor architecture cannot do it.
    Unsupported(String),
    /// The named call failed.
    Call(&'static str, io::Error),
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(why) => f.write_str(why),
            Self::Call(call, error) => write!(f, "{call}: {error}"),
        }
    }
}

impl std::error::Error for SandboxError {}

/// Ceilings for a process that only converses; the kernel ends it when it passes one.
#[derive(Debug, Clone, Copy)]
pub struct Ceilings {
    /// One more than the highest descriptor number it may have: with all below in use it can open nothing.
    pub descriptors: u64,
    /// Bytes of heap.
    pub heap: u64,
    /// Seconds of processor time.
    pub cpu_seconds: u64,
}

/// Sets `ceilings`, forbids new processes and files, and makes the process invisible to debuggers of its uid and
/// to core dumps. Call after the uid has changed: changing it makes a process dumpable again.
///
/// # Errors
/// The first call that failed; the later ones have not been made.
pub fn limit(ceilings: Ceilings) -> Result<(), SandboxError> {
    let call = |name: &'static str| {
        move |errno: nix::errno::Errno| SandboxError::Call(name, io::Error::from(errno))
    };
    nix::sys::prctl::set_dumpable(false).map_err(call("PR_SET_DUMPABLE"))?;
    nix::sys::prctl::set_no_new_privs().map_err(call("PR_SET_NO_NEW_PRIVS"))?;
    for (resource, limit) in [
        (Resource::RLIMIT_NOFILE, ceilings.descriptors),
        (Resource::RLIMIT_DATA, ceilings.heap),
        (Resource::RLIMIT_CPU, ceilings.cpu_seconds),
        (Resource::RLIMIT_NPROC, 0),
        (Resource::RLIMIT_CORE, 0),
    ] {
        setrlimit(resource, limit, limit).map_err(call("setrlimit"))?;
    }
    Ok(())
}

/// Installs the filter of a process that talks over descriptors it already has: it may send, receive, wait, ask
/// the time, get random bytes and anonymous memory, and end. Anything else kills it at once (SIGSYS), so that a
/// taken-over parser cannot try what is left step by step.
///
/// # Errors
/// [`SandboxError`] when the kernel or the architecture has no filters; nothing has changed then.
pub fn converse_only() -> Result<(), SandboxError> {
    filter::converse()?.install()
}

/// Takes the file system, new TCP connections and other processes away (Landlock). Before a filter, which would not
/// let this through.
///
/// # Errors
/// [`SandboxError`] when the kernel has none of it; nothing has changed then.
pub fn no_files() -> Result<(), SandboxError> {
    super::landlock::forbid_everything().map_err(|error| SandboxError::Call("Landlock", error))
}

/// Whether [`no_files`] can work here, for a service that says so once and not for each connection.
///
/// # Errors
/// As [`no_files`].
pub fn check_no_files() -> Result<(), SandboxError> {
    super::landlock::version()
        .map(|_version| ())
        .map_err(|error| SandboxError::Call("Landlock", error))
}

/// The filter of a process that relays between sockets it already has: as [`converse_only`], and it may close and
/// shut down descriptors and wait for locks of its own memory (as OpenSSL's do). Made once and installed in each child.
pub struct RelayFilter(filter::Program);

impl RelayFilter {
    /// Makes it.
    ///
    /// # Errors
    /// As [`converse_only`].
    pub fn new() -> Result<Self, SandboxError> {
        filter::relay().map(Self)
    }

    /// Confines this process.
    ///
    /// # Errors
    /// As [`converse_only`].
    pub fn install(&self) -> Result<(), SandboxError> {
        nix::sys::prctl::set_dumpable(false)
            .map_err(|errno| SandboxError::Call("PR_SET_DUMPABLE", errno.into()))?;
        nix::sys::prctl::set_no_new_privs()
            .map_err(|errno| SandboxError::Call("PR_SET_NO_NEW_PRIVS", errno.into()))?;
        self.0.install()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{Fork, exit_now, fork};
    use nix::sys::signal::Signal;
    use nix::sys::wait::{WaitStatus, waitpid};

    /// What became of a confined child that ran `action`.
    fn confined(action: fn()) -> Option<WaitStatus> {
        match fork().unwrap() {
            Fork::Child => {
                match converse_only() {
                    Ok(()) => action(),
                    Err(_) => exit_now(77),
                }
                exit_now(0)
            }
            Fork::Parent(child) => match waitpid(child, None).unwrap() {
                WaitStatus::Exited(_, 77) => None,
                status => Some(status),
            },
        }
    }

    #[test]
    fn conversation_is_allowed_and_everything_else_ends_the_process() {
        // The child allocates and asks the time, which a parser does all the time.
        let Some(status) = confined(|| {
            // So much is always mapped: only the heaps of threads, which the programs do not have, grow by mprotect.
            let big = vec![0_u8; 40 << 20];
            if big.len()
                < usize::try_from(std::time::Instant::now().elapsed().as_secs()).unwrap_or(0)
            {
                exit_now(3);
            }
        }) else {
            let mut out = io::stdout().lock();
            io::Write::write_all(&mut out, b"skipped: this kernel has no seccomp filters\n")
                .unwrap();
            return;
        };
        assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
        for action in [
            (|| drop(std::fs::File::open("/etc/passwd"))) as fn(),
            || drop(nix::unistd::pipe()),
            || {
                nix::unistd::getppid();
            },
        ] {
            let status = confined(action);
            assert!(
                matches!(status, Some(WaitStatus::Signaled(_, Signal::SIGSYS, _))),
                "{status:?}"
            );
        }
    }
}
