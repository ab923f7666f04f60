//! A plain IMAP connection: lines, literals, deadlines. It interprets nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Error;

/// How long to wait for a reply; longer than the five seconds that a failed login costs.
const PATIENCE: Duration = Duration::from_secs(15);

/// One server response: text and the literals inside it, in turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// The text pieces, each without its line end; one more than there are literals. A piece before a literal ends
    /// with the `{n}` that announces it.
    pub text: Vec<Vec<u8>>,
    /// The literals.
    pub literals: Vec<Vec<u8>>,
}

impl Response {
    /// The first line, lossily decoded.
    pub fn line(&self) -> String {
        let first = self.text.first().map_or(&[][..], Vec::as_slice);
        String::from_utf8_lossy(first).into_owned()
    }

    /// Everything in one text, for failure messages.
    pub fn printable(&self) -> String {
        let mut text = self.line();
        for (literal, rest) in self.literals.iter().zip(self.text.iter().skip(1)) {
            text.push_str("\r\n");
            text.push_str(&String::from_utf8_lossy(literal));
            text.push_str(&String::from_utf8_lossy(rest));
        }
        text
    }
}

/// A command's outcome.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The untagged responses.
    pub untagged: Vec<Response>,
    /// The tagged one, without tag and blank.
    pub tagged: String,
}

impl Reply {
    /// True for a tagged OK.
    pub fn ok(&self) -> bool {
        self.tagged.starts_with("OK")
    }

    /// The first untagged response that contains `word`.
    ///
    /// # Errors
    /// There is none.
    pub fn with(&self, word: &str) -> Result<&Response, Error> {
        self.untagged
            .iter()
            .find(|response| response.line().contains(word))
            .ok_or_else(|| Error::new(format!("no response with {word:?} in {self:?}")))
    }
}

/// A connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    tag: u32,
}

