//! The client's clear-text request for TLS (`-protocol`; contract: couriertls 1.1): greeting, command, reply.
//!
//! What the server sent behind its last reply would be read as if it had come over TLS; it ends the connection.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use courier::sys::fd;
use courier::sys::log::reason;
use nix::errno::Errno;
use nix::poll::PollFlags;

/// How long the server may take for each line.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest line of the server.
const LINE_MAX: usize = 8192;
/// Most lines before the one that counts.
const LINES_MAX: usize = 1000;

/// What the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Smtp,
    Imap,
    Pop3,
}

impl Protocol {
    /// The value of `-protocol`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "smtp" => Some(Self::Smtp),
            "imap" => Some(Self::Imap),
            "pop3" => Some(Self::Pop3),
            _ => None,
        }
    }
}

/// Why the handshake cannot begin.
#[derive(Debug)]
pub(crate) enum DialogError {
    Io(io::Error),
    /// Nothing came in time.
    TimedOut,
    /// The server closed.
    Closed,
    /// The server will not.
    Refused(String),
    /// More than a line, or more than the reply.
    Unexpected,
}

impl fmt::Display for DialogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => f.write_str(&reason(error)),
            Self::TimedOut => f.write_str("Connection timed out"),
            Self::Closed => f.write_str("Connection closed"),
            Self::Refused(line) => write!(f, "{line}"),
            Self::Unexpected => f.write_str("unexpected clear text before the handshake"),
        }
    }
}

impl From<io::Error> for DialogError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

struct Dialog<'a, W: Write> {
    network: &'a OwnedFd,
    echo: W,
    unread: Vec<u8>,
}

/// Asks the server on `network` for TLS. Everything said is repeated on `echo`.
///
/// # Errors
/// [`DialogError`]; the connection is of no use then.
pub(crate) fn ask(
    network: &OwnedFd,
    protocol: Protocol,
    echo: impl Write,
) -> Result<(), DialogError> {
    let mut dialog = Dialog {
        network,
        echo,
        unread: Vec::new(),
    };
    match protocol {
        Protocol::Imap => {
            dialog.imap_reply("* OK")?;
            dialog.say("x STARTTLS")?;
            dialog.imap_reply("x OK")?;
        }
        Protocol::Pop3 => {
            dialog.pop3_reply()?;
            dialog.say("STLS")?;
            dialog.pop3_reply()?;
        }
        Protocol::Smtp => {
            let name = nix::unistd::gethostname()
                .ok()
                .and_then(|name| name.into_string().ok())
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "localhost".to_owned());
            dialog.smtp_reply()?;
            dialog.say(&format!("EHLO {name}"))?;
            dialog.smtp_reply()?;
            dialog.say("STARTTLS")?;
            dialog.smtp_reply()?;
        }
    }
    dialog.echo.flush()?;
    if dialog.unread.is_empty() {
        Ok(())
    } else {
        Err(DialogError::Unexpected)
    }
}

