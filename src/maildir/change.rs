//! Changing flags and keywords, and removing messages (contract: maildir 3.4, 3.5, 7.2).

use std::collections::BTreeSet;
use std::time::SystemTime;

use nix::errno::Errno;

use super::error::{Error, ErrorKind, Result};
use super::filename;
use super::flags::Flags;
use super::folder::{CHASES, Finder, Folder, Inner};
use super::keyword_files;
use super::keywords::KeywordSet;
use super::lock::Lock;
use super::options::Sync;
use super::quota::{self, Amount};
use super::snapshot::{Message, Snapshot};

/// Tries to read keywords beside others who take our lock away.
const FENCED: u32 = 3;

/// How [`Change`] combines with what a message has (RFC 3501 6.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `FLAGS`: exactly these.
    Replace,
    /// `+FLAGS`.
    Add,
    /// `-FLAGS`.
    Remove,
}

/// A change of flags and keywords.
#[derive(Debug, Clone)]
pub struct Change {
    /// How.
    pub action: Action,
    /// Which flags.
    pub flags: Flags,
    /// Which keywords; valid ones (see [`super::valid_keyword`]), compared without regard to ASCII case.
    pub keywords: Vec<Vec<u8>>,
    /// Flags that may be changed; the others stay as they are (missing rights).
    pub mask: Flags,
    /// Whether keywords may be changed; if not they stay.
    pub change_keywords: bool,
    /// Only messages that have not changed since this MODSEQ (RFC 7162 UNCHANGEDSINCE), by others who have not logged
    /// it yet among them; needs [`Folder::track`].
    pub unchanged_since: Option<u64>,
}

impl Change {
    /// A change without restriction by rights.
    pub fn new(action: Action, flags: Flags, keywords: Vec<Vec<u8>>) -> Self {
        Self {
            action,
            flags,
            keywords,
            mask: Flags::ALL,
            change_keywords: true,
            unchanged_since: None,
        }
    }

    fn apply(&self, flags: Flags) -> Flags {
        let wanted = match self.action {
            Action::Replace => self.flags,
            Action::Add => flags | self.flags,
            Action::Remove => flags.without(self.flags),
        };
        flags.without(self.mask) | (wanted & self.mask)
    }

    /// Whether any message's keywords can change by this.
    fn touches_keywords(&self) -> bool {
        self.change_keywords && (self.action == Action::Replace || !self.keywords.is_empty())
    }
}

/// What became of the messages of a command.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Indexes whose file is gone; they were passed over.
    pub missing: Vec<usize>,
    /// For [`Change::unchanged_since`]: indexes of messages that have changed since and were passed over.
    pub modified: Vec<usize>,
    /// For [`Folder::expunge`]: indexes that somebody else undeleted meanwhile; they were kept.
    pub kept: Vec<usize>,
}

impl Folder {
    /// Changes flags and keywords of the messages at `indexes`. The flags are those of the file as it is *now*: what
    /// other sessions set or cleared stays unless this change says otherwise. The snapshot knows the result.
    ///
    /// # Errors
    /// `OverQuota` if messages would count again that do not fit; nothing was changed then. Otherwise the first
    /// failure; messages before it have been changed, as the snapshot tells.
    pub fn change(
        &self,
        snapshot: &mut Snapshot,
        indexes: &[usize],
        change: &Change,
    ) -> Result<Outcome> {
        self.attend(snapshot);
        let mut outcome = Outcome::default();
        let changed = match change.unchanged_since {
            None => self.change_all(snapshot, indexes, change, &mut outcome),
            Some(since) => self
                .unchanged(snapshot, indexes, since, &mut outcome)
                .and_then(|indexes| self.change_all(snapshot, &indexes, change, &mut outcome)),
        };
        self.note_if_touched(snapshot);
        outcome.modified.sort_unstable();
        changed.map(|()| outcome)
    }

