//! Child processes of the monitor that do one thing each and are never waited for longer than wanted.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::sys::fd;
use crate::sys::log::{Level, log};
use crate::sys::process::{Fork, exit_now, fork};

/// A child with a packet socket to it. Dropping it ends it.
#[derive(Debug)]
pub struct Helper {
    pid: Pid,
    channel: OwnedFd,
}

impl Helper {
    /// Forks a child that does `body` with its end of the socket, the lowest descriptor above 2 that it needs, and
    /// ends.
    ///
    /// # Errors
    /// Those of socketpair(2) and fork(2).
    pub fn start(body: impl FnOnce(OwnedFd)) -> io::Result<Self> {
        let (ours, theirs) = fd::message_pair()?;
        match fork()? {
            Fork::Parent(pid) => Ok(Self { pid, channel: ours }),
            Fork::Child => {
                body(theirs);
                exit_now(0)
            }
        }
    }

    /// The monitor's end of the socket.
    pub fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // ESRCH is impossible for a child that has not been waited for.
        if let Err(errno) = kill(self.pid, Signal::SIGKILL) {
            log(Level::Err, format_args!("kill: {}", errno.desc()));
        }
        while waitpid(self.pid, None) == Err(Errno::EINTR) {}
    }
}
