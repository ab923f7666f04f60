//! APPEND (RFC 3501 section 6.3.11, RFC 3502, RFC 4315). Messages stream from the connection to the disk. Whatever is
//! wrong is told before the client is asked for its bytes where that can be; bytes that come unasked are read to
//! their end, so that none is ever taken for a command. Nothing is stored unless the whole command is right.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use courier::maildir::{
    Delivery, Details, Error, Flags, Folder, Keep, Pending, Right, valid_keyword,
};
use courier::sys::log::{Level, log};

use crate::attempt;
use crate::folder::Found;
use crate::grammar::append::{Append, AppendMessage};
use crate::grammar::cursor::{Cursor, SyntaxError};
use crate::grammar::flag::{FlagList, SystemFlag};
use crate::grammar::sequence::Ranges;
use crate::receive::{COMMAND_TIMEOUT, LineEnd, Literal};
use crate::reply::{Code, Reply};
use crate::rights;
use crate::session::{End, Executed, Session, malformed};

/// Most messages of one command.
const MAX_MESSAGES: usize = 1000;

/// APPEND, whose first message's bytes are next.
pub fn execute(session: &mut Session, append: Append, literal: Literal) -> Executed {
    let (folder, keep) = match session.target(&append.mailbox, "APPEND") {
        Ok(found) => (found.folder, rights::keep(&found.rights)),
        Err(reply) => return refuse(session, literal, reply),
    };
    let mut message = append.message;
    let mut literal = literal;
    let mut pending = Vec::new();
    loop {
        let details = details(session, &message, keep);
        let begun = begin(session, &folder, &literal, pending.len(), details.flags);
        let delivery = match begun {
            Ok(delivery) => delivery,
            Err(reply) => return refuse(session, literal, reply),
        };
        match receive(session, delivery, &message, literal, details)? {
            Ok(complete) => pending.push(complete),
            Err(reply) => {
                // The bytes were read; what the rest of the command says does not matter any more.
                let mut line = Vec::new();
                let end = session
                    .input
                    .line(&mut line, COMMAND_TIMEOUT, &mut session.out)?;
                match end {
                    LineEnd::Command => {}
                    LineEnd::Literal(next) => session.drain(Some(next))?,
                    LineEnd::TooLong(next) => session.drain(next)?,
                }
                return Ok(reply);
            }
        }
        match following(session, message.utf8)? {
            Following::End => break,
            Following::Message(next, announced) => {
                message = next;
                literal = announced;
            }
            Following::Wrong(reply) => return Ok(reply),
        }
    }
    let appended = attempt!(
        folder
            .append(pending)
            .map_err(|error| failed(session, &error))
    );
    session.announce(&folder);
    Ok(Reply::ok("APPEND Ok.").with(Code::AppendUid(
        appended.uid_validity,
        Ranges::from_ascending(appended.uids),
    )))
}

/// What follows a message's bytes.
enum Following {
    /// The end of the command.
    End,
    /// Another message.
    Message(AppendMessage, Literal),
    /// Neither.
    Wrong(Reply),
}

/// Answers without storing anything. A client that waits for its go-ahead gets the answer in its place.
fn refuse(session: &mut Session, literal: Literal, reply: Reply) -> Executed {
    session.drain(Some(literal))?;
    Ok(reply)
}

/// Prepares to take a message.
fn begin(
    session: &Session,
    folder: &Folder,
    literal: &Literal,
    before: usize,
    flags: Flags,
) -> Result<Delivery, Reply> {
    let size = match literal.size {
        None => return Err(too_big()),
        // RFC 3502: an empty message cancels the command.
        Some(0) => return Err(Reply::no("An empty message cannot be stored.").with(Code::Cannot)),
        Some(size) => match session.settings.append_limit {
            Some(limit) if size > limit => return Err(too_big()),
            _ => size,
        },
    };
    if before >= MAX_MESSAGES {
        return Err(Reply::no("Too many messages in one command.").with(Code::Limit));
    }
    // Each line end is stored as one octet, so at least half of it is.
    folder
        .has_room(size / 2, flags)
        .and_then(|()| folder.deliver())
        .map_err(|error| failed(session, &error))
}

/// What the message carries besides its bytes, as far as the rights on the mailbox let it.
fn details(session: &Session, message: &AppendMessage, keep: Keep) -> Details {
    Details {
        flags: flags(&message.flags) & keep.flags,
        keywords: keywords(&message.flags, session.settings.keywords && keep.keywords),
        internal_date: message.date.and_then(|date| moment(date.unix())),
    }
}

fn too_big() -> Reply {
    Reply::no("The message is too large.").with(Code::TooBig)
}

