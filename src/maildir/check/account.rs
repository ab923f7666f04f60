//! Files of the whole account: subscriptions, quota, POP3 list, UIDVALIDITY counter.

use std::collections::HashSet;

use super::{Checker, Level, Place, many, need, shown};
use crate::maildir::error::{Error, Result};
use crate::maildir::files;
use crate::maildir::lock::Lock;
use crate::maildir::name::FolderName;
use crate::maildir::options::{Options, Sync};
use crate::maildir::sizelist::SizeList;
use crate::maildir::uiddb::faults::decimal;

/// The quota file.
pub(super) const QUOTA: &[u8] = b"maildirsize";
const SUBSCRIBED: &[u8] = b"courierimapsubscribed";
const SIZE_LIST: &[u8] = b"courierpop3dsizelist";
const COUNTER: &[u8] = b"courierimapuidvalidity";
/// Largest file read.
const LIMIT: u64 = 64 << 20;
/// The original splits longer lines.
const LINE_MAX: usize = 8191;

impl Checker<'_> {
    pub(super) fn account(&mut self, root: &Place, folders: &[FolderName]) {
        self.subscriptions(root, folders);
        self.quota(root);
        self.size_list(root);
        self.counter(root);
    }

    /// Reads a file of the root; failures and odd types are findings.
    fn text(&mut self, root: &Place, file: &[u8]) -> Option<Vec<u8>> {
        let read = root.dir.read(file, LIMIT);
        let absent = root.dir.stat(file).is_ok_and(|stat| stat.is_none());
        match read {
            Ok(Some((bytes, _))) => Some(bytes),
            Ok(None) if absent => None,
            Ok(None) => {
                let text = "not a regular file, so it is not used; look at it and remove it";
                self.problem(&root.name, file, "not-a-file", text);
                None
            }
            Err(error) => {
                self.problem(&root.name, file, "unreadable", &error.to_string());
                None
            }
        }
    }

    fn subscriptions(&mut self, root: &Place, folders: &[FolderName]) {
        let Some(bytes) = self.text(root, SUBSCRIBED) else {
            return;
        };
        let mut seen = HashSet::new();
        let mut bad = Vec::new();
        for line in lines(&bytes) {
            if line.contains(&0) {
                bad.push(format!("a line is not text: {}", shown(line)));
            } else if line.len() > LINE_MAX {
                let text = "a line is too long, other software reads it as several";
                bad.push(text.to_owned());
            } else if !seen.insert(line) {
                bad.push(format!("{} is in there twice", shown(line)));
            } else if let Ok(name) = FolderName::from_full(line) {
                let parent = folders.iter().any(|folder| folder.is_below(&name));
                if !name.is_inbox() && !folders.contains(&name) && !parent {
                    let text = format!(
                        "{} is subscribed and does not exist; that is allowed",
                        shown(line)
                    );
                    self.note(&root.name, SUBSCRIBED, "subscription-absent", &text);
                }
            } else if !line.starts_with(b"#") {
                let text = format!("{} is subscribed and cannot be a folder", shown(line));
                self.note(&root.name, SUBSCRIBED, "subscription-name", &text);
            }
        }
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            bad.push("the last line has no end: the next subscription would be lost".to_owned());
        }
        if bad.is_empty() {
            return;
        }
        let text = bad.join("; ");
        self.repairable(
            &root.name,
            SUBSCRIBED,
            "subscriptions",
            Level::Problem,
            &text,
            || {
                let tmp = need(root.tmp.as_ref(), &root.dir)?;
                let _lock = Lock::acquire(tmp, self.options)?;
                let Some((bytes, _)) = root.dir.read(SUBSCRIBED, LIMIT)? else {
                    return Ok(());
                };
                let mut seen = HashSet::new();
                let mut content = Vec::new();
                for line in lines(&bytes) {
                    if !line.contains(&0) && line.len() <= LINE_MAX && seen.insert(line) {
                        content.extend_from_slice(line);
                        content.push(b'\n');
                    }
                }
                replace(root, SUBSCRIBED, &content, "imapsubscribe", self.options)
            },
        );
    }

    fn quota(&mut self, root: &Place) {
        let Some(bytes) = self.text(root, QUOTA) else {
            return;
        };
        let name = &root.name;
        let mut all = bytes.split(|byte| *byte == b'\n');
        let first = all.next().unwrap_or_default();
        if !is_quota(first) {
            let text = match first {
                b"" => "the first line is empty, so there is no limit; remove the file or set the quota anew".to_owned(),
                line => format!(
                    "the first line is no quota: {}; remove the file or set the quota anew",
                    shown(line)
                ),
            };
            return self.problem(name, QUOTA, "quota", &text);
        }
        let (mut octets, mut messages) = (0_i64, 0_i64);
        let mut bad = None;
        for line in all.filter(|line| !line.is_empty()) {
            match quota_line(line) {
                Some((o, m)) => {
                    octets = octets.saturating_add(o);
                    messages = messages.saturating_add(m);
                }
                None => bad = bad.or_else(|| Some(shown(line))),
            }
        }
        let usage = self.usage;
        let there = (
            i64::try_from(usage.octets).unwrap_or(i64::MAX),
            i64::try_from(usage.messages).unwrap_or(i64::MAX),
        );
        // Changed meanwhile: the numbers are of different times.
        let (stamp, options) = (self.quota_stamp, self.options);
        let unchanged = root.dir.stamp_of(QUOTA).unwrap_or_default() == stamp;
        let text = if let Some(line) = bad {
            format!("a line makes no sense: {line}")
        } else if !bytes.ends_with(b"\n") {
            "the last line has no end: what is counted next would be lost with it".to_owned()
        } else if (octets, messages) != there && unchanged {
            format!(
                "says {octets} octets in {messages} messages; there are {} in {}",
                there.0, there.1
            )
        } else {
            return;
        };
        self.repairable(name, QUOTA, "quota", Level::Problem, &text, || {
            let tmp = need(root.tmp.as_ref(), &root.dir)?;
            let _lock = Lock::acquire(tmp, options)?;
            if root.dir.stamp_of(QUOTA).unwrap_or_default() != stamp {
                let path = root.dir.path_of(QUOTA);
                return Err(Error::io("replace", &path, nix::errno::Errno::EAGAIN));
            }
            let mut content = first.to_vec();
            let total = format!("\n{:>12} {:>12}\n", there.0, there.1);
            content.extend_from_slice(total.as_bytes());
            replace(root, QUOTA, &content, "maildirsize", options)
        });
    }

    fn size_list(&mut self, root: &Place) {
        let Some(bytes) = self.text(root, SIZE_LIST) else {
            return;
        };
        let name = &root.name;
        let list = SizeList::parse(&bytes);
        if !bytes.starts_with(b"/") || (list.next == 1 && list.validity.is_none()) {
            let text = "the first line is damaged: POP3 clients will fetch everything again unless the file comes back from a backup";
            return self.problem(name, SIZE_LIST, "pop3-list", text);
        }
        let said = lines(&bytes).count().saturating_sub(1);
        let mut ids = HashSet::new();
        let twice = list
            .entries
            .iter()
            .filter(|(_, entry)| entry.number != 0 && !ids.insert((entry.number, entry.validity)))
            .count();
        if twice > 0 {
            let text = format!(
                "{} an identifier (UIDL) that another one has",
                many(twice, "message has", "messages have")
            );
            self.problem(name, SIZE_LIST, "pop3-uidl", &text);
        }
        let known = is_known(&bytes);
        let (bad, torn) = (said - list.entries.len().min(said), !bytes.ends_with(b"\n"));
        if known && (bad > 0 || torn) {
            let text = match bad {
                0 => "the last line has no end".to_owned(),
                bad => format!("{} no sense", many(bad, "line makes", "lines make")),
            };
            self.repairable(name, SIZE_LIST, "pop3-lines", Level::Problem, &text, || {
                let tmp = need(root.tmp.as_ref(), &root.dir)?;
                let _lock = Lock::acquire(tmp, self.options)?;
                // As it is now: a session may have written it, and given new identifiers.
                let Some((bytes, _)) = root.dir.read(SIZE_LIST, LIMIT)? else {
                    return Ok(());
                };
                if !is_known(&bytes) {
                    let path = root.dir.path_of(SIZE_LIST);
                    return Err(Error::io("replace", &path, nix::errno::Errno::EAGAIN));
                }
                let list = SizeList::parse(&bytes);
                let validity = list.validity.unwrap_or_default();
                let content = SizeList::encode(list.next, validity, list.entries.into_iter());
                replace(root, SIZE_LIST, &content, "pop3", self.options)
            });
        }
    }

    fn counter(&mut self, root: &Place) {
        let Some(bytes) = self.text(root, COUNTER) else {
            return;
        };
        if decimal(bytes.trim_ascii()).is_some() {
            return;
        }
        let highest = self.highest_validity;
        let text = "damaged: a new mailbox could get the UIDVALIDITY of an old one";
        self.repairable(&root.name, COUNTER, "counter", Level::Problem, text, || {
            let tmp = need(root.tmp.as_ref(), &root.dir)?;
            let _lock = Lock::acquire(tmp, self.options)?;
            let now = root.dir.read(COUNTER, LIMIT)?;
            if now.is_some_and(|(bytes, _)| decimal(bytes.trim_ascii()).is_some()) {
                return Ok(());
            }
            let content = format!("{highest}\n");
            replace(root, COUNTER, content.as_bytes(), "imapuid", self.options)
        });
    }
}

