//! Text search in messages: the decoded, case-folded text of headers and bodies (contract: imapd, SEARCH).
//!
//! All texts of one command are looked for in a single pass over a message, which is decoded piece by piece: memory
//! does not grow with the message.

mod automaton;

use std::io;

use courier::mime::decode;
use courier::mime::header::{Entry, Fields};
use courier::mime::{Kind, Part, Piece, Tree};
use courier::text::casefold::{self, Folder};
use courier::text::{charset, html, rfc2047};
use memchr::memmem::Finder;

use crate::content::Content;
use automaton::{Automaton, State, Visited};

/// Texts up to this many are looked for one by one, which is faster then.
const FEW: usize = 8;
/// Folded text gathered before it is searched.
const WINDOW: usize = 32 * 1024;
/// Bytes of one header that are searched.
const HEADER_MAX: usize = 4 << 20;

/// A text to look for, folded.
#[derive(Debug, Clone)]
pub struct Needle(Finder<'static>);

impl Needle {
    /// A text as the client gave it, in the given character set; UTF-8 if there is none or it is unknown.
    #[must_use]
    pub fn new(label: Option<&[u8]>, text: &[u8]) -> Self {
        let text = label
            .and_then(|label| charset::decode(label, text))
            .unwrap_or_else(|| charset::guess(text));
        Self(Finder::new(casefold::fold(&text).as_bytes()).into_owned())
    }

    /// Whether it is found in a text not folded yet.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.0.find(casefold::fold(text).as_bytes()).is_some()
    }

    /// Whether it is found in octets of folded text.
    #[must_use]
    pub fn is_in_folded(&self, text: &[u8]) -> bool {
        self.0.find(text).is_some()
    }

    /// Whether it is empty, and so found everywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.needle().is_empty()
    }
}

/// All texts that a command looks for in whole headers and bodies.
#[derive(Debug, Clone)]
pub struct Needles {
    list: Vec<Needle>,
    /// For many.
    automaton: Option<Automaton>,
}

impl Needles {
    /// They are named by their places from here on.
    #[must_use]
    pub fn new(list: Vec<Needle>) -> Self {
        let texts: Vec<&[u8]> = list.iter().map(|needle| needle.0.needle()).collect();
        let automaton = (texts.len() > FEW).then(|| Automaton::new(&texts));
        Self {
            automaton: automaton.flatten(),
            list,
        }
    }
}

/// The bytes of a message's own header.
///
/// # Errors
/// The message cannot be read.
pub fn own_header(content: &mut Content) -> io::Result<Vec<u8>> {
    let piece = content.header()?;
    read_header(content, piece)
}

fn read_header(content: &mut Content, piece: Piece) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    content.stored(piece, |bytes| {
        header.extend_from_slice(bytes);
        header.len() < HEADER_MAX
    })?;
    Ok(header)
}

/// Whether a field of the header has this name and contains the text.
#[must_use]
pub fn in_field(header: &[u8], name: &[u8], needle: &Needle) -> bool {
    Fields::new(header)
        .filter(|field| field.name.eq_ignore_ascii_case(name))
        .any(|field| {
            // A space ends every value, for searches by whole word.
            needle.is_empty() || needle.is_in(&(rfc2047::decode(field.value) + " "))
        })
}

/// Which of the texts are in a header, as `TEXT` searches it.
#[must_use]
pub fn in_header(header: &[u8], needles: &Needles) -> Vec<bool> {
    let mut search = Search::new(needles);
    search.header(header);
    search.found
}

/// Which of the texts are in a message's body, as `BODY` searches it: the texts of all parts, and the headers of parts
/// and embedded messages. `go_on` is told of the octets that have been looked at, again and again; once it says no, the
/// result is that so far.
///
/// # Errors
/// The message cannot be read.
pub fn in_body(
    content: &mut Content,
    needles: &Needles,
    mut go_on: impl FnMut(usize) -> bool,
) -> io::Result<Vec<bool>> {
    let mut search = Search::new(needles);
    let mut index = 0;
    let mut wanted = true;
    while wanted && !search.is_done() {
        // The tree is borrowed anew each time, as reading needs the content.
        match next_piece(content.tree()?, &mut index) {
            None => break,
            Some((piece, None)) => {
                let header = read_header(content, piece)?;
                search.header(&header);
                wanted = go_on(header.len());
            }
            Some((piece, Some(text))) => {
                wanted = search.body(content, piece, &text, &mut go_on)?;
            }
        }
    }
    Ok(search.found)
}

