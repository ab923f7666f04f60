//! Arguments of the commands about rights: RFC 4314 and, for ACL, the draft `ACL2` that the original follows.

use super::astring::{astring, list_mailbox};
use super::cursor::{Cursor, Parsed, SyntaxError};

/// Most mailboxes, or identifiers, in one command.
const MAX_ITEMS: usize = 256;

/// `ACL`, a command of the draft: changes the lists of several mailboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclCommand {
    /// Mailbox names or patterns, in wire form.
    pub mailboxes: Vec<Vec<u8>>,
    /// The mailboxes stood in parentheses: they may be patterns.
    pub patterns: bool,
    /// What is to be done.
    pub action: AclAction,
}

/// What an [`AclCommand`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AclAction {
    /// `STORE`: changes one identifier's rights.
    Store(Vec<u8>, Vec<u8>),
    /// `SET`: this is the list.
    Set(Vec<(Vec<u8>, Vec<u8>)>),
    /// `DELETE`: removes one identifier.
    Delete(Vec<u8>),
}

/// ```abnf
/// setacl = "SETACL" SP mailbox SP identifier SP mod-rights     ; RFC 4314
/// ```
///
/// # Errors
/// Not that.
pub fn three(cursor: &mut Cursor<'_>) -> Parsed<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    cursor.space()?;
    let mailbox = astring(cursor)?;
    cursor.space()?;
    let identifier = astring(cursor)?;
    cursor.space()?;
    let rights = astring(cursor)?;
    cursor.end()?;
    Ok((mailbox, identifier, rights))
}

impl AclCommand {
    /// ```abnf
    /// acl       = "ACL" SP ("STORE" SP mailboxes SP identifier SP mod-rights /
    ///             "SET" SP mailboxes 1*(SP identifier SP rights) / "DELETE" SP mailboxes SP identifier)
    /// mailboxes = mailbox / "(" list-mailbox *(SP list-mailbox) ")"
    /// ```
    ///
    /// # Errors
    /// Not that.
    pub fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let action = cursor.word()?;
        cursor.space()?;
        let patterns = cursor.peek() == Some(b'(');
        let mailboxes = if patterns {
            cursor.list(1, list_mailbox)?
        } else {
            vec![astring(cursor)?]
        };
        if mailboxes.len() > MAX_ITEMS {
            return Err(SyntaxError::TooComplex);
        }
        cursor.space()?;
        let identifier = astring(cursor)?;
        let action = match action.as_slice() {
            b"DELETE" => AclAction::Delete(identifier),
            b"STORE" => {
                cursor.space()?;
                AclAction::Store(identifier, astring(cursor)?)
            }
            b"SET" => {
                cursor.space()?;
                let mut entries = vec![(identifier, astring(cursor)?)];
                while cursor.blanks() && cursor.peek().is_some() {
                    let identifier = astring(cursor)?;
                    cursor.space()?;
                    entries.push((identifier, astring(cursor)?));
                    if entries.len() > MAX_ITEMS {
                        return Err(SyntaxError::TooComplex);
                    }
                }
                AclAction::Set(entries)
            }
            _ => return Err(SyntaxError::Malformed),
        };
        cursor.end()?;
        Ok(Self {
            mailboxes,
            patterns,
            action,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parsed<AclCommand> {
        AclCommand::parse(&mut Cursor::new(text.as_bytes()))
    }

    #[test]
    fn the_three_forms() {
        let command = parse(" STORE INBOX.a user=al +lr").unwrap();
        assert!(!command.patterns);
        assert_eq!(
            command.action,
            AclAction::Store(b"user=al".to_vec(), b"+lr".to_vec())
        );
        let command = parse(" set (INBOX.% INBOX.a) owner al anyone \"\"").unwrap();
        assert!(command.patterns);
        assert_eq!(command.mailboxes.len(), 2);
        assert_eq!(
            command.action,
            AclAction::Set(vec![
                (b"owner".to_vec(), b"al".to_vec()),
                (b"anyone".to_vec(), Vec::new())
            ])
        );
        assert!(parse(" DELETE INBOX -user=al").is_ok());
        for text in [
            "",
            " FROB INBOX x",
            " STORE INBOX x",
            " SET INBOX x",
            " SET INBOX x l y",
            " DELETE INBOX x l",
            " DELETE () x",
            " STORE INBOX.* x l",
        ] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
