//! What SORT, THREAD and SEARCH SUBJECT ask of every message, in the form in which they use it: nothing is decoded,
//! folded or taken apart again when the same is asked in another session.
//!
//! ```text
//! both    version (1), flags (1), sent date as Unix time (8), octets of the base subject (4), the base subject in the
//!         form in which subjects are compared
//! sort    of each Subject field what SEARCH looks at, folded, ended by 255
//! thread  message id and the ids of its ancestors, furthest first: octets (2), id. Of a message without id nothing
//! ```
//! Numbers are little-endian. The store remembers it (`courier::maildir::cache::Kind`); what it gives is believed no
//! more than any file.

use courier::maildir::cache::Kind;
use courier::mime::header::{Fields, Known, unfold};
use courier::mime::{message_id, subject};
use courier::text::{casefold, collate, date, rfc2047};

use crate::matching::Needle;

/// First octet of both; changed with what they are made of.
const VERSION: u8 = 1;
/// There is a usable sent date.
const DATED: u8 = 1;
/// The subject is that of a reply or forward.
const REPLY: u8 = 2;
/// Where the base subject begins.
const SUBJECT: usize = 14;
/// Ends a text; no octet of UTF-8.
const END: u8 = 0xff;

/// What is remembered of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    sort: Vec<u8>,
    thread: Vec<u8>,
}

impl Rows {
    /// The row for questions of this kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> &[u8] {
        match kind {
            Kind::Sort => &self.sort,
            Kind::Thread => &self.thread,
        }
    }
}

/// Makes both rows of a header that has at least Date, Subject, Message-ID, References and In-Reply-To.
#[must_use]
pub fn make(header: &[u8]) -> Rows {
    let (mut sent, mut base, mut texts) = (None, None, Vec::new());
    let (mut id, mut references, mut in_reply_to) = (None, None, None);
    for field in Fields::new(header) {
        match Known::of(field.name) {
            Some(Known::Date) if sent.is_none() => sent = Some(header_date(field.value)),
            Some(Known::Subject) => {
                // A space ends every value, for searches by whole word.
                let text = rfc2047::decode(field.value) + " ";
                texts.extend_from_slice(casefold::fold(&text).as_bytes());
                texts.push(END);
                base = base.or_else(|| Some(subject::base(field.value)));
            }
            Some(Known::MessageId) if id.is_none() => id = Some(field.value),
            Some(Known::InReplyTo) if in_reply_to.is_none() => in_reply_to = Some(field.value),
            None if references.is_none() && field.name.eq_ignore_ascii_case(b"References") => {
                references = Some(field.value);
            }
            _ => {}
        }
    }
    let base = base.unwrap_or_default();
    let subject = collate::key(&base.text);
    let mut sort = vec![VERSION];
    sort.push(if sent.flatten().is_some() { DATED } else { 0 });
    sort.extend_from_slice(&sent.flatten().unwrap_or(0).to_le_bytes());
    let length = u32::try_from(subject.len()).unwrap_or(0);
    sort.extend_from_slice(&length.to_le_bytes());
    sort.extend_from_slice(subject.as_bytes());
    let mut thread = sort.clone();
    sort.extend_from_slice(&texts);
    if let (true, Some(flags)) = (base.reply, thread.get_mut(1)) {
        *flags |= REPLY;
    }
    let own = id.and_then(|value| message_id::parse(value).next());
    put_id(&own.unwrap_or_default(), &mut thread);
    let before = thread.len();
    for id in references.into_iter().flat_map(message_id::parse) {
        put_id(&id, &mut thread);
    }
    if thread.len() == before {
        // Only the first: In-Reply-To may name several parents, or none but people's addresses.
        if let Some(id) = in_reply_to.and_then(|value| message_id::parse(value).next()) {
            put_id(&id, &mut thread);
        }
    }
    Rows { sort, thread }
}

fn put_id(id: &[u8], row: &mut Vec<u8>) {
    // Ids are never that long.
    let (length, id) = u16::try_from(id.len()).map_or((0, &[][..]), |length| (length, id));
    row.extend_from_slice(&length.to_le_bytes());
    row.extend_from_slice(id);
}

/// The moment that a Date field names, Unix time.
fn header_date(value: &[u8]) -> Option<i64> {
    date::DateTime::parse_header(&unfold(value)).map(date::DateTime::unix)
}

/// Whether a remembered row can be used.
#[must_use]
pub fn is_sound(row: &[u8]) -> bool {
    row.first() == Some(&VERSION) && row.len() >= SUBJECT
}

/// Takes the common part off a row: flags, date, subject, rest.
fn read(row: &[u8]) -> (u8, Option<i64>, &[u8], &[u8]) {
    let flags = row.get(1).copied().unwrap_or(0);
    let number = |from: usize| row.get(from..).and_then(|rest| rest.first_chunk::<8>());
    let date = number(2).map_or(0, |octets| i64::from_le_bytes(*octets));
    let length = row.get(10..).and_then(|rest| rest.first_chunk::<4>());
    let length = length.map_or(0, |octets| u32::from_le_bytes(*octets));
    let rest = row.get(SUBJECT..).unwrap_or_default();
    let at = usize::try_from(length).map_or(rest.len(), |length| length.min(rest.len()));
    let (subject, rest) = rest.split_at_checked(at).unwrap_or_default();
    (flags, (flags & DATED != 0).then_some(date), subject, rest)
}

