//! The message cache `courierimapcache`: what is expensive to learn about a message and never changes.
//!
//! Derived data only. It is never trusted (checksum, inode and size must match), may be deleted at any time, and
//! a failure to read or write it never fails a command: callers compute instead. Nothing is ever truncated or
//! changed in place, so a reader needs no lock.
//!
//! On a local file system there is one file, appended to under an OFD lock. On a network file system, where two
//! hosts must not append to one file, every batch becomes a file of its own, written under a temporary name and
//! renamed; compaction folds them together.

mod index;
mod record;
mod segment;
mod verify;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag};
use nix::sys::stat::Mode;

use index::Index;
use record::{ALIGN, HEADER_LEN, Header};
pub use record::{Field, Key, Record};
use segment::{Health, Segment};
#[cfg(feature = "fuzzing")]
pub(crate) use verify::fuzz;
pub(crate) use verify::is_whole;

/// Name of the file in the folder directory; segments add a dot and a unique part.
pub const FILE_NAME: &str = "courierimapcache";
/// A batch is written when it has grown to this many octets.
const BATCH: usize = 256 * 1024;
/// More segments than this are folded into one.
const SEGMENTS_MAX: usize = 16;

/// Where the folder lives; decides how the cache is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Appending under a lock is safe.
    Local,
    /// Several hosts may write: only whole files are added.
    Network,
    /// Somebody else's folder: read, never written.
    ReadOnly,
}

/// The cache of one folder, as one session sees it.
#[derive(Debug)]
pub struct Cache {
    directory: OwnedFd,
    storage: Storage,
    owner: u32,
    segments: Vec<Segment>,
    names: Vec<OsString>,
    index: Index,
    health: Health,
    batch: Vec<u8>,
}

impl Cache {
    /// The cache of the folder open as `directory`. Nothing is read before the first look-up.
    ///
    /// # Errors
    /// Only when the descriptor cannot be duplicated or examined.
    pub fn open(directory: BorrowedFd<'_>, storage: Storage) -> io::Result<Self> {
        let owner = nix::sys::stat::fstat(directory)?.st_uid;
        Ok(Self {
            directory: directory.try_clone_to_owned()?,
            storage,
            owner,
            segments: Vec::new(),
            names: Vec::new(),
            index: Index::default(),
            health: Health::Good,
            batch: Vec::new(),
        })
    }

    /// Takes notice of what others have written. To be called once per command that uses the cache; costs one
    /// stat when nothing has changed.
    pub fn refresh(&mut self) {
        self.refresh_within(u64::MAX);
    }

    /// As [`Cache::refresh`], unless more than `limit` octets would have to be looked through; false then. The cache
    /// is not to be used until a later call looks through them: it would not know what it has.
    pub fn refresh_within(&mut self, limit: u64) -> bool {
        let names = self.segment_names();
        let ends = self.ends(&names);
        let ends = match ends {
            Some(ends) => ends,
            None => {
                self.reopen(names);
                let opened = self.segments.iter();
                opened.map(|segment| segment.len().unwrap_or(0)).collect()
            }
        };
        let unread = self
            .segments
            .iter()
            .zip(&ends)
            .fold(0_u64, |sum, (segment, end)| {
                sum.saturating_add(end.saturating_sub(segment.scanned))
            });
        if unread > limit {
            return false;
        }
        let (index, mut health) = (&mut self.index, self.health);
        for (segment, end) in self.segments.iter_mut().zip(ends) {
            let base = segment.base;
            let found = segment.scan(end, |offset, header: Header| {
                index.add(header.hash, base.saturating_add(offset));
            });
            if found == Health::Damaged {
                health = found;
            }
        }
        self.health = health;
        self.index.settle();
        true
    }

    /// Where the open files end now; `None` if they are not the cache any more.
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

    /// What is known of `key`'s message.
    pub fn get(&mut self, key: &Key<'_>) -> Option<Record<'_>> {
        let place = self.find(key)?;
        // Its checksum was found right just now.
        Record::parse_verified(raw_in(&mut self.segments, place)?)
    }

    fn find(&mut self, key: &Key<'_>) -> Option<u64> {
        let Self {
            index, segments, ..
        } = self;
        index
            .places(record::hash(key.base))
            .find(|&place| record_in(segments, place).is_some_and(|record| record.matches(key)))
    }

    fn record_at(&mut self, place: u64) -> Option<Record<'_>> {
        record_in(&mut self.segments, place)
    }

