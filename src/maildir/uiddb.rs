//! `courierimapuiddb`: which message has which UID (contract: maildir 5; rules: shared-storage 6-9).
//!
//! ```text
//! 1 UIDVALIDITY UIDNEXT
//! UID BASENAME
//! ```
//!
//! The reader repairs and never renumbers: lines that make no sense are skipped, of two lines with one UID or one
//! name the first wins, UIDNEXT is raised above every UID. A damaged header is completed from
//! `courierimapuidmark`, our own redundant copy: `1 UIDVALIDITY HIGHWATER`, where HIGHWATER is above every UID ever
//! given. It is rewritten only when UIDNEXT passes it, which its slack of [`SLACK`] makes rare; the original ignores
//! it. Only a folder without both files gets a new UIDVALIDITY.

pub(crate) mod faults;
mod text;

use std::io::Write as _;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::{Error, ErrorKind, Result};
use super::filename::TmpName;
use super::files::{self, Dir, Stamp};
use super::lock::Lock;
use super::options::{Options, Sync};
use crate::sys::log::{Level, log};
pub(crate) use text::NameIndex;
use text::{encode_line, parse, parse_header, parse_line};

/// The file's name in the folder.
pub(crate) const NAME: &[u8] = b"courierimapuiddb";
const MARK: &[u8] = b"courierimapuidmark";

/// How far the high-water mark is ahead of UIDNEXT when it is written.
const SLACK: u32 = 1000;

/// Largest file read: far above a million messages with names of 255 bytes.
const LIMIT: u64 = 1 << 30;

/// More than this at the end is read with the rest.
const TAIL: u64 = 256 * 1024;

/// Digits of UIDNEXT as we write it: fixed, so that it can be raised in place.
const NEXT_DIGITS: usize = 10;

/// A parsed database.
#[derive(Debug, Default)]
pub(crate) struct UidDb {
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    /// Sorted by UID, each UID and each name once.
    entries: Vec<Entry>,
    /// The names: the file's bytes, and behind them those of added entries.
    names: Vec<u8>,
    /// Only the end of the file was read: `entries` has what was added since.
    partial: bool,
    /// What was read; `None` for a database that is not on disk yet.
    stamp: Option<Stamp>,
    /// The file does not say what this says: write it at the next occasion.
    pub(crate) needs_repair: bool,
    /// The UIDVALIDITY is a new one that is on no disk yet: nobody may be told.
    pub(crate) unsettled: bool,
}

/// The end of a database.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    /// UIDs and base names, ascending.
    pub(crate) entries: Vec<(u32, Vec<u8>)>,
    /// Of the file when it was read.
    pub(crate) stamp: Stamp,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    uid: u32,
    start: u32,
    length: u16,
}

/// What a look at the folder's files found.
#[derive(Debug)]
pub(crate) enum Found {
    /// A usable database, possibly repaired in memory.
    Db(UidDb),
    /// Nothing tells a UIDVALIDITY: a new mailbox, or one whose header is lost. UIDs that could still be read are
    /// in here.
    NoValidity(UidDb),
}

