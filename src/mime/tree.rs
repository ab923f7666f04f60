//! The structure of a message: its parts with their offsets, sizes and line counts, and the fields that describe them.
//! Self-contained: once scanned, ENVELOPE and BODYSTRUCTURE need the message no more.

use std::ops::Range;

use super::header::{Known, unfold};
use super::params::Value;

/// A position in a message, with what precedes it counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// Bytes as stored.
    pub offset: u64,
    /// Line feeds.
    pub lines: u64,
    /// Line feeds without a carriage return before them; each costs one octet more on the wire.
    pub bare: u64,
}

impl Mark {
    /// Octets from an earlier position to this one as served, every line ending in CRLF.
    #[must_use]
    pub fn octets_since(self, start: Self) -> u64 {
        self.offset
            .saturating_sub(start.offset)
            .saturating_add(self.bare.saturating_sub(start.bare))
    }
}

/// What a part is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No parts inside, or none that we look into.
    Leaf,
    /// `multipart/*` with at least one part inside.
    Multipart,
    /// `message/rfc822` or `message/global`: exactly one part inside, the embedded message.
    Message,
}

/// A piece of a message that a section can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it starts.
    pub start: Mark,
    /// Where it ends.
    pub end: Mark,
}

impl Piece {
    /// Bytes as stored.
    #[must_use]
    pub fn stored(&self) -> Range<u64> {
        self.start.offset..self.end.offset
    }

    /// Octets as served.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.end.octets_since(self.start)
    }

    /// Lines, not counting a last one that does not end.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.end.lines.saturating_sub(self.start.lines)
    }
}

/// A part: a header and a body. The message itself and every embedded message is one, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub(super) start: Mark,
    pub(super) body: Mark,
    pub(super) end: Mark,
    pub(super) kind: Kind,
    /// The message itself or an embedded one, not a part of a multipart.
    pub(super) message: bool,
    /// Its type is message/rfc822 unless it says otherwise (RFC 2046 section 5.1.5).
    pub(super) in_digest: bool,
    pub(super) children: Vec<usize>,
    /// Its fields, as indexes.
    pub(super) fields: Range<usize>,
}