    /// Remembers `fields` of `key`'s message, beside what is known already. Written with the next batch.
    pub fn add(&mut self, key: &Key<'_>, fields: &[(Field, &[u8])]) {
        if self.storage == Storage::ReadOnly {
            return;
        }
        let place = self.find(key);
        let Self {
            segments, batch, ..
        } = self;
        let known = place
            .and_then(|place| raw_in(segments, place))
            .and_then(Record::parse_verified);
        let new = fields.iter().map(|&(field, value)| (field as u16, value));
        let kept = known
            .iter()
            .flat_map(Record::fields)
            .filter(|&(tag, _)| !fields.iter().any(|&(field, _)| field as u16 == tag));
        record::encode(key, new.chain(kept), batch);
    }

    /// True while nothing is known of any message.
    pub(crate) fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// True once so much is waiting that it should be written.
    pub fn batch_is_full(&self) -> bool {
        self.batch.len() >= BATCH
    }

    /// Writes what is waiting. When another session holds the lock the batch is dropped: this is a cache, and
    /// nobody waits for it.
    ///
    /// # Errors
    /// The kernel's, ENOSPC and EDQUOT mostly. The batch is dropped; the caller logs at most once and goes on.
    pub fn flush(&mut self) -> io::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        match self.storage {
            Storage::ReadOnly => Ok(()),
            Storage::Local => self.append(&batch),
            Storage::Network => self.add_segment(&batch),
        }
    }

    /// Gives back the memory of buffers; the next use allocates again.
    pub fn release(&mut self) {
        self.batch.shrink_to_fit();
        self.segments.iter_mut().for_each(Segment::release);
    }

    /// True if [`Cache::compact`] would gain something for a folder of `messages` messages.
    pub fn wants_compaction(&self, messages: usize) -> bool {
        self.storage != Storage::ReadOnly
            && (self.health == Health::Damaged
                || self.segments.len() > SEGMENTS_MAX
                || self.index.len() > messages.saturating_mul(2).saturating_add(256))
    }

    /// Writes a new file with the newest record of each message for which `live` is true, and puts it in place
    /// of the old ones.
    ///
    /// # Errors
    /// The kernel's; the old files are then still there.
    pub fn compact(&mut self, mut live: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        self.refresh();
        if self.storage == Storage::ReadOnly {
            return Ok(());
        }
        // Held until the rename: an appender that waits for nobody would otherwise write to the old file.
        let lock = match self.segments.first() {
            Some(segment) if self.storage == Storage::Local => {
                let name = OsString::from(FILE_NAME);
                let file = self.open_file(&name, OFlag::O_RDWR)?;
                if !try_lock(&file)? || !self.still_is(segment, &name)? {
                    return Ok(());
                }
                Some(file)
            }
            _ => None,
        };
        let temporary = unique_name(".tmp");
        let written = self.write_live(&temporary, &mut live);
        if let Err(error) = written {
            self.unlink(&temporary)?;
            return Err(error);
        }
        let target = match self.storage {
            Storage::Network => unique_name(""),
            Storage::Local | Storage::ReadOnly => OsString::from(FILE_NAME),
        };
        nix::fcntl::renameat(
            &self.directory,
            temporary.as_os_str(),
            &self.directory,
            target.as_os_str(),
        )?;
        drop(lock);
        for name in std::mem::take(&mut self.names) {
            if name != target {
                self.unlink(&name)?;
            }
        }
        self.segments.clear();
        self.refresh();
        Ok(())
    }

    fn write_live(
        &mut self,
        temporary: &OsString,
        live: &mut dyn FnMut(&[u8]) -> bool,
    ) -> io::Result<()> {
        let file = self.create(temporary)?;
        let (mut buffer, mut end) = (Vec::with_capacity(BATCH), 0_u64);
        for place in self.index.all() {
            let Some(hash) = self.header_hash(place) else {
                continue;
            };
            let Some(base) = self.record_at(place).map(|record| record.base().to_vec()) else {
                continue;
            };
            // Superseded by a later record of the same name (same inode or not: only one file can exist).
            let newest = {
                let Self {
                    index, segments, ..
                } = self;
                index.places(hash).find(|&other| {
                    record_in(segments, other).is_some_and(|record| record.base() == base)
                })
            };
            if newest != Some(place) || !live(&base) {
                continue;
            }
            if let Some(bytes) = raw_in(&mut self.segments, place) {
                buffer.extend_from_slice(bytes);
            }
            if buffer.len() >= BATCH {
                file.write_all_at(&buffer, end)?;
                end = end.saturating_add(buffer.len() as u64);
                buffer.clear();
            }
        }
        file.write_all_at(&buffer, end)
    }

    fn header_hash(&mut self, place: u64) -> Option<u32> {
        let bytes = raw_in(&mut self.segments, place)?;
        Header::parse(bytes.get(..HEADER_LEN)?).map(|header| header.hash)
    }

    fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        let name = OsString::from(FILE_NAME);
        let file = match self.open_file(&name, OFlag::O_RDWR) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Under a temporary name and linked, so that two creators agree on one file.
                match self.create(&name) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        self.open_file(&name, OFlag::O_RDWR)?
                    }
                    created => created?,
                }
            }
            Err(error) => return Err(error),
        };
        if !try_lock(&file)? {
            return Ok(());
        }
        let metadata = file.metadata()?;
        let here =
            nix::sys::stat::fstatat(&self.directory, FILE_NAME, AtFlags::AT_SYMLINK_NOFOLLOW);
        if !here.is_ok_and(|here| here.st_ino == metadata.ino() && here.st_dev == metadata.dev()) {
            // Compacted away between open and lock.
            return Ok(());
        }
        file.write_all_at(batch, metadata.len().next_multiple_of(ALIGN as u64))
    }

    fn add_segment(&mut self, batch: &[u8]) -> io::Result<()> {
        let temporary = unique_name(".tmp");
        let file = self.create(&temporary)?;
        if let Err(error) = file.write_all_at(batch, 0) {
            self.unlink(&temporary)?;
            return Err(error);
        }
        let name = unique_name("");
        nix::fcntl::renameat(
            &self.directory,
            temporary.as_os_str(),
            &self.directory,
            name.as_os_str(),
        )?;
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
            return vec![OsString::from(FILE_NAME)];
        }
        let mut names = Vec::new();
        // Opened afresh: a directory descriptor remembers how far it was read.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let listed = nix::fcntl::openat(&self.directory, ".", flags, Mode::empty())
            .map_err(io::Error::from)
            .and_then(|directory| {
                crate::sys::dir::list(&directory, |entry| {
                    let rest = entry.name.strip_prefix(FILE_NAME.as_bytes());
                    let ours = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."));
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
        self.index = Index::default();
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
}

impl Drop for Cache {
    fn drop(&mut self) {
        // What cannot be written is computed again by the next session.
        self.flush().unwrap_or_default();
    }
}

fn segment_of(segments: &mut [Segment], place: u64) -> Option<(&mut Segment, u64)> {
    let after = segments.partition_point(|segment| segment.base <= place);
    let segment = segments.get_mut(after.checked_sub(1)?)?;
    let offset = place.checked_sub(segment.base)?;
    Some((segment, offset))
}

fn raw_in(segments: &mut [Segment], place: u64) -> Option<&[u8]> {
    let (segment, offset) = segment_of(segments, place)?;
    let len = Header::parse(segment.bytes(offset, HEADER_LEN)?)?.len;
    segment.bytes(offset, len)
}

fn record_in(segments: &mut [Segment], place: u64) -> Option<Record<'_>> {
    // Mapped by now if it can be.
    raw_in(segments, place)?;
    let checked = segment_of(segments, place)?.0.is_mapped();
    let bytes = raw_in(segments, place)?;
    match checked {
        true => Record::parse_verified(bytes),
        false => Record::parse(bytes),
    }
}

/// Locks `file` for writing; false if another session has it.
fn try_lock(file: &File) -> io::Result<bool> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "constants of the kernel's own 16-bit fields"
    )]
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match nix::fcntl::fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// A name that no other host or process uses.
fn unique_name(suffix: &str) -> OsString {
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
        "{FILE_NAME}.{now}P{}_{}.",
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed)
    )
    .into_bytes();
    name.extend_from_slice(&host);
    name.extend_from_slice(suffix.as_bytes());
    OsString::from_vec(name)
}

/// Removes every cache file of the folder at `directory`, for going back to software that does not know them.
///
/// # Errors
/// The kernel's, with the first file that could not be removed.
pub fn remove(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry
            .file_name()
            .as_bytes()
            .starts_with(FILE_NAME.as_bytes())
        {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
