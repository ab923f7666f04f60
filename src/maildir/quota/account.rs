//! Reading `maildirsize`, and adding to it (contract: quota 2).

use std::io::Read as _;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::limits::QuotaLimits;
use crate::maildir::error::{Error, ErrorKind, Result};
use crate::maildir::filename;
use crate::maildir::files::{self, Dir};
use crate::maildir::flags::Flags;
use crate::maildir::name::FolderName;
use crate::maildir::root::{MARKER, Maildir, Root};
use crate::sys::log::{Level, log};

pub(super) const FILE: &[u8] = b"maildirsize";
/// A file of so many bytes is too long and is counted anew.
const LONG: u64 = 5120;
/// A fresh count that says "over" is believed for so long.
const FRESH: Duration = Duration::from_secs(900);
/// Largest file read.
const LIMIT: u64 = 1 << 20;
/// Most directories between a folder and the maildir that it belongs to.
const DEPTH: u32 = 8;

/// A change of the usage, or a sum of such.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Bytes as stored.
    pub(crate) bytes: i64,
    pub(crate) messages: i64,
}

impl Amount {
    /// Adds one message.
    pub(crate) fn add(&mut self, size: u64) {
        self.bytes = self
            .bytes
            .saturating_add(i64::try_from(size).unwrap_or(i64::MAX));
        self.messages = self.messages.saturating_add(1);
    }

    /// Subtracts one message.
    pub(crate) fn subtract(&mut self, size: u64) {
        self.bytes = self
            .bytes
            .saturating_sub(i64::try_from(size).unwrap_or(i64::MAX));
        self.messages = self.messages.saturating_sub(1);
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            messages: self.messages.saturating_add(other.messages),
        }
    }

    /// What is in `self` and not in `other`.
    pub(crate) fn less(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            messages: self.messages.saturating_sub(other.messages),
        }
    }

    fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// Limits and usage of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaUse {
    /// The limits; at least one is not 0.
    pub limits: QuotaLimits,
    /// Bytes in use, as stored.
    pub bytes: u64,
    /// Messages in use.
    pub messages: u64,
}

/// True if a message of this folder with these flags counts. The name is fixed: every program that counts the maildir
/// must agree, and the original's know `.Trash` only, whatever `IMAP_TRASHFOLDERNAME` says.
pub(crate) fn counts(folder: &FolderName, flags: Flags) -> bool {
    folder.as_bytes() != b"Trash" && !flags.contains(Flags::DELETED)
}

/// The size of the message file `name` in `dir`: what its name says, else what it is. 0 if it is gone.
pub(crate) fn size_of(dir: &Dir, name: &[u8]) -> u64 {
    filename::stored_size(name).unwrap_or_else(|| match dir.stat(name) {
        Ok(Some(stat)) => u64::try_from(stat.st_size).unwrap_or(0),
        _ => 0,
    })
}

/// What the file says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    pub(super) limits: QuotaLimits,
    pub(super) used: Amount,
    /// Lines below the first.
    pub(super) lines: usize,
    /// Size of the file.
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

impl Tally {
    fn needs_recount(&self) -> bool {
        self.size >= LONG || self.used.bytes < 0 || self.used.messages < 0
    }

    /// True if it is one count, made not long ago.
    fn is_fresh(&self) -> bool {
        let age = match SystemTime::now().duration_since(self.modified) {
            Ok(age) => age,
            Err(ahead) => ahead.duration(),
        };
        self.lines == 1 && age < FRESH
    }

    fn allows(&self, more: Amount) -> bool {
        self.limits.allow(
            self.used.bytes.saturating_add(more.bytes),
            self.used.messages.saturating_add(more.messages),
        )
    }
}

impl Maildir {
    /// Limits and usage; `None` without a quota. Counts anew where the file cannot be believed.
    ///
    /// # Errors
    /// A file that cannot be read or replaced.
    pub fn quota(&self) -> Result<Option<QuotaUse>> {
        let place = Place::of(&self.root)?;
        let Some(mut tally) = place.read()? else {
            return Ok(None);
        };
        if tally.limits.is_none() {
            return Ok(None);
        }
        if tally.needs_recount() {
            tally = place.recount(tally.limits)?;
        }
        let used = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(Some(QuotaUse {
            limits: tally.limits,
            bytes: used(tally.used.bytes),
            messages: used(tally.used.messages),
        }))
    }

