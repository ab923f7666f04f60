//! A mailbox of 20,000 messages: what a session needs of memory for it, and that everything works within
//! `ulimit -v 32768`; a mailbox of 50,000 does with twice as much.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

const MESSAGES: usize = 20_000;
/// Kilobytes of address space.
const LIMIT: u32 = 32_768;

/// A home on a file system in memory where there is one: tens of thousands of files are made and removed.
fn home() -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    let home = match shared.is_dir() {
        true => tempfile::tempdir_in(shared),
        false => tempfile::tempdir(),
    };
    let home = home.unwrap();
    for folder in ["", ".Copies"] {
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(home.path().join("Maildir").join(folder).join(part)).unwrap();
        }
    }
    home
}

/// One message a file; names as long as our own deliveries have them.
fn fill(home: &Path) {
    let cur = home.join("Maildir/cur");
    for number in 0..MESSAGES {
        let text = format!("Subject: n{}\n\nx\n", number.wrapping_mul(7919) % MESSAGES);
        let name = format!(
            "{}.M{number:06}P4242V000000000000FE00I{number:016X}_0.mail.example.org,S={}:2,S",
            1_700_000_000 + number,
            text.len()
        );
        fs::write(cur.join(name), text).unwrap();
    }
}

/// A session that is asked for large answers.
struct Large {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Dropped, it calls the watchdog off.
    _alive: Sender<()>,
}

impl Large {
    /// Starts imapd with so many kilobytes of address space.
    fn start(home: &Path, limit: Option<u32>) -> Self {
        let limit = limit.map_or(String::new(), |limit| format!("ulimit -v {limit}; "));
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$0\"")])
            .arg(env!("CARGO_BIN_EXE_imapd"))
            .current_dir(home)
            .env_clear()
            .env("AUTHENTICATED", "ann")
            .env("IMAP_KEYWORDS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        let (alive, ended) = channel::<()>();
        // A session that hangs must not hang the test.
        std::thread::spawn(move || {
            let waited = ended.recv_timeout(Duration::from_secs(300));
            if waited == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).ok();
            }
        });
        let mut large = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            _alive: alive,
        };
        assert!(large.line().starts_with("* PREAUTH"));
        large
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        let read = self.output.read_until(b'\n', &mut line).unwrap();
        assert!(read > 0, "the session ended");
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// The number of untagged lines that hold `piece` before the OK.
    fn ask(&mut self, command: &str, piece: &str) -> usize {
        self.input
            .write_all(format!("t {command}\r\n").as_bytes())
            .unwrap();
        let mut found = 0;
        loop {
            let line = self.line();
            if let Some(reply) = line.strip_prefix("t ") {
                assert!(reply.starts_with("OK"), "{command}: {reply}");
                return found;
            }
            found += usize::from(line.contains(piece));
        }
    }

    /// Kilobytes of a line of `/proc/PID/FILE`.
    fn memory(&self, file: &str, key: &str) -> usize {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let mut words = line.unwrap().split_ascii_whitespace();
        words.next().unwrap().parse().unwrap()
    }

    fn end(mut self) {
        self.ask("LOGOUT", "BYE");
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn a_large_mailbox_costs_a_session_little_and_works_in_little_memory() {
    let home = home();
    fill(home.path());
    let exists = format!("{MESSAGES} EXISTS");
    let mut session = Large::start(home.path(), Some(LIMIT));
    assert_eq!(session.ask("SELECT INBOX.Copies", "* 0 EXISTS"), 1);
    assert_eq!(session.ask("SELECT INBOX", &exists), 1);
    assert_eq!(session.ask("FETCH 1:* FLAGS", "FLAGS (\\Seen"), MESSAGES);
    assert_eq!(session.ask("FETCH 1:* (RFC822.SIZE)", "SIZE"), MESSAGES);
    assert_eq!(session.ask("SORT (SUBJECT) UTF-8 ALL", "* SORT "), 1);
    assert_eq!(session.ask("SEARCH RETURN (COUNT) SUBJECT n7", "COUNT"), 1);
    assert_eq!(session.ask("COPY 1:* INBOX.Copies", ""), 0);
    let flags = "FLAGS (\\Flagged \\Seen";
    assert_eq!(session.ask("STORE 1:* +FLAGS (\\Flagged)", flags), MESSAGES);
    assert_eq!(session.ask("STORE 1:* +FLAGS.SILENT (work)", "FETCH"), 0);
    assert_eq!(session.ask("NOOP", "EXPUNGE"), 0);
    let half = MESSAGES / 2;
    let mark = format!("STORE 1:{half} +FLAGS.SILENT (\\Deleted)");
    assert_eq!(session.ask(&mark, "FETCH"), 0);
    assert_eq!(session.ask("EXPUNGE", "EXPUNGE"), half);
    assert_eq!(session.ask("SELECT INBOX.Copies", &exists), 1);
    assert_eq!(session.ask("THREAD REFERENCES UTF-8 ALL", "* THREAD"), 1);
    let peak = session.memory("status", "VmPeak:");
    assert!(peak <= usize::try_from(LIMIT).unwrap(), "{peak}");
    session.end();

    // And at rest: next to nothing above an empty folder. (Not "Private_Dirty", which counts mapped files in memory.)
    std::thread::sleep(Duration::from_millis(50));
    Large::start(home.path(), None).ask("SELECT INBOX.Copies", "");
    let mut session = Large::start(home.path(), None);
    fs::create_dir_all(home.path().join("Maildir/.Empty/cur")).unwrap();
    session.ask("SELECT INBOX.Empty", "");
    let empty = session.memory("smaps_rollup", "Anonymous:");
    assert_eq!(session.ask("SELECT INBOX.Copies", &exists), 1);
    assert_eq!(session.ask("UID FETCH 777 FLAGS", "FETCH"), 1);
    let large = session.memory("smaps_rollup", "Anonymous:");
    // 4 MiB are allowed for 100,000.
    let allowed = 4096 * MESSAGES / 100_000;
    assert!(
        large <= empty + allowed,
        "{large} kB beside {empty} kB for an empty folder"
    );
    session.end();
}

/// In a mailbox of 100,000 the same takes 60,000 kB.
#[test]
fn a_keyword_on_every_message_takes_little_memory() {
    const LITTLE: u32 = 22_528;
    let home = home();
    fill(home.path());
    let mut session = Large::start(home.path(), Some(LITTLE));
    let exists = format!("{MESSAGES} EXISTS");
    assert_eq!(session.ask("SELECT INBOX", &exists), 1);
    for change in ["+FLAGS", "-FLAGS"] {
        let store = format!("STORE 1:* {change}.SILENT (work)");
        assert_eq!(session.ask(&store, "FETCH"), 0);
        assert_eq!(session.ask("NOOP", "EXPUNGE"), 0);
    }
    assert_eq!(
        session.ask(
            "SEARCH RETURN (COUNT) UNKEYWORD work",
            &format!("COUNT {MESSAGES}")
        ),
        1
    );
    session.end();
}
