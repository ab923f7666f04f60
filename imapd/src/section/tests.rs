use super::{Extract, Target};
use crate::content::tests::{as_served, content};
use crate::grammar::cursor::Cursor;
use crate::grammar::fetch::{Partial, Section};
use proptest::prelude::*;

fn extract(message: &[u8], section: &str, partial: Option<(u64, u64)>) -> String {
    let section = Section::parse(&mut Cursor::new(section.as_bytes())).unwrap();
    let mut content = content(message);
    let tree = if section.is_own_header() {
        content.head()
    } else {
        content.tree()
    };
    let target = section.locate(tree.unwrap());
    let partial = partial.map(|(start, count)| Partial {
        start,
        count: Some(count),
    });
    let extract = Extract::prepare(&mut content, target, partial).unwrap();
    let mut out = Vec::new();
    extract
        .send(&mut content, |bytes| out.extend_from_slice(bytes))
        .unwrap();
    assert_eq!(out.len() as u64, extract.octets());
    String::from_utf8(out).unwrap()
}

const MESSAGE: &[u8] = b"MIME-Version: 1.0
Subject: outer
 folded
X-Other : a
Content-Type: multipart/mixed; boundary=x

preamble
--x
Content-Type: text/plain
X-Part: one

one

--x
Content-Type: message/rfc822

Subject: inner
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=y

--y

inner one
--y
Content-Type: text/html

inner two
--y--

--x
Content-Type: message/rfc822

Subject: single
From: a@b

only

--x--
epilogue
";

#[test]
fn sections() {
    let outer_header = "MIME-Version: 1.0\r\nSubject: outer\r\n folded\r\nX-Other : a\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n";
    for (section, expected) in [
        ("[HEADER]", outer_header),
        ("[1]", "one\r\n"),
        (
            "[1.MIME]",
            "Content-Type: text/plain\r\nX-Part: one\r\n\r\n",
        ),
        ("[1.HEADER]", ""),
        ("[1.TEXT]", ""),
        ("[1.1]", ""),
        ("[2.MIME]", "Content-Type: message/rfc822\r\n\r\n"),
        ("[2.HEADER.FIELDS (SUBJECT)]", "Subject: inner\r\n\r\n"),
        ("[2.1]", "inner one"),
        ("[2.1.MIME]", "\r\n"),
        ("[2.2.MIME]", "Content-Type: text/html\r\n\r\n"),
        ("[2.2]", "inner two"),
        ("[3]", "Subject: single\r\nFrom: a@b\r\n\r\nonly\r\n"),
        ("[3.HEADER]", "Subject: single\r\nFrom: a@b\r\n\r\n"),
        ("[3.TEXT]", "only\r\n"),
        ("[3.1]", "only\r\n"),
        ("[3.1.MIME]", "Subject: single\r\nFrom: a@b\r\n\r\n"),
        ("[4]", ""),
        (
            "[HEADER.FIELDS (subject x-other)]",
            "Subject: outer\r\n folded\r\nX-Other : a\r\n\r\n",
        ),
        ("[HEADER.FIELDS (none)]", "\r\n"),
        (
            "[HEADER.FIELDS.NOT (subject content-type)]",
            "MIME-Version: 1.0\r\nX-Other : a\r\n\r\n",
        ),
        ("[4.HEADER.FIELDS (subject)]", ""),
    ] {
        assert_eq!(extract(MESSAGE, section, None), expected, "{section}");
    }
    let served = String::from_utf8(as_served(MESSAGE)).unwrap();
    assert_eq!(extract(MESSAGE, "[]", None), served);
    assert_eq!(
        extract(MESSAGE, "[TEXT]", None),
        served[outer_header.len()..]
    );
}

#[test]
fn the_only_part_of_a_simple_message() {
    let message = b"Subject: x\n\nbody\n";
    assert_eq!(extract(message, "[1]", None), "body\r\n");
    assert_eq!(extract(message, "[1.MIME]", None), "Subject: x\r\n\r\n");
    assert_eq!(extract(message, "[1.HEADER]", None), "Subject: x\r\n\r\n");
    assert_eq!(extract(message, "[1.TEXT]", None), "body\r\n");
    assert_eq!(extract(message, "[2]", None), "");
    let message = b"MIME-Version: 1.0\nContent-Type: message/rfc822\n\nSubject: in\n\nbody\n";
    assert_eq!(extract(message, "[1]", None), "Subject: in\r\n\r\nbody\r\n");
    assert_eq!(extract(message, "[1.HEADER]", None), "Subject: in\r\n\r\n");
    assert_eq!(extract(message, "[1.1]", None), "body\r\n");
}

