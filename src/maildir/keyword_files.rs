//! `courierimapkeywords/`: loading and changing keywords by the original's protocol (contract: maildir 7.2, 7.3).
//!
//! A change of one message is a file named by its base name with the complete new set, put in place by link() so
//! that a pending one is never overwritten. Whoever loads folds pending files into `:list` and keeps them as
//! `.N.BASENAME` for a while, for readers of an older `:list`.

mod updates;

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmodat, fstat, utimensat};
use nix::sys::time::TimeSpec;

use super::error::{Error, ErrorKind, Result};
use super::filename::TmpName;
use super::files::{self, Dir, Stamp};
use super::keywords::{self, KeywordSet, KeywordTable};
use super::lock::Lock;
use super::options::{Options, Sync};
use updates::{Look, Pending, merged};

/// The directory's name in the folder.
pub(crate) const DIRECTORY: &[u8] = b"courierimapkeywords";
const LIST: &[u8] = b":list";

/// Rounds of loading beside other loaders before giving up, and of links beside other writers.
const ROUNDS: u32 = 1000;
/// For how long the lock is believed to be ours while links are made.
const FENCED_FOR: Duration = Duration::from_secs(5);
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
    /// What another host did before now must be seen: the caller holds the lock to change it.
    pub(crate) current: bool,
    /// The file server's time, asked once for each look.
    pub(crate) now: &'a dyn Fn() -> Option<SystemTime>,
    /// How long two changes may carry the same time.
    pub(crate) window: Duration,
    /// Told of files that are passed over.
    pub(crate) warn: &'a dyn Fn(&Error),
}

/// What a load found out beside the sets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loaded {
    /// The directory's stamp before anything was read.
    pub(crate) stamp: Stamp,
    /// Equal times later mean that nothing has changed.
    pub(crate) settled: bool,
}

