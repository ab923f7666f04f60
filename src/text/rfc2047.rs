//! Encoded words in headers (RFC 2047): `=?charset?B|Q?text?=`.
//!
//! [`decode`] is lenient, for SEARCH and sort keys; [`encode`] makes the ASCII form of 8-bit header text for clients
//! that did not enable UTF8=ACCEPT. Both take time linear in their input.

use std::borrow::Cow;

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;

use super::{base64, charset};

/// Longest charset name taken for one.
const CHARSET_MAX: usize = 64;
/// Bytes of text per encoded word, so that the word with its 12 bytes of frame stays within the 75 of RFC 2047.
const WORD_TEXT_MAX: usize = 45;

/// An encoded word in the input.
struct Word<'a> {
    charset: &'a [u8],
    base64: bool,
    text: &'a [u8],
    /// What follows it.
    rest: &'a [u8],
}

/// Decodes a header value. Folding is undone, white space between adjacent encoded words dropped, adjacent words of one
/// charset are joined before conversion (a character may be split between them), and raw 8-bit text is taken for UTF-8
/// or else Latin-1. A word in an unknown charset stays as it is.
#[must_use]
pub fn decode(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    // Decoded bytes not yet converted, and their charset.
    let mut pending: Option<(&[u8], Vec<u8>)> = None;
    loop {
        let start = memchr::memmem::find(rest, b"=?");
        let Some(start) = start else {
            flush(&mut pending, &mut out);
            push_plain(rest, &mut out);
            return out;
        };
        let (before, at) = rest.split_at_checked(start).unwrap_or((rest, b""));
        let Some(word) = parse_word(at) else {
            // Not a word: "=?" is text like any other.
            let (plain, after) = rest.split_at_checked(start + 2).unwrap_or((rest, b""));
            flush(&mut pending, &mut out);
            push_plain(plain, &mut out);
            rest = after;
            continue;
        };
        let adjacent = pending.is_some() && before.iter().all(u8::is_ascii_whitespace);
        if !adjacent {
            flush(&mut pending, &mut out);
            push_plain(before, &mut out);
        }
        match &mut pending {
            Some((charset, bytes)) if charset.eq_ignore_ascii_case(word.charset) => {
                decode_text(&word, bytes)
            }
            _ => {
                flush(&mut pending, &mut out);
                let mut bytes = Vec::with_capacity(word.text.len());
                decode_text(&word, &mut bytes);
                pending = Some((word.charset, bytes));
            }
        }
        rest = word.rest;
    }
}

fn flush(pending: &mut Option<(&[u8], Vec<u8>)>, out: &mut String) {
    if let Some((charset, bytes)) = pending.take() {
        match charset::decode(charset, &bytes) {
            Some(text) => out.push_str(&text),
            None => out.push_str(&charset::guess(&bytes)),
        }
    }
}

/// Unfolds: a line end before white space vanishes, any other becomes a space.
fn push_plain(text: &[u8], out: &mut String) {
    if memchr::memchr2(b'\r', b'\n', text).is_none() {
        out.push_str(&charset::guess(text));
        return;
    }
    let mut unfolded = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'\r', Some(b'\n')) => {}
            (b'\r' | b'\n', Some(b' ' | b'\t') | None) => {}
            (b'\r' | b'\n', _) => unfolded.push(b' '),
            _ => unfolded.push(byte),
        }
    }
    out.push_str(&charset::guess(&unfolded));
}

/// Reads an encoded word at the start of the input, which begins with `=?`.
fn parse_word(input: &[u8]) -> Option<Word<'_>> {
    let after = input.get(2..)?;
    let window = after.get(..CHARSET_MAX.min(after.len()))?;
    let end = window
        .iter()
        .position(|&byte| byte == b'?' || byte <= b' ' || byte >= 0x7f)?;
    let (charset, after) = after.split_at_checked(end)?;
    let [b'?', encoding, b'?', after @ ..] = after else {
        return None;
    };
    if charset.is_empty() {
        return None;
    }
    let base64 = match encoding {
        b'B' | b'b' => true,
        b'Q' | b'q' => false,
        _ => return None,
    };
    // Spaces inside are against the rules but common; a line end is not part of any word.
    let end = memchr::memchr2(b'?', b'\n', after)?;
    let (text, after) = after.split_at_checked(end)?;
    let [b'?', b'=', rest @ ..] = after else {
        return None;
    };
    Some(Word {
        charset,
        base64,
        text,
        rest,
    })
}

fn decode_text(word: &Word<'_>, out: &mut Vec<u8>) {
    if word.base64 {
        let mut decoder = base64::Decoder::default();
        decoder.push(word.text, out);
        decoder.finish(out);
        return;
    }
    let mut text = word.text;
    while let [byte, rest @ ..] = text {
        text = rest;
        match (byte, rest) {
            (b'_', _) => out.push(b' '),
            (b'=', [high, low, after @ ..]) => {
                if let (Some(high), Some(low)) = (hex(*high), hex(*low)) {
                    out.push(high << 4 | low);
                    text = after;
                } else {
                    out.push(b'=');
                }
            }
            _ => out.push(*byte),
        }
    }
}