    /// Adds a message of `bytes` to the usage before it is stored, if it fits. `wanted`: limits that the account gets, if
    /// it has others.
    ///
    /// # Errors
    /// `OverQuota`; otherwise why the file cannot be read or written.
    pub fn reserve_quota(&self, bytes: u64, wanted: Option<QuotaLimits>) -> Result<()> {
        let mut more = Amount::default();
        more.add(bytes);
        self.root.reserve(more, wanted)
    }

    /// Adds a message of `bytes` to the usage whatever the limit, or subtracts one.
    pub fn settle_quota(&self, bytes: u64, added: bool) {
        let mut change = Amount::default();
        if added {
            change.add(bytes);
        } else {
            change.subtract(bytes);
        }
        self.root.settle(change);
    }

    /// The account's maildir: this one, unless it is a folder that was opened as a maildir.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn account(&self) -> Result<Self> {
        let mut maildir = self.clone();
        for _ in 0..DEPTH {
            if maildir.root.dir.stat(MARKER)?.is_none() {
                break;
            }
            let above = maildir.path().join("..");
            maildir = Self::open(&above, maildir.options().clone())?;
        }
        Ok(maildir)
    }

    /// Sets the limits, at least one, and counts all messages.
    ///
    /// # Errors
    /// Why the file cannot be written.
    pub fn set_quota(&self, limits: QuotaLimits) -> Result<()> {
        Place::of(&self.root)?.recount(limits).map(|_| ())
    }
}

impl Root {
    /// Adds `more` to the usage before something is stored, if it fits. `wanted`: the limits from outside
    /// (`MAILDIRQUOTA`), which the file gets if it has others. Without a quota nothing happens.
    ///
    /// # Errors
    /// `OverQuota`; otherwise why the file cannot be read or written.
    pub(crate) fn reserve(&self, more: Amount, wanted: Option<QuotaLimits>) -> Result<()> {
        if more.is_nothing() {
            return Ok(());
        }
        let place = Place::of(self)?;
        if place.check(more, wanted)? {
            place.append(more)?;
        }
        Ok(())
    }

    /// As [`Self::reserve`], and only tells whether it fits.
    ///
    /// # Errors
    /// `OverQuota`; otherwise why the file cannot be read or written.
    pub(crate) fn has_room(&self, more: Amount, wanted: Option<QuotaLimits>) -> Result<()> {
        Place::of(self)?.check(more, wanted).map(|_| ())
    }

    /// Changes the usage after something was done, whatever the limit. It cannot be undone for a file that cannot be
    /// written, so that is only logged; the next count puts it right.
    pub(crate) fn settle(&self, change: Amount) {
        if change.is_nothing() {
            return;
        }
        let settled = Place::of(self).and_then(|place| match place.read()? {
            Some(tally) if !tally.limits.is_none() => place.append(change),
            _ => Ok(()),
        });
        if let Err(error) = settled {
            log(Level::Err, format_args!("{error}"));
        }
    }

    /// After folders were removed or renamed: counts anew, if there is a quota. Failures are logged.
    pub(crate) fn recount_quota(&self) {
        let counted = Place::of(self).and_then(|place| match place.read()? {
            Some(tally) if !tally.limits.is_none() => place.recount(tally.limits).map(|_| ()),
            _ => Ok(()),
        });
        if let Err(error) = counted {
            log(Level::Err, format_args!("{error}"));
        }
    }
}

/// Where the file of a maildir is: in it, or for a folder opened as a maildir in the one that it belongs to.
pub(super) struct Place<'a> {
    root: &'a Root,
    above: Option<Dir>,
}

