//! Between the peer's TLS and the program's plain text: the copy loop.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use openssl::ssl::{ErrorCode, ShutdownState, SslStream};

/// Octets taken from the program at once: several TLS records, sent together.
const CHUNK: usize = 64 * 1024;
/// Largest TLS record.
const RECORD: usize = 16 * 1024;
/// Encrypted octets that may wait for a slow peer before more are made.
const OUTPUT_MAX: usize = 256 * 1024;
/// How long a peer may take to read what the program left behind, and to answer our close.
const GOODBYE: Duration = if cfg!(test) {
    Duration::from_millis(300)
} else {
    Duration::from_secs(10)
};

/// The network side: a socket whose output is gathered, so that several records leave in one system call.
#[derive(Debug)]
pub(crate) struct Network {
    socket: TcpStream,
    output: Vec<u8>,
    sent: usize,
}

impl Network {
    /// Takes a connected stream socket of any family, and makes it non-blocking.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = TcpStream::from(socket);
        socket.set_nonblocking(true)?;
        // A UNIX socket cannot do these and does not need them. Without keep-alives a peer that is gone without a
        // word would keep its session for ever.
        let _optional = socket.set_nodelay(true);
        let _optional =
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::KeepAlive, &true);
        Ok(Self {
            socket,
            output: Vec::new(),
            sent: 0,
        })
    }

    /// The socket, to wait for.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn has_output(&self) -> bool {
        self.sent < self.output.len()
    }

    /// Sends what is waiting; true if nothing is left.
    pub(crate) fn send(&mut self) -> io::Result<bool> {
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.socket.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent = self.sent.saturating_add(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(true)
    }
}

impl Read for Network {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

impl Write for Network {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.output.len() >= OUTPUT_MAX {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The program's side, non-blocking.
#[derive(Debug)]
pub(crate) struct Plain(TcpStream);

impl Plain {
    /// Takes a connected stream socket of any family.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = TcpStream::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }
}

/// How a relayed session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides closed in good order.
    Closed,
    /// The peer went away without the goodbye that TLS asks for.
    Truncated,
}

struct Relay<'a> {
    stream: &'a mut SslStream<Network>,
    program: TcpStream,
    /// Decrypted octets for the program and how many it took.
    inward: (Vec<u8>, usize),
    /// Plain octets for the peer and how many were encrypted.
    outward: (Vec<u8>, usize),
    network_readable: bool,
    program_readable: bool,
    program_writable: bool,
    peer_closed: bool,
    truncated: bool,
    program_closed: bool,
}

/// Copies both ways until both have closed.
pub(crate) fn relay(stream: &mut SslStream<Network>, program: Plain) -> io::Result<End> {
    let mut relay = Relay {
        stream,
        program: program.0,
        inward: (Vec::new(), 0),
        outward: (Vec::new(), 0),
        network_readable: true,
        program_readable: true,
        program_writable: true,
        peer_closed: false,
        truncated: false,
        program_closed: false,
    };
    relay.run()
}

impl Relay<'_> {
    fn run(&mut self) -> io::Result<End> {
        loop {
            let mut progress = self.read_network();
            progress |= self.write_program();
            progress |= self.read_program()?;
            progress |= self.write_network();
            if self.stream.get_mut().send().is_err() {
                // The peer is gone; the program learns it by an end of file.
                self.peer_closed = true;
                self.truncated = true;
                return Ok(End::Truncated);
            }
            if self.program_closed && self.outward.0.is_empty() {
                return Ok(self.say_goodbye());
            }
            if !progress && !self.wait()? {
                return Ok(End::Truncated);
            }
        }
    }

    fn read_network(&mut self) -> bool {
        if self.peer_closed || !self.network_readable || !self.inward.0.is_empty() {
            return false;
        }
        self.inward.0.resize(RECORD, 0);
        let result = self.stream.ssl_read(&mut self.inward.0);
        let count = *result.as_ref().unwrap_or(&0);
        self.inward.0.truncate(count);
        self.inward.1 = 0;
        match result {
            Ok(_) => return true,
            Err(error) => match error.code() {
                ErrorCode::WANT_READ => self.network_readable = false,
                ErrorCode::WANT_WRITE => {}
                ErrorCode::ZERO_RETURN => self.peer_closed = true,
                _ => {
                    self.peer_closed = true;
                    self.truncated = true;
                }
            },
        }
        if self.peer_closed && self.program.shutdown(Shutdown::Write).is_err() {
            self.program_closed = true;
        }
        false
    }

