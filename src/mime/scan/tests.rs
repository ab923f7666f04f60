use super::super::params::Value;
use super::super::tree::{Found, Kind, Part, Piece, Tree};
use super::{MAX_DEPTH, MAX_PARTS, Scanner, scan};
use crate::cpu_time::CpuTime;
use proptest::prelude::*;
use std::hint::black_box;
use std::time::Duration;

/// A part as the slow, obvious reference below sees it.
#[derive(Debug, PartialEq)]
struct Node {
    start: usize,
    body: usize,
    end: usize,
    kind: Kind,
    children: Vec<Self>,
}

/// The lines of a stretch of the message: start, end without line end, start of the next.
fn lines(message: &[u8], start: usize, end: usize) -> Vec<(usize, usize, usize)> {
    let mut out = Vec::new();
    let mut at = start;
    while at < end {
        let next = message[at..end]
            .iter()
            .position(|&b| b == b'\n')
            .map_or(end, |n| at + n + 1);
        let mut stop = next;
        if message[at..stop].ends_with(b"\n") {
            stop -= 1;
        }
        if message[at..stop].ends_with(b"\r") {
            stop -= 1;
        }
        out.push((at, stop, next));
        at = next;
    }
    out
}

fn content_type(header: &str) -> Option<String> {
    let unfolded = header.replace("\r\n", "\n").replace("\n ", " ");
    unfolded.lines().find_map(|line| {
        line.strip_prefix("Content-Type:")
            .map(|value| value.trim().to_string())
    })
}

/// Parses `start..end`, whose header may extend to `header_limit`. `None`: a boundary is nested in itself, where the
/// reference has no opinion.
fn reference(
    message: &[u8],
    (start, end, header_limit): (usize, usize, usize),
    root: bool,
    digest: bool,
    outer: &[String],
) -> Option<Node> {
    let header_lines = lines(message, start, header_limit);
    let body = header_lines
        .iter()
        .find(|(a, b, _)| a == b)
        .map_or(header_limit, |&(_, _, next)| next);
    let end = end.max(body);
    let header = String::from_utf8_lossy(&message[start..body]).into_owned();
    let mime = !root
        || header
            .lines()
            .any(|line| line.trim_end() == "MIME-Version: 1.0");
    let declared = content_type(&header).filter(|_| mime);
    let value = Value::parse(
        declared
            .unwrap_or_else(|| {
                if digest && mime {
                    "message/rfc822".into()
                } else {
                    "text/plain".into()
                }
            })
            .as_bytes(),
    );
    let mut node = Node {
        start,
        body,
        end,
        kind: Kind::Leaf,
        children: Vec::new(),
    };
    if value.main == b"message/rfc822" {
        node.kind = Kind::Message;
        node.children
            .push(reference(message, (body, end, end), false, false, outer)?);
    } else if let (true, Some(boundary)) = (
        value.main.starts_with(b"multipart/"),
        value.param(b"boundary"),
    ) {
        let boundary = String::from_utf8_lossy(&boundary).into_owned();
        if outer.contains(&boundary) {
            return None;
        }
        let mut inner = outer.to_vec();
        inner.push(boundary.clone());
        let digest = value.main == b"multipart/digest";
        let mut open: Option<usize> = None;
        let mut before_break = body;
        let mut parts = Vec::new();
        let mut closed = false;
        for (at, stop, next) in lines(message, body, end) {
            let text = String::from_utf8_lossy(&message[at..stop])
                .trim_ascii_end()
                .to_string();
            let delimiter = text == format!("--{boundary}");
            let close = text == format!("--{boundary}--");
            if delimiter || close {
                if let Some(start) = open.take() {
                    parts.push((start, before_break.max(start), at));
                }
                if close {
                    closed = true;
                    break;
                }
                open = Some(next);
            }
            before_break = stop;
        }
        if let (Some(start), false) = (open, closed) {
            parts.push((start, end, end));
        }
        for part in parts {
            node.children
                .push(reference(message, part, false, digest, &inner)?);
        }
        if !node.children.is_empty() {
            node.kind = Kind::Multipart;
        }
    }
    Some(node)
}

fn node(tree: &Tree, part: &Part) -> Node {
    Node {
        start: usize::try_from(part.header().start.offset).unwrap(),
        body: usize::try_from(part.body().start.offset).unwrap(),
        end: usize::try_from(part.body().end.offset).unwrap(),
        kind: part.kind(),
        children: part
            .children()
            .iter()
            .map(|&child| node(tree, tree.part(child).unwrap()))
            .collect(),
    }
}

