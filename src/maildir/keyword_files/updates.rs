//! The update files of a keyword directory and what they say (contract: maildir 7.2, 7.3).
//!
//! Others rename and replace these files while they are listed and read. Such a listing can miss a file under its old
//! and its new name, and an inode number that it gave can belong to another file by the time that is opened. So the
//! directory is listed again after reading, unless its times say that nothing can have happened.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::LIST;
use crate::maildir::error::{Error, ErrorKind, Result};
use crate::maildir::files::{self, Dir, Stamp};
use crate::maildir::keywords::{self, KeywordSet, KeywordTable};

/// How long merged and half-made update files are kept.
pub(super) const KEEP: Duration = Duration::from_secs(15 * 60);
/// Files kept open at a time because several names lead to them.
const SHARED: usize = 64;

/// When the directory was looked at first, to tell whether anything can have happened since.
pub(super) struct Look<'a> {
    /// The directory's stamp before anything was read.
    pub(super) stamp: Stamp,
    /// No later change can carry that stamp's times.
    pub(super) settled: bool,
    /// Makes this host forget its listing, where it must see what another one did before now.
    pub(super) refresh: &'a dyn Fn() -> Result<()>,
}

/// What is pending for one message, by inode.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Update {
    /// `BASENAME`.
    pub(super) fresh: Option<u64>,
    /// `.N.BASENAME` with the largest N.
    pub(super) merged: Option<(u64, u64)>,
}

impl Update {
    /// The file that counts.
    fn file(&self, name: &[u8]) -> Option<(Vec<u8>, u64)> {
        match (self.fresh, self.merged) {
            (Some(inode), _) => Some((name.to_vec(), inode)),
            (None, Some((number, inode))) => Some((merged(number, name), inode)),
            (None, None) => None,
        }
    }
}

/// The update files in the directory, by base name.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) updates: BTreeMap<Vec<u8>, Update>,
    /// Files that say nothing: merged ones with a smaller number, and dot files of other forms.
    losers: Vec<Vec<u8>>,
    leftovers: Vec<Vec<u8>>,
}

impl Pending {
    pub(super) fn of(keywords: &Dir) -> Result<Self> {
        let mut found = Self::default();
        keywords.list(|entry| {
            if entry.name == LIST {
                return;
            }
            let Some(rest) = entry.name.strip_prefix(b".") else {
                found.updates.entry(entry.name.to_vec()).or_default().fresh = Some(entry.inode);
                return;
            };
            let Some((number, name)) = merged_name(rest) else {
                found.leftovers.push(entry.name.to_vec());
                return;
            };
            let update = found.updates.entry(name.to_vec()).or_default();
            match update.merged {
                Some((best, _)) if best > number => found.losers.push(entry.name.to_vec()),
                best => {
                    // The same number again is the same name listed twice.
                    if let Some((best, _)) = best.filter(|(best, _)| *best < number) {
                        found.losers.push(merged(best, name));
                    }
                    update.merged = Some((number, entry.inode));
                }
            }
        })?;
        Ok(found)
    }

    /// Removes what says nothing. Failures are left for the next load.
    pub(super) fn tidy(&self, keywords: &Dir) {
        for name in &self.losers {
            let _ = keywords.remove(name);
        }
        for name in self.leftovers.iter().filter(|name| is_old(keywords, name)) {
            let _ = keywords.remove(name);
        }
    }

    /// True if everything in `later` is here, the same file.
    fn covers(&self, later: &Self) -> bool {
        later.updates.iter().all(|(name, update)| {
            self.updates
                .get(name)
                .is_some_and(|known| known.file(name) == update.file(name))
        })
    }
}

/// True for a merged update, and nothing newer, that has been kept long enough by its number and by its time.
pub(super) fn is_expired(keywords: &Dir, name: &[u8], update: &Update, now: u64) -> bool {
    match (update.fresh, update.merged) {
        (None, Some((number, _))) => {
            number.saturating_mul(300).saturating_add(KEEP.as_secs()) < now
                && is_old(keywords, &merged(number, name))
        }
        _ => false,
    }
}

