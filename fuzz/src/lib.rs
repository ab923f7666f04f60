//! What is fuzzed: one function for each parser of bytes that somebody else wrote. Each must return, soon, whatever
//! it is given, and checks what must hold for any input.
//!
//! `fuzz_targets/` gives them to libFuzzer (`make fuzz TARGET=NAME`, or `cargo fuzz run NAME`), `src/smoke.rs` to a
//! small driver of our own that needs no C++ compiler (`make fuzz-smoke`). A crash found becomes a regression test
//! beside the parser and a seed in `seeds/NAME/`.

mod backend;
mod pop3;
mod session;
mod store;

use std::io::{Read as _, Seek as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use authdaemond::protocol;
use authdaemond::userdb::{record, text};
use courier::access::Verdict;
use courier::auth::account::AccountInfo;
use courier::auth::enumerate::Listed;
use courier::auth::options;
use courier::auth::sasl::{Context, Exchange, Mechanism, Step};
use courier::handover;
use courier::login::message;
use courier::login::peer::Peer;
use courier::login::proxy::dialog::{self, Login, log_in};
use courier::login::proxy::hosts;
use courier::login::settings::Protocol;
use courier::maildir::cache::Kind;
use courier::maildir::{FolderName, fuzzing};
use courier::mime::{self, address, message_id, params, structure, subject};
use courier::text::date::{Date, DateTime};
use courier::text::pattern::Pattern;
use courier::text::{charset, mutf7, rfc2047};
use imapd::digest::{self, SortRow, ThreadRow};
use imapd::grammar::{Command, append, split_tag};
use imapd::matching::Needle;
use imapd::prelogin::parse as prelogin;
use imapd::receive::{Input, LineEnd, MAX_COMMAND, MAX_LITERAL};
use imapd::threading::{Gatherer, Headers};
use imapd::writer::Writer;

pub use backend::{helper_frame, module_settings, sql_clause};
pub use fuzzing::{
    access_list, cache_record, change_log, folder_index, keyword_list, keyword_update,
    message_name, quota_limits, size_list, uid_database,
};
pub use pop3::pop3_session;
pub use session::imap_session;
pub use store::maildir;

/// A target: its name, its function, and words that help a mutator along.
pub type Target = (&'static str, fn(&[u8]), &'static [&'static str]);

/// All targets.
pub const TARGETS: &[Target] = &[
    (
        "uid_database",
        uid_database,
        &["1 ", "\n", " ", "4294967295", "0000000001", ":2,"],
    ),
    (
        "keyword_list",
        keyword_list,
        &["\n\n", ":0", ":1 0", "$Label1\n", "\0"],
    ),
    (
        "keyword_update",
        keyword_update,
        &["\n", "$Label1", "work", "\\Seen", "("],
    ),
    (
        "size_list",
        size_list,
        &["/3 ", "/2 ", " 1:1:0\n", ":", "18446744073709551615"],
    ),
    (
        "cache_record",
        cache_record,
        &["\x01\0\0\0", "\0\0", "CMC\x01"],
    ),
    (
        "digest_row",
        digest_row,
        &[
            "\x01\x03",
            "\x04\0\0\0",
            "\x03\0a@b",
            "Subject: Re: ",
            "References: <a@b>",
        ],
    ),
    (
        "folder_index",
        folder_index,
        &["\x01\0\0\0", "\0\0\0\0", "CIMAPix\x01"],
    ),
    (
        "change_log",
        change_log,
        &["CIMAPlg\x01", "\x01\0\0\0", "\0\0\0\0\0\0\0\0"],
    ),
    (
        "access_list",
        access_list,
        &[
            "owner ",
            "anyone ",
            "-user=joe ",
            "aceilrstwx",
            "\n",
            "group=group ",
        ],
    ),
    (
        "quota_limits",
        quota_limits,
        &["100S", ",", "1C", "-", "9223372036854775807"],
    ),
    (
        "maildir",
        maildir,
        &["\n", "1 ", "\0", ":list", "INBOX.", "100S,1C\n"],
    ),
    (
        "folder_name",
        folder_name,
        &["INBOX", ".", "#shared", "%", "*", "/"],
    ),
    (
        "message_name",
        message_name,
        &[":2,", ",S=", ":", "DFRST", "1795395414.M1P2", ":1,", "\n"],
    ),
    ("mutf7", mutf7, &["&", "-", "&AOk-", "&-", "&2D3eCg-", ","]),
    ("mime", mime, MIME),
    (
        "address",
        address,
        &[
            "<",
            ">",
            "@",
            "\"",
            "(",
            ")",
            ":",
            ";",
            ",",
            "=?utf-8?q?",
            "?=",
            "\\",
        ],
    ),
    (
        "date",
        date,
        &[
            "Tue, ",
            "24 Nov 2026",
            " 17:01:46",
            " +0000",
            "24-Nov-2026",
            " EST",
            "(",
            ")",
        ],
    ),
    ("threading", threading, MIME),
    ("imap_grammar", imap_grammar, IMAP),
    ("imap_receive", imap_receive, IMAP),
    ("imap_session", imap_session, session::WORDS),
    (
        "imap_prelogin",
        imap_prelogin,
        &[
            "a ",
            "LOGIN ",
            "AUTHENTICATE ",
            "{5}\r\n",
            "{5+}\r\n",
            "\"",
            "\\",
            "ID (",
            "NIL",
        ],
    ),
    (
        "pop3_session",
        pop3_session,
        &[
            "\r\n",
            "STAT\r\n",
            "LIST",
            "UIDL",
            "RETR 1\r\n",
            "RETR 5\r\n",
            "TOP 2 ",
            "DELE ",
            "RSET\r\n",
            "NOOP",
            "CAPA\r\n",
            "LANG",
            "UTF8\r\n",
            "QUIT\r\n",
            " 3",
            "-1",
        ],
    ),
    (
        "pop3_command",
        pop3_command,
        &[
            "USER ",
            "PASS ",
            "TOP ",
            "UIDL ",
            "AUTH PLAIN ",
            "\r\n",
            " ",
            "4294967296",
        ],
    ),
    (
        "userdb_text",
        userdb_text,
        &["\t", "|", "=", "uid=", "#", "imappw", "\n"],
    ),
    (
        "module_settings",
        module_settings,
        &[
            "##NAME: MARKER:0\n",
            "PGSQL_CONNECTION ",
            "postgresql://",
            "sslmode=",
            "sslrootcert='",
            "MYSQL_PORT 0\n",
            "SQLITE_SELECT_CLAUSE ",
            "USER_TABLE t\n",
            "\\\n",
            "'",
        ],
    ),
    (
        "sql_clause",
        sql_clause,
        &[
            "$(local_part)",
            "$(service)",
            "$(newpass",
            "'",
            "''",
            "\"",
            "`",
            "E'",
            "\\",
            "$a$",
            "$$",
            "\0",
        ],
    ),
    (
        "helper_frame",
        helper_frame,
        &["R", "D", "\x01\0\0\0", "\x02\0\0\0", "\0\0\0\0"],
    ),
    (
        "access_record",
        access_record,
        &["deny", "allow", ",", "=", "\"", "'", "A=B"],
    ),
    (
        "proxy_header",
        proxy_header,
        &[
            "PROXY ",
            "TCP4 ",
            "TCP6 ",
            "UNKNOWN",
            "1.2.3.4 ",
            "::1 ",
            "65536",
            "\r\n",
            "\r\n\r\n\0\r\nQUIT\n",
            "\x21\x11\0\x0c",
        ],
    ),
    (
        "proxied_login",
        proxied_login,
        &[
            "* OK",
            "* BYE",
            "* ",
            "+ ",
            "a1 OK",
            "a1 NO [UNAVAILABLE]",
            "+OK",
            "-ERR [IN-USE]",
            "\r\n",
        ],
    ),
    ("handover", handover, &["CTLS1\0", "\0", "TLS_", "="]),
    (
        "login_message",
        login_message,
        &["\0\x01", "\0\0", "\x01", "\x02", "a1"],
    ),
    (
        "authdaemon_request",
        authdaemon_request,
        &[
            "AUTH ",
            "PRE . ",
            "ENUMERATE",
            "PASSWD ",
            "\n",
            "login\n",
            "cram-md5\n",
            "TCPREMOTEIP=",
        ],
    ),
    (
        "account_reply",
        account_reply,
        &[
            "UID=",
            "GID=",
            "USERNAME=",
            "\n",
            "OPTIONS=",
            ",",
            "=",
            "\t",
            "HOME=/",
        ],
    ),
    (
        "sasl",
        sasl,
        &["\n", "=", "*", "AGEAYg==", "dXNlcg==", "bWFkbWFu"],
    ),
];

const IMAP: &[&str] = &[
    "a ",
    "UID ",
    "FETCH ",
    "SEARCH ",
    "STORE ",
    "APPEND ",
    "LIST ",
    "STATUS ",
    "COPY ",
    "SORT ",
    "THREAD ",
    "1:*",
    "BODY[",
    "HEADER.FIELDS (",
    "]<0.5>",
    "NOT ",
    "OR ",
    "(",
    ")",
    "{3}\r\n",
    "{3+}\r\n",
    "~{3}\r\n",
    "\"",
    "\\",
    "\r\n",
    "CHARSET UTF-8 ",
    "RETURN (",
    "\\Seen",
    "24-Nov-2026",
    "BINARY[",
    "MODSEQ ",
    "4294967295",
    "18446744073709551615",
];
const MIME: &[&str] = &[
    "Content-Type: ",
    "multipart/mixed; boundary=",
    "message/rfc822",
    "\n--",
    "--\n",
    "\r\n",
    "\n\n",
    "boundary=\"b\"",
    "--b",
    "text/plain; charset*0*=utf-8''",
    "Content-Transfer-Encoding: ",
    "base64",
    "quoted-printable",
    "=?utf-8?b?",
    "?=",
    "Subject: ",
    "From: ",
    "a@b",
    "Message-ID: <",
    ">",
    "multipart/digest",
    "Re: ",
    "[x]",
    "(fwd)",
    "; name*1=",
];

/// Folder names, and patterns upon them.
pub fn folder_name(input: &[u8]) {
    for line in input.split(|byte| *byte == b'\n') {
        let Ok(name) = FolderName::from_full(line) else {
            continue;
        };
        assert_eq!(FolderName::from_full(&name.to_full()).as_ref(), Ok(&name));
        assert!(!name.directory().contains(&b'/') && !name.directory().contains(&0));
        let mut parent = name.parent();
        while let Some(above) = parent {
            assert!(above.is_inbox() || name.is_below(&above));
            parent = above.parent();
        }
    }
    let (pattern, name) = halves(input);
    let pattern = Pattern::new(pattern);
    let matches = pattern.matches(name);
    assert_eq!(matches, Pattern::new(b"*").matches(name) && matches);
}

/// Modified UTF-7 both ways.
pub fn mutf7(input: &[u8]) {
    if let Ok(text) = mutf7::decode(input) {
        let wire = mutf7::encode(text.as_bytes());
        assert_eq!(wire.as_ref().map(String::as_bytes), Ok(input));
    }
    if let Ok(wire) = mutf7::encode(input) {
        assert!(wire.is_ascii());
        if let Ok(text) = mutf7::decode(wire.as_bytes()) {
            assert_eq!(text.as_bytes(), input);
        }
    }
    let (label, bytes) = halves(input);
    let whole = charset::decode(label, bytes);
    if let (Some(whole), Some(mut decoder)) = (whole, charset::Decoder::new(label)) {
        let mut pieces = String::new();
        for byte in bytes {
            decoder.push(&[*byte], false, &mut pieces);
        }
        decoder.push(b"", true, &mut pieces);
        assert!(pieces.len() <= whole.len().saturating_mul(4) + 16);
    }
    keep(charset::guess(input));
}

/// A message: scanned whole and in pieces to the same tree, described, taken apart.
pub fn mime(input: &[u8]) {
    let tree = mime::scan(input);
    let mut scanner = mime::Scanner::new();
    let piece = usize::from(input.first().copied().unwrap_or(1)).max(1);
    for piece in input.chunks(piece) {
        scanner.push(piece);
    }
    let pieces = scanner.finish();
    assert_eq!(tree.parts().len(), pieces.parts().len());
    let describe = |tree: &mime::Tree| {
        let mut out = Vec::new();
        for text in [structure::Text::Ascii, structure::Text::Utf8] {
            structure::envelope(tree, tree.root(), text, &mut out);
            structure::body(tree, false, text, &mut out);
            structure::body(tree, true, text, &mut out);
        }
        out
    };
    let described = describe(&tree);
    assert_eq!(described, describe(&pieces));
    assert!(!described.contains(&0));
    for part in tree.parts() {
        for piece in [part.header(), part.body(), part.whole()] {
            let stored = piece.stored();
            assert!(stored.start <= stored.end && stored.end <= input.len() as u64);
        }
        keep(tree.content(part));
        let whole = part.whole().stored();
        let body = part.body().stored();
        assert!(whole.start <= body.start && body.end <= whole.end);
    }
    for field in mime::header::Fields::new(input) {
        keep(subject::base(field.value));
        keep(rfc2047::decode(field.value));
        message_id::parse(field.value).for_each(drop);
        keep(params::Value::parse(field.value));
    }
}

/// Address lists, encoded words, parameters.
pub fn address(input: &[u8]) {
    keep(address::parse(input));
    let text = rfc2047::decode(input);
    keep(rfc2047::encode(text.as_bytes()));
    keep(rfc2047::encode(input));
    keep(params::Value::parse(input).param_text(b"name"));
    message_id::parse(input).for_each(drop);
    keep(subject::base(input));
}

/// What is remembered of a message for SORT and THREAD, as found and as made of a header: nothing is read that is not
/// there.
pub fn digest_row(input: &[u8]) {
    let needle = Needle::new(None, b"a");
    let look = |sort: &[u8], thread: &[u8]| {
        let row = SortRow::read(sort);
        assert!(row.subject.len() <= sort.len());
        keep(row.has_in_subject(&needle));
        let row = ThreadRow::read(thread);
        let (own, ids) = row.ids();
        let octets = own.map_or(0, <[u8]>::len) + ids.map(<[u8]>::len).sum::<usize>();
        assert!(row.subject.len() + octets <= thread.len());
    };
    look(input, input);
    let rows = digest::make(input);
    let (sort, thread) = (rows.of(Kind::Sort), rows.of(Kind::Thread));
    assert!(digest::is_sound(sort) && digest::is_sound(thread));
    assert_eq!(SortRow::read(sort).subject, ThreadRow::read(thread).subject);
    look(sort, thread);
}

/// Headers of many messages, one after the other, put into threads: every message is in exactly one.
pub fn threading(input: &[u8]) {
    let mut by_references = Gatherer::default();
    let mut by_subject = Gatherer::default();
    let mut count = 0;
    for header in input.split(|byte| *byte == 0).take(200) {
        let field = |name: &[u8]| {
            mime::header::Fields::new(header)
                .find(|field| field.name.eq_ignore_ascii_case(name))
                .map_or(&[][..], |field| field.value)
        };
        let subject = subject::base(field(b"subject"));
        let id = message_id::parse(field(b"message-id")).next();
        let references: Vec<_> = message_id::parse(field(b"references")).collect();
        let headers = Headers {
            sent: DateTime::parse_header(field(b"date")).map_or(0, |date| date.unix()),
            subject: subject.text.as_bytes(),
            reply: subject.reply,
            id: id.as_deref(),
        };
        count += 1;
        by_references.add(count, &headers, references.iter().map(Vec::as_slice));
        by_subject.add(count, &headers, references.iter().map(Vec::as_slice));
    }
    for threads in [by_references.by_references(), by_subject.by_subject()] {
        let mut out = Writer::memory();
        threads.write(&mut out, |number| number);
        let text = String::from_utf8_lossy(&out.take()).into_owned();
        let mut numbers: Vec<u32> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|digits| digits.parse().ok())
            .collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(1..=count), "{text}");
    }
}

/// A line of a POP3 client.
pub fn pop3_command(input: &[u8]) {
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let command = pop3d::command::Command::parse(line);
        assert!(command.word.len() + command.argument.len() <= line.len());
        assert!(!command.word.iter().any(u8::is_ascii_lowercase));
        assert!(command.words().all(|word| !word.is_empty()));
    }
}

