//! The content of one message: its open file, its structure once needed, its bytes as the client gets them.
//!
//! Large messages are never in memory as a whole. Every LF is served as CRLF (contract: imapd, sizes and CRLF); a
//! stored CRLF stays one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use courier::maildir::Measure;
use courier::mime::{Mark, Piece, Scanner, Tree};

/// Bytes read at a time, and the largest message that is read once and kept.
const BLOCK: usize = 64 * 1024;
/// Bytes read at first when only the header is wanted.
const HEADER_BLOCK: usize = 8 * 1024;
/// Bytes looked at before asking whether the header has ended: what is behind it is not worth parsing.
const HEADER_STEP: usize = 1024;

/// An open message.
#[derive(Debug)]
pub struct Content {
    file: File,
    size: u64,
    /// The start of the message, all of it if it is small and was wanted.
    bytes: Vec<u8>,
    /// The message's own header, where only that was asked for.
    header: Option<Piece>,
    /// The tree as far as the message's own header is concerned.
    head: Option<Tree>,
    tree: Option<Tree>,
    /// Octets as served, if they were counted.
    octets: Option<u64>,
    /// What POP3 wants to know, if that came with it.
    measure: Option<Measure>,
    place: Option<Place>,
}

/// Where a block of a piece starts, so that a client that fetches a large piece bit by bit does not make us count its
/// lines from the start each time.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Start of the piece, which identifies it.
    start: u64,
    /// Offset in the file.
    stored: u64,
    /// Octets of the piece before it, as served.
    served: u64,
    after_cr: bool,
}

impl Content {
    /// The content of a message of `size` bytes.
    #[must_use]
    pub fn new(file: File, size: u64) -> Self {
        Self {
            file,
            size,
            bytes: Vec::new(),
            header: None,
            head: None,
            tree: None,
            octets: None,
            measure: None,
            place: None,
        }
    }

    /// Size in bytes as stored.
    #[must_use]
    pub fn stored_size(&self) -> u64 {
        self.size
    }

    /// The whole structure. Reads the whole message, once.
    ///
    /// # Errors
    /// The file cannot be read, or is shorter than it was.
    pub fn tree(&mut self) -> io::Result<&Tree> {
        let tree = match self.tree.take() {
            Some(tree) => tree,
            None => self.scan(BLOCK, BLOCK, |_| false)?,
        };
        Ok(self.tree.insert(tree))
    }

    /// What POP3 will want to know of the message, if it is known already: with the whole structure, and from counting
    /// octets if all of them were ASCII.
    ///
    /// # Errors
    /// As [`Self::tree`].
    pub fn measure(&mut self) -> io::Result<Option<Measure>> {
        let Some(tree) = &self.tree else {
            return Ok(self.measure);
        };
        let (lines, utf8) = (tree.root().whole().end.lines, tree.has_eight_bit_header());
        let size = self.size;
        let finished = size > 0 && {
            let mut buffer = Vec::new();
            self.read(size - 1, size, 1, &mut buffer)?.last() == Some(&b'\n')
        };
        Ok(Some(Measure::new(size, lines, finished, utf8)))
    }

    /// RFC822.SIZE: octets of the whole message as served. Reads it, but looks for line ends only.
    ///
    /// # Errors
    /// As [`Self::tree`].
    pub fn octets(&mut self) -> io::Result<u64> {
        if let Some(tree) = &self.tree {
            return Ok(tree.octets());
        }
        if let Some(octets) = self.octets {
            return Ok(octets);
        }
        let size = self.size;
        let (mut offset, mut octets, mut after_cr) = (0, size, false);
        let (mut lines, mut finished, mut ascii) = (0_u64, false, true);
        let mut buffer = Vec::new();
        while offset < size {
            let block = self.read(offset, size, BLOCK, &mut buffer)?;
            offset += block.len() as u64;
            octets += bare_line_ends(block, after_cr);
            after_cr = block.last() == Some(&b'\r');
            lines += memchr::memchr_iter(b'\n', block).count() as u64;
            finished = block.last() == Some(&b'\n');
            ascii &= block.is_ascii();
        }
        self.octets = Some(octets);
        self.measure = ascii.then(|| Measure::new(size, lines, finished, false));
        Ok(octets)
    }

