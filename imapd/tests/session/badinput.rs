//! What is not IMAP: a clear reply, a bounded cost, and a session that goes on or ends properly.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use crate::client::{Home, Session, run};

/// Memory that no input may make a session use, in kB. A debug build, its libraries included.
const MEMORY: u64 = 16 * 1024;

/// Tells why a test does nothing here.
fn skipped(why: &str) {
    writeln!(std::io::stderr(), "skipped: {why}").unwrap();
}

#[test]
fn garbage_is_bad_and_the_tenth_time_in_a_row_the_end() {
    let home = Home::new();
    let mut session = home.start();
    for _ in 0..9 {
        session.ask(
            "\u{1}\u{2}{}()",
            "BAD Error in IMAP command received by server.",
        );
    }
    session.ask("NOOP", "OK");
    for _ in 0..9 {
        session.ask("FROB", "BAD");
    }
    session.send(b"\r\n");
    session
        .expect("* BYE [ALERT] Fatal error: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS: ".trim_end());
    let ended = session.end();
    assert_eq!(ended.status.code(), Some(1));
    ended.logged("ERR: ann: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS\n");
    ended.logged("INFO: DISCONNECTED, user=ann");
}

#[test]
fn an_empty_line_gets_an_untagged_reply() {
    Home::new()
        .run(b"\r\n+ NOOP\r\na NOOP\r\n")
        .has(&["* BAD Error", "* BAD Error", "a OK"]);
}

#[test]
fn half_a_command_is_not_executed() {
    let home = Home::new();
    let ended = home.run(b"a CREATE INBOX.Half");
    assert_eq!(ended.output, "* PREAUTH Ready.\r\n");
    assert!(!home.maildir().join(".Half").exists());
    ended.logged("INFO: DISCONNECTED");
    let ended = home.run(b"a CREATE {10}\r\nINBOX");
    ended.has(&["+ OK\r\n"]);
    ended.logged("INFO: DISCONNECTED");
    let ended = home.run(b"a APPEND INBOX {100+}\r\nSubject: half");
    ended.logged("INFO: DISCONNECTED");
    for part in ["cur", "new", "tmp"] {
        let left = fs::read_dir(home.maildir().join(part)).unwrap().count();
        assert_eq!(left, 0, "left in {part}");
    }
}

#[test]
fn absurd_literals_are_refused_before_they_are_sent() {
    let home = Home::new();
    let mut session = home.start();
    session.ask("CREATE {99999999999999999999}", "BAD [TOOBIG]");
    session.ask("CREATE {9223372036854775807}", "BAD [TOOBIG]");
    session.ask("APPEND INBOX {99999999999999999999}", "BAD");
    session.ask("NOOP", "OK");
    session.ask("CREATE {999999}", "BAD [TOOBIG]");
    session.send(b"u CREATE {70000+}\r\n");
    session.send(&vec![b'x'; 70000]);
    session.send(b"\r\n");
    session.expect("u BAD [TOOBIG]");
    session.ask("NOOP", "OK");
    // What cannot be read to its end cannot be told from commands any more.
    session.send(b"u CREATE {99999999999999999999+}\r\n");
    session.expect("* BYE");
    let ended = session.end();
    ended.logged("WARN: command too long, user=ann, ip=[127.0.0.1], port=[0]\n");
    assert_eq!(ended.status.code(), Some(1));
}

#[test]
fn a_line_of_100_megabytes_costs_no_memory() {
    let home = Home::new();
    let mut session = home.start();
    session.send(b"a SEARCH ");
    let block = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        session.send(&block);
    }
    session.send(b"\r\n");
    session.expect("a BAD [TOOBIG]");
    for _ in 0..10 {
        session.send(&block);
    }
    session.send(b"\r\n");
    session.expect("* BAD [TOOBIG]");
    session.ask("NOOP", "OK");
    let peak = session.peak_memory();
    assert!(peak < MEMORY, "{peak} kB");
    session.end().logged("WARN: command too long");
}

#[test]
fn many_literals_cost_no_memory() {
    let home = Home::new();
    let mut session = home.start();
    session.send(b"a SEARCH");
    for _ in 0..300 {
        session.send(b" {1000+}\r\n");
        session.send(&[b'x'; 1000]);
    }
    session.send(b"\r\n");
    session.expect("a BAD [TOOBIG]");
    session.ask("NOOP", "OK");
    assert!(session.peak_memory() < MEMORY);
}

