//! An open folder: its directories, opening a message's file, and finding it again after others renamed it.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;

use super::error::{Error, ErrorKind, Result};
use super::filename;
use super::files::{self, Dir};
use super::name::FolderName;
use super::options::Options;
use super::root::Root;
use super::snapshot::{Message, Snapshot};

/// How often a file is looked for anew that is renamed each time before it can be used. Nobody renames one so often:
/// what is left is an error, not a message that is gone.
pub(crate) const CHASES: u32 = 20;

/// How a folder is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// SELECT: files in `new/` are moved to `cur/`, vanished messages leave the UID database.
    ReadWrite,
    /// EXAMINE: files in `new/` stay there, so that they are still `\Recent` for the next SELECT. New messages
    /// are numbered all the same: a UID shown to a client must be durable.
    ReadOnly,
}

/// An open folder. Cloning is cheap and shares the open directories; they keep naming this folder if somebody
/// renames it.
#[derive(Debug, Clone)]
pub struct Folder {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) root: Arc<Root>,
    pub(crate) name: FolderName,
    pub(crate) dir: Dir,
    pub(crate) cur: Dir,
    pub(crate) new: Dir,
    pub(crate) tmp: Dir,
    /// On NFS and the like: times are coarse, there is no notification, nothing is extended in place.
    pub(crate) network: bool,
    /// A failure that does not fail commands has been logged.
    pub(crate) warned: AtomicBool,
}

/// An open message file.
#[derive(Debug)]
pub struct OpenMessage {
    /// The file, positioned at its start. LF line ends.
    pub file: File,
    /// Size in bytes as stored.
    pub size: u64,
    /// INTERNALDATE, the file's modification time (RFC 3501 2.3.3).
    pub internal_date: SystemTime,
    /// The file's inode number, which stays while flags change.
    pub inode: u64,
}

impl Folder {
    pub(crate) fn open(root: &Arc<Root>, name: &FolderName) -> Result<Self> {
        let dir = root.dir.open_dir(&name.directory())?.place_again();
        let (cur, new, tmp) = match (
            dir.open_dir(b"cur"),
            dir.open_dir(b"new"),
            dir.open_dir(b"tmp"),
        ) {
            (Ok(cur), Ok(new), Ok(tmp)) => (cur, new, tmp),
            // Half a maildir, as a crash in the middle of its making leaves: complete it.
            (Ok(_), _, _) | (_, Ok(_), _) | (_, _, Ok(_)) => {
                let part = |part: &[u8]| {
                    match dir.mkdir(part, 0o700) {
                        Err(error) if error.errno() != Some(Errno::EEXIST) => return Err(error),
                        _ => {}
                    }
                    dir.open_dir(part)
                };
                (part(b"cur")?, part(b"new")?, part(b"tmp")?)
            }
            (Err(error), _, _) => return Err(error),
        };
        let network = cur.is_on_network();
        Ok(Self {
            inner: Arc::new(Inner {
                root: Arc::clone(root),
                name: name.clone(),
                dir,
                cur,
                new,
                tmp,
                network,
                warned: AtomicBool::new(false),
            }),
        })
    }

    /// The name under which the folder was opened.
    pub fn name(&self) -> &FolderName {
        &self.inner.name
    }

    /// True if both are the same directory on disk, whatever their names.
    pub fn is_same(&self, other: &Self) -> bool {
        match (
            nix::sys::stat::fstat(&self.inner.cur),
            nix::sys::stat::fstat(&other.inner.cur),
        ) {
            (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
            _ => false,
        }
    }

    /// UIDVALIDITY from the UID database; `None` for a folder never opened. Reads the first line only.
    ///
    /// # Errors
    /// An unreadable database.
    pub fn uid_validity(&self) -> Result<Option<u32>> {
        Ok(super::uiddb::read_header(&self.inner.dir)?.map(|(uid_validity, _)| uid_validity))
    }

    /// Opens the file of the message at `index`. If somebody renamed it (flags), it is looked for by its base name
    /// and the snapshot learns the new name and flags. If it is gone the message is marked so.
    ///
    /// # Errors
    /// `Gone` if the file does not exist any more, or is not a regular file; otherwise why it cannot be opened.
    pub fn open_message(&self, snapshot: &mut Snapshot, index: usize) -> Result<OpenMessage> {
        let follow = self.options().follow_links;
        let gone = || Error::new(ErrorKind::Gone, "open", self.inner.cur.path());
        let message = *snapshot.get(index).ok_or_else(gone)?;
        if message.is_gone() {
            return Err(gone());
        }
        if !message.is_unlocated() {
            let dir = self.inner.place(&message);
            if let Some(opened) = dir.open_message(snapshot.name(&message), follow)? {
                return Ok(open_message(opened));
            }
        }
        let mut finder = Finder::default();
        for _ in 0..CHASES {
            if !finder.locate(&self.inner, snapshot, index)? {
                return Err(gone());
            }
            // Flags that others have changed are told at the end of the command.
            self.note_if_touched(snapshot);
            let message = *snapshot.get(index).ok_or_else(gone)?;
            let dir = self.inner.place(&message);
            if let Some(opened) = dir.open_message(snapshot.name(&message), follow)? {
                return Ok(open_message(opened));
            }
            if dir
                .stat(snapshot.name(&message))?
                .is_some_and(|stat| !files::is_regular(&stat))
            {
                // Nor will it be one: a directory, or a link that leads nowhere.
                return Err(gone());
            }
            finder.forget();
        }
        Err(Error::io("open", self.inner.cur.path(), Errno::EAGAIN))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.root.options
    }
}

fn open_message((file, stat): (File, nix::sys::stat::FileStat)) -> OpenMessage {
    OpenMessage {
        file,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        internal_date: files::modified(&stat),
        inode: stat.st_ino,
    }
}

impl Inner {
    /// The directory that holds the message's file.
    pub(crate) fn place(&self, message: &Message) -> &Dir {
        if message.is_in_new() {
            &self.new
        } else {
            &self.cur
        }
    }

