//! The roster of sessions and MAXPERACCOUNT.

use std::os::unix::fs::MetadataExt;

use courier::roster;

use crate::login_rig::Rig;

/// A rig whose directory of pid files is its own, with accounts `alice` and `bob`.
fn rig(limit: &str) -> Rig {
    let mut rig = Rig::without_daemon();
    let paths = std::fs::read_to_string(rig.path("paths")).unwrap();
    let piddir = rig.path("home").parent().unwrap().display().to_string();
    std::fs::write(rig.path("paths"), format!("{paths}piddir={piddir}\n")).unwrap();
    let (alice, bob) = (rig.account("alice", ""), rig.account("bob", ""));
    rig.serve(move |request| {
        Some(if request.contains("\nalice\n") {
            alice.clone()
        } else {
            bob.clone()
        })
    });
    rig.set("MAXPERACCOUNT", limit);
    rig
}

#[test]
fn an_account_has_as_many_sessions_as_it_may_and_is_told_so() {
    let rig = rig("2");
    let mut sessions: Vec<_> = (0..2)
        .map(|_| {
            let mut login = rig.start();
            login.greeting();
            login.send("a LOGIN alice secret\r\n");
            login.report();
            login
        })
        .collect();
    let mut third = rig.start();
    third.greeting();
    third.send("a LOGIN alice secret\r\n");
    third.expect("a NO [LIMIT] Too many sessions of this account.");
    let line = "INFO: LIMIT, user=alice, ip=[::ffff:192.0.2.7], port=[4711], sessions=2\n";
    assert!(third.log().ends_with(line), "{}", third.log());
    // Another account is not concerned; the next try is as good as the first when a session has ended.
    let mut other = rig.start();
    other.greeting();
    other.send("a LOGIN bob secret\r\n");
    other.report();
    let mut ended = sessions.pop().unwrap();
    ended.child.kill().unwrap();
    ended.child.wait().unwrap();
    third.send("b LOGIN alice secret\r\n");
    assert_eq!(third.report().variable("IMAPLOGINTAG"), Some("b"));

    let path = rig.path("courier-sessions");
    let mode = std::fs::metadata(&path).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    let on = roster::sessions(&path).unwrap();
    let accounts: Vec<&[u8]> = on.iter().map(|entry| entry.account.as_slice()).collect();
    assert_eq!(accounts, [&b"alice"[..], b"bob", b"alice"]);
    let last = on.last().unwrap();
    assert_eq!(last.pid, third.child.id());
    assert_eq!(
        (last.address.as_slice(), last.port),
        (&b"::ffff:192.0.2.7"[..], 4711)
    );
}

#[test]
fn a_roster_that_cannot_be_used_keeps_nobody_out() {
    let rig = rig("1");
    std::fs::create_dir(rig.path("courier-sessions")).unwrap();
    let mut login = rig.start();
    login.greeting();
    login.send("a LOGIN alice secret\r\n");
    login.report();
    assert!(
        login
            .log()
            .contains("courier-sessions: Is a directory; MAXPERACCOUNT is not checked\n"),
        "{}",
        login.log()
    );
}

#[test]
fn without_roster_and_limit_nothing_is_written() {
    let mut rig = rig("0");
    rig.set("ROSTER", "NO");
    let mut login = rig.start();
    login.greeting();
    login.send("a LOGIN alice secret\r\n");
    login.report();
    assert!(!rig.path("courier-sessions").exists());
}
