//! Address lists (RFC 5322 section 3.4 with the obsolete forms), as ENVELOPE shows them. Lenient, one pass, no recursion.

use std::borrow::Cow;

/// An element of an address list, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<'a> {
    /// A mailbox.
    Mailbox {
        /// Display name, or else the comment; RFC 2047 words are left as they are. Quoting is removed.
        name: Option<Vec<u8>>,
        /// Local part without quoting; all of it if there is no `@`.
        local: Cow<'a, [u8]>,
        /// Domain; empty if there is none.
        domain: Cow<'a, [u8]>,
    },
    /// Start of a group, with its name.
    GroupStart(Vec<u8>),
    /// End of a group.
    GroupEnd,
}

/// Longest encoded word or domain literal that is kept together when it contains specials.
const WORD_MAX: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Atom,
    Quoted,
    Comment,
    /// `<`, `>`, `@`, `:`, `,`, `;`
    Special(u8),
}

struct Token<'a> {
    kind: Kind,
    text: Cow<'a, [u8]>,
    /// White space (or a comment) stood before it.
    spaced: bool,
}

/// Reads an address list, folded or not.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Item<'_>> {
    let mut lexer = Lexer { rest: text };
    let mut items = Vec::new();
    let mut pending: Vec<Token<'_>> = Vec::new();
    let mut in_group = false;
    let mut in_angle = false;
    let mut seen_at = false;
    while let Some(token) = lexer.token() {
        match token.kind {
            Kind::Special(b',') if !in_angle => {
                flush(&mut pending, &mut items);
                seen_at = false;
            }
            Kind::Special(b';') if !in_angle => {
                flush(&mut pending, &mut items);
                seen_at = false;
                if std::mem::take(&mut in_group) {
                    items.push(Item::GroupEnd);
                }
            }
            Kind::Special(b':') if !in_angle && !seen_at && !in_group => {
                items.push(Item::GroupStart(phrase(&pending).unwrap_or_default()));
                pending.clear();
                in_group = true;
            }
            kind => {
                // A forgotten comma: a word cannot follow a complete domain.
                if !in_angle
                    && kind == Kind::Atom
                    && token.spaced
                    && !token.text.starts_with(b".")
                    && is_complete(&pending)
                {
                    flush(&mut pending, &mut items);
                    seen_at = false;
                }
                match kind {
                    Kind::Special(b'<') => in_angle = true,
                    Kind::Special(b'>') => in_angle = false,
                    Kind::Special(b'@') => seen_at = true,
                    _ => {}
                }
                pending.push(token);
            }
        }
    }
    flush(&mut pending, &mut items);
    if in_group {
        items.push(Item::GroupEnd);
    }
    items
}

/// Whether the tokens end with `@` and a domain that is not cut off at a dot.
fn is_complete(tokens: &[Token<'_>]) -> bool {
    matches!(tokens, [.., at, domain] if at.kind == Kind::Special(b'@') && domain.kind == Kind::Atom && !domain.text.ends_with(b"."))
}

/// Turns the tokens of one address into an item; white space and comments alone are none.
fn flush<'a>(pending: &mut Vec<Token<'a>>, items: &mut Vec<Item<'a>>) {
    let tokens = std::mem::take(pending);
    if tokens.iter().all(|token| token.kind == Kind::Comment) {
        return;
    }
    let open = tokens
        .iter()
        .position(|token| token.kind == Kind::Special(b'<'));
    let (before, spec) = match open {
        Some(open) => tokens.split_at_checked(open).unwrap_or((&tokens, &[])),
        None => (&[][..], tokens.as_slice()),
    };
    let spec = spec.get(usize::from(open.is_some())..).unwrap_or_default();
    let close = spec
        .iter()
        .position(|token| token.kind == Kind::Special(b'>'));
    let spec = spec.get(..close.unwrap_or(spec.len())).unwrap_or_default();
    // An obsolete route, "@a,@b:", is dropped.
    let route = spec
        .first()
        .filter(|token| token.kind == Kind::Special(b'@'))
        .and_then(|_| {
            spec.iter()
                .position(|token| token.kind == Kind::Special(b':'))
        });
    let spec = spec.get(route.map_or(0, |at| at + 1)..).unwrap_or_default();
    let at = spec
        .iter()
        .rposition(|token| token.kind == Kind::Special(b'@'));
    let (local, domain) = match at {
        Some(at) => (
            spec.get(..at).unwrap_or_default(),
            spec.get(at + 1..).unwrap_or_default(),
        ),
        None => (spec, &[][..]),
    };
    let comment = || {
        tokens
            .iter()
            .find(|token| token.kind == Kind::Comment && !token.text.trim_ascii().is_empty())
            .map(|token| token.text.trim_ascii().to_vec())
    };
    items.push(Item::Mailbox {
        name: phrase(before).or_else(comment),
        local: join(local, at.is_none()),
        domain: join(domain, false),
    });
}

