//! imaplogin as couriertcpd starts it: the hand-over to the mail server, refusals, bad input, confinement.

#![allow(clippy::unwrap_used)] // test code: a failure is a failed test

mod login_rig;

use std::fs::Permissions;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use login_rig::{Rig, exists, ids, is_root, resident, status};

fn skipped(why: &str) {
    writeln!(std::io::stdout().lock(), "skipped: {why}").unwrap();
}

#[test]
fn a_login_execs_the_server_as_the_account_in_the_same_process() {
    let mut rig = Rig::with_alice();
    rig.set("IMAP_KEYWORDS", "1");
    rig.set("AUTHENTICATED", "forged");
    rig.set("IMAPLOGINTAG", "forged");
    let mut login = rig.start();
    login.greeting();
    login.send("t1 LOGIN alice secret\r\n");
    let report = login.report();

    let probe = rig.path("probe");
    assert_eq!(
        report.one("started"),
        format!("{} Maildir", probe.display())
    );
    let mut variables = report.all("env");
    variables.sort_unstable();
    let paths = format!("COURIER_PATHS={}", rig.path("paths").display());
    assert_eq!(
        variables,
        [
            "AUTHENTICATED=alice",
            &paths,
            "IMAPLOGINTAG=t1",
            "IMAP_KEYWORDS=1",
            "OPTIONS=",
            "PATH=/usr/bin:/bin",
            "PROTOCOL=IMAP",
            "TCPLOCALPORT=143",
            "TCPREMOTEIP=::ffff:192.0.2.7",
            "TCPREMOTEPORT=4711",
        ]
    );
    assert_eq!(report.descriptors(), ["0", "1", "2"]);
    let (uid, gid) = ids();
    assert_eq!(report.status("Uid"), format!("{uid} {uid} {uid} {uid}"));
    assert_eq!(report.status("Gid"), format!("{gid} {gid} {gid} {gid}"));
    if is_root() {
        assert_eq!(report.status("Groups"), gid.to_string());
    }
    // Nothing of the parser's cage, and no signal blocked or ignored, reaches the server.
    assert_eq!(report.status("Seccomp"), "0");
    assert_eq!(report.status("NoNewPrivs"), "0");
    assert_eq!(report.status("SigBlk"), "0000000000000000");
    // The two above 31 are left ignored by the C library's posix_spawn in this test; what a shell in the background
    // ignores, the test inherits.
    let ignored = |mask: &str| u64::from_str_radix(mask, 16).unwrap() & 0x7fff_ffff;
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .unwrap();
    let inherited = ignored(own.trim());
    assert_eq!(ignored(&report.status("SigIgn")) & !inherited, 0);
    assert_eq!(report.one("cwd"), rig.path("home").to_str().unwrap());
    assert_eq!(report.status("NSpid"), login.child.id().to_string());
    login.client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(login.rest(), "");
    assert_eq!(
        login.log(),
        "DEBUG: Connection, ip=[::ffff:192.0.2.7], port=[4711]\n"
    );
}

#[test]
fn commands_behind_the_login_stay_in_the_socket() {
    for command in [
        "a LOGIN alice secret\r\n",
        "a LOGIN {5+}\r\nalice {6+}\r\nsecret\r\n",
        "a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n",
        "a AUTHENTICATE LOGIN\r\nYWxpY2U=\r\nc2VjcmV0\r\n",
    ] {
        let rig = Rig::with_alice();
        let mut login = rig.start();
        login.greeting();
        login.send(format!("{command}b NOOP\r\nc LOGOUT\r\n"));
        login.client.shutdown(Shutdown::Write).unwrap();
        let rest = login.rest();
        assert!(
            rest.ends_with("end\nb NOOP\r\nc LOGOUT\r\n"),
            "{command}: {rest}"
        );
    }
}

#[test]
fn commands_behind_the_login_stay_in_a_pipe_too() {
    let rig = Rig::with_alice();
    let (input, output) = nix::unistd::pipe().unwrap();
    let (client, server) = UnixStream::pair().unwrap();
    let mut login = rig.start_on(
        Stdio::from(input),
        Stdio::from(OwnedFd::from(server)),
        client,
    );
    login.greeting();
    nix::unistd::write(&output, b"a LOGIN alice secret\r\nb NOOP\r\n").unwrap();
    drop(output);
    let rest = login.rest();
    assert!(rest.ends_with("end\nb NOOP\r\n"), "{rest}");
}

