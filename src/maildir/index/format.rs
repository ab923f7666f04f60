//! How the index is laid out. All numbers are little-endian.
//!
//! ```text
//! header   magic (8), CRC-32 of all that follows, flags, four stamps of 56 (cur, new, keywords, UID database),
//!          UIDVALIDITY, UIDNEXT, number of messages, octets of names, octets of keywords
//! messages UID (4), inode (4), keyword set (4), flags (1), length of the name (1), 2 zero octets: 16 each
//! names    each ended by NUL, in the order of the messages
//! keywords number of keywords, number of sets; keywords each ended by NUL; sets: count and keyword numbers
//! ```

use std::io::{self, Read, Write};

use crate::maildir::files::Stamp;
use crate::maildir::flags::Flags;
use crate::maildir::keywords::{KeywordSet, KeywordTable};
use crate::maildir::snapshot::{FolderStamps, Message, Snapshot};

const MAGIC: &[u8; 8] = b"CIMAPix\x01";
const STAMP: usize = 56;
/// Octets of the header.
pub(super) const LENGTH: usize = 16 + 4 * STAMP + 5 * 4;
/// Octets of one message.
const MESSAGE: usize = 16;
const HAS_KEYWORDS: u32 = 1;
const HAS_DB: u32 = 2;
/// Messages read or written at a time.
const BATCH: usize = 4096;
/// More keyword octets than any folder has.
const KEYWORDS_MAX: u32 = 64 << 20;

/// The start of the file.
pub(super) struct Header {
    crc: u32,
    /// Of the part of the header that it covers, to go on from.
    partial: crc32fast::Hasher,
    flags: u32,
    stamps: [[u8; STAMP]; 4],
    uid_validity: u32,
    uid_next: u32,
    messages: u32,
    names: u32,
    keywords: u32,
}

/// The four stamps, and which of the last two there are.
fn encode_stamps(stamps: &FolderStamps, network: bool) -> (u32, [[u8; STAMP]; 4]) {
    let mut flags = 0;
    let mut optional = |stamp: Option<Stamp>, bit| match stamp {
        Some(stamp) => {
            flags |= bit;
            stamp.encode(network)
        }
        None => [0; STAMP],
    };
    let keywords = optional(stamps.keywords, HAS_KEYWORDS);
    let db = optional(stamps.db, HAS_DB);
    let (cur, new) = (stamps.cur.encode(network), stamps.new.encode(network));
    (flags, [cur, new, keywords, db])
}

/// Takes numbers off the front of a slice.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn next(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }
}

impl Header {
    pub(super) fn parse(bytes: &[u8; LENGTH]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (crc, covered) = rest.split_first_chunk::<4>()?;
        let mut partial = crc32fast::Hasher::new();
        partial.update(covered);
        let mut numbers = Numbers(covered);
        let flags = numbers.next()?;
        let mut stamps = [[0; STAMP]; 4];
        for stamp in &mut stamps {
            let (bytes, rest) = numbers.0.split_first_chunk::<STAMP>()?;
            *stamp = *bytes;
            numbers.0 = rest;
        }
        let header = Self {
            crc: u32::from_le_bytes(*crc),
            partial,
            flags,
            stamps,
            uid_validity: numbers.next()?,
            uid_next: numbers.next()?,
            messages: numbers.next()?,
            names: numbers.next()?,
            keywords: numbers.next()?,
        };
        (header.uid_validity > 0 && header.keywords <= KEYWORDS_MAX).then_some(header)
    }

    /// Octets that the whole file must have.
    pub(super) fn size(&self) -> Option<u64> {
        let messages = u64::from(self.messages).checked_mul(MESSAGE as u64)?;
        (LENGTH as u64)
            .checked_add(messages)?
            .checked_add(u64::from(self.names))?
            .checked_add(u64::from(self.keywords))
    }

    /// True if the folder still looks as it did.
    pub(super) fn is_of(&self, stamps: &FolderStamps, network: bool) -> bool {
        (self.flags, self.stamps) == encode_stamps(stamps, network)
    }
}

/// Reads what follows the header, whose promise of a size has been compared with the file's. `None` if anything is
/// not as it was written.
pub(super) fn read_body(header: &Header, file: &mut impl Read) -> Option<Snapshot> {
    let mut crc = header.partial.clone();
    let count = usize::try_from(header.messages).ok()?;
    let mut messages = Vec::new();
    messages.try_reserve_exact(count).ok()?;
    let mut lengths = Vec::new();
    lengths.try_reserve_exact(count).ok()?;
    let mut buffer = vec![0_u8; BATCH * MESSAGE];
    let (mut last, mut start, mut sets) = (0, 0_u32, 0);
    while messages.len() < count {
        let batch = BATCH.min(count - messages.len());
        let bytes = buffer.get_mut(..batch * MESSAGE)?;
        file.read_exact(bytes).ok()?;
        crc.update(bytes);
        for record in bytes.chunks_exact(MESSAGE) {
            let mut numbers = Numbers(record);
            let (uid, inode, set) = (numbers.next()?, numbers.next()?, numbers.next()?);
            let &[flags, length, _, _] = numbers.0.first_chunk::<4>()?;
            if uid <= last || length == 0 {
                return None;
            }
            last = uid;
            sets = sets.max(set);
            let (flags, set) = (Flags::from_bits(flags)?, KeywordSet::from_number(set));
            messages.push(Message::restored(uid, start, inode, set, flags));
            lengths.push(length);
            start = start.checked_add(u32::from(length) + 1)?;
        }
    }
    drop(buffer);
    if start != header.names || last >= header.uid_next {
        return None;
    }
    let mut names = Vec::new();
    names.try_reserve_exact(usize::try_from(start).ok()?).ok()?;
    file.take(u64::from(start)).read_to_end(&mut names).ok()?;
    let mut keywords = Vec::new();
    file.take(u64::from(header.keywords))
        .read_to_end(&mut keywords)
        .ok()?;
    crc.update(&names);
    crc.update(&keywords);
    if crc.finalize() != header.crc || memchr::memchr(b'/', &names).is_some() {
        return None;
    }
    let mut at = 0_usize;
    for length in lengths {
        at += usize::from(length);
        if names.get(at) != Some(&0) {
            return None;
        }
        at += 1;
    }
    let table = decode_table(&keywords)?;
    if sets > table.number_of_sets() {
        return None;
    }
    Some(Snapshot::restored(
        (header.uid_validity, header.uid_next),
        messages,
        names,
        table,
    ))
}

