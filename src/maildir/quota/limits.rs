//! The limit of a quota: `10000000S,1000C`.

use crate::sys::log::{Level, log};

/// Limits of an account; 0 is no limit of this kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Bytes of all messages, as stored.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
}

impl QuotaLimits {
    /// Reads numbers followed by `S` or `C`; what is between them does not matter, the last of a kind counts. A number
    /// without either letter, or beyond 63 bits, is left out with a log line.
    pub fn parse(text: &[u8]) -> Self {
        let (limits, understood) = Self::read(text);
        if !understood {
            log(
                Level::Warning,
                format_args!("quota string '{}' not parseable", text.escape_ascii()),
            );
        }
        limits
    }

    /// As [`Self::parse`]; `None` if a number would be left out, or there is none.
    pub fn parse_strict(text: &[u8]) -> Option<Self> {
        let (limits, understood) = Self::read(text);
        (understood && text.iter().any(u8::is_ascii_digit)).then_some(limits)
    }

    /// The limits, and whether every number was one.
    fn read(text: &[u8]) -> (Self, bool) {
        let mut limits = Self::default();
        let mut rest = text;
        let mut understood = true;
        while let Some(start) = rest.iter().position(u8::is_ascii_digit) {
            rest = rest.get(start..).unwrap_or_default();
            let end = rest
                .iter()
                .position(|byte| !byte.is_ascii_digit())
                .unwrap_or(rest.len());
            let (digits, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            let number = digits.iter().try_fold(0_u64, |number, digit| {
                number
                    .checked_mul(10)?
                    .checked_add(u64::from(digit.wrapping_sub(b'0')))
                    .filter(|number| i64::try_from(*number).is_ok())
            });
            match (number, after.first()) {
                (Some(number), Some(b'S')) => limits.bytes = number,
                (Some(number), Some(b'C')) => limits.messages = number,
                _ => understood = false,
            }
            rest = after;
        }
        (limits, understood)
    }

    /// True if nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// True if so many bytes and messages are within the limits; exactly the limit is.
    pub fn allow(&self, bytes: i64, messages: i64) -> bool {
        let within =
            |limit: u64, used: i64| limit == 0 || u64::try_from(used).unwrap_or(0) <= limit;
        within(self.bytes, bytes) && within(self.messages, messages)
    }

    /// The first line of the file, without its end.
    pub fn to_text(&self) -> String {
        match (self.bytes, self.messages) {
            (bytes, 0) => format!("{bytes}S"),
            (0, messages) => format!("{messages}C"),
            (bytes, messages) => format!("{bytes}S,{messages}C"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_strings() {
        let both = |bytes, messages| QuotaLimits { bytes, messages };
        for (text, limits) in [
            ("100S,4C", both(100, 4)),
            ("10C 20S", both(20, 10)),
            ("1S2S", both(2, 0)),
            ("7C", both(0, 7)),
            ("", both(0, 0)),
            ("junk", both(0, 0)),
            ("10M,5C", both(0, 5)),
            ("99999999999999999999S,5C", both(0, 5)),
            ("5", both(0, 0)),
        ] {
            assert_eq!(QuotaLimits::parse(text.as_bytes()), limits, "{text}");
        }
        for text in ["", "junk", "10M,5C", "5"] {
            assert_eq!(QuotaLimits::parse_strict(text.as_bytes()), None, "{text}");
        }
        assert_eq!(QuotaLimits::parse_strict(b"0S"), Some(both(0, 0)));
        assert_eq!(both(20, 10).to_text(), "20S,10C");
        assert_eq!(both(0, 10).to_text(), "10C");
        assert!(both(20, 0).allow(20, 99) && !both(20, 0).allow(21, 1));
        assert!(both(20, 1).allow(-5, -5));
    }
}
