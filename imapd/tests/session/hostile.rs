//! Input made to hurt, one table for each kind: a clear reply, little memory, time in proportion, and a maildir that
//! is sound afterwards.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use courier::maildir::check::{Finding, Level, Observer, check};
use courier::maildir::{FolderName, Options};

use crate::client::{Home, Session, run};
use crate::fetch::{MIXED, SIMPLE, home};

/// Memory that no input may make a session use beyond what it has, in kB. A debug build's.
const MEMORY: u64 = 20 * 1024;

/// Time that no command may take: what is quadratic takes hours.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Problems(Vec<String>);

impl Observer for Problems {
    fn finding(&mut self, finding: &Finding) {
        if finding.level == Level::Problem {
            self.0.push(finding.text.clone());
        }
    }

    fn progress(&mut self, _: &FolderName, _: u64) {}
}

/// The maildir has no damage.
fn assert_sound(home: &Home, after: &str) {
    let mut problems = Problems::default();
    check(&home.maildir(), &Options::default(), false, &mut problems).unwrap();
    assert!(problems.0.is_empty(), "after {after}: {:?}", problems.0);
}

/// Sends a command and wants a tagged reply that begins with one of these words, in time and in little memory.
fn survives(session: &mut Session, what: &str, command: &[u8], replies: &[&str]) {
    session.ask("UID FETCH 1 FLAGS", "OK");
    let before = session.peak_memory();
    let began = Instant::now();
    session.send(b"h ");
    session.send(command);
    session.send(b"\r\n");
    session.pass_over("h ");
    let reply = session.last_line();
    assert!(
        replies.iter().any(|start| reply.starts_with(start)),
        "{what}: {reply}"
    );
    assert!(began.elapsed() < PATIENCE, "{what}: {:?}", began.elapsed());
    let grown = session.peak_memory().saturating_sub(before);
    assert!(grown < MEMORY, "{what}: {grown} kB");
    // It goes on as if nothing had been.
    session.ask("NOOP", "OK");
}

/// A session on INBOX.
fn selected(home: &Home) -> Session {
    let mut session = home.start();
    session.ask("SELECT INBOX", "OK");
    session
}

