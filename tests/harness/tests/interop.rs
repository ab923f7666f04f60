//! Our programs and Debian's Courier programs in one chain, and on one maildir: what `make check-interop` runs.
//!
//! Without `COURIER_INTEROP=1` nothing happens here, because Debian's packages have to be downloaded.

use std::collections::BTreeMap;

use harness::client::Client;
use harness::server::{PASSWORD, Parts, Server, Setup, Side};
use harness::{Error, mail};

fn interop(test: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    harness::run(|| {
        if std::env::var_os("COURIER_INTEROP").is_none() {
            return Err(Error::Skipped(
                "interchange with Debian's Courier: run by make check-interop".to_owned(),
            ));
        }
        test()
    })
}

#[test]
fn their_imaplogin_with_our_authdaemond_and_imapd() -> Result<(), Error> {
    interop(|| {
        exercise(Parts {
            login: Side::Reference,
            auth: Side::Ours,
            session: Side::Ours,
        })
    })
}

#[test]
fn our_imaplogin_with_their_authdaemond_and_imapd() -> Result<(), Error> {
    interop(|| {
        exercise(Parts {
            login: Side::Ours,
            auth: Side::Reference,
            session: Side::Reference,
        })
    })
}

#[test]
fn our_imaplogin_and_authdaemond_with_their_imapd() -> Result<(), Error> {
    interop(|| {
        exercise(Parts {
            login: Side::Ours,
            auth: Side::Ours,
            session: Side::Reference,
        })
    })
}

#[test]
fn our_imaplogin_and_imapd_with_their_authdaemond() -> Result<(), Error> {
    interop(|| {
        exercise(Parts {
            login: Side::Ours,
            auth: Side::Reference,
            session: Side::Ours,
        })
    })
}

#[test]
fn their_imaplogin_and_authdaemond_with_our_imapd() -> Result<(), Error> {
    interop(|| {
        exercise(Parts {
            login: Side::Reference,
            auth: Side::Reference,
            session: Side::Ours,
        })
    })
}

#[test]
fn their_imapd_takes_over_a_maildir_of_ours_and_gives_it_back() -> Result<(), Error> {
    interop(|| {
        let ours = Server::start(&Setup::new(Side::Ours, &["joe"]))?;
        take_over(&ours, Side::Reference)
    })
}

#[test]
fn our_imapd_takes_over_a_maildir_of_theirs_and_gives_it_back() -> Result<(), Error> {
    interop(|| {
        let theirs = Server::start(&Setup::new(Side::Reference, &["joe"]))?;
        take_over(&theirs, Side::Ours)
    })
}

/// A login that fails, one that succeeds, and a session that uses everything handed over.
fn exercise(parts: Parts) -> Result<(), Error> {
    let mut setup = Setup::new(Side::Ours, &["joe", "locked"]);
    setup.parts = parts;
    setup
        .options
        .insert("locked".to_owned(), "disableimap=1".to_owned());
    let server = Server::start(&setup)?;

    let mut client = Client::connect(server.port)?;
    client.greeting()?;
    let refused = client.command("LOGIN joe wrong")?;
    assert!(refused.tagged.starts_with("NO "), "{refused:?}");
    server.wait_for_log(&["LOGIN FAILED, user=joe, ip=[::ffff:127.0.0.1], port=["])?;
    client.expect_ok("LOGIN joe secret")?;
    client.expect_ok("CREATE INBOX.Work")?;
    let message = mail::message(3, 3, 3000);
    client.append("INBOX.Work (\\Flagged)", &message)?;
    client.expect_ok("SELECT INBOX.Work")?;
    client.expect_ok("STORE 1 +FLAGS ($Label)")?;
    let reply = client.expect_ok("FETCH 1 (FLAGS BODY.PEEK[])")?;
    let fetched = reply.with("FETCH")?;
    assert_eq!(fetched.literals, [message]);
    assert!(fetched.line().contains("$Label"), "{fetched:?}");
    client.expect_ok("LOGOUT")?;
    server.wait_for_log(&[
        "LOGIN, user=joe, ip=[::ffff:127.0.0.1], port=[",
        "protocol=IMAP",
    ])?;
    server.wait_for_log(&["LOGOUT, user=joe, ip=[::ffff:127.0.0.1], port=[", "rcvd="])?;

    // Account options travel from authdaemond through imaplogin to imapd.
    let mut client = Client::connect(server.port)?;
    client.greeting()?;
    client.command("LOGIN locked secret")?;
    let bye = client.response()?.line();
    assert!(bye.starts_with("* BYE IMAP access disabled"), "{bye}");

    if parts.login == Side::Ours {
        // What a client sends behind LOGIN reaches any imapd.
        let mut client = Client::connect(server.port)?;
        client.greeting()?;
        client
            .send(format!("a LOGIN joe {PASSWORD}\r\nb SELECT INBOX\r\nc LOGOUT\r\n").as_bytes())?;
        for tag in ["a", "b", "c"] {
            let reply = client.reply_to(tag)?;
            assert!(reply.ok(), "{tag}: {reply:?}");
        }
    }
    Ok(())
}