impl UidDb {
    /// Reads the folder's database.
    ///
    /// # Errors
    /// Failures to read other than absence, after one more try: EACCES, EIO. The caller must not renumber then.
    pub(crate) fn read(dir: &Dir) -> Result<Found> {
        let read = match dir.read(NAME, LIMIT) {
            // A stale handle or a transient error: a fresh open decides.
            Err(error) if matches!(error.errno(), Some(Errno::ESTALE | Errno::EIO)) => {
                dir.read(NAME, LIMIT)
            }
            other => other,
        }?;
        let (bytes, stamp) = match read {
            Some((bytes, stamp)) => (bytes, Some(stamp)),
            None => (Vec::new(), None),
        };
        let (header, mut db) = parse(bytes);
        db.stamp = stamp;
        let above = db
            .entries
            .last()
            .map_or(1, |entry| entry.uid.saturating_add(1));
        if let Some((uid_validity, Some(uid_next))) = header {
            db.uid_validity = uid_validity;
            db.uid_next = uid_next;
            if uid_next < above {
                // Somebody's damage: the mark knows better than the highest UID that is left.
                let mark = read_mark(dir).filter(|mark| mark.0 == uid_validity);
                db.uid_next = above.max(mark.map_or(0, |mark| mark.1));
                db.needs_repair = true;
            }
            return Ok(Found::Db(db));
        }
        db.needs_repair = true;
        match (header, read_mark(dir)) {
            (Some((uid_validity, None)), Some(mark)) if mark.0 == uid_validity => {
                db.uid_validity = uid_validity;
                db.uid_next = above.max(mark.1);
            }
            (Some((uid_validity, None)), _) => {
                // The highest UID ever given is unknown; the slack keeps expunged ones from coming back.
                db.uid_validity = uid_validity;
                db.uid_next = above.saturating_add(SLACK);
            }
            (_, Some(mark)) => {
                db.uid_validity = mark.0;
                db.uid_next = above.max(mark.1);
            }
            _ => {
                db.uid_next = above;
                return Ok(Found::NoValidity(db));
            }
        }
        Ok(Found::Db(db))
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry at `index` in UID order.
    pub(crate) fn entry(&self, index: usize) -> Option<(u32, &[u8])> {
        let entry = self.entries.get(index)?;
        Some((entry.uid, self.name(entry)?))
    }

    fn name(&self, entry: &Entry) -> Option<&[u8]> {
        let start = usize::try_from(entry.start).ok()?;
        self.names.get(start..start + usize::from(entry.length))
    }

    /// From base name to position.
    pub(crate) fn index(&self) -> NameIndex<'_> {
        NameIndex::new(self).0
    }

    /// Identity of the file that this was read from.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    /// Gives the next UID to `base`.
    ///
    /// # Errors
    /// `Exhausted` when 2^32-1 is reached.
    pub(crate) fn assign(&mut self, base: &[u8], dir: &Dir) -> Result<u32> {
        let uid = self.uid_next;
        let next = uid
            .checked_add(1)
            .ok_or_else(|| Error::new(ErrorKind::Exhausted, "number", dir.path()))?;
        self.push(uid, base);
        self.uid_next = next;
        Ok(uid)
    }

    /// Adds an entry with a UID above all others.
    fn push(&mut self, uid: u32, base: &[u8]) {
        if let (Ok(start), Ok(length)) =
            (u32::try_from(self.names.len()), u16::try_from(base.len()))
        {
            self.names.extend_from_slice(base);
            self.entries.push(Entry { uid, start, length });
        }
    }