fn as_served(stored: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, &byte) in stored.iter().enumerate() {
        if byte == b'\n' && (n == 0 || stored[n - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}

fn stored<'a>(message: &'a [u8], piece: &Piece) -> &'a [u8] {
    let range = piece.stored();
    &message[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
}

/// Every count of every part against the bytes themselves.
fn check_counts(message: &[u8], tree: &Tree) {
    assert_eq!(tree.octets(), as_served(message).len() as u64);
    for part in tree.parts() {
        for piece in [part.header(), part.body(), part.whole()] {
            let bytes = stored(message, &piece);
            // A piece may start between CR and LF only if it is empty.
            assert_eq!(piece.octets(), as_served(bytes).len() as u64);
            assert_eq!(
                piece.lines(),
                memchr::memchr_iter(b'\n', bytes).count() as u64
            );
        }
    }
}

const LINES: [&str; 20] = [
    "",
    "",
    "text",
    "Content-Type: multipart/mixed; boundary=a",
    "Content-Type: multipart/mixed; boundary=\"b\"",
    "Content-Type: multipart/mixed;",
    " boundary=ab",
    "Content-Type: multipart/digest; boundary=c",
    "Content-Type: message/rfc822",
    "Subject: x",
    "--a",
    "--a--",
    "--b \t",
    "--b--",
    "--ab",
    "--ab-- ",
    "--c",
    "--c--",
    "--",
    "-",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let line = (0..LINES.len(), any::<bool>());
    (
        prop::collection::vec(line, 0..40),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(lines, mime, final_end)| {
            let mut out = Vec::new();
            if mime {
                out.extend_from_slice(
                    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n\n--a\n",
                );
            }
            for (line, crlf) in lines {
                out.extend_from_slice(LINES[line].as_bytes());
                out.extend_from_slice(if crlf { b"\r\n" } else { b"\n" });
            }
            if !final_end {
                out.pop();
            }
            out
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn agrees_with_the_reference(message in message()) {
        let tree = scan(&message);
        check_counts(&message, &tree);
        if let Some(expected) = reference(&message, (0, message.len(), message.len()), true, false, &[]) {
            prop_assert_eq!(node(&tree, tree.root()), expected, "{}", message.escape_ascii());
        }
    }

    #[test]
    fn pieces_scan_like_the_whole(message in message(), size in 1usize..9) {
        let mut scanner = Scanner::new();
        for piece in message.chunks(size) {
            scanner.push(piece);
        }
        prop_assert_eq!(scanner.finish(), scan(&message));
    }

    #[test]
    fn no_bytes_panic(message: Vec<u8>) {
        check_counts(&message, &scan(&message));
    }
}

const NESTED: &[u8] = b"MIME-Version: 1.0
Subject: outer
Content-Type: multipart/mixed; boundary=x

preamble
--x

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

only

--x--
epilogue
";

fn text(message: &[u8], piece: Piece) -> String {
    String::from_utf8_lossy(stored(message, &piece)).into_owned()
}

#[test]
fn part_numbers() {
    let tree = scan(NESTED);
    let body = |number: &[u32]| match tree.find(number) {
        Some(Found::Part(part) | Found::OnlyPart(part)) => text(NESTED, part.body()),
        None => "none".into(),
    };
    assert_eq!(body(&[1]), "one");
    assert!(body(&[2]).starts_with("Subject: inner\n"));
    assert_eq!(body(&[2, 1]), "inner one");
    assert_eq!(body(&[2, 2]), "inner two");
    assert_eq!(body(&[2, 3]), "none");
    assert_eq!(body(&[3, 1]), "only\n");
    assert_eq!(body(&[3, 1, 1]), "none");
    assert_eq!(body(&[3, 2]), "none");
    assert_eq!(body(&[1, 1]), "none");
    assert_eq!(body(&[4]), "none");
    assert_eq!(body(&[0]), "none");
    assert_eq!(body(&[u32::MAX]), "none");
    let Some(Found::Part(part)) = tree.find(&[2]) else {
        panic!("no part 2")
    };
    assert_eq!(
        text(NESTED, part.header()),
        "Content-Type: message/rfc822\n\n"
    );
    let inner = tree.embedded(part).unwrap();
    assert!(text(NESTED, inner.header()).starts_with("Subject: inner\n"));
    let single = scan(b"Subject: x\n\nbody\n");
    assert!(matches!(single.find(&[1]), Some(Found::OnlyPart(_))));
    assert_eq!(single.find(&[1, 1]), None);
}

#[test]
fn nesting_and_number_of_parts_are_limited() {
    let mut deep = Vec::from(&b"MIME-Version: 1.0\n"[..]);
    for n in 0..1000 {
        deep.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n").as_bytes(),
        );
    }
    let tree = scan(&deep);
    check_counts(&deep, &tree);
    assert_eq!(tree.parts().len(), MAX_DEPTH + 1);
    let messages = "Content-Type: message/rfc822\n\n".repeat(100_000);
    let tree = scan(format!("MIME-Version: 1.0\n{messages}").as_bytes());
    assert_eq!(tree.parts().len(), MAX_DEPTH + 1);
    let mut wide =
        Vec::from(&b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"[..]);
    wide.extend_from_slice("--b\n\nx\n".repeat(30_000).as_bytes());
    let tree = scan(&wide);
    check_counts(&wide, &tree);
    assert_eq!(tree.parts().len(), MAX_PARTS);
    assert!(
        tree.parts()
            .iter()
            .skip(1)
            .all(|part| part.body().octets() == 1)
    );
}

#[test]
fn hostile_messages_take_linear_time() {
    let start = CpuTime::now();
    let mut deep = String::from("MIME-Version: 1.0\n");
    let long = "x".repeat(400);
    for n in 0..100 {
        deep += &format!("Content-Type: multipart/mixed; boundary={long}{n}\n\n--{long}{n}\n");
    }
    deep.push('\n');
    let line = format!("--{long}\n");
    deep += &line.repeat(5_000);
    black_box(scan(deep.as_bytes()));
    // A header of one field, of many fields, of many continuation lines.
    let many = format!(
        "MIME-Version: 1.0\n{}",
        "Content-Type: a/b\n".repeat(300_000)
    );
    black_box(scan(many.as_bytes()));
    black_box(scan(
        format!("Subject: {}\n", "x".repeat(20_000_000)).as_bytes(),
    ));
    black_box(scan(
        format!("Subject: x\n{}", " y\n".repeat(1_000_000)).as_bytes(),
    ));
    // Many parts whose parent has a large Content-Type.
    let fat = format!(
        "MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=b; x={}\n\n{}",
        "y".repeat(1_000_000),
        "--b\n".repeat(20_000)
    );
    black_box(scan(fat.as_bytes()));
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
}
