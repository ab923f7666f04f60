//! The small extensions: BINARY, STATUS=SIZE, APPENDLIMIT, THREAD=REFS, and what CAPABILITY says of them.

use std::fs;

use crate::client::{Home, run};
use crate::fetch::{MIXED, SIMPLE, home, on_inbox};

const ENCODED: &[u8] = b"MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe =
again
end
--b
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

AAECAwQF
/v8=
--b
Content-Type: application/x-old
Content-Transfer-Encoding: x-uuencode

begin 644 x
--b--
";

#[test]
fn binary_parts_come_decoded() {
    let home = home(&[("S", ENCODED), ("S", SIMPLE)]);
    let text = on_inbox(
        &home,
        &[
            "a FETCH 1 (BINARY.PEEK[1] BINARY.SIZE[1])",
            "b FETCH 1 BINARY.SIZE[2]",
            "c FETCH 1 BINARY.PEEK[1]<2.4>",
            "d FETCH 1 BINARY.PEEK[3]",
            "e FETCH 1 BINARY.SIZE[3]",
            "f FETCH 2 (BINARY.SIZE[1] BINARY.PEEK[1])",
            "g FETCH 2 BINARY.PEEK[]<0.5>",
            "h FETCH 2 BINARY.PEEK[7]",
            "i UID FETCH 2 BINARY.SIZE[]",
        ],
    );
    for piece in [
        "* 1 FETCH (BINARY[1] {18}\r\nGr\u{fc}\u{df}e again\r\nend BINARY.SIZE[1] 18)\r\na OK",
        "* 1 FETCH (BINARY.SIZE[2] 8)\r\nb OK",
        "* 1 FETCH (BINARY[1]<2> {4}\r\n\u{fc}\u{df})\r\nc OK",
        "\r\nd NO [UNKNOWN-CTE] ",
        "\r\ne NO [UNKNOWN-CTE] ",
        "* 2 FETCH (BINARY.SIZE[1] 14 BINARY[1] {14}\r\nHello\r\nworld\r\n)\r\nf OK",
        "* 2 FETCH (BINARY[]<0> {5}\r\nDate:)\r\ng OK",
        "* 2 FETCH (BINARY[7] NIL)\r\nh OK",
        "* 2 FETCH (UID 2 BINARY.SIZE[] 138)\r\ni OK",
    ] {
        assert!(text.contains(piece), "no {piece:?} in {text}");
    }
    assert!(!text.contains("* 1 FETCH (BINARY[3]"), "{text}");
}

#[test]
fn octets_that_a_literal_cannot_hold_come_as_literal8() {
    let home = home(&[("S", ENCODED)]);
    let ended = home.run(b"s SELECT INBOX\r\na FETCH 1 BINARY.PEEK[2]\r\nb FETCH 1 BINARY.PEEK[2]<1.2>\r\nz LOGOUT\r\n");
    ended.has(&[
        "* 1 FETCH (BINARY[2] ~{8}\r\n\0\u{1}\u{2}\u{3}\u{4}\u{5}",
        ")\r\na OK",
        "* 1 FETCH (BINARY[2]<1> ~{2}\r\n\u{1}\u{2})\r\nb OK",
    ]);
}

#[test]
fn binary_sets_seen_and_its_peek_and_size_do_not() {
    let home = home(&[("", SIMPLE), ("", SIMPLE)]);
    let text = on_inbox(
        &home,
        &[
            "a FETCH 1 BINARY.PEEK[1]",
            "b FETCH 1 BINARY.SIZE[1]",
            "c SEARCH SEEN",
            "d FETCH 1 BINARY[1]",
            "e SEARCH SEEN",
        ],
    );
    assert!(text.contains("* SEARCH\r\nc OK"), "{text}");
    assert!(
        text.contains("* 1 FETCH (FLAGS (\\Seen \\Recent))\r\nd OK"),
        "{text}"
    );
    assert!(text.contains("* SEARCH 1\r\ne OK"), "{text}");
}

#[test]
fn large_parts_are_decoded_in_little_memory() {
    let line = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\n";
    let mut message =
        b"MIME-Version: 1.0\nContent-Type: application/x\nContent-Transfer-Encoding: base64\n\n"
            .to_vec();
    for _ in 0..200_000 {
        message.extend_from_slice(line.as_bytes());
    }
    let home = home(&[("S", &message)]);
    let mut session = home.start();
    session.ask("SELECT INBOX", "OK");
    session.ask("FETCH 1 FLAGS", "OK");
    let before = session.peak_memory();
    let reply = session.ask("FETCH 1 (BINARY.SIZE[1] BINARY.PEEK[1]<9000000.20>)", "OK");
    assert!(
        reply
            .iter()
            .any(|line| line.contains("BINARY.SIZE[1] 9600000")),
        "{reply:?}"
    );
    session.send(b"b FETCH 1 BINARY.PEEK[1]\r\nc NOOP\r\n");
    session.skip_to("c OK");
    let grown = session.peak_memory().saturating_sub(before);
    assert!(grown < 4096, "{grown} kB");
}

