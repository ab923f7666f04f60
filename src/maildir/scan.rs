//! Reading a folder: list, match with the UID database, number what is new, tell what changed (contract: maildir 5.3;
//! rules: architecture 4.1, shared-storage 6-11).
//!
//! A folder in which everything is numbered is read without the lock. Only when something must be written is the
//! lock taken, and everything read again under it.
//!
//! A listing beside renames misses names, so absence counts only in a listing whose directory times were equal
//! before and after it and old enough that no later change can hide behind them. Until then an absent message stays
//! in the view and in the database.

mod absent;
mod view;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::arrive::is_storable;
use super::error::{Error, ErrorKind, Result};
use super::filename;
use super::folder::{Folder, Inner, Mode};
use super::index;
use super::keyword_files;
use super::listing::{Listing, Matched, entry};
use super::lock::Lock;
use super::purge;
use super::roll::Trust;
use super::snapshot::{Diff, FolderStamps, Hidden, Message, Snapshot};
use super::uiddb::{Found, UidDb};
use crate::sys::log::{Level, log};

/// How often a listing is repeated to settle what is absent, on a local file system.
const RETRIES: u32 = 3;
/// Tries to write the database beside others who take our lock away.
const FENCED: u32 = 3;
/// How long a file that the server has may stay invisible to this host.
const SEEN: Duration = Duration::from_secs(5);

impl Inner {
    /// The database, under the lock; one with a new UIDVALIDITY if nothing tells an old one.
    pub(crate) fn read_db(&self, _lock: &Lock<'_>) -> Result<UidDb> {
        let mut found = UidDb::read(&self.dir)?;
        if self.network {
            if let Found::NoValidity(db) = &mut found {
                if db.stamp().is_none() {
                    // The server may have one although this host remembers that it had none.
                    db.uid_validity = self.root.new_uid_validity(self.name.is_inbox())?;
                    db.write_first(&self.dir, &self.tmp, &self.root.options)?;
                    found = self.read_existing_db()?;
                }
            }
        }
        match found {
            Found::Db(db) => Ok(db),
            Found::NoValidity(mut db) => {
                // The folder's lock is the root's lock when this is INBOX.
                db.uid_validity = self.root.new_uid_validity(self.name.is_inbox())?;
                db.needs_repair = true;
                db.unsettled = true;
                Ok(db)
            }
        }
    }

    /// A database that the server has and this host could not see a moment ago. Waits until it can.
    fn read_existing_db(&self) -> Result<Found> {
        let deadline = Instant::now() + SEEN;
        loop {
            match UidDb::read(&self.dir)? {
                // It is there for certain: to give out a new UIDVALIDITY now would cost every client its mail.
                Found::NoValidity(db) if db.stamp().is_none() => {
                    if Instant::now() >= deadline {
                        return Err(Error::new(
                            ErrorKind::Locked,
                            "read",
                            &self.dir.path_of(super::uiddb::NAME),
                        ));
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                seen => return Ok(seen),
            }
        }
    }
}

/// Whose reading it is.
struct Session<'a> {
    mode: Mode,
    /// UIDs of messages that this session knows to be gone.
    gone: &'a BTreeSet<u32>,
    previous: Option<&'a Snapshot>,
}

impl<'a> Session<'a> {
    fn messages(&self) -> &'a [Message] {
        self.previous.map_or(&[], Snapshot::messages)
    }

    /// UIDs whose files are there although this session has seen the message leave, or removed it itself: they
    /// must not come back under these UIDs.
    fn returned(&self, db: &UidDb, matched: &Matched) -> BTreeSet<u32> {
        let highest = self.previous.map_or(0, Snapshot::highest_shown);
        let mut before = self.messages().iter().peekable();
        matched
            .uids(db, true)
            .take_while(|uid| *uid <= highest)
            .filter(|uid| {
                while before.next_if(|message| message.uid() < *uid).is_some() {}
                let shown = before.next_if(|message| message.uid() == *uid).is_some();
                !shown || self.gone.contains(uid)
            })
            .collect()
    }
}

