//! Locks on whole open files. They belong to the open file (OFD locks), so that two sessions in one process exclude
//! each other as two processes do, and end with its last descriptor.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// A lock of this kind on all octets, those to come included.
fn all(kind: libc::c_int) -> libc::flock {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "constants of the kernel's own 16-bit fields"
    )]
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Locks `file` for itself alone; false if somebody else has it locked.
///
/// # Errors
/// Those of fcntl(2): the file is not open for writing, or no locks are to be had.
pub fn try_lock(file: &impl AsFd) -> Result<bool, Errno> {
    match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&all(libc::F_WRLCK))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Locks `file` for itself alone, however long somebody else has it locked.
///
/// # Errors
/// As [`try_lock`].
pub fn lock(file: &impl AsFd) -> Result<(), Errno> {
    wait(file, libc::F_WRLCK)
}

/// Gives the lock back before the file is closed.
///
/// # Errors
/// Those of fcntl(2).
pub fn unlock(file: &impl AsFd) -> Result<(), Errno> {
    wait(file, libc::F_UNLCK)
}

fn wait(file: &impl AsFd, kind: libc::c_int) -> Result<(), Errno> {
    loop {
        match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLKW(&all(kind))) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_descriptors_of_one_process_exclude_each_other() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let (one, two) = (path.reopen().unwrap(), path.reopen().unwrap());
        assert_eq!(try_lock(&one), Ok(true));
        assert_eq!(try_lock(&two), Ok(false));
        assert_eq!(try_lock(&one), Ok(true));
        unlock(&one).unwrap();
        lock(&two).unwrap();
        assert_eq!(try_lock(&one), Ok(false));
        drop(two);
        assert_eq!(try_lock(&one), Ok(true));
    }
}
