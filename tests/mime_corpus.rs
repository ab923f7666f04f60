//! The MIME engine on the sample messages of tests/corpus: counts against the bytes themselves, any piece size, both line
//! endings, and every part of every message found under its number.

// A test may stop at what it does not expect.
#![allow(clippy::unwrap_used, clippy::explicit_write)]

use std::fs;
use std::io::Write as _;
use std::path::Path;

use courier::mime::structure::{self, Text};
use courier::mime::{Found, Kind, Part, Scanner, Tree, scan};

fn corpus() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut messages: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect();
    messages.sort();
    if messages.is_empty() {
        writeln!(std::io::stderr(), "skipped: tests/corpus is not there").unwrap();
    }
    messages
}

fn as_served(stored: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(stored.len());
    let mut last = 0;
    for &byte in stored {
        if byte == b'\n' && last != b'\r' {
            out.push(b'\r');
        }
        out.push(byte);
        last = byte;
    }
    out
}

fn render(tree: &Tree) -> (Vec<u8>, Vec<u8>) {
    let (mut envelope, mut body) = (Vec::new(), Vec::new());
    structure::envelope(tree, tree.root(), Text::Ascii, &mut envelope);
    structure::body(tree, true, Text::Ascii, &mut body);
    (envelope, body)
}

#[test]
fn sizes_and_lines_are_those_of_the_bytes() {
    for (name, message) in corpus() {
        let tree = scan(&message);
        assert_eq!(tree.octets(), as_served(&message).len() as u64, "{name}");
        for part in tree.parts() {
            for piece in [part.header(), part.body()] {
                let range = piece.stored();
                let bytes = &message
                    [usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
                assert_eq!(piece.octets(), as_served(bytes).len() as u64, "{name}");
                assert_eq!(
                    piece.lines(),
                    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64,
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn neither_piece_size_nor_line_ends_change_anything() {
    for (name, message) in corpus() {
        let tree = scan(&message);
        for size in [1, 7, 4096] {
            let mut scanner = Scanner::new();
            for piece in message.chunks(size) {
                scanner.push(piece);
            }
            assert_eq!(scanner.finish(), tree, "{name} in pieces of {size}");
        }
        let served = as_served(&message);
        assert_eq!(render(&scan(&served)), render(&tree), "{name} with CRLF");
    }
}

#[test]
fn every_part_is_found_under_its_number() {
    fn walk(tree: &Tree, container: &Part, number: &mut Vec<u32>, found: &mut usize) {
        if container.kind() != Kind::Multipart {
            number.push(1);
            assert!(matches!(tree.find(number), Some(Found::OnlyPart(part)) if part == container));
            number.pop();
            return;
        }
        for (n, &child) in (1..).zip(container.children()) {
            number.push(n);
            let part = tree.part(child).unwrap();
            assert!(matches!(tree.find(number), Some(Found::Part(found)) if found == part));
            *found += 1;
            match (part.kind(), tree.embedded(part)) {
                (Kind::Multipart, _) => walk(tree, part, number, found),
                (_, Some(message)) => {
                    *found += 1;
                    walk(tree, message, number, found);
                }
                _ => {}
            }
            number.pop();
        }
    }
    let mut total = 0;
    for (_, message) in corpus() {
        let tree = scan(&message);
        if tree.embedded(tree.root()).is_some() {
            continue;
        }
        let mut found = 1;
        walk(&tree, tree.root(), &mut Vec::new(), &mut found);
        assert_eq!(found, tree.parts().len());
        total += found;
    }
    assert!(
        total == 0 || total > 300,
        "only {total} parts in the corpus"
    );
}
