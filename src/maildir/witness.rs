//! A witness of what happens in a folder's `cur`: one inotify instance that knows, after a reading of the folder, which
//! names came or went since, whoever did it. On local file systems only, where nothing escapes it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::files::Dir;
use super::folder::{Folder, Inner};
use super::keyword_files;
use super::options::Sync;
use super::snapshot::Snapshot;
use super::watch::log_polling;
use crate::sys::log::Level;
use crate::sys::notify::{Notifier, Watched};

/// With more names than this a listing is cheaper.
const NAMES_MAX: usize = 1000;

/// What was seen and not taken yet.
#[derive(Debug, Default)]
struct Seen {
    /// Names in `cur` that came or went.
    names: BTreeSet<Vec<u8>>,
    /// There is more to it than `names` says.
    lost: bool,
    /// Something happened in any watched directory since [`Witness::woke`] was asked.
    woke: bool,
}

/// The watch over a folder, shared by its view and a [`super::Watch`].
#[derive(Debug)]
pub(crate) struct Witness {
    notifier: Notifier,
    cur: Watched,
    seen: Mutex<Seen>,
}

impl Witness {
    fn new(inner: &Inner) -> io::Result<Self> {
        let notifier = Notifier::new()?;
        let cur = watch(&notifier, &inner.cur)?;
        Ok(Self {
            notifier,
            cur,
            seen: Mutex::default(),
        })
    }

    /// Watches `new` and the keywords as well.
    pub(crate) fn watch_all(&self, inner: &Inner) -> io::Result<()> {
        watch(&self.notifier, &inner.new)?;
        // Where it cannot be made (no permission), nobody else of ours makes keywords either.
        let durable = inner.root.options.sync != Sync::Never;
        if let Ok(keywords) = keyword_files::open_or_create(&inner.dir, durable) {
            watch(&self.notifier, &keywords)?;
        }
        Ok(())
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.notifier.fd()
    }

    /// Reads what is pending, and tells `with` of all that was seen.
    fn look<T>(&self, with: impl FnOnce(&mut Seen) -> T) -> io::Result<T> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let read = self.notifier.events(|event| {
            seen.woke = true;
            match event.name {
                Some(name) if event.directory == self.cur && !seen.lost => {
                    seen.names.insert(name.into_vec());
                    if seen.names.len() > NAMES_MAX {
                        seen.names.clear();
                        seen.lost = true;
                    }
                }
                Some(_) => {}
                None => seen.lost = true,
            }
        });
        if let Err(error) = read {
            seen.lost = true;
            return Err(error);
        }
        Ok(with(&mut seen))
    }

    /// Whether anything happened since the last call.
    pub(crate) fn woke(&self) -> io::Result<bool> {
        self.look(|seen| std::mem::take(&mut seen.woke))
    }

    /// False if it is certain that nothing came to or went from `cur` since the last [`Self::take`].
    pub(crate) fn has_seen(&self) -> bool {
        self.look(|seen| seen.lost || !seen.names.is_empty())
            .unwrap_or(true)
    }

    /// The names in `cur` that came or went since the last call; `None` if not all of them are known, until
    /// [`Self::forget`].
    pub(crate) fn take(&self) -> Option<BTreeSet<Vec<u8>>> {
        self.look(|seen| (!seen.lost).then(|| std::mem::take(&mut seen.names)))
            .ok()
            .flatten()
    }

    /// Forgets what was seen so far: `cur` is going to be looked at afresh.
    fn forget(&self) -> io::Result<()> {
        self.look(|seen| {
            seen.names.clear();
            seen.lost = false;
        })
    }
}

/// Watches the directory that is open, wherever its path leads by now.
fn watch(notifier: &Notifier, dir: &Dir) -> io::Result<Watched> {
    let link = PathBuf::from(format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd()));
    notifier
        .watch(&link)
        .or_else(|_| notifier.watch(dir.path()))
}

impl Folder {
    /// The view's witness, made if there is none.
    pub(crate) fn witness(&self, view: &mut Snapshot) -> io::Result<Arc<Witness>> {
        if let Some(witness) = &view.witness {
            return Ok(Arc::clone(witness));
        }
        let witness = Arc::new(Witness::new(&self.inner)?);
        view.witness = Some(Arc::clone(&witness));
        Ok(witness)
    }

    /// Has `cur` witnessed from now on, if `view` shows it as it is: whatever happens there from here on can be
    /// followed name by name. Does nothing where that is of no use or not possible.
    pub(crate) fn attend(&self, view: &mut Snapshot) {
        let inner = &self.inner;
        if view.attended
            || inner.network
            || !view.settled
            || view.hidden.is_some()
            || view.len() < super::index::WORTH
        {
            return;
        }
        let witness = match self.witness(view) {
            Ok(witness) => witness,
            Err(error) => return log_polling(Level::Warning, error),
        };
        // The watch comes before the look at the directory, so that nothing falls between them.
        if witness.forget().is_err() {
            return;
        }
        let Some(stamps) = view.stamps else { return };
        // Held open, its inode number cannot be given to another file.
        view.pinned = match inner.dir.open_file(super::uiddb::NAME) {
            Ok(opened) => opened.map(|(file, _)| Arc::new(file)),
            Err(_) => return,
        };
        view.attended = self
            .stamps()
            .is_ok_and(|now| now.cur == stamps.cur && now.db == stamps.db);
    }
}
