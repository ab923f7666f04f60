//! Processes: fork, exec, identity, limits.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::fmt;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal};
use nix::unistd::{Gid, Pid, Uid};

/// Which side of a [`fork`] this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The parent, with the child's process id.
    Parent(Pid),
    /// The child.
    Child,
}

/// True when the kernel marked this program as running with raised privileges (setuid, file capabilities), so
/// that its environment must not be trusted.
pub fn at_secure() -> bool {
    // SAFETY: getauxval reads the auxiliary vector of this process and has no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Forks. Programs of this project are single-threaded when they call this, so the child may do anything.
///
/// # Errors
/// The kernel's: EAGAIN (process limit), ENOMEM.
pub fn fork() -> io::Result<Fork> {
    // SAFETY: the caller is single-threaded (no program of this project that forks starts threads), so no lock
    // can be held by a thread that the child lacks.
    match unsafe { nix::unistd::fork() } {
        Ok(nix::unistd::ForkResult::Parent { child }) => Ok(Fork::Parent(child)),
        Ok(nix::unistd::ForkResult::Child) => Ok(Fork::Child),
        Err(errno) => Err(errno.into()),
    }
}

/// Sets the disposition of `signal` to its default.
///
/// # Errors
/// EINVAL for signals that cannot be changed.
pub fn default_signal(signal: Signal) -> io::Result<()> {
    // SAFETY: SIG_DFL installs no handler, so no code runs in signal context.
    unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
    Ok(())
}

/// Ignores `signal`.
///
/// # Errors
/// EINVAL for signals that cannot be changed.
pub fn ignore_signal(signal: Signal) -> io::Result<()> {
    // SAFETY: SIG_IGN installs no handler, so no code runs in signal context.
    unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) }?;
    Ok(())
}

/// Replaces this process by `program` with exactly `argv` and `environment` (`NAME=value` each). SIGPIPE, which
/// Rust programs ignore, and the signal mask go back to their defaults first, since exec keeps both.
///
/// Returns only on failure, with the reason.
pub fn exec(program: &CStr, argv: &[CString], environment: &[CString]) -> io::Error {
    if let Err(error) = default_signal(Signal::SIGPIPE) {
        return error;
    }
    if let Err(errno) =
        nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
    {
        return errno.into();
    }
    let result: Result<Infallible, Errno> = nix::unistd::execve(program, argv, environment);
    match result {
        Ok(never) => match never {},
        Err(errno) => errno.into(),
    }
}

/// Ends this process at once, without running exit handlers or flushing: what a forked child does that must not
/// act twice on its parent's state.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(status) }
}

/// Who a session becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User id; never 0.
    pub uid: Uid,
    /// Group id; never 0.
    pub gid: Gid,
    /// The groups of the process; `None`: only `gid`.
    pub groups: Option<Vec<Gid>>,
}

/// Proof that this process has given up its privileges for good. Functions that touch an account's mail on
/// behalf of a root process take it.
#[derive(Debug)]
pub struct Dropped(());

/// Why privileges could not be given up; the caller must end the process.
#[derive(Debug)]
pub enum DropError {
    /// uid 0 or gid 0 was asked for.
    Root,
    /// We are not root and the identity is not our own.
    NotOurs,
    /// The named call failed.
    Call(&'static str, Errno),
    /// The calls succeeded but root could be regained.
    Regained,
}

impl fmt::Display for DropError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => write!(f, "refusing uid 0 or gid 0"),
            Self::NotOurs => write!(
                f,
                "not started as root and the account has another uid or gid"
            ),
            Self::Call(call, errno) => write!(f, "{call}: {}", errno.desc()),
            Self::Regained => write!(f, "privileges could be regained"),
        }
    }
}

impl std::error::Error for DropError {}

/// Becomes `identity`: groups, then gid, then uid; then proves that there is no way back. A process that is not
/// root passes only if it already is `identity`.
///
/// # Errors
/// [`DropError`]; the process may be half-way and must end.
pub fn drop_privileges(identity: &Identity) -> Result<Dropped, DropError> {
    if identity.uid.is_root() || identity.gid.as_raw() == 0 {
        return Err(DropError::Root);
    }
    if !nix::unistd::geteuid().is_root() {
        let ours = nix::unistd::geteuid() == identity.uid
            && nix::unistd::getuid() == identity.uid
            && nix::unistd::getegid() == identity.gid;
        return if ours {
            Ok(Dropped(()))
        } else {
            Err(DropError::NotOurs)
        };
    }
    let only = [identity.gid];
    let groups = identity.groups.as_deref().unwrap_or(&only);
    nix::unistd::setgroups(groups).map_err(|errno| DropError::Call("setgroups", errno))?;
    nix::unistd::setgid(identity.gid).map_err(|errno| DropError::Call("setgid", errno))?;
    nix::unistd::setuid(identity.uid).map_err(|errno| DropError::Call("setuid", errno))?;
    let root = Uid::from_raw(0);
    if nix::unistd::setuid(root).is_ok()
        || nix::unistd::seteuid(root).is_ok()
        || nix::unistd::setgid(Gid::from_raw(0)).is_ok()
        || nix::unistd::geteuid() != identity.uid
        || nix::unistd::getegid() != identity.gid
    {
        return Err(DropError::Regained);
    }
    Ok(Dropped(()))
}
