//! INBOX as POP3 sees it: numbered once at login, with sizes and UIDLs from `courierpop3dsizelist`
//! (contract: pop3d 3, 6; maildir 8).

mod incoming;
mod locate;
mod order;
mod removal;
mod unchanged;

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::stat::FileStat;

pub(crate) use unchanged::is_whole;

use incoming::{purge, take_in};
use order::{base_order, order_key};

use super::error::{Error, ErrorKind, Result};
use super::filename;
use super::files::{self, Dir, Stamp};
use super::flags::Flags;
use super::lock::Lock;
use super::measure::{Measure, Remembered};
use super::options::Options;
use super::sizelist::{Entry, SizeList};
use super::snapshot;
use crate::sys::dir::Kind;
use crate::sys::log::{Level, log};

const LIST: &[u8] = b"courierpop3dsizelist";
/// Largest list that is read, in bytes: a few million messages.
const LIST_MAX: u64 = 1 << 30;
/// How old a directory's times must be, so that no later change on this host can carry the same ones.
const WINDOW: Duration = Duration::from_millis(20);

/// One message. Its name stands in [`Maildrop::names`].
#[derive(Debug, Clone, Copy)]
struct Message {
    /// The number that the name begins with, by which messages are ordered.
    order: u64,
    start: u32,
    length: u32,
    entry: Entry,
    /// [`super::snapshot::Message::fold_inode`] of its file.
    inode: u32,
    /// The list on disk has it, so that its UIDL will last.
    listed: bool,
}

/// An open message.
#[derive(Debug)]
pub struct StoredMessage {
    /// Its file, at its start.
    pub file: File,
    /// Its length in bytes.
    pub size: u64,
}

impl StoredMessage {
    fn new(file: File, stat: &FileStat) -> Self {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        Self { file, size }
    }
}

/// What became of the messages that were to be deleted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Those that are gone now, by our doing.
    pub done: Vec<usize>,
    /// Those that somebody else had removed before.
    pub missing: Vec<usize>,
    /// Those that are still there, or may be there again after a crash since the disk did not confirm the removal.
    pub failed: Vec<usize>,
}

/// The messages of one session.
#[derive(Debug)]
pub struct Maildrop {
    root: Dir,
    cur: Dir,
    follow_links: bool,
    /// The names of all messages, one behind the other; that of a renamed one is added at the end.
    names: Vec<u8>,
    messages: Vec<Message>,
    /// How many files the last listing of `cur` had.
    files: usize,
    /// The times of `cur` when its names were taken, if they held still.
    listed_at: Option<Stamp>,
    /// The times of `cur` when all names were looked for anew.
    located_at: Option<Stamp>,
    /// The UIDL of the one message that is shown although no list holds it.
    stopgap: Option<Vec<u8>>,
}

impl Maildrop {
    /// Opens the maildir at `path`: moves new mail to `cur`, reads `cur`, and completes the list, for which `measure`
    /// reads the messages that neither it nor the message cache knows. `user` is for log lines.
    ///
    /// # Errors
    /// `NoSuchFolder` when there is no `cur`. A list that cannot be written is logged: messages that were not in it
    /// are left out then, unless none would remain.
    pub fn open(
        path: &Path,
        options: &Options,
        user: &str,
        measure: &dyn Fn(&StoredMessage) -> std::io::Result<Measure>,
    ) -> Result<Self> {
        let root = Dir::open(path)?;
        let cur = root.open_dir(b"cur")?;
        let tmp = root.open_dir(b"tmp");
        if let Ok(tmp) = &tmp {
            purge(tmp);
        }
        if let Ok(new) = root.open_dir(b"new") {
            take_in(&new, &cur);
        }
        let mut maildrop = Self {
            root,
            cur,
            follow_links: options.follow_links,
            names: Vec::new(),
            messages: Vec::new(),
            files: 0,
            listed_at: None,
            located_at: None,
            stopgap: None,
        };
        match tmp {
            Ok(tmp) => match maildrop.load(&tmp, options, measure) {
                Ok(()) => {}
                Err(Failed::Scan(error)) => return Err(error),
                Err(Failed::Save(error)) => maildrop.do_without_list(user, &error, measure),
            },
            Err(error) => {
                maildrop.scan()?;
                maildrop.do_without_list(user, &error, measure);
            }
        }
        Ok(maildrop)
    }

    /// How many messages there are. All indexes below count from 0 up to this.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// True without a message.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Octets of a message as sent, without dot stuffing.
    pub fn size(&self, index: usize) -> u64 {
        self.messages
            .get(index)
            .map_or(0, |message| message.entry.size)
    }

