//! Between the peer's TLS and the program's plain text: the copy loop.
//!
//! It makes few system calls: what one read brought is encrypted into several records that leave in one write; a
//! short read says that a socket is empty without asking it again; buffers are kept from one wake-up to the next and
//! given back to the system only when the session has been idle for a while.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use courier::sys::heap;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use openssl::ssl::{ErrorCode, ShutdownState, SslStream};

/// Octets taken from the program at once: several TLS records, sent together.
const CHUNK: usize = 64 * 1024;
/// Largest TLS record.
const RECORD: usize = 16 * 1024;
/// Encrypted octets that may wait for a slow peer before more are made.
const OUTPUT_MAX: usize = 256 * 1024;
/// A session in which nothing has happened for this long owns no buffers.
const IDLE: Duration = Duration::from_millis(200);
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
    /// The last read took all there was; nothing more until poll says so.
    drained: bool,
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
            drained: false,
        })
    }

    /// After a wait: the socket may have something to read.
    pub(crate) fn readable(&mut self) {
        self.drained = false;
    }

    /// The socket, to wait for.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn has_output(&self) -> bool {
        self.sent < self.output.len()
    }

    fn waiting(&self) -> usize {
        self.output.len().saturating_sub(self.sent)
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
        if self.drained {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = self.socket.read(buffer)?;
        // 0 is the end, which may be read again.
        self.drained = count > 0 && count < buffer.len();
        Ok(count)
    }
}

impl Write for Network {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.waiting() >= OUTPUT_MAX {
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.sent >= OUTPUT_MAX {
            // A peer that is never quite caught up with must not make this grow.
            self.output.drain(..self.sent);
            self.sent = 0;
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

/// Octets on their way: read into the buffer at once, written from it piece by piece.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Room for `size` octets; only for an empty buffer.
    fn room(&mut self, size: usize) -> &mut [u8] {
        if self.bytes.len() != size {
            self.bytes = vec![0; size];
        }
        (self.start, self.end) = (0, 0);
        &mut self.bytes
    }

    /// So many octets were put into the room.
    fn filled(&mut self, count: usize) {
        self.end = count;
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// So many octets of the rest are written.
    fn taken(&mut self, count: usize) {
        self.start = self.start.saturating_add(count);
    }

    /// Nobody wants the rest.
    fn clear(&mut self) {
        self.start = self.end;
    }

    /// Gives the memory back if it is empty.
    fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

struct Relay<'a> {
    stream: &'a mut SslStream<Network>,
    program: TcpStream,
    /// Decrypted octets for the program.
    inward: Buffer,
    /// Plain octets for the peer.
    outward: Buffer,
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
        inward: Buffer::default(),
        outward: Buffer::default(),
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
            let network = self.stream.get_mut();
            let waiting = network.waiting();
            if network.send().is_err() {
                // The peer is gone; the program learns it by an end of file.
                self.peer_closed = true;
                self.truncated = true;
                return Ok(End::Truncated);
            }
            // There is room for more now, which nothing else would say.
            progress |= network.waiting() < waiting;
            if self.program_closed && self.outward.is_empty() {
                return Ok(self.say_goodbye());
            }
            if !progress && !self.wait()? {
                return Ok(End::Truncated);
            }
        }
    }