#[test]
fn deep_and_long_commands() {
    let home = home(&[("S", SIMPLE), ("", MIXED)]);
    let mut session = selected(&home);
    let nested = |word: &str, depth: usize, end: &str| format!("{}{end}", word.repeat(depth));
    for (what, command, replies) in [
        (
            "parentheses",
            nested("SEARCH (", 1, &nested("(", 50_000, "ALL")),
            &["BAD"][..],
        ),
        (
            "closed parentheses",
            format!("SEARCH {}ALL{}", "(".repeat(150), ")".repeat(150)),
            &["OK"],
        ),
        (
            "negations",
            format!("SEARCH {}ALL", "NOT ".repeat(50_000)),
            &["BAD"],
        ),
        (
            "alternatives",
            format!("SEARCH {}{}", "OR ".repeat(30_000), "ALL ".repeat(30_001)),
            &["BAD"],
        ),
        (
            "many keys",
            format!("SEARCH {}", "SEEN ".repeat(50_000)),
            &["OK", "BAD"],
        ),
        (
            "many texts",
            format!("SEARCH {}", "TEXT zz ".repeat(900)),
            &["OK", "BAD"],
        ),
        (
            "part numbers",
            format!("FETCH 1 BODY.PEEK[{}1]", "1.".repeat(100_000)),
            &["BAD"],
        ),
        (
            "items",
            format!("FETCH 1 ({}UID)", "FLAGS ".repeat(30_000)),
            &["OK", "BAD"],
        ),
        (
            "bodies",
            format!("FETCH 1 ({}UID)", "BODY.PEEK[] ".repeat(15_000)),
            &["OK", "BAD"],
        ),
        (
            "decoded bodies",
            format!("FETCH 2 ({}UID)", "BINARY.PEEK[1] ".repeat(15_000)),
            &["OK", "BAD"],
        ),
        (
            "field names",
            format!(
                "FETCH 1 BODY.PEEK[HEADER.FIELDS ({}a)]",
                "Subject ".repeat(30_000)
            ),
            &["OK", "BAD"],
        ),
        (
            "keywords",
            format!(
                "STORE 1 +FLAGS ({}a)",
                (0..20_000).map(|n| format!("k{n} ")).collect::<String>()
            ),
            &["OK", "BAD", "NO"],
        ),
        (
            "sort keys",
            format!("SORT ({}DATE) UTF-8 ALL", "REVERSE SUBJECT ".repeat(10_000)),
            &["BAD"],
        ),
        ("one word", "x".repeat(200_000), &["BAD"]),
        (
            "one quoted string",
            format!("SEARCH TEXT \"{}\"", "y".repeat(200_000)),
            &["BAD", "NO"],
        ),
        (
            "fields of ID",
            format!("ID ({})", "\"a\" \"b\" ".repeat(20_000)),
            &["BAD"],
        ),
        (
            "extensions",
            format!("ENABLE {}", "X ".repeat(100_000)),
            &["OK", "BAD"],
        ),
        (
            "status items",
            format!("STATUS INBOX ({}MESSAGES)", "UNSEEN ".repeat(30_000)),
            &["OK", "BAD"],
        ),
        (
            "a name of many levels",
            format!("CREATE INBOX{}", ".a".repeat(50_000)),
            &["NO"],
        ),
        (
            "a long name",
            format!("CREATE INBOX.{}", "a".repeat(5000)),
            &["NO"],
        ),
        (
            "a shifted name",
            format!("CREATE INBOX.&{}-", "A".repeat(60_000)),
            &["NO"],
        ),
    ] {
        survives(&mut session, what, command.as_bytes(), replies);
    }
    assert_sound(&home, "long commands");
}

#[test]
fn large_sets() {
    let home = home(&[("S", SIMPLE), ("", MIXED), ("F", SIMPLE)]);
    let mut session = selected(&home);
    let list = |from: usize, step: usize| {
        let mut set = String::new();
        for number in (from..).step_by(step) {
            if set.len() > 230_000 {
                break;
            }
            write!(set, "{number},").unwrap();
        }
        set + "1"
    };
    let ranges: String = (1..20_000)
        .rev()
        .map(|n| format!("{}:{n},", u32::MAX - n))
        .collect::<String>()
        + "*:1";
    let all = format!("1:{}", u32::MAX);
    for (what, command, reply) in [
        (
            "all numbers that there are",
            format!("UID FETCH {all} FLAGS"),
            "OK",
        ),
        (
            "numbers that are not there",
            format!("FETCH {all} FLAGS"),
            "BAD",
        ),
        (
            "every second number",
            format!("UID FETCH {} FLAGS", list(1, 2)),
            "OK",
        ),
        (
            "every third number",
            format!("UID SEARCH UID {}", list(4, 3)),
            "OK",
        ),
        ("in a search", format!("SEARCH {}", list(4, 3)), "OK"),
        ("overlapping", format!("UID FETCH {ranges} UID"), "OK"),
        (
            "many ranges to store",
            format!("UID STORE {ranges} +FLAGS.SILENT (\\Flagged)"),
            "OK",
        ),
        (
            "a number beyond 32 bits",
            "UID FETCH 1:4294967296 FLAGS".to_owned(),
            "BAD",
        ),
        ("zero", "UID FETCH 0 FLAGS".to_owned(), "BAD"),
        (
            "copied over and over",
            format!("UID COPY {ranges} INBOX"),
            "OK",
        ),
        ("expunged", format!("UID EXPUNGE {ranges}"), "OK"),
    ] {
        // A set of more elements than a command may have is refused.
        let replies: &[&str] = if reply == "OK" {
            &["OK", "BAD"]
        } else {
            &["BAD"]
        };
        survives(&mut session, what, command.as_bytes(), replies);
    }
    assert_sound(&home, "large sets");
}

