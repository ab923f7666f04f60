//! FETCH arguments.

use super::astring::astring;
use super::cursor::{Cursor, Parsed, SyntaxError};
use super::sequence::SequenceSet;

/// Deepest part number (`1.2.3…`): the MIME parser looks no deeper.
const MAX_PART_DEPTH: usize = 100;

/// `FETCH` or `UID FETCH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Numbers in `set` are UIDs, and every response carries UID.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// What of each, in the order asked for; macros are expanded. Never empty.
    pub items: Vec<FetchItem>,
}

/// One data item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    /// `BODY` without a section: the structure without extension data.
    Body,
    /// `BINARY[…]` and `BINARY.PEEK[…]` (RFC 3516).
    Binary {
        /// `BINARY.PEEK`: leave `\Seen` alone.
        peek: bool,
        /// Part numbers; empty for the message itself.
        part: Vec<u32>,
        /// `<start.count>`, of the decoded octets.
        partial: Option<Partial>,
    },
    /// `BINARY.SIZE[…]`.
    BinarySize {
        /// Part numbers; empty for the message itself.
        part: Vec<u32>,
    },
    /// `BODYSTRUCTURE`.
    BodyStructure,
    /// `BODY[…]` and `BODY.PEEK[…]`.
    Section {
        /// `BODY.PEEK`: leave `\Seen` alone.
        peek: bool,
        /// What stands between the brackets.
        section: Section,
        /// `<start.count>`.
        partial: Option<Partial>,
    },
    /// `ENVELOPE`.
    Envelope,
    /// `FLAGS`.
    Flags,
    /// `INTERNALDATE`.
    InternalDate,
    /// `RFC822`: as `BODY[]`, under its own name.
    Rfc822,
    /// `RFC822.HEADER`: as `BODY.PEEK[HEADER]`.
    Rfc822Header,
    /// `RFC822.SIZE`.
    Rfc822Size,
    /// `RFC822.TEXT`: as `BODY[TEXT]`.
    Rfc822Text,
    /// `UID`.
    Uid,
}

/// What of a message a section names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Part numbers from the outside in; empty for the message itself.
    pub part: Vec<u32>,
    /// Which text of that part; `None` for all of it.
    pub text: Option<SectionText>,
}

/// The last component of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// `HEADER`.
    Header,
    /// `HEADER.FIELDS (…)`, or with `not` `HEADER.FIELDS.NOT (…)`.
    HeaderFields {
        /// All but the named fields.
        not: bool,
        /// Field names as the client spelled them. Never empty.
        names: Vec<Vec<u8>>,
    },
    /// `TEXT`.
    Text,
    /// `MIME`; only below a part number.
    Mime,
}

/// `<start.count>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// First octet, from 0.
    pub start: u64,
    /// Number of octets; `None` (a leniency of the original's) means to the end.
    pub count: Option<u64>,
}

impl Fetch {
    /// What follows `FETCH`.
    /// ```abnf
    /// fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")
    /// ```
    /// Macros are also accepted inside the parentheses, as the original does.
    ///
    /// # Errors
    /// Not that.
    pub fn parse(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Self> {
        cursor.space()?;
        let set = SequenceSet::parse(cursor)?;
        cursor.space()?;
        let mut items = Vec::new();
        if cursor.peek() == Some(b'(') {
            cursor.list(1, |cursor| fetch_att(cursor, &mut items))?;
        } else {
            fetch_att(cursor, &mut items)?;
        }
        cursor.end()?;
        Ok(Self { uid, set, items })
    }
}

impl Section {
    /// ```abnf
    /// section         = "[" [section-spec] "]"
    /// section-spec    = section-msgtext / (section-part ["." section-text])
    /// section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"
    /// section-part    = nz-number *("." nz-number)
    /// section-text    = section-msgtext / "MIME"
    /// ```
    ///
    /// # Errors
    /// Not a section.
    pub fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.expect(b'[')?;
        let mut part = Vec::new();
        let mut text = None;
        if !cursor.eat(b']') {
            loop {
                if cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                    if cursor.peek() == Some(b'0') || part.len() >= MAX_PART_DEPTH {
                        return Err(SyntaxError::Malformed);
                    }
                    part.push(cursor.nz_number()?);
                    if cursor.eat(b'.') {
                        continue;
                    }
                } else {
                    text = Some(SectionText::parse(cursor, !part.is_empty())?);
                }
                break;
            }
            cursor.blanks();
            cursor.expect(b']')?;
        }
        Ok(Self { part, text })
    }

    /// Appends the section with its brackets as a reply names it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, number) in self.part.iter().enumerate() {
            if index > 0 {
                out.push(b'.');
            }
            out.extend_from_slice(number.to_string().as_bytes());
        }
        if let Some(text) = &self.text {
            if !self.part.is_empty() {
                out.push(b'.');
            }
            text.encode(out);
        }
        out.push(b']');
    }
}

