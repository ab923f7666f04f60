//! EXPUNGE, UID EXPUNGE, and what CLOSE does. With `IMAP_MOVE_EXPUNGE_TO_TRASH` messages go to the trash folder
//! (contract: imapd 12.4).

use std::os::unix::ffi::OsStrExt;

use courier::maildir::{Error, ErrorKind, Flags, Folder, FolderName, Keep, Right};
use courier::sys::log::{Level, log};

use crate::attempt;
use crate::grammar::sequence::SequenceSet;
use crate::reply::{Code, Reply};
use crate::session::{Executed, Session};

/// EXPUNGE, or with a set UID EXPUNGE (RFC 4315).
pub fn execute(session: &mut Session, set: Option<&SequenceSet>) -> Executed {
    attempt!(session.refresh_rights());
    attempt!(session.require_selected(Right::Expunge, "EXPUNGE"));
    if attempt!(session.selected()).read_only {
        return Ok(Reply::no("Cannot expunge read-only mailbox."));
    }
    let removed = remove(session, set);
    // What was removed before a failure is told too.
    session.refresh(set.is_some());
    attempt!(removed);
    Ok(Reply::ok("EXPUNGE completed"))
}

impl Session {
    /// The right must be held on the selected mailbox.
    ///
    /// # Errors
    /// The reply of the command.
    pub fn require_selected(&mut self, right: Right, command: &str) -> Result<(), Reply> {
        if self.selected()?.rights.has(right) {
            return Ok(());
        }
        let text = format!(
            "Access denied for {command} on current mailbox (ACL \"{}\" required)",
            char::from(right.letter())
        );
        Err(Reply::no(text).with(Code::NoPerm))
    }
}

/// Removes the messages with `\Deleted`, those of `set` only if there is one. Their numbers stay until the next refresh.
///
/// # Errors
/// The reply of the command; some may have been removed.
pub fn remove(session: &mut Session, set: Option<&SequenceSet>) -> Result<(), Reply> {
    let Some(selected) = &session.selected else {
        return Ok(());
    };
    let ranges = match set {
        Some(set) => selected.ranges(set, true)?,
        None => std::iter::once(0..selected.view.len()).collect(),
    };
    let deleted: Vec<usize> = ranges
        .into_iter()
        .flatten()
        .filter(|&index| {
            selected.view.get(index).is_some_and(|message| {
                message.flags().contains(Flags::DELETED) && !message.is_gone()
            })
        })
        .collect();
    if deleted.is_empty() {
        return Ok(());
    }
    let is_trash = selected.place.own && selected.folder.name() == &session.settings.trash;
    let to_trash = session.settings.expunge_to_trash && !is_trash;
    let (kept_in_trash, removed) = if to_trash {
        let selected = session.selected()?;
        deleted.into_iter().partition(|&index| {
            selected
                .view
                .get(index)
                .is_some_and(|message| !selected.was_copied(message.uid()))
        })
    } else {
        (Vec::new(), deleted)
    };
    if !kept_in_trash.is_empty() {
        move_to_trash(session, &kept_in_trash)?;
    }
    let names = names_to_log(session, &removed)?;
    let selected = session.selected()?;
    let result = selected.folder.expunge(&mut selected.view, &removed);
    let missing = match &result {
        Ok(outcome) => outcome.missing.as_slice(),
        Err(_) => &[],
    };
    for (index, uid, old) in names {
        if !missing.contains(&index) && is_removed(session, uid)? {
            log_removal(session, &old);
        }
    }
    result.map(|_| ()).map_err(|error| session.failed(&error))
}

fn move_to_trash(session: &mut Session, indexes: &[usize]) -> Result<(), Reply> {
    let name = session.settings.trash.clone();
    let trash = trash(session, &name).map_err(|error| session.failed(&error))?;
    let keep = Keep {
        flags: Flags::ALL.without(Flags::DELETED | Flags::DRAFT),
        keywords: true,
    };
    let names = names_to_log(session, indexes)?;
    let selected = session.selected()?;
    let moved = selected
        .folder
        .discard_to(&mut selected.view, indexes, &trash, keep)
        .map_err(|error| session.failed(&error))?;
    for (_, uid, old) in names {
        let new = moved
            .uids
            .iter()
            .position(|&(from, _)| from == uid)
            .and_then(|position| moved.names.get(position));
        let Some(new) = new else {
            continue;
        };
        log(
            Level::Info,
            format_args!(
                "EXPUNGED, {}, old_name={}, new_name={}/cur/{}: only new_name will be left",
                session.account,
                old.escape_ascii(),
                name.directory().escape_ascii(),
                new.escape_ascii()
            ),
        );
        log_removal(session, &old);
    }
    Ok(())
}

/// The trash folder, made if it is missing.
fn trash(session: &Session, name: &FolderName) -> Result<Folder, Error> {
    match session.maildir.folder(name) {
        Err(error) if error.kind() == ErrorKind::NoSuchFolder => session.maildir.create(name),
        other => other,
    }
}

/// For `IMAP_LOG_DELETIONS`: index, UID and path of each message, as the log names it. Empty if nothing is logged.
fn names_to_log(
    session: &mut Session,
    indexes: &[usize],
) -> Result<Vec<(usize, u32, Vec<u8>)>, Reply> {
    if !session.settings.log_deletions {
        return Ok(Vec::new());
    }
    let selected = session.selected()?;
    // Relative to the user's own maildir, which is the working directory.
    let maildir = match selected.place.own {
        true => b".",
        false => selected.place.maildir.path().as_os_str().as_bytes(),
    };
    let directory = match selected.folder.name().directory().as_slice() {
        b"." => maildir.to_vec(),
        directory => [maildir, b"/", directory].concat(),
    };
    Ok(indexes
        .iter()
        .filter_map(|&index| {
            let message = selected.view.get(index)?;
            let path = [&directory, &b"/"[..], &selected.view.log_name(message)].concat();
            Some((index, message.uid(), path))
        })
        .collect())
}

/// True if the message has been removed.
fn is_removed(session: &mut Session, uid: u32) -> Result<bool, Reply> {
    let view = &session.selected()?.view;
    Ok(view
        .index_of_uid(uid)
        .and_then(|index| view.get(index))
        .is_none_or(courier::maildir::Message::is_gone))
}

fn log_removal(session: &Session, old: &[u8]) {
    log(
        Level::Info,
        format_args!(
            "EXPUNGED, {}, old_name={}",
            session.account,
            old.escape_ascii()
        ),
    );
}
