//! When a message that a listing does not show is gone (architecture 4.1, shared-storage 10).

use std::collections::BTreeSet;

use super::Session;
use crate::maildir::error::{ErrorKind, Result};
use crate::maildir::folder::Folder;
use crate::maildir::listing::{Listing, Matched};
use crate::maildir::lock::Lock;
use crate::maildir::uiddb::UidDb;

impl Folder {
    /// On a network file system what one listing misses must be missed by another one: they come from what this host
    /// remembers of several replies. Else the next look decides.
    pub(super) fn confirm(
        &self,
        session: &Session<'_>,
        db: &UidDb,
        listing: &mut Listing,
        matched: &Matched,
    ) -> Result<()> {
        let absent: BTreeSet<u32> = matched
            .uids(db, false)
            .filter(|uid| !session.gone.contains(uid))
            .collect();
        if !self.inner.network || !listing.quiet || absent.is_empty() {
            return Ok(());
        }
        let again = Listing::of(&self.inner)?;
        let missed: BTreeSet<u32> = Matched::new(db, &again).uids(db, false).collect();
        listing.quiet = again.quiet && again.stamps == listing.stamps && absent.is_subset(&missed);
        Ok(())
    }

    /// Takes the entries of messages that are certainly gone out of the database, if nobody wrote it meanwhile.
    /// Failing is harmless: the next scan has the same reason to try.
    pub(super) fn drop_absent(
        &self,
        session: &Session<'_>,
        db: &mut UidDb,
        listing: &Listing,
        matched: &mut Matched,
    ) {
        let certain: BTreeSet<u32> = matched
            .uids(db, false)
            .filter(|uid| listing.quiet || session.gone.contains(uid))
            .collect();
        if certain.is_empty() {
            return;
        }
        let inner = &self.inner;
        let written = Lock::acquire(&inner.tmp, self.options()).and_then(|lock| {
            matched.remove(db, &certain);
            db.write(&inner.dir, &inner.tmp, &lock, self.options())
        });
        match written {
            // Somebody else wrote it meanwhile, and has seen the same.
            Err(error) if error.kind() == ErrorKind::Locked => {}
            Err(error) => self.warn(&error),
            Ok(()) => {}
        }
    }
}
