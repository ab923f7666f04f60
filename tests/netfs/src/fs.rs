//! The file system itself: every operation passes through to the source directory, except when the dice say no.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, FileExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags};

use crate::faults::{Caching, Faults};
use crate::inodes::{Attributes, Inodes, proc_path};

type Name = (INodeNo, FileType, OsString);

struct Listing {
    entries: Arc<Vec<Name>>,
    taken: Instant,
    /// The directory's change time when it was listed.
    changed: (i64, i64),
}

enum Open {
    /// A file, and whether something was written since it was last synced.
    File(File, AtomicBool),
    Directory(Arc<Vec<Name>>),
}

pub(crate) struct NetworkFs {
    inodes: Inodes,
    caching: Caching,
    faults: Arc<Faults>,
    open: Mutex<HashMap<u64, Arc<Open>>>,
    next_handle: AtomicU64,
    listings: Mutex<HashMap<u64, Listing>>,
}

impl NetworkFs {
    pub(crate) fn new(source: &Path, caching: Caching, faults: Arc<Faults>) -> io::Result<Self> {
        Ok(Self {
            inodes: Inodes::new(source)?,
            caching,
            faults,
            open: Mutex::default(),
            next_handle: AtomicU64::new(1),
            listings: Mutex::default(),
        })
    }