/// Loads the keywords of the known messages into `sets`; `None` without a directory of them.
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
) -> Result<Option<Loaded>> {
    let keywords = match dir.open_dir(DIRECTORY) {
        Ok(keywords) => keywords,
        Err(error) if error.kind() == ErrorKind::NoSuchFolder => return Ok(None),
        Err(error) => return Err(error),
    };
    let refresh = || match known.current && keywords.is_on_network() {
        true => refresh(&keywords, options),
        false => Ok(()),
    };
    refresh()?;
    for round in 0..ROUNDS {
        if round > 10 {
            // A name that is listed may stay invisible for a while on a network file system.
            std::thread::sleep(Duration::from_millis(1));
        }
        let stamp = keywords.stamp()?;
        let settled = (known.now)().is_some_and(|now| !stamp.is_racy(now, known.window));
        let now = seconds();
        let pending = Pending::of(&keywords)?;
        let look = Look {
            stamp,
            settled,
            refresh: &refresh,
        };
        let Some(contents) = updates::read(&keywords, &look, &pending, table, known.warn)? else {
            continue;
        };
        let mut tidy = known.tidy;
        if tidy {
            pending.tidy(&keywords);
        }
        let mut save = pending.iter().any(|(_, update)| update.fresh.is_some());
        let said = || {
            let updates = pending.iter().zip(&contents);
            updates.filter_map(|((name, _), set)| Some((name, (*set)?)))
        };
        for (name, set) in said() {
            let position = known.index.get(name);
            if let Some(slot) = position.and_then(|position| sets.get_mut(*position)) {
                *slot = set;
            }
        }
        let list = match keywords.read(LIST, keywords::LIMIT) {
            Ok(list) => list.map(|(bytes, _)| bytes).unwrap_or_default(),
            Err(error) if updates::is_hopeless(&error) => {
                (known.warn)(&error);
                // What is only forbidden may be allowed again: it is not replaced.
                tidy &= error.kind() != ErrorKind::Denied;
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let mut strangers = Vec::new();
        // What the list says beside updates, in their order.
        let mut listed = vec![KeywordSet::EMPTY; contents.len()];
        keywords::parse_list(&list, table, |name, set| {
            let update = pending.position(name);
            if let Some(at) = update.filter(|at| contents.get(*at).is_some_and(Option::is_some)) {
                if let Some(place) = listed.get_mut(at) {
                    *place = set;
                }
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
            strangers.extend(said().filter(|(name, _)| !known.index.contains_key(name)));
        }
        if tidy {
            for (((name, update), content), listed) in pending.iter().zip(&contents).zip(&listed) {
                if !updates::is_expired(&keywords, name, &update, now) {
                    continue;
                }
                let Some((number, _)) = update.merged else {
                    continue;
                };
                // A slower session may have put an older list in place: then this file is all that knows better.
                let gone = known.complete && !known.index.contains_key(name);
                let in_list = content.is_none_or(|set| set == *listed);
                if gone || in_list {
                    // Best effort, as all tidying.
                    let _ = keywords.remove(&merged(number, name));
                } else {
                    save = true;
                }
            }
        }
        if tidy && save {
            // Best effort: whoever loads next has the same information.
            let _ = fold(
                &keywords, tmp, options, known, table, sets, &strangers, &pending,
            );
        }
        return Ok(Some(Loaded { stamp, settled }));
    }
    Err(Error::new(ErrorKind::Io, "load keywords", keywords.path()))
}

/// Changes the directory, so that this host forgets how it was. A listing from just before another host's change can
/// carry the same times as one from just after it.
pub(crate) fn refresh(keywords: &Dir, options: &Options) -> Result<()> {
    let mut name = format!(".tmp.{}", seconds()).into_bytes();
    name.extend_from_slice(&TmpName::new("keywords", &options.host).tmp());
    keywords.create(&name, 0o644)?;
    keywords.remove(&name)
}

/// Seconds since 1970.
fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
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
    pending: &Pending,
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
    for (name, update) in pending.iter() {
        if update.fresh.is_none() {
            continue;
        }
        retire(keywords, name, merged_number(update.merged))?;
    }
    Ok(())
}

/// The number to merge an update under beside the one that is merged already.
fn merged_number(merged: Option<(u64, u64)>) -> u64 {
    (seconds() / 300 + 1).max(merged.map_or(0, |(number, _)| number))
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

/// Opens the directory, making it if it is missing, `durable` for good.
pub(crate) fn open_or_create(dir: &Dir, durable: bool) -> Result<Dir> {
    match dir.open_dir(DIRECTORY) {
        Err(error) if error.kind() == ErrorKind::NoSuchFolder => {}
        other => return other,
    }
    match dir.mkdir(DIRECTORY, 0o700) {
        // Made meanwhile, or no directory: whatever it is, it is not ours to change.
        Err(error) if error.errno() == Some(Errno::EEXIST) => {
            let opened = dir.open_dir(DIRECTORY);
            return opened.map_err(|error| error.with_kind(ErrorKind::Io));
        }
        made => made?,
    }
    let folder = fstat(dir).map_err(|errno| Error::io("stat", dir.path(), errno))?;
    fchmodat(
        dir,
        DIRECTORY,
        Mode::from_bits_truncate(folder.st_mode & 0o777),
        FchmodatFlags::FollowSymlink,
    )
    .map_err(|errno| dir.error("chmod", DIRECTORY, errno))?;
    if durable {
        dir.sync()?;
    }
    dir.open_dir(DIRECTORY)
}

/// Records new keyword sets of messages, given by base name. Messages with equal sets share one file by hard
/// links, so a STORE of one keyword on thousands of messages writes one file.
///
/// The sets were made from what was read under `lock`: it must be held still when they are put in place.
///
/// # Errors
/// `Locked` if it is not; otherwise what the files say. Some of the messages may have been changed then.
pub(crate) fn write(
    dir: &Dir,
    tmp: &Dir,
    options: &Options,
    table: &KeywordTable,
    updates: &[(&[u8], KeywordSet)],
    durable: bool,
    lock: Option<&Lock<'_>>,
) -> Result<()> {
    if updates.is_empty() {
        return Ok(());
    }
    let keywords = open_or_create(dir, durable)?;
    let mut by_set: HashMap<KeywordSet, Vec<&[u8]>> = HashMap::new();
    for (name, set) in updates {
        by_set.entry(*set).or_default().push(name);
    }
    for (set, names) in by_set {
        let content = keywords::encode_update(table, set);
        for names in names.chunks(LINKS) {
            write_linked(&keywords, tmp, options, &content, names, durable, lock)?;
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
    lock: Option<&Lock<'_>>,
) -> Result<()> {
    // Whoever takes the lock over removes what was made under it, by its name.
    let purpose = lock.map_or("newkeywords", |_| "keywords");
    let (unique, file) = tmp.create_unique(purpose, &options.host, 0o644)?;
    let unique = unique.tmp();
    let mut staged = format!(".tmp.{}", seconds()).into_bytes();
    staged.extend_from_slice(&unique);
    let path = tmp.path_of(&unique);
    let prepared = files::write_all(&file, content, durable, &path).and_then(|stat| {
        if tmp.is_on_network() && !durable {
            files::check_close(&file, &path)?;
        }
        tmp.replace(&unique, keywords, &staged).map(|()| stat)
    });
    let stat = match prepared {
        Ok(stat) => stat,
        Err(error) => {
            // The failure itself is reported; a leftover is purged after 36 hours.
            let _ = tmp.remove(&unique);
            return Err(error);
        }
    };
    let identity = (stat.st_dev, stat.st_ino);
    let fence = || match lock.map_or(Ok(true), Lock::is_ours) {
        Ok(true) => Ok(Instant::now()),
        Ok(false) => Err(Error::new(ErrorKind::Locked, "lock", tmp.path())),
        Err(error) => Err(error),
    };
    let result = fence().and_then(|mut fenced| {
        for name in names {
            // Stopped for long between two of them: on a network file system the link can be made although whoever
            // took our lock over has removed the name that it is made from.
            if fenced.elapsed() > FENCED_FOR {
                fenced = fence()?;
            }
            link_update(keywords, &staged, name, identity)?;
        }
        Ok(())
    });
    keywords.remove(&staged)?;
    result
}

/// Links the staged file to `name`, retiring an update that is already pending there: ours has the complete set,
/// so the pending one need not be merged first, only stay readable until ours is in place.
fn link_update(keywords: &Dir, staged: &[u8], name: &[u8], identity: (u64, u64)) -> Result<()> {
    for _ in 0..ROUNDS {
        match keywords.link(staged, keywords, name) {
            Ok(()) => return Ok(()),
            Err(Errno::EEXIST) => {}
            // Whoever took our lock over has removed what we had ready.
            Err(Errno::ENOENT) => {
                let error = keywords.error("link", name, Errno::ENOENT);
                return Err(error.with_kind(ErrorKind::Locked));
            }
            Err(errno) => return Err(keywords.error("link", name, errno)),
        }
        // A lost reply on a network file system looks like this, too.
        if keywords
            .stat(name)?
            .is_some_and(|stat| (stat.st_dev, stat.st_ino) == identity)
        {
            return Ok(());
        }
        // Not below what is merged already, or the older one would count: another host's clock may be ahead.
        let merged = Pending::of(keywords)?
            .get(name)
            .and_then(|update| update.merged);
        retire(keywords, name, merged_number(merged))?;
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
