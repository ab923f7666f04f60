//! What the parser of the peer's bytes may still do.

use crate::login_rig::{Rig, is_root, status};
use crate::skipped;

#[test]
fn the_parser_is_caged_and_the_monitor_is_not() {
    let rig = Rig::with_alice();
    let mut login = rig.start();
    login.greeting();
    let (monitor, parser) = (login.child.id(), login.parser());
    assert_eq!(status(parser, "NoNewPrivs"), "1");
    assert_eq!(status(monitor, "Seccomp"), "0");
    assert_eq!(status(monitor, "NoNewPrivs"), "0");
    if status(std::process::id(), "Seccomp").is_empty() {
        skipped("this kernel has no seccomp");
    } else {
        assert_eq!(status(parser, "Seccomp"), "2");
    }
    if is_root() {
        let daemon = nix::unistd::User::from_name("daemon").unwrap().unwrap();
        let (uid, gid) = (daemon.uid.as_raw(), daemon.gid.as_raw());
        assert_eq!(status(parser, "Uid"), format!("{uid} {uid} {uid} {uid}"));
        assert_eq!(status(parser, "Gid"), format!("{gid} {gid} {gid} {gid}"));
        assert_eq!(status(parser, "Groups"), gid.to_string());
        assert_eq!(status(monitor, "Uid"), "0 0 0 0");
        assert_eq!(status(parser, "CapEff"), "0000000000000000");
    }
    match std::fs::read_dir(format!("/proc/{parser}/fd")) {
        // It has the peer, the log and its channel, nothing else.
        Ok(entries) => {
            let mut descriptors: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            descriptors.sort();
            assert_eq!(descriptors, ["0", "1", "2", "3"]);
        }
        // Other processes of its uid may not look into it.
        Err(error) => {
            assert!(!is_root(), "{error}");
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        }
    }
    login.ask("a NOOP", "a OK NOOP completed");
    // It ends when the monitor does.
    login.child.kill().unwrap();
    login.child.wait().unwrap();
    assert_eq!(login.rest(), "");
}

#[test]
fn the_parser_becomes_the_owner_of_the_daemons_directory() {
    if !is_root() {
        skipped("needs root");
        return;
    }
    let rig = Rig::with_alice();
    std::os::unix::fs::chown(rig.path(""), Some(5007), Some(5008)).unwrap();
    let mut login = rig.start();
    login.greeting();
    let parser = login.parser();
    assert_eq!(status(parser, "Uid"), "5007 5007 5007 5007");
    assert_eq!(status(parser, "Gid"), "5008 5008 5008 5008");
    login.send("a LOGIN alice secret\r\n");
    login.report();
}