/// How a text part is encoded.
struct TextPart {
    encoding: Vec<u8>,
    charset: Vec<u8>,
    is_html: bool,
}

/// The next searchable piece of a message's body: a part's header, or (with its encodings) a text. `index` counts
/// twice the part's number, plus one for its body.
fn next_piece(tree: &Tree, index: &mut usize) -> Option<(Piece, Option<TextPart>)> {
    loop {
        let (number, is_body) = (*index / 2, *index % 2 == 1);
        *index += 1;
        let part = tree.part(number)?;
        if !is_body {
            // The message's own header is not part of its body.
            if number > 0 {
                return Some((part.header(), None));
            }
        } else if let Some(text) = text_part(tree, part) {
            return Some((part.body(), Some(text)));
        }
    }
}

fn text_part(tree: &Tree, part: &Part) -> Option<TextPart> {
    if part.kind() != Kind::Leaf {
        return None;
    }
    let content = tree.content(part);
    if content.major != b"text" {
        return None;
    }
    let charset = content
        .value
        .param(b"charset")
        .unwrap_or_default()
        .into_owned();
    Some(TextPart {
        is_html: content.minor.eq_ignore_ascii_case(b"html"),
        encoding: content.encoding,
        charset,
    })
}

/// A search in progress.
struct Search<'a> {
    needles: &'a Needles,
    found: Vec<bool>,
    visited: Visited,
    missing: usize,
    /// Length of the longest needle.
    longest: usize,
    stream: Stream,
    /// Beside the source of HTML, what it shows.
    shown: Stream,
}

/// A text on its way past the needles.
#[derive(Debug, Default)]
struct Stream {
    folder: Folder,
    folded: String,
    /// What may be the start of a match, and more; not used with an automaton.
    window: Vec<u8>,
    state: State,
}

impl<'a> Search<'a> {
    fn new(needles: &'a Needles) -> Self {
        // The empty text is everywhere, also where there is no text.
        let found: Vec<bool> = needles.list.iter().map(Needle::is_empty).collect();
        let automaton = needles.automaton.as_ref();
        Self {
            needles,
            missing: found.iter().filter(|found| !**found).count(),
            found,
            visited: automaton.map(Automaton::visited).unwrap_or_default(),
            longest: needles
                .list
                .iter()
                .map(|needle| needle.0.needle().len())
                .max()
                .unwrap_or(0),
            stream: Stream::default(),
            shown: Stream::default(),
        }
    }

    fn is_done(&self) -> bool {
        self.missing == 0
    }

    /// Searches a header, field by field.
    fn header(&mut self, header: &[u8]) {
        let mut entries = Fields::new(header);
        while let Some(entry) = entries.next_entry() {
            if self.is_done() {
                return;
            }
            match entry {
                Entry::Field(field) => {
                    self.text(&String::from_utf8_lossy(field.name));
                    self.text(": ");
                    self.text(&rfc2047::decode(field.value));
                }
                // No field, but in the header (RFC 3501 section 6.4.4).
                Entry::Stray(raw) => self.text(&rfc2047::decode(raw)),
            }
            self.text(" ");
            self.end();
        }
    }

