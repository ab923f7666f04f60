//! FETCH.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::client::Home;

/// A home whose INBOX has the given messages: flags and content; numbered in this order, received a day apart from
/// 2 January 2020 on.
pub(crate) fn home(messages: &[(&str, &[u8])]) -> Home {
    let home = Home::new();
    for (number, (flags, content)) in (1_u64..).zip(messages) {
        let path = home.place(
            ".",
            &format!("{}.M1P1.host:2,{flags}", 1_000_000_000 + number),
        );
        fs::write(&path, content).unwrap();
        let time =
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_930_645 + 86_400 * (number - 1));
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    home
}

/// The replies to commands on the selected INBOX, greeting and SELECT replies cut off.
pub(crate) fn on_inbox(home: &Home, commands: &[&str]) -> String {
    let ended = home.run(
        format!(
            "s SELECT INBOX\r\n{}\r\nz LOGOUT\r\n",
            commands.join("\r\n")
        )
        .as_bytes(),
    );
    let text = ended.output;
    let (_, after) = text
        .split_once("s OK [READ-WRITE] Ok\r\n")
        .unwrap_or_else(|| panic!("no SELECT: {text}"));
    let (before, _) = after
        .split_once("* BYE ")
        .unwrap_or_else(|| panic!("no LOGOUT: {text}"));
    before.to_owned()
}

pub(crate) const SIMPLE: &[u8] = b"Date: Mon, 02 Jan 2023 10:11:12 +0100\nFrom: Ann <ann@example.net>\nTo: bob@example.net\nSubject: =?utf-8?q?w=C3=B6rld?=\n\nHello\nworld\n";
pub(crate) const MIXED: &[u8] = b"MIME-Version: 1.0\nSubject: parts\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe\n\n--b\nContent-Type: message/rfc822\n\nSubject: inner\n\ninner body\n\n--b--\n";

#[test]
fn items_in_the_order_asked_for() {
    let home = home(&[("S", SIMPLE)]);
    assert_eq!(
        on_inbox(
            &home,
            &[
                "a FETCH 1 (UID RFC822.SIZE INTERNALDATE FLAGS)",
                "b UID FETCH 1 FLAGS"
            ]
        ),
        "* 1 FETCH (UID 1 RFC822.SIZE 138 INTERNALDATE \"02-Jan-2020 02:04:05 +0000\" FLAGS (\\Seen \\Recent))\r\n\
         a OK FETCH completed.\r\n* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent))\r\nb OK FETCH completed.\r\n"
    );
    let all = on_inbox(&home, &["a FETCH 1 FULL"]);
    assert_eq!(
        all,
        "* 1 FETCH (FLAGS (\\Seen) INTERNALDATE \"02-Jan-2020 02:04:05 +0000\" RFC822.SIZE 138 ENVELOPE \
         (\"Mon, 02 Jan 2023 10:11:12 +0100\" \"=?utf-8?q?w=C3=B6rld?=\" ((\"Ann\" NIL \"ann\" \"example.net\")) \
         ((\"Ann\" NIL \"ann\" \"example.net\")) ((\"Ann\" NIL \"ann\" \"example.net\")) \
         ((NIL NIL \"bob\" \"example.net\")) NIL NIL NIL NIL) BODY (\"text\" \"plain\" NIL NIL NIL \"7bit\" 14 2))\r\n\
         a OK FETCH completed.\r\n"
    );
}

#[test]
fn fetching_text_sets_seen_and_peeking_does_not() {
    let home = home(&[("", SIMPLE), ("", SIMPLE), ("", SIMPLE), ("", SIMPLE)]);
    let text = on_inbox(
        &home,
        &[
            "a FETCH 1 BODY.PEEK[TEXT]",
            "b FETCH 1 RFC822.HEADER",
            "c FETCH 1 FLAGS",
            "d UID FETCH 2 BODY[TEXT]<2.4>",
            "e FETCH 3 RFC822.TEXT",
            "f FETCH 4 (BODY[HEADER.FIELDS (To)] FLAGS)",
        ],
    );
    let (first, second) = text.split_once("c OK FETCH completed.\r\n").unwrap();
    assert!(
        first.starts_with(
            "* 1 FETCH (BODY[TEXT] {14}\r\nHello\r\nworld\r\n)\r\na OK FETCH completed.\r\n"
        ),
        "{first}"
    );
    assert!(
        first.ends_with("* 1 FETCH (FLAGS (\\Recent))\r\n"),
        "{first}"
    );
    assert!(
        second.starts_with(
            "* 2 FETCH (UID 2 BODY[TEXT]<2> {4}\r\nllo\r)\r\n* 2 FETCH (UID 2 FLAGS (\\Seen \\Recent))\r\nd OK FETCH completed.\r\n\
             * 3 FETCH (RFC822.TEXT {14}\r\nHello\r\nworld\r\n)\r\n* 3 FETCH (FLAGS (\\Seen \\Recent))\r\ne OK FETCH completed.\r\n\
             * 4 FETCH (BODY[HEADER.FIELDS (\"To\")] {23}\r\nTo: bob@example.net\r\n\r\n FLAGS ("
        ),
        "{second}"
    );
    let seen = fs::read_dir(home.maildir().join("cur")).unwrap();
    let seen = seen
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .ends_with(":2,S")
        })
        .count();
    assert_eq!(seen, 3);
}

