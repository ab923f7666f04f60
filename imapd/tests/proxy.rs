//! imaplogin with IMAP_PROXY: accounts that another server serves.

#![allow(clippy::unwrap_used)] // test code: a failure is a failed test

mod login_rig;
mod proxy_rig;

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use login_rig::{Rig, is_root, put_program, status};
use proxy_rig::{Backend, Talk, closed_port, rig};

const CONNECTED: &str = "a1 OK connected to proxy server.";

/// A server that lets everybody in and repeats what it is told, until `bye`.
fn echo(talk: &mut Talk) {
    talk.say("* OK [CAPABILITY IMAP4rev1] hello\r\n");
    talk.hear();
    talk.say("* CAPABILITY IMAP4rev1\r\na1 OK in\r\n* first words\r\n");
    loop {
        let line = talk.hear();
        talk.say(&format!("echo {line}"));
        if line.is_empty() || line.starts_with("bye") {
            return;
        }
    }
}

#[test]
fn a_session_is_passed_on_and_logged() {
    let server = Backend::new(echo);
    let rig = rig("IMAP_PROXY", &server.name(), "");
    let mut login = rig.start();
    login.greeting();
    // What follows in one packet, from either side, is not lost.
    login.send("a1 LOGIN al \"s\\\"e\\\\ t\"\r\nbehind\r\n");
    login.expect(CONNECTED);
    login.expect("* first words");
    login.expect("echo behind");
    login.ask("more", "echo more");
    login.ask("bye", "echo bye");
    assert_eq!(login.rest(), "");
    let (code, log) = login.finish();
    assert_eq!(code, Some(0));
    assert_eq!(
        server.heard(),
        [
            "a1 LOGIN \"al@x\" \"s\\\"e\\\\ t\"\r\n",
            "behind\r\n",
            "more\r\n",
            "bye\r\n"
        ]
    );
    let place = "ip=[::ffff:192.0.2.7], port=[4711]";
    let start = format!(
        "DEBUG: Connection, {place}\n\
         INFO: LOGIN, user=al@x, {place}, protocol=IMAP\n\
         INFO: LOGOUT, user=al@x, {place}, headers=0, body=0, rcvd=19, sent="
    );
    assert!(log.starts_with(&start), "{log}");
}

#[test]
fn the_relay_has_no_privileges_and_is_the_process_that_was_started() {
    let server = Backend::new(echo);
    let rig = rig("IMAP_PROXY", &server.name(), "");
    let mut login = rig.start();
    login.greeting();
    login.send("a1 AUTHENTICATE PLAIN AGFsAHNlY3JldA==\r\n");
    login.expect(CONNECTED);
    let pid = login.child.id();
    login.expect("* first words");
    assert_eq!(status(pid, "Seccomp"), "2");
    assert_eq!(status(pid, "NoNewPrivs"), "1");
    if is_root() {
        let daemon = nix::unistd::User::from_name("daemon").unwrap().unwrap();
        // The mail user of the rig is whoever owns authdaemond's directory, which is root's here.
        let uid = daemon.uid.to_string();
        assert_eq!(status(pid, "Uid"), [uid.as_str(); 4].join(" "));
        assert_eq!(status(pid, "Groups"), daemon.gid.to_string());
    }
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    assert_eq!(children, "");
    login.ask("bye", "echo bye");
    login.finish();
}

#[test]
fn a_foreign_server_shows_its_own_capabilities() {
    let server = Backend::new(|talk| {
        talk.say("* OK hello\r\n");
        talk.hear();
        talk.say("a1 OK in\r\n");
        talk.hear();
        talk.say("* CAPABILITY FOREIGN\r\na1 OK capa done\r\n");
        talk.hear();
    });
    let mut rig = rig("IMAP_PROXY", &server.name(), "");
    rig.set("IMAP_PROXY_FOREIGN", "1");
    let mut login = rig.start();
    login.greeting();
    login.send("a1 LOGIN al x\r\n");
    login.expect("* CAPABILITY FOREIGN");
    login.expect("a1 OK capa done");
    login.send("b NOOP\r\n");
    assert_eq!(
        server.heard(),
        [
            "a1 LOGIN \"al@x\" \"x\"\r\n",
            "a1 CAPABILITY\r\n",
            "b NOOP\r\n"
        ]
    );
}