    fn change_all(
        &self,
        snapshot: &mut Snapshot,
        indexes: &[usize],
        change: &Change,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let inner = &*self.inner;
        let mut finder = Finder::default();
        let mut renamed = false;
        let reserved = self.reserve_undeleted(snapshot, indexes, change)?;
        let mut counted = Amount::default();
        let mut changed = Ok(());
        for &index in indexes {
            match change_flags(inner, snapshot, index, change, &mut finder, &mut counted) {
                Ok(Renaming::Done) => renamed = true,
                Ok(Renaming::Needless) => {}
                Ok(Renaming::Missing) => outcome.missing.push(index),
                Ok(Renaming::Modified) => outcome.modified.push(index),
                Err(error) => {
                    changed = Err(error);
                    break;
                }
            }
        }
        inner.root.settle(counted.less(reserved));
        changed?;
        if renamed && self.options().sync == Sync::Always {
            inner.cur.sync()?;
        }
        if change.touches_keywords() {
            self.change_keywords(snapshot, indexes, change, &mut outcome.modified)?;
        }
        Ok(())
    }

    /// Those of `indexes` that nobody has changed since the MODSEQ, as far as it can be told before anything is done.
    fn unchanged(
        &self,
        snapshot: &mut Snapshot,
        indexes: &[usize],
        since: u64,
        outcome: &mut Outcome,
    ) -> Result<Vec<usize>> {
        let stamp = self.inner.dir.stamp_of(keyword_files::DIRECTORY)?;
        let on_disk = match stamp == snapshot.stamps.and_then(|stamps| stamps.keywords) {
            true => None,
            false => Some(self.keywords_on_disk(snapshot)?),
        };
        let (good, modified) = indexes.iter().partition(|index| {
            let shown = snapshot.get(**index).map(Message::keyword_set);
            let same = on_disk
                .as_ref()
                .is_none_or(|sets| sets.get(**index).copied() == shown);
            same && snapshot.modseq(**index) <= since
        });
        outcome.modified = modified;
        Ok(good)
    }

    /// Takes from the quota what messages need that would not be `\Deleted` any more.
    fn reserve_undeleted(
        &self,
        snapshot: &Snapshot,
        indexes: &[usize],
        change: &Change,
    ) -> Result<Amount> {
        let mut more = Amount::default();
        if !quota::counts(self.name(), Flags::NONE)
            || change.apply(Flags::DELETED).contains(Flags::DELETED)
        {
            return Ok(more);
        }
        for index in indexes {
            let Some(message) = snapshot.get(*index) else {
                continue;
            };
            if message.flags().contains(Flags::DELETED) && !message.is_gone() {
                more.add(quota::size_of(
                    self.inner.place(message),
                    snapshot.name(message),
                ));
            }
        }
        self.inner.root.reserve(more, None)?;
        Ok(more)
    }

    /// Changes keywords under the folder's lock, on top of what is on disk now.
    fn change_keywords(
        &self,
        snapshot: &mut Snapshot,
        indexes: &[usize],
        change: &Change,
        modified: &mut Vec<usize>,
    ) -> Result<()> {
        let inner = &*self.inner;
        let replace = change.action == Action::Replace;
        if replace && change.keywords.is_empty() {
            // FLAGS (\Seen) on messages that never had a keyword must not cost anything.
            let stamp = inner.dir.stamp_of(keyword_files::DIRECTORY)?;
            let none = indexes.iter().all(|index| {
                snapshot
                    .get(*index)
                    .is_none_or(|message| message.keyword_set().is_empty())
            });
            if none && stamp == snapshot.stamps.and_then(|stamps| stamps.keywords) {
                return Ok(());
            }
        }
        for _ in 0..FENCED {
            let lock = Lock::acquire(&inner.tmp, self.options())?;
            match self.change_keywords_under(&lock, snapshot, indexes, change, modified) {
                // Stopped for long, we have lost the lock to somebody who may have changed them.
                Err(error) if error.kind() == ErrorKind::Locked => {}
                done => return done,
            }
        }
        Err(Error::new(ErrorKind::Locked, "lock", inner.tmp.path()))
    }