#[test]
fn the_account_record_decides_maildir_options_and_groups() {
    let mut rig = Rig::without_daemon();
    let account = rig.account(
        "alice@example.com",
        "MAILDIR=./Mail\nOPTIONS=group=x,disableimap=0\n",
    );
    rig.serve(move |request| {
        (request == "TCPREMOTEIP=::ffff:192.0.2.7\nAUTH 40\nimaps\nlogin\nalice@example.com\npass word\n")
            .then(|| account.clone())
    });
    rig.set("DEFDOMAIN", "@example.com");
    rig.set("TCPLOCALPORT", "993");
    rig.set("AUTHSERVICE993", "imaps");
    let mut login = rig.start();
    login.greeting();
    login.send("a1 login \"alice\" {9}\r\n");
    login.expect("+ OK");
    login.send("pass word\r\n");
    let report = login.report();
    assert!(report.one("started").ends_with(" ./Mail"));
    assert_eq!(report.variable("AUTHENTICATED"), Some("alice@example.com"));
    assert_eq!(report.variable("OPTIONS"), Some("group=x,disableimap=0"));
    assert_eq!(report.variable("IMAPLOGINTAG"), Some("a1"));
}

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

#[test]
fn cram_answers_the_challenge_that_was_sent() {
    let rig = Rig::without_daemon();
    let account = rig.account("alice", "");
    let (asked, question) = std::sync::mpsc::channel();
    rig.serve(move |request| {
        asked.send(request.to_owned()).unwrap();
        Some(account.clone())
    });
    let mut login = rig.start();
    login.greeting();
    login.send("a AUTHENTICATE CRAM-SHA256\r\n");
    let challenge = login.line();
    let challenge = challenge.strip_prefix("+ ").unwrap();
    // "alice 00", which this daemon believes.
    login.send("YWxpY2UgMDA=\r\n");
    assert_eq!(login.report().variable("AUTHENTICATED"), Some("alice"));
    let question = question.recv().unwrap();
    assert!(
        question.ends_with(&format!("\nimap\ncram-sha256\n{challenge}\nYWxpY2UgMDA=\n")),
        "{question}"
    );
}

#[test]
fn external_takes_the_identity_of_the_certificate() {
    let mut rig = Rig::without_daemon();
    let account = rig.account("al", "");
    rig.serve(move |request| {
        request
            .ends_with("\nPRE . imap al@example.com\n")
            .then(|| account.clone())
    });
    rig.set("IMAP_TLS", "1");
    rig.set("TLS_EXTERNAL", "emailaddress");
    rig.set("TLS_SUBJECT_EMAILADDRESS", "al@example.com");
    let mut login = rig.start();
    assert!(login.greeting().contains(" AUTH=EXTERNAL"));
    login.send("a AUTHENTICATE EXTERNAL\r\n");
    login.expect("+ ");
    login.send("\r\n");
    assert_eq!(login.report().variable("AUTHENTICATED"), Some("al"));
}

#[test]
fn the_daemon_being_down_is_a_temporary_problem() {
    let rig = Rig::without_daemon();
    let mut login = rig.start();
    login.greeting();
    login.ask(
        "a LOGIN alice secret",
        "* BYE Temporary problem, please try again later",
    );
    let (code, log) = login.finish();
    assert_eq!(code, Some(1));
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
    let mut login = rig.start();
    login.greeting();
    login.ask(
        "a LOGIN alice secret",
        "* BYE Temporary problem, please try again later",
    );
    assert!(
        login
            .finish()
            .1
            .contains("ERR: authentication error: Input/output error")
    );
}

