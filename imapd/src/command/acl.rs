//! The commands about rights: GETACL, SETACL, DELETEACL, LISTRIGHTS, MYRIGHTS (RFC 4314 in the dress of RFC 2086), and
//! ACL of the draft `ACL2=UNION` (contract: imapd 16, shared-folders A4).

use courier::maildir::{Acl, Error, ErrorKind, Minimum, Right, Rights};

use super::list;
use crate::attempt;
use crate::folder::{BadName, KNOWING, Place, denied, missing};
use crate::grammar::acl::{AclAction, AclCommand};
use crate::reply::{Code, Reply};
use crate::rights;
use crate::session::{Executed, Session};

/// How the rights of an identifier change.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Modification {
    Replace(Rights),
    Add(Rights),
    Remove(Rights),
}

impl Modification {
    /// `lr`, `+lr`, `-lr`; `None` for letters that are not known.
    fn parse(text: &[u8]) -> Option<Self> {
        match text.split_first() {
            Some((b'+', letters)) => rights::parse(letters).map(Self::Add),
            Some((b'-', letters)) => rights::parse(letters).map(Self::Remove),
            _ => rights::parse(text).map(Self::Replace),
        }
    }

    /// Changes the entry of `identifier`; one without rights goes.
    fn apply(&self, acl: &mut Acl, identifier: &[u8]) {
        let names: &[&[u8]] = match identifier {
            // Two spellings of one.
            b"administrators" | b"group=administrators" => {
                &[b"group=administrators", b"administrators"]
            }
            _ => &[identifier],
        };
        let old = names
            .iter()
            .find_map(|name| acl.get(name))
            .cloned()
            .unwrap_or_default();
        let new = match self {
            Self::Replace(rights) => rights.clone(),
            Self::Add(rights) => old.with(rights),
            Self::Remove(rights) => old.without(rights),
        };
        for other in names.iter().filter(|name| **name != identifier) {
            acl.remove(other);
        }
        if new.is_empty() {
            acl.remove(identifier);
        } else {
            acl.set(identifier, new);
        }
    }
}

/// GETACL.
pub fn get(session: &mut Session, wire: &[u8]) -> Executed {
    let place = attempt!(known(session, wire));
    attempt!(session.require(&place, Right::Administer, "GETACL", wire));
    let acl = attempt!(
        place
            .maildir
            .acl(&place.name)
            .map_err(|error| session.failed(&error))
    );
    let utf8 = session.utf8;
    let out = &mut session.out;
    out.put(b"* ACL ");
    out.string(wire, utf8);
    for (identifier, rights) in acl.entries() {
        if let Some(identifier) = shown(identifier) {
            out.put(b" ");
            out.string(&identifier, utf8);
            out.put(b" ");
            out.string(&rights::old(rights), utf8);
        }
    }
    out.end_line();
    attempt!(session.refresh_rights());
    Ok(Reply::ok("GETACL completed."))
}

/// SETACL.
pub fn set(session: &mut Session, wire: &[u8], identifier: &[u8], text: &[u8]) -> Executed {
    change(session, wire, identifier, text, "SETACL")
}

/// DELETEACL.
pub fn delete(session: &mut Session, wire: &[u8], identifier: &[u8]) -> Executed {
    change(session, wire, identifier, b"", "DELETEACL")
}

fn change(
    session: &mut Session,
    wire: &[u8],
    identifier: &[u8],
    text: &[u8],
    command: &str,
) -> Executed {
    let place = attempt!(known(session, wire));
    attempt!(session.require(&place, Right::Administer, command, wire));
    let Some(identifier) = stored(identifier) else {
        return Ok(Reply::no("Invalid ACL identifier.").with(Code::Cannot));
    };
    let Some(modification) = Modification::parse(text) else {
        return Ok(unknown_rights());
    };
    let changed = place.maildir.change_acl(&place.name, &place.owner, |acl| {
        modification.apply(acl, &identifier);
    });
    match changed {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => {
            return Ok(Reply::no("Cannot modify ACLs as requested.").with(Code::Cannot));
        }
        Err(error) => return Ok(unchanged(session, &error)),
    }
    attempt!(session.refresh_rights());
    Ok(Reply::ok("ACLs updated."))
}

