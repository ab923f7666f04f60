//! Programs that keep a local maildir and the server's equal, while another session and plain `mv`, `rm` and
//! deliveries change the same mail: in the end both sides hold the same, and nothing is lost that nobody deleted.
//!
//! Every message belongs to one of the three who change things (another session, somebody at the server's disk, the
//! user at the local maildir), so that what must become of it is known exactly. The contested ones get a flag from each.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use harness::account::{Account, stored_form};
use harness::client::Client;
use harness::process::output;
use harness::server::{PASSWORD, Server, Setup, Side};
use harness::{Error, mail, programs};

const USER: &str = "sync";
/// How often the synchroniser runs while the others work.
const ROUNDS: u64 = 5;
/// Messages of each owner that are there from the start, for each round: one whose flags are set, one that is deleted,
/// one whose flags are cleared, one that stays.
const EACH: u64 = 4;
/// Where the numbers of messages begin that come during the rounds.
const LATER: u64 = 1000;
/// How often a file is looked for whose name changes all the time.
const TRIES: usize = 1000;

/// Whose a message is. The number is the seed of its text.
#[derive(Clone, Copy)]
enum Owner {
    Session = 0x51,
    Disk = 0x52,
    Near = 0x53,
    Contested = 0x54,
}

/// What a folder holds: flags and text for each Message-ID.
type Folder = BTreeMap<String, (String, Vec<u8>)>;

fn message(owner: Owner, index: u64) -> Vec<u8> {
    mail::message(owner as u64, index, 1500)
}

fn id_of(owner: Owner, index: u64) -> String {
    format!("<{:x}.{index}@mail.example.net>", owner as u64)
}

#[test]
fn mbsync_stays_in_step_with_a_changing_maildir() -> Result<(), Error> {
    harness::run(|| {
        let mbsync = programs::installed("mbsync")?;
        stays_in_step("mail/INBOX", |top, port| {
            let rc = top.join("rc");
            let shown = top.display();
            let text = format!(
                "IMAPAccount test\nHost 127.0.0.1\nPort {port}\nUser {USER}\nPass {PASSWORD}\nSSLType None\n\
                 AuthMechs LOGIN\n\nIMAPStore far\nAccount test\n\n\
                 MaildirStore near\nPath {shown}/mail/\nInbox {shown}/mail/INBOX\n\n\
                 Channel both\nFar :far:\nNear :near:\nSync All\nCreate Both\nExpunge Both\nSyncState *\n"
            );
            fs::write(&rc, text)?;
            fs::set_permissions(&rc, fs::Permissions::from_mode(0o600))?;
            let mut command = Command::new(&mbsync);
            command
                .args(["--config".as_ref(), rc.as_os_str()])
                .args(["--quiet", "--all"]);
            Ok(command)
        })
    })
}

#[test]
fn offlineimap_stays_in_step_with_a_changing_maildir() -> Result<(), Error> {
    harness::run(|| {
        let offlineimap = programs::installed("offlineimap")?;
        stays_in_step("mail/INBOX", |top, port| {
            let rc = top.join("rc");
            let shown = top.display();
            let text = format!(
                "[general]\nmetadata = {shown}/state\naccounts = test\nui = quiet\n\n\
                 [Account test]\nlocalrepository = near\nremoterepository = far\n\n\
                 [Repository near]\ntype = Maildir\nlocalfolders = {shown}/mail\n\n\
                 [Repository far]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = {port}\nremoteuser = {USER}\n\
                 remotepass = {PASSWORD}\nssl = no\nstarttls = no\nauth_mechanisms = LOGIN\n\
                 folderfilter = lambda name: name == 'INBOX'\n"
            );
            fs::write(&rc, text)?;
            let mut command = Command::new(&offlineimap);
            command.args(["-o", "-c"]).arg(&rc);
            Ok(command)
        })
    })
}

