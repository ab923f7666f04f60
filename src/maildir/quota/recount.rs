//! Counting all messages that the quota counts (contract: quota 2.1, 2.2).

use std::time::SystemTime;

use super::account::{Amount, FILE, Tally, counts};
use super::limits::QuotaLimits;
use crate::maildir::error::{ErrorKind, Result};
use crate::maildir::filename;
use crate::maildir::files::{self, Dir};
use crate::maildir::name::FolderName;
use crate::sys::dir::Kind;

/// Counts during which something changed, before the last one is taken as it is.
const TRIES: u32 = 5;

/// Counts the maildir `dir` and replaces its `maildirsize`.
pub(super) fn recount(dir: &Dir, limits: QuotaLimits, host: &str) -> Result<Tally> {
    let tmp = dir.open_dir(b"tmp")?;
    let mut tries = 0;
    loop {
        let before = newest(dir)?;
        let used = count(dir)?;
        let text = format!(
            "{}\n{:>12} {:>12}\n",
            limits.to_text(),
            used.bytes,
            used.messages
        );
        // It can be counted anew at any time, so nobody waits for the disk.
        files::replace_file(
            &tmp,
            dir,
            FILE,
            text.as_bytes(),
            "NeWmAiLdIrSiZe",
            host,
            false,
        )?;
        tries += 1;
        if tries >= TRIES || newest(dir)? == before {
            return Ok(Tally {
                limits,
                used,
                lines: 1,
                size: u64::try_from(text.len()).unwrap_or(0),
                modified: SystemTime::now(),
            });
        }
    }
}

/// The folders with their messages' directories: INBOX and every directory `.NAME` that is no link.
fn places(dir: &Dir) -> Result<Vec<(FolderName, Vec<u8>)>> {
    let mut places = Vec::new();
    let mut add = |name: FolderName| {
        for part in [&b"/cur"[..], b"/new"] {
            places.push((name.clone(), [&name.directory(), part].concat()));
        }
    };
    add(FolderName::inbox());
    dir.list(|entry| {
        if matches!(entry.kind, Kind::Directory | Kind::Unknown) {
            if let Some(Ok(name)) = entry.name.strip_prefix(b".").map(FolderName::new) {
                add(name);
            }
        }
    })?;
    Ok(places)
}

fn count(dir: &Dir) -> Result<Amount> {
    let mut used = Amount::default();
    for (name, path) in places(dir)? {
        if !counts(&name, crate::maildir::Flags::NONE) {
            continue;
        }
        let place = match dir.open_dir_with(&path, nix::fcntl::OFlag::O_NOFOLLOW) {
            Ok(place) => place,
            // Not a folder, or not any more.
            Err(error) if error.kind() == ErrorKind::NoSuchFolder => continue,
            Err(error) => return Err(error),
        };
        let mut unsized_names = Vec::new();
        place.list(|entry| {
            let is_message = !entry.name.starts_with(b".") && entry.kind != Kind::Directory;
            if is_message && counts(&name, filename::flags(entry.name)) {
                match filename::stored_size(entry.name) {
                    Some(size) => used.add(size),
                    None => unsized_names.push(entry.name.to_vec()),
                }
            }
        })?;
        for name in unsized_names {
            if let Some(stat) = place.stat(&name)? {
                used.add(u64::try_from(stat.st_size).unwrap_or(0));
            }
        }
    }
    Ok(used)
}

/// The latest change of any of the directories.
fn newest(dir: &Dir) -> Result<Option<(i64, i64)>> {
    let mut newest = None;
    for (_, path) in places(dir)? {
        match dir.stat(&path) {
            Ok(Some(stat)) => newest = newest.max(Some((stat.st_mtime, stat.st_mtime_nsec))),
            Ok(None) => {}
            Err(error) if error.errno() == Some(nix::errno::Errno::ENOTDIR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(newest)
}
