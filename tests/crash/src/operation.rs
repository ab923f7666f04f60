//! One recorded change.

use std::path::PathBuf;

/// Identity of a file in a recording, stable through renames and links.
pub type Inode = u32;

/// A change of the files, a sync, or an answer to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Octets written into a file.
    Data {
        /// The file.
        inode: Inode,
        /// Where.
        offset: usize,
        /// What.
        bytes: Vec<u8>,
    },
    /// The file got this length.
    Resize {
        /// The file.
        inode: Inode,
        /// Its new length.
        length: usize,
    },
    /// A name was made for a file (open with creation, link).
    Add {
        /// The name.
        path: PathBuf,
        /// The file.
        inode: Inode,
    },
    /// A directory was made.
    MakeDirectory {
        /// Its name.
        path: PathBuf,
    },
    /// A name was removed.
    Remove {
        /// The name.
        path: PathBuf,
    },
    /// A file or directory was renamed.
    Rename {
        /// The old name.
        from: PathBuf,
        /// The new name, replaced if it existed.
        to: PathBuf,
    },
    /// The data of a file is on disk from here on.
    SyncFile {
        /// The file.
        inode: Inode,
    },
    /// The names in a directory are on disk from here on.
    SyncDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// Everything is on disk from here on.
    SyncAll,
    /// The program told its client something: the octets written to descriptor 1.
    Answer {
        /// What it said.
        bytes: Vec<u8>,
    },
}

impl Operation {
    /// True for what a crash can undo.
    pub fn is_change(&self) -> bool {
        !matches!(
            self,
            Self::SyncFile { .. }
                | Self::SyncDirectory { .. }
                | Self::SyncAll
                | Self::Answer { .. }
        )
    }

    /// True if `later` puts this change on disk.
    pub fn is_made_safe_by(&self, later: &Self) -> bool {
        match (self, later) {
            (change, Self::SyncAll) => change.is_change(),
            (
                Self::Data { inode, .. } | Self::Resize { inode, .. },
                Self::SyncFile { inode: synced },
            ) => inode == synced,
            (
                Self::Add { path, .. }
                | Self::MakeDirectory { path }
                | Self::Remove { path }
                | Self::Rename { to: path, .. },
                Self::SyncDirectory { path: synced },
            ) => path.parent() == Some(synced.as_path()),
            _ => false,
        }
    }

    /// The change as it stands after `later`: a name that was made has moved with the file or directory.
    pub fn after(self, later: &Self) -> Self {
        let Self::Rename { from, to } = later else {
            return self;
        };
        let moved = |path: PathBuf| match path.strip_prefix(from) {
            Ok(rest) if rest.as_os_str().is_empty() => to.clone(),
            Ok(rest) => to.join(rest),
            Err(_) => path,
        };
        match self {
            Self::Add { path, inode } => Self::Add {
                path: moved(path),
                inode,
            },
            Self::MakeDirectory { path } => Self::MakeDirectory { path: moved(path) },
            Self::Rename { from, to } => Self::Rename {
                from,
                to: moved(to),
            },
            other => other,
        }
    }
}
