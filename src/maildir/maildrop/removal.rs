//! Deletion at QUIT (contract: pop3d 4.5; quota 2).

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::{Maildrop, Removed};
use crate::maildir::error::{Error, Result};
use crate::maildir::filename;
use crate::maildir::flags::Flags;
use crate::sys::log::{Level, log};

impl Maildrop {
    /// Removes the messages at `indexes` for good: those that are done when this returns are gone from the disk.
    /// `gone` is told the name of each removed file. The quota is brought up to date.
    pub fn remove(&mut self, indexes: &[usize], gone: &dyn Fn(&[u8])) -> Removed {
        let mut removed = Removed::default();
        let (mut bytes, mut count) = (0_u64, 0_u64);
        for &index in indexes {
            match self.remove_one(index, gone) {
                Ok(Some(counted)) => {
                    removed.done.push(index);
                    if let Some(size) = counted {
                        bytes = bytes.saturating_add(size);
                        count = count.saturating_add(1);
                    }
                }
                Ok(None) => removed.missing.push(index),
                Err(error) => {
                    log(Level::Err, format_args!("{error}"));
                    removed.failed.push(index);
                }
            }
        }
        if !removed.done.is_empty() {
            if let Err(error) = self.cur.sync() {
                log(Level::Err, format_args!("{error}"));
                removed.failed.append(&mut removed.done);
            }
        }
        if count > 0 {
            if let Err(error) = self.subtract_quota(bytes, count) {
                log(Level::Err, format_args!("{error}"));
            }
        }
        removed
    }

    /// `Some(Some(size))`: removed, counts for the quota; `Some(None)`: removed, does not; `None`: was not there.
    fn remove_one(&mut self, index: usize, gone: &dyn Fn(&[u8])) -> Result<Option<Option<u64>>> {
        for _ in 0..4 {
            let name = self.file_name(index).to_vec();
            if name.is_empty() {
                return Ok(None);
            }
            let Some(stat) = self.cur.stat(&name)? else {
                if self.locate(index)? {
                    continue;
                }
                return Ok(None);
            };
            match self.cur.unlink(&name) {
                Ok(()) => {
                    gone(&name);
                    let size = filename::stored_size(&name)
                        .unwrap_or_else(|| u64::try_from(stat.st_size).unwrap_or(0));
                    let counts = !filename::flags(&name).contains(Flags::DELETED);
                    return Ok(Some(counts.then_some(size)));
                }
                // Renamed between the look and the removal.
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(self.cur.error("unlink", &name, errno)),
            }
        }
        // Renamed every time.
        Err(Error::io("unlink", self.cur.path(), Errno::EAGAIN))
    }

    /// One line in `maildirsize`, if there is one (contract: quota 2). The line is short enough to be written whole.
    fn subtract_quota(&self, bytes: u64, count: u64) -> Result<()> {
        const QUOTA: &[u8] = b"maildirsize";
        let flags = OFlag::O_WRONLY
            | OFlag::O_APPEND
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_CLOEXEC;
        let file = match nix::fcntl::openat(&self.root, QUOTA, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(self.root.error("open", QUOTA, errno)),
        };
        let line = format!("{:>12} {:>12}\n", format!("-{bytes}"), format!("-{count}"));
        match nix::unistd::write(&file, line.as_bytes()) {
            Ok(written) if written == line.len() => Ok(()),
            Ok(_) => Err(self.root.error("write", QUOTA, Errno::ENOSPC)),
            Err(errno) => Err(self.root.error("write", QUOTA, errno)),
        }
    }
}
