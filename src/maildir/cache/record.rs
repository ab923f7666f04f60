//! One record of `courierimapcache`: everything remembered about one immutable message.
//!
//! Layout, little-endian, padded to a multiple of 8 so that a reader can look for the next magic at aligned
//! offsets only:
//!
//! ```text
//!  0  u32  magic (its last byte is the format version)
//!  4  u32  length of the whole record with padding
//!  8  u32  CRC-32 of everything after this field
//! 12  u32  hash of the base name
//! 16  u64  inode of the message file
//! 24  u64  size of the message file in octets, as stored
//! 32  u16  length of the base name
//! 34  u16  number of fields
//! 36  u32  zero
//! 40       base name; then per field: u16 tag, u32 length, bytes
//! ```
//! Nothing here is trusted: every number is checked against the bytes at hand.

/// Octets before the base name.
pub(super) const HEADER_LEN: usize = 40;
/// Records are aligned to and padded to this many octets.
pub(super) const ALIGN: usize = 8;
/// A record longer than this is damage, or a message whose structure is not worth remembering.
pub(super) const RECORD_MAX: usize = 1 << 20;

/// Its last byte is to be changed whenever what is derived from a message is derived differently, so that nobody is
/// served what an older version remembered.
const MAGIC: u32 = u32::from_le_bytes([b'C', b'M', b'C', 1]);
const CRC_START: usize = 12;

/// What a field of a record holds. The values are part of the file format; new kinds get new numbers and readers
/// skip those they do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Field {
    /// RFC822.SIZE: octets of the message as served (u64, little-endian).
    Size = 1,
    /// ENVELOPE in wire form.
    Envelope = 2,
    /// BODY in wire form.
    Body = 3,
    /// BODYSTRUCTURE in wire form.
    BodyStructure = 4,
    /// Part offsets, in the form the protocol layer chooses.
    Parts = 5,
    /// Sort keys of earlier versions; now in a digest.
    SortKeys = 6,
    /// Not used: thread keys are in a digest.
    ThreadKeys = 7,
    /// Header fields that clients ask for, as stored.
    Headers = 8,
    /// PREVIEW text.
    Preview = 9,
    /// ENVELOPE as shown to a client that takes UTF-8 (RFC 6855).
    EnvelopeUtf8 = 10,
    /// BODY as shown to such a client.
    BodyUtf8 = 11,
    /// BODYSTRUCTURE as shown to such a client.
    BodyStructureUtf8 = 12,
    /// What POP3 wants to know, in the form of [`crate::maildir::Measure::encode`].
    Pop3 = 13,
}

/// Names one message: a hit needs all three to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// File name without `:2,flags`.
    pub base: &'a [u8],
    /// Inode of the file; readdir gives it for free.
    pub inode: u64,
    /// Size of the file in octets, as stored.
    pub size: u64,
}

/// The hash by which the index finds a name.
pub(super) fn hash(base: &[u8]) -> u32 {
    crc32fast::hash(base)
}

/// The fixed part of a record, before its checksum is known to be right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) len: usize,
    pub(super) hash: u32,
}

impl Header {
    /// Reads the first [`HEADER_LEN`] octets; `None` if they do not begin a record.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let len = usize::try_from(u32_at(bytes, 4)?).ok()?;
        if u32_at(bytes, 0)? != MAGIC
            || !(HEADER_LEN..=RECORD_MAX).contains(&len)
            || len % ALIGN != 0
        {
            return None;
        }
        Some(Self {
            len,
            hash: u32_at(bytes, 12)?,
        })
    }
}

/// A verified record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    bytes: &'a [u8],
    base_len: usize,
}

