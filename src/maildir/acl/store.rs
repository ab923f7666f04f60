//! The files of access control lists (contract: shared-folders A1).

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use super::list::{Acl, Minimum};
use crate::maildir::error::{Error, ErrorKind, Result};
use crate::maildir::filename::TmpName;
use crate::maildir::files::{self, Dir};
use crate::maildir::lock::Lock;
use crate::maildir::name::FolderName;
use crate::maildir::options::Sync;
use crate::maildir::root::{HIERACL, Maildir};
use crate::sys::log::{Level, log};
use nix::errno::Errno;

/// The list of a folder, in its directory.
pub(crate) const FILE: &[u8] = b"courierimapacl";
/// Largest file read, in bytes.
const LIMIT: u64 = 1 << 20;

/// Reads the lists of many folders, those above them once.
#[derive(Debug)]
pub struct AclReader<'a> {
    maildir: &'a Maildir,
    known: HashMap<FolderName, Acl>,
    /// Names that have a list without being folders, once they have been looked for.
    names: Option<HashSet<Vec<u8>>>,
}

impl<'a> AclReader<'a> {
    /// A reader that knows nothing yet.
    pub fn new(maildir: &'a Maildir) -> Self {
        Self {
            maildir,
            known: HashMap::new(),
            names: None,
        }
    }

    /// The text of the list that a name has itself.
    fn own(&mut self, name: &FolderName) -> Result<Option<Vec<u8>>> {
        let root = &self.maildir.root.dir;
        if name.is_inbox() {
            return read(root, FILE);
        }
        if let Some(text) = read(root, &folder_file(name))? {
            return Ok(Some(text));
        }
        let names = match &mut self.names {
            Some(names) => names,
            none => none.insert(hierarchy_names(root)?),
        };
        if names.contains(name.as_bytes()) {
            read(root, &hierarchy_file(name))
        } else {
            Ok(None)
        }
    }

    /// The list that counts for `name`, which need not exist.
    ///
    /// # Errors
    /// A file that is there and cannot be read: what is forbidden there must not be allowed for that.
    pub fn acl(&mut self, name: &FolderName) -> Result<Acl> {
        if !self.maildir.options().acls {
            return Ok(Acl::fixed());
        }
        // Upwards to the first that has a list of its own, or to INBOX.
        let mut above = vec![name.clone()];
        let acl = loop {
            let Some(current) = above.last() else {
                return Ok(Acl::default());
            };
            if let Some(acl) = self.known.get(current) {
                break acl.clone();
            }
            let current = current.clone();
            if let Some(text) = self.own(&current)? {
                break Acl::parse(&text);
            }
            match current.parent() {
                Some(parent) => above.push(parent),
                None => break Acl::default(),
            }
        };
        // Whoever is asked for first is rarely asked for again; those above are.
        for name in above.drain(1..) {
            self.known.insert(name, acl.clone());
        }
        Ok(acl)
    }
}

impl Maildir {
    /// The list that counts for a folder or a name above folders: its own, else that of the nearest name above that
    /// has one, else the default. Nothing is written.
    ///
    /// # Errors
    /// As [`AclReader::acl`].
    pub fn acl(&self, name: &FolderName) -> Result<Acl> {
        AclReader::new(self).acl(name)
    }

    /// Changes the list of a folder or name, under the lock of the maildir, and returns it. Folders below that had no
    /// list of their own keep what they had. `owner` is the login name of the maildir's owner.
    ///
    /// # Errors
    /// The inner error: the change would leave somebody less than their minimum; nothing is changed then. The outer
    /// one: why the files cannot be read or written, `Locked`, `Protected` where lists are off.
    pub fn change_acl(
        &self,
        name: &FolderName,
        owner: &[u8],
        change: impl FnOnce(&mut Acl),
    ) -> Result<std::result::Result<Acl, Minimum>> {
        let root = &self.root;
        if !root.options.acls {
            let path = root.dir.path_of(&name.directory());
            return Err(Error::new(ErrorKind::Protected, "change rights", &path));
        }
        let _lock = Lock::acquire(&root.tmp, &root.options)?;
        let mut acl = self.acl(name)?;
        change(&mut acl);
        if let Some(minimum) = acl.missing(owner) {
            return Ok(Err(minimum));
        }
        self.keep_acls_below(name)?;
        self.write_acl(name, &acl)?;
        // As everybody reads it.
        Ok(Ok(Acl::parse(&acl.to_text())))
    }

