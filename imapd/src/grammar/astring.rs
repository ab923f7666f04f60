//! Atoms, strings, literals: RFC 3501 section 9 and RFC 9051 section 9.

use super::cursor::{Cursor, Parsed, SyntaxError};

/// Longest quoted string or buffered literal, in bytes. The original stops at 8192; search programs send more.
pub const MAX_STRING: usize = 65_536;

/// ```abnf
/// ATOM-CHAR       = <any CHAR except atom-specials>
/// atom-specials   = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / resp-specials
/// list-wildcards  = "%" / "*"
/// quoted-specials = DQUOTE / "\"
/// resp-specials   = "]"
/// ```
pub fn is_atom_char(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !b"(){%*\"\\]".contains(&byte)
}

/// ```abnf
/// ASTRING-CHAR = ATOM-CHAR / resp-specials
/// ```
pub fn is_astring_char(byte: u8) -> bool {
    is_atom_char(byte) || byte == b']'
}

/// ```abnf
/// list-char = ATOM-CHAR / list-wildcards / resp-specials
/// ```
pub fn is_list_char(byte: u8) -> bool {
    is_astring_char(byte) || byte == b'%' || byte == b'*'
}

/// ```abnf
/// tag = 1*<any ASTRING-CHAR except "+">
/// ```
pub fn is_tag_char(byte: u8) -> bool {
    is_astring_char(byte) && byte != b'+'
}

/// ```abnf
/// atom = 1*ATOM-CHAR
/// ```
///
/// # Errors
/// No atom is next.
pub fn atom<'a>(cursor: &mut Cursor<'a>) -> Parsed<&'a [u8]> {
    run(cursor, is_atom_char)
}

/// ```abnf
/// tag = 1*<any ASTRING-CHAR except "+">
/// ```
///
/// # Errors
/// No tag is next.
pub fn tag<'a>(cursor: &mut Cursor<'a>) -> Parsed<&'a [u8]> {
    run(cursor, is_tag_char)
}

/// ```abnf
/// astring = 1*ASTRING-CHAR / string
/// ```
///
/// # Errors
/// Neither is next.
pub fn astring(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    match cursor.peek() {
        Some(b'"' | b'{' | b'~') if !is_plain_tilde(cursor) => string(cursor),
        _ => Ok(run(cursor, is_astring_char)?.to_vec()),
    }
}

/// ```abnf
/// list-mailbox = 1*list-char / string
/// ```
///
/// # Errors
/// Neither is next.
pub fn list_mailbox(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    match cursor.peek() {
        Some(b'"' | b'{') => string(cursor),
        _ => Ok(run(cursor, is_list_char)?.to_vec()),
    }
}

/// ```abnf
/// string = quoted / literal
/// ```
/// A literal8 (`~{n}`) is taken too, as the original does.
///
/// # Errors
/// Neither is next, or it holds a NUL.
pub fn string(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    match cursor.peek() {
        Some(b'"') => quoted(cursor),
        _ => {
            cursor.eat(b'~');
            literal(cursor)
        }
    }
}

/// ```abnf
/// nstring = string / nil
/// ```
///
/// # Errors
/// Neither is next.
pub fn nstring(cursor: &mut Cursor<'_>) -> Parsed<Option<Vec<u8>>> {
    match cursor.peek() {
        Some(b'"' | b'{' | b'~') => string(cursor).map(Some),
        _ => {
            if cursor.word()? == b"NIL" {
                Ok(None)
            } else {
                Err(SyntaxError::Malformed)
            }
        }
    }
}

/// ```abnf
/// quoted      = DQUOTE *QUOTED-CHAR DQUOTE
/// QUOTED-CHAR = <any TEXT-CHAR except quoted-specials> / "\" quoted-specials / UTF8-2 / UTF8-3 / UTF8-4
/// ```
/// `\` before any other byte yields that byte, as in the original. 8-bit bytes must be valid UTF-8.
fn quoted(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    cursor.token()?;
    cursor.expect(b'"')?;
    let mut value = Vec::new();
    loop {
        let plain = cursor.take_while(|byte| byte != b'"' && byte != b'\\');
        value.extend_from_slice(plain);
        if cursor.eat(b'"') {
            break;
        }
        cursor.expect(b'\\')?;
        value.extend_from_slice(cursor.take(1)?);
    }
    let allowed = value.len() <= MAX_STRING
        && !value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
        && std::str::from_utf8(&value).is_ok();
    if allowed {
        Ok(value)
    } else {
        Err(SyntaxError::Malformed)
    }
}

/// ```abnf
/// literal = "{" number64 ["+"] "}" CRLF *CHAR8     ; RFC 7888 for "+"
/// CHAR8   = %x01-ff
/// ```
fn literal(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    let size = literal_header(cursor)?;
    let size = usize::try_from(size).map_err(|_| SyntaxError::Malformed)?;
    if size > 0 && cursor.rest().is_empty() {
        return Err(SyntaxError::Incomplete);
    }
    let value = cursor.take(size)?;
    if size > MAX_STRING || value.contains(&0) {
        return Err(SyntaxError::Malformed);
    }
    Ok(value.to_vec())
}

/// The announcement of a literal with its line end: what stands before its bytes. Returns the size in bytes.
///
/// # Errors
/// No literal is next.
pub fn literal_header(cursor: &mut Cursor<'_>) -> Parsed<u64> {
    cursor.expect(b'{')?;
    let size = cursor.number64()?;
    cursor.eat(b'+');
    cursor.expect(b'}')?;
    cursor.eat(b'\r');
    cursor.expect(b'\n')?;
    Ok(size)
}

/// True if `~` starts an atom and not a literal8.
fn is_plain_tilde(cursor: &Cursor<'_>) -> bool {
    matches!(cursor.rest(), [b'~', next, ..] if *next != b'{') || cursor.rest() == b"~"
}

fn run<'a>(cursor: &mut Cursor<'a>, accept: impl Fn(u8) -> bool) -> Parsed<&'a [u8]> {
    cursor.token()?;
    let run = cursor.take_while(accept);
    if run.is_empty() {
        return Err(SyntaxError::Malformed);
    }
    Ok(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Parsed<Vec<u8>> {
        let mut cursor = Cursor::new(text);
        let value = astring(&mut cursor)?;
        cursor.end()?;
        Ok(value)
    }

    #[test]
    fn strings_in_every_form() {
        let good: &[(&[u8], &[u8])] = &[
            (b"INBOX.a&b-]", b"INBOX.a&b-]"),
            (b"\"\"", b""),
            (b"\"a \\\"b\\\\c\"", b"a \"b\\c"),
            (b"{3}\r\na\"b", b"a\"b"),
            (b"{3+}\r\n\r\n(", b"\r\n("),
            (b"{0}\r\n", b""),
            (b"~{2}\r\nab", b"ab"),
            (b"~x", b"~x"),
            ("\"Entwürfe\"".as_bytes(), "Entwürfe".as_bytes()),
        ];
        for (text, value) in good {
            assert_eq!(parse(text).as_deref(), Ok(*value), "{text:?}");
        }
        let bad: &[&[u8]] = &[
            b"",
            b"\"a",
            b"\"a\\",
            b"\"a\r\nb\"",
            b"\"a\0\"",
            b"\"\xff\"",
            b"{3}\r\nab",
            b"{3}\r\na\0b",
            b"{99999999999999999999}\r\n",
            b"{9223372036854775807}\r\nab",
            b"a b",
            b"a(b",
            "ä".as_bytes(),
        ];
        for text in bad {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
