//! What FETCH and SEARCH remember of messages between sessions, in wire form, so that a message need not be opened
//! again: ENVELOPE, BODY, BODYSTRUCTURE, RFC822.SIZE, and the header fields that clients ask for.
//!
//! One function makes each value and one writes it, whether it was remembered or made just now: the memory cannot
//! change what a client sees.

use std::io;

use courier::maildir::cache::{Field, Record};
use courier::mime::structure::{self, Text};

use crate::content::Content;
use crate::grammar::fetch::{FetchItem, Section, SectionText};
use crate::section::FieldList;
use crate::writer::Writer;

/// First byte of a remembered selection from the list below; changed with the list.
const SELECTION: u8 = 1;
/// The same where lines were left out that SEARCH may understand in another way.
const SELECTION_ODD: u8 = 2;

/// Header fields that mail programs ask for in their message lists and while threading. All of a message's are kept
/// together, so that it is known which of them it does not have.
const FIELDS: [&[u8]; 40] = [
    b"Bcc",
    b"Cc",
    b"Chat-Version",
    b"Content-Language",
    b"Content-Transfer-Encoding",
    b"Content-Type",
    b"Date",
    b"Delivered-To",
    b"Disposition-Notification-To",
    b"Envelope-To",
    b"From",
    b"Importance",
    b"In-Reply-To",
    b"List-Id",
    b"List-Post",
    b"List-Unsubscribe",
    b"Mail-Followup-To",
    b"Mail-Reply-To",
    b"Message-ID",
    b"MIME-Version",
    b"Newsgroups",
    b"Precedence",
    b"Priority",
    b"References",
    b"Reply-To",
    b"Resent-Date",
    b"Resent-From",
    b"Return-Path",
    b"Sender",
    b"Subject",
    b"Thread-Index",
    b"Thread-Topic",
    b"To",
    b"X-Draft-Info",
    b"X-Forwarded-Message-Id",
    b"X-K9mail-Identity",
    b"X-Label",
    b"X-Mailer",
    b"X-Priority",
    b"X-Spam-Flag",
];

/// A longer selection is not remembered: the cache stays small beside the mail.
const SELECTION_MAX: usize = 32 * 1024;

/// Whether the field of this name is among those remembered.
#[must_use]
pub fn is_remembered(name: &[u8]) -> bool {
    FIELDS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name.trim_ascii_end()))
}

/// The field of the cache that holds what the item needs; `None` for items that are not remembered.
fn field_of(item: &FetchItem, text: Text) -> Option<Field> {
    let form = |ascii, utf8| Some(if text == Text::Utf8 { utf8 } else { ascii });
    match item {
        FetchItem::Rfc822Size => Some(Field::Size),
        FetchItem::Envelope => form(Field::Envelope, Field::EnvelopeUtf8),
        FetchItem::Body => form(Field::Body, Field::BodyUtf8),
        FetchItem::BodyStructure => form(Field::BodyStructure, Field::BodyStructureUtf8),
        FetchItem::Section {
            section,
            partial: None,
            ..
        } => selected_names(section)?
            .iter()
            .all(|name| is_remembered(name))
            .then_some(Field::Headers),
        _ => None,
    }
}

/// The names of `HEADER.FIELDS (…)` of the message itself.
fn selected_names(section: &Section) -> Option<&[Vec<u8>]> {
    match &section.text {
        Some(SectionText::HeaderFields { not: false, names }) if section.part.is_empty() => {
            Some(names)
        }
        _ => None,
    }
}