/// One complete reading of a folder.
pub(crate) struct Reading {
    pub(crate) db: UidDb,
    pub(crate) listing: Listing,
    pub(crate) matched: Matched,
    /// UIDs that this reading gave or whose files it moved out of `new`.
    pub(crate) fresh: BTreeSet<u32>,
    hidden: Option<Hidden>,
}

impl Folder {
    /// Reads the folder for SELECT or EXAMINE. Old files in `tmp/` are purged on the way.
    ///
    /// A full disk does not fail this: numbered messages are there, [`Snapshot::hidden`] tells of the others.
    ///
    /// # Errors
    /// `NoSuchFolder` if it was deleted, `Locked` if another process keeps the lock, `Denied`, `Io` if the UID
    /// database cannot be read or a new one not be written.
    pub fn scan(&self, mode: Mode) -> Result<Snapshot> {
        if mode == Mode::ReadWrite {
            purge::tmp(&self.inner);
        }
        let stamps = self.stamps()?;
        if let Some(mut view) = index::load(self, &stamps, index::LATE) {
            view.read_only = mode == Mode::ReadOnly;
            self.claim_recent(&mut view);
            return Ok(view);
        }
        if mode == Mode::ReadWrite {
            if let Some(mut view) = self.scan_new(&stamps)? {
                self.claim_recent(&mut view);
                return Ok(view);
            }
        }
        let mut view = self.collect(mode, None)?;
        self.save_index(&mut view);
        self.claim_recent(&mut view);
        Ok(view)
    }

    /// Reads a folder that differs from its index only by what was delivered: that is numbered and moved on, and nothing
    /// listed but `new`. `None` if there is more to it.
    pub(crate) fn scan_new(&self, stamps: &FolderStamps) -> Result<Option<Snapshot>> {
        let Some(mut view) = index::load_without_new(self, stamps, index::LATE) else {
            return Ok(None);
        };
        // From here on a witness says who else changes `cur` while we do.
        self.attend(&mut view);
        if !view.attended {
            return Ok(None);
        }
        let followed = self.follow(&mut view)?;
        Ok(followed.map(|_| view))
    }

    /// Brings the snapshot up to date and says what changed. Costs four stats when nothing did.
    ///
    /// # Errors
    /// As for [`Self::scan`], and `Recreated` when the mailbox is not the same any more; the snapshot is unchanged
    /// then.
    pub fn rescan(&self, snapshot: &mut Snapshot) -> Result<Diff> {
        let witness = snapshot.witness.clone();
        // What woke somebody before this moment is found now.
        let failed = witness
            .as_ref()
            .is_some_and(|witness| witness.woke().is_err());
        if failed {
            snapshot.attended = false;
            snapshot.settled = false;
        }
        let logged = self.read_ahead(snapshot);
        let mut diff = match self.refresh(snapshot) {
            Ok(diff) => diff,
            Err(error) => {
                self.fall_behind(snapshot);
                return Err(error);
            }
        };
        if diff.added > 0 {
            self.claim_recent(snapshot);
        }
        if logged || snapshot.touched {
            self.note_changes(snapshot);
        }
        let woke = witness.is_some_and(|witness| witness.woke().unwrap_or(false));
        if woke && diff.again.is_none() {
            diff.again = Some(self.inner.window());
        }
        Ok(diff)
    }

    fn refresh(&self, snapshot: &mut Snapshot) -> Result<Diff> {
        if !self.is_changed(snapshot)? {
            self.save_index(snapshot);
            return Ok(Diff::default());
        }
        match snapshot.messages.trust() {
            Trust::Full => {
                self.attend(snapshot);
                if let Some(diff) = self.follow(snapshot)? {
                    return Ok(diff);
                }
            }
            Trust::Doubtful => {}
            Trust::Lost => {
                let path = self.inner.dir.path();
                return Err(Error::new(ErrorKind::Recreated, "rescan", path));
            }
        }
        let mode = if snapshot.read_only {
            Mode::ReadOnly
        } else {
            Mode::ReadWrite
        };
        let mut fresh = self.collect(mode, Some(snapshot))?;
        if fresh.uid_validity != snapshot.uid_validity {
            return Err(Error::new(
                ErrorKind::Recreated,
                "rescan",
                self.inner.dir.path(),
            ));
        }
        let mut diff = Diff::between(snapshot, &fresh);
        if !fresh.settled {
            diff.again = Some(self.inner.window());
        }
        fresh.witness = snapshot.witness.take();
        fresh.index_rests = snapshot.index_rests;
        fresh.modseqs = snapshot.modseqs.take();
        *snapshot = fresh;
        self.attend(snapshot);
        Ok(diff)
    }

