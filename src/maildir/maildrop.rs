//! INBOX as POP3 sees it: numbered once at login, with sizes and UIDLs from `courierpop3dsizelist`
//! (contract: pop3d 3, 6; maildir 8).

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::error::{Error, ErrorKind, Result};
use super::filename;
use super::files::{self, Dir};
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
/// Age by mtime at which a file in `tmp` is a leftover.
const TMP_AGE: Duration = Duration::from_secs(48 * 3600);

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

/// What became of the messages that were to be deleted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Those that are gone now, by our doing.
    pub done: Vec<usize>,
    /// Those that somebody else had removed before.
    pub missing: Vec<usize>,
    /// Those that are still there.
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
        measure: &dyn Fn(&File) -> std::io::Result<Measure>,
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
            stopgap: None,
        };
        match tmp {
            Ok(tmp) => match maildrop.load(&tmp, options, measure) {
                Ok(()) => {}
                Err(Failed::Scan(error)) => return Err(error),
                Err(Failed::Save(error)) => maildrop.do_without_list(user, &error),
            },
            Err(error) => {
                maildrop.scan()?;
                maildrop.do_without_list(user, &error);
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
        measure: &dyn Fn(&File) -> std::io::Result<Measure>,
    ) -> std::result::Result<(), Failed> {
        let merged = self.scan()?;
        if !self.is_stale(&merged) {
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
        files::replace_file(tmp, root, LIST, &content, "pop3", host, true).map_err(Failed::Save)?;
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
        measure: &dyn Fn(&File) -> std::io::Result<Measure>,
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
        measure: &dyn Fn(&File) -> std::io::Result<Measure>,
    ) -> Option<Measure> {
        let opened = self.cur.open_message(name, self.follow_links);
        let (file, _) = opened.ok().flatten()?;
        measure(&file).ok()
    }

    /// Without a list that can be written only the messages in the old one have a UIDL that will last. If there are
    /// none, the first message gets a stopgap, so that a full mailbox can be emptied one by one.
    fn do_without_list(&mut self, user: &str, error: &Error) {
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
                message.entry.size = u64::try_from(stat.st_size).unwrap_or(0);
            }
            self.messages.push(message);
        }
    }

    /// Lists the messages and fills in what the list knows of them.
    fn scan(&mut self) -> Result<Merged> {
        self.list_cur()?;
        let bytes = self.read_list();
        Ok(self.merge(SizeList::parse(&bytes)))
    }

    /// Takes the names in `cur`, in the order of messages. A listing beside renames can miss some, so the directory's
    /// times must hold still.
    fn list_cur(&mut self) -> Result<()> {
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
                break;
            }
        }
        let names = &self.names;
        self.messages.sort_unstable_by(|a, b| {
            a.order.cmp(&b.order).then_with(|| {
                let (a, b) = (name(names, a), name(names, b));
                base_order(filename::base(a), filename::base(b)).then_with(|| a.cmp(b))
            })
        });
        // One message under two names, as an interrupted rename leaves it, is one message.
        self.messages.dedup_by(|a, b| {
            a.order == b.order && filename::base(name(names, a)) == filename::base(name(names, b))
        });
        Ok(())
    }

    fn read_list(&self) -> Vec<u8> {
        for _ in 0..3 {
            match self.root.read(LIST, LIST_MAX) {
                Ok(Some((bytes, _))) => return bytes,
                Ok(None) => break,
                // Replaced on the server while we held the old one.
                Err(error) if error.errno() == Some(Errno::ESTALE) => {}
                Err(error) => {
                    log(Level::Err, format_args!("{error}"));
                    break;
                }
            }
        }
        Vec::new()
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
        if !known.is_sorted_by(|a, b| order(a, b).is_le()) {
            known.sort_by(order);
        }
        let mut merged = Merged {
            next: list.next.max(1),
            validity: list.validity,
            changed: list.converted,
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
        merged
    }

    /// Opens a message's file, under whatever name it has now.
    ///
    /// # Errors
    /// `Gone` when it is not there any more.
    pub fn open_message(&mut self, index: usize) -> Result<File> {
        for attempt in 0..2 {
            let Some(message) = self.messages.get(index) else {
                break;
            };
            let opened = self
                .cur
                .open_message(self.name(message), self.follow_links)?;
            if let Some((file, _)) = opened {
                return Ok(file);
            }
            if attempt == 0 && !self.locate(index)? {
                break;
            }
        }
        Err(Error::new(ErrorKind::Gone, "open", self.cur.path()))
    }

    /// Looks for the present name of a message that somebody renamed. False if there is none.
    fn locate(&mut self, index: usize) -> Result<bool> {
        let base = filename::base(self.file_name(index)).to_vec();
        for _ in 0..5 {
            let before = self.cur.stamp()?;
            let mut found = None;
            self.cur.list(|entry| {
                if filename::base(entry.name) == base {
                    found = Some(entry.name.to_vec());
                }
            })?;
            if let Some(name) = found {
                self.rename(index, &name);
                return Ok(true);
            }
            if before == self.cur.stamp()? {
                break;
            }
        }
        Ok(false)
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
        if self.cur.rename(old, &self.cur, &new).is_ok() {
            self.rename(index, &new);
        }
    }

    /// Removes the messages at `indexes` for good: when this returns they are gone from the disk. `gone` is told
    /// the name of each file. The quota is brought up to date.
    pub fn remove(&mut self, indexes: &[usize], gone: &dyn Fn(&[u8])) -> Removed {
        let mut removed = Removed::default();
        let (mut bytes, mut count) = (0_u64, 0_u64);
        for &index in indexes {
            match self.remove_one(index, gone) {
                Ok(Some(counted)) => {
                    removed.done.push(index);
                    if let Some(size) = counted {
                        bytes = bytes.saturating_add(size);
                        count = count.saturating_add(1);
                    }
                }
                Ok(None) => removed.missing.push(index),
                Err(error) => {
                    log(Level::Err, format_args!("{error}"));
                    removed.failed.push(index);
                }
            }
        }
        if !removed.done.is_empty() {
            if let Err(error) = self.cur.sync() {
                log(Level::Err, format_args!("{error}"));
            }
        }
        if count > 0 {
            if let Err(error) = self.subtract_quota(bytes, count) {
                log(Level::Err, format_args!("{error}"));
            }
        }
        removed
    }

    /// `Some(Some(size))`: removed, counts for the quota; `Some(None)`: removed, does not; `None`: was not there.
    fn remove_one(&mut self, index: usize, gone: &dyn Fn(&[u8])) -> Result<Option<Option<u64>>> {
        for _ in 0..4 {
            let name = self.file_name(index).to_vec();
            if name.is_empty() {
                return Ok(None);
            }
            let Some(stat) = self.cur.stat(&name)? else {
                if self.locate(index)? {
                    continue;
                }
                return Ok(None);
            };
            match self.cur.unlink(&name) {
                Ok(()) => {
                    gone(&name);
                    let size = filename::stored_size(&name)
                        .unwrap_or_else(|| u64::try_from(stat.st_size).unwrap_or(0));
                    let counts = !filename::flags(&name).contains(Flags::DELETED);
                    return Ok(Some(counts.then_some(size)));
                }
                // Renamed between the look and the removal.
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(self.cur.error("unlink", &name, errno)),
            }
        }
        Ok(None)
    }

    /// One line in `maildirsize`, if there is one (contract: quota 2). The line is short enough to be written whole.
    fn subtract_quota(&self, bytes: u64, count: u64) -> Result<()> {
        const QUOTA: &[u8] = b"maildirsize";
        let flags = OFlag::O_WRONLY
            | OFlag::O_APPEND
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_CLOEXEC;
        let file = match nix::fcntl::openat(&self.root, QUOTA, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(self.root.error("open", QUOTA, errno)),
        };
        let line = format!("{:>12} {:>12}\n", format!("-{bytes}"), format!("-{count}"));
        match nix::unistd::write(&file, line.as_bytes()) {
            Ok(written) if written == line.len() => Ok(()),
            Ok(_) => Err(self.root.error("write", QUOTA, Errno::ENOSPC)),
            Err(errno) => Err(self.root.error("write", QUOTA, errno)),
        }
    }
}

