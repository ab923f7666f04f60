//! Examining a maildir, and repairing it: what `maildircheck` stands on.
//!
//! Nothing is trusted and nothing is changed unless asked. What can be put right without losing anything has a
//! repair; no repair gives a message another UID, changes UIDVALIDITY or removes a message whose text is not kept
//! under another name. Each repair that touches what sessions write is made under the folder's lock.
//!
//! A *problem* is damage, or will become some. A *note* is worth knowing but happens in healthy maildirs, too:
//! other software delivers, removes and leaves things behind at any time.

mod account;
mod derived;
mod keywords;
mod messages;
mod numbers;
mod places;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::error::{Error, ErrorKind, Result};
use super::files::{Dir, Stamp};
use super::name::FolderName;
use super::options::Options;
use crate::sys::dir::Kind;

pub use derived::remove_derived;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Worth knowing; normal operation copes with it.
    Note,
    /// Damage, or a cause of it.
    Problem,
}

/// What became of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// There is no repair that could not lose something: a person must look.
    None,
    /// It can be repaired, but that was not asked for.
    Possible,
    /// It has been repaired.
    Done,
    /// Repairing failed, and why.
    Failed(String),
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The folder.
    pub folder: FolderName,
    /// The file, relative to the folder's directory; empty if it is about the folder.
    pub file: Vec<u8>,
    /// What kind of finding, for programs. Listed in maildircheck(8).
    pub code: &'static str,
    /// How bad.
    pub level: Level,
    /// The same for people: one sentence without its full stop.
    pub text: String,
    /// What became of it.
    pub repair: Repair,
}

/// Who is told while it goes on.
pub trait Observer {
    /// Something has been found, and repaired if that was asked for.
    fn finding(&mut self, finding: &Finding);
    /// So many files have been looked at in all, the last of them in this folder.
    fn progress(&mut self, folder: &FolderName, files: u64);
}

/// What it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Folders looked at, INBOX included.
    pub folders: u64,
    /// Files looked at in `cur` and `new`.
    pub files: u64,
    /// Problems, repaired or not.
    pub problems: u64,
    /// Problems that remain.
    pub unrepaired: u64,
    /// Notes.
    pub notes: u64,
    /// Problems and notes that were repaired.
    pub repaired: u64,
}

/// Examines the maildir at `path` and, with `repair`, repairs what can be repaired.
///
/// # Errors
/// `NoSuchFolder` if `path` is not there or does not look like a maildir at all; otherwise why its root cannot be
/// read. What goes wrong further in is a finding.
pub fn check(
    path: &Path,
    options: &Options,
    repair: bool,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let dir = Dir::open(path)?;
    if !looks_like_maildir(&dir)? {
        return Err(Error::new(
            ErrorKind::NoSuchFolder,
            "check",
            &dir.path_of(b"cur"),
        ));
    }
    let stat = nix::sys::stat::fstat(&dir).map_err(|errno| Error::io("stat", path, errno))?;
    let mut checker = Checker {
        options,
        repair,
        observer,
        summary: Summary::default(),
        owner: stat.st_uid,
        quota_stamp: dir.stamp_of(account::QUOTA).unwrap_or_default(),
        usage: messages::Usage::default(),
        highest_validity: 0,
    };
    let mut names = Vec::new();
    let mut odd = Vec::new();
    dir.list(|entry| {
        let Some(name) = entry.name.strip_prefix(b".") else {
            return;
        };
        if matches!(entry.kind, Kind::Directory | Kind::Link | Kind::Unknown) {
            match FolderName::new(name) {
                Ok(name) => names.push(name),
                Err(_) => odd.push(entry.name.to_vec()),
            }
        }
    })?;
    names.sort();
    let inbox = FolderName::inbox();
    for name in odd {
        let text = "the name cannot be a folder's, so no client can reach what is in it";
        checker.note(&inbox, &name, "folder-name", text);
    }
    let root = checker.folder(&inbox, dir, false);
    for name in &names {
        match root.dir.open_dir(&name.directory()) {
            Ok(dir) => match looks_like_folder(&dir) {
                Ok(true) => {
                    let link = root
                        .dir
                        .stat(&name.directory())
                        .is_ok_and(|stat| stat.is_some_and(|stat| is(&stat, libc::S_IFLNK)));
                    checker.folder(name, dir, link);
                }
                Ok(false) => {
                    let text = "a directory without cur, new and tmp, which the original lists as a folder";
                    checker.note(name, b"", "folder-empty", text);
                }
                Err(error) => checker.problem(name, b"", "unreadable", &error.to_string()),
            },
            Err(error) => checker.problem(name, b"", "unreadable", &error.to_string()),
        }
    }
    checker.account(&root, &names);
    Ok(checker.summary)
}