impl<'a> Record<'a> {
    /// Checks `bytes`, one whole record with its padding; `None` if anything is wrong with it.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = Header::parse(bytes)?;
        if header.len != bytes.len()
            || crc32fast::hash(bytes.get(CRC_START..)?) != u32_at(bytes, 8)?
        {
            return None;
        }
        Self::parse_verified(bytes)
    }

    /// As [`Record::parse`] for bytes whose checksum is known to be right.
    pub(super) fn parse_verified(bytes: &'a [u8]) -> Option<Self> {
        let base_len = usize::from(u16_at(bytes, 32)?);
        bytes.get(HEADER_LEN..HEADER_LEN.checked_add(base_len)?)?;
        Some(Self { bytes, base_len })
    }

    /// Base name of the message.
    pub(super) fn base(&self) -> &'a [u8] {
        self.bytes
            .get(HEADER_LEN..)
            .and_then(|rest| rest.get(..self.base_len))
            .unwrap_or_default()
    }

    /// True if this record describes exactly that file.
    pub(super) fn matches(&self, key: &Key<'_>) -> bool {
        u64_at(self.bytes, 16) == Some(key.inode)
            && u64_at(self.bytes, 24) == Some(key.size)
            && self.base() == key.base
    }

    /// The octets of `field`, or `None` if this record does not have it.
    pub fn field(&self, field: Field) -> Option<&'a [u8]> {
        self.fields()
            .find(|&(tag, _)| tag == field as u16)
            .map(|(_, value)| value)
    }

    /// Every field with its tag, in file order; stops at the first that does not fit.
    pub(super) fn fields(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let count = u16_at(self.bytes, 34).unwrap_or(0);
        let mut rest = self
            .bytes
            .get(HEADER_LEN..)
            .and_then(|rest| rest.get(self.base_len..))
            .unwrap_or_default();
        (0..count).map_while(move |_| {
            let tag = u16_at(rest, 0)?;
            let len = usize::try_from(u32_at(rest, 2)?).ok()?;
            let value = rest.get(6..)?.get(..len)?;
            rest = rest.get(6..)?.get(len..)?;
            Some((tag, value))
        })
    }
}

/// Appends a record to `out`; false, and nothing appended, if it would be too long to be worth keeping.
pub(super) fn encode<'a>(
    key: &Key<'_>,
    fields: impl Iterator<Item = (u16, &'a [u8])>,
    out: &mut Vec<u8>,
) -> bool {
    let Ok(base_len) = u16::try_from(key.base.len()) else {
        return false;
    };
    let start = out.len();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&hash(key.base).to_le_bytes());
    out.extend_from_slice(&key.inode.to_le_bytes());
    out.extend_from_slice(&key.size.to_le_bytes());
    out.extend_from_slice(&base_len.to_le_bytes());
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(key.base);
    let mut count: u16 = 0;
    for (tag, value) in fields {
        let Ok(len) = u32::try_from(value.len()) else {
            out.truncate(start);
            return false;
        };
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(value);
        count = count.saturating_add(1);
    }
    let len = (out.len() - start).next_multiple_of(ALIGN);
    let Some(len_field) = u32::try_from(len).ok().filter(|_| len <= RECORD_MAX) else {
        out.truncate(start);
        return false;
    };
    out.resize(start + len, 0);
    if let Some(record) = out.get_mut(start..) {
        put(record, 4, &len_field.to_le_bytes());
        put(record, 34, &count.to_le_bytes());
        let crc = crc32fast::hash(record.get(CRC_START..).unwrap_or_default());
        put(record, 8, &crc.to_le_bytes());
    }
    true
}

fn put(record: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = record
        .get_mut(at..)
        .and_then(|rest| rest.get_mut(..value.len()))
    {
        place.copy_from_slice(value);
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.get(..N)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key<'static> = Key {
        base: b"1.M2P3.host,S=9",
        inode: 77,
        size: 9,
    };

    fn sample() -> Vec<u8> {
        let mut bytes = Vec::new();
        let fields = [
            (Field::Envelope as u16, b"(NIL)".as_slice()),
            (Field::Size as u16, &[1, 0, 0, 0, 0, 0, 0, 0]),
        ];
        assert!(encode(&KEY, fields.into_iter(), &mut bytes));
        bytes
    }

    #[test]
    fn fields_come_back_and_others_are_absent() {
        let bytes = sample();
        let record = Record::parse(&bytes).unwrap();
        assert!(record.matches(&KEY));
        assert_eq!(record.field(Field::Envelope), Some(b"(NIL)".as_slice()));
        assert_eq!(record.field(Field::Preview), None);
        assert!(!record.matches(&Key { inode: 78, ..KEY }));
        assert!(!record.matches(&Key { size: 10, ..KEY }));
    }

    #[test]
    fn any_changed_bit_is_noticed() {
        let good = sample();
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 0x10;
            let accepted = Record::parse(&bad).is_some();
            assert!(!accepted, "bit flipped at {index}");
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let good = sample();
        for len in 0..good.len() {
            assert!(Record::parse(&good[..len]).is_none());
        }
    }

    #[test]
    fn a_record_too_long_to_keep_leaves_nothing_behind() {
        let mut out = vec![1, 2, 3, 4, 5, 6, 7, 8];
        let huge = vec![0; RECORD_MAX];
        assert!(!encode(&KEY, [(2, huge.as_slice())].into_iter(), &mut out));
        assert_eq!(out.len(), 8);
    }
}