    /// Time within which two changes of a directory may carry one time.
    pub(crate) fn window(&self) -> Duration {
        if self.network {
            Duration::from_secs(3)
        } else {
            Duration::from_millis(20)
        }
    }

    /// The file server's time: the local clock on a local file system, else that of a file made there. `None` if
    /// it cannot be told.
    pub(crate) fn now(&self) -> Option<SystemTime> {
        if !self.network {
            return Some(SystemTime::now());
        }
        let host = &self.root.options.host;
        let (name, file) = self.tmp.create_unique("time", host, 0o600).ok()?;
        let stat = nix::sys::stat::fstat(&file).ok();
        // A leftover is purged after 36 hours.
        let _ = self.tmp.remove(&name.tmp());
        stat.as_ref().map(files::modified)
    }
}

/// From identity (base name without size) to current name and whether it is in `new`.
type Names = HashMap<Vec<u8>, (Vec<u8>, bool)>;

/// Finds renamed files by base name: one listing serves a whole command.
#[derive(Default)]
pub(crate) struct Finder {
    listing: Option<Names>,
    /// The listing has already given a name for the message at hand.
    used: bool,
    /// The listing is made of two, on a network file system.
    confirmed: bool,
}

impl Finder {
    /// Looks for the message's file and tells the snapshot its name. False, and the message is marked gone, if it
    /// is in neither directory.
    pub(crate) fn locate(
        &mut self,
        inner: &Inner,
        snapshot: &mut Snapshot,
        index: usize,
    ) -> Result<bool> {
        let Some(message) = snapshot.get(index).copied() else {
            return Ok(false);
        };
        let identity = filename::identity(snapshot.name(&message));
        let Some((name, in_new)) = self.find(inner, &identity)? else {
            snapshot.mark_gone(index);
            return Ok(false);
        };
        let unchanged = name.as_slice() == snapshot.name(&message)
            && in_new == message.is_in_new()
            && !message.is_unlocated();
        if unchanged {
            // It is listed, and yet was not found by this name: this host remembers that there was none.
            inner.place(&message).look_again(&name);
            return Ok(true);
        }
        let flags = message.flags();
        snapshot.renamed(index, &name);
        if let Some(message) = snapshot.messages.get_mut(index) {
            message.set_in_new(in_new);
            // Known again with the next reading.
            message.set_inode(0);
            message.set_news(message.flags() != flags);
        }
        Ok(true)
    }

    /// The next look lists anew.
    pub(crate) fn forget(&mut self) {
        self.listing = None;
        self.confirmed = false;
    }

    /// After a file was not where the snapshot says: a listing is as old as the command and may be outdated, too.
    pub(crate) fn forget_if(&mut self, misled: bool) {
        if misled && self.used {
            self.forget();
        }
        self.used = misled;
    }

    /// On a network file system what one listing misses must be missed by another one, as in a scan.
    fn find(&mut self, inner: &Inner, identity: &[u8]) -> Result<Option<(Vec<u8>, bool)>> {
        loop {
            let mut names = match self.listing.take() {
                Some(names) => names,
                None => list(inner, Names::new())?,
            };
            let found = names.get(identity).cloned();
            let enough = found.is_some() || self.confirmed || !inner.network;
            if !enough {
                names = list(inner, names)?;
                self.confirmed = true;
            }
            self.listing = Some(names);
            if enough {
                return Ok(found);
            }
        }
    }
}

/// Adds what is in `cur` and `new` to `names`. A listing beside renames can miss names: what several in a row miss is
/// not there. A quiet one is enough alone.
fn list(inner: &Inner, mut names: Names) -> Result<Names> {
    for _ in 0..5 {
        let before = (inner.cur.stamp()?, inner.new.stamp()?);
        for (dir, in_new) in [(&inner.new, true), (&inner.cur, false)] {
            dir.list(|entry| {
                if !entry.name.starts_with(b".") {
                    names.insert(
                        filename::identity(entry.name),
                        (entry.name.to_vec(), in_new),
                    );
                }
            })?;
        }
        if before == (inner.cur.stamp()?, inner.new.stamp()?) {
            break;
        }
    }
    Ok(names)
}

/// Magic numbers of file systems whose directories change behind this kernel's back.
const NETWORK: [u32; 9] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x00c3_6400, // Ceph
    0x6573_5546, // FUSE
    0x0102_1997, // 9P
    0x0116_1970, // GFS2
    0x7461_636f, // OCFS2
];

/// True if the directory is on a network or otherwise shared file system.
pub(crate) fn is_network<F: AsFd>(dir: &F) -> bool {
    match nix::sys::statfs::fstatfs(dir) {
        // The number's type differs between architectures and C libraries; it has 32 bits.
        Ok(stat) => {
            u32::try_from(stat.filesystem_type().0).is_ok_and(|magic| NETWORK.contains(&magic))
        }
        Err(_) => false,
    }
}
