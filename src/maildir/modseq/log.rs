//! How `courierimapindex.log` is laid out. All numbers are little-endian; each checksum (CRC-32) also covers the place
//! of what it is of, so that nothing is taken for what it is not.
//!
//! ```text
//! header   magic (8), UIDVALIDITY (4), number of base records (4), floor (8), highest MODSEQ so far (8), inode (8) and
//!          birth time in microseconds (8) of this very file, 0 (12), checksum (4): 64
//! rest     flags and stamps of the folder as in its index (4 + 224), size of this file (8) and its highest MODSEQ (8) when
//!          the folder looked so and was what the log says, 0 (8), checksum (4): 256
//! record   kind (1), flags (1), 1 for the last of its batch (1), 0 (1), UID (4), MODSEQ (8), sum of keywords (8),
//!          0 (4), checksum (4): 32
//! ```
//!
//! The second part is written in place, by anybody, and without a lock: what is torn or out of date does not check, or is
//! of another size, and only costs the next session a comparison.
//!
//! The base records came with the file: what was expunged, by MODSEQ, then each message, by UID. What one command or look
//! found is one batch behind them, with one MODSEQ. A batch without its end, a piece of a record or zeros at the end of
//! the file are what a crash left of something that nobody was told.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::UNIX_EPOCH;

use super::{Expunge, Known, Modseqs, State};
use crate::maildir::flags::Flags;

pub(super) const MAGIC: &[u8; 8] = b"CIMAPlg\x02";
/// Octets of the header proper.
pub(super) const HEAD: usize = 64;
/// Octets of [`Rest`].
const REST: usize = 256;
/// Where the records begin.
pub(super) const HEADER: usize = HEAD + REST;
/// Octets of a record.
pub(super) const RECORD: usize = 32;
const IS: u8 = 1;
const GONE: u8 = 2;
/// Records read at a time.
const BATCH: usize = 2048;
/// MODSEQs stay below this: RFC 7162 allows 63 bits, but many clients keep them in a double.
pub(super) const LIMIT: u64 = 1 << 53;
/// Octets of a damaged file that are searched for MODSEQs.
const SALVAGE: u64 = 64 << 20;

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not what was written.
    Damaged,
    /// It cannot be read now; what is in it is not known.
    Unreadable(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged,
            _ => Self::Unreadable(error),
        }
    }
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    /// The message is there and in this state.
    Is(Known),
    /// The message is gone.
    Gone(Expunge),
}

impl Record {
    fn modseq(&self) -> u64 {
        match self {
            Self::Is(known) => known.modseq,
            Self::Gone(gone) => gone.modseq,
        }
    }

    fn encode(&self, last: bool, place: u64) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        let (kind, uid, state, modseq) = match self {
            Self::Is(known) => (IS, known.uid, known.state, known.modseq),
            Self::Gone(gone) => (GONE, gone.uid, State::default(), gone.modseq),
        };
        let head = [kind, state.flags.bits(), u8::from(last), 0];
        let fields = head
            .into_iter()
            .chain(uid.to_le_bytes())
            .chain(modseq.to_le_bytes())
            .chain(state.keywords.to_le_bytes());
        for (octet, value) in bytes.iter_mut().zip(fields) {
            *octet = value;
        }
        seal(&mut bytes, place);
        bytes
    }

    /// The record and whether it is the last of its batch.
    fn parse(bytes: &[u8; RECORD], place: u64) -> Option<(Self, bool)> {
        let mut copy = *bytes;
        seal(&mut copy, place);
        if copy != *bytes {
            return None;
        }
        let &[kind, flags, last, ..] = bytes;
        let uid = number(bytes, 4)?;
        let modseq = long(bytes, 8)?;
        if uid == 0 || modseq == 0 || modseq >= LIMIT || last > 1 {
            return None;
        }
        let record = match kind {
            IS => Self::Is(Known {
                uid,
                state: State {
                    flags: Flags::from_bits(flags)?,
                    keywords: long(bytes, 16)?,
                },
                modseq,
            }),
            GONE => Self::Gone(Expunge { uid, modseq }),
            _ => return None,
        };
        Some((record, last == 1))
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Puts the checksum into the last four octets.
pub(super) fn seal(bytes: &mut [u8], place: u64) {
    let Some(end) = bytes.len().checked_sub(4) else {
        return;
    };
    let (covered, sum) = bytes.split_at_mut(end);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&place.to_le_bytes());
    crc.update(covered);
    sum.copy_from_slice(&crc.finalize().to_le_bytes());
}

