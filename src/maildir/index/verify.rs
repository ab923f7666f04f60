//! Whether an index file could be used at all, for `maildircheck`. One that is merely out of date is whole.

use std::fs::File;
use std::io::Read as _;

use super::format::{self, Header, LENGTH};

/// True if `file`, of `size` octets, is an index exactly as it was written.
pub(crate) fn is_whole(mut file: &File, size: u64) -> bool {
    let mut start = [0_u8; LENGTH];
    file.read_exact(&mut start).is_ok()
        && Header::parse(&start).is_some_and(|header| {
            header.size() == Some(size) && format::read_body(&header, &mut file).is_some()
        })
}