    /// A header of the message holds bytes above 0x7f.
    pub fn utf8(&self, index: usize) -> bool {
        self.messages
            .get(index)
            .is_some_and(|message| message.entry.utf8)
    }

    /// Appends the message's unique identifier (RFC 1939 section 7, UIDL).
    pub fn uidl(&self, index: usize, text: &mut Vec<u8>) {
        match (&self.stopgap, self.messages.get(index)) {
            (Some(stopgap), Some(_)) => text.extend_from_slice(stopgap),
            (None, Some(message)) => message.entry.uidl(self.name(message), text),
            (_, None) => {}
        }
    }

    /// The file's name in `cur`, for log lines.
    pub fn file_name(&self, index: usize) -> &[u8] {
        self.messages
            .get(index)
            .map_or(&[], |message| self.name(message))
    }

    fn name(&self, message: &Message) -> &[u8] {
        name(&self.names, message)
    }

    fn base(&self, message: &Message) -> &[u8] {
        filename::base(self.name(message))
    }

    /// Gives a message another name.
    fn rename(&mut self, index: usize, name: &[u8]) {
        if let (Some(message), Ok(start), Ok(length)) = (
            self.messages.get_mut(index),
            u32::try_from(self.names.len()),
            u32::try_from(name.len()),
        ) {
            (message.start, message.length) = (start, length);
            self.names.extend_from_slice(name);
        }
    }

    /// Lists `cur` and completes the list. Messages are read before the folder's lock is taken, which others wait
    /// for; under it the list is read again, so that two sessions never give one number to two messages.
    fn load(
        &mut self,
        tmp: &Dir,
        options: &Options,
        measure: &dyn Fn(&StoredMessage) -> std::io::Result<Measure>,
    ) -> std::result::Result<(), Failed> {
        if self.load_unchanged() {
            return Ok(());
        }
        let merged = self.scan()?;
        if !self.is_stale(&merged) {
            self.remember_unchanged(&merged, tmp, options);
            return Ok(());
        }
        let mut measured = HashMap::new();
        self.measure(&mut measured, measure, None)?;
        let mut lock = Lock::acquire(tmp, options).map_err(Failed::Save)?;
        let merged = self.scan()?;
        if !self.is_stale(&merged) {
            return Ok(());
        }
        self.measure(&mut measured, measure, Some(&mut lock))?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let validity = merged.validity.unwrap_or(now);
        let mut next = merged.next;
        let names = &self.names;
        let known = |message: &Message| measured.get(filename::base(name(names, message)));
        for message in &mut self.messages {
            if message.listed {
                continue;
            }
            if let Some(Some(known)) = known(message) {
                message.entry = Entry {
                    size: known.size,
                    number: next,
                    validity,
                    utf8: known.utf8,
                };
                next = next.saturating_add(1);
            }
        }
        // A file that cannot be read now is not numbered: it may be readable next time.
        self.messages
            .retain(|message| message.listed || known(message).is_some_and(Option::is_some));
        let entries = self
            .messages
            .iter()
            .map(|message| (self.name(message), message.entry));
        let content = SizeList::encode(next, validity, entries);
        if !lock.is_ours().map_err(Failed::Save)? {
            let path = self.root.path_of(LIST);
            return Err(Failed::Save(Error::new(ErrorKind::Locked, "save", &path)));
        }
        let (root, host) = (&self.root, &options.host);
        let stat = files::replace_file(tmp, root, LIST, &content, "pop3", host, true)
            .map_err(Failed::Save)?;
        // Renaming has changed its times.
        if let Ok(Some(now)) = root.stat(LIST) {
            if (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino) {
                self.remember_written(&Stamp::of(&now), tmp, options);
            }
        }
        for message in &mut self.messages {
            message.listed = true;
        }
        Ok(())
    }

    /// An empty maildir is never stale: the old list keeps the next number.
    fn is_stale(&self, merged: &Merged) -> bool {
        !self.messages.is_empty()
            && (merged.changed || self.messages.iter().any(|message| !message.listed))
    }

    /// Reads the messages that are not in the list, once each; by base name, `None` for what cannot be read.
    fn measure(
        &self,
        measured: &mut HashMap<Vec<u8>, Option<Measure>>,
        measure: &dyn Fn(&StoredMessage) -> std::io::Result<Measure>,
        mut lock: Option<&mut Lock<'_>>,
    ) -> std::result::Result<(), Failed> {
        let unknown = || self.messages.iter().filter(|message| !message.listed);
        let mut remembered = Remembered::open(&self.root, unknown().count());
        for message in unknown() {
            let base = self.base(message);
            if measured.contains_key(base) {
                continue;
            }
            if let Some(lock) = &mut lock {
                // Being held for long, it must not look abandoned.
                lock.renew().map_err(Failed::Save)?;
            }
            let name = self.name(message);
            let result = remembered
                .get(&self.cur, name, message.inode)
                .or_else(|| self.measure_file(name, measure));
            measured.insert(base.to_vec(), result);
        }
        Ok(())
    }

