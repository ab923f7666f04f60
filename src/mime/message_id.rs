//! Message ids in Message-ID, References and In-Reply-To (RFC 5322 section 3.6.4), brought into one form so that two
//! ways to write one id compare equal (RFC 5256 section 3, "REFERENCES").

use memchr::memchr;

/// Longest id taken for one; longer ones are passed over.
const MAX: usize = 4096;

/// The ids of a field's value, in order: the text between `<` and `>`, without comments, folding and the quoting of
/// the local part. What is no id (the phrases of an old In-Reply-To, an address without `@`) is passed over.
pub fn parse(value: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut rest = value;
    std::iter::from_fn(move || {
        loop {
            let start = memchr(b'<', rest)?;
            let after = rest.get(start + 1..)?;
            match id(after) {
                Ok((id, behind)) => {
                    rest = behind;
                    return Some(id);
                }
                Err(behind) => rest = behind,
            }
        }
    })
}

/// Reads an id behind its `<`. Without one: where to go on.
fn id(text: &[u8]) -> Result<(Vec<u8>, &[u8]), &[u8]> {
    let mut id = Vec::new();
    let mut at = false;
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'>' if at && !id.starts_with(b"@") && !id.ends_with(b"@") => return Ok((id, rest)),
            b'>' => return Err(rest),
            // A `<` in an id: the one before it began none.
            b'<' => return Err(text.get(text.len() - rest.len() - 1..).unwrap_or(rest)),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'"' if !at => rest = quoted(rest, &mut id),
            b'(' => rest = comment(rest),
            _ => {
                at |= byte == b'@';
                id.push(byte);
            }
        }
        if id.len() > MAX {
            return Err(rest);
        }
    }
    Err(rest)
}

/// Appends the inside of a quoted string; returns what follows it.
fn quoted<'a>(text: &'a [u8], id: &mut Vec<u8>) -> &'a [u8] {
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => id.extend(bytes.next()),
            b'\r' | b'\n' => {}
            _ => id.push(byte),
        }
    }
    bytes.as_slice()
}

/// What follows a comment.
fn comment(text: &[u8]) -> &[u8] {
    let mut depth = 1_u32;
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    bytes.as_slice()
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::cpu_time::CpuTime;
    use proptest::prelude::*;
    use std::time::Duration;

    fn ids(text: &str) -> Vec<String> {
        parse(text.as_bytes())
            .map(|id| String::from_utf8_lossy(&id).into_owned())
            .collect()
    }

    #[test]
    fn one_form_for_one_id() {
        for (text, expected) in [
            (" <a@b>\r\n\t<c@d>", &["a@b", "c@d"][..]),
            // RFC 5256: these two are the same id.
            (
                "<01KF8JCEOCBS0045PS@xxx.yyy.com>",
                &["01KF8JCEOCBS0045PS@xxx.yyy.com"],
            ),
            (
                "<\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>",
                &["01KF8JCEOCBS0045PS@xxx.yyy.com"],
            ),
            ("<\"a\\\"b\"@c>", &["a\"b@c"]),
            ("< a (x (y)) @\r\n b >", &["a@b"]),
            ("<a@b><c@d>,<e@f>", &["a@b", "c@d", "e@f"]),
            ("Your message of Monday <a@b>", &["a@b"]),
            ("<a@[1.2.3.4]>", &["a@[1.2.3.4]"]),
            ("<A@b> <a@b>", &["A@b", "a@b"]),
            ("<no-at> <@b> <a@> <> <a@b", &[]),
            ("<broken <a@b>", &["a@b"]),
            ("a@b", &[]),
            ("", &[]),
        ] {
            assert_eq!(ids(text), expected, "{text}");
        }
    }

    #[test]
    fn hostile_values_take_linear_time() {
        let start = CpuTime::now();
        for unit in ["<", "<(", "<\"", "<a", "<a@b> ", "<\\", "<a@", ">", "<()"] {
            assert!(parse(unit.repeat(300_000).as_bytes()).count() <= 300_000);
        }
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(text in "[<>()@a\"\\\\ ]{0,40}", bytes: Vec<u8>) {
            prop_assert!(parse(text.as_bytes()).all(|id| id.contains(&b'@')));
            prop_assert!(parse(&bytes).all(|id| id.contains(&b'@')));
        }
    }
}
