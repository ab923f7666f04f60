//! STORE, COPY and MOVE arguments.

use super::astring::astring;
use super::cursor::{Cursor, Parsed, SyntaxError};
use super::flag::FlagList;
use super::sequence::SequenceSet;

/// What STORE does with the flags given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreMode {
    /// `FLAGS`: these and no others.
    Replace,
    /// `+FLAGS`.
    Add,
    /// `-FLAGS`.
    Remove,
}

/// `STORE` or `UID STORE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Numbers in `set` are UIDs, and responses carry UID.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// Replace, add or remove.
    pub mode: StoreMode,
    /// `.SILENT`: no FETCH responses for what this command changes.
    pub silent: bool,
    /// The flags.
    pub flags: FlagList,
}

/// `COPY` or `MOVE`, with UID or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Numbers in `set` are UIDs.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// Target, in wire form.
    pub mailbox: Vec<u8>,
}

impl Store {
    /// What follows `STORE`.
    /// ```abnf
    /// store           = "STORE" SP sequence-set SP store-att-flags
    /// store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))
    /// ```
    ///
    /// # Errors
    /// Not that.
    pub fn parse(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Self> {
        cursor.space()?;
        let set = SequenceSet::parse(cursor)?;
        cursor.space()?;
        let name = cursor.word()?;
        let (mode, rest) = match name.split_first() {
            Some((b'+', rest)) => (StoreMode::Add, rest),
            Some((b'-', rest)) => (StoreMode::Remove, rest),
            _ => (StoreMode::Replace, name.as_slice()),
        };
        let silent = match rest {
            b"FLAGS" => false,
            b"FLAGS.SILENT" => true,
            _ => return Err(SyntaxError::Malformed),
        };
        cursor.space()?;
        let flags = FlagList::parse_store(cursor)?;
        cursor.end()?;
        Ok(Self {
            uid,
            set,
            mode,
            silent,
            flags,
        })
    }
}

impl Transfer {
    /// What follows `COPY` or `MOVE`.
    /// ```abnf
    /// copy = "COPY" SP sequence-set SP mailbox
    /// move = "MOVE" SP sequence-set SP mailbox     ; RFC 6851
    /// ```
    ///
    /// # Errors
    /// Not that.
    pub fn parse(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Self> {
        cursor.space()?;
        let set = SequenceSet::parse(cursor)?;
        cursor.space()?;
        let mailbox = astring(cursor)?;
        cursor.end()?;
        Ok(Self { uid, set, mailbox })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let parse = |text: &str| Store::parse(&mut Cursor::new(text.as_bytes()), true);
        let store = parse(" 1:* +flags.silent (\\Deleted)").unwrap();
        assert_eq!((store.mode, store.silent), (StoreMode::Add, true));
        assert_eq!(parse(" 1 FLAGS ()").unwrap().mode, StoreMode::Replace);
        assert_eq!(parse(" 1 -FLAGS a b").unwrap().flags.keywords.len(), 2);
        for text in [
            " 1 FLAGS",
            " 1 FLAG ()",
            " 1 ++FLAGS ()",
            " 1 FLAGS () x",
            " FLAGS ()",
        ] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
