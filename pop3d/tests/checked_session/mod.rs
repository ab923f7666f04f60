//! One session in this process over any input, held against what POP3 promises: one reply for each line, multi-line
//! replies that end and carry the message, numbers that stay, and nothing deleted but what was marked when QUIT came.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use courier::login::environment::Environment;
use courier::login::settings::{Protocol, Settings as LoginSettings};
use courier::maildir::{Maildrop, Options, StoredMessage, Sync};
use pop3d::measure::measure;
use pop3d::session::{End, Session};
use pop3d::settings::Settings;
use pop3d::wire::{Input, Output};

/// Longest line that is looked at.
const LINE_MAX: usize = 8191;

/// Names and contents of the messages, in their order.
pub(crate) const MESSAGES: [(&str, &[u8]); 5] = [
    ("1.plain:2,", b"Subject: one\n\nbody\n"),
    ("2.dots:2,S", b".\n..\n\n.x\n.\n"),
    ("3.crlf,S=19:2,F", b"Subject: c\r\n\r\nx\r\ny"),
    ("4.empty:2,", b""),
    ("5.utf:2,R", b"Subject: j\xc3\xbcrgen\n\n\xff\n"),
];

/// What one session has done.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Replies that began with `+OK`.
    pub(crate) accepted: usize,
    /// It ended with QUIT.
    pub(crate) quit: bool,
}

/// As it travels, without dots doubled.
fn wire(stored: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for &byte in stored {
        if byte == b'\n' {
            text.push(b'\r');
        }
        text.push(byte);
    }
    if stored.last() != Some(&b'\n') {
        text.extend_from_slice(b"\r\n");
    }
    text
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

/// What the server said, taken apart as a client does it.
struct Replies<'a>(&'a [u8]);

impl<'a> Replies<'a> {
    fn line(&mut self) -> &'a [u8] {
        let end = find(self.0, b"\r\n").expect("a reply ends");
        let (line, rest) = self.0.split_at(end);
        self.0 = &rest[2..];
        line
    }

    /// Up to the line with the dot; the dots that were added are taken away.
    fn text(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        loop {
            // A bare LF is content, a CR before the line end too.
            let line = self.line();
            if line == b"." {
                return text;
            }
            text.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            text.extend_from_slice(b"\r\n");
        }
    }
}

