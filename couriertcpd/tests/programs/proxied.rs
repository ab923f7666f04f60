//! `-haproxy`: sessions behind a load balancer.

use std::io::Write;

use crate::fixture::{Tcpd, eventually, make_database, read_all, read_line};

const TELL: &str = "echo $TCPREMOTEIP $TCPREMOTEPORT $TCPLOCALIP $TCPLOCALPORT ${TCPREMOTEINFO-unset} \
                    ${IMAP_TLS-unset}; exec cat";

fn send(tcpd: &Tcpd, bytes: &[u8]) -> std::net::TcpStream {
    let mut stream = tcpd.connect();
    stream.write_all(bytes).unwrap();
    stream
}

fn line(source: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 198.51.100.1 4711 143\r\n").into_bytes()
}

/// Version 2, from 192.0.2.7 over TLS.
fn binary() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14".to_vec();
    header.extend([192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0, 143]);
    header.extend([0x20, 0, 5, 1, 0, 0, 0, 0]);
    header
}

#[test]
fn the_session_sees_the_client_and_gets_every_byte_behind_the_header() {
    let tcpd = Tcpd::start(&["-nodnslookup", "-haproxy"], TELL);
    let expected = "::ffff:192.0.2.7 4711 ::ffff:198.51.100.1 143 \
                    proxy via ::ffff:198.51.100.1, port 143 unset";
    for mut header in [line("192.0.2.7"), binary()] {
        header.extend(b"a NOOP\r\n");
        let mut client = send(&tcpd, &header);
        assert_eq!(read_line(&mut client), expected);
        assert_eq!(read_line(&mut client), "a NOOP\r");
    }
    let mut own = send(&tcpd, b"PROXY UNKNOWN\r\n");
    assert!(read_line(&mut own).starts_with("::ffff:127.0.0.1 "));
}

#[test]
fn rubbish_and_silence_are_refused_without_holding_up_others() {
    let tcpd = Tcpd::start(&["-nodnslookup", "-haproxy=1"], TELL);
    let silent = tcpd.connect();
    let half = send(&tcpd, b"PROXY TCP4 192.0.2.7");
    assert_eq!(read_all(send(&tcpd, b"a LOGIN alice secret\r\n")), "");
    let mut good = send(&tcpd, &line("192.0.2.7"));
    assert!(read_line(&mut good).starts_with("::ffff:192.0.2.7 "));
    assert_eq!(read_all(silent), "");
    assert_eq!(read_all(half), "");
    // Once a minute for all together.
    assert_eq!(
        tcpd.log(),
        "haproxy: missing PROXY statement, ip=[::ffff:127.0.0.1]\n"
    );
}

#[test]
fn only_the_named_port_expects_a_header() {
    let tcpd = Tcpd::start(&["-nodnslookup", "-haproxy=/port=1"], TELL);
    let mut client = tcpd.connect();
    assert!(read_line(&mut client).starts_with("::ffff:127.0.0.1 "));
}

#[test]
fn only_listed_proxies_are_believed_and_only_they_vouch_for_tls() {
    let options = [
        "-nodnslookup",
        "-haproxy",
        "-haproxyfrom=127.0.0.2,10.0.0.0/8",
    ];
    let tcpd = Tcpd::start(&options, TELL);
    let mut stranger = tcpd.connect_from(1);
    stranger.write_all(&binary()).unwrap();
    assert_eq!(read_all(stranger), "");
    assert_eq!(
        tcpd.log(),
        "haproxy: not a listed proxy, ip=[::ffff:127.0.0.1]\n"
    );
    let mut proxy = tcpd.connect_from(2);
    proxy.write_all(&binary()).unwrap();
    let told = read_line(&mut proxy);
    assert!(
        told.starts_with("::ffff:192.0.2.7 ") && told.ends_with(" 1"),
        "{told}"
    );
}

#[test]
fn limits_and_access_list_apply_to_the_client_not_to_the_proxy() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.dat");
    make_database(&database, &[("192.0.2.66", "deny"), ("127.0.0.1", "deny")]);
    let access = format!("-access={}", database.display());
    let options = [
        "-nodnslookup",
        "-haproxy",
        "-maxperip=2",
        "-maxperc=3",
        &access,
    ];
    let tcpd = Tcpd::start(&options, TELL);
    assert_eq!(read_all(send(&tcpd, &line("192.0.2.66"))), "");
    let mut served = Vec::new();
    for (source, expected) in [
        ("192.0.2.1", true),
        ("192.0.2.1", true),
        ("192.0.2.1", false),
        ("192.0.2.2", true),
        ("192.0.2.3", false),
        ("203.0.113.1", true),
    ] {
        let mut client = send(&tcpd, &line(source));
        assert_eq!(!read_line(&mut client).is_empty(), expected, "{source}");
        if expected {
            served.push(client);
        } else {
            // Its slot must be free again before the next one is judged.
            let count = served.len();
            eventually("the refused child", || {
                (tcpd.children().len() == count).then_some(())
            });
        }
    }
    assert!(tcpd.log().contains("limit reached for ::ffff:192.0.2.1\n"));
    drop(served);
    eventually("free slots", || {
        let mut client = send(&tcpd, &line("192.0.2.1"));
        (!read_line(&mut client).is_empty()).then_some(())
    });
}

/// The networks of customers are not at hand on the loopback, but a proxy can speak of them.
#[test]
fn addresses_of_one_ipv6_network_count_as_one_if_asked() {
    let client = |host: &str| format!("PROXY TCP6 {host} 2001:db8:f::1 4711 143\r\n");
    for (options, served) in [
        (&["-nodnslookup", "-haproxy", "-maxperip=1"][..], true),
        (
            &[
                "-nodnslookup",
                "-haproxy",
                "-maxperip=1",
                "-maxperipv6bits=64",
            ],
            false,
        ),
    ] {
        let tcpd = Tcpd::start(options, TELL);
        let mut first = send(&tcpd, client("2001:db8::1").as_bytes());
        assert!(read_line(&mut first).starts_with("2001:db8::1 "));
        let mut second = send(&tcpd, client("2001:db8::2").as_bytes());
        assert_eq!(read_line(&mut second).starts_with("2001:db8::2 "), served);
        let mut other = send(&tcpd, client("2001:db8:0:1::1").as_bytes());
        assert!(read_line(&mut other).starts_with("2001:db8:0:1::1 "));
    }
}
