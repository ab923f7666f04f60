//! The file system itself: every operation passes through to the source directory, except when the dice say no.

mod convert;
mod state;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, UtimensatFlags};
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags};

use crate::inodes::{Attributes, proc_path};
use convert::{absent, change_time, errno, finish, time_spec};
pub(crate) use state::NetworkFs;
use state::Open;

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
