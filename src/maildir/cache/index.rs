//! Where the newest record of each name is: eight octets a record, sorted by hash.

use super::record::ALIGN;

/// How many entries may wait unsorted; looked through one by one.
const RECENT_MAX: usize = 64;

/// Hash of a name and place of a record, in units of [`ALIGN`] octets over all segments.
type Entry = (u32, u32);

/// An ordered multimap from hash to place.
#[derive(Debug, Default)]
pub(super) struct Index {
    sorted: Vec<Entry>,
    recent: Vec<Entry>,
}

impl Index {
    /// Adds a record; later places win. A place beyond 32 GiB is not indexed.
    pub(super) fn add(&mut self, hash: u32, place: u64) {
        if let Ok(place) = u32::try_from(place / ALIGN as u64) {
            self.recent.push((hash, place));
        }
    }

    /// To be called after a run of [`Index::add`].
    pub(super) fn settle(&mut self) {
        if self.recent.len() > RECENT_MAX {
            self.sorted.append(&mut self.recent);
            self.sorted.sort_unstable();
        }
    }

    /// Places whose name has this hash, newest first.
    pub(super) fn places(&self, hash: u32) -> impl Iterator<Item = u64> + '_ {
        let from = self.sorted.partition_point(|entry| entry.0 < hash);
        // As good as always one or two.
        let after = self.sorted.get(from..).unwrap_or_default().iter();
        let to = from + after.take_while(|entry| entry.0 == hash).count();
        let recent = self
            .recent
            .iter()
            .rev()
            .filter(move |entry| entry.0 == hash);
        let sorted = self.sorted.get(from..to).unwrap_or_default().iter().rev();
        recent
            .chain(sorted)
            .map(|entry| u64::from(entry.1) * ALIGN as u64)
    }

    /// Number of records, superseded ones included.
    pub(super) fn len(&self) -> usize {
        self.sorted.len().saturating_add(self.recent.len())
    }

    /// Every place, oldest first.
    pub(super) fn all(&self) -> Vec<u64> {
        let mut places: Vec<u64> = self
            .sorted
            .iter()
            .chain(&self.recent)
            .map(|entry| u64::from(entry.1) * ALIGN as u64)
            .collect();
        places.sort_unstable();
        places
    }
}