    fn measure_file(
        &self,
        name: &[u8],
        measure: &dyn Fn(&StoredMessage) -> std::io::Result<Measure>,
    ) -> Option<Measure> {
        let opened = self.cur.open_message(name, self.follow_links);
        let (file, stat) = opened.ok().flatten()?;
        measure(&StoredMessage::new(file, &stat)).ok()
    }

    /// Without a list that can be written only the messages in the old one have a UIDL that will last. If there are
    /// none, the first message gets a stopgap, so that a full mailbox can be emptied one by one.
    fn do_without_list(
        &mut self,
        user: &str,
        error: &Error,
        measure: &dyn Fn(&StoredMessage) -> std::io::Result<Measure>,
    ) {
        log(
            Level::Err,
            format_args!("Error while saving courierpop3dsizelist, user={user}"),
        );
        log(Level::Err, format_args!("{error}"));
        let first = self.messages.first().copied();
        self.messages.retain(|message| message.listed);
        if !self.messages.is_empty() {
            return;
        }
        let Some(mut message) = first else {
            return;
        };
        if let Ok(Some(stat)) = self.cur.stat(self.name(&message)) {
            let text = format!(
                "ENOMEM-{:016X}-{:016X}-{:016X}",
                stat.st_mtime, stat.st_dev, stat.st_ino
            );
            self.stopgap = Some(text.into_bytes());
            if message.entry.size == 0 {
                match self.measure_file(self.name(&message), measure) {
                    Some(measure) => {
                        (message.entry.size, message.entry.utf8) = (measure.size, measure.utf8);
                    }
                    None => message.entry.size = u64::try_from(stat.st_size).unwrap_or(0),
                }
            }
            self.messages.push(message);
        }
    }

    /// Lists the messages and fills in what the list knows of them.
    fn scan(&mut self) -> Result<Merged> {
        if self.listed_at.is_some() && self.listed_at == Some(self.cur.stamp()?) {
            // The list may have changed, the directory has not.
            for message in &mut self.messages {
                message.entry = Entry::default();
                message.listed = false;
            }
        } else {
            self.list_cur()?;
        }
        let (bytes, stamp) = self.read_list().unzip();
        let mut merged = self.merge(SizeList::parse(&bytes.unwrap_or_default()));
        merged.list = stamp;
        Ok(merged)
    }

    /// Takes the names in `cur`, in the order of messages. A listing beside renames can miss some, so the directory's
    /// times must hold still.
    fn list_cur(&mut self) -> Result<()> {
        self.listed_at = None;
        for _ in 0..5 {
            let before = self.cur.stamp()?;
            self.names.clear();
            self.messages.clear();
            let (names, messages) = (&mut self.names, &mut self.messages);
            self.cur.list(|entry| {
                if entry.name.starts_with(b".") || entry.kind == Kind::Directory {
                    return;
                }
                // A file name has at most 255 bytes, and 4 GiB of them are more than can be listed.
                if let (Ok(start), Ok(length)) =
                    (u32::try_from(names.len()), u32::try_from(entry.name.len()))
                {
                    names.extend_from_slice(entry.name);
                    messages.push(Message {
                        order: filename::leading_number(entry.name),
                        start,
                        length,
                        entry: Entry::default(),
                        inode: snapshot::Message::fold_inode(entry.inode),
                        listed: false,
                    });
                }
            })?;
            if before == self.cur.stamp()? {
                self.listed_at = Some(before);
                break;
            }
        }
        self.files = self.messages.len();
        self.sort();
        let names = &self.names;
        // One message under two names, as an interrupted rename leaves it, is one message.
        self.messages.dedup_by(|a, b| {
            a.order == b.order && filename::base(name(names, a)) == filename::base(name(names, b))
        });
        Ok(())
    }

