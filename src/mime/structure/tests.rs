use super::super::scan::scan;
use super::{Text, body, envelope};
use proptest::prelude::*;

fn show_envelope(message: &str, text: Text) -> String {
    let tree = scan(message.as_bytes());
    let mut out = Vec::new();
    envelope(&tree, tree.root(), text, &mut out);
    String::from_utf8(out).unwrap()
}

fn show_body(message: &str, extended: bool) -> String {
    let tree = scan(message.as_bytes());
    let mut out = Vec::new();
    body(&tree, extended, Text::Ascii, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn envelopes() {
    let message = "Date: Mon, 02 Jan 2023 10:11:12 +0100
From: \"Ann \\\"Q\\\" Lee\" <ann@example.net>
To: Bob <bob@example.net>, undisclosed:;
Sender:
Subject: Hello
 =?utf-8?q?w=C3=B6rld?=
Message-ID: <m1@example.net>

";
    assert_eq!(
        show_envelope(message, Text::Ascii),
        "(\"Mon, 02 Jan 2023 10:11:12 +0100\" \"Hello =?utf-8?q?w=C3=B6rld?=\" \
         ((\"Ann \\\"Q\\\" Lee\" NIL \"ann\" \"example.net\")) \
         ((\"Ann \\\"Q\\\" Lee\" NIL \"ann\" \"example.net\")) \
         ((\"Ann \\\"Q\\\" Lee\" NIL \"ann\" \"example.net\")) \
         ((\"Bob\" NIL \"bob\" \"example.net\")(NIL NIL \"undisclosed\" NIL)(NIL NIL NIL NIL)) \
         NIL NIL NIL \"<m1@example.net>\")"
    );
    assert_eq!(
        show_envelope("\n", Text::Ascii),
        "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    );
    assert_eq!(
        show_envelope(
            "Subject: über\nFrom: a\nTo: b@c\nTo: d@e\nIn-Reply-To: <x>\n\n",
            Text::Ascii
        ),
        "(NIL \"=?utf-8?B?w7xiZXI=?=\" ((NIL NIL \"a\" \"\")) ((NIL NIL \"a\" \"\")) ((NIL NIL \"a\" \"\")) \
         ((NIL NIL \"b\" \"c\")(NIL NIL \"d\" \"e\")) NIL NIL \"<x>\" NIL)"
    );
    assert!(show_envelope("Subject: über\n\n", Text::Utf8).starts_with("(NIL \"über\" NIL"));
}

#[test]
fn structures() {
    let message = "MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=bb; X=\"y\"

--bb
Content-Type: text/plain; charset=UTF-8
Content-ID: <cid@1>
Content-Description: desc
Content-Disposition: inline

hello there
world

--bb
Content-Type: message/rfc822

Subject: inner
From: in@example.net

inner body

--bb
Content-Type: application/octet-stream; name=\"a.bin\"
Content-Transfer-Encoding: BASE64
Content-Disposition: attachment; filename=\"a\\\\.bin\"
Content-MD5: abc
Content-Language: de, en
Content-Location: http://x/

AAAA
--bb--
";
    assert_eq!(
        show_body(message, true),
        "((\"text\" \"plain\" (\"charset\" \"utf-8\") \"<cid@1>\" \"desc\" \"7bit\" 20 2 NIL (\"inline\" NIL) NIL NIL)\
         (\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 52 (NIL \"inner\" ((NIL NIL \"in\" \"example.net\")) \
         ((NIL NIL \"in\" \"example.net\")) ((NIL NIL \"in\" \"example.net\")) NIL NIL NIL NIL NIL) \
         (\"text\" \"plain\" NIL NIL NIL \"7bit\" 12 1 NIL NIL NIL NIL) 4 NIL NIL NIL NIL)\
         (\"application\" \"octet-stream\" (\"name\" \"a.bin\") NIL NIL \"base64\" 4 \"abc\" \
         (\"attachment\" (\"filename\" \"a\\\\.bin\")) (\"de\" \"en\") \"http://x/\") \
         \"mixed\" (\"boundary\" \"bb\" \"x\" \"y\") NIL NIL NIL)"
    );
    assert!(show_body(message, false).ends_with("\"base64\" 4) \"mixed\")"));
}

#[test]
fn defaults_and_oddities() {
    assert_eq!(
        show_body("\nhi\n", true),
        "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 4 1 NIL NIL NIL NIL)"
    );
    // Without MIME-Version the content fields mean nothing.
    assert_eq!(
        show_body(
            "Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n",
            false
        ),
        "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0)"
    );
    // Blanks at the ends of a quoted value are part of it: a long name may be cut there.
    assert_eq!(
        show_body(
            "MIME-Version: 1.0\nContent-Type: a/b; name*0=\"one \"; name*1=\" two\"; x= y \n\n",
            false
        ),
        "(\"a\" \"b\" (\"name*0\" \"one \" \"name*1\" \" two\" \"x\" \"y\") NIL NIL \"7bit\" 0)"
    );
    assert_eq!(
        show_body(
            "MIME-Version: 1.0\nContent-Type: weird\nContent-Transfer-Encoding: X-Odd\n\n",
            false
        ),
        "(\"weird\" \"\" NIL NIL NIL \"x-odd\" 0)"
    );
    assert_eq!(
        show_body(
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"zz\"\n\nnothing\n",
            true
        ),
        "(\"multipart\" \"mixed\" (\"boundary\" \"zz\") NIL NIL \"7bit\" 9 NIL NIL NIL NIL)"
    );
    assert_eq!(
        show_body(
            "MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=z\n\n--z\n\nSubject: a\n\nb\n--z--\n",
            false
        ),
        "((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 15 (NIL \"a\" NIL NIL NIL NIL NIL NIL NIL NIL) \
         (\"text\" \"plain\" NIL NIL NIL \"7bit\" 1 0) 2) \"digest\")"
    );
}

/// Reads one IMAP value (string, NIL, number, list) and returns what follows; the obvious way.
fn value(text: &[u8]) -> Option<&[u8]> {
    match text.first()? {
        b'"' => {
            let mut at = 1;
            loop {
                match text.get(at)? {
                    b'"' => return text.get(at + 1..),
                    b'\\' if matches!(text.get(at + 1)?, b'"' | b'\\') => at += 2,
                    b'\\' | b'\r' | b'\n' | 0 => return None,
                    _ => at += 1,
                }
            }
        }
        b'(' => {
            let mut rest = text.get(1..)?;
            while rest.first()? != &b')' {
                rest = value(rest)?;
                if rest.first()? == &b' ' {
                    rest = rest.get(1..)?;
                }
            }
            rest.get(1..)
        }
        b'N' => text.strip_prefix(b"NIL"),
        _ => {
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                None
            } else {
                text.get(digits..)
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn output_is_well_formed_and_ascii(
        fields in prop::collection::vec((0usize..12, "[a-c@<>:;,()\"\\\\ =?/'*0-1é\t\0]{0,24}"), 0..12),
        junk: Vec<u8>,
    ) {
        const NAMES: [&str; 12] = [
            "Content-Type", "Content-Disposition", "Content-ID", "Content-Language", "From", "To", "Subject", "Date",
            "Content-Transfer-Encoding", "Reply-To", "Content-Description", "Content-Type: multipart/mixed; boundary=",
        ];
        let mut message = Vec::from(&b"MIME-Version: 1.0\n"[..]);
        for (name, text) in &fields {
            message.extend_from_slice(NAMES[*name].as_bytes());
            message.extend_from_slice(b": ");
            message.extend_from_slice(text.as_bytes());
            message.push(b'\n');
        }
        message.extend_from_slice(&junk);
        message.extend_from_slice(b"\n\nbody\n");
        let tree = scan(&message);
        for extended in [false, true] {
            let mut out = Vec::new();
            body(&tree, extended, Text::Ascii, &mut out);
            prop_assert!(out.is_ascii());
            prop_assert_eq!(value(&out), Some(&b""[..]), "{}", out.escape_ascii());
            let mut out = Vec::new();
            envelope(&tree, tree.root(), Text::Utf8, &mut out);
            prop_assert!(std::str::from_utf8(&out).is_ok());
            prop_assert_eq!(value(&out), Some(&b""[..]), "{}", out.escape_ascii());
        }
    }
}
