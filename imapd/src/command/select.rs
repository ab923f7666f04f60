//! SELECT, EXAMINE, CLOSE, UNSELECT.

use courier::maildir::{Mode, Right};

use crate::attempt;
use crate::reply::{Code, Reply};
use crate::session::{Executed, Session};
use crate::state::Selected;

/// SELECT and EXAMINE. The mailbox selected before is left, whether the new one can be selected or not.
pub fn select(session: &mut Session, wire: &[u8], read_only: bool) -> Executed {
    session.selected = None;
    let found = attempt!(session.resolve(wire, Right::Read, "SELECT/EXAMINE"));
    // Nothing may be changed by whoever has none of the rights to change something.
    let read_only = read_only || !found.rights.has_any(b"ieswt");
    let mode = if read_only {
        Mode::ReadOnly
    } else {
        Mode::ReadWrite
    };
    let view = attempt!(
        found
            .folder
            .scan(mode)
            .map_err(|error| session.failed(&error))
    );
    let mut selected = Selected::new(found, view, read_only, session.settings.keywords);
    let out = &mut session.out;
    selected.put_flags_in_use(out);
    selected.put_counts(out);
    if let Some(unseen) = selected.view.first_unseen() {
        let number = unseen.saturating_add(1);
        out.text(format_args!(
            "* OK [UNSEEN {number}] Message {number} is first unseen\r\n"
        ));
    }
    out.text(format_args!(
        "* OK [UIDVALIDITY {}] Ok\r\n",
        selected.view.uid_validity()
    ));
    selected.put_rights(out);
    out.text(format_args!(
        "* OK [UIDNEXT {}] Predicted next UID\r\n",
        selected.view.uid_next()
    ));
    selected.put_hidden(out);
    session.selected = Some(selected);
    Ok(Reply::ok("Ok").with(if read_only {
        Code::ReadOnly
    } else {
        Code::ReadWrite
    }))
}

/// CLOSE: expunges without telling, then leaves the mailbox.
pub fn close(session: &mut Session) -> Executed {
    let selected = attempt!(session.selected());
    if !selected.read_only {
        attempt!(session.refresh_rights());
        // Without the right nothing is removed, and the mailbox is left all the same.
        if attempt!(session.selected()).rights.has(Right::Expunge) {
            attempt!(super::expunge::remove(session, None));
        }
    }
    session.selected = None;
    Ok(Reply::ok("mailbox closed."))
}

/// UNSELECT (RFC 3691).
pub fn unselect(session: &mut Session) -> Executed {
    attempt!(session.selected().map(|_| ()));
    session.selected = None;
    Ok(Reply::ok("UNSELECT completed"))
}
