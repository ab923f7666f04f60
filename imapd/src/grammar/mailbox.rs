//! Commands whose arguments are mailbox names, and the small ones: SELECT, CREATE, RENAME, ENABLE, ID.

use super::astring::{astring, atom, nstring, string};
use super::cursor::{Cursor, Parsed, SyntaxError};

/// Most field and value pairs in ID (RFC 2971 section 3.3).
const MAX_ID_PAIRS: usize = 30;
/// Longest ID value, in bytes (RFC 2971 section 3.3).
const MAX_ID_VALUE: usize = 1024;

/// Field names and values of an ID command.
pub type IdFields = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The one mailbox name that follows the command, in wire form.
/// ```abnf
/// create = "CREATE" SP mailbox       ; and DELETE, SUBSCRIBE, UNSUBSCRIBE
/// mailbox = "INBOX" / astring
/// ```
///
/// # Errors
/// Not that.
pub fn one(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    cursor.space()?;
    let mailbox = astring(cursor)?;
    cursor.end()?;
    Ok(mailbox)
}

/// ```abnf
/// rename = "RENAME" SP mailbox SP mailbox
/// ```
///
/// # Errors
/// Not that.
pub fn two(cursor: &mut Cursor<'_>) -> Parsed<(Vec<u8>, Vec<u8>)> {
    cursor.space()?;
    let from = astring(cursor)?;
    cursor.space()?;
    let to = astring(cursor)?;
    cursor.end()?;
    Ok((from, to))
}

/// ```abnf
/// enable = "ENABLE" 1*(SP capability)     ; RFC 5161
/// ```
///
/// # Errors
/// Not that.
pub fn enable(cursor: &mut Cursor<'_>) -> Parsed<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    while cursor.blanks() && cursor.peek().is_some() {
        words.push(atom(cursor)?.to_ascii_uppercase());
    }
    cursor.end()?;
    if words.is_empty() {
        return Err(SyntaxError::Malformed);
    }
    Ok(words)
}

/// ```abnf
/// id             = "ID" SP id-params-list     ; RFC 2971
/// id-params-list = "(" *(string SP nstring) ")" / nil
/// ```
/// `None` for NIL.
///
/// # Errors
/// Not that, or beyond the limits that RFC 2971 sets.
pub fn id(cursor: &mut Cursor<'_>) -> Parsed<Option<IdFields>> {
    cursor.space()?;
    let fields = if cursor.peek() == Some(b'(') {
        let fields = cursor.list(0, |cursor| {
            let name = string(cursor)?;
            cursor.space()?;
            let value = nstring(cursor)?;
            if value
                .as_ref()
                .is_some_and(|value| value.len() > MAX_ID_VALUE)
            {
                return Err(SyntaxError::Malformed);
            }
            Ok((name, value))
        })?;
        if fields.len() > MAX_ID_PAIRS {
            return Err(SyntaxError::TooComplex);
        }
        Some(fields)
    } else if nstring(cursor)?.is_none() {
        None
    } else {
        return Err(SyntaxError::Malformed);
    };
    cursor.end()?;
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_fields() {
        let parse = |text: &str| id(&mut Cursor::new(text.as_bytes()));
        assert_eq!(parse(" NIL"), Ok(None));
        assert_eq!(parse(" ()"), Ok(Some(vec![])));
        assert_eq!(
            parse(" (\"name\" \"c\" \"os\" NIL)"),
            Ok(Some(vec![
                (b"name".to_vec(), Some(b"c".to_vec())),
                (b"os".to_vec(), None)
            ]))
        );
        for text in ["", " \"x\"", " (\"name\")", " (name \"c\")", " (NIL NIL)"] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
        let many = format!(" ({})", "\"a\" \"b\" ".repeat(31));
        assert_eq!(parse(&many), Err(SyntaxError::TooComplex));
    }
}
