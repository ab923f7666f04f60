//! What is said to a server to log in there: IMAP's LOGIN, POP3's USER and PASS (contract: login §9). Replies are read
//! line by line and no further, since what follows the last one is the client's; everything that is not a reply as
//! the RFCs have it ends the dialog.

use std::fmt;
use std::time::{Duration, Instant};

use super::super::peer::{Gone, Line, Peer};
use super::super::settings::Protocol;
use super::talker::Text;
use crate::sys::log::{Level, log};

/// How long a server may take for each line.
const REPLY_TIME: Duration = Duration::from_secs(30);
/// What is kept of a line, in bytes: more than any reply that is looked at.
const LINE_MAX: usize = 1024;
/// What a server may send before the login is over, in bytes.
const REPLIES_MAX: u64 = 64 * 1024;

/// Codes of replies that are about the server and not about the name and the password (RFC 5530, RFC 2449, RFC 3206).
const NOT_NOW: &[&[u8]] = &[
    b"UNAVAILABLE",
    b"INUSE",
    b"SERVERBUG",
    b"CONTACTADMIN",
    b"IN-USE",
    b"LOGIN-DELAY",
    b"SYS/TEMP",
    b"SYS/PERM",
];

/// Who logs in.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// IMAP or POP3.
    pub protocol: Protocol,
    /// IMAP: the tag of the client's own command.
    pub tag: &'a [u8],
    /// POP3: the client has sent UTF8.
    pub utf8: bool,
    /// The account's name. Without line ends and NUL, as the password.
    pub address: &'a [u8],
    /// Its password.
    pub password: &'a [u8],
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What follows on the connection is the client's.
    LoggedIn,
    /// The name or the password is wrong there.
    Refused,
    /// Something else.
    Failed,
}

impl Outcome {
    /// The byte that the monitor gets.
    pub fn encode(self) -> u8 {
        match self {
            Self::LoggedIn => b'L',
            Self::Refused => b'R',
            Self::Failed => b'F',
        }
    }

    /// Reads it; `None` for anything else.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        [Self::LoggedIn, Self::Refused, Self::Failed]
            .into_iter()
            .find(|outcome| packet == [outcome.encode()])
    }
}

/// What the dialog had come to when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The greeting.
    Greeting,
    /// IMAP: LOGIN.
    Login,
    /// POP3: UTF8.
    Utf8,
    /// POP3: USER.
    User,
    /// POP3: PASS.
    Password,
}

/// What happened then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is gone.
    Closed,
    /// Nothing, for too long.
    Silent,
    /// A refusal that is not about the account.
    NotNow,
    /// A refusal.
    No,
    /// Something that is no reply.
    Malformed,
    /// Too much of it.
    Endless,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "Connection closed by remote host",
            Self::Silent => "Timeout waiting for the remote host",
            Self::NotNow | Self::No => "Refused by the remote host",
            Self::Malformed => "Malformed reply of the remote host",
            Self::Endless => "Too long a reply of the remote host",
        })
    }
}

/// Why there is no login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub stage: Stage,
    /// What.
    pub fault: Fault,
}

impl Failure {
    /// What it means to the client.
    pub fn outcome(self) -> Outcome {
        let about_account = matches!(self.stage, Stage::Login | Stage::User | Stage::Password);
        if self.fault == Fault::No && about_account {
            Outcome::Refused
        } else {
            Outcome::Failed
        }
    }
}

/// The connection to a server.
#[derive(Debug)]
pub struct Server<'a> {
    peer: Peer<'a>,
    deadline: Instant,
    debug: bool,
}

impl<'a> Server<'a> {
    /// Talks over `peer` until `deadline`; `debug` logs what is said.
    pub fn new(peer: Peer<'a>, deadline: Instant, debug: bool) -> Self {
        Self {
            peer,
            deadline,
            debug,
        }
    }

    /// For the log, if that is wanted.
    pub fn debug(&self, text: fmt::Arguments<'_>) {
        if self.debug {
            log(Level::Debug, text);
        }
    }

    /// Sends a piece of a command; `shown` is what the log has in its place.
    fn send(&mut self, bytes: &[u8], shown: &[u8]) -> Result<(), Fault> {
        self.debug(format_args!("Sending: {}", Text(shown)));
        self.peer.say(bytes);
        self.limit();
        self.peer.flush().map_err(fault)
    }

    /// A line without its end; of a long one the beginning.
    fn line(&mut self) -> Result<Vec<u8>, Fault> {
        self.limit();
        let mut line = Vec::new();
        let mut whole = self.peer.read_line(&mut line, LINE_MAX).map_err(fault)?;
        let mut end = line.clone();
        loop {
            if self.peer.counts().0 > REPLIES_MAX {
                return Err(Fault::Endless);
            }
            if whole == Line::Whole {
                break;
            }
            // The two octets that end a line may lie in different pieces.
            let last = end.last().copied();
            end.clear();
            end.extend(last);
            let piece = end.len().saturating_add(LINE_MAX);
            whole = self.peer.read_line(&mut end, piece).map_err(fault)?;
        }
        if !end.ends_with(b"\r\n") {
            return Err(Fault::Malformed);
        }
        if line.ends_with(b"\r\n") {
            line.truncate(line.len().saturating_sub(2));
        }
        self.debug(format_args!("Received: {}", Text(&line)));
        Ok(line)
    }

