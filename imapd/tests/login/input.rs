//! Commands before login that are no login, bad input, and ends of connections.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use crate::login_rig::{Rig, resident};

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
