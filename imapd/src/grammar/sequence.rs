//! Message sets.

use super::cursor::{Cursor, Parsed};

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// A message number or UID, never 0.
    Value(u32),
    /// `*`: the largest one in use.
    Largest,
}

/// A set as the client wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceSet(Vec<(Number, Number)>, bool);

/// A set with `*` filled in: ascending, disjoint, not adjacent, inclusive ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u32, u32)>);

impl SequenceSet {
    /// ```abnf
    /// sequence-set = (seq-number / seq-range) ["," sequence-set]
    /// seq-range    = seq-number ":" seq-number
    /// seq-number   = nz-number / "*"
    /// sequence-set =/ "$"                        ; RFC 5182
    /// ```
    ///
    /// # Errors
    /// Not a set.
    pub fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        if cursor.eat(b'$') {
            cursor.token()?;
            return Ok(Self(Vec::new(), true));
        }
        let mut elements = Vec::new();
        loop {
            let first = Number::parse(cursor)?;
            let last = if cursor.eat(b':') {
                Number::parse(cursor)?
            } else {
                first
            };
            elements.push((first, last));
            if !cursor.eat(b',') {
                return Ok(Self(elements, false));
            }
        }
    }

    /// True for `$`: the messages that the last SEARCH saved. The other functions see an empty set then.
    pub fn is_saved(&self) -> bool {
        self.1
    }

    /// The set with `*` standing for `largest`: the number of messages, or the highest UID; 0 in an empty mailbox,
    /// where `*` then stands for nothing. Reversed ranges mean the same as straight ones (RFC 3501 section 9).
    pub fn resolve(&self, largest: u32) -> Ranges {
        let mut ranges: Vec<(u32, u32)> = self
            .0
            .iter()
            .map(|&(first, last)| {
                let (first, last) = (first.or(largest), last.or(largest));
                (first.min(last), first.max(last))
            })
            .filter(|&(_, last)| last > 0)
            .map(|(first, last)| (first.max(1), last))
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => {
                    previous.1 = previous.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Ranges(merged)
    }

    /// True if every number named in the set (`*` aside) is at most `largest`: what message numbers must be.
    pub fn within(&self, largest: u32) -> bool {
        self.0.iter().all(|&(first, last)| {
            [first, last].iter().all(|number| match number {
                Number::Value(value) => *value <= largest,
                // `*` in an empty mailbox names no message.
                Number::Largest => largest > 0,
            })
        })
    }

    /// The elements as written.
    pub fn elements(&self) -> &[(Number, Number)] {
        &self.0
    }
}

impl Number {
    /// ```abnf
    /// seq-number = nz-number / "*"
    /// ```
    fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        if cursor.eat(b'*') {
            cursor.token()?;
            Ok(Self::Largest)
        } else {
            cursor.nz_number().map(Self::Value)
        }
    }

    fn or(self, largest: u32) -> u32 {
        match self {
            Self::Value(value) => value,
            Self::Largest => largest,
        }
    }
}

impl Ranges {
    /// The ranges, inclusive at both ends.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// True if `number` is in the set. Logarithmic in the number of ranges.
    pub fn contains(&self, number: u32) -> bool {
        let next = self.0.partition_point(|&(first, _)| first <= number);
        next.checked_sub(1)
            .and_then(|index| self.0.get(index))
            .is_some_and(|&(_, last)| number <= last)
    }

    /// True if the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A set of the numbers given in ascending order.
    pub fn from_ascending(numbers: impl IntoIterator<Item = u32>) -> Self {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some(last) if number <= last.1.saturating_add(1) => last.1 = last.1.max(number),
                _ => ranges.push((number, number)),
            }
        }
        Self(ranges)
    }

    /// The numbers as ranges in the order given, for results whose order matters (RFC 5267): only numbers that follow
    /// each other upwards are put together.
    pub fn in_order(numbers: impl IntoIterator<Item = u32>) -> Self {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some(last) if last.1.checked_add(1) == Some(number) => last.1 = number,
                _ => ranges.push((number, number)),
            }
        }
        Self(ranges)
    }

    /// Appends the wire form (`1:3,5`); nothing for an empty set.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for (index, (first, last)) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(first.to_string().as_bytes());
            if last > first {
                out.push(b':');
                out.extend_from_slice(last.to_string().as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str, largest: u32) -> Vec<(u32, u32)> {
        SequenceSet::parse(&mut Cursor::new(text.as_bytes()))
            .unwrap()
            .resolve(largest)
            .0
    }

    #[test]
    fn reversed_ranges_and_stars() {
        assert_eq!(resolved("5:4", 9), [(4, 5)]);
        assert_eq!(resolved("*:3", 9), [(3, 9)]);
        assert_eq!(resolved("99:*", 9), [(9, 99)]);
        assert_eq!(resolved("*", 9), [(9, 9)]);
        assert_eq!(resolved("1,3:5,4:7,8", 9), [(1, 1), (3, 8)]);
        assert_eq!(resolved("*", 0), []);
        assert_eq!(resolved("1:*", 0), [(1, 1)]);
        assert_eq!(
            resolved("4294967295,1", 9),
            [(1, 1), (4294967295, 4294967295)]
        );
    }

    #[test]
    fn sets_that_are_not() {
        for text in [
            "",
            "0",
            "1,",
            "1,$",
            ",1",
            "1:",
            "a",
            "4294967296",
            "1:0",
            "-1",
        ] {
            let mut cursor = Cursor::new(text.as_bytes());
            assert!(
                SequenceSet::parse(&mut cursor).is_err(),
                "{text:?} was accepted"
            );
        }
    }

    #[test]
    fn membership_and_encoding() {
        let ranges = Ranges(vec![(1, 3), (7, 7)]);
        let members: Vec<u32> = (0..10).filter(|&n| ranges.contains(n)).collect();
        assert_eq!(members, [1, 2, 3, 7]);
        let mut out = Vec::new();
        Ranges::from_ascending([1, 2, 3, 7]).encode(&mut out);
        assert_eq!(out, b"1:3,7");
        out.clear();
        Ranges::in_order([5, 2, 3, 1, u32::MAX]).encode(&mut out);
        assert_eq!(out, b"5,2:3,1,4294967295");
    }
}
