//! Structured field values with parameters: Content-Type and Content-Disposition (RFC 2045 section 5, RFC 2183), and
//! the continued and encoded parameters of RFC 2231. Lenient, and linear (RFC 2231: n log n) in the input.

use std::borrow::Cow;

use crate::text::charset;

/// A value with parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Value {
    /// What precedes the first `;`, without comments and white space: `text/plain`, `attachment`.
    pub main: Vec<u8>,
    /// The parameters in order of appearance.
    pub params: Vec<Param>,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name, lower-cased, with the `*` marks of RFC 2231.
    pub name: Vec<u8>,
    /// Its value as spelled, without quoting.
    pub value: Vec<u8>,
}

impl Value {
    /// Reads a field value, folded or not. Whatever it is, something comes out.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut reader = Reader { rest: text };
        let mut value = Self {
            main: reader.main(),
            params: Vec::new(),
        };
        while reader.eat(b';') {
            if let Some(param) = reader.param() {
                value.params.push(param);
            }
        }
        value
    }

    /// A parameter's value by its lower-case name. A plain parameter wins; else the pieces of RFC 2231 are joined and
    /// percent-decoded, in the character set they name.
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        if let Some(param) = self.params.iter().find(|param| param.name == name) {
            return Some(Cow::Borrowed(&param.value));
        }
        self.extended(name).map(|(_, bytes)| Cow::Owned(bytes))
    }

    /// A parameter's value as text: RFC 2231 or, as most mailers do it, RFC 2047 encoded words.
    #[must_use]
    pub fn param_text(&self, name: &[u8]) -> Option<String> {
        if let Some(param) = self.params.iter().find(|param| param.name == name) {
            return Some(crate::text::rfc2047::decode(&param.value));
        }
        let (label, bytes) = self.extended(name)?;
        let text = charset::decode(&label, &bytes).unwrap_or_else(|| charset::guess(&bytes));
        Some(text.into_owned())
    }

    /// Character set label and bytes of `name*`, `name*0`, `name*0*`, ...
    fn extended(&self, name: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut pieces: Vec<(u32, bool, &[u8])> = Vec::new();
        for param in &self.params {
            let Some(suffix) = param.name.strip_prefix(name) else {
                continue;
            };
            let Some(suffix) = suffix.strip_prefix(b"*") else {
                continue;
            };
            if suffix.is_empty() {
                // One piece, encoded: complete.
                pieces = vec![(0, true, &param.value)];
                break;
            }
            let (digits, encoded) = match suffix.strip_suffix(b"*") {
                Some(digits) => (digits, true),
                None => (suffix, false),
            };
            let valid = matches!(digits.len(), 1..=6) && digits.iter().all(u8::is_ascii_digit);
            if valid {
                let number = digits
                    .iter()
                    .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
                pieces.push((number, encoded, &param.value));
            }
        }
        // Stable: the first of two pieces with one number counts.
        pieces.sort_by_key(|&(number, ..)| number);
        pieces.dedup_by_key(|piece| piece.0);
        let mut label = Vec::new();
        let mut out = Vec::new();
        for (expected, (number, encoded, value)) in (0..).zip(pieces.iter().copied()) {
            if number != expected {
                break;
            }
            let mut value = value;
            if encoded && expected == 0 {
                let mut parts = value.splitn(3, |&byte| byte == b'\'');
                if let (Some(charset), Some(_language), Some(text)) =
                    (parts.next(), parts.next(), parts.next())
                {
                    label = charset.to_vec();
                    value = text;
                }
            }
            if encoded {
                percent_decode(value, &mut out);
            } else {
                out.extend_from_slice(value);
            }
        }
        (!pieces.is_empty() && pieces.first().is_some_and(|piece| piece.0 == 0))
            .then_some((label, out))
    }
}

