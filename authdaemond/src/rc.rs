//! authdaemonrc, read the way the original's daemon reads it, which is not the way the shell does
//! (contract: authdaemon §5).

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use courier::sys::log::reason;

/// Longest part of a line that counts.
const LINE_MAX: usize = 8191;
/// Longest module name.
const MODULE_MAX: usize = 40;
/// More workers than this is a mistake.
const WORKERS_MAX: usize = 1024;
/// More than this is no configuration file.
const FILE_MAX: u64 = 1024 * 1024;

/// What the daemon takes from the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `authmodulelist`, in order.
    pub modules: Vec<Vec<u8>>,
    /// `daemons`; `None` when it is missing or 0, which the daemon complains about and takes for 1.
    pub workers: Option<usize>,
    /// `DEFAULTOPTIONS` as this file says it.
    pub default_options: Option<Vec<u8>>,
    /// `DEBUG_LOGIN` as this file says it.
    pub debug_login: Option<Vec<u8>>,
}

/// Why the file cannot be used.
#[derive(Debug)]
pub enum RcError {
    /// It could not be read.
    Io(PathBuf, io::Error),
    /// A line without `=`.
    BadLine(PathBuf, Vec<u8>),
    /// `daemons` is no sensible number.
    Workers(PathBuf, Vec<u8>),
}

impl fmt::Display for RcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {}", path.display(), reason(error)),
            Self::BadLine(path, line) => write!(
                f,
                "Bad line in {}: {}",
                path.display(),
                String::from_utf8_lossy(line)
            ),
            Self::Workers(path, value) => write!(
                f,
                "{}: daemons={}: expected a number from 1 to {WORKERS_MAX}",
                path.display(),
                String::from_utf8_lossy(value)
            ),
        }
    }
}

impl std::error::Error for RcError {}

impl Settings {
    /// Reads `path`.
    ///
    /// # Errors
    /// [`RcError`].
    pub fn read(path: &Path) -> Result<Self, RcError> {
        let io = |error| RcError::Io(path.to_owned(), error);
        let mut content = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_MAX).read_to_end(&mut content))
            .map_err(io)?;
        Self::parse(&content, path)
    }

    fn parse(content: &[u8], path: &Path) -> Result<Self, RcError> {
        let mut settings = Self {
            modules: Vec::new(),
            workers: None,
            default_options: None,
            debug_login: None,
        };
        for line in content.split(|&byte| byte == b'\n') {
            let line = line.get(..LINE_MAX).unwrap_or(line);
            // COMPAT: a `#` begins a comment even inside quotes.
            let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
            if line.trim_ascii().is_empty() {
                continue;
            }
            let Some(equals) = line.iter().position(|&byte| byte == b'=') else {
                return Err(RcError::BadLine(path.to_owned(), line.to_vec()));
            };
            let (name, rest) = line.split_at(equals);
            let value = value(rest.get(1..).unwrap_or_default());
            match name {
                b"authmodulelist" => {
                    settings.modules = value
                        .split(u8::is_ascii_whitespace)
                        .filter(|name| !name.is_empty())
                        .map(|name| name.get(..MODULE_MAX).unwrap_or(name).to_vec())
                        .collect();
                }
                b"daemons" => settings.workers = workers(value, path)?,
                b"DEFAULTOPTIONS" => settings.default_options = Some(value.to_vec()),
                b"DEBUG_LOGIN" => settings.debug_login = Some(value.to_vec()),
                _ => {}
            }
        }
        Ok(settings)
    }
}

/// The text between double quotes, or else everything after leading blanks.
fn value(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii_start();
    match text.strip_prefix(b"\"") {
        Some(quoted) => quoted
            .split(|&byte| byte == b'"')
            .next()
            .unwrap_or_default(),
        None => text,
    }
}

fn workers(value: &[u8], path: &Path) -> Result<Option<usize>, RcError> {
    let text = value.trim_ascii();
    if text.is_empty() {
        return Ok(None);
    }
    let number: Option<usize> = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok());
    match number {
        Some(0) => Ok(None),
        Some(number) if number <= WORKERS_MAX => Ok(Some(number)),
        _ => Err(RcError::Workers(path.to_owned(), value.to_vec())),
    }
}

/// The two settings that the shell exports to the daemon as well. What the environment said at start stays in force
/// if it differs from the file (somebody meant it so); else the file is followed at every reload.
#[derive(Debug, Clone, Default)]
pub struct Pinned {
    default_options: Option<Vec<u8>>,
    debug_login: Option<Vec<u8>>,
}

impl Pinned {
    /// Compares the environment with the file as it is at start.
    pub fn at_start(settings: &Settings) -> Self {
        use std::os::unix::ffi::OsStringExt;
        let pinned = |name, of_file: &Option<Vec<u8>>| {
            let of_environment = std::env::var_os(name).map(OsStringExt::into_vec)?;
            (Some(&of_environment) != of_file.as_ref()).then_some(of_environment)
        };
        Self {
            default_options: pinned("DEFAULTOPTIONS", &settings.default_options),
            debug_login: pinned("DEBUG_LOGIN", &settings.debug_login),
        }
    }

    /// Options merged into every account; empty for none.
    pub fn default_options(&self, settings: &Settings) -> Vec<u8> {
        self.default_options
            .clone()
            .or_else(|| settings.default_options.clone())
            .unwrap_or_default()
    }

    /// 0, 1 (debug) or 2 (debug with passwords).
    pub fn debug_level(&self, settings: &Settings) -> u8 {
        let text = self
            .debug_login
            .as_ref()
            .or(settings.debug_login.as_ref())
            .map(|text| text.trim_ascii());
        match text.and_then(|text| text.first()) {
            Some(b'1') => 1,
            Some(digit) if (b'2'..=b'9').contains(digit) => 2,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, RcError> {
        Settings::parse(text.as_bytes(), Path::new("rc"))
    }

    #[test]
    fn lines_are_read_as_the_original_reads_them() {
        let settings = parse(
            "##VERSION: x\n\n   \nauthmodulelist=\"one\"\n authmodulelist=ignored\nauthmodulelist=  \"a  b\tc\" d\n\
             daemons=5 # five\nDEFAULTOPTIONS=\"group=x\"\nunknown=1\n",
        )
        .unwrap();
        assert_eq!(settings.modules, [b"a", b"b", b"c"]);
        assert_eq!(settings.workers, Some(5));
        assert_eq!(settings.default_options.as_deref(), Some(&b"group=x"[..]));
        assert_eq!(
            parse("authmodulelist=a b # c").unwrap().modules,
            [b"a", b"b"]
        );
        assert_eq!(parse("authmodulelist=\"a # b\"").unwrap().modules, [b"a"]);
    }

    #[test]
    fn nonsense_is_an_error_and_no_number_is_left_to_the_daemon() {
        assert!(matches!(
            parse("daemons=1\nnonsense\n"),
            Err(RcError::BadLine(..))
        ));
        for workers in ["-1", "x", "4294967295", "1025", "5x"] {
            let text = format!("daemons={workers}\n");
            assert!(
                matches!(parse(&text), Err(RcError::Workers(..))),
                "{workers}"
            );
        }
        for workers in ["", "daemons=0", "daemons="] {
            assert_eq!(parse(workers).unwrap().workers, None);
        }
    }

    #[test]
    fn names_are_cut_at_forty_bytes() {
        let long = format!("authmodulelist={}\n", "x".repeat(50));
        assert_eq!(parse(&long).unwrap().modules, [vec![b'x'; 40]]);
    }
}
