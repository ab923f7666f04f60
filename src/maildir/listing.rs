//! What is in a folder's `new` and `cur`, and how it agrees with the UID database.

use std::collections::{BTreeSet, HashMap};

use super::error::Result;
use super::filename;
use super::files::{Dir, Stamp};
use super::folder::Inner;
use super::uiddb::UidDb;
use crate::sys::dir::Kind;

/// The names in `new` and `cur`.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Each ended by NUL: the arena of the view that is made of this.
    pub(crate) names: Vec<u8>,
    pub(crate) entries: Vec<Listed>,
    /// Times before the listing, `cur` and `new`.
    pub(crate) stamps: Option<(Stamp, Stamp)>,
    /// Absence from this listing means absence.
    pub(crate) quiet: bool,
    /// No change after this listing can carry the same times.
    pub(crate) settled: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub(crate) start: u32,
    length: u16,
    pub(crate) in_new: bool,
    pub(crate) inode: u64,
}

impl Listing {
    pub(crate) fn name(&self, entry: &Listed) -> &[u8] {
        let start = usize::try_from(entry.start).unwrap_or(usize::MAX);
        self.names
            .get(start..start.saturating_add(usize::from(entry.length)))
            .unwrap_or_default()
    }

    fn add(&mut self, name: &[u8], in_new: bool, inode: u64) {
        if let (Ok(start), Ok(length)) =
            (u32::try_from(self.names.len()), u16::try_from(name.len()))
        {
            self.names.extend_from_slice(name);
            self.names.push(0);
            self.entries.push(Listed {
                start,
                length,
                in_new,
                inode,
            });
        }
    }

    /// The entry at `index` is now `name`.
    pub(crate) fn rename(&mut self, index: usize, name: &[u8], in_new: bool) {
        let Some(inode) = self.entries.get(index).map(|entry| entry.inode) else {
            return;
        };
        self.add(name, in_new, inode);
        if let Some(renamed) = self.entries.pop() {
            if let Some(entry) = self.entries.get_mut(index) {
                *entry = renamed;
            }
        }
    }

    fn read_dir(&mut self, dir: &Dir, in_new: bool) -> Result<()> {
        dir.list(|entry| {
            if !entry.name.starts_with(b".")
                && matches!(entry.kind, Kind::File | Kind::Link | Kind::Unknown)
            {
                self.add(entry.name, in_new, entry.inode);
            }
        })
    }

    /// Lists both directories. `new` first: what is moved on meanwhile then shows up in `cur`.
    pub(crate) fn of(inner: &Inner) -> Result<Self> {
        let mut listing = Self::default();
        let before = (inner.cur.stamp()?, inner.new.stamp()?);
        let now = inner.now();
        listing.read_dir(&inner.new, true)?;
        listing.read_dir(&inner.cur, false)?;
        listing.settled = now.is_some_and(|now| {
            !before.0.is_racy(now, inner.window()) && !before.1.is_racy(now, inner.window())
        });
        listing.quiet = listing.settled && before == (inner.cur.stamp()?, inner.new.stamp()?);
        listing.stamps = Some(before);
        Ok(listing)
    }
}

/// How the files found and the database agree.
#[derive(Debug, Default)]
pub(crate) struct Matched {
    /// For each entry of the database the position of its file in the listing.
    pub(crate) found: Vec<Option<u32>>,
    /// Positions of files without UID, each base name once.
    pub(crate) unknown: Vec<u32>,
    /// Positions of files in `new` whose base name is taken by a file in `cur`.
    pub(crate) conflicts: Vec<u32>,
}

impl Matched {
    /// Takes the entries with these UIDs out of the database and of this.
    pub(crate) fn remove(&mut self, db: &mut UidDb, uids: &BTreeSet<u32>) {
        if uids.is_empty() {
            return;
        }
        let keep: Vec<bool> = (0..db.len())
            .map(|position| {
                db.entry(position)
                    .is_none_or(|(uid, _)| !uids.contains(&uid))
            })
            .collect();
        let kept = |position: usize| keep.get(position).copied().unwrap_or(true);
        db.retain(kept);
        let mut position = 0;
        self.found.retain(|_| {
            position += 1;
            kept(position - 1)
        });
    }

    /// Compares the listing with the database.
    pub(crate) fn new(db: &UidDb, listing: &Listing) -> Self {
        let mut matched = Self {
            found: vec![None; db.len()],
            ..Self::default()
        };
        let index = db.index();
        let mut strangers: HashMap<&[u8], u32> = HashMap::new();
        for (position, entry) in (0_u32..).zip(&listing.entries) {
            let base = filename::base(listing.name(entry));
            let slot = match index.get(base) {
                Some(known) => matched.found.get_mut(known),
                None => match strangers.get_mut(base) {
                    Some(other) => {
                        let winner = prefer(listing, *other, position);
                        note_conflict(listing, *other, position, &mut matched.conflicts);
                        *other = winner;
                        continue;
                    }
                    None => {
                        strangers.insert(base, position);
                        continue;
                    }
                },
            };
            let Some(slot) = slot else { continue };
            *slot = match *slot {
                Some(other) => {
                    note_conflict(listing, other, position, &mut matched.conflicts);
                    Some(prefer(listing, other, position))
                }
                None => Some(position),
            };
        }
        let mut strangers: Vec<(u64, &[u8], u32)> = strangers
            .into_iter()
            .map(|(base, position)| (filename::leading_number(base), base, position))
            .collect();
        // The order in which UIDs are given, see `filename::order`.
        strangers.sort_unstable();
        matched.unknown = strangers
            .into_iter()
            .map(|(_, _, position)| position)
            .collect();
        matched
    }

    /// UIDs of the database's entries with a file (`true`) or without one (`false`) in the listing, ascending.
    pub(crate) fn uids<'a>(
        &'a self,
        db: &'a UidDb,
        with_file: bool,
    ) -> impl Iterator<Item = u32> + 'a {
        self.found
            .iter()
            .enumerate()
            .filter(move |(_, found)| found.is_some() == with_file)
            .filter_map(|(position, _)| db.entry(position).map(|(uid, _)| uid))
    }
}

/// The entry at `position`.
pub(crate) fn entry(listing: &Listing, position: u32) -> Option<&Listed> {
    listing.entries.get(usize::try_from(position).ok()?)
}

/// Two names with one base name are one message: `cur` before `new`, then the greater name, so that every session
/// decides alike.
fn prefer(listing: &Listing, a: u32, b: u32) -> u32 {
    let key = |position| entry(listing, position).map(|entry| (!entry.in_new, listing.name(entry)));
    if key(b) > key(a) { b } else { a }
}

/// Remembers the one that is in `new` of a pair with one base name.
fn note_conflict(listing: &Listing, a: u32, b: u32, conflicts: &mut Vec<u32>) {
    let in_new = |position| entry(listing, position).is_some_and(|entry| entry.in_new);
    match (in_new(a), in_new(b)) {
        (true, false) => conflicts.push(a),
        (false, true) => conflicts.push(b),
        _ => {}
    }
}