    /// A tree that is right about the message's own header and its fields only. Reads little more than the header.
    ///
    /// # Errors
    /// As [`Self::tree`].
    pub fn head(&mut self) -> io::Result<&Tree> {
        if self.tree.is_some() {
            return self.tree();
        }
        let head = match self.head.take() {
            Some(head) => head,
            None => self.scan(HEADER_BLOCK, HEADER_STEP, Scanner::has_header)?,
        };
        Ok(self.head.insert(head))
    }

    /// The message's own header with the empty line that ends it. Understands nothing of it and reads little more.
    ///
    /// # Errors
    /// As [`Self::tree`].
    pub fn header(&mut self) -> io::Result<Piece> {
        if let Some(tree) = self.tree.as_ref().or(self.head.as_ref()) {
            return Ok(tree.root().header());
        }
        let header = match self.header {
            Some(header) => header,
            None => self.find_header()?,
        };
        self.header = Some(header);
        Ok(header)
    }

    fn find_header(&mut self) -> io::Result<Piece> {
        let size = self.size;
        let mut end = Mark::default();
        let mut buffer = Vec::new();
        let mut block = HEADER_BLOCK;
        // The bytes of the current line in earlier blocks: none, a CR alone, or others.
        let (mut blank, mut after_cr) = (true, false);
        if self.bytes.is_empty() {
            self.read_start(HEADER_BLOCK)?;
        }
        while end.offset < size {
            let bytes = self.read(end.offset, size, block, &mut buffer)?;
            let mut from = 0;
            for at in memchr::memchr_iter(b'\n', bytes) {
                let line = bytes.get(from..at).unwrap_or_default();
                let crlf = match line.last() {
                    Some(&last) => last == b'\r',
                    None => after_cr,
                };
                end.lines += 1;
                end.bare += u64::from(!crlf);
                // One CR belongs to the line end.
                if blank && matches!(line, b"" | b"\r") && !(after_cr && line == b"\r") {
                    end.offset += at as u64 + 1;
                    return Ok(Piece {
                        start: Mark::default(),
                        end,
                    });
                }
                (blank, after_cr) = (true, false);
                from = at + 1;
            }
            let rest = bytes.get(from..).unwrap_or_default();
            blank = blank && (rest.is_empty() || (rest == b"\r" && !after_cr));
            after_cr = match rest.last() {
                Some(&last) => last == b'\r',
                None => after_cr,
            };
            end.offset += bytes.len() as u64;
            block = BLOCK;
        }
        Ok(Piece {
            start: Mark::default(),
            end,
        })
    }

    /// Frees what can be read again.
    pub fn shrink(&mut self) {
        self.bytes = Vec::new();
        self.head = None;
    }

    fn scan(
        &mut self,
        first: usize,
        step: usize,
        enough: impl Fn(&Scanner) -> bool,
    ) -> io::Result<Tree> {
        let mut scanner = Scanner::new();
        let mut block = first;
        let mut offset = 0;
        let size = self.size;
        let mut buffer = Vec::new();
        while offset < size && !enough(&scanner) {
            let bytes = self.read(offset, size, block, &mut buffer)?;
            for bytes in bytes.chunks(step) {
                scanner.push(bytes);
                offset += bytes.len() as u64;
                if enough(&scanner) {
                    break;
                }
            }
            block = BLOCK;
        }
        Ok(scanner.finish())
    }

