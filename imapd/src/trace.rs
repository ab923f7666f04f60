//! `IMAPDEBUGFILE`: a record of the session in a file of the maildir, for finding out what a client does (contract: imapd
//! 17). Only where the file exists already, so that one account at a time is recorded. Commands stand there word by
//! word, replies as they are sent; messages that clients store do not.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::grammar::cursor::Cursor;

/// The open file.
#[derive(Debug)]
pub struct Trace {
    file: File,
}

impl Trace {
    /// Opens the file at `path`, relative to the maildir; `None` if there is none.
    ///
    /// # Errors
    /// It exists and cannot be written, or is no regular file.
    pub fn open(path: &[u8]) -> io::Result<Option<Self>> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let opened = File::options()
            .append(true)
            .custom_flags(flags.bits())
            .open(Path::new(std::ffi::OsStr::from_bytes(path)));
        match opened {
            Ok(file) if file.metadata()?.is_file() => Ok(Some(Self { file })),
            Ok(_) => Err(io::Error::from_raw_os_error(nix::libc::EINVAL)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Records a command or the rest of one, without its line end. `begins`: it is not the rest.
    pub fn read(&self, text: &[u8], begins: bool) {
        let mut lines = Vec::new();
        tokens(text, begins, &mut lines);
        self.add(&lines);
    }

    /// Records what is sent.
    pub fn written(&self, first: &[u8], second: &[u8]) {
        self.add(&[b"WRITE: ", first, second].concat());
    }

    fn add(&self, text: &[u8]) {
        // A record that cannot be written, for instance for lack of space, must not end the session.
        let _ = (&self.file).write_all(text);
    }
}

/// Writes a line for each token, by the original's rules for where one ends.
fn tokens(text: &[u8], begins: bool, lines: &mut Vec<u8>) {
    let mut cursor = Cursor::new(text);
    let mut number = 0;
    let mut line = |kind: &[u8], value: &[u8]| {
        lines.extend_from_slice(b"READ: ");
        lines.extend_from_slice(kind);
        lines.extend_from_slice(value);
        lines.push(b'\n');
    };
    loop {
        cursor.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        number += 1;
        let Some(byte) = cursor.peek() else {
            line(b"EOL", b"");
            return;
        };
        let bracket: Option<&[u8]> = match byte {
            b'(' => Some(b"LPAREN"),
            b')' => Some(b"RPAREN"),
            b'[' => Some(b"LBRACKET"),
            b']' => Some(b"RBRACKET"),
            _ => None,
        };
        if let Some(name) = bracket {
            cursor.eat(byte);
            line(name, b"");
            continue;
        }
        match byte {
            b'"' => {
                let Some(value) = quoted(&mut cursor) else {
                    line(b"ERROR", b"");
                    return;
                };
                line(b"QUOTED_STRING: ", &value);
            }
            b'{' | b'~' => {
                let before = cursor.rest();
                let Some(size) = literal(&mut cursor) else {
                    line(b"ERROR", b"");
                    return;
                };
                let after = cursor.rest().len();
                let announced = before.get(..before.len().saturating_sub(after));
                line(b"", announced.unwrap_or_default());
                cursor.take_while(|byte| byte == b'\r');
                let bytes = usize::try_from(size).unwrap_or(usize::MAX);
                if !cursor.eat(b'\n') || cursor.take(bytes).is_err() {
                    // What it announces is still to come.
                    return;
                }
            }
            _ => {
                let start = cursor.rest();
                cursor.eat(b'\\');
                cursor.take_while(is_atom);
                let length = start.len().saturating_sub(cursor.rest().len());
                let mut value = start.get(..length).unwrap_or_default().to_vec();
                if value.is_empty() {
                    line(b"ERROR", b"");
                    return;
                }
                // The name of the command; what follows is shown as it came.
                if begins && number == 2 {
                    value.make_ascii_uppercase();
                }
                if value.iter().all(u8::is_ascii_digit) {
                    line(b"NUMBER: ", &value);
                } else if value == b"NIL" {
                    line(b"NIL", b"");
                } else {
                    line(b"ATOM: ", &value);
                }
            }
        }
    }
}

fn is_atom(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !b"\\\"()~{}[]".contains(&byte)
}

fn quoted(cursor: &mut Cursor<'_>) -> Option<Vec<u8>> {
    cursor.eat(b'"');
    let mut value = Vec::new();
    loop {
        let plain = cursor.take_while(|byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n'));
        value.extend_from_slice(plain);
        if cursor.eat(b'"') {
            return Some(value);
        }
        if !cursor.eat(b'\\') {
            return None;
        }
        value.extend_from_slice(cursor.take(1).ok()?);
    }
}

/// The announcement of a literal, without its line end; its size in bytes.
fn literal(cursor: &mut Cursor<'_>) -> Option<u64> {
    cursor.eat(b'~');
    if !cursor.eat(b'{') {
        return None;
    }
    let size = cursor.number64().ok()?;
    cursor.eat(b'+');
    cursor.eat(b'}').then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> String {
        let mut lines = Vec::new();
        tokens(text, true, &mut lines);
        String::from_utf8_lossy(&lines).replace("READ: ", "")
    }

    #[test]
    fn every_kind_of_token() {
        assert_eq!(
            read(b"a fetch 1 (FLAGS BODY.PEEK[HEADER.FIELDS (Subject)])"),
            "ATOM: a\nATOM: FETCH\nNUMBER: 1\nLPAREN\nATOM: FLAGS\nATOM: BODY.PEEK\nLBRACKET\nATOM: HEADER.FIELDS\n\
             LPAREN\nATOM: Subject\nRPAREN\nRBRACKET\nRPAREN\nEOL\n"
        );
        assert_eq!(
            read(b"d STATUS {5}\r\nINBOX NIL \"a \\\"b\""),
            "ATOM: d\nATOM: STATUS\n{5}\nNIL\nQUOTED_STRING: a \"b\nEOL\n"
        );
        assert_eq!(
            read(b"e APPEND INBOX {16}\r\n"),
            "ATOM: e\nATOM: APPEND\nATOM: INBOX\n{16}\n"
        );
        assert_eq!(read(b"~{3+}\r\nabc"), "~{3+}\nEOL\n");
        assert_eq!(
            read(b"g STORE \\Seen"),
            "ATOM: g\nATOM: STORE\nATOM: \\Seen\nEOL\n"
        );
        assert_eq!(read(b"i \"x"), "ATOM: i\nERROR\n");
        assert_eq!(read(b"i \xff"), "ATOM: i\nERROR\n");
        assert_eq!(read(b""), "EOL\n");
    }
}