    /// Searches a text part. False if `go_on` has said no.
    fn body(
        &mut self,
        content: &mut Content,
        piece: Piece,
        part: &TextPart,
        go_on: &mut impl FnMut(usize) -> bool,
    ) -> io::Result<bool> {
        let mut transfer = decode::Decoder::new(&part.encoding);
        // Unlabelled text and unknown character sets are taken for ASCII, or UTF-8 where they are that.
        let Some(mut converter) =
            charset::Decoder::new(&part.charset).or_else(|| charset::Decoder::new(b"us-ascii"))
        else {
            return Ok(true);
        };
        let mut wanted = true;
        let (mut decoded, mut text) = (Vec::new(), String::new());
        let mut shown = String::new();
        let mut filter = part.is_html.then(html::Filter::default);
        content.stored(piece, |bytes| {
            decoded.clear();
            text.clear();
            transfer.push(bytes, &mut decoded);
            converter.push(&decoded, false, &mut text);
            self.text(&text);
            if let Some(filter) = &mut filter {
                shown.clear();
                filter.push(&text, &mut shown);
                self.shown(&shown);
            }
            wanted = go_on(bytes.len());
            wanted && !self.is_done()
        })?;
        decoded.clear();
        text.clear();
        transfer.finish(&mut decoded);
        converter.push(&decoded, true, &mut text);
        self.text(&text);
        if let Some(filter) = &mut filter {
            shown.clear();
            filter.push(&text, &mut shown);
            filter.finish(&mut shown);
            self.shown(&shown);
        }
        self.end();
        Ok(wanted)
    }

    /// Takes a piece of a text.
    fn text(&mut self, text: &str) {
        let mut stream = std::mem::take(&mut self.stream);
        self.take(&mut stream, text);
        self.stream = stream;
    }

    /// Takes a piece of what an HTML text shows.
    fn shown(&mut self, text: &str) {
        let mut stream = std::mem::take(&mut self.shown);
        self.take(&mut stream, text);
        self.shown = stream;
    }

    fn take(&mut self, stream: &mut Stream, text: &str) {
        stream.folder.push(text, &mut stream.folded);
        if let Some(automaton) = &self.needles.automaton {
            stream.state = automaton.look(
                stream.state,
                stream.folded.as_bytes(),
                &mut self.visited,
                |number| {
                    if let Some(found @ false) = self.found.get_mut(number) {
                        *found = true;
                        self.missing -= 1;
                    }
                },
            );
            stream.folded.clear();
            return;
        }
        stream.window.extend_from_slice(stream.folded.as_bytes());
        stream.folded.clear();
        if stream.window.len() >= WINDOW.max(self.longest * 2) {
            self.look(&stream.window);
            // What may be the start of a match stays.
            let length = stream.window.len();
            let gone = length.saturating_sub(self.longest.saturating_sub(1));
            stream.window.drain(..gone);
        }
    }

    /// Ends a text: nothing matches across.
    fn end(&mut self) {
        for mut stream in [
            std::mem::take(&mut self.stream),
            std::mem::take(&mut self.shown),
        ] {
            self.look(&stream.window);
            stream.window.clear();
            // Its memory serves for the next text.
            self.stream.window = stream.window;
        }
    }