/// True for a file last touched more than 15 minutes ago.
fn is_old(keywords: &Dir, name: &[u8]) -> bool {
    keywords.stat(name).ok().flatten().is_some_and(|stat| {
        SystemTime::now()
            .duration_since(files::modified(&stat))
            .is_ok_and(|age| age > KEEP)
    })
}

/// Splits `N.BASENAME`, N decimal without leading zero.
fn merged_name(rest: &[u8]) -> Option<(u64, &[u8])> {
    let dot = memchr::memchr(b'.', rest)?;
    let (digits, name) = rest.split_at_checked(dot)?;
    if !matches!(digits.first()?, b'1'..=b'9') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let name = name.get(1..)?;
    (!name.is_empty()).then_some((number, name))
}

/// The name of a merged update.
pub(super) fn merged(number: u64, name: &[u8]) -> Vec<u8> {
    let mut merged = format!(".{number}.").into_bytes();
    merged.extend_from_slice(name);
    merged
}

/// True for a file that no later try will read either: forbidden, or so large that it cannot be one of these.
pub(super) fn is_hopeless(error: &Error) -> bool {
    error.kind() == ErrorKind::Denied || error.errno() == Some(Errno::EFBIG)
}

/// Opens a file of the listing. Names are used again, for other files: on a network file system this host may remember
/// what the name led to before, or that there was none.
fn open_listed(keywords: &Dir, name: &[u8], inode: u64) -> Result<Option<(File, FileStat)>> {
    let opened = keywords.open_file(name)?;
    let listed = opened
        .as_ref()
        .is_some_and(|(_, stat)| stat.st_ino == inode);
    if !listed && keywords.look_again(name) {
        return keywords.open_file(name);
    }
    Ok(opened)
}

/// What the updates say; `None` if the directory changed in a way that leaves that open.
pub(super) fn read(
    keywords: &Dir,
    look: &Look<'_>,
    pending: &Pending,
    table: &mut KeywordTable,
    warn: &dyn Fn(&Error),
) -> Result<Option<HashMap<Vec<u8>, KeywordSet>>> {
    let mut names_of: HashMap<u64, u32> = HashMap::new();
    for (name, update) in &pending.updates {
        if let Some((_, inode)) = update.file(name) {
            *names_of.entry(inode).or_default() += 1;
        }
    }
    let mut contents = HashMap::with_capacity(pending.updates.len());
    // Open, so that the number stays that file's until the directory has been listed again.
    let mut shared: HashMap<u64, (KeywordSet, File)> = HashMap::new();
    for (name, update) in &pending.updates {
        let Some((file, inode)) = update.file(name) else {
            continue;
        };
        if let Some((set, _)) = shared.get(&inode) {
            contents.insert(name.clone(), *set);
            continue;
        }
        let read = match open_listed(keywords, &file, inode) {
            Ok(Some((opened, stat))) => keywords
                .read_opened(&file, &opened, &stat, keywords::UPDATE_LIMIT)
                .map(|bytes| (bytes, opened, stat)),
            Ok(None) => {
                if keywords
                    .stat(&file)?
                    .is_some_and(|stat| !files::is_regular(&stat))
                {
                    // A directory, link or FIFO: no update of ours.
                    continue;
                }
                // Somebody merged it meanwhile.
                return Ok(None);
            }
            Err(error) => Err(error),
        };
        let (bytes, opened, stat) = match read {
            Ok(read) => read,
            Err(error) if is_hopeless(&error) => {
                warn(&error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let set = keywords::parse_update(&bytes, table);
        contents.insert(name.clone(), set);
        let several = names_of.get(&inode).is_some_and(|names| *names > 1);
        if several && stat.st_ino == inode && shared.len() < SHARED {
            shared.insert(inode, (set, opened));
        }
    }
    // Asked in any case: on a network file system this makes the host forget an old listing.
    let quiet = keywords.stamp()? == look.stamp && look.settled;
    if pending.updates.is_empty() && quiet {
        return Ok(Some(contents));
    }
    if quiet {
        return Ok(Some(contents));
    }
    (look.refresh)()?;
    let certain = pending.covers(&Pending::of(keywords)?);
    Ok(certain.then_some(contents))
}
