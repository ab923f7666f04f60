//! APPEND arguments. The message itself never comes here: its literal is streamed, so the text ends with the
//! literal's announcement.

use courier::text::date::DateTime;

use super::astring::{astring, literal_header};
use super::cursor::{Cursor, Parsed, SyntaxError};
use super::date::date_time;
use super::flag::FlagList;

/// The start of an APPEND, up to its first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Target, in wire form.
    pub mailbox: Vec<u8>,
    /// The first message.
    pub message: AppendMessage,
}

/// What is said about one message before its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppendMessage {
    /// Flags and keywords to set.
    pub flags: FlagList,
    /// Internal date; `None` for now.
    pub date: Option<DateTime>,
    /// The literal stands in `UTF8 (…)` (RFC 6855), so `)` follows it.
    pub utf8: bool,
    /// It comes as a literal8 (RFC 3516), which may hold NULs.
    pub binary: bool,
    /// Bytes of the message.
    pub size: u64,
}

impl Append {
    /// What follows `APPEND`, up to the end of the announcement of the message.
    /// ```abnf
    /// append         = "APPEND" SP mailbox 1*append-message     ; RFC 3502
    /// ```
    ///
    /// # Errors
    /// [`SyntaxError::Incomplete`] if the literal is not the message but a string before it.
    pub fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let mailbox = astring(cursor)?;
        let message = AppendMessage::parse(cursor)?;
        Ok(Self { mailbox, message })
    }
}

impl AppendMessage {
    /// ```abnf
    /// append-message = SP [flag-list SP] [date-time SP] (literal / literal8 / append-data-ext)
    /// append-data-ext = "UTF8" SP "(" literal8 ")"              ; RFC 6855
    /// ```
    /// `NIL` for flags or date is accepted, as in the original.
    ///
    /// # Errors
    /// Not that, or bytes follow the announcement.
    pub fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let mut message = Self::default();
        if matches!(cursor.peek(), Some(b'(' | b'N' | b'n')) {
            message.flags = FlagList::parse(cursor)?;
            cursor.space()?;
        }
        if cursor.peek() == Some(b'"') {
            message.date = Some(date_time(cursor)?);
            cursor.space()?;
        } else if cursor.eat_text(b"NIL") {
            cursor.space()?;
        }
        if cursor.eat_text(b"UTF8") {
            cursor.space()?;
            cursor.expect(b'(')?;
            cursor.blanks();
            cursor.expect(b'~')?;
            message.utf8 = true;
            message.binary = true;
        } else {
            message.binary = cursor.eat(b'~');
        }
        message.size = literal_header(cursor)?;
        if cursor.rest().is_empty() {
            Ok(message)
        } else {
            Err(SyntaxError::Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parsed<Append> {
        Append::parse(&mut Cursor::new(text.as_bytes()))
    }

    #[test]
    fn every_form() {
        let append = parse(" INBOX (\\Seen k) \" 2-Jan-2020 03:04:05 +0100\" {30}\r\n").unwrap();
        assert_eq!(append.message.size, 30);
        assert_eq!(append.message.flags.keywords, [b"k"]);
        assert!(append.message.date.is_some());
        assert!(parse(" \"INBOX\" ~{3+}\r\n").is_ok());
        assert!(parse(" INBOX NIL NIL {3}\n").is_ok());
        assert!(parse(" INBOX UTF8 (~{3}\r\n").unwrap().message.utf8);
        assert!(parse(" {5}\r\nINBOX {3}\r\n").is_ok());
        assert_eq!(parse(" {5}\r\n"), Err(SyntaxError::Incomplete));
        for text in [
            " INBOX",
            " INBOX \"x\"",
            " INBOX (\\Recent) {3}\r\n",
            " INBOX {3}\r\nabc",
            " INBOX {3}",
            " INBOX \"1-Jan-2020\" {3}\r\n",
            " INBOX UTF8 {3}\r\n",
        ] {
            assert_eq!(parse(text), Err(SyntaxError::Malformed), "{text:?}");
        }
    }
}