    /// At least one byte from `offset`, at most `most`, none from `end` on. The bytes may lie in `buffer`.
    fn read<'a>(
        &'a mut self,
        offset: u64,
        end: u64,
        most: usize,
        buffer: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        let mut length = most.min(usize::try_from(end.saturating_sub(offset)).unwrap_or(most));
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if start >= self.bytes.len() && self.size <= BLOCK as u64 {
            self.read_start(BLOCK)?;
        }
        if start < self.bytes.len() {
            length = length.min(self.bytes.len() - start);
            return Ok(self.bytes.get(start..start + length).unwrap_or_default());
        }
        buffer.resize(length, 0);
        self.file.read_exact_at(buffer, offset)?;
        Ok(buffer)
    }

    /// Reads the start of the message, at most `most` bytes, to be kept.
    fn read_start(&mut self, most: usize) -> io::Result<()> {
        let length = most.min(usize::try_from(self.size).unwrap_or(most));
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, 0)?;
        self.bytes = bytes;
        Ok(())
    }

    /// Gives the stored bytes of a piece to `sink`, until that says stop with `false`.
    ///
    /// # Errors
    /// As [`Self::tree`].
    pub fn stored(&mut self, piece: Piece, mut sink: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let range = piece.stored();
        let mut offset = range.start;
        let mut buffer = Vec::new();
        while offset < range.end {
            let bytes = self.read(offset, range.end, BLOCK, &mut buffer)?;
            offset += bytes.len() as u64;
            if !sink(bytes) {
                break;
            }
        }
        Ok(())
    }

    /// Gives octets of a piece as served to `sink`: `count` of them after the first `skip`, or as many as there are.
    ///
    /// # Errors
    /// As [`Self::tree`]; some octets may have been given before.
    pub fn served(
        &mut self,
        piece: Piece,
        skip: u64,
        count: u64,
        mut sink: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let range = piece.stored();
        let mut left = count.min(piece.octets().saturating_sub(skip));
        let mut place = self
            .place
            .filter(|place| {
                place.start == range.start && place.served <= skip && place.stored <= range.end
            })
            .unwrap_or(Place {
                start: range.start,
                stored: range.start,
                served: 0,
                after_cr: false,
            });
        let mut buffer = Vec::new();
        let mut out = Vec::new();
        while left > 0 {
            if place.stored >= range.end {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let block = self.read(place.stored, range.end, BLOCK, &mut buffer)?;
            let octets = block.len() as u64 + bare_line_ends(block, place.after_cr);
            let from = skip.saturating_sub(place.served);
            let next = Place {
                start: range.start,
                stored: place.stored + block.len() as u64,
                served: place.served + octets,
                after_cr: block.last() == Some(&b'\r'),
            };
            if from < octets {
                out.clear();
                to_crlf(block, place.after_cr, &mut out);
                let wanted = out
                    .get(usize::try_from(from).unwrap_or(usize::MAX)..)
                    .unwrap_or_default();
                let wanted = wanted
                    .get(..usize::try_from(left).unwrap_or(usize::MAX))
                    .unwrap_or(wanted);
                sink(wanted);
                left -= wanted.len() as u64;
                // The next partial fetch starts in this block or behind it.
                self.place = Some(place);
            }
            place = next;
        }
        Ok(())
    }
}

/// Number of line feeds without a carriage return before them.
fn bare_line_ends(block: &[u8], after_cr: bool) -> u64 {
    memchr::memchr_iter(b'\n', block)
        .filter(|&at| !follows_cr(block, at, after_cr))
        .count() as u64
}

fn follows_cr(block: &[u8], at: usize, after_cr: bool) -> bool {
    match at.checked_sub(1) {
        Some(before) => block.get(before) == Some(&b'\r'),
        None => after_cr,
    }
}