    fn open_table(&self) -> MutexGuard<'_, HashMap<u64, Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listing_table(&self) -> MutexGuard<'_, HashMap<u64, Listing>> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, open: Open) -> FileHandle {
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        self.open_table().insert(handle, Arc::new(open));
        FileHandle(handle)
    }

    fn opened(&self, handle: FileHandle) -> Result<Arc<Open>, Errno> {
        self.open_table()
            .get(&handle.0)
            .map(Arc::clone)
            .ok_or(Errno::EBADF)
    }

    /// A file's descriptor, unless another host removed the file: its handle is then stale, as on NFS.
    fn file(&self, handle: FileHandle) -> Result<Arc<Open>, Errno> {
        let open = self.opened(handle)?;
        if self.faults.strikes(&self.faults.stale) {
            return Err(Errno::ESTALE);
        }
        Ok(open)
    }

    fn attributes(&self, attributes: &Attributes) -> FileAttr {
        let stat = &attributes.0;
        let behind = i64::from(self.faults.clock_behind.load(Ordering::Relaxed));
        FileAttr {
            ino: INodeNo(self.inodes.number(stat.st_ino)),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            atime: time(stat.st_atime, stat.st_atime_nsec),
            mtime: time(stat.st_mtime.saturating_sub(behind), stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            crtime: UNIX_EPOCH,
            kind: kind(stat.st_mode),
            perm: u16::try_from(stat.st_mode & 0o7777).unwrap_or(0),
            nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            uid: stat.st_uid,
            gid: stat.st_gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    fn entry(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        Ok(self.attributes(&self.inodes.find(parent.0, name)?))
    }

    fn answer(&self, reply: ReplyEntry, entry: Result<FileAttr, Errno>) {
        match entry {
            Ok(attributes) => reply.entry(&self.caching.attributes, &attributes, Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    /// A host sees its own changes to a directory at once.
    fn changed(&self, directory: INodeNo) {
        self.listing_table().remove(&directory.0);
    }

    /// What the operation says when it was done, or what a retransmission of it says.
    fn lose(&self, done: Result<(), Errno>, retransmitted: Errno) -> Result<(), Errno> {
        match done {
            Ok(()) if self.faults.strikes(&self.faults.lost_reply) => Err(retransmitted),
            done => done,
        }
    }

    fn is_removed(&self, inode: INodeNo) -> bool {
        let attributes = self
            .inodes
            .handle(inode.0)
            .and_then(|handle| Attributes::of(&handle));
        attributes.is_ok_and(|attributes| attributes.0.st_nlink == 0)
    }

    fn list(&self, directory: INodeNo) -> Result<Arc<Vec<Name>>, Errno> {
        if let Some(listing) = self.listing_table().get(&directory.0) {
            if listing.taken.elapsed() < self.caching.listings {
                return Ok(Arc::clone(&listing.entries));
            }
        }
        let handle = self.inodes.handle(directory.0)?;
        let changed = change_time(&Attributes::of(&handle)?);
        let mut entries = vec![
            (directory, FileType::Directory, OsString::from(".")),
            (directory, FileType::Directory, OsString::from("..")),
        ];
        for entry in std::fs::read_dir(proc_path(&handle))? {
            let entry = entry?;
            let file_type = entry.file_type()?;
            let kind = if file_type.is_dir() {
                FileType::Directory
            } else if file_type.is_symlink() {
                FileType::Symlink
            } else {
                FileType::RegularFile
            };
            let number = self.inodes.number(entry.ino());
            entries.push((INodeNo(number), kind, entry.file_name()));
        }
        let message = |(_, _, name): &Name| name.as_bytes().windows(3).any(|part| part == b":2,");
        if let Some(last) = entries.iter().rposition(message) {
            if self.faults.takes(&self.faults.short_listings) {
                entries.remove(last);
            }
        }
        let entries = Arc::new(entries);
        let listing = Listing {
            changed,
            entries: Arc::clone(&entries),
            taken: Instant::now(),
        };
        self.listing_table().insert(directory.0, listing);
        Ok(entries)
    }

    fn give(&self, request: &Request, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let parent = self.inodes.handle(parent.0)?;
        let (uid, gid) = (Uid::from_raw(request.uid()), Gid::from_raw(request.gid()));
        nix::unistd::fchownat(
            &*parent,
            name,
            Some(uid),
            Some(gid),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .map_err(errno)
    }
}

impl Filesystem for NetworkFs {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let entry = self.entry(parent, name);
        let negative = !self.caching.listings.is_zero();
        if negative && matches!(&entry, Err(errno) if i32::from(*errno) == i32::from(Errno::ENOENT))
        {
            // Inode 0 asks the kernel to remember that the name is absent.
            reply.entry(&self.caching.listings, &absent(), Generation(0));
        } else {
            self.answer(reply, entry);
        }
    }

    fn forget(&self, _request: &Request, inode: INodeNo, count: u64) {
        self.inodes.forget(inode.0, count);
    }

    fn getattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        if self.faults.strikes(&self.faults.stale) {
            return reply.error(Errno::ESTALE);
        }
        let found = self
            .inodes
            .handle(inode.0)
            .and_then(|handle| Attributes::of(&handle));
        if let Ok(attributes) = &found {
            // A client that learns of a change forgets its listing.
            let mut listings = self.listing_table();
            if listings
                .get(&inode.0)
                .is_some_and(|listing| listing.changed != change_time(attributes))
            {
                listings.remove(&inode.0);
            }
        }
        match found {
            Ok(attributes) => reply.attr(&self.caching.attributes, &self.attributes(&attributes)),
            Err(error) => reply.error(error.into()),
        }
    }

    fn setattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = || -> io::Result<Attributes> {
            let handle = self.inodes.handle(inode.0)?;
            let path = proc_path(&handle);
            if let Some(mode) = mode {
                std::fs::set_permissions(
                    &path,
                    std::os::unix::fs::PermissionsExt::from_mode(mode & 0o7777),
                )?;
            }
            if uid.is_some() || gid.is_some() {
                nix::unistd::chown(&path, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?;
            }
            if let Some(size) = size {
                self.inodes.open(inode.0, OFlag::O_WRONLY)?.set_len(size)?;
            }
            if atime.is_some() || mtime.is_some() {
                let here = nix::fcntl::AT_FDCWD;
                let (atime, mtime) = (time_spec(atime), time_spec(mtime));
                nix::sys::stat::utimensat(
                    here,
                    &path,
                    &atime,
                    &mtime,
                    UtimensatFlags::FollowSymlink,
                )?;
            }
            Attributes::of(&handle)
        };
        match change() {
            Ok(attributes) => reply.attr(&self.caching.attributes, &self.attributes(&attributes)),
            Err(error) => reply.error(error.into()),
        }
    }

    fn readlink(&self, _request: &Request, inode: INodeNo, reply: ReplyData) {
        let target = self
            .inodes
            .handle(inode.0)
            .and_then(|handle| Ok(nix::fcntl::readlinkat(&*handle, OsStr::new(""))?));
        match target {
            Ok(target) => reply.data(target.as_bytes()),
            Err(error) => reply.error(error.into()),
        }
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let done = self
            .inodes
            .handle(parent.0)
            .map_err(Errno::from)
            .and_then(|handle| {
                let mode = Mode::from_bits_truncate(mode & !umask);
                nix::sys::stat::mkdirat(&*handle, name, mode).map_err(errno)?;
                self.give(request, parent, name)
            });
        self.changed(parent);
        let entry = self
            .lose(done, Errno::EEXIST)
            .and_then(|()| self.entry(parent, name));
        self.answer(reply, entry);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let done = self
            .inodes
            .handle(parent.0)
            .map_err(Errno::from)
            .and_then(|handle| {
                nix::unistd::symlinkat(target, &*handle, name).map_err(errno)?;
                self.give(request, parent, name)
            });
        self.changed(parent);
        self.answer(reply, done.and_then(|()| self.entry(parent, name)));
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self
            .inodes
            .handle(parent.0)
            .map_err(Errno::from)
            .and_then(|handle| {
                nix::unistd::unlinkat(&*handle, name, UnlinkatFlags::NoRemoveDir).map_err(errno)
            });
        self.changed(parent);
        finish(reply, self.lose(done, Errno::ENOENT));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self
            .inodes
            .handle(parent.0)
            .map_err(Errno::from)
            .and_then(|handle| {
                nix::unistd::unlinkat(&*handle, name, UnlinkatFlags::RemoveDir).map_err(errno)
            });
        self.changed(parent);
        finish(reply, done);
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let rename = || -> io::Result<()> {
            let (from, to) = (
                self.inodes.handle(parent.0)?,
                self.inodes.handle(new_parent.0)?,
            );
            let flags = nix::fcntl::RenameFlags::from_bits_truncate(flags.bits());
            // Network file systems do not know the flags of renameat2.
            if !flags.is_empty() {
                return Err(nix::errno::Errno::EINVAL.into());
            }
            Ok(nix::fcntl::renameat(&*from, name, &*to, new_name)?)
        };
        let done = rename().map_err(Errno::from);
        self.changed(parent);
        self.changed(new_parent);
        finish(reply, self.lose(done, Errno::ENOENT));
    }

    fn link(
        &self,
        _request: &Request,
        inode: INodeNo,
        parent: INodeNo,
        name: &OsStr,
        reply: ReplyEntry,
    ) {
        let link = || -> io::Result<()> {
            let (source, to) = (self.inodes.handle(inode.0)?, self.inodes.handle(parent.0)?);
            let here = nix::fcntl::AT_FDCWD;
            let path = proc_path(&source);
            Ok(nix::unistd::linkat(
                here,
                &path,
                &*to,
                name,
                LinkatFlags::AT_SYMLINK_FOLLOW,
            )?)
        };
        let done = link().map_err(Errno::from);
        self.changed(parent);
        let entry = self
            .lose(done, Errno::EEXIST)
            .and_then(|()| self.entry(parent, name));
        self.answer(reply, entry);
    }

    fn open(&self, _request: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if self.faults.strikes(&self.faults.stale) {
            return reply.error(Errno::ESTALE);
        }
        // A file that another host has removed or replaced: its handle is stale, and the kernel looks its name up
        // again, as it does on NFS.
        if self.is_removed(inode) {
            return reply.error(Errno::ESTALE);
        }
        match self
            .inodes
            .open(inode.0, OFlag::from_bits_truncate(flags.0))
        {
            Ok(file) => reply.opened(
                self.keep(Open::File(file, AtomicBool::new(false))),
                FopenFlags::empty(),
            ),
            Err(error) => reply.error(error.into()),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let create = || -> Result<(File, FileAttr), Errno> {
            let handle = self.inodes.handle(parent.0)?;
            let flags = OFlag::from_bits_truncate(flags)
                | OFlag::O_CREAT
                | OFlag::O_CLOEXEC
                | OFlag::O_NOFOLLOW;
            let mode = Mode::from_bits_truncate(mode & !umask);
            let file = nix::fcntl::openat(&*handle, name, flags, mode).map_err(errno)?;
            self.give(request, parent, name)?;
            Ok((File::from(file), self.entry(parent, name)?))
        };
        let created = create();
        self.changed(parent);
        match created {
            Ok((file, attributes)) => {
                let handle = self.keep(Open::File(file, AtomicBool::new(false)));
                reply.created(
                    &self.caching.attributes,
                    &attributes,
                    Generation(0),
                    handle,
                    FopenFlags::empty(),
                );
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _request: &Request,
        _inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if self.faults.strikes(&self.faults.io) {
            return reply.error(Errno::EIO);
        }
        let read = || -> Result<Vec<u8>, Errno> {
            let open = self.file(handle)?;
            let Open::File(file, _) = &*open else {
                return Err(Errno::EISDIR);
            };
            let mut buffer = vec![0; usize::try_from(size).unwrap_or(0)];
            let count = file.read_at(&mut buffer, offset)?;
            buffer.truncate(count);
            Ok(buffer)
        };
        match read() {
            Ok(data) => reply.data(&data),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _request: &Request,
        _inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if self.faults.strikes(&self.faults.io) {
            return reply.error(Errno::EIO);
        }
        if self.faults.strikes(&self.faults.full_at_write) {
            return reply.error(Errno::ENOSPC);
        }
        let write = || -> Result<usize, Errno> {
            let open = self.file(handle)?;
            let Open::File(file, dirty) = &*open else {
                return Err(Errno::EISDIR);
            };
            let count = file.write_at(data, offset)?;
            dirty.store(true, Ordering::Relaxed);
            Ok(count)
        };
        match write() {
            Ok(count) => reply.written(u32::try_from(count).unwrap_or(u32::MAX)),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(
        &self,
        _request: &Request,
        _inode: INodeNo,
        handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        finish(reply, self.settle(handle, false));
    }

    fn fsync(
        &self,
        _request: &Request,
        _inode: INodeNo,
        handle: FileHandle,
        _data: bool,
        reply: ReplyEmpty,
    ) {
        if self.faults.strikes(&self.faults.io) {
            return reply.error(Errno::EIO);
        }
        finish(reply, self.settle(handle, true));
    }

    fn release(
        &self,
        _request: &Request,
        _inode: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.open_table().remove(&handle.0);
        reply.ok();
    }

    fn opendir(&self, _request: &Request, inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.list(inode) {
            Ok(entries) => reply.opened(self.keep(Open::Directory(entries)), FopenFlags::empty()),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        _inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let open = match self.opened(handle) {
            Ok(open) => open,
            Err(errno) => return reply.error(errno),
        };
        let Open::Directory(entries) = &*open else {
            return reply.error(Errno::ENOTDIR);
        };
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (inode, kind, name)) in entries.iter().enumerate().skip(skip) {
            if reply.add(*inode, index as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _request: &Request,
        _inode: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.open_table().remove(&handle.0);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _data: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _inode: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 24, 1 << 23, 1 << 23, 1 << 24, 1 << 23, 4096, 255, 4096);
    }
}

impl NetworkFs {
    /// Where NFS tells of a full disk: the file keeps half of its octets.
    fn settle(&self, handle: FileHandle, sync: bool) -> Result<(), Errno> {
        let open = self.file(handle)?;
        let Open::File(file, dirty) = &*open else {
            return Ok(());
        };
        let length = file.metadata()?.len();
        if length > 0
            && dirty.load(Ordering::Relaxed)
            && self.faults.strikes(&self.faults.full_at_close)
        {
            // A file open for reading only cannot be cut; nothing is lost from it then.
            match file.set_len(length / 2) {
                Ok(()) => return Err(Errno::ENOSPC),
                Err(_read_only) => return Ok(()),
            }
        }
        if sync {
            file.sync_all()?;
            dirty.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn change_time(attributes: &Attributes) -> (i64, i64) {
    (attributes.0.st_ctime, attributes.0.st_ctime_nsec)
}

fn finish(reply: ReplyEmpty, done: Result<(), Errno>) {
    match done {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn errno(errno: nix::errno::Errno) -> Errno {
    Errno::from(io::Error::from(errno))
}

fn kind(mode: u32) -> FileType {
    match mode & 0o170_000 {
        0o040_000 => FileType::Directory,
        0o120_000 => FileType::Symlink,
        0o010_000 => FileType::NamedPipe,
        _ => FileType::RegularFile,
    }
}

fn time(seconds: i64, nanoseconds: i64) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let nanoseconds = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
    UNIX_EPOCH
        .checked_add(seconds + nanoseconds)
        .unwrap_or(UNIX_EPOCH)
}

fn time_spec(time: Option<TimeOrNow>) -> TimeSpec {
    match time {
        None => TimeSpec::UTIME_OMIT,
        Some(TimeOrNow::Now) => TimeSpec::UTIME_NOW,
        Some(TimeOrNow::SpecificTime(time)) => {
            TimeSpec::from_duration(time.duration_since(UNIX_EPOCH).unwrap_or_default())
        }
    }
}

fn absent() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}
