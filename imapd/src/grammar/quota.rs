//! Arguments of SETQUOTA (RFC 9208 section 4.1.3).

use super::astring::{astring, atom};
use super::cursor::{Cursor, Parsed};

/// ```abnf
/// setquota            = "SETQUOTA" SP quota-root-name SP setquota-list
/// setquota-list       = "(" [setquota-resource *(SP setquota-resource)] ")"
/// setquota-resource   = resource-name SP resource-limit
/// ```
/// No limit can be set, so nothing of it is kept.
///
/// # Errors
/// Not that.
pub fn set(cursor: &mut Cursor<'_>) -> Parsed<()> {
    cursor.space()?;
    astring(cursor)?;
    cursor.space()?;
    cursor.list(0, |cursor| {
        atom(cursor)?;
        cursor.space()?;
        cursor.number64()
    })?;
    cursor.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let parse = |text: &str| set(&mut Cursor::new(text.as_bytes()));
        assert!(parse(" ROOT (STORAGE 10 MESSAGE 0)").is_ok());
        assert!(parse(" \"\" ()").is_ok());
        for text in [
            "",
            " ROOT",
            " ROOT STORAGE 10",
            " ROOT (STORAGE)",
            " ROOT () x",
        ] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
