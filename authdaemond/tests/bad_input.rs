//! Rubbish, slow and vanishing peers: each gets what it deserves, and nobody else notices.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use support::{Instance, PASSWORD, auth};

const RC: &str = "authmodulelist=\"authuserdb\"\ndaemons=1\n";

fn works(daemon: &Instance) {
    let reply = daemon.login("imap", "alice", PASSWORD);
    assert!(reply.starts_with("UID=5000\n"), "{reply}\n{}", daemon.log());
}

#[test]
fn what_is_no_request_is_answered_by_a_close_at_once() {
    let daemon = Instance::start(RC);
    let long_line = format!("PRE . imap {}\n", "x".repeat(65_536));
    let long_auth = auth(&format!("imap\nlogin\nalice\n{}\n", "x".repeat(65_536)));
    let long_meta = "A=b\n".repeat(20_000);
    for request in [
        &b"HELLO\n"[..],
        b"pre . imap alice\n",
        b"PRE\n",
        b"PRE . imap\n",
        b"\n",
        b"\0\0\0\0\n",
        b"AUTH\n",
        b"AUTH -1\n",
        b"AUTH 8192\n",
        b"AUTH 18446744073709551616\n",
        b"AUTH 4\nimap",
        b"PASSWD imap\talice\tx\n",
        b"\xff\xfe\xfd\n",
        b"GET / HTTP/1.1\r\n\r\n",
        long_line.as_bytes(),
        &long_auth,
        long_meta.as_bytes(),
    ] {
        let begun = Instant::now();
        let reply = daemon.ask(request);
        assert_eq!(
            reply,
            "",
            "{:?}",
            String::from_utf8_lossy(&request[..request.len().min(40)])
        );
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    works(&daemon);
}

#[test]
fn the_longest_body_is_taken_and_a_service_is_never_a_command() {
    let daemon = Instance::start(RC);
    let body = format!("imap\nlogin\nalice\n{}", "x".repeat(8191 - 17));
    assert_eq!(body.len(), 8191);
    assert_eq!(daemon.ask(auth(&body)), "FAIL\n");
    assert_eq!(
        daemon.ask(auth("ENUMERATE\nlogin\nalice\nwrong\n")),
        "FAIL\n"
    );
    assert_eq!(
        daemon.ask(auth("imap\nlogin\nali\0ce\ntest123\n")),
        "FAIL\n"
    );
    let longest_line = format!("PRE . imap {}\n", "x".repeat(8190 - 11));
    assert_eq!(daemon.ask(longest_line), "FAIL\n");
}

#[test]
fn peers_that_stall_hold_nobody_up() {
    let daemon = Instance::start(RC);
    // One worker, several stalled peers: logins go on.
    let stalled: Vec<_> = [&b""[..], b"P", b"AUTH 100\nimap\n", b"TCPREMOTEIP=", b"\0"]
        .into_iter()
        .map(|part| {
            let mut peer = daemon.connect();
            peer.write_all(part).unwrap();
            peer
        })
        .collect();
    for _ in 0..3 {
        let asked = Instant::now();
        works(&daemon);
        assert!(
            asked.elapsed() < Duration::from_secs(3),
            "{:?}",
            asked.elapsed()
        );
    }
    drop(stalled);
}

#[test]
fn a_peer_is_waited_for_so_long_and_no_longer() {
    use authdaemond::debug::Debug;
    use authdaemond::listen::Listener;
    use authdaemond::service::Service;
    use authdaemond::worker::{Limits, run};
    use courier::config::paths::Paths;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    let directory = tempfile::tempdir().unwrap();
    let paths = Paths {
        authdaemonvar: directory.path().to_owned(),
        ..Paths::compiled_in()
    };
    let listener = Listener::bind(&paths).unwrap();
    let (until, stop) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let limits = Limits {
        read: Duration::from_millis(300),
        write: Duration::from_millis(300),
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut service = Service::new(Vec::new(), Debug(0), Vec::new());
            run(&listener, until.as_fd(), &mut service, limits);
        });
        let begun = Instant::now();
        let mut silent = UnixStream::connect(paths.authdaemond_socket()).unwrap();
        let mut dripping = UnixStream::connect(paths.authdaemond_socket()).unwrap();
        // Drops of one byte do not prolong it.
        while begun.elapsed() < Duration::from_secs(5) && dripping.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut reply = Vec::new();
        silent.read_to_end(&mut reply).unwrap();
        assert!(reply.is_empty());
        let elapsed = begun.elapsed();
        assert!(elapsed >= Duration::from_millis(300), "{elapsed:?}");
        assert!(elapsed < Duration::from_secs(4), "{elapsed:?}");
        drop(stop);
    });
    listener.remove();
    assert!(!paths.authdaemond_socket().exists());
}

