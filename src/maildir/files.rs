//! File operations relative to an open directory, with errors that name the path. The symlink rule of the contract
//! (maildir 1.3) lives here: files of the store are opened without following a link in the last component.

mod naming;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag};
use nix::unistd::UnlinkatFlags;

use super::error::{Error, ErrorKind, Result};
use super::filename::TmpName;
use crate::sys::log::{Level, log};
use crate::sys::{dir, fresh};

/// An open directory and the path to name it by in messages.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    /// On NFS and the like, where a stat may answer from this host's memory and a reply may get lost.
    network: bool,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A file's identity and times, as compared to notice changes. Both times count: tools restore mtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

impl Stamp {
    /// Of no file: what is remembered so is always different.
    pub(crate) const NEVER: Self = Self {
        device: 0,
        inode: 0,
        size: -1,
        mtime: (0, 0),
        ctime: (0, 0),
    };

    /// True if it is of the file with this device and inode.
    pub(crate) fn is_file(&self, device: u64, inode: u64) -> bool {
        (self.device, self.inode) == (device, inode)
    }

    /// The newer of its times in microseconds since 1970.
    pub(crate) fn latest_microsecond(&self) -> u64 {
        let microseconds = |(seconds, nanoseconds): (i64, i64)| {
            seconds
                .saturating_mul(1_000_000)
                .saturating_add(nanoseconds / 1000)
        };
        let latest = microseconds(self.mtime).max(microseconds(self.ctime));
        u64::try_from(latest).unwrap_or(0)
    }

    /// The size that the file had.
    pub(crate) fn size(&self) -> u64 {
        u64::try_from(self.size).unwrap_or(0)
    }

    pub(crate) fn of(stat: &FileStat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
            ctime: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// All of it as octets. `network`: without the device, whose number is each host's own there.
    pub(crate) fn encode(&self, network: bool) -> [u8; 56] {
        let mut bytes = [0; 56];
        let device = if network { 0 } else { self.device };
        let numbers = [
            device.to_le_bytes(),
            self.inode.to_le_bytes(),
            self.size.to_le_bytes(),
            self.mtime.0.to_le_bytes(),
            self.mtime.1.to_le_bytes(),
            self.ctime.0.to_le_bytes(),
            self.ctime.1.to_le_bytes(),
        ];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number);
        }
        bytes
    }

    /// True if a change made within `window` of the newer of the two times might carry the same times, seen at
    /// the file server's time `now`.
    pub(crate) fn is_racy(&self, now: SystemTime, window: Duration) -> bool {
        [self.mtime, self.ctime]
            .into_iter()
            .any(|time| distance(time, now) < window)
    }
}

/// How far a file time is from `now`, in either direction.
fn distance((seconds, nanoseconds): (i64, i64), now: SystemTime) -> Duration {
    let since_epoch = Duration::new(
        u64::try_from(seconds).unwrap_or(0),
        u32::try_from(nanoseconds).unwrap_or(0).min(999_999_999),
    );
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    now.abs_diff(since_epoch)
}

/// The server's time as the modification time of a file just touched there.
pub(crate) fn modified(stat: &FileStat) -> SystemTime {
    UNIX_EPOCH
        + Duration::new(
            u64::try_from(stat.st_mtime).unwrap_or(0),
            u32::try_from(stat.st_mtime_nsec)
                .unwrap_or(0)
                .min(999_999_999),
        )
}

/// True for a regular file.
pub(crate) fn is_regular(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits()
}

