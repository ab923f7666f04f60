//! The commands after login (RFC 1939; contract: pop3d §4).

use std::fs::File;
use std::io::{self, Read};
use std::time::Instant;

use courier::maildir::{Maildrop, StoredMessage};
use courier::sys::log::{Level, log, reason};
use courier::text::decimal;

use crate::capability::language;
use crate::command::Command;
use crate::sending::{Extent, Sending};
use crate::settings::Settings;
use crate::wire::{Gone, Input, Line, Output};
use crate::wrap::Wrapper;

/// Bytes of a message read at a time.
const PIECE: usize = 64 * 1024;

const INVALID: &[u8] = b"-ERR Invalid command.";
const NO_SUCH_MESSAGE: &[u8] = b"-ERR Invalid message number.";

/// How a session ended: the word in its last log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// QUIT.
    Logout,
    /// The client left.
    Disconnected,
    /// The client was silent for too long.
    TimedOut,
    /// A message could not be read to its end; the connection is cut, which the client notices.
    ReadError,
}

impl From<Gone> for End {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Closed => Self::Disconnected,
            Gone::Time => Self::TimedOut,
        }
    }
}

/// A running session.
pub struct Session<'a> {
    settings: &'a Settings,
    input: Input<'a>,
    output: Output<'a>,
    maildrop: Maildrop,
    /// Messages marked by DELE.
    deleted: Vec<bool>,
    /// Message bytes on their way from a file to the output.
    piece: Vec<u8>,
    /// The first line of a reply being made.
    heading: Vec<u8>,
    utf8: bool,
    /// Stored bytes sent by TOP and by RETR.
    top: u64,
    retr: u64,
    start: Instant,
}

impl<'a> Session<'a> {
    /// Over `maildrop`; `start` is when the program was started.
    pub fn new(
        settings: &'a Settings,
        input: Input<'a>,
        output: Output<'a>,
        maildrop: Maildrop,
        start: Instant,
    ) -> Self {
        let deleted = vec![false; maildrop.len()];
        Self {
            settings,
            input,
            output,
            maildrop,
            deleted,
            piece: Vec::new(),
            heading: Vec::new(),
            utf8: settings.utf8,
            top: 0,
            retr: 0,
            start,
        }
    }

    /// Greets and serves until the end, and logs it.
    pub fn run(mut self) -> End {
        let end = self.serve().unwrap_or_else(|end| end);
        let word = match end {
            End::Logout => "LOGOUT",
            End::Disconnected => "DISCONNECTED",
            End::TimedOut => "TIMEOUT",
            End::ReadError => "I/O error disconnect",
        };
        let settings = self.settings;
        log(
            Level::Info,
            format_args!(
                "{word}, user={}, ip=[{}], port=[{}], top={}, retr={}, rcvd={}, sent={}, time={}{}",
                settings.user,
                settings.remote_ip,
                settings.remote_port,
                self.top,
                self.retr,
                self.input.received(),
                self.output.sent(),
                self.start.elapsed().as_secs(),
                settings.tls_mark()
            ),
        );
        // The process ends: giving back the memory of a large mailbox bit by bit would only take time.
        std::mem::forget(self);
        end
    }

    fn serve(&mut self) -> Result<End, End> {
        self.output.line(b"+OK logged in.")?;
        loop {
            let Line::Whole(line) = self.input.line(&mut self.output)? else {
                self.output.line(b"-ERR Line too long.")?;
                continue;
            };
            let command = Command::parse(&line);
            match command.word.as_slice() {
                b"QUIT" => {
                    self.quit()?;
                    return Ok(End::Logout);
                }
                b"STAT" => self.stat()?,
                b"LIST" => self.list(&command)?,
                b"UIDL" => self.uidl(&command)?,
                b"RETR" => self.retrieve(&command)?,
                b"TOP" => self.top(&command)?,
                b"DELE" => self.delete(&command)?,
                b"RSET" => {
                    self.deleted.fill(false);
                    self.output.line(b"+OK Resurrected.")?;
                }
                b"NOOP" => self.output.line(b"+OK Yup.")?,
                b"CAPA" => self.output.put_uncounted(&self.settings.capability)?,
                b"LANG" => {
                    let text = language(command.argument);
                    self.output.put_uncounted(text.as_bytes())?;
                }
                b"UTF8" => {
                    self.utf8 = true;
                    self.output.line(b"+OK UTF8 enabled")?;
                }
                _ => self.output.line(INVALID)?,
            }
        }
    }