/// The session is served here.
fn local(rig: &Rig, log: &str) {
    let mut login = rig.start();
    login.greeting();
    login.send("a1 LOGIN al x\r\n");
    let report = login.report();
    assert_eq!(report.variable("AUTHENTICATED"), Some("al@x"));
    assert_eq!(report.descriptors(), ["0", "1", "2"]);
    assert_eq!(report.status("Seccomp"), "0");
    let found = login.log();
    let found = found.split_once('\n').unwrap().1;
    assert_eq!(found, log);
}

#[test]
fn an_account_of_this_server_is_served_here() {
    let warning = "WARN: proxy enabled, but no proxy host defined for al@x\n";
    local(&rig("IMAP_PROXY", "", ""), warning);
    let mut named = rig("IMAP_PROXY", "Front.Example", "");
    named.set("PROXY_HOSTNAME", "front.example");
    local(&named, "");
    named.set("DEBUG_LOGIN", "1");
    let mut login = named.start();
    login.greeting();
    login.send("a1 LOGIN al x\r\n");
    login.report();
    let line = "DEBUG: Proxy host Front.Example is me, normal login.\n";
    assert!(login.log().contains(line), "{}", login.log());
    let ours = nix::unistd::gethostname().unwrap();
    local(&rig("IMAP_PROXY", ours.to_str().unwrap(), ""), "");
    let off = rig("IMAP_PROXYX", "there", "");
    local(&off, "");
    // Where the client's own connection came in, this server is: no loop.
    let mut own = rig("IMAP_PROXY", "127.0.0.1:143", "");
    own.set("TCPLOCALIP", "::ffff:127.0.0.1");
    local(&own, "");
    // And so is a name further on in the list.
    let refused = closed_port();
    let mut second = rig(
        "IMAP_PROXY",
        &format!("127.0.0.1:{refused},front.example"),
        "",
    );
    second.set("PROXY_HOSTNAME", "front.example");
    local(
        &second,
        &format!("WARN: Proxy connection to 127.0.0.1:{refused} failed: Connection refused\n"),
    );
}

#[test]
fn the_next_server_is_asked_where_one_does_not_answer() {
    let good = Backend::new(echo);
    let silent = Backend::new(|_| {});
    let refusing = Backend::new(|talk| {
        talk.say("* OK\r\n");
        talk.hear();
        talk.say("a1 NO not here\r\n");
    });
    let hosts = format!(
        "127.0.0.1:{},{},{},{}",
        closed_port(),
        silent.name(),
        refusing.name(),
        good.name()
    );
    let rig = rig("IMAP_PROXY", &hosts, "");
    let mut login = rig.start();
    login.greeting();
    login.send("a1 LOGIN al x\r\n");
    login.expect(CONNECTED);
    let log = login.log();
    for line in [
        format!("WARN: Did not receive greeting from {}\n", silent.name()),
        format!("WARN: Login to {} failed\n", refusing.name()),
    ] {
        assert!(log.contains(&line), "{log}");
    }
}

/// What the client is told when its only server behaves like this, and the log.
fn answer(serve: impl Fn(&mut Talk) + Send + 'static) -> (String, String) {
    let server = Backend::new(serve);
    let rig = rig("IMAP_PROXY", &server.name(), "");
    let mut login = rig.start();
    login.greeting();
    login.send("a1 LOGIN al x\r\n");
    let line = login.line();
    (line, login.log())
}

const LATER: &str = "* BYE Temporary problem, please try again later";

#[test]
fn servers_that_misbehave_are_a_temporary_problem() {
    let greeting = "WARN: Did not receive greeting from ";
    let login = "WARN: Login to ";
    let says = |text: &'static str| move |talk: &mut Talk| talk.say(text);
    let replies = |text: &'static str| {
        move |talk: &mut Talk| {
            talk.say("* OK\r\n");
            talk.hear();
            talk.say(text);
            talk.rest();
        }
    };
    for (result, warning) in [
        (answer(|_| {}), greeting),
        (answer(says("+OK POP3 ready\r\n")), greeting),
        (answer(says("* BYE full\r\n")), greeting),
        (answer(says("* PREAUTH hello\r\n")), greeting),
        (answer(says("\0\u{1}\u{2}\r\n")), greeting),
        (answer(|talk| talk.say(&"x".repeat(1 << 20))), greeting),
        (answer(replies("b1 OK who\r\n")), login),
        (answer(replies("a1 OK\n")), login),
        (answer(replies("+ more\r\n")), login),
        (answer(replies("a1 NO [UNAVAILABLE] later\r\n")), login),
        (answer(replies("* BYE later\r\n")), login),
        (
            answer(|talk| {
                talk.say("* OK\r\n");
                talk.hear();
                talk.say(&"* 1 EXISTS\r\n".repeat(100_000));
            }),
            login,
        ),
    ] {
        assert_eq!(result.0, LATER, "{}", result.1);
        assert!(result.1.contains(warning), "{}", result.1);
        assert!(
            result
                .1
                .contains("INFO: LOGIN FAILED, user=al, ip=[::ffff:192.0.2.7], port=[4711]\n"),
            "{}",
            result.1
        );
    }
    let (line, log) = answer(|_| {});
    assert_eq!(line, LATER);
    let reason = "ERR: authentication error: no mail server of the account answers\n";
    assert!(log.contains(reason), "{log}");
}