    /// Removes the lists of names that are no folders and have none below them, an hour after their last change.
    ///
    /// # Errors
    /// The maildir cannot be read or written.
    pub fn reset_acls(&self) -> Result<()> {
        const PAUSE: Duration = Duration::from_secs(3600);
        let root = &self.root;
        match root.dir.mkdir(HIERACL, 0o755) {
            Err(error) if error.errno() != Some(Errno::EEXIST) => return Err(error),
            _ => {}
        }
        let folders = self.folders()?;
        let dir = root.dir.open_dir(HIERACL)?;
        for name in hierarchy_names(&root.dir)? {
            let needed = FolderName::new(&name)
                .is_ok_and(|name| folders.iter().any(|folder| folder.name.is_below(&name)));
            let Some(stat) = dir
                .stat(&name)?
                .filter(|_| !needed && !name.starts_with(b"."))
            else {
                continue;
            };
            let age = SystemTime::now().duration_since(files::modified(&stat));
            if age.is_ok_and(|age| age > PAUSE) {
                dir.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Gives each folder below `name` that follows its list what it has now as a list of its own. The caller holds
    /// the lock of the root.
    fn keep_acls_below(&self, name: &FolderName) -> Result<()> {
        let below = self.folders()?;
        let mut reader = AclReader::new(self);
        let mut pending = Vec::new();
        for entry in below.iter().filter(|entry| entry.name.is_below(name)) {
            if reader.own(&entry.name)?.is_some() {
                continue;
            }
            let text = reader.acl(&entry.name)?.to_text();
            if entry.selectable {
                pending.push((entry.name.clone(), text));
            } else {
                self.write_hierarchy_acl(&entry.name, &text)?;
            }
        }
        self.write_all_acls(&pending)
    }

    /// Gives folders their lists. They may be thousands, so that the disk is waited for once and not for each.
    fn write_all_acls(&self, lists: &[(FolderName, Vec<u8>)]) -> Result<()> {
        let root = &self.root;
        let dir = &root.dir;
        let mut made = Vec::with_capacity(lists.len());
        let result = (|| {
            for (name, text) in lists {
                let unique = TmpName::new("acl", &root.options.host).tmp();
                let temporary = [&name.directory(), &b"/tmp/"[..], &unique].concat();
                let file = dir.create(&temporary, 0o644)?;
                made.push((temporary.clone(), folder_file(name)));
                files::write_all(&file, text, false, &dir.path_of(&temporary))?;
            }
            self.sync_all(!lists.is_empty())?;
            for (temporary, file) in &made {
                dir.replace(temporary, dir, file)?;
            }
            self.sync_all(!lists.is_empty())
        })();
        if result.is_err() {
            for (temporary, _) in &made {
                // The failure itself is reported; leftovers are purged after 36 hours.
                let _ = dir.remove(temporary);
            }
        }
        result
    }

    fn sync_all(&self, needed: bool) -> Result<()> {
        let root = &self.root;
        if !needed || root.options.sync == Sync::Never {
            return Ok(());
        }
        nix::unistd::syncfs(&root.dir).map_err(|errno| Error::io("syncfs", root.dir.path(), errno))
    }

    /// Before a folder is renamed: it and those below keep their rights at the new place. The caller holds the lock of
    /// the root.
    pub(crate) fn keep_acls(&self, name: &FolderName) -> Result<()> {
        if !self.root.options.acls {
            return Ok(());
        }
        self.keep_acls_below(name)?;
        if AclReader::new(self).own(name)?.is_none() && self.exists(name) {
            self.write_acl(name, &self.acl(name)?)?;
        }
        Ok(())
    }

    /// Before a folder is removed below which others exist: the name keeps its list. The caller holds the lock of the
    /// root.
    pub(crate) fn keep_acl_of_name(&self, name: &FolderName) -> Result<()> {
        if !self.root.options.acls || !self.has_children(name)? {
            return Ok(());
        }
        match read(&self.root.dir, &folder_file(name))? {
            Some(text) => self.write_hierarchy_acl(name, &text),
            None => Ok(()),
        }
    }

    /// The text of the list for a folder about to be made, if lists count; see [`Self::drop_hierarchy_acl`].
    pub(crate) fn acl_to_be(&self, name: &FolderName) -> Result<Option<Vec<u8>>> {
        if !self.root.options.acls {
            return Ok(None);
        }
        Ok(Some(self.acl(name)?.to_text()))
    }

    /// The list of a name that has become a folder has moved there. A failure leaves a file that nobody reads.
    pub(crate) fn drop_hierarchy_acl(&self, name: &FolderName) {
        if !self.root.options.acls {
            return;
        }
        if let Err(error) = self.root.dir.remove(&hierarchy_file(name)) {
            if error.errno() != Some(Errno::ENOTDIR) {
                log(Level::Err, format_args!("{error}"));
            }
        }
    }

    fn write_acl(&self, name: &FolderName, acl: &Acl) -> Result<()> {
        let root = &self.root;
        let text = acl.to_text();
        if name.is_inbox() {
            return self.replace_acl(&root.tmp, &root.dir, FILE, &text);
        }
        if !self.exists(name) {
            return self.write_hierarchy_acl(name, &text);
        }
        let dir = root.dir.open_dir(&name.directory())?;
        let tmp = dir.open_dir(b"tmp")?;
        self.replace_acl(&tmp, &dir, FILE, &text)
    }

    fn write_hierarchy_acl(&self, name: &FolderName, text: &[u8]) -> Result<()> {
        let root = &self.root;
        match root.dir.mkdir(HIERACL, 0o755) {
            Err(error) if error.errno() != Some(Errno::EEXIST) => return Err(error),
            _ => {}
        }
        let dir = root.dir.open_dir(HIERACL)?;
        self.replace_acl(&root.tmp, &dir, name.as_bytes(), text)
    }

    fn replace_acl(&self, tmp: &Dir, dir: &Dir, name: &[u8], text: &[u8]) -> Result<()> {
        let options = &self.root.options;
        let durable = options.sync != Sync::Never;
        files::replace_file(tmp, dir, name, text, "acl", &options.host, durable).map(|_| ())
    }
}

/// The names that have a list without being folders.
fn hierarchy_names(root: &Dir) -> Result<HashSet<Vec<u8>>> {
    let mut names = HashSet::new();
    match root.open_dir(HIERACL) {
        Ok(dir) => dir.list(|entry| {
            names.insert(entry.name.to_vec());
        })?,
        Err(error) if error.kind() == ErrorKind::NoSuchFolder => {}
        Err(error) => return Err(error),
    }
    Ok(names)
}

fn read(root: &Dir, name: &[u8]) -> Result<Option<Vec<u8>>> {
    match root.read(name, LIMIT) {
        Ok(read) => Ok(read.map(|(text, _)| text)),
        // A file where a directory is looked for; a name too long for a file.
        Err(error) if matches!(error.errno(), Some(Errno::ENOTDIR | Errno::ENAMETOOLONG)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn folder_file(name: &FolderName) -> Vec<u8> {
    [&name.directory(), &b"/"[..], FILE].concat()
}

fn hierarchy_file(name: &FolderName) -> Vec<u8> {
    [HIERACL, b"/", name.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