impl Client {
    /// Connects to `port` on 127.0.0.1 and reads nothing.
    ///
    /// # Errors
    /// Nothing accepts there.
    pub fn connect(port: u16) -> Result<Self, Error> {
        let stream = crate::server::connect(port)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            start: 0,
            tag: 0,
        })
    }

    /// Speaks with what `command` reads from its standard input and writes to its standard output, which is one
    /// socket. The child is to be waited for when the client is gone.
    ///
    /// # Errors
    /// The program could not be started.
    pub fn through(command: &mut Command) -> Result<(Self, Child), Error> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        ours.set_write_timeout(Some(PATIENCE))?;
        let child = command
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .map_err(|error| Error::new(format!("{command:?}: {error}")))?;
        let client = Self {
            // Everything that is done with it can be done with any stream socket.
            stream: TcpStream::from(OwnedFd::from(ours)),
            buffer: Vec::new(),
            start: 0,
            tag: 0,
        };
        Ok((client, child))
    }

    /// Connects, reads the greeting and logs in.
    ///
    /// # Errors
    /// The greeting or the reply is not OK.
    pub fn login(port: u16, user: &str, password: &str) -> Result<Self, Error> {
        let mut client = Self::connect(port)?;
        client.greeting()?;
        client.expect_ok(&format!("LOGIN {user} {password}"))?;
        Ok(client)
    }

    /// Reads the greeting.
    ///
    /// # Errors
    /// It is not `* OK`.
    pub fn greeting(&mut self) -> Result<String, Error> {
        let greeting = self.response()?.line();
        if greeting.starts_with("* OK ") {
            Ok(greeting)
        } else {
            Err(Error::new(format!("greeting: {greeting:?}")))
        }
    }

    /// How long reads may take from now on.
    ///
    /// # Errors
    /// A zero time.
    pub fn set_patience(&mut self, patience: Duration) -> Result<(), Error> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }

    /// Sends `bytes` as they are.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream
            .write_all(bytes)
            .map_err(|error| Error::new(format!("send: {error}")))
    }

    /// Sends `command` with a fresh tag and collects everything up to the tagged reply. A literal in `command` must be
    /// non-synchronising.
    ///
    /// # Errors
    /// The connection ended or timed out.
    pub fn command(&mut self, command: &str) -> Result<Reply, Error> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        self.send(format!("{tag} {command}\r\n").as_bytes())?;
        self.reply_to(&tag)
            .map_err(|error| error.in_context(command))
    }

    /// Like [`Client::command`], and the reply must be OK.
    ///
    /// # Errors
    /// Also a NO or BAD.
    pub fn expect_ok(&mut self, command: &str) -> Result<Reply, Error> {
        let reply = self.command(command)?;
        if reply.ok() {
            Ok(reply)
        } else {
            Err(Error::new(format!("{command}: {}", reply.tagged)))
        }
    }

    /// Appends `message` with a synchronising literal.
    ///
    /// # Errors
    /// The server does not ask for the literal, or does not answer OK.
    pub fn append(&mut self, arguments: &str, message: &[u8]) -> Result<Reply, Error> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        self.send(format!("{tag} APPEND {arguments} {{{}}}\r\n", message.len()).as_bytes())?;
        let go_ahead = self.response()?.line();
        if !go_ahead.starts_with('+') {
            return Err(Error::new(format!("APPEND {arguments}: {go_ahead}")));
        }
        self.send(message)?;
        self.send(b"\r\n")?;
        let reply = self.reply_to(&tag)?;
        if reply.ok() {
            Ok(reply)
        } else {
            Err(Error::new(format!("APPEND {arguments}: {}", reply.tagged)))
        }
    }

    /// Collects everything up to the response tagged `tag`.
    ///
    /// # Errors
    /// The connection ended or timed out.
    pub fn reply_to(&mut self, tag: &str) -> Result<Reply, Error> {
        let mut untagged = Vec::new();
        loop {
            let response = self.response()?;
            let line = response.line();
            if let Some(rest) = line
                .strip_prefix(tag)
                .and_then(|rest| rest.strip_prefix(' '))
            {
                return Ok(Reply {
                    untagged,
                    tagged: rest.to_owned(),
                });
            }
            untagged.push(response);
        }
    }

    /// Reads one response with its literals.
    ///
    /// # Errors
    /// The connection ended or timed out.
    pub fn response(&mut self) -> Result<Response, Error> {
        let mut response = Response::default();
        loop {
            let line = self.line()?;
            let literal = announced_literal(&line);
            response.text.push(line);
            match literal {
                Some(length) => response.literals.push(self.exactly(length)?),
                None => return Ok(response),
            }
        }
    }

    /// True once the server has closed the connection and everything that it sent before has been read.
    ///
    /// # Errors
    /// It sent something instead, or nothing in time.
    pub fn closed(&mut self) -> Result<(), Error> {
        match self.response() {
            Ok(response) => Err(Error::new(format!(
                "expected the end of the connection, got: {}",
                response.printable()
            ))),
            Err(Error::Failed(text)) if text.starts_with("connection closed") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends no more; the server sees the end of the input.
    ///
    /// # Errors
    /// The peer is gone.
    pub fn half_close(&mut self) -> Result<(), Error> {
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    /// The local port, which the server's log lines name.
    ///
    /// # Errors
    /// The socket's.
    pub fn local_port(&self) -> Result<u16, Error> {
        Ok(self.stream.local_addr()?.port())
    }

    fn line(&mut self) -> Result<Vec<u8>, Error> {
        let mut searched = self.start;
        loop {
            let unread = self.buffer.get(searched..).unwrap_or_default();
            if let Some(offset) = unread.iter().position(|&byte| byte == b'\n') {
                let end = searched + offset;
                let line = self.buffer.get(self.start..end).unwrap_or_default();
                let line = line
                    .strip_suffix(b"\r")
                    .ok_or_else(|| Error::new("a line ends without CR"))?
                    .to_vec();
                self.start = end + 1;
                return Ok(line);
            }
            searched = self.buffer.len();
            let before = self.start;
            self.fill()?;
            searched -= before - self.start;
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Error> {
        while self.buffer.len() - self.start < length {
            self.fill()?;
        }
        let bytes = self.buffer.get(self.start..self.start + length);
        let bytes = bytes.unwrap_or_default().to_vec();
        self.start += length;
        Ok(bytes)
    }

    fn fill(&mut self) -> Result<(), Error> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let mut chunk = [0; 16 * 1024];
        let unread = String::from_utf8_lossy(&self.buffer).into_owned();
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(Error::new(format!("connection closed{}", after(&unread)))),
            Ok(count) => {
                self.buffer
                    .extend_from_slice(chunk.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                Err(Error::new(format!("connection closed{}", after(&unread))))
            }
            Err(error) => Err(Error::new(format!("no answer{}: {error}", after(&unread)))),
        }
    }
}

fn after(unread: &str) -> String {
    if unread.is_empty() {
        String::new()
    } else {
        format!(" after {unread:?}")
    }
}

/// The length in a trailing `{n}`.
fn announced_literal(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|&byte| byte == b'{')?;
    let digits = std::str::from_utf8(inner.get(open + 1..)?).ok()?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_announced_by_a_number_in_braces_at_the_end() {
        assert_eq!(announced_literal(b"* 1 FETCH (BODY[] {12}"), Some(12));
        assert_eq!(announced_literal(b"* OK {12"), None);
        assert_eq!(announced_literal(b"* OK {a}"), None);
        assert_eq!(announced_literal(b"* OK {}"), None);
    }
}
