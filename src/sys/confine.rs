//! Confining a process that serves one account for good: Landlock takes away the file system but for named places, a
//! seccomp filter the system calls that serving mail never needs. Both last until the process ends and bind whatever
//! it might start, so nothing is started afterwards.
//!
//! The first version of Landlock is not used: it forbids every rename from one directory to another, and those are
//! what a maildir is made of.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::landlock::{Ruleset, Scope};
use super::sandbox::SandboxError;

/// What may be done below a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read, write, make and remove files and directories, and move them between places of this kind. Neither
    /// execute, nor make links, devices or sockets.
    Change,
    /// Read files and list directories.
    Read,
    /// Read this one file.
    ReadFile,
}

/// A part of the file system that stays reachable.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// A directory with all below it, or a file; links in it are followed now, once.
    pub path: &'a Path,
    /// What may be done there.
    pub access: Access,
}

// Rights of the kernel's interface (linux/landlock.h).
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;

impl Access {
    fn rights(self) -> u64 {
        match self {
            Self::Change => {
                WRITE_FILE
                    | READ_FILE
                    | READ_DIR
                    | REMOVE_DIR
                    | REMOVE_FILE
                    | MAKE_DIR
                    | MAKE_REG
                    | REFER
                    | TRUNCATE
            }
            Self::Read => READ_FILE | READ_DIR,
            Self::ReadFile => READ_FILE,
        }
    }
}

/// Takes away the file system but for `places`, and TCP and abstract sockets where the kernel can. Descriptors that
/// are open stay as they are. `missing` gets each place that cannot be opened; it is left out.
///
/// # Errors
/// [`SandboxError`] if the kernel cannot do it; nothing is taken away then, but for new privileges.
pub fn files(
    places: &[Place<'_>],
    mut missing: impl FnMut(&Path, io::Error),
) -> Result<(), SandboxError> {
    let rules = Ruleset::new(Scope::Sockets)
        .map_err(|error| SandboxError::Call("landlock_create_ruleset", error))?;
    if !rules.knows(REFER) {
        let why = "this kernel's Landlock forbids all renames between directories";
        return Err(SandboxError::Unsupported(why.to_owned()));
    }
    for place in places {
        match open(place) {
            Ok(opened) => rules
                .allow(&opened, place.access.rights())
                .map_err(|error| SandboxError::Call("landlock_add_rule", error))?,
            Err(error) => missing(place.path, error),
        }
    }
    rules
        .enforce()
        .map_err(|error| SandboxError::Call("landlock_restrict_self", error))
}

fn open(place: &Place<'_>) -> io::Result<OwnedFd> {
    use nix::fcntl::OFlag;
    let mut flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    if place.access != Access::ReadFile {
        flags |= OFlag::O_DIRECTORY;
    }
    let path = CString::new(place.path.as_os_str().as_bytes())?;
    Ok(nix::fcntl::open(
        path.as_c_str(),
        flags,
        nix::sys::stat::Mode::empty(),
    )?)
}

/// Forbids system calls that a server which only reads and writes files and talks over descriptors it has never
/// makes: starting programs and processes, sockets, links, looking into other processes, signals to them (but for
/// asking whether they are there), their limits, and parts of the kernel with a record of faults. They fail with EPERM.
///
/// # Errors
/// [`SandboxError`] when the kernel or the architecture has no filters; nothing has changed then, but for new
/// privileges.
pub fn calls() -> Result<(), SandboxError> {
    super::filter::account()?.install()
}

/// Makes the process invisible to debuggers of its uid and to core dumps.
///
/// # Errors
/// Never seen.
pub fn hide() -> Result<(), SandboxError> {
    nix::sys::prctl::set_dumpable(false)
        .map_err(|errno| SandboxError::Call("PR_SET_DUMPABLE", errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{Fork, exit_now, fork};
    use nix::errno::Errno;
    use nix::sys::wait::{WaitStatus, waitpid};

    /// The result of a system call.
    fn result(number: libc::c_long, arguments: [libc::c_long; 4]) -> nix::Result<libc::c_long> {
        let [a, b, c, d] = arguments;
        // SAFETY: the tests pass numbers, and null where the call could write.
        Errno::result(unsafe { libc::syscall(number, a, b, c, d) })
    }

    #[test]
    fn other_processes_get_no_signals_and_no_limits() {
        let parent: libc::c_long = std::process::id().into();
        let status = match fork().unwrap() {
            Fork::Child => {
                if calls().is_err() {
                    exit_now(77);
                }
                let own: libc::c_long = std::process::id().into();
                let signal: libc::c_long = libc::SIGURG.into();
                let core: libc::c_long = libc::RLIMIT_CORE.into();
                let refused = [
                    result(libc::SYS_tgkill, [parent, parent, signal, 0]),
                    result(libc::SYS_tkill, [parent, signal, 0, 0]),
                    result(libc::SYS_prlimit64, [parent, core, 0, 0]),
                ];
                let made = [
                    result(libc::SYS_tgkill, [own, own, signal, 0]),
                    result(libc::SYS_prlimit64, [own, core, 0, 0]),
                    result(libc::SYS_prlimit64, [0, core, 0, 0]),
                ];
                let right = refused == [Err(Errno::EPERM); 3] && made == [Ok(0); 3];
                exit_now(i32::from(!right))
            }
            Fork::Parent(child) => waitpid(child, None).unwrap(),
        };
        match status {
            WaitStatus::Exited(_, 77) => {
                let mut out = io::stdout().lock();
                io::Write::write_all(&mut out, b"skipped: this kernel has no seccomp filters\n")
                    .unwrap();
            }
            status => assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}"),
        }
    }
}