/// Takes a message's bytes. They are read to their end even if they cannot be stored.
fn receive(
    session: &mut Session,
    mut delivery: Delivery,
    message: &AppendMessage,
    literal: Literal,
    details: Details,
) -> Result<Result<Pending, Reply>, End> {
    if literal.synchronising {
        session.go_ahead();
    }
    let mut written: Result<(), Error> = Ok(());
    let size = literal.size.unwrap_or(0);
    let mut has_nul = false;
    session.input.stream(size, &mut session.out, |bytes| {
        has_nul = has_nul || memchr::memchr(0, bytes).is_some();
        if written.is_ok() {
            written = delivery.write_wire(bytes);
        }
    })?;
    // RFC 3516 section 4.4: a maildir keeps lines, not octets, so binary content would not come back as it was.
    if has_nul && message.binary {
        let reply = Reply::no("Messages with NUL octets cannot be stored as they are.");
        return Ok(Err(reply.with(Code::UnknownCte)));
    }
    Ok(written
        .and_then(|()| delivery.finish(details))
        .map_err(|error| failed(session, &error)))
}

/// Reads what follows a message, up to the next one's bytes.
fn following(session: &mut Session, utf8: bool) -> Result<Following, End> {
    let mut line = Vec::new();
    let end = session
        .input
        .line(&mut line, COMMAND_TIMEOUT, &mut session.out)?;
    if let Some(trace) = &session.out.trace {
        trace.read(&line, false);
    }
    let mut cursor = Cursor::new(&line);
    let closed = !utf8 || (cursor.blanks(), cursor.eat(b')')).1;
    match end {
        LineEnd::Command if closed && cursor.end().is_ok() => Ok(Following::End),
        LineEnd::Command => Ok(Following::Wrong(malformed(SyntaxError::Malformed))),
        LineEnd::Literal(literal) => match AppendMessage::parse(&mut cursor) {
            Ok(message) if closed => Ok(Following::Message(message, literal)),
            Ok(_) => {
                session.drain(Some(literal))?;
                Ok(Following::Wrong(malformed(SyntaxError::Malformed)))
            }
            Err(error) => {
                session.drain(Some(literal))?;
                Ok(Following::Wrong(malformed(error)))
            }
        },
        LineEnd::TooLong(literal) => {
            session.drain(literal)?;
            Ok(Following::Wrong(malformed(SyntaxError::TooComplex)))
        }
    }
}

impl Session {
    /// Shows messages that were added to `target`, if that is the selected mailbox.
    pub fn announce(&mut self, target: &Folder) {
        let wanted = self.selected.as_ref().is_some_and(|selected| {
            selected.folder.is_same(target) && selected.is_worth_refreshing()
        });
        if wanted {
            self.refresh(false);
        }
    }

    /// The folder to add messages to.
    ///
    /// # Errors
    /// The reply of the command: it does not exist, or messages put there would have to be sent, which this server
    /// does not do yet.
    pub fn target(&self, wire: &[u8], command: &str) -> Result<Found, Reply> {
        let found = self.resolve(wire, Right::Insert, command)?;
        let directory = found.folder.name().directory();
        if found.place.own && self.settings.outbox.as_deref() == Some(directory.as_slice()) {
            return Err(
                Reply::no("Sending mail from a mailbox is not supported.").with(Code::Cannot)
            );
        }
        Ok(found)
    }
}

/// The reply when messages cannot be stored.
fn failed(session: &Session, error: &Error) -> Reply {
    storing_failed(
        session,
        error,
        "storing",
        "Cannot create message - no write permission or out of disk space.",
    )
}

/// The reply to an APPEND, COPY or MOVE that failed, with the log line that belongs to it (contract: imapd 17).
pub fn storing_failed(
    session: &Session,
    error: &Error,
    doing: &str,
    text: impl Into<Cow<'static, str>>,
) -> Reply {
    use courier::maildir::ErrorKind::{Denied, NoSpace};
    let Some(errno) = error.errno() else {
        return session.failed(error);
    };
    log(
        Level::Err,
        format_args!(
            "error {doing} a message, user={}, errno={}",
            session.account.name, errno as i32
        ),
    );
    let mut reply = session.reply_to(error);
    if matches!(error.kind(), Denied | NoSpace) {
        reply.text = text.into();
    }
    reply
}

/// The system flags of a list.
pub fn flags(list: &FlagList) -> Flags {
    list.system.iter().fold(Flags::NONE, |flags, flag| {
        flags
            | match flag {
                SystemFlag::Answered => Flags::ANSWERED,
                SystemFlag::Deleted => Flags::DELETED,
                SystemFlag::Draft => Flags::DRAFT,
                SystemFlag::Flagged => Flags::FLAGGED,
                SystemFlag::Seen => Flags::SEEN,
            }
    })
}

/// The keywords of a list that can be stored. Without `\*` in PERMANENTFLAGS others are ignored (RFC 3501 section 7.1).
pub fn keywords(list: &FlagList, allowed: bool) -> Vec<Vec<u8>> {
    if !allowed {
        return Vec::new();
    }
    list.keywords
        .iter()
        .filter(|keyword| valid_keyword(keyword))
        .cloned()
        .collect()
}

/// A moment from Unix time.
fn moment(unix: i64) -> Option<SystemTime> {
    let distance = Duration::from_secs(unix.unsigned_abs());
    if unix < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    }
}
