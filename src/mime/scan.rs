//! The scanner: one pass over a message's bytes, fed in pieces of any size, in memory bounded by the headers kept.
//!
//! Linear in the message whatever it contains: a line is looked at once; only lines that start with `--` are compared
//! with boundaries, of which at most [`MAX_DEPTH`] are open; only a few header fields are kept, and those up to a limit.

use super::header::{Known, split_field, trim_line_end};
use super::tree::{KeptField, Kind, Mark, Part, Tree};

/// Deepest nesting of multiparts and embedded messages; anything deeper is content without structure.
pub const MAX_DEPTH: usize = 100;
/// Most parts of a message; what follows belongs to no part but still to the message.
pub const MAX_PARTS: usize = 10_000;
/// Longest value kept of one field, in bytes.
const FIELD_MAX: usize = 1 << 20;
/// Most bytes of field values kept of one message.
const FIELDS_MAX: usize = 8 << 20;
/// Most fields kept of one message.
const FIELD_COUNT_MAX: usize = 200_000;
/// Longest boundary recognised (RFC 2046 allows 70).
const BOUNDARY_MAX: usize = 512;
/// Longest line that can be a delimiter: it may be padded with white space.
const DELIMITER_MAX: usize = 2 * BOUNDARY_MAX;

/// Scans a whole message in memory.
#[must_use]
pub fn scan(message: &[u8]) -> Tree {
    let mut scanner = Scanner::new();
    scanner.push(message);
    scanner.finish()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the header of the innermost open part.
    Header,
    /// In a body, preamble or epilogue.
    Body,
}

/// An open multipart's boundary.
struct Boundary {
    text: Vec<u8>,
    /// Number of open parts up to and including the multipart.
    depth: usize,
    /// The multipart is a digest.
    digest: bool,
}

/// Takes a message in pieces.
pub struct Scanner {
    tree: Tree,
    state: State,
    /// Indexes of the open parts, from the outside in.
    open: Vec<usize>,
    boundaries: Vec<Boundary>,
    /// Behind the last byte taken.
    here: Mark,
    after_cr: bool,
    /// Before the last line end that was counted.
    before_break: Mark,
    /// Start of the current line, and the end of the one before it without its line end.
    line_start: Mark,
    previous_end: Mark,
    /// The current line as far as it came in earlier pieces; cut off at [`FIELD_MAX`].
    line: Vec<u8>,
    /// The rest of the current line is of no interest.
    skimming: bool,
    /// The last header line began or continued a field that is kept.
    in_kept_field: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the start of a message.
    #[must_use]
    pub fn new() -> Self {
        let mut scanner = Self {
            tree: Tree {
                parts: Vec::new(),
                fields: Vec::new(),
                text: Vec::new(),
                eight_bit_header: false,
            },
            state: State::Header,
            open: Vec::new(),
            boundaries: Vec::new(),
            here: Mark::default(),
            after_cr: false,
            line_start: Mark::default(),
            before_break: Mark::default(),
            previous_end: Mark::default(),
            line: Vec::new(),
            skimming: false,
            in_kept_field: false,
        };
        scanner.open_part(Mark::default(), true, false);
        scanner
    }

    /// Takes the next piece of the message.
    pub fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while !rest.is_empty() {
            if !self.skimming && self.state == State::Body && !self.may_be_delimiter(rest) {
                self.skimming = true;
                self.line.clear();
            }
            let used = if self.skimming {
                self.skim(rest)
            } else {
                self.take_line(rest)
            };
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    /// Whether the message's own header has ended. A tree finished then is right about that header and nothing else,
    /// which is enough for an ENVELOPE.
    #[must_use]
    pub fn has_header(&self) -> bool {
        self.state != State::Header || self.tree.parts.len() > 1
    }

    /// Ends the message.
    #[must_use]
    pub fn finish(mut self) -> Tree {
        if !self.skimming && !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.end_line(&line);
        }
        self.end_headers(self.here);
        self.close_from(0, self.here);
        // A multipart in which no part was found shows as a leaf.
        for part in &mut self.tree.parts {
            if part.kind == Kind::Multipart && part.children.is_empty() {
                part.kind = Kind::Leaf;
            }
        }
        self.tree
    }

    /// Whether the current line, whose next bytes are `rest`, can be a delimiter as far as known.
    fn may_be_delimiter(&self, rest: &[u8]) -> bool {
        if self.boundaries.is_empty() || self.line.len() > DELIMITER_MAX {
            return false;
        }
        let mut start = self.line.iter().chain(rest).take(2);
        start.all(|&byte| byte == b'-')
    }