impl Dir {
    /// Opens a directory by path, following links: the path is the administrator's.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let fd = nix::fcntl::open(
            path,
            OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| folder_error("open", path, errno))?;
        let network = super::folder::is_network(&fd);
        Ok(Self {
            fd,
            path: path.to_path_buf(),
            network,
        })
    }

    /// Opens the directory `name` in this one, following links (shared folders are links).
    pub(crate) fn open_dir(&self, name: &[u8]) -> Result<Self> {
        self.open_dir_with(name, OFlag::empty())
    }

    /// As [`Self::open_dir`] with more flags.
    pub(crate) fn open_dir_with(&self, name: &[u8], flags: OFlag) -> Result<Self> {
        let path = self.path_of(name);
        let fd = nix::fcntl::openat(
            self,
            name,
            flags | OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| folder_error("open", &path, errno))?;
        Ok(Self {
            fd,
            path,
            network: self.network,
        })
    }

    /// Looks again where this is: a folder may be a link to another file system.
    pub(crate) fn place_again(mut self) -> Self {
        self.network = super::folder::is_network(&self.fd);
        self
    }

    /// As if it were on a network file system.
    #[cfg(test)]
    pub(crate) fn on_network(mut self) -> Self {
        self.network = true;
        self
    }

    /// True on NFS and the like.
    pub(crate) fn is_on_network(&self) -> bool {
        self.network
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn path_of(&self, name: &[u8]) -> PathBuf {
        self.path.join(std::ffi::OsStr::from_bytes(name))
    }

    /// Lists the directory through a fresh descriptor. `each` also gets dot files.
    pub(crate) fn list(&self, each: impl FnMut(dir::Entry<'_>)) -> Result<()> {
        let fresh = nix::fcntl::openat(
            self,
            c".",
            OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| folder_error("open", &self.path, errno))?;
        dir::list(&fresh, each).map_err(|error| {
            let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
            folder_error("read directory", &self.path, errno)
        })
    }

    /// The directory's own identity and times. On a network file system the server is asked, which also makes
    /// this host forget a listing that is out of date.
    pub(crate) fn stamp(&self) -> Result<Stamp> {
        self.stat_open(self)
            .map(|stat| Stamp::of(&stat))
            .map_err(|errno| Error::io("stat", &self.path, errno))
    }

    /// What an open file or directory in here is now.
    pub(crate) fn stat_open<F: AsFd>(&self, file: &F) -> std::result::Result<FileStat, Errno> {
        if !self.network {
            return nix::sys::stat::fstat(file);
        }
        fresh::stat(file).map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }

    /// Identity and times of an entry, not following links; `None` if there is no such entry.
    pub(crate) fn stat(&self, name: &[u8]) -> Result<Option<FileStat>> {
        match nix::sys::stat::fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.error("stat", name, errno)),
        }
    }

    /// As [`Self::stamp_of`]; what is not a regular file counts as absent.
    pub(crate) fn stamp_of_file(&self, name: &[u8]) -> Result<Option<Stamp>> {
        if self.network {
            // Opened, not looked up: a name may lead to a file that another host has replaced, opening does not.
            return Ok(self.open_file(name)?.map(|(_, stat)| Stamp::of(&stat)));
        }
        Ok(self.stat(name)?.filter(is_regular).as_ref().map(Stamp::of))
    }

    /// As [`Self::stat`], as a [`Stamp`].
    pub(crate) fn stamp_of(&self, name: &[u8]) -> Result<Option<Stamp>> {
        Ok(self.stat(name)?.as_ref().map(Stamp::of))
    }

    pub(crate) fn error(&self, operation: &'static str, name: &[u8], errno: Errno) -> Error {
        Error::io(operation, &self.path_of(name), errno)
    }

    /// Opens a regular file for reading without following a link; `None` if there is none. Anything that is not
    /// a regular file counts as absent (a FIFO is not waited for).
    pub(crate) fn open_file(&self, name: &[u8]) -> Result<Option<(File, FileStat)>> {
        self.open_with(name, OFlag::O_RDONLY)
    }

    /// As [`Self::open_file`], for reading and writing.
    pub(crate) fn open_for_update(&self, name: &[u8]) -> Result<Option<(File, FileStat)>> {
        self.open_with(name, OFlag::O_RDWR)
    }

    fn open_with(&self, name: &[u8], access: OFlag) -> Result<Option<(File, FileStat)>> {
        let flags = access | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = match nix::fcntl::openat(self, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => return Ok(None),
            Err(errno) => return Err(self.error("open", name, errno)),
        };
        let stat = self
            .stat_open(&fd)
            .map_err(|errno| self.error("stat", name, errno))?;
        if !is_regular(&stat) {
            return Ok(None);
        }
        Ok(Some((File::from(fd), stat)))
    }

    /// Opens a message file: as [`Self::open_file`], but one link is followed (shared folders), and with
    /// `follow` any number.
    pub(crate) fn open_message(
        &self,
        name: &[u8],
        follow: bool,
    ) -> Result<Option<(File, FileStat)>> {
        if let Some(opened) = self.open_file(name)? {
            return Ok(Some(opened));
        }
        let Ok(target) = nix::fcntl::readlinkat(self, name) else {
            return Ok(None);
        };
        let mut flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        if !follow {
            flags |= OFlag::O_NOFOLLOW;
        }
        let fd = match nix::fcntl::openat(self, target.as_os_str(), flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO | Errno::ENOTDIR) => return Ok(None),
            Err(errno) => return Err(self.error("open", name, errno)),
        };
        let stat = nix::sys::stat::fstat(&fd).map_err(|errno| self.error("stat", name, errno))?;
        if !is_regular(&stat) {
            return Ok(None);
        }
        Ok(Some((File::from(fd), stat)))
    }

    /// Reads a whole regular file of at most `limit` bytes; `None` if there is none.
    pub(crate) fn read(&self, name: &[u8], limit: u64) -> Result<Option<(Vec<u8>, Stamp)>> {
        let Some((file, stat)) = self.open_file(name)? else {
            return Ok(None);
        };
        let bytes = self.read_opened(name, &file, &stat, limit)?;
        Ok(Some((bytes, Stamp::of(&stat))))
    }

    /// Reads a whole file of this directory that has been opened; at most `limit` bytes.
    pub(crate) fn read_opened(
        &self,
        name: &[u8],
        file: &File,
        stat: &FileStat,
        limit: u64,
    ) -> Result<Vec<u8>> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size > limit {
            return Err(self.error("read", name, Errno::EFBIG));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::std("read", &self.path_of(name), &error))?;
        Ok(bytes)
    }

    /// Creates a file that must not exist.
    pub(crate) fn create(&self, name: &[u8], mode: u32) -> Result<File> {
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        nix::fcntl::openat(self, name, flags, Mode::from_bits_truncate(mode))
            .map(File::from)
            // Only a directory that has been removed cannot take a new name for that reason.
            .map_err(|errno| folder_error("create", &self.path_of(name), errno))
    }

    /// Creates a file under a new unique name, trying again should the name be taken.
    pub(crate) fn create_unique(
        &self,
        purpose: &str,
        host: &str,
        mode: u32,
    ) -> Result<(TmpName, File)> {
        let mut tries = 0;
        loop {
            let name = TmpName::new(purpose, host);
            match self.create(&name.tmp(), mode) {
                Ok(file) => return Ok((name, file)),
                Err(error) if error.errno() == Some(Errno::EEXIST) && tries < 100 => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn mkdir(&self, name: &[u8], mode: u32) -> Result<()> {
        nix::sys::stat::mkdirat(self, name, Mode::from_bits_truncate(mode))
            .map_err(|errno| self.error("mkdir", name, errno))
    }

    /// Removes a file; an absent one is success, since that is what a repeated request over NFS reports.
    pub(crate) fn remove(&self, name: &[u8]) -> Result<()> {
        match nix::unistd::unlinkat(self, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.error("unlink", name, errno)),
        }
    }

    /// Removes a file; whether it was there.
    pub(crate) fn unlink(&self, name: &[u8]) -> std::result::Result<(), Errno> {
        nix::unistd::unlinkat(self, name, UnlinkatFlags::NoRemoveDir)
    }

    /// Replaces `new` in `to` by `name`: only for our own metadata files, never for messages.
    pub(crate) fn replace(&self, name: &[u8], to: &Self, new: &[u8]) -> Result<()> {
        nix::fcntl::renameat(self, name, to, new).map_err(|errno| to.error("rename", new, errno))
    }

    /// Makes the directory's entries durable.
    pub(crate) fn sync(&self) -> Result<()> {
        nix::unistd::fsync(self).map_err(|errno| Error::io("fsync", &self.path, errno))
    }
}

/// A missing directory is a missing folder.
fn folder_error(operation: &'static str, path: &Path, errno: Errno) -> Error {
    let error = Error::io(operation, path, errno);
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP => error.with_kind(ErrorKind::NoSuchFolder),
        _ => error,
    }
}

