//! Noticing changes while a session idles (contract: maildir 12): inotify on `new`, `cur` and the keywords where that
//! works, else polling. Correctness does not depend on it: a rescan finds everything.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use super::files::Dir;
use super::folder::Folder;
use super::keyword_files;
use crate::sys::log::{Level, log};
use crate::sys::notify::Notifier;

/// A watch over one folder. Poll [`Self::fd`] beside the session's input for at most [`Self::interval`]; then call
/// [`Self::changed`] and, if it says so, [`Folder::rescan`].
#[derive(Debug)]
pub struct Watch {
    notifier: Option<Notifier>,
    interval: Duration,
}

impl Watch {
    /// Watches the folder. Never fails: without inotify it polls, and one log line says so (not on network file
    /// systems, where polling is the rule).
    pub fn new(folder: &Folder) -> Self {
        let inner = &folder.inner;
        if inner.network {
            return Self {
                notifier: None,
                interval: Duration::from_secs(10),
            };
        }
        match notifier(folder) {
            Ok(notifier) => Self {
                notifier: Some(notifier),
                interval: Duration::from_secs(300),
            },
            Err(error) => {
                log(
                    Level::Warning,
                    format_args!("no change notification, polling instead: {error}"),
                );
                Self {
                    notifier: None,
                    interval: Duration::from_secs(15),
                }
            }
        }
    }

    /// The descriptor to poll for input; `None` when only the interval tells.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.notifier.as_ref().map(Notifier::fd)
    }

    /// Look at the folder at least this often.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Takes the pending events. False only if it is certain that nothing changed since the last call; then after
    /// [`Self::interval`] a rescan is due all the same.
    pub fn changed(&mut self) -> bool {
        match &self.notifier {
            Some(notifier) => notifier.drain().unwrap_or_else(|_| {
                // A broken descriptor would wake us for ever.
                self.notifier = None;
                self.interval = Duration::from_secs(15);
                true
            }),
            None => true,
        }
    }
}

fn notifier(folder: &Folder) -> io::Result<Notifier> {
    let inner = &folder.inner;
    let notifier = Notifier::new()?;
    watch(&notifier, &inner.new)?;
    watch(&notifier, &inner.cur)?;
    // Where it cannot be made (no permission), nobody else of ours makes keywords either.
    if let Ok(keywords) = keyword_files::open_or_create(&inner.dir) {
        watch(&notifier, &keywords)?;
    }
    Ok(notifier)
}

/// Watches the directory that is open, wherever its path leads by now.
fn watch(notifier: &Notifier, dir: &Dir) -> io::Result<()> {
    let link = PathBuf::from(format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd()));
    notifier
        .watch(&link)
        .or_else(|_| notifier.watch(dir.path()))
}
