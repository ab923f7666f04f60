//! Whole sessions in this process, fed with what no client would send, from each of the states that a session can be
//! in. A small fuzzer with the same inputs each time; every input must come to its end, soon, with well-formed replies
//! and a sound maildir. One test alone, because it replaces descriptor 0 of the process.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "these functions are parts of a test"
)]

use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use courier::maildir::check::{Finding, Level, Observer, check};
use courier::maildir::{FolderName, Maildir, Options, Sync};
use imapd::account::Account;
use imapd::receive::Input;
use imapd::session::{End, Session};
use imapd::settings::Settings;

/// How a session gets into each state.
const STATES: [&str; 6] = [
    "",
    "s SELECT INBOX\r\n",
    "s EXAMINE INBOX\r\n",
    "s SELECT INBOX\r\ni IDLE\r\n",
    "s SELECT INBOX\r\nl SEARCH TEXT {40+}\r\n",
    "s APPEND INBOX (\\Seen) {60+}\r\n",
];

/// What inputs are made of.
const WORDS: &[&str] = &[
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\na ",
    "\r\na ",
    "\r\nb UID ",
    " ",
    "(",
    ")",
    "\"",
    "\\",
    "{3}\r\n",
    "{3+}\r\nabc",
    "~{2+}\r\n\0x",
    "*",
    "1:*",
    "2",
    "1,3",
    "4294967295",
    "$",
    "NOOP",
    "CHECK",
    "CLOSE",
    "UNSELECT",
    "EXPUNGE",
    "SELECT INBOX",
    "EXAMINE INBOX.Sub",
    "CREATE INBOX.New",
    "DELETE INBOX.New",
    "RENAME INBOX.New INBOX.Other",
    "RENAME INBOX INBOX.Moved",
    "LIST \"\" *",
    "LSUB \"\" %",
    "LIST (SUBSCRIBED) \"\" (INBOX %) RETURN (STATUS (SIZE UNSEEN))",
    "STATUS INBOX (MESSAGES SIZE)",
    "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)",
    "FETCH 1 BODY[1.MIME]<1.5>",
    "FETCH * BINARY[1]",
    "FETCH 1:2 BODY[HEADER.FIELDS (To)]",
    "STORE 1:* +FLAGS (\\Deleted kw)",
    "STORE 2 -FLAGS.SILENT (\\Seen)",
    "COPY 1:2 INBOX.Sub",
    "MOVE 1 INBOX.Sub",
    "SEARCH TEXT body",
    "SEARCH RETURN (SAVE) NOT DELETED",
    "SORT (SUBJECT REVERSE DATE) UTF-8 ALL",
    "THREAD REFS UTF-8 ALL",
    "APPEND INBOX {16+}\r\nSubject: x\r\n\r\ny\r\n",
    "APPEND INBOX (\\Flagged) \"01-Jan-2020 00:00:00 +0000\" ~{1+}\r\n\0",
    "IDLE\r\nDONE",
    "DONE",
    "ENABLE UTF8=ACCEPT",
    "ID (\"a\" NIL)",
    "GETQUOTAROOT INBOX",
    "MYRIGHTS INBOX",
    "SETACL INBOX bob lr",
    "NAMESPACE",
    "CAPABILITY",
    "SUBSCRIBE INBOX.Sub",
    "\u{e4}",
    "&AOQ-",
    "\0",
    "NIL",
    "UID EXPUNGE 1:*",
    "LOGOUT",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound
    }
}

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

fn options() -> Options {
    Options {
        sync: Sync::Never,
        ..Options::default()
    }
}

fn make(maildir: &Path) {
    for folder in ["", ".Sub"] {
        for part in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(maildir.join(folder).join(part)).unwrap();
        }
    }
    std::fs::write(maildir.join(".Sub/maildirfolder"), "").unwrap();
    for (name, text) in [
        (
            "cur/1000000001.M1P1.host:2,S",
            "Subject: one\nTo: a@b\n\nbody\n",
        ),
        (
            "cur/1000000002.M2P1.host:2,",
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: message/rfc822\n\nSubject: in\n\nx\n--b--\n",
        ),
        (
            "new/1000000003.M3P1.host",
            "References: <a@b>\nContent-Transfer-Encoding: base64\n\nAAECAw==\n",
        ),
    ] {
        std::fs::write(maildir.join(name), text).unwrap();
    }
}