    /// Counts bytes that end at most one line, at their end.
    fn advance(&mut self, bytes: &[u8]) {
        self.here.offset += bytes.len() as u64;
        if let Some((b'\n', before)) = bytes.split_last() {
            self.count_line(before.last().map_or(self.after_cr, |&byte| byte == b'\r'));
        }
        self.after_cr = bytes.last() == Some(&b'\r');
    }

    /// Counts the line end before `here`.
    fn count_line(&mut self, crlf: bool) {
        self.before_break = Mark {
            offset: self.here.offset - 1 - u64::from(crlf),
            ..self.here
        };
        self.here.lines += 1;
        self.here.bare += u64::from(!crlf);
    }

    /// Passes over lines that are none of our business, up to the start of one that may be a delimiter. Returns the
    /// number of bytes used.
    fn skim(&mut self, rest: &[u8]) -> usize {
        let base = self.here.offset;
        for end in memchr::memchr_iter(b'\n', rest) {
            let crlf = match end.checked_sub(1) {
                Some(before) => rest.get(before) == Some(&b'\r'),
                None => self.after_cr,
            };
            self.here.offset = base + end as u64 + 1;
            self.count_line(crlf);
            if self.boundaries.is_empty() {
                continue;
            }
            // Two bytes tell; where they are not here yet the next piece starts with a fresh line.
            if matches!(
                rest.get(end + 1..),
                None | Some([] | [b'-'] | [b'-', b'-', ..])
            ) {
                self.start_line();
                self.after_cr = false;
                self.skimming = false;
                return end + 1;
            }
        }
        self.here.offset = base + rest.len() as u64;
        self.after_cr = rest.last() == Some(&b'\r');
        rest.len()
    }

    /// Takes a line, or what has arrived of it. Returns the number of bytes used.
    fn take_line(&mut self, rest: &[u8]) -> usize {
        let end = memchr::memchr(b'\n', rest);
        let used = end.map_or(rest.len(), |end| end + 1);
        let bytes = rest.get(..used).unwrap_or_default();
        self.advance(bytes);
        if end.is_some() && self.line.is_empty() {
            self.end_line(bytes);
        } else {
            let room = FIELD_MAX.saturating_sub(self.line.len());
            self.line
                .extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
            if end.is_some() {
                let mut line = std::mem::take(&mut self.line);
                self.end_line(&line);
                line.clear();
                self.line = line;
            }
        }
        used
    }

    /// A line is complete; `here` is behind it.
    fn end_line(&mut self, line: &[u8]) {
        let text = trim_line_end(line);
        if let Some((index, close)) = self.delimiter(text) {
            self.delimit(index, close);
        } else if self.state == State::Header {
            if text.is_empty() {
                self.begin_body(self.here);
            } else {
                self.header_line(text);
            }
        }
        self.start_line();
    }

    fn start_line(&mut self) {
        self.line_start = self.here;
        self.previous_end = self.before_break;
    }

    /// Which open boundary a line is a delimiter of, the innermost first, and whether it is the closing one.
    fn delimiter(&self, text: &[u8]) -> Option<(usize, bool)> {
        let text = text.strip_prefix(b"--")?;
        if text.len() > DELIMITER_MAX {
            return None;
        }
        let text = text.trim_ascii_end();
        self.boundaries
            .iter()
            .enumerate()
            .rev()
            .find_map(
                |(index, boundary)| match text.strip_prefix(boundary.text.as_slice())? {
                    b"" => Some((index, false)),
                    b"--" => Some((index, true)),
                    _ => None,
                },
            )
    }

    /// A delimiter line was met: everything inside that multipart ends, and the next part starts.
    fn delimit(&mut self, index: usize, close: bool) {
        let Some(&Boundary { depth, digest, .. }) = self.boundaries.get(index) else {
            return;
        };
        self.end_headers(self.line_start);
        // The line end before a delimiter belongs to it.
        self.close_from(depth, self.previous_end);
        self.boundaries.truncate(index + usize::from(!close));
        self.state = State::Body;
        if close || self.tree.parts.len() >= MAX_PARTS {
            return;
        }
        self.open_part(self.here, false, digest);
    }

    /// Ends a header in which no empty line was found.
    fn end_headers(&mut self, end: Mark) {
        // At most twice: a part's, and that of the message embedded in it, which then has no type of its own.
        while self.state == State::Header {
            self.begin_body(end);
        }
    }

