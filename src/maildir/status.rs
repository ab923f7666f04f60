//! The numbers of a folder that is not selected (contract: maildir 5.3, step 5).

use super::error::Result;
use super::filename;
use super::flags::Flags;
use super::folder::Folder;
use super::listing::{Listing, Matched, entry};
use super::lock::Lock;
use super::uiddb::{Found, UidDb};

/// Answers of STATUS (RFC 3501 6.3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Messages, new ones included.
    pub messages: usize,
    /// Messages that the next SELECT will call recent.
    pub recent: usize,
    /// Messages without `\Seen`.
    pub unseen: usize,
    /// Messages with `\Deleted`.
    pub deleted: usize,
    /// UIDNEXT once the new messages have got their UIDs.
    pub uid_next: u32,
    /// UIDVALIDITY; it is fixed from the first STATUS on.
    pub uid_validity: u32,
}

impl Folder {
    /// Counts without selecting: nothing is moved or numbered. A folder that was never opened gets its UID
    /// database, so that the UIDVALIDITY told now stays.
    ///
    /// # Errors
    /// As for [`Folder::scan`].
    pub fn status(&self) -> Result<Status> {
        let inner = &self.inner;
        let db = match UidDb::read(&inner.dir)? {
            Found::Db(db) => db,
            Found::NoValidity(_) => {
                let lock = Lock::acquire(&inner.tmp, self.options())?;
                let mut db = inner.read_db(&lock)?;
                if db.needs_repair {
                    db.write(&inner.dir, &inner.tmp, &lock, self.options())?;
                }
                db
            }
        };
        let listing = Listing::of(inner)?;
        let matched = Matched::new(&db, &listing);
        let mut status = Status {
            messages: 0,
            recent: matched.unknown.len(),
            unseen: 0,
            deleted: 0,
            uid_next: db
                .uid_next
                .saturating_add(u32::try_from(matched.unknown.len()).unwrap_or(u32::MAX)),
            uid_validity: db.uid_validity,
        };
        // Whatever is wrong with the list costs `\Recent` only.
        let examined = self.listed_recent(db.uid_validity).unwrap_or_default();
        let is_listed = |index: usize| {
            db.entry(index)
                .is_some_and(|(uid, _)| examined.iter().any(|range| range.contains(&uid)))
        };
        let known = matched.found.iter().enumerate();
        for (position, is_known, is_listed) in known
            .filter_map(|(index, found)| Some((found.as_ref()?, true, is_listed(index))))
            .chain(matched.unknown.iter().map(|found| (found, false, false)))
        {
            let Some(listed) = entry(&listing, *position) else {
                continue;
            };
            let flags = filename::flags(listing.name(listed));
            status.messages += 1;
            status.unseen += usize::from(!flags.contains(Flags::SEEN));
            status.deleted += usize::from(flags.contains(Flags::DELETED));
            status.recent += usize::from(is_known && (listed.in_new || is_listed));
        }
        Ok(status)
    }
}

impl Folder {
    /// True if messages have arrived that no session has taken into account yet: there are files in `new/`.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn has_new(&self) -> Result<bool> {
        let mut any = false;
        self.inner
            .new
            .list(|entry| any |= !entry.name.starts_with(b"."))?;
        Ok(any)
    }
}