#[test]
fn examine_leaves_everything_as_it_is() {
    let home = home(&[("", SIMPLE)]);
    let text = home.run(b"s EXAMINE INBOX\r\na FETCH 1 BODY[]\r\n").output;
    assert!(text.contains("* 1 FETCH (BODY[] {138}\r\n"), "{text}");
    assert!(!text.contains("FETCH (FLAGS"), "{text}");
    assert!(home.maildir().join("cur/1000000001.M1P1.host:2,").exists());
}

#[test]
fn sections_of_nested_messages() {
    let home = home(&[("S", MIXED)]);
    let text = on_inbox(
        &home,
        &[
            "a FETCH 1 (BODY[1] BODY[1.MIME] BODY[2.HEADER] BODY[2.TEXT] BODY[2.1] BODY[3] BODY[2]<9.5>)",
            "b FETCH 1 BODYSTRUCTURE",
        ],
    );
    assert_eq!(
        text,
        "* 1 FETCH (BODY[1] {11}\r\nGr=FC=DFe\r\n BODY[1.MIME] {93}\r\n\
         Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n \
         BODY[2.HEADER] {18}\r\nSubject: inner\r\n\r\n BODY[2.TEXT] {12}\r\ninner body\r\n BODY[2.1] {12}\r\ninner body\r\n \
         BODY[3] {0}\r\n BODY[2]<9> {5}\r\ninner)\r\na OK FETCH completed.\r\n\
         * 1 FETCH (BODYSTRUCTURE ((\"text\" \"plain\" (\"charset\" \"iso-8859-1\") NIL NIL \"quoted-printable\" 11 1 NIL NIL NIL NIL)\
         (\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 30 (NIL \"inner\" NIL NIL NIL NIL NIL NIL NIL NIL) \
         (\"text\" \"plain\" NIL NIL NIL \"7bit\" 12 1 NIL NIL NIL NIL) 3 NIL NIL NIL NIL) \
         \"mixed\" (\"boundary\" \"b\") NIL NIL NIL))\r\nb OK FETCH completed.\r\n"
    );
}

#[test]
fn large_bodies_whole_and_bit_by_bit() {
    let mut message = b"Subject: large\n\n".to_vec();
    for line in 0..200_000 {
        message.extend_from_slice(format!("line {line}\n").as_bytes());
    }
    let served = String::from_utf8(message.clone())
        .unwrap()
        .replace('\n', "\r\n");
    let home = home(&[("S", &message)]);
    let mut commands = vec!["w FETCH 1 BODY[]".to_owned()];
    let step = 100_000;
    for start in (0..served.len()).step_by(step) {
        commands.push(format!("p FETCH 1 BODY[]<{start}.{step}>"));
    }
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let text = on_inbox(&home, &commands);
    let mut rest = text.as_str();
    let mut take = |label: &str, expected: &str| {
        let head = format!("* 1 FETCH (BODY[]{label} {{{}}}\r\n", expected.len());
        rest = rest
            .strip_prefix(head.as_str())
            .unwrap_or_else(|| panic!("no {head}"));
        let (data, after) = rest.split_at(expected.len());
        assert!(data == expected, "{label}");
        rest = after.split_once("OK FETCH completed.\r\n").unwrap().1;
    };
    take("", &served);
    for start in (0..served.len()).step_by(step) {
        take(
            &format!("<{start}>"),
            &served[start..served.len().min(start + step)],
        );
    }
}

#[test]
fn messages_that_vanish() {
    let home = home(&[("S", SIMPLE), ("S", SIMPLE)]);
    let mut session = home.start();
    session.ask("SELECT INBOX", "OK");
    fs::remove_file(home.maildir().join("cur/1000000001.M1P1.host:2,S")).unwrap();
    let lines = session.ask("FETCH 1:2 (UID BODY.PEEK[TEXT])", "NO [EXPUNGEISSUED]");
    assert_eq!(
        lines[..4],
        ["* 2 FETCH (UID 2 BODY[TEXT] {14}", "Hello", "world", ")"]
    );
    assert_eq!(session.ask("SEARCH TEXT hello", "OK")[0], "* SEARCH 2");
    // The client's numbers hold until a command may tell of the expunge.
    session.ask("NOOP", "OK");
    assert_eq!(
        session.ask("FETCH 1 (UID BODY.PEEK[TEXT])", "OK")[0],
        "* 1 FETCH (UID 2 BODY[TEXT] {14}"
    );
}
