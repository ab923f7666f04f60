//! `courierimapkeywords/`: loading and changing keywords by the original's protocol (contract: maildir 7.2, 7.3).
//!
//! A change of one message is a file named by its base name with the complete new set, put in place by link() so
//! that a pending one is never overwritten. Whoever loads folds pending files into `:list` and keeps them as
//! `.N.BASENAME` for a while, for readers of an older `:list`.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmodat, fstat, utimensat};
use nix::sys::time::TimeSpec;

use super::error::{Error, ErrorKind, Result};
use super::files::{self, Dir, Stamp};
use super::keywords::{self, KeywordSet, KeywordTable};
use super::options::{Options, Sync};

/// The directory's name in the folder.
pub(crate) const DIRECTORY: &[u8] = b"courierimapkeywords";
const LIST: &[u8] = b":list";

/// How long merged and half-made update files are kept.
const KEEP: Duration = Duration::from_secs(15 * 60);
/// Rounds of loading beside other loaders before giving up, and of links beside other writers.
const ROUNDS: u32 = 1000;
/// Links made to one content file; below the limit of any file system in use.
const LINKS: usize = 30_000;

/// The messages whose keywords are wanted.
pub(crate) struct Known<'a> {
    /// From base name to position in the sets.
    pub(crate) index: &'a HashMap<&'a [u8], usize>,
    /// False if messages may exist that the index does not have; then nothing about unknown ones is dropped.
    pub(crate) complete: bool,
    /// False: change nothing on disk.
    pub(crate) tidy: bool,
}

/// What is pending for one message.
#[derive(Default)]
struct Update {
    fresh: Option<u64>,
    merged: Option<(u64, u64)>,
}

/// Loads the keywords of the known messages into `sets` and returns the directory's stamp; `None` without one.
///
/// # Errors
/// Unreadable directory or files. A failure to fold pending updates is not one.
pub(crate) fn load(
    dir: &Dir,
    tmp: &Dir,
    options: &Options,
    known: &Known<'_>,
    table: &mut KeywordTable,
    sets: &mut [KeywordSet],
) -> Result<Option<Stamp>> {
    let keywords = match dir.open_dir(DIRECTORY) {
        Ok(keywords) => keywords,
        Err(error) if error.kind() == ErrorKind::NoSuchFolder => return Ok(None),
        Err(error) => return Err(error),
    };
    for _ in 0..ROUNDS {
        let stamp = keywords.stamp()?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let updates = pending(&keywords, known.tidy, now)?;
        let Some(contents) = read_updates(&keywords, &updates, table)? else {
            // Somebody folded one of them under us.
            continue;
        };
        let mut save = updates.values().any(|update| update.fresh.is_some());
        for (name, set) in &contents {
            if let Some(slot) = known
                .index
                .get(name.as_slice())
                .and_then(|position| sets.get_mut(*position))
            {
                *slot = *set;
            }
        }
        let list = keywords
            .read(LIST, keywords::LIMIT)?
            .map(|(bytes, _)| bytes)
            .unwrap_or_default();
        let mut strangers = Vec::new();
        keywords::parse_list(&list, table, |name, set| {
            if contents.contains_key(name) {
                return;
            }
            match known.index.get(name) {
                Some(position) => {
                    if let Some(slot) = sets.get_mut(*position) {
                        *slot = set;
                    }
                }
                None if known.complete => save = true,
                None => strangers.push((name, set)),
            }
        });
        if !known.complete {
            strangers.extend(
                contents
                    .iter()
                    .filter(|(name, _)| !known.index.contains_key(name.as_slice()))
                    .map(|(name, set)| (name.as_slice(), *set)),
            );
        }
        if known.tidy && save {
            // Best effort: whoever loads next has the same information.
            let _ = fold(
                &keywords, tmp, options, known, table, sets, &strangers, &updates, now,
            );
            return Ok(Some(keywords.stamp()?));
        }
        return Ok(Some(stamp));
    }
    Err(Error::new(ErrorKind::Io, "load keywords", keywords.path()))
}

