//! COPY and MOVE (RFC 3501 section 6.4.7, RFC 6851, RFC 4315).

use courier::maildir::{Copied, Error, Right};

use super::append::storing_failed;
use crate::attempt;
use crate::grammar::sequence::Ranges;
use crate::grammar::store::Transfer;
use crate::reply::{Code, Reply};
use crate::rights;
use crate::session::{Executed, Session};

/// COPY and UID COPY.
pub fn copy(session: &mut Session, transfer: &Transfer) -> Executed {
    let indexes = attempt!(indexes(session, transfer));
    let target = attempt!(session.target(&transfer.mailbox, "COPY"));
    let keep = rights::keep(&target.rights);
    let target = target.folder;
    let selected = attempt!(session.selected());
    let copied = selected
        .folder
        .copy(&mut selected.view, &indexes, &target, keep);
    let copied = attempt!(copied.map_err(|error| failed(session, &error, "COPY")));
    let selected = attempt!(session.selected());
    selected.remember_copied(copied.uids.iter().map(|&(from, _)| from));
    session.announce(&target);
    let reply = Reply::ok("COPY completed.");
    Ok(match copy_uid(&copied) {
        Some(code) => reply.with(code),
        None => reply,
    })
}

/// MOVE and UID MOVE: COPYUID comes before the EXPUNGE responses (RFC 6851 section 4.3).
pub fn r#move(session: &mut Session, transfer: &Transfer) -> Executed {
    let indexes = attempt!(indexes(session, transfer));
    if attempt!(session.selected()).read_only {
        return Ok(Reply::no("Current box is selected READ-ONLY."));
    }
    attempt!(session.refresh_rights());
    attempt!(session.require_selected(Right::Trash, "MOVE"));
    attempt!(session.require_selected(Right::Expunge, "MOVE"));
    let target = attempt!(session.target(&transfer.mailbox, "MOVE"));
    let keep = rights::keep(&target.rights);
    let target = target.folder;
    let selected = attempt!(session.selected());
    let moved = selected
        .folder
        .move_to(&mut selected.view, &indexes, &target, keep);
    let moved = match moved {
        Ok(moved) => moved,
        Err(error) => {
            // Some may have left already.
            session.refresh(transfer.uid);
            return Ok(failed(session, &error, "MOVE"));
        }
    };
    if let Some(code) = copy_uid(&moved) {
        Reply::ok("Moved").with(code).write(b"*", &mut session.out);
    }
    session.refresh(transfer.uid);
    Ok(Reply::ok("MOVE completed."))
}

fn indexes(session: &mut Session, transfer: &Transfer) -> Result<Vec<usize>, Reply> {
    let selected = session.selected()?;
    let ranges = selected.ranges(&transfer.set, transfer.uid)?;
    Ok(ranges.into_iter().flatten().collect())
}

/// The COPYUID code; nothing to say if nothing was copied.
fn copy_uid(copied: &Copied) -> Option<Code> {
    if copied.uids.is_empty() {
        return None;
    }
    let from = Ranges::from_ascending(copied.uids.iter().map(|&(from, _)| from));
    let to = Ranges::from_ascending(copied.uids.iter().map(|&(_, to)| to));
    Some(Code::CopyUid(copied.uid_validity, from, to))
}

fn failed(session: &Session, error: &Error, command: &str) -> Reply {
    let text = format!("{command} failed - no write permission or out of disk space.");
    storing_failed(session, error, "copying", text)
}