/// Appends a block with every bare LF turned into CRLF.
fn to_crlf(block: &[u8], after_cr: bool, out: &mut Vec<u8>) {
    out.reserve(block.len() + block.len() / 16);
    let mut from = 0;
    for at in memchr::memchr_iter(b'\n', block) {
        if !follows_cr(block, at, after_cr) {
            out.extend_from_slice(block.get(from..at).unwrap_or_default());
            out.push(b'\r');
            from = at;
        }
    }
    out.extend_from_slice(block.get(from..).unwrap_or_default());
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Content;
    use proptest::prelude::*;
    use std::io::Write as _;

    /// A message in a file without a name.
    pub(crate) fn content(message: &[u8]) -> Content {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(message).unwrap();
        Content::new(file, message.len() as u64)
    }

    pub(crate) fn as_served(stored: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut last = 0;
        for &byte in stored {
            if byte == b'\n' && last != b'\r' {
                out.push(b'\r');
            }
            out.push(byte);
            last = byte;
        }
        out
    }

    #[test]
    fn large_messages_bit_by_bit() {
        let mut message = b"Subject: x\n\n".to_vec();
        for n in 0..40_000 {
            message.extend_from_slice(
                format!("line {n}{}", if n % 3 == 0 { "\r\n" } else { "\n" }).as_bytes(),
            );
        }
        let expected = as_served(&message);
        let mut content = content(&message);
        let piece = content.tree().unwrap().root().whole();
        for step in [1000, 70_000, 4096] {
            let mut got = Vec::new();
            for skip in (0..=expected.len() as u64).step_by(step) {
                content
                    .served(piece, skip, step as u64, |bytes| {
                        got.extend_from_slice(bytes)
                    })
                    .unwrap();
            }
            assert!(got == expected, "in steps of {step}");
        }
    }

    #[test]
    fn a_header_is_read_without_the_body() {
        let mut message = b"Subject: x\nMIME-Version: 1.0\n\n".to_vec();
        message.resize(1_000_000, b'x');
        let mut content = content(&message);
        let head = content.head().unwrap();
        assert_eq!(head.root().header().octets(), 33);
        assert!(content.tree.is_none());
        assert_eq!(content.tree().unwrap().octets(), 1_000_003);
        assert_eq!(content.head().unwrap().octets(), 1_000_003);
    }

    #[test]
    fn a_file_that_shrank_is_an_error() {
        let mut content = content(b"Subject: x\n\nbody\n");
        content.size += 10;
        assert!(content.tree().is_err());
    }

    #[test]
    fn a_header_longer_than_what_is_read_at_first() {
        for size in [8190, 8191, 8192, 8193, 70_000, 140_000] {
            for end in ["\n\n", "\r\n\r\n", "\r\r\n\r\n\n"] {
                let mut message = b"X: ".to_vec();
                message.resize(size, b'x');
                message.extend_from_slice(end.as_bytes());
                message.resize(200_000, b'y');
                let header = content(&message).header().unwrap();
                let mut content = content(&message);
                assert_eq!(header, content.head().unwrap().root().header());
                let mut got = Vec::new();
                content
                    .served(header, 0, u64::MAX, |bytes| got.extend_from_slice(bytes))
                    .unwrap();
                assert!(got.len() as u64 == header.octets());
            }
        }
    }

    proptest! {
        #[test]
        fn a_measure_is_that_of_the_bytes(message in "[a\u{fc}:\r\n]{0,60}") {
            let bytes = message.as_bytes();
            let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
            let unfinished = if bytes.last() == Some(&b'\n') { 0 } else { 2 };
            let size = bytes.len() as u64 + lines + unfinished;
            let mut counted = content(bytes);
            prop_assert_eq!(counted.measure().unwrap(), None);
            counted.octets().unwrap();
            let of_octets = counted.measure().unwrap();
            prop_assert_eq!(of_octets, message.is_ascii().then_some(courier::maildir::Measure { size, utf8: false }));
            let utf8 = counted.tree().unwrap().has_eight_bit_header();
            prop_assert_eq!(counted.measure().unwrap(), Some(courier::maildir::Measure { size, utf8 }));
        }

        #[test]
        fn the_header_is_that_of_the_tree(message in "[a:\r\n]{0,40}") {
            let message = message.as_bytes();
            let header = content(message).header().unwrap();
            prop_assert_eq!(header, content(message).tree().unwrap().root().header());
        }

        #[test]
        fn partials_are_slices_of_the_whole(message in "[a\r\n]{0,60}", skip in 0u64..80, count in 0u64..80) {
            let expected = as_served(message.as_bytes());
            let mut content = content(message.as_bytes());
            let piece = content.tree().unwrap().root().whole();
            let mut got = Vec::new();
            content.served(piece, skip, count, |bytes| got.extend_from_slice(bytes)).unwrap();
            let from = usize::try_from(skip).unwrap().min(expected.len());
            let to = usize::try_from(skip + count).unwrap().min(expected.len());
            prop_assert_eq!(got.as_slice(), &expected[from..to]);
        }
    }
}
