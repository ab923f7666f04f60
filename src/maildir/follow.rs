//! Bringing a view up to date from what its witness saw, without listing `cur`: the names that came or went are looked
//! at one by one, `new` is listed, the end of the UID database and the keywords are read if they changed
//! (architecture 4.1). Whatever is not plain is left to a listing.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;

use nix::sys::stat::SFlag;

use super::arrive::BASE_MAX;
use super::error::{ErrorKind, Result};
use super::filename;
use super::files::Stamp;
use super::folder::{Folder, Mode};
use super::keywords::KeywordSet;
use super::lock::Lock;
use super::snapshot::{Diff, Expunged, FolderStamps, Message, Snapshot};
use super::uiddb::{Tail, UidDb};
use crate::sys::dir::Kind;
use crate::sys::log::{Level, log};

/// Looks at names that keep changing before they are left to a listing.
const LOOKS: u32 = 5;

/// A file in `cur` now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    name: Vec<u8>,
    inode: u64,
}

/// What came or went below one base name.
#[derive(Default)]
struct Touched {
    /// Names that are not there now.
    absent: Vec<Vec<u8>>,
    present: Vec<Place>,
}

/// A message that the view does not have.
struct Arrival {
    uid: u32,
    place: Place,
    recent: bool,
}

/// The folder's stamps, and below each base name that something happened to its files in `cur`.
type Look = (FolderStamps, BTreeMap<Vec<u8>, Touched>);

/// What is different, worked out before anything of the view is touched.
#[derive(Default)]
struct Changes {
    expunged: BTreeSet<usize>,
    renamed: Vec<(usize, Place)>,
    arrivals: Vec<Arrival>,
    /// Entries of the UID database without a message.
    surplus: bool,
}

impl Folder {
    /// Brings the view up to date; `None`, and the view is as it was, if the folder must be listed for that.
    ///
    /// # Errors
    /// What would make a listing fail as well.
    pub(crate) fn follow(&self, view: &mut Snapshot) -> Result<Option<Diff>> {
        let followed = self.try_to_follow(view);
        if !matches!(followed, Ok(Some(_))) && std::mem::take(&mut view.attended) {
            // What the witness saw has been taken from it, and without it the stamps prove nothing.
            view.settled = false;
        }
        followed
    }

    fn try_to_follow(&self, view: &mut Snapshot) -> Result<Option<Diff>> {
        let Some((mut now, touched)) = self.look(view)? else {
            return Ok(None);
        };
        let Some(before) = view.stamps else {
            return Ok(None);
        };
        let mut uid_next = view.uid_next;
        let mut numbered = Vec::new();
        if now.db != before.db {
            let Some(tail) = self.numbered_since(view, &before)? else {
                return Ok(None);
            };
            uid_next = tail.uid_next;
            now.db = Some(tail.stamp);
            numbered = tail.entries;
        }
        let Some(mut changes) = compare(view, touched, numbered) else {
            return Ok(None);
        };
        if now.new != before.new {
            match self.take_in(view, &mut now, uid_next, &mut changes)? {
                Some(next) => uid_next = next,
                None => return Ok(None),
            }
        }
        view.uid_next = uid_next;
        view.stamps = Some(now);
        view.indexed = false;
        view.surplus |= changes.surplus;
        Ok(Some(self.apply(
            view,
            changes,
            before.keywords != now.keywords,
        )))
    }

    /// What the names that came or went lead to now.
    fn look(&self, view: &Snapshot) -> Result<Option<Look>> {
        let Some(witness) = view.witness.as_ref().filter(|_| view.attended) else {
            return Ok(None);
        };
        let cur = &self.inner.cur;
        let mut names = BTreeSet::new();
        for _ in 0..LOOKS {
            let stamps = self.stamps()?;
            let Some(mut seen) = witness.take() else {
                return Ok(None);
            };
            names.append(&mut seen);
            let mut touched: BTreeMap<Vec<u8>, Touched> = BTreeMap::new();
            for name in names.iter().filter(|name| !name.starts_with(b".")) {
                let below = touched.entry(filename::base(name).to_vec()).or_default();
                let file = cur.stat(name)?.filter(|stat| {
                    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
                    kind == SFlag::S_IFREG || kind == SFlag::S_IFLNK
                });
                match file {
                    Some(stat) => below.present.push(Place {
                        name: name.clone(),
                        inode: stat.st_ino,
                    }),
                    None => below.absent.push(name.clone()),
                }
            }
            // All of this was so at one moment only if nothing happened meanwhile.
            if !witness.has_seen() {
                return Ok(Some((stamps, touched)));
            }
        }
        Ok(None)
    }

