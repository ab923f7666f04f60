//! `courierpop3dsizelist`: what POP3 remembers of the messages in INBOX, so that no client fetches one twice and no
//! session reads a message again for its size (contract: maildir 8, pop3d 6). Bytes in, bytes out; no files here.

use std::io::Write as _;

use super::filename;
use crate::text::decimal;

/// Longest line that the original reads; the rest of a longer one is lost.
const LINE_MAX: usize = 2028;

/// What is remembered of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    /// Octets as sent, without dot stuffing.
    pub(crate) size: u64,
    /// The message's number in its UIDL; 0 if the UIDL is the base name.
    pub(crate) number: u64,
    /// The validity in its UIDL; 0 if it has none.
    pub(crate) validity: u64,
    /// A header holds bytes above 0x7f.
    pub(crate) utf8: bool,
}

/// The whole file, in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SizeList<'a> {
    /// Number for the next message.
    pub(crate) next: u64,
    /// Validity for new messages; `None` means the time of the session.
    pub(crate) validity: Option<u64>,
    /// File names, with their flags at the time of writing, and what is known of them; in the order of the file,
    /// which should be that of the messages.
    pub(crate) entries: Vec<(&'a [u8], Entry)>,
    /// It was not of the version that is written, so it must be rewritten.
    pub(crate) converted: bool,
}

impl Default for SizeList<'_> {
    fn default() -> Self {
        Self {
            next: 1,
            validity: None,
            entries: Vec::new(),
            converted: false,
        }
    }
}

impl<'a> SizeList<'a> {
    /// Reads any version. What is not understood is left out; a file that is no list at all is an empty one.
    pub(crate) fn parse(bytes: &'a [u8]) -> Self {
        // About as long as lines are.
        let mut entries = Vec::with_capacity(bytes.len() / 64);
        let list = Self::parse_each(bytes, |name, entry| entries.push((name, entry)));
        Self { entries, ..list }
    }

    /// As [`SizeList::parse`], with the entries given to `take`.
    pub(crate) fn parse_each(bytes: &'a [u8], mut take: impl FnMut(&'a [u8], Entry)) -> Self {
        let mut lines = lines(bytes).map(|line| line.get(..LINE_MAX).unwrap_or(line));
        let Some((version, next, validity)) = lines.next().and_then(header) else {
            return Self::default();
        };
        if version == 2 || version == 3 {
            lines
                .filter_map(entry)
                .for_each(|(name, entry)| take(name, entry));
        }
        Self {
            next,
            validity,
            entries: Vec::new(),
            converted: version == 2,
        }
    }

    /// The file's content, in the newest version.
    pub(crate) fn encode(
        next: u64,
        validity: u64,
        entries: impl Iterator<Item = (&'a [u8], Entry)>,
    ) -> Vec<u8> {
        let mut content = Vec::new();
        // Writing to a Vec cannot fail.
        let _ = writeln!(content, "/3 {next} {validity}");
        for (name, entry) in entries {
            content.extend_from_slice(name);
            for (separator, value) in [
                (b' ', entry.size),
                (b' ', entry.number),
                (b':', entry.validity),
                (b':', u64::from(entry.utf8)),
            ] {
                content.push(separator);
                decimal::put(&mut content, value);
            }
            content.push(b'\n');
        }
        content
    }
}

impl Entry {
    /// Appends the UIDL of this entry's message, whose file is called `name` now. The forms without a validity and
    /// without a number come from old lists and stay for ever.
    pub(crate) fn uidl(&self, name: &[u8], text: &mut Vec<u8>) {
        if self.number == 0 {
            escape(filename::base(name), text);
            return;
        }
        text.extend_from_slice(b"UID");
        decimal::put(text, self.number);
        if self.validity != 0 {
            text.push(b'-');
            decimal::put(text, self.validity);
        }
    }
}

/// `name` as a UIDL: what does not print, and three bytes more, as `+XX`.
fn escape(name: &[u8], text: &mut Vec<u8>) {
    for &byte in name {
        if (0x21..=0x7e).contains(&byte) && !b"'\"+".contains(&byte) {
            text.push(byte);
        } else {
            // Writing to a Vec cannot fail.
            let _ = write!(text, "+{byte:02X}");
        }
    }
}

/// The lines of `bytes` without their ends.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let end = memchr::memchr(b'\n', bytes);
        rest = end.and_then(|end| bytes.get(end.saturating_add(1)..));
        bytes.get(..end.unwrap_or(bytes.len()))
    })
}

