//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE.

use courier::maildir::{ErrorKind, FolderName, Keep, Mode, Right};

use crate::attempt;
use crate::folder::{BadName, Place, SHARED, missing};
use crate::reply::{Code, Reply};
use crate::session::{Executed, Session};

/// A name that announces names below it (RFC 3501 section 6.3.3): with the separator at its end.
fn without_separator(wire: &[u8]) -> (&[u8], bool) {
    match wire.strip_suffix(b".") {
        Some(name) => (name, true),
        None => (wire, false),
    }
}

fn invalid() -> Reply {
    Reply::no("Invalid mailbox name.").with(Code::Cannot)
}

/// CREATE. With the separator at the end there is nothing to make: names above others exist through them.
pub fn create(session: &mut Session, wire: &[u8]) -> Executed {
    let (wire, directory) = without_separator(wire);
    let place = attempt!(session.place(wire).map_err(|BadName| invalid()));
    let name = &place.name;
    let shown = String::from_utf8_lossy(wire).into_owned();
    // RFC 3501 section 6.3.3: that children are to follow changes nothing, and the name is the one without it.
    let shown = if directory {
        format!("{shown}.")
    } else {
        shown
    };
    if name.is_inbox() {
        if directory {
            return Ok(Reply::ok(format!("\"{shown}\" created.")));
        }
        return Ok(Reply::no("INBOX already exists!").with(Code::AlreadyExists));
    }
    attempt!(may_create(session, &place, "CREATE"));
    match place.maildir.create(name) {
        Ok(_) => Ok(Reply::ok(format!("\"{shown}\" created."))),
        Err(error) if error.kind() == ErrorKind::FolderExists => {
            Ok(Reply::no("Cannot create this folder: it exists.").with(Code::AlreadyExists))
        }
        Err(error) => Ok(session.failed(&error)),
    }
}

/// The right to make folders is needed on the name above the new one.
fn may_create(session: &Session, place: &Place, command: &str) -> Result<(), Reply> {
    let above = place.at(place.name.parent().unwrap_or_default());
    let wire = session.encode_name(&above.full());
    let wire = wire.unwrap_or_else(|| above.full());
    session
        .require(&above, Right::Create, command, &wire)
        .map(|_| ())
}

/// DELETE.
pub fn delete(session: &mut Session, wire: &[u8]) -> Executed {
    let (wire, directory) = without_separator(wire);
    if directory {
        return Ok(Reply::ok("Folder directory delete punted."));
    }
    let place = attempt!(session.place(wire).map_err(|BadName| missing()));
    if !place.maildir.exists(&place.name) {
        return Ok(missing());
    }
    if is_selected(session, &place) {
        return Ok(Reply::no("Cannot delete currently-open folder.").with(Code::Cannot));
    }
    attempt!(session.require(&place, Right::Delete, "DELETE", wire));
    match place.maildir.delete(&place.name) {
        Ok(()) => Ok(Reply::ok("Folder deleted.")),
        Err(error) if error.kind() == ErrorKind::Protected => {
            Ok(Reply::no("Cannot delete this folder.").with(Code::Cannot))
        }
        Err(error) => Ok(session.failed(&error)),
    }
}

