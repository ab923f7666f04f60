//! The confinement of a mail server once it is an account's and the account's hook has run (architecture: sandbox):
//! what of the file system such a session keeps. The mechanisms are in [`crate::sys::confine`].
//!
//! A session keeps the maildir, the directories that links in it lead to (folders moved to another disk), or those in a
//! folder (its messages moved there), those that `shared-folders/` leads to, what its caller names (the maildirs of a shared index), and read-only the time zones
//! and the C library's character sets. It cannot make links itself, so a session that was taken over cannot widen
//! what the next one may reach.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::sys::confine::{self, Access, Place};
use crate::sys::dir::{self, Kind};
use crate::sys::library;
use crate::sys::log::{Level, log};

/// Links followed at most: a maildir full of them must not hold up the login.
const MAX_LINKS: usize = 1000;

/// Directories that a session may read, where they exist.
const READABLE: &[&str] = &[
    "/usr/share/zoneinfo",
    #[cfg(target_pointer_width = "64")]
    "/usr/lib64/gconv",
    #[cfg(not(target_pointer_width = "64"))]
    "/usr/lib/gconv",
    #[cfg(target_arch = "x86_64")]
    "/usr/lib/x86_64-linux-gnu/gconv",
    #[cfg(target_arch = "aarch64")]
    "/usr/lib/aarch64-linux-gnu/gconv",
    #[cfg(target_arch = "riscv64")]
    "/usr/lib/riscv64-linux-gnu/gconv",
];

/// What the administrator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// No confinement.
    Off,
    /// As far as the kernel can.
    Possible,
    /// No session without it.
    Required,
}

impl Wanted {
    /// From the value of `IMAP_SANDBOX` or `POP3_SANDBOX`: `required`, `off` (or `0` or `no`); anything else is the default.
    #[must_use]
    pub fn from_setting(value: Option<&[u8]>) -> Self {
        let is = |words: &[&str]| {
            let value = value.unwrap_or_default().trim_ascii();
            words
                .iter()
                .any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
        };
        if is(&["required"]) {
            Self::Required
        } else if is(&["off", "0", "no"]) {
            Self::Off
        } else {
            Self::Possible
        }
    }
}

/// The session could not be confined and the administrator requires it. Already logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// Confines this process, whose working directory is the account's maildir. `more` names directories outside it that
/// the session may change too. What fails is logged in one line under `user`.
///
/// # Errors
/// [`Refused`].
pub fn session(user: &str, wanted: Wanted, more: &[PathBuf]) -> Result<(), Refused> {
    if wanted == Wanted::Off {
        return Ok(());
    }
    let mut reachable = vec![PathBuf::from(".")];
    linked(&mut reachable);
    reachable.extend_from_slice(more);
    let mut places: Vec<Place<'_>> = reachable
        .iter()
        .map(|path| Place {
            path,
            access: Access::Change,
        })
        .collect();
    places.extend(READABLE.iter().map(|path| Place {
        path: Path::new(path),
        access: Access::Read,
    }));
    let files = std::iter::once("/etc/localtime").chain(library::needed());
    places.extend(files.map(|path| Place {
        path: Path::new(path),
        access: Access::ReadFile,
    }));
    let missing = |path: &Path, error: std::io::Error| {
        // Links may lead nowhere or to files, and not every system has each of the others.
        let expected = matches!(
            error.kind(),
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
        );
        if !expected {
            log(
                Level::Warning,
                format_args!(
                    "{user}: out of reach: {}: {error}",
                    path.as_os_str().as_bytes().escape_ascii()
                ),
            );
        }
    };
    let confined = confine::hide()
        .and_then(|()| confine::files(&places, missing))
        .and_then(|()| confine::calls());
    match confined {
        Ok(()) => Ok(()),
        Err(error) if wanted == Wanted::Required => {
            log(
                Level::Err,
                format_args!("{user}: the session cannot be confined: {error}"),
            );
            Err(Refused)
        }
        Err(error) => {
            log(
                Level::Warning,
                format_args!("{user}: the session is not confined: {error}"),
            );
            Ok(())
        }
    }
}

/// Adds what links in the working directory lead to, those in its folders, and those of
/// `shared-folders/OWNER/FOLDER/shared`.
fn linked(places: &mut Vec<PathBuf>) {
    let most = places.len().saturating_add(MAX_LINKS);
    let mut shares = false;
    each(Path::new("."), |name, is_link| {
        if is_link && places.len() < most {
            places.push(PathBuf::from(name));
        }
        if name.as_bytes().starts_with(b".") && places.len() < most {
            inside(Path::new(name), places);
        }
        shares |= name == "shared-folders";
    });
    if !shares {
        return;
    }
    each(Path::new("shared-folders"), |owner, _| {
        let owner = Path::new("shared-folders").join(owner);
        each(&owner, |folder, _| {
            if places.len() < most {
                places.push(owner.join(folder).join("shared"));
            }
        });
    });
}

/// Adds what links in a folder lead to. Whoever moves its messages moves `cur`: one look is enough for most folders.
fn inside(folder: &Path, places: &mut Vec<PathBuf>) {
    let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let cur = folder.join("cur");
    if is_link(&cur) {
        places.push(cur);
        let others = ["new", "tmp", "courierimapkeywords"].map(|part| folder.join(part));
        places.extend(others.into_iter().filter(|path| is_link(path)));
    }
}

/// Names in a directory, and whether each is a link. A directory that cannot be read has none.
fn each(directory: &Path, mut found: impl FnMut(&OsStr, bool)) {
    let Ok(opened) = fs::File::open(directory) else {
        return;
    };
    // Whatever fails half-way: the places found so far are as good as any.
    let _ = dir::list(&opened, |entry| {
        let name = OsStr::from_bytes(entry.name);
        let is_link = match entry.kind {
            Kind::Link => true,
            Kind::Unknown => {
                fs::symlink_metadata(directory.join(name)).is_ok_and(|found| found.is_symlink())
            }
            Kind::File | Kind::Directory | Kind::Other => false,
        };
        found(name, is_link);
    });
}

#[cfg(test)]
mod tests;
