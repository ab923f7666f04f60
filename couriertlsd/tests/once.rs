//! One connection without the service, as couriertls serves it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    dead_code,
    reason = "the other test programs use the rest of the support"
)]

mod support;

use std::io::{Read, Write};
use std::os::fd::AsRawFd;

use openssl::nid::Nid;
use openssl::ssl::{SslOptions, SslSession, SslSessionCacheMode, SslVersion};
use support::{Setup, Wish, client, connect, identity, outcome, rest};

const ECHO: [&str; 3] = [
    "/bin/sh",
    "-c",
    "read line; echo \"got $line\"; env; ls /proc/self/fd | wc -l",
];

#[test]
fn a_program_gets_clear_text_its_variables_and_no_other_descriptors() {
    let mut setup = Setup::new();
    setup.set("TLS_SUBJECT_CN", "forged");
    let (socket, child) = setup.once(&ECHO);
    let mut stream = connect(client(), "localhost", socket).unwrap();
    stream.write_all(b"hello\n").unwrap();
    let text = String::from_utf8(rest(&mut stream)).unwrap();
    assert!(text.starts_with("got hello\n"), "{text}");
    assert!(text.contains("TLS_CONNECTED_PROTOCOL=TLSv1.3,"), "{text}");
    assert!(!text.contains("forged"), "{text}");
    // 0, 1, 2 and the directory that ls reads.
    assert!(text.ends_with("\n4\n"), "{text}");
    drop(stream);
    assert_eq!(outcome(child), (String::new(), true));
}

/// Status files of the processes of this test's couriertlsd.
fn statuses(setup: &Setup) -> Vec<String> {
    let mark = setup.certificate().to_string_lossy().into_owned();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let file = |name: &str| entry.path().join(name);
            let name = std::fs::read_to_string(file("comm")).ok()?;
            let environment = std::fs::read(file("environ")).ok()?;
            let ours = String::from_utf8_lossy(&environment).contains(&mark);
            (name == "couriertlsd\n" && ours)
                .then(|| std::fs::read_to_string(file("status")).ok())
                .flatten()
        })
        .collect()
}

#[test]
fn the_process_that_faces_the_peer_is_confined_before_the_handshake() {
    let setup = Setup::new();
    let user = ["-user=daemon"];
    let mut arguments = user.to_vec();
    arguments.extend(ECHO);
    let (socket, child) = setup.once(&arguments);
    // Not a dumpable process: only root can look at it.
    if nix::unistd::geteuid().is_root() {
        support::eventually("a confined process", || {
            statuses(&setup)
                .iter()
                .any(|status| status.contains("\nSeccomp:\t2\n") && !status.contains("\nUid:\t0\t"))
        });
    } else {
        support::skip("only root can see how a process is confined");
    }
    let mut stream = connect(client(), "localhost", socket).unwrap();
    stream.write_all(b"x\n").unwrap();
    rest(&mut stream);
    drop(stream);
    assert!(outcome(child).1);
}

#[test]
fn much_data_comes_through_both_ways() {
    let setup = Setup::new();
    let (socket, child) = setup.once(&["/bin/cat"]);
    let mut stream = connect(client(), "localhost", socket).unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number / 7 % 251) as u8)
        .collect();
    for (index, piece) in sent.chunks(100_000).enumerate() {
        stream.write_all(piece).unwrap();
        let mut back = vec![0; piece.len()];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, piece, "piece {index}");
    }
    stream.shutdown().unwrap();
    assert!(rest(&mut stream).is_empty());
    assert!(outcome(child).1);
}

fn session_of(
    setup: &Setup,
    resume: Option<&SslSession>,
    version: SslVersion,
    options: SslOptions,
) -> (Option<SslSession>, bool) {
    let (mut sessions, reused) = sessions_of(setup, resume, version, options);
    (sessions.pop(), reused)
}

/// Makes a connection, resuming a session if one is given: the sessions that the client can resume next, and whether
/// this one was resumed.
fn sessions_of(
    setup: &Setup,
    resume: Option<&SslSession>,
    version: SslVersion,
    options: SslOptions,
) -> (Vec<SslSession>, bool) {
    let (socket, child) = setup.once(&ECHO);
    let mut builder = client();
    builder.set_max_proto_version(Some(version)).unwrap();
    builder.set_options(options);
    // A session in the context's own cache dies with the context.
    builder.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
    let (sender, receiver) = std::sync::mpsc::channel();
    builder.set_new_session_callback(move |_, session| sender.send(session).unwrap());
    let mut configuration = builder.build().configure().unwrap();
    configuration.set_verify_hostname(false);
    if let Some(session) = resume {
        // SAFETY: the context that made the session has the same settings as this one.
        #[allow(unsafe_code)]
        unsafe {
            configuration.set_session(session).unwrap();
        }
    }
    let mut stream = configuration.connect("localhost", socket).unwrap();
    stream.write_all(b"x\n").unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    let reused = stream.ssl().session_reused();
    stream.shutdown().unwrap();
    drop(stream);
    assert!(outcome(child).1);
    (receiver.try_iter().collect(), reused)
}

