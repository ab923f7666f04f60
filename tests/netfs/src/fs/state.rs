//! What one host knows, and believes for a while.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirEntryExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, UNIX_EPOCH};

use fuser::{Errno, FileAttr, FileHandle, FileType, Generation, INodeNo, ReplyEntry, Request};
use nix::fcntl::AtFlags;
use nix::unistd::{Gid, Uid};

use super::convert::{change_time, errno, kind, time};
use crate::faults::{Caching, Faults};
use crate::inodes::{Attributes, Inodes, proc_path};

pub(super) type Name = (INodeNo, FileType, OsString);

pub(super) struct Listing {
    entries: Arc<Vec<Name>>,
    taken: Instant,
    /// The directory's change time when it was listed.
    pub(super) changed: (i64, i64),
}

pub(super) enum Open {
    /// A file, and whether something was written since it was last synced.
    File(File, AtomicBool),
    Directory(Arc<Vec<Name>>),
}

pub(crate) struct NetworkFs {
    pub(super) inodes: Inodes,
    pub(super) caching: Caching,
    pub(super) faults: Arc<Faults>,
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

    pub(super) fn open_table(&self) -> MutexGuard<'_, HashMap<u64, Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn listing_table(&self) -> MutexGuard<'_, HashMap<u64, Listing>> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, open: Open) -> FileHandle {
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        self.open_table().insert(handle, Arc::new(open));
        FileHandle(handle)
    }

    pub(super) fn opened(&self, handle: FileHandle) -> Result<Arc<Open>, Errno> {
        self.open_table()
            .get(&handle.0)
            .map(Arc::clone)
            .ok_or(Errno::EBADF)
    }

    /// A file's descriptor, unless another host removed the file: its handle is then stale, as on NFS.
    pub(super) fn file(&self, handle: FileHandle) -> Result<Arc<Open>, Errno> {
        let open = self.opened(handle)?;
        if self.faults.strikes(&self.faults.stale) {
            return Err(Errno::ESTALE);
        }
        Ok(open)
    }

    pub(super) fn attributes(&self, attributes: &Attributes) -> FileAttr {
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

    pub(super) fn entry(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        Ok(self.attributes(&self.inodes.find(parent.0, name)?))
    }

    pub(super) fn answer(&self, reply: ReplyEntry, entry: Result<FileAttr, Errno>) {
        match entry {
            Ok(attributes) => reply.entry(&self.caching.attributes, &attributes, Generation(0)),
            Err(errno) => reply.error(errno),
        }
    }

    /// A host sees its own changes to a directory at once.
    pub(super) fn changed(&self, directory: INodeNo) {
        self.listing_table().remove(&directory.0);
    }

    /// What the operation says when it was done, or what a retransmission of it says.
    pub(super) fn lose(&self, done: Result<(), Errno>, retransmitted: Errno) -> Result<(), Errno> {
        match done {
            Ok(()) if self.faults.strikes(&self.faults.lost_reply) => Err(retransmitted),
            done => done,
        }
    }

    pub(super) fn is_removed(&self, inode: INodeNo) -> bool {
        let attributes = self
            .inodes
            .handle(inode.0)
            .and_then(|handle| Attributes::of(&handle));
        attributes.is_ok_and(|attributes| attributes.0.st_nlink == 0)
    }

    pub(super) fn list(&self, directory: INodeNo) -> Result<Arc<Vec<Name>>, Errno> {
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

    pub(super) fn give(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
    ) -> Result<(), Errno> {
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

impl NetworkFs {
    /// Where NFS tells of a full disk: the file keeps half of its octets.
    pub(super) fn settle(&self, handle: FileHandle, sync: bool) -> Result<(), Errno> {
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
        }
        // A flush sends everything to the server: what that has taken no later one can lose.
        dirty.store(false, Ordering::Relaxed);
        Ok(())
    }
}
