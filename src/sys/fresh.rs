//! File attributes as the server has them now, past whatever this host has cached: on a network file system an
//! ordinary stat may answer with what was true a minute ago.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::stat::FileStat;

/// Attributes of an open file or directory, asked of the file server (`AT_STATX_FORCE_SYNC`). On a local file
/// system this is fstat.
///
/// # Errors
/// Those of statx(2); ESTALE when the file is gone from the server.
pub fn stat<F: AsFd>(file: &F) -> io::Result<FileStat> {
    // SAFETY: statx is plain data for which all zeroes is a valid value.
    let mut fresh: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path is an empty string and the buffer lives across the call.
    let result = unsafe {
        libc::statx(
            file.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_STATX_FORCE_SYNC,
            libc::STATX_BASIC_STATS,
            &raw mut fresh,
        )
    };
    match Errno::result(result) {
        Ok(_) => {}
        // A kernel or sandbox without the call: what fstat says is the best there is.
        Err(Errno::ENOSYS | Errno::EPERM) => return Ok(nix::sys::stat::fstat(file)?),
        Err(errno) => return Err(errno.into()),
    }
    let mut stat = nix::sys::stat::fstat(file)?;
    stat.st_mode = u32::from(fresh.stx_mode);
    #[allow(
        clippy::useless_conversion,
        reason = "the width differs between architectures"
    )]
    {
        stat.st_nlink = fresh.stx_nlink.into();
    }
    stat.st_size = i64::try_from(fresh.stx_size).unwrap_or(i64::MAX);
    (stat.st_mtime, stat.st_mtime_nsec) =
        (fresh.stx_mtime.tv_sec, i64::from(fresh.stx_mtime.tv_nsec));
    (stat.st_ctime, stat.st_ctime_nsec) =
        (fresh.stx_ctime.tv_sec, i64::from(fresh.stx_ctime.tv_nsec));
    Ok(stat)
}
