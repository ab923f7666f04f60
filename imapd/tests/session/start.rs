//! Greeting, refusals before it, hook, log lines, the end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::client::{Home, Session, run};

#[test]
fn after_login_the_greeting_is_the_reply_to_login_and_the_log_has_its_lines() {
    let home = Home::new();
    let mut command = home.command();
    command
        .arg("Maildir")
        .env("IMAPLOGINTAG", "a1")
        .env("AUTHENTICATED", "ann@example.net")
        .env("TCPREMOTEIP", "::ffff:192.0.2.1")
        .env("TCPREMOTEPORT", "4711")
        .env("IMAP_TLS", "1");
    let ended = run(command, b"x NOOP\r\nx LOGOUT\r\n");
    assert!(ended.status.success());
    assert_eq!(
        ended.output,
        "a1 OK LOGIN Ok.\r\nx OK NOOP completed\r\n* BYE Courier-IMAP server shutting down\r\nx OK LOGOUT completed\r\n"
    );
    assert_eq!(
        ended.log,
        "INFO: LOGIN, user=ann@example.net, ip=[::ffff:192.0.2.1], port=[4711], protocol=IMAP, starttls=1\n\
         INFO: LOGOUT, user=ann@example.net, ip=[::ffff:192.0.2.1], port=[4711], headers=0, body=0, rcvd=18, \
         sent=102, time=0, starttls=1\n"
    );
}

#[test]
fn without_a_tag_the_session_is_preauthenticated() {
    let home = Home::new();
    let mut command = home.command();
    command.env("MAILDIR", home.maildir()).current_dir("/");
    let ended = run(command, b"");
    assert_eq!(ended.output, "* PREAUTH Ready.\r\n");
    ended.logged("INFO: LOGIN, user=ann, ip=[127.0.0.1], port=[0], protocol=IMAP\n");
    ended.logged("INFO: DISCONNECTED, user=ann, ip=[127.0.0.1], port=[0], headers=0, body=0, rcvd=0, sent=18, time=0\n");
}

#[test]
fn a_login_without_a_name_or_a_peer_is_refused() {
    let home = Home::new();
    let mut command = home.command();
    command.env("IMAPLOGINTAG", "a").env_remove("AUTHENTICATED");
    let ended = run(command, b"");
    assert_eq!(
        ended.output,
        "* BYE AUTHENTICATED environment variable not set.\r\n"
    );
    assert!(ended.status.success());
    let mut command = home.command();
    command.env("IMAPLOGINTAG", "a").env("TCPREMOTEIP", "");
    let ended = run(command, b"");
    assert_eq!(ended.output, "");
    assert!(ended.status.success());
}

#[test]
fn a_missing_maildir_is_told() {
    let home = Home::new();
    let mut command = home.command();
    command.arg("Nowhere");
    let ended = run(command, b"");
    assert_eq!(
        ended.output,
        "* BYE [ALERT] Fatal error: No such file or directory: No such file or directory\r\n"
    );
    assert_eq!(
        ended.log,
        "chdir Nowhere: No such file or directory\nERR: ann: No such file or directory\n"
    );
    assert_eq!(ended.status.code(), Some(1));
}

#[test]
fn a_directory_that_is_no_maildir_is_told() {
    let home = Home::new();
    fs::create_dir(home.path().join("Empty")).unwrap();
    let mut command = home.command();
    command.arg("Empty");
    let ended = run(command, b"");
    ended.has(&["* BYE [ALERT] Fatal error: No such file or directory"]);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.log.lines().count(), 1, "{}", ended.log);
}

#[test]
fn the_sticky_bit_locks_the_account() {
    let home = Home::new();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o1700)).unwrap();
    let ended = home.run(b"");
    assert_eq!(
        ended.output,
        "* BYE Your account is temporarily unavailable (+t bit set on home directory).\r\n"
    );
    assert_eq!(
        ended.log,
        "INFO: LOCKED, user=ann, ip=[127.0.0.1], port=[0]\n"
    );
    assert!(ended.status.success());
}

#[test]
fn a_maildir_of_somebody_else_is_refused_unless_the_check_is_off() {
    if !nix::unistd::geteuid().is_root() {
        use std::io::Write;
        writeln!(
            std::io::stderr(),
            "skipped: needs root to give a directory away"
        )
        .unwrap();
        return;
    }
    let home = Home::new();
    std::os::unix::fs::chown(home.maildir(), Some(54321), None).unwrap();
    let ended = home.run(b"");
    assert_eq!(
        ended.output,
        "* BYE [ALERT] Fatal error: Account's mailbox directory is not owned by the correct uid or gid: \r\n"
    );
    ended.logged("ERR: ann: Account's mailbox directory is not owned by the correct uid or gid\n");
    assert_eq!(ended.status.code(), Some(1));
    let mut command = home.command();
    command.env("IMAP_MAILBOX_SANITY_CHECK", "0");
    run(command, b"").has(&["* PREAUTH"]);
}

