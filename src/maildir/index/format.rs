//! How the index is laid out. All numbers are little-endian. `docs/folder-index.md` says the same to those who read no
//! code.
//!
//! ```text
//! header   magic (8), CRC-32 of the rest of the header and of the keywords, flags, four stamps of 56 (cur, new,
//!          keywords, UID database), UIDVALIDITY, UIDNEXT, number of messages, octets of names, octets of keywords,
//!          number of the first message that is not seen (or 0), highest UID, CRC-32 of messages and names
//! keywords number of keywords, of sets, and of keywords in use; keywords each ended by NUL; sets: count and keyword
//!          numbers; keywords in use
//! messages UID (4), inode (4), keyword set (4), size where the name has none (4), flags (1), length of the name (1),
//!          2 zero octets: 20 each
//! names    each ended by NUL, in the order of the messages
//! ```
//!
//! Header and keywords are all that an unchanged folder needs to be opened; the rest is checked when it is read.

use std::io::{self, Write};

use crate::maildir::files::Stamp;
use crate::maildir::flags::Flags;
use crate::maildir::keywords::{KeywordSet, KeywordTable};
use crate::maildir::snapshot::{FolderStamps, Message, Snapshot};

pub(super) const MAGIC: &[u8; 8] = b"CIMAPix\x02";
const STAMP: usize = 56;
/// Octets of the header.
pub(super) const LENGTH: usize = 16 + 4 * STAMP + 8 * 4;
/// Octets of one message.
const MESSAGE: usize = 20;
const HAS_KEYWORDS: u32 = 1;
const HAS_DB: u32 = 2;
/// Messages written at a time.
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
    first_unseen: u32,
    highest: u32,
    body_crc: u32,
}

/// What the keyword part says: all keywords and sets, and the numbers of those in use.
pub(super) struct Keywords {
    pub(super) table: KeywordTable,
    pub(super) in_use: Vec<u32>,
}