/// LISTRIGHTS: what an identifier has in any case, and what it can be given.
pub fn list_rights(session: &mut Session, wire: &[u8], identifier: &[u8]) -> Executed {
    let place = attempt!(known(session, wire));
    attempt!(some_rights(session, &place));
    let owner = place.owner.as_slice();
    let (required, optional): (&[u8], &[u8]) = if identifier == owner {
        (b"al", b"c d i p r s w")
    } else if identifier == b"-anyone" || identifier.strip_prefix(b"-") == Some(owner) {
        (b"", b"c d i p r s w")
    } else {
        (b"", b"a c d i l p r s w")
    };
    let utf8 = session.utf8;
    let out = &mut session.out;
    out.put(b"* LISTRIGHTS ");
    out.string(wire, utf8);
    out.put(b" ");
    out.string(identifier, utf8);
    out.put(b" ");
    out.string(required, utf8);
    out.put(b" ");
    out.put(optional);
    out.end_line();
    attempt!(session.refresh_rights());
    Ok(Reply::ok("LISTRIGHTS completed."))
}

/// MYRIGHTS.
pub fn my_rights(session: &mut Session, wire: &[u8]) -> Executed {
    let place = attempt!(known(session, wire));
    let rights = attempt!(some_rights(session, &place));
    let utf8 = session.utf8;
    let out = &mut session.out;
    out.put(b"* MYRIGHTS ");
    out.string(wire, utf8);
    out.put(b" ");
    out.string(&rights::old(&rights), utf8);
    out.end_line();
    attempt!(session.refresh_rights());
    Ok(Reply::ok("MYRIGHTS completed."))
}

/// ACL STORE, ACL SET, ACL DELETE. Each mailbox has its own answer; the command itself does not fail with them.
pub fn draft(session: &mut Session, command: &AclCommand) -> Executed {
    let (word, entries) = match &command.action {
        AclAction::Store(identifier, text) => ("ACL STORE", vec![(identifier, text.as_slice())]),
        AclAction::Set(entries) => (
            "ACL SET",
            entries
                .iter()
                .map(|(identifier, text)| (identifier, text.as_slice()))
                .collect(),
        ),
        AclAction::Delete(identifier) => ("ACL DELETE", vec![(identifier, &b""[..])]),
    };
    let replaces = matches!(command.action, AclAction::Set(_));
    let mut modifications = Vec::new();
    for (identifier, text) in entries {
        let Some(modification) = Modification::parse(text) else {
            return Ok(unknown_rights());
        };
        modifications.push((identifier.as_slice(), modification));
    }
    let mailboxes = if command.patterns {
        attempt!(list::matching(session, &command.mailboxes))
    } else {
        command.mailboxes.clone()
    };
    for wire in mailboxes {
        let outcome = change_one(session, &wire, replaces, &modifications);
        attempt!(put_outcome(session, &wire, word, outcome));
        session.out.check()?;
    }
    attempt!(session.refresh_rights());
    Ok(Reply::ok(format!("{word} completed.")))
}

/// What became of one mailbox of an ACL command.
enum Outcome {
    Changed(Place, Acl),
    Missing,
    Denied,
    Invalid,
    BelowMinimum(Minimum),
    Failed(Error),
}

fn change_one(
    session: &Session,
    wire: &[u8],
    replaces: bool,
    modifications: &[(&[u8], Modification)],
) -> Outcome {
    let Ok(place) = known(session, wire) else {
        return Outcome::Missing;
    };
    match session.rights(&place) {
        Ok(rights) if rights.has(Right::Administer) => {}
        Ok(rights) if rights.has_any(KNOWING) => return Outcome::Denied,
        Ok(_) => return Outcome::Missing,
        Err(error) => return Outcome::Failed(error),
    }
    if !modifications
        .iter()
        .all(|(identifier, _)| is_storable(identifier))
    {
        return Outcome::Invalid;
    }
    let changed = place.maildir.change_acl(&place.name, &place.owner, |acl| {
        if replaces {
            acl.clear();
        }
        for (identifier, modification) in modifications {
            modification.apply(acl, identifier);
        }
    });
    match changed {
        Ok(Ok(acl)) => Outcome::Changed(place, acl),
        Ok(Err(minimum)) => Outcome::BelowMinimum(minimum),
        Err(error) => Outcome::Failed(error),
    }
}

