//! THREAD and UID THREAD (RFC 5256; REFS: draft-ietf-morg-inthread). How threads are found is in [`crate::threading`].

use courier::maildir::Message;
use courier::mime::header::{Fields, Known};
use courier::mime::{message_id, subject};
use courier::text::collate;

use super::search;
use super::sort::{allowed, check_charset, header_date};
use crate::attempt;
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
        let (mut headers, sent) =
            candidate.with_remembered(|header| read(header, with_references))?;
        headers.sent = match sent {
            // REFS goes by the internal date.
            Some(sent) if thread.algorithm != Algorithm::Refs => sent,
            _ => candidate.internal_date()?,
        };
        let number = u32::try_from(candidate.index()).unwrap_or(u32::MAX);
        gatherer.add(number, &headers);
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

/// What threading needs of a header, and the date in it.
fn read(header: &[u8], with_references: bool) -> (Headers, Option<i64>) {
    let mut headers = Headers::default();
    let mut sent = None;
    let (mut subject, mut id, mut references, mut in_reply_to) = (None, None, None, None);
    for field in Fields::new(header) {
        match Known::of(field.name) {
            Some(Known::Date) if sent.is_none() => sent = Some(header_date(field.value)),
            Some(Known::Subject) if subject.is_none() => subject = Some(field.value),
            Some(Known::MessageId) if id.is_none() => id = Some(field.value),
            Some(Known::InReplyTo) if in_reply_to.is_none() => in_reply_to = Some(field.value),
            None if references.is_none() && field.name.eq_ignore_ascii_case(b"References") => {
                references = Some(field.value);
            }
            _ => {}
        }
    }
    if let Some(value) = subject {
        let base = subject::base(value);
        headers.subject = collate::key(&base.text);
        headers.reply = base.reply;
    }
    if with_references {
        headers.id = id.and_then(|value| message_id::parse(value).next());
        headers.references = references
            .map(|value| message_id::parse(value).collect())
            .unwrap_or_default();
        if headers.references.is_empty() {
            // Only the first: In-Reply-To may name several parents, or none but people's addresses.
            headers
                .references
                .extend(in_reply_to.and_then(|value| message_id::parse(value).next()));
        }
    }
    (headers, sent.flatten())
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn headers_for_threads() {
        let (headers, sent) = read(
            b"Subject: Re: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\nMessage-Id: <c@x>\nReferences: <a@x>\n <b@x>\n\
              In-Reply-To: <z@x>\nDate: Thu, 1 Jan 1970 01:00:00 +0100\nsubject: second\n\n",
            true,
        );
        assert_eq!(headers.subject, "GRU\u{308}\u{df}E");
        assert!(headers.reply);
        assert_eq!(headers.id.as_deref(), Some(&b"c@x"[..]));
        assert_eq!(headers.references, [b"a@x".to_vec(), b"b@x".to_vec()]);
        assert_eq!(sent, Some(0));
        let (headers, sent) = read(
            b"References: nothing\nIn-Reply-To: Your note <p@x> and <q@x>\nDate: soon\n\n",
            true,
        );
        assert_eq!(headers.references, [b"p@x".to_vec()]);
        assert_eq!(headers.id, None);
        assert_eq!(sent, None);
    }
}