impl<'a> Place<'a> {
    fn of(root: &'a Root) -> Result<Self> {
        let mut above: Option<Dir> = None;
        for _ in 0..DEPTH {
            let dir = above.as_ref().unwrap_or(&root.dir);
            if dir.stat(MARKER)?.is_none() {
                break;
            }
            above = Some(dir.open_dir(b"..")?);
        }
        Ok(Self { root, above })
    }

    pub(super) fn dir(&self) -> &Dir {
        self.above.as_ref().unwrap_or(&self.root.dir)
    }

    /// Reads the file; `None` if there is none, or none that may be read.
    fn read(&self) -> Result<Option<Tally>> {
        let opened = match self.dir().open_file(FILE) {
            Err(error) if error.kind() == ErrorKind::Denied => None,
            other => other?,
        };
        let Some((file, stat)) = opened else {
            return Ok(None);
        };
        let mut text = Vec::new();
        file.take(LIMIT)
            .read_to_end(&mut text)
            .map_err(|error| Error::std("read", &self.dir().path_of(FILE), &error))?;
        let mut lines = text.split(|byte| *byte == b'\n');
        let limits = QuotaLimits::parse(lines.next().unwrap_or_default());
        let mut tally = Tally {
            limits,
            used: Amount::default(),
            lines: 0,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: files::modified(&stat),
        };
        for line in lines.filter(|line| !line.is_empty()) {
            tally.lines += 1;
            if let Some((bytes, messages)) = numbers(line) {
                tally.used.bytes = tally.used.bytes.saturating_add(bytes);
                tally.used.messages = tally.used.messages.saturating_add(messages);
            }
        }
        Ok(Some(tally))
    }

    /// Whether there is a quota. It has room for `more`, or this fails.
    fn check(&self, more: Amount, wanted: Option<QuotaLimits>) -> Result<bool> {
        let wanted = wanted.filter(|wanted| !wanted.is_none());
        let mut counted = false;
        let mut recount = |limits| {
            counted = true;
            self.recount(limits)
        };
        let mut tally = match (self.read()?, wanted) {
            (None, None) => return Ok(false),
            (None, Some(wanted)) => recount(wanted)?,
            (Some(tally), Some(wanted)) if tally.limits != wanted => recount(wanted)?,
            // No limit, or no line that could be one: nothing to keep up to date.
            (Some(tally), _) if tally.limits.is_none() => return Ok(false),
            (Some(tally), _) if tally.needs_recount() => recount(tally.limits)?,
            (Some(tally), _) => tally,
        };
        if !tally.allows(more) && !counted && !tally.is_fresh() {
            tally = self.recount(tally.limits)?;
        }
        if tally.allows(more) {
            Ok(true)
        } else {
            let path = self.dir().path_of(FILE);
            Err(Error::new(ErrorKind::OverQuota, "add", &path))
        }
    }

    /// Appends a line in one write.
    fn append(&self, change: Amount) -> Result<()> {
        let dir = self.dir();
        let flags = OFlag::O_WRONLY
            | OFlag::O_APPEND
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_CLOEXEC;
        let file = match nix::fcntl::openat(dir, FILE, flags, Mode::empty()) {
            Ok(file) => file,
            // Removed meanwhile: no quota any more.
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(dir.error("open", FILE, errno)),
        };
        let line = format!("{:>12} {:>12}\n", change.bytes, change.messages);
        match nix::unistd::write(&file, line.as_bytes()) {
            Ok(written) if written == line.len() => Ok(()),
            Ok(_) => Err(dir.error("write", FILE, Errno::ENOSPC)),
            Err(errno) => Err(dir.error("write", FILE, errno)),
        }
    }

    fn recount(&self, limits: QuotaLimits) -> Result<Tally> {
        super::recount::recount(self.dir(), limits, &self.root.options.host)
    }
}

/// Two signed decimal numbers with blanks before them.
fn numbers(line: &[u8]) -> Option<(i64, i64)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split_ascii_whitespace();
    let bytes = words.next()?.parse().ok()?;
    let messages = words.next()?.parse().ok()?;
    Some((bytes, messages))
}

#[cfg(test)]
mod tests;
