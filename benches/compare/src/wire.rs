//! The client: a socket without delays, one buffer, and no parsing beyond the tagged line.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use harness::Error;

/// A server that takes longer than this for one command has failed the row.
const PATIENCE: Duration = Duration::from_secs(180);

/// A connection.
pub(crate) struct Wire {
    stream: Box<dyn ReadWrite>,
    buffer: Box<[u8]>,
}

/// What a connection is made of.
pub(crate) trait ReadWrite: Read + Write {}

impl<S: Read + Write> ReadWrite for S {}

/// A socket without delays.
///
/// # Errors
/// Nothing accepts.
pub(crate) fn socket(port: u16) -> Result<TcpStream, Error> {
    let stream = harness::server::connect(port)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

impl Wire {
    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// Nothing answers.
    pub(crate) fn connect(port: u16) -> Result<Self, Error> {
        Self::over(socket(port)?)
    }

    /// Reads the greeting from `stream`.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn over(stream: impl ReadWrite + 'static) -> Result<Self, Error> {
        let mut wire = Self {
            stream: Box::new(stream),
            buffer: vec![0; 1 << 18].into_boxed_slice(),
        };
        wire.until(b"* ")?;
        Ok(wire)
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// The server refuses.
    pub(crate) fn login(port: u16, user: &str) -> Result<Self, Error> {
        let mut wire = Self::connect(port)?;
        wire.log_in(user)?;
        Ok(wire)
    }

    /// Logs in.
    ///
    /// # Errors
    /// The server refuses.
    pub(crate) fn log_in(&mut self, user: &str) -> Result<(), Error> {
        self.ok(&format!("LOGIN {user} {}", harness::server::PASSWORD))
    }

    /// Sends `command` and waits for its tagged reply, which must be OK.
    ///
    /// # Errors
    /// NO, BAD, or the end of the connection.
    pub(crate) fn ok(&mut self, command: &str) -> Result<(), Error> {
        // No message contains this at the start of its last line.
        self.stream
            .write_all(format!("zQ7x {command}\r\n").as_bytes())?;
        self.tagged(command)
    }

    /// APPEND of `message` with a synchronising literal.
    ///
    /// # Errors
    /// As [`Wire::ok`].
    pub(crate) fn append(&mut self, mailbox: &str, message: &[u8]) -> Result<(), Error> {
        let command = format!("zQ7x APPEND {mailbox} {{{}}}\r\n", message.len());
        self.stream.write_all(command.as_bytes())?;
        self.until(b"+ ")?;
        self.stream.write_all(message)?;
        self.stream.write_all(b"\r\n")?;
        self.tagged("APPEND")
    }

    /// Sends `command` and waits for a continuation.
    ///
    /// # Errors
    /// As [`Wire::ok`].
    pub(crate) fn begin(&mut self, command: &str) -> Result<(), Error> {
        self.stream
            .write_all(format!("zQ7x {command}\r\n").as_bytes())?;
        self.until(b"+ ")?;
        Ok(())
    }

    fn tagged(&mut self, command: &str) -> Result<(), Error> {
        let line = self.until(b"zQ7x ")?;
        if line.starts_with(b"zQ7x OK") {
            Ok(())
        } else {
            let line = String::from_utf8_lossy(&line);
            Err(Error::new(format!("{command}: {}", line.trim_end())))
        }
    }

    /// Reads until the last complete line starts with `start`; returns that line.
    fn until(&mut self, start: &[u8]) -> Result<Vec<u8>, Error> {
        // Only the end of what came before can matter: the last line may straddle two reads.
        const KEPT: usize = 4096;
        let mut kept: Vec<u8> = Vec::new();
        loop {
            crate::interrupt::check()?;
            let count = self.stream.read(&mut self.buffer)?;
            if count == 0 {
                return Err(Error::new("the server closed the connection"));
            }
            let read = self.buffer.get(..count).unwrap_or_default();
            let tail = read.get(count.saturating_sub(KEPT)..).unwrap_or_default();
            if count >= KEPT {
                kept.clear();
            }
            kept.extend_from_slice(tail);
            let excess = kept.len().saturating_sub(KEPT);
            kept.drain(..excess);
            let Some(lines) = kept.strip_suffix(b"\r\n") else {
                continue;
            };
            let begin = lines
                .iter()
                .rposition(|&byte| byte == b'\n')
                .map_or(0, |at| at + 1);
            let last = lines.get(begin..).unwrap_or_default();
            if last.starts_with(start) {
                return Ok(last.to_vec());
            }
            // `* OK` lines behind a tagged reply do not occur; BYE in its place does.
            if last.starts_with(b"* BYE") {
                return Err(Error::new(String::from_utf8_lossy(last).into_owned()));
            }
        }
    }
}
