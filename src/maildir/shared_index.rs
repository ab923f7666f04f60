//! The index of accounts whose folders may be shared: `IMAP_SHAREDINDEXFILE` (contract: shared-folders B1, B2). It says
//! which names there are below `#shared.` and where their maildirs lie; what may be seen there is up to their lists.
//!
//! The file is the administrator's. Whatever is wrong with it costs a line in the log and the entry.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::sys::log::{Level, log, reason};

/// Deepest nesting of groups.
const DEPTH: usize = 16;
/// Largest file read, in bytes.
const LIMIT: u64 = 64 << 20;
/// More directories than this are not named one by one; see [`SharedIndex::directories`].
const NAMED: usize = 256;

/// An account of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedAccount {
    /// Its login name, as in the index.
    pub name: Vec<u8>,
    /// Its maildir.
    pub maildir: PathBuf,
}

/// All accounts by the name that their folders have below `#shared.`: groups and account, with dots between.
#[derive(Debug, Clone, Default)]
pub struct SharedIndex {
    accounts: BTreeMap<Vec<u8>, SharedAccount>,
}

/// How a name of the index becomes a level of a folder name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Munging {
    /// `.` and `/` become blanks.
    Blanks,
    /// `IMAP_SHAREDMUNGENAMES`: they become `\:` and `\;`, and a backslash two.
    Backslashes,
}

impl SharedIndex {
    /// Reads the file at `path` and those that it names.
    ///
    /// # Errors
    /// It cannot be read. Files that it names are logged and left out instead.
    pub fn read(path: &Path, munging: Munging) -> io::Result<Self> {
        let mut index = Self::default();
        index.add(path, b"", munging, &mut Vec::new())?;
        Ok(index)
    }

    /// True if there is no account.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// The account that a name below `#shared.` belongs to, its name there, and what follows it (empty for the
    /// account's INBOX).
    pub fn find<'a>(&self, name: &'a [u8]) -> Option<(&'a [u8], &SharedAccount, &'a [u8])> {
        let ends = memchr::memchr_iter(b'.', name).chain(std::iter::once(name.len()));
        for end in ends {
            let (node, rest) = name.split_at_checked(end)?;
            if let Some(account) = self.accounts.get(node) {
                return Some((node, account, rest.get(1..).unwrap_or_default()));
            }
        }
        None
    }

    /// The accounts whose names below `#shared.` may begin with `start`, or lie above it.
    pub fn beginning_with<'a>(
        &'a self,
        start: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], &'a SharedAccount)> {
        self.accounts
            .iter()
            .map(|(name, account)| (name.as_slice(), account))
            .filter(move |(name, _)| name.starts_with(start) || start.starts_with(name))
    }

    /// Directories that contain all the maildirs: the maildirs themselves, or if they are many what they have in
    /// common, but never a directory right below the root.
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = self
            .accounts
            .values()
            .map(|account| account.maildir.clone())
            .collect();
        loop {
            paths.sort();
            paths.dedup();
            if paths.len() <= NAMED {
                return paths;
            }
            let before = paths.clone();
            for path in &mut paths {
                let depth = path
                    .components()
                    .filter(|part| matches!(part, Component::Normal(_)))
                    .count();
                if depth > 2 {
                    path.pop();
                }
            }
            if paths == before {
                return paths;
            }
        }
    }

    /// Adds a file's accounts below the name `above`. `open`: device and inode of the files that led here.
    fn add(
        &mut self,
        file: &Path,
        above: &[u8],
        munging: Munging,
        open: &mut Vec<(u64, u64)>,
    ) -> io::Result<()> {
        let stat = fs::metadata(file)?;
        let identity = (stat.dev(), stat.ino());
        if stat.len() > LIMIT {
            return Err(io::Error::from_raw_os_error(libc::EFBIG));
        }
        if open.contains(&identity) || open.len() >= DEPTH {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        let text = fs::read(file)?;
        open.push(identity);
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let end = memchr::memchr(b'#', line).unwrap_or(line.len());
            let line = line.get(..end).unwrap_or_default();
            if line.trim_ascii().is_empty() {
                continue;
            }
            match Entry::parse(line) {
                Some(Entry::Account(account)) => {
                    let name = below(above, &munged(&account.name, munging));
                    self.accounts.insert(name, account);
                }
                Some(Entry::Group(name, other)) => {
                    let name = below(above, &munged(name, munging));
                    let other = file.with_file_name(std::ffi::OsStr::from_bytes(other));
                    if let Err(error) = self.add(&other, &name, munging, open) {
                        log_unreadable(&other, &error);
                    }
                }
                None => log(
                    Level::Err,
                    format_args!("{}({}): syntax error.", file.display(), number + 1),
                ),
            }
        }
        open.pop();
        Ok(())
    }
}

/// Logs that an index file cannot be read, in the original's words.
pub fn log_unreadable(file: &Path, error: &io::Error) {
    let reason = match error.raw_os_error() {
        Some(_) => reason(error),
        None => "Input/output error".to_owned(),
    };
    log(Level::Err, format_args!("{}: {reason}", file.display()));
}

/// A line of an index file.
enum Entry<'a> {
    Account(SharedAccount),
    /// A name and the file with its accounts.
    Group(&'a [u8], &'a [u8]),
}

