//! SORT, THREAD, and what searches save.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::client::{Home, run};
use crate::fetch::{home, on_inbox};

/// Six messages, received a day apart from 2 January 2020 on.
fn mailbox() -> Home {
    home(&[
        (
            "S",
            b"Date: Mon, 02 Jan 2023 10:00:00 +0000\nFrom: Zoe <bob@example.net>\nTo: Carl <carl@example.org>\n\
              Subject: pears\nMessage-ID: <1@x>\n\none\n",
        ),
        (
            "",
            b"Date: Mon, 02 Jan 2023 10:30:00 +0200\nFrom: ANN@example.com\nTo: dora@example.org\nCc: x@y\n\
              Subject: Re: Pears\nMessage-ID: <2@x>\nReferences: <1@x>\n\ntwo two two\n",
        ),
        (
            "F",
            b"Date: Sun, 01 Jan 2023 10:00:00 +0000\nFrom: =?utf-8?Q?=C3=84nne?= <carl@example.com>\n\
              To: Team: carl@example.org;\nSubject: [list] apples\nMessage-ID: <3@x>\n\nthree\n",
        ),
        (
            "",
            b"From: bob@example.com\nSubject: Apples (fwd)\nMessage-ID: <4@x>\nIn-Reply-To: your note <3@x> and <1@x>\n\n\
              no date at all\n",
        ),
        (
            "R",
            b"Date: Mon, 02 Jan 2023 10:00:00 +0000\nFrom: (Bob) bob@example.net\nTo: ann@example.org\n\
              Subject: Fwd: re: pears\nMessage-ID: <5@x>\nReferences: <1@x> <none@x>\n\nfive five\n",
        ),
        ("T", b"Message-ID: <6@x>\n\n"),
    ])
}

fn ask(command: &str) -> String {
    on_inbox(&mailbox(), &[&format!("a {command}")])
}

/// The numbers that SORT gives.
fn sorted(arguments: &str) -> String {
    let text = ask(&format!("SORT {arguments}"));
    let numbers = text
        .strip_suffix("\r\na OK SORT done.\r\n")
        .and_then(|text| text.strip_prefix("* SORT"));
    numbers
        .unwrap_or_else(|| panic!("{arguments}: {text}"))
        .trim_start()
        .to_owned()
}

#[test]
fn criteria() {
    for (arguments, expected) in [
        ("(ARRIVAL) UTF-8 ALL", "1 2 3 4 5 6"),
        ("(REVERSE ARRIVAL) UTF-8 ALL", "6 5 4 3 2 1"),
        ("(REVERSE REVERSE ARRIVAL) US-ASCII 2:4", "2 3 4"),
        // In UTC; without a date by arrival; the same date by number.
        ("(DATE) UTF-8 ALL", "4 6 3 2 1 5"),
        ("(REVERSE DATE) UTF-8 ALL", "1 5 2 3 6 4"),
        // The mailbox part, in any case; none is first.
        ("(FROM) UTF-8 ALL", "6 2 1 4 5 3"),
        ("(TO) UTF-8 ALL", "4 6 5 1 2 3"),
        ("(CC) UTF-8 ALL", "1 3 4 5 6 2"),
        ("(SUBJECT) UTF-8 ALL", "6 3 4 1 2 5"),
        ("(SUBJECT REVERSE DATE) UTF-8 ALL", "6 3 4 1 5 2"),
        ("(REVERSE SUBJECT REVERSE DATE) UTF-8 ALL", "1 5 2 3 4 6"),
        ("(SIZE) UTF-8 ALL", "6 4 1 2 3 5"),
        // The name shown, decoded, or the whole address: none, ANN@, Änne (an A and its dots), Bob, bob@, Zoe.
        ("(DISPLAYFROM) UTF-8 ALL", "6 2 3 5 4 1"),
        ("(DISPLAYTO) UTF-8 ALL", "4 6 5 1 2 3"),
        ("(FROM FROM REVERSE FROM DATE) UTF-8 ALL", "6 2 4 1 5 3"),
        ("(SUBJECT) UTF-8 SUBJECT pears", "1 2 5"),
        ("(SUBJECT) UTF-8 KEYWORD nothing", ""),
    ] {
        assert_eq!(sorted(arguments), expected, "{arguments}");
    }
}

