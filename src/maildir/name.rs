//! Folder names (contract: maildir 1.1, 2).
//!
//! Inside, a folder is named by its file name without the leading dot: UTF-8, components joined by dots, empty
//! for INBOX. Wire names (modified UTF-7, the `INBOX.` prefix) are the protocol's business; the `INBOX.a.b` form of
//! the subscription file is read and written here.

use std::fmt;

/// The name of a folder of one account: INBOX, or components joined by dots as in the directory `.a.b`.
///
/// There is no way to hold a name with `/`, NUL, an empty component (so no leading, trailing or doubled dot) or
/// more than 254 bytes; so `.` + name is always one directory entry and never `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FolderName(Box<[u8]>);

/// Why some bytes cannot name a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// An empty component: a leading, trailing or doubled dot, or nothing at all.
    EmptyComponent,
    /// `/` or NUL.
    ForbiddenByte,
    /// More than 254 bytes.
    TooLong,
    /// The first component is not INBOX (only from [`FolderName::from_full`]).
    NotInbox,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyComponent => "a part of the folder name between dots is empty",
            Self::ForbiddenByte => "the folder name contains a slash or a NUL",
            Self::TooLong => "the folder name is longer than 254 bytes",
            Self::NotInbox => "the folder name does not begin with INBOX",
        })
    }
}

impl std::error::Error for NameError {}

impl FolderName {
    /// INBOX: the maildir itself.
    pub fn inbox() -> Self {
        Self::default()
    }

    /// A folder below INBOX from its on-disk name without the leading dot (`Sent.2024`).
    ///
    /// # Errors
    /// [`NameError`], except `NotInbox`.
    pub fn new(name: &[u8]) -> Result<Self, NameError> {
        if name.len() > 254 {
            return Err(NameError::TooLong);
        }
        if name.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(NameError::ForbiddenByte);
        }
        if name.split(|byte| *byte == b'.').any(<[u8]>::is_empty) {
            return Err(NameError::EmptyComponent);
        }
        Ok(Self(name.into()))
    }

    /// A folder from the full form `INBOX` or `INBOX.a.b`, as in the subscription file. INBOX in any case.
    ///
    /// # Errors
    /// [`NameError`]. A trailing dot is an empty component.
    pub fn from_full(name: &[u8]) -> Result<Self, NameError> {
        match name.split_at_checked(5) {
            Some((inbox, rest)) if inbox.eq_ignore_ascii_case(b"INBOX") => match rest {
                [] => Ok(Self::inbox()),
                [b'.', rest @ ..] => Self::new(rest),
                _ => Err(NameError::NotInbox),
            },
            _ => Err(NameError::NotInbox),
        }
    }

    /// True for INBOX itself.
    pub fn is_inbox(&self) -> bool {
        self.0.is_empty()
    }

    /// The name below INBOX, dot-joined; empty for INBOX.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The full form: `INBOX` or `INBOX.a.b`.
    pub fn to_full(&self) -> Vec<u8> {
        let mut full = b"INBOX".to_vec();
        if !self.is_inbox() {
            full.push(b'.');
            full.extend_from_slice(&self.0);
        }
        full
    }

    /// The directory relative to the maildir: `.` or `.a.b`.
    pub fn directory(&self) -> Vec<u8> {
        let mut directory = b".".to_vec();
        directory.extend_from_slice(&self.0);
        directory
    }

    /// The components below INBOX; none for INBOX.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|byte| *byte == b'.')
            .filter(|part| !part.is_empty())
    }

    /// The folder above: INBOX for a top-level folder, `None` for INBOX.
    pub fn parent(&self) -> Option<Self> {
        if self.is_inbox() {
            return None;
        }
        let end = self.0.iter().rposition(|&byte| byte == b'.').unwrap_or(0);
        self.0.get(..end).map(|parent| Self(parent.into()))
    }

    /// True if `self` lies below `other` at any depth; everything but INBOX lies below INBOX.
    pub fn is_below(&self, other: &Self) -> bool {
        if other.is_inbox() {
            return !self.is_inbox();
        }
        self.0
            .strip_prefix(&*other.0)
            .is_some_and(|rest| rest.first() == Some(&b'.'))
    }

    /// The name that this folder has after `from` was renamed to `to`; `None` if it is neither `from` nor below.
    pub(crate) fn renamed(&self, from: &Self, to: &Self) -> Option<Result<Self, NameError>> {
        if self == from {
            return Some(Ok(to.clone()));
        }
        if from.is_inbox() || to.is_inbox() || !self.is_below(from) {
            return None;
        }
        let rest = self.0.strip_prefix(&*from.0)?;
        let mut name = to.0.to_vec();
        name.extend_from_slice(rest);
        Some(Self::new(&name))
    }
}

impl fmt::Display for FolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_full().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn invalid_names_are_refused() {
        for (name, error) in [
            (&b""[..], NameError::EmptyComponent),
            (b".", NameError::EmptyComponent),
            (b"..", NameError::EmptyComponent),
            (b".a", NameError::EmptyComponent),
            (b"a.", NameError::EmptyComponent),
            (b"a..b", NameError::EmptyComponent),
            (b"a/b", NameError::ForbiddenByte),
            (b"a\0b", NameError::ForbiddenByte),
            (&[b'a'; 255], NameError::TooLong),
        ] {
            assert_eq!(FolderName::new(name), Err(error), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn full_names_are_read_and_written() {
        assert!(FolderName::from_full(b"inbox").unwrap().is_inbox());
        let sent = FolderName::from_full(b"Inbox.Sent.2024").unwrap();
        assert_eq!(sent.to_full(), b"INBOX.Sent.2024");
        assert_eq!(sent.directory(), b".Sent.2024");
        assert_eq!(sent.parent().unwrap().as_bytes(), b"Sent");
        assert!(sent.parent().unwrap().parent().unwrap().is_inbox());
        assert_eq!(FolderName::from_full(b"INBOXa"), Err(NameError::NotInbox));
        assert_eq!(
            FolderName::from_full(b"INBOX."),
            Err(NameError::EmptyComponent)
        );
        assert_eq!(FolderName::from_full(b"Sent"), Err(NameError::NotInbox));
    }

    #[test]
    fn children_follow_a_rename() {
        let name = |text: &[u8]| FolderName::new(text).unwrap();
        let renamed = |folder: &[u8]| name(folder).renamed(&name(b"a"), &name(b"x.y"));
        assert_eq!(renamed(b"a"), Some(Ok(name(b"x.y"))));
        assert_eq!(renamed(b"a.b"), Some(Ok(name(b"x.y.b"))));
        assert_eq!(renamed(b"ab"), None);
        assert!(name(b"a.b").is_below(&name(b"a")));
        assert!(!name(b"ab").is_below(&name(b"a")));
    }

    proptest! {
        #[test]
        fn every_valid_name_survives_its_full_form(name in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(folder) = FolderName::new(&name) {
                prop_assert_eq!(&FolderName::from_full(&folder.to_full()).unwrap(), &folder);
                let directory = folder.directory();
                prop_assert!(!directory.contains(&b'/') && directory != b"." && directory != b"..");
            }
        }
    }
}
