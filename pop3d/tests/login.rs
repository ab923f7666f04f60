//! pop3login as couriertcpd starts it: the hand-over to the mail server, refusals, bad input.

#![allow(clippy::unwrap_used)] // test code: a failure is a failed test

#[path = "../../imapd/tests/login_rig/mod.rs"]
mod login_rig;

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use login_rig::{Login, Rig, ids, is_root, put_program, resident, status};

/// With account `alice`, and the greeting read.
fn start(rig: &mut Rig) -> Login {
    rig.set("TCPLOCALPORT", "110");
    let mut login = rig.start();
    login.expect("+OK Hello there.");
    login
}

fn login_as(login: &mut Login, password: &str) {
    login.ask("USER alice", "+OK Password required.");
    login.send(format!("PASS {password}\r\n"));
}

#[test]
fn a_login_execs_the_server_as_the_account() {
    let mut rig = Rig::with_alice();
    let mut login = start(&mut rig);
    login_as(&mut login, "secret");
    let report = login.report();
    let mut variables = report.all("env");
    variables.sort_unstable();
    let paths = format!("COURIER_PATHS={}", rig.path("paths").display());
    assert_eq!(
        variables,
        [
            "AUTHENTICATED=alice",
            &paths,
            "OPTIONS=",
            "PATH=/usr/bin:/bin",
            "TCPLOCALPORT=110",
            "TCPREMOTEIP=::ffff:192.0.2.7",
            "TCPREMOTEPORT=4711",
            "UTF8=0",
        ]
    );
    assert_eq!(report.descriptors(), ["0", "1", "2"]);
    let (uid, gid) = ids();
    assert_eq!(report.status("Uid"), format!("{uid} {uid} {uid} {uid}"));
    assert_eq!(report.status("Gid"), format!("{gid} {gid} {gid} {gid}"));
    assert_eq!(report.status("Seccomp"), "0");
    assert_eq!(report.one("cwd"), rig.path("home").to_str().unwrap());
    assert_eq!(report.status("NSpid"), login.child.id().to_string());
}

#[test]
fn commands_behind_the_login_stay_in_the_socket() {
    for commands in [
        "USER alice\r\nPASS secret\r\n",
        "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n",
        "AUTH LOGIN\r\nYWxpY2U=\r\nc2VjcmV0\r\n",
    ] {
        let mut rig = Rig::with_alice();
        let mut login = start(&mut rig);
        login.send(format!("UTF8\r\n{commands}STAT\r\nQUIT\r\n"));
        login.client.shutdown(Shutdown::Write).unwrap();
        let rest = login.rest();
        assert!(rest.contains("\nenv UTF8=1\n"), "{rest}");
        assert!(
            rest.ends_with("end\nSTAT\r\nQUIT\r\n"),
            "{commands}: {rest}"
        );
    }
}

#[test]
fn the_service_is_pop3_whatever_the_local_port() {
    for (port, service) in [("", "pop3"), ("110", "pop3"), ("995", "pop3s")] {
        let mut rig = Rig::without_daemon();
        let account = rig.account("alice", "");
        rig.serve(move |request| {
            request
                .contains(&format!("\n{service}\nlogin\nalice\n p w \n"))
                .then(|| account.clone())
        });
        rig.set("AUTHSERVICE995", "pop3s");
        rig.set("TCPLOCALPORT", port);
        let mut login = rig.start();
        login.expect("+OK Hello there.");
        // Every byte behind the one blank is part of the password.
        login_as(&mut login, " p w ");
        assert_eq!(login.report().variable("AUTHENTICATED"), Some("alice"));
    }
}

#[test]
fn a_failed_pass_waits_and_may_be_repeated_without_user() {
    let mut rig = Rig::with_alice();
    let mut login = start(&mut rig);
    let begin = Instant::now();
    login_as(&mut login, "wrong");
    login.expect("-ERR [AUTH] Login failed.");
    assert!(begin.elapsed() >= Duration::from_secs(5));
    assert!(
        login
            .log()
            .contains("INFO: LOGIN FAILED, user=alice, ip=[::ffff:192.0.2.7], port=[4711]\n")
    );
    login.send("PASS secret\r\n");
    login.report();
}