/// RENAME. Of INBOX it moves the messages to a new mailbox and leaves INBOX empty (RFC 3501 section 6.3.5).
pub fn rename(session: &mut Session, from: &[u8], to: &[u8]) -> Executed {
    let (from_wire, _) = without_separator(from);
    let source = attempt!(session.place(from_wire).map_err(|BadName| missing()));
    let (to, _) = without_separator(to);
    let target = attempt!(session.place(to).map_err(|BadName| invalid()));
    let (from, to) = (&source.name, &target.name);
    if to.is_inbox() {
        return Ok(Reply::no("INBOX already exists!").with(Code::AlreadyExists));
    }
    attempt!(session.require(&source, Right::Delete, "RENAME", from_wire));
    attempt!(may_create(session, &target, "RENAME"));
    if !source.is_beside(&target) {
        return Ok(Reply::no("Cannot move a folder to a different account.").with(Code::Cannot));
    }
    if from.is_inbox() {
        if source.own {
            return rename_inbox(session, to);
        }
        return Ok(Reply::no("INBOX rename not implemented.").with(Code::Cannot));
    }
    let trash = &session.settings.trash;
    if from == trash || to == trash {
        return Ok(Reply::no("Reserved folder name - cannot rename.").with(Code::Cannot));
    }
    let open = session
        .selected
        .as_ref()
        .filter(|selected| selected.place.is_beside(&source))
        .map(|selected| &selected.place.name);
    if open.is_some_and(|open| open == from || open.is_below(from)) {
        return Ok(Reply::no("Can't RENAME the currently-open folder").with(Code::Cannot));
    }
    if from == to {
        return Ok(Reply::no("RENAME failed: File exists").with(Code::AlreadyExists));
    }
    if to.is_below(from) {
        return Ok(Reply::no("RENAME failed: Invalid argument").with(Code::Cannot));
    }
    match source.maildir.rename(from, to) {
        Ok(()) => Ok(Reply::ok("Folder renamed.")),
        Err(error) if error.kind() == ErrorKind::FolderExists => {
            Ok(Reply::no("RENAME failed: File exists").with(Code::AlreadyExists))
        }
        Err(error) => Ok(session.failed(&error)),
    }
}

fn rename_inbox(session: &mut Session, to: &FolderName) -> Executed {
    let fail = |error| session.failed(&error);
    let inbox = attempt!(session.maildir.folder(&FolderName::inbox()).map_err(fail));
    let target = match session.maildir.create(to) {
        Ok(target) => target,
        Err(error) if error.kind() == ErrorKind::FolderExists => {
            return Ok(Reply::no("RENAME failed: File exists").with(Code::AlreadyExists));
        }
        Err(error) => return Ok(session.failed(&error)),
    };
    let mut view = attempt!(inbox.scan(Mode::ReadWrite).map_err(fail));
    let all: Vec<usize> = (0..view.len()).collect();
    attempt!(
        inbox
            .move_to(&mut view, &all, &target, Keep::ALL)
            .map_err(fail)
    );
    // A session that has INBOX selected hears of it.
    session.refresh(false);
    Ok(Reply::ok("Folder renamed."))
}

/// SUBSCRIBE. The mailbox need not exist (RFC 3501 section 6.3.6).
pub fn subscribe(session: &mut Session, wire: &[u8]) -> Executed {
    let (wire, directory) = without_separator(wire);
    if directory {
        return Ok(Reply::ok("Folder directory subscribe punted."));
    }
    let place = attempt!(session.place(wire).map_err(|BadName| invalid()));
    attempt!(
        session
            .maildir
            .subscribe(&place.full())
            .map_err(|error| session.failed(&error))
    );
    Ok(Reply::ok("Folder subscribed."))
}

/// UNSUBSCRIBE. What is not subscribed is so already.
pub fn unsubscribe(session: &mut Session, wire: &[u8]) -> Executed {
    let (wire, directory) = without_separator(wire);
    if directory {
        return Ok(Reply::ok("Folder directory unsubscribe punted."));
    }
    let name = match session.place(wire) {
        Ok(place) => place.full(),
        // Of an account that is not shared any more.
        Err(BadName) => match session.decode_name(wire) {
            Ok(name) if name.as_bytes().starts_with(SHARED) => name.into_bytes(),
            _ => return Ok(invalid()),
        },
    };
    attempt!(
        session
            .maildir
            .unsubscribe(&name)
            .map_err(|error| session.failed(&error))
    );
    Ok(Reply::ok("Folder unsubscribed."))
}

fn is_selected(session: &Session, place: &Place) -> bool {
    let Some(selected) = &session.selected else {
        return false;
    };
    // Two names may be one directory: a folder can be a symbolic link.
    selected.place.full() == place.full()
        || place
            .maildir
            .folder(&place.name)
            .is_ok_and(|folder| folder.is_same(&selected.folder))
}
