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
    segment.scan(size, |_, _| {}) == Health::Good
        && segment.scanned >= size
        && (size == 0 || size >= HEADER_LEN as u64)
}