#[test]
fn aborted_exchanges_are_answered_at_once_but_not_for_ever() {
    let mut rig = Rig::with_alice();
    let mut login = start(&mut rig);
    let begin = Instant::now();
    for _ in 0..2 {
        login.ask("AUTH PLAIN", "+ ");
        login.ask("*", "-ERR Authentication aborted.");
    }
    login.ask("AUTH PLAIN =", "-ERR Authentication aborted.");
    assert!(begin.elapsed() < Duration::from_secs(3));
    login.ask("AUTH PLAIN !", "-ERR Authentication aborted.");
    assert!(begin.elapsed() >= Duration::from_secs(5));
    assert_eq!(
        login
            .log()
            .matches("INFO: LOGIN FAILED, method=PLAIN, ip=")
            .count(),
        4
    );
}

#[test]
fn an_unknown_mechanism_and_wrong_credentials_fail() {
    let mut rig = Rig::with_alice();
    let mut login = start(&mut rig);
    let begin = Instant::now();
    login.ask("AUTH NTLM x", "-ERR [AUTH] Authentication failed.");
    assert!(begin.elapsed() >= Duration::from_secs(5));
    assert!(login.log().contains("LOGIN FAILED, method=NTLM, ip="));
    login.ask("AUTH", "-ERR Invalid command.");
    login.ask("AUTH PLAIN a b", "-ERR Invalid command.");
}

#[test]
fn a_stopped_daemon_is_a_temporary_problem() {
    let mut rig = Rig::without_daemon();
    let mut login = start(&mut rig);
    login_as(&mut login, "secret");
    login.expect("-ERR [SYS/TEMP] Temporary problem, please try again later");
    drop(login.client.shutdown(Shutdown::Write));
    let (code, log) = login.finish();
    assert_eq!(code, Some(1));
    assert!(log.contains("ERR: authentication error: No such file or directory\n"));
}

#[test]
fn commands_before_login() {
    let mut rig = Rig::with_alice();
    rig.set("POP3AUTH", "LOGIN CRAM-MD5");
    let mut login = start(&mut rig);
    login.ask("capa", "+OK Here's what I can do:");
    let mut list = Vec::new();
    while list.last().map(String::as_str) != Some(".") {
        list.push(login.line());
    }
    assert_eq!(list.first().unwrap(), "SASL LOGIN CRAM-MD5");
    assert!(list.contains(&"PIPELINING".to_owned()));
    login.ask("LANG", "+OK Language listing follows:");
    for line in ["en English", "i-default Default language", "."] {
        login.expect(line);
    }
    login.ask("LANG *", "+OK en King's English");
    login.ask("LANG de", "-ERR Language not available.");
    login.ask("UTF8 x", "+OK UTF8 enabled");
    for command in [
        "STAT",
        "NOOP",
        "APOP a b",
        "",
        "USER",
        "USER a\0b",
        "\u{fc}",
    ] {
        login.ask(command, "-ERR Invalid command.");
    }
    login.ask("PASS x", "-ERR USER/PASS required.");
    login.ask("USER alice", "+OK Password required.");
    login.ask("PASS", "-ERR USER/PASS required.");
    login.ask("STLS", "-ERR TLS support not available.");
    login.ask("QUIT", "+OK Better luck next time.");
    let (code, log) = login.finish();
    assert_eq!(code, Some(0));
    assert_eq!(
        log,
        "DEBUG: Connection, ip=[::ffff:192.0.2.7], port=[4711]\n\
         INFO: LOGOUT, ip=[::ffff:192.0.2.7], port=[4711]\n\
         DEBUG: Disconnected, ip=[::ffff:192.0.2.7], port=[4711]\n"
    );
}

#[test]
fn required_tls_refuses_names_and_mechanisms() {
    let mut rig = Rig::with_alice();
    rig.set("POP3_TLS_REQUIRED", "1");
    let mut login = start(&mut rig);
    login.ask("USER alice", "-ERR TLS required to log in.");
    login.ask("PASS secret", "-ERR USER/PASS required.");
    login.ask(
        "AUTH PLAIN AGFsaWNlAHNlY3JldA==",
        "-ERR TLS required to log in.",
    );
}

#[test]
fn long_lines_are_read_over_whole() {
    let mut rig = Rig::with_alice();
    let mut login = start(&mut rig);
    let parser = login.parser();
    let before = resident(parser);
    let mut line = vec![b'x'; 1 << 20];
    line.extend_from_slice(b"\r\nLANG en\r\n");
    login.send(line);
    login.expect("-ERR Line too long.");
    login.expect("+OK en King's English");
    assert!(resident(parser) < before + 256);
}

