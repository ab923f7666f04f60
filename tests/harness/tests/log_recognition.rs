//! Administrators' tools know our log lines: fail2ban's filter for Courier finds the failed logins and nothing else,
//! and logcheck's rules for Courier pass over the everyday lines.
//!
//! The lines come from real sessions and have been through courierlogger; only the date and the host, which
//! syslogd puts in front, are the test's.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::client::Client;
use harness::server::{PASSWORD, Server, Setup, Side};
use harness::{Error, programs};

const FILTER: &str = "/etc/fail2ban/filter.d/courier-auth.conf";
const RULES: &str = "/etc/logcheck/ignore.d.server/courier";

/// `AUTHENTICATE PLAIN` of alice with a wrong password.
const WRONG_PLAIN: &str = "AUTHENTICATE PLAIN AGFsaWNlAHdyb25n";
/// A name that tries to put another address into the log.
const FORGER: &str = "LOGIN \"x, ip=[203.0.113.9], port=[1]\" wrong";

#[test]
fn log_lines_are_recognised() -> Result<(), Error> {
    harness::run(|| {
        let fail2ban = programs::installed("fail2ban-regex")?;
        for file in [FILTER, RULES] {
            if !Path::new(file).is_file() {
                return Err(Error::Skipped(format!("{file} does not exist")));
            }
        }
        let server = Server::start(&Setup::new(Side::Ours, &["alice"]))?;
        let failures = [
            "LOGIN alice wrong",
            "LOGIN nobody wrong",
            WRONG_PLAIN,
            FORGER,
        ];
        std::thread::scope(|scope| {
            let attempts = failures.map(|command| scope.spawn(|| refused(server.port, command)));
            attempts
                .into_iter()
                .try_for_each(|attempt| attempt.join().unwrap_or_else(|_| Err(panicked())))
        })?;
        let mut session = Client::login(server.port, "alice", PASSWORD)?;
        session.expect_ok("LOGOUT")?;
        server.wait_for_log(&["LOGOUT, user=alice"])?;
        server.wait_for_log(&["Disconnected, ip="])?;
        let log = server.state().join("as-syslogd-writes-it");
        for name in ["imapd", "imapd-ssl", "couriertcpd"] {
            let lines = through_courierlogger(&server.log(), name)?;
            std::fs::write(&log, &lines)?;
            // The filter knows the names that the start scripts use, not the listener's.
            if name != "couriertcpd" {
                check_fail2ban(&fail2ban, &log, failures.len())?;
            }
            check_logcheck(&log, name, &lines)?;
        }
        Ok(())
    })
}

fn panicked() -> Error {
    Error::new("a client panicked".to_owned())
}

/// One connection with one failed login, which ends without a LOGOUT.
fn refused(port: u16, command: &str) -> Result<(), Error> {
    let mut client = Client::connect(port)?;
    client.greeting()?;
    match client.command(command)? {
        reply if reply.ok() => Err(Error::new(format!("{command} succeeded"))),
        _ => Ok(()),
    }
}

/// What a syslogd would write of `log`, whose lines still have their level words.
fn through_courierlogger(log: &str, name: &str) -> Result<String, Error> {
    let mut logger = Command::new(programs::ours("courierlogger")?)
        .arg(format!("-name={name}"))
        .arg("-stderr")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = logger.stdin.take() {
        input.write_all(log.as_bytes())?;
    }
    let output = logger.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stderr)
        .lines()
        .map(|line| format!("Nov 24 14:34:57 mail {line}\n"))
        .collect())
}

fn check_fail2ban(program: &PathBuf, log: &Path, expected: usize) -> Result<(), Error> {
    let output = Command::new(program)
        .args(["--out", "ip"])
        .arg(log)
        .arg(FILTER)
        .output()?;
    let found = String::from_utf8_lossy(&output.stdout);
    let addresses: Vec<&str> = found.lines().collect();
    if addresses.len() == expected && addresses.iter().all(|&address| address == "127.0.0.1") {
        return Ok(());
    }
    Err(Error::new(format!(
        "fail2ban found {addresses:?} in\n{}",
        std::fs::read_to_string(log)?
    )))
}

/// The everyday lines are passed over (for each name only those that the rules know under it); failed logins never.
fn check_logcheck(log: &Path, name: &str, lines: &str) -> Result<(), Error> {
    let output = Command::new("grep")
        .args(["-E", "-v", "-f", RULES])
        .arg(log)
        .output()?;
    let reported = String::from_utf8_lossy(&output.stdout);
    let known: &[&str] = match name {
        "imapd-ssl" => &[" LOGIN, ", " LOGOUT, user="],
        "couriertcpd" => &[" LOGIN, ", " LOGOUT, user=", " Disconnected, "],
        _ => &[],
    };
    for word in known {
        if !lines.contains(word) || reported.contains(word) {
            return Err(Error::new(format!("logcheck reports{word}in\n{lines}")));
        }
    }
    let failed = |text: &str| text.matches(" LOGIN FAILED, ").count();
    if failed(&reported) != failed(lines) {
        return Err(Error::new(format!(
            "logcheck hides failed logins of\n{lines}"
        )));
    }
    Ok(())
}
