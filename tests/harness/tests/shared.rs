//! Folders of other accounts below `#shared.`: what their access control lists allow, and nothing else. With
//! `COURIER_INTEROP=1` Debian's Courier goes through the same, so that both agree on what they share.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::Error;
use harness::client::{Client, Reply};
use harness::server::{PASSWORD, Server, Setup, Side};

/// Where the index is, from a maildir.
const INDEX: &str = "../../../shared-index";

fn server(side: Side, accounts: &[&str], settings: &[(&str, &str)]) -> Result<Server, Error> {
    let mut setup = Setup::new(side, accounts).with("IMAP_SHAREDINDEXFILE", INDEX);
    for (name, value) in settings {
        setup = setup.with(name, value);
    }
    let server = Server::start(&setup)?;
    let mut index = String::from("# those who share\n");
    for name in accounts {
        let account = server.account(name)?;
        index.push_str(&format!(
            "{name}\t{}\t{}\t{}\tMaildir\n",
            account.uid.max(1),
            account.gid.max(1),
            account.home.display()
        ));
    }
    index.push_str("team\t*\tshared-team\n");
    let bob = server.account("bob")?;
    let team = format!(
        "robert\t{}\t{}\t{}\tMaildir\n",
        bob.uid.max(1),
        bob.gid.max(1),
        bob.home.display()
    );
    for (name, text) in [("shared-index", &index), ("shared-team", &team)] {
        let path = server.state().join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    }
    Ok(server)
}

fn login(server: &Server, name: &str) -> Result<Client, Error> {
    Client::login(server.port, name, PASSWORD)
}

/// The lines of an answer that begin with `* word`, without that, sorted.
fn lines(reply: &Reply, word: &str) -> Vec<String> {
    let start = format!("* {word} ");
    let mut lines: Vec<String> = reply
        .untagged
        .iter()
        .filter_map(|response| response.line().strip_prefix(&start).map(str::to_owned))
        .collect();
    lines.sort();
    lines
}

fn sides() -> Vec<Side> {
    if std::env::var_os("COURIER_INTEROP").is_some() {
        vec![Side::Ours, Side::Reference]
    } else {
        vec![Side::Ours]
    }
}

const MESSAGE: &[u8] = b"Subject: shared\r\n\r\nHello.\r\n";