#[test]
fn a_home_that_cannot_be_entered_is_a_temporary_problem() {
    let rig = Rig::with_alice();
    std::fs::remove_dir(rig.path("home")).unwrap();
    let mut login = rig.start();
    login.greeting();
    login.ask(
        "a LOGIN alice secret",
        "* BYE Temporary problem, please try again later",
    );
    let (code, log) = login.finish();
    assert_eq!(code, Some(1));
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
    let mut login = rig.start();
    login.greeting();
    login.ask(
        "a LOGIN alice secret",
        "* BYE Temporary problem, please try again later",
    );
    let (code, log) = login.finish();
    assert_eq!(code, Some(1));
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

#[test]
fn a_system_account_brings_its_groups() {
    if !is_root() {
        skipped("needs root");
        return;
    }
    let user = nix::unistd::User::from_name("games").unwrap().unwrap();
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    let rig = Rig::new(move |_| {
        Some(format!(
            "USERNAME=games\nGID={gid}\nHOME=/\nADDRESS=games\n.\n"
        ))
    });
    let mut login = rig.start();
    login.greeting();
    login.send("a LOGIN games secret\r\n");
    let report = login.report();
    assert_eq!(report.status("Uid"), format!("{uid} {uid} {uid} {uid}"));
    assert_eq!(report.status("Groups"), gid.to_string());
}

#[test]
fn a_proxied_account_is_refused_as_long_as_there_is_no_proxy() {
    let mut rig = Rig::without_daemon();
    let account = rig.account("al", "OPTIONS=mailhost=elsewhere.example\n");
    rig.serve(move |_| Some(account.clone()));
    rig.set("IMAP_PROXY", "1");
    let mut login = rig.start();
    login.greeting();
    login.ask(
        "a LOGIN al x",
        "* BYE Temporary problem, please try again later",
    );
    assert!(
        login
            .finish()
            .1
            .contains("ERR: al: served by elsewhere.example")
    );
}

#[test]
fn a_missing_home_is_made_from_the_skeleton() {
    let mut rig = Rig::with_alice();
    std::fs::remove_dir(rig.path("home")).unwrap();
    std::fs::create_dir_all(rig.path("skel/Maildir/new")).unwrap();
    let skeleton = rig.path("skel");
    rig.set("AUTH_MKHOMEDIR_SKEL", skeleton.to_str().unwrap());
    let mut login = rig.start();
    login.greeting();
    login.send("a LOGIN alice secret\r\n");
    assert_eq!(
        login.report().one("cwd"),
        rig.path("home").to_str().unwrap()
    );
    let metadata = std::fs::metadata(rig.path("home/Maildir/new")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&metadata), ids().0);
    assert!(exists(&rig.path("home/Maildir")));
}

#[test]
fn tls_required_refuses_passwords_even_if_starttls_cannot_be_had() {
    let mut rig = Rig::with_alice();
    rig.set("IMAP_TLS_REQUIRED", "1");
    let mut login = rig.start();
    assert!(!login.greeting().contains("STARTTLS"));
    login.ask("a LOGIN alice secret", "a NO STARTTLS required");
    login.ask(
        "b AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==",
        "b NO STARTTLS required",
    );
    login.ask("c STARTTLS", "c BAD STARTTLS is not available.");
    assert!(!login.log().contains("FAILED"));
}

/// A couriertls that says `dump` and `status` and then passes bytes through unchanged.
fn fake_couriertls(rig: &mut Rig, dump: &str, status: &str) {
    let script = format!(
        "#!/bin/bash\n\
         for option; do case $option in\n\
         -statusfd=*) status=${{option#*=}} ;;\n\
         -printx509=*) dump=${{option#*=}} ;;\n\
         -localfd=*) clear=${{option#*=}} ;;\n\
         esac; done\n\
         printf '{dump}' >&$dump\n\
         printf '{status}' >&$status\n\
         test -z '{status}' || exit 1\n\
         eval \"exec $dump>&- $status>&-\"\n\
         id -u >'{}'\n\
         exec {{peer}}<&0\n\
         cat <&$peer >&$clear &\n\
         exec cat <&$clear\n",
        rig.path("tls/uid").display()
    );
    std::fs::create_dir(rig.path("tls")).unwrap();
    std::fs::set_permissions(rig.path("tls"), Permissions::from_mode(0o777)).unwrap();
    let path = rig.path("couriertls");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    rig.set("COURIERTLS", path.to_str().unwrap());
    rig.set("IMAP_STARTTLS", "YES");
    rig.set("IMAP_TLS_REQUIRED", "1");
    rig.set("TLS_EXTERNAL", "mail");
}

const DUMP: &str = "Subject:\n   C=US\n   mail=alice\n\nVersion: TLSv1.3\nBits: 256\n";

