use super::*;

fn login(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    match parse(bytes) {
        Parsed::Command {
            verb: Verb::Login { user, password },
            ..
        } => Some((user, password)),
        _ => None,
    }
}

fn pair(user: &str, password: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    Some((user.into(), password.into()))
}

#[test]
fn simple_commands_take_no_arguments() {
    for (line, verb) in [
        ("a1 CAPABILITY\r\n", Verb::Capability),
        ("a1 noop\n", Verb::Noop),
        ("  a1  LogOut  \r\n", Verb::Logout),
        ("a1 STARTTLS\r\n", Verb::StartTls),
    ] {
        assert_eq!(
            parse(line.as_bytes()),
            Parsed::Command { tag: b"a1", verb },
            "{line}"
        );
    }
    for line in [
        "a1 CAPABILITY x\r\n",
        "a1\r\n",
        "a1 \r\n",
        "a1 SELECT INBOX\r\n",
        "a1 NOOP\0\r\n",
        "a1 NOOP",
    ] {
        assert!(
            matches!(
                parse(line.as_bytes()),
                Parsed::Bad {
                    tag: Some(b"a1"),
                    ..
                }
            ),
            "{line:?}"
        );
    }
    for line in [
        "\r\n",
        "",
        "* NOOP\r\n",
        "+ NOOP\r\n",
        "\"a\" NOOP\r\n",
        "\0\r\n",
    ] {
        assert!(
            matches!(parse(line.as_bytes()), Parsed::Bad { tag: None, .. }),
            "{line:?}"
        );
    }
}

#[test]
fn login_takes_every_form_of_string() {
    assert_eq!(login(b"a LOGIN alice secret\r\n"), pair("alice", "secret"));
    assert_eq!(
        login(b"a LOGIN \"al ice\" \"p\\\"\\\\w\"\r\n"),
        pair("al ice", "p\"\\w")
    );
    assert_eq!(
        login(b"a LOGIN ali(ce p[]*%)w\r\n"),
        pair("ali(ce", "p[]*%)w")
    );
    assert_eq!(login(b"a LOGIN alice NIL\r\n"), pair("alice", "NIL"));
    assert_eq!(login(b"a LOGIN \"\" \"\"\r\n"), pair("", ""));
    assert_eq!(
        login("a LOGIN \"j\u{fc}rgen\" x\r\n".as_bytes()),
        pair("j\u{fc}rgen", "x")
    );
    assert_eq!(
        login(b"a LOGIN {5}\r\nalice {2+}\r\np \r\n"),
        pair("alice", "p ")
    );
    assert_eq!(login(b"a LOGIN {0}\r\n {0}\r\n\r\n"), pair("", ""));
}

#[test]
fn bad_strings_are_refused() {
    for line in [
        &b"a LOGIN alice\r\n"[..],
        b"a LOGIN alice x y\r\n",
        b"a LOGIN \"alice x\r\n",
        b"a LOGIN \"a\\lice\" x\r\n",
        b"a LOGIN al\"ice x\r\n",
        b"a LOGIN al\\ice x\r\n",
        b"a LOGIN al{ice x\r\n",
        b"a LOGIN \"\xff\" x\r\n",
        b"a LOGIN \xff x\r\n",
        b"a LOGIN \"a\0\" x\r\n",
        b"a LOGIN {3}\r\na\0b x\r\n",
        b"a LOGIN {}\r\n",
        b"a LOGIN {-1}\r\n",
        b"a LOGIN {5} alice x\r\n",
        b"a LOGIN (a b)\r\n x",
    ] {
        assert!(
            matches!(parse(line), Parsed::Bad { tag: Some(_), .. }),
            "{}",
            line.escape_ascii()
        );
    }
    let long = format!("a LOGIN \"{}\" x\r\n", "u".repeat(SECRET_MAX + 1));
    assert!(matches!(parse(long.as_bytes()), Parsed::Bad { .. }));
}

#[test]
fn literals_are_asked_for_where_a_string_may_stand() {
    let literal = |bytes: &'static [u8]| match parse(bytes) {
        Parsed::Literal { literal, .. } => Some((literal.size, literal.waits)),
        _ => None,
    };
    assert_eq!(literal(b"a LOGIN {5}\r\n"), Some((Some(5), true)));
    assert_eq!(
        literal(b"a LOGIN {5}\r\nalice {7+}\n"),
        Some((Some(7), false))
    );
    assert_eq!(literal(b"a LOGIN {0}\r\n"), Some((Some(0), true)));
    assert_eq!(
        literal(b"a LOGIN {99999999999999999999}\r\n"),
        Some((None, true))
    );
    assert_eq!(literal(b"a NOOP {5}\r\n"), None);
    assert_eq!(literal(b"a LOGIN alice {5}x\r\n"), None);
}

#[test]
fn announced_literals_are_found_anywhere() {
    assert_eq!(
        announced(b"a FOO bar{12+}\r\n"),
        Some(Literal {
            size: Some(12),
            waits: false
        })
    );
    assert_eq!(announced(b"a FOO bar{12+} \r\n"), None);
    assert_eq!(announced(b"a FOO bar{x}\r\n"), None);
    assert_eq!(announced(b"\r\n"), None);
}

#[test]
fn id_takes_nil_or_a_flat_list() {
    let good = |line: &str| {
        matches!(
            parse(line.as_bytes()),
            Parsed::Command { verb: Verb::Id, .. }
        )
    };
    assert!(good("a ID NIL\r\n") && good("a ID nil\r\n") && good("a ID ()\r\n"));
    assert!(good("a ID (\"name\" \"x\" \"version\" NIL)\r\n"));
    assert!(good("a ID (\"name\" {1}\r\nx)\r\n"));
    assert!(!good("a ID\r\n") && !good("a ID (\"name\")\r\n") && !good("a ID (NIL \"x\")\r\n"));
    assert!(!good("a ID ((\"a\" \"b\"))\r\n") && !good("a ID (name x)\r\n"));
    let pairs = " \"k\" \"v\"".repeat(31);
    assert!(!good(&format!("a ID ({pairs})\r\n")));
}

#[test]
fn authenticate_has_a_mechanism_and_perhaps_a_response() {
    let authenticate = |line: &'static [u8]| match parse(line) {
        Parsed::Command {
            verb: Verb::Authenticate { mechanism, initial },
            ..
        } => Some((mechanism, initial)),
        _ => None,
    };
    assert_eq!(
        authenticate(b"a AUTHENTICATE plain\r\n"),
        Some((&b"plain"[..], None))
    );
    assert_eq!(
        authenticate(b"a AUTHENTICATE PLAIN =\r\n"),
        Some((&b"PLAIN"[..], Some(&b"="[..])))
    );
    assert_eq!(authenticate(b"a AUTHENTICATE\r\n"), Some((&b""[..], None)));
    assert_eq!(authenticate(b"a AUTHENTICATE PLAIN x y\r\n"), None);
}

proptest::proptest! {
    #[test]
    fn no_bytes_harm_the_parser(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
        parse(&bytes);
        announced(&bytes);
        command_word(&bytes);
    }

    #[test]
    fn no_login_harms_the_parser(tail in "[ -~\r\n{}+\"\\\\0-9]{0,60}") {
        let line = format!("a LOGIN {tail}\r\n");
        parse(line.as_bytes());
    }
}
