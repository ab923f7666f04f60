//! Safe access to GDBM files: userdb and access databases, in the format Courier's own tools read and write.
//!
//! Readers never see a half-written file: a [`Writer`] fills a temporary file and renames it over the target. All
//! keys and values are borrowed byte slices going in and owned vectors coming out, and every descriptor is
//! close-on-exec. Alone in its crate so that only the programs that need it link libgdbm.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[allow(unsafe_code)]
mod handle;

use handle::{Fetch, Handle, Mode};

/// What went wrong with a database file.
#[derive(Debug)]
pub enum Error {
    /// The file could not be opened or created; the reason is the system's where it has one.
    Open(PathBuf, io::Error),
    /// The path has a NUL byte or a record is larger than the format can hold (2 GiB).
    Unrepresentable(PathBuf),
    /// Reading or writing failed, or the file is damaged; the text is libgdbm's.
    Database(PathBuf, String),
    /// The named step of putting the finished file in place failed.
    Replace(&'static str, PathBuf, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(path, error) => write!(f, "{}: {}", path.display(), reason(error)),
            Self::Unrepresentable(path) => {
                write!(f, "{}: name or record cannot be stored", path.display())
            }
            Self::Database(path, text) => write!(f, "{}: {text}", path.display()),
            Self::Replace(step, path, error) => {
                write!(f, "{step} {}: {}", path.display(), reason(error))
            }
        }
    }
}

/// The system's words without the number that std appends: administrators know them from Courier's log lines.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _number)) => words.to_owned(),
        None => text,
    }
}

impl std::error::Error for Error {}

/// A database open for reading. Holds GDBM's shared lock on the file for as long as it lives.
#[derive(Debug)]
pub struct Reader {
    handle: Handle,
    path: PathBuf,
}

impl Reader {
    /// Opens `path` and reads it through its descriptor, so that a damaged or truncated file is an error and
    /// never a SIGBUS. Not to be used on both sides of a fork: the file offset would be shared.
    ///
    /// # Errors
    /// [`Error::Open`] when the file is missing, unreadable, locked by a writer or not a GDBM file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_as(path, Mode::Read)
    }

    /// As [`open`](Self::open), but through a memory mapping: forked children may look up in their copy at the
    /// same time, without a system call. For files that are only ever replaced by rename.
    ///
    /// # Errors
    /// As for [`open`](Self::open); also when the file cannot be mapped.
    pub fn open_mapped(path: &Path) -> Result<Self, Error> {
        let reader = Self::open_as(path, Mode::ReadMapped)?;
        if reader.handle.is_mapped() {
            Ok(reader)
        } else {
            Err(Error::Database(path.to_owned(), "cannot be mapped".into()))
        }
    }

    fn open_as(path: &Path, mode: Mode) -> Result<Self, Error> {
        Ok(Self {
            handle: Handle::open(path, mode)?,
            path: path.to_owned(),
        })
    }

    /// The value stored under `key`.
    ///
    /// # Errors
    /// [`Error::Database`] when the file is damaged or cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.handle.fetch(key) {
            Fetch::Found(value) => Ok(Some(value)),
            Fetch::Absent => Ok(None),
            Fetch::TooLong => Err(Error::Unrepresentable(self.path.clone())),
            Fetch::Failed(text) => Err(Error::Database(self.path.clone(), text)),
        }
    }

    /// Every record once, in no useful order.
    pub fn records(&self) -> Records<'_> {
        Records {
            reader: self,
            state: State::Start,
        }
    }
}

/// The records of a [`Reader`]: `(key, value)` each. Ends after the first error.
#[derive(Debug)]
pub struct Records<'a> {
    reader: &'a Reader,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    After(Vec<u8>),
    End,
}

impl Iterator for Records<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let handle = &self.reader.handle;
        let fetched = match std::mem::replace(&mut self.state, State::End) {
            State::Start => handle.first_key(),
            State::After(key) => handle.next_key(&key),
            State::End => return None,
        };
        let path = || self.reader.path.clone();
        match fetched {
            Fetch::Absent => None,
            Fetch::TooLong => Some(Err(Error::Unrepresentable(path()))),
            Fetch::Failed(text) => Some(Err(Error::Database(path(), text))),
            Fetch::Found(key) => Some(match self.reader.get(&key) {
                Ok(Some(value)) => {
                    self.state = State::After(key.clone());
                    Ok((key, value))
                }
                Ok(None) => Err(Error::Database(path(), "a listed key is not found".into())),
                Err(error) => Err(error),
            }),
        }
    }
}

/// A database being written to a temporary file, which goes away again unless [`commit`](Self::commit) is called.
#[derive(Debug)]
pub struct Writer {
    handle: Option<Handle>,
    temporary: PathBuf,
}

impl Writer {
    /// Creates `temporary`, which must not exist, with permissions `mode` less the umask. Choose a name in the
    /// target's directory that no other process chooses (say, with the process id in it).
    ///
    /// # Errors
    /// [`Error::Open`] with the reason.
    pub fn create(temporary: &Path, mode: u32) -> Result<Self, Error> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(temporary)
            .map_err(|error| Error::Open(temporary.to_owned(), error))?;
        let mut writer = Self {
            handle: None,
            temporary: temporary.to_owned(),
        };
        writer.handle = Some(Handle::open(temporary, Mode::Create)?);
        Ok(writer)
    }

    /// Stores a record; false when `key` is already there, which stays as it is.
    ///
    /// # Errors
    /// [`Error::Database`] when writing fails (full disk).
    pub fn insert(&mut self, key: &[u8], value: &[u8]) -> Result<bool, Error> {
        self.store(key, value, false)
    }

    /// Stores a record, in place of one with the same key.
    ///
    /// # Errors
    /// As for [`insert`](Self::insert).
    pub fn replace(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.store(key, value, true).map(|_stored| ())
    }

    fn store(&mut self, key: &[u8], value: &[u8], replace: bool) -> Result<bool, Error> {
        let Some(handle) = self.handle.as_mut() else {
            return Err(Error::Database(
                self.temporary.clone(),
                "already closed".into(),
            ));
        };
        match handle.store(key, value, replace) {
            Fetch::Found(_) => Ok(true),
            Fetch::Absent => Ok(false),
            Fetch::TooLong => Err(Error::Unrepresentable(self.temporary.clone())),
            Fetch::Failed(text) => Err(Error::Database(self.temporary.clone(), text)),
        }
    }

    /// Puts the finished file in the place of `target`, durably: written out, synced, renamed, directory synced.
    ///
    /// # Errors
    /// The step that failed; `target` is untouched unless that step is the last one, "sync directory of".
    pub fn commit(mut self, target: &Path) -> Result<(), Error> {
        if let Some(mut handle) = self.handle.take() {
            handle
                .sync()
                .map_err(|text| Error::Database(self.temporary.clone(), text))?;
        }
        let step = |step, path: &Path| {
            let path = path.to_owned();
            move |error| Error::Replace(step, path, error)
        };
        File::open(&self.temporary)
            .and_then(|file| file.sync_all())
            .map_err(step("sync", &self.temporary))?;
        std::fs::rename(&self.temporary, target).map_err(step("rename", &self.temporary))?;
        // Nothing of ours is left under the temporary name; another process may take it now.
        self.temporary = PathBuf::new();
        let directory = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(step("sync directory of", target))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.temporary.as_os_str().is_empty() {
            return;
        }
        self.handle = None;
        // Nothing can be done about a temporary file that cannot be removed; it is never read.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests;
