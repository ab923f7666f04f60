//! IDLE.

use std::fs;
use std::time::{Duration, Instant};

use crate::client::{Home, Session};

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

/// Heap that the process has touched and nobody else, in kB; `None` where the kernel does not tell.
fn dirty_heap(session: &Session) -> Option<u64> {
    let maps = fs::read_to_string(format!("/proc/{}/smaps", session.pid())).ok()?;
    let mut in_heap = false;
    let mut dirty = 0;
    for line in maps.lines() {
        if line
            .split(' ')
            .next()
            .is_some_and(|word| word.contains('-'))
        {
            in_heap = line.ends_with("[heap]");
        } else if let (true, Some(rest)) = (in_heap, line.strip_prefix("Private_Dirty:")) {
            dirty += rest.trim().trim_end_matches(" kB").parse::<u64>().ok()?;
        }
    }
    Some(dirty)
}

fn switches(session: &Session) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", session.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

/// Waits until something holds, or for so long that it never will.
fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if began.elapsed() > Duration::from_secs(30) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_idle_session_gives_its_memory_back_and_sleeps() {
    let home = Home::new();
    for number in 0..300 {
        home.place(".", &format!("{}.M1P1.host:2,S", 1_000_000_000 + number));
    }
    let mut command = home.command();
    // A process that hides itself shows its memory to root alone.
    command.env("IMAP_SANDBOX", "off");
    let mut session = Session::spawn(command);
    session.expect("* PREAUTH");
    session.ask("SELECT INBOX", "OK");
    session.ask("FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY.PEEK[])", "OK");
    session.ask("SORT (SUBJECT) UTF-8 TEXT body", "OK");
    let Some(busy) = dirty_heap(&session) else {
        let line = b"skipped: the kernel does not tell what memory a process uses\n";
        std::io::Write::write_all(&mut std::io::stdout().lock(), line).unwrap();
        return;
    };
    session.send(b"i IDLE\r\n");
    session.expect("+ entering idle mode");
    let small = 200;
    assert!(
        eventually(|| dirty_heap(&session).is_some_and(|now| now <= small)),
        "{:?} kB of {busy}",
        dirty_heap(&session)
    );
    // One poll and nothing else: it does not wake by itself.
    let asleep = || {
        let before = switches(&session);
        std::thread::sleep(Duration::from_millis(1500));
        switches(&session) == before
    };
    assert!(eventually(asleep));
    // And it is all there again.
    home.deliver(".", "2000000000.M1P1.host");
    session.expect("* 301 EXISTS");
    session.expect("* ");
    session.send(b"DONE\r\n");
    session.expect("i OK");
    session.ask("FETCH 300:301 (ENVELOPE BODYSTRUCTURE)", "OK");
    // Waiting for a command rests as well.
    session.ask("FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY.PEEK[])", "OK");
    assert!(eventually(
        || dirty_heap(&session).is_some_and(|now| now <= small)
    ));
}

#[test]
fn a_delivery_is_told_within_100_ms() {
    let home = Home::new();
    let mut session = home.start();
    session.ask("SELECT INBOX", "OK");
    session.send(b"i IDLE\r\n");
    session.expect("+ entering idle mode");
    // The best of some: a loaded machine may be slow now and then, a poll is slow always.
    let best = (0..10)
        .map(|number| {
            // Every other one after the session has gone to rest.
            std::thread::sleep(Duration::from_millis(1200 * (number % 2)));
            let began = Instant::now();
            home.deliver(".", &format!("{}.M1P1.host", 1_000_000_000 + number));
            session.expect(&format!("* {} EXISTS", number + 1));
            let took = began.elapsed();
            session.expect("* ");
            took
        })
        .min();
    assert!(best < Some(Duration::from_millis(100)), "{best:?}");
}
