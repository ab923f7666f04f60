//! Modified UTF-7 (RFC 3501 section 5.1.3), the form of mailbox names on the wire unless UTF8=ACCEPT is enabled.
//!
//! Strict in both directions, so that one folder has exactly one wire name: whatever [`decode`] accepts, [`encode`]
//! turns back into the same bytes. A shift sequence may not stand for anything that can stand for itself, which also
//! keeps an encoded `.` from making a level of hierarchy and an encoded `/` from leaving the maildir. As a sequence
//! cannot contain a bare `.` either, whole names convert component by component.

use std::fmt;

/// Why a name cannot be converted. The text is for logs; clients get the reply of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// A byte ≥ 0x80 on the wire without UTF8=ACCEPT.
    EightBit,
    /// NUL or another control character, plain or encoded.
    Control,
    /// A malformed, unterminated or superfluous `&...-` sequence.
    Shift,
    /// An unpaired UTF-16 surrogate.
    Surrogate,
    /// A printable ASCII character was encoded, `.` and `/` among them.
    Printable,
    /// The name on disk (or sent after ENABLE UTF8=ACCEPT) is not UTF-8.
    NotUtf8,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EightBit => "8-bit byte in a mailbox name",
            Self::Control => "control character in a mailbox name",
            Self::Shift => "malformed modified UTF-7",
            Self::Surrogate => "unpaired surrogate in modified UTF-7",
            Self::Printable => "printable character encoded in modified UTF-7",
            Self::NotUtf8 => "mailbox name is not UTF-8",
        })
    }
}

impl std::error::Error for Error {}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Converts a mailbox name, or one component of it, from the wire form to UTF-8.
///
/// # Errors
/// Anything that is not the one canonical encoding of a name without control characters.
pub fn decode(name: &[u8]) -> Result<String, Error> {
    let mut out = String::with_capacity(name.len());
    let mut bytes = name.iter();
    // Set right after a base64 sequence: another one there would be a superfluous shift.
    let mut just_shifted = false;
    while let Some(&byte) = bytes.next() {
        match byte {
            b'&' => {
                let rest = bytes.as_slice();
                let end = rest.iter().position(|&b| b == b'-').ok_or(Error::Shift)?;
                let (sequence, after) = rest.split_at_checked(end).ok_or(Error::Shift)?;
                bytes = after.get(1..).unwrap_or_default().iter();
                if sequence.is_empty() {
                    out.push('&');
                    just_shifted = false;
                } else if just_shifted {
                    return Err(Error::Shift);
                } else {
                    decode_sequence(sequence, &mut out)?;
                    just_shifted = true;
                }
            }
            0x20..=0x7e => {
                out.push(char::from(byte));
                just_shifted = false;
            }
            0x80.. => return Err(Error::EightBit),
            _ => return Err(Error::Control),
        }
    }
    Ok(out)
}

fn decode_sequence(sequence: &[u8], out: &mut String) -> Result<(), Error> {
    let mut units = Vec::with_capacity(sequence.len() * 3 / 8 + 1);
    let mut bits = 0u32;
    let mut have = 0u32;
    for &byte in sequence {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b',' => 63,
            0x80.. => return Err(Error::EightBit),
            _ => return Err(Error::Shift),
        };
        bits = (bits << 6) | u32::from(value);
        have += 6;
        if have >= 16 {
            have -= 16;
            let [_, _, high, low] = (bits >> have).to_be_bytes();
            units.push(u16::from_be_bytes([high, low]));
            bits &= (1 << have) - 1;
        }
    }
    // What is left must be padding of the last unit: fewer bits than one digit, all zero.
    if have >= 6 || bits != 0 || units.is_empty() {
        return Err(Error::Shift);
    }
    for unit in char::decode_utf16(units) {
        match unit {
            Ok(' '..='~') => return Err(Error::Printable),
            Ok(c) if c.is_control() => return Err(Error::Control),
            Ok(c) => out.push(c),
            Err(_) => return Err(Error::Surrogate),
        }
    }
    Ok(())
}

/// Converts a mailbox name, or one component of it, from its form on disk (UTF-8) to the wire form, pure ASCII.
///
/// # Errors
/// [`Error::NotUtf8`] and [`Error::Control`]: such names cannot be shown to a client.
pub fn encode(name: &[u8]) -> Result<String, Error> {
    let name = check_utf8(name)?;
    let mut out = String::with_capacity(name.len());
    let mut pending: Vec<u16> = Vec::new();
    let mut units = [0; 2];
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            encode_sequence(&mut pending, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            pending.extend_from_slice(c.encode_utf16(&mut units));
        }
    }
    encode_sequence(&mut pending, &mut out);
    Ok(out)
}

