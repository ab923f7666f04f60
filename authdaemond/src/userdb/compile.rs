//! makeuserdb: compiles the source text into `userdb.dat` and `userdbshadow.dat`.
//!
//! Both are built completely before either is put in place, the secret one first: a reader that sees the new
//! accounts also sees their passwords, and an error leaves both old files.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use courier::config::paths::Paths;
use courier::sys::log::reason;
use courier_dbm::Writer;

use super::text::{TextError, read_lines};
use super::{Lock, database, record, shadow_database};

/// Deepest nesting of directories that is followed; deeper means a loop of links.
const DEPTH_MAX: u32 = 16;

/// Why nothing was compiled.
#[derive(Debug)]
pub enum CompileError {
    /// The source can be read by others than its owner.
    Permissions(PathBuf),
    /// A file that must not be a symbolic link is one.
    Link(PathBuf),
    /// A left-over of an upgrade that an administrator must look at.
    LeftOver(PathBuf),
    /// Directories nest too deeply.
    Depth(PathBuf),
    /// Two accounts of this name.
    Duplicate(Vec<u8>),
    /// Reading the source failed.
    Text(TextError),
    /// A file operation failed.
    Io(PathBuf, io::Error),
    /// Writing a database failed.
    Database(courier_dbm::Error),
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permissions(path) => {
                write!(
                    f,
                    "{}: MAY NOT HAVE GROUP OR WORLD PERMISSIONS!!",
                    path.display()
                )
            }
            Self::Link(path) => write!(f, "{}: must not be a symbolic link", path.display()),
            Self::LeftOver(path) => write!(
                f,
                "{}: left over from an upgrade; move its accounts where they belong and remove it",
                path.display()
            ),
            Self::Depth(path) => write!(f, "{}: directories nest too deeply", path.display()),
            Self::Duplicate(name) => write!(
                f,
                "Cannot store record for {} - duplicate or out of disk space.",
                String::from_utf8_lossy(name)
            ),
            Self::Text(error) => write!(f, "{error}"),
            Self::Io(path, error) => write!(f, "{}: {}", path.display(), reason(error)),
            Self::Database(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for CompileError {}

impl From<courier_dbm::Error> for CompileError {
    fn from(error: courier_dbm::Error) -> Self {
        Self::Database(error)
    }
}

/// Compiles `source`, a file or a directory, into the two databases beside it.
///
/// # Errors
/// [`CompileError`]; the databases are then as they were, unless the very last step (renaming the second or
/// syncing the directory) failed.
pub fn compile(source: &Path) -> Result<(), CompileError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| CompileError::Io(path, error)
    };
    let metadata = fs::symlink_metadata(source).map_err(io(source))?;
    if metadata.is_symlink() {
        return Err(CompileError::Link(source.to_owned()));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(CompileError::Permissions(source.to_owned()));
    }
    let (open, secret) = (database(source), shadow_database(source));
    for target in [&open, &secret] {
        if fs::symlink_metadata(target).is_ok_and(|target| target.is_symlink()) {
            return Err(CompileError::Link(target.clone()));
        }
    }
    let lock = Paths::with_suffix(source, ".lock");
    let _lock = Lock::take(&lock).map_err(io(&lock))?;
    let mut writers = Writers {
        open: create(&Paths::with_suffix(source, ".tmp"), 0o644)?,
        secret: create(&Paths::with_suffix(source, "shadow.tmp"), 0o600)?,
    };
    if metadata.is_dir() {
        tree(source, source, 0, &mut writers)?;
    } else {
        one_file(source, b"", &mut writers)?;
    }
    writers.secret.commit(&secret)?;
    writers.open.commit(&open)?;
    Ok(())
}

struct Writers {
    open: Writer,
    secret: Writer,
}

/// Under the lock nobody else writes the temporary file, so one that is there is left over from a crash.
fn create(temporary: &Path, mode: u32) -> Result<Writer, CompileError> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(CompileError::Io(temporary.to_owned(), error));
        }
        _ => {}
    }
    let writer = Writer::create(temporary, mode)?;
    // Whatever the umask of whoever started us.
    fs::set_permissions(temporary, fs::Permissions::from_mode(mode))
        .map_err(|error| CompileError::Io(temporary.to_owned(), error))?;
    Ok(writer)
}

/// Every file below `directory`, in the order of their names.
fn tree(
    root: &Path,
    directory: &Path,
    depth: u32,
    writers: &mut Writers,
) -> Result<(), CompileError> {
    let io = |error| CompileError::Io(directory.to_owned(), error);
    if depth > DEPTH_MAX {
        return Err(CompileError::Depth(directory.to_owned()));
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(io)? {
        paths.push(entry.map_err(io)?.path());
    }
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().as_bytes();
        if name.starts_with(b".") || name.contains(&b'~') {
            continue;
        }
        let metadata =
            fs::metadata(&path).map_err(|error| CompileError::Io(path.clone(), error))?;
        if metadata.is_dir() {
            tree(root, &path, depth.saturating_add(1), writers)?;
            continue;
        }
        match left_over(&path, name) {
            LeftOver::No => {}
            LeftOver::Skip => continue,
            LeftOver::Fault => return Err(CompileError::LeftOver(path)),
        }
        let relative = path.strip_prefix(root).unwrap_or(&path);
        let mut origin = relative.as_os_str().as_bytes().to_vec();
        origin.push(b'/');
        one_file(&path, &origin, writers)?;
    }
    Ok(())
}

