//! The plain side on descriptors 0 and 1, when there is neither a program nor `-localfd`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

use courier::sys::fd;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};

/// Copies between `socket` and descriptors 0 and 1 until the socket's other end closes.
///
/// # Errors
/// Those of poll, read and write.
pub(crate) fn copy(socket: OwnedFd) -> io::Result<()> {
    let mut socket = TcpStream::from(socket);
    let mut buffer = vec![0; 64 * 1024];
    let mut input_open = true;
    loop {
        let mut fds = vec![PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let standard = fd::stdin();
        if input_open {
            fds.push(PollFd::new(standard, PollFlags::POLLIN));
        }
        match nix::poll::poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result?,
        };
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
                // Fails if the peer has closed, which the socket says next.
                let _closed = socket.shutdown(Shutdown::Write);
            } else {
                match socket.write_all(buffer.get(..count).unwrap_or_default()) {
                    // The peer has closed; what it said before is still to come.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => input_open = false,
                    result => result?,
                }
            }
        }
    }
}
