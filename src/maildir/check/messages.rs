//! `cur`, `new` and `tmp`: what is in there that is no message, and messages that something is wrong with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::stat::FileStat;

use super::{Checker, Level, Place, below, is, kind_of, need, shown};
use crate::maildir::error::{Error, Result};
use crate::maildir::filename;
use crate::maildir::files::Dir;
use crate::maildir::flags::Flags;
use crate::maildir::lock::Lock;

/// Age at which a file in `tmp` is a leftover.
const TMP_AGE: Duration = Duration::from_secs(36 * 3600);
/// Files between two signs of life.
const STEP: u64 = 500;

/// What the quota counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) octets: u64,
    pub(super) messages: u64,
}

/// The messages of a folder, sorted by base name.
pub(super) struct Found {
    names: Vec<Name>,
}

struct Name {
    name: Vec<u8>,
    in_new: bool,
}

impl Name {
    fn base(&self) -> &[u8] {
        filename::base(&self.name)
    }

    fn path(&self) -> Vec<u8> {
        below(if self.in_new { b"new" } else { b"cur" }, &self.name)
    }
}

impl Found {
    /// True if a message has this base name.
    pub(super) fn has_base(&self, base: &[u8]) -> bool {
        self.names
            .binary_search_by(|name| name.base().cmp(base))
            .is_ok()
    }
}

/// Findings that one line tells for any number of files.
#[derive(Default)]
struct Tally {
    count: u64,
    first: Vec<u8>,
}

impl Tally {
    fn add(&mut self, name: &Name) {
        if self.count == 0 {
            self.first = name.path();
        }
        self.count += 1;
    }

    /// `3 messages, one of them NAME`, or the name alone.
    fn text(&self, what: &str) -> String {
        match self.count {
            1 => what.to_owned(),
            count => format!("{what}; {} more like it", count - 1),
        }
    }
}

#[derive(Default)]
struct Tallies {
    owner: Tally,
    size: Tally,
    empty: Tally,
    odd: Tally,
    mode: Vec<(Name, u32)>,
}

