//! Everything that can stand in the place of the store's files, through the real chain: the mail is served, nothing
//! hangs, panics or grows, whatever the files are.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use harness::client::Client;
use harness::process::tree;
use harness::server::{PASSWORD, Server, Setup, Side};
use harness::{Error, mail, pop3};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// Longest that one look at a mailbox of three messages may take, on a busy machine.
const SLOW: Duration = Duration::from_secs(20);

/// What this project and the original keep beside the messages.
const FILES: [&str; 11] = [
    "courierimapuiddb",
    "courierimapkeywords",
    "courierimapkeywords/:list",
    "courierimapindex",
    "courierimapindex.log",
    "courierimapcache",
    "courierimapcache.sort",
    "courierimapcache.thread",
    "courierimapsubscribed",
    "courierpop3dsizelist",
    "maildirsize",
];

/// Those of them that POP3 looks at.
const POP3_FILES: [&str; 3] = ["courierimapcache", "courierpop3dsizelist", "maildirsize"];

/// A way to spoil a file; what was there is gone, except where it says so.
type Spoil = (&'static str, fn(&Path, &[u8]) -> Result<(), Error>);

const SPOILS: [Spoil; 9] = [
    ("a FIFO", |path, _| {
        mkfifo(path, Mode::S_IRWXU).map_err(|errno| Error::new(errno.desc()))
    }),
    ("a directory", |path, _| Ok(fs::create_dir(path)?)),
    ("a link to nothing", |path, _| {
        Ok(symlink("/nowhere", path)?)
    }),
    ("a link to a file of somebody else", |path, _| {
        Ok(symlink("/etc/passwd", path)?)
    }),
    ("its first half", |path, old| {
        Ok(fs::write(
            path,
            old.get(..old.len() / 2).unwrap_or_default(),
        )?)
    }),
    ("swapped octets", |path, old| {
        let swapped: Vec<u8> = old
            .chunks(4)
            .flat_map(|word| word.iter().rev().copied())
            .collect();
        Ok(fs::write(path, swapped)?)
    }),
    ("ones", |path, old| {
        Ok(fs::write(path, vec![0xff; old.len() + 4096])?)
    }),
    ("a terabyte of nothing", |path, old| {
        fs::write(path, old)?;
        Ok(File::options().write(true).open(path)?.set_len(1 << 40)?)
    }),
    ("a file that nobody may read", |path, old| {
        fs::write(path, old)?;
        Ok(fs::set_permissions(
            path,
            fs::Permissions::from_mode(0o000),
        )?)
    }),
];

/// Those that leave a regular file that can be read: it is put in order or replaced.
const MENDED: [&str; 3] = ["its first half", "swapped octets", "ones"];

fn remove(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path)?,
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    Ok(())
}

/// A session that uses every file; the mail must be there. What is refused must be refused with an answer.
fn look(server: &Server, bodies: &[Vec<u8>], what: &str) -> Result<(), Error> {
    let started = Instant::now();
    let mut client = Client::login(server.port, "joe", PASSWORD)?;
    let reply = client.command("SELECT INBOX")?;
    // A UID database that cannot be read at all may be refused, but never made anew behind its back.
    if reply.tagged.starts_with("NO ") && what.starts_with("courierimapuiddb") {
        client.expect_ok("NOOP")?;
    } else {
        assert!(reply.tagged.starts_with("OK"), "{what}: {reply:?}");
        reply
            .with("* 3 EXISTS")
            .map_err(|error| Error::new(format!("{what}: {error}")))?;
        let reply = client.expect_ok("FETCH 1:3 (FLAGS ENVELOPE BODY.PEEK[])")?;
        let mut found: Vec<&[u8]> = Vec::new();
        for response in &reply.untagged {
            found.extend(response.literals.iter().map(Vec::as_slice));
        }
        for body in bodies {
            assert!(
                found.contains(&body.as_slice()),
                "{what}: a message is not as it was"
            );
        }
    }
    for command in [
        "STORE 1 +FLAGS (word)",
        "LSUB \"\" *",
        "SUBSCRIBE INBOX",
        "STATUS INBOX (MESSAGES)",
    ] {
        client.command(command)?;
    }
    client.expect_ok("LOGOUT")?;
    assert!(started.elapsed() < SLOW, "{what}: {:?}", started.elapsed());
    Ok(())
}

