//! What a section of FETCH names: a stretch of the message, or a selection of header fields (RFC 3501 section 6.4.5).

use std::io;

use courier::mime::{Found, Kind, Part, Piece, Tree};

use crate::content::Content;
use crate::grammar::fetch::{Partial, Section, SectionText};

/// Longest field name looked at.
const NAME_MAX: usize = 1000;
/// Field selections up to this size are made once; larger ones are counted and then made again while sending.
const KEPT_MAX: usize = 256 * 1024;

/// A selection of header fields.
#[derive(Debug, PartialEq, Eq)]
pub struct FieldList<'a, N = Vec<u8>> {
    names: &'a [N],
    not: bool,
}

impl<N> Clone for FieldList<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for FieldList<'_, N> {}

/// What a section names in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// Octets of the message.
    Piece(Piece),
    /// Fields of the header.
    Fields(Piece, FieldList<'a>),
    /// The message has no such part: empty.
    Nothing,
}

impl Section {
    /// Whether the section concerns the message's own header only, for which the body need not be read.
    #[must_use]
    pub fn is_own_header(&self) -> bool {
        self.part.is_empty()
            && matches!(
                self.text,
                Some(SectionText::Header | SectionText::HeaderFields { .. })
            )
    }

    /// Whether the section is header data, as the session's counters distinguish it.
    #[must_use]
    pub fn is_header(&self) -> bool {
        matches!(
            self.text,
            Some(SectionText::Header | SectionText::HeaderFields { .. } | SectionText::Mime)
        )
    }

    /// Finds a section for which [`Self::is_own_header`] holds, in the message's own header.
    #[must_use]
    pub fn locate_in_own(&self, header: Piece) -> Target<'_> {
        match &self.text {
            Some(SectionText::HeaderFields { not, names }) => {
                Target::Fields(header, FieldList { names, not: *not })
            }
            _ => Target::Piece(header),
        }
    }

    /// Finds the section in a message.
    #[must_use]
    pub fn locate<'a>(&'a self, tree: &Tree) -> Target<'a> {
        let Some(found) = tree.find(&self.part) else {
            return Target::Nothing;
        };
        let (Found::Part(part) | Found::OnlyPart(part)) = found;
        let message = match found {
            // The whole message.
            _ if self.part.is_empty() => Some(part),
            // HEADER, HEADER.FIELDS and TEXT of a part are those of the message embedded in it. For the only part of a
            // simple message the original answers with that message's; so do we.
            Found::OnlyPart(part) if part.kind() != Kind::Message => Some(part),
            _ => tree.embedded(part),
        };
        let of_message =
            |target: &dyn Fn(&Part) -> Target<'a>| message.map_or(Target::Nothing, target);
        match &self.text {
            None if self.part.is_empty() => Target::Piece(part.whole()),
            None => Target::Piece(part.body()),
            Some(SectionText::Mime) => Target::Piece(part.header()),
            Some(SectionText::Header) => of_message(&|message| Target::Piece(message.header())),
            Some(SectionText::Text) => of_message(&|message| Target::Piece(message.body())),
            Some(SectionText::HeaderFields { not, names }) => of_message(&|message| {
                Target::Fields(message.header(), FieldList { names, not: *not })
            }),
        }
    }
}

/// An extract ready to be sent: its size is known.
#[derive(Debug)]
pub struct Extract<'a> {
    target: Target<'a>,
    skip: u64,
    octets: u64,
    /// A field selection that was small enough to keep.
    kept: Option<Vec<u8>>,
}

impl<'a> Extract<'a> {
    /// Prepares the extract of a target, or a part of it.
    ///
    /// # Errors
    /// The message cannot be read.
    pub fn prepare(
        content: &mut Content,
        target: Target<'a>,
        partial: Option<Partial>,
    ) -> io::Result<Self> {
        let mut kept = None;
        let total = match target {
            Target::Nothing => 0,
            Target::Piece(piece) => piece.octets(),
            Target::Fields(header, fields) => {
                let mut total = 0_u64;
                let mut selection = Vec::new();
                fields.select(content, header, |bytes| {
                    total += bytes.len() as u64;
                    if selection.len() + bytes.len() <= KEPT_MAX {
                        selection.extend_from_slice(bytes);
                    }
                })?;
                kept = (selection.len() as u64 == total).then_some(selection);
                total
            }
        };
        let skip = partial.map_or(0, |partial| partial.start).min(total);
        let count = partial
            .and_then(|partial| partial.count)
            .unwrap_or(u64::MAX);
        Ok(Self {
            target,
            skip,
            octets: count.min(total - skip),
            kept,
        })
    }

    /// Octets that [`Self::send`] gives.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Gives the octets to `sink`, in pieces.
    ///
    /// # Errors
    /// The message cannot be read; some octets may have been given before, and the promised number is not kept.
    pub fn send(&self, content: &mut Content, mut sink: impl FnMut(&[u8])) -> io::Result<()> {
        let (mut skip, mut left) = (self.skip, self.octets);
        // The wanted octets of a stream.
        let mut cut = |bytes: &[u8]| {
            let from = skip.min(bytes.len() as u64);
            skip -= from;
            let bytes = bytes
                .get(usize::try_from(from).unwrap_or(usize::MAX)..)
                .unwrap_or_default();
            let bytes = bytes
                .get(..usize::try_from(left).unwrap_or(usize::MAX))
                .unwrap_or(bytes);
            left -= bytes.len() as u64;
            if !bytes.is_empty() {
                sink(bytes);
            }
        };
        match (self.target, &self.kept) {
            (Target::Nothing, _) => Ok(()),
            (Target::Piece(piece), _) => content.served(piece, self.skip, self.octets, sink),
            (Target::Fields(..), Some(kept)) => {
                cut(kept);
                Ok(())
            }
            (Target::Fields(header, fields), None) => fields.select(content, header, cut),
        }
    }
}

