//! Debian's tools, Debian's imapd and ours on one account: the quota file and the access control lists are shared. Part
//! of what `make check-interop` runs.
//!
//! Without `COURIER_INTEROP=1` nothing happens here, because Debian's packages have to be downloaded.

use std::fs::File;
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use harness::pair::{self, Pair};
use harness::server::Side;
use harness::{Error, mail, programs};

/// The pair, and the tools of both.
struct Programs<'a>(&'a Pair);

impl Deref for Programs<'_> {
    type Target = Pair;

    fn deref(&self) -> &Pair {
        self.0
    }
}

fn interop(test: impl FnOnce(&Programs<'_>) -> Result<(), Error>) -> Result<(), Error> {
    let what = "quota and lists beside Debian's Courier";
    pair::interop(what, |pair| test(&Programs(pair)))
}

impl Programs<'_> {
    /// Runs one of Debian's tools as the account.
    fn tool(
        &self,
        program: &str,
        arguments: &[&str],
        input: Option<File>,
    ) -> Result<Output, Error> {
        let mut command = Command::new(programs::peers_script());
        command
            .args(["enter", "courier"])
            .arg(self.ours.state())
            .args(["--", "setpriv", "--clear-groups"])
            .arg(format!("--reuid={}", self.account.uid))
            .arg(format!("--regid={}", self.account.gid))
            .arg(program)
            .args(arguments);
        match input {
            Some(file) => command.stdin(file),
            None => command.stdin(Stdio::null()),
        };
        Ok(command.output()?)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, Error> {
        let output = self.tool(program, arguments, None)?;
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Delivers a message as a mail server would; the exit code.
    fn deliver(&self, message: &[u8]) -> Result<Option<i32>, Error> {
        let path = self.ours.state().join("message");
        std::fs::write(&path, message)?;
        let maildir = self.maildir();
        let maildir = maildir.to_string_lossy();
        let output = self.tool(
            "deliverquota.courier",
            &[&maildir],
            Some(File::open(&path)?),
        )?;
        Ok(output.status.code())
    }

    /// Delivers a message with our program; the exit code.
    fn deliver_with_ours(&self, message: &[u8]) -> Result<Option<i32>, Error> {
        let path = self.ours.state().join("message");
        std::fs::write(&path, message)?;
        let output = Command::new(programs::ours("deliverquota")?)
            .arg(self.maildir())
            .stdin(File::open(&path)?)
            .uid(self.account.uid)
            .gid(self.account.gid)
            .output()?;
        Ok(output.status.code())
    }

    /// What both servers say of the quota, which must be the same.
    fn quota(&self) -> Result<String, Error> {
        let mut said = Vec::new();
        for side in [Side::Ours, Side::Reference] {
            let mut client = self.login(side)?;
            let reply = client.expect_ok("GETQUOTAROOT INBOX")?;
            said.push(reply.with("* QUOTA ")?.line());
            client.expect_ok("LOGOUT")?;
        }
        assert_eq!(said[0], said[1]);
        Ok(said.swap_remove(0))
    }

    /// Sum of the file's lines, which must be what is there: bytes and messages.
    fn counted(&self) -> Result<(i64, i64), Error> {
        let text = std::fs::read_to_string(self.maildir().join("maildirsize"))?;
        let mut sum = (0, 0);
        for line in text.lines().skip(1) {
            let numbers: Vec<i64> = line
                .split_ascii_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect();
            assert_eq!(numbers.len(), 2, "{text}");
            sum = (sum.0 + numbers[0], sum.1 + numbers[1]);
        }
        Ok(sum)
    }

    fn messages(&self, folder: &str) -> Result<(i64, i64), Error> {
        let found = self.account.messages(folder)?;
        Ok(found
            .iter()
            .filter(|(name, _)| {
                !name
                    .split_once(":2,")
                    .is_some_and(|(_, flags)| flags.contains('T'))
            })
            .fold((0, 0), |(bytes, count), (_, content)| {
                (bytes + i64::try_from(content.len()).unwrap_or(0), count + 1)
            }))
    }

    fn check(&self) -> Result<(), Error> {
        let inbox = self.messages("INBOX")?;
        let work = self.messages(".Work")?;
        assert_eq!(self.counted()?, (inbox.0 + work.0, inbox.1 + work.1));
        Ok(())
    }
}

#[test]
fn one_quota_file_for_all_programs() -> Result<(), Error> {
    interop(|pair| {
        let maildir = pair.maildir();
        let maildir = maildir.to_string_lossy();
        pair.account.make_folder(".Work")?;
        pair.account.make_folder(".Trash")?;
        pair.run("maildirmake.courier", &["-q", "100000S,6C", &maildir])?;
        for side in [Side::Ours, Side::Reference] {
            let mut client = pair.login(side)?;
            client.append("INBOX.Work", &mail::message(1, 1, 500))?;
            client.append("INBOX.Trash", &mail::message(1, 2, 500))?;
            client.expect_ok("LOGOUT")?;
            assert_eq!(pair.deliver(&mail::message(1, 3, 700))?, Some(0));
            pair.check()?;
        }
        assert!(pair.quota()?.contains("MESSAGE 4 6"), "{}", pair.quota()?);
        // Set anew by ours and by theirs, the file is the same.
        let file = pair.maildir().join("maildirsize");
        let ours = Command::new(programs::ours("maildirmake")?)
            .args(["-q", "5C 90000S", &maildir])
            .uid(pair.account.uid)
            .gid(pair.account.gid)
            .output()?;
        assert!(ours.status.success(), "{ours:?}");
        let text = std::fs::read_to_string(&file)?;
        pair.run("maildirmake.courier", &["-q", "5C 90000S", &maildir])?;
        assert_eq!(std::fs::read_to_string(&file)?, text);
        pair.run("maildirmake.courier", &["-q", "100000S,6C", &maildir])?;
        for (deletes, undeletes) in [(Side::Ours, Side::Reference), (Side::Reference, Side::Ours)] {
            let mut client = pair.login(deletes)?;
            client.expect_ok("SELECT INBOX")?;
            client.expect_ok("STORE 1 +FLAGS (\\Deleted)")?;
            client.expect_ok("LOGOUT")?;
            pair.check()?;
            assert!(pair.quota()?.contains("MESSAGE 3 6"));
            let mut client = pair.login(undeletes)?;
            client.expect_ok("SELECT INBOX")?;
            client.expect_ok("STORE 1 -FLAGS (\\Deleted)")?;
            client.expect_ok("COPY 1 INBOX.Trash")?;
            client.expect_ok("LOGOUT")?;
            pair.check()?;
            assert!(pair.quota()?.contains("MESSAGE 4 6"));
        }
        for side in [Side::Ours, Side::Reference] {
            let mut client = pair.login(side)?;
            client.expect_ok("SELECT INBOX")?;
            client.expect_ok("COPY 1 INBOX.Work")?;
            client.expect_ok("LOGOUT")?;
            pair.check()?;
        }
        // Full for everybody.
        for side in [Side::Ours, Side::Reference] {
            let mut client = pair.login(side)?;
            client.expect_ok("SELECT INBOX")?;
            let refused = client.command("COPY 1 INBOX.Work")?;
            assert!(refused.tagged.contains("exceeded"), "{refused:?}");
            assert_eq!(pair.deliver(&mail::message(1, 4, 700))?, Some(77));
            assert_eq!(pair.deliver_with_ours(&mail::message(1, 4, 700))?, Some(77));
            client.expect_ok("LOGOUT")?;
        }
        pair.check()?;
        // A folder that goes makes room for everybody.
        let mut client = pair.login(Side::Ours)?;
        client.expect_ok("DELETE INBOX.Work")?;
        client.expect_ok("CREATE INBOX.Work")?;
        client.expect_ok("LOGOUT")?;
        pair.check()?;
        assert_eq!(pair.deliver(&mail::message(1, 5, 700))?, Some(0));
        assert_eq!(pair.deliver_with_ours(&mail::message(1, 6, 700))?, Some(0));
        pair.check()?;
        assert!(pair.quota()?.contains("MESSAGE 4 6"));
        Ok(())
    })
}

#[test]
fn one_access_control_list_for_all_programs() -> Result<(), Error> {
    interop(|pair| {
        let maildir = pair.maildir();
        let maildir = maildir.to_string_lossy();
        let list = |folder: &str| pair.run("maildiracl", &["-list", &maildir, folder]);
        let mut client = pair.login(Side::Ours)?;
        client.expect_ok("CREATE INBOX.Work.Deep")?;
        client.expect_ok("SETACL INBOX.Work.Deep mary lrs")?;
        client.expect_ok("SETACL INBOX.Work anyone lr")?;
        let default = "owner\taceilrstwx\nadministrators\taceilrstwx\n";
        assert_eq!(list("INBOX.Work")?, format!("{default}anyone\tlr\n"));
        assert_eq!(
            list("INBOX.Work.Deep")?,
            format!("{default}user=mary\tlrs\n")
        );
        pair.run(
            "maildiracl",
            &["-set", &maildir, "INBOX.Work.Deep", "-user=mary", "s"],
        )?;
        pair.run(
            "maildiracl",
            &["-set", &maildir, "INBOX.Work", "user=al", "lrx"],
        )?;
        // Our tool reads and writes the same.
        let ours = |words: &[&str]| -> Result<String, Error> {
            let output = Command::new(programs::ours("maildiracl")?)
                .args(words)
                .uid(pair.account.uid)
                .gid(pair.account.gid)
                .output()?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        for folder in ["INBOX", "INBOX.Work", "INBOX.Work.Deep"] {
            assert_eq!(ours(&["-list", &maildir, folder])?, list(folder)?);
            for identifier in ["user=mary", "owner", "user=al", "group=administrators"] {
                let words = ["-compute", &*maildir, folder, identifier, "user=x"];
                assert_eq!(ours(&words)?, pair.run("maildiracl", &words)?, "{words:?}");
            }
        }
        ours(&["-set", &maildir, "INBOX.Work.Deep", "user=mary", "+w"])?;
        assert!(list("INBOX.Work.Deep")?.contains("user=mary\tlrsw\n"));
        ours(&["-set", &maildir, "INBOX.Work.Deep", "user=mary", "-w"])?;
        let expected = [
            (
                "INBOX.Work.Deep",
                "\"owner\" \"acdilrsw\" \"administrators\" \"acdilrsw\" \"mary\" \"lrs\" \"-mary\" \"s\"",
            ),
            (
                "INBOX.Work",
                "\"owner\" \"acdilrsw\" \"administrators\" \"acdilrsw\" \"anyone\" \"lr\" \"al\" \"lr\"",
            ),
        ];
        for (mailbox, entries) in expected {
            let reply = client.expect_ok(&format!("GETACL {mailbox}"))?;
            assert_eq!(
                reply.with("ACL")?.line(),
                format!("* ACL \"{mailbox}\" {entries}")
            );
        }
        // What is made below goes by the list above, for both.
        for (side, name) in [(Side::Ours, "one"), (Side::Reference, "two")] {
            let mut client = pair.login(side)?;
            client.expect_ok(&format!("CREATE INBOX.Work.{name}"))?;
            client.expect_ok("LOGOUT")?;
            assert_eq!(
                list(&format!("INBOX.Work.{name}"))?,
                format!("{default}anyone\tlr\nuser=al\tlrx\n")
            );
        }
        client.expect_ok("LOGOUT")?;
        Ok(())
    })
}
