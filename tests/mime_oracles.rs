//! The MIME engine beside two others, mail-parser and mailparse: on well-formed messages made at random all three must
//! see the same parts in the same places, and what they decode must be the same text. On the samples of tests/corpus,
//! many of them broken, they must agree but for the ones named here with the reason.

#![allow(
    clippy::unwrap_used,
    clippy::explicit_write,
    reason = "a test ends where it cannot go on"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use courier::mime::decode::Decoder;
use courier::mime::header::Known;
use courier::mime::params::Value;
use courier::mime::{Kind, Part, Tree, address, scan};
use courier::text::{date, rfc2047};
use mail_parser::{MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;

/// A part as all of them can tell it: depth, type, and where header and body begin.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Seen {
    depth: usize,
    kind: String,
    header: usize,
    body: usize,
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

/// Ours, embedded messages left out where `embedded` is false.
fn ours(tree: &Tree, part: &Part, depth: usize, embedded: bool, out: &mut Vec<Seen>) {
    let content = tree.content(part);
    out.push(Seen {
        depth,
        kind: format!(
            "{}/{}",
            String::from_utf8_lossy(&content.major),
            String::from_utf8_lossy(&content.minor)
        ),
        header: at(part.header().stored().start),
        body: at(part.body().stored().start),
    });
    if part.kind() == Kind::Message && !embedded {
        return;
    }
    for &child in part.children() {
        ours(tree, tree.part(child).unwrap(), depth + 1, embedded, out);
    }
}

fn with_mail_parser(message: &mail_parser::Message<'_>, depth: usize, out: &mut Vec<Seen>) {
    fn walk(message: &mail_parser::Message<'_>, index: usize, depth: usize, out: &mut Vec<Seen>) {
        let part = &message.parts[index];
        let kind = part.content_type().map_or_else(
            || "text/plain".to_owned(),
            |kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()),
        );
        out.push(Seen {
            depth,
            kind: kind.to_ascii_lowercase(),
            header: usize::try_from(part.offset_header).unwrap(),
            body: usize::try_from(part.offset_body).unwrap(),
        });
        match &part.body {
            PartType::Multipart(children) => {
                for &child in children {
                    walk(message, usize::try_from(child).unwrap(), depth + 1, out);
                }
            }
            PartType::Message(inner) => with_mail_parser(inner, depth + 1, out),
            _ => {}
        }
    }
    walk(message, 0, depth, out);
}

fn with_mailparse(
    whole: &[u8],
    part: &mailparse::ParsedMail<'_>,
    depth: usize,
    out: &mut Vec<Seen>,
) {
    // It gives slices of the message: where they lie tells the place.
    let place = |bytes: &[u8]| bytes.as_ptr() as usize - whole.as_ptr() as usize;
    let body = match part.get_body_encoded() {
        mailparse::body::Body::Base64(body) | mailparse::body::Body::QuotedPrintable(body) => {
            body.get_raw()
        }
        mailparse::body::Body::SevenBit(body) | mailparse::body::Body::EightBit(body) => {
            body.get_raw()
        }
        mailparse::body::Body::Binary(body) => body.get_raw(),
    };
    out.push(Seen {
        depth,
        kind: part.ctype.mimetype.to_ascii_lowercase(),
        header: place(part.raw_bytes),
        body: place(body),
    });
    for child in &part.subparts {
        with_mailparse(whole, child, depth + 1, out);
    }
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut messages: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect();
    messages.sort();
    messages
}

/// Which of the other two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Oracle {
    MailParser,
    Mailparse,
}

