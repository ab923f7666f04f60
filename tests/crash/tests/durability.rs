//! What imapd has answered with OK survives every crash: recorded runs of APPEND, COPY, MOVE, STORE and EXPUNGE, and
//! every state of the disk that a power cut during them could leave.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use courier::maildir::{FolderName, Maildir, Mode, Options};

/// A message, as stored and as appended.
fn message(number: u32) -> Vec<u8> {
    let body = "a line of the body\n".repeat(20);
    format!("From: sender@example.org\nSubject: message {number}\n\n{body}").into_bytes()
}

fn append_command(tag: &str, mailbox: &str, number: u32) -> Vec<u8> {
    let wire = String::from_utf8(message(number))
        .unwrap()
        .replace('\n', "\r\n");
    format!("{tag} APPEND {mailbox} {{{}+}}\r\n{wire}\r\n", wire.len()).into_bytes()
}

/// What a folder holds: message number to UID, and UIDVALIDITY and UIDNEXT.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    uids: BTreeMap<u32, u32>,
    validity: u32,
    next: u32,
}

/// Looks at a folder through the store, as the next session would. Half messages and doubles are failures.
fn look(root: &Path, folder: &str) -> Result<Content, String> {
    let maildir = Maildir::open(root, Options::default()).map_err(|error| error.to_string())?;
    let name = if folder == "INBOX" {
        FolderName::inbox()
    } else {
        FolderName::new(folder.as_bytes()).unwrap()
    };
    let folder = maildir.folder(&name).map_err(|error| error.to_string())?;
    let mut view = folder
        .scan(Mode::ReadWrite)
        .map_err(|error| error.to_string())?;
    let mut uids = BTreeMap::new();
    for index in 0..view.len() {
        let uid = view.get(index).unwrap().uid();
        let mut opened = folder
            .open_message(&mut view, index)
            .map_err(|error| error.to_string())?;
        let mut text = Vec::new();
        opened
            .file
            .read_to_end(&mut text)
            .map_err(|error| error.to_string())?;
        let number = (1..20).find(|&number| message(number) == text);
        let number = number
            .ok_or_else(|| format!("UID {uid} shows half a message of {} octets", text.len()))?;
        if uids.insert(number, uid).is_some() {
            return Err(format!("message {number} is there twice"));
        }
    }
    Ok(Content {
        uids,
        validity: view.uid_validity(),
        next: view.uid_next(),
    })
}

/// A maildir with messages 1, 2 and 3 in INBOX and an empty folder Other, both opened before.
fn prepared() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("Maildir");
    courier::maildir::make_maildir(&root, 0o700).unwrap();
    let mut commands = b"a CREATE INBOX.Other\r\n".to_vec();
    for number in 1..=3 {
        commands.extend(append_command("b", "INBOX", number));
    }
    commands.extend_from_slice(b"c SELECT INBOX\r\nd SELECT INBOX.Other\r\ne LOGOUT\r\n");
    let mut child = session(&root);
    let mut child = child
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&commands).unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(output.contains("e OK"), "{output}");
    assert_eq!(look(&root, "INBOX").unwrap().uids.len(), 3, "{output}");
    directory
}

fn session(root: &Path) -> Command {
    let mut command = Command::new(crash::imapd());
    command
        .current_dir(root.parent().unwrap())
        .env_clear()
        .env("IMAP_KEYWORDS", "1")
        .env("MAILDIR", root);
    command
}

/// Runs `commands`, then checks every crash. `holds` gets what the client had been told, the tags answered with OK
/// among it, and both folders.
fn every_crash(
    variables: &[(&str, &str)],
    commands: &[u8],
    holds: impl Fn(&str, &Content, &Content) -> Result<(), String>,
) -> Result<(), String> {
    if let Some(reason) = crash::unavailable() {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {reason}").unwrap();
        return Ok(());
    }
    let directory = prepared();
    let root = directory.path().join("Maildir");
    let (inbox, other) = (look(&root, "INBOX").unwrap(), look(&root, "Other").unwrap());
    let mut program = session(&root);
    program.envs(variables.iter().copied());
    let recording = crash::record(&root, &mut program, commands).unwrap();
    let told = String::from_utf8(recording.told(recording.operations().len())).unwrap();
    assert!(told.contains("z OK"), "{told}");
    let check = |state: &crash::State| -> Result<(), String> {
        let place = in_memory().map_err(|error| error.to_string())?;
        let root = place.path().join("Maildir");
        std::fs::create_dir(&root)
            .and_then(|()| state.disk.write(&root))
            .map_err(|error| error.to_string())?;
        // The machine took some minutes to come back: what is stale by age is stale.
        for folder in ["", ".Other"] {
            age(&root.join(folder).join("tmp/courier.lock")).map_err(|error| error.to_string())?;
        }
        let check = || {
            let now = (look(&root, "INBOX")?, look(&root, "Other")?);
            if now.0.validity != inbox.validity || now.1.validity != other.validity {
                return Err("UIDVALIDITY has changed".to_owned());
            }
            if now.0.next < inbox.next || now.1.next < other.next {
                return Err("UIDNEXT has fallen".to_owned());
            }
            for (number, uid) in &now.0.uids {
                if inbox.uids.get(number).is_some_and(|old| old != uid) {
                    return Err(format!("message {number} has another UID"));
                }
                if !inbox.uids.contains_key(number) && *uid < inbox.next {
                    return Err(format!("UID {uid} was used before"));
                }
            }
            let told = String::from_utf8_lossy(&recording.told(state.prefix)).into_owned();
            holds(&told, &now.0, &now.1)?;
            // And a second look says the same: nothing is repaired differently every time.
            if (look(&root, "INBOX")?, look(&root, "Other")?) != now {
                return Err("the next session sees something else".to_owned());
            }
            Ok(())
        };
        check().map_err(|problem| format!("{problem}\n  {}", state.description))
    };
    let states = recording.crashes(check)?;
    assert!(states > 10, "only {states} states");
    Ok(())
}

