use super::*;
use courier::auth::account::Secret;

fn command_of(input: &[u8]) -> Option<Command> {
    match parse(input) {
        Parsed::Request(request) => Some(request.command),
        _ => None,
    }
}

fn pre(module: &str, service: &str, user: &str) -> Option<Command> {
    Some(Command::Pre {
        module: module.into(),
        service: service.into(),
        user: user.into(),
    })
}

#[test]
fn lookups_take_the_rest_of_the_line_as_the_user() {
    assert_eq!(command_of(b"PRE . imap alice\n"), pre(".", "imap", "alice"));
    assert_eq!(
        command_of(b"PRE   authuserdb  imap  al ice \nrest"),
        pre("authuserdb", "imap", "al ice ")
    );
    assert_eq!(
        command_of(b"PRE . imap alice\r\n"),
        pre(".", "imap", "alice\r")
    );
    assert_eq!(command_of(b"PRE . imap \n"), pre(".", "imap", ""));
    assert_eq!(command_of(b"PRE . imap a\0b\n"), Some(Command::Impossible));
    for bad in [
        "PRE\n",
        "PRE \n",
        "PRE .\n",
        "PRE . imap\n",
        "pre . imap a\n",
        "HELLO\n",
        "\n",
    ] {
        assert_eq!(parse(bad.as_bytes()), Parsed::Malformed, "{bad:?}");
    }
}

#[test]
fn lines_before_the_command_are_told_by_their_equals_sign() {
    let parsed = parse(b"FOO=bar baz\nTCPREMOTEIP=192.0.2.5\nPRE . imap a=b\n");
    let Parsed::Request(request) = parsed else {
        panic!("{parsed:?}")
    };
    assert_eq!(request.remote.as_deref(), Some(&b"192.0.2.5"[..]));
    assert_eq!(Some(request.command), pre(".", "imap", "a=b"));
    let long = [b"TCPREMOTEIP=".as_slice(), &[b'1'; 60], b"\nENUMERATE x\n"].concat();
    let Parsed::Request(request) = parse(&long) else {
        panic!("not a request")
    };
    assert_eq!(request.remote.map(|remote| remote.len()), Some(39));
    assert_eq!(request.command, Command::Enumerate);
}

#[test]
fn auth_counts_its_body() {
    let input = b"AUTH 28\nimap\nlogin\nalice\nimapsecret\nmore";
    let Some(Command::Auth(auth)) = command_of(input) else {
        panic!("not AUTH")
    };
    assert_eq!(auth.login(), Some((&b"alice"[..], &b"imapsecret"[..])));
    for cut in 0..36 {
        assert_eq!(parse(&input[..cut]), Parsed::Incomplete, "{cut}");
    }
    for bad in [
        "AUTH\n",
        "AUTH x\n",
        "AUTH -1\n",
        "AUTH 8192\n",
        "AUTH 99999999999999999999\n",
        "AUTH 0\n",
        "AUTH 4\nimap",
        "AUTH 10\nimap\nlogin",
    ] {
        assert_eq!(parse(bad.as_bytes()), Parsed::Malformed, "{bad:?}");
    }
    assert_eq!(
        command_of(b"AUTH 12\nimap\nlogin\n\0"),
        Some(Command::Impossible)
    );
    assert_eq!(
        command_of(b"AUTH 16\nimap\nlogin\na\0\nb\n"),
        Some(Command::Impossible)
    );
}

#[test]
fn empty_lines_of_the_data_vanish_but_not_those_before_it() {
    let login = |body: &str| {
        let input = format!("AUTH {}\n{body}", body.len());
        match command_of(input.as_bytes()) {
            Some(Command::Auth(auth)) => {
                let login = auth
                    .login()
                    .map(|(user, password)| (user.to_vec(), password.to_vec()));
                (auth.service, login)
            }
            other => panic!("{other:?}"),
        }
    };
    let found = Some((b"alice".to_vec(), b"secret".to_vec()));
    assert_eq!(login("imap\nlogin\n\nalice\n\nsecret\nmore\n").1, found);
    assert_eq!(login("imap\nlogin\nalice\nsecret").1, found);
    assert_eq!(login("imap\nlogin\nalice\n\n").1, None);
    assert_eq!(login("imap\nplain\nalice\nsecret\n").1, None);
    assert_eq!(login("\nimap\nlogin\nalice\nsecret\n").0, b"");
}

