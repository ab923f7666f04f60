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
use harness::{Error, mail};
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

fn remove(path: &Path) -> Result<Vec<u8>, Error> {
    let old = fs::read(path).unwrap_or_default();
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path)?,
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    Ok(old)
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

#[test]
fn whatever_stands_in_place_of_the_files_the_mail_is_served() -> Result<(), Error> {
    harness::run(|| {
        let server = Server::start(&Setup::new(Side::Ours, &["joe"]))?;
        let account = server.account("joe")?;
        for file in FILES {
            for (what, spoil) in SPOILS {
                account.reset()?;
                let bodies: Vec<Vec<u8>> = (0..3).map(|n| mail::message(7, n, 600)).collect();
                for body in &bodies {
                    account.place("INBOX", body, "S")?;
                }
                look(&server, &bodies, "whole")?;
                let path = account.maildir().join(file);
                let old = remove(&path)?;
                if path.parent().is_some_and(Path::is_dir) {
                    spoil(&path, &old)?;
                }
                let what = format!("{file}: {what}");
                look(&server, &bodies, &what)?;
                look(&server, &bodies, &format!("{what}, again"))?;
            }
        }
        sound(&server)
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