    /// Reads only what giving new UIDs needs: the header and the last line, so that the cost does not grow with
    /// the folder. `None` if the file is not exactly as we write it; [`Self::read`] decides then. The result can be
    /// used with [`Self::extend`] only.
    pub(crate) fn read_tail(dir: &Dir) -> Result<Option<Self>> {
        let Some((file, stat)) = dir.open_file(NAME)? else {
            return Ok(None);
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let failed = |error: std::io::Error| Error::std("read", &dir.path_of(NAME), &error);
        let mut bytes = [0_u8; 1024];
        let mut read = |at: u64| -> Result<Vec<u8>> {
            let length = file.read_at(&mut bytes, at).map_err(failed)?;
            Ok(bytes.get(..length).unwrap_or_default().to_vec())
        };
        let start = read(0)?;
        let end = read(size.saturating_sub(1024))?;
        let Some((uid_validity, Some(uid_next))) = parse_header(&start) else {
            return Ok(None);
        };
        let Some(lines) = end.strip_suffix(b"\n") else {
            return Ok(None);
        };
        let last = lines.rsplit(|byte| *byte == b'\n').next();
        let header = start.split(|byte| *byte == b'\n').next();
        let in_order = last == header
            || last
                .and_then(parse_line)
                .is_some_and(|(uid, _)| uid < uid_next);
        Ok(in_order.then(|| Self {
            uid_validity,
            uid_next,
            stamp: Some(Stamp::of(&stat)),
            partial: true,
            ..Self::default()
        }))
    }

    /// Reads what was appended to the file since it looked as `before` says and UIDNEXT was `uid_next`. `None` if
    /// that is not all that happened to it. The caller makes sure that it is the same file.
    pub(crate) fn read_since(dir: &Dir, before: &Stamp, uid_next: u32) -> Result<Option<Tail>> {
        let Some((file, stat)) = dir.open_file(NAME)? else {
            return Ok(None);
        };
        let stamp = Stamp::of(&stat);
        let failed = |error: std::io::Error| Error::std("read", &dir.path_of(NAME), &error);
        let mut start = [0_u8; 128];
        let length = file.read_at(&mut start, 0).map_err(failed)?;
        let header = parse_header(start.get(..length).unwrap_or_default());
        let Some((uid_validity, Some(next))) = header else {
            return Ok(None);
        };
        // From the line feed before it on.
        let Some(from) = before.size().checked_sub(1) else {
            return Ok(None);
        };
        let Some(grown) = stamp
            .size()
            .checked_sub(from)
            .filter(|grown| *grown <= TAIL)
        else {
            return Ok(None);
        };
        let mut bytes = vec![0_u8; usize::try_from(grown).unwrap_or(0)];
        file.read_exact_at(&mut bytes, from).map_err(failed)?;
        let Some(lines) = bytes.strip_prefix(b"\n") else {
            return Ok(None);
        };
        let mut entries: Vec<(u32, Vec<u8>)> = Vec::new();
        let mut last = uid_next.saturating_sub(1);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let parsed = line.strip_suffix(b"\n").and_then(parse_line);
            match parsed {
                Some((uid, name)) if uid > last && uid < next => {
                    last = uid;
                    entries.push((uid, name.to_vec()));
                }
                _ => return Ok(None),
            }
        }
        Ok((next >= uid_next).then_some(Tail {
            uid_validity,
            uid_next: next,
            entries,
            stamp,
        }))
    }

