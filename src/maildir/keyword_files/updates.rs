//! The update files of a keyword directory and what they say (contract: maildir 7.2, 7.3).
//!
//! Others rename and replace these files while they are listed and read. Such a listing can miss a file under its old
//! and its new name, and an inode number that it gave can belong to another file by the time that is opened. So the
//! directory is listed again after reading, unless its times say that nothing can have happened.

use std::collections::HashMap;
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

    /// Of the file that counts.
    fn inode(&self) -> Option<u64> {
        self.fresh.or_else(|| self.merged.map(|(_, inode)| inode))
    }
}

/// A file of the listing: where its base name is, its number (0 for `BASENAME` itself), its inode.
struct Listed {
    at: u32,
    length: u16,
    number: u64,
    inode: u64,
}

/// The updates of one message; numbers and inodes mean something as far as the flags say.
struct Slot {
    at: u32,
    length: u16,
    fresh: bool,
    merged: bool,
    fresh_inode: u64,
    number: u64,
    merged_inode: u64,
}

/// The update files in the directory, by base name. Packed: after a STORE on all messages there are as many.
#[derive(Default)]
pub(super) struct Pending {
    names: Vec<u8>,
    /// By name.
    slots: Vec<Slot>,
    /// Files that say nothing: merged ones with a smaller number, and dot files of other forms.
    losers: Vec<Vec<u8>>,
    leftovers: Vec<Vec<u8>>,
}

impl Pending {
    pub(super) fn of(keywords: &Dir) -> Result<Self> {
        let mut found = Self::default();
        let mut listed: Vec<Listed> = Vec::new();
        keywords.list(|entry| {
            if entry.name == LIST {
                return;
            }
            let (number, name) = match entry.name.strip_prefix(b".").map(merged_name) {
                None => (0, entry.name),
                Some(Some(merged)) => merged,
                Some(None) => return found.leftovers.push(entry.name.to_vec()),
            };
            let place = (u32::try_from(found.names.len()), u16::try_from(name.len()));
            if let (Ok(at), Ok(length)) = place {
                found.names.extend_from_slice(name);
                let inode = entry.inode;
                listed.push(Listed {
                    at,
                    length,
                    number,
                    inode,
                });
            }
        })?;
        let name = |file: &Listed| slice(&found.names, file.at, file.length);
        // The last of the same name counts: one can be listed twice.
        listed.sort_unstable_by(|a, b| {
            let order = name(a).cmp(name(b)).then(a.number.cmp(&b.number));
            order.then(a.at.cmp(&b.at))
        });
        let messages = listed.chunk_by(|a, b| name(a) == name(b));
        let mut slots = Vec::with_capacity(messages.clone().count());
        for files in messages {
            let Some(best) = files.last() else {
                continue;
            };
            let fresh = files.iter().rev().find(|file| file.number == 0);
            slots.push(Slot {
                at: best.at,
                length: best.length,
                fresh: fresh.is_some(),
                merged: best.number > 0,
                fresh_inode: fresh.map_or(0, |file| file.inode),
                number: best.number,
                merged_inode: best.inode,
            });
            let losers = files.iter().filter(|file| file.number > 0);
            let losers = losers.filter(|file| file.number < best.number);
            found
                .losers
                .extend(losers.map(|file| merged(file.number, name(file))));
        }
        found.slots = slots;
        Ok(found)
    }

    /// How many messages have updates.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn name(&self, slot: &Slot) -> &[u8] {
        slice(&self.names, slot.at, slot.length)
    }

    /// The messages that have updates, by base name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Update)> {
        self.slots
            .iter()
            .map(|slot| (self.name(slot), slot.update()))
    }

    /// Position of a message in [`Self::iter`].
    pub(super) fn position(&self, name: &[u8]) -> Option<usize> {
        let found = self
            .slots
            .binary_search_by(|slot| self.name(slot).cmp(name));
        found.ok()
    }

    /// What is pending for a message.
    pub(super) fn get(&self, name: &[u8]) -> Option<Update> {
        let slot = self.slots.get(self.position(name)?)?;
        Some(slot.update())
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

    /// True if for each message that the directory lists now the file that counts is the one in here. Nothing is kept
    /// of that listing but two bits for each message.
    fn covers(&self, keywords: &Dir) -> Result<bool> {
        const COUNTS: u8 = 1;
        const OTHER: u8 = 2;
        let mut seen = vec![0_u8; self.slots.len()];
        let mut covered = true;
        keywords.list(|entry| {
            if entry.name == LIST {
                return;
            }
            let (number, name) = match entry.name.strip_prefix(b".").map(merged_name) {
                None => (0, entry.name),
                Some(Some(merged)) => merged,
                Some(None) => return,
            };
            let known = self.position(name);
            let found = known.and_then(|at| Some((self.slots.get(at)?, seen.get_mut(at)?)));
            let Some((slot, seen)) = found else {
                covered = false;
                return;
            };
            let counts = match slot.fresh {
                true => (0, slot.fresh_inode),
                false => (slot.number, slot.merged_inode),
            };
            if (number, entry.inode) == counts {
                *seen |= COUNTS;
            } else if number > 0 && (slot.fresh || number < slot.number) {
                // As long as the one that counts is there, too.
                *seen |= OTHER;
            } else {
                covered = false;
            }
        })?;
        Ok(covered && !seen.contains(&OTHER))
    }
}

impl Slot {
    fn update(&self) -> Update {
        Update {
            fresh: self.fresh.then_some(self.fresh_inode),
            merged: self.merged.then_some((self.number, self.merged_inode)),
        }
    }
}

fn slice(names: &[u8], at: u32, length: u16) -> &[u8] {
    let start = usize::try_from(at).unwrap_or(usize::MAX);
    let rest = names.get(start..).unwrap_or_default();
    rest.get(..usize::from(length)).unwrap_or_default()
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

/// What the updates say, in the order of [`Pending::iter`], nothing where a file is no update; `None` if the directory
/// changed in a way that leaves that open.
pub(super) fn read(
    keywords: &Dir,
    look: &Look<'_>,
    pending: &Pending,
    table: &mut KeywordTable,
    warn: &dyn Fn(&Error),
) -> Result<Option<Vec<Option<KeywordSet>>>> {
    let mut names_of: HashMap<u64, u32> = HashMap::new();
    for inode in pending.iter().filter_map(|(_, update)| update.inode()) {
        *names_of.entry(inode).or_default() += 1;
    }
    let mut contents = vec![None; pending.len()];
    // Open, so that the number stays that file's until the directory has been listed again.
    let mut shared: HashMap<u64, (KeywordSet, File)> = HashMap::new();
    for ((name, update), content) in pending.iter().zip(&mut contents) {
        let known = update.inode().and_then(|inode| shared.get(&inode));
        if let Some((set, _)) = known {
            *content = Some(*set);
            continue;
        }
        let Some((file, inode)) = update.file(name) else {
            continue;
        };
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
        *content = Some(set);
        let several = names_of.get(&inode).is_some_and(|names| *names > 1);
        if several && stat.st_ino == inode && shared.len() < SHARED {
            shared.insert(inode, (set, opened));
        }
    }
    // Asked in any case: on a network file system this makes the host forget an old listing.
    let quiet = keywords.stamp()? == look.stamp && look.settled;
    if quiet {
        return Ok(Some(contents));
    }
    (look.refresh)()?;
    Ok(pending.covers(keywords)?.then_some(contents))
}