fn encode_table(table: &KeywordTable) -> Vec<u8> {
    let mut bytes = Vec::new();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend_from_slice(&number(table.all_names().len()));
    bytes.extend_from_slice(&table.number_of_sets().to_le_bytes());
    for name in table.all_names() {
        bytes.extend_from_slice(name);
        bytes.push(0);
    }
    for set in table.all_sets() {
        bytes.extend_from_slice(&number(set.len()));
        for id in &**set {
            bytes.extend_from_slice(&id.to_le_bytes());
        }
    }
    bytes
}

fn decode_table(bytes: &[u8]) -> Option<KeywordTable> {
    let mut table = KeywordTable::default();
    let mut numbers = Numbers(bytes);
    let (keywords, sets) = (numbers.next()?, numbers.next()?);
    for number in 0..keywords {
        let end = memchr::memchr(0, numbers.0)?;
        let (name, rest) = numbers.0.split_at_checked(end)?;
        // Only a name that is not in there yet gets the next number.
        if table.keyword(name) != number {
            return None;
        }
        numbers.0 = rest.get(1..)?;
    }
    for number in 1..=sets {
        let count = usize::try_from(numbers.next()?).ok()?;
        if count > numbers.0.len() / 4 {
            return None;
        }
        let ids = (0..count)
            .map(|_| numbers.next().filter(|id| *id < keywords))
            .collect::<Option<Vec<u32>>>()?;
        if table.set(ids) != KeywordSet::from_number(number) {
            return None;
        }
    }
    numbers.0.is_empty().then_some(table)
}

/// Writes `view`, which was read when the folder looked as `stamps` says. Nothing of it may be in doubt.
///
/// # Errors
/// Those of `out`; `InvalidData` for a view that does not fit the format.
pub(super) fn encode(
    view: &Snapshot,
    stamps: &FolderStamps,
    network: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let too_large = || io::Error::from(io::ErrorKind::InvalidData);
    let keywords = encode_table(&view.table);
    let mut names = 0_u32;
    for message in view.messages() {
        let length = u8::try_from(view.name(message).len()).map_err(|_| too_large())?;
        names = names
            .checked_add(u32::from(length) + 1)
            .ok_or_else(too_large)?;
    }
    let number = |value: usize| u32::try_from(value).map_err(|_| too_large());
    let (flags, stamps) = encode_stamps(stamps, network);
    let mut head = flags.to_le_bytes().to_vec();
    head.extend_from_slice(stamps.as_flattened());
    for value in [
        view.uid_validity(),
        view.uid_next(),
        number(view.len())?,
        names,
        number(keywords.len())?,
    ] {
        head.extend_from_slice(&value.to_le_bytes());
    }
    // Twice over the view: the checksum comes first, and a copy of it all would double a large session.
    let mut crc = Summed(crc32fast::Hasher::new());
    crc.write_all(&head)?;
    encode_body(view, &keywords, &mut crc)?;
    out.write_all(MAGIC)?;
    out.write_all(&crc.0.finalize().to_le_bytes())?;
    out.write_all(&head)?;
    encode_body(view, &keywords, out)
}

/// Sums up what is written to it.
struct Summed(crc32fast::Hasher);

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn encode_body(view: &Snapshot, keywords: &[u8], out: &mut impl Write) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BATCH * MESSAGE);
    for messages in view.messages().chunks(BATCH) {
        buffer.clear();
        for message in messages {
            buffer.extend_from_slice(&message.uid().to_le_bytes());
            buffer.extend_from_slice(&message.inode().to_le_bytes());
            buffer.extend_from_slice(&message.keyword_set().number().to_le_bytes());
            let length = u8::try_from(view.name(message).len()).unwrap_or(0);
            buffer.extend_from_slice(&[message.flags().bits(), length, 0, 0]);
        }
        out.write_all(&buffer)?;
    }
    for messages in view.messages().chunks(BATCH / 8) {
        buffer.clear();
        for message in messages {
            buffer.extend_from_slice(view.name(message));
            buffer.push(0);
        }
        out.write_all(&buffer)?;
    }
    out.write_all(keywords)
}