    /// Puts the messages in order. Directories give them in any, and whole names are slow to compare: nearly always
    /// the number and a few bytes behind it tell.
    fn sort(&mut self) {
        let names = &self.names;
        let mut keyed: Vec<(u64, u128, Message)> = self
            .messages
            .iter()
            .map(|message| {
                let base = filename::base(name(names, message));
                (message.order, order_key(base), *message)
            })
            .collect();
        keyed.sort_unstable_by(|(a_order, a_key, a), (b_order, b_key, b)| {
            let by_key = a_order.cmp(b_order).then(a_key.cmp(b_key));
            by_key.then_with(|| {
                let (a, b) = (name(names, a), name(names, b));
                base_order(filename::base(a), filename::base(b)).then_with(|| a.cmp(b))
            })
        });
        self.messages.clear();
        self.messages
            .extend(keyed.into_iter().map(|(_, _, message)| message));
    }

    fn read_list(&self) -> Option<(Vec<u8>, Stamp)> {
        for _ in 0..3 {
            match self.root.read(LIST, LIST_MAX) {
                Ok(Some(list)) => return Some(list),
                Ok(None) => break,
                // Replaced on the server while we held the old one.
                Err(error) if error.errno() == Some(Errno::ESTALE) => {}
                Err(error) => {
                    log(Level::Err, format_args!("{error}"));
                    break;
                }
            }
        }
        None
    }

    /// Gives each message its entry; both are in the same order.
    fn merge(&mut self, list: SizeList<'_>) -> Merged {
        let mut known: Vec<(u64, &[u8], Entry)> = list
            .entries
            .into_iter()
            .map(|(name, entry)| (filename::leading_number(name), filename::base(name), entry))
            .collect();
        let order = |a: &(u64, &[u8], Entry), b: &(u64, &[u8], Entry)| {
            a.0.cmp(&b.0).then_with(|| base_order(a.1, b.1))
        };
        let sorted = known.is_sorted_by(|a, b| order(a, b).is_le());
        if !sorted {
            known.sort_by(order);
        }
        let files = self.files;
        let exact = sorted && known.len() == files && self.messages.len() == files;
        let mut merged = Merged {
            next: list.next.max(1),
            validity: list.validity,
            changed: list.converted,
            exact: false,
            list: None,
        };
        let mut known = known.into_iter().peekable();
        let names = &self.names;
        for message in &mut self.messages {
            let base = filename::base(name(names, message));
            let order = |(number, known, _): &(u64, &[u8], Entry)| {
                number
                    .cmp(&message.order)
                    .then_with(|| base_order(known, base))
            };
            // Entries of files that are gone.
            while known.next_if(|entry| order(entry).is_lt()).is_some() {
                merged.changed = true;
            }
            if let Some((_, _, entry)) = known.next_if(|entry| order(entry).is_eq()) {
                message.entry = entry;
                message.listed = true;
            }
        }
        merged.changed |= known.next().is_some();
        merged.exact = exact && !merged.changed;
        merged
    }

    /// Opens a message's file, under whatever name it has now.
    ///
    /// # Errors
    /// `Gone` when it is not there any more.
    pub fn open_message(&mut self, index: usize) -> Result<StoredMessage> {
        for _ in 0..4 {
            let Some(message) = self.messages.get(index) else {
                break;
            };
            let opened = self
                .cur
                .open_message(self.name(message), self.follow_links)?;
            if let Some((file, stat)) = opened {
                return Ok(StoredMessage::new(file, &stat));
            }
            if !self.locate(index)? {
                break;
            }
        }
        Err(Error::new(ErrorKind::Gone, "open", self.cur.path()))
    }

    /// Marks a message as seen, if its name can carry that. A failure is of no consequence and not told.
    pub fn mark_seen(&mut self, index: usize) {
        let old = self.file_name(index);
        let flags = filename::flags(old);
        let foreign = !filename::has_info(old) && old.contains(&b':');
        if old.is_empty() || foreign || flags.contains(Flags::SEEN) {
            return;
        }
        let new = filename::with_flags(old, flags | Flags::SEEN);
        if self.cur.rename_message(old, &self.cur, &new).is_ok() {
            self.rename(index, &new);
        }
    }
}

/// A message's name among `names`.
fn name<'a>(names: &'a [u8], message: &Message) -> &'a [u8] {
    let start = message.start as usize;
    names
        .get(start..start.saturating_add(message.length as usize))
        .unwrap_or_default()
}

/// What [`Maildrop::merge`] found beside the messages.
struct Merged {
    next: u64,
    validity: Option<u64>,
    /// Entries vanished, or the list is of an old version.
    changed: bool,
    /// The list has exactly one entry for each file of the listing, in its order.
    exact: bool,
    /// Which state of the list this is; `None` without one.
    list: Option<Stamp>,
}

/// Why the list is not complete.
enum Failed {
    /// The messages themselves could not be listed.
    Scan(Error),
    /// The list could not be locked or written.
    Save(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Scan(error)
    }
}

#[cfg(test)]
mod tests;