impl<'a, N: AsRef<[u8]>> FieldList<'a, N> {
    /// The fields with these names.
    #[must_use]
    pub fn new(names: &'a [N]) -> Self {
        Self { names, not: false }
    }

    fn wants(&self, name: &[u8]) -> bool {
        let name = name.trim_ascii_end();
        self.names
            .iter()
            .any(|wanted| wanted.as_ref().eq_ignore_ascii_case(name))
            != self.not
    }

    /// Gives the selected fields as served, and the empty line that ends the header if it has one, to `sink`.
    ///
    /// # Errors
    /// The message cannot be read; some may have been given.
    pub fn select(
        &self,
        content: &mut Content,
        header: Piece,
        mut sink: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.select_noting(content, header, &mut sink).map(|_| ())
    }

    /// As [`Self::select`]; also whether every line was part of a field or ended the header. What is made of other
    /// lines differs between readers.
    ///
    /// # Errors
    /// As [`Self::select`].
    pub fn select_noting(
        &self,
        content: &mut Content,
        header: Piece,
        mut sink: impl FnMut(&[u8]),
    ) -> io::Result<bool> {
        let mut selector = Selector::new(self);
        content.served(header, 0, u64::MAX, |bytes| selector.push(bytes, &mut sink))?;
        selector.finish(&mut sink);
        Ok(!selector.odd)
    }

    /// As [`Self::select`], from a header as served.
    pub fn select_from(&self, header: &[u8], mut sink: impl FnMut(&[u8])) {
        let mut selector = Selector::new(self);
        selector.push(header, &mut sink);
        selector.finish(&mut sink);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of the first line of the header.
    Start,
    /// At the start of a line that may continue a field (wanted or not).
    LineStart(bool),
    /// In the name of a field.
    Name,
    /// In a line that is wanted, or not.
    Line(bool),
    /// Behind the empty line.
    End,
}

/// Picks fields from a header that arrives in pieces, lines ending in CRLF.
struct Selector<'a, N> {
    list: &'a FieldList<'a, N>,
    state: State,
    /// The start of the current line, until it is known whether it is wanted.
    name: Vec<u8>,
    /// Last byte given.
    last: u8,
    /// Some line was no field.
    odd: bool,
}

impl<'a, N: AsRef<[u8]>> Selector<'a, N> {
    fn new(list: &'a FieldList<'a, N>) -> Self {
        Self {
            list,
            state: State::Start,
            name: Vec::new(),
            last: b'\n',
            odd: false,
        }
    }

    fn push(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            match self.state {
                State::End => return,
                State::Start | State::LineStart(_) => {
                    self.state = match (first, self.state) {
                        (b' ' | b'\t', State::LineStart(wanted)) => State::Line(wanted),
                        // What continues no field at all is no field.
                        (b' ' | b'\t', _) => State::Line(self.list.not),
                        _ => State::Name,
                    };
                }
                State::Name => {
                    let end = memchr::memchr2(b':', b'\n', rest).map_or(rest.len(), |at| at + 1);
                    let end = end.min(NAME_MAX.saturating_sub(self.name.len()));
                    let (start, after) = rest.split_at_checked(end).unwrap_or((rest, b""));
                    self.name.extend_from_slice(start);
                    rest = after;
                    self.decide(sink);
                }
                State::Line(wanted) => {
                    let end = memchr::memchr(b'\n', rest);
                    let (line, after) = rest
                        .split_at_checked(end.map_or(rest.len(), |at| at + 1))
                        .unwrap_or((rest, b""));
                    if wanted {
                        self.give(line, sink);
                    }
                    if end.is_some() {
                        self.state = State::LineStart(wanted);
                    }
                    rest = after;
                }
            }
        }
    }

    /// Decides about the line whose start is in `name`, if enough of it has arrived.
    fn decide(&mut self, sink: &mut impl FnMut(&[u8])) {
        let wanted = match self.name.as_slice() {
            b"\r\n" => {
                self.state = State::End;
                self.name.clear();
                return;
            }
            [name @ .., b':'] => Some(self.list.wants(name)),
            // A line without a colon is no field: it goes with "all but".
            [.., b'\n'] => None,
            long if long.len() >= NAME_MAX => None,
            _ => return,
        };
        self.odd |= wanted.is_none();
        let wanted = wanted.unwrap_or(self.list.not);
        let ended = self.name.last() == Some(&b'\n');
        self.state = if ended {
            State::LineStart(wanted)
        } else {
            State::Line(wanted)
        };
        let mut name = std::mem::take(&mut self.name);
        if wanted {
            self.give(&name, sink);
        }
        // Its memory serves for the next one.
        name.clear();
        self.name = name;
    }

    fn give(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) {
        if let Some(&last) = bytes.last() {
            self.last = last;
            sink(bytes);
        }
    }

    fn finish(&mut self, sink: &mut impl FnMut(&[u8])) {
        if self.state == State::Name && self.list.not && !self.name.is_empty() {
            let name = std::mem::take(&mut self.name);
            self.give(&name, sink);
        }
        if self.last != b'\n' {
            sink(b"\r\n");
        }
        // RFC 3501 section 6.4.5: also a selection has the empty line, but of a message without one.
        if self.state == State::End {
            sink(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests;
