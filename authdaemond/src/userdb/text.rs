//! The source text of userdb: one account per line, `name TAB fields`. A file, or a directory tree of files.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use courier::sys::log::reason;

use super::{Lock, copy_ownership, record};

/// An account in a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The file.
    pub file: PathBuf,
    /// The account's name.
    pub name: Vec<u8>,
}

impl Target {
    /// `sub/two/alice` is the account `alice` in `<userdb>/sub/two`; `alice` is in `<userdb>` itself.
    pub fn within(userdb: &Path, spec: &[u8]) -> Self {
        match spec.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => Self {
                file: userdb.join(std::ffi::OsStr::from_bytes(
                    spec.get(..slash).unwrap_or_default(),
                )),
                name: spec
                    .get(slash.saturating_add(1)..)
                    .unwrap_or_default()
                    .to_vec(),
            },
            None => Self {
                file: userdb.to_owned(),
                name: spec.to_vec(),
            },
        }
    }
}

/// A change to one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Set these fields, making the account if there is none; no value makes a bare field.
    Set(Vec<record::Assignment>),
    /// Remove these fields.
    Unset(Vec<Vec<u8>>),
    /// Remove the account.
    Delete,
}

/// Why a source file was not read or changed.
#[derive(Debug)]
pub enum TextError {
    /// A name, field or value that the format cannot hold.
    Invalid,
    /// The path is not a regular file.
    NotAFile(PathBuf),
    /// A file operation failed.
    Io(PathBuf, io::Error),
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid => f.write_str("Invalid field or value."),
            Self::NotAFile(path) => write!(f, "{}: not a file.", path.display()),
            Self::Io(path, error) => write!(f, "{}: {}", path.display(), reason(error)),
        }
    }
}

impl std::error::Error for TextError {}

/// Splits a line of a source file into name and record; `None` for blank lines, comments and lines without a tab.
pub fn account(line: &[u8]) -> Option<(&[u8], &[u8])> {
    if line.starts_with(b"#") {
        return None;
    }
    let tab = line.iter().position(|&byte| byte == b'\t')?;
    Some((line.get(..tab)?, line.get(tab.saturating_add(1)..)?))
}

/// The lines of a file, without their ends.
///
/// # Errors
/// [`TextError::NotAFile`], [`TextError::Io`].
pub fn read_lines(file: &Path) -> Result<Vec<Vec<u8>>, TextError> {
    let io = |error| TextError::Io(file.to_owned(), error);
    if !std::fs::metadata(file).map_err(io)?.is_file() {
        return Err(TextError::NotAFile(file.to_owned()));
    }
    let content = std::fs::read(file).map_err(io)?;
    let content = content.strip_suffix(b"\n").unwrap_or(&content);
    if content.is_empty() {
        return Ok(Vec::new());
    }
    Ok(content
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect())
}

/// Makes one change, atomically: readers see the file before or after it. Makes the file if there is none.
///
/// # Errors
/// [`TextError`]; the file is then as it was.
pub fn edit(target: &Target, edit: &Edit) -> Result<(), TextError> {
    check(target, edit)?;
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| TextError::Io(path, error)
    };
    // The rename below would replace a symbolic link itself, so follow it now.
    let file = match std::fs::canonicalize(&target.file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => target.file.clone(),
        Err(error) => return Err(io(&target.file)(error)),
    };
    let _lock = Lock::take(&beside(&file, ".lock.")).map_err(io(&file))?;
    let existing = match std::fs::metadata(&file) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io(&file)(error)),
    };
    let lines = match existing {
        Some(_) => read_lines(&file)?,
        None => Vec::new(),
    };
    let Some(lines) = changed(lines, &target.name, edit) else {
        return Ok(());
    };
    let temporary = beside(&file, ".tmp.");
    let written = write(&temporary, &lines, existing.as_ref())
        .and_then(|()| std::fs::rename(&temporary, &file))
        .and_then(|()| sync_directory(&file));
    if written.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(io(&file))
}

/// `|`, line feeds and in names tabs cannot be written down; neither can a field without a name.
fn check(target: &Target, edit: &Edit) -> Result<(), TextError> {
    let plain = |text: &[u8]| !text.iter().any(|byte| b"|\n\0".contains(byte));
    let name = |text: &[u8]| !text.is_empty() && plain(text) && !text.contains(&b'\t');
    let field = |text: &[u8]| name(text) && !text.contains(&b'=');
    let good = name(&target.name)
        && !target.name.starts_with(b"#")
        && match edit {
            Edit::Set(changes) => changes
                .iter()
                .all(|(key, value)| field(key) && value.as_deref().is_none_or(plain)),
            Edit::Unset(names) => names.iter().all(|key| field(key)),
            Edit::Delete => true,
        };
    if good {
        Ok(())
    } else {
        Err(TextError::Invalid)
    }
}

