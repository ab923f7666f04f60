//! How SEARCH and SORT tell what they found, and what `$` means afterwards (RFC 4731, RFC 5182, RFC 5267).

use courier::maildir::Message;

use crate::grammar::search::SearchResults;
use crate::grammar::sequence::Ranges;
use crate::reply::{Reply, Status};
use crate::session::Session;
use crate::state::Selected;

/// Whose results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Numbers ascend.
    Search,
    /// Numbers are in the order asked for.
    Sort,
}

/// Writes what was found (indexes into the view), and saves it if that is asked for.
pub(super) fn put(
    session: &mut Session,
    kind: Kind,
    uid: bool,
    results: Option<SearchResults>,
    found: &[usize],
) {
    let Some(selected) = session.selected.as_mut() else {
        return;
    };
    let out = &mut session.out;
    let view = &selected.view;
    let numbers = found
        .iter()
        .map(|&index| number(view.get(index), index, uid));
    let Some(results) = results else {
        out.put(match kind {
            Kind::Search => b"* SEARCH",
            Kind::Sort => b"* SORT",
        });
        for number in numbers {
            out.put(b" ");
            out.number(u64::from(number));
        }
        out.end_line();
        return;
    };
    // With SAVE alone nothing is to be told.
    if results.min || results.max || results.all || results.count {
        out.put(b"* ESEARCH (TAG ");
        out.string(&session.tag, false);
        out.put(b")");
        if uid {
            out.put(b" UID");
        }
        for (wanted, name, value) in [
            (results.min, b" MIN ", numbers.clone().next()),
            (results.max, b" MAX ", numbers.clone().next_back()),
        ] {
            if let (true, Some(value)) = (wanted, value) {
                out.put(name);
                out.number(u64::from(value));
            }
        }
        if results.all && !found.is_empty() {
            let mut set = b" ALL ".to_vec();
            Ranges::in_order(numbers).encode(&mut set);
            out.put(&set);
        }
        if results.count {
            out.put(b" COUNT ");
            out.number(found.len() as u64);
        }
        out.end_line();
    }
    if results.save {
        save(selected, results, found);
    }
}

fn number(message: Option<&Message>, index: usize, uid: bool) -> u32 {
    if uid {
        message.map_or(0, Message::uid)
    } else {
        u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// Keeps the result for `$`: all of it, or the lowest and highest message if only those were asked for (RFC 5182
/// section 2.4).
fn save(selected: &mut Selected, results: SearchResults, found: &[usize]) {
    let ends_only = (results.min || results.max) && !results.all && !results.count;
    let mut kept: Vec<usize> = if ends_only {
        let min = found.first().filter(|_| results.min);
        let max = found.last().filter(|_| results.max);
        min.into_iter().chain(max).copied().collect()
    } else {
        found.to_vec()
    };
    kept.sort_unstable();
    let uids = kept
        .iter()
        .filter_map(|&index| selected.view.get(index))
        .map(Message::uid);
    selected.saved = Ranges::from_ascending(uids);
}

/// A search that was to be saved and is answered with NO leaves nothing behind (RFC 5182 section 2.1); one that is
/// BAD changes nothing.
pub(super) fn refused(session: &mut Session, saves: bool, reply: Reply) -> Reply {
    if saves && reply.status == Status::No {
        if let Some(selected) = session.selected.as_mut() {
            selected.saved = Ranges::default();
        }
    }
    reply
}