/// What a client can know of a mailbox: UIDVALIDITY, UIDNEXT, and by UID the flags and the text.
type Mailbox = (u64, u64, BTreeMap<u64, (Vec<String>, Vec<u8>)>);

/// Mailboxes by name, and the subscriptions.
#[derive(Debug, PartialEq, Eq)]
struct Snapshot {
    mailboxes: BTreeMap<String, Mailbox>,
    subscribed: Vec<String>,
}

/// Fills a maildir through `first`, compares what `second` sees, changes it there and compares again.
fn take_over(first: &Server, second: Side) -> Result<(), Error> {
    let account = first.account("joe")?.clone();
    let mut client = Client::login(first.port, "joe", PASSWORD)?;
    fill(&mut client, 1)?;
    let before = snapshot(&mut client)?;
    client.expect_ok("LOGOUT")?;
    assert_eq!(before.mailboxes.len(), 4, "{:?}", before.mailboxes.keys());

    let mut setup = Setup::new(second, &[]);
    setup.guests.push(account);
    let other = Server::start(&setup)?;
    let mut client = Client::login(other.port, "joe", PASSWORD)?;
    assert_same(&before, &snapshot(&mut client)?);
    client.expect_ok("RENAME INBOX.Work INBOX.Work1")?;
    fill(&mut client, 2)?;
    let after = snapshot(&mut client)?;
    client.expect_ok("LOGOUT")?;

    let mut client = Client::login(first.port, "joe", PASSWORD)?;
    assert_same(&after, &snapshot(&mut client)?);
    Ok(())
}

/// Makes folders, messages, flags, keywords, holes between UIDs, subscriptions.
fn fill(client: &mut Client, seed: u64) -> Result<(), Error> {
    for folder in ["INBOX.Work", "INBOX.Work.Entw&APw-rfe", "INBOX.Lists"] {
        let created = client.command(&format!("CREATE \"{folder}\""))?;
        assert!(created.ok() || seed > 1, "{folder}: {created:?}");
        client.expect_ok(&format!("SUBSCRIBE \"{folder}\""))?;
    }
    for folder in ["INBOX", "INBOX.Work", "INBOX.Work.Entw&APw-rfe"] {
        for index in 0..8 {
            let message = mail::message(seed, index, 1500);
            let flags = ["", "(\\Seen)", "(\\Flagged \\Answered)", "(\\Draft \\Seen)"]
                .get(usize::try_from(index).unwrap_or(0) % 4)
                .copied()
                .unwrap_or_default();
            client.append(&format!("\"{folder}\" {flags}"), &message)?;
        }
        client.expect_ok(&format!("SELECT \"{folder}\""))?;
        client.expect_ok("STORE 1:3 +FLAGS.SILENT ($Forwarded)")?;
        client.expect_ok("STORE 3,5 +FLAGS.SILENT (Later \\Seen)")?;
        client.expect_ok("STORE 2,8 +FLAGS.SILENT (\\Deleted)")?;
        client.expect_ok("EXPUNGE")?;
        client.expect_ok("STORE 1 -FLAGS.SILENT ($Forwarded)")?;
        client.expect_ok("COPY 1:2 INBOX.Lists")?;
        client.expect_ok("CLOSE")?;
    }
    client.expect_ok("UNSUBSCRIBE INBOX.Lists")?;
    Ok(())
}