/// The whole course of events with the program that `configure` sets up in an empty directory; its local maildir is
/// `near` there.
fn stays_in_step(
    near: &str,
    configure: impl Fn(&Path, u16) -> Result<Command, Error>,
) -> Result<(), Error> {
    let server = Server::start(&Setup::new(Side::under_test()?, &[USER]))?;
    let far = server.account(USER)?;
    let files = tempfile::tempdir()?;
    let near = files.path().join(near);
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(near.join(part))?;
    }
    let synchronise = || -> Result<(), Error> {
        let mut command = configure(files.path(), server.port)?;
        command.env("HOME", files.path()).current_dir(files.path());
        output(&mut command).map(|_| ())
    };

    let mut on_disk = BTreeMap::new();
    for owner in [Owner::Session, Owner::Disk, Owner::Near, Owner::Contested] {
        for index in 0..ROUNDS * EACH {
            let name = far.place("INBOX", &message(owner, index), start_flags(owner))?;
            on_disk.insert(id_of(owner, index), base_of(&name).to_owned());
        }
    }
    synchronise()?;
    let uids_before = uids(server.port)?;
    assert_eq!(uids_before.len(), on_disk.len());

    std::thread::scope(|scope| -> Result<(), Error> {
        let (start_session, session_starts) = channel();
        let (start_disk, disk_starts) = channel();
        let session = scope.spawn(|| other_session(server.port, session_starts));
        let disk = scope.spawn(|| at_the_disk(far, &on_disk, disk_starts));
        for round in 0..ROUNDS {
            // Before the synchroniser starts: what becomes of files that change under its own hands is its affair.
            local_user(&near, round)?;
            // Nobody listens any more only when that thread failed, which join tells.
            let _ = start_session.send(round);
            let _ = start_disk.send(round);
            synchronise().map_err(|error| error.in_context(&format!("round {round}")))?;
        }
        drop((start_session, start_disk));
        session
            .join()
            .map_err(|_| Error::new("the other session panicked"))??;
        disk.join()
            .map_err(|_| Error::new("the one at the disk panicked"))?
    })?;
    synchronise()?;
    synchronise()?;

    let expected = expected();
    let messages = far.messages("INBOX")?;
    compare(&expected, &folder_of(messages)?, "the server's maildir");
    compare(&expected, &folder_of(local(&near)?)?, "the local maildir");
    let uids_after = uids(server.port)?;
    assert!(uids_after.keys().eq(expected.keys()), "{uids_after:?}");
    for (id, uid) in &uids_after {
        if let Some(before) = uids_before.get(id) {
            assert_eq!(uid, before, "{id} has another UID");
        }
    }
    Ok(())
}

const fn start_flags(owner: Owner) -> &'static str {
    match owner {
        Owner::Contested => "",
        Owner::Session | Owner::Disk | Owner::Near => "S",
    }
}

/// What the three leave behind.
fn expected() -> Folder {
    let mut folder = Folder::new();
    let mut add = |owner, index, flags: &str| {
        let text = stored_form(&message(owner, index));
        folder.insert(id_of(owner, index), (flags.to_owned(), text));
    };
    for owner in [Owner::Session, Owner::Disk, Owner::Near] {
        for round in 0..ROUNDS {
            add(owner, EACH * round, "FS");
            add(owner, EACH * round + 2, "");
            add(owner, EACH * round + 3, "S");
            add(owner, LATER + 2 * round, "");
            add(owner, LATER + 2 * round + 1, "F");
        }
    }
    for index in 0..ROUNDS * EACH {
        add(Owner::Contested, index, "FRS");
    }
    folder
}

/// A session that has the folder open all the time: STORE, APPEND, EXPUNGE.
fn other_session(port: u16, rounds: Receiver<u64>) -> Result<(), Error> {
    let mut client = Client::login(port, USER, PASSWORD)?;
    client.expect_ok("SELECT INBOX")?;
    for round in rounds {
        let first = EACH * round;
        for index in first..first + EACH {
            store(&mut client, Owner::Contested, index, "+FLAGS (\\Flagged)")?;
        }
        store(&mut client, Owner::Session, first, "+FLAGS (\\Flagged)")?;
        let doomed = store(&mut client, Owner::Session, first + 1, "+FLAGS (\\Deleted)")?;
        let flags = "FLAGS.SILENT ()";
        store(&mut client, Owner::Session, first + 2, flags)?;
        for (index, flags) in [(2 * round, ""), (2 * round + 1, " (\\Flagged)")] {
            let message = message(Owner::Session, LATER + index);
            client.append(&format!("INBOX{flags}"), &message)?;
        }
        if round % 2 == 0 {
            client.expect_ok("EXPUNGE")?;
        } else {
            client.expect_ok(&format!("UID EXPUNGE {doomed}"))?;
        }
    }
    client.expect_ok("LOGOUT")?;
    Ok(())
}

/// One UID STORE; returns the UID.
fn store(client: &mut Client, owner: Owner, index: u64, what: &str) -> Result<u32, Error> {
    let id = id_of(owner, index);
    let reply = client.expect_ok(&format!("UID SEARCH HEADER Message-ID \"{id}\""))?;
    let line = reply.with("SEARCH")?.line();
    let found = line.strip_prefix("* SEARCH").unwrap_or(&line).trim();
    let uid = found
        .parse()
        .map_err(|_| Error::new(format!("{id}: {line}")))?;
    client.expect_ok(&format!("UID STORE {uid} {what}"))?;
    Ok(uid)
}

