//! The recorder sees what a program does, and the replay finds a forgotten sync.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crash::{Node, Operation};

fn skipped() -> bool {
    if let Some(reason) = crash::unavailable() {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "skipped: {reason}").unwrap();
        return true;
    }
    false
}

/// Replaces `a` by way of `b`, the way careful programs do, leaving out the syncs that are not asked for.
fn replace(sync_file: bool, sync_directory: bool) -> Result<usize, String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a"), "old").unwrap();
    let script = format!(
        "import os,sys\n\
         f=os.open('b',os.O_WRONLY|os.O_CREAT,0o600)\n\
         os.write(f,b'new')\n\
         {}\n\
         os.rename('b','a')\n\
         d=os.open('.',os.O_RDONLY)\n\
         {}\n\
         os.write(1,b'OK')\n",
        if sync_file { "os.fsync(f)" } else { "pass" },
        if sync_directory {
            "os.fsync(d)"
        } else {
            "pass"
        },
    );
    let mut program = Command::new("/usr/bin/python3");
    program
        .args(["-S", "-E", "-B", "-c", &script])
        .current_dir(directory.path());
    let recording = crash::record(directory.path(), &mut program, b"").unwrap();
    assert!(
        recording
            .operations()
            .iter()
            .any(|operation| matches!(operation, Operation::Rename { .. }))
    );
    recording.crashes(|state| {
        let content = match state.disk.node(Path::new("a")) {
            Some(Node::File(inode)) => state.disk.content(*inode),
            _ => b"",
        };
        let told = recording.told(state.prefix) == b"OK";
        let good = if told {
            content == b"new"
        } else {
            content == b"new" || content == b"old"
        };
        if good {
            Ok(())
        } else {
            Err(state.description.clone())
        }
    })
}

#[test]
fn a_careful_replacement_survives_every_crash() {
    if !skipped() {
        assert!(replace(true, true).unwrap() > 8);
    }
}

#[test]
fn a_missing_sync_of_the_file_is_found() {
    if !skipped() {
        let problem = replace(false, true).unwrap_err();
        assert!(problem.contains("write 3 octets"), "{problem}");
    }
}

#[test]
fn a_missing_sync_of_the_directory_is_found() {
    if !skipped() {
        let problem = replace(true, false).unwrap_err();
        assert!(problem.contains("answer"), "{problem}");
    }
}
