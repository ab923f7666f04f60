//! The one door to character set conversion: a label as found in mail or in SEARCH CHARSET, bytes in, UTF-8 out.
//!
//! UTF-8, US-ASCII, ISO-8859-1 and UTF-7 are done here; everything else by `encoding_rs`, and what that does not know
//! by the C library, as far as its converters are installed. Conversion never fails: what cannot be converted becomes U+FFFD. Only a label nobody knows is an error, for the caller to decide about.

use std::borrow::Cow;
use std::ffi::CStr;

use encoding_rs::{CoderResult, Encoding};

use super::{legacy, utf7};
use crate::sys::iconv::Converter;

/// Labels of mail that `encoding_rs` knows under another name only.
const ALIASES: [(&str, &str); 12] = [
    ("cp932", "shift_jis"),
    ("cp936", "gbk"),
    ("cp949", "euc-kr"),
    ("cp950", "big5"),
    ("cp1250", "windows-1250"),
    ("cp1251", "windows-1251"),
    ("cp1252", "windows-1252"),
    ("iso-10646-ucs-2", "utf-16be"),
    ("ucs-2", "utf-16be"),
    ("x-sjis", "shift_jis"),
    ("x-user-defined-utf8", "utf-8"),
    ("euc_jp", "euc-jp"),
];

#[derive(Debug, Clone, Copy)]
enum Charset {
    Utf8,
    /// Declared ASCII: bytes ≥ 0x80 are taken for UTF-8 where they are that.
    Ascii,
    Latin1,
    Utf7,
    Other(&'static Encoding),
    /// By the C library, if it can.
    Legacy(&'static CStr),
}

fn find(label: &[u8]) -> Option<Charset> {
    let label = label.trim_ascii();
    // RFC 2231 section 5: a language may follow the charset.
    let label = label.split(|&byte| byte == b'*').next().unwrap_or_default();
    let is = |names: &[&str]| {
        names
            .iter()
            .any(|name| label.eq_ignore_ascii_case(name.as_bytes()))
    };
    if is(&["utf-8", "utf8", "unicode-1-1-utf-8"]) {
        return Some(Charset::Utf8);
    }
    if is(&["us-ascii", "ascii", "ansi_x3.4-1968", "iso646-us", "646"]) {
        return Some(Charset::Ascii);
    }
    if is(&["iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "l1"]) {
        return Some(Charset::Latin1);
    }
    if is(&["utf-7", "unicode-1-1-utf-7"]) {
        return Some(Charset::Utf7);
    }
    let alias = ALIASES
        .iter()
        .find(|(name, _)| label.eq_ignore_ascii_case(name.as_bytes()));
    let encoding =
        Encoding::for_label_no_replacement(alias.map_or(label, |(_, name)| name.as_bytes()));
    let Some(encoding) = encoding else {
        return legacy::name_of(label).map(Charset::Legacy);
    };
    Some(if encoding == encoding_rs::UTF_8 {
        Charset::Utf8
    } else {
        Charset::Other(encoding)
    })
}

/// Whether text labelled `label` (any case) can be converted.
#[must_use]
pub fn is_known(label: &[u8]) -> bool {
    match find(label) {
        Some(Charset::Legacy(name)) => Converter::new(name).is_some(),
        found => found.is_some(),
    }
}

/// Converts a whole text to UTF-8; `None` if the label is unknown.
#[must_use]
pub fn decode<'a>(label: &[u8], bytes: &'a [u8]) -> Option<Cow<'a, str>> {
    Some(match find(label)? {
        Charset::Utf8 => String::from_utf8_lossy(bytes),
        Charset::Ascii => guess(bytes),
        Charset::Latin1 => latin1(bytes),
        Charset::Utf7 => {
            let mut out = String::with_capacity(bytes.len());
            utf7::Decoder::default().push(bytes, true, &mut out);
            Cow::Owned(out)
        }
        Charset::Other(encoding) => encoding.decode_without_bom_handling(bytes).0,
        Charset::Legacy(name) => {
            let mut out = String::with_capacity(bytes.len());
            Converter::new(name)?.push(bytes, true, &mut out);
            Cow::Owned(out)
        }
    })
}

/// Converts text without a usable label: UTF-8 if it is that, else Latin-1 (in its Windows form).
#[must_use]
pub fn guess(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => latin1(bytes),
    }
}

