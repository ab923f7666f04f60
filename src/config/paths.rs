//! Where things are installed. `./configure` chooses, the Makefile passes the choice to the compiler as
//! `COURIER_CONFIG_*` variables, and one file named by `COURIER_PATHS` may override it at run time (tests, `make run`).
//!
//! The override is honoured unless the program runs with raised privileges (AT_SECURE) or the file belongs to
//! neither root nor the caller: an environment variable must never choose paths for somebody else's process.

use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

macro_rules! paths {
    ($($(#[$doc:meta])* $name:ident, $key:literal, $env:literal, $default:literal;)*) => {
        /// Every installed location, resolved once at program start.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Paths {
            $($(#[$doc])* pub $name: PathBuf,)*
        }

        impl Paths {
            /// The locations that `./configure` compiled in.
            pub fn compiled_in() -> Self {
                Self {
                    $($name: PathBuf::from(match option_env!($env) { Some(path) => path, None => $default }),)*
                }
            }

            fn field(&mut self, key: &[u8]) -> Option<&mut PathBuf> {
                $(if key == $key.as_bytes() { return Some(&mut self.$name); })*
                None
            }
        }
    };
}

paths! {
    /// Installation prefix.
    prefix, "prefix", "COURIER_CONFIG_PREFIX", "/usr/lib/courier-imap";
    /// Programs for users: `imapd`, `maildirmake`, `couriertls`.
    bindir, "bindir", "COURIER_CONFIG_BINDIR", "/usr/lib/courier-imap/bin";
    /// Programs for administrators: `imaplogin`, `courierlogger`, `makeuserdb`.
    sbindir, "sbindir", "COURIER_CONFIG_SBINDIR", "/usr/lib/courier-imap/sbin";
    /// Programs started by other programs: `couriertcpd`, the rc scripts, `authdaemond`.
    libexecdir, "libexecdir", "COURIER_CONFIG_LIBEXECDIR", "/usr/lib/courier-imap/libexec";
    /// Configuration files.
    sysconfdir, "sysconfdir", "COURIER_CONFIG_SYSCONFDIR", "/usr/lib/courier-imap/etc";
    /// Certificate scripts and certificates.
    datadir, "datadir", "COURIER_CONFIG_DATADIR", "/usr/lib/courier-imap/share";
    /// State that survives: caches, spool.
    localstatedir, "localstatedir", "COURIER_CONFIG_LOCALSTATEDIR", "/usr/lib/courier-imap/var";
    /// pid files.
    piddir, "piddir", "COURIER_CONFIG_PIDDIR", "/usr/lib/courier-imap/var/run";
    /// The userdb text file or directory; `.dat` is appended for the database.
    userdb, "userdb", "COURIER_CONFIG_USERDB", "/usr/lib/courier-imap/etc/authlib/userdb";
    /// Directory of the authdaemond socket and pid file.
    authdaemonvar, "authdaemonvar", "COURIER_CONFIG_AUTHDAEMONVAR", "/usr/lib/courier-imap/var/spool/authdaemon";
    /// The authdaemond configuration file.
    authdaemonrc, "authdaemonrc", "COURIER_CONFIG_AUTHDAEMONRC", "/usr/lib/courier-imap/etc/authlib/authdaemonrc";
    /// Name of the unprivileged system user that the parsers and caches belong to (a name, not a path).
    mailuser, "mailuser", "COURIER_CONFIG_MAILUSER", "daemon";
    /// Name of its group (a name, not a path).
    mailgroup, "mailgroup", "COURIER_CONFIG_MAILGROUP", "daemon";
}

/// Why `COURIER_PATHS` could not be used. A program that meets one stops: running with half of a test's paths
/// and half of the system's would touch real mail.
#[derive(Debug)]
pub enum PathsError {
    /// The file could not be opened or read.
    Io(PathBuf, std::io::Error),
    /// The file is owned by neither root nor the caller.
    Owner(PathBuf),
    /// A line is not `KEY=value` with a known key; its number, from 1.
    Line(PathBuf, usize),
}

impl fmt::Display for PathsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "COURIER_PATHS: {}: {error}", path.display()),
            Self::Owner(path) => {
                write!(
                    f,
                    "COURIER_PATHS: {}: owned by neither root nor the caller",
                    path.display()
                )
            }
            Self::Line(path, line) => {
                write!(
                    f,
                    "COURIER_PATHS: {}: line {line}: expected KEY=value with a known key",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for PathsError {}

impl Paths {
    /// The compiled-in locations, changed by the file that `COURIER_PATHS` names.
    ///
    /// # Errors
    /// [`PathsError`] when the variable is honoured but its file is not usable.
    pub fn load() -> Result<Self, PathsError> {
        match std::env::var_os("COURIER_PATHS") {
            Some(file) if !file.is_empty() && !crate::sys::process::at_secure() => {
                Self::compiled_in().overridden_by(Path::new(&file))
            }
            _ => Ok(Self::compiled_in()),
        }
    }

    fn overridden_by(mut self, path: &Path) -> Result<Self, PathsError> {
        let io = |error| PathsError::Io(path.to_owned(), error);
        let mut file = std::fs::File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        let owner = metadata.uid();
        if owner != 0 && owner != nix::unistd::getuid().as_raw() {
            return Err(PathsError::Owner(path.to_owned()));
        }
        let longest = 64 * 1024;
        let expected = usize::try_from(metadata.len().min(longest)).unwrap_or(0);
        let mut content = Vec::with_capacity(expected);
        file.by_ref()
            .take(longest)
            .read_to_end(&mut content)
            .map_err(io)?;
        for (index, line) in content.split(|&byte| byte == b'\n').enumerate() {
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let bad = || PathsError::Line(path.to_owned(), index.saturating_add(1));
            let equals = line.iter().position(|&byte| byte == b'=').ok_or_else(bad)?;
            let (key, value) = line.split_at(equals);
            let field = self.field(key).ok_or_else(bad)?;
            *field = PathBuf::from(OsString::from_vec(
                value.get(1..).unwrap_or_default().to_vec(),
            ));
        }
        Ok(self)
    }

    /// The socket on which authdaemond listens.
    pub fn authdaemond_socket(&self) -> PathBuf {
        self.authdaemonvar.join("socket")
    }

    /// `path` with `suffix` appended to its last component (`userdb` → `userdb.dat`).
    pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
        let mut name = path.as_os_str().as_bytes().to_vec();
        name.extend_from_slice(suffix.as_bytes());
        PathBuf::from(OsString::from_vec(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_overrides_single_paths_and_leaves_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("paths");
        std::fs::write(&file, "# test\nuserdb=/t/userdb\nmailuser=nobody\n").unwrap();
        let paths = Paths::compiled_in().overridden_by(&file).unwrap();
        assert_eq!(paths.userdb, Path::new("/t/userdb"));
        assert_eq!(paths.mailuser, Path::new("nobody"));
        assert_eq!(paths.bindir, Paths::compiled_in().bindir);
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("paths");
        std::fs::write(&file, "userdb=/t\nuserbd=/t\n").unwrap();
        assert!(matches!(
            Paths::compiled_in().overridden_by(&file),
            Err(PathsError::Line(_, 2))
        ));
    }
}
