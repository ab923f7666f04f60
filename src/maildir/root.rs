//! The account's maildir: which folders there are; making, renaming and removing them (contract: maildir 1, 13).

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag};
use nix::unistd::{AccessFlags, UnlinkatFlags};

use super::acl;
use super::error::{Error, ErrorKind, Result};
use super::filename::TmpName;
use super::files::{self, Dir};
use super::folder::Folder;
use super::lock::Lock;
use super::name::FolderName;
use super::options::{Options, Sync};
use super::uiddb;
use crate::sys::dir::Kind;
use crate::sys::log::{Level, log};

/// Where ACLs of folders are kept that exist only as parents.
pub(crate) const HIERACL: &[u8] = b"courierimaphieracl";
/// In this order: `cur` last tells others that the folder is complete.
const PARTS: [&[u8]; 3] = [b"tmp", b"new", b"cur"];
/// Tells a folder from a maildir of its own.
pub(crate) const MARKER: &[u8] = b"maildirfolder";
/// Deepest tree that a removal descends into.
const DEPTH: u32 = 32;

/// The open root directory with the settings of the session.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) dir: Dir,
    pub(crate) tmp: Dir,
    pub(crate) options: Options,
}

/// One account's maildir. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Maildir {
    pub(crate) root: Arc<Root>,
}

/// A line of a folder list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderEntry {
    /// The name.
    pub name: FolderName,
    /// False for a parent that exists only because of its children (`\Noselect`).
    pub selectable: bool,
    /// True if there are folders below it.
    pub has_children: bool,
}