/// Dates of IMAP and of headers.
pub fn date(input: &[u8]) {
    keep(Date::parse_imap(input));
    for time in [DateTime::parse_imap(input), DateTime::parse_header(input)]
        .into_iter()
        .flatten()
    {
        let text = courier::text::date::format_imap(time.unix(), time.offset);
        let again = DateTime::parse_imap(text.as_bytes());
        assert!(
            again.is_none_or(|again| again.unix() == time.unix()),
            "{text}"
        );
    }
}

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

/// Lines of userdb and their records.
pub fn userdb_text(input: &[u8]) {
    for line in input.split(|byte| *byte == b'\n') {
        let Some((_, fields)) = text::account(line) else {
            continue;
        };
        let (open, secret) = record::split_secrets(fields);
        for (name, value) in record::fields(fields) {
            let kept = record::field(&open, name).or_else(|| record::field(&secret, name));
            assert!(value.is_none() || kept.is_some() || name.is_empty());
            value.and_then(record::number);
        }
        let names: Vec<Vec<u8>> = record::fields(fields)
            .map(|(name, _)| name.to_vec())
            .collect();
        let rest = record::unset(fields, &names);
        assert!(
            names
                .iter()
                .all(|name| record::field(&rest, name).is_none())
        );
    }
    record::number(input);
}

