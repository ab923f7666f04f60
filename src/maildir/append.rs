//! New messages: streamed into `tmp`, made durable, then filed in `cur` with UIDs in one step (contract: maildir 3.2,
//! 5.4; architecture 4.3). A message is visible whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::sys::stat::{fstat, futimens};
use nix::sys::time::TimeSpec;

use super::error::{Error, ErrorKind, Result};
use super::filename::{self, TmpName};
use super::flags::Flags;
use super::folder::{Folder, Inner};
use super::keyword_files;
use super::keywords::{KeywordSet, KeywordTable};
use super::lock::Lock;
use super::options::Sync;
use super::quota::{self, Amount};
use super::uiddb::UidDb;

/// A message being written. It implements [`Write`] for bytes as they are to be stored (LF line ends);
/// [`Self::write_wire`] takes them as they come from the network. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Delivery {
    folder: Folder,
    name: TmpName,
    /// `None` once the file has been handed to [`Pending`].
    file: Option<BufWriter<File>>,
    size: u64,
    last: Option<u8>,
    /// A CR whose successor has not arrived yet.
    held_cr: bool,
}

/// What a new message carries besides its bytes.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// Flags.
    pub flags: Flags,
    /// Keywords, valid ones (see [`super::valid_keyword`]).
    pub keywords: Vec<Vec<u8>>,
    /// INTERNALDATE; now if `None`.
    pub internal_date: Option<SystemTime>,
}

/// A complete message in `tmp`, to be given to [`Folder::append`]. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Pending {
    folder: Folder,
    tmp: Vec<u8>,
    /// Base name it will have.
    base: Vec<u8>,
    flags: Flags,
    keywords: Vec<Vec<u8>>,
}

/// The UIDs that new messages got, for `APPENDUID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The folder's UIDVALIDITY.
    pub uid_validity: u32,
    /// One UID for each message, in order, ascending.
    pub uids: Vec<u32>,
}

impl Delivery {
    /// Adds bytes as they came over the network: CR LF becomes LF. A CR alone is kept.
    ///
    /// # Errors
    /// As for any write: `NoSpace` above all.
    pub fn write_wire(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        if self.held_cr && !rest.is_empty() {
            self.held_cr = false;
            if rest.first() != Some(&b'\n') {
                self.put(b"\r")?;
            }
        }
        while let Some(at) = memchr::memchr(b'\r', rest) {
            let (text, tail) = rest.split_at(at);
            self.put(text)?;
            rest = tail.get(1..).unwrap_or_default();
            match rest.first() {
                Some(b'\n') => {}
                Some(_) => self.put(b"\r")?,
                None => self.held_cr = true,
            }
        }
        self.put(rest)
    }

    /// Ends the last line if it is not ended (the original adds a missing final line feed).
    ///
    /// # Errors
    /// As for any write.
    pub fn end_line(&mut self) -> Result<()> {
        self.release_cr()?;
        match self.last {
            Some(b'\n') => Ok(()),
            _ => self.put(b"\n"),
        }
    }

    /// Bytes stored so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Completes the message: everything is written, checked and, unless `IMAP_FSYNC=never`, on disk.
    ///
    /// # Errors
    /// Why not: `NoSpace` above all.
    pub fn finish(mut self, details: Details) -> Result<Pending> {
        self.release_cr()?;
        let path = self.folder.inner.tmp.path_of(&self.name.tmp());
        let Some(mut writer) = self.file.take() else {
            return Err(Error::new(ErrorKind::Io, "finish", &path));
        };
        let result = (|| {
            writer
                .flush()
                .map_err(|error| Error::std("write", &path, &error))?;
            let file = writer.get_ref();
            if let Some(date) = details.internal_date {
                set_date(file, date).map_err(|errno| Error::io("utimens", &path, errno))?;
            }
            if self.folder.options().sync != Sync::Never {
                nix::unistd::fsync(file).map_err(|errno| Error::io("fsync", &path, errno))?;
            }
            fstat(file).map_err(|errno| Error::io("stat", &path, errno))
        })();
        match result {
            Ok(stat) => Ok(Pending {
                folder: self.folder.clone(),
                tmp: self.name.tmp(),
                base: self.name.message(stat.st_dev, stat.st_ino, self.size),
                flags: details.flags,
                keywords: details.keywords,
            }),
            Err(error) => {
                // For `Drop` to remove the file.
                self.file = Some(writer);
                Err(error)
            }
        }
    }