/// Makes the value of a field as it is remembered.
///
/// # Errors
/// The message cannot be read.
pub fn make(field: Field, content: &mut Content) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    match field {
        Field::Size => value.extend_from_slice(&content.octets()?.to_le_bytes()),
        Field::Envelope => envelope(content, Text::Ascii, &mut value)?,
        Field::EnvelopeUtf8 => envelope(content, Text::Utf8, &mut value)?,
        Field::Body => structure::body(content.tree()?, false, Text::Ascii, &mut value),
        Field::BodyUtf8 => structure::body(content.tree()?, false, Text::Utf8, &mut value),
        Field::BodyStructure => structure::body(content.tree()?, true, Text::Ascii, &mut value),
        Field::BodyStructureUtf8 => structure::body(content.tree()?, true, Text::Utf8, &mut value),
        Field::Headers => {
            value.push(SELECTION);
            let header = content.header()?;
            let even = FieldList::new(&FIELDS).select_noting(content, header, |bytes| {
                value.extend_from_slice(bytes);
            })?;
            if let (false, Some(first)) = (even, value.first_mut()) {
                *first = SELECTION_ODD;
            }
        }
        Field::Pop3 => {
            content.tree()?;
            if let Some(measure) = content.measure()? {
                value.extend_from_slice(&measure.encode());
            }
        }
        Field::Parts | Field::SortKeys | Field::ThreadKeys | Field::Preview => {}
    }
    Ok(value)
}

fn envelope(content: &mut Content, text: Text, out: &mut Vec<u8>) -> io::Result<()> {
    let tree = content.head()?;
    structure::envelope(tree, tree.root(), text, out);
    Ok(())
}

/// Whether a value is to be remembered.
#[must_use]
pub fn is_worth_keeping(field: Field, value: &[u8]) -> bool {
    field != Field::Headers || value.len() <= SELECTION_MAX
}

/// The remembered value of a field, if there is one that makes sense.
#[must_use]
pub fn value_in<'a>(record: &Record<'a>, field: Field) -> Option<&'a [u8]> {
    let value = record.field(field)?;
    let sound = match field {
        Field::Size => value.len() == size_of::<u64>(),
        Field::Headers => matches!(value.first(), Some(&(SELECTION | SELECTION_ODD))),
        _ => value.starts_with(b"(") && value.ends_with(b")"),
    };
    sound.then_some(value)
}

/// The header fields for SEARCH from the value of [`Field::Headers`], if it finds the same in them as in the message.
#[must_use]
pub fn searchable(value: &[u8]) -> Option<&[u8]> {
    (value.first() == Some(&SELECTION)).then(|| header_in(value))
}

/// The remembered header fields, as served, from the value of [`Field::Headers`].
fn header_in(value: &[u8]) -> &[u8] {
    value.get(1..).unwrap_or_default()
}

/// An item that is answered from a field.
#[derive(Debug)]
pub struct Recall<'a> {
    /// The field.
    pub field: Field,
    /// What stands before the value, with a space.
    label: Vec<u8>,
    /// Names of `HEADER.FIELDS (…)`.
    names: &'a [Vec<u8>],
}

impl<'a> Recall<'a> {
    /// `None` for items that are not remembered.
    #[must_use]
    pub fn of(item: &'a FetchItem, text: Text) -> Option<Self> {
        let field = field_of(item, text)?;
        let mut names: &[Vec<u8>] = &[];
        let mut label = match item {
            FetchItem::Rfc822Size => b"RFC822.SIZE".to_vec(),
            FetchItem::Envelope => b"ENVELOPE".to_vec(),
            FetchItem::BodyStructure => b"BODYSTRUCTURE".to_vec(),
            _ => b"BODY".to_vec(),
        };
        if let FetchItem::Section { section, .. } = item {
            section.encode(&mut label);
            names = selected_names(section)?;
        }
        label.push(b' ');
        Some(Self {
            field,
            label,
            names,
        })
    }