/// The lines after the change; `None` when nothing changes.
fn changed(mut lines: Vec<Vec<u8>>, name: &[u8], edit: &Edit) -> Option<Vec<Vec<u8>>> {
    let line_of = |record: &[u8]| [name, b"\t", record].concat();
    let position = lines
        .iter()
        .position(|line| account(line).is_some_and(|(known, _)| known == name));
    let Some(position) = position else {
        let Edit::Set(changes) = edit else {
            return None;
        };
        lines.push(line_of(&record::set(b"", changes)));
        return Some(lines);
    };
    let line = lines.get_mut(position)?;
    let record = account(line)?.1.to_vec();
    match edit {
        Edit::Set(changes) => *line = line_of(&record::set(&record, changes)),
        Edit::Unset(names) => *line = line_of(&record::unset(&record, names)),
        Edit::Delete => {
            lines.retain(|line| account(line).is_none_or(|(known, _)| known != name));
        }
    }
    Some(lines)
}

fn write(temporary: &Path, lines: &[Vec<u8>], like: Option<&std::fs::Metadata>) -> io::Result<()> {
    // Left over from a crash; nobody else writes it while we hold the lock.
    match std::fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)?;
    if let Some(like) = like {
        copy_ownership(&file, like)?;
    }
    let mut text = lines.join(&b'\n');
    if !lines.is_empty() {
        text.push(b'\n');
    }
    file.write_all(&text)?;
    file.sync_all()
}

/// `dir/base` → `dir/` + `prefix` + `base`.
fn beside(file: &Path, prefix: &str) -> PathBuf {
    let mut name = prefix.as_bytes().to_vec();
    name.extend_from_slice(file.file_name().unwrap_or_default().as_bytes());
    file.with_file_name(std::ffi::OsString::from_vec(name))
}

fn sync_directory(file: &Path) -> io::Result<()> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn set(name: &str, value: &str) -> Edit {
        Edit::Set(vec![(name.into(), Some(value.into()))])
    }

    #[test]
    fn a_new_file_is_private_and_an_old_one_keeps_its_mode_and_comments() {
        let directory = tempfile::tempdir().unwrap();
        let userdb = directory.path().join("userdb");
        edit(&Target::within(&userdb, b"alice"), &set("uid", "5000")).unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&userdb), 0o600);
        std::fs::write(&userdb, "# top\nbob\tuid=1\n\nalice\tuid=5000|x\nno tab\n").unwrap();
        std::fs::set_permissions(&userdb, std::fs::Permissions::from_mode(0o400)).unwrap();
        edit(&Target::within(&userdb, b"alice"), &set("home", "/h")).unwrap();
        edit(&Target::within(&userdb, b"carol"), &set("uid", "7")).unwrap();
        assert_eq!(mode(&userdb), 0o400);
        assert_eq!(
            std::fs::read_to_string(&userdb).unwrap(),
            "# top\nbob\tuid=1\n\nalice\tuid=5000|x|home=/h\nno tab\ncarol\tuid=7\n"
        );
        assert!(directory.path().join(".lock.userdb").exists());
        assert!(!directory.path().join(".tmp.userdb").exists());
    }

    #[test]
    fn fields_and_accounts_are_removed_and_absent_ones_change_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let userdb = directory.path().join("userdb");
        std::fs::write(&userdb, "a\tx=1|y=2\nb\tx=1\na\tz=3\n").unwrap();
        let at = |name: &[u8]| Target::within(&userdb, name);
        edit(&at(b"a"), &Edit::Unset(vec![b"x".to_vec()])).unwrap();
        assert_eq!(
            std::fs::read_to_string(&userdb).unwrap(),
            "a\ty=2\nb\tx=1\na\tz=3\n"
        );
        edit(&at(b"a"), &Edit::Delete).unwrap();
        edit(&at(b"nobody"), &Edit::Delete).unwrap();
        assert_eq!(std::fs::read_to_string(&userdb).unwrap(), "b\tx=1\n");
        edit(&at(b"b"), &Edit::Delete).unwrap();
        assert_eq!(std::fs::read_to_string(&userdb).unwrap(), "");
    }

    #[test]
    fn what_cannot_be_written_down_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let userdb = directory.path().join("userdb");
        for (name, field, value) in [
            ("a\tb", "x", "1"),
            ("a|b", "x", "1"),
            ("", "x", "1"),
            ("#a", "x", "1"),
            ("a", "x|y", "1"),
            ("a", "", "1"),
            ("a", "x", "1|2"),
            ("a", "x", "1\nb\tuid=0"),
            ("a", "x", "\0"),
        ] {
            let target = Target {
                file: userdb.clone(),
                name: name.into(),
            };
            assert!(
                matches!(edit(&target, &set(field, value)), Err(TextError::Invalid)),
                "{name:?} {field:?} {value:?}"
            );
        }
        assert!(!userdb.exists());
    }

    #[test]
    fn a_path_before_the_name_chooses_the_file_and_links_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        let userdb = directory.path().join("userdb");
        std::fs::create_dir_all(userdb.join("sub")).unwrap();
        let target = Target::within(&userdb, b"sub/two/alice");
        assert_eq!(target.file, userdb.join("sub/two"));
        std::fs::write(directory.path().join("real"), "").unwrap();
        std::os::unix::fs::symlink("../../real", userdb.join("sub/two")).unwrap();
        edit(&target, &set("uid", "1")).unwrap();
        assert_eq!(
            std::fs::read_to_string(directory.path().join("real")).unwrap(),
            "alice\tuid=1\n"
        );
        assert!(matches!(
            edit(&Target::within(&userdb, b"alice"), &set("uid", "1")),
            Err(TextError::NotAFile(_))
        ));
    }
}
