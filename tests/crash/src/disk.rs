//! The files below the recorded directory, in memory.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::operation::{Inode, Operation};

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory,
    /// A file.
    File(Inode),
}

/// Names and contents. Paths are relative to the recorded directory.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    names: BTreeMap<PathBuf, Node>,
    contents: BTreeMap<Inode, Vec<u8>>,
    modes: BTreeMap<PathBuf, u32>,
    next: Inode,
}

impl Disk {
    /// Reads a directory tree.
    ///
    /// # Errors
    /// Any that reading gives.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut disk = Self::default();
        let mut numbers = BTreeMap::new();
        let mut waiting = vec![PathBuf::new()];
        while let Some(directory) = waiting.pop() {
            for entry in std::fs::read_dir(root.join(&directory))? {
                let entry = entry?;
                let path = directory.join(entry.file_name());
                let metadata = entry.metadata()?;
                disk.modes.insert(path.clone(), metadata.mode() & 0o7777);
                if metadata.is_dir() {
                    disk.names.insert(path.clone(), Node::Directory);
                    waiting.push(path);
                } else if metadata.is_file() {
                    let inode = match numbers.get(&metadata.ino()) {
                        Some(&inode) => inode,
                        None => {
                            let inode = disk.new_inode();
                            numbers.insert(metadata.ino(), inode);
                            disk.contents.insert(inode, std::fs::read(entry.path())?);
                            inode
                        }
                    };
                    disk.names.insert(path, Node::File(inode));
                }
            }
        }
        Ok(disk)
    }

    /// Makes the tree real in the empty directory `root`, owned and accessible as the caller makes files.
    ///
    /// # Errors
    /// Any that writing gives.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        let mut made: BTreeMap<Inode, PathBuf> = BTreeMap::new();
        for (path, node) in &self.names {
            let target = root.join(path);
            match node {
                Node::Directory => std::fs::create_dir(&target)?,
                Node::File(inode) => match made.get(inode) {
                    Some(first) => std::fs::hard_link(first, &target)?,
                    None => {
                        let content = self.contents.get(inode).map_or(&[][..], Vec::as_slice);
                        std::fs::write(&target, content)?;
                        made.insert(*inode, target.clone());
                    }
                },
            }
            if let Some(&mode) = self.modes.get(path) {
                std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode))?;
            }
        }
        Ok(())
    }

    /// What `path` leads to.
    pub fn node(&self, path: &Path) -> Option<&Node> {
        self.names.get(path)
    }

    /// The content of a file.
    pub fn content(&self, inode: Inode) -> &[u8] {
        self.contents.get(&inode).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn new_inode(&mut self) -> Inode {
        self.next += 1;
        self.next
    }

    /// Carries out one change. A change whose premise is missing, since the one before it was undone by the
    /// crash, does nothing.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Data {
                inode,
                offset,
                bytes,
            } => {
                let content = self.contents.entry(*inode).or_default();
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content.splice(*offset..end, bytes.iter().copied());
            }
            Operation::Resize { inode, length } => {
                self.contents.entry(*inode).or_default().resize(*length, 0);
            }
            Operation::Add { path, inode } => {
                if self.has_parent(path) {
                    self.names.insert(path.clone(), Node::File(*inode));
                }
            }
            Operation::MakeDirectory { path } => {
                if self.has_parent(path) {
                    self.names.insert(path.clone(), Node::Directory);
                }
            }
            Operation::Remove { path } => {
                self.names.remove(path);
            }
            Operation::Rename { from, to } => self.rename(from, to),
            Operation::SyncFile { .. }
            | Operation::SyncDirectory { .. }
            | Operation::SyncAll
            | Operation::Answer { .. } => {}
        }
    }

    fn has_parent(&self, path: &Path) -> bool {
        match path.parent() {
            Some(parent) if parent != Path::new("") => {
                self.names.get(parent) == Some(&Node::Directory)
            }
            _ => true,
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        // Two names of one file: rename does nothing (POSIX).
        if self.names.contains_key(from) && self.names.get(from) == self.names.get(to) {
            return;
        }
        // The crash undid the directory that it was moved into.
        if !self.has_parent(to) {
            return;
        }
        let below: Vec<PathBuf> = self
            .names
            .keys()
            .filter(|path| path.starts_with(from))
            .cloned()
            .collect();
        for path in below {
            let Some(node) = self.names.remove(&path) else {
                continue;
            };
            let rest = path.strip_prefix(from).unwrap_or_else(|_| Path::new(""));
            let target = if rest == Path::new("") {
                to.to_owned()
            } else {
                to.join(rest)
            };
            if let Some(mode) = self.modes.remove(&path) {
                self.modes.insert(target.clone(), mode);
            }
            self.names.insert(target, node);
        }
    }
}
