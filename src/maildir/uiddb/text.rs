//! The UID database as text, and its entries by name.

use std::hash::{BuildHasher, RandomState};
use std::io::Write as _;

use super::{Entry, UidDb};
use crate::maildir::filename;

/// UIDVALIDITY, and UIDNEXT if that is readable too.
pub(super) type Header = Option<(u32, Option<u32>)>;

/// Reads the first line. A version other than 1 makes it worthless, as does a UIDVALIDITY of 0.
pub(super) fn parse_header(bytes: &[u8]) -> Header {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let mut fields = line
        .split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty());
    if fields.next()? != b"1" {
        return None;
    }
    let uid_validity = number(fields.next()?).filter(|value| *value > 0)?;
    Some((
        uid_validity,
        fields.next().and_then(number).filter(|value| *value > 0),
    ))
}

pub(super) fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0_u32, |value, digit| {
        value.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
    })
}

/// Parses a whole file. Never fails: what makes no sense is left out, and `needs_repair` says so.
pub(super) fn parse(bytes: Vec<u8>) -> (Header, UidDb) {
    let header = parse_header(&bytes);
    let mut db = UidDb::default();
    let mut ascending = true;
    let mut last = 0;
    let mut start = 0;
    // A file that lost its first line still has its entries; a real header never looks like one that matters.
    let mut skip = header.is_some();
    for end in memchr::memchr_iter(b'\n', &bytes).chain([bytes.len()]) {
        let line = bytes.get(start..end).unwrap_or_default();
        start = end + 1;
        if std::mem::take(&mut skip) {
            continue;
        }
        let Some((uid, name)) = parse_line(line) else {
            continue;
        };
        ascending &= uid > last;
        last = uid;
        if let (Ok(start), Ok(length)) =
            (u32::try_from(end - name.len()), u16::try_from(name.len()))
        {
            db.entries.push(Entry { uid, start, length });
        }
    }
    db.names = bytes;
    if !ascending {
        db.entries.sort_by_key(|entry| entry.uid);
        let before = db.entries.len();
        db.entries.dedup_by_key(|entry| entry.uid);
        db.needs_repair = db.entries.len() != before;
    }
    // A name keeps its lowest UID.
    let (_, repeated) = NameIndex::new(&db);
    if !repeated.is_empty() {
        db.retain(|position| repeated.binary_search(&position).is_err());
        db.needs_repair = true;
    }
    (header, db)
}

/// Finds entries by name: a hash table of positions, four bytes each, seeded anew in every process.
pub(crate) struct NameIndex<'a> {
    db: &'a UidDb,
    hasher: RandomState,
    /// Position + 1; 0 is free. At most half are taken.
    slots: Vec<u32>,
}

impl<'a> NameIndex<'a> {
    /// The index of `db`, and the positions, ascending, of entries whose name an earlier one has.
    pub(super) fn new(db: &'a UidDb) -> (Self, Vec<usize>) {
        let mut index = Self {
            db,
            hasher: RandomState::new(),
            slots: vec![0; (db.entries.len() * 2).next_power_of_two()],
        };
        let mut repeated = Vec::new();
        for (position, entry) in db.entries.iter().enumerate() {
            let Some(name) = db.name(entry) else { continue };
            let (slot, known) = index.find(name);
            match (known, u32::try_from(position + 1)) {
                (None, Ok(number)) => {
                    if let Some(slot) = index.slots.get_mut(slot) {
                        *slot = number;
                    }
                }
                _ => repeated.push(position),
            }
        }
        (index, repeated)
    }

    /// The position of the entry with this name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<usize> {
        self.find(name).1
    }

    /// The slot of a name, and the position in it if it is taken.
    fn find(&self, name: &[u8]) -> (usize, Option<usize>) {
        let mask = self.slots.len() - 1;
        // Only the low bits matter.
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a hash is cut to the table's size anyway"
        )]
        let mut slot = self.hasher.hash_one(name) as usize & mask;
        loop {
            let position = match self.slots.get(slot) {
                None | Some(0) => return (slot, None),
                Some(number) => usize::try_from(*number).unwrap_or(usize::MAX) - 1,
            };
            if self
                .db
                .entry(position)
                .is_some_and(|(_, known)| known == name)
            {
                return (slot, Some(position));
            }
            slot = (slot + 1) & mask;
        }
    }
}

pub(super) fn parse_line(line: &[u8]) -> Option<(u32, &[u8])> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let uid = number(line.get(..digits)?).filter(|uid| *uid > 0 && *uid < u32::MAX)?;
    let rest = line.get(digits..)?;
    let name = rest.trim_ascii_start();
    // Without white space between them this is not a line of ours; such names are never written either.
    if name.len() == rest.len()
        || name.len() > 1024
        || !filename::storable(name)
        || memchr::memchr3(b':', b'/', 0, name).is_some()
    {
        return None;
    }
    Some((uid, name))
}

pub(super) fn encode_line(bytes: &mut Vec<u8>, uid: u32, name: &[u8]) {
    // Writing to a Vec cannot fail.
    let _ = write!(bytes, "{uid} ");
    bytes.extend_from_slice(name);
    bytes.push(b'\n');
}