impl<'a> Entry<'a> {
    /// `NAME TAB UID TAB GID TAB HOME [TAB MAILDIR]`, or `NAME TAB * TAB FILE`; more fields do not matter.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b'\t');
        let name = fields.next().filter(|name| !name.is_empty())?;
        if std::str::from_utf8(name).is_err() {
            return None;
        }
        let second = fields.next()?;
        if second.starts_with(b"*") {
            let file = fields.next().filter(|file| !file.is_empty())?;
            return Some(Self::Group(name, file));
        }
        // Neither is used, but nobody's folders are shared who could not log in.
        for id in [second, fields.next()?] {
            let id: u32 = std::str::from_utf8(id).ok()?.trim().parse().ok()?;
            if id == 0 {
                return None;
            }
        }
        let home = fields.next().filter(|home| !home.is_empty())?;
        let maildir = match fields.next() {
            None | Some(b"") => &b"./Maildir"[..],
            Some(maildir) => maildir,
        };
        let path = |bytes| Path::new(std::ffi::OsStr::from_bytes(bytes));
        Some(Self::Account(SharedAccount {
            name: name.to_vec(),
            maildir: path(home).join(path(maildir)),
        }))
    }
}

fn below(above: &[u8], name: &[u8]) -> Vec<u8> {
    if above.is_empty() {
        name.to_vec()
    } else {
        [above, b".", name].concat()
    }
}

fn munged(name: &[u8], munging: Munging) -> Vec<u8> {
    let mut munged = Vec::with_capacity(name.len());
    for &byte in name {
        match (byte, munging) {
            (b'.' | b'/', Munging::Blanks) => munged.push(b' '),
            (b'.', Munging::Backslashes) => munged.extend_from_slice(b"\\:"),
            (b'/', Munging::Backslashes) => munged.extend_from_slice(b"\\;"),
            (b'\\', Munging::Backslashes) => munged.extend_from_slice(b"\\\\"),
            _ => munged.push(byte),
        }
    }
    munged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(files: &[(&str, &str)], munging: Munging) -> SharedIndex {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        SharedIndex::read(&dir.path().join("index"), munging).unwrap()
    }

    fn names(index: &SharedIndex) -> Vec<String> {
        index
            .beginning_with(b"")
            .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
            .collect()
    }

    #[test]
    fn accounts_groups_and_what_is_neither() {
        let text = "# all\nbob\t1000\t1000\t/home/bob\nmary\t5\t5\t/m\t/srv/mary\tx # away\nroot\t0\t0\t/root\n\
                    bad line\nnoid\tx\t1\t/h\nteam.x\t*\tteam\nlost\t*\tnowhere\nloop\t*\tindex\n";
        let index = index(
            &[("index", text), ("team", "al\t7\t7\t/home/al\tMail\n")],
            Munging::Blanks,
        );
        let all = names(&index);
        assert!(all.contains(&"bob".to_owned()) && all.contains(&"team x.al".to_owned()));
        assert_eq!(all.len(), 3);
        assert!(
            !all.iter()
                .any(|name| name.contains("root") || name.contains("bad"))
        );
        let (node, account, rest) = index.find(b"bob.Sub.Deep").unwrap();
        assert_eq!((node, rest), (&b"bob"[..], &b"Sub.Deep"[..]));
        assert_eq!(account.maildir, Path::new("/home/bob/./Maildir"));
        let (_, account, rest) = index.find(b"team x.al").unwrap();
        assert_eq!(account.maildir, Path::new("/home/al/Mail"));
        assert!(rest.is_empty());
        assert_eq!(
            index.find(b"mary").unwrap().1.maildir,
            Path::new("/srv/mary")
        );
        for name in ["team x", "nobody", "", "bobx"] {
            assert!(index.find(name.as_bytes()).is_none(), "{name}");
        }
        let some: Vec<&[u8]> = index
            .beginning_with(b"bob.S")
            .map(|(name, _)| name)
            .collect();
        assert_eq!(some, [b"bob"]);
    }

    #[test]
    fn names_are_munged() {
        let text = "a.b/c\\d\t1\t1\t/h\n";
        let blanks = index(&[("index", text)], Munging::Blanks);
        assert_eq!(names(&blanks), ["a b c\\d"]);
        let backslashes = index(&[("index", text)], Munging::Backslashes);
        assert_eq!(names(&backslashes), ["a\\:b\\;c\\\\d"]);
    }

    #[test]
    fn many_directories_are_named_by_what_they_have_in_common() {
        let text: String = (0..1000)
            .map(|number| format!("u{number}\t1\t1\t/srv/mail/d{}/u{number}\n", number % 3))
            .collect();
        let many = index(&[("index", &text)], Munging::Blanks);
        let directories = many.directories();
        assert_eq!(
            directories,
            ["/srv/mail/d0", "/srv/mail/d1", "/srv/mail/d2"].map(PathBuf::from)
        );
        let text: String = (0..1000)
            .map(|number| format!("u{number}\t1\t1\t/u{number}\t.\n"))
            .collect();
        let flat = index(&[("index", &text)], Munging::Blanks);
        assert!(flat.directories().iter().all(|path| path != Path::new("/")));
    }
}