/// Samples on which one of them sees something else, and why ours is right.
const DIFFERENT: &[(&str, Oracle, &str)] = &[
    (
        "MimeKit-004",
        Oracle::Mailparse,
        "an empty body: begins before the empty line for it",
    ),
    ("MimeKit-005", Oracle::Mailparse, "an empty body"),
    ("MimeKit-006", Oracle::Mailparse, "an empty body"),
    (
        "MimeKit-017",
        Oracle::Mailparse,
        "a type without subtype: a matter of notation",
    ),
    (
        "mail-026",
        Oracle::MailParser,
        "a message that ends with its header's empty line",
    ),
    (
        "mail-037",
        Oracle::MailParser,
        "two Content-Type fields: the first counts",
    ),
    (
        "mail-042",
        Oracle::Mailparse,
        "a boundary that begins like another: takes it for that one",
    ),
    (
        "mail-043",
        Oracle::MailParser,
        "a line that is almost a delimiter",
    ),
    (
        "mail-043",
        Oracle::Mailparse,
        "a line that is almost a delimiter",
    ),
    (
        "mail-parser-078",
        Oracle::Mailparse,
        "a boundary that begins like another",
    ),
    (
        "mail-parser-083",
        Oracle::Mailparse,
        "a boundary that begins like another",
    ),
    (
        "mail-parser-097",
        Oracle::Mailparse,
        "a boundary that begins like another",
    ),
    (
        "mail-parser-100",
        Oracle::MailParser,
        "the message ends behind a delimiter: an empty part",
    ),
    (
        "mail-parser-100",
        Oracle::Mailparse,
        "boundaries that begin like others",
    ),
    ("mail-parser-102", Oracle::Mailparse, "refuses the message"),
    (
        "mail-parser-103",
        Oracle::MailParser,
        "an empty part behind a delimiter without end",
    ),
    (
        "mail-parser-103",
        Oracle::Mailparse,
        "an empty part behind a delimiter without end",
    ),
    (
        "mail-parser-106",
        Oracle::MailParser,
        "the default type in a digest is message/rfc822",
    ),
    ("mail-parser-114", Oracle::Mailparse, "an empty body"),
];

/// What ours and the oracle see.
fn compare(message: &[u8], oracle: Oracle) -> (Vec<Seen>, Vec<Seen>) {
    let tree = scan(message);
    let (mut mine, mut other) = (Vec::new(), Vec::new());
    // mailparse does not look into embedded messages.
    ours(
        &tree,
        tree.root(),
        0,
        oracle == Oracle::MailParser,
        &mut mine,
    );
    match oracle {
        Oracle::MailParser => {
            if let Some(parsed) = MessageParser::default().parse(message) {
                with_mail_parser(&parsed, 0, &mut other);
            }
        }
        Oracle::Mailparse => {
            if let Ok(parsed) = mailparse::parse_mail(message) {
                with_mailparse(message, &parsed, 0, &mut other);
            }
        }
    }
    (mine, other)
}

#[test]
fn samples_have_the_parts_that_others_see() {
    let mut unexpected = String::new();
    for (name, message) in corpus() {
        // The others do not ask for MIME-Version.
        let plain = scan(&message);
        let message = match plain.field(plain.root(), Known::MimeVersion) {
            Some(_) => message,
            None => [b"MIME-Version: 1.0\n", message.as_slice()].concat(),
        };
        for oracle in [Oracle::MailParser, Oracle::Mailparse] {
            let (mine, other) = compare(&message, oracle);
            let known = DIFFERENT
                .iter()
                .any(|(sample, which, _)| name == format!("{sample}.eml") && *which == oracle);
            if (mine != other) != known {
                writeln!(unexpected, "{name}, {oracle:?}\n{mine:#?}\n{other:#?}").unwrap();
            }
        }
    }
    assert!(unexpected.is_empty(), "{unexpected}");
}