/// Every line ends, and every literal is as long as it says.
fn assert_well_formed(output: &[u8]) {
    let mut rest = output;
    while !rest.is_empty() {
        let end =
            memchr::memmem::find(rest, b"\r\n").unwrap_or_else(|| panic!("no line end: {rest:?}"));
        let (line, after) = rest.split_at(end);
        rest = &after[2..];
        let Some(open) = line
            .strip_suffix(b"}")
            .and_then(|line| memchr::memrchr(b'{', line))
        else {
            continue;
        };
        let digits = std::str::from_utf8(&line[open + 1..line.len() - 1]).unwrap();
        if let Ok(size) = digits.parse::<usize>() {
            assert!(size <= rest.len(), "a literal is cut off");
            rest = &rest[size..];
        }
    }
}

/// Feeds one session. Its input is all there from the beginning, then ends. Also how many commands succeeded.
fn serve(maildir: &Path, input: &[u8]) -> (End, usize) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input).unwrap();
    file.rewind().unwrap();
    nix::unistd::dup2_stdin(&file).unwrap();
    // As the program itself does where it is linked dynamically.
    courier::sys::user::set_ask(courier::sys::user::directly);
    let account = Account::from_environment(false, false).unwrap();
    let settings = Settings::from_environment();
    let maildir = Maildir::open(maildir, options()).unwrap();
    let mut session = Session::new(settings, account, maildir, Input::standard().unwrap());
    let mut succeeded = 0;
    loop {
        let turn = session.turn();
        let output = session.out.take();
        assert_well_formed(&output);
        succeeded += memchr::memmem::find_iter(&output, b" OK ").count();
        if let Err(end) = turn {
            return (end, succeeded);
        }
    }
}

#[test]
fn any_input_in_any_state_comes_to_its_end() {
    const INPUTS: usize = 400;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let place = tempfile::tempdir().unwrap();
    let mut succeeded = 0;
    for round in 0..INPUTS {
        let maildir = place.path().join(round.to_string());
        make(&maildir);
        let mut input = STATES[round % STATES.len()].as_bytes().to_vec();
        for _ in 0..random.below(40) {
            input.extend_from_slice(WORDS[random.below(WORDS.len())].as_bytes());
        }
        // Some of it torn, some of it noise.
        for _ in 0..random.below(4) {
            let at = random.below(input.len() + 1);
            match random.below(3) {
                0 => input.truncate(at),
                1 => input.insert(at, u8::try_from(random.below(256)).unwrap()),
                _ => {
                    let copied = input[at..].to_vec();
                    input.extend_from_slice(&copied);
                }
            }
        }
        let shown = input.escape_ascii().to_string();
        let started = Instant::now();
        let end = std::panic::catch_unwind(|| serve(&maildir, &input));
        let (end, count) = end.unwrap_or_else(|_| panic!("round {round}: {shown}"));
        succeeded += count;
        // What is quadratic, or waits for what never comes, takes for ever.
        assert!(started.elapsed() < Duration::from_secs(20), "{shown}");
        assert!(
            matches!(
                end,
                End::Disconnected | End::Logout | End::MailboxGone | End::Fatal(_)
            ),
            "{end:?}: {shown}"
        );
        let mut problems = Problems::default();
        check(&maildir, &options(), false, &mut problems).unwrap();
        assert!(problems.0.is_empty(), "{:?}: {shown}", problems.0);
        std::fs::remove_dir_all(&maildir).unwrap();
    }
    // The inputs are not so broken that nothing is executed.
    assert!(succeeded > INPUTS * 2, "{succeeded}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    assert!(peak.is_none_or(|peak| peak < 100 * 1024), "{peak:?} kB");
}
