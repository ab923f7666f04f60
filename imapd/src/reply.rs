//! Tagged replies and response codes.

use std::borrow::Cow;

use crate::grammar::sequence::Ranges;
use crate::writer::Writer;

/// The word of a tagged reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok,
    /// Refused or failed.
    No,
    /// The command itself was wrong.
    Bad,
}

/// How a command ends: what stands behind its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// OK, NO or BAD.
    pub status: Status,
    /// The response code between brackets.
    pub code: Option<Code>,
    /// Text for a person.
    pub text: Cow<'static, str>,
}

/// A response code (RFC 3501 section 7.1, RFC 5530, RFC 4315).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// Show the text to the user.
    Alert,
    /// The mailbox exists already.
    AlreadyExists,
    /// UIDVALIDITY and UIDs of appended messages.
    AppendUid(u32, Ranges),
    /// The character set is not known.
    BadCharset,
    /// Never possible, whoever asks.
    Cannot,
    /// The client did something wrong that worked nevertheless.
    ClientBug,
    /// UIDVALIDITY of the target, source UIDs and their copies, in the same order.
    CopyUid(u32, Ranges, Ranges),
    /// Some messages were gone already (RFC 5530).
    ExpungeIssued,
    /// Locked by another session; worth another try.
    InUse,
    /// A limit of the server.
    Limit,
    /// No such mailbox.
    NonExistent,
    /// Not permitted to this user.
    NoPerm,
    /// No space for this user or at all.
    OverQuota,
    /// The selected mailbox can only be read.
    ReadOnly,
    /// The selected mailbox can be changed.
    ReadWrite,
    /// The server, its disk or its configuration is at fault.
    ServerBug,
    /// The literal or command is too large.
    TooBig,
    /// CREATE would help.
    TryCreate,
    /// The server cannot do this with this message or setting now.
    Unavailable,
    /// The content transfer encoding is not known, or cannot be kept (RFC 3516).
    UnknownCte,
}

impl Reply {
    /// `OK text`.
    pub fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::Ok, text)
    }

    /// `NO text`.
    pub fn no(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::No, text)
    }

    /// `BAD text`.
    pub fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::Bad, text)
    }

    /// The same with a response code.
    #[must_use]
    pub fn with(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
    }

    /// Writes the line `tag STATUS [CODE] text`.
    pub fn write(&self, tag: &[u8], out: &mut Writer) {
        out.put(tag);
        out.put(match self.status {
            Status::Ok => b" OK ",
            Status::No => b" NO ",
            Status::Bad => b" BAD ",
        });
        if let Some(code) = &self.code {
            out.put(b"[");
            code.write(out);
            out.put(b"] ");
        }
        out.put(self.text.as_bytes());
        out.end_line();
    }

    fn new(status: Status, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code: None,
            text: text.into(),
        }
    }
}

impl Code {
    fn write(&self, out: &mut Writer) {
        let word: &[u8] = match self {
            Self::Alert => b"ALERT",
            Self::AlreadyExists => b"ALREADYEXISTS",
            Self::AppendUid(..) => b"APPENDUID ",
            Self::BadCharset => b"BADCHARSET",
            Self::Cannot => b"CANNOT",
            Self::ClientBug => b"CLIENTBUG",
            Self::CopyUid(..) => b"COPYUID ",
            Self::ExpungeIssued => b"EXPUNGEISSUED",
            Self::InUse => b"INUSE",
            Self::Limit => b"LIMIT",
            Self::NonExistent => b"NONEXISTENT",
            Self::NoPerm => b"NOPERM",
            Self::OverQuota => b"OVERQUOTA",
            Self::ReadOnly => b"READ-ONLY",
            Self::ReadWrite => b"READ-WRITE",
            Self::ServerBug => b"SERVERBUG",
            Self::TooBig => b"TOOBIG",
            Self::TryCreate => b"TRYCREATE",
            Self::Unavailable => b"UNAVAILABLE",
            Self::UnknownCte => b"UNKNOWN-CTE",
        };
        out.put(word);
        match self {
            Self::AppendUid(validity, uids) => {
                out.number(u64::from(*validity));
                write_set(uids, out);
            }
            Self::CopyUid(validity, from, to) => {
                out.number(u64::from(*validity));
                write_set(from, out);
                write_set(to, out);
            }
            _ => {}
        }
    }
}

fn write_set(set: &Ranges, out: &mut Writer) {
    let mut text = Vec::new();
    text.push(b' ');
    set.encode(&mut text);
    out.put(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_in_brackets() {
        let mut out = Writer::memory();
        Reply::ok("COPY completed.")
            .with(Code::CopyUid(
                7,
                Ranges::from_ascending([1, 2, 4]),
                Ranges::from_ascending([1, 2, 3]),
            ))
            .write(b"a1", &mut out);
        assert_eq!(
            out.take(),
            b"a1 OK [COPYUID 7 1:2,4 1:3] COPY completed.\r\n"
        );
    }
}