/// `/version next [validity]`.
fn header(line: &[u8]) -> Option<(u64, u64, Option<u64>)> {
    let mut numbers = line
        .strip_prefix(b"/")?
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty())
        .map_while(leading_number);
    let version = numbers.next()?;
    let next = numbers.next()?;
    Some((version, next, numbers.next()))
}

/// `name size number:validity[:utf8]`; the name may contain blanks.
fn entry(line: &[u8]) -> Option<(&[u8], Entry)> {
    let (rest, ids) = split_last_blank(line)?;
    let (name, size) = split_last_blank(rest)?;
    if name.is_empty() {
        return None;
    }
    let mut ids = ids.split(|&byte| byte == b':');
    let entry = Entry {
        size: leading_number(size)?,
        number: leading_number(ids.next()?)?,
        validity: leading_number(ids.next()?)?,
        utf8: ids
            .next()
            .and_then(leading_number)
            .is_some_and(|utf8| utf8 != 0),
    };
    Some((name, entry))
}

fn split_last_blank(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = memchr::memrchr(b' ', text)?;
    let (before, after) = text.split_at(blank);
    Some((before, after.get(1..)?))
}

/// The number that `text` begins with; `None` without one or if it is too large.
fn leading_number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    text.iter().take(digits).try_fold(0_u64, |number, digit| {
        number
            .checked_mul(10)?
            .checked_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uidls(list: &SizeList<'_>) -> Vec<String> {
        let uidl = |(name, entry): &(&[u8], Entry)| {
            let mut text = Vec::new();
            entry.uidl(name, &mut text);
            String::from_utf8(text).unwrap()
        };
        list.entries.iter().map(uidl).collect()
    }

    #[test]
    fn the_newest_version_is_read_and_written() {
        let text = b"/3 4 1795395261\n999.b.host:2, 35 1:1795395261:0\n1001.c host,S=40:2,S 30 3:1795395261:1\n";
        let list = SizeList::parse(text);
        assert_eq!((list.next, list.validity), (4, Some(1_795_395_261)));
        assert!(!list.converted && list.entries[1].1.utf8);
        assert_eq!(list.entries[1].0, b"1001.c host,S=40:2,S");
        assert_eq!(uidls(&list), ["UID1-1795395261", "UID3-1795395261"]);
        let entries = list.entries.into_iter();
        assert_eq!(SizeList::encode(4, 1_795_395_261, entries), text);
    }

    #[test]
    fn version_two_is_converted() {
        let list = SizeList::parse(b"/2 7 5\na 1 6:5\n");
        assert!(list.converted && !list.entries[0].1.utf8);
        assert_eq!(uidls(&list), ["UID6-5"]);
    }

    #[test]
    fn other_versions_keep_their_numbers_only() {
        let list = SizeList::parse(b"/9 57 33\na 1 6:5:0\n");
        assert_eq!((list.next, list.validity), (57, Some(33)));
        assert!(list.entries.is_empty());
        let list = SizeList::parse(b"/1 57\na 1 6\n");
        assert_eq!((list.next, list.validity), (57, None));
    }

    #[test]
    fn what_is_no_list_is_an_empty_one() {
        for text in [
            &b""[..],
            b"a 1 2:3:0\n",
            b"/3\n",
            b"/3 x\n",
            b"/\n",
            b"3 4 5\n",
        ] {
            assert_eq!(SizeList::parse(text), SizeList::default());
        }
    }

    #[test]
    fn bad_lines_are_passed_over() {
        let list = SizeList::parse(
            b"/3 9 5\n 1 2:3:0\nname\nname 1\nname x 2:3:0\nname 1 2\nname 1 :3\n\
              name 99999999999999999999 2:3:0\ngood 1 2:3",
        );
        assert_eq!(list.entries.len(), 1);
        assert_eq!(list.entries[0].0, b"good");
    }

    #[test]
    fn old_identifiers_are_kept() {
        let list = SizeList::parse(b"/3 9 5\na+b'c\xe9:2,S 1 0:0:0\nb 1 7:0:0\nc 1 0:5:0\n");
        assert_eq!(uidls(&list), ["a+2Bb+27c+E9", "UID7", "c"]);
    }

    proptest::proptest! {
        #[test]
        fn no_file_harms_the_reader(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            SizeList::parse(&bytes);
        }
    }
}
