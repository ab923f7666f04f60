use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::*;

/// What `read` makes of `bytes` followed by a client's first command, and what it leaves in the socket.
fn read_from(bytes: &[u8]) -> (Result<Header, Error>, String) {
    let (mut proxy, mut server) = UnixStream::pair().unwrap();
    proxy.write_all(bytes).unwrap();
    proxy.write_all(b"a NOOP\r\n").unwrap();
    drop(proxy);
    let header = read(server.as_fd(), Duration::from_secs(1));
    let mut rest = String::new();
    server.read_to_string(&mut rest).unwrap();
    (header, rest)
}

fn addresses(source: &str, destination: &str, tls: bool) -> Header {
    Header::For {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        tls,
    }
}

fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, body].concat()
}

const V4_BODY: &[u8] = &[192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 0, 143];

#[test]
fn lines_are_read_to_their_end_and_no_further() {
    for line in [
        "PROXY TCP4 192.0.2.7 10.0.0.1 4711 143\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 4711 143\n",
    ] {
        let (header, rest) = read_from(line.as_bytes());
        assert_eq!(
            header.unwrap(),
            addresses("192.0.2.7:4711", "10.0.0.1:143", false)
        );
        assert_eq!(rest, "a NOOP\r\n");
    }
    let (header, rest) = read_from(b"PROXY TCP6 2001:db8::7 2001:db8::1 1 143\r\n");
    assert_eq!(
        header.unwrap(),
        addresses("[2001:db8::7]:1", "[2001:db8::1]:143", false)
    );
    assert_eq!(rest, "a NOOP\r\n");
    let (header, rest) = read_from(b"PROXY UNKNOWN whatever follows\r\n");
    assert_eq!(
        (header.unwrap(), rest.as_str()),
        (Header::Own, "a NOOP\r\n")
    );
}

#[test]
fn binary_headers_are_read_to_their_end_and_no_further() {
    let (header, rest) = read_from(&binary(0x21, 0x11, V4_BODY));
    assert_eq!(
        header.unwrap(),
        addresses("192.0.2.7:4711", "10.0.0.1:143", false)
    );
    assert_eq!(rest, "a NOOP\r\n");
    let v6: IpAddr = "2001:db8::7".parse().unwrap();
    let IpAddr::V6(v6) = v6 else { unreachable!() };
    let body = [&v6.octets()[..], &v6.octets(), &[0, 1, 0, 143]].concat();
    let (header, _) = read_from(&binary(0x21, 0x21, &body));
    assert_eq!(
        header.unwrap(),
        addresses("[2001:db8::7]:1", "[2001:db8::7]:143", false)
    );
    for (command, family, body) in [
        (0x20, 0, &[][..]),
        (0x20, 0x11, V4_BODY),
        (0x21, 0, &[1, 2]),
    ] {
        let (header, rest) = read_from(&binary(command, family, body));
        assert_eq!(
            (header.unwrap(), rest.as_str()),
            (Header::Own, "a NOOP\r\n")
        );
    }
}

#[test]
fn options_say_whether_the_client_uses_tls() {
    for (options, expected) in [
        (&[0x20, 0, 5, 0x01, 0, 0, 0, 0][..], Some(true)),
        (&[0x20, 0, 5, 0x00, 0, 0, 0, 0], Some(false)),
        (
            &[0x02, 0, 1, b'x', 0x20, 0, 1, 0x01, 0x04, 0, 0],
            Some(true),
        ),
        (&[0x20, 0, 9, 0x01], None),
        (&[0x20, 0], None),
    ] {
        let (header, _) = read_from(&binary(0x21, 0x11, &[V4_BODY, options].concat()));
        match expected {
            Some(tls) => assert_eq!(
                header.unwrap(),
                addresses("192.0.2.7:4711", "10.0.0.1:143", tls)
            ),
            None => assert_eq!(header, Err(Error::Malformed)),
        }
    }
}