/// A display name: words separated by single spaces; `None` if there are none.
fn phrase(tokens: &[Token<'_>]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut any = false;
    let mut gap = false;
    let mut last = None;
    for token in tokens {
        if token.kind == Kind::Comment {
            gap = true;
            continue;
        }
        let words = last == Some(Kind::Quoted) || token.kind == Kind::Quoted;
        if any && (token.spaced || gap || words) {
            out.push(b' ');
        }
        out.extend_from_slice(&token.text);
        any |= token.kind != Kind::Quoted || !token.text.is_empty();
        gap = false;
        last = Some(token.kind);
    }
    any.then_some(out)
}

/// The text of an address part: white space and comments in it mean nothing, unless it is a bare name.
fn join<'a>(tokens: &[Token<'a>], keep_spaces: bool) -> Cow<'a, [u8]> {
    let mut words = tokens.iter().filter(|token| token.kind != Kind::Comment);
    let Some(first) = words.next() else {
        return Cow::Borrowed(b"");
    };
    let mut out = first.text.clone();
    for word in words {
        let out = out.to_mut();
        if keep_spaces && word.spaced {
            out.push(b' ');
        }
        out.extend_from_slice(&word.text);
    }
    out
}

struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    fn token(&mut self) -> Option<Token<'a>> {
        let blanks = self.rest.iter().take_while(|byte| is_blank(**byte)).count();
        let rest = self.rest.get(blanks..)?;
        let (&first, after) = rest.split_first()?;
        let (kind, text, rest) = match first {
            b'<' | b'>' | b'@' | b':' | b',' | b';' => {
                (Kind::Special(first), Cow::Borrowed(rest.get(..1)?), after)
            }
            b'"' => {
                let (text, rest) = quoted(after);
                (Kind::Quoted, text, rest)
            }
            b'(' => {
                let (text, rest) = comment(after);
                (Kind::Comment, text, rest)
            }
            _ => {
                let end = atom_end(rest);
                let (text, rest) = rest.split_at_checked(end)?;
                (Kind::Atom, Cow::Borrowed(text), rest)
            }
        };
        self.rest = rest;
        Some(Token {
            kind,
            text,
            spaced: blanks > 0,
        })
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0)
}

/// Length of the atom at the start, at least 1. Encoded words and domain literals may contain specials.
fn atom_end(text: &[u8]) -> usize {
    if text.starts_with(b"=?") {
        let window = text.get(..WORD_MAX.min(text.len())).unwrap_or(text);
        let blank = window
            .iter()
            .position(|&byte| is_blank(byte))
            .unwrap_or(window.len());
        let window = window.get(..blank).unwrap_or(window);
        // charset, encoding and text end at the fourth question mark.
        let mut marks = memchr::memchr_iter(b'?', window);
        if let Some(end) = marks.nth(3) {
            if window.get(end + 1) == Some(&b'=') {
                return end + 2;
            }
        }
    }
    if text.first() == Some(&b'[') {
        let window = text.get(..WORD_MAX.min(text.len())).unwrap_or(text);
        let end = window
            .iter()
            .position(|&byte| byte == b']' || is_blank(byte) || byte == b'>' || byte == b',');
        if let Some(end) = end {
            if text.get(end) == Some(&b']') {
                return end + 1;
            }
        }
    }
    let tail = text.get(1..).unwrap_or_default();
    1 + tail
        .iter()
        .position(|&byte| {
            is_blank(byte) || matches!(byte, b'<' | b'>' | b'@' | b':' | b',' | b';' | b'"' | b'(')
        })
        .unwrap_or(tail.len())
}

/// The inside of a quoted string without its quoting, and what follows it. Line ends of folding are dropped.
fn quoted(text: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let plain = text
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0));
    if let Some((inside, [b'"', rest @ ..])) = plain.and_then(|end| text.split_at_checked(end)) {
        return (Cow::Borrowed(inside), rest);
    }
    let mut out = Vec::new();
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => out.extend(
                bytes
                    .next()
                    .filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)),
            ),
            b'\r' | b'\n' | 0 => {}
            _ => out.push(byte),
        }
    }
    (Cow::Owned(out), bytes.as_slice())
}

