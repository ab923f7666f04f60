//! What is fuzzed: one function for each parser of bytes that somebody else wrote. Each must return, soon, whatever
//! it is given, and checks what must hold for any input.
//!
//! `fuzz_targets/` gives them to libFuzzer (`make fuzz TARGET=NAME`, or `cargo fuzz run NAME`), `src/smoke.rs` to a
//! small driver of our own that needs no C++ compiler (`make fuzz-smoke`). A crash found becomes a regression test
//! beside the parser and a seed in `seeds/NAME/`.

mod backend;
mod imap;
mod login;
mod pop3;
mod session;
mod store;
mod text;

use courier::maildir::cache::Kind;
use courier::maildir::fuzzing;
use imapd::digest::{self, SortRow, ThreadRow};
use imapd::matching::Needle;

pub use backend::{helper_frame, module_settings, sql_clause};
pub use fuzzing::{
    access_list, cache_record, change_log, folder_index, keyword_list, keyword_update,
    message_name, quota_limits, size_list, uid_database,
};
pub use imap::{imap_grammar, imap_prelogin, imap_receive};
pub use login::{
    access_record, account_reply, authdaemon_request, handover, login_message, proxied_login,
    proxy_header, sasl, userdb_text,
};
pub use pop3::pop3_session;
pub use session::imap_session;
pub use store::maildir;
pub use text::{address, date, folder_name, mime, mutf7, threading};

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

/// A line of a POP3 client.
pub fn pop3_command(input: &[u8]) {
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let command = pop3d::command::Command::parse(line);
        assert!(command.word.len() + command.argument.len() <= line.len());
        assert!(!command.word.iter().any(u8::is_ascii_lowercase));
        assert!(command.words().all(|word| !word.is_empty()));
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