fn percent_decode(text: &[u8], out: &mut Vec<u8>) {
    let hex = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        if let (b'%', [high, low, after @ ..]) = (byte, after) {
            if let (Some(high), Some(low)) = (hex(*high), hex(*low)) {
                out.push(high << 4 | low);
                rest = after;
                continue;
            }
        }
        out.push(*byte);
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn bump(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn eat(&mut self, byte: u8) -> bool {
        if self.rest.first() == Some(&byte) {
            self.bump();
            return true;
        }
        false
    }

    /// Skips a comment; the opening parenthesis is next.
    fn comment(&mut self) {
        let mut depth = 0u32;
        while let Some(byte) = self.bump() {
            match byte {
                b'(' => depth = depth.saturating_add(1),
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                b'\\' => {
                    self.bump();
                }
                _ => {}
            }
        }
    }

    fn main(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(&byte) = self.rest.first() {
            match byte {
                b';' => break,
                b'(' => self.comment(),
                _ => {
                    self.bump();
                    if byte > b' ' && byte != b'"' {
                        out.push(byte);
                    }
                }
            }
        }
        out
    }

    /// One parameter, up to the next `;`.
    fn param(&mut self) -> Option<Param> {
        let mut name = Vec::new();
        let mut value = Vec::new();
        loop {
            match *self.rest.first()? {
                b';' => return None,
                b'(' => self.comment(),
                b'=' => {
                    self.bump();
                    break;
                }
                byte => {
                    self.bump();
                    if byte > b' ' {
                        name.push(byte.to_ascii_lowercase());
                    }
                }
            }
        }
        while self.rest.first().is_some_and(u8::is_ascii_whitespace) {
            self.bump();
        }
        if self.eat(b'"') {
            while let Some(byte) = self.bump() {
                match byte {
                    b'"' => break,
                    b'\\' => value.extend(self.bump()),
                    b'\r' | b'\n' | 0 => {}
                    _ => value.push(byte),
                }
            }
            // Whatever stands between the closing quote and the next parameter means nothing.
            while self.rest.first().is_some_and(|&byte| byte != b';') {
                if self.rest.first() == Some(&b'(') {
                    self.comment();
                } else {
                    self.bump();
                }
            }
        } else {
            // Unquoted values with blanks are against the rules but common in file names.
            while let Some(&byte) = self.rest.first() {
                match byte {
                    b';' => break,
                    b'(' if value.last().is_none_or(|&last| last == b' ') => self.comment(),
                    b'\r' | b'\n' | 0 => {
                        self.bump();
                    }
                    b'\t' => {
                        self.bump();
                        value.push(b' ');
                    }
                    _ => {
                        self.bump();
                        value.push(byte);
                    }
                }
            }
            value.truncate(value.trim_ascii_end().len());
        }
        (!name.is_empty()).then_some(Param { name, value })
    }
}

#[cfg(test)]
mod tests {
    use super::Value;
    use crate::cpu_time::CpuTime;
    use proptest::prelude::*;
    use std::time::Duration;

    fn show(text: &str) -> (String, Vec<(String, String)>) {
        let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let value = Value::parse(text.as_bytes());
        (
            string(&value.main),
            value
                .params
                .iter()
                .map(|p| (string(&p.name), string(&p.value)))
                .collect(),
        )
    }

    #[test]
    fn values() {
        for (text, main, params) in [
            (
                " text/plain; charset=us-ascii (Plain text)",
                "text/plain",
                &[("charset", "us-ascii")][..],
            ),
            (
                "Text / Plain ; Charset = \"utf-8\"; x",
                "Text/Plain",
                &[("charset", "utf-8")],
            ),
            (
                "a/b; name=\"a \\\"q\\\" b\" junk; c=d",
                "a/b",
                &[("name", "a \"q\" b"), ("c", "d")],
            ),
            (
                "a/b; name=my file (1).pdf; c=d",
                "a/b",
                &[("name", "my file .pdf"), ("c", "d")],
            ),
            ("a/b; name=file(1).pdf", "a/b", &[("name", "file(1).pdf")]),
            ("(comment (nested)) a/b (c);;; x=y;", "a/b", &[("x", "y")]),
            (
                "a/b;\r\n\tboundary=\"x\r\n y\"",
                "a/b",
                &[("boundary", "x y")],
            ),
            ("", "", &[]),
            ("attachment", "attachment", &[]),
            ("a/b; =c; d=", "a/b", &[("d", "")]),
            ("a/b; x=\"open", "a/b", &[("x", "open")]),
        ] {
            let (got_main, got_params) = show(text);
            let got: Vec<_> = got_params
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            assert_eq!(
                (got_main.as_str(), got.as_slice()),
                (main, params),
                "{text}"
            );
        }
    }

    #[test]
    fn rfc2231() {
        let value = Value::parse(b"a/b; name*1=cd; name*0=\"ab\"; name*3=lost; x*=utf-8'de'%C3%BCber; y*0*=iso-8859-1''a%FC; y*1=%41");
        assert_eq!(value.param(b"name").as_deref(), Some(&b"abcd"[..]));
        assert_eq!(value.param_text(b"x").as_deref(), Some("über"));
        assert_eq!(value.param_text(b"y").as_deref(), Some("aü%41"));
        assert_eq!(value.param(b"z"), None);
        let value = Value::parse(b"a/b; name=\"=?utf-8?Q?=C3=BC?=\"");
        assert_eq!(value.param_text(b"name").as_deref(), Some("ü"));
    }

    #[test]
    fn hostile_values_take_linear_time() {
        let start = CpuTime::now();
        let pieces: String = (0..50_000).rev().map(|n| format!("; name*{n}=a")).collect();
        let value = Value::parse(format!("a/b{pieces}").as_bytes());
        assert_eq!(value.param(b"name").map(|v| v.len()), Some(50_000));
        for unit in ["(", "\\", "\"", ";a=", "(\\", "=", "; a=\"b"] {
            assert!(Value::parse(unit.repeat(300_000).as_bytes()).params.len() <= 300_000);
        }
        assert!(start.elapsed() < Duration::from_secs(8));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text in "[a(\\\\\";=*0-9 %']{0,40}") {
            for input in [&bytes[..], text.as_bytes()] {
                let value = Value::parse(input);
                for param in &value.params {
                    prop_assert!(!param.name.is_empty());
                }
                let _ = value.param_text(b"a");
            }
        }
    }
}
