//! LIST and LSUB arguments: RFC 3501, the extended form of RFC 5258 and the STATUS return option of RFC 5819.

use super::astring::{astring, list_mailbox};
use super::cursor::{Cursor, Parsed, SyntaxError};
use super::status::{StatusItem, status_items};

/// Most patterns in one command.
const MAX_PATTERNS: usize = 64;

/// `LIST`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// The reference, in wire form.
    pub reference: Vec<u8>,
    /// The patterns, in wire form; one unless the command is in the extended form.
    pub patterns: Vec<Vec<u8>>,
    /// Selection option SUBSCRIBED: only subscribed names, existing or not.
    pub subscribed: bool,
    /// Selection option RECURSIVEMATCH: also parents of what matches, with CHILDINFO.
    pub recursive: bool,
    /// Selection option SPECIAL-USE (RFC 6154): only mailboxes with such a use.
    pub special_use: bool,
    /// Return option SUBSCRIBED: mark subscribed names.
    pub return_subscribed: bool,
    /// Return option STATUS: a STATUS response per mailbox.
    pub return_status: Option<Vec<StatusItem>>,
    /// What of the draft ACL2 stood among the selection options: what to show of the rights.
    pub info: Info,
    /// In RFC 5258's form; an empty pattern then is a pattern and not a question for the separator.
    pub extended: bool,
}

/// What LIST shows of the rights on each mailbox (draft ACL2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Info {
    /// `ACL`: the list, where the user may read it.
    pub acl: bool,
    /// `MYRIGHTS`.
    pub my_rights: bool,
    /// `POSTADDRESS`: where to send mail for the mailbox; there is no such address.
    pub post_address: bool,
}

impl Info {
    /// True if nothing is to be shown.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl List {
    /// What follows `LIST`.
    /// ```abnf
    /// list         = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]
    /// list-select-opts = "(" [list-select-opt *(SP list-select-opt)] ")"
    /// mbox-or-pat  = list-mailbox / "(" list-mailbox *(SP list-mailbox) ")"
    /// ```
    ///
    /// # Errors
    /// Not that, or an option that is not known.
    pub fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let mut list = Self::default();
        if cursor.peek() == Some(b'(') {
            list.extended = true;
            cursor.list(0, |cursor| list.select_option(cursor))?;
            cursor.space()?;
            // RECURSIVEMATCH modifies another option and must not stand alone (RFC 5258 section 3.1).
            if list.recursive && !list.subscribed && !list.special_use {
                return Err(SyntaxError::Malformed);
            }
            // Each has a form of its own for what follows the name, and only one can stand there.
            if list.recursive && !list.info.is_empty() {
                return Err(SyntaxError::Malformed);
            }
        }
        list.reference = reference(cursor)?;
        cursor.space()?;
        if cursor.peek() == Some(b'(') {
            list.extended = true;
            list.patterns = cursor.list(1, list_mailbox)?;
            if list.patterns.len() > MAX_PATTERNS {
                return Err(SyntaxError::TooComplex);
            }
        } else {
            list.patterns = vec![list_mailbox(cursor)?];
        }
        if cursor.blanks() && cursor.peek().is_some() {
            list.extended = true;
            if cursor.word()? != b"RETURN" {
                return Err(SyntaxError::Malformed);
            }
            cursor.space()?;
            cursor.list(0, |cursor| list.return_option(cursor))?;
        }
        cursor.end()?;
        Ok(list)
    }

    /// What follows `LSUB`.
    /// ```abnf
    /// lsub = "LSUB" SP mailbox SP list-mailbox
    /// ```
    ///
    /// # Errors
    /// Not that.
    pub fn parse_lsub(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let reference = reference(cursor)?;
        cursor.space()?;
        let pattern = list_mailbox(cursor)?;
        cursor.end()?;
        Ok(Self {
            reference,
            patterns: vec![pattern],
            subscribed: true,
            ..Self::default()
        })
    }

    /// ```abnf
    /// list-select-opt = "ACL" / "MYRIGHTS" / "POSTADDRESS" / "SUBSCRIBED" / "REMOTE" / "RECURSIVEMATCH" / "SPECIAL-USE"
    /// ```
    /// There are no remote mailboxes, so REMOTE changes nothing.
    fn select_option(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        match cursor.word()?.as_slice() {
            b"SUBSCRIBED" => {
                self.subscribed = true;
                self.return_subscribed = true;
            }
            b"RECURSIVEMATCH" => self.recursive = true,
            b"SPECIAL-USE" => self.special_use = true,
            b"ACL" => self.info.acl = true,
            b"MYRIGHTS" => self.info.my_rights = true,
            b"POSTADDRESS" => self.info.post_address = true,
            b"REMOTE" => {}
            _ => return Err(SyntaxError::Malformed),
        }
        Ok(())
    }

    /// ```abnf
    /// return-option = "SUBSCRIBED" / "CHILDREN" / "SPECIAL-USE" / "STATUS" SP "(" status-att *(SP status-att) ")"
    /// ```
    /// Child attributes and special uses are always given, so CHILDREN and SPECIAL-USE change nothing.
    fn return_option(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        match cursor.word()?.as_slice() {
            b"SUBSCRIBED" => self.return_subscribed = true,
            b"CHILDREN" | b"SPECIAL-USE" => {}
            b"STATUS" => {
                cursor.space()?;
                self.return_status = Some(status_items(cursor)?);
            }
            _ => return Err(SyntaxError::Malformed),
        }
        Ok(())
    }
}

/// ```abnf
/// reference = mailbox
/// ```
/// Patterns are taken too; NIL stands for nothing, as in the original.
fn reference(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    match cursor.peek() {
        Some(b'"' | b'{') => astring(cursor),
        _ => {
            let reference = list_mailbox(cursor)?;
            Ok(if reference.eq_ignore_ascii_case(b"NIL") {
                Vec::new()
            } else {
                reference
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parsed<List> {
        List::parse(&mut Cursor::new(text.as_bytes()))
    }

    #[test]
    fn plain_and_extended() {
        let list = parse(" \"\" INBOX.%").unwrap();
        assert_eq!(list.patterns, [b"INBOX.%"]);
        assert!(!list.extended);
        let list =
            parse(" (SUBSCRIBED RECURSIVEMATCH) \"\" (\"a\" b*) RETURN (CHILDREN STATUS (UNSEEN))")
                .unwrap();
        assert!(list.subscribed && list.recursive && list.extended);
        assert_eq!(list.return_status, Some(vec![StatusItem::Unseen]));
    }

    #[test]
    fn what_is_not_list() {
        for text in [
            "",
            " \"\"",
            " \"\" ()",
            " (RECURSIVEMATCH) \"\" *",
            " (FOO) \"\" *",
            " \"\" * RETURN",
            " \"\" * RETURN (STATUS ())",
            " \"\" * x",
            " \"\" \"",
        ] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
