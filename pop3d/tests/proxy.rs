//! pop3login with POP3_PROXY: accounts that another server serves.

#![allow(clippy::unwrap_used)] // test code: a failure is a failed test

#[path = "../../imapd/tests/login_rig/mod.rs"]
mod login_rig;
#[path = "../../imapd/tests/proxy_rig/mod.rs"]
mod proxy_rig;

use std::net::Shutdown;

use login_rig::Login;
use proxy_rig::{Backend, Talk, closed_port, rig};

const CONNECTED: &str = "+OK Connected to proxy server.";
const LATER: &str = "-ERR [SYS/TEMP] Temporary problem, please try again later";

/// A server that says this in answer to nothing, and to each line that it hears.
fn answering(replies: &'static [&'static str]) -> Backend {
    Backend::new(move |talk: &mut Talk| {
        for (index, reply) in replies.iter().enumerate() {
            if index > 0 {
                talk.hear();
            }
            talk.say(reply);
        }
        talk.rest();
    })
}

/// A client that has sent its password to a login program with this server.
fn ask(hosts: &str, first: &str) -> Login {
    let rig = rig("POP3_PROXY", hosts, "");
    let mut login = rig.start();
    login.expect("+OK Hello there.");
    if !first.is_empty() {
        login.ask(first, "+OK UTF8 enabled");
    }
    login.ask("USER al", "+OK Password required.");
    login.keep(rig);
    login
}

#[test]
fn a_session_is_passed_on_and_logged() {
    let server = answering(&["+OK hi\r\n", "+OK name\r\n", "+OK in\r\nearly\r\n"]);
    let mut login = ask(&server.name(), "");
    login.send("PASS  p w \r\nSTAT\r\n");
    login.client.shutdown(Shutdown::Write).unwrap();
    login.expect(CONNECTED);
    login.expect("early");
    assert_eq!(login.rest(), "");
    let (code, log) = login.finish();
    assert_eq!(code, Some(0));
    assert_eq!(
        server.heard(),
        ["USER al@x\r\n", "PASS  p w \r\n", "STAT\r\n"]
    );
    let place = "ip=[::ffff:192.0.2.7], port=[4711]";
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(
        lines[..2],
        [
            format!("DEBUG: Connection, {place}"),
            format!("INFO: LOGIN, user=al@x, {place}, protocol=")
        ]
    );
    let end =
        format!("INFO: DISCONNECTED, user=al@x, {place}, top=0, retr=0, rcvd=6, sent=39, time=");
    assert!(lines[2].starts_with(&end), "{log}");
}

#[test]
fn utf8_is_asked_for_if_the_client_did() {
    let server = answering(&["+OK\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n"]);
    let mut login = ask(&server.name(), "UTF8");
    login.ask("PASS x", CONNECTED);
    drop(login);
    assert_eq!(
        server.heard(),
        ["UTF8\r\n", "USER al@x\r\n", "PASS x\r\n", ""]
    );
    let server = answering(&["+OK\r\n", "-ERR what\r\n"]);
    let mut login = ask(&server.name(), "UTF8");
    login.ask("PASS x", LATER);
    let warning = format!("WARN: UTF8 rejected by {}\n", server.name());
    assert!(login.log().contains(&warning), "{}", login.log());
}

/// The client's password is answered by `line`, and the log has `warning` about the server.
fn refused(replies: &'static [&'static str], line: &str, warning: &str) {
    let server = answering(replies);
    let mut login = ask(&server.name(), "");
    login.ask("PASS x", line);
    let log = login.log();
    let warning = format!("WARN: {warning} {}\n", server.name());
    assert!(log.contains(&warning), "{log}");
    assert!(log.contains("INFO: LOGIN FAILED, user=al, ip="), "{log}");
}

const FAILED: &str = "-ERR [AUTH] Login failed.";

#[test]
fn a_refused_name_is_a_failed_login() {
    let replies = &["+OK\r\n", "-ERR who\r\n"];
    refused(replies, FAILED, "Login userid rejected by");
}

#[test]
fn a_refused_password_is_a_failed_login() {
    let replies = &["+OK\r\n", "+OK\r\n", "-ERR wrong\r\n"];
    refused(replies, FAILED, "Login password rejected by");
}

#[test]
fn other_failures_are_a_temporary_problem() {
    let greeting = "Did not receive greeting from";
    refused(&["-ERR full\r\n"], LATER, greeting);
    refused(&["* OK\r\n"], LATER, greeting);
    refused(&["+OK\n"], LATER, greeting);
    let replies = &["+OK\r\n", "+OK\r\n", "-ERR [IN-USE] locked\r\n"];
    refused(replies, LATER, "Login password rejected by");
    let mut login = ask(&format!("127.0.0.1:{}", closed_port()), "");
    login.ask("PASS x", LATER);
}

#[test]
fn an_account_of_this_server_is_served_here() {
    let mut rig = rig("POP3_PROXY", "here", "");
    rig.set("PROXY_HOSTNAME", "here");
    let mut login = rig.start();
    login.expect("+OK Hello there.");
    login.ask("USER al", "+OK Password required.");
    login.send("PASS x\r\n");
    assert_eq!(login.report().variable("AUTHENTICATED"), Some("al@x"));
}