impl Maildir {
    /// Opens the maildir at `path`, which stays open whatever happens to the path.
    ///
    /// # Errors
    /// `NoSuchFolder` if `path` or its `tmp` does not exist, `Denied`, `Io`.
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        let dir = Dir::open(path)?;
        let tmp = dir.open_dir(b"tmp")?;
        Ok(Self {
            root: Arc::new(Root { dir, tmp, options }),
        })
    }

    /// The settings.
    pub fn options(&self) -> &Options {
        &self.root.options
    }

    /// The path it was opened by, for messages.
    pub fn path(&self) -> &Path {
        self.root.dir.path()
    }

    /// True if both are the same directory, whatever their paths.
    pub fn is_same(&self, other: &Self) -> bool {
        let identity = |maildir: &Self| {
            nix::sys::stat::fstat(&maildir.root.dir).map(|stat| (stat.st_dev, stat.st_ino))
        };
        matches!((identity(self), identity(other)), (Ok(a), Ok(b)) if a == b)
    }

    /// Owner and group of the maildir (`IMAP_MAILBOX_SANITY_CHECK`, contract: maildir 1.2).
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn owner(&self) -> Result<(u32, u32)> {
        let stat = nix::sys::stat::fstat(&self.root.dir)
            .map_err(|errno| Error::io("stat", self.path(), errno))?;
        Ok((stat.st_uid, stat.st_gid))
    }

    /// How far the file server's clock is from the local one, by the original's test file; `None` if that cannot
    /// be made (contract: maildir 11, step 6). On a local file system there is but one clock, and nothing is made.
    pub fn clock_skew(&self) -> Option<std::time::Duration> {
        const PROBE: &[u8] = b"courier-imap.clockskew.chk";
        let tmp = &self.root.tmp;
        if !tmp.is_on_network() {
            return Some(std::time::Duration::ZERO);
        }
        tmp.remove(PROBE).ok()?;
        let file = tmp.create(PROBE, 0o666).ok()?;
        let stat = nix::sys::stat::fstat(&file);
        tmp.remove(PROBE).ok()?;
        let server = files::modified(&stat.ok()?);
        Some(match std::time::SystemTime::now().duration_since(server) {
            Ok(behind) => behind,
            Err(ahead) => ahead.duration(),
        })
    }

    /// All folders, INBOX first, then in byte order; parents that exist only through their children included.
    ///
    /// # Errors
    /// The root cannot be read.
    pub fn folders(&self) -> Result<Vec<FolderEntry>> {
        let mut names = BTreeSet::new();
        self.root.dir.list(|entry| {
            if matches!(entry.kind, Kind::Directory | Kind::Link | Kind::Unknown) {
                if let Some(Ok(name)) = entry.name.strip_prefix(b".").map(FolderName::new) {
                    names.insert(name);
                }
            }
        })?;
        names.retain(|name| self.exists(name));
        let mut entries: BTreeMap<FolderName, FolderEntry> = BTreeMap::new();
        for name in names {
            let mut parent = name.parent();
            while let Some(above) = parent {
                parent = above.parent();
                let entry = entries.entry(above.clone()).or_insert(FolderEntry {
                    name: above,
                    selectable: false,
                    has_children: true,
                });
                entry.has_children = true;
            }
            // Parents sort before their children, so this one can only be there as somebody's parent when a
            // name like `a b` sorts between `a` and `a.b`.
            entries
                .entry(name.clone())
                .or_insert(FolderEntry {
                    name,
                    selectable: true,
                    has_children: false,
                })
                .selectable = true;
        }
        entries
            .entry(FolderName::inbox())
            .or_insert_with(|| FolderEntry {
                name: FolderName::inbox(),
                selectable: true,
                has_children: false,
            })
            .selectable = true;
        Ok(entries.into_values().collect())
    }

    /// True if the folder is a maildir on disk (not merely a parent of others).
    pub fn exists(&self, name: &FolderName) -> bool {
        let mut path = name.directory();
        path.extend_from_slice(b"/cur");
        nix::unistd::faccessat(
            &self.root.dir,
            path.as_slice(),
            AccessFlags::F_OK,
            AtFlags::empty(),
        )
        .is_ok()
    }

    /// True if some folder below it exists.
    ///
    /// # Errors
    /// The root cannot be read.
    pub fn has_children(&self, name: &FolderName) -> Result<bool> {
        let mut prefix = name.directory();
        if !name.is_inbox() {
            prefix.push(b'.');
        }
        let mut candidates = Vec::new();
        self.root.dir.list(|entry| {
            if entry.name.len() > prefix.len() && entry.name.starts_with(&prefix) {
                candidates.push(entry.name.get(1..).unwrap_or_default().to_vec());
            }
        })?;
        Ok(candidates
            .iter()
            .any(|name| FolderName::new(name).is_ok_and(|name| self.exists(&name))))
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// `NoSuchFolder`, `Denied`, `Io`.
    pub fn folder(&self, name: &FolderName) -> Result<Folder> {
        Folder::open(&self.root, name)
    }

    /// Makes a folder with its UID database. It appears whole or not at all. Parents are not made: they exist
    /// through their children.
    ///
    /// # Errors
    /// `FolderExists` (always for INBOX), `InvalidName` for names with control bytes or too long for the file
    /// system, `NoSpace`, `Denied`, `Locked`, `Io`.
    pub fn create(&self, name: &FolderName) -> Result<Folder> {
        let root = &self.root;
        let directory = name.directory();
        let path = root.dir.path_of(&directory);
        if name.is_inbox() {
            return Err(Error::new(ErrorKind::FolderExists, "create", &path));
        }
        if name.as_bytes().iter().any(u8::is_ascii_control) {
            return Err(Error::new(ErrorKind::InvalidName, "create", &path));
        }
        if root.dir.stat(&directory)?.is_some() {
            return Err(Error::new(ErrorKind::FolderExists, "create", &path));
        }
        let uid_validity = root.new_uid_validity(false)?;
        let acl = self.acl_to_be(name)?;
        let work = TmpName::new("folder", &root.options.host).tmp();
        let made = self.build(&work, uid_validity, acl).and_then(|()| {
            root.tmp
                .rename(&work, &root.dir, &directory)
                .map_err(|errno| match errno {
                    Errno::EEXIST | Errno::ENOTEMPTY => {
                        Error::new(ErrorKind::FolderExists, "create", &path)
                    }
                    errno => Error::io("create", &path, errno),
                })
        });
        if let Err(error) = made {
            if let Err(leftover) = remove_tree(&root.tmp, &work) {
                log(Level::Err, format_args!("{leftover}"));
            }
            return Err(error);
        }
        self.drop_hierarchy_acl(name);
        root.sync()?;
        self.folder(name)
    }

    /// Makes the directories and files of a new folder below the root's `tmp`.
    fn build(&self, work: &[u8], uid_validity: u32, acl: Option<Vec<u8>>) -> Result<()> {
        let root = &self.root;
        root.tmp.mkdir(work, 0o700)?;
        let dir = root.tmp.open_dir(work)?;
        for part in PARTS {
            dir.mkdir(part, 0o700)?;
        }
        dir.create(MARKER, 0o600)?;
        let durable = root.options.sync != Sync::Never;
        uiddb::create(&dir, uid_validity, durable)?;
        if let Some(acl) = acl {
            let file = dir.create(acl::FILE, 0o644)?;
            files::write_all(&file, &acl, durable, &dir.path_of(acl::FILE))?;
        }
        if root.options.sync != Sync::Never {
            dir.sync()?;
        }
        Ok(())
    }

    /// Deletes a folder with its messages. Folders below it stay; it remains as their parent.
    ///
    /// # Errors
    /// `Protected` for INBOX and the trash folder, `NoSuchFolder`, `Denied`, `Locked`, `Io`.
    pub fn delete(&self, name: &FolderName) -> Result<()> {
        let root = &self.root;
        let directory = name.directory();
        let path = root.dir.path_of(&directory);
        if name.is_inbox() || *name == root.options.trash {
            return Err(Error::new(ErrorKind::Protected, "delete", &path));
        }
        if root.dir.stat(&directory)?.is_none() {
            return Err(Error::new(ErrorKind::NoSuchFolder, "delete", &path));
        }
        let _lock = Lock::acquire(&root.tmp, &root.options)?;
        self.remember_validity(name)?;
        self.keep_acl_of_name(name)?;
        // Out of sight in one step; the removal itself may take its time or be cut short.
        let work = TmpName::new("deleted", &root.options.host).tmp();
        root.dir
            .rename(&directory, &root.tmp, &work)
            .map_err(|errno| Error::io("delete", &path, errno))?;
        root.sync()?;
        if let Err(error) = remove_tree(&root.tmp, &work) {
            log(Level::Err, format_args!("{error}"));
        }
        root.recount_quota();
        Ok(())
    }

    /// Renames a folder with all below it, keeping UIDs and UIDVALIDITY; subscriptions and ACLs of parents that
    /// exist only by name follow. All or nothing.
    ///
    /// # Errors
    /// `Protected` if either is INBOX or the trash folder, or `to` is `from` or below it; `NoSuchFolder`;
    /// `FolderExists`; `InvalidName`; `Denied`; `Locked`; `Io`.
    pub fn rename(&self, from: &FolderName, to: &FolderName) -> Result<()> {
        let root = &self.root;
        let path = root.dir.path_of(&to.directory());
        let protected = |name: &FolderName| name.is_inbox() || *name == root.options.trash;
        if protected(from) || protected(to) || from == to || to.is_below(from) {
            return Err(Error::new(ErrorKind::Protected, "rename", &path));
        }
        if to.as_bytes().iter().any(u8::is_ascii_control) {
            return Err(Error::new(ErrorKind::InvalidName, "rename", &path));
        }
        let _lock = Lock::acquire(&root.tmp, &root.options)?;
        let mut moves = Vec::new();
        let mut invalid = false;
        root.dir.list(|entry| {
            let Some(Ok(name)) = entry.name.strip_prefix(b".").map(FolderName::new) else {
                return;
            };
            match name.renamed(from, to) {
                Some(Ok(new)) => moves.push((name, new)),
                Some(Err(_)) => invalid = true,
                None => {}
            }
        })?;
        if invalid {
            return Err(Error::new(ErrorKind::InvalidName, "rename", &path));
        }
        moves.retain(|(name, _)| self.exists(name));
        moves.sort();
        if moves.is_empty() {
            return Err(Error::new(
                ErrorKind::NoSuchFolder,
                "rename",
                &root.dir.path_of(&from.directory()),
            ));
        }
        if root.dir.stat(&to.directory())?.is_some() {
            return Err(Error::new(ErrorKind::FolderExists, "rename", &path));
        }
        for (name, _) in &moves {
            self.remember_validity(name)?;
        }
        self.keep_acls(from)?;
        self.rename_all(&moves)?;
        self.rename_hierarchy_acls(from, to);
        if let Err(error) = self.rename_subscriptions(from, to) {
            log(Level::Err, format_args!("{error}"));
        }
        root.recount_quota();
        root.sync()
    }

    /// Renames each directory; on failure those done are renamed back.
    fn rename_all(&self, moves: &[(FolderName, FolderName)]) -> Result<()> {
        let dir = &self.root.dir;
        for (done, (old, new)) in moves.iter().enumerate() {
            let Err(errno) = dir.rename(&old.directory(), dir, &new.directory()) else {
                continue;
            };
            for (old, new) in moves.iter().take(done).rev() {
                if let Err(errno) = dir.rename(&new.directory(), dir, &old.directory()) {
                    log(
                        Level::Err,
                        format_args!("{}", dir.error("rename back", &new.directory(), errno)),
                    );
                }
            }
            let path = dir.path_of(&new.directory());
            return Err(match errno {
                Errno::EEXIST | Errno::ENOTEMPTY => {
                    Error::new(ErrorKind::FolderExists, "rename", &path)
                }
                errno => Error::io("rename", &path, errno),
            });
        }
        Ok(())
    }

    /// Moves the ACL files of folders that exist only as parents. Without them the folders inherit anew, so a
    /// failure is only logged.
    fn rename_hierarchy_acls(&self, from: &FolderName, to: &FolderName) {
        let Ok(dir) = self.root.dir.open_dir(HIERACL) else {
            return;
        };
        let mut moves = Vec::new();
        let listed = dir.list(|entry| {
            if let Ok(name) = FolderName::new(entry.name) {
                if let Some(Ok(new)) = name.renamed(from, to) {
                    moves.push((name, new));
                }
            }
        });
        if let Err(error) = listed {
            log(Level::Err, format_args!("{error}"));
        }
        for (old, new) in moves {
            if let Err(error) = dir.replace(old.as_bytes(), &dir, new.as_bytes()) {
                log(Level::Err, format_args!("{error}"));
            }
        }
    }

    /// Before a name becomes free: no later mailbox of that name may get a UIDVALIDITY that this one had.
    fn remember_validity(&self, name: &FolderName) -> Result<()> {
        let Ok(dir) = self.root.dir.open_dir(&name.directory()) else {
            return Ok(());
        };
        match uiddb::read_header(&dir) {
            Ok(Some((uid_validity, _))) => self.root.raise_uid_validity(uid_validity),
            // Unreadable: the time decides, which is above any value given before.
            _ => Ok(()),
        }
    }
}