/// The update files in the directory. Losers and leftovers go when `tidy`.
fn pending(keywords: &Dir, tidy: bool, now: u64) -> Result<BTreeMap<Vec<u8>, Update>> {
    let mut updates: BTreeMap<Vec<u8>, Update> = BTreeMap::new();
    let mut losers = Vec::new();
    let mut leftovers = Vec::new();
    keywords.list(|entry| {
        if entry.name == LIST {
            return;
        }
        let Some(rest) = entry.name.strip_prefix(b".") else {
            updates.entry(entry.name.to_vec()).or_default().fresh = Some(entry.inode);
            return;
        };
        let Some((number, name)) = merged_name(rest) else {
            leftovers.push(entry.name.to_vec());
            return;
        };
        let update = updates.entry(name.to_vec()).or_default();
        match update.merged {
            Some((best, _)) if best >= number => losers.push(entry.name.to_vec()),
            best => {
                if let Some((best, _)) = best {
                    losers.push(merged(best, name));
                }
                update.merged = Some((number, entry.inode));
            }
        }
    })?;
    if tidy {
        // Failures are left for the next load: none of these files says anything any more.
        for name in losers {
            let _ = keywords.remove(&name);
        }
        for name in leftovers {
            remove_if_old(keywords, &name);
        }
        updates.retain(|name, update| match update.merged {
            Some((number, _))
                if update.fresh.is_none()
                    && number.saturating_mul(300).saturating_add(KEEP.as_secs()) < now =>
            {
                !remove_if_old(keywords, &merged(number, name))
            }
            _ => true,
        });
    }
    Ok(updates)
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

fn merged(number: u64, name: &[u8]) -> Vec<u8> {
    let mut merged = format!(".{number}.").into_bytes();
    merged.extend_from_slice(name);
    merged
}

/// Removes a file last touched more than 15 minutes ago; true if it is gone.
fn remove_if_old(keywords: &Dir, name: &[u8]) -> bool {
    match keywords.stat(name) {
        Ok(None) => true,
        Ok(Some(stat)) => {
            SystemTime::now()
                .duration_since(files::modified(&stat))
                .is_ok_and(|age| age > KEEP)
                && keywords.remove(name).is_ok()
        }
        Err(_) => false,
    }
}

/// Reads all updates; `None` if one vanished meanwhile. Files that are links of one are read once.
fn read_updates(
    keywords: &Dir,
    updates: &BTreeMap<Vec<u8>, Update>,
    table: &mut KeywordTable,
) -> Result<Option<HashMap<Vec<u8>, KeywordSet>>> {
    let mut contents = HashMap::with_capacity(updates.len());
    let mut by_inode: HashMap<u64, KeywordSet> = HashMap::new();
    for (name, update) in updates {
        let (file, inode) = match (update.fresh, update.merged) {
            (Some(inode), _) => (name.clone(), inode),
            (None, Some((number, inode))) => (merged(number, name), inode),
            (None, None) => continue,
        };
        if let Some(set) = by_inode.get(&inode) {
            contents.insert(name.clone(), *set);
            continue;
        }
        let Some((bytes, _)) = keywords.read(&file, keywords::LIMIT)? else {
            if keywords.stat(&file)?.is_some() {
                // A directory, link or FIFO: no update of ours.
                continue;
            }
            return Ok(None);
        };
        let set = keywords::parse_update(&bytes, table);
        by_inode.insert(inode, set);
        contents.insert(name.clone(), set);
    }
    Ok(Some(contents))
}

/// Writes a new `:list` and retires the fresh updates.
#[allow(
    clippy::too_many_arguments,
    reason = "one step of `load`, split off to be readable"
)]
fn fold(
    keywords: &Dir,
    tmp: &Dir,
    options: &Options,
    known: &Known<'_>,
    table: &KeywordTable,
    sets: &[KeywordSet],
    strangers: &[(&[u8], KeywordSet)],
    updates: &BTreeMap<Vec<u8>, Update>,
    now: u64,
) -> Result<()> {
    let mut messages: Vec<(&[u8], KeywordSet)> = known
        .index
        .iter()
        .filter_map(|(name, position)| Some((*name, *sets.get(*position)?)))
        .filter(|(_, set)| !set.is_empty())
        .collect();
    messages.extend_from_slice(strangers);
    messages.sort_unstable_by_key(|(name, _)| *name);
    files::replace_file(
        tmp,
        keywords,
        LIST,
        &keywords::encode_list(table, messages.into_iter()),
        "keywords",
        &options.host,
        options.sync != Sync::Never,
    )?;
    for (name, update) in updates {
        if update.fresh.is_none() {
            continue;
        }
        let number = (now / 300 + 1).max(update.merged.map_or(0, |(number, _)| number));
        retire(keywords, name, number)?;
    }
    Ok(())
}