/// True for what has any part of a maildir.
fn looks_like_maildir(dir: &Dir) -> Result<bool> {
    for part in [&b"cur"[..], b"new", b"tmp"] {
        if dir.stat(part)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// As [`looks_like_maildir`]; its marker or a UID database is enough.
fn looks_like_folder(dir: &Dir) -> Result<bool> {
    Ok(looks_like_maildir(dir)?
        || dir.stat(places::MARKER)?.is_some()
        || dir.stat(super::uiddb::NAME)?.is_some())
}

/// True if the inode is of the type with these bits.
fn is(stat: &nix::sys::stat::FileStat, kind: u32) -> bool {
    stat.st_mode & libc::S_IFMT == kind
}

/// What an inode is, in words.
fn kind_of(stat: &nix::sys::stat::FileStat) -> &'static str {
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => "a file",
        libc::S_IFDIR => "a directory",
        libc::S_IFLNK => "a symbolic link",
        libc::S_IFIFO => "a FIFO",
        libc::S_IFSOCK => "a socket",
        _ => "a device",
    }
}

/// A folder with those of its three directories that there are.
struct Place {
    name: FolderName,
    dir: Dir,
    tmp: Option<Dir>,
    new: Option<Dir>,
    cur: Option<Dir>,
}

struct Checker<'a> {
    options: &'a Options,
    repair: bool,
    observer: &'a mut dyn Observer,
    summary: Summary,
    /// To whom the maildir belongs.
    owner: u32,
    /// The quota file as it was before anything was counted.
    quota_stamp: Option<Stamp>,
    /// What the quota counts.
    usage: messages::Usage,
    highest_validity: u32,
}

impl Checker<'_> {
    fn folder(&mut self, name: &FolderName, dir: Dir, link: bool) -> Place {
        self.summary.folders += 1;
        let place = self.places(name, dir);
        let found = self.messages(&place, link);
        self.numbers(&place, found.as_ref());
        self.keywords(&place, found.as_ref());
        self.derived(&place);
        place
    }

    fn note(&mut self, folder: &FolderName, file: &[u8], code: &'static str, text: &str) {
        self.report(folder, file, code, Level::Note, text, Repair::None);
    }

    fn problem(&mut self, folder: &FolderName, file: &[u8], code: &'static str, text: &str) {
        self.report(folder, file, code, Level::Problem, text, Repair::None);
    }

    /// A finding with a repair, which is made if it was asked for. Whether it was made.
    fn repairable(
        &mut self,
        folder: &FolderName,
        file: &[u8],
        code: &'static str,
        level: Level,
        text: &str,
        repair: impl FnOnce() -> Result<()>,
    ) -> bool {
        let outcome = match self.repair {
            false => Repair::Possible,
            true => match repair() {
                Ok(()) => Repair::Done,
                Err(error) => Repair::Failed(error.to_string()),
            },
        };
        let done = outcome == Repair::Done;
        self.report(folder, file, code, level, text, outcome);
        done
    }

    fn report(
        &mut self,
        folder: &FolderName,
        file: &[u8],
        code: &'static str,
        level: Level,
        text: &str,
        repair: Repair,
    ) {
        let done = repair == Repair::Done;
        self.summary.repaired += u64::from(done);
        match level {
            Level::Note => self.summary.notes += 1,
            Level::Problem => {
                self.summary.problems += 1;
                self.summary.unrepaired += u64::from(!done);
            }
        }
        self.observer.finding(&Finding {
            folder: folder.clone(),
            file: file.to_vec(),
            code,
            level,
            text: text.to_owned(),
            repair,
        });
    }
}

/// Repairs that need `tmp` cannot be made without one.
fn need<'a>(tmp: Option<&'a Dir>, dir: &Dir) -> Result<&'a Dir> {
    tmp.ok_or_else(|| Error::new(ErrorKind::NoSuchFolder, "open", &dir.path_of(b"tmp")))
}

/// A number with the words for one and for others.
fn many(count: usize, one: &str, other: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { other })
}

/// `path/name`.
fn below(part: &[u8], name: &[u8]) -> Vec<u8> {
    [part, b"/", name].concat()
}

/// A name in a message for people.
fn shown(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}
