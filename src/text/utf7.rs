//! UTF-7 (RFC 2152) in mail, decoding only: old mailers still have their messages in archives. Lenient; what is not
//! UTF-7 becomes U+FFFD.

/// Decoder state between two pieces of text.
#[derive(Debug, Default)]
pub struct Decoder {
    shifted: bool,
    /// Nothing but the `+` of the current sequence has come.
    empty: bool,
    bits: u32,
    have: u32,
    /// A high surrogate that waits for its partner.
    high: Option<u16>,
}

impl Decoder {
    /// Decodes a piece, appending to `out`. `last` ends the text.
    pub fn push(&mut self, bytes: &[u8], last: bool, out: &mut String) {
        for &byte in bytes {
            if !self.shifted {
                match byte {
                    b'+' => {
                        self.shifted = true;
                        self.empty = true;
                        self.bits = 0;
                        self.have = 0;
                    }
                    0x80.. => out.push('\u{fffd}'),
                    _ => out.push(char::from(byte)),
                }
                continue;
            }
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => {
                    self.leave(byte, out);
                    continue;
                }
            };
            self.empty = false;
            self.bits = (self.bits << 6) | u32::from(value);
            self.have += 6;
            if self.have >= 16 {
                self.have -= 16;
                let [_, _, high, low] = (self.bits >> self.have).to_be_bytes();
                self.bits &= (1 << self.have) - 1;
                self.unit(u16::from_be_bytes([high, low]), out);
            }
        }
        if last {
            self.orphan(out);
            *self = Self::default();
        }
    }

    /// A byte outside the alphabet ends a sequence; `-` is swallowed, and `+-` is a plus sign.
    fn leave(&mut self, byte: u8, out: &mut String) {
        self.orphan(out);
        self.shifted = false;
        match byte {
            b'-' if self.empty => out.push('+'),
            b'-' => {}
            0x80.. => out.push('\u{fffd}'),
            _ => out.push(char::from(byte)),
        }
    }

    /// Takes a UTF-16 unit.
    fn unit(&mut self, unit: u16, out: &mut String) {
        if let Some(high) = self.high.take() {
            if let Some(Ok(c)) = char::decode_utf16([high, unit]).next() {
                out.push(c);
                return;
            }
            out.push('\u{fffd}');
        }
        if matches!(unit, 0xd800..=0xdbff) {
            self.high = Some(unit);
        } else {
            out.push(char::from_u32(u32::from(unit)).unwrap_or('\u{fffd}'));
        }
    }

    /// A high surrogate without a partner.
    fn orphan(&mut self, out: &mut String) {
        if self.high.take().is_some() {
            out.push('\u{fffd}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Decoder;
    use proptest::prelude::*;

    fn decode(text: &[u8]) -> String {
        let mut out = String::new();
        Decoder::default().push(text, true, &mut out);
        out
    }

    #[test]
    fn texts() {
        for (text, expected) in [
            (&b"Die Fr+APY-sche"[..], "Die Fr\u{f6}sche"),
            (b"Hi Mom +Jjo-!", "Hi Mom \u{263a}!"),
            (b"1 +- 1 +AD0 2", "1 + 1 = 2"),
            (b"+2D3eAA-", "\u{1f600}"),
            (b"+2D0-x", "\u{fffd}x"),
            (b"+2D0A5A-", "\u{fffd}\u{e4}"),
            (b"a\xffb+", "a\u{fffd}b"),
        ] {
            assert_eq!(decode(text), expected);
        }
    }

    proptest! {
        #[test]
        fn pieces_decode_like_the_whole(bytes: Vec<u8>, text in "[+A-Da-d2/-]{0,30}", cut in 0usize..30) {
            for input in [bytes.as_slice(), text.as_bytes()] {
                let (a, b) = input.split_at(cut.min(input.len()));
                let mut decoder = Decoder::default();
                let mut out = String::new();
                decoder.push(a, false, &mut out);
                decoder.push(b, true, &mut out);
                prop_assert_eq!(out, decode(input));
            }
        }
    }
}