/// Replaces the file `name` in `dir` by `content`: unique file in `tmp`, every write and the close checked, fsync,
/// rename, fsync of the directory (`durable`). The old file stays untouched on any failure.
pub(crate) fn replace_file(
    tmp: &Dir,
    dir: &Dir,
    name: &[u8],
    content: &[u8],
    purpose: &str,
    host: &str,
    durable: bool,
) -> Result<FileStat> {
    let new = (content, purpose);
    replace_fenced(tmp, dir, name, new, host, durable, &|| Ok(()))
}

/// As [`replace_file`], if `fence` allows it when the new file is ready. Should that file, content and purpose, have
/// been taken away by then, it is `Locked`: whoever takes over a lock removes what its old holder had ready.
pub(crate) fn replace_fenced(
    tmp: &Dir,
    dir: &Dir,
    name: &[u8],
    (content, purpose): (&[u8], &str),
    host: &str,
    durable: bool,
    fence: &dyn Fn() -> Result<()>,
) -> Result<FileStat> {
    let (unique, file) = tmp.create_unique(purpose, host, 0o644)?;
    let unique = unique.tmp();
    let path = tmp.path_of(&unique);
    let result = write_all(&file, content, durable, &path).and_then(|stat| {
        if dir.network && !durable {
            check_close(&file, &path)?;
        }
        fence()?;
        match tmp.replace(&unique, dir, name) {
            Err(error) if dir.network && is_in_place(dir, name, &stat) => {
                log_lost("rename", dir, name, error.errno().unwrap_or(Errno::EIO));
            }
            Err(error) if error.errno() == Some(Errno::ENOENT) => {
                return Err(error.with_kind(ErrorKind::Locked));
            }
            replaced => replaced?,
        }
        Ok(stat)
    });
    match result {
        Ok(stat) => {
            if durable {
                dir.sync()?;
            }
            Ok(stat)
        }
        Err(error) => {
            // The failure itself is reported; a leftover is purged after 36 hours.
            let _ = tmp.remove(&unique);
            Err(error)
        }
    }
}