/// The same by POP3. `all`: not where the list of identifiers cannot be kept. Then there may be one message, so that
/// a full mailbox can be emptied (contract: maildir 8).
fn look_by_pop3(server: &Server, bodies: &[Vec<u8>], what: &str, all: bool) -> Result<(), Error> {
    let started = Instant::now();
    let commands = "STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nRETR 2\r\nRETR 3\r\nQUIT\r\n";
    let replies = pop3::session(server.port, "joe", commands)?;
    let found = bodies
        .iter()
        .filter(|body| replies.windows(body.len()).any(|part| part == *body))
        .count();
    let enough = found == bodies.len() || (!all && found == 1);
    assert!(enough, "{what}, by POP3: {}", replies.escape_ascii());
    assert!(replies.ends_with(b"+OK Bye-bye.\r\n"), "{what}, by POP3");
    let took = started.elapsed();
    assert!(took < SLOW, "{what}, by POP3: {took:?}");
    Ok(())
}

/// What one session after the other has logged: what can be healed, and that is every regular file that can be read,
/// is told once at most, and then no more. Each of the others is told by each command that cannot do without.
fn logged_once_and_healed(file: &str, what: &str, said: &[Vec<String>]) {
    let healed = MENDED.contains(&what)
        // Where a directory belongs nothing of this is ours to remove.
        && file != "courierimapkeywords";
    for (time, said) in said.iter().enumerate() {
        let most = match (healed, time) {
            (true, 0) => 1,
            (true, _) => 0,
            (false, _) => 2,
        };
        assert!(said.len() <= most, "{file}: {what}, time {time}: {said:?}");
    }
}