    /// True if the folder may differ from the snapshot: four stats, no listing. False is certain.
    ///
    /// # Errors
    /// Directories that cannot be looked at.
    pub fn is_changed(&self, snapshot: &Snapshot) -> Result<bool> {
        if !snapshot.settled
            || snapshot.hidden.is_some()
            || snapshot.messages.trust() != Trust::Full
        {
            return Ok(true);
        }
        if snapshot.stamps != Some(self.stamps()?) {
            return Ok(true);
        }
        let witness = snapshot.witness.as_ref().filter(|_| snapshot.attended);
        Ok(witness.is_some_and(|witness| witness.has_seen()))
    }

    pub(crate) fn stamps(&self) -> Result<FolderStamps> {
        let inner = &self.inner;
        Ok(FolderStamps {
            cur: inner.cur.stamp()?,
            new: inner.new.stamp()?,
            keywords: inner.dir.stamp_of(keyword_files::DIRECTORY)?,
            db: inner.dir.stamp_of_file(super::uiddb::NAME)?,
        })
    }

    pub(crate) fn collect(&self, mode: Mode, previous: Option<&Snapshot>) -> Result<Snapshot> {
        let gone: BTreeSet<u32> = previous
            .into_iter()
            .flat_map(Snapshot::messages)
            .filter(|message| message.is_gone())
            .map(Message::uid)
            .collect();
        let session = Session {
            mode,
            gone: &gone,
            previous,
        };
        let mut fresh = BTreeSet::new();
        let mut tries = 0;
        loop {
            let mut reading = self.read(&session)?;
            fresh.append(&mut reading.fresh);
            let unsure = !reading.listing.quiet
                && reading
                    .matched
                    .uids(&reading.db, false)
                    .any(|uid| !gone.contains(&uid));
            if unsure && tries < RETRIES && !self.inner.network {
                tries += 1;
                std::thread::sleep(self.inner.window() + Duration::from_millis(1));
                continue;
            }
            return self.view(&session, reading, &fresh);
        }
    }

