//! STATUS arguments.

use super::astring::astring;
use super::cursor::{Cursor, Parsed, SyntaxError};

/// One thing that STATUS tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusItem {
    /// `MESSAGES`.
    Messages,
    /// `RECENT`.
    Recent,
    /// `UIDNEXT`.
    UidNext,
    /// `UIDVALIDITY`.
    UidValidity,
    /// `UNSEEN`: how many lack `\Seen`.
    Unseen,
    /// `DELETED`: how many have `\Deleted` (RFC 9051).
    Deleted,
    /// `SIZE`: octets of all messages (RFC 8438).
    Size,
    /// `APPENDLIMIT`: octets of the largest message that may be added (RFC 7889).
    AppendLimit,
}

/// `STATUS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Mailbox in wire form.
    pub mailbox: Vec<u8>,
    /// What is asked for.
    pub items: Vec<StatusItem>,
}

impl Status {
    /// What follows `STATUS`.
    /// ```abnf
    /// status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"
    /// ```
    /// One bare item is accepted, as in the original.
    ///
    /// # Errors
    /// Not that.
    pub fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let mailbox = astring(cursor)?;
        cursor.space()?;
        let items = if cursor.peek() == Some(b'(') {
            status_items(cursor)?
        } else {
            vec![StatusItem::parse(cursor)?]
        };
        cursor.end()?;
        Ok(Self { mailbox, items })
    }
}

/// ```abnf
/// "(" status-att *(SP status-att) ")"
/// ```
///
/// # Errors
/// Not that.
pub fn status_items(cursor: &mut Cursor<'_>) -> Parsed<Vec<StatusItem>> {
    cursor.list(1, StatusItem::parse)
}

impl StatusItem {
    /// ```abnf
    /// status-att = "MESSAGES" / "RECENT" / "UIDNEXT" / "UIDVALIDITY" / "UNSEEN" / "DELETED" /
    ///              "SIZE" / "APPENDLIMIT"
    /// ```
    fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        Ok(match cursor.word()?.as_slice() {
            b"MESSAGES" => Self::Messages,
            b"RECENT" => Self::Recent,
            b"UIDNEXT" => Self::UidNext,
            b"UIDVALIDITY" => Self::UidValidity,
            b"UNSEEN" => Self::Unseen,
            b"DELETED" => Self::Deleted,
            b"SIZE" => Self::Size,
            b"APPENDLIMIT" => Self::AppendLimit,
            _ => return Err(SyntaxError::Malformed),
        })
    }

    /// The name in the response.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "MESSAGES",
            Self::Recent => "RECENT",
            Self::UidNext => "UIDNEXT",
            Self::UidValidity => "UIDVALIDITY",
            Self::Unseen => "UNSEEN",
            Self::Deleted => "DELETED",
            Self::Size => "SIZE",
            Self::AppendLimit => "APPENDLIMIT",
        }
    }
}