/// A part to be written: a leaf with its encoding, a multipart, or a message.
#[derive(Debug, Clone)]
enum Made {
    Leaf(&'static str, Vec<u8>),
    Multipart(&'static str, Vec<Self>),
    Message(Box<Self>),
}

impl Made {
    /// Embedded messages have no parts.
    fn is_flat(&self) -> bool {
        match self {
            Self::Leaf(..) => true,
            Self::Multipart(_, parts) => parts.iter().all(Self::is_flat),
            Self::Message(inside) => matches!(**inside, Self::Leaf(..)),
        }
    }

    /// Writes header and body, and adds the octets of each leaf, as they are once decoded.
    fn write(&self, out: &mut Vec<u8>, boundaries: &mut u32, leaves: &mut Vec<Vec<u8>>) {
        match self {
            Self::Leaf(encoding, octets) => {
                let octets: &[u8] = octets;
                let head = format!(
                    "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
                );
                out.extend_from_slice(head.as_bytes());
                match *encoding {
                    "base64" => {
                        use base64::Engine as _;
                        let text = base64::engine::general_purpose::STANDARD.encode(octets);
                        for line in text.as_bytes().chunks(76) {
                            out.extend_from_slice(line);
                            out.extend_from_slice(b"\r\n");
                        }
                    }
                    _ => {
                        for (at, octet) in octets.iter().enumerate() {
                            out.extend_from_slice(format!("={octet:02X}").as_bytes());
                            if at % 20 == 19 {
                                out.extend_from_slice(b"=\r\n");
                            }
                        }
                    }
                }
                leaves.push(octets.to_vec());
            }
            Self::Multipart(kind, parts) => {
                *boundaries += 1;
                let boundary = format!("b{boundaries:04}_=");
                let head =
                    format!("Content-Type: multipart/{kind};\r\n\tboundary=\"{boundary}\"\r\n\r\n");
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(b"For old programs.\r\n");
                for part in parts {
                    out.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
                    part.write(out, boundaries, leaves);
                }
                out.extend_from_slice(format!("\r\n--{boundary}--\r\nThat was it.\r\n").as_bytes());
            }
            Self::Message(inside) => {
                out.extend_from_slice(
                    b"Content-Type: message/rfc822\r\n\r\nSubject: inside\r\nMIME-Version: 1.0\r\n",
                );
                inside.write(out, boundaries, leaves);
            }
        }
    }
}

fn made() -> impl Strategy<Value = Made> {
    // Never empty: there the others have ideas of their own.
    let leaf = (
        prop_oneof![Just("base64"), Just("quoted-printable")],
        proptest::collection::vec(any::<u8>(), 1..120),
    )
        .prop_map(|(encoding, octets)| Made::Leaf(encoding, octets));
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (
                prop_oneof![Just("mixed"), Just("alternative"), Just("related")],
                proptest::collection::vec(inner.clone(), 1..4)
            )
                .prop_map(|(kind, parts)| Made::Multipart(kind, parts)),
            inner.prop_map(|inside| Made::Message(Box::new(inside))),
        ]
    })
}

