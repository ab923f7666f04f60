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

/// Takes hostile bytes for an index, as they are and with the right magic and checksums.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    use crate::maildir::snapshot::Message;

    let read = |bytes: &[u8]| {
        let header = Header::parse(bytes.first_chunk::<LENGTH>()?)?;
        let end = LENGTH.checked_add(header.keyword_octets())?;
        let keywords = header.keywords(bytes.get(LENGTH..end)?)?;
        let sets = keywords.table.number_of_sets();
        let messages = format::read_messages(&header, sets, bytes)?;
        assert!(messages.len() <= bytes.len());
        assert!(messages.iter().map(Message::uid).is_sorted_by(|a, b| a < b));
        assert!(
            messages
                .iter()
                .all(|message| message.keyword_set().number() <= sets)
        );
        Some(())
    };
    // Refusing is as good as accepting; what counts is that neither panics.
    let _ = read(bytes);
    let mut sealed = bytes.to_vec();
    let Some(start) = sealed.first_chunk_mut::<LENGTH>() else {
        return;
    };
    start[..8].copy_from_slice(format::MAGIC);
    let keywords = Header::parse(start).map_or(0, |header| header.keyword_octets());
    let end = LENGTH.saturating_add(keywords).min(sealed.len());
    let (head, body) = sealed.split_at_mut(end);
    let crc = crc32fast::hash(body).to_le_bytes();
    head[LENGTH - 4..LENGTH].copy_from_slice(&crc);
    let crc = crc32fast::hash(&head[12..]).to_le_bytes();
    head[8..12].copy_from_slice(&crc);
    let _ = read(&sealed);
}
