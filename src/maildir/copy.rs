//! COPY and MOVE (architecture 4.3): within one file system a copy is a hard link if the file is what a fresh one
//! would be, as far as anybody can tell: in a directory that only its owner may enter, what a file grants to others
//! means nothing (deliverers make 0600, a session with the usual umask 0644). Otherwise the bytes are copied. MOVE copies, then unlinks; nothing is ever overwritten.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, fstat, futimens};
use nix::sys::time::TimeSpec;

use super::append::{Filed, Item, Source, file_messages};
use super::change::{Removal, remove};
use super::error::{Error, ErrorKind, Result};
use super::filename::{self, TmpName};
use super::files::Dir;
use super::flags::Flags;
use super::folder::{CHASES, Finder, Folder};
use super::keywords::KeywordSet;
use super::options::Sync;
use super::quota::{self, Amount};
use super::snapshot::Snapshot;

/// Up to so many files are synced one by one.
const SYNC_EACH: usize = 32;

/// The result of a copy, for `COPYUID`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copied {
    /// UIDVALIDITY of the destination; 0 if nothing was copied.
    pub uid_validity: u32,
    /// (UID here, UID there) of each message, in the order of `indexes`.
    pub uids: Vec<(u32, u32)>,
    /// After [`Folder::discard_to`] the file name of each copy, in the same order: for the log.
    pub names: Vec<Vec<u8>>,
    /// Indexes whose file is gone; they were passed over.
    pub missing: Vec<usize>,
}

/// What of a message goes along with a copy, by the rights on the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Flags that are kept.
    pub flags: Flags,
    /// Whether keywords are kept.
    pub keywords: bool,
}

impl Keep {
    /// Everything.
    pub const ALL: Self = Self {
        flags: Flags::ALL,
        keywords: true,
    };
}

/// Messages ready to be filed: found, and if need be copied to the destination's `tmp`. There may be very many.
#[derive(Default)]
struct Prepared {
    messages: Vec<One>,
    /// Base names that the copies get, one after another.
    bases: Vec<u8>,
}

struct One {
    index: usize,
    uid: u32,
    /// Where its base name ends in the bases.
    base_end: usize,
    flags: Flags,
    /// Flags that it has where it comes from.
    old_flags: Flags,
    keywords: KeywordSet,
    /// The copy's name in `tmp`; `None` if the file itself will be linked, under the name that the view has.
    tmp: Option<Box<[u8]>>,
}

impl Prepared {
    /// The messages with their base names.
    fn iter(&self) -> impl Iterator<Item = (&One, &[u8])> {
        let mut start = 0;
        self.messages.iter().map(move |one| {
            let base = self.bases.get(start..one.base_end).unwrap_or_default();
            start = one.base_end;
            (one, base)
        })
    }

    /// Removes the names in `tmp`, which have served or are of no use.
    fn clear(&self, tmp: &Dir) {
        for name in self.messages.iter().filter_map(|one| one.tmp.as_deref()) {
            // Not removed now, it is purged after 36 hours.
            let _ = tmp.remove(name);
        }
    }
}

/// What a copy means for the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charge {
    /// It must fit.
    Copy,
    /// It must fit; what leaves here makes room.
    Move,
    /// It is let in whatever the limit: to throw something away must never fail for lack of room.
    Discard,
}

/// What a fresh message file of a folder looks like.
#[derive(Debug, Clone, Copy)]
struct Fresh {
    look: Look,
    /// Only the owner of that file can get at what is in the folder.
    private: bool,
}

impl Fresh {
    /// True if a link to the file that looks like this serves as a fresh file would.
    fn is_like(&self, file: &Look) -> bool {
        const OTHERS: u32 = 0o077;
        let ignored = if self.private { OTHERS } else { 0 };
        let plain = |look: &Look| Look {
            mode: look.mode & !ignored,
            ..*look
        };
        plain(&self.look) == plain(file)
    }
}

/// Type, mode, owner and group of a message file, and its device.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Look {
    device: u64,
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Look {
    fn of(stat: &FileStat) -> Self {
        Self {
            device: stat.st_dev,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode,
        }
    }
}

impl Folder {
    /// Copies the messages at `indexes` to `to`, all or none but for those whose file is gone, with flags,
    /// keywords and internal date. Durable when this returns. `to` may be this folder.
    ///
    /// # Errors
    /// `OverQuota`, `NoSpace`, `Locked`, `Denied`, `Io`; nothing was copied then.
    pub fn copy(
        &self,
        snapshot: &mut Snapshot,
        indexes: &[usize],
        to: &Self,
        keep: Keep,
    ) -> Result<Copied> {
        self.copy_charged(snapshot, indexes, to, keep, Charge::Copy)
    }

