use super::*;

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// Logs in at a server that says `lines` in turn, each after a line of ours but for the first. Tells how that went,
/// what the server heard, and what is left in the socket.
fn against(lines: &[&str], login: &Login<'_>) -> (Result<(), Failure>, Vec<u8>, Vec<u8>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (_monitor, channel) = UnixStream::pair().unwrap();
    let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
    let talking = std::thread::spawn(move || {
        let mut heard = Vec::new();
        let mut reader = BufReader::new(theirs.try_clone().unwrap());
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                reader.read_until(b'\n', &mut heard).unwrap();
            }
            // It may have heard enough.
            (&theirs).write_all(line.as_bytes()).ok();
        }
        drop(theirs);
        heard
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    let peer = Peer::new(ours.as_fd(), ours.as_fd(), channel.as_fd(), deadline);
    let result = log_in(&mut Server::new(peer, deadline, false), login);
    let mut rest = [0; 100];
    ours.set_nonblocking(true).unwrap();
    let count = std::io::Read::read(&mut &ours, &mut rest).unwrap_or(0);
    drop(ours);
    let heard = talking.join().unwrap();
    (result, heard, rest[..count].to_vec())
}

fn imap<'a>(address: &'a [u8], password: &'a [u8]) -> Login<'a> {
    Login {
        protocol: Protocol::Imap,
        tag: b"a1",
        utf8: false,
        address,
        password,
    }
}

fn pop3_login(utf8: bool) -> Login<'static> {
    Login {
        protocol: Protocol::Pop3,
        tag: b"",
        utf8,
        address: b"joe",
        password: b" p w ",
    }
}

#[track_caller]
fn fails(lines: &[&str], login: &Login<'_>, stage: Stage, fault: Fault) {
    assert_eq!(
        against(lines, login).0,
        Err(Failure { stage, fault }),
        "{lines:?}"
    );
}

#[test]
fn imap_logs_in_and_leaves_what_follows() {
    let lines = [
        "* ok ready\r\n",
        "* 1\r\n* CAPABILITY X\r\na1 OK in\r\nmore",
    ];
    let (result, heard, rest) = against(&lines, &imap(b"joe@x.example", b"se\"cr\\et"));
    assert_eq!(result, Ok(()));
    assert_eq!(heard, b"a1 LOGIN \"joe@x.example\" \"se\\\"cr\\\\et\"\r\n");
    assert_eq!(rest, b"more");
}

#[test]
fn imap_sends_what_is_not_ascii_as_literals() {
    let lines = ["* OK\r\n", "+ \r\n", "a1 OK in\r\n"];
    let (result, heard, _) = against(&lines, &imap("jo\u{eb}".as_bytes(), b"x"));
    assert_eq!(result, Ok(()));
    assert_eq!(heard, "a1 LOGIN {4}\r\njo\u{eb} \"x\"\r\n".as_bytes());
    fails(
        &["* OK\r\n", "a1 OK too soon\r\n"],
        &imap(b"\xff", b"x"),
        Stage::Login,
        Fault::Malformed,
    );
    assert_eq!(
        login_command(&imap("jo\u{eb}".as_bytes(), b"x")),
        [
            b"a1 LOGIN {4}\r\n".to_vec(),
            "jo\u{eb} \"x\"\r\n".as_bytes().to_vec(),
        ]
    );
    assert_eq!(
        login_command(&imap(b"", b"\xff")),
        [b"a1 LOGIN \"\" {1}\r\n".to_vec(), b"\xff\r\n".to_vec(),]
    );
}

#[test]
fn imap_servers_that_misbehave_are_left() {
    let login = imap(b"joe", b"x");
    for greeting in ["* PREAUTH hello\r\n", "* BYE\r\n"] {
        fails(&[greeting], &login, Stage::Greeting, Fault::No);
    }
    for greeting in [
        "+OK POP3\r\n",
        "* OK no CR\n",
        "*OK\r\n",
        "\r\n",
        "220 x\r\n",
    ] {
        fails(&[greeting], &login, Stage::Greeting, Fault::Malformed);
    }
    fails(&[""], &login, Stage::Greeting, Fault::Closed);
    fails(&["* OK hal"], &login, Stage::Greeting, Fault::Closed);
    let endless = "x".repeat(100_000);
    fails(&[&endless], &login, Stage::Greeting, Fault::Endless);
    let ok = "* OK\r\n";
    for (reply, fault) in [
        ("a1 NO wrong\r\n", Fault::No),
        ("a1 NO [AUTHENTICATIONFAILED] wrong\r\n", Fault::No),
        ("a1 NO [unavailable] later\r\n", Fault::NotNow),
        ("a1 BAD what\r\n", Fault::No),
        ("a1 OKAY\r\n", Fault::Malformed),
        ("A1 OK\r\n", Fault::Malformed),
        ("a12 OK\r\n", Fault::Malformed),
        ("OK\r\n", Fault::Malformed),
        ("+ go on\r\n", Fault::Malformed),
        ("a1 OK\n", Fault::Malformed),
        ("* BYE later\r\na1 OK\r\n", Fault::Closed),
        ("* 1\r\n", Fault::Closed),
    ] {
        fails(&[ok, reply], &login, Stage::Login, fault);
    }
    let many = "* 1 EXISTS\r\n".repeat(6000);
    fails(&[ok, &many], &login, Stage::Login, Fault::Endless);
}

