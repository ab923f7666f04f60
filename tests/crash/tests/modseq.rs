//! Whatever a power cut leaves: HIGHESTMODSEQ does not fall below what a client was told, and a client that was told
//! something learns everything since.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use courier::maildir::{
    Action, Change, Flags, Folder, FolderName, Maildir, Mode, Options, Snapshot, Sync,
};
use crash::Operation;
use tracker::{Answer, Client};

const LOG: &str = "courierimapindex.log";

/// A maildir with four messages and, if `changes` is something, a log with so many.
fn prepared(changes: Option<u32>) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("Maildir");
    courier::maildir::make_maildir(&root, 0o700).unwrap();
    for number in 0..4 {
        std::fs::write(root.join(format!("cur/{number}.a:2,")), "x\n").unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(30));
    let (folder, mut view) = opened(&root);
    if let Some(changes) = changes {
        folder.track(&mut view).unwrap();
        for number in 0..changes {
            let action = match number % 2 {
                0 => Action::Add,
                _ => Action::Remove,
            };
            let change = Change::new(action, Flags::SEEN, Vec::new());
            folder.change(&mut view, &[0], &change).unwrap();
        }
    }
    (directory, root)
}

fn opened(root: &Path) -> (Folder, Snapshot) {
    let options = Options {
        sync: Sync::Never,
        ..Options::default()
    };
    let maildir = Maildir::open(root, options).unwrap();
    let folder = maildir.folder(&FolderName::inbox()).unwrap();
    let view = folder.scan(Mode::ReadWrite).unwrap();
    (folder, view)
}

/// The replayed log is the file that it was, although it has another inode now: what would be taken for a copy, and
/// made anew, is what is tested here.
fn adopt(log: &Path) -> std::io::Result<()> {
    let mut bytes = match std::fs::read(log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    let sum = |header: &[u8]| {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[0; 8]);
        crc.update(header);
        crc.finalize().to_le_bytes()
    };
    // Only one that is whole: a torn one must be recognised as it is.
    if bytes.len() < 64 || bytes[60..64] != sum(&bytes[..60]) {
        return Ok(());
    }
    let inode = std::fs::metadata(log)?.ino();
    bytes[32..40].copy_from_slice(&inode.to_le_bytes());
    bytes[40..48].fill(0);
    let sum = sum(&bytes[..60]);
    bytes[60..64].copy_from_slice(&sum);
    std::fs::write(log, bytes)
}

/// What the next session tells, and what it tells to a client that comes back.
fn next_session(root: &Path, since: u64) -> Result<(Answer, Answer), String> {
    let mut output = Vec::new();
    let input = format!("open INBOX\nlook\nsince {since}\n");
    tracker::serve(root, input.as_bytes(), &mut output).map_err(|error| error.to_string())?;
    let output = String::from_utf8(output).unwrap();
    let mut answers = output.lines().map(|line| Answer::parse(line).ok_or(line));
    let _open = answers.next().ok_or("no answer")??;
    let state = answers.next().ok_or("no answer")??;
    let changes = answers.next().ok_or("no answer")??;
    Ok((state, changes))
}

/// Runs `commands` in a session and checks every crash.
fn every_crash(
    variables: &[(&str, &str)],
    changes: Option<u32>,
    commands: &str,
) -> Result<(), String> {
    if let Some(reason) = crash::unavailable() {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {reason}").unwrap();
        return Ok(());
    }
    let (_directory, root) = prepared(changes);
    let mut program = Command::new(tracker::program()?);
    program
        .arg(&root)
        .env_clear()
        .envs(variables.iter().copied());
    let recording = crash::record(&root, &mut program, commands.as_bytes()).unwrap();
    let told = |prefix| -> Vec<Answer> {
        let text = String::from_utf8(recording.told(prefix)).unwrap();
        text.split_inclusive('\n')
            .filter_map(|line| Answer::parse(line.strip_suffix('\n')?))
            .collect()
    };
    assert_eq!(
        told(recording.operations().len()).len(),
        commands.lines().count()
    );
    let makes_log = recording
        .operations()
        .iter()
        .any(|operation| matches!(operation, Operation::Rename { to, .. } if to.ends_with(LOG)));
    assert_eq!(makes_log, changes.is_none_or(|changes| changes > 1000));
    let states = recording.crashes(|state| -> Result<(), String> {
        let place = tempfile::tempdir_in(match Path::new("/dev/shm").is_dir() {
            true => PathBuf::from("/dev/shm"),
            false => std::env::temp_dir(),
        })
        .map_err(|error| error.to_string())?;
        let root = place.path().join("Maildir");
        std::fs::create_dir(&root)
            .and_then(|()| state.disk.write(&root))
            .and_then(|()| adopt(&root.join(LOG)))
            .map_err(|error| error.to_string())?;
        // The machine took some minutes to come back: what is stale by age is stale.
        let lock = root.join("tmp/courier.lock");
        if let Ok(file) = std::fs::File::options().write(true).open(lock) {
            let then = std::time::SystemTime::now() - std::time::Duration::from_secs(600);
            file.set_modified(then).map_err(|error| error.to_string())?;
        }
        let check = || {
            for told in told(state.prefix) {
                let (now, changes) = next_session(&root, told.highest)?;
                if now.highest < told.highest {
                    return Err(format!(
                        "HIGHESTMODSEQ fell from {} to {}",
                        told.highest, now.highest
                    ));
                }
                let mut client = Client::of(&told);
                client.learn(&changes);
                if client != Client::of(&now) {
                    return Err(format!("a client knows {client:?}, there is {now:?}"));
                }
                for (uid, (modseq, state)) in &now.messages {
                    let before = told.messages.get(uid);
                    if before.is_some_and(|(old, was)| old == modseq && was != state) {
                        return Err(format!("UID {uid} changed and is still at {modseq}"));
                    }
                }
            }
            Ok(())
        };
        check().map_err(|problem| format!("{problem}\n  {}", state.description))
    })?;
    assert!(states > 10, "only {states} states");
    Ok(())
}

const COMMANDS: &str = "open INBOX\nstore 0 S\nstore 1 F work\nexpunge 2\nstore 0 R\n";

#[test]
fn changes_survive() {
    every_crash(&[], Some(3), COMMANDS).unwrap();
}

#[test]
fn the_first_log_survives() {
    every_crash(&[], None, COMMANDS).unwrap();
}

#[test]
fn a_log_that_is_made_shorter_survives() {
    // One change before the limit.
    every_crash(
        &[],
        Some(1025),
        "open INBOX\nstore 1 S\nstore 2 S\nstore 1 F\n",
    )
    .unwrap();
}

#[test]
fn without_syncs_what_was_told_can_be_lost() {
    // The test of this test: it must find what IMAP_FSYNC=never gives up.
    if crash::unavailable().is_none() {
        every_crash(&[("IMAP_FSYNC", "never")], Some(3), COMMANDS).unwrap_err();
    }
}