impl Root {
    /// Makes changes of folder names durable.
    pub(crate) fn sync(&self) -> Result<()> {
        if self.options.sync == Sync::Never {
            return Ok(());
        }
        self.dir.sync()
    }
}

/// Makes the directories of a maildir at `path`: the mode of `path` itself is given, its parts get 0700. The umask
/// applies. What was made is removed again on failure.
///
/// # Errors
/// `FolderExists`, `NoSuchFolder` for a missing parent (both with the errno), and the rest.
pub fn make_maildir(path: &Path, mode: u32) -> Result<()> {
    make_directories(path, mode).map(drop)
}

/// Makes the directories of a folder in the maildir at `root`, and nothing else: its UID database comes with the
/// first use, by its owner. For tools; sessions use [`Maildir::create`].
///
/// # Errors
/// As [`make_maildir`]; always `FolderExists` for INBOX.
pub fn make_folder(root: &Path, name: &FolderName) -> Result<()> {
    let path = root.join(std::ffi::OsStr::from_bytes(&name.directory()));
    let dir = make_directories(&path, 0o700)?;
    let marked = dir.create(MARKER, 0o600);
    if marked.is_err() {
        // The failure itself is reported.
        let _ = std::fs::remove_dir_all(&path);
    }
    marked.map(drop)
}