/// One batch as it is to be appended at `place`.
pub(super) fn encode(records: &[Record], mut place: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(records.len() * RECORD);
    for (index, record) in records.iter().enumerate() {
        bytes.extend_from_slice(&record.encode(index + 1 == records.len(), place));
        place += RECORD as u64;
    }
    bytes
}

/// What tells a file from its copy: the inode, and where the file system knows it the time when it was made
/// (microseconds, else 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    inode: u64,
    born: u64,
}

impl Identity {
    /// `network`: without the birth time, which not every host there can tell.
    pub(super) fn of(file: &File, network: bool) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let born = match network {
            true => None,
            false => metadata.created().ok(),
        };
        let since = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let micros = since.map_or(0, |since| since.as_micros());
        Ok(Self {
            inode: metadata.ino(),
            born: u64::try_from(micros).unwrap_or(0),
        })
    }

    /// True unless it is certain that the two are of different files.
    pub(super) fn may_be(self, other: Self) -> bool {
        let unknown = self.born == 0 || other.born == 0;
        self.inode == other.inode && (unknown || self.born == other.born)
    }
}

/// A whole new file with all that `modseqs` knows, and its header.
pub(super) fn encode_all(
    modseqs: &Modseqs,
    uid_validity: u32,
    identity: Identity,
) -> (Header, Vec<u8>) {
    let expunged = modseqs.expunged.iter().copied().map(Record::Gone);
    let known = modseqs.known.iter().copied().map(Record::Is);
    let records: Vec<Record> = expunged.chain(known).collect();
    let mut bytes = Vec::with_capacity(HEADER + records.len() * RECORD);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&uid_validity.to_le_bytes());
    let base = u32::try_from(records.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&base.to_le_bytes());
    for value in [modseqs.floor, modseqs.last, identity.inode, identity.born] {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes.resize(HEAD, 0);
    seal(&mut bytes, 0);
    bytes.resize(HEADER, 0);
    bytes.extend_from_slice(&encode(&records, HEADER as u64));
    let header = Header {
        uid_validity,
        floor: modseqs.floor,
        highest: modseqs.last,
        identity,
        base,
    };
    (header, bytes)
}

/// The start of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) uid_validity: u32,
    pub(super) floor: u64,
    pub(super) highest: u64,
    pub(super) identity: Identity,
    base: u32,
}

impl Header {
    pub(super) fn read(file: &File) -> Result<Self, Fault> {
        let mut bytes = [0_u8; HEAD];
        file.read_exact_at(&mut bytes, 0)?;
        let mut copy = bytes;
        seal(&mut copy, 0);
        if copy != bytes || !bytes.starts_with(MAGIC) {
            return Err(Fault::Damaged);
        }
        let header = (|| {
            Some(Self {
                uid_validity: number(&bytes, 8)?,
                base: number(&bytes, 12)?,
                floor: long(&bytes, 16)?,
                highest: long(&bytes, 24)?,
                identity: Identity {
                    inode: long(&bytes, 32)?,
                    born: long(&bytes, 40)?,
                },
            })
        })();
        header
            .filter(|header| {
                header.uid_validity > 0 && header.floor <= header.highest && header.highest < LIMIT
            })
            .ok_or(Fault::Damaged)
    }

    /// Where the base records end.
    pub(super) fn end(&self) -> u64 {
        HEADER as u64 + u64::from(self.base) * RECORD as u64
    }
}

/// A folder at rest that is what the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rest {
    /// What the folder looks like, as its index has it.
    pub(super) stamps: (u32, [[u8; 56]; 4]),
    /// The log's size.
    pub(super) size: u64,
    /// The highest MODSEQ in it.
    pub(super) highest: u64,
}