/// Values of access files.
pub fn access_record(input: &[u8]) {
    if let Verdict::Allow(assignments) = Verdict::parse(input) {
        for assignment in assignments {
            assert!(!assignment.name.is_empty());
            assert!(!assignment.name.contains(&0) && !assignment.name.contains(&b'='));
            assert!(!assignment.value.contains(&0));
        }
    }
}

/// What a proxy says about a connection, ahead of everything else.
pub fn proxy_header(input: &[u8]) {
    let Ok((mut peer, ours)) = UnixStream::pair() else {
        return;
    };
    // More than one header has room for; the socket has room for it.
    let input = input.get(..input.len().min(4096)).unwrap_or_default();
    if peer
        .write_all(input)
        .and_then(|()| peer.shutdown(Shutdown::Write))
        .is_err()
    {
        return;
    }
    let read = couriertcpd::proxy::read(ours.as_fd(), Duration::from_secs(1));
    let mut rest = Vec::new();
    if read.is_ok() && (&ours).read_to_end(&mut rest).is_ok() {
        assert!(input.ends_with(&rest) && rest.len() < input.len());
    }
}

/// What a server says that an account is logged in at, and the option that names it.
pub fn proxied_login(input: &[u8]) {
    for host in hosts::of_account(input) {
        assert!(host.port != Some(0) && !host.text.is_empty());
    }
    // The socket has room for it.
    let input = input.get(..input.len().min(16 * 1024)).unwrap_or_default();
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let (Ok((mut server, ours)), Ok((_monitor, channel))) =
            (UnixStream::pair(), UnixStream::pair())
        else {
            return;
        };
        if server
            .write_all(input)
            .and_then(|()| server.shutdown(Shutdown::Write))
            .is_err()
        {
            return;
        }
        let deadline = Instant::now() + Duration::from_secs(1);
        let peer = Peer::new(ours.as_fd(), ours.as_fd(), channel.as_fd(), deadline);
        let login = Login {
            protocol,
            tag: b"a1",
            utf8: false,
            address: b"joe",
            password: b"x\xff",
        };
        if log_in(&mut dialog::Server::new(peer, deadline, false), &login).is_ok() {
            // What follows the last reply is the client's.
            let mut rest = Vec::new();
            if (&ours).read_to_end(&mut rest).is_ok() {
                assert!(input.ends_with(&rest));
                let taken = input.len() - rest.len();
                assert!(input[..taken].ends_with(b"\r\n"));
            }
        }
    }
}

