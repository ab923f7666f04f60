//! `courierimapkeywords/`: the list, pending updates, and what does not belong there.

use std::time::{Duration, SystemTime};

use super::messages::Found;
use super::{Checker, Level, Place, below, is, kind_of, need, shown};
use crate::maildir::error::Result;
use crate::maildir::files::{self, Dir};
use crate::maildir::keyword_files::DIRECTORY;
use crate::maildir::keywords::{self, KeywordSet, KeywordTable};
use crate::maildir::lock::Lock;
use crate::maildir::options::{Options, Sync};

const LIST: &[u8] = b":list";
/// Age at which an update that nobody finished is a leftover.
const KEEP: Duration = Duration::from_secs(15 * 60);

impl Checker<'_> {
    pub(super) fn keywords(&mut self, place: &Place, found: Option<&Found>) {
        let name = &place.name;
        match place.dir.stat(DIRECTORY) {
            Ok(None) => return,
            Ok(Some(stat)) if is(&stat, libc::S_IFDIR) => {
                if stat.st_mode & 0o700 != 0o700 {
                    let mode = (stat.st_mode & 0o7777) | 0o700;
                    let text = "its owner cannot use it: keywords are not seen and not kept";
                    self.repairable(name, DIRECTORY, "mode", Level::Problem, text, || {
                        super::places::change_mode(&place.dir, DIRECTORY, mode)
                    });
                }
            }
            Ok(Some(stat)) => {
                let text = format!("{} where a directory belongs", kind_of(&stat));
                return self.problem(name, DIRECTORY, "not-a-directory", &text);
            }
            Err(error) => {
                return self.problem(name, DIRECTORY, "unreadable", &error.to_string());
            }
        }
        let mut entries = Vec::new();
        let opened = place.dir.open_dir(DIRECTORY).and_then(|keywords| {
            keywords.list(|entry| entries.push(entry.name.to_vec()))?;
            Ok(keywords)
        });
        let keywords = match opened {
            Ok(keywords) => keywords,
            Err(error) => {
                return self.problem(name, DIRECTORY, "unreadable", &error.to_string());
            }
        };
        for entry in &entries {
            self.entry(place, &keywords, entry, found);
        }
        self.list(place, &keywords);
    }

    fn entry(&mut self, place: &Place, keywords: &Dir, entry: &[u8], found: Option<&Found>) {
        let path = below(DIRECTORY, entry);
        let Ok(Some(stat)) = keywords.stat(entry) else {
            return;
        };
        if !is(&stat, libc::S_IFREG) {
            let text = format!("{} among the keyword files; remove it", kind_of(&stat));
            return self.problem(&place.name, &path, "keywords-stray", &text);
        }
        let unfinished = entry.starts_with(b".tmp.")
            && SystemTime::now()
                .duration_since(files::modified(&stat))
                .is_ok_and(|age| age > KEEP);
        if unfinished {
            let text = "a change of keywords that was never finished";
            self.repairable(
                &place.name,
                &path,
                "keywords-tmp",
                Level::Note,
                text,
                || keywords.remove(entry),
            );
        } else {
            let fresh = entry != LIST && !entry.starts_with(b".");
            if fresh && found.is_some_and(|found| !found.has_base(entry)) {
                let text =
                    "a change of keywords of a message that is gone; the next session drops it";
                self.note(&place.name, &path, "keywords-gone", text);
            }
        }
    }

    fn list(&mut self, place: &Place, keywords: &Dir) {
        let path = below(DIRECTORY, LIST);
        let bytes = match keywords.read(LIST, keywords::LIMIT) {
            Ok(Some((bytes, _))) => bytes,
            Ok(None) => return,
            Err(error) => {
                return self.problem(
                    &place.name,
                    &path,
                    "keywords-unreadable",
                    &error.to_string(),
                );
            }
        };
        let bad = faults(&bytes);
        if let Some((number, line)) = bad.first() {
            let more = match bad.len() {
                1 => String::new(),
                count => format!("; {} more like it", count - 1),
            };
            let text = format!("line {number} makes no sense: {}{more}", shown(line));
            self.repairable(
                &place.name,
                &path,
                "keywords-list",
                Level::Problem,
                &text,
                || rewrite(place, keywords, self.options),
            );
        }
    }
}

/// Lines that a reader passes over, with their numbers. A file of keywords without the empty line behind them says
/// nothing about any message, so it is no fault.
fn faults(bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut bad = Vec::new();
    let mut keywords = 0_usize;
    let mut in_names = true;
    let whole = bytes.strip_suffix(b"\n");
    let torn = whole.is_none() && !bytes.is_empty();
    let mut lines = whole.unwrap_or(bytes).split(|byte| *byte == b'\n').zip(1..);
    let mut last: Option<(usize, &[u8])> = None;
    for (line, number) in lines.by_ref() {
        last = Some((number, line));
        if in_names {
            if line.is_empty() {
                in_names = false;
            } else {
                keywords += 1;
                if line.contains(&0) {
                    bad.push((number, line));
                }
            }
            continue;
        }
        let good = memchr::memchr(b':', line).is_some_and(|colon| {
            let (name, indexes) = line.split_at(colon);
            let mut indexes = indexes
                .split(|byte| !byte.is_ascii_digit())
                .filter(|digits| !digits.is_empty())
                .peekable();
            !name.is_empty()
                && !name.contains(&0)
                && indexes.peek().is_some()
                && indexes.all(|digits| {
                    let index = std::str::from_utf8(digits).ok();
                    index
                        .and_then(|digits| digits.parse::<usize>().ok())
                        .is_some_and(|index| index < keywords)
                })
        });
        if !good {
            bad.push((number, line));
        }
    }
    if let Some(last) = last.filter(|last| torn && !bad.contains(last)) {
        bad.push(last);
    }
    bad
}

/// Writes the list as readers understand it.
fn rewrite(place: &Place, keywords: &Dir, options: &Options) -> Result<()> {
    let tmp = need(place.tmp.as_ref(), &place.dir)?;
    let _lock = Lock::acquire(tmp, options)?;
    let Some((bytes, _)) = keywords.read(LIST, keywords::LIMIT)? else {
        return Ok(());
    };
    let mut table = KeywordTable::default();
    let mut messages: Vec<(&[u8], KeywordSet)> = Vec::new();
    keywords::parse_list(&bytes, &mut table, |name, set| {
        if !name.contains(&0) {
            messages.push((name, set));
        }
    });
    files::replace_file(
        tmp,
        keywords,
        LIST,
        &keywords::encode_list(&table, messages.into_iter()),
        "keywords",
        &options.host,
        options.sync != Sync::Never,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::faults;

    #[test]
    fn lines_that_say_nothing_are_found() {
        assert!(faults(b"").is_empty());
        assert!(faults(b"\n").is_empty());
        assert!(faults(b"work\n$Label1\n\n1000.M1.h:1 0\n1001.M1.h,S=12:0\n").is_empty());
        let bad = faults(b"work\n\nx:1\nnonsense\n:0\ny:0\nz:0 0\nw:\nv:0");
        let numbers: Vec<usize> = bad.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [3, 4, 5, 8, 9]);
    }
}