#[test]
fn what_may_be_read_is_shown_and_nothing_else() -> Result<(), Error> {
    harness::run(|| {
        for side in sides() {
            let server = server(side, &["bob", "joe"], &[])?;
            let mut bob = login(&server, "bob")?;
            for name in ["Pub", "Pub.Below", "Private"] {
                bob.expect_ok(&format!("CREATE INBOX.{name}"))?;
                bob.append(&format!("INBOX.{name}"), MESSAGE)?;
            }
            let mut joe = login(&server, "joe")?;
            let refused =
                |reply: Reply| assert!(reply.tagged.starts_with("NO"), "{side:?}: {reply:?}");
            let none = lines(&joe.expect_ok("LIST \"\" \"#shared.*\"")?, "LIST");
            // The original shows groups in any case.
            assert!(none.iter().all(|line| line.contains("team")), "{none:?}");
            assert!(none.is_empty() || side == Side::Reference);
            refused(joe.command("SELECT #shared.bob.Pub")?);
            bob.expect_ok("SETACL INBOX.Pub joe lr")?;
            let own = lines(&joe.expect_ok("LIST \"\" *")?, "LIST");
            assert!(own.iter().all(|line| !line.contains("#shared")), "{own:?}");
            let shared = lines(&joe.expect_ok("LIST \"\" \"#shared.*\"")?, "LIST");
            assert_eq!(
                shared,
                [
                    "(\\HasNoChildren) \".\" \"#shared.bob.Pub\"",
                    "(\\HasNoChildren) \".\" \"#shared.team.robert.Pub\"",
                    "(\\Noselect \\HasChildren) \".\" \"#shared.bob\"",
                    "(\\Noselect \\HasChildren) \".\" \"#shared.team\"",
                    "(\\Noselect \\HasChildren) \".\" \"#shared.team.robert\"",
                ],
                "{side:?}"
            );
            assert_eq!(
                lines(&joe.expect_ok("LIST \"\" \"#shared.%\"")?, "LIST"),
                [
                    "(\\Noselect \\HasChildren) \".\" \"#shared.bob\"",
                    "(\\Noselect \\HasChildren) \".\" \"#shared.team\"",
                ]
            );
            // The user's own account is not among them.
            refused(joe.command("SELECT #shared.joe")?);
            let selected = joe.expect_ok("SELECT #shared.bob.Pub")?;
            assert!(selected.tagged.contains("[READ-ONLY]"), "{selected:?}");
            assert!(selected.with("MYRIGHTS")?.line().contains("\"lr\""));
            let fetched = joe.expect_ok("FETCH 1 BODY[TEXT]")?;
            assert_eq!(fetched.with("FETCH")?.literals, [b"Hello.\r\n".to_vec()]);
            joe.expect_ok("COPY 1 INBOX")?;
            for command in [
                "SELECT #shared.bob.Private",
                "SELECT #shared.bob",
                "SELECT #shared.bob.Pub.Below",
                "SELECT #shared.team",
                "SELECT #shared.nobody.Pub",
                "STATUS #shared.bob.Private (MESSAGES)",
                "CREATE #shared.bob.Pub.New",
                "CREATE #shared.bob.New",
                "DELETE #shared.bob.Pub",
                "RENAME #shared.bob.Pub #shared.bob.Other",
                "SETACL #shared.bob.Pub joe lrswipcda",
                "GETACL #shared.bob.Pub",
                "MYRIGHTS #shared.bob.Private",
            ] {
                refused(joe.command(command)?);
            }
            joe.expect_ok("SELECT INBOX")?;
            refused(joe.command("COPY 1 #shared.bob.Pub")?);
            let rights = joe.expect_ok("MYRIGHTS #shared.bob.Pub")?;
            assert_eq!(lines(&rights, "MYRIGHTS"), ["\"#shared.bob.Pub\" \"lr\""]);
            let quota = joe.expect_ok("GETQUOTAROOT #shared.bob.Pub")?;
            assert_eq!(
                lines(&quota, "QUOTAROOT"),
                ["\"#shared.bob.Pub\" \"PUBLIC\""]
            );
            joe.expect_ok("SUBSCRIBE #shared.bob.Pub")?;
            assert!(lines(&joe.expect_ok("LSUB \"\" *")?, "LSUB").is_empty());
            let subscribed = lines(&joe.expect_ok("LSUB \"\" \"#shared.*\"")?, "LSUB");
            assert!(
                subscribed
                    .iter()
                    .any(|line| line.ends_with("\"#shared.bob.Pub\""))
            );
            bob.expect_ok("DELETEACL INBOX.Pub joe")?;
            assert!(lines(&joe.expect_ok("LSUB \"\" \"#shared.*\"")?, "LSUB").is_empty());
            joe.expect_ok("UNSUBSCRIBE #shared.bob.Pub")?;
        }
        Ok(())
    })
}

#[test]
fn what_may_be_changed_is_the_owner_s_own() -> Result<(), Error> {
    harness::run(|| {
        for side in sides() {
            let server = server(
                side,
                &["bob", "joe"],
                &[
                    ("IMAP_MOVE_EXPUNGE_TO_TRASH", "1"),
                    ("IMAP_LOG_DELETIONS", "1"),
                ],
            )?;
            let mut bob = login(&server, "bob")?;
            bob.expect_ok("CREATE INBOX.Pub")?;
            bob.expect_ok("SETACL INBOX.Pub joe lrswitecx")?;
            let mut joe = login(&server, "joe")?;
            joe.append("#shared.bob.Pub (\\Flagged)", MESSAGE)?;
            joe.append("INBOX", MESSAGE)?;
            joe.expect_ok("SELECT INBOX")?;
            joe.expect_ok("COPY 1 #shared.bob.Pub")?;
            joe.expect_ok("SELECT #shared.bob.Pub")?;
            joe.expect_ok("STORE 2 +FLAGS (\\Seen shared)")?;
            joe.expect_ok("STORE 1 +FLAGS (\\Deleted)")?;
            joe.expect_ok("EXPUNGE")?;
            if side == Side::Ours {
                let name = server.account("bob")?.maildir();
                let name = format!("old_name={}/.Pub/cur/", name.display());
                server.wait_for_log(&["EXPUNGED, user=joe", &name, "new_name=.Trash/cur/"])?;
            }
            // Into the trash of whoever throws it away.
            let trash = joe.expect_ok("STATUS INBOX.Trash (MESSAGES)")?;
            assert!(
                trash.with("STATUS")?.line().contains("(MESSAGES 1)"),
                "{side:?}: {trash:?}"
            );
            joe.expect_ok("CLOSE")?;
            bob.expect_ok("SELECT INBOX.Pub")?;
            let fetched = bob.expect_ok("FETCH 1:* FLAGS")?;
            let seen = fetched.with("FETCH")?.line();
            assert!(seen.contains("\\Seen") && seen.contains("shared"), "{seen}");
            assert_eq!(lines(&fetched, "1 FETCH").len(), 1);
            bob.expect_ok("CLOSE")?;
            // Folders below, with the same rights; not elsewhere.
            joe.expect_ok("CREATE #shared.bob.Pub.New")?;
            joe.append("#shared.bob.Pub.New", MESSAGE)?;
            joe.expect_ok("RENAME #shared.bob.Pub.New #shared.bob.Pub.Newer")?;
            let elsewhere = joe.command("RENAME #shared.bob.Pub.Newer INBOX.Mine")?;
            assert!(
                elsewhere.tagged.contains("different account"),
                "{elsewhere:?}"
            );
            let open = joe.expect_ok("SELECT #shared.bob.Pub.Newer")?;
            assert!(open.tagged.contains("[READ-WRITE]"));
            assert!(!joe.command("DELETE #shared.bob.Pub.Newer")?.ok());
            joe.expect_ok("CLOSE")?;
            joe.expect_ok("DELETE #shared.bob.Pub.Newer")?;
            let left = lines(&bob.expect_ok("LIST \"\" INBOX.Pub*")?, "LIST");
            assert_eq!(left, ["(\\HasNoChildren) \".\" \"INBOX.Pub\""]);
        }
        Ok(())
    })
}

