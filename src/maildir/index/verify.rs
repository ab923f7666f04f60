//! Whether an index file could be used at all, for `maildircheck`. One that is merely out of date is whole.

use std::fs::File;
use std::io::Read as _;

use super::format::{self, Header, LENGTH};

/// True if `file`, of `size` octets, is an index exactly as it was written.
pub(crate) fn is_whole(mut file: &File, size: u64) -> bool {
    let mut start = [0_u8; LENGTH];
    if file.read_exact(&mut start).is_err() {
        return false;
    }
    let Some(header) = Header::parse(&start).filter(|header| header.size() == Some(size)) else {
        return false;
    };
    let mut bytes = start.to_vec();
    if file.take(size).read_to_end(&mut bytes).is_err() {
        return false;
    }
    bytes
        .get(LENGTH..LENGTH.saturating_add(header.keyword_octets()))
        .and_then(|keywords| header.keywords(keywords))
        .is_some_and(|keywords| {
            format::read_messages(&header, keywords.table.number_of_sets(), &bytes).is_some()
        })
}

/// Takes hostile bytes for an index, as they are and with the right magic and checksum.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        let (start, mut body) = bytes.split_first_chunk::<LENGTH>()?;
        let header = Header::parse(start)?;
        if header.size()? != u64::try_from(bytes.len()).ok()? {
            return None;
        }
        let view = format::read_body(&header, &mut body)?;
        for (index, message) in view.messages().iter().enumerate() {
            assert_eq!(view.index_of_uid(message.uid()), Some(index));
            assert!(view.name(message).len() < 256);
            assert!(view.keywords(message).count() <= view.keywords_in_use().len());
        }
        Some(())
    };
    // Refusing is as good as accepting; what counts is that neither panics.
    let _ = read(bytes);
    let mut sealed = bytes.to_vec();
    if let Some((magic, rest)) = sealed.split_first_chunk_mut::<8>() {
        *magic = *format::MAGIC;
        if let Some((crc, covered)) = rest.split_first_chunk_mut::<4>() {
            *crc = crc32fast::hash(covered).to_le_bytes();
        }
    }
    let _ = read(&sealed);
}