#[test]
fn a_cram_response_splits_at_the_last_space() {
    let auth = Auth {
        service: b"imap".to_vec(),
        authtype: b"cram-md5".to_vec(),
        data: b"PDAxMjNAaG9zdD4=\nYWxpY2UgMDRmNzBlNTFhNmM1NTQ2OGQwNjlmYWIwOWNhNzJkNmI=\n".to_vec(),
    };
    let cram = auth.cram().unwrap();
    assert_eq!(cram.challenge, b"<0123@host>");
    assert_eq!(cram.user, b"alice");
    assert_eq!(cram.response, b"04f70e51a6c55468d069fab09ca72d6b");
    assert_eq!(cram.digest, Digest::Md5);
    for (authtype, data) in [
        ("cram-md4", &auth.data[..]),
        ("login", &auth.data),
        ("cram-md5", b"a\nb\n"),
    ] {
        let auth = Auth {
            authtype: authtype.into(),
            data: data.to_vec(),
            service: Vec::new(),
        };
        assert_eq!(auth.cram(), None);
    }
}

#[test]
fn password_changes_need_four_fields() {
    let expected = Some(Command::Passwd {
        service: b"pop3".to_vec(),
        user: b"al ice".to_vec(),
        old: b"o".to_vec(),
        new: b"n=1".to_vec(),
    });
    assert_eq!(command_of(b"PASSWD pop3\tal ice\to\tn=1\n"), expected);
    assert_eq!(command_of(b"PASSWD pop3\tal ice\to\tn=1\tx\ty\n"), expected);
    assert_eq!(
        command_of(b"PASSWD pop3\ta\to\r\tn\n"),
        Some(Command::Impossible)
    );
    assert_eq!(parse(b"PASSWD pop3\ta\to\n"), Parsed::Malformed);
}

#[test]
fn lines_and_their_sum_are_bounded() {
    let line = |length: usize| {
        let mut line = b"PRE . imap ".to_vec();
        line.resize(length, b'x');
        line
    };
    assert_eq!(parse(&line(LINE_MAX)), Parsed::Incomplete);
    assert_eq!(parse(&line(LINE_MAX + 1)), Parsed::Malformed);
    let whole = [line(LINE_MAX), b"\n".to_vec()].concat();
    assert!(matches!(parse(&whole), Parsed::Request(_)));
    assert_eq!(parse(&b"A=1\n".repeat(META_MAX / 4 + 1)), Parsed::Malformed);
    assert_eq!(parse(&b"A=1\n".repeat(10)), Parsed::Incomplete);
}

#[test]
fn replies_have_the_fixed_order_and_no_forged_lines() {
    let mut account = AccountInfo {
        owner: Some(Owner::Virtual(5000)),
        gid: Some(5001),
        home: Some("/srv/mail/alice".into()),
        address: Some(b"alice".to_vec()),
        name: Some(b"Alice Example,Room 5".to_vec()),
        maildir: Some("".into()),
        quota: Some(b"10000000S,500C".to_vec()),
        hash: Some(Secret(b"x".to_vec())),
        clear: Some(Secret(b"y".to_vec())),
        options: Some(Vec::new()),
    };
    assert_eq!(
        String::from_utf8(account_reply(&account).unwrap()).unwrap(),
        "UID=5000\nGID=5001\nHOME=/srv/mail/alice\nADDRESS=alice\nNAME=Alice Example\nMAILDIR=\n\
         QUOTA=10000000S,500C\nPASSWD=x\nPASSWD2=y\n.\n"
    );
    account.name = Some(b"x\nUID=0".to_vec());
    assert_eq!(account_reply(&account), Err(Unsendable::Control));
    account.name = Some(vec![b'x'; REPLY_MAX]);
    assert_eq!(account_reply(&account), Err(Unsendable::TooLong));
}

#[test]
fn list_lines_keep_their_tabs() {
    let account = AccountInfo {
        owner: Some(Owner::Virtual(5001)),
        gid: Some(5001),
        home: Some("/srv/mail/bob".into()),
        address: Some(b"bob@example.com".to_vec()),
        ..AccountInfo::default()
    };
    assert_eq!(
        listed(&account).unwrap(),
        b"bob@example.com\t5001\t5001\t/srv/mail/bob\t\t\n"
    );
    let odd = AccountInfo {
        address: Some(b"a\tb".to_vec()),
        ..account
    };
    assert_eq!(listed(&odd), None);
}