/// Value of a hexadecimal digit of either case.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Turns the 8-bit stretches of a header text into UTF-8 encoded words; ASCII text is returned as it is. Text that is
/// not UTF-8 is taken for Latin-1.
#[must_use]
pub fn encode(text: &[u8]) -> Cow<'_, str> {
    let text = charset::guess(text);
    if text.is_ascii() {
        return text;
    }
    let mut out = String::with_capacity(text.len() * 2);
    // Neighbouring words that need encoding, with the white space between them.
    let mut stretch = String::new();
    let mut after_encoded = false;
    let mut rest = &*text;
    while !rest.is_empty() {
        let word_start = rest.len() - rest.trim_start().len();
        let (space, tail) = rest.split_at_checked(word_start).unwrap_or(("", rest));
        let word_end = tail.find(char::is_whitespace).unwrap_or(tail.len());
        let (word, tail) = tail.split_at_checked(word_end).unwrap_or((tail, ""));
        rest = tail;
        if word.is_ascii() {
            flush_stretch(&mut stretch, &mut out);
            out.push_str(space);
            out.push_str(word);
            after_encoded = word.starts_with("=?");
        } else if stretch.is_empty() {
            out.push_str(space);
            // White space between encoded words is dropped by readers, so one has to be inside.
            if after_encoded {
                stretch.push(' ');
            }
            stretch.push_str(word);
        } else {
            stretch.push_str(space);
            stretch.push_str(word);
        }
    }
    flush_stretch(&mut stretch, &mut out);
    Cow::Owned(out)
}

fn flush_stretch(stretch: &mut String, out: &mut String) {
    let mut word = String::new();
    let mut first = true;
    let mut chars = stretch.chars().peekable();
    while let Some(c) = chars.next() {
        word.push(c);
        let next = chars.peek().map_or(0, |c| c.len_utf8());
        if next == 0 || word.len() + next > WORD_TEXT_MAX {
            if !first {
                out.push(' ');
            }
            first = false;
            out.push_str("=?utf-8?B?");
            STANDARD.encode_string(&word, out);
            out.push_str("?=");
            word.clear();
        }
    }
    stretch.clear();
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use crate::cpu_time::CpuTime;
    use proptest::prelude::*;
    use std::hint::black_box;
    use std::time::Duration;

    #[test]
    fn words_decode() {
        for (value, text) in [
            (&b"plain"[..], "plain"),
            (b"Hello =?utf-8?q?w=C3=B6rld?=", "Hello w\u{f6}rld"),
            (b"=?ISO-8859-1?Q?Andr=E9?= Pirard", "Andr\u{e9} Pirard"),
            (b"=?utf-8?B?w7xiZXI=?=", "\u{fc}ber"),
            (b"(=?ISO-8859-1?Q?a?= b)", "(a b)"),
            (b"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            (b"=?ISO-8859-1?Q?a?=\r\n   =?utf-8?Q?b?=", "ab"),
            (b"=?ISO-8859-1?Q?a_b?=", "a b"),
            (b"=?utf-8?Q?=C3?= =?utf-8?Q?=BC?=", "\u{fc}"),
            (b"=?utf-8*de?Q?=C3=BC?=", "\u{fc}"),
            (b"a\r\n b\n\tc", "a b\tc"),
            (b"J\xf6rg", "J\u{f6}rg"),
            (b"J\xc3\xb6rg", "J\u{f6}rg"),
            (b"=?x?y", "=?x?y"),
            (b"=?x?q?abc", "=?x?q?abc"),
            (b"=?utf-8?Q?a=ZZb=?=", "a=ZZb="),
            (b"=?=?utf-8?Q?a?=", "=?a"),
        ] {
            assert_eq!(decode(value), text, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn eight_bit_text_becomes_words() {
        assert_eq!(encode(b"plain text"), "plain text");
        assert_eq!(encode("\u{fc}ber".as_bytes()), "=?utf-8?B?w7xiZXI=?=");
        assert_eq!(
            encode("a \u{fc}ber b".as_bytes()),
            "a =?utf-8?B?w7xiZXI=?= b"
        );
        assert_eq!(encode(b"\xfcber"), "=?utf-8?B?w7xiZXI=?=");
    }

    #[test]
    fn hostile_values_take_linear_time() {
        let start = CpuTime::now();
        for unit in ["=?", "=?a?q?", "=?a?q", "=?utf-8?Q?a?= ", "?=", "=?a?b?=?"] {
            black_box(decode(unit.repeat(200_000).as_bytes()));
        }
        black_box(encode("\u{fc} a ".repeat(200_000).as_bytes()));
        assert!(start.elapsed() < Duration::from_secs(8));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(words in proptest::collection::vec("[a-z\u{e4}\u{f6}\u{6f22}=?]{1,30}", 0..8)) {
            let text = words.join(" ");
            // A word that already looks encoded would be decoded in turn.
            prop_assume!(!text.contains("=?"));
            let encoded = encode(text.as_bytes());
            prop_assert!(encoded.is_ascii());
            for word in encoded.split(' ') {
                prop_assert!(!word.starts_with("=?") || word.len() <= 75);
            }
            prop_assert_eq!(decode(encoded.as_bytes()), text);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            black_box(decode(&bytes));
            black_box(encode(&bytes));
        }
    }
}