    fn write_program(&mut self) -> bool {
        let rest = self.inward.0.get(self.inward.1..).unwrap_or_default();
        if rest.is_empty() || !self.program_writable {
            return false;
        }
        match self.program.write(rest) {
            Ok(count) => {
                self.inward.1 = self.inward.1.saturating_add(count);
                if self.inward.1 >= self.inward.0.len() {
                    self.inward.0.clear();
                }
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.program_writable = false;
                false
            }
            Err(_gone) => {
                // What the program still had to say is read until its end of file.
                self.inward.0.clear();
                self.peer_closed = true;
                true
            }
        }
    }

    fn read_program(&mut self) -> io::Result<bool> {
        if self.program_closed || !self.program_readable || !self.outward.0.is_empty() {
            return Ok(false);
        }
        self.outward.0.resize(CHUNK, 0);
        let result = self.program.read(&mut self.outward.0);
        let count = *result.as_ref().unwrap_or(&0);
        self.outward.0.truncate(count);
        self.outward.1 = 0;
        match result {
            Ok(0) => self.program_closed = true,
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.program_readable = false,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.program_closed = true,
            Err(error) => return Err(error),
        }
        Ok(false)
    }

    fn write_network(&mut self) -> bool {
        let rest = self.outward.0.get(self.outward.1..).unwrap_or_default();
        if rest.is_empty() {
            return false;
        }
        match self.stream.ssl_write(rest) {
            Ok(count) => {
                self.outward.1 = self.outward.1.saturating_add(count);
                if self.outward.1 >= self.outward.0.len() {
                    self.outward.0.clear();
                }
                true
            }
            Err(error) => match error.code() {
                ErrorCode::WANT_READ | ErrorCode::WANT_WRITE => false,
                _ => {
                    // Nobody to send to any more: let the program run out.
                    self.outward.0.clear();
                    self.program_closed = true;
                    self.truncated = true;
                    true
                }
            },
        }
    }

    /// Waits until something can be done; false if the program is gone and the peer does not take the rest.
    fn wait(&mut self) -> io::Result<bool> {
        // An idle session owns no buffers.
        if self.inward.0.is_empty() {
            self.inward.0 = Vec::new();
        }
        if self.outward.0.is_empty() {
            self.outward.0 = Vec::new();
        }
        let network = self.stream.get_mut();
        if !network.has_output() {
            network.output = Vec::new();
        }
        let mut on_network = PollFlags::empty();
        on_network.set(
            PollFlags::POLLIN,
            !self.peer_closed && self.inward.0.is_empty(),
        );
        on_network.set(PollFlags::POLLOUT, network.has_output());
        let mut on_program = PollFlags::empty();
        on_program.set(
            PollFlags::POLLIN,
            !self.program_closed && self.outward.0.is_empty(),
        );
        on_program.set(PollFlags::POLLOUT, !self.inward.0.is_empty());
        // A side that nothing is expected of is left out: a hang-up there would end every wait at once.
        let mut fds = Vec::with_capacity(2);
        if !on_network.is_empty() {
            fds.push(PollFd::new(network.socket.as_fd(), on_network));
        }
        let program_index = fds.len();
        if !on_program.is_empty() {
            fds.push(PollFd::new(self.program.as_fd(), on_program));
        }
        let patience = if self.program_closed {
            PollTimeout::try_from(GOODBYE).unwrap_or(PollTimeout::MAX)
        } else {
            PollTimeout::NONE
        };
        match nix::poll::poll(&mut fds, patience) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let happened =
            |fd: Option<&PollFd<'_>>| fd.and_then(PollFd::revents).unwrap_or(PollFlags::empty());
        let network = if program_index == 1 {
            happened(fds.first())
        } else {
            PollFlags::empty()
        };
        let program = happened(fds.get(program_index));
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
        self.network_readable |= network.intersects(PollFlags::POLLIN | gone);
        self.program_readable |= program.intersects(PollFlags::POLLIN | gone);
        self.program_writable |= program.intersects(PollFlags::POLLOUT | gone);
        Ok(true)
    }