/// Latin-1 with the Windows characters in the C1 range, as mail labelled so is meant.
fn latin1(bytes: &[u8]) -> Cow<'_, str> {
    if bytes.is_ascii() {
        // Cannot fail, and the lossy form needs no proof of it.
        return String::from_utf8_lossy(bytes);
    }
    Cow::Owned(bytes.iter().map(|&byte| latin1_char(byte)).collect())
}

fn latin1_char(byte: u8) -> char {
    const WINDOWS: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => WINDOWS
            .get(usize::from(byte - 0x80))
            .copied()
            .unwrap_or('\u{fffd}'),
        _ => char::from(byte),
    }
}

/// Converts a text that arrives in pieces.
pub struct Decoder(State);

enum State {
    /// The bytes of a sequence cut off by the end of the last piece; at most 3.
    Utf8(Vec<u8>),
    Latin1,
    Utf7(utf7::Decoder),
    Other(Box<encoding_rs::Decoder>),
    Legacy(Converter),
}

impl Decoder {
    /// A decoder for a label; `None` if the label is unknown.
    #[must_use]
    pub fn new(label: &[u8]) -> Option<Self> {
        Some(Self(match find(label)? {
            Charset::Utf8 | Charset::Ascii => State::Utf8(Vec::new()),
            Charset::Latin1 => State::Latin1,
            Charset::Utf7 => State::Utf7(utf7::Decoder::default()),
            Charset::Other(encoding) => {
                State::Other(Box::new(encoding.new_decoder_without_bom_handling()))
            }
            Charset::Legacy(name) => State::Legacy(Converter::new(name)?),
        }))
    }

    /// Converts a piece, appending to `out`. `last` ends the text: a sequence cut off there becomes U+FFFD.
    pub fn push(&mut self, bytes: &[u8], last: bool, out: &mut String) {
        match &mut self.0 {
            State::Latin1 => out.extend(bytes.iter().map(|&byte| latin1_char(byte))),
            State::Utf7(decoder) => decoder.push(bytes, last, out),
            State::Legacy(converter) => converter.push(bytes, last, out),
            State::Utf8(carry) => push_utf8(carry, bytes, last, out),
            State::Other(decoder) => {
                let mut rest = bytes;
                loop {
                    out.reserve(rest.len() + 16);
                    let (result, read, _) = decoder.decode_to_string(rest, out, last);
                    rest = rest.get(read..).unwrap_or_default();
                    if result == CoderResult::InputEmpty {
                        break;
                    }
                }
                if last {
                    let encoding = decoder.encoding();
                    **decoder = encoding.new_decoder_without_bom_handling();
                }
            }
        }
    }
}