#[test]
fn what_is_no_header_is_refused_in_the_original_words() {
    let long = format!("PROXY TCP4 {}", "9".repeat(300));
    for (bytes, expected) in [
        (&b"a LOGIN x y\r\n"[..], "missing PROXY statement"),
        (b"PROXYTCP4\r\n", "missing PROXY statement"),
        (
            b"\r\n\r\nhello, is this a header?",
            "missing PROXY statement",
        ),
        (long.as_bytes(), "response too long"),
        (b"PROXY TCP4 1.2.3.4\r\n", "malformed PROXY statement"),
        (
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 70000\r\n",
            "malformed PROXY statement",
        ),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", "cannot parse TCP4 address"),
        (
            b"PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
            "cannot parse TCP6 address",
        ),
        (
            b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "unknown protocol: UDP4",
        ),
        (&binary(0x31, 0x11, V4_BODY), "malformed PROXY statement"),
        (&binary(0x21, 0x11, b"short"), "malformed PROXY statement"),
    ] {
        assert_eq!(read_from(bytes).0.unwrap_err().to_string(), expected);
    }
    let huge = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
    assert_eq!(read_from(&huge).0, Err(Error::TooLong));
}

#[test]
fn ends_and_silence_are_told_apart() {
    let (proxy, server) = UnixStream::pair().unwrap();
    drop(proxy);
    assert_eq!(read(server.as_fd(), TIMEOUT), Err(Error::Silent));
    for start in [&b"PROXY TC"[..], &SIGNATURE[..5]] {
        let (mut proxy, server) = UnixStream::pair().unwrap();
        proxy.write_all(start).unwrap();
        assert_eq!(
            read(server.as_fd(), Duration::from_millis(30)),
            Err(Error::Timeout)
        );
        proxy.write_all(&start[..0]).unwrap();
        drop(proxy);
    }
    let (mut proxy, server) = UnixStream::pair().unwrap();
    proxy.write_all(b"PROXY TC").unwrap();
    drop(proxy);
    assert_eq!(read(server.as_fd(), TIMEOUT), Err(Error::Closed));
}

#[test]
fn headers_arrive_in_pieces_of_any_size() {
    let headers = [
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 143\r\n".to_vec(),
        binary(0x21, 0x11, V4_BODY),
    ];
    for header in headers {
        for size in [1, 3, 7] {
            let (mut proxy, server) = UnixStream::pair().unwrap();
            let pieces = header.clone();
            let writer = std::thread::spawn(move || {
                for piece in pieces.chunks(size) {
                    proxy.write_all(piece).unwrap();
                    std::thread::sleep(Duration::from_micros(200));
                }
                proxy
            });
            assert_eq!(
                read(server.as_fd(), TIMEOUT).unwrap(),
                addresses("192.0.2.7:4711", "10.0.0.1:143", false)
            );
            writer.join().unwrap();
        }
    }
}

#[test]
fn rules_choose_by_port_and_address_and_the_last_one_wins() {
    let local = |text: &str| text.parse::<SocketAddr>().unwrap();
    let seconds = |rules: &Rules, at: &str| rules.timeout(local(at)).map(|time| time.as_secs());
    let all = Rules::parse(Some(""), None).unwrap();
    assert_eq!(seconds(&all, "10.0.0.1:143"), Some(15));
    let some = Rules::parse(Some("5/port=143,9/port=127.0.0.1.143,/port=imaps"), None).unwrap();
    assert_eq!(seconds(&some, "10.0.0.1:143"), Some(5));
    assert_eq!(seconds(&some, "127.0.0.1:143"), Some(9));
    assert_eq!(seconds(&some, "[::ffff:127.0.0.1]:143"), Some(9));
    assert_eq!(seconds(&some, "10.0.0.1:993"), Some(15));
    assert_eq!(seconds(&some, "10.0.0.1:110"), None);
    assert!(!Rules::parse(None, None).unwrap().any());
    for (bad, message) in [
        ("x", "Invalid -haproxy option: x"),
        ("5/prt=1", "Invalid -haproxy option: 5/prt=1"),
        ("/port=300.1.1.1.143", "Invalid IP address: 300.1.1.1"),
        ("/port=0", "Invalid port: 0"),
    ] {
        assert_eq!(Rules::parse(Some(bad), None).unwrap_err(), message);
    }
}

#[test]
fn networks_limit_who_may_send_headers() {
    let rules = Rules::parse(Some(""), Some("10.0.0.0/8,192.0.2.7,2001:db8::/32")).unwrap();
    for (peer, expected) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("2001:db8:1::", true),
        ("2001:db9::", false),
        ("::1", false),
    ] {
        assert_eq!(rules.accepts(peer.parse().unwrap()), expected, "{peer}");
    }
    let open = Rules::parse(Some(""), None).unwrap();
    assert!(open.accepts("192.0.2.8".parse().unwrap()));
    assert!(!open.lists("192.0.2.8".parse().unwrap()));
    assert!(Rules::parse(Some(""), Some("10.0.0.0/33")).is_err());
}