/// Somebody with `mv` and `rm`, and a delivery agent.
fn at_the_disk(
    far: &Account,
    names: &BTreeMap<String, String>,
    rounds: Receiver<u64>,
) -> Result<(), Error> {
    let maildir = far.maildir();
    let change = |owner, index, to: &dyn Fn(&str) -> Option<String>| {
        let name = names.get(&id_of(owner, index));
        change_file(&maildir, name.map_or("", String::as_str), to)
    };
    for round in rounds {
        let first = EACH * round;
        for index in first..first + EACH {
            change(Owner::Contested, index, &|flags| Some(with(flags, 'S')))?;
        }
        change(Owner::Disk, first, &|flags| Some(with(flags, 'F')))?;
        change(Owner::Disk, first + 1, &|_| None)?;
        change(Owner::Disk, first + 2, &|_| Some(String::new()))?;
        far.deliver("INBOX", &message(Owner::Disk, LATER + 2 * round))?;
        far.place("INBOX", &message(Owner::Disk, LATER + 2 * round + 1), "F")?;
        // Names that change while the server reads the directory, and in the end are what they were.
        for flags in ["FS", "RS", "S", "FRS", "S"] {
            for other in 0..ROUNDS {
                let index = EACH * other + 3;
                change(Owner::Disk, index, &|_| Some(flags.to_owned()))?;
            }
        }
    }
    Ok(())
}