fn push_utf8(carry: &mut Vec<u8>, bytes: &[u8], last: bool, out: &mut String) {
    let joined;
    let mut input = bytes;
    if !carry.is_empty() {
        carry.extend_from_slice(bytes);
        joined = std::mem::take(carry);
        input = &joined;
    }
    for chunk in input.utf8_chunks() {
        out.push_str(chunk.valid());
        let invalid = chunk.invalid();
        if invalid.is_empty() {
            continue;
        }
        let at_end = invalid.as_ptr_range().end == input.as_ptr_range().end;
        let cut_off =
            at_end && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
        if cut_off && !last {
            carry.extend_from_slice(invalid);
        } else {
            out.push('\u{fffd}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Decoder, decode, guess, is_known};
    use proptest::prelude::*;

    #[test]
    fn labels() {
        for label in [
            "utf-8",
            "UTF8",
            "us-ascii",
            "ISO-8859-1",
            "iso-8859-15",
            "KOI8-R",
            "GB18030",
            "cp932",
            "iso-2022-jp",
        ] {
            assert!(is_known(label.as_bytes()), "{label}");
        }
        for label in [
            "",
            "x-foo",
            "unknown-8bit",
            "replacement",
            "UTF-8//IGNORE",
            "hz-gb-2312",
        ] {
            assert!(!is_known(label.as_bytes()), "{label}");
        }
        assert!(is_known(b"utf-8*EN"));
    }

    /// Whether the C library's converters are installed; says so if not.
    fn legacy_is_installed() -> bool {
        let installed = is_known(b"iso-2022-kr");
        if !installed {
            let line = b"skipped: the C library's character set converters are not installed\n";
            std::io::Write::write_all(&mut std::io::stdout().lock(), line).unwrap();
        }
        installed
    }

    #[test]
    fn texts_in_sets_of_the_c_library() {
        if !legacy_is_installed() {
            return;
        }
        for (label, bytes, text) in [
            (
                &b"ISO-2022-KR"[..],
                &b"\x1b$)C\x0eGQ1[\x0f"[..],
                "\u{d55c}\u{ae00}",
            ),
            (b"cp437", b"\x84\x94\x81", "\u{e4}\u{f6}\u{fc}"),
            (b"IBM850", b"\x84\xe1", "\u{e4}\u{df}"),
            (b"VISCII", b"Vi\xaet", "Vi\u{1ec7}t"),
            (b"koi8-t", b"\xf6", "\u{416}"),
            (b"UTF-32BE", b"\0\0\0A\0\x01\xf6\0", "A\u{1f600}"),
            (b"iso-2022-jp-2", b"\x1b$BF|K\\\x1b(B", "\u{65e5}\u{672c}"),
        ] {
            assert!(is_known(label));
            let shown = String::from_utf8_lossy(label);
            assert_eq!(decode(label, bytes).unwrap(), text, "{shown}");
            let mut decoder = Decoder::new(label).unwrap();
            for round in 0..2 {
                let mut out = String::new();
                for byte in bytes {
                    decoder.push(&[*byte], false, &mut out);
                }
                decoder.push(b"", true, &mut out);
                assert_eq!(out, text, "{shown}, round {round}");
            }
        }
    }

    #[test]
    fn texts() {
        assert_eq!(decode(b"iso-8859-1", b"J\xf6rg \x80").unwrap(), "Jörg €");
        assert_eq!(
            decode(b"utf-8", b"J\xc3\xb6rg \xff").unwrap(),
            "Jörg \u{fffd}"
        );
        assert_eq!(decode(b"us-ascii", "Jörg".as_bytes()).unwrap(), "Jörg");
        assert_eq!(decode(b"koi8-r", b"\xf6\xf5\xeb").unwrap(), "ЖУК");
        assert_eq!(
            decode(b"iso-2022-jp", b"\x1b$BF|K\\\x1b(B").unwrap(),
            "日本"
        );
        assert!(decode(b"x-none", b"a").is_none());
        assert_eq!(guess(b"J\xf6rg"), "Jörg");
    }

    proptest! {
        #[test]
        fn pieces_decode_like_the_whole(bytes: Vec<u8>, cut in 0usize..32, which in 0usize..5) {
            let label = [&b"utf-8"[..], b"iso-8859-1", b"shift_jis", b"utf-16le", b"gb18030"][which];
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            let mut decoder = Decoder::new(label).unwrap();
            let mut out = String::new();
            decoder.push(a, false, &mut out);
            decoder.push(b, true, &mut out);
            prop_assert_eq!(out, decode(label, &bytes).unwrap());
        }

        #[test]
        fn pieces_in_sets_of_the_c_library(bytes: Vec<u8>, cut in 0usize..32, which in 0usize..6) {
            let label = [&b"cp437"[..], b"iso-2022-kr", b"euc-tw", b"utf-32le", b"viscii", b"iso-2022-cn"][which];
            if let Some(mut decoder) = Decoder::new(label) {
                let (a, b) = bytes.split_at(cut.min(bytes.len()));
                let mut out = String::new();
                decoder.push(a, false, &mut out);
                decoder.push(b, true, &mut out);
                prop_assert_eq!(out, decode(label, &bytes).unwrap());
            }
        }

        #[test]
        fn utf8_byte_by_byte(text: String) {
            let mut decoder = Decoder::new(b"utf-8").unwrap();
            let mut out = String::new();
            for byte in text.bytes() {
                decoder.push(&[byte], false, &mut out);
            }
            decoder.push(b"", true, &mut out);
            prop_assert_eq!(out, text);
        }
    }
}