/// Packets between couriertls and couriertlsd.
pub fn handover(input: &[u8]) {
    if let Some(request) = handover::Request::decode(input) {
        assert_eq!(handover::Request::decode(&request.encode()), Some(request));
    }
    if let Some(reply) = handover::Reply::decode(input) {
        assert_eq!(handover::Reply::decode(&reply.encode()), Some(reply));
    }
}

/// Packets between the parser and the monitor of a login program.
pub fn login_message(input: &[u8]) {
    if let Some(request) = message::Request::decode(input) {
        assert_eq!(request.encode(), input);
    }
    if let Some(answer) = message::Answer::decode(input) {
        assert_eq!(answer.encode(), input);
    }
    message::clean_method(input);
}

/// What clients send to authdaemond.
pub fn authdaemon_request(input: &[u8]) {
    let parsed = protocol::parse(input);
    // However it arrives: what is a request does not become another one, what is none never becomes one.
    for length in 0..input.len().min(64) {
        match protocol::parse(input.get(..length).unwrap_or_default()) {
            protocol::Parsed::Incomplete => {}
            early => assert_eq!(early, parsed),
        }
    }
    if let protocol::Parsed::Request(request) = parsed {
        if let protocol::Command::Auth(auth) = request.command {
            auth.login();
            auth.cram();
        }
    }
}