impl Checker<'_> {
    /// Looks at every file. `None` if a directory could not be listed: then nothing can be said of what is missing.
    pub(super) fn messages(&mut self, place: &Place, link: bool) -> Option<Found> {
        self.leftovers(place);
        let mut found = Found { names: Vec::new() };
        let mut tallies = Tallies::default();
        let counted = !link && place.name.as_bytes() != b"Trash";
        let mut whole = true;
        for (dir, in_new) in [(&place.new, true), (&place.cur, false)] {
            let Some(dir) = dir else {
                whole = false;
                continue;
            };
            let mut names = Vec::new();
            let listed = dir.list(|entry| {
                if !entry.name.starts_with(b".") {
                    names.push(entry.name.to_vec());
                }
            });
            if let Err(error) = listed {
                let part: &[u8] = if in_new { b"new" } else { b"cur" };
                self.problem(&place.name, part, "unreadable", &error.to_string());
                whole = false;
            }
            for name in names {
                self.summary.files += 1;
                if self.summary.files % STEP == 0 {
                    self.observer.progress(&place.name, self.summary.files);
                }
                let name = Name { name, in_new };
                let stat = match dir.stat(&name.name) {
                    Ok(Some(stat)) => stat,
                    // Renamed or removed since.
                    Ok(None) => continue,
                    Err(error) => {
                        let text = error.to_string();
                        self.problem(&place.name, &name.path(), "unreadable", &text);
                        continue;
                    }
                };
                if counted && !filename::flags(&name.name).contains(Flags::DELETED) {
                    let size = filename::stored_size(&name.name)
                        .unwrap_or_else(|| u64::try_from(stat.st_size).unwrap_or(0));
                    self.usage.octets = self.usage.octets.saturating_add(size);
                    self.usage.messages += 1;
                }
                if self.file(place, dir, &name, &stat, &mut tallies) {
                    found.names.push(name);
                }
            }
        }
        self.observer.progress(&place.name, self.summary.files);
        self.tallied(place, tallies);
        found.names.sort_by(|a, b| a.base().cmp(b.base()));
        self.twins(place, &found);
        whole.then_some(found)
    }

    /// One entry of `cur` or `new`; true if it is a message.
    fn file(
        &mut self,
        place: &Place,
        dir: &Dir,
        name: &Name,
        stat: &FileStat,
        tallies: &mut Tallies,
    ) -> bool {
        if is(stat, libc::S_IFLNK) {
            match dir.open_message(&name.name, self.options.follow_links) {
                Ok(Some(_)) => return true,
                _ => {
                    let text = "a symbolic link that leads to no message";
                    self.problem(&place.name, &name.path(), "stray", text);
                    return false;
                }
            }
        }
        if !is(stat, libc::S_IFREG) {
            let text = format!("{} among the messages; move it elsewhere", kind_of(stat));
            self.problem(&place.name, &name.path(), "stray", &text);
            return false;
        }
        if stat.st_uid != self.owner {
            tallies.owner.add(name);
        }
        if stat.st_mode & 0o400 == 0 {
            let copy = Name {
                name: name.name.clone(),
                in_new: name.in_new,
            };
            tallies.mode.push((copy, (stat.st_mode & 0o777) | 0o600));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size == 0 {
            tallies.empty.add(name);
        }
        if filename::stored_size(&name.name).is_some_and(|said| said != size) {
            tallies.size.add(name);
        }
        if !filename::storable(name.base()) {
            tallies.odd.add(name);
        }
        true
    }

    fn tallied(&mut self, place: &Place, tallies: Tallies) {
        let folder = &place.name;
        let Tallies {
            owner,
            size,
            empty,
            odd,
            mode,
        } = tallies;
        if owner.count > 0 {
            let text = owner.text("belongs to another user than the maildir");
            self.problem(folder, &owner.first, "owner", &text);
        }
        if let Some((first, _)) = mode.first() {
            let tally = Tally {
                count: u64::try_from(mode.len()).unwrap_or(u64::MAX),
                first: first.path(),
            };
            let text = tally.text("its owner cannot read it");
            self.repairable(folder, &tally.first, "mode", Level::Problem, &text, || {
                mode.iter().try_for_each(|(name, mode)| {
                    let dir = if name.in_new { &place.new } else { &place.cur };
                    let dir = need(dir.as_ref(), &place.dir)?;
                    super::places::change_mode(dir, &name.name, *mode)
                })
            });
        }
        for (tally, code, what) in [
            (
                size,
                "size",
                "the name says another size (S=) than the file has; quota counts what the name says",
            ),
            (
                empty,
                "empty",
                "a message of 0 octets; a crash or a full disk may have cost its text",
            ),
            (
                odd,
                "name",
                "a name that no line-based file can hold; the next session gives it another one",
            ),
        ] {
            if tally.count > 0 {
                self.note(folder, &tally.first, code, &tally.text(what));
            }
        }
    }

    /// Names with one base name are one message to every session: only one of them is seen.
    fn twins(&mut self, place: &Place, found: &Found) {
        let groups = found.names.chunk_by(|a, b| a.base() == b.base());
        for group in groups.filter(|group| group.len() > 1) {
            // The one that sessions prefer.
            let Some(shown_one) = group.iter().max_by_key(|name| (!name.in_new, &name.name)) else {
                continue;
            };
            for hidden in group.iter().filter(|name| !std::ptr::eq(*name, shown_one)) {
                let text = format!(
                    "has the base name of {}, so that it is not seen",
                    shown(&shown_one.path())
                );
                let path = hidden.path();
                self.repairable(
                    &place.name,
                    &path,
                    "duplicate-name",
                    Level::Problem,
                    &text,
                    || part_twins(place, shown_one, hidden, self.options),
                );
            }
        }
    }

    /// `tmp`: what has been in there for too long.
    fn leftovers(&mut self, place: &Place) {
        let Some(tmp) = &place.tmp else { return };
        let mut names = Vec::new();
        let listed = tmp.list(|entry| {
            if !entry.name.starts_with(b".") {
                names.push(entry.name.to_vec());
            }
        });
        if let Err(error) = listed {
            self.problem(&place.name, b"tmp", "unreadable", &error.to_string());
        }
        let mut old = Vec::new();
        for name in names {
            let Ok(Some(stat)) = tmp.stat(&name) else {
                continue;
            };
            let path = below(b"tmp", &name);
            if is(&stat, libc::S_IFREG) {
                if age(&stat) > TMP_AGE {
                    old.push(name);
                }
            } else if !is(&stat, libc::S_IFDIR) || age(&stat) > TMP_AGE {
                // Directories are folders being made or removed.
                let text = format!("{} among the temporary files", kind_of(&stat));
                self.note(&place.name, &path, "tmp", &text);
            }
        }
        if let Some(first) = old.first() {
            let text = match old.len() {
                1 => "left behind more than 36 hours ago".to_owned(),
                count => format!(
                    "left behind more than 36 hours ago; {} more like it",
                    count - 1
                ),
            };
            let path = below(b"tmp", first);
            self.repairable(&place.name, &path, "tmp", Level::Note, &text, || {
                old.iter().try_for_each(|name| tmp.remove(name))
            });
        }
    }
}

fn age(stat: &FileStat) -> Duration {
    let changed = UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_ctime).unwrap_or(0));
    SystemTime::now()
        .duration_since(changed)
        .unwrap_or_default()
}

/// A second name of the same file goes; another message gets a base name of its own, and by that a UID.
fn part_twins(
    place: &Place,
    kept: &Name,
    hidden: &Name,
    options: &crate::maildir::Options,
) -> Result<()> {
    let _lock = Lock::acquire(need(place.tmp.as_ref(), &place.dir)?, options)?;
    let dir_of = |name: &Name| {
        let dir = if name.in_new { &place.new } else { &place.cur };
        need(dir.as_ref(), &place.dir)
    };
    let (dir, other) = (dir_of(hidden)?, dir_of(kept)?);
    let Some(stat) = dir.stat(&hidden.name)? else {
        return Ok(());
    };
    let same = other
        .stat(&kept.name)?
        .is_some_and(|kept| (kept.st_dev, kept.st_ino) == (stat.st_dev, stat.st_ino));
    if same {
        return dir.remove(&hidden.name);
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let mut new = filename::TmpName::new("", &options.host).message(stat.st_dev, stat.st_ino, size);
    new.extend_from_slice(hidden.name.get(hidden.base().len()..).unwrap_or_default());
    dir.rename(&hidden.name, dir, &new)
        .map_err(|errno| Error::io("rename", &dir.path_of(&hidden.name), errno))?;
    dir.sync()
}