#[test]
fn starttls_hands_the_connection_to_couriertls_and_goes_on_behind_it() {
    let mut rig = Rig::with_alice();
    fake_couriertls(&mut rig, DUMP, "");
    rig.set("TLS_SUBJECT_CN", "forged");
    let mut login = rig.start();
    let greeting = login.greeting();
    assert!(greeting.contains(" STARTTLS LOGINDISABLED "), "{greeting}");
    login.ask("a LOGIN alice secret", "a NO STARTTLS required");
    let before = login.parser();
    login.ask("b STARTTLS", "b OK Begin SSL/TLS negotiation now.");
    login.send("c CAPABILITY\r\n");
    let list = login.line();
    assert!(list.contains(" AUTH=EXTERNAL "), "{list}");
    assert!(!list.contains("STARTTLS") && !list.contains("LOGINDISABLED"));
    login.expect("c OK CAPABILITY completed");
    assert_ne!(login.parser(), before);
    login.ask("d STARTTLS", "d BAD STARTTLS is not available.");
    login.send("e LOGIN alice secret\r\nf NOOP\r\n");
    let report = login.report();
    login.expect("f NOOP");
    for (name, value) in [
        ("IMAP_TLS", "1"),
        ("IMAP_STARTTLS", "NO"),
        ("IMAP_TLS_REQUIRED", "0"),
        ("TLS_SUBJECT_C", "US"),
        ("TLS_SUBJECT_MAIL", "alice"),
    ] {
        assert_eq!(report.variable(name), Some(value), "{name}");
    }
    assert_eq!(report.variable("TLS_SUBJECT_CN"), None);
    assert_eq!(report.descriptors(), ["0", "1", "2"]);
    let uid = std::fs::read_to_string(rig.path("tls/uid")).unwrap();
    let expected = if is_root() { 1 } else { ids().0 };
    assert_eq!(uid.trim(), expected.to_string());
}

#[test]
fn a_failed_handshake_ends_the_connection() {
    let mut rig = Rig::with_alice();
    fake_couriertls(
        &mut rig,
        "",
        "ip=[192.0.2.7], An unexpected TLS packet was received.",
    );
    let mut login = rig.start();
    login.greeting();
    login.ask("a STARTTLS", "a OK Begin SSL/TLS negotiation now.");
    assert_eq!(login.rest(), "");
    let (code, log) = login.finish();
    assert_eq!(code, Some(1));
    assert!(
        log.contains("INFO: STARTTLS failed, ip=[::ffff:192.0.2.7], port=[4711]: "),
        "{log}"
    );
    let mut rig = Rig::with_alice();
    fake_couriertls(&mut rig, "", "");
    std::fs::write(rig.path("couriertls"), "#!/nonexistent\n").unwrap();
    let mut login = rig.start();
    login.greeting();
    login.ask("a STARTTLS", "a OK Begin SSL/TLS negotiation now.");
    assert_eq!(login.rest(), "");
    assert!(login.finish().1.contains("500 Unable to start couriertls"));
}

#[test]
fn clear_text_behind_starttls_ends_the_connection() {
    let mut rig = Rig::with_alice();
    fake_couriertls(&mut rig, DUMP, "");
    let mut login = rig.start();
    login.greeting();
    login.send("a STARTTLS\r\nb LOGIN alice secret\r\n");
    assert!(login.line().starts_with("* BYE Commands behind STARTTLS"));
    assert_eq!(login.rest(), "");
}

#[test]
fn plain_commands_are_answered() {
    let mut rig = Rig::with_alice();
    rig.set("DEBUG_LOGIN", "1");
    let mut login = rig.start();
    let greeting = login.greeting();
    assert!(greeting.contains(" SASL-IR"), "{greeting}");
    login.send("a CAPABILITY\r\n");
    let list = login.line();
    assert!(list.starts_with("* CAPABILITY IMAP4rev1"), "{list}");
    assert!(greeting.contains(&list["* ".len()..]));
    login.expect("a OK CAPABILITY completed");
    login.ask("b noop", "b OK NOOP completed");
    login.ask(
        "c ID (\"name\" \"x\")",
        "* ID (\"name\" \"Courier-IMAP\" \"vendor\" \"Courier-IMAP in Rust\")",
    );
    login.expect("c OK ID completed");
    login.ask(
        "d SELECT INBOX",
        "d BAD Error in IMAP command received by server.",
    );
    login.send("e LOGOUT\r\n");
    login.expect("* BYE Courier-IMAP server shutting down");
    login.expect("e OK LOGOUT completed");
    let (code, log) = login.finish();
    assert_eq!(code, Some(0));
    assert!(log.contains("DEBUG: LOGIN: ip=[::ffff:192.0.2.7], command=CAPABILITY\n"));
    let last = log.lines().last().unwrap();
    let sent = greeting.len() + list.len();
    assert!(
        last.starts_with("INFO: LOGOUT, ip=[::ffff:192.0.2.7], port=[4711], rcvd=67, sent="),
        "{last}"
    );
    let counted: usize = last.rsplit('=').next().unwrap().parse().unwrap();
    assert!(counted > sent && counted < sent + 400, "{last}");
}