/// A ticket of TLS 1.3 serves one connection only (RFC 8446 appendix C.4), and mail clients open several at once.
#[test]
fn a_client_can_resume_in_two_connections_at_once_for_ever() {
    let mut setup = Setup::new();
    let cache = setup.directory.path().join("cache");
    setup.set("TLS_CACHEFILE", &cache.to_string_lossy());
    let (tls, none) = (SslVersion::TLS1_3, SslOptions::empty());
    let (mut tickets, reused) = sessions_of(&setup, None, tls, none);
    assert!(!reused);
    for _ in 0..3 {
        assert_eq!(tickets.len(), 2);
        let mut next = Vec::new();
        for ticket in tickets {
            let (new, reused) = sessions_of(&setup, Some(&ticket), tls, none);
            assert!(reused);
            next.extend(new);
        }
        tickets = next;
    }
}

#[test]
fn sessions_are_resumed_by_another_process_through_the_cache_file() {
    let mut setup = Setup::new();
    let cache = setup.directory.path().join("cache");
    setup.set("TLS_CACHEFILE", &cache.to_string_lossy());
    for (version, options) in [
        (SslVersion::TLS1_3, SslOptions::empty()),
        (SslVersion::TLS1_2, SslOptions::empty()),
        // A client without tickets: the session itself is in the file.
        (SslVersion::TLS1_2, SslOptions::NO_TICKET),
    ] {
        let (session, reused) = session_of(&setup, None, version, options);
        assert!(!reused);
        assert!(
            session_of(&setup, session.as_ref(), version, options).1,
            "not resumed: {version:?} {options:?}"
        );
    }
    let (tls, none) = (SslVersion::TLS1_3, SslOptions::empty());
    let (session, _) = session_of(&setup, None, tls, none);
    std::fs::write(&cache, "rubbish").unwrap();
    assert!(!session_of(&setup, session.as_ref(), tls, none).1);
    // What cannot be used is said, and the connection is served all the same.
    setup.set("TLS_CACHESIZE", "1000");
    let (socket, child) = setup.once(&ECHO);
    let mut stream = connect(client(), "localhost", socket).unwrap();
    stream.write_all(b"x\n").unwrap();
    rest(&mut stream);
    drop(stream);
    let (log, success) = outcome(child);
    assert!(
        success
            && log.starts_with("DEBUG: ip=[127.0.0.1], couriertls: /")
            && log.contains("cache: Invalid argument"),
        "{log}"
    );
}

#[test]
fn a_session_made_without_a_certificate_is_not_resumed_where_one_is_required() {
    let mut setup = Setup::new();
    let cache = setup.directory.path().join("cache");
    setup.set("TLS_CACHEFILE", &cache.to_string_lossy());
    let trust = setup.directory.path().join("trust.pem");
    let authority = identity(&Wish {
        name: "authority",
        authority: true,
        ..Wish::default()
    });
    std::fs::write(&trust, authority.certificate.to_pem().unwrap()).unwrap();
    setup.set("TLS_TRUSTCERTS", &trust.to_string_lossy());
    let (tls, none) = (SslVersion::TLS1_2, SslOptions::NO_TICKET);
    let (session, _) = session_of(&setup, None, tls, none);
    setup.set("TLS_VERIFYPEER", "PEER");
    assert!(!session_of(&setup, session.as_ref(), tls, none).1);
}

#[test]
fn host_names_and_addresses_choose_their_certificates() {
    let mut setup = Setup::new();
    let suffixed = |suffix: &str| format!("{}.{suffix}", setup.certificate().display());
    identity(&Wish {
        name: "by-host",
        ..Wish::default()
    })
    .write(suffixed("example.org").as_ref());
    identity(&Wish {
        name: "by-address",
        ..Wish::default()
    })
    .write(suffixed("127.0.0.2").as_ref());
    let common_name = |setup: &Setup, host: &str| {
        let (socket, child) = setup.once(&ECHO);
        let mut stream = connect(client(), host, socket).unwrap();
        let certificate = stream.ssl().peer_certificate().unwrap();
        let name = certificate
            .subject_name()
            .entries_by_nid(Nid::COMMONNAME)
            .next()
            .unwrap();
        let name = name.data().to_string().unwrap();
        stream.write_all(b"x\n").unwrap();
        rest(&mut stream);
        drop(stream);
        assert!(outcome(child).1);
        name
    };
    assert_eq!(common_name(&setup, "other.test"), "localhost");
    assert_eq!(common_name(&setup, "example.org"), "by-host");
    assert_eq!(common_name(&setup, "mail.EXAMPLE.org"), "by-host");
    setup.set("TCPLOCALIP", "::ffff:127.0.0.2");
    assert_eq!(common_name(&setup, "other.test"), "by-address");
    assert_eq!(common_name(&setup, "example.org"), "by-host");
}

