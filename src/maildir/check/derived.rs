//! Our own files of derived data: whether they are whole, and removing them before other software takes over.

use std::path::{Path, PathBuf};

use super::{Checker, Level, Place, is, kind_of};
use crate::maildir::error::{Error, Result};
use crate::maildir::files::Dir;
use crate::maildir::name::FolderName;
use crate::maildir::{cache, index, maildrop, modseq};

/// Files whose names begin so are ours and can be computed anew from messages, names and UIDs.
const DERIVED: [&[u8]; 2] = [cache::FILE_NAME.as_bytes(), index::NAME];

/// True for names of derived files: one of the above, alone or with a dot and more.
fn is_derived(name: &[u8]) -> bool {
    DERIVED.iter().any(|ours| {
        name.strip_prefix(*ours)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
    })
}

/// The names of all derived files in a folder.
fn derived(dir: &Dir) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    dir.list(|entry| {
        if is_derived(entry.name) {
            names.push(entry.name.to_vec());
        }
    })?;
    names.sort();
    Ok(names)
}

impl Checker<'_> {
    pub(super) fn derived(&mut self, place: &Place) {
        let names = match derived(&place.dir) {
            Ok(names) => names,
            Err(error) => {
                return self.problem(&place.name, b"", "unreadable", &error.to_string());
            }
        };
        for name in names {
            let Some(fault) = self.fault(&place.dir, &name) else {
                continue;
            };
            let text = format!("{fault}; it is not used, and made anew once it is gone");
            self.repairable(&place.name, &name, "derived", Level::Problem, &text, || {
                place.dir.remove(&name)
            });
        }
    }

    fn fault(&self, dir: &Dir, name: &[u8]) -> Option<String> {
        let stat = match dir.stat(name) {
            Ok(stat) => stat?,
            Err(error) => return Some(error.to_string()),
        };
        if !is(&stat, libc::S_IFREG) {
            return Some(kind_of(&stat).to_owned());
        }
        if stat.st_uid != self.owner {
            return Some(format!("belongs to user {}", stat.st_uid));
        }
        if stat.st_mode & 0o077 != 0 {
            return Some(format!(
                "mode {:04o}: others can get at it",
                stat.st_mode & 0o777
            ));
        }
        let (file, stat) = match dir.open_file(name) {
            Ok(opened) => opened?,
            Err(error) => return Some(error.to_string()),
        };
        let whole = match name.strip_prefix(index::NAME) {
            Some(b"") => index::is_whole(&file, u64::try_from(stat.st_size).unwrap_or(0)),
            Some(b".log") => modseq::is_whole(
                &file,
                u64::try_from(stat.st_size).unwrap_or(0),
                dir.is_on_network(),
            ),
            Some(b".pop3") => maildrop::is_whole(&file),
            // Of a form that this version does not read.
            Some(_) => true,
            None if name.ends_with(b".tmp") => true,
            None => cache::is_whole(file),
        };
        (!whole).then(|| "damaged".to_owned())
    }
}

/// Removes from the maildir at `path` and its folders the files that only we use and that can be computed anew:
/// caches and indexes. Sessions that are open go on and may make new ones. Returns what was removed.
///
/// `courierimapuidvalidity` and `courierimapuidmark` stay: they are all that is known of UIDs given before, the
/// original does not look at them, and without them a later return could repeat a UID or UIDVALIDITY.
///
/// # Errors
/// A directory that cannot be read or a file that cannot be removed; others may have been removed before.
pub fn remove_derived(path: &Path) -> Result<Vec<PathBuf>> {
    let root = Dir::open(path)?;
    let mut folders = Vec::new();
    root.list(|entry| {
        if let Some(Ok(name)) = entry.name.strip_prefix(b".").map(FolderName::new) {
            folders.push(name);
        }
    })?;
    folders.sort();
    let mut removed = Vec::new();
    remove_in(&root, &mut removed)?;
    for folder in folders {
        let directory = folder.directory();
        let is_dir =
            nix::sys::stat::fstatat(&root, directory.as_slice(), nix::fcntl::AtFlags::empty())
                .is_ok_and(|stat| is(&stat, libc::S_IFDIR));
        if is_dir {
            remove_in(&root.open_dir(&directory)?, &mut removed)?;
        }
    }
    Ok(removed)
}

fn remove_in(dir: &Dir, removed: &mut Vec<PathBuf>) -> Result<()> {
    for name in derived(dir)? {
        match dir.unlink(&name) {
            Ok(()) => removed.push(dir.path_of(&name)),
            Err(nix::errno::Errno::ENOENT) => {}
            Err(errno) => return Err(Error::io("unlink", &dir.path_of(&name), errno)),
        }
    }
    Ok(())
}
