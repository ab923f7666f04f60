//! What must be on disk when the OK is written, beyond the messages of `durability.rs`: what a copy is made from,
//! flags and keywords with `IMAP_FSYNC=always`, folders, and deliveries. Each wait for the disk has a crash that shows
//! what it is for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use courier::maildir::{Details, Flags, FolderName, Maildir, Mode, Options};

fn text(number: usize) -> String {
    format!("Subject: message {number}\n\n{}", "A line.\n".repeat(30))
}

/// A maildir with so many messages in INBOX and an empty folder Other.
fn prepared(messages: usize) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("Maildir");
    courier::maildir::make_maildir(&root, 0o700).unwrap();
    let maildir = Maildir::open(&root, Options::default()).unwrap();
    maildir.create(&FolderName::new(b"Other").unwrap()).unwrap();
    let inbox = maildir.folder(&FolderName::inbox()).unwrap();
    let pending = (0..messages).map(|number| {
        let mut delivery = inbox.deliver().unwrap();
        let wire = text(number).replace('\n', "\r\n");
        delivery.write_wire(wire.as_bytes()).unwrap();
        delivery.finish(Details::default()).unwrap()
    });
    inbox.append(pending.collect()).unwrap();
    directory
}

/// A folder's messages: text, to flags and keywords.
fn look(root: &Path, folder: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let look = || {
        let maildir = Maildir::open(root, Options::default())?;
        let name = FolderName::from_full(folder.as_bytes()).unwrap();
        let folder = maildir.folder(&name)?;
        let mut view = folder.scan(Mode::ReadWrite)?;
        let mut found = BTreeMap::new();
        for index in 0..view.len() {
            let mut text = String::new();
            let mut opened = folder.open_message(&mut view, index)?;
            opened.file.read_to_string(&mut text).unwrap();
            let message = view.get(index).unwrap();
            let mut marks = vec![];
            if message.flags().contains(Flags::FLAGGED) {
                marks.push("\\Flagged".to_owned());
            }
            let keywords = view.keywords(message);
            marks.extend(keywords.map(|keyword| String::from_utf8_lossy(keyword).into_owned()));
            found.insert(text, marks);
        }
        Ok(found)
    };
    look().map_err(|error: courier::maildir::Error| format!("{folder}: {error}"))
}

/// Runs `program` with `input`, crashes it wherever it had said `promise`, and checks what is there then. Without a
/// promise: when it has ended.
fn every_crash_after(
    directory: &tempfile::TempDir,
    program: &mut Command,
    input: &[u8],
    promise: Option<&str>,
    holds: impl Fn(&Path) -> Result<(), String>,
) -> Result<(), String> {
    if let Some(reason) = crash::unavailable() {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {reason}").unwrap();
        return Ok(());
    }
    let root = directory.path().join("Maildir");
    let recording = crash::record(&root, program, input).unwrap();
    let end = recording.operations().len();
    let mut states = 0;
    recording.crashes(|state| {
        let told = String::from_utf8(recording.told(state.prefix)).unwrap();
        if !promise.map_or(state.prefix == end, |promise| told.contains(promise)) {
            return Ok(());
        }
        states += 1;
        let place = tempfile::tempdir().map_err(|error| error.to_string())?;
        let root = place.path().join("Maildir");
        std::fs::create_dir(&root)
            .and_then(|()| state.disk.write(&root))
            .map_err(|error| error.to_string())?;
        holds(&root).map_err(|problem| format!("{problem}\n  {}", state.description))
    })?;
    assert!(states > 0, "it never said so");
    Ok(())
}

fn imapd(root: &Path) -> Command {
    let mut command = Command::new(crash::imapd());
    command
        .current_dir(root.parent().unwrap())
        .env_clear()
        .env("IMAP_KEYWORDS", "1")
        .env("MAILDIR", root);
    command
}

/// What `commands` were answered with OK for holds after every crash.
fn session(messages: usize, commands: &str, holds: impl Fn(&Path) -> Result<(), String>) {
    let directory = prepared(messages);
    let root = directory.path().join("Maildir");
    let commands = format!("a SELECT INBOX\r\n{commands}\r\nz LOGOUT\r\n");
    let mut program = imapd(&root);
    program.env("IMAP_FSYNC", "always");
    let done = every_crash_after(
        &directory,
        &mut program,
        commands.as_bytes(),
        Some("b OK"),
        holds,
    );
    done.unwrap();
}

/// Says what is wrong if it is.
fn require(holds: bool, problem: &str) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(problem.to_owned()),
    }
}

/// Messages that somebody delivers without waiting for the disk, to be copied by hard links.
fn copies_of_what_was_not_synced(messages: usize) {
    let directory = prepared(0);
    let root = directory.path().join("Maildir");
    let mut script = "umask 077; ".to_owned();
    for number in 0..messages {
        script += &format!("printf %s \"$TEXT{number}\" >Maildir/cur/{number}.x:2, && ");
    }
    script += "exec \"$IMAPD\"";
    let mut program = Command::new("sh");
    program
        .args(["-c", &script])
        .current_dir(directory.path())
        .env("IMAPD", crash::imapd())
        .env("MAILDIR", &root);
    for number in 0..messages {
        program.env(format!("TEXT{number}"), text(number));
    }
    let commands = b"a SELECT INBOX\r\nb UID COPY 1:* INBOX.Other\r\n";
    every_crash_after(&directory, &mut program, commands, Some("b OK"), |root| {
        let copies = look(root, "INBOX.Other")?;
        let whole = (0..messages).all(|number| copies.contains_key(&text(number)));
        require(whole, "a copy is not whole")
    })
    .unwrap();
}

