//! Giving files second and other names, on file systems that lose replies and remember names.

use nix::errno::Errno;
use nix::fcntl::AtFlags;

use super::{Dir, log_lost};
use crate::sys::rename;

impl Dir {
    /// A second name for a file.
    pub(crate) fn link(&self, name: &[u8], to: &Self, new: &[u8]) -> Result<(), Errno> {
        match nix::unistd::linkat(self, name, to, new, AtFlags::empty()) {
            // The reply to a first request may have been lost, and this is the answer to its repetition.
            Err(errno) if to.network && self.is_same_file(name, to, new) => {
                log_lost("link", to, new, errno);
                Ok(())
            }
            done => done,
        }
    }

    /// Makes this host ask the server what `name` leads to, in place of what it remembers of it: for as long as names
    /// are believed, opening one finds the file that it led to before, or none. True if there is something.
    ///
    /// The kernel refuses links to directories, but only after it has looked, as for whatever must not exist yet,
    /// on the server.
    pub(crate) fn look_again(&self, name: &[u8]) -> bool {
        self.network
            && nix::unistd::linkat(self, c".", self, name, AtFlags::empty()) == Err(Errno::EEXIST)
    }

    /// True if both names lead to one file on the server.
    fn is_same_file(&self, name: &[u8], to: &Self, new: &[u8]) -> bool {
        match (self.open_file(name), to.open_file(new)) {
            (Ok(Some((_, a))), Ok(Some((_, b)))) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
            _ => false,
        }
    }

    /// Renames without ever overwriting.
    pub(crate) fn rename(&self, name: &[u8], to: &Self, new: &[u8]) -> Result<(), Errno> {
        match rename::exclusively(self, name, to, new) {
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {}
            done => return done,
        }
        // The file system lacks the flag (NFS): link and unlink cannot overwrite either.
        match self.link(name, to, new) {
            // Gone already: a repeated request, or somebody has tidied up; the new name is what counts.
            Ok(()) => match self.unlink(name) {
                Err(Errno::ENOENT) => Ok(()),
                done => done,
            },
            Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EISDIR) => {
                // Not even hard links, or a directory: look first; the window that remains is accepted.
                match nix::sys::stat::fstatat(to, new, AtFlags::AT_SYMLINK_NOFOLLOW) {
                    Ok(_) => Err(Errno::EEXIST),
                    Err(Errno::ENOENT) => nix::fcntl::renameat(self, name, to, new),
                    Err(errno) => Err(errno),
                }
            }
            Err(errno) => Err(errno),
        }
    }

    /// Gives a message another name, which has its base name: in one step, so that whoever removes the message beside
    /// this removes it. Two steps, a link and an unlink, would leave it there if that came between them. `EEXIST`
    /// if there is such a file already.
    pub(crate) fn rename_message(&self, name: &[u8], to: &Self, new: &[u8]) -> Result<(), Errno> {
        match rename::exclusively(self, name, to, new) {
            Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {}
            done => return done,
        }
        // The file system lacks the flag (NFS). Who has made the file since this look has renamed the same message.
        to.look_again(new);
        if nix::sys::stat::fstatat(to, new, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok() {
            return Err(Errno::EEXIST);
        }
        match nix::fcntl::renameat(self, name, to, new) {
            // It was not there a moment ago: this is the answer to a request repeated, or another did the same.
            Err(Errno::ENOENT) if to.look_again(new) => {
                log_lost("rename", to, new, Errno::ENOENT);
                Ok(())
            }
            done => done,
        }
    }
}
