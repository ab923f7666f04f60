//! Our imapd and Debian's at work on one maildir at the same time: the UID database, the dot-lock and the keywords are
//! shared, nothing is lost and no UID is given twice. Part of what `make check-interop` runs.
//!
//! Without `COURIER_INTEROP=1` nothing happens here, because Debian's packages have to be downloaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::client::Client;
use harness::pair::{Pair, interop};
use harness::server::Side;
use harness::{Error, mail};

const WHAT: &str = "one store with Debian's Courier";

/// UID and text of messages.
type Added = Vec<(u64, Vec<u8>)>;

/// Adds messages and keywords; returns the UID and text of each message.
fn add(client: &mut Client, seed: u64) -> Result<Added, Error> {
    let mut added = Vec::new();
    client.expect_ok("SELECT INBOX")?;
    for index in 0..25 {
        let message = mail::message(seed, index, 800);
        let reply = client.append("INBOX (\\Seen)", &message)?;
        let uid = reply
            .tagged
            .split_once("[APPENDUID ")
            .and_then(|(_, rest)| rest.split_once(']'))
            .and_then(|(codes, _)| codes.split_once(' '))
            .and_then(|(_, uid)| uid.parse().ok())
            .ok_or_else(|| Error::new(format!("no APPENDUID: {reply:?}")))?;
        added.push((uid, message));
        client.expect_ok("NOOP")?;
        client.expect_ok(&format!("UID STORE {uid} +FLAGS (seed{seed})"))?;
    }
    client.expect_ok("LOGOUT")?;
    Ok(added)
}

/// UID to flags, all in one line, as a new session sees them.
fn flags(pair: &Pair, side: Side) -> Result<(String, BTreeMap<u64, String>), Error> {
    let mut client = pair.login(side)?;
    let selected = client.expect_ok("SELECT INBOX")?;
    let validity = selected.with("UIDVALIDITY")?.line();
    let reply = client.expect_ok("UID FETCH 1:* (UID FLAGS)")?;
    let mut flags = BTreeMap::new();
    for response in &reply.untagged {
        let line = response.line();
        let Some((_, rest)) = line.split_once("UID ") else {
            continue;
        };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let mut words: Vec<&str> = line
            .split_once("FLAGS (")
            .and_then(|(_, rest)| rest.split_once(')'))
            .map_or("", |(flags, _)| flags)
            .split(' ')
            .filter(|word| *word != "\\Recent")
            .collect();
        words.sort_unstable();
        flags.insert(digits.parse().unwrap_or(0), words.join(" "));
    }
    client.expect_ok("LOGOUT")?;
    let validity = validity
        .split_once("UIDVALIDITY ")
        .map_or("", |(_, rest)| rest);
    Ok((
        validity.split(']').next().unwrap_or_default().to_owned(),
        flags,
    ))
}

#[test]
fn both_number_one_folder_at_the_same_time() -> Result<(), Error> {
    interop(WHAT, |pair| {
        let sides = [Side::Ours, Side::Reference, Side::Ours, Side::Reference];
        let mut clients = Vec::new();
        for side in sides {
            clients.push(pair.login(side)?);
        }
        let results: Vec<Result<Added, Error>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..)
                .zip(clients)
                .map(|(seed, mut client)| scope.spawn(move || add(&mut client, seed)))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err(Error::new("a client panicked".to_owned())))
                })
                .collect()
        });
        let mut texts = BTreeMap::new();
        for (seed, added) in (1..).zip(results) {
            for (uid, text) in added? {
                let other = texts.insert(uid, (seed, text));
                assert!(other.is_none(), "UID {uid} was given twice");
            }
        }
        assert_eq!(texts.len(), 100);
        let ours = flags(pair, Side::Ours)?;
        let theirs = flags(pair, Side::Reference)?;
        assert_eq!(ours, theirs);
        assert_eq!(
            ours.1.keys().collect::<Vec<_>>(),
            texts.keys().collect::<Vec<_>>()
        );
        let mut client = pair.login(Side::Ours)?;
        client.expect_ok("SELECT INBOX")?;
        for (uid, (seed, text)) in &texts {
            let flags = &ours.1[uid];
            assert_eq!(flags, &format!("\\Seen seed{seed}"), "UID {uid}");
            let reply = client.expect_ok(&format!("UID FETCH {uid} BODY.PEEK[]"))?;
            assert!(
                reply.with("FETCH")?.literals == [text.clone()],
                "UID {uid}: another text"
            );
        }
        Ok(())
    })
}