impl SectionText {
    fn parse(cursor: &mut Cursor<'_>, in_part: bool) -> Parsed<Self> {
        let name = cursor.word()?;
        match name.as_slice() {
            b"HEADER" => Ok(Self::Header),
            b"TEXT" => Ok(Self::Text),
            b"MIME" if in_part => Ok(Self::Mime),
            b"HEADER.FIELDS" | b"HEADER.FIELDS.NOT" => {
                cursor.space()?;
                let names = if cursor.peek() == Some(b'(') {
                    cursor.list(1, field_name)?
                } else {
                    // The original takes a single name without parentheses.
                    vec![field_name(cursor)?]
                };
                Ok(Self::HeaderFields {
                    not: name.ends_with(b".NOT"),
                    names,
                })
            }
            _ => Err(SyntaxError::Malformed),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Header => out.extend_from_slice(b"HEADER"),
            Self::Text => out.extend_from_slice(b"TEXT"),
            Self::Mime => out.extend_from_slice(b"MIME"),
            Self::HeaderFields { not, names } => {
                out.extend_from_slice(if *not {
                    b"HEADER.FIELDS.NOT ("
                } else {
                    b"HEADER.FIELDS ("
                });
                for (index, name) in names.iter().enumerate() {
                    if index > 0 {
                        out.push(b' ');
                    }
                    out.push(b'"');
                    for &byte in name {
                        if matches!(byte, b'"' | b'\\') {
                            out.push(b'\\');
                        }
                        out.push(byte);
                    }
                    out.push(b'"');
                }
                out.push(b')');
            }
        }
    }
}

/// ```abnf
/// header-fld-name = astring
/// ```
/// Only the bytes that RFC 5322 allows in a field name (printable ASCII but the colon) can name a field; anything
/// else is refused, so that the echo of the name in the reply is always a plain quoted string.
fn field_name(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    let name = astring(cursor)?;
    let possible = !name.is_empty() && name.iter().all(|byte| matches!(byte, 0x20..=0x7e));
    if possible {
        Ok(name)
    } else {
        Err(SyntaxError::Malformed)
    }
}

/// ```abnf
/// fetch-att = "ENVELOPE" / "FLAGS" / "INTERNALDATE" / "RFC822" [".HEADER" / ".SIZE" / ".TEXT"] /
///             "BODY" ["STRUCTURE"] / "UID" / "BODY" section ["<" number "." nz-number ">"] /
///             "BODY.PEEK" section ["<" number "." nz-number ">"] /
///             "BINARY" [".PEEK"] section-binary [partial] / "BINARY.SIZE" section-binary     ; RFC 3516
/// section-binary = "[" [section-part] "]"
/// ```
fn fetch_att(cursor: &mut Cursor<'_>, items: &mut Vec<FetchItem>) -> Parsed<()> {
    use FetchItem as Item;
    let name = cursor.word()?;
    let item = match name.as_slice() {
        b"ALL" | b"FAST" | b"FULL" => {
            items.extend([Item::Flags, Item::InternalDate, Item::Rfc822Size]);
            if name != b"FAST" {
                items.push(Item::Envelope);
            }
            if name == b"FULL" {
                items.push(Item::Body);
            }
            return Ok(());
        }
        b"BODY" | b"BODY.PEEK" => {
            let peek = name != b"BODY";
            // The original accepts blanks between BODY and its section.
            let mut ahead = cursor.clone();
            ahead.blanks();
            if ahead.peek() == Some(b'[') {
                *cursor = ahead;
                let section = Section::parse(cursor)?;
                let partial = partial(cursor)?;
                Item::Section {
                    peek,
                    section,
                    partial,
                }
            } else if peek {
                return Err(SyntaxError::Malformed);
            } else {
                Item::Body
            }
        }
        b"BINARY" | b"BINARY.PEEK" => Item::Binary {
            peek: name != b"BINARY",
            part: section_binary(cursor)?,
            partial: partial(cursor)?,
        },
        b"BINARY.SIZE" => Item::BinarySize {
            part: section_binary(cursor)?,
        },
        b"BODYSTRUCTURE" => Item::BodyStructure,
        b"ENVELOPE" => Item::Envelope,
        b"FLAGS" => Item::Flags,
        b"INTERNALDATE" => Item::InternalDate,
        b"RFC822" => Item::Rfc822,
        b"RFC822.HEADER" => Item::Rfc822Header,
        b"RFC822.SIZE" => Item::Rfc822Size,
        b"RFC822.TEXT" => Item::Rfc822Text,
        b"UID" => Item::Uid,
        _ => return Err(SyntaxError::Malformed),
    };
    items.push(item);
    Ok(())
}