    fn copy_charged(
        &self,
        snapshot: &mut Snapshot,
        indexes: &[usize],
        to: &Self,
        keep: Keep,
        charge: Charge,
    ) -> Result<Copied> {
        let mut copied = Copied::default();
        let mut uids: HashMap<usize, (u32, u32)> = HashMap::with_capacity(indexes.len());
        let mut names: HashMap<usize, Vec<u8>> = HashMap::new();
        let mut rest = indexes.to_vec();
        let mut by_link = true;
        // More than one round only for files that are renamed by others while this runs.
        for _ in 0..CHASES {
            if rest.is_empty() {
                break;
            }
            let prepared = self.prepare(snapshot, &rest, to, keep, by_link, &mut copied.missing)?;
            let filed = self.file_charged(snapshot, &prepared, to, charge);
            prepared.clear(&to.inner.tmp);
            let filed = match filed {
                Err(error) if by_link && is_no_link(&error) => {
                    by_link = false;
                    continue;
                }
                other => other?,
            };
            copied.uid_validity = filed.uid_validity;
            rest.clear();
            for ((one, base), uid) in prepared.iter().zip(filed.uids) {
                match uid {
                    Some(uid) => {
                        uids.insert(one.index, (one.uid, uid));
                        if charge == Charge::Discard {
                            names.insert(one.index, filename::of_message(base, one.flags));
                        }
                    }
                    None => rest.push(one.index),
                }
            }
        }
        copied.missing.extend_from_slice(&rest);
        // In the order asked for, whichever round filed them.
        let filed = indexes.iter().filter_map(|index| uids.remove(index));
        copied.uids = filed.collect();
        let named = indexes.iter().filter_map(|index| names.remove(index));
        copied.names = named.collect();
        Ok(copied)
    }

    /// Moves the messages at `indexes` to `to`: a copy, durable there, then the removal here. Sequence numbers stay
    /// until the next rescan reports the expunges.
    ///
    /// # Errors
    /// As [`Self::copy`]. If a removal fails the messages are in both places.
    pub fn move_to(
        &self,
        snapshot: &mut Snapshot,
        indexes: &[usize],
        to: &Self,
        keep: Keep,
    ) -> Result<Copied> {
        self.move_charged(snapshot, indexes, to, keep, Charge::Move)
    }

    /// As [`Self::move_to`], to a folder for what is thrown away: a quota does not forbid it.
    ///
    /// # Errors
    /// As [`Self::move_to`].
    pub fn discard_to(
        &self,
        snapshot: &mut Snapshot,
        indexes: &[usize],
        to: &Self,
        keep: Keep,
    ) -> Result<Copied> {
        self.move_charged(snapshot, indexes, to, keep, Charge::Discard)
    }

    fn move_charged(
        &self,
        snapshot: &mut Snapshot,
        indexes: &[usize],
        to: &Self,
        keep: Keep,
        charge: Charge,
    ) -> Result<Copied> {
        self.attend(snapshot);
        let copied = self.copy_charged(snapshot, indexes, to, keep, charge)?;
        let mut finder = Finder::default();
        let same_account = Arc::ptr_eq(&self.inner.root, &to.inner.root);
        let mut left = Amount::default();
        let mut removed = Ok(());
        for (uid, _) in &copied.uids {
            let Some(index) = snapshot.index_of_uid(*uid) else {
                continue;
            };
            let counted = snapshot
                .get(index)
                .filter(|message| !same_account && quota::counts(self.name(), message.flags()));
            let size = counted
                .map(|message| quota::size_of(self.inner.place(message), snapshot.name(message)));
            match remove(&self.inner, snapshot, index, &mut finder, |_| true) {
                Ok(Removal::Done) => {
                    if let Some(size) = size {
                        left.subtract(size);
                    }
                }
                Ok(Removal::Missing | Removal::Kept) => {}
                Err(error) => {
                    removed = Err(error);
                    break;
                }
            }
        }
        self.inner.root.settle(left);
        removed?;
        if self.options().sync != Sync::Never && !copied.uids.is_empty() {
            self.inner.cur.sync()?;
        }
        Ok(copied)
    }

