//! LIST, `-address`, and what happens when there is nothing to listen on.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use nix::sys::signal::Signal;

use crate::fixture::{
    COURIERTCPD, Tcpd, command, eventually, free_port, read_all, run, send, skip, try_connect,
};

/// Serves `list` with `options` and asks every address in turn.
fn answers(options: &[&str], list: &str, ask: &[SocketAddr]) -> Vec<String> {
    let mut arguments = vec!["-nodnslookup"];
    arguments.extend(options);
    arguments.extend([
        list,
        "/bin/sh",
        "-c",
        "echo $TCPLOCALIP $TCPLOCALPORT $TCPREMOTEIP",
    ]);
    let mut child = command(COURIERTCPD, &arguments).spawn().unwrap();
    let answers = ask
        .iter()
        .map(|address| {
            read_all(eventually("couriertcpd", || {
                assert!(child.try_wait().unwrap().is_none(), "couriertcpd ended");
                try_connect(*address).ok()
            }))
        })
        .collect();
    send(child.id(), Signal::SIGTERM);
    child.wait().unwrap();
    answers
}

fn v4(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host], port))
}

fn has_ipv6() -> bool {
    let there = TcpListener::bind("[::1]:0").is_ok();
    if !there {
        skip("no IPv6 on this machine");
    }
    there
}

#[test]
fn several_ports_and_addresses_are_served() {
    let (one, two) = (free_port(), free_port());
    let list = format!("127.0.0.1.{one},127.0.0.2.{two}");
    assert_eq!(
        answers(&[], &list, &[v4(1, one), v4(2, two)]),
        [
            format!("::ffff:127.0.0.1 {one} ::ffff:127.0.0.1\n"),
            format!("::ffff:127.0.0.2 {two} ::ffff:127.0.0.1\n"),
        ]
    );
}

#[test]
fn a_port_alone_takes_every_address_of_both_families() {
    if !has_ipv6() {
        return;
    }
    let port = free_port();
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    for options in [&[][..], &["-address=0"], &["-address="]] {
        assert_eq!(
            answers(options, &port.to_string(), &[v4(1, port), v4(3, port), v6]),
            [
                format!("::ffff:127.0.0.1 {port} ::ffff:127.0.0.1\n"),
                format!("::ffff:127.0.0.3 {port} ::ffff:127.0.0.1\n"),
                format!("::1 {port} ::1\n"),
            ]
        );
    }
}

#[test]
fn the_address_option_narrows_entries_without_an_address() {
    let port = free_port();
    assert_eq!(
        answers(&["-address=127.0.0.2"], &port.to_string(), &[v4(2, port)]),
        [format!("::ffff:127.0.0.2 {port} ::ffff:127.0.0.1\n")]
    );
    // 127.0.0.1 was never bound, so it can be now.
    let _taken = TcpListener::bind(v4(1, port)).unwrap();
    answers(
        &["-address=127.0.0.2"],
        &format!("0.{port}"),
        &[v4(2, port)],
    );
}

#[test]
fn a_taken_port_is_reported_and_ends_the_start() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let list = format!("127.0.0.1.{port}");
    let expected = format!("bind: Address already in use (127.0.0.1.{port})\n");
    let (status, _, stderr) = run(COURIERTCPD, &[list.as_str(), "/bin/true"]);
    assert_eq!((status, stderr), (1, expected.clone()));
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let option = format!("-pid={}", pid_file.display());
    let (status, _, stderr) = run(COURIERTCPD, &[option.as_str(), &list, "/bin/true"]);
    assert_eq!((status, stderr), (1, expected));
    assert!(!pid_file.exists());
}

#[test]
fn bad_options_are_reported_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let option = format!("-pid={}", directory.path().join("pid").display());
    for (arguments, expected) in [
        (
            &["-foo=1", "143", "p"][..],
            "couriertcpd: Invalid option: -foo=1\n",
        ),
        (
            &["-maxprocs=0", "143", "p"],
            "Invalid -maxprocsarg option.\n",
        ),
        (
            &["-group=no such", "143", "p"],
            "Group not found: no such\n",
        ),
        (&["no-such-service", "p"], "Invalid port: no-such-service\n"),
        (&["1.2.3.256.143", "p"], "Invalid IP address: 1.2.3.256\n"),
    ] {
        let mut all = vec![option.as_str()];
        all.extend(arguments);
        let (status, _, stderr) = run(COURIERTCPD, &all);
        assert_eq!(status, 1);
        assert!(stderr.ends_with(expected), "{stderr}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_short_backlog_may_be_asked_for() {
    let tcpd = Tcpd::start(&["-nodnslookup", "-listen=1"], "echo ok");
    assert_eq!(tcpd.ask(), "ok\n");
}