    /// Drops the entries for which `keep` says false.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut position = 0;
        self.entries.retain(|_| {
            position += 1;
            keep(position - 1)
        });
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(40 + self.names.len() + self.entries.len() * 12);
        // Writing to a Vec cannot fail.
        let _ = writeln!(
            bytes,
            "1 {} {:0width$}",
            self.uid_validity,
            self.uid_next,
            width = NEXT_DIGITS
        );
        for entry in &self.entries {
            if let Some(name) = self.name(entry) {
                encode_line(&mut bytes, entry.uid, name);
            }
        }
        bytes
    }

    /// Makes this the folder's database: durable before it returns, the old file untouched on failure.
    ///
    /// # Errors
    /// `Locked` if the lock was lost or another process wrote meanwhile: read again and decide anew. Otherwise why
    /// the file cannot be written.
    pub(crate) fn write(
        &mut self,
        dir: &Dir,
        tmp: &Dir,
        lock: &Lock<'_>,
        options: &Options,
    ) -> Result<()> {
        if self.partial {
            return Err(Error::new(ErrorKind::Io, "replace", &dir.path_of(NAME)));
        }
        self.raise_mark(dir, tmp, lock, options)?;
        let content = self.encode();
        let replace = || {
            files::replace_fenced(
                tmp,
                dir,
                NAME,
                (&content, "imapuid"),
                &options.host,
                options.sync != Sync::Never,
                &|| self.check_fence(dir, lock),
            )
        };
        let stat = match replace() {
            Err(error) if error.errno() == Some(Errno::EISDIR) => {
                move_aside(dir, options)?;
                replace()?
            }
            other => other?,
        };
        // rename() moved the ctime.
        self.stamp = dir.stamp_of_file(NAME)?.or_else(|| Some(Stamp::of(&stat)));
        self.needs_repair = false;
        self.unsettled = false;
        Ok(())
    }

    /// Puts this database where there is none. Somebody else's that the server has got after all stays: it is
    /// complete at any moment, and only one can be the first.
    ///
    /// # Errors
    /// Why there is neither ours nor another.
    pub(crate) fn write_first(&self, dir: &Dir, tmp: &Dir, options: &Options) -> Result<()> {
        let durable = options.sync != Sync::Never;
        let (unique, file) = tmp.create_unique("imapuid", &options.host, 0o644)?;
        let unique = unique.tmp();
        let result = files::write_all(&file, &self.encode(), durable, &tmp.path_of(&unique))
            .and_then(|_| match tmp.link(&unique, dir, NAME) {
                Ok(()) | Err(Errno::EEXIST) => Ok(()),
                Err(errno) => Err(dir.error("link", NAME, errno)),
            });
        let removed = tmp.remove(&unique);
        result?;
        removed?;
        if durable {
            dir.sync()?;
        }
        Ok(())
    }

    /// Makes the last `added` entries durable by extending the file in place: UIDNEXT first, then the lines, so
    /// that whatever survives a crash never lets a UID be given twice. False if the file does not have our form
    /// or does not allow it; use [`Self::write`] then.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn extend(
        &mut self,
        added: usize,
        dir: &Dir,
        tmp: &Dir,
        lock: &Lock<'_>,
        options: &Options,
    ) -> Result<bool> {
        if self.needs_repair || self.stamp.is_none() {
            return Ok(false);
        }
        self.raise_mark(dir, tmp, lock, options)?;
        let first = self.entries.len().saturating_sub(added);
        let entries = self.entries.get(first..).unwrap_or_default();
        let done = extend_in_place(
            dir,
            self.uid_validity,
            self.uid_next,
            entries
                .iter()
                .filter_map(|entry| Some((entry.uid, self.name(entry)?))),
            options.sync != Sync::Never,
            &|| self.check_fence(dir, lock),
        )?;
        // Whoever took the lock over meanwhile may have read the file before it was extended, and replaced it.
        if done && !lock.is_ours()? {
            return Err(Error::new(ErrorKind::Locked, "extend", &dir.path_of(NAME)));
        }
        if done {
            self.stamp = dir.stamp_of_file(NAME)?;
        }
        Ok(done)
    }

    /// The lock must be ours and the file what we read.
    fn check_fence(&self, dir: &Dir, lock: &Lock<'_>) -> Result<()> {
        if lock.is_ours()? && dir.stamp_of_file(NAME)? == self.stamp {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Locked, "replace", &dir.path_of(NAME)))
        }
    }

    /// Writes a new high-water mark if UIDNEXT has passed the old one.
    fn raise_mark(&self, dir: &Dir, tmp: &Dir, lock: &Lock<'_>, options: &Options) -> Result<()> {
        if read_mark(dir).is_some_and(|mark| mark.0 == self.uid_validity && mark.1 >= self.uid_next)
        {
            return Ok(());
        }
        let content = format!(
            "1 {} {}\n",
            self.uid_validity,
            self.uid_next.saturating_add(SLACK)
        );
        files::replace_fenced(
            tmp,
            dir,
            MARK,
            (content.as_bytes(), "imapuid"),
            &options.host,
            options.sync != Sync::Never,
            &|| self.check_fence(dir, lock),
        )?;
        Ok(())
    }
}

/// A directory where the database belongs gets another name: without a database no message could be shown.
fn move_aside(dir: &Dir, options: &Options) -> Result<()> {
    let mut name = NAME.to_vec();
    name.push(b'.');
    name.extend_from_slice(&TmpName::new("directory", &options.host).tmp());
    dir.replace(NAME, dir, &name)?;
    log(
        Level::Warning,
        format_args!(
            "{} is a directory, renamed to {}",
            dir.path_of(NAME).display(),
            name.escape_ascii()
        ),
    );
    Ok(())
}

/// Puts an empty database and its mark into a folder that is being made and nobody can see yet.
pub(crate) fn create(dir: &Dir, uid_validity: u32, durable: bool) -> Result<()> {
    let db = format!("1 {uid_validity} {:0width$}\n", 1, width = NEXT_DIGITS);
    let mark = format!("1 {uid_validity} {}\n", 1 + SLACK);
    for (name, content) in [(NAME, db), (MARK, mark)] {
        let file = dir.create(name, 0o644)?;
        files::write_all(&file, content.as_bytes(), durable, &dir.path_of(name))?;
    }
    Ok(())
}