    /// The indexes of the messages that are not marked.
    fn remaining(&self) -> impl Iterator<Item = usize> {
        self.deleted
            .iter()
            .enumerate()
            .filter(|&(_, &deleted)| !deleted)
            .map(|(index, _)| index)
    }

    /// The index of the message that the command's first word numbers.
    fn message(&self, command: &Command<'_>) -> Option<usize> {
        let number = number(command.words().next()?);
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        (self.deleted.get(index) == Some(&false)).then_some(index)
    }

    fn stat(&mut self) -> Result<(), Gone> {
        let count = self.remaining().count();
        let octets = self.remaining().fold(0_u64, |sum, index| {
            sum.saturating_add(self.maildrop.size(index))
        });
        self.output.line(format!("+OK {count} {octets}").as_bytes())
    }

    fn list(&mut self, command: &Command<'_>) -> Result<(), Gone> {
        self.listing(
            command,
            b"+OK POP3 clients that break here, they violate STD53.\r\n",
            |maildrop, index, text| decimal::put(text, maildrop.size(index)),
        )
    }

    fn uidl(&mut self, command: &Command<'_>) -> Result<(), Gone> {
        self.listing(command, b"+OK\r\n", Maildrop::uidl)
    }

    /// LIST and UIDL: one message, or all that are not marked, under their own numbers.
    fn listing(
        &mut self,
        command: &Command<'_>,
        heading: &[u8],
        item: impl Fn(&Maildrop, usize, &mut Vec<u8>),
    ) -> Result<(), Gone> {
        let line = |text: &mut Vec<u8>, index: usize| {
            decimal::put(text, (index as u64).saturating_add(1));
            text.push(b' ');
            item(&self.maildrop, index, text);
            text.extend_from_slice(b"\r\n");
        };
        if command.words().next().is_none() {
            self.output.put(heading)?;
            for (index, &deleted) in self.deleted.iter().enumerate() {
                if !deleted {
                    self.output.put_with(|text| line(text, index))?;
                }
            }
            return self.output.put(b".\r\n");
        }
        let Some(index) = self.message(command) else {
            return self.output.line(NO_SUCH_MESSAGE);
        };
        self.output.put(b"+OK ")?;
        self.output.put_with(|text| line(text, index))
    }

    fn delete(&mut self, command: &Command<'_>) -> Result<(), Gone> {
        let index = self.message(command);
        match index.and_then(|index| self.deleted.get_mut(index)) {
            Some(mark) => {
                *mark = true;
                self.output.line(b"+OK Deleted.")
            }
            None => self.output.line(NO_SUCH_MESSAGE),
        }
    }

    fn retrieve(&mut self, command: &Command<'_>) -> Result<(), End> {
        let Some((index, message)) = self.open(command)? else {
            return Ok(());
        };
        let wrapper = self.wrapper(index);
        let size = self
            .maildrop
            .size(index)
            .saturating_add(wrapper.as_ref().map_or(0, Wrapper::size));
        self.heading.clear();
        self.heading.extend_from_slice(b"+OK ");
        decimal::put(&mut self.heading, size);
        self.heading.extend_from_slice(b" octets follow.\r\n");
        self.output.put(&self.heading)?;
        let sent = self.send(index, &message, wrapper.as_ref(), Extent::Whole)?;
        self.retr = self.retr.saturating_add(sent);
        self.maildrop.mark_seen(index);
        Ok(())
    }

