//! Keeping the log and a view together.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::compare::{Difference, shown};
use super::log::{self, Fault, HEADER, Header, Identity, LIMIT, RECORD};
use super::{Modseqs, NAME};
use crate::maildir::error::{Error, ErrorKind, Result};
use crate::maildir::files;
use crate::maildir::folder::{Folder, Inner};
use crate::maildir::lock::Lock;
use crate::maildir::options::Sync;
use crate::maildir::snapshot::Snapshot;
use crate::maildir::uiddb;
use crate::sys::log::{Level, log};
use crate::sys::whole;

/// A new log is tried so often beside others who replace it.
const TRIES: u32 = 5;
/// Appended records, beyond one for every two of the file's base, before the log is made anew.
const SPARE: u64 = 1024;
/// Expunges that a new file keeps.
const EXPUNGES: usize = 4096;
/// Records, beyond four for each message, that no log of ours has.
const TOO_MANY: u64 = 1 << 20;

/// The lock on the log.
struct Held<'a> {
    file: File,
    /// The file's, under the lock.
    stat: FileStat,
    /// The same file through another descriptor.
    again: File,
    /// On network file systems; the local one is the file's own and ends with it.
    dot: Option<Lock<'a>>,
}

fn microseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(0)
}

/// Locks the file, for at most `wait`.
pub(super) fn lock(file: &File, wait: Duration) -> std::result::Result<(), Errno> {
    let deadline = Instant::now() + wait;
    while !whole::try_lock(file)? {
        if Instant::now() >= deadline {
            return Err(Errno::EAGAIN);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn size(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Reads what the file has beyond what was read of it; all of it if it is another file than before. True if something
/// odd follows, which may be somebody's record half written if the log is not locked.
fn read_on(
    modseqs: &mut Modseqs,
    view: &Snapshot,
    file: &File,
    stat: &FileStat,
    network: bool,
) -> std::result::Result<bool, Fault> {
    let (device, inode, size) = (stat.st_dev, stat.st_ino, size(stat));
    if size / RECORD as u64 > (view.len() as u64).saturating_mul(4) + TOO_MANY {
        return Err(Fault::Damaged);
    }
    let header = Header::read(file)?;
    let here = Identity::of(file, network)?;
    if header.uid_validity != view.uid_validity()
        || !header.identity.may_be(here)
        || header.end() > size
    {
        return Err(Fault::Damaged);
    }
    if let Some(place) = modseqs
        .read_up_to(device, inode)
        .filter(|place| *place <= size && modseqs.header == Some(header))
    {
        let end = log::read(file, place, header.end(), size, |record| {
            modseqs.apply(record);
        });
        modseqs.tidy();
        let end = end?;
        modseqs.read = Some((device, inode, end.place));
        return Ok(end.odd);
    }
    let mut fresh = Modseqs {
        floor: header.floor,
        last: header.highest,
        header: Some(header),
        shown: modseqs.shown,
        pending: std::mem::take(&mut modseqs.pending),
        provisional: modseqs.provisional,
        ..Modseqs::default()
    };
    let end = log::read(file, HEADER as u64, header.end(), size, |record| {
        fresh.apply(record);
    });
    fresh.tidy();
    let end = end?;
    fresh.read = Some((device, inode, end.place));
    if fresh.last < modseqs.last {
        // An older one, put back from somewhere.
        return Err(Fault::Damaged);
    }
    *modseqs = fresh;
    Ok(end.odd)
}

impl Folder {
    /// The log as it is now; a new one if there is none.
    pub(super) fn open_log(&self, view: &Snapshot) -> Result<Modseqs> {
        let mut modseqs = Modseqs {
            in_memory: !is_ours(&self.inner),
            ..Modseqs::default()
        };
        if modseqs.in_memory {
            self.begin(view, &mut modseqs)?;
            return Ok(modseqs);
        }
        if self.read_log(view, &mut modseqs).is_err() {
            if let Err(error) = self.renew(view, &mut modseqs) {
                self.warn(&error);
                if !modseqs.in_memory {
                    modseqs.in_memory = true;
                    self.begin(view, &mut modseqs)?;
                }
            }
        }
        Ok(modseqs)
    }

    /// Reads what was appended, but for what is being appended right now.
    fn read_log(&self, view: &Snapshot, modseqs: &mut Modseqs) -> std::result::Result<(), Fault> {
        // Whatever is wrong with it, it is looked at again under the lock.
        let opened = self.inner.dir.open_file(NAME).ok().flatten();
        let (file, stat) = opened
            .filter(|(_, stat)| is_private(stat))
            .ok_or(Fault::Damaged)?;
        if read_on(modseqs, view, &file, &stat, self.inner.network)? {
            // To be judged under the lock.
            modseqs.read = None;
        }
        modseqs.pinned = (!self.inner.network).then_some(file);
        Ok(())
    }

    /// To be called before the folder is looked at: what the log says by then, the look shows, and no MODSEQ is given
    /// for it again. True if the log has something new.
    pub(crate) fn read_ahead(&self, view: &mut Snapshot) -> bool {
        let Some(mut modseqs) = view.modseqs.take() else {
            return false;
        };
        let mut news = false;
        if !modseqs.in_memory {
            let before = modseqs.read;
            let here = match modseqs.pinned {
                Some(_) => self.inner.dir.stat(NAME).ok().flatten(),
                None => None,
            };
            let here = here.map(|stat| (stat.st_dev, stat.st_ino, size(&stat)));
            if (here.is_none() || here != before) && self.read_log(view, &mut modseqs).is_err() {
                // It is made anew under the lock.
                modseqs.read = None;
            }
            news = modseqs.read != before || modseqs.read.is_none() || modseqs.shown < modseqs.last;
        }
        view.modseqs = Some(modseqs);
        news
    }

    /// Gives MODSEQs to all that the view shows and the log does not say. Failing is not an error: the next call has
    /// the same reason to try, and until then the view claims to show no more than before.
    pub(crate) fn note_changes(&self, view: &mut Snapshot) {
        let Some(mut modseqs) = view.modseqs.take() else {
            return;
        };
        let difference = Difference::between(view, &modseqs);
        let noted = match modseqs.in_memory {
            true => self.note_in_memory(&mut modseqs, &difference),
            false if difference.is_empty() && modseqs.read.is_some() => {
                modseqs.shown = shown(view, &modseqs);
                Ok(())
            }
            false => self.note(view, &mut modseqs),
        };
        view.touched = noted.is_err();
        if let Err(error) = noted {
            if !matches!(error.kind(), ErrorKind::Recreated | ErrorKind::NoSuchFolder) {
                self.warn(&error);
            }
            hold_back(view, &mut modseqs);
        }
        view.modseqs = Some(modseqs);
    }

    /// To be called when the look after [`Self::read_ahead`] has failed: the view is as old as before, the log is not.
    /// What it says of later states must not be told with the states that this view shows.
    pub(crate) fn fall_behind(&self, view: &mut Snapshot) {
        if let Some(mut modseqs) = view.modseqs.take() {
            hold_back(view, &mut modseqs);
            view.modseqs = Some(modseqs);
        }
    }

    /// As [`Self::note_changes`], if the view has changed since.
    pub(crate) fn note_if_touched(&self, view: &mut Snapshot) {
        if view.touched {
            self.note_changes(view);
        }
    }

    fn note_in_memory(&self, modseqs: &mut Modseqs, difference: &Difference) -> Result<()> {
        if !difference.is_empty() {
            let modseq = self.next_modseq(modseqs)?;
            append(modseqs, difference, modseq);
            modseqs.shorten(EXPUNGES);
        }
        modseqs.shown = modseqs.last;
        Ok(())
    }

    fn note(&self, view: &Snapshot, modseqs: &mut Modseqs) -> Result<()> {
        let network = self.inner.network;
        for _ in 0..TRIES {
            let Some(held) = self.hold()? else {
                self.renew(view, modseqs)?;
                continue;
            };
            match read_on(modseqs, view, &held.file, &held.stat, network) {
                Ok(false) => {}
                Ok(true) | Err(Fault::Damaged) => {
                    drop(held);
                    self.renew(view, modseqs)?;
                    continue;
                }
                Err(Fault::Unreadable(error)) => return Err(self.unreadable(&error)),
            }
            if modseqs.pinned.is_none() && !network {
                modseqs.pinned = held.again.try_clone().ok();
            }
            let difference = Difference::between(view, modseqs);
            if !difference.is_empty() && !self.append_to(&held, view, modseqs, &difference)? {
                // Somebody took our lock away: whatever was decided under it is void.
                modseqs.read = None;
                continue;
            }
            modseqs.pending.clear();
            modseqs.shown = shown(view, modseqs);
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Locked,
            "number changes",
            self.inner.dir.path(),
        ))
    }

    /// False if the lock is not ours any more.
    fn append_to(
        &self,
        held: &Held<'_>,
        view: &Snapshot,
        modseqs: &mut Modseqs,
        difference: &Difference,
    ) -> Result<bool> {
        let (Some((device, inode, place)), Some(header)) = (modseqs.read, modseqs.header) else {
            return Ok(false);
        };
        let is_ours = || held.dot.as_ref().map_or(Ok(true), Lock::is_ours);
        let modseq = self.next_modseq(modseqs)?;
        let records = difference.records(modseq);
        let bytes = log::encode(&records, place);
        if !is_ours()? {
            return Ok(false);
        }
        self.write_records(held, &bytes, place)?;
        if !is_ours()? {
            return Ok(false);
        }
        for record in records {
            modseqs.apply(record);
        }
        modseqs.tidy();
        let end = place + bytes.len() as u64;
        modseqs.read = Some((device, inode, end));
        let records = |octets: u64| octets / RECORD as u64;
        let base = records(header.end().saturating_sub(HEADER as u64));
        if records(end.saturating_sub(header.end())) > base / 2 + SPARE {
            modseqs.shorten(EXPUNGES);
            // What had to be written is; the next change tries this again.
            if let Err(error) = self.replace(view.uid_validity(), modseqs, held.dot.as_ref()) {
                self.warn(&error);
            }
        }
        Ok(true)
    }

    fn write_records(&self, held: &Held<'_>, bytes: &[u8], place: u64) -> Result<()> {
        let path = || self.inner.dir.path_of(NAME);
        let failed = |operation, error: &std::io::Error| Error::std(operation, &path(), error);
        if size(&held.stat) > place {
            // What a crash left.
            held.file
                .set_len(place)
                .map_err(|error| failed("truncate", &error))?;
        }
        let written = held
            .file
            .write_all_at(bytes, place)
            .map_err(|error| failed("write", &error))
            .and_then(|()| match self.options().sync {
                // On a network the next host must see it when it has the lock.
                Sync::Never if !self.inner.network => Ok(()),
                // Clients are told next, and must not know more than the log after a crash.
                _ => nix::unistd::fdatasync(&held.file)
                    .map_err(|errno| Error::io("fdatasync", &path(), errno)),
            });
        if written.is_err() {
            // Back to whole batches, under the lock; else it is found damaged, and made anew.
            let _ = held.file.set_len(place);
        }
        written
    }

    /// The log, locked; `None` if there is none, or it is not ours alone.
    fn hold(&self) -> Result<Option<Held<'_>>> {
        let inner = &self.inner;
        for _ in 0..TRIES {
            let dot = match inner.network {
                true => Some(Lock::acquire(&inner.tmp, self.options())?),
                false => None,
            };
            let Some((file, stat)) = inner.dir.open_for_update(NAME)? else {
                return Ok(None);
            };
            if !is_private(&stat) {
                return Ok(None);
            }
            if dot.is_none() {
                self.wait_for(&file)?;
            }
            // Replaced between the opening and the lock, perhaps.
            match inner.dir.open_file(NAME)? {
                Some((again, here)) if (here.st_dev, here.st_ino) == (stat.st_dev, stat.st_ino) => {
                    return Ok(Some(Held {
                        file,
                        stat: here,
                        again,
                        dot,
                    }));
                }
                _ => {}
            }
        }
        Err(self.locked())
    }

    fn wait_for(&self, file: &File) -> Result<()> {
        lock(file, self.options().lock_wait).map_err(|errno| match errno {
            Errno::EAGAIN => self.locked(),
            errno => self.inner.dir.error("lock", NAME, errno),
        })
    }

    fn unreadable(&self, error: &std::io::Error) -> Error {
        Error::std("read", &self.inner.dir.path_of(NAME), error)
    }

    fn locked(&self) -> Error {
        Error::new(ErrorKind::Locked, "lock", &self.inner.dir.path_of(NAME))
    }

    /// Above all MODSEQs so far.
    fn next_modseq(&self, modseqs: &Modseqs) -> Result<u64> {
        let now = self.inner.now().map_or(0, microseconds);
        let next = modseqs.last.max(modseqs.provisional) + 1;
        let next = next.max(plausible(now));
        if next >= LIMIT {
            return Err(Error::new(
                ErrorKind::Exhausted,
                "number changes",
                self.inner.dir.path(),
            ));
        }
        Ok(next)
    }

    /// Everything that the view shows is as new as can be, and nothing is known of what was before.
    fn begin(&self, view: &Snapshot, modseqs: &mut Modseqs) -> Result<()> {
        let mut highest = modseqs.last;
        if modseqs.in_memory {
            // Where nothing can be written the file server's time cannot be had; and the folder's times, should they
            // lie in the future, would be the same for the next session.
            highest = highest.max(plausible(microseconds(SystemTime::now())));
        } else {
            let stamps = self.stamps()?;
            let times = [Some(stamps.cur), Some(stamps.new), stamps.db];
            for stamp in times.iter().flatten() {
                highest = highest.max(plausible(stamp.latest_microsecond()));
            }
        }
        *modseqs = Modseqs {
            last: highest,
            in_memory: modseqs.in_memory,
            provisional: modseqs.provisional,
            ..Modseqs::default()
        };
        let modseq = self.next_modseq(modseqs)?;
        append(modseqs, &Difference::between(view, modseqs), modseq);
        modseqs.last = modseq;
        modseqs.floor = modseq;
        modseqs.shown = modseq;
        Ok(())
    }

    /// Makes a new log where there is none or a damaged one.
    fn renew(&self, view: &Snapshot, modseqs: &mut Modseqs) -> Result<()> {
        let inner = &self.inner;
        // One lock for all who find the log missing; the folder's is there in any case.
        let folder = Lock::acquire(&inner.tmp, self.options())?;
        let here = uiddb::read_header(&inner.dir)?;
        if here.is_some_and(|(uid_validity, _)| uid_validity != view.uid_validity()) {
            return Err(Error::new(
                ErrorKind::Recreated,
                "number changes",
                inner.dir.path(),
            ));
        }
        let mut tries = TRIES;
        while let Some((file, stat)) = inner.dir.open_for_update(NAME)? {
            if !is_private(&stat) {
                break;
            }
            // Whoever appends to it right now is waited for.
            if !inner.network {
                self.wait_for(&file)?;
            }
            let stat = inner.dir.stat_open(&file).unwrap_or(stat);
            match read_on(modseqs, view, &file, &stat, inner.network) {
                Ok(false) => return Ok(()),
                // What it says is not known, and must not be contradicted.
                Err(Fault::Unreadable(error)) => {
                    tries -= 1;
                    if tries == 0 {
                        return Err(self.unreadable(&error));
                    }
                    continue;
                }
                Ok(true) | Err(Fault::Damaged) => {}
            }
            modseqs.last = modseqs.last.max(log::salvage(&file, size(&stat)));
            let text = "damaged, or from elsewhere: made anew";
            let path = inner.dir.path_of(NAME);
            log(Level::Warning, format_args!("{}: {text}", path.display()));
            break;
        }
        self.begin(view, modseqs)?;
        let made = self.replace(view.uid_validity(), modseqs, Some(&folder));
        // What was told is kept nowhere: see `Snapshot::has_lasting_modseqs`.
        modseqs.in_memory = made.is_err();
        made
    }

    /// Puts a file with all that is known in the log's place. `folder`: the folder's lock, where it must be ours.
    fn replace(
        &self,
        uid_validity: u32,
        modseqs: &mut Modseqs,
        folder: Option<&Lock<'_>>,
    ) -> Result<()> {
        let inner = &self.inner;
        let options = self.options();
        let (unique, file) = inner.tmp.create_unique("imapindex", &options.host, 0o600)?;
        let unique = unique.tmp();
        let path = inner.tmp.path_of(&unique);
        let durable = options.sync != Sync::Never;
        let identity =
            Identity::of(&file, inner.network).map_err(|error| Error::std("stat", &path, &error));
        let written = identity.and_then(|identity| {
            let (header, content) = log::encode_all(modseqs, uid_validity, identity);
            let stat = files::write_all(&file, &content, durable, &path)?;
            if !folder.map_or(Ok(true), Lock::is_ours)? {
                return Err(self.locked());
            }
            inner.tmp.replace(&unique, &inner.dir, NAME)?;
            if durable {
                inner.dir.sync()?;
            }
            Ok((stat, header))
        });
        match written {
            Ok((stat, header)) => {
                modseqs.read = Some((stat.st_dev, stat.st_ino, header.end()));
                modseqs.header = Some(header);
                modseqs.pinned = (!inner.network).then_some(file);
                Ok(())
            }
            Err(error) => {
                // The failure itself is reported; a leftover is purged after 36 hours.
                let _ = inner.tmp.remove(&unique);
                Err(error)
            }
        }
    }
}

/// What the view shows and the log does not say has another number for the time being, which others are never told.
fn hold_back(view: &Snapshot, modseqs: &mut Modseqs) {
    modseqs.pending = Difference::between(view, modseqs).uids();
    // The file server cannot be asked, perhaps; and whatever it says, nothing may be told twice.
    let now = microseconds(SystemTime::now());
    let lowest = modseqs.last.max(modseqs.provisional) + 1;
    modseqs.provisional = plausible(now).max(lowest).min(LIMIT - 1);
}

/// A time; 0 for one so far off that it must be wrong, and would leave no numbers for those that come after.
fn plausible(microseconds: u64) -> u64 {
    match microseconds < LIMIT / 2 {
        true => microseconds,
        false => 0,
    }
}

fn append(modseqs: &mut Modseqs, difference: &Difference, modseq: u64) {
    for record in difference.records(modseq) {
        modseqs.apply(record);
    }
    modseqs.tidy();
}

fn is_ours(inner: &Inner) -> bool {
    nix::sys::stat::fstat(&inner.dir)
        .is_ok_and(|stat| stat.st_uid == nix::unistd::geteuid().as_raw())
}

pub(super) fn is_private(stat: &FileStat) -> bool {
    stat.st_uid == nix::unistd::geteuid().as_raw() && stat.st_mode & 0o077 == 0
}

#[cfg(test)]
mod tests;
