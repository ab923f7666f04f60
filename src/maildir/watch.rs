//! Noticing changes while a session idles (contract: maildir 12): inotify on `new`, `cur` and the keywords where that
//! works, else polling. Correctness does not depend on it: a rescan finds everything.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use super::folder::Folder;
use super::snapshot::Snapshot;
use super::witness::Witness;
use crate::sys::log::{Level, log};

/// A watch over one folder. Poll [`Self::fd`] beside the session's input for at most [`Self::interval`]; then call
/// [`Self::changed`] and, if it says so, [`Folder::rescan`].
#[derive(Debug)]
pub struct Watch {
    witness: Option<Arc<Witness>>,
    interval: Duration,
}

impl Watch {
    /// Watches the folder that `view` shows, with the notification that the view has already if it has one. Never
    /// fails: without inotify it polls, and one log line says so (not on network file systems, where polling is the
    /// rule).
    pub fn new(folder: &Folder, view: &mut Snapshot) -> Self {
        let inner = &folder.inner;
        if inner.network {
            return Self {
                witness: None,
                interval: Duration::from_secs(10),
            };
        }
        match folder.witness(view).and_then(|witness| {
            witness.watch_all(inner)?;
            Ok(witness)
        }) {
            Ok(witness) => Self {
                witness: Some(witness),
                interval: Duration::from_secs(300),
            },
            Err(error) => {
                log(
                    Level::Warning,
                    format_args!("no change notification, polling instead: {error}"),
                );
                Self {
                    witness: None,
                    interval: Duration::from_secs(15),
                }
            }
        }
    }

    /// The descriptor to poll for input; `None` when only the interval tells.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.witness.as_deref().map(Witness::fd)
    }

    /// Look at the folder at least this often.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Takes the pending events. False only if it is certain that nothing changed since the last call; then after
    /// [`Self::interval`] a rescan is due all the same.
    pub fn changed(&mut self) -> bool {
        match &self.witness {
            Some(witness) => witness.woke().unwrap_or_else(|_| {
                // A broken descriptor would wake us for ever.
                self.witness = None;
                self.interval = Duration::from_secs(15);
                true
            }),
            None => true,
        }
    }
}