#[test]
fn names_are_told_apart_between_accounts() -> Result<(), Error> {
    harness::run(|| {
        let settings = [("IMAP_MOVE_EXPUNGE_TO_TRASH", "1")];
        let server = server(Side::Ours, &["bob", "joe"], &settings)?;
        let mut bob = login(&server, "bob")?;
        for name in ["Same", "Trash"] {
            bob.expect_ok(&format!("CREATE INBOX.{name}"))?;
            bob.expect_ok(&format!("SETACL INBOX.{name} joe lrswitecx"))?;
        }
        let mut joe = login(&server, "joe")?;
        joe.expect_ok("CREATE INBOX.Same")?;
        // Another's mailbox of the name of the selected one can be deleted, and the other way round.
        joe.expect_ok("SELECT INBOX.Same")?;
        joe.expect_ok("DELETE #shared.bob.Same")?;
        bob.expect_ok("CREATE INBOX.Same")?;
        bob.expect_ok("SETACL INBOX.Same joe lrswitecx")?;
        joe.expect_ok("SELECT #shared.bob.Same")?;
        joe.expect_ok("RENAME INBOX.Same INBOX.Other")?;
        // What is expunged in another's trash goes to the user's own.
        joe.append("#shared.bob.Trash (\\Deleted)", MESSAGE)?;
        joe.expect_ok("SELECT #shared.bob.Trash")?;
        joe.expect_ok("EXPUNGE")?;
        let trash = joe.expect_ok("STATUS INBOX.Trash (MESSAGES)")?;
        assert!(
            trash.with("STATUS")?.line().contains("(MESSAGES 1)"),
            "{trash:?}"
        );
        // The space is the owner's.
        let quota = server.account("bob")?.maildir().join("maildirsize");
        server
            .account("bob")?
            .write(&quota, b"100000S\n           0            0\n")?;
        joe.append("#shared.bob.Same", MESSAGE)?;
        let text = fs::read_to_string(&quota)?;
        assert_eq!(
            text.lines().nth(2),
            Some("          24            1"),
            "{text}"
        );
        joe.expect_ok("SELECT #shared.bob.Same")?;
        joe.expect_ok("MOVE 1 INBOX")?;
        let text = fs::read_to_string(&quota)?;
        assert_eq!(
            text.lines().nth(3),
            Some("         -24           -1"),
            "{text}"
        );
        Ok(())
    })
}

#[test]
fn an_account_without_sharing_sees_none() -> Result<(), Error> {
    harness::run(|| {
        let mut setup = Setup::new(Side::Ours, &["joe", "ann"]).with("IMAP_SHAREDINDEXFILE", INDEX);
        setup
            .options
            .insert("joe".to_owned(), "sharedgroup=-none".to_owned());
        setup
            .options
            .insert("ann".to_owned(), "disableshared=1".to_owned());
        let server = Server::start(&setup)?;
        let mut joe = login(&server, "joe")?;
        assert!(!server.log().contains("shared-index"));
        assert!(lines(&joe.expect_ok("LIST \"\" \"#shared.*\"")?, "LIST").is_empty());
        joe.expect_ok("LIST \"\" \"#shared.*\"")?;
        let logged = server.wait_for_log(&["ERR: ../../../shared-index-none: No such file"])?;
        assert_eq!(logged.len(), 1);
        let mut ann = login(&server, "ann")?;
        assert!(lines(&ann.expect_ok("LIST \"\" \"#shared.*\"")?, "LIST").is_empty());
        assert!(!ann.command("SELECT #shared.joe")?.ok());
        Ok(())
    })
}
