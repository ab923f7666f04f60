//! Files on their way into a folder: from `new` to `cur`, and out of the way of names that cannot be numbered
//! (contract: maildir 3.3). All of it happens under the folder's lock.

use nix::errno::Errno;

use super::filename::{self, TmpName};
use super::files::Dir;
use super::folder::{Folder, Mode};
use super::listing::{Listing, Matched, entry};
use super::scan::Reading;
use crate::sys::log::{Level, log};

/// Longest base name that is numbered as it is: flags and the original's keyword files must fit behind it.
pub(crate) const BASE_MAX: usize = 240;

impl Folder {
    /// A file in `new` whose base name `cur` has already: the same file is unlinked there (a move was cut short), a
    /// different one gets a name of its own and is a message of its own.
    pub(crate) fn resolve_conflicts(&self, listing: &mut Listing, matched: &mut Matched) {
        for position in std::mem::take(&mut matched.conflicts) {
            let Some(listed) = entry(listing, position).copied() else {
                continue;
            };
            let base = filename::base(listing.name(&listed)).to_vec();
            let twin = listing.entries.iter().any(|other| {
                !other.in_new
                    && other.inode == listed.inode
                    && filename::base(listing.name(other)) == base
            });
            if twin {
                if let Err(error) = self.inner.new.remove(listing.name(&listed)) {
                    log(Level::Err, format_args!("{error}"));
                }
            } else if self.give_new_name(listing, position) {
                matched.unknown.push(position);
            }
        }
    }

    /// Renames files whose names the UID database cannot hold. Those that stay are left out.
    pub(crate) fn heal_names(&self, mode: Mode, listing: &mut Listing, unknown: &mut Vec<u32>) {
        unknown.retain(|position| {
            is_storable(listing, *position)
                || (mode == Mode::ReadWrite && self.give_new_name(listing, *position))
        });
    }

    /// Gives the file at `position` a fresh name in its directory, keeping its flags. True if that worked.
    fn give_new_name(&self, listing: &mut Listing, position: u32) -> bool {
        let Some(listed) = entry(listing, position).copied() else {
            return false;
        };
        let dir = if listed.in_new {
            &self.inner.new
        } else {
            &self.inner.cur
        };
        let old = listing.name(&listed).to_vec();
        let Ok(Some(stat)) = dir.stat(&old) else {
            return false;
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let mut new =
            TmpName::new("", &self.options().host).message(stat.st_dev, stat.st_ino, size);
        if !listed.in_new {
            new.extend_from_slice(b":2,");
            new = filename::with_flags(&new, filename::flags(&old));
        }
        match dir.rename(&old, dir, &new) {
            Ok(()) => {
                log(
                    Level::Warning,
                    format_args!(
                        "{}: unusable name, renamed to {}",
                        dir.path_of(&old).display(),
                        new.escape_ascii()
                    ),
                );
                if let Ok(index) = usize::try_from(position) {
                    listing.rename(index, &new, listed.in_new);
                }
                true
            }
            Err(errno) => {
                log_rename(dir, &old, dir, &new, errno);
                false
            }
        }
    }

    /// Moves the numbered files from `new` to `cur`; what arrives there through us is recent.
    pub(crate) fn move_new(&self, reading: &mut Reading) {
        let inner = &self.inner;
        let Reading {
            db,
            listing,
            matched,
            fresh,
            ..
        } = reading;
        for (position, found) in matched.found.iter().enumerate() {
            let Some(found) = *found else { continue };
            let Some(listed) = entry(listing, found).copied() else {
                continue;
            };
            if !listed.in_new {
                continue;
            }
            let old = listing.name(&listed).to_vec();
            let mut new = old.clone();
            if memchr::memchr(b':', &new).is_none() {
                new.extend_from_slice(b":2,");
            }
            match inner.new.rename_message(&old, &inner.cur, &new) {
                Ok(()) => {
                    if let Ok(index) = usize::try_from(found) {
                        listing.rename(index, &new, false);
                    }
                    if let Some((uid, _)) = db.entry(position) {
                        fresh.insert(uid);
                    }
                }
                Err(errno) => log_rename(&inner.new, &old, &inner.cur, &new, errno),
            }
        }
    }
}

fn log_rename(from: &Dir, old: &[u8], to: &Dir, new: &[u8], errno: Errno) {
    log(
        Level::Err,
        format_args!(
            "rename({},{}) failed: {}",
            from.path_of(old).display(),
            to.path_of(new).display(),
            errno.desc()
        ),
    );
}

/// True if the UID database can hold the base name of the file at `position`.
pub(crate) fn is_storable(listing: &Listing, position: u32) -> bool {
    entry(listing, position).is_some_and(|entry| {
        let base = filename::base(listing.name(entry));
        filename::storable(base) && base.len() <= BASE_MAX
    })
}