fn make_directories(path: &Path, mode: u32) -> Result<Dir> {
    let failed = |errno| {
        let error = Error::io("mkdir", path, errno);
        match errno {
            Errno::EEXIST => error.with_kind(ErrorKind::FolderExists),
            Errno::ENOENT | Errno::ENOTDIR => error.with_kind(ErrorKind::NoSuchFolder),
            _ => error,
        }
    };
    nix::unistd::mkdir(path, Mode::from_bits_truncate(mode)).map_err(failed)?;
    let made = Dir::open(path).and_then(|dir| {
        for part in PARTS {
            dir.mkdir(part, 0o700)?;
        }
        Ok(dir)
    });
    if made.is_err() {
        // The failure itself is reported.
        let _ = std::fs::remove_dir_all(path);
    }
    made
}

/// Removes `name` below `dir` with everything in it, following no link.
pub(crate) fn remove_tree(dir: &Dir, name: &[u8]) -> Result<()> {
    remove_below(dir, name, DEPTH)
}

fn remove_below(dir: &Dir, name: &[u8], depth: u32) -> Result<()> {
    let Some(stat) = dir.stat(name)? else {
        return Ok(());
    };
    if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFDIR.bits() {
        return dir.remove(name);
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(dir.error("remove", name, Errno::ELOOP));
    };
    let below = dir.open_dir_with(name, OFlag::O_NOFOLLOW)?;
    let mut names = Vec::new();
    below.list(|entry| names.push(entry.name.to_vec()))?;
    for entry in names {
        remove_below(&below, &entry, depth)?;
    }
    match nix::unistd::unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(dir.error("rmdir", name, errno)),
    }
}

#[cfg(test)]
mod tests;