    /// Writes the item from the value of its field. The number of octets that count as header data.
    pub fn put(&self, out: &mut Writer, value: &[u8], scratch: &mut Vec<u8>) -> u64 {
        out.put(&self.label);
        match self.field {
            Field::Size => {
                out.number(value.try_into().map_or(0, u64::from_le_bytes));
                0
            }
            Field::Headers => {
                scratch.clear();
                FieldList::new(self.names)
                    .select_from(header_in(value), |bytes| scratch.extend_from_slice(bytes));
                out.literal_header(scratch.len() as u64);
                out.put(scratch);
                (scratch.len() - memchr::memchr_iter(b'\n', scratch).count()) as u64
            }
            _ => {
                out.put(value);
                0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::tests::content;
    use crate::matching::{self, Needle};
    use proptest::prelude::*;

    fn direct(message: &[u8], names: &[&[u8]]) -> Vec<u8> {
        let mut content = content(message);
        let header = content.head().unwrap().root().header();
        let mut out = Vec::new();
        FieldList::new(names)
            .select(&mut content, header, |bytes| out.extend_from_slice(bytes))
            .unwrap();
        out
    }

    fn remembered(message: &[u8], names: &[&[u8]]) -> Vec<u8> {
        let value = make(Field::Headers, &mut content(message)).unwrap();
        let mut out = Vec::new();
        FieldList::new(names).select_from(header_in(&value), |bytes| out.extend_from_slice(bytes));
        out
    }

    const ASKED: [&[&[u8]]; 4] = [
        &[b"subject"],
        &[b"FROM", b"To", b"date "],
        &[b"X-Priority"],
        &FIELDS,
    ];

    #[test]
    fn only_known_fields_are_remembered() {
        assert!(is_remembered(b"SUBJECT"));
        assert!(is_remembered(b"list-id"));
        assert!(!is_remembered(b"Received"));
        assert!(!is_remembered(b""));
    }

    proptest! {
        #[test]
        fn a_selection_of_the_remembered_fields_is_the_selection_of_all(
            lines in proptest::collection::vec(
                prop_oneof![
                    "(Subject|From|TO|date ?|X-Priority|Received|X) ?:[ a\r\t]{0,5}",
                    "[ \t]{1,2}[a:]{0,3}",
                    "[a: \r]{0,4}",
                    Just("Subject".to_owned()),
                    Just(String::new()),
                ],
                0..8,
            ),
            crlf: bool,
            ended: bool,
        ) {
            let mut message = lines.join(if crlf { "\r\n" } else { "\n" });
            if ended {
                message.push('\n');
            }
            for names in ASKED {
                prop_assert_eq!(
                    remembered(message.as_bytes(), names),
                    direct(message.as_bytes(), names)
                );
            }
        }

        #[test]
        fn search_finds_in_the_remembered_fields_what_it_finds_in_all(
            lines in proptest::collection::vec(
                prop_oneof![
                    "(Subject|From|TO|date ?|X-Priority|Received|X) ?:[ ab\r\t]{0,5}",
                    "[ \t]{1,2}[ab:\r]{0,3}",
                    "[a: \r]{0,4}",
                    "Subject: =\\?utf-8\\?q\\?[ab_]{0,2}\\?=",
                    Just(" =?utf-8?q?a?=".to_owned()),
                    Just("Subject".to_owned()),
                    Just(String::new()),
                ],
                0..8,
            ),
            crlf: bool,
            ended: bool,
            text in "[ab ]{0,3}",
        ) {
            let mut message = lines.join(if crlf { "\r\n" } else { "\n" });
            if ended {
                message.push('\n');
            }
            let mut content = content(message.as_bytes());
            let value = make(Field::Headers, &mut content).unwrap();
            let whole = matching::own_header(&mut content).unwrap();
            let needle = Needle::new(None, text.as_bytes());
            if value[0] == SELECTION {
                for name in [b"Subject".as_slice(), b"from", b"TO", b"X-Priority"] {
                    prop_assert_eq!(
                        matching::in_field(header_in(&value), name, &needle),
                        matching::in_field(&whole, name, &needle)
                    );
                }
            }
        }

        #[test]
        fn octets_are_those_of_the_tree(message in "[a\r\n]{0,60}") {
            let mut counted = content(message.as_bytes());
            let octets = counted.octets().unwrap();
            prop_assert_eq!(octets, counted.tree().unwrap().octets());
        }
    }
}