#[test]
fn a_flood_of_pipelined_commands_is_answered_in_order() {
    let mut rig = Rig::with_alice();
    let mut login = start(&mut rig);
    let mut writer = login.client.try_clone().unwrap();
    let flood = "LANG en\r\nNOOP\r\n".repeat(10_000) + "QUIT\r\n";
    let sender = std::thread::spawn(move || writer.write_all(flood.as_bytes()).unwrap());
    let replies = "+OK en King's English\r\n-ERR Invalid command.\r\n".repeat(10_000);
    let rest = login.rest();
    assert!(rest == replies + "+OK Better luck next time.\r\n");
    sender.join().unwrap();
    assert_eq!(login.finish().0, Some(0));
}

#[test]
fn the_parser_is_caged() {
    let mut rig = Rig::with_alice();
    let login = start(&mut rig);
    let parser = login.parser();
    assert_eq!(status(parser, "NoNewPrivs"), "1");
    assert_eq!(status(login.child.id(), "NoNewPrivs"), "0");
    if is_root() {
        assert_eq!(status(parser, "CapEff"), "0000000000000000");
    }
}

#[test]
fn a_peer_that_leaves_at_any_point_is_logged() {
    for sent in [
        "",
        "US",
        "USER alice\r\n",
        "USER alice\r\nPASS se",
        "AUTH PLAIN\r\n",
    ] {
        let mut rig = Rig::with_alice();
        let mut login = start(&mut rig);
        login.send(sent);
        login.client.shutdown(Shutdown::Both).unwrap();
        let (code, log) = login.finish();
        assert_eq!(code, Some(0), "{sent}");
        assert_eq!(log.lines().count(), 2, "{sent}: {log}");
    }
}

#[test]
fn stls_forgets_what_was_said_in_clear() {
    let mut rig = Rig::with_alice();
    // Says that the handshake went well and passes bytes through unchanged.
    let script = "#!/bin/bash\n\
         for option; do case $option in\n\
         -statusfd=*) status=${option#*=} ;;\n\
         -printx509=*) dump=${option#*=} ;;\n\
         -localfd=*) clear=${option#*=} ;;\n\
         esac; done\n\
         printf 'Version: TLSv1.3\\n' >&$dump\n\
         eval \"exec $dump>&- $status>&-\"\n\
         exec {peer}<&0\n\
         cat <&$peer >&$clear &\n\
         exec cat <&$clear\n";
    let path = rig.path("couriertls");
    put_program(&path, script);
    rig.set("COURIERTLS", path.to_str().unwrap());
    rig.set("POP3_STARTTLS", "YES");
    let mut login = start(&mut rig);
    login.ask("USER mallory", "+OK Password required.");
    login.ask("UTF8", "+OK UTF8 enabled");
    login.ask("STLS", "+OK Begin SSL/TLS negotiation now.");
    login.ask("PASS x", "-ERR USER/PASS required.");
    login.ask("STLS", "-ERR TLS support not available.");
    login_as(&mut login, "secret");
    let report = login.report();
    assert_eq!(report.variable("POP3_TLS"), Some("1"));
    assert_eq!(report.variable("POP3_STARTTLS"), Some("NO"));
    assert_eq!(report.variable("UTF8"), Some("0"));

    let mut login = start(&mut rig);
    login.send("STLS\r\nUSER alice\r\n");
    login.expect("-ERR Commands behind STLS before the TLS negotiation.");
    assert_eq!(login.rest(), "");
}

#[test]
fn an_account_with_all_its_sessions_is_in_use() {
    let mut rig = Rig::with_alice();
    let paths = std::fs::read_to_string(rig.path("paths")).unwrap();
    let piddir = rig.path("home").parent().unwrap().display().to_string();
    std::fs::write(rig.path("paths"), format!("{paths}piddir={piddir}\n")).unwrap();
    rig.set("MAXPERACCOUNT", "1");
    let mut first = start(&mut rig);
    login_as(&mut first, "secret");
    first.report();
    let mut second = start(&mut rig);
    login_as(&mut second, "secret");
    second.expect("-ERR [IN-USE] Too many sessions of this account.");
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    second.send("PASS secret\r\n");
    second.report();
}
