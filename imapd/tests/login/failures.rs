//! Logins that fail or are refused: what the peer is told, and what the log says.

use std::time::{Duration, Instant};

use crate::login_rig::{Rig, ids, is_root};
use crate::skipped;

#[test]
fn a_wrong_password_is_logged_at_once_and_answered_after_the_delay() {
    let rig = Rig::with_alice();
    let mut login = rig.start();
    login.greeting();
    let start = Instant::now();
    login.send("a LOGIN alice, wrong\r\nb NOOP\r\n");
    std::thread::sleep(Duration::from_secs(1));
    assert!(
        login
            .log()
            .ends_with("\nINFO: LOGIN FAILED, user=alice., ip=[::ffff:192.0.2.7], port=[4711]\n"),
        "{}",
        login.log()
    );
    login.expect("a NO Login failed.");
    let waited = start.elapsed();
    assert!(
        waited >= Duration::from_secs(5) && waited < Duration::from_secs(8),
        "{waited:?}"
    );
    login.expect("b OK NOOP completed");
    login.send("c LOGIN alice secret\r\n");
    assert_eq!(login.report().variable("IMAPLOGINTAG"), Some("c"));
}

#[test]
fn failed_authentications_are_logged_with_their_mechanism() {
    let cases = [
        (
            "a AUTHENTICATE PLAIN eABib2IAd3Jvbmc=",
            "a NO Login failed.",
            "PLAIN",
            ", user=bob",
        ),
        (
            "a AUTHENTICATE plain\r\n*",
            "a BAD Authentication aborted.",
            "PLAIN",
            "",
        ),
        (
            "a AUTHENTICATE PLAIN\r\n!!!",
            "a BAD Authentication aborted.",
            "PLAIN",
            "",
        ),
        ("a AUTHENTICATE PLAIN =", "a NO Login failed.", "PLAIN", ""),
        (
            "a AUTHENTICATE",
            "a BAD Authentication mechanism missing.",
            "",
            "",
        ),
        (
            "a AUTHENTICATE NTLM, TlRMTQ==",
            "a NO Login failed.",
            "NTLM_",
            "",
        ),
        (
            "a AUTHENTICATE CRAM-MD5 eA==",
            "a NO Login failed.",
            "CRAM-MD5",
            "",
        ),
        (
            "a AUTHENTICATE EXTERNAL =",
            "a NO Login failed.",
            "EXTERNAL",
            "",
        ),
    ];
    let threads: Vec<_> = cases
        .into_iter()
        .map(|(command, reply, method, user)| {
            std::thread::spawn(move || {
                let rig = Rig::with_alice();
                let mut login = rig.start();
                login.greeting();
                let start = Instant::now();
                login.send(format!("{command}\r\n"));
                let mut line = login.line();
                while line.starts_with('+') {
                    line = login.line();
                }
                assert_eq!(line, reply, "{command}");
                assert!(start.elapsed() >= Duration::from_secs(5), "{command}");
                let log = login.log();
                let expected = format!(
                    "\nINFO: LOGIN FAILED, method={method}, ip=[::ffff:192.0.2.7], port=[4711]{user}\n"
                );
                assert!(log.ends_with(&expected), "{command}: {log}");
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Logs alice in, who is told to come back later. What the log has then.
#[track_caller]
fn log_of_temporary_problem(rig: &Rig) -> String {
    let mut login = rig.start();
    login.greeting();
    login.ask(
        "a LOGIN alice secret",
        "* BYE Temporary problem, please try again later",
    );
    let (code, log) = login.finish();
    assert_eq!(code, Some(1));
    log
}

#[test]
fn the_daemon_being_down_is_a_temporary_problem() {
    let rig = Rig::without_daemon();
    let log = log_of_temporary_problem(&rig);
    let lines: Vec<_> = log.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "ERR: authdaemon: s_connect() failed: No such file or directory",
            "ERR: [Hint: perhaps authdaemond is not running?]",
            "INFO: LOGIN FAILED, user=alice, ip=[::ffff:192.0.2.7], port=[4711]",
            "ERR: authentication error: No such file or directory",
            "DEBUG: Disconnected, ip=[::ffff:192.0.2.7], port=[4711], time=0",
        ]
    );
    let rig = Rig::new(|_| None);
    let log = log_of_temporary_problem(&rig);
    assert!(log.contains("ERR: authentication error: Input/output error"));
}

#[test]
fn a_home_that_cannot_be_entered_is_a_temporary_problem() {
    let rig = Rig::with_alice();
    std::fs::remove_dir(rig.path("home")).unwrap();
    let log = log_of_temporary_problem(&rig);
    let home = rig.path("home");
    assert!(
        log.contains(&format!(
            "WARN: alice: chdir({}) failed!!\n",
            home.display()
        )),
        "{log}"
    );
    assert!(
        log.contains("WARN: error: No such file or directory\n"),
        "{log}"
    );
}

#[test]
fn a_server_that_cannot_be_run_is_a_temporary_problem() {
    let rig = Rig::with_alice();
    std::fs::remove_file(rig.path("probe")).unwrap();
    let log = log_of_temporary_problem(&rig);
    assert!(log.contains("ERR: exec("), "{log}");
}

#[test]
fn accounts_that_must_not_run_are_refused_and_logged() {
    let (uid, gid) = ids();
    let cases = [
        (
            format!("UID=0\nGID={gid}\nHOME=/\nADDRESS=al\n.\n"),
            "WARN: al: uid 0 or gid 0 refused",
        ),
        (
            format!("UID={uid}\nGID=0\nHOME=/\nADDRESS=al\n.\n"),
            "WARN: al: uid 0 or gid 0 refused",
        ),
        (
            format!("USERNAME=root\nGID={gid}\nHOME=/\nADDRESS=al\n.\n"),
            "WARN: al: uid 0 or gid 0 refused",
        ),
        (
            format!("GID={gid}\nHOME=/\nADDRESS=al\n.\n"),
            "WARN: al: No UID/GID!!",
        ),
        (
            format!("UID={uid}\nGID={gid}\nHOME=/\n.\n"),
            "WARN: No address!!",
        ),
    ];
    let threads: Vec<_> = cases
        .into_iter()
        .map(|(reply, line)| {
            std::thread::spawn(move || {
                let rig = Rig::new(move |_| Some(reply.clone()));
                let mut login = rig.start();
                login.greeting();
                login.ask("a LOGIN al secret", "a NO Login failed.");
                let log = login.log();
                assert!(log.contains(line), "{line}: {log}");
                assert!(log.contains("LOGIN FAILED, user=al, ip="), "{log}");
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn without_root_only_ones_own_account_runs() {
    if is_root() {
        skipped("runs as root");
        return;
    }
    let uid = nix::unistd::geteuid().as_raw() + 1;
    let gid = nix::unistd::getegid().as_raw();
    let rig = Rig::new(move |_| Some(format!("UID={uid}\nGID={gid}\nHOME=/\nADDRESS=al\n.\n")));
    let mut login = rig.start();
    login.greeting();
    login.ask("a LOGIN al secret", "a NO Login failed.");
    assert!(login.log().contains("WARN: al: not started as root"));
}
