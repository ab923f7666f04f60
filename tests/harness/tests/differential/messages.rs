//! Messages of every shape that a maildir can hold, each of a named kind, as they lie on disk.

use harness::account::stored_form;
use harness::mail::{self, Seed};

/// A message and what it is made to try.
pub(crate) struct Message {
    /// The kind, which the list of reviewed differences names.
    pub(crate) kind: &'static str,
    /// The file's content.
    pub(crate) content: Vec<u8>,
}

/// Whole messages, or their headers and bodies, by kind. `@` becomes a random word.
const SHAPES: &[(&str, &[u8])] = &[
    ("empty", b""),
    ("blank-line", b"\n"),
    ("no-header", b"\nThere is no header, @.\n"),
    ("no-body", b"From: a@example.net\nSubject: no body @\n\n"),
    ("no-blank-line", b"From: a@example.net\nSubject: no blank line @\n"),
    ("no-last-line-end", b"From: a@example.net\nSubject: @\n\nThe last line does not end @"),
    ("plain", b"From: \"Ann Lee\" <ann@example.net>\nTo: Bob <bob@example.com>, carl@example.org\nCc: d@example.com\nDate: Mon, 05 Jan 2026 10:00:00 +0000\nSubject: @ and\n folded @\nMessage-ID: <@@example.net>\nIn-Reply-To: <x@example.net>\n\nOne @.\n\nTwo @.\n"),
    ("many-blanks", b"From:    ann@example.net   \nSubject:\t  @   \n\t more\nDate: Tue,  6 Jan 2026 01:02:03 +0100 (CET)\n\n\n\n@\n\n\n"),
    ("empty-fields", b"From:\nTo: \nSubject:\nDate:\nMessage-ID:\nX-Empty:\n\n@\n"),
    ("repeated", b"From: a@example.net\nSubject: first @\nSubject: second\nTo: b@example.net\nTo: c@example.net\nMessage-ID: <1@x>\nMessage-ID: <2@x>\n\n@\n"),
    ("groups", b"From: a@example.net\nTo: friends: b@example.net, C <c@example.net>;, d@example.net\nCc: undisclosed-recipients:;\nSubject: @\n\n@\n"),
    ("comments", b"From: ann@example.net (Ann (the first) Lee)\nTo: \"quoted \\\" one\" <\"local part\"@example.net>\nReply-To: <r@example.net>\nSender: s@example.net\nSubject: @\n\n@\n"),
    ("encoded-words", b"From: =?utf-8?Q?J=C3=B6rg?= <j@example.de>\nSubject: =?utf-8?B?R3LDvMOfZQ==?= =?iso-8859-1?Q?=E9t=E9?= @\n\n@\n"),
    ("utf8-header", b"From: J\xc3\xb6rg <j@example.de>\nSubject: Gr\xc3\xbc\xc3\x9fe @\n\nGr\xc3\xbc\xc3\x9fe @\n"),
    ("latin1-header", b"From: a@example.de\nSubject: Gr\xfc\xdfe @\n\nGr\xfc\xdfe @\n"),
    ("eight-bit", b"From: a@example.de\nSubject: @\nMIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\nGr\xfc\xdfe @ \x80\xff\n"),
    ("odd-lines", b"From: a@example.net\nthis line has no colon @\nSubject: after it\nX-Spaced : value\n: no name\n\n@\n"),
    ("mbox-line", b"From ann@example.net Mon Jan  5 10:00:00 2026\nFrom: a@example.net\nSubject: @\n\n@\n"),
    ("stored-crlf", b"From: a@example.net\r\nSubject: crlf @\r\n\r\nOne @\r\ntwo\r\n"),
    ("bare-cr", b"From: a@example.net\nSubject: cr @\n\nOne\rtwo @\n\r\nthree\n"),
    ("no-date", b"From: a@example.net\nSubject: @\nDate: yesterday at noon\n\n@\n"),
    ("base64", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nR3LDvMOfZSBhdXMgS8O2bG4K\n"),
    ("quoted-printable", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe @ and a line that is =\nbroken\n"),
    ("html", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<p>Gr&uuml;&szlig;e <b>@</b></p>\n"),
    ("unknown-encoding", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: x-strange\n\n@\n"),
    ("bad-type", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: text\n\n@\n"),
    ("parameters", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: Application/Octet-Stream; NAME=\"a \\\"b\\\" @.bin\"; x=y\nContent-ID: <c@example.net>\nContent-Description: a description @\nContent-Disposition: Attachment; filename=\"a.bin\"\nContent-MD5: Q2hlY2s=\nContent-Language: en, de\nContent-Location: http://example.net/@\n\n@\n"),
    ("rfc2231", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: text/plain; name*0=\"one \"; name*1=\"two.txt\"\nContent-Disposition: inline; filename*=utf-8''Gr%C3%BC%C3%9Fe\n\n@\n"),
    ("mixed", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=zz\n\nThe preamble @.\n--zz\nContent-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: 7bit\nX-Part: one\n\nPart one @.\n\n--zz\nContent-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=a.png\n\naGk=\n\n--zz--\nThe epilogue @.\n"),
    ("mixed-default", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"z z\"\n\n--z z\n\nNo header @, two\nlines.\n\n--z z\n\nsecond @\nline\n\n--z z--\n"),
    ("no-end", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=zz\n\n--zz\nContent-Type: text/plain\n\nPart one @.\n\n--zz\nContent-Type: text/plain\n\nNever ends @.\n"),
    ("no-parts", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=zz\n\nNo boundary line @.\n"),
    ("no-boundary", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: multipart/mixed\n\n--zz\n\n@\n--zz--\n"),
    ("nested", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=out\n\n--out\nContent-Type: multipart/alternative; boundary=in\n\n--in\nContent-Type: text/plain; charset=utf-8\n\ntext @\n\n--in\nContent-Type: text/html; charset=utf-8\n\n<p>text @</p>\n\n--in--\n\n--out\nContent-Type: text/plain; charset=utf-8\n\nlast @\n\n--out--\n"),
    ("message", b"From: a@example.net\nSubject: outer @\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\nFrom: b@example.net\nTo: c@example.net\nSubject: inner @\nDate: Fri, 3 May 2024 07:08:09 +0200\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\ninner text @\n\n"),
    ("forwarded", b"From: a@example.net\nSubject: outer @\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=fwd\n\n--fwd\nContent-Type: text/plain; charset=utf-8\n\nsee below @\n\n--fwd\nContent-Type: message/rfc822\n\nFrom: b@example.net\nSubject: inner @\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=deep\n\n--deep\nContent-Type: text/plain; charset=utf-8\n\ndeep text @\nline\n\n--deep\nContent-Type: text/html; charset=utf-8\n\n<i>@</i>\n\n\n--deep--\n\n--fwd--\n"),
    ("digest", b"From: a@example.net\nSubject: @\nMIME-Version: 1.0\nContent-Type: multipart/digest; boundary=dd\n\n--dd\n\nFrom: b@example.net\nSubject: one @\nMIME-Version: 1.0\n\nfirst @\n\n--dd\n\nFrom: c@example.net\nSubject: two @\nMIME-Version: 1.0\n\nsecond @\n\n--dd--\n"),
];

const WORDS: [&str; 6] = ["apple", "Garden", "re-view", "x1", "lamp", "stone"];

fn filled(random: &mut Seed, shape: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(shape.len() + 64);
    for (index, &byte) in shape.iter().enumerate() {
        let neighbour = |at: Option<usize>| {
            at.and_then(|at| shape.get(at))
                .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'"' | b'@'))
        };
        // The `@` of an address stays one.
        let address = neighbour(index.checked_sub(1)) && neighbour(Some(index + 1));
        if byte == b'@' && !address {
            let word = WORDS.get(random.below(WORDS.len())).copied();
            content.extend_from_slice(word.unwrap_or_default().as_bytes());
        } else {
            content.push(byte);
        }
    }
    content
}

/// All messages of `seed`.
pub(crate) fn generate(seed: u64) -> Vec<Message> {
    let mut random = Seed::new(seed);
    let mut messages: Vec<Message> = SHAPES
        .iter()
        .map(|&(kind, shape)| Message {
            kind,
            content: filled(&mut random, shape),
        })
        .collect();
    let mut long = b"From: a@example.net\nSubject: ".to_vec();
    for _ in 0..100 + random.below(60) {
        long.extend_from_slice(b"word and ");
    }
    long.extend_from_slice(b"end\n\n");
    long.resize(long.len() + 2000 + random.below(9000), b'y');
    long.extend_from_slice(b"\nshort\n");
    messages.push(Message {
        kind: "long-lines",
        content: long,
    });
    for index in 0..16 {
        let size = 300 + random.below(3000);
        messages.push(Message {
            kind: "usual",
            content: stored_form(&mail::message(seed, index, size)),
        });
    }
    // Another order with every seed, so that ranges cover other neighbours.
    for index in (1..messages.len()).rev() {
        messages.swap(index, random.below(index + 1));
    }
    messages
}
