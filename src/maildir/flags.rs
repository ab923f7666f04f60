//! The flags that Maildir keeps in file names (contract: maildir 3.4).

use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// A set of the five flags that a message's file name carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(u8);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `D`, `\Draft`.
    pub const DRAFT: Self = Self(1);
    /// `F`, `\Flagged`.
    pub const FLAGGED: Self = Self(2);
    /// `R`, `\Answered`.
    pub const ANSWERED: Self = Self(4);
    /// `S`, `\Seen`.
    pub const SEEN: Self = Self(8);
    /// `T`, `\Deleted`.
    pub const DELETED: Self = Self(16);
    /// All five.
    pub const ALL: Self = Self(31);

    /// Each flag with its letter, in the order in which file names carry them.
    pub(crate) const LETTERS: [(Self, u8); 5] = [
        (Self::DRAFT, b'D'),
        (Self::FLAGGED, b'F'),
        (Self::ANSWERED, b'R'),
        (Self::SEEN, b'S'),
        (Self::DELETED, b'T'),
    ];

    /// True if every flag of `other` is in this set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if no flag is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This set without the flags of `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The set as a number.
    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    /// The set that [`Self::bits`] made this number of.
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        (bits & !Self::ALL.0 == 0).then_some(Self(bits))
    }

    /// The flag of one letter; empty for letters that are none of the five.
    pub(crate) fn of_letter(letter: u8) -> Self {
        Self::LETTERS
            .iter()
            .find(|(_, known)| *known == letter)
            .map_or(Self::NONE, |(flag, _)| *flag)
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Flags {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Flags {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0 & Self::ALL.0)
    }
}