    fn limit(&mut self) {
        let reply = Instant::now() + REPLY_TIME;
        self.peer.set_deadline(reply.min(self.deadline));
    }
}

fn fault(gone: Gone) -> Fault {
    match gone {
        Gone::Peer | Gone::Monitor => Fault::Closed,
        Gone::Time => Fault::Silent,
    }
}

/// Logs in.
///
/// # Errors
/// [`Failure`]; the connection is of no use then.
pub fn log_in(server: &mut Server<'_>, login: &Login<'_>) -> Result<(), Failure> {
    match login.protocol {
        Protocol::Imap => {
            let at = |stage| move |fault| Failure { stage, fault };
            imap_greeting(server).map_err(at(Stage::Greeting))?;
            imap_login(server, login).map_err(at(Stage::Login))
        }
        Protocol::Pop3 => pop3(server, login),
    }
}

/// True if `line` is `word`, in any case, alone or followed by a blank.
fn begins(line: &[u8], word: &[u8]) -> bool {
    let (start, rest) = line.split_at_checked(word.len()).unwrap_or((line, b""));
    start.eq_ignore_ascii_case(word) && matches!(rest.first(), None | Some(b' '))
}

/// A refusal whose text, the code first, is `text`.
fn refusal(text: &[u8]) -> Fault {
    let code = text.strip_prefix(b"[").unwrap_or_default();
    let code = code.split(|byte| b"] ".contains(byte)).next();
    let code = code.unwrap_or_default();
    if NOT_NOW.iter().any(|known| code.eq_ignore_ascii_case(known)) {
        Fault::NotNow
    } else {
        Fault::No
    }
}

fn imap_greeting(server: &mut Server<'_>) -> Result<(), Fault> {
    let line = server.line()?;
    if begins(&line, b"* OK") {
        Ok(())
    } else if line.starts_with(b"* ") {
        Err(Fault::No)
    } else {
        Err(Fault::Malformed)
    }
}

fn imap_login(server: &mut Server<'_>, login: &Login<'_>) -> Result<(), Fault> {
    let mut pieces = login_command(login).into_iter();
    let (mut next, mut shown) = (pieces.next(), true);
    loop {
        if let Some(piece) = next.take() {
            let hidden = [login.tag, b" LOGIN ..."].concat();
            server.send(&piece, if shown { &hidden } else { b"..." })?;
            shown = false;
        }
        let line = server.line()?;
        if begins(&line, b"* BYE") {
            return Err(Fault::Closed);
        }
        if line.starts_with(b"* ") {
            continue;
        }
        if begins(&line, b"+") {
            next = pieces.next();
            if next.is_none() {
                return Err(Fault::Malformed);
            }
            continue;
        }
        let answer = line
            .strip_prefix(login.tag)
            .and_then(|rest| rest.strip_prefix(b" "))
            .ok_or(Fault::Malformed)?;
        return if begins(answer, b"OK") {
            // An answer to half a command is none.
            pieces.next().map_or(Ok(()), |_| Err(Fault::Malformed))
        } else if begins(answer, b"NO") {
            Err(refusal(answer.get(3..).unwrap_or_default()))
        } else if begins(answer, b"BAD") {
            Err(refusal(answer.get(4..).unwrap_or_default()))
        } else {
            Err(Fault::Malformed)
        };
    }
}

/// The LOGIN command, cut where the server has to ask for the next piece: a text that is not ASCII is a literal, which
/// every server takes.
fn login_command(login: &Login<'_>) -> Vec<Vec<u8>> {
    let mut pieces = vec![[login.tag, b" LOGIN"].concat()];
    for text in [login.address, login.password] {
        let Some(piece) = pieces.last_mut() else {
            continue;
        };
        piece.push(b' ');
        if text.is_ascii() {
            piece.push(b'"');
            for &byte in text {
                if b"\"\\".contains(&byte) {
                    piece.push(b'\\');
                }
                piece.push(byte);
            }
            piece.push(b'"');
        } else {
            piece.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
            pieces.push(text.to_vec());
        }
    }
    if let Some(piece) = pieces.last_mut() {
        piece.extend_from_slice(b"\r\n");
    }
    pieces
}

fn pop3(server: &mut Server<'_>, login: &Login<'_>) -> Result<(), Failure> {
    let at = |stage| move |fault| Failure { stage, fault };
    pop3_reply(server).map_err(at(Stage::Greeting))?;
    let user = [b"USER ", login.address, b"\r\n"].concat();
    let password = [b"PASS ", login.password, b"\r\n"].concat();
    let commands: [(Stage, &[u8], &[u8]); 3] = [
        (Stage::Utf8, b"UTF8\r\n", b"UTF8"),
        (Stage::User, &user, user.trim_ascii_end()),
        (Stage::Password, &password, b"PASS ..."),
    ];
    for (stage, command, shown) in commands {
        if stage == Stage::Utf8 && !login.utf8 {
            continue;
        }
        server.send(command, shown).map_err(at(stage))?;
        pop3_reply(server).map_err(at(stage))?;
    }
    Ok(())
}

fn pop3_reply(server: &mut Server<'_>) -> Result<(), Fault> {
    let line = server.line()?;
    if begins(&line, b"+OK") {
        Ok(())
    } else if begins(&line, b"-ERR") {
        Err(refusal(line.get(5..).unwrap_or_default()))
    } else {
        Err(Fault::Malformed)
    }
}

#[cfg(test)]
mod tests;