#[test]
fn client_certificates_count_only_with_the_right_authority() {
    let mut setup = Setup::new();
    let authority = identity(&Wish {
        name: "authority",
        authority: true,
        ..Wish::default()
    });
    let trust = setup.directory.path().join("trust.pem");
    std::fs::write(&trust, authority.certificate.to_pem().unwrap()).unwrap();
    setup.set("TLS_TRUSTCERTS", &trust.to_string_lossy());
    setup.set("TLS_VERIFYPEER", "REQUIREPEER");
    let attempt = |wish: Option<&Wish<'_>>| {
        let (socket, child) = setup.once(&ECHO);
        let mut builder = client();
        if let Some(wish) = wish {
            let identity = identity(wish);
            builder.set_certificate(&identity.certificate).unwrap();
            builder.set_private_key(&identity.key).unwrap();
        }
        let text = connect(builder, "localhost", socket).map(|mut stream| {
            let sent = stream.write_all(b"x\n");
            if sent.is_ok() {
                String::from_utf8(rest(&mut stream)).unwrap()
            } else {
                String::new()
            }
        });
        let (log, success) = outcome(child);
        (text.unwrap_or_default(), log, success)
    };
    let user = Wish {
        name: "user",
        mail: Some("user@example.org"),
        issuer: Some(&authority),
        ..Wish::default()
    };
    let (text, log, success) = attempt(Some(&user));
    assert!(
        success && text.contains("TLS_SUBJECT_CN=user\n"),
        "{text} {log}"
    );
    assert!(
        text.contains("TLS_SUBJECT_EMAIL=user@example.org\n"),
        "{text}"
    );
    for (wish, word) in [
        (None, "did not return a certificate"),
        (
            Some(Wish {
                name: "user",
                ..Wish::default()
            }),
            "verify",
        ),
        (
            Some(Wish {
                name: "user",
                issuer: Some(&authority),
                days: -1,
                ..Wish::default()
            }),
            "verify",
        ),
    ] {
        let (text, log, success) = attempt(wish.as_ref());
        assert!(!success && !text.contains("got"), "{text}");
        assert!(
            log.starts_with("ip=[127.0.0.1], couriertls: accept: ") && log.contains(word),
            "{log}"
        );
    }
}

#[test]
fn what_is_not_a_good_handshake_is_logged_with_the_address() {
    let setup = Setup::new();
    let (mut socket, child) = setup.once(&ECHO);
    socket.write_all(b"a001 CAPABILITY\r\n").unwrap();
    rest(&mut socket);
    let (log, success) = outcome(child);
    assert!(
        !success
            && log.contains("ip=[127.0.0.1], couriertls: accept: ")
            && log.contains("wrong version"),
        "{log}"
    );

    let (socket, child) = setup.once(&ECHO);
    drop(socket);
    let (log, success) = outcome(child);
    assert!(!success && log.contains("accept: "), "{log}");

    let (socket, child) = setup.once(&ECHO);
    let mut old = client();
    old.set_security_level(0);
    old.set_min_proto_version(Some(SslVersion::TLS1)).unwrap();
    old.set_max_proto_version(Some(SslVersion::TLS1_1)).unwrap();
    assert!(connect(old, "localhost", socket).is_err());
    let (log, success) = outcome(child);
    assert!(!success && log.contains("protocol"), "{log}");
}

