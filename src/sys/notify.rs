//! Directory change notification: one inotify instance.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// One of a notifier's watched directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched(WatchDescriptor);

/// A name in a watched directory came or went.
#[derive(Debug)]
pub struct Event {
    /// Where.
    pub directory: Watched,
    /// The name; `None` when something else happened: events were lost, or the directory is not watched any more.
    pub name: Option<OsString>,
}

/// Watches directories for names that come, go or change.
#[derive(Debug)]
pub struct Notifier {
    inotify: Inotify,
}

impl Notifier {
    /// A notifier that watches nothing yet.
    ///
    /// # Errors
    /// EMFILE when the user has no instances left, ENOSYS.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        Ok(Self { inotify })
    }

    /// Watches a directory for names created, deleted, moved in or out.
    ///
    /// # Errors
    /// ENOSPC when the user has no watches left, ENOENT, EACCES.
    pub fn watch(&self, directory: &Path) -> io::Result<Watched> {
        let events = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ONLYDIR;
        Ok(Watched(self.inotify.add_watch(directory, events)?))
    }

    /// The descriptor that becomes readable when something changed.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Takes all pending events. Whether there were any; an overflow of the queue is one.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn drain(&self) -> io::Result<bool> {
        let mut any = false;
        self.events(|_| any = true)?;
        Ok(any)
    }

    /// Takes all pending events.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn events(&self, mut each: impl FnMut(Event)) -> io::Result<()> {
        loop {
            match self.inotify.read_events() {
                Ok(events) if events.is_empty() => return Ok(()),
                Ok(events) => {
                    for event in events {
                        each(Event {
                            directory: Watched(event.wd),
                            name: event.name,
                        });
                    }
                }
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_wakes_and_draining_quiets() {
        let dir = tempfile::tempdir().unwrap();
        let notifier = Notifier::new().unwrap();
        notifier.watch(dir.path()).unwrap();
        assert!(!notifier.drain().unwrap());
        std::fs::write(dir.path().join("a"), b"").unwrap();
        assert!(notifier.drain().unwrap());
        assert!(!notifier.drain().unwrap());
    }
}
