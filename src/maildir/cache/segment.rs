//! One cache file, read through a window so that no session ever holds more of it than that.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::record::{ALIGN, HEADER_LEN, Header, RECORD_MAX, Record};

/// Octets read ahead: large enough that a pass over a folder costs few reads.
const WINDOW: usize = 128 * 1024;
/// Octets read where somebody jumps to.
const GLANCE: usize = 8 * 1024;

/// A file with more false records than this is not searched further: each costs a checksum over up to a megabyte.
const DAMAGE_MAX: u32 = 64;

/// What a scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    /// Some region is not a record; compaction removes it.
    Damaged,
}

/// An open cache file and the part of it last read.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    /// Where this file begins in the numbering that runs through all segments.
    pub(super) base: u64,
    /// How far records have been looked for.
    pub(super) scanned: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl Segment {
    pub(super) fn new(file: File, identity: (u64, u64), base: u64) -> Self {
        Self {
            file,
            identity,
            base,
            scanned: 0,
            window: Vec::new(),
            window_start: 0,
        }
    }

    /// Device and inode of the file.
    pub(super) fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Octets in the file now.
    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Gives the read-ahead memory back.
    pub(super) fn release(&mut self) {
        self.window = Vec::new();
    }

    /// Exactly `len` octets at `offset`, or `None` at the end of the file or when it cannot be read.
    pub(super) fn bytes(&mut self, offset: u64, len: usize) -> Option<&[u8]> {
        if len > RECORD_MAX {
            return None;
        }
        let within = |start: u64, have: usize| -> Option<usize> {
            let skip = usize::try_from(offset.checked_sub(start)?).ok()?;
            (skip.checked_add(len)? <= have).then_some(skip)
        };
        let skip = match within(self.window_start, self.window.len()) {
            Some(skip) => skip,
            None => {
                let onward = (self.window_start
                    ..self
                        .window_start
                        .saturating_add((self.window.len() + GLANCE) as u64))
                    .contains(&offset);
                let want = if onward { WINDOW } else { GLANCE };
                self.fill(offset, len.max(want)).ok()?;
                within(self.window_start, self.window.len())?
            }
        };
        self.window.get(skip..)?.get(..len)
    }

    fn fill(&mut self, offset: u64, want: usize) -> io::Result<()> {
        self.window_start = offset;
        self.window.resize(want, 0);
        let mut have = 0;
        while let Some(rest) = self.window.get_mut(have..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(have as u64)) {
                Ok(0) => break,
                Ok(count) => have = have.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.window.clear();
                    return Err(error);
                }
            }
        }
        self.window.truncate(have);
        Ok(())
    }

    /// Calls `each` with offset and header of every intact record between what was scanned before and `end`,
    /// skipping damage to the next record. One that ends beyond `end` is left for the next call: somebody may
    /// still be writing it.
    pub(super) fn scan(&mut self, end: u64, mut each: impl FnMut(u64, Header)) -> Health {
        let (mut damaged, mut health) = (0_u32, Health::Good);
        loop {
            let offset = self.scanned;
            let Some(header) = self.bytes(offset, HEADER_LEN).map(Header::parse) else {
                break;
            };
            let mut step = ALIGN as u64;
            if header.is_none() {
                health = Health::Damaged;
            }
            if let Some(header) = header {
                let next = offset.saturating_add(header.len as u64);
                if next > end {
                    break;
                }
                if self
                    .bytes(offset, header.len)
                    .and_then(Record::parse)
                    .is_some()
                {
                    each(offset, header);
                    step = header.len as u64;
                } else {
                    damaged = damaged.saturating_add(1);
                }
            }
            if damaged > DAMAGE_MAX {
                self.scanned = end;
                break;
            }
            self.scanned = offset.saturating_add(step);
        }
        if damaged == 0 {
            health
        } else {
            Health::Damaged
        }
    }
}