    fn release_cr(&mut self) -> Result<()> {
        if std::mem::take(&mut self.held_cr) {
            self.put(b"\r")?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        if let Err(error) = file.write_all(bytes) {
            let path = self.folder.inner.tmp.path_of(&self.name.tmp());
            return Err(Error::std("write", &path, &error));
        }
        self.size += u64::try_from(bytes.len()).unwrap_or(0);
        self.last = bytes.last().copied().or(self.last);
        Ok(())
    }
}

impl Write for Delivery {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.put(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => Err(error
                .errno()
                .map_or_else(|| io::ErrorKind::Other.into(), io::Error::from)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(writer) = self.file.take() {
            // Nothing buffered matters any more, and the disk may be full.
            let _ = writer.into_parts();
            // Not removed now, it is purged after 36 hours.
            let _ = self.folder.inner.tmp.remove(&self.name.tmp());
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Filed or not, the name in `tmp` has served. Not removed now, it is purged after 36 hours.
        let _ = self.folder.inner.tmp.remove(&self.tmp);
    }
}

/// Sets a file's modification time.
fn set_date(file: &File, date: SystemTime) -> std::result::Result<(), Errno> {
    let time = match date.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => TimeSpec::from_duration(since),
        Err(before) => {
            let seconds = i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX);
            TimeSpec::new(-seconds, 0)
        }
    };
    futimens(file, &TimeSpec::UTIME_NOW, &time)
}

/// One message to be filed by [`file_messages`].
pub(crate) struct Item<'a> {
    /// Where its complete file is.
    pub(crate) source: Source<'a>,
    /// Base name it gets.
    pub(crate) base: &'a [u8],
    pub(crate) flags: Flags,
    pub(crate) keywords: KeywordSet,
}

/// Where the file of a message to be filed is.
pub(crate) enum Source<'a> {
    /// In the folder's `tmp` under this name; the name there is left to the caller.
    Tmp(&'a [u8]),
    /// Another folder's message under this name.
    Link {
        inner: &'a Inner,
        in_new: bool,
        name: &'a [u8],
    },
}

/// What became of messages given to [`file_messages`].
pub(crate) struct Filed {
    pub(crate) uid_validity: u32,
    /// For each item its UID; `None` if a link's source had vanished.
    pub(crate) uids: Vec<Option<u32>>,
}

impl Folder {
    /// Begins a new message in this folder's `tmp`.
    ///
    /// # Errors
    /// `NoSpace`, `Denied`, `Io`.
    pub fn deliver(&self) -> Result<Delivery> {
        self.deliver_as("")
    }

    /// As [`Self::deliver`], with a word that the message's name will show.
    ///
    /// # Errors
    /// As there.
    pub fn deliver_as(&self, purpose: &str) -> Result<Delivery> {
        let (name, file) = self
            .inner
            .tmp
            .create_unique(purpose, &self.options().host, 0o666)?;
        Ok(Delivery {
            folder: self.clone(),
            name,
            file: Some(BufWriter::with_capacity(64 * 1024, file)),
            size: 0,
            last: None,
            held_cr: false,
        })
    }

    /// Whether one more message of at least `bytes` bytes with these flags is within the quota.
    ///
    /// # Errors
    /// `OverQuota`; otherwise why `maildirsize` cannot be read or replaced.
    pub fn has_room(&self, bytes: u64, flags: Flags) -> Result<()> {
        if !quota::counts(self.name(), flags) {
            return Ok(());
        }
        let mut more = Amount::default();
        more.add(bytes);
        self.inner.root.has_room(more, self.options().quota)
    }

    /// Files a completed message in `new`, as mail programs do: the next session numbers it. It is durable when this
    /// returns. The quota is the caller's.
    ///
    /// # Errors
    /// `NoSpace`, `Denied`, `Io`; the message was not added then.
    pub fn post(&self, message: Pending) -> Result<()> {
        let (tmp, new) = (&self.inner.tmp, &self.inner.new);
        let linked = match tmp.link(&message.tmp, new, &message.base) {
            // No hard links here.
            Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EXDEV) => {
                tmp.rename(&message.tmp, new, &message.base)
            }
            other => other,
        };
        linked.map_err(|errno| new.error("link", &message.base, errno))?;
        // The name in `tmp` has served.
        drop(message);
        match self.options().sync {
            Sync::Never => Ok(()),
            _ => new.sync(),
        }
    }

    /// Files completed messages, all or none, with ascending UIDs in the order given. They are durable when this
    /// returns and are never `\Recent`. A session that has this folder open sees them at its next rescan.
    ///
    /// # Errors
    /// `OverQuota`, `NoSpace`, `Locked`, `Denied`, `Io`; nothing was added then.
    pub fn append(&self, messages: Vec<Pending>) -> Result<Appended> {
        let mut table = KeywordTable::default();
        let items: Vec<Item<'_>> = messages
            .iter()
            .map(|message| {
                let ids = message
                    .keywords
                    .iter()
                    .map(|keyword| table.keyword(keyword))
                    .collect();
                Item {
                    source: Source::Tmp(&message.tmp),
                    base: &message.base,
                    flags: message.flags,
                    keywords: table.set(ids),
                }
            })
            .collect();
        let mut added = Amount::default();
        for item in &items {
            if quota::counts(self.name(), item.flags) {
                added.add(filename::stored_size(item.base).unwrap_or(0));
            }
        }
        let root = &self.inner.root;
        root.reserve(added, self.options().quota)?;
        let filed = match file_messages(&self.inner, &table, &items) {
            Ok(filed) => filed,
            Err(error) => {
                root.settle(Amount::default().less(added));
                return Err(error);
            }
        };
        drop(items);
        // The names in `tmp` have served.
        drop(messages);
        Ok(Appended {
            uid_validity: filed.uid_validity,
            uids: filed.uids.into_iter().flatten().collect(),
        })
    }
}

