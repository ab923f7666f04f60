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

/// Takes hostile bytes for a log: as they are, and with the right magic and the checksum of each record.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz(bytes: &[u8]) {
    use nix::sys::memfd::{MFdFlags, memfd_create};

    let mut sealed = bytes.to_vec();
    for (place, record) in (0..).zip(sealed.chunks_mut(log::RECORD)) {
        // The header is some records long.
        if record.len() == log::RECORD && place >= log::HEADER / log::RECORD {
            log::seal(record, (place * log::RECORD) as u64);
        }
    }
    if let Some((header, rest)) = sealed.split_first_chunk_mut::<{ log::HEAD }>() {
        header[..8].copy_from_slice(log::MAGIC);
        log::seal(header, 0);
        if let Some(rest) = rest.get_mut(..log::HEADER - log::HEAD) {
            log::seal(rest, log::HEAD as u64);
        }
    }
    for bytes in [bytes, &sealed] {
        let Ok(file) = memfd_create(c"fuzz", MFdFlags::MFD_CLOEXEC).map(File::from) else {
            return;
        };
        if std::io::Write::write_all(&mut &file, bytes).is_err() {
            return;
        }
        let size = bytes.len() as u64;
        if let Ok(header) = Header::read(&file) {
            let mut count = 0;
            // Damaged is as good an answer as any; what counts is that there is one.
            let _ = log::read(&file, log::HEADER as u64, header.end(), size, |_| {
                count += 1
            });
            assert!(count <= bytes.len() / log::RECORD);
        }
        log::Rest::read(&file);
        assert!(log::salvage(&file, size) < u64::MAX);
        is_whole(&file, size, false);
    }
}