#[test]
fn a_server_that_refuses_the_login_is_a_failed_login() {
    let begin = Instant::now();
    let (line, log) = answer(|talk| {
        talk.say("* OK\r\n");
        talk.hear();
        talk.say("a1 NO Login failed.\r\n");
    });
    assert_eq!(line, "a1 NO Login failed.");
    assert!(begin.elapsed() >= Duration::from_secs(5));
    assert!(log.contains("WARN: Login to 127.0.0.1:"), "{log}");
}

/// A login with CRAM, for which nobody types a password; `more` is what else the account has. The reply and the log.
fn cram(server: &Backend, more: &str) -> (String, String) {
    let rig = rig("IMAP_PROXY", &server.name(), more);
    let mut login = rig.start();
    login.greeting();
    login.send("a1 AUTHENTICATE CRAM-MD5\r\n");
    assert!(login.line().starts_with("+ "));
    login.send("YWwgMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=\r\n");
    (login.line(), login.log())
}

#[test]
fn a_password_is_needed() {
    let (line, log) = cram(&Backend::new(echo), "");
    assert_eq!(line, "a1 NO Login failed.");
    let warning = "WARN: proxy enabled, but no password for al@x\n";
    assert!(log.contains(warning), "{log}");
}

#[test]
fn a_password_in_the_account_will_do() {
    let server = Backend::new(echo);
    assert_eq!(cram(&server, "PASSWD2=secret\n").0, CONNECTED);
    assert_eq!(server.heard()[0], "a1 LOGIN \"al@x\" \"secret\"\r\n");
}

#[test]
fn a_password_cannot_bring_another_command() {
    let (line, log) = cram(&Backend::new(echo), "PASSWD2=s\rx\n");
    assert_eq!(line, "a1 NO Login failed.");
    let warning = "WARN: proxy: a line end in the name or the password of al@x\n";
    assert!(log.contains(warning), "{log}");
}

#[test]
fn debugging_shows_the_exchange_without_the_password() {
    let server = Backend::new(echo);
    let mut rig = rig("IMAP_PROXY", &server.name(), "");
    rig.set("DEBUG_LOGIN", "1");
    let mut login = rig.start();
    login.greeting();
    login.send("a1 LOGIN al geheim\r\n");
    login.expect(CONNECTED);
    let log = login.log();
    for line in [
        format!("DEBUG: Proxy connected to {}\n", server.name()),
        "DEBUG: Received: * OK [CAPABILITY IMAP4rev1] hello\n".to_owned(),
        "DEBUG: Sending: a1 LOGIN ".to_owned(),
        "DEBUG: Received: a1 OK in\n".to_owned(),
    ] {
        assert!(log.contains(&line), "{log}");
    }
    assert!(!log.contains("geheim"), "{log}");
}

#[test]
fn nothing_is_sent_in_clear_where_encryption_is_wanted() {
    let server = Backend::new(echo);
    let mut rig = rig("IMAP_PROXY", &server.name(), "");
    rig.set("IMAP_PROXY_TLS", "1");
    let mut login = rig.start();
    login.greeting();
    login.ask("a1 LOGIN al x", LATER);
    let line = format!(
        "WARN: Proxy connection to {} failed: COURIERTLS is not set\n",
        server.name()
    );
    assert!(login.log().contains(&line), "{}", login.log());
    assert_eq!(server.heard().concat(), "");
}

#[test]
fn a_server_that_dies_in_the_middle_ends_the_session() {
    let server = Backend::new(|talk| {
        talk.say("* OK\r\n");
        talk.hear();
        talk.say("a1 OK in\r\n* 1 FETCH (BODY[] {1000}\r\nhalf");
    });
    let rig = rig("IMAP_PROXY", &server.name(), "");
    let mut login = rig.start();
    login.greeting();
    login.send("a1 LOGIN al x\r\n");
    login.expect(CONNECTED);
    assert_eq!(login.rest(), "* 1 FETCH (BODY[] {1000}\r\nhalf");
    login.finish();
}

