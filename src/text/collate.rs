//! The collation `i;unicode-casemap` (RFC 5051), by which SORT orders texts and THREAD takes subjects for the same
//! (RFC 5256 section 1): every character becomes its title case, then its full decomposition; the results compare as
//! octets of UTF-8.

use unicode_normalization::UnicodeNormalization as _;

/// The form of a text that compares octet by octet.
#[must_use]
pub fn key(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    text.chars().map(title_case).nfkd().collect()
}

/// The simple title case of a character. The standard library knows the upper case only: the two differ for the
/// Latin digraphs that have a form of their own for a capital first letter, and for Georgian, whose capitals are not
/// used that way. What becomes several letters in upper case (ß) has no simple mapping.
fn title_case(c: char) -> char {
    match c {
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        '\u{10d0}'..='\u{10fa}' | '\u{10fd}'..='\u{10ff}' => c,
        // Greek letters with iota below have a single title case letter, and two letters in upper case.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
            char::from_u32(u32::from(c) + 8).unwrap_or(c)
        }
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => char::from_u32(u32::from(c) + 9).unwrap_or(c),
        _ => {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(single), None) => single,
                _ => c,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::key;
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization as _;

    #[test]
    fn case_and_composition_do_not_count() {
        // The example of RFC 5051 section 2: U+01C4.
        assert_eq!(key("\u{1c4}"), "Dz\u{30c}");
        assert_eq!(key("\u{1c6}"), "Dz\u{30c}");
        assert_eq!(key("J\u{f6}rg"), key("JO\u{308}RG"));
        assert_eq!(key("\u{fb01}le"), key("\u{fb01}LE"));
        assert_eq!(key("stra\u{df}e"), "STRA\u{df}E");
        assert_eq!(key("\u{1f80}"), key("\u{1f88}"));
        assert_eq!(key("\u{1fb3}"), key("\u{1fbc}"));
        assert_eq!(key("\u{10d0}"), "\u{10d0}");
        assert_eq!(key("\u{436}\u{443}\u{43a}"), "\u{416}\u{423}\u{41a}");
        assert!(key("z") < key("\u{e9}") || key("e") < key("\u{e9}"));
        assert!(key("a") < key("B") && key("B") < key("c"));
    }

    proptest! {
        #[test]
        fn ascii_takes_the_same_way(text in "[ -~]{0,20}") {
            let long: String = text.chars().map(super::title_case).nfkd().collect();
            prop_assert_eq!(key(&text), long);
        }
    }
}