    /// Finds each message, makes sure its bytes are on disk, and copies them where a link will not do.
    fn prepare(
        &self,
        snapshot: &mut Snapshot,
        indexes: &[usize],
        to: &Self,
        keep: Keep,
        by_link: bool,
        missing: &mut Vec<usize>,
    ) -> Result<Prepared> {
        let mut prepared = Prepared::default();
        prepared.messages.reserve_exact(indexes.len());
        let result = to.fresh_look().and_then(|look| {
            let look = by_link.then_some(look);
            let unique = TmpName::new("", &to.options().host);
            for &index in indexes {
                match self.prepare_one(snapshot, index, to, keep, look, &unique) {
                    Ok((mut one, base)) => {
                        prepared.bases.extend_from_slice(&base);
                        one.base_end = prepared.bases.len();
                        prepared.messages.push(one);
                    }
                    Err(error) if error.kind() == ErrorKind::Gone => missing.push(index),
                    Err(error) => return Err(error),
                }
            }
            match to.options().sync {
                Sync::Never => Ok(()),
                _ => self.sync_links(snapshot, &prepared),
            }
        });
        match result {
            Ok(()) => Ok(prepared),
            Err(error) => {
                prepared.clear(&to.inner.tmp);
                Err(error)
            }
        }
    }

    fn prepare_one(
        &self,
        snapshot: &mut Snapshot,
        index: usize,
        to: &Self,
        keep: Keep,
        link_if: Option<Fresh>,
        unique: &TmpName,
    ) -> Result<(One, Vec<u8>)> {
        let gone = || Error::new(ErrorKind::Gone, "copy", self.inner.cur.path());
        let message = *snapshot.get(index).ok_or_else(gone)?;
        let name = snapshot.name(&message);
        // What the name says is a regular file like a fresh one: no need to open it.
        let alike = match link_if {
            Some(fresh) if !message.is_gone() && !message.is_unlocated() => self
                .inner
                .place(&message)
                .stat(name)?
                .filter(|stat| fresh.is_like(&Look::of(stat))),
            _ => None,
        };
        let (message, base, tmp) = match alike {
            Some(stat) => {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                let base = unique.another().message(stat.st_dev, stat.st_ino, size);
                (message, base, None)
            }
            None => {
                let opened = self.open_message(snapshot, index)?;
                let message = *snapshot.get(index).ok_or_else(gone)?;
                if let Some(fresh) = link_if {
                    // Found under another name: look at that one.
                    let renamed = self.inner.place(&message).stat(snapshot.name(&message))?;
                    if renamed.is_some_and(|stat| fresh.is_like(&Look::of(&stat))) {
                        return self.prepare_one(snapshot, index, to, keep, link_if, unique);
                    }
                }
                let (base, tmp) = to.copy_bytes(opened.file)?;
                (message, base, Some(tmp.into()))
            }
        };
        let one = One {
            index,
            uid: message.uid(),
            base_end: 0,
            flags: message.flags() & keep.flags,
            old_flags: message.flags(),
            keywords: if keep.keywords {
                message.keyword_set()
            } else {
                KeywordSet::EMPTY
            },
            tmp,
        };
        Ok((one, base))
    }

    /// Makes the bytes of files that will be linked durable: whoever delivered them may not have waited for the
    /// disk. Many of them by one sync of the file system, which costs less than a sync of each.
    fn sync_links(&self, snapshot: &Snapshot, prepared: &Prepared) -> Result<()> {
        let links = || {
            let links = prepared.messages.iter().filter(|one| one.tmp.is_none());
            links.filter_map(|one| snapshot.get(one.index))
        };
        if links().count() > SYNC_EACH {
            return nix::unistd::syncfs(&self.inner.cur)
                .map_err(|errno| Error::io("syncfs", self.inner.cur.path(), errno));
        }
        for message in links() {
            let (dir, name) = (self.inner.place(message), snapshot.name(message));
            // One that vanished meanwhile is found or missed when it is linked.
            if let Some((file, _)) = dir.open_file(name)? {
                nix::unistd::fsync(&file).map_err(|errno| dir.error("fsync", name, errno))?;
            }
        }
        Ok(())
    }