/// A directory on a file system in memory where there is one: hundreds of states are written and synced.
fn in_memory() -> std::io::Result<tempfile::TempDir> {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() {
        tempfile::tempdir_in(shared)
    } else {
        tempfile::tempdir()
    }
}

fn age(path: &Path) -> std::io::Result<()> {
    match std::fs::File::options().write(true).open(path) {
        Ok(file) => {
            file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(600))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The number after a response code word, in a reply that has been given.
fn code(told: &str, word: &str) -> Option<Vec<u32>> {
    let rest = told.split_once(&format!("[{word} "))?.1;
    let inside = rest.split_once(']')?.0;
    Some(
        inside
            .split([' ', ',', ':'])
            .map(|number| number.parse().unwrap())
            .collect(),
    )
}

fn append_with(variables: &[(&str, &str)]) -> Result<(), String> {
    let mut commands = append_command("a", "INBOX", 7);
    commands.extend_from_slice(b"z LOGOUT\r\n");
    every_crash(variables, &commands, |told, inbox, _| {
        if let Some(numbers) = code(told, "APPENDUID") {
            if inbox.uids.get(&7) != numbers.get(1) {
                return Err(format!(
                    "the appended message is not UID {numbers:?} but {:?}",
                    inbox.uids.get(&7)
                ));
            }
        }
        if (1..=3).any(|number| !inbox.uids.contains_key(&number)) {
            return Err("an old message is lost".to_owned());
        }
        Ok(())
    })
}

#[test]
fn append() {
    append_with(&[]).unwrap();
}

#[test]
fn without_syncs_an_appended_message_can_be_lost() {
    // The test of this test: it must find what IMAP_FSYNC=never gives up.
    if crash::unavailable().is_none() {
        append_with(&[("IMAP_FSYNC", "never")]).unwrap_err();
    }
}

#[test]
fn copy() {
    every_crash(
        &[],
        b"a SELECT INBOX\r\nb UID COPY 1:3 INBOX.Other\r\nz LOGOUT\r\n",
        |told, inbox, other| {
            if inbox.uids.len() != 3 {
                return Err("a copied message is lost".to_owned());
            }
            let copied: Vec<u32> = other.uids.values().copied().collect();
            if told.contains("b OK") && copied != [1, 2, 3] {
                return Err(format!("copies have the UIDs {copied:?}"));
            }
            Ok(())
        },
    )
    .unwrap();
}

#[test]
fn moving() {
    every_crash(
        &[],
        b"a SELECT INBOX\r\nb UID MOVE 2 INBOX.Other\r\nz LOGOUT\r\n",
        |told, inbox, other| {
            if !inbox.uids.contains_key(&2) && !other.uids.contains_key(&2) {
                return Err("the moved message is lost".to_owned());
            }
            if told.contains("COPYUID") && !other.uids.contains_key(&2) {
                return Err("the moved message is not where it was moved to".to_owned());
            }
            if !inbox.uids.contains_key(&1) || !inbox.uids.contains_key(&3) {
                return Err("a message that was not moved is lost".to_owned());
            }
            if told.contains("b OK") && inbox.uids.contains_key(&2) {
                return Err("the moved message is back".to_owned());
            }
            Ok(())
        },
    )
    .unwrap();
}

#[test]
fn store_loses_no_message() {
    let commands = b"a SELECT INBOX\r\nb STORE 1:3 +FLAGS (\\Flagged \\Seen work)\r\nz LOGOUT\r\n";
    every_crash(&[], commands, |_, inbox, _| {
        if inbox.uids.len() == 3 {
            Ok(())
        } else {
            Err("a message is lost".to_owned())
        }
    })
    .unwrap();
}

#[test]
fn expunge_removes_what_was_marked_and_nothing_else() {
    let commands = b"a SELECT INBOX\r\nb STORE 2 +FLAGS (\\Deleted)\r\nc EXPUNGE\r\nz LOGOUT\r\n";
    every_crash(&[("IMAP_FSYNC", "always")], commands, |told, inbox, _| {
        if !inbox.uids.contains_key(&1) || !inbox.uids.contains_key(&3) {
            return Err("a message that was not marked is lost".to_owned());
        }
        if told.contains("c OK") && inbox.uids.contains_key(&2) {
            return Err("the expunged message is back, with IMAP_FSYNC=always".to_owned());
        }
        Ok(())
    })
    .unwrap();
}