#[test]
fn forms_and_refusals() {
    assert_eq!(
        ask("UID SORT (REVERSE ARRIVAL) UTF-8 1:2"),
        "* SORT 2 1\r\na OK SORT done.\r\n"
    );
    assert_eq!(
        ask("SORT RETURN (MIN MAX COUNT ALL) (DATE) UTF-8 ALL"),
        "* ESEARCH (TAG \"a\") MIN 4 MAX 5 ALL 4,6,3,2,1,5 COUNT 6\r\na OK SORT done.\r\n"
    );
    assert_eq!(
        ask("UID SORT RETURN () (SUBJECT) UTF-8 ALL"),
        "* ESEARCH (TAG \"a\") UID ALL 6,3:4,1:2,5\r\na OK SORT done.\r\n"
    );
    assert_eq!(
        ask("SORT RETURN (MIN ALL) (DATE) UTF-8 KEYWORD nothing"),
        "* ESEARCH (TAG \"a\")\r\na OK SORT done.\r\n"
    );
    for command in [
        "SORT (DATE) X-NOSUCH ALL",
        "THREAD REFERENCES X-NOSUCH ALL",
        "UID SORT (DATE) X-NOSUCH ALL",
    ] {
        assert!(ask(command).starts_with("a NO [BADCHARSET] "), "{command}");
    }
    for command in [
        "SORT (DATE) UTF-8",
        "SORT () UTF-8 ALL",
        "SORT (SENT) UTF-8 ALL",
        "THREAD",
        "THREAD FOO UTF-8 ALL",
        "UID THREAD REFERENCES ALL",
    ] {
        assert!(ask(command).starts_with("a BAD "), "{command}");
    }
    let text = on_inbox(
        &mailbox(),
        &[
            "a ENABLE UTF8=ACCEPT",
            "b SORT (DATE) US-ASCII 1",
            "c THREAD REFERENCES utf-8 1",
            "d UNSELECT",
            "e SORT (DATE) UTF-8 ALL",
        ],
    );
    assert!(text.contains("\r\nb BAD [BADCHARSET] "), "{text}");
    assert!(text.contains("* THREAD (1)\r\nc OK "), "{text}");
    assert!(text.contains("\r\ne BAD No mailbox"), "{text}");
}

#[test]
fn threads() {
    assert_eq!(
        ask("THREAD REFERENCES UTF-8 ALL"),
        "* THREAD (6)(3 4)(1 (2)(5))\r\na OK THREAD done.\r\n"
    );
    assert_eq!(
        ask("UID THREAD ORDEREDSUBJECT UTF-8 ALL"),
        "* THREAD (4 3)(6)(2 (1)(5))\r\na OK THREAD done.\r\n"
    );
    // 2 and 5 share a root that was not searched for.
    assert_eq!(
        ask("THREAD REFERENCES UTF-8 2:5 NOT 3"),
        "* THREAD (4)((2)(5))\r\na OK THREAD done.\r\n"
    );
    assert_eq!(
        ask("THREAD REFERENCES UTF-8 KEYWORD none"),
        "* THREAD\r\na OK THREAD done.\r\n"
    );
}

#[test]
fn the_administrator_can_turn_them_off() {
    let home = mailbox();
    let mut command = home.command();
    command.env("IMAP_DISABLETHREADSORT", "1");
    let ended = run(
        command,
        b"a CAPABILITY\r\nb SORT anything\r\nc UID THREAD\r\nd SORT (DATE) UTF-8 ALL\r\n",
    );
    let refusal = "NO This command is disabled by the system administrator.\r\n";
    for tag in ["b", "c", "d"] {
        assert!(
            ended.output.contains(&format!("{tag} {refusal}")),
            "{}",
            ended.output
        );
    }
    let list = ended
        .output
        .lines()
        .find(|line| line.starts_with("* CAPABILITY"))
        .unwrap();
    assert!(!list.contains("SORT") && !list.contains("THREAD"), "{list}");
}