#[test]
fn a_long_line_counts_by_its_beginning() {
    for length in [LINE_MAX - 3, LINE_MAX - 1, LINE_MAX, LINE_MAX + 1, 5000] {
        let greeting = format!("* OK {}\r\n", "x".repeat(length - 5));
        let lines = [&*greeting, "a1 OK\r\n"];
        assert_eq!(against(&lines, &imap(b"joe", b"x")).0, Ok(()), "{length}");
    }
}

#[test]
fn pop3_logs_in_and_leaves_what_follows() {
    let lines = ["+OK\r\n", "+ok user\r\n", "+OK in\r\nmore"];
    let (result, heard, rest) = against(&lines, &pop3_login(false));
    assert_eq!(result, Ok(()));
    assert_eq!(heard, b"USER joe\r\nPASS  p w \r\n");
    assert_eq!(rest, b"more");
    let lines = ["+OK\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n"];
    let (result, heard, _) = against(&lines, &pop3_login(true));
    assert_eq!(result, Ok(()));
    assert_eq!(heard, b"UTF8\r\nUSER joe\r\nPASS  p w \r\n");
}

#[test]
fn pop3_servers_that_misbehave_are_left() {
    let login = pop3_login(true);
    fails(&["-ERR\r\n"], &login, Stage::Greeting, Fault::No);
    fails(&["* OK\r\n"], &login, Stage::Greeting, Fault::Malformed);
    let ok = "+OK\r\n";
    fails(&[ok, "-ERR x\r\n"], &login, Stage::Utf8, Fault::No);
    fails(&[ok, ok, "-ERR x\r\n"], &login, Stage::User, Fault::No);
    fails(
        &[ok, ok, ok, "-ERR x\r\n"],
        &login,
        Stage::Password,
        Fault::No,
    );
    let busy = "-ERR [in-use] x\r\n";
    fails(&[ok, ok, ok, busy], &login, Stage::Password, Fault::NotNow);
    fails(&[ok, ok, ok, "+"], &login, Stage::Password, Fault::Closed);
    fails(
        &[ok, ok, ok, "+OKAY\r\n"],
        &login,
        Stage::Password,
        Fault::Malformed,
    );
}

#[test]
fn only_a_refused_login_is_a_wrong_password() {
    let outcome = |stage, fault| Failure { stage, fault }.outcome();
    for stage in [Stage::Login, Stage::User, Stage::Password] {
        assert_eq!(outcome(stage, Fault::No), Outcome::Refused);
        assert_eq!(outcome(stage, Fault::NotNow), Outcome::Failed);
        assert_eq!(outcome(stage, Fault::Closed), Outcome::Failed);
    }
    assert_eq!(outcome(Stage::Greeting, Fault::No), Outcome::Failed);
    assert_eq!(outcome(Stage::Utf8, Fault::No), Outcome::Failed);
    for outcome in [Outcome::LoggedIn, Outcome::Refused, Outcome::Failed] {
        assert_eq!(Outcome::decode(&[outcome.encode()]), Some(outcome));
    }
    assert_eq!(Outcome::decode(b""), None);
}

#[test]
fn a_silent_server_is_left_when_the_time_is_over() {
    for (said, stage) in [("", Stage::Greeting), ("* OK\r\n* 1\r\n", Stage::Login)] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (_monitor, channel) = UnixStream::pair().unwrap();
        theirs.write_all(said.as_bytes()).unwrap();
        let deadline = Instant::now() + Duration::from_millis(100);
        let peer = Peer::new(ours.as_fd(), ours.as_fd(), channel.as_fd(), deadline);
        let mut server = Server::new(peer, deadline, false);
        let fault = Fault::Silent;
        assert_eq!(
            log_in(&mut server, &imap(b"joe", b"x")),
            Err(Failure { stage, fault })
        );
    }
}
