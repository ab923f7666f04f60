//! Guessing passwords: the answers to wrong ones become slower, those to right ones do not.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use crate::login_rig::{Login, Rig};

fn rig() -> Rig {
    let rig = Rig::with_alice();
    let paths = std::fs::read_to_string(rig.path("paths")).unwrap();
    let piddir = rig.path("home").parent().unwrap().display().to_string();
    std::fs::write(rig.path("paths"), format!("{paths}piddir={piddir}\n")).unwrap();
    rig
}

/// Offers a password and waits until the log has the refusal, which comes at once.
fn guess(rig: &Rig, password: &str) -> (Login, String) {
    let mut login = rig.start();
    login.greeting();
    login.send(format!("a LOGIN alice {password}\r\n"));
    let deadline = std::time::Instant::now() + Duration::from_secs(8);
    while !login.log().contains("LOGIN FAILED, user=alice, ") {
        assert!(std::time::Instant::now() < deadline, "{}", login.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    let log = login.log();
    (login, log)
}

#[test]
fn the_fourth_wrong_password_waits_longer_and_the_right_one_does_not() {
    let rig = rig();
    let line = "INFO: BRAKE, user=alice, ip=[::ffff:192.0.2.7], port=[4711], passwords=4\n";
    // The same again, as an old telephone has it, does not count.
    let earlier: Vec<_> = ["w1", "w1", "w2", "w3", "w2"]
        .iter()
        .map(|password| guess(&rig, password))
        .collect();
    assert!(earlier.iter().all(|(_, log)| !log.contains("BRAKE")));
    let (mut fourth, log) = guess(&rig, "w4");
    assert!(log.contains(line), "{log}");
    // Said once.
    let (fifth, log) = guess(&rig, "w5");
    assert!(!log.contains("BRAKE"), "{log}");
    // The ordinary delay is five seconds.
    fourth
        .client
        .set_read_timeout(Some(Duration::from_secs(7)))
        .unwrap();
    let early = fourth.client.read(&mut [0; 10]).unwrap_err().kind();
    assert!(matches!(early, ErrorKind::WouldBlock | ErrorKind::TimedOut));
    let mut right = rig.start();
    right.greeting();
    right.send("a LOGIN alice secret\r\n");
    right.report();
    let mode = std::fs::metadata(rig.path("courier-guesses"))
        .unwrap()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    drop((earlier, fifth));
}

#[test]
fn it_can_be_turned_off() {
    let mut rig = rig();
    rig.set("BRAKE", "NO");
    let (_login, _log) = guess(&rig, "wrong");
    assert!(!rig.path("courier-guesses").exists());
}
