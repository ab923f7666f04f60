//! Descriptors: the standard ones, close-on-exec, pairs, waiting with a deadline.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};

/// Descriptor 0: the client's bytes in programs started by couriertcpd.
pub fn stdin() -> BorrowedFd<'static> {
    // SAFETY: descriptor 0 belongs to the process for its whole life; `open_standard` keeps it open.
    unsafe { BorrowedFd::borrow_raw(0) }
}

/// Descriptor 1: bytes to the client in programs started by couriertcpd.
pub fn stdout() -> BorrowedFd<'static> {
    // SAFETY: as for descriptor 0.
    unsafe { BorrowedFd::borrow_raw(1) }
}

/// Descriptor 2: the log, read by courierlogger.
pub fn stderr() -> BorrowedFd<'static> {
    // SAFETY: as for descriptor 0.
    unsafe { BorrowedFd::borrow_raw(2) }
}

/// A connected pair of stream sockets, both close-on-exec.
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM.
pub fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::Stream,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

/// A connected pair of sockets that keep messages apart (SOCK_SEQPACKET), both close-on-exec.
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM.
pub fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

/// Makes `from` also known as `to` (0, 1 or 2 mostly), without close-on-exec.
///
/// # Errors
/// EBADF, EMFILE.
pub fn duplicate_to(from: BorrowedFd<'_>, to: RawFd) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    if from.as_raw_fd() == to {
        // dup2 onto itself would leave close-on-exec set.
        nix::fcntl::fcntl(
            from,
            nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
        )?;
        return Ok(());
    }
    // SAFETY: dup2 with a valid source; what `to` named before is closed, which callers ask for by this call.
    Errno::result(unsafe { libc::dup2(from.as_raw_fd(), to) })?;
    Ok(())
}

/// Closes every descriptor from `first` up; for a child just before exec.
///
/// # Errors
/// Those of close_range(2).
pub fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: the caller is about to exec or exit and holds no descriptor at or above `first` that it will use.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    Errno::result(result)?;
    Ok(())
}

/// Closes every descriptor from 3 up but `kept`; for a forked child that lives on with that one alone and ends by
/// [`exit_now`](super::process::exit_now).
///
/// # Errors
/// Those of close_range(2).
pub fn close_all_but(kept: BorrowedFd<'_>) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let kept = kept.as_raw_fd().unsigned_abs();
    if kept > 3 {
        // SAFETY: the caller holds no other descriptor that it will use or drop.
        let result =
            unsafe { libc::syscall(libc::SYS_close_range, 3_u32, kept.saturating_sub(1), 0) };
        Errno::result(result)?;
    }
    close_from(kept.saturating_add(1).max(3))
}

/// Waits until `fd` is ready for `events` or `deadline` has passed; false on time-out. Goes on after signals.
///
/// # Errors
/// Those of poll(2).
pub fn wait_ready<F: AsFd>(
    fd: &F,
    events: PollFlags,
    deadline: Option<Instant>,
) -> io::Result<bool> {
    loop {
        let mut fds = [PollFd::new(fd.as_fd(), events)];
        match nix::poll::poll(&mut fds, until(deadline)) {
            Ok(0) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                return Ok(false);
            }
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Waits until one of `fds` is ready for its events or has hung up, or `deadline` has passed. Tells which are ready,
/// in the order given; `None` on time-out. Goes on after signals.
///
/// # Errors
/// Those of poll(2).
pub fn wait_any<const N: usize>(
    fds: [(BorrowedFd<'_>, PollFlags); N],
    deadline: Option<Instant>,
) -> io::Result<Option<[bool; N]>> {
    loop {
        let mut polled = fds.map(|(fd, events)| PollFd::new(fd, events));
        match nix::poll::poll(&mut polled, until(deadline)) {
            Ok(0) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                return Ok(None);
            }
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => {
                return Ok(Some(
                    polled.map(|fd| fd.revents().is_none_or(|events| !events.is_empty())),
                ));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The time left until `deadline`, rounded up so that a wait never ends before it and spins.
fn until(deadline: Option<Instant>) -> PollTimeout {
    match deadline {
        None => PollTimeout::NONE,
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            let milliseconds =
                i32::try_from(left.as_millis().saturating_add(1)).unwrap_or(i32::MAX);
            PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
        }
    }
}
