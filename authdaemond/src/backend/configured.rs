//! Settings of a module in a file that administrators change while the daemon runs.

use std::path::{Path, PathBuf};

use courier::sys::log::{Level, log};

use super::helper::Trouble;
use crate::rcfile::{RcFile, Version};

/// The question cannot be answered now; why is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Down;

impl From<Trouble> for Down {
    fn from(_: Trouble) -> Self {
        Self
    }
}

/// What the file of a module says.
#[derive(Debug)]
pub struct Configured<S> {
    /// The module's name, for the log.
    name: &'static str,
    path: PathBuf,
    /// The file as it was when it was last tried.
    tried: Option<Version>,
    /// What it said when it was last usable.
    settings: Option<S>,
}

impl<S> Configured<S> {
    /// For the module `name`; nothing is read yet.
    pub fn new(name: &'static str, path: &Path) -> Self {
        Self {
            name,
            path: path.to_owned(),
            tried: None,
            settings: None,
        }
    }

    /// Reads the file if it is another one than before, and says whether the settings are new. Settings that cannot
    /// be used do not replace those that can.
    ///
    /// # Errors
    /// There never were any that can.
    pub fn refresh(
        &mut self,
        read: impl FnOnce(&RcFile) -> Result<S, String>,
    ) -> Result<bool, Down> {
        let now = Version::now(&self.path);
        if self.tried.is_some() && self.tried == now {
            return self.settings.as_ref().map(|_| false).ok_or(Down);
        }
        let result = RcFile::read(&self.path)
            .map_err(|error| error.to_string())
            .and_then(|(file, version)| {
                let settings =
                    read(&file).map_err(|error| format!("{}: {error}", self.path.display()));
                Ok((settings?, version))
            });
        match result {
            Ok((settings, version)) => {
                self.tried = Some(version);
                self.settings = Some(settings);
                Ok(true)
            }
            Err(error) => {
                log(Level::Err, format_args!("{}: {error}", self.name));
                self.tried = now;
                self.settings.as_ref().map(|_| false).ok_or(Down)
            }
        }
    }

    /// What [`refresh`](Self::refresh) last found.
    ///
    /// # Errors
    /// Nothing usable.
    pub fn get(&self) -> Result<&S, Down> {
        self.settings.as_ref().ok_or(Down)
    }
}