#[test]
fn hostile_patterns() {
    let home = home(&[("S", SIMPLE)]);
    for number in 0..20 {
        for name in [
            format!(".{}{number}", "a.".repeat(40)),
            format!(".{}", "a".repeat(200 + number)),
        ] {
            home.folder(&name);
            fs::write(home.maildir().join(name).join("maildirfolder"), "").unwrap();
        }
    }
    let mut session = selected(&home);
    for (what, pattern) in [
        ("stars", "*".repeat(10_000)),
        ("percents", "%".repeat(10_000)),
        ("both", "*%".repeat(5000)),
        ("stars that cannot match", "*a".repeat(5000) + "b"),
        ("percents that cannot match", "%a".repeat(5000) + "b"),
        ("levels", "%.".repeat(5000) + "b"),
        (
            "a near miss",
            "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*c".to_owned(),
        ),
    ] {
        for command in [
            format!("LIST \"\" \"{pattern}\""),
            format!("LSUB \"\" \"{pattern}\""),
            format!(
                "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"{pattern}\" \"*\") RETURN (CHILDREN STATUS (MESSAGES))"
            ),
        ] {
            survives(&mut session, what, command.as_bytes(), &["OK", "BAD", "NO"]);
        }
    }
    let many = format!("LIST \"\" ({}x)", "INBOX.* ".repeat(10_000));
    survives(
        &mut session,
        "many patterns",
        many.as_bytes(),
        &["OK", "BAD"],
    );
    assert_sound(&home, "patterns");
}

/// What reads a message in every way.
const READINGS: [&str; 12] = [
    "FETCH 1 (RFC822.SIZE ENVELOPE)",
    "FETCH 1 BODYSTRUCTURE",
    "FETCH 1 BODY",
    "FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject X-1 To)]",
    "FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (Subject)]<0.100>",
    "FETCH 1 BODY.PEEK[1.1.1.MIME]",
    "FETCH 1 BINARY.SIZE[1]",
    "SEARCH SUBJECT nothing",
    "SEARCH TEXT \"not there\"",
    "SEARCH HEADER X-1 \"\" SENTSINCE 1-Jan-2000",
    "SORT (SUBJECT FROM DATE DISPLAYFROM) UTF-8 ALL",
    "THREAD REFERENCES UTF-8 ALL",
];

#[test]
fn hostile_messages() {
    let parts = "--b\n\nx\n".repeat(1_000_000);
    let nested = (0..5000)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=\"{n}\"\n\n--{n}\n"))
        .collect::<String>();
    let unclosed = (0..100)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=\"b{n}\"\n\n--b{n}\n"))
        .collect::<String>();
    for (what, message) in [
        (
            "a million parts",
            format!("Content-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n"),
        ),
        (
            "messages in messages",
            "Content-Type: message/rfc822\n\n".repeat(20_000),
        ),
        ("multiparts in multiparts", nested),
        (
            "lines that might end any of a hundred parts",
            unclosed + &"--b99x\n".repeat(100_000),
        ),
        (
            "hundreds of thousands of fields",
            (0..300_000)
                .map(|n| format!("X-{n}: v\n"))
                .collect::<String>()
                + "\nbody\n",
        ),
        (
            "one field over and over",
            "Subject: s\n".repeat(200_000) + "\n",
        ),
        (
            "a field of encoded words",
            format!("Subject: {}\n\n", "=?utf-8?q?a?= ".repeat(150_000)),
        ),
        (
            "a folded field",
            format!("To: a@b\n{}\n", " ,c@d\n".repeat(200_000)),
        ),
        (
            "nested comments",
            format!("From: {}a@b\n\n", "(".repeat(200_000)),
        ),
        ("quotes", format!("From: {}\n\n", "\\\"".repeat(200_000))),
        (
            "parameters",
            format!(
                "Content-Type: text/plain{}\n\n",
                (0..60_000)
                    .map(|n| format!("; a*{n}=x"))
                    .collect::<String>()
            ),
        ),
        (
            "references",
            format!(
                "References: {}\n\n",
                (0..60_000).map(|n| format!("<{n}@x> ")).collect::<String>()
            ),
        ),
        ("no line end", "x".repeat(3_000_000)),
        ("returns", "\r".repeat(1_000_000)),
        ("NULs", format!("Subject: x\n\n{}", "\0".repeat(1_000_000))),
    ] {
        let home = home(&[("S", message.as_bytes())]);
        let mut session = selected(&home);
        for command in READINGS {
            let what = format!("{what}: {command}");
            survives(&mut session, &what, command.as_bytes(), &["OK", "NO"]);
        }
    }
}