    /// Copies a message's bytes into this folder's `tmp`: its base name and its name there.
    fn copy_bytes(&self, mut source: File) -> Result<(Vec<u8>, Vec<u8>)> {
        let tmp = &self.inner.tmp;
        let (unique, mut file) = tmp.create_unique("", &self.options().host, 0o666)?;
        let name = unique.tmp();
        let path = tmp.path_of(&name);
        let result = (|| {
            let stat = fstat(&source).map_err(|errno| Error::io("stat", &path, errno))?;
            std::io::copy(&mut source, &mut file)
                .map_err(|error| Error::std("copy", &path, &error))?;
            let date = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
            futimens(&file, &TimeSpec::UTIME_NOW, &date)
                .map_err(|errno| Error::io("utimens", &path, errno))?;
            if self.options().sync != Sync::Never {
                nix::unistd::fsync(&file).map_err(|errno| Error::io("fsync", &path, errno))?;
            }
            fstat(&file).map_err(|errno| Error::io("stat", &path, errno))
        })();
        match result {
            Ok(stat) => {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                Ok((unique.message(stat.st_dev, stat.st_ino, size), name))
            }
            Err(error) => {
                // The failure itself is reported.
                let _ = tmp.remove(&name);
                Err(error)
            }
        }
    }

    /// What a fresh message file of this folder looks like, by making one.
    fn fresh_look(&self) -> Result<Fresh> {
        let tmp = &self.inner.tmp;
        let (unique, file) = tmp.create_unique("", &self.options().host, 0o666)?;
        let stat =
            fstat(&file).map_err(|errno| Error::io("stat", &tmp.path_of(&unique.tmp()), errno));
        tmp.remove(&unique.tmp())?;
        let look = Look::of(&stat?);
        let cur = &self.inner.cur;
        let dir = fstat(cur).map_err(|errno| Error::io("stat", cur.path(), errno))?;
        Ok(Fresh {
            look,
            private: dir.st_uid == look.uid && dir.st_mode & 0o077 == 0,
        })
    }

    /// As [`Self::file_prepared`], with the quota of the account that gets the messages.
    fn file_charged(
        &self,
        snapshot: &Snapshot,
        prepared: &Prepared,
        to: &Self,
        charge: Charge,
    ) -> Result<Filed> {
        let root = &to.inner.root;
        let same_account = Arc::ptr_eq(&self.inner.root, root);
        let mut amounts = Vec::with_capacity(prepared.messages.len());
        let mut sum = Amount::default();
        for (one, base) in prepared.iter() {
            let size = filename::stored_size(base).unwrap_or(0);
            let mut amount = Amount::default();
            if quota::counts(to.name(), one.flags) {
                amount.add(size);
            }
            // In another account it is given back once it has left; see `move_charged`.
            if charge != Charge::Copy && same_account && quota::counts(self.name(), one.old_flags) {
                amount.subtract(size);
            }
            sum = sum.plus(amount);
            amounts.push(amount);
        }
        if charge == Charge::Discard || (sum.bytes <= 0 && sum.messages <= 0) {
            root.settle(sum);
        } else {
            root.reserve(sum, None)?;
        }
        let filed = self.file_prepared(snapshot, prepared, to);
        let mut back = Amount::default();
        for (index, amount) in amounts.into_iter().enumerate() {
            let stored = filed
                .as_ref()
                .is_ok_and(|filed| filed.uids.get(index).is_some_and(Option::is_some));
            if !stored {
                back = back.less(amount);
            }
        }
        root.settle(back);
        filed
    }

    fn file_prepared(&self, snapshot: &Snapshot, prepared: &Prepared, to: &Self) -> Result<Filed> {
        if prepared.messages.is_empty() {
            return Ok(Filed {
                uid_validity: 0,
                uids: Vec::new(),
            });
        }
        let mut items: Vec<Item<'_>> = Vec::with_capacity(prepared.messages.len());
        items.extend(prepared.iter().map(|(one, base)| {
            let source = match (&one.tmp, snapshot.get(one.index)) {
                (Some(name), _) => Source::Tmp(name),
                (None, Some(message)) => Source::Link {
                    inner: &self.inner,
                    in_new: message.is_in_new(),
                    name: snapshot.name(message),
                },
                // Not there to be linked.
                (None, None) => Source::Tmp(b""),
            };
            Item {
                source,
                base,
                flags: one.flags,
                keywords: one.keywords,
            }
        }));
        file_messages(&to.inner, &snapshot.table, &items)
    }
}

/// True for errors that mean: no hard link here, copy the bytes.
fn is_no_link(error: &Error) -> bool {
    matches!(
        error.errno(),
        Some(
            Errno::EXDEV
                | Errno::EPERM
                | Errno::EMLINK
                | Errno::EOPNOTSUPP
                | Errno::ENOSYS
                | Errno::EACCES
        )
    )
}

#[cfg(test)]
mod tests;
