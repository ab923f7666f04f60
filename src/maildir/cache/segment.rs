//! One cache file: mapped while a command uses it, or, on network file systems and where it is large, read through a
//! window, so that no session ever holds more of it than that.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::sys::map::Map;

use super::record::{ALIGN, HEADER_LEN, Header, RECORD_MAX, Record};

/// Octets read ahead: large enough that a pass over a folder costs few reads.
const WINDOW: usize = 128 * 1024;
/// Octets read where somebody jumps to.
const GLANCE: usize = 8 * 1024;

/// A larger file is not mapped: address space may be limited.
const MAP_MAX: u64 = 16 << 20;

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
    /// The file may be mapped: it is only ever appended to.
    mappable: bool,
    map: Option<Map>,
}

impl Segment {
    pub(super) fn new(file: File, identity: (u64, u64), base: u64, mappable: bool) -> Self {
        Self {
            mappable,
            map: None,
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
        self.map = None;
    }

    /// True if the octets at hand are those that [`Self::scan`] found right: they need not be checked again.
    pub(super) fn is_mapped(&self) -> bool {
        self.map.is_some()
    }

    /// Maps the file if that is possible and the mapping at hand ends before `end`.
    fn map_up_to(&mut self, end: u64) {
        let ends_before = |map: &Map| u64::try_from(map.len()).is_ok_and(|len| len < end);
        if !self.mappable || self.map.as_ref().is_some_and(|map| !ends_before(map)) {
            return;
        }
        let len = self.len().unwrap_or(0);
        let fits = len >= end && len <= MAP_MAX;
        self.map = usize::try_from(len)
            .ok()
            .filter(|_| fits)
            .and_then(|len| Map::new(&self.file, len).ok());
        // Once is enough for a file that is too large, or where there is no address space.
        self.mappable = self.map.is_some() || len < end;
    }

    /// Exactly `len` octets at `offset`, or `None` at the end of the file or when it cannot be read.
    pub(super) fn bytes(&mut self, offset: u64, len: usize) -> Option<&[u8]> {
        if len > RECORD_MAX {
            return None;
        }
        self.map_up_to(offset.saturating_add(len as u64));
        if self.map.is_some() {
            let map = self.map.as_ref()?;
            let start = usize::try_from(offset).ok()?;
            return map.get(start..start.checked_add(len)?);
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

    /// Calls `each` with offset, header and content of every intact record between what was scanned before and `end`,
    /// skipping damage to the next record. One that ends beyond `end` is left for the next call: somebody may
    /// still be writing it.
    pub(super) fn scan(
        &mut self,
        end: u64,
        mut each: impl FnMut(u64, Header, Record<'_>),
    ) -> Health {
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
                let record = self.bytes(offset, header.len).and_then(Record::parse);
                if let Some(record) = record {
                    each(offset, header, record);
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
