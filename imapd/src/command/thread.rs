//! THREAD and UID THREAD (RFC 5256; REFS: draft-ietf-morg-inthread). How threads are found is in [`crate::threading`].

use courier::maildir::Message;
use courier::maildir::cache::Kind;

use super::search;
use super::sort::{allowed, check_charset};
use crate::attempt;
use crate::digest::{Ids, ThreadRow};
use crate::grammar::cursor::SyntaxError;
use crate::grammar::sort::{Algorithm, Thread};
use crate::session::{Executed, Session, malformed};
use crate::threading::{Gatherer, Headers};

/// THREAD.
///
/// # Errors
/// The client is gone, or a signal asks for the end.
pub fn execute(session: &mut Session, thread: Result<Thread, SyntaxError>) -> Executed {
    attempt!(allowed(session));
    let thread = attempt!(thread.map_err(malformed));
    attempt!(session.selected());
    attempt!(check_charset(session, &thread.charset));
    let with_references = thread.algorithm != Algorithm::OrderedSubject;
    let mut gatherer = Gatherer::default();
    let pass = search::pass(session, Some(&thread.charset), &thread.key, |candidate| {
        let number = u32::try_from(candidate.index()).unwrap_or(u32::MAX);
        let mut add = |row: &[u8], sent: Option<i64>| {
            let row = ThreadRow::read(row);
            // REFS goes by the internal date.
            let header = row.sent.filter(|_| thread.algorithm != Algorithm::Refs);
            let Some(sent) = sent.or(header) else {
                return false;
            };
            let (id, references) = match with_references {
                true => row.ids(),
                false => (None, Ids::default()),
            };
            let headers = Headers {
                sent,
                subject: row.subject,
                reply: row.reply,
                id,
            };
            gatherer.add(number, &headers, references);
            true
        };
        if !candidate.with_row(Kind::Thread, |row| add(row, None))? {
            let sent = candidate.internal_date()?;
            candidate.with_row(Kind::Thread, |row| add(row, Some(sent)))?;
        }
        Ok(())
    })?;
    let threads = match thread.algorithm {
        Algorithm::OrderedSubject => gatherer.by_subject(),
        Algorithm::References => gatherer.by_references(),
        Algorithm::Refs => gatherer.by_references_alone(),
    };
    if let Some(selected) = &session.selected {
        let view = &selected.view;
        session.out.put(b"* THREAD");
        threads.write(&mut session.out, |number| {
            if thread.uid {
                view.get(number as usize).map_or(0, Message::uid)
            } else {
                number.saturating_add(1)
            }
        });
        session.out.end_line();
    }
    pass.finish(session, thread.uid, false, "THREAD done.")
}