#[test]
fn saved_results() {
    let home = mailbox();
    let mut session = home.start();
    session.ask("SELECT INBOX", "OK");
    let mut ask = |command: &str, expected: &[&str]| {
        let lines = session.ask(command, "");
        let told: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (last, untagged) = told.split_last().unwrap();
        assert_eq!(untagged, expected, "{command}");
        (*last).to_owned()
    };
    // Nothing saved yet: no messages, and no error.
    ask("FETCH $ UID", &[]);
    ask("SEARCH $", &["* SEARCH"]);
    // SAVE alone says nothing.
    ask("SEARCH RETURN (SAVE) SUBJECT pears", &[]);
    ask(
        "FETCH $ UID",
        &[
            "* 1 FETCH (UID 1)",
            "* 2 FETCH (UID 2)",
            "* 5 FETCH (UID 5)",
        ],
    );
    ask(
        "UID FETCH $ UID",
        &[
            "* 1 FETCH (UID 1)",
            "* 2 FETCH (UID 2)",
            "* 5 FETCH (UID 5)",
        ],
    );
    ask("SEARCH UID $ SEEN", &["* SEARCH 1"]);
    ask("SEARCH OR $ 3", &["* SEARCH 1 2 3 5"]);
    ask("SORT (REVERSE ARRIVAL) UTF-8 $", &["* SORT 5 2 1"]);
    ask("THREAD REFERENCES UTF-8 $", &["* THREAD (1 (2)(5))"]);
    // A search without SAVE changes nothing; nor does one that is BAD.
    ask("SEARCH 3", &["* SEARCH 3"]);
    assert!(ask("SEARCH RETURN (SAVE) FROBNICATE", &[]).starts_with("t BAD"));
    ask(
        "SEARCH RETURN (SAVE COUNT) $ UNSEEN",
        &["* ESEARCH (TAG \"t\") COUNT 2"],
    );
    ask(
        "STORE $ +FLAGS (\\Flagged)",
        &[
            "* 2 FETCH (FLAGS (\\Flagged \\Recent))",
            "* 5 FETCH (FLAGS (\\Flagged \\Answered \\Recent))",
        ],
    );
    // MIN and MAX save what they name.
    ask(
        "SEARCH RETURN (SAVE MIN MAX) ALL",
        &["* ESEARCH (TAG \"t\") MIN 1 MAX 6"],
    );
    ask("SEARCH $", &["* SEARCH 1 6"]);
    ask(
        "SEARCH RETURN (SAVE MIN ALL) 2:3",
        &["* ESEARCH (TAG \"t\") MIN 2 ALL 2:3"],
    );
    ask("SEARCH $", &["* SEARCH 2 3"]);
    ask(
        "SORT RETURN (SAVE MAX) (DATE) UTF-8 ALL",
        &["* ESEARCH (TAG \"t\") MAX 5"],
    );
    ask("SEARCH $", &["* SEARCH 5"]);
    // One that is NO leaves nothing.
    assert!(ask("SEARCH RETURN (SAVE) CHARSET X-FOO ALL", &[]).starts_with("t NO"));
    ask("SEARCH $", &["* SEARCH"]);
    // Messages that are expunged leave the result, others keep their meaning.
    ask("SEARCH RETURN (SAVE) 2:5", &[]);
    ask("STORE 1,3 +FLAGS.SILENT (\\Deleted)", &[]);
    ask(
        "UID EXPUNGE $",
        &["* 3 EXPUNGE", "* 5 EXISTS", "* 5 RECENT"],
    );
    ask("SEARCH $", &["* SEARCH 2 3 4"]);
    ask("UID SEARCH $", &["* SEARCH 2 4 5"]);
    assert!(ask("FETCH 1,$ UID", &[]).starts_with("t BAD"));
    assert!(ask("FETCH $:3 UID", &[]).starts_with("t BAD"));
    // Another selection forgets it.
    session.ask("SELECT INBOX", "OK");
    assert_eq!(session.ask("SEARCH $", "OK").first().unwrap(), "* SEARCH");
}

#[test]
fn copying_a_saved_result() {
    let home = mailbox();
    let text = on_inbox(
        &home,
        &[
            "a CREATE INBOX.x",
            "b SEARCH RETURN (SAVE) SUBJECT apples",
            "c COPY $ INBOX.x",
            "d MOVE $ INBOX.x",
            "e SEARCH ALL",
        ],
    );
    assert!(text.contains("\r\nc OK [COPYUID "), "{text}");
    assert!(text.contains("* SEARCH 1 2 3 4\r\ne OK"), "{text}");
}

/// Headers made to be slow to thread and sort.
#[test]
fn hostile_headers() {
    let start = Instant::now();
    let mut long = String::from("Message-ID: <0@x>\nReferences:");
    for number in 0..60_000 {
        writeln!(long, " <{number}@x>").unwrap();
    }
    let nested = format!("Subject: {}\n\n", "[fwd: ".repeat(50_000));
    let comments = format!("From: {}\n\n", "(".repeat(500_000));
    let home = home(&[
        ("", long.as_bytes()),
        ("", nested.as_bytes()),
        ("", comments.as_bytes()),
        ("", b"In-Reply-To: <59999@x>\n\n"),
    ]);
    let text = on_inbox(
        &home,
        &[
            "a THREAD REFERENCES UTF-8 ALL",
            "b SORT (SUBJECT FROM DISPLAYFROM DATE) UTF-8 ALL",
        ],
    );
    assert!(text.contains("a OK") && text.contains("b OK"), "{text}");
    assert!(start.elapsed() < Duration::from_secs(8));
}
