//! Signals to a process that is surely the one that was meant.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Sends `signal` to process `pid` if `is_meant` says so once the process is held fast: its number cannot become
/// another's between the look and the signal. False if it is not meant.
///
/// # Errors
/// ESRCH: there is no such process; EPERM.
pub fn signal_if(pid: u32, signal: i32, is_meant: impl FnOnce() -> bool) -> io::Result<bool> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: takes numbers only.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let number = i32::try_from(nix::errno::Errno::result(number)?).map_err(io::Error::other)?;
    // SAFETY: the call has just made it, and nobody else knows of it.
    let process = unsafe { OwnedFd::from_raw_fd(number) };
    if !is_meant() {
        return Ok(false);
    }
    // SAFETY: takes a descriptor, a number and no information about the signal.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    nix::errno::Errno::result(sent)?;
    Ok(true)
}