fn sound(server: &Server) -> Result<(), Error> {
    let end = Instant::now() + SLOW;
    while tree(server.listener.id().as_raw()).len() > 1 {
        if Instant::now() > end {
            return Err(Error::new("a session process is left behind"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let log = server.log();
    assert!(!log.contains("panic"), "{log}");
    Ok(())
}

/// What was logged since there were `before` octets, when `sessions` have ended in all; without what each login says.
fn complaints(server: &Server, before: &mut usize, sessions: usize) -> Result<Vec<String>, Error> {
    let end = Instant::now() + SLOW;
    loop {
        let log = server.log();
        if log.matches("LOGOUT, ").count() >= sessions {
            let new = log.get(*before..).unwrap_or_default();
            *before = log.len();
            let said = new.lines().filter(|line| {
                let routine = ["Connection, ", "LOGIN, ", "LOGOUT, "];
                !routine.iter().any(|word| line.contains(word))
            });
            return Ok(said.map(str::to_owned).collect());
        }
        if Instant::now() > end {
            return Err(Error::new(format!(
                "{sessions} sessions have not ended: {log}"
            )));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn whatever_stands_in_place_of_the_files_the_mail_is_served() -> Result<(), Error> {
    harness::run(|| {
        let server = Server::start(&Setup::new(Side::Ours, &["joe"]))?;
        let account = server.account("joe")?;
        let pop3 = pop3::server(Side::Ours, "other", std::slice::from_ref(account))?;
        let (mut imap_seen, mut pop3_seen) = (0, 0);
        let (mut sessions, mut pop3_sessions) = (0, 0);
        for file in FILES {
            for (what, spoil) in SPOILS {
                account.reset()?;
                let bodies: Vec<Vec<u8>> = (0..3).map(|n| mail::message(7, n, 600)).collect();
                for body in &bodies {
                    account.place("INBOX", body, "S")?;
                }
                look(&server, &bodies, "whole")?;
                if POP3_FILES.contains(&file) {
                    look_by_pop3(&pop3, &bodies, "whole", true)?;
                }
                let path = account.maildir().join(file);
                let old = fs::read(&path).unwrap_or_default();
                remove(&path)?;
                if path.parent().is_some_and(Path::is_dir) {
                    spoil(&path, &old)?;
                }
                sessions += 1;
                complaints(&server, &mut imap_seen, sessions)?;
                let mut said = Vec::new();
                for time in ["", ", again", ", a third time"] {
                    let what = format!("{file}: {what}{time}");
                    look(&server, &bodies, &what)?;
                    sessions += 1;
                    said.push(complaints(&server, &mut imap_seen, sessions)?);
                }
                logged_once_and_healed(file, what, &said);
                if !POP3_FILES.contains(&file) {
                    continue;
                }
                pop3_sessions += 1;
                complaints(&pop3, &mut pop3_seen, pop3_sessions)?;
                // IMAP has healed what it could, which is less than all of these.
                remove(&path)?;
                spoil(&path, &old)?;
                let mut said = Vec::new();
                for time in ["", ", again"] {
                    let label = format!("{file}: {what}{time}");
                    let kept = file != "courierpop3dsizelist" || MENDED.contains(&what);
                    look_by_pop3(&pop3, &bodies, &label, kept)?;
                    pop3_sessions += 1;
                    said.push(complaints(&pop3, &mut pop3_seen, pop3_sessions)?);
                }
                logged_once_and_healed(file, what, &said);
            }
        }
        sound(&server)?;
        sound(&pop3)
    })
}

#[test]
fn what_is_no_message_in_cur_and_new_does_no_harm() -> Result<(), Error> {
    harness::run(|| {
        let server = Server::start(&Setup::new(Side::Ours, &["joe"]))?;
        let account = server.account("joe")?;
        let bodies: Vec<Vec<u8>> = (0..3).map(|n| mail::message(8, n, 600)).collect();
        for body in &bodies {
            account.place("INBOX", body, "S")?;
        }
        for folder in ["cur", "new"] {
            let folder = account.maildir().join(folder);
            fs::create_dir(folder.join("1.directory:2,"))?;
            mkfifo(&folder.join("2.fifo:2,"), Mode::S_IRWXU)
                .map_err(|errno| Error::new(errno.desc()))?;
            symlink("/nowhere", folder.join("3.link:2,"))?;
        }
        let mut client = Client::login(server.port, "joe", PASSWORD)?;
        client.expect_ok("SELECT INBOX")?;
        let reply = client.command("FETCH 1:* BODY.PEEK[]")?;
        let found = reply
            .untagged
            .iter()
            .flat_map(|response| &response.literals);
        let found: Vec<&Vec<u8>> = found.collect();
        for body in &bodies {
            assert!(found.contains(&body), "a message is not served");
        }
        client.expect_ok("LOGOUT")?;
        // Names that cannot be lines: the messages are served under other names.
        for name in [
            &b"4.line\nfeed:2,"[..],
            b"5.\xff\xfe:2,",
            b" 6.blank:2,",
            b"7.\t\r:2,S",
        ] {
            let name = std::ffi::OsStr::from_bytes(name);
            account.write(&account.maildir().join("cur").join(name), &bodies[0])?;
        }
        let mut client = Client::login(server.port, "joe", PASSWORD)?;
        client.expect_ok("SELECT INBOX")?;
        let reply = client.command("FETCH 1:* BODY.PEEK[]")?;
        let found = reply
            .untagged
            .iter()
            .flat_map(|response| &response.literals);
        assert_eq!(found.filter(|literal| **literal == bodies[0]).count(), 5);
        client.expect_ok("LOGOUT")?;
        sound(&server)
    })
}
