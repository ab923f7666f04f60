//! IDLE.

use std::fs;

use crate::client::Home;

#[test]
fn idle_tells_of_deliveries_flags_and_expunges() {
    let home = Home::new();
    home.place(".", "1.a:2,");
    let mut session = home.start();
    session.ask("SELECT INBOX", "OK");
    session.send(b"i IDLE\r\n");
    session.expect("+ entering idle mode");
    home.deliver(".", "2.b");
    session.expect("* 2 EXISTS");
    session.expect("* ");
    let old = home.maildir().join("cur/1.a:2,");
    let new = home.maildir().join("cur/1.a:2,S");
    fs::rename(&old, &new).unwrap();
    assert!(session.expect("* 1 FETCH (FLAGS (").contains("\\Seen"));
    fs::remove_file(&new).unwrap();
    session.expect("* 1 EXPUNGE");
    session.expect("* 1 EXISTS");
    session.expect("* ");
    session.send(b"done\r\n");
    session.expect("i OK IDLE completed");
    session.ask("NOOP", "OK");
}

#[test]
fn idle_ends_with_done_and_nothing_else() {
    let home = Home::new();
    let mut session = home.start();
    session.send(b"a IDLE\r\n");
    session.expect("+ entering idle mode");
    session.expect_silence();
    session.send(b"b NOOP\r\n");
    session.expect("a BAD");
    session.send(b"c IDLE\r\nDONE\r\nd NOOP\r\n");
    session.expect("+ entering idle mode");
    session.expect("c OK IDLE completed");
    session.expect("d OK");
}

#[test]
fn a_client_that_goes_away_while_idle_is_logged() {
    let home = Home::new();
    let mut session = home.start();
    session.ask("SELECT INBOX", "OK");
    session.send(b"a IDLE\r\n");
    session.expect("+ entering idle mode");
    session.end().logged("INFO: DISCONNECTED");
}