/// The leaves of the message, decoded, in order.
fn decoded(message: &[u8]) -> Vec<Vec<u8>> {
    let tree = scan(message);
    tree.parts()
        .iter()
        .filter(|part| part.kind() == Kind::Leaf)
        .map(|part| {
            let stored = part.body().stored();
            let mut decoder = Decoder::new(&tree.content(part).encoding);
            let mut out = Vec::new();
            decoder.push(&message[at(stored.start)..at(stored.end)], &mut out);
            decoder.finish(&mut out);
            out
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn well_formed_messages_have_the_same_parts_for_all(made in made(), crlf: bool) {
        let mut message = b"From: a@example.org\r\nMIME-Version: 1.0\r\n".to_vec();
        let mut leaves = Vec::new();
        made.write(&mut message, &mut 0, &mut leaves);
        if !crlf {
            message.retain(|octet| *octet != b'\r');
        }
        for oracle in [Oracle::MailParser, Oracle::Mailparse] {
            // It loses its way behind embedded messages that have parts.
            if oracle == Oracle::MailParser && !made.is_flat() {
                continue;
            }
            let (mine, other) = compare(&message, oracle);
                prop_assert_eq!(mine, other, "{:?}\n{}", oracle, String::from_utf8_lossy(&message));
        }
        prop_assert_eq!(decoded(&message), leaves);
    }

    #[test]
    fn encoded_words_mean_the_same_to_all(
        words in proptest::collection::vec("[a-zA-Z0-9äöüßéñ漢字 ]{1,12}", 1..6),
        quoted: bool,
    ) {
        // White space at the ends is nothing that a header keeps.
        let text: Vec<&str> = words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).collect();
        prop_assume!(!text.is_empty());
        let mut value = String::new();
        for (number, word) in text.iter().enumerate() {
            if number > 0 {
                value.push_str(if number % 2 == 0 { "\r\n " } else { " " });
            }
            if quoted {
                value.push_str("=?utf-8?Q?");
                for octet in word.bytes() {
                    write!(value, "={octet:02X}").unwrap();
                }
            } else {
                use base64::Engine as _;
                value.push_str("=?UTF-8?b?");
                value.push_str(&base64::engine::general_purpose::STANDARD.encode(word));
            }
            value.push_str("?=");
        }
        let mine = rfc2047::decode(value.as_bytes());
        prop_assert_eq!(&mine, &text.concat());
        let message = format!("Subject: {value}\r\n\r\nx");
        let parsed = MessageParser::default().parse(message.as_bytes()).unwrap();
        prop_assert_eq!(parsed.subject(), Some(mine.as_str()));
        let (header, _) = mailparse::parse_header(message.as_bytes()).unwrap();
        prop_assert_eq!(header.get_value(), mine);
    }

    #[test]
    fn parameters_in_pieces_and_character_sets_mean_the_same_to_all(
        name in "[a-z äöü漢._-]{1,40}", size in 1_usize..20,
    ) {
        let name = name.trim().to_owned();
        prop_assume!(!name.is_empty());
        let octets: Vec<String> = name.bytes().map(|octet| format!("%{octet:02X}")).collect();
        let mut value = "attachment".to_owned();
        for (number, piece) in octets.chunks(size).enumerate() {
            let set = if number == 0 { "utf-8''" } else { "" };
            write!(value, ";\r\n filename*{number}*={set}{}", piece.concat()).unwrap();
        }
        let mine = Value::parse(value.as_bytes());
        prop_assert_eq!(mine.param_text(b"filename"), Some(name.clone()));
        // The others take each piece for text in itself.
        if name.is_ascii() || octets.len() <= size {
            let message = format!("Content-Disposition: {value}\r\nContent-Type: a/b\r\n\r\nx");
            let parsed = MessageParser::default().parse(message.as_bytes()).unwrap();
            prop_assert_eq!(parsed.parts[0].attachment_name(), Some(name.as_str()));
            let unfolded = value.replace("\r\n", "");
            let theirs = mailparse::parse_content_disposition(&unfolded);
            prop_assert_eq!(theirs.params.get("filename"), Some(&name));
        }
    }

    #[test]
    fn dates_and_addresses_mean_the_same_to_all(
        (year, month, day) in (1971_u16..2037, 1_u8..13, 1_u8..29),
        (hour, minute, second) in (0_u8..24, 0_u8..60, 0_u8..60),
        offset in -12_i32..13,
        name in "[A-Z][a-z]{0,8}( [A-Z][a-z]{0,8})?", local in "[a-z][a-z0-9.+-]{0,9}[a-z]", domain in "[a-z]{1,9}\\.[a-z]{2,3}",
        form in 0_u8..4,
    ) {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let month = MONTHS[usize::from(month) - 1];
        let sign = if offset < 0 { '-' } else { '+' };
        let text = format!("{day} {month} {year} {hour:02}:{minute:02}:{second:02} {sign}{:02}00", offset.abs());
        let mine = date::DateTime::parse_header(text.as_bytes()).map(date::DateTime::unix);
        prop_assert_eq!(mine, mailparse::dateparse(&text).ok());
        let message = format!("Date: {text}\r\n\r\nx");
        let parsed = MessageParser::default().parse(message.as_bytes()).unwrap();
        prop_assert_eq!(mine, parsed.date().map(mail_parser::DateTime::to_timestamp));

        prop_assume!(!local.contains(".."));
        let address = match form {
            0 => format!("{local}@{domain}"),
            1 => format!("{name} <{local}@{domain}>"),
            2 => format!("\"{name}\" <{local}@{domain}>"),
            _ => format!("<{local}@{domain}>"),
        };
        let items = address::parse(address.as_bytes());
        prop_assert_eq!(items.len(), 1);
        let Some(address::Item::Mailbox { name: shown, local: at, domain: host }) = items.first() else {
            return Err(TestCaseError::fail("no mailbox"));
        };
        let shown = shown.as_deref().map(|shown| String::from_utf8_lossy(shown).into_owned());
        let whole = format!("{}@{}", String::from_utf8_lossy(at), String::from_utf8_lossy(host));
        let theirs = mailparse::addrparse(&address).unwrap().extract_single_info().unwrap();
        prop_assert_eq!((&theirs.addr, &theirs.display_name), (&whole, &shown));
        let message = format!("From: {address}\r\n\r\nx");
        let parsed = MessageParser::default().parse(message.as_bytes()).unwrap();
        let theirs = parsed.from().and_then(|from| from.first()).unwrap();
        prop_assert_eq!(theirs.address(), Some(whole.as_str()));
        prop_assert_eq!(theirs.name(), shown.as_deref());
    }
}