    /// Reads once: without the lock if there is nothing to write, else under it.
    fn read(&self, session: &Session<'_>) -> Result<Reading> {
        let inner = &self.inner;
        if let Found::Db(mut db) = UidDb::read(&inner.dir)? {
            if !db.needs_repair {
                let mut listing = Listing::of(inner)?;
                let mut matched = Matched::new(&db, &listing);
                self.confirm(session, &db, &mut listing, &matched)?;
                let writable = session.mode == Mode::ReadWrite;
                if !writable {
                    matched
                        .unknown
                        .retain(|position| is_storable(&listing, *position));
                }
                let moves = writable && listing.entries.iter().any(|entry| entry.in_new);
                if matched.unknown.is_empty()
                    && !moves
                    && session.returned(&db, &matched).is_empty()
                {
                    if writable {
                        self.drop_absent(session, &mut db, &listing, &mut matched);
                    }
                    return Ok(Reading {
                        db,
                        listing,
                        matched,
                        fresh: BTreeSet::new(),
                        hidden: None,
                    });
                }
            }
        }
        match self.read_locked(session) {
            Err(error) if matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::Denied) => {
                self.read_degraded(error)
            }
            other => other,
        }
    }

    /// Logs a failure that does not fail the command, the first time in this session only.
    pub(crate) fn warn(&self, error: &Error) {
        if !self.inner.warned.swap(true, Ordering::Relaxed) {
            log(Level::Err, format_args!("{error}"));
        }
    }

    /// Reads, numbers, writes and moves under the folder's lock.
    fn read_locked(&self, session: &Session<'_>) -> Result<Reading> {
        let inner = &self.inner;
        let options = self.options();
        for _ in 0..FENCED {
            let lock = Lock::acquire(&inner.tmp, options)?;
            let mut db = inner.read_db(&lock)?;
            let mut listing = Listing::of(inner)?;
            let before = db.len();
            let mut matched = Matched::new(&db, &listing);
            let returned = session.returned(&db, &matched);
            if !returned.is_empty() {
                matched.remove(&mut db, &returned);
                matched = Matched::new(&db, &listing);
            }
            self.confirm(session, &db, &mut listing, &matched)?;
            if session.mode == Mode::ReadWrite {
                self.resolve_conflicts(&mut listing, &mut matched);
                if listing.quiet {
                    let absent = matched.uids(&db, false).collect();
                    matched.remove(&mut db, &absent);
                }
            }
            self.heal_names(session.mode, &mut listing, &mut matched.unknown);
            let dropped = db.len() != before;
            match self.number(&mut db, &listing, &mut matched, dropped, &lock) {
                Ok((fresh, hidden)) => {
                    let mut reading = Reading {
                        db,
                        listing,
                        matched,
                        fresh,
                        hidden,
                    };
                    match session.mode {
                        Mode::ReadWrite => self.move_new(&mut reading),
                        Mode::ReadOnly => self.keep_recent(&reading, &lock),
                    }
                    return Ok(reading);
                }
                // Somebody took our lock away: whatever was decided under it is void.
                Err(error) if error.kind() == ErrorKind::Locked => drop(lock),
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Locked, "number", inner.dir.path()))
    }

    /// Gives UIDs to the unknown files and writes the database. If that cannot be written they stay unnumbered.
    fn number(
        &self,
        db: &mut UidDb,
        listing: &Listing,
        matched: &mut Matched,
        dropped: bool,
        lock: &Lock<'_>,
    ) -> Result<(BTreeSet<u32>, Option<Hidden>)> {
        let inner = &self.inner;
        let options = self.options();
        let before = (db.len(), db.uid_next);
        let mut fresh = BTreeSet::new();
        let mut result = Ok(());
        for position in &matched.unknown {
            let Some(entry) = entry(listing, *position) else {
                continue;
            };
            match db.assign(filename::base(listing.name(entry)), &inner.dir) {
                Ok(uid) => {
                    fresh.insert(uid);
                    matched.found.push(Some(*position));
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let added = db.len() - before.0;
        if result.is_ok() && (added > 0 || dropped || db.needs_repair) {
            let only_added = !dropped && !db.needs_repair && !inner.network;
            result = match only_added && added > 0 {
                true => db.extend(added, &inner.dir, &inner.tmp, lock, options),
                false => Ok(false),
            }
            .and_then(|extended| match extended {
                true => Ok(()),
                false => db.write(&inner.dir, &inner.tmp, lock, options),
            });
        }
        let Err(error) = result else {
            matched.unknown.clear();
            return Ok((fresh, None));
        };
        if error.kind() == ErrorKind::Locked || db.unsettled {
            // Fenced off, or there is not even a UIDVALIDITY that will stay.
            return Err(error);
        }
        self.warn(&error);
        let count = matched.unknown.len();
        db.uid_next = before.1;
        db.retain(|position| position < before.0);
        matched.found.truncate(before.0);
        Ok((
            BTreeSet::new(),
            (count > 0).then_some(Hidden { count, error }),
        ))
    }

    /// What can be shown when nothing can be written: the numbered messages.
    fn read_degraded(&self, error: Error) -> Result<Reading> {
        let Found::Db(db) = UidDb::read(&self.inner.dir)? else {
            return Err(error);
        };
        let listing = Listing::of(&self.inner)?;
        let matched = Matched::new(&db, &listing);
        let count = matched.unknown.len();
        self.warn(&error);
        Ok(Reading {
            db,
            listing,
            matched,
            fresh: BTreeSet::new(),
            hidden: (count > 0).then_some(Hidden { count, error }),
        })
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod times;