/// The original's order of base names (contract: pop3d 6.1): bytes are signed, and the `:` behind the base counts.
fn base_order(a: &[u8], b: &[u8]) -> Ordering {
    let both = a.len().min(b.len());
    let (start, other) = (a.get(..both), b.get(..both));
    if start == other {
        return match (a.get(both), b.get(both)) {
            (None, None) => Ordering::Equal,
            (next, other) => {
                let signed = |byte: Option<&u8>| byte.copied().unwrap_or(b':') ^ 0x80;
                signed(next).cmp(&signed(other)).then(a.len().cmp(&b.len()))
            }
        };
    }
    let differing = start
        .unwrap_or_default()
        .iter()
        .zip(other.unwrap_or_default())
        .find(|(a, b)| a != b);
    differing.map_or(Ordering::Equal, |(a, b)| (a ^ 0x80).cmp(&(b ^ 0x80)))
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

/// Removes leftovers of interrupted deliveries. Best effort.
fn purge(tmp: &Dir) {
    let mut names = Vec::new();
    // An unreadable tmp shows itself where it is needed.
    let _ = tmp.list(|entry| {
        if !entry.name.starts_with(b".") && entry.kind != Kind::Directory {
            names.push(entry.name.to_vec());
        }
    });
    for name in names {
        if let Ok(Some(stat)) = tmp.stat(&name) {
            let old = SystemTime::now()
                .duration_since(files::modified(&stat))
                .is_ok_and(|age| age > TMP_AGE);
            if old {
                // The next session tries again.
                let _ = tmp.remove(&name);
            }
        }
    }
}

/// Moves new mail to `cur`. Ends at the first failure, which is logged: the messages stay where they are.
fn take_in(new: &Dir, cur: &Dir) {
    let mut names = Vec::new();
    if let Err(error) = new.list(|entry| {
        if !entry.name.starts_with(b".") && entry.kind != Kind::Directory {
            names.push(entry.name.to_vec());
        }
    }) {
        log(Level::Err, format_args!("{error}"));
        return;
    }
    for name in names {
        let target = if filename::has_info(&name) {
            name.clone()
        } else {
            let mut target = filename::base(&name).to_vec();
            target.extend_from_slice(b":2,");
            target
        };
        match new.rename(&name, cur, &target) {
            Ok(()) => {}
            // Another session moved it.
            Err(Errno::ENOENT) => {}
            Err(errno) => {
                let (from, to) = (new.path_of(&name), cur.path_of(&target));
                log(
                    Level::Err,
                    format_args!(
                        "rename({},{}) failed: {}",
                        from.display(),
                        to.display(),
                        errno.desc()
                    ),
                );
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "maildrop_tests.rs"]
mod tests;
