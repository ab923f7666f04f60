//! Bytes of one framed command → typed command. Pure: knows neither store nor socket. One file per topic; the
//! doc comment of each parser is the rule it implements (RFC 3501 and RFC 9051 section 9, extensions by number).

pub mod acl;
pub mod append;
pub mod astring;
pub mod cursor;
pub mod date;
pub mod fetch;
pub mod flag;
pub mod list;
pub mod mailbox;
pub mod quota;
pub mod search;
pub mod sequence;
pub mod sort;
pub mod status;
pub mod store;

use cursor::{Cursor, Parsed, SyntaxError};

/// Longest tag, in bytes.
const MAX_TAG: usize = 1024;

/// A command with its arguments. Mailbox names are in wire form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `ACL` of the draft ACL2.
    Acl(acl::AclCommand),
    /// `APPEND` up to its first message.
    Append(append::Append),
    /// `CAPABILITY`.
    Capability,
    /// `CHECK`.
    Check,
    /// `CLOSE`.
    Close,
    /// `COPY`, `UID COPY`.
    Copy(store::Transfer),
    /// `CREATE`.
    Create(Vec<u8>),
    /// `DELETE`.
    Delete(Vec<u8>),
    /// `DELETEACL`: mailbox, identifier (RFC 4314).
    DeleteAcl(Vec<u8>, Vec<u8>),
    /// `ENABLE`; the words in upper case.
    Enable(Vec<Vec<u8>>),
    /// `EXAMINE`.
    Examine(Vec<u8>),
    /// `EXPUNGE`, or with a set `UID EXPUNGE` (RFC 4315).
    Expunge(Option<sequence::SequenceSet>),
    /// `FETCH`, `UID FETCH`.
    Fetch(fetch::Fetch),
    /// `GETACL` (RFC 4314).
    GetAcl(Vec<u8>),
    /// `GETQUOTA`: a quota root (RFC 9208).
    GetQuota(Vec<u8>),
    /// `GETQUOTAROOT`: a mailbox.
    GetQuotaRoot(Vec<u8>),
    /// `ID` (RFC 2971).
    Id(Option<mailbox::IdFields>),
    /// `IDLE` (RFC 2177).
    Idle,
    /// `LIST`.
    List(list::List),
    /// `LISTRIGHTS`: mailbox, identifier (RFC 4314).
    ListRights(Vec<u8>, Vec<u8>),
    /// `LOGOUT`.
    Logout,
    /// `LSUB`.
    Lsub(list::List),
    /// `MOVE`, `UID MOVE` (RFC 6851).
    Move(store::Transfer),
    /// `MYRIGHTS` (RFC 4314).
    MyRights(Vec<u8>),
    /// `NAMESPACE` (RFC 2342).
    Namespace,
    /// `NOOP`.
    Noop,
    /// `RENAME`: from, to.
    Rename(Vec<u8>, Vec<u8>),
    /// `SEARCH`, `UID SEARCH`.
    Search(search::Search),
    /// `SELECT`.
    Select(Vec<u8>),
    /// `SETACL`: mailbox, identifier, rights (RFC 4314).
    SetAcl(Vec<u8>, Vec<u8>, Vec<u8>),
    /// `SETQUOTA`, which is always refused.
    SetQuota,
    /// `SORT`, `UID SORT` (RFC 5256), as far as it was understood; a server that does not sort says so in any case.
    Sort(Result<sort::Sort, SyntaxError>),
    /// `STATUS`.
    Status(status::Status),
    /// `STORE`, `UID STORE`.
    Store(store::Store),
    /// `SUBSCRIBE`.
    Subscribe(Vec<u8>),
    /// `THREAD`, `UID THREAD` (RFC 5256), likewise.
    Thread(Result<sort::Thread, SyntaxError>),
    /// `UNSELECT` (RFC 3691).
    Unselect,
    /// `UNSUBSCRIBE`.
    Unsubscribe(Vec<u8>),
}

/// Splits a command into its tag and the rest, `None` if it has no tag.
/// ```abnf
/// command = tag SP (command-any / command-auth / command-select) CRLF
/// ```
pub fn split_tag(command: &[u8]) -> Option<(&[u8], Cursor<'_>)> {
    let mut cursor = Cursor::new(command);
    cursor.blanks();
    let tag = astring::tag(&mut cursor).ok()?;
    // Echoed in every reply, so a flood without blanks must not count as one.
    (tag.len() <= MAX_TAG).then_some((tag, cursor))
}