/// What authdaemond sends: records and lists of accounts.
pub fn account_reply(input: &[u8]) {
    if let Some(account) = AccountInfo::parse(input) {
        if let Ok(reply) = protocol::account_reply(&account) {
            let lines = reply.strip_suffix(b".\n").unwrap_or(&reply);
            assert!(AccountInfo::parse(lines).is_some());
        }
        protocol::listed(&account);
    }
    for line in input.split(|byte| *byte == b'\n') {
        Listed::parse(line);
    }
    let (one, two) = halves(input);
    options::merge(Some(one), two);
    options::items(input).for_each(drop);
    options::is_on(input, b"disableimap");
}

/// An authentication exchange: each line is an answer.
pub fn sasl(input: &[u8]) {
    let context = Context {
        external: Some(b"joe".to_vec()),
        challenge: b"<1.2@host>".to_vec(),
    };
    let mut lines = input.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    for name in [
        &b"PLAIN"[..],
        b"LOGIN",
        b"CRAM-MD5",
        b"CRAM-SHA256",
        b"EXTERNAL",
    ] {
        let Some(mechanism) = Mechanism::by_name(name) else {
            continue;
        };
        let initial = (!first.is_empty()).then_some(first);
        let (mut exchange, mut step) = Exchange::start(mechanism, &context, initial);
        for line in lines.clone().take(8) {
            if !matches!(step, Step::Challenge(_)) {
                break;
            }
            step = exchange.respond(line);
        }
    }
}

/// A result that nothing is known about: it must have been made, and must not be optimised away.
fn keep<T>(result: T) {
    std::hint::black_box(result);
}

/// The input at its first NUL, or in the middle.
fn halves(input: &[u8]) -> (&[u8], &[u8]) {
    let middle = input.iter().position(|byte| *byte == 0);
    let (one, two) = input.split_at(middle.unwrap_or(input.len() / 2));
    (one, two.strip_prefix(b"\0").unwrap_or(two))
}
