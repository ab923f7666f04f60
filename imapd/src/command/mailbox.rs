//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE.

use courier::maildir::{ErrorKind, FolderName, Keep, Mode};

use crate::attempt;
use crate::folder::{BadName, Right, missing};
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
    let name = attempt!(session.folder_name(wire).map_err(|BadName| invalid()));
    let shown = String::from_utf8_lossy(wire).into_owned();
    if directory {
        return Ok(Reply::ok(format!("\"{shown}.\" created.")));
    }
    if name.is_inbox() {
        return Ok(Reply::no("INBOX already exists!").with(Code::AlreadyExists));
    }
    match session.maildir.create(&name) {
        Ok(_) => Ok(Reply::ok(format!("\"{shown}\" created."))),
        Err(error) if error.kind() == ErrorKind::FolderExists => {
            Ok(Reply::no("Cannot create this folder: it exists.").with(Code::AlreadyExists))
        }
        Err(error) => Ok(session.failed(&error)),
    }
}

/// DELETE.
pub fn delete(session: &mut Session, wire: &[u8]) -> Executed {
    let (wire, directory) = without_separator(wire);
    if directory {
        return Ok(Reply::ok("Folder directory delete punted."));
    }
    let name = attempt!(session.folder_name(wire).map_err(|BadName| missing(None)));
    if !session.maildir.exists(&name) {
        return Ok(missing(None));
    }
    if is_selected(session, &name) {
        return Ok(Reply::no("Cannot delete currently-open folder.").with(Code::Cannot));
    }
    match session.maildir.delete(&name) {
        Ok(()) => Ok(Reply::ok("Folder deleted.")),
        Err(error) if error.kind() == ErrorKind::Protected => {
            Ok(Reply::no("Cannot delete this folder.").with(Code::Cannot))
        }
        Err(error) => Ok(session.failed(&error)),
    }
}

/// RENAME. Of INBOX it moves the messages to a new mailbox and leaves INBOX empty (RFC 3501 section 6.3.5).
pub fn rename(session: &mut Session, from: &[u8], to: &[u8]) -> Executed {
    let name = |wire| {
        let (wire, _) = without_separator(wire);
        session.folder_name(wire)
    };
    let from = attempt!(name(from).map_err(|BadName| missing(None)));
    let to = attempt!(name(to).map_err(|BadName| invalid()));
    if to.is_inbox() {
        return Ok(Reply::no("INBOX already exists!").with(Code::AlreadyExists));
    }
    if from.is_inbox() {
        return rename_inbox(session, &to);
    }
    let trash = &session.settings.trash;
    if from == *trash || to == *trash {
        return Ok(Reply::no("Reserved folder name - cannot rename.").with(Code::Cannot));
    }
    let open = session
        .selected
        .as_ref()
        .map(|selected| selected.folder.name());
    if open.is_some_and(|open| *open == from || open.is_below(&from)) {
        return Ok(Reply::no("Can't RENAME the currently-open folder").with(Code::Cannot));
    }
    if from == to {
        return Ok(Reply::no("RENAME failed: File exists").with(Code::AlreadyExists));
    }
    if to.is_below(&from) {
        return Ok(Reply::no("RENAME failed: Invalid argument").with(Code::Cannot));
    }
    match session.maildir.rename(&from, &to) {
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
    let name = attempt!(session.folder_name(wire).map_err(|BadName| invalid()));
    attempt!(
        session
            .maildir
            .subscribe(&name.to_full())
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
    let name = attempt!(session.folder_name(wire).map_err(|BadName| invalid()));
    attempt!(
        session
            .maildir
            .unsubscribe(&name.to_full())
            .map_err(|error| session.failed(&error))
    );
    Ok(Reply::ok("Folder unsubscribed."))
}

fn is_selected(session: &Session, name: &FolderName) -> bool {
    let Some(selected) = &session.selected else {
        return false;
    };
    // Two names may be one directory: a folder can be a symbolic link.
    selected.folder.name() == name
        || session
            .resolve(&name.to_full(), Right::Read)
            .is_ok_and(|folder| folder.is_same(&selected.folder))
}
