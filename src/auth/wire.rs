//! One exchange with a daemon on a UNIX socket: connect, write, read, each with its own time limit.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::sys::fd::wait_ready;

/// Connects within `limit`: a full backlog makes a connect to a UNIX socket wait.
pub(super) fn open(path: &Path, limit: Duration) -> io::Result<OwnedFd> {
    let address = UnixAddr::new(path)?;
    let socket = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let seconds = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(seconds))?;
    let deadline = Instant::now() + limit;
    loop {
        match connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &address) {
            Ok(()) => break,
            Err(Errno::EINTR) if Instant::now() < deadline => {}
            // What the send time-out turns a wait for room in the backlog into.
            Err(Errno::EAGAIN) => return Err(Errno::ETIMEDOUT.into()),
            Err(errno) => return Err(errno.into()),
        }
    }
    let flags = OFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFL)?);
    fcntl(&socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(socket)
}

/// Writes all of `bytes`, waiting at most `limit` each time the peer's buffer is full.
pub(super) fn write(socket: &OwnedFd, mut bytes: &[u8], limit: Duration) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    while !bytes.is_empty() {
        match send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                if !wait_ready(socket, PollFlags::POLLOUT, Some(Instant::now() + limit))? {
                    return Err(Errno::ETIMEDOUT.into());
                }
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Reads once into `buffer`, waiting until `deadline`; 0 at end of file.
pub(super) fn read(socket: &OwnedFd, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        match nix::unistd::read(socket, buffer) {
            Ok(count) => return Ok(count),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                if !wait_ready(socket, PollFlags::POLLIN, Some(deadline))? {
                    return Err(Errno::ETIMEDOUT.into());
                }
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}