fn encode_sequence(pending: &mut Vec<u16>, out: &mut String) {
    if pending.is_empty() {
        return;
    }
    let digit = |value: u32| char::from(ALPHABET[(value & 63) as usize]);
    out.push('&');
    let mut bits = 0u32;
    let mut have = 0;
    for unit in pending.drain(..) {
        bits = (bits << 16) | u32::from(unit);
        have += 16;
        while have >= 6 {
            have -= 6;
            out.push(digit(bits >> have));
        }
        bits &= (1 << have) - 1;
    }
    if have > 0 {
        out.push(digit(bits << (6 - have)));
    }
    out.push('-');
}

/// Checks a name that is already UTF-8: one sent after ENABLE UTF8=ACCEPT, or one found on disk.
///
/// # Errors
/// [`Error::NotUtf8`], or [`Error::Control`] for NUL and the other control characters of ASCII and Latin-1.
pub fn check_utf8(name: &[u8]) -> Result<&str, Error> {
    let name = std::str::from_utf8(name).map_err(|_| Error::NotUtf8)?;
    if name.chars().any(char::is_control) {
        return Err(Error::Control);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::{Error, check_utf8, decode, encode};
    use proptest::prelude::*;

    #[test]
    fn known_pairs() {
        for (wire, text) in [
            ("INBOX", "INBOX"),
            ("INBOX.Entw&APw-rfe", "INBOX.Entwürfe"),
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("a&-b", "a&b"),
            ("&AOk-&-", "é&"),
            ("&2D3eAA-", "😀"),
            ("&AOk-.&AOk-", "é.é"),
            ("", ""),
        ] {
            assert_eq!(decode(wire.as_bytes()).as_deref(), Ok(text));
            assert_eq!(encode(text.as_bytes()).as_deref(), Ok(wire));
        }
    }

    #[test]
    fn everything_but_the_canonical_form_is_refused() {
        for (wire, error) in [
            (&b"x&y"[..], Error::Shift),
            (b"&", Error::Shift),
            (b"&!!!-", Error::Shift),
            (b"&A-", Error::Shift),
            (b"&AO-", Error::Shift),
            (b"&AOl-", Error::Shift),
            (b"&AOkA-", Error::Shift),
            (b"&AOk-&AOk-", Error::Shift),
            (b"&AOk.AOk-", Error::Shift),
            (b"&AOk/-", Error::Shift),
            (b"x&AC8-y", Error::Printable),
            (b"x&AC4-y", Error::Printable),
            (b"&ACY-", Error::Printable),
            (b"&AAA-", Error::Control),
            (b"&AIU-", Error::Control),
            (b"a\0b", Error::Control),
            (b"a\nb", Error::Control),
            (b"a\x7f", Error::Control),
            (b"&2D0-", Error::Surrogate),
            (b"&3gA-", Error::Surrogate),
            (b"\xc3\xa9", Error::EightBit),
            (b"&\xc3-", Error::EightBit),
        ] {
            assert_eq!(decode(wire), Err(error), "{}", wire.escape_ascii());
        }
        assert_eq!(encode(b"\xff"), Err(Error::NotUtf8));
        assert_eq!(encode(b"a\tb"), Err(Error::Control));
        assert_eq!(check_utf8("é\u{85}".as_bytes()), Err(Error::Control));
    }

    proptest! {
        #[test]
        fn round_trip(text: String) {
            if check_utf8(text.as_bytes()).is_ok() {
                let wire = encode(text.as_bytes()).unwrap();
                prop_assert!(wire.is_ascii());
                prop_assert_eq!(decode(wire.as_bytes()).unwrap(), text);
            }
        }

        #[test]
        fn whatever_decodes_is_canonical(wire in "[&A-Za-z0-9+,.-]{0,24}") {
            if let Ok(text) = decode(wire.as_bytes()) {
                prop_assert_eq!(encode(text.as_bytes()).unwrap(), wire);
            }
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            // Only that it returns matters here.
            let _ = decode(&bytes).and_then(|text| encode(text.as_bytes()));
        }
    }
}