    /// Ends the open parts from the given depth on.
    fn close_from(&mut self, depth: usize, end: Mark) {
        let mut limit = end;
        for (level, index) in self.open.drain(depth.min(self.open.len())..).enumerate() {
            let Some(part) = self.tree.parts.get_mut(index) else {
                continue;
            };
            // The line end before the delimiter may be that of the header, which keeps it.
            if level == 0 && limit.offset < part.body.offset {
                limit = part.body;
            }
            part.end = limit;
            for mark in [&mut part.start, &mut part.body] {
                if mark.offset > limit.offset {
                    *mark = limit;
                }
            }
        }
    }

    /// Starts a part.
    fn open_part(&mut self, start: Mark, message: bool, in_digest: bool) {
        let index = self.tree.parts.len();
        if let Some(parent) = self
            .open
            .last()
            .and_then(|&parent| self.tree.parts.get_mut(parent))
        {
            parent.children.push(index);
        }
        let fields = self.tree.fields.len();
        self.tree.parts.push(Part {
            start,
            body: start,
            end: start,
            kind: Kind::Leaf,
            message,
            in_digest,
            children: Vec::new(),
            fields: fields..fields,
        });
        self.open.push(index);
        self.state = State::Header;
        self.in_kept_field = false;
    }

    /// A header line that is not empty.
    fn header_line(&mut self, text: &[u8]) {
        if !self.tree.eight_bit_header && !text.is_ascii() {
            self.tree.eight_bit_header = true;
        }
        if matches!(text.first(), Some(b' ' | b'\t')) {
            if self.in_kept_field {
                self.keep(b"\n");
                self.keep(text);
            }
            return;
        }
        self.in_kept_field = false;
        let Some((known, value)) =
            split_field(text).and_then(|(name, value)| Some((Known::of(name)?, value)))
        else {
            return;
        };
        if self.tree.fields.len() >= FIELD_COUNT_MAX {
            return;
        }
        let start = self.tree.text.len();
        self.tree.fields.push(KeptField {
            known,
            text: start..start,
        });
        self.in_kept_field = true;
        self.keep(value);
        let count = self.tree.fields.len();
        if let Some(part) = self
            .open
            .last()
            .and_then(|&part| self.tree.parts.get_mut(part))
        {
            part.fields.end = count;
        }
    }

    /// Appends to the value of the last field, as far as there is room.
    fn keep(&mut self, text: &[u8]) {
        let Some(field) = self.tree.fields.last_mut() else {
            return;
        };
        let room = FIELD_MAX
            .saturating_sub(field.text.len())
            .min(FIELDS_MAX.saturating_sub(self.tree.text.len()));
        let text = text.get(..room.min(text.len())).unwrap_or_default();
        self.tree.text.extend_from_slice(text);
        field.text.end = self.tree.text.len();
    }

    /// The header of the innermost part ended; what is its body?
    fn begin_body(&mut self, start: Mark) {
        self.state = State::Body;
        let depth = self.open.len();
        let Some(&index) = self.open.last() else {
            return;
        };
        let Some(part) = self.tree.parts.get_mut(index) else {
            return;
        };
        part.body = start;
        if depth > MAX_DEPTH {
            return;
        }
        let Some(part) = self.tree.parts.get(index) else {
            return;
        };
        let content = self.tree.content_of(part, index == 0);
        let kind = match (content.major.as_slice(), content.minor.as_slice()) {
            (b"multipart", _) => {
                let Some(boundary) = content.value.param(b"boundary") else {
                    return;
                };
                // Trailing white space cannot be part of a boundary (RFC 2046 section 5.1.1).
                let boundary = boundary.trim_ascii_end();
                if boundary.is_empty() || boundary.len() > BOUNDARY_MAX {
                    return;
                }
                let digest = content.minor == b"digest";
                self.boundaries.push(Boundary {
                    text: boundary.to_vec(),
                    depth,
                    digest,
                });
                Kind::Multipart
            }
            (b"message", b"rfc822" | b"global") if self.tree.parts.len() < MAX_PARTS => {
                Kind::Message
            }
            _ => return,
        };
        if let Some(part) = self.tree.parts.get_mut(index) {
            part.kind = kind;
        }
        if kind == Kind::Message {
            self.open_part(start, true, false);
        }
    }
}

#[cfg(test)]
mod tests;