#[test]
fn many_literals_in_one_command() {
    let home = home(&[("S", SIMPLE)]);
    let mut session = selected(&home);
    let some = "TEXT {3+}\r\nabc ".repeat(200);
    survives(
        &mut session,
        "200 literals",
        format!("SEARCH {}", some.trim_end()).as_bytes(),
        &["OK"],
    );
    let many = "TEXT {3+}\r\nabc ".repeat(1000);
    survives(
        &mut session,
        "1000 literals",
        format!("SEARCH {}", many.trim_end()).as_bytes(),
        &["BAD"],
    );
    let large = format!("TEXT {{60000+}}\r\n{} ", "z".repeat(60_000)).repeat(100);
    survives(
        &mut session,
        "large literals",
        format!("SEARCH {}", large.trim_end()).as_bytes(),
        &["BAD"],
    );
    assert_sound(&home, "literals");
}

/// Commands of every kind; what they need is there again each time.
const TRANSCRIPT: &[u8] = b"a CREATE INBOX.Work\r\nb SELECT INBOX\r\nc APPEND INBOX (\\Seen kw) {16}\r\nSubject: new\r\n\r\n\r\n\
    d STORE 1 +FLAGS.SILENT (\\Flagged label)\r\ne COPY 1:* INBOX.Work\r\nf UID MOVE 1 {10+}\r\nINBOX.Work\r\n\
    g FETCH 1:* (UID ENVELOPE BODY[TEXT])\r\nh SEARCH OR TEXT \"a\\\"b\" 1:*\r\ni STATUS INBOX.Work (MESSAGES SIZE)\r\n\
    j SUBSCRIBE INBOX.Work\r\nk LIST \"\" {1+}\r\n*\r\nl IDLE\r\nDONE\r\nm STORE 1 +FLAGS (\\Deleted)\r\nn EXPUNGE\r\n\
    o SORT (DATE) UTF-8 ALL\r\np RENAME INBOX.Work INBOX.Old\r\nq DELETE INBOX.Old\r\nr UNSUBSCRIBE INBOX.Work\r\ns CLOSE\r\n";

#[test]
fn a_long_conversation_cut_off_at_any_byte_leaves_a_sound_maildir() {
    const THREADS: usize = 4;
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            scope.spawn(move || {
                let home = Home::new();
                home.place(".", "1000000001.M1P1.host:2,");
                for end in (first..=TRANSCRIPT.len()).step_by(THREADS) {
                    let mut command = home.command();
                    // What is on disk when is another test's business.
                    command.env("IMAP_FSYNC", "never");
                    let ended = run(command, &TRANSCRIPT[..end]);
                    assert!(ended.status.success(), "cut at {end}: {}", ended.log);
                    ended.logged("INFO: DISCONNECTED");
                    assert!(!ended.log.contains("internal error"), "{}", ended.log);
                    assert_sound(&home, &format!("a cut at {end}"));
                    for name in [".Work", ".Old"] {
                        // Whatever is left of this round must not change the next one.
                        fs::remove_dir_all(home.maildir().join(name)).ok();
                    }
                    let left = fs::read_dir(home.maildir().join("tmp")).unwrap().count();
                    assert_eq!(left, 0, "cut at {end}: left in tmp");
                }
            });
        }
    });
}