/// A session with `input`, all there from the beginning, on a fresh maildir in `place`. Panics where a promise is
/// broken.
pub(crate) fn check(place: &Path, input: &[u8]) -> Outcome {
    let maildir = place.join("Maildir");
    for part in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(maildir.join(part)).unwrap();
    }
    for (name, text) in MESSAGES {
        std::fs::write(maildir.join("cur").join(name), text).unwrap();
    }
    let (end, output) = serve(&maildir, input);
    let mut replies = Replies(&output);
    assert_eq!(replies.line(), b"+OK logged in.");
    let mut model = Model {
        deleted: BTreeSet::new(),
        utf8: false,
        accepted: 0,
    };
    let mut quit = false;
    for line in input.split_inclusive(|&byte| byte == b'\n') {
        if quit || !line.ends_with(b"\n") {
            break;
        }
        quit = model.step(line, &mut replies);
    }
    assert!(replies.0.is_empty(), "more replies than commands");
    assert_eq!(end == End::Logout, quit);
    let left: BTreeSet<String> = std::fs::read_dir(maildir.join("cur"))
        .unwrap()
        .map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.split(':').next().unwrap().to_owned()
        })
        .collect();
    let expected: BTreeSet<String> = (1..)
        .zip(MESSAGES)
        .filter(|(number, _)| !quit || !model.deleted.contains(number))
        .map(|(_, (name, _))| name.split(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(left, expected);
    std::fs::remove_dir_all(&maildir).unwrap();
    Outcome {
        accepted: model.accepted,
        quit,
    }
}

fn serve(maildir: &Path, input: &[u8]) -> (End, Vec<u8>) {
    let mut from = tempfile::tempfile().unwrap();
    from.write_all(input).unwrap();
    from.rewind().unwrap();
    let mut to: File = tempfile::tempfile().unwrap();
    let environment = Environment::from([("UTF8", "0"), ("AUTHENTICATED", "joe")]);
    let login = LoginSettings::read(Protocol::Pop3, &environment);
    let settings = Settings::read(&environment, &login);
    let options = Options {
        sync: Sync::Never,
        ..Options::default()
    };
    let measured = |message: &StoredMessage| measure(message, &mut [0; 4096]);
    let maildrop = Maildrop::open(maildir, &options, "joe", &measured).unwrap();
    let session = Session::new(
        &settings,
        Input::new(from.as_fd()),
        Output::new(to.as_fd()),
        maildrop,
        Instant::now(),
    );
    let end = session.run();
    let mut output = Vec::new();
    to.rewind().unwrap();
    to.read_to_end(&mut output).unwrap();
    (end, output)
}

/// What the client knows.
struct Model {
    deleted: BTreeSet<usize>,
    utf8: bool,
    accepted: usize,
}

impl Model {
    fn remaining(&self) -> Vec<usize> {
        (1..=MESSAGES.len())
            .filter(|number| !self.deleted.contains(number))
            .collect()
    }

    /// One line and its reply; true for QUIT.
    fn step(&mut self, line: &[u8], replies: &mut Replies<'_>) -> bool {
        let reply = replies.line();
        if line.len() > LINE_MAX {
            assert_eq!(reply, b"-ERR Line too long.");
            return false;
        }
        let words: Vec<Vec<u8>> = line
            .split(|byte| b" \t\r\n".contains(byte))
            .map(<[u8]>::to_ascii_uppercase)
            .collect();
        let word = words.first().map(Vec::as_slice).unwrap_or_default();
        // The word is the first thing on the line, be it empty.
        let arguments: Vec<&[u8]> = words
            .iter()
            .skip(1)
            .map(Vec::as_slice)
            .filter(|word| !word.is_empty())
            .collect();
        let number = reply
            .strip_prefix(b"+OK ")
            .and_then(|rest| std::str::from_utf8(rest).ok())
            .and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
        let ok = reply.starts_with(b"+OK");
        assert!(
            ok || reply.starts_with(b"-ERR "),
            "{}",
            reply.escape_ascii()
        );
        self.accepted += usize::from(ok);
        match word {
            b"QUIT" => {
                assert_eq!(reply, b"+OK Bye-bye.");
                return true;
            }
            b"STAT" => assert_eq!(number, Some(self.remaining().len())),
            b"RSET" => {
                assert!(ok);
                self.deleted.clear();
            }
            b"NOOP" => assert_eq!(reply, b"+OK Yup."),
            b"UTF8" => {
                assert!(ok);
                self.utf8 = true;
            }
            b"DELE" if ok => {
                let marked = self.named(&arguments);
                assert!(self.deleted.insert(marked), "{marked} was marked twice");
            }
            b"LIST" | b"UIDL" if ok && arguments.is_empty() => {
                let text = replies.text();
                let numbers: Vec<usize> = text
                    .split_inclusive(|&byte| byte == b'\n')
                    .map(|line| {
                        let line = std::str::from_utf8(line).unwrap();
                        line.split(' ').next().unwrap().parse().unwrap()
                    })
                    .collect();
                assert_eq!(numbers, self.remaining());
            }
            b"LIST" | b"UIDL" if ok => assert_eq!(number, Some(self.named(&arguments))),
            b"RETR" if ok => {
                let text = replies.text();
                let index = self.named(&arguments) - 1;
                if index == 4 && !self.utf8 {
                    // Its size counts the line ends around the message once, as the original's does.
                    assert!(find(&text, &wire(MESSAGES[4].1)).is_some());
                } else {
                    assert_eq!(text, wire(MESSAGES[index].1));
                    assert_eq!(number, Some(text.len()), "octets");
                }
            }
            b"TOP" if ok => {
                let text = replies.text();
                let index = self.named(&arguments) - 1;
                let whole = wire(MESSAGES[index].1);
                assert!(
                    index == 4
                        || whole.starts_with(&text)
                        || text == [&whole[..], b"\r\n"].concat(),
                    "{}",
                    text.escape_ascii()
                );
            }
            b"CAPA" => {
                assert!(ok);
                assert!(
                    replies
                        .text()
                        .ends_with(b"IMPLEMENTATION Courier Mail Server\r\n")
                );
            }
            b"LANG" if reply == b"+OK Language listing follows:" => {
                replies.text();
            }
            b"LANG" | b"DELE" | b"LIST" | b"UIDL" | b"RETR" | b"TOP" => {}
            _ => assert_eq!(reply, b"-ERR Invalid command."),
        }
        false
    }

    /// The message that an accepted command names: there, and not marked.
    fn named(&self, arguments: &[&[u8]]) -> usize {
        let digits: Vec<u8> = arguments[0]
            .iter()
            .copied()
            .skip_while(|byte| *byte == b'+')
            .take_while(u8::is_ascii_digit)
            .collect();
        let number = String::from_utf8(digits).unwrap().parse().unwrap();
        assert!(self.remaining().contains(&number), "{number}");
        number
    }
}