/// True if `name` is the file with this identity: a rename that reported an error has been done.
pub(crate) fn is_in_place(dir: &Dir, name: &[u8], stat: &FileStat) -> bool {
    matches!(dir.open_file(name), Ok(Some((_, found)))
        if (found.st_dev, found.st_ino) == (stat.st_dev, stat.st_ino))
}

fn log_lost(operation: &str, dir: &Dir, name: &[u8], errno: Errno) {
    log(
        Level::Debug,
        format_args!(
            "{operation} {}: {}, but done",
            dir.path_of(name).display(),
            errno.desc()
        ),
    );
}

/// Hears what closing the file would say, while it is still open: a network file system may tell only then that the
/// disk is full.
pub(crate) fn check_close(file: &File, path: &Path) -> Result<()> {
    file.try_clone()
        .map_err(|error| Error::std("close", path, &error))
        .and_then(|copy| nix::unistd::close(copy).map_err(|errno| Error::io("close", path, errno)))
}

/// Writes `content` to a new file and, with `durable`, waits for the disk.
pub(crate) fn write_all(
    mut file: &File,
    content: &[u8],
    durable: bool,
    path: &Path,
) -> Result<FileStat> {
    file.write_all(content)
        .map_err(|error| Error::std("write", path, &error))?;
    if durable {
        nix::unistd::fsync(file).map_err(|errno| Error::io("fsync", path, errno))?;
    }
    nix::sys::stat::fstat(file).map_err(|errno| Error::io("stat", path, errno))
}