    /// What was added to the UID database since the view was read; `None` if it was not only added to.
    fn numbered_since(&self, view: &Snapshot, before: &FolderStamps) -> Result<Option<Tail>> {
        let (Some(stamp), Some(pinned)) = (before.db, &view.pinned) else {
            return Ok(None);
        };
        let Ok(pinned) = pinned.metadata() else {
            return Ok(None);
        };
        let tail = UidDb::read_since(&self.inner.dir, &stamp, view.uid_next)?;
        Ok(tail.filter(|tail| {
            tail.uid_validity == view.uid_validity && tail.stamp.is_file(pinned.dev(), pinned.ino())
        }))
    }

    /// Numbers what is in `new` and moves it on; the next UID.
    fn take_in(
        &self,
        view: &Snapshot,
        now: &mut FolderStamps,
        uid_next: u32,
        changes: &mut Changes,
    ) -> Result<Option<u32>> {
        let inner = &self.inner;
        if view.read_only {
            return Ok(None);
        }
        let mut plain = true;
        let mut files: Vec<Place> = Vec::new();
        inner.new.list(|entry| {
            if !entry.name.starts_with(b".") {
                let base = filename::base(entry.name);
                plain &=
                    entry.kind == Kind::File && filename::storable(base) && base.len() <= BASE_MAX;
                files.push(Place {
                    name: entry.name.to_vec(),
                    inode: entry.inode,
                });
            }
        })?;
        let quiet = inner
            .now()
            .is_some_and(|time| !now.new.is_racy(time, inner.window()));
        if files.is_empty() {
            if !quiet {
                now.new = Stamp::NEVER;
            }
            return Ok(plain.then_some(uid_next));
        }
        files.sort_unstable_by(|a, b| filename::order(&a.name, &b.name));
        let bases: BTreeSet<&[u8]> = files
            .iter()
            .map(|file| filename::base(&file.name))
            .collect();
        let arrivals = changes.arrivals.iter();
        let asked: Vec<&[u8]> = bases.iter().copied().collect();
        let known = view.positions(&asked).iter().any(Option::is_some)
            || arrivals
                .into_iter()
                .any(|arrival| bases.contains(filename::base(&arrival.place.name)));
        if !plain || known || bases.len() < files.len() || view.surplus || changes.surplus {
            return Ok(None);
        }
        let lock = match Lock::acquire(&inner.tmp, self.options()) {
            Ok(lock) => lock,
            // To wait once is enough.
            Err(error) if error.kind() == ErrorKind::Locked => return Err(error),
            Err(_) => return Ok(None),
        };
        let Some(mut db) = UidDb::read_tail(&inner.dir)? else {
            return Ok(None);
        };
        if db.stamp() != now.db || db.uid_validity != view.uid_validity || db.uid_next != uid_next {
            return Ok(None);
        }
        for file in &files {
            let Ok(uid) = db.assign(filename::base(&file.name), &inner.dir) else {
                return Ok(None);
            };
            changes.arrivals.push(Arrival {
                uid,
                place: file.clone(),
                recent: true,
            });
        }
        // What cannot be done this way is done, or told, the long way.
        match db.extend(files.len(), &inner.dir, &inner.tmp, &lock, self.options()) {
            Ok(true) => {}
            Ok(false) | Err(_) => return Ok(None),
        }
        now.db = db.stamp();
        let first = changes.arrivals.len().saturating_sub(files.len());
        for arrival in changes.arrivals.iter_mut().skip(first) {
            let mut name = arrival.place.name.clone();
            if memchr::memchr(b':', &name).is_none() {
                name.extend_from_slice(b":2,");
            }
            if let Err(errno) = inner
                .new
                .rename_message(&arrival.place.name, &inner.cur, &name)
            {
                log(
                    Level::Debug,
                    format_args!("{}: {}", inner.new.path().display(), errno.desc()),
                );
                return Ok(None);
            }
            arrival.place.name = name;
        }
        now.new = Stamp::NEVER;
        Ok(Some(db.uid_next))
    }