/// Makes a pending update a merged one.
fn retire(keywords: &Dir, name: &[u8], number: u64) -> Result<()> {
    let now = TimeSpec::UTIME_NOW;
    match utimensat(keywords, name, &now, &now, UtimensatFlags::NoFollowSymlink) {
        Ok(()) => {}
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(keywords.error("utimens", name, errno)),
    }
    match keywords.replace(name, keywords, &merged(number, name)) {
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(()),
        other => other,
    }
}

/// Opens the directory, making it if it is missing.
pub(crate) fn open_or_create(dir: &Dir) -> Result<Dir> {
    match dir.open_dir(DIRECTORY) {
        Err(error) if error.kind() == ErrorKind::NoSuchFolder => {}
        other => return other,
    }
    match dir.mkdir(DIRECTORY, 0o700) {
        Err(error) if error.errno() != Some(Errno::EEXIST) => return Err(error),
        _ => {}
    }
    let folder = fstat(dir).map_err(|errno| Error::io("stat", dir.path(), errno))?;
    fchmodat(
        dir,
        DIRECTORY,
        Mode::from_bits_truncate(folder.st_mode & 0o777),
        FchmodatFlags::FollowSymlink,
    )
    .map_err(|errno| dir.error("chmod", DIRECTORY, errno))?;
    dir.open_dir(DIRECTORY)
}

/// Records new keyword sets of messages, given by base name. Messages with equal sets share one file by hard
/// links, so a STORE of one keyword on thousands of messages writes one file.
///
/// # Errors
/// What the files say; some of the messages may have been changed then.
pub(crate) fn write(
    dir: &Dir,
    tmp: &Dir,
    options: &Options,
    table: &KeywordTable,
    updates: &[(&[u8], KeywordSet)],
    durable: bool,
) -> Result<()> {
    if updates.is_empty() {
        return Ok(());
    }
    let keywords = open_or_create(dir)?;
    let mut by_set: HashMap<KeywordSet, Vec<&[u8]>> = HashMap::new();
    for (name, set) in updates {
        by_set.entry(*set).or_default().push(name);
    }
    for (set, names) in by_set {
        let content = keywords::encode_update(table, set);
        for names in names.chunks(LINKS) {
            write_linked(&keywords, tmp, options, &content, names, durable)?;
        }
    }
    if durable {
        keywords.sync()?;
    }
    Ok(())
}

fn write_linked(
    keywords: &Dir,
    tmp: &Dir,
    options: &Options,
    content: &[u8],
    names: &[&[u8]],
    durable: bool,
) -> Result<()> {
    let (unique, file) = tmp.create_unique("keywords", &options.host, 0o644)?;
    let unique = unique.tmp();
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let mut staged = format!(".tmp.{seconds}").into_bytes();
    staged.extend_from_slice(&unique);
    let prepared = files::write_all(&file, content, durable, &tmp.path_of(&unique))
        .and_then(|stat| tmp.replace(&unique, keywords, &staged).map(|()| stat));
    let stat = match prepared {
        Ok(stat) => stat,
        Err(error) => {
            // The failure itself is reported; a leftover is purged after 36 hours.
            let _ = tmp.remove(&unique);
            return Err(error);
        }
    };
    let result = names.iter().try_for_each(|name| {
        link_update(keywords, &staged, name, (stat.st_dev, stat.st_ino), seconds)
    });
    keywords.remove(&staged)?;
    result
}

/// Links the staged file to `name`, retiring an update that is already pending there: ours has the complete set,
/// so the pending one need not be merged first, only stay readable until ours is in place.
fn link_update(
    keywords: &Dir,
    staged: &[u8],
    name: &[u8],
    identity: (u64, u64),
    seconds: u64,
) -> Result<()> {
    for _ in 0..ROUNDS {
        match keywords.link(staged, keywords, name) {
            Ok(()) => return Ok(()),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(keywords.error("link", name, errno)),
        }
        // A lost reply on a network file system looks like this, too.
        if keywords
            .stat(name)?
            .is_some_and(|stat| (stat.st_dev, stat.st_ino) == identity)
        {
            return Ok(());
        }
        retire(keywords, name, seconds / 300 + 1)?;
    }
    Err(Error::new(
        ErrorKind::Locked,
        "link",
        &keywords.path_of(name),
    ))
}

/// Takes back updates written for messages that were not filed after all.
pub(crate) fn forget(dir: &Dir, names: &[&[u8]]) {
    if let Ok(keywords) = dir.open_dir(DIRECTORY) {
        for name in names {
            // An update of a message that does not exist is dropped by the next load anyway.
            let _ = keywords.remove(name);
        }
    }
}

#[cfg(test)]
mod tests;
