//! The syntax of authldaprc, authmysqlrc, authpgsqlrc and authsqliterc (contract: auth-modules §7): a name, blanks
//! and a value on each line, a backslash at the end to go on, and a marker at the end of the file that shows that it
//! is whole.

use std::fmt;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use courier::sys::log::reason;

/// Longest file.
const FILE_MAX: u64 = 256 * 1024;
/// What sysconftool leaves as the last thing of a file.
const MARKER: &[u8] = b"##NAME: MARKER:";

/// What a file says.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RcFile(Vec<(Vec<u8>, Vec<u8>)>);

impl fmt::Debug for RcFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values hold passwords.
        write!(f, "{} settings", self.0.len())
    }
}

/// Why a file says nothing.
#[derive(Debug)]
pub enum RcFileError {
    /// It could not be read.
    Io(PathBuf, io::Error),
    /// It is not whole.
    Marker(PathBuf),
}

impl fmt::Display for RcFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {}", path.display(), reason(error)),
            Self::Marker(path) => write!(
                f,
                "marker line not found in {} (probably forgot to run sysconftool after an upgrade)",
                path.display()
            ),
        }
    }
}

impl std::error::Error for RcFileError {}

impl RcFile {
    /// Reads `path`.
    ///
    /// # Errors
    /// [`RcFileError`].
    pub fn read(path: &Path) -> Result<(Self, Version), RcFileError> {
        let io = |error| RcFileError::Io(path.to_owned(), error);
        let file = std::fs::File::open(path).map_err(io)?;
        let version = Version::of(&file.metadata().map_err(io)?);
        let mut content = Vec::new();
        file.take(FILE_MAX).read_to_end(&mut content).map_err(io)?;
        let settings = Self::parse(&content).ok_or_else(|| RcFileError::Marker(path.to_owned()))?;
        Ok((settings, version))
    }

    /// Reads the content of a file; `None` when its marker is missing.
    pub fn parse(content: &[u8]) -> Option<Self> {
        let mut marked = false;
        let mut settings: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut lines = content.split(|&byte| byte == b'\n');
        while let Some(line) = lines.next() {
            marked |= line.starts_with(MARKER);
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let mut whole = line.to_vec();
            while whole.last() == Some(&b'\\') {
                whole.pop();
                whole.push(b' ');
                let Some(next) = lines.next() else { break };
                whole.extend_from_slice(next.trim_ascii());
            }
            let end = whole
                .iter()
                .position(u8::is_ascii_whitespace)
                .unwrap_or(whole.len());
            let (name, value) = whole.split_at(end);
            // The first of several counts.
            if !settings.iter().any(|(known, _)| known == name) {
                settings.push((name.to_vec(), value.trim_ascii().to_vec()));
            }
        }
        marked.then_some(Self(settings))
    }

    /// The value of `name`; `None` when it is absent, empty when it stands there alone.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|(known, _)| known == name.as_bytes())
            .map(|(_, value)| value.as_slice())
    }

    /// The value of `name` unless it is empty.
    pub fn filled(&self, name: &str) -> Option<&[u8]> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Leading digits of the value of `name`.
    pub fn number(&self, name: &str) -> Option<u32> {
        leading_number(self.get(name)?)
    }
}

/// The number that `text` begins with.
pub fn leading_number(text: &[u8]) -> Option<u32> {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    std::str::from_utf8(text.get(..end)?).ok()?.parse().ok()
}

/// Tells one content of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Version {
    /// As it is now; `None` when it cannot be looked at.
    pub fn now(path: &Path) -> Option<Self> {
        std::fs::metadata(path)
            .ok()
            .map(|metadata| Self::of(&metadata))
    }

    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_names_and_values() {
        let file = RcFile::parse(
            b"##VERSION: x\n# comment\n  A \t b c  \nEMPTY\nA second\nLONG one \\\n   two\\\n# three\n\
              NUMBER 12x\n##NAME: MARKER:0\n",
        )
        .unwrap();
        assert_eq!(file.get("A"), Some(&b"b c"[..]));
        assert_eq!(file.get("EMPTY"), Some(&b""[..]));
        assert_eq!(file.filled("EMPTY"), None);
        assert_eq!(file.get("LONG"), Some(&b"one  two # three"[..]));
        assert_eq!(file.number("NUMBER"), Some(12));
        assert_eq!(file.get("a"), None);
    }

    #[test]
    fn a_file_without_its_end_is_refused() {
        assert_eq!(RcFile::parse(b"A b\n"), None);
        assert_eq!(RcFile::parse(b"A b\n ##NAME: MARKER:0\n"), None);
        assert!(RcFile::parse(b"##NAME: MARKER:0").is_some());
    }
}