    fn apply(&self, view: &mut Snapshot, mut changes: Changes, keywords: bool) -> Diff {
        let in_use: Vec<Vec<u8>> = view
            .keywords_in_use()
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect();
        let mut diff = Diff::default();
        let mut changed: BTreeSet<u32> = BTreeSet::new();
        for (index, place) in changes.renamed {
            let Some(message) = view.get(index).copied() else {
                continue;
            };
            if view.name(&message) != place.name.as_slice() {
                view.renamed(index, &place.name);
            }
            if let Some(new) = view.messages.get_mut(index) {
                new.set_inode(place.inode);
                if new.flags() != message.flags() {
                    changed.insert(new.uid());
                }
            }
        }
        for message in &mut view.messages {
            if message.has_news() {
                message.clear_news();
                changed.insert(message.uid());
            }
        }
        for (before, index) in changes.expunged.iter().enumerate() {
            if let Some(message) = view.get(*index) {
                changed.remove(&message.uid());
                diff.expunged.push(Expunged {
                    sequence: index + 1 - before,
                    uid: message.uid(),
                });
            }
        }
        view.take_out(&changes.expunged);
        changes.arrivals.sort_unstable_by_key(|arrival| arrival.uid);
        for arrival in &changes.arrivals {
            let mut message = Message::new(arrival.uid, filename::flags(&arrival.place.name));
            message.set_inode(arrival.place.inode);
            message.set_recent(arrival.recent);
            view.push(message, &arrival.place.name);
            view.highest = view.highest.max(arrival.uid);
        }
        diff.added = changes.arrivals.len();
        if keywords {
            let old: Vec<KeywordSet> = view.messages().iter().map(Message::keyword_set).collect();
            let mode = match view.read_only {
                true => Mode::ReadOnly,
                false => Mode::ReadWrite,
            };
            // Not complete: `new` may hold more, and what has keywords there must keep them.
            let stamp = match self.load_keywords(view, mode, false) {
                Ok(loaded) => loaded.map(|loaded| match loaded.settled {
                    true => loaded.stamp,
                    false => Stamp::NEVER,
                }),
                Err(error) => {
                    // The rest must be told all the same; the next look tries again.
                    self.warn(&error);
                    Some(Stamp::NEVER)
                }
            };
            let shown = view.len().saturating_sub(diff.added);
            for (message, old) in view.messages().iter().zip(old).take(shown) {
                if message.keyword_set() != old {
                    changed.insert(message.uid());
                }
            }
            if let Some(stamps) = &mut view.stamps {
                stamps.keywords = stamp;
            }
        }
        diff.changed = changed
            .into_iter()
            .filter_map(|uid| view.index_of_uid(uid))
            .collect();
        let unchanged = in_use.iter().map(Vec::as_slice).eq(view.keywords_in_use());
        diff.keywords_changed = !unchanged;
        let unsettled = view.stamps.is_some_and(|stamps| {
            stamps.new == Stamp::NEVER || stamps.keywords == Some(Stamp::NEVER)
        });
        if unsettled {
            diff.again = Some(self.inner.window());
        }
        diff
    }
}

/// Compares the touched names with the view; `None` if that leaves a question open. `numbered` is what the UID database
/// got since.
fn compare(
    view: &Snapshot,
    mut touched: BTreeMap<Vec<u8>, Touched>,
    numbered: Vec<(u32, Vec<u8>)>,
) -> Option<Changes> {
    let mut changes = Changes::default();
    let bases: Vec<Vec<u8>> = touched.keys().cloned().collect();
    let asked: Vec<&[u8]> = bases.iter().map(Vec::as_slice).collect();
    let mut known: BTreeMap<usize, Touched> = BTreeMap::new();
    for (base, index) in bases.iter().zip(view.positions(&asked)) {
        let below = index.and_then(|index| Some((index, touched.remove(base)?)));
        known.extend(below);
    }
    for (index, message) in view.messages().iter().enumerate() {
        let Some(mut below) = known.remove(&index) else {
            // Gone without anybody having seen it go: only missed, perhaps.
            if message.is_gone() || message.is_unlocated() {
                return None;
            }
            continue;
        };
        let name = view.name(message);
        let here = below.present.iter().any(|place| place.name == name);
        if !here && !below.absent.iter().any(|absent| absent == name) {
            // Nothing happened to the file itself.
            below.present.push(Place {
                name: name.to_vec(),
                inode: 0,
            });
        }
        match (below.present.pop(), below.present.is_empty()) {
            // Not where a listing would have shown it.
            _ if message.is_in_new() || message.is_unlocated() => return None,
            (None, _) => {
                changes.expunged.insert(index);
            }
            (Some(place), true) if !message.is_gone() => {
                if place.inode != 0 {
                    changes.renamed.push((index, place));
                }
            }
            // Two names, or back under the old one.
            _ => return None,
        }
    }
    touched.retain(|_, below| !below.present.is_empty());
    changes.surplus = !changes.expunged.is_empty();
    for (uid, base) in numbered {
        match touched.remove(&base) {
            Some(mut below) => match (below.present.pop(), below.present.is_empty()) {
                (Some(place), true) => changes.arrivals.push(Arrival {
                    uid,
                    place,
                    recent: false,
                }),
                _ => return None,
            },
            // Numbered, but not here (yet, or any more).
            None => changes.surplus = true,
        }
    }
    // What is left has no UID.
    touched.is_empty().then_some(changes)
}

#[cfg(test)]
mod tests;