/// The inside of a comment, nested ones with their parentheses, and what follows it.
fn comment(text: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let mut out = Vec::new();
    let mut depth = 1u32;
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'(' => depth = depth.saturating_add(1),
            b')' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            b'\\' => {
                out.extend(
                    bytes
                        .next()
                        .filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)),
                );
                continue;
            }
            b'\r' | b'\n' | 0 => continue,
            _ => {}
        }
        out.push(byte);
    }
    (Cow::Owned(out), bytes.as_slice())
}

#[cfg(test)]
mod tests {
    use super::{Item, parse};
    use crate::cpu_time::CpuTime;
    use proptest::prelude::*;
    use std::time::Duration;

    /// `name|local|domain`, `[group`, `]`.
    fn show(text: &str) -> Vec<String> {
        let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        parse(text.as_bytes())
            .iter()
            .map(|item| match item {
                Item::Mailbox {
                    name,
                    local,
                    domain,
                } => {
                    format!(
                        "{}|{}|{}",
                        name.as_deref().map_or_else(|| "-".into(), string),
                        string(local),
                        string(domain)
                    )
                }
                Item::GroupStart(name) => format!("[{}", string(name)),
                Item::GroupEnd => "]".into(),
            })
            .collect()
    }

    #[test]
    fn lists() {
        for (text, expected) in [
            ("a@b", &["-|a|b"][..]),
            (
                " Ann \"Q\" Lee <ann@example.net>, b@c",
                &["Ann Q Lee|ann|example.net", "-|b|c"],
            ),
            (
                "\"Ann \\\"Q\\\" Lee\" <ann@example.net>",
                &["Ann \"Q\" Lee|ann|example.net"],
            ),
            ("e@f (name)", &["name|e|f"]),
            ("plain", &["-|plain|"]),
            ("John Doe", &["-|John Doe|"]),
            ("J. R. \"Bob\" Dobbs <x@y>", &["J. R. Bob Dobbs|x|y"]),
            ("Team: a@b, c@d;", &["[Team", "-|a|b", "-|c|d", "]"]),
            (
                "undisclosed-recipients:;",
                &["[undisclosed-recipients", "]"],
            ),
            ("Open: a@b", &["[Open", "-|a|b", "]"]),
            ("<@r1,@r2:a@b>", &["-|a|b"]),
            ("\"john doe\"@x", &["-|john doe|x"]),
            ("a @ b . c", &["-|a|b.c"]),
            ("<>", &["-||"]),
            ("", &[]),
            (",,(only comment),", &[]),
            ("a@b; c@d", &["-|a|b", "-|c|d"]),
            (
                "=?utf-8?Q?Doe,_John?= <j@d>",
                &["=?utf-8?Q?Doe,_John?=|j|d"],
            ),
            ("a@[IPv6:::1]", &["-|a|[IPv6:::1]"]),
            ("\"\" <a@b>", &["-|a|b"]),
            ("a@b@c", &["-|a@b|c"]),
            ("a@b c@d", &["-|a|b", "-|c|d"]),
            ("<No Address>", &["-|No Address|"]),
            ("Folded\r\n Name <a@b>", &["Folded Name|a|b"]),
            ("Open <a@b", &["Open|a|b"]),
            ("(a \\) (b)) x@y", &["a ) (b)|x|y"]),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
    }

    #[test]
    fn hostile_lists_take_linear_time() {
        let start = CpuTime::now();
        for unit in [
            "(", "\"", "<", "=?", "=?a?b?", "[", "a:", ":", "@", "\\", ",", "<@:", "[a:", "[@",
            "\"\\", "a b ",
        ] {
            assert!(parse(unit.repeat(200_000).as_bytes()).len() <= 400_002);
        }
        assert!(start.elapsed() < Duration::from_secs(8));
    }

    proptest! {
        #[test]
        fn groups_are_balanced_and_nothing_panics(text in "[a-c@<>:;,()\"\\\\ =?\\[\\].\r\n]{0,40}", bytes: Vec<u8>) {
            for input in [text.as_bytes(), &bytes] {
                let mut depth = 0;
                for item in parse(input) {
                    match item {
                        Item::GroupStart(_) => depth += 1,
                        Item::GroupEnd => depth -= 1,
                        Item::Mailbox { .. } => {}
                    }
                    prop_assert!((0..=1).contains(&depth));
                }
                prop_assert_eq!(depth, 0);
            }
        }
    }
}