fn put_outcome(
    session: &mut Session,
    wire: &[u8],
    word: &str,
    outcome: Outcome,
) -> Result<(), Reply> {
    let reason = match outcome {
        Outcome::Changed(place, acl) => return list::put_changed(session, wire, &place, &acl),
        Outcome::BelowMinimum(Minimum::Owner) => {
            session.out.put(b"* RIGHTS-INFO ");
            session.out.string(wire, session.utf8);
            session.out.put(b" \"owner\" al c e i p r s t w x\r\n");
            return Ok(());
        }
        Outcome::BelowMinimum(Minimum::Administrators) | Outcome::Invalid => {
            "Invalid argument".to_owned()
        }
        Outcome::Missing => missing().text.into_owned(),
        Outcome::Denied => format!("NO {}", denied(word, wire, Right::Administer).text),
        Outcome::Failed(error) => unchanged(session, &error).text.into_owned(),
    };
    session.out.put(b"* ACLFAILED ");
    session.out.string(wire, session.utf8);
    session.out.put(b" ");
    session.out.put(reason.as_bytes());
    session.out.end_line();
    Ok(())
}

/// The place of a mailbox or a name above mailboxes.
fn known(session: &Session, wire: &[u8]) -> Result<Place, Reply> {
    let place = session.place(wire).map_err(|BadName| missing())?;
    let exists = place.maildir.exists(&place.name)
        || place
            .maildir
            .has_children(&place.name)
            .map_err(|error| session.failed(&error))?;
    if exists { Ok(place) } else { Err(missing()) }
}

/// The user's rights, at least one that lets them know of the mailbox.
fn some_rights(session: &Session, place: &Place) -> Result<Rights, Reply> {
    let rights = session
        .rights(place)
        .map_err(|error| session.failed(&error))?;
    if rights.has_any(KNOWING) {
        Ok(rights)
    } else {
        Err(missing())
    }
}

fn unknown_rights() -> Reply {
    // RFC 4314 section 3.1.
    Reply::bad("Unknown rights.")
}

/// The reply when a list could not be read or written.
fn unchanged(session: &Session, error: &Error) -> Reply {
    let mut reply = session.failed(error);
    if matches!(
        error.kind(),
        ErrorKind::Denied | ErrorKind::NoSpace | ErrorKind::Protected | ErrorKind::Io
    ) {
        reply.text = "Cannot modify ACLs on this mailbox.".into();
    }
    reply
}

/// True if an identifier can stand in the file: text without blanks and control characters.
fn is_storable(identifier: &[u8]) -> bool {
    let name = identifier.strip_prefix(b"-").unwrap_or(identifier);
    !name.is_empty()
        && name.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
        && std::str::from_utf8(name).is_ok()
}

/// The identifier of RFC 4314 as it stands in the file; `None` if it cannot be one.
fn stored(identifier: &[u8]) -> Option<Vec<u8>> {
    if !is_storable(identifier) || identifier.contains(&b'=') {
        return None;
    }
    let (minus, name): (&[u8], _) = match identifier.strip_prefix(b"-") {
        Some(name) => (b"-", name),
        None => (b"", identifier),
    };
    let kind: &[u8] = match name {
        b"anyone" | b"anonymous" | b"authuser" | b"owner" => b"",
        b"administrators" => b"group=",
        _ => b"user=",
    };
    Some([minus, kind, name].concat())
}

/// The other way; `None` for those that RFC 4314's names cannot express.
fn shown(identifier: &[u8]) -> Option<Vec<u8>> {
    let (minus, name): (&[u8], _) = match identifier.strip_prefix(b"-") {
        Some(name) => (b"-", name),
        None => (b"", identifier),
    };
    match name.strip_prefix(b"user=") {
        Some(user) => Some([minus, user].concat()),
        None if name.contains(&b'=') => None,
        None => Some(identifier.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_translated_both_ways() {
        for (wire, file) in [
            ("bob", Some("user=bob")),
            ("-bob", Some("-user=bob")),
            ("owner", Some("owner")),
            ("-anyone", Some("-anyone")),
            ("administrators", Some("group=administrators")),
            ("x=y", None),
            ("a b", None),
            ("-", None),
            ("", None),
            ("a\tb", None),
        ] {
            let stored = stored(wire.as_bytes());
            assert_eq!(stored.as_deref(), file.map(str::as_bytes), "{wire}");
            if let Some(stored) = stored.filter(|stored| !stored.starts_with(b"group=")) {
                assert_eq!(shown(&stored).as_deref(), Some(wire.as_bytes()));
            }
        }
        assert_eq!(shown(b"-group=staff"), None);
    }

    #[test]
    fn administrators_have_one_entry() {
        let mut acl = Acl::default();
        let modification = Modification::parse(b"-l").unwrap();
        modification.apply(&mut acl, b"group=administrators");
        assert_eq!(acl.get(b"administrators"), None);
        assert_eq!(acl.missing(b"joe"), Some(Minimum::Administrators));
    }
}
