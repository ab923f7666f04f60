//! Flags and keywords in commands.

use super::astring::{atom, is_atom_char};
use super::cursor::{Cursor, Parsed, SyntaxError};

/// Longest keyword, in bytes.
const MAX_KEYWORD: usize = 1024;

/// A system flag that a client may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemFlag {
    /// `\Answered`.
    Answered,
    /// `\Deleted`.
    Deleted,
    /// `\Draft`.
    Draft,
    /// `\Flagged`.
    Flagged,
    /// `\Seen`.
    Seen,
}

/// The flags of a STORE or APPEND.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlagList {
    /// System flags; may repeat.
    pub system: Vec<SystemFlag>,
    /// Keywords as spelled; may repeat.
    pub keywords: Vec<Vec<u8>>,
}

impl FlagList {
    /// ```abnf
    /// flag-list = "(" [flag *(SP flag)] ")"
    /// ```
    /// `NIL` stands for the empty list, as in the original.
    ///
    /// # Errors
    /// Not a list of flags that can be set.
    pub fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut flags = Self::default();
        if cursor.eat_text(b"NIL") {
            return Ok(flags);
        }
        cursor.list(0, |cursor| flags.flag(cursor))?;
        Ok(flags)
    }

    /// ```abnf
    /// store-att-flags = flag-list / (flag *(SP flag))
    /// ```
    ///
    /// # Errors
    /// Not that.
    pub fn parse_store(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        if matches!(cursor.peek(), Some(b'(')) || is_nil(cursor) {
            return Self::parse(cursor);
        }
        let mut flags = Self::default();
        flags.flag(cursor)?;
        while cursor.blanks() && cursor.peek().is_some() {
            flags.flag(cursor)?;
        }
        Ok(flags)
    }

    /// ```abnf
    /// flag         = "\Answered" / "\Flagged" / "\Deleted" / "\Seen" / "\Draft" / flag-keyword / flag-extension
    /// flag-keyword = atom
    /// ```
    /// `\Recent` cannot be set. There are no flag extensions: such a flag is never in PERMANENTFLAGS, so storing it is
    /// ignored (RFC 3501 section 7.1).
    fn flag(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        if cursor.eat(b'\\') {
            let name = atom(cursor)?;
            let flag = [
                (&b"Answered"[..], SystemFlag::Answered),
                (b"Deleted", SystemFlag::Deleted),
                (b"Draft", SystemFlag::Draft),
                (b"Flagged", SystemFlag::Flagged),
                (b"Seen", SystemFlag::Seen),
            ]
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
            match flag {
                Some((_, flag)) => self.system.push(flag),
                None if name.eq_ignore_ascii_case(b"Recent") => {
                    return Err(SyntaxError::Malformed);
                }
                None => {}
            }
        } else {
            let name = atom(cursor)?;
            if name.len() > MAX_KEYWORD {
                return Err(SyntaxError::Malformed);
            }
            self.keywords.push(name.to_vec());
        }
        Ok(())
    }
}

fn is_nil(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    ahead.eat_text(b"NIL") && !ahead.peek().is_some_and(is_atom_char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_bare_flags() {
        let parse = |text: &str| {
            let mut cursor = Cursor::new(text.as_bytes());
            let flags = FlagList::parse_store(&mut cursor)?;
            cursor.end().map(|()| flags)
        };
        let flags = parse("(\\seen $Forwarded \\Deleted)").unwrap();
        assert_eq!(flags.system, [SystemFlag::Seen, SystemFlag::Deleted]);
        assert_eq!(flags.keywords, [b"$Forwarded"]);
        assert_eq!(parse("\\Seen x").unwrap().keywords, [b"x"]);
        assert_eq!(parse("NIL"), Ok(FlagList::default()));
        assert_eq!(parse("()"), Ok(FlagList::default()));
        assert_eq!(parse("NILx").unwrap().keywords, [b"NILx"]);
        assert_eq!(parse("(\\Foo \\Seen)").unwrap().system, [SystemFlag::Seen]);
        for text in ["(\\Recent)", "(a", "", "\\", "(\"a\")", "(a{)"] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
