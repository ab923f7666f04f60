//! What a program of the chain finds when it starts: descriptors, environment, signals, identity.
//!
//! The programs in question are replaced by `cat` and `ls`, which print what they were given.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;

use nix::unistd::getuid;

use harness::Error;
use harness::server::{PASSWORD, SETTINGS, Server, Setup, Side, connect};

/// What couriertcpd adds to its own environment.
const CONNECTION: [&str; 4] = ["TCPLOCALIP", "TCPLOCALPORT", "TCPREMOTEIP", "TCPREMOTEPORT"];
/// What imaplogin adds to that.
const LOGIN: [&str; 4] = ["AUTHENTICATED", "IMAPLOGINTAG", "OPTIONS", "PROTOCOL"];

#[test]
fn couriertcpd_hands_over_a_connection_and_nothing_else() -> Result<(), Error> {
    harness::run(|| {
        let probe = |program: &str, file: &str| -> Result<Vec<u8>, Error> {
            let mut setup = Setup::new(Side::Ours, &[]);
            setup.without_authdaemond = true;
            setup.command = Some([program, file].map(OsString::from).to_vec());
            let server = Server::start(&setup)?;
            let mut text = Vec::new();
            connect(server.port)?.read_to_end(&mut text)?;
            Ok(text)
        };
        check_descriptors(&probe("/bin/ls", "/proc/self/fd")?);
        check_signals(&status(&probe("/bin/cat", "/proc/self/status")?));
        let environment = variables(&probe("/bin/cat", "/proc/self/environ")?);
        check_names(&environment, &[&CONNECTION[..]]);
        assert_eq!(environment["TCPREMOTEIP"], "::ffff:127.0.0.1");
        assert_eq!(environment["TCPLOCALIP"], "::ffff:127.0.0.1");
        Ok(())
    })
}

#[test]
fn imaplogin_hands_over_an_account_without_its_secrets() -> Result<(), Error> {
    harness::run(|| {
        check_descriptors(&after_login("/bin/ls", "/proc/self/fd")?);

        let environment = variables(&after_login("/bin/cat", "/proc/self/environ")?);
        check_names(&environment, &[&CONNECTION[..], &LOGIN[..]]);
        assert_eq!(environment["AUTHENTICATED"], "probe");
        assert_eq!(environment["IMAPLOGINTAG"], "tag1");
        assert_eq!(environment["OPTIONS"], "disableshared=1");
        assert_eq!(environment["PROTOCOL"], "IMAP");
        for (name, value) in &environment {
            assert!(!value.contains(PASSWORD), "{name} holds the password");
        }

        let status = status(&after_login("/bin/cat", "/proc/self/status")?);
        check_signals(&status);
        // A filter would bind the mail server and everything that it starts.
        assert_eq!(status["Seccomp"], "0");
        assert_eq!(status["NoNewPrivs"], "0");
        if getuid().is_root() {
            for field in ["Uid", "Gid"] {
                let ids: Vec<&str> = status[field].split_ascii_whitespace().collect();
                assert!(ids.iter().all(|&id| id == ids[0] && id != "0"), "{ids:?}");
            }
            let gid = status["Gid"].split_ascii_whitespace().next();
            let groups: Vec<&str> = status["Groups"].split_ascii_whitespace().collect();
            assert_eq!(groups, gid.into_iter().collect::<Vec<_>>());
            for field in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                assert_eq!(status[field], "0000000000000000", "{field}");
            }
        }
        Ok(())
    })
}

/// Logs in to a server whose imapd is `program` and whose maildir is `file`; returns what that prints.
fn after_login(program: &str, file: &str) -> Result<Vec<u8>, Error> {
    let mut setup = Setup::new(Side::Ours, &["probe"]);
    setup.session_program = Some(PathBuf::from(program));
    setup.maildirs.insert("probe".to_owned(), file.to_owned());
    setup
        .options
        .insert("probe".to_owned(), "disableshared=1".to_owned());
    let server = Server::start(&setup)?;
    let mut stream = connect(server.port)?;
    stream.write_all(format!("tag1 LOGIN probe {PASSWORD}\r\n").as_bytes())?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    let greeting = text.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    Ok(text.split_off(greeting + 1))
}

/// `ls` itself opens the directory as the lowest free descriptor.
fn check_descriptors(listed: &[u8]) {
    let listed = String::from_utf8_lossy(listed);
    let numbers: Vec<&str> = listed.split_ascii_whitespace().collect();
    assert_eq!(numbers, ["0", "1", "2", "3"]);
}

fn check_signals(status: &BTreeMap<String, String>) {
    // 32 and up belong to the C library and to whoever started the tests.
    const STANDARD: u64 = 0x7fff_ffff;
    for field in ["SigBlk", "SigIgn"] {
        let set = u64::from_str_radix(&status[field], 16);
        assert_eq!(set.map(|set| set & STANDARD), Ok(0), "{field}");
    }
}

/// The names are those that the server was started with and `added`, and all of `added` are there.
fn check_names(environment: &BTreeMap<String, String>, added: &[&[&str]]) {
    let given = [
        "PATH",
        "TZ",
        "COURIER_PATHS",
        "LLVM_PROFILE_FILE",
        "RUST_BACKTRACE",
        "PEERS_CACHE",
    ];
    let settings = SETTINGS.map(|(name, _)| name);
    let known = |name: &str| {
        given.contains(&name)
            || settings.contains(&name)
            || added.iter().any(|names| names.contains(&name))
    };
    for name in environment.keys() {
        assert!(known(name), "unexpected variable {name}");
    }
    for name in added.iter().copied().flatten().chain(&settings) {
        assert!(environment.contains_key(*name), "{name} is missing");
    }
}

fn variables(text: &[u8]) -> BTreeMap<String, String> {
    pairs(text, '\0', '=')
}

fn status(text: &[u8]) -> BTreeMap<String, String> {
    pairs(text, '\n', ':')
}

fn pairs(text: &[u8], end: char, middle: char) -> BTreeMap<String, String> {
    String::from_utf8_lossy(text)
        .split(end)
        .filter_map(|pair| {
            let (name, value) = pair.split_once(middle)?;
            Some((name.to_owned(), value.trim().to_owned()))
        })
        .collect()
}
