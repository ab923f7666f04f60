//! What can go wrong in a test before the thing under test is even asked.

use std::fmt;
use std::path::Path;

/// Why a test failed, or does not run here.
pub enum Error {
    /// Something that the test needs is missing; the text says what.
    Skipped(String),
    /// Everything else, as one text for the person who reads the test's output.
    Failed(String),
}

impl Error {
    /// A failure described by `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// A failed operation on `path`.
    pub fn io(operation: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::Failed(format!("{operation} {}: {error}", path.display()))
    }

    /// The same failure with `context` in front.
    #[must_use]
    pub fn in_context(self, context: &str) -> Self {
        match self {
            Self::Failed(text) => Self::Failed(format!("{context}: {text}")),
            skipped @ Self::Skipped(_) => skipped,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(why) => write!(f, "skipped: {why}"),
            Self::Failed(text) => f.write_str(text),
        }
    }
}

// The test runner prints errors with Debug: line breaks in a transcript must stay readable.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<nix::errno::Errno> for Error {
    fn from(error: nix::errno::Errno) -> Self {
        Self::Failed(error.to_string())
    }
}
