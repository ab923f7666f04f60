//! A message of 50 MB: fetched, measured, decoded and searched in flat memory.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::{Home, Session};
use crate::fetch::home;

const SIZE: usize = 50_000_000;

/// Memory that these commands may cost, in kB.
const ALLOWED: u64 = 8 * 1024;

/// A third plain, a third HTML, a third base64 of text.
fn message() -> Vec<u8> {
    let mut text = String::with_capacity(SIZE + 1000);
    text +=
        "MIME-Version: 1.0\nSubject: large\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n";
    let line = "x".repeat(76) + "\n";
    while text.len() < SIZE / 3 {
        text += &line;
    }
    text += "--b\nContent-Type: text/html\n\n";
    while text.len() < SIZE / 3 * 2 {
        text += "<p class=a>H&uuml;lle und <b>F</b>&uuml;lle</p>\n";
    }
    text +=
        "--b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: base64\n\n";
    while text.len() < SIZE - 100 {
        text += "dGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZwp0aGUgcXVpY2sg\n";
    }
    write!(text, "--b--\n{}", "z".repeat(SIZE - text.len() - 6)).unwrap();
    assert!(text.len() == SIZE);
    text.into_bytes()
}

/// Runs commands one by one, and returns what each took out of the session in kB of peak memory.
fn grown(home: &Home, commands: &[(&str, usize)]) -> u64 {
    let mut session = Session::spawn(home.command());
    session.expect("* PREAUTH");
    session.ask("SELECT INBOX", "OK");
    session.ask("UID FETCH 1 FLAGS", "OK");
    let before = session.peak_memory();
    for (command, at_least) in commands {
        session.send(format!("u {command}\r\n").as_bytes());
        let bytes = session.pass_over("u OK");
        assert!(bytes >= *at_least, "{command}: {bytes} bytes");
    }
    session.peak_memory().saturating_sub(before)
}

#[test]
fn reading_a_large_message_takes_little_memory() {
    let message = message();
    let home = home(&[("S", &message)]);
    let grown = grown(
        &home,
        &[
            ("FETCH 1 (RFC822.SIZE BODYSTRUCTURE)", 100),
            ("FETCH 1 BODY[]", SIZE),
            ("FETCH 1 BODY[1]<16000000.1000>", 1000),
            ("FETCH 1 BINARY[3]", SIZE / 5),
        ],
    );
    assert!(grown < ALLOWED, "{grown} kB");
}

#[test]
fn searching_a_large_message_takes_little_memory() {
    let message = message();
    let home = home(&[("S", &message)]);
    let grown = grown(
        &home,
        &[("SEARCH BODY \"not there\" NOT TEXT \"nowhere either\"", 10)],
    );
    assert!(grown < ALLOWED, "{grown} kB");
}

#[test]
fn many_texts_cost_a_large_message_one_pass() {
    let message = message();
    let home = home(&[("S", &message)]);
    let mut keys = String::new();
    for number in 0..240 {
        write!(keys, " NOT BODY \"fox jumps over {number}\"").unwrap();
        // Met again and again, and nearly.
        write!(keys, " NOT TEXT \"xxxxxxxxxx{number}\"").unwrap();
    }
    let command = format!("SEARCH{keys}");
    let grown = grown(&home, &[(&command, 10)]);
    assert!(grown < ALLOWED, "{grown} kB");
}

/// Processor time that a process has used, in hundredths of a second.
fn worked(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, behind_name) = stat.rsplit_once(')').unwrap();
    let user = behind_name.split_whitespace().nth(11).unwrap();
    user.parse().unwrap()
}

/// Hundreds of keys, each of which reads a header of megabytes: minutes, if nobody interrupts it.
#[test]
fn a_long_search_ends_with_its_client_and_by_signal() {
    let message = "X-1: a b\n".repeat(430_000);
    let home = home(&[("S", message.as_bytes())]);
    let keys = " NOT HEADER X-1 \"not there\"".repeat(480);
    for signal in [false, true] {
        let (client, server) = UnixStream::pair().unwrap();
        let mut child = home
            .command()
            .stdin(OwnedFd::from(server.try_clone().unwrap()))
            .stdout(OwnedFd::from(server))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        write!(&client, "a SELECT INBOX\r\nb SEARCH{keys}\r\n").unwrap();
        let end = Instant::now() + Duration::from_secs(8);
        while worked(child.id()) < 50 {
            assert!(Instant::now() < end, "it does not begin");
            assert!(child.try_wait().unwrap().is_none(), "it has ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        let word = if signal {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            kill(pid, Signal::SIGTERM).unwrap();
            "NOTICE: Disconnected during shutdown by signal"
        } else {
            drop(client);
            "INFO: DISCONNECTED"
        };
        let end = Instant::now() + Duration::from_secs(8);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                child.kill().unwrap();
                panic!("it goes on");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = child.wait_with_output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(log.contains(word), "{log}");
    }
}
