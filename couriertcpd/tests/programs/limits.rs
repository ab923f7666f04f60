//! `-maxprocs`, `-maxperip`, `-maxperc`, and running out of descriptors.

use std::io::Read;
use std::time::Duration;

use crate::fixture::{Tcpd, command, eventually, make_database, output, read_all, read_line, skip};

const STAY: &str = "echo hello; exec cat >/dev/null";

#[test]
fn exactly_maxperip_sessions_of_one_address_are_served() {
    let tcpd = Tcpd::start(&["-nodnslookup", "-maxperip=2"], STAY);
    let mut clients = [tcpd.connect(), tcpd.connect()];
    for client in &mut clients {
        assert_eq!(read_line(client), "hello");
    }
    assert_eq!(tcpd.ask(), "");
    assert_eq!(
        tcpd.log(),
        "ALERT: Maximum connection limit reached for ::ffff:127.0.0.1\n"
    );
    // Another address is not concerned, and a slot that becomes free is free.
    assert_eq!(read_line(&mut tcpd.connect_from(2)), "hello");
    drop(clients);
    eventually("the end of the sessions", || {
        (read_line(&mut tcpd.connect()) == "hello").then_some(())
    });
}

#[test]
fn maxcperip_replaces_the_limit_per_address_both_ways() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.dat");
    make_database(
        &database,
        &[
            ("127.0.0.1", "allow,MAXCPERIP=3"),
            ("127.0.0.2", "allow,MAXCPERIP=1"),
            ("127.0.0.3", "allow,MAXCPERIP=0"),
        ],
    );
    let option = format!("-access={}", database.display());
    let tcpd = Tcpd::start(&["-nodnslookup", "-maxperip=2", &option], STAY);
    for (host, limit) in [(1, 3), (2, 1), (3, 2)] {
        let mut clients: Vec<_> = (0..limit).map(|_| tcpd.connect_from(host)).collect();
        for client in &mut clients {
            assert_eq!(read_line(client), "hello");
        }
        assert_eq!(tcpd.ask_from(host), "");
    }
}

#[test]
fn maxperc_counts_a_block_and_says_so_once() {
    let tcpd = Tcpd::start(&["-nodnslookup", "-maxperc=2"], STAY);
    let mut clients = [tcpd.connect_from(1), tcpd.connect_from(2)];
    for client in &mut clients {
        assert_eq!(read_line(client), "hello");
    }
    assert_eq!(tcpd.ask_from(3), "");
    assert_eq!(tcpd.ask_from(4), "");
    assert_eq!(
        tcpd.log(),
        "INFO: Maximum connection limit reached for the network of ::ffff:127.0.0.3\n"
    );
}

#[test]
fn clients_beyond_maxprocs_wait_and_are_served_later() {
    let tcpd = Tcpd::start(&["-nodnslookup", "-maxprocs=3", "-warn=2"], STAY);
    let mut clients: Vec<_> = (0..3).map(|_| tcpd.connect()).collect();
    for client in &mut clients {
        assert_eq!(read_line(client), "hello");
    }
    tcpd.wait_for_log("ALERT");
    assert_eq!(
        tcpd.log(),
        "WARN: 2 active connections.\nALERT: 3 maximum active connections.\n"
    );
    let mut waiting = tcpd.connect();
    waiting
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let error = waiting.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    waiting
        .set_read_timeout(Some(Duration::from_secs(8)))
        .unwrap();
    drop(clients.pop());
    assert_eq!(read_line(&mut waiting), "hello");
    // Each message at most once a minute.
    assert_eq!(tcpd.log().lines().count(), 2);
}

#[test]
fn silent_clients_hold_nobody_up() {
    let tcpd = Tcpd::start(&["-nodnslookup", "-maxperip=40"], "read line; echo $line");
    let silent: Vec<_> = (0..30).map(|_| tcpd.connect()).collect();
    let mut client = tcpd.connect();
    std::io::Write::write_all(&mut client, b"hi\n").unwrap();
    assert_eq!(read_all(client), "hi\n");
    drop(silent);
}

#[test]
fn running_out_of_descriptors_is_logged_once_and_passes() {
    let tcpd = Tcpd::start(&["-nodnslookup", "-maxperip=20"], "echo hello");
    let pid = tcpd.pid().to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count();
    let limit = |number: usize| {
        let option = format!("--nofile={number}:1024");
        let (status, ..) = output(command("prlimit", &["--pid", &pid, &option]));
        status == 0
    };
    if !limit(open) {
        skip("prlimit cannot change limits here");
        return;
    }
    let mut clients = [tcpd.connect(), tcpd.connect()];
    tcpd.wait_for_log("accept: Too many open files");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(tcpd.log(), "ERR: accept: Too many open files\n");
    assert!(limit(1024));
    for client in &mut clients {
        assert_eq!(read_line(client), "hello");
    }
}

#[test]
fn the_parent_stays_small() {
    let tcpd = Tcpd::start(&["-nodnslookup", "-maxprocs=300", "-maxperip=300"], STAY);
    let mut clients: Vec<_> = (0..50).map(|_| tcpd.connect()).collect();
    for client in &mut clients {
        assert_eq!(read_line(client), "hello");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", tcpd.pid())).unwrap();
    let size: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .unwrap()
        .parse()
        .unwrap();
    assert!(size < 1024, "{size} KiB of memory of its own");
}