#[test]
fn partials() {
    assert_eq!(extract(MESSAGE, "[1]", Some((0, 2))), "on");
    assert_eq!(extract(MESSAGE, "[1]", Some((2, 2))), "e\r");
    assert_eq!(extract(MESSAGE, "[1]", Some((4, 100))), "\n");
    assert_eq!(extract(MESSAGE, "[1]", Some((5, 1))), "");
    assert_eq!(extract(MESSAGE, "[1]", Some((u64::MAX, u64::MAX))), "");
    assert_eq!(extract(MESSAGE, "[1]", Some((0, 0))), "");
    assert_eq!(
        extract(MESSAGE, "[HEADER.FIELDS (Subject)]", Some((0, 9))),
        "Subject: "
    );
    assert_eq!(
        extract(MESSAGE, "[HEADER.FIELDS (Subject)]", Some((20, 9))),
        "ded\r\n\r\n"
    );
}

#[test]
fn headers_of_odd_messages() {
    // No body, no last line end, no colon, an mbox line.
    let fields = "[HEADER.FIELDS (A)]";
    assert_eq!(extract(b"A: b", fields, None), "A: b\r\n");
    assert_eq!(extract(b"A: b\n\n", fields, None), "A: b\r\n\r\n");
    assert_eq!(extract(b"A", fields, None), "");
    assert_eq!(extract(b"", fields, None), "");
    assert_eq!(extract(b"\nA: b\n", fields, None), "\r\n");
    assert_eq!(
        extract(b"From x Mon 10:11\nA: b\njunk\n c\nA:\n", fields, None),
        "A: b\r\nA:\r\n"
    );
    let not = "[HEADER.FIELDS.NOT (A)]";
    assert_eq!(
        extract(b" x\njunk\nA: b\n y\nC", not, None),
        " x\r\njunk\r\nC\r\n"
    );
}

#[test]
fn large_selections_are_made_while_sending() {
    let mut message = Vec::new();
    for n in 0..40_000 {
        message.extend_from_slice(
            format!("{}: value {n}\n", if n % 2 == 0 { "A" } else { "B" }).as_bytes(),
        );
    }
    message.push(b'\n');
    let all = extract(&message, "[HEADER.FIELDS (A)]", None);
    assert!(all.len() > super::KEPT_MAX);
    assert!(
        all.starts_with("A: value 0\r\nA: value 2\r\n") && all.ends_with("A: value 39998\r\n\r\n")
    );
    let some = extract(&message, "[HEADER.FIELDS (A)]", Some((300_000, 1000)));
    assert_eq!(some, all[300_000..301_000]);
}

#[test]
fn what_needs_the_header_only() {
    for (section, expected) in [
        ("[HEADER]", true),
        ("[HEADER.FIELDS (a)]", true),
        ("[TEXT]", false),
        ("[1.HEADER]", false),
    ] {
        let section = Section::parse(&mut Cursor::new(section.as_bytes())).unwrap();
        assert_eq!(section.is_own_header(), expected);
    }
    assert_eq!(Target::Nothing, Target::Nothing);
}

/// The fields of a header, the obvious way.
fn reference(message: &str, name: &str, not: bool) -> String {
    let mut out = String::new();
    let mut wanted = not;
    for line in message.split_inclusive('\n') {
        if line == "\n" {
            return out + "\r\n";
        }
        if !line.starts_with(' ') {
            wanted = match line.split_once(':') {
                Some((field, _)) => field.eq_ignore_ascii_case(name) != not,
                None => not,
            };
        }
        if wanted {
            out += line.trim_end_matches('\n');
            out += "\r\n";
        }
    }
    out
}

proptest! {
    #[test]
    fn field_selections_agree_with_the_reference(message in "([aAb: ]{0,3}\n){0,12}[a:]{0,2}", not: bool) {
        let section = if not { "[HEADER.FIELDS.NOT (a)]" } else { "[HEADER.FIELDS (a)]" };
        // A blank before the colon belongs to the name's line; the reference has no opinion.
        prop_assume!(!message.contains(" :"));
        prop_assert_eq!(extract(message.as_bytes(), section, None), reference(&message, "a", not));
    }
}
