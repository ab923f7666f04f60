//! The session's confinement, seen from outside. What exactly remains is tested beside it, in the library.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::client::{Home, Session, run};

fn status_of(session: &Session, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", session.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap_or_default().trim().to_owned()
}

/// A folder outside the maildir.
fn outside(home: &Home, name: &str) -> std::path::PathBuf {
    let place = home.path().join(name);
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(place.join(part)).unwrap();
    }
    fs::write(
        place.join("cur/1000000001.M1P1.host:2,S"),
        "Subject: outside\n\n",
    )
    .unwrap();
    place
}

/// The session runs confined, or the kernel cannot do it and the log says so.
fn is_confined(home: &Home) -> bool {
    let mut command = home.command();
    command.env("IMAP_SANDBOX", "required");
    let ended = run(command, b"a NOOP\r\n");
    if ended.output.contains("a OK") {
        return true;
    }
    ended.logged("the session cannot be confined");
    assert!(!ended.status.success());
    ended.has(&["* BYE [ALERT] Fatal error: The session cannot be confined"]);
    let line = b"skipped: this kernel has no Landlock or no seccomp filters\n";
    std::io::Write::write_all(&mut std::io::stdout().lock(), line).unwrap();
    false
}

#[test]
fn a_session_is_confined_unless_that_is_turned_off() {
    let home = Home::new();
    if !is_confined(&home) {
        return;
    }
    let session = home.start();
    assert_eq!(status_of(&session, "Seccomp:"), "2");
    assert_eq!(status_of(&session, "NoNewPrivs:"), "1");
    drop(session);
    let mut command = home.command();
    command.env("IMAP_SANDBOX", "off");
    let mut session = Session::spawn(command);
    session.expect("* PREAUTH");
    assert_eq!(status_of(&session, "Seccomp:"), "0");
}

#[test]
fn folders_behind_links_work_if_the_links_were_there_before() {
    let home = Home::new();
    symlink(outside(&home, "disk"), home.maildir().join(".Disk")).unwrap();
    home.place(".", "1000000001.M1P1.host:2,S");
    let mut session = home.start();
    session.ask("SELECT INBOX.Disk", "OK");
    session.ask("FETCH 1 BODY.PEEK[]", "OK");
    session.ask("STORE 1 +FLAGS (\\Flagged \\Deleted)", "OK");
    session.ask("COPY 1 INBOX", "OK");
    session.ask("EXPUNGE", "OK");
    session.ask("SELECT INBOX", "OK");
    session.ask("MOVE 1 INBOX.Disk", "OK");
    session.ask("STATUS INBOX.Disk (MESSAGES)", "OK");
    if is_confined(&home) {
        // What a session that was taken over would try: somebody else makes the link here.
        symlink(outside(&home, "theirs"), home.maildir().join(".Theirs")).unwrap();
        // Not "does not exist": a client would drop its copy.
        session.ask(
            "SELECT INBOX.Theirs",
            "NO [NOPERM] Unable to open this mailbox.",
        );
        let mut next = home.start();
        next.ask("SELECT INBOX.Theirs", "OK");
    }
}

#[test]
fn messages_behind_links_in_a_folder_work() {
    let home = Home::new();
    let disk = outside(&home, "disk");
    fs::create_dir(home.maildir().join(".Disk")).unwrap();
    for part in ["cur", "new", "tmp"] {
        symlink(disk.join(part), home.maildir().join(".Disk").join(part)).unwrap();
    }
    let mut session = home.start();
    session.ask("STATUS INBOX.Disk (MESSAGES)", "OK");
    session.ask("SELECT INBOX.Disk", "OK");
    session.ask("FETCH 1 BODY.PEEK[]", "OK");
    session.ask("STORE 1 +FLAGS (\\Flagged)", "OK");
    session.ask("COPY 1 INBOX", "OK");
    session.send(b"a APPEND INBOX.Disk {16+}\r\nSubject: new\r\n\r\n\r\n");
    session.skip_to("a OK");
    let ended = session.end();
    assert!(!ended.log.contains("ERR"), "{}", ended.log);
}

#[test]
fn the_trash_is_purged_behind_a_link_and_the_hook_runs_unconfined() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let trash = outside(&home, "disk");
    symlink(&trash, home.maildir().join(".Trash")).unwrap();
    let hook = home.maildir().join("loginexec");
    fs::write(&hook, "#!/bin/sh\necho ran > ../outside-the-maildir\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = home.command();
    command
        .env("IMAP_EMPTYTRASH", "Trash:1")
        .env("PATH", "/usr/bin:/bin");
    let ended = run(command, b"a SELECT INBOX.Trash\r\nb LOGOUT\r\n");
    // The file's inode is new, so it stays; that the purge could look is what counts.
    ended.has(&["* 1 EXISTS", "b OK"]);
    assert_eq!(ended.log.matches("ERR").count(), 0, "{}", ended.log);
    assert!(home.path().join("outside-the-maildir").exists());
}

/// A link that is made too late shows that somebody looked: no file can be made that is old enough to be purged.
#[test]
fn the_trash_is_purged_however_the_session_ends() {
    if !is_confined(&Home::new()) {
        return;
    }
    for logout in [true, false] {
        let home = Home::new();
        let mut command = home.command();
        command.env("IMAP_EMPTYTRASH", "Trash:1");
        let mut session = Session::spawn(command);
        session.expect("* PREAUTH");
        symlink(outside(&home, "disk"), home.maildir().join(".Trash")).unwrap();
        if logout {
            session.ask("LOGOUT", "OK");
        }
        session.end().logged("IMAP_EMPTYTRASH: ");
    }
}

#[test]
fn local_time_is_known_to_a_confined_session() {
    if !std::path::Path::new("/usr/share/zoneinfo/Asia/Kolkata").exists() {
        let line = b"skipped: no time zones are installed\n";
        std::io::Write::write_all(&mut std::io::stdout().lock(), line).unwrap();
        return;
    }
    let home = Home::new();
    home.place(".", "1000000001.M1P1.host:2,S");
    let mut command = home.command();
    command.env("TZ", "Asia/Kolkata");
    let ended = run(command, b"a SELECT INBOX\r\nb FETCH 1 INTERNALDATE\r\n");
    ended.has(&[" +0530\")\r\nb OK"]);
}

#[test]
fn a_kernel_without_landlock_costs_one_line() {
    let works = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        let line = b"skipped: strace does not work here\n";
        std::io::Write::write_all(&mut std::io::stdout().lock(), line).unwrap();
        return;
    }
    let home = Home::new();
    for (setting, served) in [("1", true), ("required", false)] {
        let inner = home.command();
        let mut command = Command::new("strace");
        command
            .args([
                "-o",
                "/dev/null",
                "-e",
                "inject=landlock_create_ruleset:error=ENOSYS",
            ])
            .arg(inner.get_program())
            .current_dir(home.path())
            .envs(
                inner
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("IMAP_SANDBOX", setting);
        let ended = run(command, b"a NOOP\r\n");
        assert_eq!(ended.output.contains("a OK"), served, "{}", ended.log);
        assert_eq!(
            ended.log.matches("confined").count(),
            if served { 1 } else { 2 },
            "{}",
            ended.log
        );
    }
}