impl<W: Write> Dialog<'_, W> {
    fn say(&mut self, line: &str) -> Result<(), DialogError> {
        // A reply that came before its command was not one.
        if !self.unread.is_empty() {
            return Err(DialogError::Unexpected);
        }
        let line = format!("{line}\r\n");
        self.echo.write_all(line.as_bytes())?;
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match nix::unistd::write(self.network, rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String, DialogError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                self.echo.write_all(&line)?;
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.unread.len() > LINE_MAX {
                return Err(DialogError::Unexpected);
            }
            if !fd::wait_ready(self.network, PollFlags::POLLIN, Some(deadline))? {
                return Err(DialogError::TimedOut);
            }
            let mut buffer = [0; 1024];
            match nix::unistd::read(self.network, &mut buffer) {
                Ok(0) => return Err(DialogError::Closed),
                Ok(count) => self
                    .unread
                    .extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
    }

    /// Waits for a line that begins with `wanted`; untagged lines before it are passed over.
    fn imap_reply(&mut self, wanted: &str) -> Result<(), DialogError> {
        for _ in 0..LINES_MAX {
            let line = self.line()?;
            let upper = line.to_ascii_uppercase();
            let starts = |prefix: &str| {
                upper
                    .strip_prefix(&prefix.to_ascii_uppercase())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            };
            if starts(wanted) {
                return Ok(());
            }
            let refusals = ["* BYE", "* BAD", "* NO", "X BYE", "X BAD", "X NO"];
            if refusals.iter().any(|refusal| starts(refusal)) {
                return Err(DialogError::Refused(line));
            }
        }
        Err(DialogError::Unexpected)
    }

    fn pop3_reply(&mut self) -> Result<(), DialogError> {
        let line = self.line()?;
        if line.starts_with("+OK") {
            Ok(())
        } else {
            Err(DialogError::Refused(line))
        }
    }

    /// One reply of any number of lines; a hyphen behind the code says that more follow.
    fn smtp_reply(&mut self) -> Result<(), DialogError> {
        for _ in 0..LINES_MAX {
            let line = self.line()?;
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            return match line.bytes().next() {
                Some(b'1'..=b'3') => Ok(()),
                _ => Err(DialogError::Refused(line)),
            };
        }
        Err(DialogError::Unexpected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    /// Runs the dialog against a server that waits for each of the commands before the next reply.
    fn talk(protocol: Protocol, script: &[(&str, &str)]) -> (Result<(), DialogError>, String) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let network = OwnedFd::from(ours);
        let mut echo = Vec::new();
        let result = std::thread::scope(|scope| {
            scope.spawn(move || {
                for (command, reply) in script {
                    let mut heard = vec![0; command.len()];
                    if theirs.read_exact(&mut heard).is_err() {
                        return;
                    }
                    assert_eq!(String::from_utf8_lossy(&heard), *command);
                    theirs.write_all(reply.as_bytes()).unwrap();
                }
            });
            let result = ask(&network, protocol, &mut echo);
            drop(network);
            result
        });
        (result, String::from_utf8(echo).unwrap())
    }

    #[test]
    fn each_protocol_asks_in_its_own_words() {
        let (result, echo) = talk(
            Protocol::Imap,
            &[
                ("", "* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"),
                ("x STARTTLS\r\n", "* CAPABILITY IMAP4rev1\r\nx OK begin\r\n"),
            ],
        );
        result.unwrap();
        assert!(
            echo.contains("x STARTTLS\r\n") && echo.ends_with("x OK begin\r\n"),
            "{echo}"
        );
        talk(
            Protocol::Pop3,
            &[("", "+OK hello\r\n"), ("STLS\r\n", "+OK\r\n")],
        )
        .0
        .unwrap();
        let name = nix::unistd::gethostname().unwrap().into_string().unwrap();
        talk(
            Protocol::Smtp,
            &[
                ("", "220-hello\r\n220 there\r\n"),
                (
                    &format!("EHLO {name}\r\n"),
                    "250-PIPELINING\r\n250 STARTTLS\r\n",
                ),
                ("STARTTLS\r\n", "220 go ahead\r\n"),
            ],
        )
        .0
        .unwrap();
    }

    #[test]
    fn refusals_and_injected_text_end_it() {
        for (protocol, script) in [
            (Protocol::Imap, &[("", "* BYE full\r\n")] as &[_]),
            (
                Protocol::Imap,
                &[("", "* OK\r\n"), ("x STARTTLS\r\n", "x BAD no\r\n")],
            ),
            (
                Protocol::Pop3,
                &[("", "+OK\r\n"), ("STLS\r\n", "-ERR no\r\n")],
            ),
            (Protocol::Smtp, &[("", "554 go away\r\n")]),
        ] {
            let (result, _) = talk(protocol, script);
            assert!(matches!(result, Err(DialogError::Refused(_))), "{result:?}");
        }
        for script in [
            &[("", "* OK\r\n* BYE early\r\n")] as &[_],
            &[
                ("", "* OK\r\n"),
                ("x STARTTLS\r\n", "x OK\r\n* OK injected\r\n"),
            ],
        ] {
            let (result, _) = talk(Protocol::Imap, script);
            assert!(matches!(result, Err(DialogError::Unexpected)), "{result:?}");
        }
        let (result, _) = talk(Protocol::Pop3, &[]);
        assert!(matches!(result, Err(DialogError::Closed)), "{result:?}");
        let long = "x".repeat(20_000);
        let (result, _) = talk(Protocol::Pop3, &[("", &long)]);
        assert!(matches!(result, Err(DialogError::Unexpected)), "{result:?}");
    }
}
