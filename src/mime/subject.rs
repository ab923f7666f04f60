//! The base subject of a message (RFC 5256 section 2.1): its Subject without the marks of replies and forwards.

use crate::text::rfc2047;

/// A subject stripped of what replies and forwards add to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    /// The base subject, in UTF-8, in its own case.
    pub text: String,
    /// Something said that the message is a reply or a forward: `subj-refwd`, `(fwd)` or `[fwd: ]`.
    pub reply: bool,
}

/// The base subject of the value of a Subject field, folded and encoded as it came. Linear in its length.
/// ```abnf
/// subject      = *subj-leader [subj-middle] *subj-trailer
/// subj-refwd   = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
/// subj-blob    = "[" *BLOBCHAR "]" *WSP
/// subj-fwd     = subj-fwd-hdr subject subj-fwd-trl
/// subj-fwd-hdr = "[fwd:"
/// subj-fwd-trl = "]"
/// subj-leader  = (*subj-blob subj-refwd) / WSP
/// subj-middle  = *subj-blob (subj-base / subj-fwd)
/// subj-trailer = "(fwd)" / WSP
/// subj-base    = NONWSP *(*WSP NONWSP)
/// ```
#[must_use]
pub fn base(value: &[u8]) -> Base {
    // (1) Decoded, white space in single spaces.
    let subject = collapse(&rfc2047::decode(value));
    let mut rest = subject.as_str();
    let mut reply = false;
    loop {
        // (2)
        loop {
            rest = rest.trim_end_matches(' ');
            match strip_suffix(rest, "(fwd)") {
                Some(before) => {
                    rest = before;
                    reply = true;
                }
                None => break,
            }
        }
        // (3) to (5)
        loop {
            rest = rest.trim_start_matches(' ');
            let behind = behind_blobs(rest);
            if let Some(after) = refwd(behind) {
                rest = after;
                reply = true;
                continue;
            }
            // No leader behind these blobs, so there is none behind fewer of them: they go as long as something is
            // left.
            while let Some(after) = blob(rest).filter(|after| !after.is_empty()) {
                rest = after;
            }
            break;
        }
        // (6)
        match strip_prefix(rest, "[fwd:").and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => {
                rest = inner;
                reply = true;
            }
            None => break,
        }
    }
    Base {
        text: rest.to_owned(),
        reply,
    }
}

/// White space as single spaces; a NUL ends nothing but shows nothing either.
fn collapse(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_space = false;
    for c in text.chars() {
        let space = matches!(c, ' ' | '\t' | '\r' | '\n');
        if space && after_space {
            continue;
        }
        after_space = space;
        out.push(if space { ' ' } else { c });
    }
    out
}

/// What follows a `subj-blob` at the start.
fn blob(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?;
    let end = inside.find(['[', ']'])?;
    let after = inside.get(end..)?.strip_prefix(']')?;
    Some(after.trim_start_matches(' '))
}

fn behind_blobs(mut text: &str) -> &str {
    while let Some(after) = blob(text) {
        text = after;
    }
    text
}

/// What follows a `subj-refwd` at the start.
fn refwd(text: &str) -> Option<&str> {
    let after = strip_prefix(text, "re")
        .or_else(|| strip_prefix(text, "fwd"))
        .or_else(|| strip_prefix(text, "fw"))?
        .trim_start_matches(' ');
    blob(after).unwrap_or(after).strip_prefix(':')
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (rest, tail) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    tail.eq_ignore_ascii_case(suffix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::base;
    use crate::cpu_time::CpuTime;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn base_subjects() {
        for (subject, expected, reply) in [
            ("hello", "hello", false),
            ("  hello  ", "hello", false),
            ("a \t b\r\n c", "a b c", false),
            ("Re: hello", "hello", true),
            ("RE:hello", "hello", true),
            ("re : hello", "hello", true),
            ("Re [4]: hello", "hello", true),
            ("Re[4]: hello", "hello", true),
            ("Fw: hello", "hello", true),
            ("FWD: hello", "hello", true),
            ("Re: Fwd: re: hello", "hello", true),
            ("hello (fwd)", "hello", true),
            ("hello (FWD) (fwd) ", "hello", true),
            ("hello(fwd)", "hello", true),
            ("[list] hello", "hello", false),
            ("[list] Re: hello", "hello", true),
            ("[a][b] [c] Re: hello", "hello", true),
            ("Re: [list] hello", "hello", true),
            ("Re: [list] Re: hello", "hello", true),
            ("[a] [b] hello", "hello", false),
            ("[only]", "[only]", false),
            ("[a] [only]", "[only]", false),
            ("Re: [only]", "[only]", true),
            ("[a b", "[a b", false),
            ("[a [b] c", "[a [b] c", false),
            ("[fwd: hello]", "hello", true),
            ("[FWD:Re: hello]", "hello", true),
            ("[fwd: [fwd: hello (fwd)] (fwd)]", "hello", true),
            ("Re: [fwd: [list] hello]", "hello", true),
            ("[x] [fwd: hello]", "hello", true),
            ("[fwd: hello", "[fwd: hello", false),
            ("[fwd: a] b", "b", false),
            ("re", "re", false),
            ("re hello", "re hello", false),
            ("regarding: x", "regarding: x", false),
            ("fwdx: y", "fwdx: y", false),
            ("Re: ", "", true),
            ("Re:", "", true),
            ("", "", false),
            (" (fwd) ", "", true),
            ("[fwd:]", "", true),
            ("Re [x] [y]: hello", "Re [x] [y]: hello", false),
            ("=?utf-8?Q?Re=3A_Gr=C3=BC=C3=9Fe?=", "Gr\u{fc}\u{df}e", true),
            ("=?utf-8?B?UmU6?= =?utf-8?Q?_x?=", "x", true),
            ("Antw: hello", "Antw: hello", false),
            ("\u{dc}[x", "\u{dc}[x", false),
        ] {
            let found = base(subject.as_bytes());
            assert_eq!(found.text, expected, "{subject:?}");
            assert_eq!(found.reply, reply, "{subject:?}");
        }
    }

    #[test]
    fn hostile_subjects_take_linear_time() {
        let start = CpuTime::now();
        for unit in [
            "[a]",
            "re:",
            "(fwd)",
            "[fwd:",
            "[",
            "[fwd: [a]",
            "[a]re:",
            " ",
            "]",
        ] {
            let long = unit.repeat(300_000);
            assert!(base(long.as_bytes()).text.len() <= long.len());
            let closed = long + &"]".repeat(300_000);
            assert!(base(closed.as_bytes()).text.len() <= closed.len());
        }
        assert!(start.elapsed() < Duration::from_secs(8));
    }

    proptest! {
        #[test]
        fn the_base_is_its_own_base(subject in "(re|RE|fw|fwd|\\[|\\]|:|\\(fwd\\)|\\[fwd:| |a|\u{fc}){0,12}") {
            let once = base(subject.as_bytes());
            let twice = base(once.text.as_bytes());
            prop_assert_eq!(&once.text, &twice.text);
        }
    }
}
