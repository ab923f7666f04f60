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