impl Rest {
    /// What the file says, if it makes sense.
    pub(super) fn read(file: &File) -> Option<Self> {
        let mut bytes = [0_u8; REST];
        file.read_exact_at(&mut bytes, HEAD as u64).ok()?;
        let mut copy = bytes;
        seal(&mut copy, HEAD as u64);
        if copy != bytes {
            return None;
        }
        let mut stamps = [[0; 56]; 4];
        for (stamp, octets) in stamps.iter_mut().zip(bytes.get(4..)?.chunks_exact(56)) {
            stamp.copy_from_slice(octets);
        }
        Some(Self {
            stamps: (number(&bytes, 0)?, stamps),
            size: long(&bytes, 228)?,
            highest: long(&bytes, 236).filter(|highest| *highest < LIMIT)?,
        })
    }

    /// Puts it into the file.
    pub(super) fn write(&self, file: &File) -> io::Result<()> {
        let mut bytes = self.stamps.0.to_le_bytes().to_vec();
        bytes.extend_from_slice(self.stamps.1.as_flattened());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.highest.to_le_bytes());
        bytes.resize(REST, 0);
        seal(&mut bytes, HEAD as u64);
        file.write_all_at(&bytes, HEAD as u64)
    }
}

/// How the part of a file that was read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// Behind the last complete batch.
    pub(super) place: u64,
    /// What is beyond may be anything but the beginning of a batch: a piece of a record, or zeros.
    pub(super) odd: bool,
}

/// Calls `each` for the records from `place` on: those up to `base` whatever batch they are of, then whole batches.
/// `size` is the file's.
pub(super) fn read(
    file: &File,
    mut place: u64,
    base: u64,
    size: u64,
    mut each: impl FnMut(Record),
) -> Result<End, Fault> {
    let mut buffer = Vec::new();
    let mut batch = Vec::new();
    let mut whole = place;
    while size.saturating_sub(place) >= RECORD as u64 {
        let records = usize::try_from((size - place) / RECORD as u64).unwrap_or(BATCH);
        buffer.resize(records.min(BATCH) * RECORD, 0);
        file.read_exact_at(&mut buffer, place)?;
        for bytes in buffer.chunks_exact(RECORD) {
            let record = bytes
                .try_into()
                .ok()
                .and_then(|bytes| Record::parse(bytes, place));
            let Some((record, last)) = record else {
                if place < base {
                    return Err(Fault::Damaged);
                }
                let odd = !is_zero(file, place, size);
                return Ok(End { place: whole, odd });
            };
            place += RECORD as u64;
            if place <= base {
                each(record);
                whole = place;
                continue;
            }
            batch.push(record);
            if last {
                batch.drain(..).for_each(&mut each);
                whole = place;
            }
        }
    }
    match place < base {
        true => Err(Fault::Damaged),
        false => Ok(End {
            place: whole,
            odd: false,
        }),
    }
}

/// True if there are only zeros from `place` to `end`.
fn is_zero(file: &File, mut place: u64, end: u64) -> bool {
    let mut buffer = [0_u8; 4096];
    while place < end {
        let length =
            usize::try_from(end - place).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        let Some(bytes) = buffer.get_mut(..length) else {
            return false;
        };
        if file.read_exact_at(bytes, place).is_err() || bytes.iter().any(|byte| *byte != 0) {
            return false;
        }
        place += length as u64;
    }
    true
}

/// The highest MODSEQ that a damaged or foreign file of `size` octets says anywhere.
pub(super) fn salvage(file: &File, size: u64) -> u64 {
    let mut highest = Header::read(file).map_or(0, |header| header.highest);
    let size = size.min(SALVAGE);
    let mut buffer = vec![0_u8; BATCH * RECORD];
    let mut place = HEADER as u64;
    while place + RECORD as u64 <= size {
        let Ok(count) = file.read_at(&mut buffer, place) else {
            break;
        };
        if count < RECORD {
            break;
        }
        for bytes in buffer.chunks_exact(RECORD).take(count / RECORD) {
            let record = bytes
                .try_into()
                .ok()
                .and_then(|bytes| Record::parse(bytes, place));
            if let Some((record, _)) = record {
                highest = highest.max(record.modseq());
            }
            place += RECORD as u64;
        }
    }
    highest
}
