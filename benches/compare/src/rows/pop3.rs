//! POP3: what a client asks for at the start of a session, and the download of everything.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use harness::Error;
use harness::server::PASSWORD;

use crate::options::Options;
use crate::target::{Sample, Target, USER};

/// A server that takes longer than this for one reply has failed the row.
const PATIENCE: Duration = Duration::from_secs(180);

/// Login, STAT and UIDL by a client that has been here before.
pub(super) fn again(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    target.intact(options, options.messages)?;
    look(target.pop3_port()?)?;
    let port = target.pop3_port()?;
    target.measure(|| look(port))
}

/// The same on mail that the server has never seen.
pub(super) fn cold(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    target.unseen(options, options.messages)?;
    let port = target.pop3_port()?;
    target.measure(|| look(port))
}

/// RETR of every message, all commands sent without waiting for a reply. The login is not part of it.
pub(super) fn retrieve(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    target.intact(options, options.messages)?;
    look(target.pop3_port()?)?;
    let mut commands = String::new();
    for number in 1..=options.messages {
        commands.push_str(&format!("RETR {number}\r\n"));
    }
    let session = Session::login(target.pop3_port()?)?;
    // Every message arrives, whatever a server counts as its size.
    let least = options.messages.saturating_mul(options.size / 2);
    target.measure(|| {
        let received = session.rest(&commands)?;
        if received < least {
            return Err(Error::new(format!("RETR: only {received} bytes came")));
        }
        Ok(())
    })
}

fn look(port: u16) -> Result<(), Error> {
    Session::login(port)?.rest("STAT\r\nUIDL\r\n").map(drop)
}

/// A logged-in connection.
struct Session {
    stream: TcpStream,
}

impl Session {
    fn login(port: u16) -> Result<Self, Error> {
        let stream = harness::server::connect(port)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut session = Self { stream };
        session.ok()?;
        for command in [format!("USER {USER}"), format!("PASS {PASSWORD}")] {
            session
                .stream
                .write_all(format!("{command}\r\n").as_bytes())?;
            session.ok()?;
        }
        Ok(session)
    }

    /// Reads a reply of one line.
    fn ok(&mut self) -> Result<(), Error> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\n") {
            crate::interrupt::check()?;
            if self.stream.read(&mut byte)? == 0 {
                return Err(Error::new("the server closed the connection"));
            }
            line.extend_from_slice(&byte);
        }
        if line.starts_with(b"+OK") {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line);
        Err(Error::new(format!("POP3: {}", line.trim_end())))
    }

    /// Sends `commands` and QUIT, and reads until the server closes; how many bytes came.
    fn rest(mut self, commands: &str) -> Result<usize, Error> {
        let mut sender = self.stream.try_clone()?;
        let commands = format!("{commands}QUIT\r\n");
        // A server stops reading while its replies are not read.
        let writer = std::thread::spawn(move || sender.write_all(commands.as_bytes()));
        let mut buffer = vec![0; 1 << 18];
        let (mut received, mut last) = (0_usize, Vec::new());
        loop {
            crate::interrupt::check()?;
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            received = received.saturating_add(count);
            let read = buffer.get(..count).unwrap_or_default();
            last.extend_from_slice(read.get(count.saturating_sub(128)..).unwrap_or_default());
            let excess = last.len().saturating_sub(128);
            last.drain(..excess);
        }
        writer
            .join()
            .map_err(|_| Error::new("the sending thread failed"))??;
        let text = String::from_utf8_lossy(&last);
        match text.trim_end().lines().last() {
            Some(line) if line.starts_with("+OK") => Ok(received),
            line => Err(Error::new(format!("QUIT: {}", line.unwrap_or_default()))),
        }
    }
}
