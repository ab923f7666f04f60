//! Messages that EXAMINE was the first to see. It gives them UIDs, which stay, but must not take `\Recent` from them (RFC
//! 3501 section 6.3.2): `courierimapindex.recent` names them for the next SELECT. For what lies in `new` no list is
//! needed, as EXAMINE leaves it there.
//!
//! Each line is `UIDVALIDITY FIRST LAST`, a range of UIDs. There is no file unless EXAMINE has met mail that somebody
//! put straight into `cur`. Whatever is wrong with it costs `\Recent` only, so that no command fails for it.

use std::ops::RangeInclusive;

use nix::errno::Errno;

use super::error::Result;
use super::filename;
use super::files;
use super::folder::Folder;
use super::listing::entry;
use super::lock::Lock;
use super::scan::Reading;
use super::snapshot::Snapshot;

const NAME: &[u8] = b"courierimapindex.recent";
/// Bytes of the file that are looked at: what EXAMINE numbers at once is one range, so there are never many.
const MAX: u64 = 64 * 1024;

impl Folder {
    /// Notes which of the messages that this reading has numbered were in `cur`. The folder's lock is held.
    pub(crate) fn keep_recent(&self, reading: &Reading, _lock: &Lock<'_>) {
        let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
        for (position, found) in reading.matched.found.iter().enumerate() {
            let Some((uid, _)) = reading.db.entry(position) else {
                continue;
            };
            let listed = found.and_then(|found| entry(&reading.listing, found));
            let in_cur = listed.is_some_and(|listed| {
                !listed.in_new && filename::has_info(reading.listing.name(listed))
            });
            if !in_cur || !reading.fresh.contains(&uid) {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last.end().saturating_add(1) == uid => *last = *last.start()..=uid,
                _ => ranges.push(uid..=uid),
            }
        }
        if ranges.is_empty() {
            return;
        }
        let validity = reading.db.uid_validity;
        if let Err(error) = self.write_recent(validity, &ranges) {
            self.warn(&error);
        }
    }

    fn write_recent(&self, validity: u32, more: &[RangeInclusive<u32>]) -> Result<()> {
        let inner = &self.inner;
        let mut content = String::new();
        let before = self.listed_recent(validity)?;
        for range in before.iter().chain(more) {
            content.push_str(&format!("{validity} {} {}\n", range.start(), range.end()));
        }
        let (unique, file) = inner
            .tmp
            .create_unique("imaprecent", &self.options().host, 0o600)?;
        let unique = unique.tmp();
        let path = inner.tmp.path_of(&unique);
        let written = files::write_all(&file, content.as_bytes(), false, &path)
            .and_then(|_| inner.tmp.replace(&unique, &inner.dir, NAME));
        if written.is_err() {
            // The failure itself is reported; a leftover is purged after 36 hours.
            let _ = inner.tmp.remove(&unique);
        }
        written
    }

    /// UIDs of messages that are still `\Recent` although they have been numbered and are in `cur`.
    pub(crate) fn listed_recent(&self, validity: u32) -> Result<Vec<RangeInclusive<u32>>> {
        let Some((bytes, _)) = self.inner.dir.read(NAME, MAX)? else {
            return Ok(Vec::new());
        };
        Ok(bytes
            .split(|&byte| byte == b'\n')
            .filter_map(range)
            .filter(|(of, _)| *of == validity)
            .map(|(_, range)| range)
            .collect())
    }

    /// Marks those messages in a view. If it is for SELECT they are `\Recent` there for the last time. Costs one stat
    /// where there are none.
    pub(crate) fn claim_recent(&self, view: &mut Snapshot) {
        if matches!(self.inner.dir.stat(NAME), Ok(None)) {
            return;
        }
        let claimed = match view.is_read_only() {
            true => self.listed_recent(view.uid_validity()),
            false => self.take_recent(view.uid_validity()),
        };
        match claimed {
            Ok(ranges) => {
                for range in ranges {
                    for index in view.indexes_of_uids(*range.start(), *range.end()) {
                        if let Some(message) = view.messages.get_mut(index) {
                            message.set_recent(true);
                        }
                    }
                }
            }
            Err(error) => self.warn(&error),
        }
    }

    /// Reads the list and removes it, so that one session alone has it.
    fn take_recent(&self, validity: u32) -> Result<Vec<RangeInclusive<u32>>> {
        let inner = &self.inner;
        let _lock = Lock::acquire(&inner.tmp, self.options())?;
        let listed = self.listed_recent(validity);
        match inner.dir.unlink(NAME) {
            Ok(()) | Err(Errno::ENOENT) => listed,
            Err(errno) => Err(inner.dir.error("unlink", NAME, errno)),
        }
    }
}

/// A line of the file; `None` for what is none, as the last one may be.
fn range(line: &[u8]) -> Option<(u32, RangeInclusive<u32>)> {
    let mut words = line
        .split(|&byte| byte == b' ')
        .map(|word| std::str::from_utf8(word).ok()?.parse::<u32>().ok());
    let (of, first, last) = (words.next()??, words.next()??, words.next()??);
    (words.next().is_none() && first <= last).then_some((of, first..=last))
}