#[test]
fn alpn_must_agree_if_it_is_used() {
    let mut setup = Setup::new();
    setup.set("TLS_ALPN", "imap");
    let attempt = |offer: Option<&[u8]>| {
        let (socket, child) = setup.once(&ECHO);
        let mut builder = client();
        if let Some(offer) = offer {
            builder.set_alpn_protos(offer).unwrap();
        }
        let chosen = connect(builder, "localhost", socket).map(|mut stream| {
            stream.write_all(b"x\n").unwrap();
            rest(&mut stream);
            stream.ssl().selected_alpn_protocol().map(<[u8]>::to_vec)
        });
        outcome(child);
        chosen
    };
    assert_eq!(attempt(None), Ok(None));
    assert_eq!(
        attempt(Some(b"\x04pop3\x04imap")),
        Ok(Some(b"imap".to_vec()))
    );
    assert!(attempt(Some(b"\x02h2")).is_err());
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let mut setup = Setup::new();
    let other = identity(&Wish::default())
        .key
        .private_key_to_pem_pkcs8()
        .unwrap();
    let separate = setup.directory.path().join("key.pem");
    std::fs::write(&separate, other).unwrap();
    setup.set("TLS_PRIVATE_KEYFILE", &separate.to_string_lossy());
    let (_socket, child) = setup.once(&ECHO);
    let (log, success) = outcome(child);
    assert!(
        !success && log.contains("key.pem: the private key belongs to another certificate"),
        "{log}"
    );
    setup.set("TLS_CERTFILE", "/nonexistent/imapd.pem");
    let (_socket, child) = setup.once(&ECHO);
    let (log, _) = outcome(child);
    assert_eq!(
        log,
        "ip=[127.0.0.1], couriertls: /nonexistent/imapd.pem: No such file or directory\n"
    );
}

#[test]
fn a_login_program_reads_status_and_dump_and_keeps_the_clear_side() {
    let setup = Setup::new();
    let alone = support::SPAWNING.write().unwrap();
    let (clear, for_tls) = std::os::unix::net::UnixStream::pair().unwrap();
    let (status, status_writer) = nix::unistd::pipe().unwrap();
    let (dump, dump_writer) = nix::unistd::pipe().unwrap();
    for fd in [
        for_tls.as_raw_fd(),
        status_writer.as_raw_fd(),
        dump_writer.as_raw_fd(),
    ] {
        // SAFETY: the descriptors are open here; children inherit them without close-on-exec.
        #[allow(unsafe_code)]
        let cleared = unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
        assert_eq!(cleared, 0);
    }
    let arguments = [
        format!("-localfd={}", for_tls.as_raw_fd()),
        format!("-statusfd={}", status_writer.as_raw_fd()),
        format!("-printx509={}", dump_writer.as_raw_fd()),
    ];
    let (socket, child) = setup.once_alone(&arguments.each_ref().map(String::as_str), &alone);
    drop((for_tls, status_writer, dump_writer));
    drop(alone);
    let mut stream = connect(client(), "localhost", socket).unwrap();
    let mut clear = clear;
    assert!(rest(&mut std::fs::File::from(status)).is_empty());
    let dump = String::from_utf8(rest(&mut std::fs::File::from(dump))).unwrap();
    assert!(
        dump.starts_with("Version: TLSv1.3\nBits: 256\nCipher: TLS_"),
        "{dump}"
    );
    clear.write_all(b"* OK hello\r\n").unwrap();
    let mut greeting = [0; 12];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"* OK hello\r\n");
    drop(clear);
    assert!(rest(&mut stream).is_empty());
    drop(stream);
    assert!(outcome(child).1);
}

#[test]
fn debugging_says_what_was_offered_and_agreed_and_no_secret() {
    let mut setup = Setup::new();
    setup.set("TLS_DEBUG", "1");
    setup.set("TLS_ALPN", "imap");
    let (socket, child) = setup.once(&ECHO);
    let mut builder = client();
    builder.set_alpn_protos(b"\x04imap").unwrap();
    let mut stream = connect(builder, "mail.example.org", socket).unwrap();
    stream.write_all(b"secret\n").unwrap();
    rest(&mut stream);
    drop(stream);
    let (log, success) = outcome(child);
    assert!(success);
    let lines: Vec<&str> = log.lines().collect();
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("DEBUG: ip=[127.0.0.1], ")),
        "{log}"
    );
    for part in [
        "TLS: client offers TLSv1.3 TLSv1.2 ",
        " TLS_AES_256_GCM_SHA384 ",
        "TLS: client asks for mail.example.org",
        "TLS: TLSv1.3, TLS_AES_256_GCM_SHA384, protocol imap, full handshake, no certificate",
    ] {
        assert!(log.contains(part), "no {part:?} in {log}");
    }
    assert!(!log.contains("secret"));
    // The logger cuts longer lines.
    assert!(lines.iter().all(|line| line.len() < 511), "{log}");
    // Every cause of a failure, where the ordinary log has one.
    let (mut socket, child) = setup.once(&ECHO);
    socket.write_all(b"a0 NOOP\r\n").unwrap();
    rest(&mut socket);
    let (log, success) = outcome(child);
    assert!(
        !success && log.contains("DEBUG: ip=[127.0.0.1], TLS: ended at: "),
        "{log}"
    );
    assert!(log.contains("DEBUG: ip=[127.0.0.1], TLS: error:"), "{log}");
}
