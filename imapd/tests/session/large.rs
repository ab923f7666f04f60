//! A message of 50 MB: fetched, measured, decoded and searched in flat memory.

use std::fmt::Write;

use crate::client::{Home, Session};
use crate::fetch::home;

const SIZE: usize = 50_000_000;

/// Memory that these commands may cost, in kB.
const ALLOWED: u64 = 8 * 1024;

/// A third plain, a third HTML, a third base64 of text.
fn message() -> Vec<u8> {
    let mut text = String::with_capacity(SIZE + 1000);
    text +=
        "MIME-Version: 1.0\nSubject: large\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n";
    let line = "x".repeat(76) + "\n";
    while text.len() < SIZE / 3 {
        text += &line;
    }
    text += "--b\nContent-Type: text/html\n\n";
    while text.len() < SIZE / 3 * 2 {
        text += "<p class=a>H&uuml;lle und <b>F</b>&uuml;lle</p>\n";
    }
    text +=
        "--b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: base64\n\n";
    while text.len() < SIZE - 100 {
        text += "dGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZwp0aGUgcXVpY2sg\n";
    }
    write!(text, "--b--\n{}", "z".repeat(SIZE - text.len() - 6)).unwrap();
    assert!(text.len() == SIZE);
    text.into_bytes()
}

/// Runs commands one by one, and returns what each took out of the session in kB of peak memory.
fn grown(home: &Home, commands: &[(&str, usize)]) -> u64 {
    let mut session = Session::spawn(home.command());
    session.expect("* PREAUTH");
    session.ask("SELECT INBOX", "OK");
    session.ask("UID FETCH 1 FLAGS", "OK");
    let before = session.peak_memory();
    for (command, at_least) in commands {
        session.send(format!("u {command}\r\n").as_bytes());
        let bytes = session.pass_over("u OK");
        assert!(bytes >= *at_least, "{command}: {bytes} bytes");
    }
    session.peak_memory().saturating_sub(before)
}

#[test]
fn reading_a_large_message_takes_little_memory() {
    let message = message();
    let home = home(&[("S", &message)]);
    let grown = grown(
        &home,
        &[
            ("FETCH 1 (RFC822.SIZE BODYSTRUCTURE)", 100),
            ("FETCH 1 BODY[]", SIZE),
            ("FETCH 1 BODY[1]<16000000.1000>", 1000),
            ("FETCH 1 BINARY[3]", SIZE / 5),
        ],
    );
    assert!(grown < ALLOWED, "{grown} kB");
}

#[test]
fn searching_a_large_message_takes_little_memory() {
    let message = message();
    let home = home(&[("S", &message)]);
    let grown = grown(
        &home,
        &[("SEARCH BODY \"not there\" NOT TEXT \"nowhere either\"", 10)],
    );
    assert!(grown < ALLOWED, "{grown} kB");
}
