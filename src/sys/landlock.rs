//! Landlock: a process gives up the file system, the network and other processes for good (Linux 5.13 and later).
//!
//! The kernel is asked what it knows and given a ruleset that handles all of it and allows nothing. Unlike a seccomp
//! filter this holds whatever system call is used. It survives exec, so a process that will start the mail server
//! must not do this.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// LANDLOCK_CREATE_RULESET_VERSION: tell the version instead of making a ruleset.
const VERSION: u32 = 1;

/// struct landlock_ruleset_attr of version 6; older kernels take its beginning.
#[repr(C)]
struct Attributes {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// The rights of each version of the interface: file system, network, scopes (linux/landlock.h).
fn everything(version: i64) -> (Attributes, usize) {
    let handled_access_fs = match version {
        1 => (1 << 13) - 1,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    };
    let attributes = Attributes {
        handled_access_fs,
        // Binding and connecting TCP sockets.
        handled_access_net: if version >= 4 { 3 } else { 0 },
        // Abstract UNIX sockets, signals.
        scoped: if version >= 6 { 3 } else { 0 },
    };
    let size = match version {
        ..=3 => 8,
        4 | 5 => 16,
        _ => 24,
    };
    (attributes, size)
}

/// The version of the interface that this kernel has.
///
/// # Errors
/// ENOSYS or EOPNOTSUPP: none.
pub(super) fn version() -> io::Result<i64> {
    // SAFETY: with a null pointer, size 0 and the version flag the call only returns a number.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<Attributes>(),
            0_usize,
            VERSION,
        )
    };
    Ok(Errno::result(version)?)
}

/// A set of rules that handles everything and allows nothing yet.
#[derive(Debug)]
pub(super) struct Ruleset {
    descriptor: OwnedFd,
    /// The rights over files that this kernel knows.
    handled: u64,
}

/// What of the kernel's scopes a ruleset forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Abstract UNIX sockets of processes outside, and signals to them.
    Everything,
    /// Abstract UNIX sockets alone.
    Sockets,
}

/// struct landlock_path_beneath_attr.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

impl Ruleset {
    /// Makes one.
    ///
    /// # Errors
    /// ENOSYS or EOPNOTSUPP where the kernel has no Landlock.
    pub(super) fn new(scope: Scope) -> io::Result<Self> {
        let (mut attributes, size) = everything(version()?);
        if scope == Scope::Sockets {
            attributes.scoped &= 1;
        }
        // SAFETY: the pointer is to a structure that is at least `size` octets long and outlives the call.
        let ruleset = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                &raw const attributes,
                size,
                0_u32,
            )
        };
        let ruleset = i32::try_from(Errno::result(ruleset)?).map_err(|_| Errno::EBADF)?;
        Ok(Self {
            // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
            descriptor: unsafe { OwnedFd::from_raw_fd(ruleset) },
            handled: attributes.handled_access_fs,
        })
    }

    /// Whether the kernel knows this right.
    pub(super) fn knows(&self, right: u64) -> bool {
        self.handled & right != 0
    }

    /// Allows `rights` (linux/landlock.h), as far as this kernel knows them, on a file or below a directory.
    ///
    /// # Errors
    /// EINVAL for rights over directories on a file.
    pub(super) fn allow(&self, place: &OwnedFd, rights: u64) -> io::Result<()> {
        let rule = PathBeneath {
            allowed_access: rights & self.handled,
            parent_fd: place.as_raw_fd(),
        };
        // SAFETY: `rule` is what LANDLOCK_RULE_PATH_BENEATH (1) says and outlives the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                self.descriptor.as_raw_fd(),
                1_u32,
                &raw const rule,
                0_u32,
            )
        };
        Errno::result(result)?;
        Ok(())
    }

    /// Holds this process, and all that it may start, to the rules. Descriptors that are open stay usable.
    ///
    /// # Errors
    /// Those of landlock_restrict_self(2).
    pub(super) fn enforce(self) -> io::Result<()> {
        nix::sys::prctl::set_no_new_privs()?;
        let ruleset = self.descriptor.as_raw_fd();
        // SAFETY: the ruleset is an open descriptor; no memory is read.
        let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0_u32) };
        Errno::result(result)?;
        Ok(())
    }
}

/// Forbids this process, and all that it may start, to open or change anything in the file system, to make TCP
/// connections, and to reach processes outside. Descriptors that are open stay usable.
///
/// # Errors
/// ENOSYS or EOPNOTSUPP where the kernel has no Landlock; nothing has changed then.
pub(super) fn forbid_everything() -> io::Result<()> {
    Ruleset::new(Scope::Everything)?.enforce()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{Fork, exit_now, fork};
    use nix::sys::wait::{WaitStatus, waitpid};

    #[test]
    fn nothing_can_be_opened_and_what_is_open_still_works() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "text").unwrap();
        let open = std::fs::File::open(&path).unwrap();
        let status = match fork().unwrap() {
            Fork::Child => {
                if forbid_everything().is_err() {
                    exit_now(77);
                }
                let refused = std::fs::File::open(&path).is_err()
                    && std::fs::read_dir("/").is_err()
                    && std::fs::write(path.with_extension("new"), "").is_err();
                let readable = io::read_to_string(open).is_ok_and(|text| text == "text");
                exit_now(if refused && readable { 0 } else { 1 })
            }
            Fork::Parent(child) => waitpid(child, None).unwrap(),
        };
        match status {
            WaitStatus::Exited(_, 77) => {
                let mut out = io::stdout().lock();
                io::Write::write_all(&mut out, b"skipped: this kernel has no Landlock\n").unwrap();
            }
            status => assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}"),
        }
    }

    #[test]
    fn each_version_of_the_kernel_is_asked_for_what_it_knows() {
        assert_eq!(everything(1).0.handled_access_fs, 0x1fff);
        assert_eq!(everything(1).1, 8);
        assert_eq!(everything(4).0.handled_access_net, 3);
        assert_eq!(everything(4).1, 16);
        assert_eq!(everything(9).0.handled_access_fs, 0xffff);
        assert_eq!(everything(9).1, 24);
    }
}