#[test]
fn the_tenth_bad_command_in_a_row_ends_the_connection() {
    let rig = Rig::with_alice();
    let mut login = rig.start();
    login.greeting();
    for number in 0..9 {
        login.ask(
            &format!("a{number} \0garbage"),
            &format!("a{number} BAD Error in IMAP command received by server."),
        );
    }
    login.send("\r\n");
    login.expect("* BYE [ALERT] Fatal error: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS: ");
    let (code, log) = login.finish();
    assert_eq!(code, Some(1));
    assert!(
        log.contains("ERR: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS, ip="),
        "{log}"
    );
}

#[test]
fn oversize_input_is_refused_without_memory() {
    let rig = Rig::with_alice();
    let mut login = rig.start();
    login.greeting();
    login.ask(
        "a LOGIN {99999999999999999999}",
        "a BAD IMAP command too long.",
    );
    login.ask("b LOGIN {8193}", "b BAD IMAP command too long.");
    login.ask("c NOOP", "c OK NOOP completed");
    login.ask(
        "d FOO {4+}\r\nx NO\r\ne NOOP",
        "d BAD Error in IMAP command received by server.",
    );
    login.expect("e OK NOOP completed");
    login.ask("f LOGIN {99999999+}", "* BYE IMAP command too long.");
    login.finish();

    let mut login = rig.start();
    login.greeting();
    let parser = login.parser();
    let before = resident(parser);
    login.send(vec![b'x'; 15_000]);
    std::thread::sleep(Duration::from_millis(200));
    assert!(resident(parser) < before + 256);
    // It may end before it has taken all.
    login.client.write_all(&vec![b'x'; 100_000]).ok();
    login.expect("* BYE [ALERT] Fatal error: max atom size too small: ");
    assert_eq!(login.finish().0, Some(1));
}

#[test]
fn a_peer_that_leaves_at_any_point_costs_one_line_and_no_process() {
    for sent in [
        "",
        "a",
        "a LOGIN alice sec",
        "a LOGIN {5}\r\n",
        "a LOGIN {5}\r\nal",
        "a LOGIN {5}\r\nalice {6}\r\n",
        "a AUTHENTICATE PLAIN\r\n",
        "a AUTHENTICATE LOGIN\r\nYWxpY2U=\r\n",
        "a NOOP\r\n",
    ] {
        let rig = Rig::with_alice();
        let mut login = rig.start();
        login.greeting();
        login.send(sent);
        login.client.shutdown(Shutdown::Both).unwrap();
        let (code, log) = login.finish();
        assert_eq!(code, Some(0), "{sent}");
        assert_eq!(log.lines().count(), 2, "{sent}: {log}");
        assert!(
            log.contains("\nDEBUG: Disconnected, ip=[::ffff:192.0.2.7], port=[4711], time="),
            "{log}"
        );
    }
}

#[test]
fn a_signal_says_goodbye() {
    let rig = Rig::with_alice();
    let mut login = rig.start();
    login.greeting();
    let pid = nix::unistd::Pid::from_raw(login.child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    login.expect("* BYE Courier-IMAP server shut down by signal.");
    let (_, log) = login.finish();
    assert!(
        log.ends_with(
            "\nNOTICE: Disconnected during shutdown by signal, ip=[::ffff:192.0.2.7], port=[4711], time=0\n"
        ),
        "{log}"
    );
}

#[test]
fn exactly_two_arguments() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_imaplogin"))
        .arg("one")
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        output.stdout,
        b"* BYE imaplogin expected exactly two arguments.\r\n"
    );
}
