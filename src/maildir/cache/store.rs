//! The files that records are kept in. On a local file system there is one file, appended to under an OFD lock. On a
//! network file system, where two hosts must not append to one file, every batch becomes a file of its own, written
//! under a temporary name and renamed; compaction folds them together. Nothing is ever truncated or changed in place,
//! so a reader needs no lock.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::Mode;

use super::Storage;
use super::record::{ALIGN, HEADER_LEN, Header, Record};
use super::segment::{Health, Segment};
use crate::sys::whole;

/// More segments than this are folded into one.
const SEGMENTS_MAX: usize = 16;

/// Segments of another kind begin with this, which no time does.
const KINDS: [&str; 2] = [
    super::digest::Kind::Sort.suffix(),
    super::digest::Kind::Thread.suffix(),
];

/// The files of one kind in one folder, as one session sees them.
#[derive(Debug)]
pub(super) struct Store {
    directory: OwnedFd,
    pub(super) storage: Storage,
    owner: u32,
    /// Name of the file; segments add a dot and a unique part.
    name: String,
    pub(super) segments: Vec<Segment>,
    names: Vec<OsString>,
    health: Health,
}

/// What [`Store::look`] found.
pub(super) struct Seen {
    /// The files are others than before: nothing that was known of them holds.
    pub(super) reopened: bool,
    /// Octets to be looked through.
    pub(super) unread: u64,
    ends: Vec<u64>,
}

impl Store {
    /// The files called `name` in the folder open as `directory`. Nothing is read yet.
    ///
    /// # Errors
    /// Only when the descriptor cannot be duplicated or examined.
    pub(super) fn open(
        directory: BorrowedFd<'_>,
        storage: Storage,
        name: String,
    ) -> io::Result<Self> {
        let owner = nix::sys::stat::fstat(directory)?.st_uid;
        Ok(Self {
            directory: directory.try_clone_to_owned()?,
            storage,
            owner,
            name,
            segments: Vec::new(),
            names: Vec::new(),
            health: Health::Good,
        })
    }

    /// Takes notice of what others have written; costs one stat when nothing has changed.
    pub(super) fn look(&mut self) -> Seen {
        let names = self.segment_names();
        let (reopened, ends) = match self.ends(&names) {
            Some(ends) => (false, ends),
            None => {
                self.reopen(names);
                let opened = self.segments.iter();
                let ends = opened.map(|segment| segment.len().unwrap_or(0));
                (true, ends.collect())
            }
        };
        let unread = self
            .segments
            .iter()
            .zip(&ends)
            .fold(0_u64, |sum, (segment, end)| {
                sum.saturating_add(end.saturating_sub(segment.scanned))
            });
        Seen {
            reopened,
            unread,
            ends,
        }
    }

    /// Gives each intact record that was not looked at before to `each`, with its place.
    pub(super) fn scan(&mut self, seen: &Seen, mut each: impl FnMut(u64, Header, Record<'_>)) {
        for (segment, end) in self.segments.iter_mut().zip(&seen.ends) {
            let base = segment.base;
            let found = segment.scan(*end, |offset, header, record| {
                each(base.saturating_add(offset), header, record);
            });
            if found == Health::Damaged {
                self.health = found;
            }
        }
    }

    /// Where the open files end now; `None` if they are not the ones to be read any more.
    fn ends(&self, names: &[OsString]) -> Option<Vec<u64>> {
        if names != self.names || self.segments.len() != names.len() {
            return None;
        }
        let ends = self.segments.iter().zip(names);
        ends.map(|(segment, name)| {
            let here = nix::sys::stat::fstatat(
                &self.directory,
                name.as_os_str(),
                AtFlags::AT_SYMLINK_NOFOLLOW,
            )
            .ok()?;
            let same = segment.identity() == (here.st_dev, here.st_ino);
            same.then_some(u64::try_from(here.st_size).unwrap_or(0))
        })
        .collect()
    }

    /// True if the files are damaged, or too many.
    pub(super) fn wants_compaction(&self) -> bool {
        self.storage != Storage::ReadOnly
            && (self.health == Health::Damaged || self.segments.len() > SEGMENTS_MAX)
    }

    /// Gives back the memory of buffers; the next use allocates again.
    pub(super) fn release(&mut self) {
        self.segments.iter_mut().for_each(Segment::release);
    }

    /// Writes a batch of records. When another session holds the lock it is dropped: this is a cache, and nobody waits
    /// for it.
    ///
    /// # Errors
    /// The kernel's, ENOSPC and EDQUOT mostly.
    pub(super) fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        match self.storage {
            _ if batch.is_empty() => Ok(()),
            Storage::ReadOnly => Ok(()),
            Storage::Local => self.append(batch),
            Storage::Network => self.add_segment(batch),
        }
    }

