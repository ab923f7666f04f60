//! Whether a log could be used, for `maildircheck`.

use std::fs::File;

use super::log::{self, Header, Identity};

/// True if `file`, of `size` octets, is a log as it was written, here and not elsewhere. What a crash left at its end
/// is overwritten with the next change and counts as nothing.
pub(crate) fn is_whole(file: &File, size: u64, network: bool) -> bool {
    let Ok(header) = Header::read(file) else {
        return false;
    };
    let here = Identity::of(file, network).is_ok_and(|here| header.identity.may_be(here));
    let place = log::HEADER as u64;
    here && header.end() <= size
        && log::read(file, place, header.end(), size, |_| {}).is_ok_and(|end| !end.odd)
}