/// Links the messages into `cur` and numbers them, durably and all or none.
pub(crate) fn file_messages(
    inner: &Inner,
    table: &KeywordTable,
    items: &[Item<'_>],
) -> Result<Filed> {
    let options = &inner.root.options;
    let durable = options.sync != Sync::Never;
    let tagged: Vec<(&[u8], KeywordSet)> = items
        .iter()
        .filter(|item| !item.keywords.is_empty())
        .map(|item| (item.base, item.keywords))
        .collect();
    let mut linked = Vec::with_capacity(items.len());
    // Nobody else knows these messages yet, so this needs no lock.
    let (dir, tmp) = (&inner.dir, &inner.tmp);
    let result = keyword_files::write(dir, tmp, options, table, &tagged, durable, None)
        .and_then(|()| number_linked(inner, items, &mut linked));
    if result.is_err() {
        for (item, _) in items.iter().zip(&linked).filter(|(_, linked)| **linked) {
            // The failure itself is reported; at worst a message shows up that was not acknowledged.
            let _ = inner.cur.remove(&item.name());
        }
        let names: Vec<&[u8]> = tagged.iter().map(|(name, _)| *name).collect();
        keyword_files::forget(&inner.dir, &names);
    }
    result
}

fn number_linked(inner: &Inner, items: &[Item<'_>], linked: &mut Vec<bool>) -> Result<Filed> {
    let options = &inner.root.options;
    let mut lock = Lock::acquire(&inner.tmp, options)?;
    for item in items {
        linked.push(link(inner, item)?);
        lock.renew()?;
    }
    if options.sync != Sync::Never {
        inner.cur.sync()?;
    }
    let mut fenced = 0;
    let mut full = false;
    loop {
        let tail = match inner.network || fenced > 0 || full {
            true => None,
            false => UidDb::read_tail(&inner.dir)?,
        };
        let partial = tail.is_some();
        let mut db = match tail {
            Some(tail) => tail,
            None => inner.read_db(&lock)?,
        };
        let before = db.len();
        let mut uids = Vec::with_capacity(items.len());
        for (item, linked) in items.iter().zip(linked.iter()) {
            let numbered = match fenced {
                0 => None,
                // Whoever had the lock meanwhile has seen the files.
                _ => (0..before)
                    .filter_map(|position| db.entry(position))
                    .find(|(_, name)| *name == item.base)
                    .map(|(uid, _)| uid),
            };
            uids.push(match (linked, numbered) {
                (false, _) => None,
                (true, Some(uid)) => Some(uid),
                (true, None) => Some(db.assign(item.base, &inner.dir)?),
            });
        }
        let added = db.len() - before;
        let written = match added {
            0 => Ok(true),
            added if !inner.network => db.extend(added, &inner.dir, &inner.tmp, &lock, options),
            _ => Ok(false),
        }
        .and_then(|extended| match extended {
            true => Ok(true),
            // The file has another form than ours: read it all and write it anew.
            false if partial => Ok(false),
            false => db
                .write(&inner.dir, &inner.tmp, &lock, options)
                .map(|()| true),
        });
        match written {
            Ok(false) => full = true,
            Ok(true) => {
                return Ok(Filed {
                    uid_validity: db.uid_validity,
                    uids,
                });
            }
            // Our lock was taken away; somebody may even have numbered the messages. Start over with a new one.
            Err(error) if error.kind() == ErrorKind::Locked && fenced < 3 => {
                fenced += 1;
                drop(lock);
                lock = Lock::acquire(&inner.tmp, options)?;
            }
            Err(error) => return Err(error),
        }
    }
}

impl Item<'_> {
    /// The name in `cur`.
    fn name(&self) -> Vec<u8> {
        filename::of_message(self.base, self.flags)
    }
}

/// Gives the message its name in `cur`, never replacing anything; false if the source of a link is gone.
fn link(inner: &Inner, item: &Item<'_>) -> Result<bool> {
    let name = item.name();
    match &item.source {
        Source::Tmp(tmp) => {
            let linked = match inner.tmp.link(tmp, &inner.cur, &name) {
                // No hard links here.
                Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EXDEV) => {
                    inner.tmp.rename(tmp, &inner.cur, &name)
                }
                other => other,
            };
            match linked {
                Ok(()) => Ok(true),
                Err(errno) => Err(inner.cur.error("link", &name, errno)),
            }
        }
        Source::Link {
            inner: source,
            in_new,
            name: from,
        } => {
            let from_dir = if *in_new { &source.new } else { &source.cur };
            match from_dir.link(from, &inner.cur, &name) {
                Ok(()) => Ok(true),
                Err(Errno::ENOENT) => Ok(false),
                Err(errno) => Err(inner.cur.error("link", &name, errno)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