fn replace(
    root: &Place,
    file: &[u8],
    content: &[u8],
    purpose: &str,
    options: &Options,
) -> Result<()> {
    let tmp = need(root.tmp.as_ref(), &root.dir)?;
    let durable = options.sync != Sync::Never;
    files::replace_file(
        tmp,
        &root.dir,
        file,
        content,
        purpose,
        &options.host,
        durable,
    )
    .map(drop)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// True for a list of a version whose entries are read.
fn is_known(list: &[u8]) -> bool {
    list.starts_with(b"/2 ") || list.starts_with(b"/3 ")
}

/// True if the line has a limit in it, and nothing that a reader would warn of.
fn is_quota(line: &[u8]) -> bool {
    let mut rest = line;
    let mut limits = 0;
    loop {
        let skip = rest
            .iter()
            .take_while(|byte| !byte.is_ascii_digit())
            .count();
        rest = rest.get(skip..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return limits > 0;
        }
        match rest.get(digits) {
            Some(b'S' | b'C') => limits += 1,
            _ => return false,
        }
        rest = rest.get(digits + 1..).unwrap_or_default();
    }
}

/// Octets and messages of one line.
fn quota_line(line: &[u8]) -> Option<(i64, i64)> {
    let mut numbers = line
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty())
        .map(|word| std::str::from_utf8(word).ok()?.parse::<i64>().ok());
    let pair = (numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(pair)
}

#[cfg(test)]
mod tests {
    use super::{is_quota, quota_line};

    #[test]
    fn quota_lines_are_taken_as_the_original_takes_them() {
        for good in [&b"100S,4C"[..], b"10C 20S", b"5S", b"0S", b"x5S"] {
            assert!(is_quota(good));
        }
        for bad in [&b""[..], b"junk", b"10", b"10K", b"10S,5"] {
            assert!(!is_quota(bad));
        }
        assert_eq!(quota_line(b"          34            2"), Some((34, 2)));
        assert_eq!(quota_line(b"-17 -1"), Some((-17, -1)));
        for bad in [&b"5"[..], b"a b", b"1 2 3", b"1 \xff"] {
            assert_eq!(quota_line(bad), None);
        }
    }
}