/// The four stamps, and which of the last two there are.
pub(crate) fn encode_stamps(stamps: &FolderStamps, network: bool) -> (u32, [[u8; STAMP]; 4]) {
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
            first_unseen: numbers.next()?,
            highest: numbers.next()?,
            body_crc: numbers.next()?,
        };
        let sound = header.uid_validity > 0
            && header.keywords <= KEYWORDS_MAX
            && header.first_unseen <= header.messages
            && header.highest < header.uid_next
            && header.messages <= header.highest;
        sound.then_some(header)
    }

    /// True if the folder still looks as it did but for what may have been delivered to `new`.
    pub(super) fn is_of_cur(&self, stamps: &FolderStamps, network: bool) -> bool {
        let (flags, [cur, _, keywords, db]) = encode_stamps(stamps, network);
        let [cur_then, _, keywords_then, db_then] = self.stamps;
        (self.flags, cur_then, keywords_then, db_then) == (flags, cur, keywords, db)
    }

    /// UIDVALIDITY, UIDNEXT, and the highest UID.
    pub(super) fn uids(&self) -> (u32, u32, u32) {
        (self.uid_validity, self.uid_next, self.highest)
    }

    /// Number of messages.
    pub(super) fn count(&self) -> usize {
        usize::try_from(self.messages).unwrap_or(usize::MAX)
    }

    /// Position of the first message that is not seen.
    pub(super) fn first_unseen(&self) -> Option<usize> {
        usize::try_from(self.first_unseen).ok()?.checked_sub(1)
    }

    /// Octets of the keywords, which follow the header.
    pub(super) fn keyword_octets(&self) -> usize {
        usize::try_from(self.keywords).unwrap_or(usize::MAX)
    }

    /// Where the names begin.
    pub(super) fn names_start(&self) -> Option<usize> {
        self.count()
            .checked_mul(MESSAGE)?
            .checked_add(LENGTH)?
            .checked_add(self.keyword_octets())
    }

    /// Reads the keywords; `None` if they or the header are not as they were written.
    pub(super) fn keywords(&self, bytes: &[u8]) -> Option<Keywords> {
        let mut crc = self.partial.clone();
        crc.update(bytes);
        (crc.finalize() == self.crc).then(|| decode_keywords(bytes))?
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

/// Reads the messages of a whole index file; their names stay where they are in it. `None` if anything is not as it
/// was written.
pub(super) fn read_messages(header: &Header, sets: u32, file: &[u8]) -> Option<Vec<Message>> {
    let start = LENGTH.checked_add(header.keyword_octets())?;
    let names_start = header.names_start()?;
    let body = file.get(start..)?;
    if crc32fast::hash(body) != header.body_crc
        || u64::try_from(file.len()).ok() != header.size()
        || u32::try_from(file.len()).is_err()
    {
        return None;
    }
    let (records, names) = (file.get(start..names_start)?, file.get(names_start..)?);
    if memchr::memchr(b'/', names).is_some() {
        return None;
    }
    let mut messages = Vec::new();
    messages.try_reserve_exact(header.count()).ok()?;
    let (mut last, mut at) = (0, names_start);
    let mut first_unseen = None;
    for record in records.chunks_exact(MESSAGE) {
        let mut numbers = Numbers(record);
        let (uid, inode, set) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let size = numbers.next()?;
        let &[flags, length, _, _] = numbers.0.first_chunk::<4>()?;
        if uid <= last || length == 0 || set > sets {
            return None;
        }
        last = uid;
        let (flags, set) = (Flags::from_bits(flags)?, KeywordSet::from_number(set));
        if first_unseen.is_none() && !flags.contains(Flags::SEEN) {
            first_unseen = Some(messages.len());
        }
        let place = u32::try_from(at).ok()?;
        messages.push(Message::restored(uid, place, (inode, size), set, flags));
        at = at.checked_add(usize::from(length))?;
        if file.get(at) != Some(&0) {
            return None;
        }
        at += 1;
    }
    let whole = at == file.len()
        && messages.len() == header.count()
        && last == header.highest
        && first_unseen == header.first_unseen();
    whole.then_some(messages)
}

fn encode_keywords(view: &Snapshot) -> Vec<u8> {
    let table = &view.table;
    let sets = view.messages().iter().map(Message::keyword_set);
    let in_use = table.ids_in_use(sets);
    let mut bytes = Vec::new();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend_from_slice(&number(table.all_names().len()));
    bytes.extend_from_slice(&table.number_of_sets().to_le_bytes());
    bytes.extend_from_slice(&number(in_use.len()));
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
    for id in in_use {
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

fn decode_keywords(bytes: &[u8]) -> Option<Keywords> {
    let mut table = KeywordTable::default();
    let mut numbers = Numbers(bytes);
    let (keywords, sets, used) = (numbers.next()?, numbers.next()?, numbers.next()?);
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
    if numbers.0.len() / 4 != usize::try_from(used).ok()? {
        return None;
    }
    let in_use = (0..used)
        .map(|_| numbers.next().filter(|id| *id < keywords))
        .collect::<Option<Vec<u32>>>()?;
    numbers.0.is_empty().then_some(Keywords { table, in_use })
}

/// Writes `view`, which was read when the folder looked as `stamps` says. Nothing of it may be in doubt. Returns where
/// the names begin.
///
/// # Errors
/// Those of `out`; `InvalidData` for a view that does not fit the format.
pub(super) fn encode(
    view: &Snapshot,
    stamps: &FolderStamps,
    network: bool,
    out: &mut impl Write,
) -> io::Result<usize> {
    let too_large = || io::Error::from(io::ErrorKind::InvalidData);
    let keywords = encode_keywords(view);
    let mut names = 0_u32;
    for message in view.messages() {
        let length = u8::try_from(view.name(message).len()).map_err(|_| too_large())?;
        names = names
            .checked_add(u32::from(length) + 1)
            .ok_or_else(too_large)?;
    }
    let number = |value: usize| u32::try_from(value).map_err(|_| too_large());
    // Twice over the view: the checksum comes first, and a copy of it all would double a large session.
    let mut body_crc = Summed(crc32fast::Hasher::new());
    encode_body(view, &mut body_crc)?;
    let (flags, stamps) = encode_stamps(stamps, network);
    let mut head = flags.to_le_bytes().to_vec();
    head.extend_from_slice(stamps.as_flattened());
    for value in [
        view.uid_validity(),
        view.uid_next(),
        number(view.len())?,
        names,
        number(keywords.len())?,
        number(view.first_unseen().map_or(0, |index| index + 1))?,
        view.messages().last().map_or(0, Message::uid),
        body_crc.0.finalize(),
    ] {
        head.extend_from_slice(&value.to_le_bytes());
    }
    head.extend_from_slice(&keywords);
    out.write_all(MAGIC)?;
    out.write_all(&crc32fast::hash(&head).to_le_bytes())?;
    out.write_all(&head)?;
    encode_body(view, out)?;
    Ok(MAGIC.len() + 4 + head.len() + view.len() * MESSAGE)
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

fn encode_body(view: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BATCH * MESSAGE);
    for messages in view.messages().chunks(BATCH) {
        buffer.clear();
        for message in messages {
            buffer.extend_from_slice(&message.uid().to_le_bytes());
            buffer.extend_from_slice(&message.inode().to_le_bytes());
            buffer.extend_from_slice(&message.keyword_set().number().to_le_bytes());
            buffer.extend_from_slice(&message.size_word().to_le_bytes());
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
    Ok(())
}