    /// Puts a new file, which `write` fills, in the place of all that there are. False if another session is at work
    /// on them.
    ///
    /// # Errors
    /// The kernel's; the old files are then still there.
    pub(super) fn replace(
        &mut self,
        write: impl FnOnce(&mut Self, &File) -> io::Result<()>,
    ) -> io::Result<bool> {
        if self.storage == Storage::ReadOnly {
            return Ok(false);
        }
        // Held until the rename: an appender that waits for nobody would otherwise write to the old file.
        let lock = match self.segments.first() {
            Some(segment) if self.storage == Storage::Local => {
                let name = OsString::from(&self.name);
                let file = self.open_file(&name, OFlag::O_RDWR)?;
                if !whole::try_lock(&file)? || !self.still_is(segment, &name)? {
                    return Ok(false);
                }
                Some(file)
            }
            _ => None,
        };
        let temporary = self.unique_name(".tmp");
        let file = self.create(&temporary)?;
        if let Err(error) = write(self, &file) {
            self.unlink(&temporary)?;
            return Err(error);
        }
        let target = match self.storage {
            Storage::Network => self.unique_name(""),
            Storage::Local | Storage::ReadOnly => OsString::from(&self.name),
        };
        self.put_in_place(&temporary, &target)?;
        drop(lock);
        for name in std::mem::take(&mut self.names) {
            if name != target {
                self.unlink(&name)?;
            }
        }
        self.segments.clear();
        Ok(true)
    }

    fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        let name = OsString::from(&self.name);
        let file = match self.open_file(&name, OFlag::O_RDWR) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Exclusively, so that two creators agree on one file.
                match self.create(&name) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        self.open_file(&name, OFlag::O_RDWR)?
                    }
                    created => created?,
                }
            }
            Err(error) => return Err(error),
        };
        if !whole::try_lock(&file)? {
            return Ok(());
        }
        let metadata = file.metadata()?;
        let here = nix::sys::stat::fstatat(
            &self.directory,
            name.as_os_str(),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        );
        if !here.is_ok_and(|here| here.st_ino == metadata.ino() && here.st_dev == metadata.dev()) {
            // Compacted away between open and lock.
            return Ok(());
        }
        file.write_all_at(batch, metadata.len().next_multiple_of(ALIGN as u64))
    }

    fn add_segment(&mut self, batch: &[u8]) -> io::Result<()> {
        let temporary = self.unique_name(".tmp");
        let file = self.create(&temporary)?;
        if let Err(error) = file.write_all_at(batch, 0) {
            self.unlink(&temporary)?;
            return Err(error);
        }
        let name = self.unique_name("");
        self.put_in_place(&temporary, &name)
    }

    /// Gives a file its name. A failure leaves nothing behind: unlike `tmp`, nobody clears up where these files lie.
    fn put_in_place(&self, temporary: &OsString, name: &OsString) -> io::Result<()> {
        let renamed = nix::fcntl::renameat(
            &self.directory,
            temporary.as_os_str(),
            &self.directory,
            name.as_os_str(),
        );
        if let Err(errno) = renamed {
            self.unlink(temporary)?;
            return Err(errno.into());
        }
        Ok(())
    }

    fn create(&self, name: &OsString) -> io::Result<File> {
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        Ok(File::from(nix::fcntl::openat(
            &self.directory,
            name.as_os_str(),
            flags,
            mode,
        )?))
    }

    /// Opens a cache file if it is a regular file of the folder's owner: anything else is somebody's trap.
    fn open_file(&self, name: &OsString, access: OFlag) -> io::Result<File> {
        let flags = access | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = File::from(nix::fcntl::openat(
            &self.directory,
            name.as_os_str(),
            flags,
            Mode::empty(),
        )?);
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.uid() != self.owner {
            return Err(io::Error::from(Errno::EPERM));
        }
        Ok(file)
    }

    fn unlink(&self, name: &OsString) -> io::Result<()> {
        match nix::unistd::unlinkat(
            &self.directory,
            name.as_os_str(),
            nix::unistd::UnlinkatFlags::NoRemoveDir,
        ) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn still_is(&self, segment: &Segment, name: &OsString) -> io::Result<bool> {
        let here = nix::sys::stat::fstatat(
            &self.directory,
            name.as_os_str(),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )?;
        Ok(segment.identity() == (here.st_dev, here.st_ino))
    }

    /// Names of the files that make up the cache: one on local file systems, any number on network ones.
    fn segment_names(&self) -> Vec<OsString> {
        if self.storage == Storage::Local {
            return vec![OsString::from(&self.name)];
        }
        let mut names = Vec::new();
        // Opened afresh: a directory descriptor remembers how far it was read.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let listed = nix::fcntl::openat(&self.directory, ".", flags, Mode::empty())
            .map_err(io::Error::from)
            .and_then(|directory| {
                crate::sys::dir::list(&directory, |entry| {
                    let rest = entry.name.strip_prefix(self.name.as_bytes());
                    let ours = rest.is_some_and(is_segment);
                    if ours && !entry.name.ends_with(b".tmp") {
                        names.push(OsString::from_vec(entry.name.to_vec()));
                    }
                })
            });
        if listed.is_err() {
            names.clear();
        }
        names.sort();
        names
    }

    fn reopen(&mut self, names: Vec<OsString>) {
        self.segments.clear();
        self.names.clear();
        self.health = Health::Good;
        let mut base: u64 = 0;
        for name in names {
            // Absent or unusable: whatever it held is computed again.
            let Ok(file) = self.open_file(&name, OFlag::O_RDONLY) else {
                continue;
            };
            let Ok(metadata) = file.metadata() else {
                continue;
            };
            let len = metadata.len();
            let identity = (metadata.dev(), metadata.ino());
            let local = self.storage == Storage::Local;
            self.segments
                .push(Segment::new(file, identity, base, local));
            self.names.push(name);
            // Segments never grow on network file systems, and a local one is alone.
            base = base.saturating_add(len.next_multiple_of(ALIGN as u64));
        }
    }

    /// A name that no other host or process uses.
    fn unique_name(&self, suffix: &str) -> OsString {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let host = nix::unistd::gethostname().unwrap_or_else(|_| OsString::from("localhost"));
        let host: Vec<u8> = host
            .as_bytes()
            .iter()
            .filter(|&&byte| byte != b'/')
            .copied()
            .collect();
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.as_micros());
        let mut name = format!(
            "{}.{now}P{}_{}.",
            self.name,
            std::process::id(),
            COUNTER.fetch_add(1, Ordering::Relaxed)
        )
        .into_bytes();
        name.extend_from_slice(&host);
        name.extend_from_slice(suffix.as_bytes());
        OsString::from_vec(name)
    }
}

/// Whether what follows the name of the file names a segment of it, and not one of another kind.
fn is_segment(rest: &[u8]) -> bool {
    let other = |kind: &&str| {
        let after = rest.strip_prefix(kind.as_bytes());
        after.is_some_and(|after| after.is_empty() || after.starts_with(b"."))
    };
    rest.is_empty() || (rest.starts_with(b".") && !KINDS.iter().any(other))
}

pub(super) fn segment_of(segments: &mut [Segment], place: u64) -> Option<(&mut Segment, u64)> {
    let after = segments.partition_point(|segment| segment.base <= place);
    let segment = segments.get_mut(after.checked_sub(1)?)?;
    let offset = place.checked_sub(segment.base)?;
    Some((segment, offset))
}

pub(super) fn raw_in(segments: &mut [Segment], place: u64) -> Option<&[u8]> {
    let (segment, offset) = segment_of(segments, place)?;
    let len = Header::parse(segment.bytes(offset, HEADER_LEN)?)?.len;
    segment.bytes(offset, len)
}

pub(super) fn record_in(segments: &mut [Segment], place: u64) -> Option<Record<'_>> {
    // Mapped by now if it can be.
    raw_in(segments, place)?;
    let checked = segment_of(segments, place)?.0.is_mapped();
    let bytes = raw_in(segments, place)?;
    match checked {
        true => Record::parse_verified(bytes),
        false => Record::parse(bytes),
    }
}
