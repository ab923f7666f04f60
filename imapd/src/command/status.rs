//! STATUS.

use courier::maildir::{Error, Folder, Right};

use crate::attempt;
use crate::grammar::status::{Status, StatusItem};
use crate::reply::Reply;
use crate::session::{Executed, Session};

/// STATUS. The selected mailbox is looked at like any other; the client hears of changes in the usual way.
pub fn execute(session: &mut Session, status: &Status) -> Executed {
    let found = attempt!(session.resolve(&status.mailbox, Right::Read, "STATUS"));
    let result = put(session, &status.mailbox, &found.folder, &status.items);
    attempt!(result.map_err(|error| session.failed(&error)));
    Ok(Reply::ok("STATUS Completed."))
}

/// Writes the STATUS response of a folder under the name `wire`.
///
/// # Errors
/// The folder cannot be read.
pub fn put(
    session: &mut Session,
    wire: &[u8],
    folder: &Folder,
    items: &[StatusItem],
) -> Result<(), Error> {
    let status = folder.status()?;
    let octets = if items.contains(&StatusItem::Size) {
        super::size::octets(session, folder)?
    } else {
        0
    };
    let recent = recent(session, folder, status.recent);
    let limit = session.settings.append_limit;
    let out = &mut session.out;
    out.put(b"* STATUS ");
    out.string(wire, session.utf8);
    out.put(b" (");
    // Always in this order, each once, whatever order was asked for, as the original does.
    let order = [
        StatusItem::Messages,
        StatusItem::Recent,
        StatusItem::UidNext,
        StatusItem::UidValidity,
        StatusItem::Unseen,
        StatusItem::Deleted,
        StatusItem::Size,
        StatusItem::AppendLimit,
    ];
    let mut separator: &[u8] = b"";
    for item in order.into_iter().filter(|item| items.contains(item)) {
        out.put(separator);
        separator = b" ";
        out.put(item.name().as_bytes());
        out.put(b" ");
        if let (StatusItem::AppendLimit, None) = (item, limit) {
            out.put(b"NIL");
            continue;
        }
        out.number(match item {
            StatusItem::Messages => status.messages as u64,
            StatusItem::Recent => recent as u64,
            StatusItem::UidNext => u64::from(status.uid_next),
            StatusItem::UidValidity => u64::from(status.uid_validity),
            StatusItem::Unseen => status.unseen as u64,
            StatusItem::Deleted => status.deleted as u64,
            StatusItem::Size => octets,
            StatusItem::AppendLimit => limit.unwrap_or(0),
        });
    }
    out.put(b")\r\n");
    Ok(())
}

/// The number of `\Recent` messages: those that the next SELECT would have, and in the selected mailbox those of this
/// session.
fn recent(session: &Session, folder: &Folder, waiting: usize) -> usize {
    match &session.selected {
        Some(selected) if selected.folder.is_same(folder) => {
            let told = selected.view.recent();
            if selected.view.is_read_only() {
                // EXAMINE leaves them to the next SELECT, so they are among those.
                waiting.max(told)
            } else {
                waiting.saturating_add(told)
            }
        }
        _ => waiting,
    }
}
