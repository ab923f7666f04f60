//! Noticing changes while a session idles (contract: maildir 12): inotify on `new`, `cur` and the keywords where that
//! works, else polling: often while something happens, rarely while nothing does. Correctness does not depend on it: a
//! rescan finds everything.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::snapshot::{FolderStamps, Snapshot};
use super::witness::Witness;
use crate::sys::log::{Level, log};

/// A look in between, in case a notification was lost.
const NOTIFIED: Duration = Duration::from_secs(300);
/// Shortest and longest time between two looks without notification.
const OFTEN: Duration = Duration::from_secs(1);
const RARELY: Duration = Duration::from_secs(15);
/// The next look comes after this part of the time in which nothing has happened.
const PART: u32 = 4;

/// It has been logged that this process, which serves one session, polls.
static LOGGED: AtomicBool = AtomicBool::new(false);

/// Says once that changes are polled for, and why.
pub(crate) fn log_polling(level: Level, why: impl fmt::Display) {
    if !LOGGED.swap(true, Ordering::Relaxed) {
        log(level, format_args!("polling for changes: {why}"));
    }
}

/// A watch over one folder. Poll [`Self::fd`] beside the session's input for at most [`Self::interval`]; then call
/// [`Self::changed`] and, if it says so, [`Folder::rescan`].
#[derive(Debug)]
pub struct Watch {
    witness: Option<Arc<Witness>>,
    /// What the folder looked like at the last look, and since when.
    seen: Option<FolderStamps>,
    since: Instant,
}

impl Watch {
    /// Watches the folder that `view` shows, with the notification that the view has already if it has one. Never
    /// fails: on network file systems, where nobody tells what other hosts do, and where inotify cannot be had, it polls,
    /// and one log line in each session says so.
    pub fn new(folder: &Folder, view: &mut Snapshot) -> Self {
        let inner = &folder.inner;
        let witness = if inner.network {
            let path = inner.dir.path().display();
            log_polling(
                Level::Info,
                format_args!("{path} is on a network file system"),
            );
            None
        } else {
            let watched = folder.witness(view).and_then(|witness| {
                witness.watch_all(inner)?;
                Ok(witness)
            });
            watched
                .inspect_err(|error| log_polling(Level::Warning, error))
                .ok()
        };
        Self {
            witness,
            seen: view.stamps,
            since: Instant::now(),
        }
    }

    /// The descriptor to poll for input; `None` when only the interval tells.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.witness.as_deref().map(Witness::fd)
    }

    /// Look at the folder again after this time at the latest. `view` is what the last look has shown.
    pub fn interval(&mut self, view: &Snapshot) -> Duration {
        if self.witness.is_some() {
            return NOTIFIED;
        }
        if self.seen != view.stamps {
            self.seen = view.stamps;
            self.since = Instant::now();
        }
        pause(self.since.elapsed())
    }

    /// Takes the pending events. False only if it is certain that nothing changed since the last call; then after
    /// [`Self::interval`] a rescan is due all the same.
    pub fn changed(&mut self) -> bool {
        match &self.witness {
            Some(witness) => witness.woke().unwrap_or_else(|error| {
                // A broken descriptor would wake us for ever.
                log_polling(Level::Warning, error);
                self.witness = None;
                self.since = Instant::now();
                true
            }),
            None => true,
        }
    }
}

/// How long to wait after nothing has happened for so long.
fn pause(quiet: Duration) -> Duration {
    (quiet / PART).clamp(OFTEN, RARELY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_folder_is_looked_at_often_and_a_quiet_one_rarely() {
        assert_eq!(pause(Duration::ZERO), OFTEN);
        assert_eq!(pause(Duration::from_secs(20)), Duration::from_secs(5));
        assert_eq!(pause(Duration::from_secs(3600)), RARELY);
        // Fewer looks in the first hour than one in twelve seconds.
        let (mut time, mut looks) = (Duration::ZERO, 0);
        while time < Duration::from_secs(3600) {
            time += pause(time);
            looks += 1;
        }
        assert!(looks < 300, "{looks}");
    }
}
