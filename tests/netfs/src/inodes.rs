//! The kernel's inode numbers and what they stand for here: a descriptor opened without access to the contents,
//! so that an inode keeps its identity whatever happens to its names.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

/// The number FUSE gives to the mounted directory.
pub(crate) const ROOT: u64 = 1;

#[derive(Debug)]
struct Inode {
    handle: Arc<OwnedFd>,
    lookups: u64,
}

#[derive(Debug)]
pub(crate) struct Inodes {
    root_number: u64,
    known: Mutex<HashMap<u64, Inode>>,
}

impl Inodes {
    pub(crate) fn new(source: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = nix::fcntl::open(source, flags, Mode::empty())?;
        let root_number = std::fs::metadata(source)?.ino();
        let inode = Inode {
            handle: Arc::new(root),
            lookups: 1,
        };
        Ok(Self {
            root_number,
            known: Mutex::new(HashMap::from([(ROOT, inode)])),
        })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, Inode>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The descriptor of an inode that the kernel knows.
    pub(crate) fn handle(&self, number: u64) -> io::Result<Arc<OwnedFd>> {
        let known = self.known();
        let inode = known.get(&number).ok_or(nix::errno::Errno::ESTALE)?;
        Ok(Arc::clone(&inode.handle))
    }

    /// The kernel's number for the file `real` of the source.
    pub(crate) fn number(&self, real: u64) -> u64 {
        if real == self.root_number { ROOT } else { real }
    }

    /// Looks `name` up and counts the reference that the kernel gets with the answer.
    pub(crate) fn find(&self, parent: u64, name: &OsStr) -> io::Result<Attributes> {
        let parent = self.handle(parent)?;
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let handle = nix::fcntl::openat(&*parent, name, flags, Mode::empty())?;
        let attributes = Attributes::of(&handle)?;
        let mut known = self.known();
        let inode = known
            .entry(self.number(attributes.0.st_ino))
            .or_insert_with(|| Inode {
                handle: Arc::new(handle),
                lookups: 0,
            });
        inode.lookups = inode.lookups.saturating_add(1);
        Ok(attributes)
    }

    pub(crate) fn forget(&self, number: u64, count: u64) {
        let mut known = self.known();
        if let Some(inode) = known.get_mut(&number) {
            inode.lookups = inode.lookups.saturating_sub(count);
            if inode.lookups == 0 && number != ROOT {
                known.remove(&number);
            }
        }
    }

    /// Opens an inode for its contents.
    pub(crate) fn open(&self, number: u64, flags: OFlag) -> io::Result<File> {
        let handle = self.handle(number)?;
        let flags =
            flags & !(OFlag::O_NOFOLLOW | OFlag::O_CREAT | OFlag::O_EXCL) | OFlag::O_CLOEXEC;
        Ok(File::from(nix::fcntl::open(
            &proc_path(&handle),
            flags,
            Mode::empty(),
        )?))
    }
}

/// A name for what `handle` is open on, whatever has become of its other names.
pub(crate) fn proc_path(handle: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

/// What stat says.
pub(crate) struct Attributes(pub(crate) nix::sys::stat::FileStat);

impl Attributes {
    pub(crate) fn of(handle: &OwnedFd) -> io::Result<Self> {
        Ok(Self(nix::sys::stat::fstat(handle)?))
    }
}
