use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use super::*;

/// A daemon that reads one request, up to `expected` bytes, answers `reply` and closes.
fn daemon(
    expected: usize,
    reply: &'static [u8],
) -> (tempfile::TempDir, Client, JoinHandle<Vec<u8>>) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        let mut request = vec![0; expected];
        peer.read_exact(&mut request).unwrap();
        peer.write_all(reply).unwrap();
        request
    });
    let client = Client {
        socket,
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(5),
            write: Duration::from_secs(5),
        },
        remote: None,
        default_domain: None,
    };
    (directory, client, thread)
}

#[test]
fn a_login_is_sent_as_the_protocol_says_and_its_account_read() {
    let request = b"TCPREMOTEIP=192.0.2.5\nAUTH 40\nimap\nlogin\nalice@example.com\nimapsecret\n";
    let (_directory, mut client, thread) = daemon(
        request.len(),
        b"UID=5000\nGID=5000\nHOME=/h\nADDRESS=alice\n.\n",
    );
    client.remote = Some(b"192.0.2.5".to_vec());
    client.default_domain = DefaultDomain::new(b"@example.com", None);
    let outcome = client.login(b"imap", b"alice", b"imapsecret");
    let sent = thread.join().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&sent),
        String::from_utf8_lossy(request)
    );
    let Outcome::Accepted(info) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(info.address.as_deref(), Some(&b"alice"[..]));
}

#[test]
fn a_cram_response_is_rewritten_with_the_default_domain() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let response = STANDARD.encode("al ice 0123abcd");
    let completed = STANDARD.encode("al ice@x 0123abcd");
    let body = format!("imap\ncram-md5\nPGE+\n{completed}\n");
    let request = format!("AUTH {}\n{body}", body.len());
    let (_directory, mut client, thread) = daemon(request.len(), b"FAIL\n");
    client.default_domain = DefaultDomain::new(b"@x", None);
    let outcome = client.cram(b"imap", "cram-md5", b"PGE+", response.as_bytes());
    assert!(matches!(outcome, Outcome::Rejected));
    assert_eq!(thread.join().unwrap(), request.as_bytes());
}

#[test]
fn a_reply_that_is_cut_off_or_absent_or_odd_is_a_temporary_failure() {
    for reply in [
        &b""[..],
        b"UID=1\nGID=1\nHOME=/h\n",
        b"UID=x\nGID=1\n.\n",
        b"FAI",
        b"FAIL",
        b"OK\n",
        b".\n",
    ] {
        let (_directory, client, thread) = daemon(13, reply);
        let outcome = client.lookup(b"imap", b"a");
        assert!(
            matches!(outcome, Outcome::Temporary(_)),
            "{}: {outcome:?}",
            String::from_utf8_lossy(reply)
        );
        thread.join().unwrap();
    }
}

#[test]
fn a_reply_over_the_limit_is_a_temporary_failure() {
    let (_directory, client, thread) = daemon(13, &[b'x'; REPLY_MAX + 1]);
    let outcome = client.lookup(b"imap", b"a");
    assert!(matches!(outcome, Outcome::Temporary(Failure::BadReply)));
    thread.join().unwrap();
}

#[test]
fn a_daemon_that_is_not_there_is_named_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    drop(UnixListener::bind(&socket).unwrap());
    let client = Client {
        socket,
        timeouts: Timeouts::from_env(),
        remote: None,
        default_domain: None,
    };
    match client.lookup(b"imap", b"a") {
        Outcome::Temporary(failure) => {
            assert_eq!(failure.errno(), Errno::ECONNREFUSED);
            assert!(failure.daemon_is_down());
            assert_eq!(failure.to_string(), "Connection refused");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_silent_daemon_is_not_waited_for_longer_than_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let _listener = UnixListener::bind(&socket).unwrap();
    let client = Client {
        socket,
        timeouts: Timeouts {
            connect: Duration::from_secs(1),
            read: Duration::from_millis(50),
            write: Duration::from_secs(1),
        },
        remote: None,
        default_domain: None,
    };
    let begun = Instant::now();
    let outcome = client.login(b"imap", b"a", b"b");
    assert!(matches!(outcome, Outcome::Temporary(Failure::Exchange(_))));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_no_account_can_be_is_rejected_without_asking() {
    let client = Client {
        socket: "/nonexistent/socket".into(),
        timeouts: Timeouts::from_env(),
        remote: None,
        default_domain: None,
    };
    let long = vec![b'a'; BODY_MAX];
    for (user, password) in [
        (&b"a\nb"[..], &b"x"[..]),
        (b"a", b"x\0"),
        (b"a\x1f", b"x"),
        (&long, b"x"),
        (b"a", &long),
    ] {
        assert!(matches!(
            client.login(b"imap", user, password),
            Outcome::Rejected
        ));
    }
    assert!(matches!(client.lookup(b"imap", &long), Outcome::Rejected));
    assert!(matches!(client.lookup(b"", b"a"), Outcome::Rejected));
}