enum LeftOver {
    No,
    Skip,
    Fault,
}

/// Names that package managers leave behind. A `.dist` file is skipped beside the file it was the template of.
fn left_over(path: &Path, name: &[u8]) -> LeftOver {
    if name.ends_with(b".rpmsave") || name.ends_with(b".rpmnew") || has_dpkg_suffix(name) {
        return LeftOver::Fault;
    }
    if name.ends_with(b".dist") {
        return if path.with_extension("").exists() {
            LeftOver::Skip
        } else {
            LeftOver::Fault
        };
    }
    LeftOver::No
}

fn has_dpkg_suffix(name: &[u8]) -> bool {
    name.rsplit(|&byte| byte == b'.')
        .next()
        .is_some_and(|extension| extension.len() < name.len() && extension.starts_with(b"dpkg-"))
}

/// Every account of one file. `origin` goes into the record, so that a password change finds the file again.
fn one_file(file: &Path, origin: &[u8], writers: &mut Writers) -> Result<(), CompileError> {
    for line in read_lines(file).map_err(CompileError::Text)? {
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let tab = line.iter().position(|&byte| byte == b'\t');
        let (name, rest) = line.split_at(tab.unwrap_or(line.len()));
        if name.is_empty() {
            continue;
        }
        let (mut open, secret) = record::split_secrets(rest.get(1..).unwrap_or_default());
        if tab.is_none() {
            // COMPAT: what Courier makes of a line without fields; no lookup finds an account there.
            open.push(b'1');
        } else {
            if !open.is_empty() {
                open.push(b'|');
            }
            open.extend_from_slice(b"_=");
            open.extend_from_slice(origin);
        }
        if !writers.open.insert(name, &open)? {
            return Err(CompileError::Duplicate(name.to_vec()));
        }
        if !secret.is_empty() && !writers.secret.insert(name, &secret)? {
            return Err(CompileError::Duplicate(name.to_vec()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use courier_dbm::Reader;

    fn source(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("userdb");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        (directory, path)
    }

    fn get(path: &Path, key: &str) -> Option<String> {
        let value = Reader::open(path).unwrap().get(key.as_bytes()).unwrap()?;
        Some(String::from_utf8(value).unwrap())
    }

    #[test]
    fn accounts_and_secrets_go_to_their_files_with_the_right_modes() {
        let (_directory, path) = source(
            "# comment\nalice\tuid=5000|systempw=x|home=/h|imappw=y\nbob\tuid=1\n\nno tab\n",
        );
        compile(&path).unwrap();
        let (open, secret) = (database(&path), shadow_database(&path));
        assert_eq!(get(&open, "alice").as_deref(), Some("uid=5000|home=/h|_="));
        assert_eq!(
            get(&secret, "alice").as_deref(),
            Some("systempw=x|imappw=y")
        );
        assert_eq!(get(&open, "bob").as_deref(), Some("uid=1|_="));
        assert_eq!(get(&secret, "bob"), None);
        assert_eq!(get(&open, "no tab").as_deref(), Some("1"));
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&open), mode(&secret)), (0o644, 0o600));
    }

    #[test]
    fn a_duplicate_or_an_open_source_changes_nothing() {
        let (_directory, path) = source("a\tuid=1|systempw=x\n");
        compile(&path).unwrap();
        fs::write(&path, "a\tuid=2|systempw=y\na\tuid=3\n").unwrap();
        assert!(matches!(compile(&path), Err(CompileError::Duplicate(name)) if name == b"a"));
        assert_eq!(get(&database(&path), "a").as_deref(), Some("uid=1|_="));
        assert_eq!(
            get(&shadow_database(&path), "a").as_deref(),
            Some("systempw=x")
        );
        fs::write(&path, "a\tuid=4\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(compile(&path), Err(CompileError::Permissions(_))));
        assert!(!Paths::with_suffix(&path, ".tmp").exists());
    }

    #[test]
    fn a_directory_records_where_each_account_came_from() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("userdb");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(root.join("one"), "a\tuid=1\n").unwrap();
        fs::write(root.join("sub/two"), "b\tuid=2").unwrap();
        fs::write(root.join("bak~"), "c\tuid=3\n").unwrap();
        fs::write(root.join(".hidden"), "c\tuid=3\n").unwrap();
        fs::write(root.join("one.dist"), "c\tuid=3\n").unwrap();
        compile(&root).unwrap();
        let open = database(&root);
        assert_eq!(get(&open, "a").as_deref(), Some("uid=1|_=one/"));
        assert_eq!(get(&open, "b").as_deref(), Some("uid=2|_=sub/two/"));
        assert_eq!(get(&open, "c"), None);
        fs::write(root.join("one.dpkg-old"), "").unwrap();
        assert!(matches!(compile(&root), Err(CompileError::LeftOver(_))));
    }

    #[test]
    fn links_are_refused() {
        let (directory, path) = source("a\tuid=1\n");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(compile(&link), Err(CompileError::Link(_))));
        std::os::unix::fs::symlink("elsewhere", database(&path)).unwrap();
        assert!(matches!(compile(&path), Err(CompileError::Link(_))));
    }
}
