//! Whether a cache file holds nothing but records, for `maildircheck`.

use std::fs::File;

use super::record::HEADER_LEN;
use super::segment::{Health, Segment};

/// True if `file` is intact records from its first octet to its last.
pub(crate) fn is_whole(file: File) -> bool {
    let mut segment = Segment::new(file, (0, 0), 0, false);
    let Ok(size) = segment.len() else {
        return false;
    };
    segment.scan(size, |_, _, _| {}) == Health::Good
        && segment.scanned >= size
        && (size == 0 || size >= HEADER_LEN as u64)
}

/// Takes hostile bytes for a record, and for a file of records.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    use super::Key;
    use super::record::{self, Record};

    super::digest::fuzz(bytes);
    assert!(Record::parse(bytes).is_none() || bytes.len() >= HEADER_LEN);
    let key = Key {
        base: b"1.a",
        inode: 1,
        size: 1,
    };
    // A good record gives the hostile one its magic and length.
    let mut sealed = Vec::new();
    record::encode(&key, std::iter::empty(), &mut sealed);
    let Some(magic) = sealed.get(..4).map(<[u8]>::to_vec) else {
        return;
    };
    let length = bytes.len().max(HEADER_LEN).next_multiple_of(record::ALIGN);
    let mut bytes = bytes.to_vec();
    bytes.resize(length, 0);
    let put = |bytes: &mut Vec<u8>, at: usize, value: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    };
    put(&mut bytes, 0, &magic);
    put(
        &mut bytes,
        4,
        &u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes(),
    );
    let crc = crc32fast::hash(bytes.get(12..).unwrap_or_default());
    put(&mut bytes, 8, &crc.to_le_bytes());
    if let Some(record) = Record::parse(&bytes) {
        let octets: usize = record.fields().map(|(_, value)| value.len()).sum();
        assert!(octets + record.base().len() <= bytes.len());
        let mut copy = Vec::new();
        record::encode(&key, record.fields(), &mut copy);
        if let Some(copy) = Record::parse(&copy) {
            assert!(copy.fields().eq(record.fields()));
        }
    }
    let Ok(file) = nix::sys::memfd::memfd_create(c"fuzz", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)
    else {
        return;
    };
    let file = File::from(file);
    // The hostile record twice with rubbish between.
    let content = [bytes.as_slice(), b"\0\x01\x02", &magic, &bytes, &bytes].concat();
    if std::io::Write::write_all(&mut &file, &content).is_ok() {
        is_whole(file);
    }
}