impl Command {
    /// What follows the tag.
    ///
    /// # Errors
    /// Not a command, or not with these arguments.
    pub fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.space()?;
        let name = cursor.word()?;
        match name.as_slice() {
            b"UID" => {
                cursor.space()?;
                let name = cursor.word()?;
                Self::selected(&name, cursor, true)
            }
            b"ACL" => acl::AclCommand::parse(cursor).map(Self::Acl),
            b"APPEND" => append::Append::parse(cursor).map(Self::Append),
            b"CAPABILITY" => alone(cursor, Self::Capability),
            b"CHECK" => alone(cursor, Self::Check),
            b"CLOSE" => alone(cursor, Self::Close),
            b"CREATE" => mailbox::one(cursor).map(Self::Create),
            b"DELETE" => mailbox::one(cursor).map(Self::Delete),
            b"DELETEACL" => mailbox::two(cursor).map(|(name, who)| Self::DeleteAcl(name, who)),
            b"ENABLE" => mailbox::enable(cursor).map(Self::Enable),
            b"EXAMINE" => mailbox::one(cursor).map(Self::Examine),
            b"GETACL" => mailbox::one(cursor).map(Self::GetAcl),
            b"GETQUOTA" => mailbox::one(cursor).map(Self::GetQuota),
            b"GETQUOTAROOT" => mailbox::one(cursor).map(Self::GetQuotaRoot),
            b"ID" => mailbox::id(cursor).map(Self::Id),
            b"IDLE" => alone(cursor, Self::Idle),
            b"LIST" => list::List::parse(cursor).map(Self::List),
            b"LISTRIGHTS" => mailbox::two(cursor).map(|(name, who)| Self::ListRights(name, who)),
            b"LOGOUT" => alone(cursor, Self::Logout),
            b"LSUB" => list::List::parse_lsub(cursor).map(Self::Lsub),
            b"MYRIGHTS" => mailbox::one(cursor).map(Self::MyRights),
            b"NAMESPACE" => alone(cursor, Self::Namespace),
            b"NOOP" => alone(cursor, Self::Noop),
            b"RENAME" => mailbox::two(cursor).map(|(from, to)| Self::Rename(from, to)),
            b"SELECT" => mailbox::one(cursor).map(Self::Select),
            b"SETACL" => {
                acl::three(cursor).map(|(name, who, rights)| Self::SetAcl(name, who, rights))
            }
            b"SETQUOTA" => quota::set(cursor).map(|()| Self::SetQuota),
            b"STATUS" => status::Status::parse(cursor).map(Self::Status),
            b"SUBSCRIBE" => mailbox::one(cursor).map(Self::Subscribe),
            b"UNSELECT" => alone(cursor, Self::Unselect),
            b"UNSUBSCRIBE" => mailbox::one(cursor).map(Self::Unsubscribe),
            other => Self::selected(other, cursor, false),
        }
    }

    /// ```abnf
    /// uid = "UID" SP (copy / fetch / search / sort / store / thread / move / "EXPUNGE" SP sequence-set)
    /// ```
    fn selected(name: &[u8], cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Self> {
        match name {
            b"COPY" => store::Transfer::parse(cursor, uid).map(Self::Copy),
            b"EXPUNGE" if uid => {
                cursor.space()?;
                let set = sequence::SequenceSet::parse(cursor)?;
                alone(cursor, Self::Expunge(Some(set)))
            }
            b"EXPUNGE" => alone(cursor, Self::Expunge(None)),
            b"FETCH" => fetch::Fetch::parse(cursor, uid).map(Self::Fetch),
            b"MOVE" => store::Transfer::parse(cursor, uid).map(Self::Move),
            b"SEARCH" => search::Search::parse(cursor, uid).map(Self::Search),
            b"SORT" => Ok(Self::Sort(sort::Sort::parse(cursor, uid))),
            b"STORE" => store::Store::parse(cursor, uid).map(Self::Store),
            b"THREAD" => Ok(Self::Thread(sort::Thread::parse(cursor, uid))),
            _ => Err(SyntaxError::Malformed),
        }
    }
}

fn alone(cursor: &mut Cursor<'_>, command: Command) -> Parsed<Command> {
    cursor.end()?;
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &[u8]) -> Parsed<Command> {
        let (_, mut cursor) = split_tag(text).ok_or(SyntaxError::Malformed)?;
        Command::parse(&mut cursor)
    }

    #[test]
    fn commands_in_any_case_with_blanks_around() {
        assert_eq!(parse(b"a noop"), Ok(Command::Noop));
        assert_eq!(parse(b"a  NoOp  "), Ok(Command::Noop));
        assert_eq!(
            parse(b"1.a select \"inbox\""),
            Ok(Command::Select(b"inbox".to_vec()))
        );
        assert!(matches!(
            parse(b"a uid expunge 1:3"),
            Ok(Command::Expunge(Some(_)))
        ));
        assert!(matches!(
            parse(b"a UID FETCH 1 FLAGS"),
            Ok(Command::Fetch(fetch::Fetch { uid: true, .. }))
        ));
    }

    #[test]
    fn what_is_not_a_command() {
        for text in [
            &b""[..],
            b"a",
            b"a ",
            b"a bogus",
            b"a NOOP x",
            b"a UID NOOP",
            b"a UID EXPUNGE",
            b"a EXPUNGE 1",
            b"a ENABLE",
            b"+ NOOP",
            b"a\0 NOOP",
            b"a SELECT a\0b",
            b"a LOGIN x y",
        ] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            // Only that it returns.
            parse(&bytes).ok();
        }

        #[test]
        fn words_of_the_grammar_parse_or_fail(
            words in proptest::collection::vec(proptest::sample::select(vec![
                "a ", "UID ", "FETCH ", "SEARCH ", "STORE ", "APPEND ", "LIST ", "STATUS ", "ID ", "1:* ", "(", ")",
                " ", "\"", "\\", "{3}\r\n", "{3+}\r\nabc", "~{1}\r\nx", "BODY[", "]", "<1.2>", "HEADER.FIELDS ",
                "NOT ", "OR ", "FROM ", "x", "NIL", "RETURN ", "*", "%", "+FLAGS ", "\\Seen", "1-Jan-2020", ",", ":",
                "4294967295", "99999999999999999999", "UTF8 (", "INBOX", "SORT ", "THREAD ", "REVERSE ", "SUBJECT ",
                "REFERENCES ", "UTF-8 ", "$", "ALL ", "ACL STORE ", "ACL SET ", "SETACL ", "GETQUOTAROOT ", "SETQUOTA ",
                "(ACL MYRIGHTS) ", "user=x ", "+lr ",
            ]), 0..40)
        ) {
            parse(words.concat().as_bytes()).ok();
        }
    }
}