/// UIDVALIDITY and UIDNEXT of a folder from the first line alone; `None` if there is no readable header.
pub(crate) fn read_header(dir: &Dir) -> Result<Option<(u32, u32)>> {
    let Some((file, _)) = dir.open_file(NAME)? else {
        return Ok(None);
    };
    let mut start = [0_u8; 128];
    let length = file
        .read_at(&mut start, 0)
        .map_err(|error| Error::std("read", &dir.path_of(NAME), &error))?;
    Ok(
        match parse_header(start.get(..length).unwrap_or_default()) {
            Some((uid_validity, Some(uid_next))) => Some((uid_validity, uid_next)),
            _ => None,
        },
    )
}

/// Raises UIDNEXT in the header and appends a line for each of `entries`, if `fence` allows it; false if the header is
/// not in our fixed-width form, or somebody else is at it.
fn extend_in_place<'a>(
    dir: &Dir,
    uid_validity: u32,
    uid_next: u32,
    entries: impl Iterator<Item = (u32, &'a [u8])>,
    durable: bool,
    fence: &dyn Fn() -> Result<()>,
) -> Result<bool> {
    /// Octets of lines written at a time.
    const PIECE: usize = 64 * 1024;
    let error =
        |operation, error: &std::io::Error| Error::std(operation, &dir.path_of(NAME), error);
    let prefix = format!("1 {uid_validity} ");
    let mut header = vec![0_u8; prefix.len() + NEXT_DIGITS + 1];
    let Some((file, _)) = dir.open_for_update(NAME)? else {
        return Ok(false);
    };
    // Who is stopped in here beyond the life of its lock keeps this one: others then replace the file, and what is
    // still written to it says nothing to anybody.
    let Ok(file) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
        return Ok(false);
    };
    fence()?;
    let stat = nix::sys::stat::fstat(&*file)
        .map_err(|errno| Error::io("stat", &dir.path_of(NAME), errno))?;
    if file.read_exact_at(&mut header, 0).is_err()
        || !header.starts_with(prefix.as_bytes())
        || header.last() != Some(&b'\n')
        || !header
            .get(prefix.len()..prefix.len() + NEXT_DIGITS)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
    {
        return Ok(false);
    }
    let end = u64::try_from(stat.st_size).unwrap_or(0);
    let mut last = [0_u8];
    file.read_exact_at(&mut last, end.saturating_sub(1))
        .map_err(|cause| error("read", &cause))?;
    let mut lines = Vec::new();
    if last != *b"\n" {
        // A line torn by a crash: end it, so that it costs one message its UID and not two.
        lines.push(b'\n');
    }
    let sync = || {
        if durable {
            nix::unistd::fdatasync(&*file)
                .map_err(|errno| Error::io("fdatasync", &dir.path_of(NAME), errno))
        } else {
            Ok(())
        }
    };
    let next = format!("{uid_next:0width$}", width = NEXT_DIGITS);
    let at = u64::try_from(prefix.len()).unwrap_or(0);
    file.write_all_at(next.as_bytes(), at)
        .map_err(|cause| error("write", &cause))?;
    sync()?;
    let mut at = end;
    let mut write = |lines: &mut Vec<u8>| {
        file.write_all_at(lines, at)
            .map_err(|cause| error("write", &cause))?;
        at = at.saturating_add(u64::try_from(lines.len()).unwrap_or(0));
        lines.clear();
        Ok(())
    };
    let written = (|| {
        for (uid, name) in entries {
            encode_line(&mut lines, uid, name);
            if lines.len() >= PIECE {
                write(&mut lines)?;
            }
        }
        write(&mut lines)?;
        sync()
    })();
    if let Err(cause) = written {
        // Back to what it was, but for the gap in the numbers; a failure to do so leaves lines that name no
        // message, which every reader drops.
        let _ = file.set_len(end);
        return Err(cause);
    }
    Ok(true)
}

/// UIDVALIDITY and high-water mark of our redundant copy. Any fault in it makes it absent.
fn read_mark(dir: &Dir) -> Option<(u32, u32)> {
    let (bytes, _) = dir.read(MARK, 128).ok()??;
    match parse_header(&bytes) {
        Some((uid_validity, Some(next))) => Some((uid_validity, next)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