#[test]
fn a_large_message_streams_to_the_disk() {
    let home = Home::new();
    let mut session = home.start();
    session.send(b"a APPEND INBOX {52428800+}\r\n");
    let block = vec![b'x'; 1 << 20];
    for _ in 0..50 {
        session.send(&block);
    }
    session.send(b"\r\n");
    session.expect("a OK [APPENDUID ");
    let peak = session.peak_memory();
    assert!(peak < MEMORY, "{peak} kB");
}

#[test]
fn nul_bytes_are_refused_everywhere() {
    let home = Home::new();
    let ended = home.run(
        b"a CREATE INBOX.a\0b\r\nb CREATE \"INBOX.a\0b\"\r\nc CREATE {9+}\r\nINBOX.a\0b\r\n\0\0\r\nd NOOP\r\n",
    );
    ended.has(&["a BAD", "b BAD", "c BAD", "* BAD", "d OK"]);
}

#[test]
fn refused_literals_are_not_taken_for_commands() {
    let home = Home::new();
    let ended = home.run(
        b"a APPEND INBOX.nowhere {12+}\r\nx LOGOUT\r\n\r\n\r\n\
          b APPEND INBOX (\\Recent) {10+}\r\nx LOGOUT\r\n\r\n\
          c NOOP\r\n",
    );
    ended.has(&["a NO [TRYCREATE]", "b BAD", "c OK"]);
    ended.has_not("\nx ");
}

#[test]
fn a_slow_reader_costs_no_memory_and_gets_everything() {
    let home = Home::new();
    for number in 0..50 {
        home.folder(&format!(".Folder-{number:050}"));
    }
    let mut session = home.start();
    // More output than the pipe and the channel take at once, asked for before any is read.
    let mut input = Vec::new();
    for number in 0..500 {
        input.extend_from_slice(format!("a{number} LIST \"\" *\r\n").as_bytes());
    }
    session.send(&input);
    let mut replies = 0;
    while replies < 500 {
        replies += usize::from(session.line().contains(" OK LIST"));
    }
    assert!(session.peak_memory() < MEMORY);
}

#[test]
fn a_corrupt_uid_database_is_salvaged() {
    let home = Home::new();
    home.place(".", "1.a:2,");
    home.place(".", "2.b:2,S");
    for junk in [
        &b"\0\xff\x80garbage\n\n\n"[..],
        b"",
        b"1 99999999999999999999 x\n",
        b"7 1 1\n1 1.a\n",
    ] {
        fs::write(home.maildir().join("courierimapuiddb"), junk).unwrap();
        let ended =
            home.run(b"a SELECT INBOX\r\nb STATUS INBOX (MESSAGES UIDNEXT)\r\nc LOGOUT\r\n");
        ended.has(&[
            "* 2 EXISTS",
            "a OK [READ-WRITE]",
            "MESSAGES 2 UIDNEXT",
            "c OK",
        ]);
    }
}

