//! Names, headers and messages.

use courier::maildir::FolderName;
use courier::mime::{self, address, message_id, params, structure, subject};
use courier::text::date::{Date, DateTime};
use courier::text::pattern::Pattern;
use courier::text::{charset, mutf7, rfc2047};
use imapd::threading::{Gatherer, Headers};
use imapd::writer::Writer;

use super::{halves, keep};

/// Folder names, and patterns upon them.
pub fn folder_name(input: &[u8]) {
    for line in input.split(|byte| *byte == b'\n') {
        let Ok(name) = FolderName::from_full(line) else {
            continue;
        };
        assert_eq!(FolderName::from_full(&name.to_full()).as_ref(), Ok(&name));
        assert!(!name.directory().contains(&b'/') && !name.directory().contains(&0));
        let mut parent = name.parent();
        while let Some(above) = parent {
            assert!(above.is_inbox() || name.is_below(&above));
            parent = above.parent();
        }
    }
    let (pattern, name) = halves(input);
    let pattern = Pattern::new(pattern);
    let matches = pattern.matches(name);
    assert_eq!(matches, Pattern::new(b"*").matches(name) && matches);
}

/// Modified UTF-7 both ways.
pub fn mutf7(input: &[u8]) {
    if let Ok(text) = mutf7::decode(input) {
        let wire = mutf7::encode(text.as_bytes());
        assert_eq!(wire.as_ref().map(String::as_bytes), Ok(input));
    }
    if let Ok(wire) = mutf7::encode(input) {
        assert!(wire.is_ascii());
        if let Ok(text) = mutf7::decode(wire.as_bytes()) {
            assert_eq!(text.as_bytes(), input);
        }
    }
    let (label, bytes) = halves(input);
    let whole = charset::decode(label, bytes);
    if let (Some(whole), Some(mut decoder)) = (whole, charset::Decoder::new(label)) {
        let mut pieces = String::new();
        for byte in bytes {
            decoder.push(&[*byte], false, &mut pieces);
        }
        decoder.push(b"", true, &mut pieces);
        assert!(pieces.len() <= whole.len().saturating_mul(4) + 16);
    }
    keep(charset::guess(input));
}

/// A message: scanned whole and in pieces to the same tree, described, taken apart.
pub fn mime(input: &[u8]) {
    let tree = mime::scan(input);
    let mut scanner = mime::Scanner::new();
    let piece = usize::from(input.first().copied().unwrap_or(1)).max(1);
    for piece in input.chunks(piece) {
        scanner.push(piece);
    }
    let pieces = scanner.finish();
    assert_eq!(tree.parts().len(), pieces.parts().len());
    let describe = |tree: &mime::Tree| {
        let mut out = Vec::new();
        for text in [structure::Text::Ascii, structure::Text::Utf8] {
            structure::envelope(tree, tree.root(), text, &mut out);
            structure::body(tree, false, text, &mut out);
            structure::body(tree, true, text, &mut out);
        }
        out
    };
    let described = describe(&tree);
    assert_eq!(described, describe(&pieces));
    assert!(!described.contains(&0));
    for part in tree.parts() {
        for piece in [part.header(), part.body(), part.whole()] {
            let stored = piece.stored();
            assert!(stored.start <= stored.end && stored.end <= input.len() as u64);
        }
        keep(tree.content(part));
        let whole = part.whole().stored();
        let body = part.body().stored();
        assert!(whole.start <= body.start && body.end <= whole.end);
    }
    for field in mime::header::Fields::new(input) {
        keep(subject::base(field.value));
        keep(rfc2047::decode(field.value));
        message_id::parse(field.value).for_each(drop);
        keep(params::Value::parse(field.value));
    }
}

/// Address lists, encoded words, parameters.
pub fn address(input: &[u8]) {
    keep(address::parse(input));
    let text = rfc2047::decode(input);
    keep(rfc2047::encode(text.as_bytes()));
    keep(rfc2047::encode(input));
    keep(params::Value::parse(input).param_text(b"name"));
    message_id::parse(input).for_each(drop);
    keep(subject::base(input));
}

/// Headers of many messages, one after the other, put into threads: every message is in exactly one.
pub fn threading(input: &[u8]) {
    let mut by_references = Gatherer::default();
    let mut by_subject = Gatherer::default();
    let mut count = 0;
    for header in input.split(|byte| *byte == 0).take(200) {
        let field = |name: &[u8]| {
            mime::header::Fields::new(header)
                .find(|field| field.name.eq_ignore_ascii_case(name))
                .map_or(&[][..], |field| field.value)
        };
        let subject = subject::base(field(b"subject"));
        let id = message_id::parse(field(b"message-id")).next();
        let references: Vec<_> = message_id::parse(field(b"references")).collect();
        let headers = Headers {
            sent: DateTime::parse_header(field(b"date")).map_or(0, |date| date.unix()),
            subject: subject.text.as_bytes(),
            reply: subject.reply,
            id: id.as_deref(),
        };
        count += 1;
        by_references.add(count, &headers, references.iter().map(Vec::as_slice));
        by_subject.add(count, &headers, references.iter().map(Vec::as_slice));
    }
    for threads in [by_references.by_references(), by_subject.by_subject()] {
        let mut out = Writer::memory();
        threads.write(&mut out, |number| number);
        let text = String::from_utf8_lossy(&out.take()).into_owned();
        let mut numbers: Vec<u32> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|digits| digits.parse().ok())
            .collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(1..=count), "{text}");
    }
}

/// Dates of IMAP and of headers.
pub fn date(input: &[u8]) {
    keep(Date::parse_imap(input));
    for time in [DateTime::parse_imap(input), DateTime::parse_header(input)]
        .into_iter()
        .flatten()
    {
        let text = courier::text::date::format_imap(time.unix(), time.offset);
        let again = DateTime::parse_imap(text.as_bytes());
        assert!(
            again.is_none_or(|again| again.unix() == time.unix()),
            "{text}"
        );
    }
}