fn section_binary(cursor: &mut Cursor<'_>) -> Parsed<Vec<u32>> {
    match Section::parse(cursor)? {
        Section { part, text: None } => Ok(part),
        _ => Err(SyntaxError::Malformed),
    }
}

/// ```abnf
/// partial = "<" number64 "." nz-number64 ">"
/// ```
/// `<start>` and a count of 0 are accepted, as the original does.
fn partial(cursor: &mut Cursor<'_>) -> Parsed<Option<Partial>> {
    if !cursor.eat(b'<') {
        return Ok(None);
    }
    let start = cursor.number64()?;
    let count = if cursor.eat(b'.') {
        Some(cursor.number64()?)
    } else {
        None
    };
    cursor.expect(b'>')?;
    Ok(Some(Partial { start, count }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parsed<Fetch> {
        Fetch::parse(&mut Cursor::new(text.as_bytes()), false)
    }

    #[test]
    fn macros_expand() {
        let fetch = parse(" 1:* ALL").unwrap();
        assert_eq!(
            fetch.items,
            [
                FetchItem::Flags,
                FetchItem::InternalDate,
                FetchItem::Rfc822Size,
                FetchItem::Envelope
            ]
        );
    }

    #[test]
    fn sections_come_back_as_sent() {
        for section in [
            "[]",
            "[HEADER]",
            "[TEXT]",
            "[1]",
            "[1.2.3]",
            "[1.HEADER]",
            "[1.2.MIME]",
            "[2.HEADER.FIELDS.NOT (\"From\")]",
            "[HEADER.FIELDS (\"from\" \"Sub\\\"ject\")]",
        ] {
            let mut out = Vec::new();
            Section::parse(&mut Cursor::new(section.as_bytes()))
                .unwrap()
                .encode(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), section);
        }
    }

    #[test]
    fn partials_and_leniencies() {
        let fetch = parse(" 1 (BODY.PEEK [1]<0.20> body[header.fields (a b)] BODY)").unwrap();
        assert!(matches!(
            fetch.items.as_slice(),
            [
                FetchItem::Section {
                    peek: true,
                    partial: Some(Partial {
                        start: 0,
                        count: Some(20)
                    }),
                    ..
                },
                FetchItem::Section { peek: false, .. },
                FetchItem::Body
            ]
        ));
    }

    #[test]
    fn what_is_not_fetch() {
        for text in [
            " 1",
            " 1 ()",
            " 1 BODY[MIME]",
            " 1 BODY[0]",
            " 1 BODY[1.0]",
            " 1 BODY[1.]",
            " 1 BODY[HEADER.FIELDS ()]",
            " 1 BODY[",
            " 1 BODY[]<0.",
            " 1 BODY.PEEK",
            " 1 BINARY",
            " 1 BINARY[HEADER]",
            " 1 BINARY[1.MIME]",
            " 1 BINARY.SIZE[1]<0.5>",
            " 1 BINARY.SIZE",
            " 1 NONSENSE",
            " 1 FLAGS UID",
            " 1 (FLAGS",
            " 1 BODY[1.2.3.4.HEADER.FIELDS (\u{1})]",
        ] {
            assert!(parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
