//! SEARCH.

use crate::fetch::{MIXED, SIMPLE, home, on_inbox};

/// The numbers that a SEARCH finds in a mailbox of five messages.
fn search(keys: &str) -> String {
    let home = home(&[
        ("S", SIMPLE),
        ("FS", MIXED),
        ("", b"Date: Tue, 3 Jan 2023 23:30:00 -0500\nSubject: third\nCc: Carl <carl@example.org>\nX-Empty:\n\nThe quick\nbrown fox\n"),
        ("RT", b"Subject: fourth\nBcc: dora@example.org\n\nfour\n"),
        ("D", b"no header at all\n"),
    ]);
    let text = on_inbox(&home, &[&format!("a {keys}")]);
    text.strip_suffix("a OK SEARCH done.\r\n")
        .unwrap_or(&text)
        .trim_end()
        .to_owned()
}

#[test]
fn search_keys() {
    for (keys, expected) in [
        ("ALL", "1 2 3 4 5"),
        ("SEEN", "1 2"),
        ("UNSEEN", "3 4 5"),
        ("FLAGGED", "2"),
        ("ANSWERED DELETED", "4"),
        ("DRAFT", "5"),
        ("NEW", "3 4 5"),
        ("OLD", ""),
        ("RECENT UNANSWERED", "1 2 3 5"),
        ("KEYWORD nothing", ""),
        ("UNKEYWORD nothing", "1 2 3 4 5"),
        ("2:4 NOT 3", "2 4"),
        ("*", "5"),
        ("UID 4:*", "4 5"),
        ("5:4", "4 5"),
        ("NOT NOT 1", "1"),
        ("OR 1 (2 FLAGGED)", "1 2"),
        ("FROM ANN@", "1"),
        ("TO bob", "1"),
        ("CC carl", "3"),
        ("BCC dora", "4"),
        ("SUBJECT inner", ""),
        ("SUBJECT \"third \"", "3"),
        ("CHARSET UTF-8 SUBJECT {6+}\r\nw\u{f6}rld", "1"),
        ("CHARSET ISO-8859-1 SUBJECT world", ""),
        ("HEADER X-Empty \"\"", "3"),
        ("HEADER X-None \"\"", ""),
        ("HEADER date -0500", "3"),
        ("BODY gr\u{fc}\u{df}e", "a BAD"),
        ("BODY {8+}\r\nGR\u{dc}\u{df}e", "2"),
        ("BODY inner", "2"),
        ("BODY \"quick brown\"", "3"),
        ("BODY third", ""),
        ("TEXT third", "3"),
        ("TEXT \"x-empty: \"", "3"),
        ("TEXT four BODY four", "4"),
        ("LARGER 137", "1 2"),
        ("LARGER 138 SMALLER 10000", "2"),
        ("SMALLER 19", "5"),
        ("SMALLER 18", ""),
        ("ON 3-Jan-2020", "2"),
        ("BEFORE 3-Jan-2020", "1"),
        ("SINCE 5-Jan-2020", "4 5"),
        ("SENTON 3-Jan-2023", "3"),
        ("SENTBEFORE 3-Jan-2023", "1"),
        ("SENTSINCE 1-Jan-2000", "1 3"),
        ("YOUNGER 1000", ""),
        ("OLDER 1000", "1 2 3 4 5"),
    ] {
        let found = search(&format!("SEARCH {keys}"));
        if expected.starts_with("a BAD") {
            assert!(found.starts_with(expected), "{keys}: {found}");
        } else {
            assert_eq!(found, format!("* SEARCH {expected}").trim_end(), "{keys}");
        }
    }
}

#[test]
fn charsets_of_the_needle_and_of_the_text() {
    let korean = b"MIME-Version: 1.0\nSubject: =?ISO-2022-KR?B?GyQpQw5HUTFbDw==?=\n\
        Content-Type: text/plain; charset=ISO-2022-KR\n\n\x1b$)C\x0eGQ1[\x0f\n";
    let german = b"MIME-Version: 1.0\nContent-Type: text/html; charset=cp437\n\
        Content-Transfer-Encoding: quoted-printable\n\n<b>Gr=81=E1</b>e &Auml;rger\n";
    let home = home(&[("S", korean), ("S", german)]);
    let found = |keys: &[u8]| {
        let mut input = b"s SELECT INBOX\r\na SEARCH ".to_vec();
        input.extend_from_slice(keys);
        input.extend_from_slice(b"\r\nz LOGOUT\r\n");
        let output = home.run(&input).output;
        let (_, after) = output.split_once("s OK [READ-WRITE] Ok\r\n").unwrap();
        after.lines().next().unwrap().to_owned()
    };
    let converters = found(b"CHARSET ISO-2022-KR ALL");
    if converters.starts_with("a NO [BADCHARSET]") {
        let line = b"skipped: the C library's character set converters are not installed\n";
        std::io::Write::write_all(&mut std::io::stdout().lock(), line).unwrap();
        return;
    }
    for (keys, expected) in [
        (
            &b"CHARSET ISO-2022-KR SUBJECT {10+}\r\n\x1b$)C\x0eGQ1[\x0f"[..],
            "1",
        ),
        (b"CHARSET euc-kr BODY {4+}\r\n\xc7\xd1\xb1\xdb", "1"),
        (b"CHARSET UTF-8 TEXT {6+}\r\n\xed\x95\x9c\xea\xb8\x80", "1"),
        (b"CHARSET cp850 BODY {5+}\r\nGR\x9aSS", "2"),
        (b"CHARSET utf-8 BODY {6+}\r\n\xc3\xa4RGER", "2"),
        (b"BODY &Auml;", "2"),
        (b"CHARSET iso-8859-1 TEXT {4+}\r\ngr\xfc\xdf", "2"),
    ] {
        let shown = keys.escape_ascii();
        assert_eq!(found(keys), format!("* SEARCH {expected}"), "{shown}");
    }
}

#[test]
fn search_forms_and_refusals() {
    assert_eq!(search("UID SEARCH FLAGGED"), "* SEARCH 2");
    assert_eq!(
        search("SEARCH CHARSET X-FOO ALL"),
        "a NO [BADCHARSET] The requested character set is not supported."
    );
    assert_eq!(
        search("SEARCH RETURN (MIN MAX COUNT ALL) UNSEEN"),
        "* ESEARCH (TAG \"a\") MIN 3 MAX 5 ALL 3:5 COUNT 3"
    );
    assert_eq!(
        search("UID SEARCH RETURN (COUNT) KEYWORD x"),
        "* ESEARCH (TAG \"a\") UID COUNT 0"
    );
    assert!(search("SEARCH").starts_with("a BAD"));
}