    /// Tells the peer that nothing more comes and gives it a moment to agree.
    fn say_goodbye(&mut self) -> End {
        let deadline = Instant::now() + GOODBYE;
        let mut told = false;
        loop {
            let shutdown = if told {
                Ok(())
            } else {
                self.stream.shutdown().map(|_| ())
            };
            told |= shutdown.is_ok();
            let sent = self.stream.get_mut().send();
            let Ok(sent) = sent else {
                return End::Truncated;
            };
            if self.stream.get_shutdown().contains(ShutdownState::RECEIVED)
                || (self.peer_closed && sent)
            {
                return if self.truncated {
                    End::Truncated
                } else {
                    End::Closed
                };
            }
            // The peer sees the end of our side even if it never answers.
            if told
                && sent
                && self
                    .stream
                    .get_ref()
                    .socket
                    .shutdown(Shutdown::Write)
                    .is_err()
            {
                return End::Closed;
            }
            let mut events = PollFlags::POLLIN;
            events.set(PollFlags::POLLOUT, !sent);
            let ready =
                courier::sys::fd::wait_ready(&self.stream.get_ref().socket, events, Some(deadline));
            if !ready.unwrap_or(false) {
                return if sent { End::Closed } else { End::Truncated };
            }
            let mut discarded = vec![0; RECORD];
            loop {
                match self.stream.ssl_read(&mut discarded) {
                    Ok(_) => {}
                    Err(error) if error.code() == ErrorCode::WANT_READ => break,
                    Err(error) if error.code() == ErrorCode::WANT_WRITE => break,
                    Err(_over) => return End::Closed,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake;
    use openssl::ssl::{Ssl, SslContext, SslMethod, SslVerifyMode};
    use std::os::unix::net::UnixStream;

    /// Two ends of a connection, with an anonymous cipher: no certificate is needed.
    fn pair() -> (SslStream<Network>, SslStream<UnixStream>) {
        let context = |method| {
            let mut builder = SslContext::builder(method).unwrap();
            builder.set_cipher_list("aNULL:@SECLEVEL=0").unwrap();
            builder
                .set_max_proto_version(Some(openssl::ssl::SslVersion::TLS1_2))
                .unwrap();
            builder.set_verify(SslVerifyMode::NONE);
            builder.build()
        };
        let (ours, theirs) = UnixStream::pair().unwrap();
        let client = std::thread::spawn(move || {
            let ssl = Ssl::new(&context(SslMethod::tls_client())).unwrap();
            let mut stream = SslStream::new(ssl, theirs).unwrap();
            stream.connect().unwrap();
            stream
        });
        let mut ssl = Ssl::new(&context(SslMethod::tls_server())).unwrap();
        ssl.set_accept_state();
        let network = Network::new(OwnedFd::from(ours)).unwrap();
        let mut stream = SslStream::new(ssl, network).unwrap();
        handshake::shake(&mut stream, Duration::from_secs(20)).unwrap();
        (stream, client.join().unwrap())
    }

    #[test]
    fn a_peer_that_does_not_read_what_is_left_is_let_go() {
        let (mut stream, peer) = pair();
        let (ours, mut program) = UnixStream::pair().unwrap();
        // More than the peer's socket holds, less than that and what the relay keeps: the program can end.
        let writer = std::thread::spawn(move || program.write_all(&vec![0; 400_000]));
        let plain = Plain::new(OwnedFd::from(ours)).unwrap();
        let end = relay(&mut stream, plain);
        assert!(matches!(end, Ok(End::Truncated)), "{end:?}");
        writer.join().unwrap().unwrap();
        drop(peer);
    }

    #[test]
    fn a_handshake_that_never_ends_is_given_up() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let context = SslContext::builder(SslMethod::tls_server())
            .unwrap()
            .build();
        let mut ssl = Ssl::new(&context).unwrap();
        ssl.set_accept_state();
        let network = Network::new(OwnedFd::from(ours)).unwrap();
        let mut stream = SslStream::new(ssl, network).unwrap();
        let result = handshake::shake(&mut stream, Duration::from_millis(50));
        assert!(
            matches!(result, Err(handshake::HandshakeFailure::TimedOut)),
            "{result:?}"
        );
    }
}