/// The host name as lock files have it.
fn host() -> String {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Puts a file into `new`, so that SELECT has something to number, and a lock of process `pid` beside it.
fn lock(maildir: &Path, message: &str, pid: u32) -> Result<PathBuf, Error> {
    use std::os::unix::fs::{MetadataExt, chown};
    let owner = std::fs::metadata(maildir)?;
    let lock = maildir.join("tmp/courier.lock");
    for (path, content) in [
        (
            maildir.join("new").join(message),
            "Subject: x\n\nx\n".to_owned(),
        ),
        (lock.clone(), format!("{pid}:{}", host())),
    ] {
        std::fs::write(&path, content)?;
        chown(&path, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(lock)
}

#[test]
fn both_wait_for_a_lock_that_is_held_and_take_one_that_is_not() -> Result<(), Error> {
    interop(WHAT, |pair| {
        for (number, side) in [Side::Ours, Side::Reference].into_iter().enumerate() {
            let mut client = pair.login(side)?;
            // Held by a process that lives.
            let lock_file = lock(
                &pair.maildir(),
                &format!("1{number}.held"),
                std::process::id(),
            )?;
            client.send(b"x SELECT INBOX\r\n")?;
            std::thread::sleep(Duration::from_millis(1500));
            assert!(lock_file.exists(), "{side:?}");
            assert!(
                pair.maildir().join(format!("new/1{number}.held")).exists(),
                "{side:?} did not wait"
            );
            std::fs::remove_file(&lock_file)?;
            let started = Instant::now();
            assert!(client.reply_to("x")?.ok(), "{side:?}");
            if side == Side::Ours {
                assert!(started.elapsed() < Duration::from_secs(2));
            }
            // Left behind by one that is dead.
            let mut child = Command::new("true").spawn()?;
            let dead = child.id();
            child.wait()?;
            let lock_file = lock(&pair.maildir(), &format!("2{number}.dead"), dead)?;
            let started = Instant::now();
            client.set_patience(Duration::from_secs(20))?;
            client.expect_ok("SELECT INBOX")?;
            if side == Side::Ours {
                assert!(started.elapsed() < Duration::from_secs(2));
            }
            assert!(!lock_file.exists(), "{side:?}");
            client.expect_ok("LOGOUT")?;
        }
        assert_eq!(flags(pair, Side::Ours)?.1.len(), 4);
        Ok(())
    })
}

#[test]
fn what_the_original_does_in_between_gets_modseqs() -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;
    use tracker::{Answer, Client as Known, Gone, Session};
    interop(WHAT, |pair| {
        let gone = |_: Gone| Error::new("the session is gone");
        let owner = std::fs::metadata(pair.maildir())?;
        let start = || -> Result<(Session, Answer), Error> {
            let mut command = Command::new(tracker::program().map_err(Error::new)?);
            command
                .arg(pair.maildir())
                .uid(owner.uid())
                .gid(owner.gid())
                .current_dir("/");
            let mut session = Session::spawn(command)?;
            let answer = session.command("open INBOX").map_err(gone)?;
            Ok((session, answer.ok_or_else(|| Error::new("no INBOX"))?))
        };
        let (mut session, _) = start()?;
        for command in ["append", "append", "append", "store 2 S work"] {
            session.command(command).map_err(gone)?;
        }
        let told = session.command("look").map_err(gone)?.unwrap_or_default();
        assert_eq!(told.messages.len(), 3, "{told:?}");
        assert!(told.highest > 0, "{told:?}");
        let log = std::fs::metadata(pair.maildir().join("courierimapindex.log"))?;
        let meddle = || -> Result<(), Error> {
            let mut client = pair.login(Side::Reference)?;
            client.expect_ok("SELECT INBOX")?;
            client.expect_ok("STORE 1 +FLAGS (\\Answered)")?;
            client.expect_ok("STORE 2 FLAGS (\\Flagged urgent)")?;
            client.append("INBOX (\\Seen)", &mail::message(9, 1, 300))?;
            client.expect_ok("NOOP")?;
            client.expect_ok("STORE 3 +FLAGS (\\Deleted)")?;
            client.expect_ok("EXPUNGE")?;
            client.expect_ok("LOGOUT")?;
            Ok(())
        };
        let check = |session: &mut Session, uids: &[u32]| -> Result<(), Error> {
            let end = Instant::now() + Duration::from_secs(20);
            let now = loop {
                let now = session.command("look").map_err(gone)?.unwrap_or_default();
                // Absence is believed of a quiet folder.
                if now.messages.keys().copied().eq(uids.iter().copied()) {
                    break now;
                }
                assert!(Instant::now() < end, "{now:?}");
                std::thread::sleep(Duration::from_millis(50));
            };
            assert!(now.highest > told.highest);
            let since = format!("since {}", told.highest);
            let changes = session.command(&since).map_err(gone)?.unwrap_or_default();
            let mut known = Known::of(&told);
            known.learn(&changes);
            assert_eq!(known, Known::of(&now));
            let state = |uid| now.messages.get(&uid).map(|(_, state)| state.as_str());
            assert_eq!((state(1), state(2)), (Some("R/"), Some("F/urgent")));
            Ok(())
        };
        // With a session of ours looking on, and with none.
        meddle()?;
        check(&mut session, &[1, 2, 4])?;
        drop(session);
        meddle()?;
        check(&mut start()?.0, &[1, 2, 5])?;
        // The original has left our file alone.
        let after = std::fs::metadata(pair.maildir().join("courierimapindex.log"))?;
        assert_eq!((log.ino(), log.mode()), (after.ino(), after.mode()));
        Ok(())
    })
}