    /// Tries once; `Locked` if the lock was lost meanwhile.
    fn change_keywords_under(
        &self,
        lock: &Lock<'_>,
        snapshot: &mut Snapshot,
        indexes: &[usize],
        change: &Change,
        modified: &mut Vec<usize>,
    ) -> Result<()> {
        let inner = &*self.inner;
        let on_disk = self.keywords_on_disk(snapshot)?;
        let named: Vec<u32> = change
            .keywords
            .iter()
            .map(|keyword| snapshot.table.keyword(keyword))
            .collect();
        let passed_over: BTreeSet<usize> = modified.iter().copied().collect();
        let mut changes: Vec<(usize, KeywordSet)> = Vec::new();
        let mut results: Vec<(usize, KeywordSet)> = Vec::new();
        for &index in indexes {
            let Some(message) = snapshot.get(index) else {
                continue;
            };
            if message.is_gone() || passed_over.contains(&index) {
                continue;
            }
            let old = on_disk.get(index).copied().unwrap_or_default();
            if change.unchanged_since.is_some() && old != message.keyword_set() {
                modified.push(index);
                continue;
            }
            let ids = match change.action {
                Action::Replace => named.clone(),
                Action::Add => {
                    let mut ids = snapshot.table.ids(old).to_vec();
                    ids.extend_from_slice(&named);
                    ids
                }
                Action::Remove => snapshot
                    .table
                    .ids(old)
                    .iter()
                    .copied()
                    .filter(|id| !named.contains(id))
                    .collect(),
            };
            let new = snapshot.table.set(ids);
            if new != old {
                changes.push((index, new));
            }
            results.push((index, new));
        }
        let updates: Vec<(&[u8], KeywordSet)> = changes
            .iter()
            .filter_map(|(index, set)| {
                let message = snapshot.get(*index)?;
                Some((filename::base(snapshot.name(message)), *set))
            })
            .collect();
        keyword_files::write(
            &inner.dir,
            &inner.tmp,
            self.options(),
            &snapshot.table,
            &updates,
            self.options().sync == Sync::Always,
            Some(lock),
        )?;
        // Not before: a further try compares with what the client has been told.
        for (index, new) in results {
            snapshot.set_keywords(index, new);
        }
        Ok(())
    }

    /// The keyword sets of all messages as they are on disk, without telling the snapshot: changes of others are
    /// reported by the next rescan.
    fn keywords_on_disk(&self, snapshot: &mut Snapshot) -> Result<Vec<KeywordSet>> {
        let inner = &*self.inner;
        let mut sets = vec![KeywordSet::EMPTY; snapshot.len()];
        let mut table = std::mem::take(&mut snapshot.table);
        let index = snapshot.index();
        let loaded = keyword_files::load(
            &inner.dir,
            &inner.tmp,
            self.options(),
            &keyword_files::Known {
                index: &index,
                complete: false,
                tidy: false,
                current: true,
                // On a network file system the time would cost a file: the directory is listed again instead.
                now: &|| (!inner.network).then(SystemTime::now),
                window: inner.window(),
                warn: &|error| self.warn(error),
            },
            &mut table,
            &mut sets,
        );
        drop(index);
        snapshot.table = table;
        loaded.map(|_| sets)
    }

    /// Removes the files of the messages at `indexes`, which the caller has found to be `\Deleted`. A message that
    /// somebody undeleted meanwhile is kept. Sequence numbers stay until the next rescan reports the expunges.
    ///
    /// # Errors
    /// The first failure; messages before it are gone.
    pub fn expunge(&self, snapshot: &mut Snapshot, indexes: &[usize]) -> Result<Outcome> {
        let inner = &*self.inner;
        self.attend(snapshot);
        let mut outcome = Outcome::default();
        let mut finder = Finder::default();
        let mut removed = false;
        for &index in indexes {
            let deleted = |snapshot: &Snapshot| {
                snapshot
                    .get(index)
                    .is_some_and(|message| message.flags().contains(Flags::DELETED))
            };
            match remove(inner, snapshot, index, &mut finder, deleted)? {
                Removal::Done => removed = true,
                Removal::Missing => outcome.missing.push(index),
                Removal::Kept => outcome.kept.push(index),
            }
        }
        self.note_if_touched(snapshot);
        if removed && self.options().sync == Sync::Always {
            inner.cur.sync()?;
        }
        Ok(outcome)
    }
}

/// What [`remove`] did.
pub(crate) enum Removal {
    Done,
    Missing,
    Kept,
}