impl Part {
    /// The header with the empty line behind it, if there is one.
    #[must_use]
    pub fn header(&self) -> Piece {
        Piece {
            start: self.start,
            end: self.body,
        }
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> Piece {
        Piece {
            start: self.body,
            end: self.end,
        }
    }

    /// Header and body.
    #[must_use]
    pub fn whole(&self) -> Piece {
        Piece {
            start: self.start,
            end: self.end,
        }
    }

    /// What it is made of.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is the message itself or an embedded one, not a part of a multipart.
    #[must_use]
    pub fn is_message(&self) -> bool {
        self.message
    }

    /// Indexes of the parts inside.
    #[must_use]
    pub fn children(&self) -> &[usize] {
        &self.children
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptField {
    pub(super) known: Known,
    pub(super) text: Range<usize>,
}

/// A scanned message. Part 0 is the message itself; parts come in the order of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    pub(super) parts: Vec<Part>,
    pub(super) fields: Vec<KeptField>,
    /// The values of the fields, one after another.
    pub(super) text: Vec<u8>,
    pub(super) eight_bit_header: bool,
}

/// What a part says about its content, with defaults applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Lower-case major type.
    pub major: Vec<u8>,
    /// Lower-case subtype.
    pub minor: Vec<u8>,
    /// The Content-Type with its parameters; empty if there was none.
    pub value: Value,
    /// Lower-case Content-Transfer-Encoding.
    pub encoding: Vec<u8>,
}

/// The result of looking up a part number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// The message itself (no number), or an embedded message named through its part.
    Part(&'a Part),
    /// Part 1 of a message that is not multipart: its body, with the message's own header.
    OnlyPart(&'a Part),
}

impl Tree {
    /// The message itself.
    ///
    /// # Panics
    /// Never: a tree has at least one part.
    #[must_use]
    pub fn root(&self) -> &Part {
        // The scanner starts with a part and removes none.
        #[allow(clippy::expect_used)]
        self.parts.first().expect("a tree has a root")
    }

    /// A part by its index.
    #[must_use]
    pub fn part(&self, index: usize) -> Option<&Part> {
        self.parts.get(index)
    }

    /// All parts in the order of the message.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// RFC822.SIZE: octets of the whole message as served.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.root().whole().octets()
    }

    /// Whether a header of the message, its own or a part's, contains bytes ≥ 0x80 (RFC 6532).
    #[must_use]
    pub fn has_eight_bit_header(&self) -> bool {
        self.eight_bit_header
    }

    /// The values of a part's field, raw (folded, untrimmed), in order of appearance.
    pub fn fields<'a>(&'a self, part: &Part, known: Known) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .get(part.fields.clone())
            .unwrap_or_default()
            .iter()
            .filter(move |field| field.known == known)
            .filter_map(|field| self.text.get(field.text.clone()))
    }

    /// The first value of a part's field, unfolded and trimmed; `None` if it is missing or empty.
    #[must_use]
    pub fn field(&self, part: &Part, known: Known) -> Option<std::borrow::Cow<'_, [u8]>> {
        self.fields(part, known)
            .next()
            .map(unfold)
            .filter(|value| !value.is_empty())
    }

    /// Whether the Content-* fields of a part count. A message must say `MIME-Version: 1.…` for that, a part of a
    /// multipart need not (RFC 2045 section 4); embedded messages are believed, as forwarders drop the field.
    fn is_mime(&self, part: &Part, root: bool) -> bool {
        !root
            || self
                .field(part, Known::MimeVersion)
                .is_some_and(|version| version.starts_with(b"1."))
    }

    /// Type and encoding of a part.
    #[must_use]
    pub fn content(&self, part: &Part) -> Content {
        self.content_of(part, std::ptr::eq(part, self.root()))
    }

    pub(super) fn content_of(&self, part: &Part, root: bool) -> Content {
        let default: (&[u8], &[u8]) = if part.in_digest {
            (b"message", b"rfc822")
        } else {
            (b"text", b"plain")
        };
        let default = |encoding: Vec<u8>| Content {
            major: default.0.to_vec(),
            minor: default.1.to_vec(),
            value: Value::default(),
            encoding,
        };
        if !self.is_mime(part, root) {
            return default(b"7bit".to_vec());
        }
        let encoding = self
            .field(part, Known::ContentTransferEncoding)
            .map(|value| Value::parse(&value).main.to_ascii_lowercase())
            .filter(|encoding| !encoding.is_empty())
            .unwrap_or_else(|| b"7bit".to_vec());
        let Some(value) = self
            .fields(part, Known::ContentType)
            .next()
            .map(Value::parse)
        else {
            return default(encoding);
        };
        if value.main.is_empty() {
            return default(encoding);
        }
        let main = value.main.to_ascii_lowercase();
        let slash = memchr::memchr(b'/', &main).unwrap_or(main.len());
        let (major, minor) = main.split_at_checked(slash).unwrap_or((&main, b""));
        let minor = minor.get(1..).unwrap_or_default();
        Content {
            major: major.to_vec(),
            minor: minor.to_vec(),
            value,
            encoding,
        }
    }

    /// Looks up a part number, from the outside in (RFC 3501 section 6.4.5). Numbers pass through embedded messages:
    /// `2.1` is the first part of the message that part 2 contains.
    #[must_use]
    pub fn find(&self, number: &[u32]) -> Option<Found<'_>> {
        let mut found = Found::Part(self.root());
        // What the next number counts parts of.
        let mut container = Some(self.root());
        for &number in number {
            let inside = container?;
            let index = usize::try_from(number).ok()?.checked_sub(1)?;
            if inside.kind == Kind::Multipart {
                found = Found::Part(self.part(*inside.children.get(index)?)?);
            } else if index == 0 && inside.message {
                found = Found::OnlyPart(inside);
            } else {
                return None;
            }
            let (Found::Part(part) | Found::OnlyPart(part)) = found;
            container = match part.kind {
                Kind::Message => self.part(*part.children.first()?),
                Kind::Multipart => Some(part),
                Kind::Leaf => None,
            };
        }
        Some(found)
    }

    /// The message embedded in a part.
    #[must_use]
    pub fn embedded(&self, part: &Part) -> Option<&Part> {
        if part.kind == Kind::Message {
            self.part(*part.children.first()?)
        } else {
            None
        }
    }
}
