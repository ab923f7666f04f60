//! The plain side on descriptors 0 and 1, when there is neither a program nor `-localfd`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

use courier::sys::fd;
use courier::sys::process::{self, Fork};
use nix::poll::{PollFd, PollFlags, PollTimeout};

/// A socket whose other end a child process copies to and from descriptors 0 and 1.
///
/// # Errors
/// Those of fork and socketpair.
pub(crate) fn standard_streams() -> io::Result<OwnedFd> {
    let (ours, theirs) = fd::socket_pair()?;
    match process::fork()? {
        Fork::Parent(_) => Ok(ours),
        Fork::Child => {
            drop(ours);
            let code = i32::from(copy(TcpStream::from(theirs)).is_err());
            process::exit_now(code);
        }
    }
}

fn copy(mut socket: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut input_open = true;
    loop {
        let mut fds = vec![PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let standard = fd::stdin();
        if input_open {
            fds.push(PollFd::new(standard, PollFlags::POLLIN));
        }
        nix::poll::poll(&mut fds, PollTimeout::NONE)?;
        let ready = |index: usize| fds.get(index).and_then(PollFd::any).unwrap_or(false);
        let (from_socket, from_input) = (ready(0), ready(1));
        if from_socket {
            let count = socket.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            let mut output = io::stdout().lock();
            output.write_all(buffer.get(..count).unwrap_or_default())?;
            output.flush()?;
        }
        if from_input {
            let count = nix::unistd::read(standard, &mut buffer)?;
            if count == 0 {
                input_open = false;
                socket.shutdown(Shutdown::Write)?;
            } else {
                socket.write_all(buffer.get(..count).unwrap_or_default())?;
            }
        }
    }
}