#[test]
fn a_copy_of_what_was_not_synced_is_whole() {
    copies_of_what_was_not_synced(2);
}

/// Many are synced at once.
#[test]
fn many_copies_of_what_was_not_synced_are_whole() {
    copies_of_what_was_not_synced(34);
}

#[test]
fn a_copy_of_the_octets_is_whole() {
    let directory = prepared(1);
    let root = directory.path().join("Maildir");
    // Not what a fresh file looks like: no link will do.
    for entry in std::fs::read_dir(root.join("cur")).unwrap() {
        let mode = std::fs::Permissions::from_mode(0o500);
        std::fs::set_permissions(entry.unwrap().path(), mode).unwrap();
    }
    let commands = b"a SELECT INBOX\r\nb UID COPY 1 INBOX.Other\r\n";
    let mut program = imapd(&root);
    every_crash_after(&directory, &mut program, commands, Some("b OK"), |root| {
        let copies = look(root, "INBOX.Other")?;
        require(copies.contains_key(&text(0)), "the copy is not whole")
    })
    .unwrap();
}

#[test]
fn flags_and_keywords_stay_where_that_is_asked_for() {
    session(2, "b STORE 1:2 +FLAGS (\\Flagged)", |root| {
        let flagged = look(root, "INBOX")?;
        let all = flagged
            .values()
            .all(|marks| marks.contains(&"\\Flagged".to_owned()));
        require(
            all && flagged.len() == 2,
            &format!("flags are lost: {flagged:?}"),
        )
    });
    session(2, "b STORE 1:2 +FLAGS (work)", |root| {
        let tagged = look(root, "INBOX")?;
        let all = tagged
            .values()
            .all(|marks| marks.iter().any(|mark| mark == "work"));
        require(all && tagged.len() == 2, "a keyword is lost")
    });
    session(
        1,
        "b1 STORE 1 +FLAGS (work)\r\nb UID COPY 1 INBOX.Other",
        |root| {
            let copies = look(root, "INBOX.Other")?;
            let all = copies
                .values()
                .all(|marks| marks.iter().any(|mark| mark == "work"));
            require(all && copies.len() == 1, "a copy has lost its keyword")
        },
    );
}

#[test]
fn folders_are_made_and_renamed_for_good() {
    session(0, "b CREATE INBOX.New", |root| {
        look(root, "INBOX.New").map(|_| ())
    });
    session(0, "b RENAME INBOX.Other INBOX.Third", |root| {
        require(!root.join(".Other").exists(), "it has its old name")?;
        look(root, "INBOX.Third").map(|_| ())
    });
}

#[test]
fn a_delivery_that_has_ended_well_is_whole() {
    let directory = prepared(0);
    let root = directory.path().join("Maildir");
    let mut program = Command::new(crash::program("deliverquota"));
    program.arg(&root).current_dir(directory.path());
    every_crash_after(&directory, &mut program, text(0).as_bytes(), None, |root| {
        let found = look(root, "INBOX")?;
        let whole = found.keys().any(|found| found.ends_with(&text(0)));
        require(whole, "the delivered message is not whole")
    })
    .unwrap();
}

/// A database of the original's form is not extended but written anew. What it gave is not given again, were the
/// message gone as well.
#[test]
fn a_database_that_is_written_anew_keeps_what_it_gave() {
    let directory = prepared(3);
    let root = directory.path().join("Maildir");
    let database = root.join("courierimapuiddb");
    let text = std::fs::read_to_string(&database).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let numbers: Vec<u32> = first.split(' ').map(|word| word.parse().unwrap()).collect();
    let plain = format!("{} {} {}\n{rest}", numbers[0], numbers[1], numbers[2]);
    std::fs::write(&database, plain).unwrap();
    // And no copy of the numbers, as the original keeps none.
    if let Err(error) = std::fs::remove_file(root.join("courierimapuidmark")) {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }
    let commands = "a SELECT INBOX\r\na APPEND INBOX (\\Deleted) {7+}\r\nx: y\r\n\r\r\n\
                    a NOOP\r\nb UID EXPUNGE 4\r\nz LOGOUT\r\n";
    let mut program = imapd(&root);
    program.env("IMAP_FSYNC", "always");
    let commands = commands.as_bytes();
    every_crash_after(&directory, &mut program, commands, Some("b OK"), |root| {
        let maildir = Maildir::open(root, Options::default()).unwrap();
        let inbox = maildir.folder(&FolderName::inbox()).unwrap();
        let view = inbox
            .scan(Mode::ReadWrite)
            .map_err(|error| error.to_string())?;
        require(view.uid_next() > 4, "a UID would be given again")
    })
    .unwrap();
}
