//! What is wrong with a UID database and its redundant copy, for `maildircheck`: the reader repairs quietly, this
//! explains.

use std::collections::HashSet;

use super::text::{number, parse_header, parse_line};
use super::{LIMIT, MARK, NAME};
use crate::maildir::error::Result;
use crate::maildir::files::Dir;

/// State of the first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstLine {
    /// Version, UIDVALIDITY and UIDNEXT.
    Whole(u32, u32),
    /// UIDVALIDITY alone.
    NoNext(u32),
    /// Nothing that can be used.
    Damaged,
}

/// State of the redundant copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copy {
    /// None yet: the folder was used by other software only.
    Absent,
    /// UIDVALIDITY and high-water mark.
    Says(u32, u32),
    /// There, but unreadable.
    Damaged,
}

/// Everything odd about one database.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) first: FirstLine,
    pub(crate) copy: Copy,
    /// Above every UID in the file.
    pub(crate) above: u32,
    /// Lines that name no message.
    pub(crate) nonsense: usize,
    /// The last line has no end.
    pub(crate) torn: bool,
    pub(crate) repeated_uids: usize,
    pub(crate) repeated_names: usize,
    /// Base names in the file.
    pub(crate) names: Vec<Vec<u8>>,
}

impl Faults {
    /// Reads the folder's database; `None` if there is none.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn of(dir: &Dir) -> Result<Option<Self>> {
        let Some((bytes, _)) = dir.read(NAME, LIMIT)? else {
            return Ok(None);
        };
        Ok(Some(Self::in_text(&bytes, copy(dir))))
    }

    fn in_text(bytes: &[u8], copy: Copy) -> Self {
        let first = match parse_header(bytes) {
            Some((uid_validity, Some(uid_next))) => FirstLine::Whole(uid_validity, uid_next),
            Some((uid_validity, None)) => FirstLine::NoNext(uid_validity),
            None => FirstLine::Damaged,
        };
        let mut faults = Self {
            first,
            copy,
            above: 1,
            nonsense: 0,
            torn: !bytes.is_empty() && !bytes.ends_with(b"\n"),
            repeated_uids: 0,
            repeated_names: 0,
            names: Vec::new(),
        };
        let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let (mut uids, mut names) = (HashSet::new(), HashSet::new());
        for (position, line) in whole.split(|byte| *byte == b'\n').enumerate() {
            // A file that lost its first line may begin with an entry; a damaged first line is told of already.
            let header = position == 0;
            let Some((uid, name)) =
                parse_line(line).filter(|_| !header || first == FirstLine::Damaged)
            else {
                faults.nonsense += usize::from(!header);
                continue;
            };
            faults.above = faults.above.max(uid.saturating_add(1));
            if !uids.insert(uid) {
                faults.repeated_uids += 1;
            } else if !names.insert(name) {
                faults.repeated_names += 1;
            }
        }
        faults.names = names.into_iter().map(<[u8]>::to_vec).collect();
        faults
    }
}

/// The redundant copy of UIDVALIDITY and the high-water mark.
pub(crate) fn copy(dir: &Dir) -> Copy {
    match dir.read(MARK, 128) {
        Ok(None) => match dir.stat(MARK) {
            Ok(None) => Copy::Absent,
            _ => Copy::Damaged,
        },
        Ok(Some((bytes, _))) => match parse_header(&bytes) {
            Some((uid_validity, Some(next))) => Copy::Says(uid_validity, next),
            _ => Copy::Damaged,
        },
        Err(_) => Copy::Damaged,
    }
}

/// The name of the redundant copy, for messages.
pub(crate) const COPY_NAME: &[u8] = MARK;

/// A decimal number of 32 bits and nothing else.
pub(crate) fn decimal(digits: &[u8]) -> Option<u32> {
    number(digits)
}

/// The names that a database says.
#[cfg(feature = "fuzzing")]
pub(crate) fn names(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (_, db) = super::parse(bytes.to_vec());
    let entries = (0..db.len()).filter_map(|position| db.entry(position));
    entries.map(|(_, name)| name.to_vec()).collect()
}

/// Reads and writes hostile bytes.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    let entries = |db: &super::UidDb| -> Vec<(u32, Vec<u8>)> {
        let entries = (0..db.len()).filter_map(|position| db.entry(position));
        entries.map(|(uid, name)| (uid, name.to_vec())).collect()
    };
    let (_, mut db) = super::parse(bytes.to_vec());
    let read = entries(&db);
    assert!(read.is_sorted_by(|a, b| a.0 < b.0));
    let names: HashSet<&[u8]> = read.iter().map(|(_, name)| name.as_slice()).collect();
    assert_eq!(names.len(), read.len());
    for (position, (_, name)) in read.iter().enumerate() {
        assert_eq!(db.index().get(name), Some(position));
    }
    db.uid_validity = 7;
    db.uid_next = read.last().map_or(1, |(uid, _)| uid + 1);
    let written = db.encode();
    let (header, again) = super::parse(written.clone());
    assert_eq!(header, Some((7, Some(db.uid_next))));
    assert!(!again.needs_repair);
    assert_eq!(entries(&again), read);
    let faults = Faults::in_text(&written, Copy::Absent);
    assert!(!faults.torn && faults.nonsense + faults.repeated_uids + faults.repeated_names == 0);
    let faults = Faults::in_text(bytes, Copy::Absent);
    assert!(faults.names.len() <= bytes.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_counted_once() {
        let text = b"1 77 3\n1 a\n1 b\n2 a\nrubbish\n\x00\xff\n9 c";
        let faults = Faults::in_text(text, Copy::Absent);
        assert_eq!(faults.first, FirstLine::Whole(77, 3));
        assert_eq!((faults.above, faults.torn), (10, true));
        assert_eq!(
            (faults.nonsense, faults.repeated_uids, faults.repeated_names),
            (2, 1, 1)
        );
        assert_eq!(faults.names.len(), 2);
    }

    #[test]
    fn a_good_file_has_none() {
        let faults = Faults::in_text(b"1 77 0000000003\n1 a\n2 b\n", Copy::Absent);
        assert!(!faults.torn && faults.nonsense == 0 && faults.above == 3);
        let faults = Faults::in_text(b"1 77 0000000001\n", Copy::Absent);
        assert!(!faults.torn && faults.nonsense == 0 && faults.above == 1);
    }
}