    fn read_network(&mut self) -> bool {
        if self.peer_closed || !self.network_readable || !self.inward.is_empty() {
            return false;
        }
        let result = self.stream.ssl_read(self.inward.room(RECORD));
        match result {
            Ok(count) => {
                self.inward.filled(count);
                return true;
            }
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
        if self.inward.is_empty() || !self.program_writable {
            return false;
        }
        match self.program.write(self.inward.rest()) {
            Ok(count) => {
                self.inward.taken(count);
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.program_writable = false;
                false
            }
            Err(_gone) => {
                // What the program still had to say is read until its end of file.
                self.inward.clear();
                self.peer_closed = true;
                true
            }
        }
    }

    fn read_program(&mut self) -> io::Result<bool> {
        if self.program_closed || !self.program_readable || !self.outward.is_empty() {
            return Ok(false);
        }
        match self.program.read(self.outward.room(CHUNK)) {
            Ok(0) => self.program_closed = true,
            Ok(count) => {
                self.outward.filled(count);
                // A stream socket gives all it has.
                self.program_readable = count == CHUNK;
                return Ok(true);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.program_readable = false,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.program_closed = true,
            Err(error) => return Err(error),
        }
        Ok(false)
    }

    /// Encrypts all that there is, or as much as may wait.
    fn write_network(&mut self) -> bool {
        let mut progress = false;
        while !self.outward.is_empty() {
            match self.stream.ssl_write(self.outward.rest()) {
                Ok(count) => {
                    self.outward.taken(count);
                    progress = true;
                }
                Err(error) => match error.code() {
                    ErrorCode::WANT_READ | ErrorCode::WANT_WRITE => break,
                    _ => {
                        // Nobody to send to any more: let the program run out.
                        self.outward.clear();
                        self.program_closed = true;
                        self.truncated = true;
                        progress = true;
                    }
                },
            }
        }
        progress
    }

    /// Waits until something can be done; false if the program is gone and the peer does not take the rest.
    fn wait(&mut self) -> io::Result<bool> {
        let mut on_network = PollFlags::empty();
        let network = self.stream.get_ref();
        on_network.set(
            PollFlags::POLLIN,
            !self.peer_closed && self.inward.is_empty(),
        );
        on_network.set(PollFlags::POLLOUT, network.has_output());
        let mut on_program = PollFlags::empty();
        on_program.set(
            PollFlags::POLLIN,
            !self.program_closed && self.outward.is_empty(),
        );
        on_program.set(PollFlags::POLLOUT, !self.inward.is_empty());
        // A side that nothing is expected of is left out: a hang-up there would end every wait at once.
        let mut fds = Vec::with_capacity(2);
        if !on_network.is_empty() {
            fds.push(PollFd::new(network.socket.as_fd(), on_network));
        }
        let program_index = fds.len();
        if !on_program.is_empty() {
            fds.push(PollFd::new(self.program.as_fd(), on_program));
        }
        let idle = !network.has_output() && self.inward.is_empty() && self.outward.is_empty();
        let owns = self.inward.bytes.len() + self.outward.bytes.len() > 0;
        let patience = if self.program_closed {
            PollTimeout::try_from(GOODBYE).unwrap_or(PollTimeout::MAX)
        } else if idle && owns {
            PollTimeout::try_from(IDLE).unwrap_or(PollTimeout::MAX)
        } else {
            PollTimeout::NONE
        };
        match nix::poll::poll(&mut fds, patience) {
            Ok(0) if self.program_closed => return Ok(false),
            Ok(0) => {
                self.inward.release();
                self.outward.release();
                self.stream.get_mut().output = Vec::new();
                heap::give_back();
                return Ok(true);
            }
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
        if network.intersects(PollFlags::POLLIN | gone) {
            self.network_readable = true;
            self.stream.get_mut().readable();
        }
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
            // A peer that talks on and on is always ready.
            let over = || Instant::now() >= deadline;
            if !ready.unwrap_or(false) || over() {
                return if sent { End::Closed } else { End::Truncated };
            }
            self.stream.get_mut().readable();
            let mut discarded = vec![0; RECORD];
            while !over() {
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

    /// Two ends of a connection, with an anonymous cipher: no certificate is needed. TCP, whose buffers grow
    /// unless they are `small`.
    fn pair(small: bool) -> (SslStream<Network>, SslStream<TcpStream>) {
        let context = |method| {
            let mut builder = SslContext::builder(method).unwrap();
            builder.set_cipher_list("aNULL:@SECLEVEL=0").unwrap();
            builder
                .set_max_proto_version(Some(openssl::ssl::SslVersion::TLS1_2))
                .unwrap();
            builder.set_verify(SslVerifyMode::NONE);
            builder.build()
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ours = listener.accept().unwrap().0;
        if small {
            use nix::sys::socket::{setsockopt, sockopt};
            setsockopt(&ours, sockopt::SndBuf, &65_536).unwrap();
            setsockopt(&theirs, sockopt::RcvBuf, &65_536).unwrap();
        }
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
        let (mut stream, peer) = pair(true);
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
    fn a_peer_that_never_stops_talking_is_let_go() {
        let (mut stream, mut peer) = pair(false);
        let (ours, program) = UnixStream::pair().unwrap();
        drop(program);
        let talker = std::thread::spawn(move || {
            let started = Instant::now();
            let chunk = vec![b'x'; RECORD];
            // Twenty seconds are for ever here.
            while started.elapsed() < Duration::from_secs(20) && peer.write_all(&chunk).is_ok() {}
            started.elapsed()
        });
        let plain = Plain::new(OwnedFd::from(ours)).unwrap();
        let end = relay(&mut stream, plain);
        drop(stream);
        let talked = talker.join().unwrap();
        assert!(talked < Duration::from_secs(20), "{end:?}");
    }

    /// The peer starts to read when nothing moves any more, and stops again in between.
    #[test]
    fn a_peer_that_reads_late_and_by_fits_gets_everything() {
        const ALL: usize = 30_000_000;
        let (mut stream, mut peer) = pair(false);
        let (ours, mut program) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || program.write_all(&vec![7; ALL]));
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 200_000];
            let mut total = 0;
            let mut pause = 100;
            while total < ALL {
                std::thread::sleep(Duration::from_millis(pause));
                pause = 3;
                let mut part = 0;
                while part < 150_000 && total < ALL {
                    let count = peer.read(&mut buffer).unwrap();
                    assert!(count > 0, "ended after {total}");
                    part += count;
                    total += count;
                }
            }
            // The goodbye is answered.
            let _closed = peer.shutdown();
            total
        });
        let plain = Plain::new(OwnedFd::from(ours)).unwrap();
        relay(&mut stream, plain).unwrap();
        writer.join().unwrap().unwrap();
        assert_eq!(reader.join().unwrap(), ALL);
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