/// Renames the file `base` to the flags that `to` makes of its present ones, or removes it. Others may rename it at the
/// same time.
fn change_file(
    maildir: &Path,
    base: &str,
    to: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Error> {
    for _ in 0..TRIES {
        let Some(path) = find(maildir, base)? else {
            continue;
        };
        let name = name_of(&path);
        let done = match to(flags_of(&name)) {
            Some(flags) => fs::rename(&path, maildir.join(format!("cur/{base}:2,{flags}"))),
            None => fs::remove_file(&path),
        };
        match done {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            done => return Ok(done?),
        }
    }
    Err(Error::new(format!("{base} is lost")))
}

fn find(maildir: &Path, base: &str) -> Result<Option<PathBuf>, Error> {
    for part in ["cur", "new"] {
        for entry in fs::read_dir(maildir.join(part))? {
            let path = entry?.path();
            if base_of(&name_of(&path)) == base {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// The user at the local maildir, between two runs of the synchroniser.
fn local_user(near: &Path, round: u64) -> Result<(), Error> {
    let mut names = BTreeMap::new();
    for (name, text) in local(near)? {
        names.insert(id_in(&text)?, name);
    }
    let change = |owner, index, to: &dyn Fn(&str) -> Option<String>| {
        let id = id_of(owner, index);
        let name = names
            .get(&id)
            .ok_or_else(|| Error::new(format!("{id} is not in the local maildir")))?;
        change_file(near, base_of(name), to)
    };
    let first = EACH * round;
    for index in first..first + EACH {
        change(Owner::Contested, index, &|flags| Some(with(flags, 'R')))?;
    }
    change(Owner::Near, first, &|flags| Some(with(flags, 'F')))?;
    change(Owner::Near, first + 1, &|_| None)?;
    change(Owner::Near, first + 2, &|_| Some(String::new()))?;
    for (index, name) in [
        (2 * round, format!("new/17{round}.near0.host")),
        (2 * round + 1, format!("cur/17{round}.near1.host:2,F")),
    ] {
        let text = stored_form(&message(Owner::Near, LATER + index));
        fs::write(near.join(name), text)?;
    }
    Ok(())
}

/// UIDs by Message-ID.
fn uids(port: u16) -> Result<BTreeMap<String, u32>, Error> {
    let mut client = Client::login(port, USER, PASSWORD)?;
    client.expect_ok("EXAMINE INBOX")?;
    let reply = client.expect_ok("UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")?;
    let mut found = BTreeMap::new();
    for response in &reply.untagged {
        let Some(header) = response.literals.first() else {
            continue;
        };
        let line = response.line();
        let uid = line
            .split_once("UID ")
            .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
            .ok_or_else(|| Error::new(response.printable()))?;
        let before = found.insert(id_in(header)?, uid);
        assert_eq!(before, None, "twice: {}", response.printable());
    }
    client.expect_ok("LOGOUT")?;
    Ok(found)
}

/// Names and texts of the local maildir's messages.
fn local(near: &Path) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut found = Vec::new();
    for part in ["cur", "new"] {
        for entry in fs::read_dir(near.join(part))? {
            let path = entry?.path();
            found.push((name_of(&path), fs::read(&path)?));
        }
    }
    Ok(found)
}

fn folder_of(messages: Vec<(String, Vec<u8>)>) -> Result<Folder, Error> {
    let mut folder = Folder::new();
    for (name, text) in messages {
        let id = id_in(&text)?;
        let content = (flags_of(&name).to_owned(), without_marks(&text));
        assert!(
            folder.insert(id, content).is_none(),
            "{name} is there twice"
        );
    }
    Ok(folder)
}

fn compare(expected: &Folder, found: &Folder, what: &str) {
    let flags = |folder: &Folder| -> Vec<String> {
        let line = |(id, (flags, _)): (&String, &(String, Vec<u8>))| format!("{id} {flags:?}");
        folder.iter().map(line).collect()
    };
    let (wanted, got) = (flags(expected), flags(found));
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        let lacks = |line: &&String| !other.contains(line);
        one.iter().filter(lacks).cloned().collect()
    };
    assert!(
        wanted == got,
        "{what}: should have {:?}, but has {:?}",
        only(&wanted, &got),
        only(&got, &wanted)
    );
    for (id, (_, text)) in expected {
        let got = found.get(id).map(|(_, text)| text);
        assert!(got == Some(text), "{what}: the text of {id} differs");
    }
}

fn id_in(text: &[u8]) -> Result<String, Error> {
    text.split(|&byte| byte == b'\n')
        .map(String::from_utf8_lossy)
        .take_while(|line| !line.trim().is_empty())
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("Message-ID")
                .then(|| value.trim().to_owned())
        })
        .ok_or_else(|| Error::new(String::from_utf8_lossy(text)))
}

/// The text without the header fields by which a synchroniser finds again what it uploaded.
fn without_marks(text: &[u8]) -> Vec<u8> {
    let mut header = true;
    text.split_inclusive(|&byte| byte == b'\n')
        .filter(|line| {
            header &= *line != b"\n";
            !(header && (line.starts_with(b"X-TUID: ") || line.starts_with(b"X-OfflineIMAP: ")))
        })
        .flatten()
        .copied()
        .collect()
}

fn with(flags: &str, flag: char) -> String {
    let mut flags: Vec<char> = flags.chars().filter(|&other| other != flag).collect();
    flags.push(flag);
    flags.sort_unstable();
    flags.into_iter().collect()
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn base_of(name: &str) -> &str {
    name.split_once(":2,").map_or(name, |(base, _)| base)
}

fn flags_of(name: &str) -> &str {
    name.split_once(":2,").map_or("", |(_, flags)| flags)
}

/// A session that believes a flag set, which somebody with `mv` has taken away since, sets it nevertheless; and the
/// other way round.
#[test]
fn store_acts_on_what_the_file_is_called_now() -> Result<(), Error> {
    harness::run(|| {
        let server = Server::start(&Setup::new(Side::under_test()?, &[USER]))?;
        let far = server.account(USER)?;
        let name = far.place("INBOX", &message(Owner::Contested, 0), "S")?;
        let base = base_of(&name).to_owned();
        let mut client = Client::login(server.port, USER, PASSWORD)?;
        client.expect_ok("SELECT INBOX")?;
        for _ in 0..20 {
            for (seen_as, moved_to, what, wanted) in [
                ("FLAGS (\\Flagged)", "", "+FLAGS (\\Flagged)", "F"),
                ("FLAGS (\\Flagged)", "", "FLAGS.SILENT (\\Flagged)", "F"),
                ("FLAGS ()", "F", "-FLAGS.SILENT (\\Flagged)", ""),
                ("FLAGS ()", "FRS", "FLAGS ()", ""),
                ("FLAGS (\\Seen)", "R", "+FLAGS.SILENT (\\Seen)", "RS"),
            ] {
                client.expect_ok(&format!("STORE 1 {seen_as}"))?;
                change_file(&far.maildir(), &base, &|_| Some(moved_to.to_owned()))?;
                client.expect_ok(&format!("STORE 1 {what}"))?;
                let messages = far.messages("INBOX")?;
                let found: Vec<&str> = messages.iter().map(|(name, _)| flags_of(name)).collect();
                assert_eq!(found, [wanted], "{seen_as}, {moved_to:?}, {what}");
            }
        }
        client.expect_ok("LOGOUT")?;
        Ok(())
    })
}