/// What SORT and SEARCH SUBJECT want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortRow<'a> {
    /// The moment that the Date field names, Unix time; `None` without a usable one.
    pub sent: Option<i64>,
    /// The base subject in the form in which subjects are compared.
    pub subject: &'a [u8],
    /// Of each Subject field its folded text, ended by [`END`].
    texts: &'a [u8],
}

impl<'a> SortRow<'a> {
    /// Reads a row of [`Kind::Sort`].
    #[must_use]
    pub fn read(row: &'a [u8]) -> Self {
        let (_, sent, subject, texts) = read(row);
        Self {
            sent,
            subject,
            texts,
        }
    }

    /// Whether a Subject field contains the text, as [`crate::matching::in_field`] finds it.
    #[must_use]
    pub fn has_in_subject(&self, needle: &Needle) -> bool {
        if needle.is_empty() {
            return !self.texts.is_empty();
        }
        // No text has the octet that ends each, so nothing is found across two.
        needle.is_in_folded(self.texts)
    }
}

/// What THREAD wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadRow<'a> {
    /// As [`SortRow::sent`].
    pub sent: Option<i64>,
    /// As [`SortRow::subject`].
    pub subject: &'a [u8],
    /// The subject is that of a reply or forward.
    pub reply: bool,
    ids: &'a [u8],
}

impl<'a> ThreadRow<'a> {
    /// Reads a row of [`Kind::Thread`].
    #[must_use]
    pub fn read(row: &'a [u8]) -> Self {
        let (flags, sent, subject, ids) = read(row);
        Self {
            sent,
            subject,
            reply: flags & REPLY != 0,
            ids,
        }
    }

    /// The message's own id, if it has one, and those of its ancestors, furthest first.
    #[must_use]
    pub fn ids(&self) -> (Option<&'a [u8]>, Ids<'a>) {
        let mut ids = Ids(self.ids);
        let own = ids.next().filter(|id| !id.is_empty());
        (own, ids)
    }
}

/// Message ids in a row.
#[derive(Debug, Clone, Default)]
pub struct Ids<'a>(&'a [u8]);

impl<'a> Iterator for Ids<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let (id, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        self.0 = rest;
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching;
    use proptest::prelude::*;

    #[test]
    fn headers_for_threads() {
        let rows = make(
            b"Subject: Re: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\nMessage-Id: <c@x>\nReferences: <a@x>\n <b@x>\n\
              In-Reply-To: <z@x>\nDate: Thu, 1 Jan 1970 01:00:00 +0100\nsubject: second\n\n",
        );
        let row = ThreadRow::read(rows.of(Kind::Thread));
        assert_eq!(row.subject, "GRU\u{308}\u{df}E".as_bytes());
        assert!(row.reply);
        assert_eq!(row.sent, Some(0));
        let (own, references) = row.ids();
        assert_eq!(own, Some(&b"c@x"[..]));
        assert_eq!(references.collect::<Vec<_>>(), [b"a@x", b"b@x"]);
        let rows =
            make(b"References: nothing\nIn-Reply-To: Your note <p@x> and <q@x>\nDate: soon\n\n");
        let row = ThreadRow::read(rows.of(Kind::Thread));
        assert_eq!(row.sent, None);
        let (own, references) = row.ids();
        assert_eq!(own, None);
        assert_eq!(references.collect::<Vec<_>>(), [b"p@x"]);
        let row = SortRow::read(rows.of(Kind::Sort));
        assert_eq!((row.sent, row.subject), (None, &b""[..]));
        assert!(!row.has_in_subject(&Needle::new(None, b"")));
    }

    #[test]
    fn nothing_matches_across_two_subjects() {
        let rows = make(b"Subject: one\nSUBJECT: =?utf-8?q?Zw=C3=96?=\n\n");
        let row = SortRow::read(rows.of(Kind::Sort));
        assert_eq!(row.subject, b"ONE");
        for (text, found) in [
            ("one ", true),
            ("zw\u{f6} ", true),
            ("one z", false),
            ("", true),
        ] {
            let needle = Needle::new(None, text.as_bytes());
            assert_eq!(row.has_in_subject(&needle), found, "{text}");
        }
    }

    proptest! {
        #[test]
        fn subjects_are_searched_as_in_the_header(
            lines in proptest::collection::vec(
                prop_oneof![
                    "(Subject|From|SUBJECT|X) ?:[ abA\r\t]{0,5}",
                    "[ \t]{1,2}[ab:\r]{0,3}",
                    "Subject: =\\?utf-8\\?q\\?[ab_]{0,2}(=C3=9F)?\\?=",
                    Just(" =?utf-8?q?a?=".to_owned()),
                    Just(String::new()),
                ],
                0..6,
            ),
            text in "[abs ]{0,3}",
        ) {
            let header = lines.join("\n");
            let rows = make(header.as_bytes());
            let needle = Needle::new(None, text.as_bytes());
            prop_assert!(is_sound(rows.of(Kind::Sort)) && is_sound(rows.of(Kind::Thread)));
            prop_assert_eq!(
                SortRow::read(rows.of(Kind::Sort)).has_in_subject(&needle),
                matching::in_field(header.as_bytes(), b"Subject", &needle)
            );
        }

        #[test]
        fn rubbish_is_survived(row: Vec<u8>) {
            let sort = SortRow::read(&row);
            prop_assert!(sort.subject.len() + sort.texts.len() <= row.len());
            let (_, ids) = ThreadRow::read(&row).ids();
            prop_assert!(ids.map(<[u8]>::len).sum::<usize>() <= row.len());
        }
    }
}
