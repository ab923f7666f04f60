//! Sets of rights (contract: shared-folders A2).

/// A right that the server gives meaning to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// `l`: see the folder in LIST and LSUB.
    Lookup,
    /// `r`: SELECT, STATUS, COPY from.
    Read,
    /// `s`: change `\Seen`.
    Seen,
    /// `w`: change the other flags and keywords, `\Deleted` aside.
    Write,
    /// `i`: APPEND, COPY into.
    Insert,
    /// `c`: make folders below.
    Create,
    /// `x`: DELETE and RENAME the folder.
    Delete,
    /// `t`: change `\Deleted`.
    Trash,
    /// `e`: EXPUNGE.
    Expunge,
    /// `a`: read and change the list.
    Administer,
}

impl Right {
    /// Its letter.
    pub fn letter(self) -> u8 {
        match self {
            Self::Lookup => b'l',
            Self::Read => b'r',
            Self::Seen => b's',
            Self::Write => b'w',
            Self::Insert => b'i',
            Self::Create => b'c',
            Self::Delete => b'x',
            Self::Trash => b't',
            Self::Expunge => b'e',
            Self::Administer => b'a',
        }
    }
}

/// A set of rights: letters, ascending, each once. Letters that nobody here knows are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights(Vec<u8>);

impl Rights {
    /// What an owner and administrators have by default: all but `p`, which has no function.
    pub const ALL: &'static [u8] = b"aceilrstwx";

    /// All of [`Self::ALL`].
    pub fn all() -> Self {
        Self(Self::ALL.to_vec())
    }

    /// From letters in any order; control bytes are left out.
    pub fn new(letters: &[u8]) -> Self {
        let mut letters: Vec<u8> = letters
            .iter()
            .copied()
            .filter(|letter| *letter >= 0x20)
            .collect();
        letters.sort_unstable();
        letters.dedup();
        Self(letters)
    }

    /// True if the right is in it.
    pub fn has(&self, right: Right) -> bool {
        self.0.contains(&right.letter())
    }

    /// True if at least one of `letters` is in it.
    pub fn has_any(&self, letters: &[u8]) -> bool {
        letters.iter().any(|letter| self.0.contains(letter))
    }

    /// True if all of `letters` are in it.
    pub fn has_all(&self, letters: &[u8]) -> bool {
        letters.iter().all(|letter| self.0.contains(letter))
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The letters, ascending.
    pub fn letters(&self) -> &[u8] {
        &self.0
    }

    /// With the rights of `other`.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self::new(&[self.letters(), other.letters()].concat())
    }

    /// Without the rights of `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(
            self.0
                .iter()
                .copied()
                .filter(|letter| !other.0.contains(letter))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_sorted_and_unique() {
        let rights = Rights::new(b"wrrZ\x01ql");
        assert_eq!(rights.letters(), b"Zlqrw");
        assert!(rights.has(Right::Lookup) && !rights.has(Right::Insert));
        assert_eq!(rights.with(&Rights::new(b"a")).letters(), b"Zalqrw");
        assert_eq!(rights.without(&Rights::new(b"Zrx")).letters(), b"lqw");
        assert!(rights.has_any(b"xw") && !rights.has_all(b"xw"));
    }
}