fn snapshot(client: &mut Client) -> Result<Snapshot, Error> {
    let names = |reply: harness::client::Reply| -> Vec<String> {
        let mut names: Vec<String> = reply
            .untagged
            .iter()
            .filter_map(|response| {
                let line = response.line();
                // The original lists the parents of subscribed folders as such even for `*`.
                if line.starts_with("* LSUB (\\Noselect") {
                    return None;
                }
                Some(line.split_once("\".\" ")?.1.trim_matches('"').to_owned())
            })
            .collect();
        names.sort();
        names
    };
    let all = names(client.expect_ok("LIST \"\" *")?);
    let subscribed = names(client.expect_ok("LSUB \"\" *")?);
    let mut mailboxes = BTreeMap::new();
    for name in all {
        let status = client.expect_ok(&format!("STATUS \"{name}\" (UIDVALIDITY UIDNEXT)"))?;
        let line = status.with("STATUS")?.line();
        let (validity, next) = (
            number_after(&line, "UIDVALIDITY ")?,
            number_after(&line, "UIDNEXT ")?,
        );
        client.expect_ok(&format!("SELECT \"{name}\""))?;
        let fetched = client.expect_ok("UID FETCH 1:* (FLAGS BODY.PEEK[])")?;
        let mut messages = BTreeMap::new();
        for response in &fetched.untagged {
            let line = response.line();
            if !line.contains(" FETCH (") {
                continue;
            }
            let flags = line
                .split_once("FLAGS (")
                .and_then(|(_, rest)| rest.split_once(')'))
                .map_or("", |(flags, _)| flags);
            let mut flags: Vec<String> = flags
                .split_ascii_whitespace()
                .filter(|&flag| flag != "\\Recent")
                .map(str::to_owned)
                .collect();
            flags.sort();
            let text = response.literals.first().cloned().unwrap_or_default();
            messages.insert(number_after(&line, "UID ")?, (flags, text));
        }
        mailboxes.insert(name, (validity, next, messages));
        client.expect_ok("CLOSE")?;
    }
    Ok(Snapshot {
        mailboxes,
        subscribed,
    })
}

fn number_after(line: &str, word: &str) -> Result<u64, Error> {
    line.split_once(word)
        .and_then(|(_, rest)| {
            let digits = rest.split(|character: char| !character.is_ascii_digit());
            digits.into_iter().next()?.parse().ok()
        })
        .ok_or_else(|| Error::new(format!("no number after {word:?} in {line:?}")))
}

/// Compares piece by piece, so that a failure names what differs instead of printing all mail.
fn assert_same(left: &Snapshot, right: &Snapshot) {
    assert_eq!(left.subscribed, right.subscribed);
    let names = |snapshot: &Snapshot| snapshot.mailboxes.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(left), names(right));
    for (name, one) in &left.mailboxes {
        let other = &right.mailboxes[name];
        assert_eq!(
            (one.0, one.1),
            (other.0, other.1),
            "{name}: UIDVALIDITY, UIDNEXT"
        );
        let flags = |mailbox: &Mailbox| -> Vec<(u64, Vec<String>)> {
            mailbox
                .2
                .iter()
                .map(|(uid, (flags, _))| (*uid, flags.clone()))
                .collect()
        };
        assert_eq!(flags(one), flags(other), "{name}: UIDs and flags");
        assert!(one.2 == other.2, "{name}: texts differ");
    }
}
