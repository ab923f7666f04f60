//! userdb: account records in text, compiled into two GDBM files (contract: auth-modules §4 and §5).
//!
//! - [`record`]: one account's fields.
//! - [`text`]: the source files: finding, listing and editing, under Courier's lock.
//! - [`compile`]: `userdb` → `userdb.dat` (0644) and `userdbshadow.dat` (0600).

pub mod compile;
pub mod record;
pub mod text;

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use courier::config::paths::Paths;

/// The database of everything but passwords.
pub fn database(userdb: &Path) -> PathBuf {
    Paths::with_suffix(userdb, ".dat")
}

/// The database of passwords.
pub fn shadow_database(userdb: &Path) -> PathBuf {
    Paths::with_suffix(userdb, "shadow.dat")
}

/// An exclusive lock on a lock file that stays behind, as Courier's tools take it; released when dropped.
#[derive(Debug)]
struct Lock {
    _file: nix::fcntl::Flock<std::fs::File>,
}

impl Lock {
    fn take(path: &Path) -> io::Result<Self> {
        use nix::fcntl::{Flock, FlockArg};
        let mut file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        loop {
            match Flock::lock(file, FlockArg::LockExclusive) {
                Ok(lock) => return Ok(Self { _file: lock }),
                Err((same, nix::errno::Errno::EINTR)) => file = same,
                Err((_, errno)) => return Err(errno.into()),
            }
        }
    }
}

/// Gives `file` the mode, and as far as we may the owner, of `like`.
fn copy_ownership(file: &std::fs::File, like: &std::fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    file.set_permissions(std::fs::Permissions::from_mode(like.mode() & 0o7777))?;
    let owner = nix::unistd::Uid::from_raw(like.uid());
    let group = nix::unistd::Gid::from_raw(like.gid());
    match nix::unistd::fchown(file.as_fd(), Some(owner), Some(group)) {
        // Only root gives files away; anybody else keeps their own.
        Ok(()) | Err(nix::errno::Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