/// Unlinks a message's file under whatever name it has now, if `wanted` still holds after a rename by others.
pub(crate) fn remove(
    inner: &Inner,
    snapshot: &mut Snapshot,
    index: usize,
    finder: &mut Finder,
    wanted: impl Fn(&Snapshot) -> bool,
) -> Result<Removal> {
    let mut located = true;
    for _ in 0..CHASES {
        let Some(message) = snapshot.get(index).copied() else {
            return Ok(Removal::Missing);
        };
        if message.is_gone() {
            return Ok(Removal::Missing);
        }
        if message.is_unlocated() || !located {
            finder.forget_if(!located);
            if !finder.locate(inner, snapshot, index)? {
                return Ok(Removal::Missing);
            }
        }
        let Some(message) = snapshot.get(index).copied() else {
            return Ok(Removal::Missing);
        };
        if !wanted(snapshot) {
            return Ok(Removal::Kept);
        }
        let dir = inner.place(&message);
        match dir.unlink(snapshot.name(&message)) {
            Ok(()) => {
                snapshot.mark_gone(index);
                return Ok(Removal::Done);
            }
            Err(Errno::ENOENT) => located = false,
            Err(errno) => return Err(dir.error("unlink", snapshot.name(&message), errno)),
        }
    }
    Err(Error::io("unlink", inner.cur.path(), Errno::EAGAIN))
}

/// What [`change_flags`] did.
enum Renaming {
    Done,
    Needless,
    Missing,
    /// Others have changed the flags, which the change does not want.
    Modified,
}

/// Renames one message for its new flags.
fn change_flags(
    inner: &Inner,
    snapshot: &mut Snapshot,
    index: usize,
    change: &Change,
    finder: &mut Finder,
    counted: &mut Amount,
) -> Result<Renaming> {
    let mut located = true;
    let shown = snapshot.get(index).map(Message::flags);
    for _ in 0..CHASES {
        let Some(message) = snapshot.get(index).copied() else {
            return Ok(Renaming::Missing);
        };
        if message.is_gone() {
            return Ok(Renaming::Missing);
        }
        if message.is_unlocated() || !located {
            finder.forget_if(!located);
            if !finder.locate(inner, snapshot, index)? {
                return Ok(Renaming::Missing);
            }
        }
        let Some(message) = snapshot.get(index).copied() else {
            return Ok(Renaming::Missing);
        };
        let strict = change.unchanged_since.is_some();
        if strict && Some(message.flags()) != shown {
            return Ok(Renaming::Modified);
        }
        let old = snapshot.name(&message).to_vec();
        let flags = change.apply(filename::flags(&old));
        if flags == filename::flags(&old) {
            // Somebody may have renamed it since it was looked at: then the change is needed after all.
            let place = inner.place(&message);
            place.look_again(&old);
            if place.stat(&old)?.is_none() {
                located = false;
                continue;
            }
            return Ok(Renaming::Needless);
        }
        let new = filename::with_flags(&old, flags);
        let dir = inner.place(&message);
        let counts = |flags| quota::counts(&inner.name, flags);
        let (did, does) = (counts(filename::flags(&old)), counts(flags));
        match dir.rename_message(&old, &inner.cur, &new) {
            Ok(()) => {
                match (did, does) {
                    (true, false) => counted.subtract(quota::size_of(&inner.cur, &new)),
                    (false, true) => counted.add(quota::size_of(&inner.cur, &new)),
                    _ => {}
                }
                snapshot.renamed(index, &new);
                return Ok(Renaming::Done);
            }
            Err(Errno::ENOENT) => located = false,
            Err(Errno::EEXIST) => {
                // A second name of this very file, as an interrupted rename on a network file system leaves it.
                let inode = |dir: &super::files::Dir, name: &[u8]| -> Result<Option<(u64, u64)>> {
                    Ok(dir.stat(name)?.map(|stat| (stat.st_dev, stat.st_ino)))
                };
                if inode(dir, &old)? != inode(&inner.cur, &new)? {
                    return Err(Error::io("rename", &inner.cur.path_of(&new), Errno::EEXIST));
                }
                dir.remove(&old)?;
                snapshot.renamed(index, &new);
                return Ok(Renaming::Done);
            }
            Err(errno) => return Err(inner.cur.error("rename", &new, errno)),
        }
    }
    Err(Error::io("rename", inner.cur.path(), Errno::EAGAIN))
}