#[test]
fn append_of_a_literal8() {
    let home = Home::new();
    let ended = home.run(
        b"s SELECT INBOX\r\na APPEND INBOX ~{14+}\r\nSubject: x\r\n\r\n\r\n\
          b APPEND INBOX ~{15+}\r\nSubject: x\r\n\r\n\0\r\n\
          d APPEND INBOX UTF8 (~{15+}\r\nSubject: u\r\n\r\n\0\r\n)\r\n\
          c APPEND INBOX (\\Seen) ~{14+}\r\nSubject: y\r\n\r\n ~{15+}\r\nSubject: z\r\n\r\n\0\r\nz LOGOUT\r\n",
    );
    ended.has(&[
        "a OK [APPENDUID ",
        "b NO [UNKNOWN-CTE] ",
        "d NO [UNKNOWN-CTE] ",
        "c NO [UNKNOWN-CTE] ",
    ]);
    assert_eq!(fs::read_dir(home.maildir().join("cur")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(home.maildir().join("tmp")).unwrap().count(), 0);
}

#[test]
fn append_limit() {
    let home = Home::new();
    let mut command = home.command();
    command.env("IMAP_APPENDLIMIT", "20");
    let ended = run(
        command,
        b"a CAPABILITY\r\nb STATUS INBOX (APPENDLIMIT MESSAGES)\r\nc APPEND INBOX {21}\r\n\
          d APPEND INBOX {21+}\r\nSubject: long\r\n\r\n....\r\ne APPEND INBOX {14+}\r\nSubject: x\r\n\r\n\r\n\
          f LIST \"\" INBOX RETURN (STATUS (APPENDLIMIT SIZE))\r\nz LOGOUT\r\n",
    );
    ended.has(&[
        " APPENDLIMIT=20 ",
        "* STATUS \"INBOX\" (MESSAGES 0 APPENDLIMIT 20)\r\nb OK",
        "c NO [TOOBIG]",
        "d NO [TOOBIG]",
        "e OK",
        "* STATUS \"INBOX\" (SIZE 14 APPENDLIMIT 20)\r\nf OK",
    ]);
    let ended = home.run(b"a CAPABILITY\r\nb STATUS INBOX (APPENDLIMIT)\r\n");
    ended.has(&[
        " APPENDLIMIT ",
        "* STATUS \"INBOX\" (APPENDLIMIT NIL)\r\nb OK",
    ]);
}

#[test]
fn status_size_is_the_sum_of_sizes() {
    let home = home(&[("S", SIMPLE), ("", MIXED), ("T", b"Subject: x\r\n\r\n")]);
    let sizes = on_inbox(&home, &["a FETCH 1:* RFC822.SIZE"]);
    let sum: u64 = sizes
        .split("RFC822.SIZE ")
        .skip(1)
        .map(|rest| rest.split_once(')').unwrap().0.parse::<u64>().unwrap())
        .sum();
    home.deliver(".", "1700000000.M1P1.host");
    let delivered =
        "Subject: 1700000000.M1P1.host\r\n\r\nBody of 1700000000.M1P1.host.\r\n".len() as u64;
    let expected = format!(
        "* STATUS \"INBOX\" (MESSAGES 4 SIZE {})\r\n",
        sum + delivered
    );
    // The first counts, the second remembers, and without the memory it is the same.
    for _ in 0..2 {
        let ended = home.run(b"a STATUS INBOX (SIZE MESSAGES)\r\n");
        ended.has(&[&expected]);
    }
    fs::remove_file(home.maildir().join("courierimapcache")).unwrap();
    home.run(b"a STATUS INBOX (SIZE MESSAGES)\r\n")
        .has(&[&expected]);
    home.folder(".Empty");
    home.run(b"a STATUS INBOX.Empty (SIZE)\r\n")
        .has(&["* STATUS \"INBOX.Empty\" (SIZE 0)\r\na OK"]);
}

#[test]
fn threads_by_references_alone() {
    let message = |id: &str, subject: &str, references: &str| {
        format!(
            "Message-ID: <{id}@x>\nSubject: {subject}\nReferences: {references}\nDate: Thu, 1 Jan 1970 00:00:00 +0000\n\n"
        )
    };
    // Received a day apart, in this order.
    let messages = [
        message("a", "one", ""),
        message("b", "two", ""),
        message("c", "Re: two", ""),
        message("d", "Re: one", "<a@x>"),
    ];
    let all: Vec<(&str, &[u8])> = messages.iter().map(|text| ("S", text.as_bytes())).collect();
    let home = home(&all);
    let text = on_inbox(
        &home,
        &[
            "a THREAD REFS UTF-8 ALL",
            "b UID THREAD REFS UTF-8 NOT 2",
            "c THREAD REFERENCES UTF-8 ALL",
        ],
    );
    assert!(text.contains("* THREAD (2)(3)(1 4)\r\na OK"), "{text}");
    assert!(text.contains("* THREAD (3)(1 4)\r\nb OK"), "{text}");
    assert!(text.contains("* THREAD (1 4)(2 3)\r\nc OK"), "{text}");
}

#[test]
fn words_are_turned_off_for_all_and_for_one_account() {
    let home = Home::new();
    let mut command = home.command();
    command
        .env("IMAP_CAPABILITY", "IMAP4rev1 UIDPLUS IDLE IDLE uidplus")
        .env("IMAP_CAPABILITY_OFF", "MOVE binary")
        .env(
            "OPTIONS",
            "group=x,imapcapabilityoff=IDLE;STATUS=SIZE THREAD=REFS",
        );
    let ended = run(command, b"a CAPABILITY\r\n");
    let line = ended
        .output
        .lines()
        .find(|line| line.starts_with("* CAPABILITY"))
        .unwrap()
        .to_owned();
    let words: Vec<&str> = line.split(' ').collect();
    for off in ["MOVE", "BINARY", "IDLE", "STATUS=SIZE", "THREAD=REFS"] {
        assert!(!words.contains(&off), "{off} in {line}");
    }
    for on in [
        "IMAP4rev1",
        "UIDPLUS",
        "UNSELECT",
        "THREAD=REFERENCES",
        "APPENDLIMIT",
    ] {
        assert_eq!(
            words.iter().filter(|word| **word == on).count(),
            1,
            "{on} in {line}"
        );
    }
}
