//! What can go wrong in the store, in classes that a protocol can answer.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// The class of an [`Error`]: what a protocol needs to know to choose its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The folder does not exist (any more), or is not a maildir.
    NoSuchFolder,
    /// A folder of that name exists already.
    FolderExists,
    /// The operation is never allowed on this folder: INBOX, the trash, a folder onto itself or its own child.
    Protected,
    /// The name cannot be a folder of ours.
    InvalidName,
    /// The file system or its quota is full.
    NoSpace,
    /// The account's own quota (`maildirsize`) is full.
    OverQuota,
    /// Permissions or a read-only file system forbid it.
    Denied,
    /// Another process held the folder's lock for too long.
    Locked,
    /// The message's file is gone.
    Gone,
    /// The mailbox was deleted and created anew while it was open: UIDVALIDITY changed.
    Recreated,
    /// No UIDs are left in this folder.
    Exhausted,
    /// Anything else the system reports.
    Io,
}

/// A failed operation on the store: what, where, why.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    operation: &'static str,
    path: PathBuf,
    errno: Option<Errno>,
}

/// Results of the store.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failed system call `operation` on `path`; the kind follows from the errno.
    pub(crate) fn io(operation: &'static str, path: &Path, errno: Errno) -> Self {
        let kind = match errno {
            Errno::ENOSPC | Errno::EDQUOT => ErrorKind::NoSpace,
            Errno::EACCES | Errno::EPERM | Errno::EROFS => ErrorKind::Denied,
            Errno::ENAMETOOLONG | Errno::EILSEQ => ErrorKind::InvalidName,
            _ => ErrorKind::Io,
        };
        Self {
            kind,
            operation,
            path: path.to_path_buf(),
            errno: Some(errno),
        }
    }

    /// As [`Self::io`], for an error of the standard library.
    pub(crate) fn std(operation: &'static str, path: &Path, error: &io::Error) -> Self {
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        Self::io(operation, path, errno)
    }

    /// An error that no system call reported.
    pub(crate) fn new(kind: ErrorKind, operation: &'static str, path: &Path) -> Self {
        Self {
            kind,
            operation,
            path: path.to_path_buf(),
            errno: None,
        }
    }

    /// The same error under another class.
    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The system's error number, if a system call failed.
    pub fn errno(&self) -> Option<Errno> {
        self.errno
    }

    /// The file or directory concerned.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_os_str().as_bytes().escape_ascii();
        let reason = match (self.errno, self.kind) {
            (Some(errno), _) => errno.desc(),
            (None, ErrorKind::NoSuchFolder) => "No such folder",
            (None, ErrorKind::FolderExists) => "Folder exists",
            (None, ErrorKind::Protected) => "Not allowed on this folder",
            (None, ErrorKind::InvalidName) => "Invalid name",
            (None, ErrorKind::NoSpace) => "No space left",
            (None, ErrorKind::OverQuota) => "Over quota",
            (None, ErrorKind::Denied) => "Permission denied",
            (None, ErrorKind::Locked) => "Locked by another process for too long",
            (None, ErrorKind::Gone) => "Message is gone",
            (None, ErrorKind::Recreated) => "Mailbox was created anew",
            (None, ErrorKind::Exhausted) => "No UIDs left",
            (None, ErrorKind::Io) => "Input/output error",
        };
        write!(f, "{} {path}: {reason}", self.operation)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_operation_path_and_reason() {
        let error = Error::io("link", Path::new("/m/new/1.M2"), Errno::EDQUOT);
        assert_eq!(error.kind(), ErrorKind::NoSpace);
        assert_eq!(
            error.to_string(),
            format!("link /m/new/1.M2: {}", Errno::EDQUOT.desc())
        );
    }
}