#[test]
fn what_is_no_folder_is_not_selected() {
    let home = Home::new();
    fs::write(home.maildir().join(".File"), "").unwrap();
    fs::create_dir(home.maildir().join(".Hollow")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", home.maildir().join(".Dangling")).unwrap();
    let ended = home.run(
        b"a SELECT INBOX.File\r\nb SELECT INBOX.Hollow\r\nc SELECT INBOX.Dangling\r\nd SELECT INBOX./etc\r\n\
          e SELECT INBOX...\r\nf STATUS INBOX.File (MESSAGES)\r\ng NOOP\r\n",
    );
    ended.has(&["a NO", "b NO", "c NO", "d NO", "e NO", "f NO", "g OK"]);
}

#[test]
fn an_unreadable_folder_is_refused_and_not_called_missing() {
    if nix::unistd::geteuid().is_root() {
        return skipped("root reads every folder");
    }
    let home = Home::new();
    home.folder(".Closed");
    let closed = home.maildir().join(".Closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
    let ended = home.run(b"a SELECT INBOX.Closed\r\nb NOOP\r\n");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    ended.has(&["a NO [NOPERM]", "b OK"]);
    ended.logged("Permission denied");
}

#[test]
fn a_full_disk_refuses_new_messages_and_loses_none() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("needs root to mount a small file system");
    }
    let home = Home::new();
    let script = format!(
        "mount -t tmpfs -o size=256k none '{0}' 2>/dev/null || exit 77; mkdir '{0}/cur' '{0}/new' '{0}/tmp'; exec '{1}'",
        home.maildir().display(),
        env!("CARGO_BIN_EXE_imapd")
    );
    let mut command = std::process::Command::new("unshare");
    command
        .args(["-m", "sh", "-c", &script])
        .current_dir(home.path())
        .env("AUTHENTICATED", "ann");
    let mut session = Session::spawn(command);
    session.send(b"a APPEND INBOX {1000+}\r\n");
    session.send(&[b'x'; 1000]);
    session.send(b"\r\nb APPEND INBOX {1000000+}\r\n");
    session.send(&vec![b'y'; 1_000_000]);
    session.send(b"\r\nc SELECT INBOX\r\nd STORE 1 +FLAGS (\\Deleted)\r\ne EXPUNGE\r\n");
    session.send(b"f APPEND INBOX {3+}\r\nabc\r\ng LOGOUT\r\n");
    let ended = session.end();
    if ended.status.code() == Some(77) || ended.output.is_empty() {
        return skipped("no small file system can be mounted here");
    }
    ended.has(&[
        "a OK [APPENDUID",
        "b NO [OVERQUOTA] Cannot create message",
        "* 1 EXISTS",
        "c OK",
        "d OK",
        "* 1 EXPUNGE",
        "e OK",
        "f OK [APPENDUID",
        "g OK",
    ]);
    ended.logged("ERR: error storing a message, user=ann, errno=28\n");
}

#[test]
fn log_lines_cannot_be_forged() {
    let home = Home::new();
    let mut command = home.command();
    command.env("AUTHENTICATED", "x, ip=[192.0.2.9], port=[1]\nINFO: LOGIN");
    let ended = run(command, b"");
    assert_eq!(ended.log.lines().count(), 2, "{}", ended.log);
    assert!(!ended.log.contains("ip=[192.0.2.9]"), "{}", ended.log);
}

#[test]
fn a_conversation_cut_off_at_any_byte_ends_properly() {
    let conversation = b"a SELECT INBOX\r\nb APPEND INBOX (\\Seen) {5}\r\nabc\r\n\r\nc STORE 1 FLAGS (\"x\\\"\")\r\n\
        d LIST \"\" {1+}\r\n*\r\ne IDLE\r\nDONE\r\nf SEARCH OR (TEXT \"a\") 1\r\n";
    let home = Home::new();
    for end in 0..conversation.len() {
        let ended = home.run(&conversation[..end]);
        assert!(ended.status.success(), "cut at {end}: {}", ended.log);
        assert_eq!(ended.log.lines().count(), 2, "cut at {end}: {}", ended.log);
        ended.logged("INFO: DISCONNECTED");
    }
}

#[test]
fn noise_never_breaks_the_session() {
    let home = Home::new();
    let words: &[&[u8]] = &[
        b"a ",
        b"SELECT INBOX",
        b"APPEND INBOX ",
        b"{3}\r\n",
        b"{2+}\r\nab",
        b"\r\n",
        b"\n",
        b"\"",
        b"\\",
        b"(",
        b")",
        b"*",
        b"1:*",
        b"\0",
        b"\xff",
        b"~{1}\r\n",
        b" ",
        b"IDLE\r\n",
        b"DONE\r\n",
        b"STORE 1 ",
        b"+FLAGS",
        b"UID ",
        b"NOOP",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..60 {
        let mut input = Vec::new();
        for _ in 0..200 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let index = usize::try_from(state % words.len() as u64).unwrap();
            input.extend_from_slice(words[index]);
        }
        let ended = home.run(&input);
        assert!(
            matches!(ended.status.code(), Some(0 | 1)),
            "{:?}: {}",
            String::from_utf8_lossy(&input),
            ended.log
        );
        assert!(!ended.log.contains("internal error"), "{}", ended.log);
    }
}