#[test]
fn account_options_forbid_after_the_greeting() {
    let home = Home::new();
    let mut command = home.command();
    command.env("OPTIONS", "disableimap=1");
    let ended = run(command, b"");
    assert_eq!(
        ended.output,
        "* PREAUTH Ready.\r\n* BYE IMAP access disabled for this account.\r\n"
    );
    assert_eq!(ended.log, "");
    let mut command = home.command();
    command.env("OPTIONS", "disableinsecureimap=1");
    run(command, b"").has(&["* BYE IMAP access disabled via insecure connection."]);
    let mut command = home.command();
    command
        .env("OPTIONS", "disableinsecureimap=1")
        .env("IMAP_TLS", "1");
    run(command, b"").has_not("BYE");
}

#[test]
fn loginexec_runs_once_and_away_from_the_client() {
    let home = Home::new();
    let hook = home.maildir().join("loginexec");
    fs::write(
        &hook,
        "#!/bin/sh\necho to the client\ncat >&0\nenv > ../seen\npwd >> ../seen\n",
    )
    .unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = home.command();
    command.env("TLS_PRIVATE_KEYFILE", "/secret");
    let ended = run(command, b"a NOOP\r\n");
    assert_eq!(ended.output, "* PREAUTH Ready.\r\na OK NOOP completed\r\n");
    let seen = fs::read_to_string(home.path().join("seen")).unwrap();
    assert!(seen.contains("AUTHENTICATED=ann"), "{seen}");
    assert!(!seen.contains("TLS_PRIVATE_KEYFILE"), "{seen}");
    assert!(seen.contains("/Maildir"), "{seen}");
    assert!(!hook.exists(), "the hook would run again");
    fs::write(&hook, "#!/bin/sh\nexit 3\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o700)).unwrap();
    home.run(b"").has(&["* PREAUTH"]);
    assert!(hook.exists(), "a hook that failed runs again next time");
}

#[test]
fn signals_say_bye() {
    let home = Home::new();
    let session = home.start();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(session.pid()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let ended = session.end_of_itself();
    assert_eq!(
        ended.output,
        "* BYE Courier-IMAP server shut down by signal.\r\n"
    );
    ended.logged(
        "NOTICE: Disconnected during shutdown by signal, user=ann, ip=[127.0.0.1], port=[0], headers=0, body=0, \
         rcvd=0, sent=",
    );
    assert!(ended.status.success());
}

#[test]
fn old_mail_leaves_the_trash_and_new_mail_stays() {
    let home = Home::new();
    home.folder(".Trash");
    home.place(".Trash", "1.a:2,S");
    let mut command = home.command();
    command.env("IMAP_EMPTYTRASH", "Trash:1,Missing:1,nonsense");
    run(command, b"a LOGOUT\r\n").has(&["a OK"]);
    // The age counts from the last change of the inode, which a test cannot set.
    assert!(home.maildir().join(".Trash/cur/1.a:2,S").exists());
}

#[test]
fn commands_sent_with_the_login_are_answered() {
    let home = Home::new();
    home.place(".", "1.a:2,");
    let mut command = home.command();
    command
        .env("IMAPLOGINTAG", "l")
        .env("TCPREMOTEIP", "192.0.2.1")
        .env("TCPREMOTEPORT", "1");
    let mut session = Session::spawn(command);
    session.send(b"a SELECT INBOX\r\nb STATUS INBOX (MESSAGES)\r\nc NOOP\r\n");
    session.expect("l OK LOGIN Ok.");
    while !session.line().starts_with("a OK [READ-WRITE]") {}
    session.expect("* STATUS \"INBOX\" (MESSAGES 1)");
    session.expect("b OK");
    session.expect("c OK");
    std::thread::sleep(Duration::from_millis(1));
    session.end().logged("INFO: DISCONNECTED");
}

#[test]
fn version() {
    let home = Home::new();
    let mut command = home.command();
    command.arg("--version");
    let ended = run(command, b"");
    assert!(
        ended.output.starts_with("Courier-IMAP "),
        "{}",
        ended.output
    );
    assert_eq!(ended.output.lines().count(), 1);
}
