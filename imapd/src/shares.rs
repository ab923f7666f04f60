//! The accounts whose folders this session may see below `#shared.` (contract: shared-folders B). Read before the session
//! is confined: their maildirs must stay within reach.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use courier::maildir::{Munging, SharedIndex, log_unreadable};

use crate::settings::Settings;

/// The shared index of a session.
#[derive(Debug, Default)]
pub struct Shares {
    index: SharedIndex,
    /// Why there is none, until it has been logged: most sessions never ask.
    unreadable: RefCell<Option<(PathBuf, io::Error)>>,
}

impl Shares {
    /// Reads the index of the settings, with the account option `sharedgroup` behind its name. There is none with the
    /// option `disableshared`.
    pub fn read(settings: &Settings) -> Self {
        let Some(path) = &settings.shared_index else {
            return Self::default();
        };
        if settings.options.is_set("disableshared") {
            return Self::default();
        }
        let group = settings.options.value("sharedgroup").unwrap_or_default();
        let path = [path, group].concat();
        let path = Path::new(OsStr::from_bytes(&path));
        let munging = if settings.munge_shared_names {
            Munging::Backslashes
        } else {
            Munging::Blanks
        };
        match SharedIndex::read(path, munging) {
            Ok(index) => Self {
                index,
                unreadable: RefCell::new(None),
            },
            Err(error) => Self {
                index: SharedIndex::default(),
                unreadable: RefCell::new(Some((path.to_path_buf(), error))),
            },
        }
    }

    /// The index. One that cannot be read is empty, and the first who asks lets that be logged.
    pub fn index(&self) -> &SharedIndex {
        if let Some((path, error)) = self.unreadable.borrow_mut().take() {
            log_unreadable(&path, &error);
        }
        &self.index
    }

    /// The directories that the session must reach.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.index.directories()
    }
}