#[test]
fn peers_that_vanish_cost_nothing() {
    let daemon = Instance::start(RC);
    for round in 0..100 {
        let mut peer = daemon.connect();
        match round % 4 {
            0 => {}
            1 => peer.write_all(b"AUTH 50\nimap\n").unwrap(),
            2 => peer.write_all(b"PRE . imap alice\n").unwrap(),
            _ => {
                peer.write_all(b"PRE . imap alice").unwrap();
                peer.shutdown(Shutdown::Write).unwrap();
                let mut reply = Vec::new();
                peer.read_to_end(&mut reply).unwrap();
                assert!(reply.is_empty());
            }
        }
    }
    works(&daemon);
    let pid = daemon.workers()[0];
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count();
    assert!(open < 16, "{open} descriptors");
    assert!(!daemon.log().contains("died"), "{}", daemon.log());
}

#[test]
fn more_peers_than_a_worker_keeps_still_leave_room_for_logins() {
    let daemon = Instance::start(RC);
    let crowd: Vec<_> = (0..100).map(|_| daemon.connect()).collect();
    let asked = Instant::now();
    works(&daemon);
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
    drop(crowd);
}

#[test]
fn many_clients_at_once_get_their_own_answers() {
    let daemon = Instance::start("authmodulelist=\"authuserdb\"\ndaemons=4\n");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let daemon = &daemon;
            scope.spawn(move || {
                for round in 0..25 {
                    let (user, uid) =
                        [("alice", 5000), ("bob@example.com", 5001), ("al ice", 5002)]
                            [(thread + round) % 3];
                    let reply = daemon.login("imap", user, PASSWORD);
                    assert!(reply.starts_with(&format!("UID={uid}\n")), "{reply}");
                    assert!(reply.contains(&format!("ADDRESS={user}\n")), "{reply}");
                    assert_eq!(daemon.login("imap", user, "wrong"), "FAIL\n");
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// The parser takes any bytes, in any pieces, without a panic, and never changes its mind.
    #[test]
    fn any_bytes_parse_the_same_in_any_pieces(
        input in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            "(A=b\n|TCPREMOTEIP=1\n)?(PRE|AUTH|PASSWD|ENUMERATE|X)[ \t]?[ -~\t\n0-9]{0,60}\n?.{0,40}".prop_map(String::into_bytes),
        ],
    ) {
        use authdaemond::protocol::{Parsed, parse};
        let whole = parse(&input);
        let mut decided = None;
        for end in 0..=input.len() {
            let parsed = parse(&input[..end]);
            if let Some(before) = &decided {
                prop_assert_eq!(before, &parsed, "at {}", end);
            } else if parsed != Parsed::Incomplete {
                decided = Some(parsed);
            }
        }
        if let Some(decided) = decided {
            prop_assert_eq!(decided, whole);
        }
    }

    /// Stored forms of any shape are only ever wrong, never fatal.
    #[test]
    fn any_stored_hash_is_refused_without_harm(
        stored in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            r"(\{[A-Za-z0-9-]{0,12}\})?[$]?[0-9a-z]?[$]?[./0-9A-Za-z+=]{0,40}".prop_map(String::into_bytes),
        ],
    ) {
        prop_assert!(!authdaemond::password::verify(&stored, b"no such password"));
    }
}
