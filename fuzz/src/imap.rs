//! What an IMAP client sends.

use std::io::{Seek as _, Write as _};
use std::time::Duration;

use imapd::grammar::{Command, append, split_tag};
use imapd::prelogin::parse as prelogin;
use imapd::receive::{Input, LineEnd, MAX_COMMAND, MAX_LITERAL};
use imapd::writer::Writer;

/// One framed command.
pub fn imap_grammar(input: &[u8]) {
    let Some((tag, cursor)) = split_tag(input) else {
        return;
    };
    assert!(!tag.is_empty());
    let mut ahead = cursor.clone();
    let parsed = Command::parse(&mut ahead);
    assert_eq!(parsed, Command::parse(&mut cursor.clone()));
    // As a continuation of APPEND.
    let _ = append::AppendMessage::parse(&mut cursor.clone());
}

/// What a client sends, from the socket on: framing, literals, commands.
pub fn imap_receive(input: &[u8]) {
    let Ok(mut file) = tempfile::tempfile() else {
        return;
    };
    let wrote = file.write_all(input).and_then(|()| file.rewind());
    if wrote.is_err() || nix::unistd::dup2_stdin(&file).is_err() {
        return;
    }
    let (Ok(mut source), mut out) = (Input::standard(), Writer::memory()) else {
        return;
    };
    let mut command = Vec::new();
    loop {
        let Ok(end) = source.line(&mut command, Duration::from_secs(1), &mut out) else {
            break;
        };
        assert!(command.len() <= MAX_COMMAND + 2);
        let literal = match end {
            LineEnd::Literal(literal) => Some(literal),
            LineEnd::TooLong(literal) => {
                command.clear();
                literal
            }
            LineEnd::Command => {
                imap_grammar(&command);
                command.clear();
                None
            }
        };
        let Some(size) = literal.and_then(|literal| literal.size) else {
            continue;
        };
        let kept = command.len() as u64 + size <= MAX_COMMAND as u64 && size <= MAX_LITERAL;
        let read = match kept {
            true => source.literal(&mut command, size, &mut out),
            false => source.stream(size, &mut out, |_| {}),
        };
        if read.is_err() {
            break;
        }
    }
    assert!(source.received() <= input.len() as u64);
}

/// A command before login.
pub fn imap_prelogin(input: &[u8]) {
    prelogin::command_word(input);
    prelogin::announced(input);
    match prelogin::parse(input) {
        prelogin::Parsed::Command { tag, .. } | prelogin::Parsed::Literal { tag, .. } => {
            assert!(!tag.is_empty());
        }
        prelogin::Parsed::Bad { .. } => {}
    }
}