    fn look(&mut self, window: &[u8]) {
        if window.is_empty() {
            return;
        }
        for (needle, found) in self.needles.list.iter().zip(&mut self.found) {
            if !*found && needle.0.find(window).is_some() {
                *found = true;
                self.missing -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW, Needle, Needles, in_field, own_header};
    use crate::content::tests::content;

    fn needle(text: &str) -> Needle {
        Needle::new(None, text.as_bytes())
    }

    /// Alone, and among as many that the automaton is used.
    fn both_ways(text: &str, look: impl Fn(&Needles) -> Vec<bool>) -> bool {
        let alone = look(&Needles::new(vec![needle(text)]))[0];
        let mut many = vec![needle(text); FEW + 1];
        many[1] = needle("nowhere to be found");
        many[2] = needle("");
        let many = Needles::new(many);
        assert!(many.automaton.is_some());
        let mut expected = vec![alone; FEW + 1];
        (expected[1], expected[2]) = (false, true);
        assert_eq!(look(&many), expected, "{text}");
        alone
    }

    fn in_body(message: &[u8], text: &str) -> bool {
        both_ways(text, |needles| {
            super::in_body(&mut content(message), needles, |_| true).unwrap()
        })
    }

    fn in_header(message: &[u8], text: &str) -> bool {
        let header = own_header(&mut content(message)).unwrap();
        both_ways(text, |needles| super::in_header(&header, needles))
    }

    #[test]
    fn a_search_that_nobody_wants_any_more_ends() {
        let mut message = b"Subject: x\n\n".to_vec();
        message.resize(10_000_000, b'z');
        let mut octets = 0;
        let needles = Needles::new(vec![needle("not there")]);
        super::in_body(&mut content(&message), &needles, |more| {
            octets += more;
            octets < 1_000_000
        })
        .unwrap();
        assert!((1_000_000..2_000_000).contains(&octets), "{octets}");
    }

    const MESSAGE: &[u8] = b"MIME-Version: 1.0
Subject: =?iso-8859-1?Q?J=F6rg?=
 =?iso-8859-1?Q?_Meier?= writes
X-H: foo
Content-Type: multipart/mixed; boundary=b

preamble words
--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Stra=DFe one=
 two
three

--b
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PHA+R3LDvMOfZTwvcD4=

--b
Content-Type: text/HTML

<div>sh<b>own</b> with&nbsp;&Auml;rger</div>

--b
Content-Type: application/octet-stream

binary words

--b
Content-Type: message/rfc822

Subject: inner subject

inner body
--b--
epilogue words
";

    #[test]
    fn bodies_are_decoded() {
        for text in [
            "strasse",
            "STRA\u{df}E",
            "one two three",
            "<p>gr\u{fc}\u{df}e</p>",
            "shown with \u{c4}rger",
            "&Auml;rger",
            "inner body",
            "inner subject",
            "",
        ] {
            assert!(in_body(MESSAGE, text), "{text}");
        }
        for text in [
            "Meier",
            "binary words",
            "preamble",
            "epilogue",
            "grusse",
            "PHA+",
        ] {
            assert!(!in_body(MESSAGE, text), "{text}");
        }
    }

    #[test]
    fn headers_are_decoded() {
        for text in [
            "J\u{f6}RG meier WRITES",
            "x-h: foo",
            "subject: j\u{f6}rg",
            "",
        ] {
            assert!(in_header(MESSAGE, text), "{text}");
        }
        for text in ["inner subject", "jorg", "writes X-H", "one"] {
            assert!(!in_header(MESSAGE, text), "{text}");
        }
        let header = own_header(&mut content(MESSAGE)).unwrap();
        let odd: &[u8] =
            b"From ann Mon Jan  1 10:11:12 2001\nSubject: x\nNo colon  here\n\tand on\n\nbody\n";
        for text in [
            "from ann mon",
            "no COLON here and on ",
            "subject: x",
            "colon ",
        ] {
            assert!(in_header(odd, text), "{text}");
        }
        for text in ["x no", "and on body", "no: colon"] {
            assert!(!in_header(odd, text), "{text}");
        }
        assert!(in_field(&header, b"SUBJECT", &needle("meier writes ")));
        assert!(in_field(&header, b"x-h", &needle("")));
        assert!(!in_field(&header, b"x-i", &needle("")));
        assert!(!in_field(&header, b"x-h", &needle("meier")));
    }

    #[test]
    fn matches_span_the_pieces_of_large_texts() {
        let mut message = b"Subject: x\n\n".to_vec();
        while message.len() < 300_000 {
            message.extend_from_slice("filler f\u{fc}ller\n".as_bytes());
        }
        message.extend_from_slice(b"The  needle\n\tis here\n");
        message.resize(600_000, b'z');
        assert!(in_body(&message, "the NEEDLE is here"));
        assert!(!in_body(&message, "the needle was here"));
        // Wherever the text lies in relation to the blocks.
        for shift in (65_400..65_600).step_by(7) {
            let mut message = b"\n".to_vec();
            message.resize(shift, b'y');
            message.extend_from_slice("\u{fc}ber needle".as_bytes());
            message.resize(200_000, b'y');
            assert!(in_body(&message, "\u{dc}BER NEEDLE"), "{shift}");
        }
    }

    #[test]
    fn needles_in_other_character_sets() {
        let needle = Needle::new(Some(b"iso-8859-1"), b"J\xf6rg");
        assert!(needle.is_in("der J\u{d6}RG"));
    }
}
