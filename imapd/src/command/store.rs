//! STORE and UID STORE.

use courier::maildir::{Action, Change, ErrorKind, Flags};

use super::append::{flags, keywords};
use crate::attempt;
use crate::grammar::store::{Store, StoreMode};
use crate::reply::{Code, Reply};
use crate::rights;
use crate::session::{Executed, Session};

/// STORE. What other sessions have set or cleared meanwhile stays, and is shown even if `.SILENT` was asked for.
pub fn execute(session: &mut Session, store: &Store) -> Executed {
    if attempt!(session.selected()).read_only {
        return Ok(Reply::no("Current box is selected READ-ONLY."));
    }
    attempt!(session.refresh_rights());
    let may = rights::keep(&attempt!(session.selected()).rights);
    let allowed = session.settings.keywords && may.keywords;
    let selected = attempt!(session.selected());
    let ranges = attempt!(selected.ranges(&store.set, store.uid));
    let indexes: Vec<usize> = ranges.into_iter().flatten().collect();
    let named = keywords(&store.flags, allowed);
    let change = Change {
        // What the user has no right to change stays as it is (contract: imapd 9).
        mask: may.flags,
        change_keywords: allowed,
        ..Change::new(
            match store.mode {
                StoreMode::Replace => Action::Replace,
                StoreMode::Add => Action::Add,
                StoreMode::Remove => Action::Remove,
            },
            flags(&store.flags),
            named,
        )
    };
    let before: Vec<Option<Flags>> = indexes
        .iter()
        .map(|&index| {
            selected
                .view
                .get(index)
                .map(|message| expected(message.flags(), &change))
        })
        .collect();
    let keywords_change = allowed
        && (!change.keywords.is_empty()
            || indexes.iter().any(|&index| {
                selected
                    .view
                    .get(index)
                    .is_some_and(|message| !message.keyword_set().is_empty())
            }));
    let outcome = selected
        .folder
        .change(&mut selected.view, &indexes, &change);
    if let Err(error) = &outcome {
        if error.kind() == ErrorKind::OverQuota {
            // Nothing was changed, so there is nothing to tell.
            return Ok(session.failed(error));
        }
    }
    let Some(selected) = &mut session.selected else {
        return Ok(Reply::ok("STORE completed."));
    };
    if keywords_change {
        selected.put_new_keywords(&mut session.out);
    }
    for (&index, before) in indexes.iter().zip(before) {
        let Some(message) = selected.view.get(index) else {
            continue;
        };
        if message.is_gone() {
            continue;
        }
        if !store.silent || before != Some(message.flags()) {
            selected.put_flags_response(&mut session.out, index, store.uid);
            session.out.check()?;
        }
    }
    if keywords_change {
        selected.put_lost_keywords(&mut session.out);
    }
    match outcome {
        Ok(outcome) if outcome.missing.is_empty() || store.uid => Ok(Reply::ok("STORE completed.")),
        Ok(_) => Ok(Reply::ok("STORE completed.").with(Code::ExpungeIssued)),
        Err(error) => Ok(session.failed(&error)),
    }
}

/// The flags that a message with `flags` has after `change`, if nobody else changes it too.
fn expected(flags: Flags, change: &Change) -> Flags {
    let wanted = match change.action {
        Action::Replace => change.flags,
        Action::Add => flags | change.flags,
        Action::Remove => flags.without(change.flags),
    };
    flags.without(change.mask) | (wanted & change.mask)
}