#[test]
fn a_client_that_leaves_ends_the_session() {
    let server = Backend::new(|talk| {
        talk.say("* OK\r\n");
        talk.hear();
        talk.say("a1 OK in\r\n");
        talk.rest();
        talk.say("last words\r\n");
    });
    let rig = rig("IMAP_PROXY", &server.name(), "");
    let mut login = rig.start();
    login.greeting();
    login.send("a1 LOGIN al x\r\n");
    login.expect(CONNECTED);
    login.send("b NOOP\r\n");
    login.client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(login.rest(), "last words\r\n");
    let (code, log) = login.finish();
    assert_eq!(code, Some(0));
    assert!(log.contains("INFO: DISCONNECTED, user=al@x, ip="), "{log}");
    assert!(log.contains(" rcvd=8, sent="), "{log}");
    assert_eq!(server.heard()[1], "b NOOP\r\n");
}

#[test]
fn a_client_that_does_not_read_makes_the_server_wait() {
    let server = Backend::new(|talk| {
        talk.say("* OK\r\n");
        talk.hear();
        talk.say("a1 OK in\r\n");
        talk.say(&"0123456789abcdef".repeat(4 << 20 >> 4));
        talk.hear();
        talk.say("x".repeat(32 << 20).as_str());
    });
    let rig = rig("IMAP_PROXY", &server.name(), "");
    let mut login = rig.start();
    login.greeting();
    login.send("a1 LOGIN al x\r\n");
    login.expect(CONNECTED);
    login.send("go on\r\n");
    let memory = login_rig::resident(login.child.id());
    assert!(memory < 8 * 1024, "{memory} KiB");
    assert_eq!(login.rest().len(), 36 << 20);
    login.finish();
}

#[test]
fn a_signal_ends_a_relay_with_a_line() {
    let server = Backend::new(echo);
    let rig = rig("IMAP_PROXY", &server.name(), "");
    let mut login = rig.start();
    login.greeting();
    login.send("a1 LOGIN al x\r\n");
    login.expect(CONNECTED);
    login.expect("* first words");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(login.child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(login.rest(), "");
    let (code, log) = login.finish();
    assert_eq!(code, Some(0));
    assert!(
        log.contains("\nNOTICE: Disconnected during shutdown by signal, user=al@x, ip=["),
        "{log}"
    );
}

#[test]
fn a_signal_ends_the_search_for_a_server() {
    let server = Backend::new(|talk| {
        talk.hear();
    });
    let rig = rig("IMAP_PROXY", &server.name(), "");
    let mut login = rig.start();
    login.greeting();
    login.send("a1 LOGIN al x\r\n");
    // Both helpers are there, and the server says nothing.
    let pid = login.child.id();
    let limit = Instant::now() + Duration::from_secs(20);
    let children = format!("/proc/{pid}/task/{pid}/children");
    while std::fs::read_to_string(&children)
        .unwrap()
        .split_whitespace()
        .count()
        < 3
    {
        assert!(Instant::now() < limit, "{}", login.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    login.expect("* BYE Courier-IMAP server shut down by signal.");
    assert_eq!(login.finish().0, Some(0));
}

#[test]
fn names_are_looked_up_by_a_program() {
    let server = Backend::new(echo);
    let host = format!("mail.example:{}", server.port);
    for (script, line) in [
        (
            "#!/bin/sh\n[ \"$1 $2\" = '-- mail.example' ] && echo 127.0.0.1:0\n",
            CONNECTED,
        ),
        ("#!/bin/sh\necho 'no such name' >&2; exit 1\n", LATER),
        ("#!/bin/sh\necho rubbish\n", LATER),
    ] {
        let rig = rig("IMAP_PROXY", &host, "");
        let program = rig.path("systemhost");
        put_program(&program, script);
        let mut paths = std::fs::OpenOptions::new()
            .append(true)
            .open(rig.path("paths"))
            .unwrap();
        writeln!(paths, "libexecdir={}", program.parent().unwrap().display()).unwrap();
        let mut login = rig.start();
        login.greeting();
        login.send("a1 LOGIN al x\r\n");
        login.expect(line);
        if script.contains("no such name") {
            let log = login.log();
            let warning = format!("WARN: getaddrinfo on proxyhost {host} failed: no such name\n");
            assert!(log.contains(&warning), "{log}");
        }
    }
}