    fn top(&mut self, command: &Command<'_>) -> Result<(), End> {
        let Some(index) = self.message(command) else {
            self.output.line(NO_SUCH_MESSAGE)?;
            return Ok(());
        };
        let Some(lines) = command.words().nth(1) else {
            self.output.line(INVALID)?;
            return Ok(());
        };
        // A negative number is a very large one, as it is in the original.
        let lines = u64::try_from(number(lines)).unwrap_or(u64::MAX);
        let Some((_, message)) = self.open(command)? else {
            return Ok(());
        };
        self.output.line(b"+OK headers follow.")?;
        let wrapper = self.wrapper(index);
        let sent = self.send(index, &message, wrapper.as_ref(), Extent::Lines(lines))?;
        self.top = self.top.saturating_add(sent);
        Ok(())
    }

    /// The message's file; `None` when the client has been told why not.
    fn open(&mut self, command: &Command<'_>) -> Result<Option<(usize, StoredMessage)>, Gone> {
        let Some(index) = self.message(command) else {
            self.output.line(NO_SUCH_MESSAGE)?;
            return Ok(None);
        };
        match self.maildrop.open_message(index) {
            Ok(message) => Ok(Some((index, message))),
            Err(error) => {
                log(Level::Err, format_args!("{error}"));
                self.output
                    .line(b"-ERR Can't open the message file - it's gone!")?;
                Ok(None)
            }
        }
    }

    fn wrapper(&self, index: usize) -> Option<Wrapper> {
        (self.maildrop.utf8(index) && !self.utf8).then(|| Wrapper::new(&self.settings.message_type))
    }

    /// Sends a message or its beginning; the number of stored bytes sent.
    fn send(
        &mut self,
        index: usize,
        message: &StoredMessage,
        wrapper: Option<&Wrapper>,
        extent: Extent,
    ) -> Result<u64, End> {
        let mut sending = Sending::new(extent);
        if let Some(wrapper) = wrapper {
            sending.push(&wrapper.before, &mut self.output)?;
        }
        self.piece.resize(PIECE, 0);
        // A message never changes: what its size says is all there is, and needs no look at the end of the file.
        let mut left = message.size;
        while left > 0 && !sending.is_done() {
            match read(&message.file, &mut self.piece) {
                Ok(0) => break,
                Ok(count) => {
                    left = left.saturating_sub(count as u64);
                    let read = self.piece.get(..count).unwrap_or_default();
                    sending.push(read, &mut self.output)?;
                }
                Err(error) => {
                    let name = self.maildrop.file_name(index);
                    log(
                        Level::Err,
                        format_args!(
                            "I/O error while reading message file {}: {}",
                            String::from_utf8_lossy(name),
                            reason(&error)
                        ),
                    );
                    return Err(End::ReadError);
                }
            }
        }
        if let Some(wrapper) = wrapper {
            sending.push(&wrapper.behind, &mut self.output)?;
        }
        let taken = sending.taken();
        sending.finish(&mut self.output)?;
        Ok(taken)
    }

    /// Removes what is marked, and only then says so: a client that hears +OK will never ask for it again.
    fn quit(&mut self) -> Result<(), Gone> {
        let marked: Vec<usize> = self
            .deleted
            .iter()
            .enumerate()
            .filter(|&(_, &marked)| marked)
            .map(|(index, _)| index)
            .collect();
        let settings = self.settings;
        let removed = self.maildrop.remove(&marked, &|name| {
            if settings.log_deletions {
                log(
                    Level::Info,
                    format_args!(
                        "DELETED, user={}, ip=[{}], port=[{}], filename=cur/{}",
                        settings.account,
                        settings.remote_ip,
                        settings.remote_port,
                        String::from_utf8_lossy(name)
                    ),
                );
            }
        });
        if removed.failed.is_empty() {
            self.output.line(b"+OK Bye-bye.")?;
        } else {
            self.output
                .line(b"-ERR [SYS/TEMP] Some deleted messages could not be removed.")?;
        }
        self.output.flush()
    }
}

fn read(mut file: &File, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// What C's atoi makes of `text`.
fn number(text: &[u8]) -> i64 {
    courier::login::environment::leading_number(text)
}
