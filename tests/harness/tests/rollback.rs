//! Going back to Debian's Courier as docs/rollback.md says: a client must see what it saw before. Part of what
//! `make check-interop` runs; without `COURIER_INTEROP=1` nothing happens here.

use std::process::Command;

use harness::client::Client;
use harness::process::output;
use harness::server::{PASSWORD, Server, Setup, Side};
use harness::{Error, mail, programs};

/// Folders, UIDVALIDITY, UIDs, flags and texts, as a client sees them.
fn seen(port: u16) -> Result<Vec<String>, Error> {
    let mut client = Client::login(port, "joe", PASSWORD)?;
    let mut seen = Vec::new();
    for command in ["LIST \"\" *", "LSUB \"\" *"] {
        let reply = client.expect_ok(command)?;
        let mut names: Vec<String> = reply
            .untagged
            .iter()
            .filter_map(|response| {
                let line = response.line();
                // The original's LSUB also names what is above a subscribed folder.
                if line.starts_with("* LSUB") && line.contains("INBOX\"") {
                    return None;
                }
                let (kind, name) = (line.split(' ').nth(1)?, line.rsplit(' ').next()?);
                Some(format!("{kind} {name}"))
            })
            .collect();
        names.sort();
        seen.extend(names);
    }
    for folder in ["INBOX", "INBOX.Work"] {
        let reply = client.expect_ok(&format!("SELECT {folder}"))?;
        let code = |word: &str| {
            let lines = reply.untagged.iter().map(|response| response.line());
            lines
                .filter(|line| line.contains(word))
                .collect::<Vec<String>>()
        };
        let validity = code("[UIDVALIDITY ");
        assert_eq!(validity.len(), 1, "{folder}");
        seen.extend(validity);
        seen.extend(code(" EXISTS"));
        let reply = client.expect_ok("UID FETCH 1:* (FLAGS BODY.PEEK[])")?;
        for response in &reply.untagged {
            let line = response.line();
            let uid = line.split("UID ").nth(1).unwrap_or_default();
            let uid: String = uid.chars().take_while(char::is_ascii_digit).collect();
            let flags = line.split("FLAGS (").nth(1).unwrap_or_default();
            let mut flags: Vec<&str> = flags
                .split(')')
                .next()
                .unwrap_or_default()
                .split(' ')
                .collect();
            flags.retain(|flag| *flag != "\\Recent" && !flag.is_empty());
            flags.sort_unstable();
            let texts = response.literals.iter();
            let texts: Vec<_> = texts.map(|text| String::from_utf8_lossy(text)).collect();
            seen.push(format!("{folder} {uid} {flags:?} {:?}", texts));
        }
    }
    client.expect_ok("LOGOUT")?;
    Ok(seen)
}

#[test]
fn the_original_carries_on_where_ours_stopped() -> Result<(), Error> {
    harness::run(|| {
        if std::env::var_os("COURIER_INTEROP").is_none() {
            return Err(Error::Skipped(
                "going back to Debian's Courier: run by make check-interop".to_owned(),
            ));
        }
        let ours = Server::start(&Setup::new(Side::Ours, &["joe"]))?;
        let account = ours.account("joe")?.clone();
        let maildir = account.maildir();
        let mut client = Client::login(ours.port, "joe", PASSWORD)?;
        client.expect_ok("CREATE INBOX.Work")?;
        client.expect_ok("SUBSCRIBE INBOX.Work")?;
        client.expect_ok("SELECT INBOX")?;
        for index in 0..12 {
            client.append("INBOX", &mail::message(9, index, 700))?;
        }
        client.expect_ok("NOOP")?;
        client.expect_ok("STORE 1:4 +FLAGS (\\Seen $Label1)")?;
        client.expect_ok("STORE 3 +FLAGS (work)")?;
        client.expect_ok("STORE 5,12 +FLAGS (\\Deleted)")?;
        client.expect_ok("EXPUNGE")?;
        client.expect_ok("COPY 1:3 INBOX.Work")?;
        client.expect_ok("LOGOUT")?;
        let before = seen(ours.port)?;
        assert!(
            before.iter().any(|line| line.contains("$Label1")),
            "{before:?}"
        );
        let uid_next = std::fs::read_to_string(maildir.join("courierimapuiddb"))?;
        // Its listener may stay: all sessions have ended, and with them all that looks at the maildir.

        output(
            Command::new(programs::ours("maildircheck")?)
                .arg("--remove-derived")
                .arg(&maildir),
        )?;
        for folder in [maildir.clone(), maildir.join(".Work")] {
            for file in std::fs::read_dir(folder)? {
                let name = file?.file_name();
                let name = name.to_string_lossy();
                let derived =
                    name.starts_with("courierimapindex") || name.starts_with("courierimapcache");
                assert!(!derived, "{name} is left");
            }
        }

        let mut setup = Setup::new(Side::Reference, &[]);
        setup.guests.push(account);
        let theirs = Server::start(&setup)?;
        assert_eq!(seen(theirs.port)?, before);
        // The next message gets the number after the last one ever given, which was expunged.
        let mut client = Client::login(theirs.port, "joe", PASSWORD)?;
        client.append("INBOX", &mail::message(9, 99, 700))?;
        client.expect_ok("SELECT INBOX")?;
        let reply = client.expect_ok("UID SEARCH 11")?;
        let next = uid_next.split_ascii_whitespace().nth(2).unwrap_or_default();
        reply.with(&format!("* SEARCH {}", next.trim_start_matches('0')))?;
        client.expect_ok("LOGOUT")?;
        Ok(())
    })
}
