//! Peers that misbehave: each gets a line in the log with its address, and nothing else happens.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    dead_code,
    reason = "the other test programs use the rest of the support"
)]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use openssl::nid::Nid;
use openssl::ssl::{ShutdownState, SslVersion};
use support::{Setup, Wish, client, connect, identity, outcome, rest};

const ECHO: [&str; 3] = ["/bin/sh", "-c", "read line; echo \"got $line\""];

#[test]
fn no_common_cipher() {
    let setup = Setup::new();
    let (socket, child) = setup.once(&ECHO);
    let mut builder = client();
    builder
        .set_max_proto_version(Some(SslVersion::TLS1_2))
        .unwrap();
    // The certificate's key is not an RSA key.
    builder
        .set_cipher_list("ECDHE-RSA-AES256-GCM-SHA384")
        .unwrap();
    assert!(connect(builder, "localhost", socket).is_err());
    let (log, success) = outcome(child);
    assert!(!success);
    assert_eq!(
        log,
        "ip=[127.0.0.1], couriertls: accept: error:0A0000C1:SSL routines::no shared cipher\n"
    );
}

#[test]
fn protocols_and_ciphers_of_the_administrator_are_kept_to() {
    for (name, value, cipher, served) in [
        ("TLS_PROTOCOL", "TLSv1.3", "", false),
        ("TLS_PROTOCOL", "TLSv1.2+", "", true),
        ("TLS_PROTOCOL", "nonsense", "", true),
        (
            "TLS_CIPHER_LIST",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            false,
        ),
        (
            "TLS_CIPHER_LIST",
            "nonsense",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            true,
        ),
        ("TLS_PRIORITY", "NORMAL:-VERS-TLS1.2", "", false),
        ("TLS_PRIORITY", "NORMAL:-VERS-TLS1.3", "", true),
        (
            "TLS_PRIORITY",
            "SECURE256",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            false,
        ),
    ] {
        let mut setup = Setup::new();
        setup.set(name, value);
        let (socket, child) = setup.once(&ECHO);
        let mut builder = client();
        builder
            .set_max_proto_version(Some(SslVersion::TLS1_2))
            .unwrap();
        if !cipher.is_empty() {
            builder.set_cipher_list(cipher).unwrap();
        }
        let stream = connect(builder, "localhost", socket);
        assert_eq!(stream.is_ok(), served, "{name}={value}");
        if let Ok(mut stream) = stream {
            stream.write_all(b"x\n").unwrap();
            rest(&mut stream);
        }
        let (log, success) = outcome(child);
        assert_eq!(success, served, "{log}");
        assert!(
            served || log.starts_with("ip=[127.0.0.1], couriertls: accept: error:"),
            "{log}"
        );
    }
}

#[test]
fn old_protocols_only_when_asked_for_by_name() {
    let served = |protocol: &str, version: SslVersion| {
        let mut setup = Setup::new();
        setup.set("TLS_PROTOCOL", protocol);
        let (socket, child) = setup.once(&ECHO);
        let mut builder = client();
        builder.set_security_level(0);
        builder.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
        builder.set_min_proto_version(Some(version)).unwrap();
        builder.set_max_proto_version(Some(version)).unwrap();
        let stream = connect(builder, "localhost", socket).map(|mut stream| {
            stream.write_all(b"x\n").unwrap();
            rest(&mut stream)
        });
        outcome(child).1 && stream == Ok(b"got x\n".to_vec())
    };
    assert!(served("TLSv1", SslVersion::TLS1));
    assert!(served("TLSv1.1", SslVersion::TLS1_1));
    assert!(!served("TLSv1.1++", SslVersion::TLS1));
    assert!(!served("SSL23", SslVersion::TLS1_1));
}

#[test]
fn host_names_do_not_lead_out_of_their_directory() {
    let setup = Setup::new();
    let top = setup.directory.path();
    let elsewhere = identity(&Wish {
        name: "elsewhere",
        ..Wish::default()
    });
    elsewhere.write(&top.join("elsewhere"));
    // With this directory a name with a slash would find its way.
    std::fs::create_dir(format!("{}.", setup.certificate().display())).unwrap();
    for name in [
        "/../elsewhere",
        "a/../../elsewhere",
        ".",
        "..",
        "a\\b",
        "%s",
    ] {
        let (socket, child) = setup.once(&ECHO);
        let mut stream = connect(client(), name, socket).unwrap();
        let certificate = stream.ssl().peer_certificate().unwrap();
        let mut names = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
        let found = names.next().unwrap().data().to_string().unwrap();
        assert_eq!(found, "localhost", "{name}");
        stream.write_all(b"x\n").unwrap();
        rest(&mut stream);
        drop(stream);
        assert!(outcome(child).1);
    }
}

/// A client hello of TLS 1.2 with this name, cut into records.
fn hello(name: &[u8]) -> Vec<u8> {
    let prefixed = |bytes: &[u8]| {
        let mut whole = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        whole.extend_from_slice(bytes);
        whole
    };
    let mut entry = vec![0];
    entry.extend(prefixed(name));
    let mut extensions = vec![0, 0];
    extensions.extend(prefixed(&prefixed(&entry)));
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend(prefixed(&[0xc0, 0x2b]));
    body.extend([1, 0]);
    // The length of all extensions does not fit where a name is longest: then it says 0.
    let length = u16::try_from(extensions.len()).unwrap_or(0);
    body.extend(length.to_be_bytes());
    body.extend(&extensions);
    let mut message = vec![1];
    message.extend(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
    message.extend(body);
    message
        .chunks(16_000)
        .flat_map(|piece| {
            let mut record = vec![22, 3, 1];
            record.extend(prefixed(piece));
            record
        })
        .collect()
}

#[test]
fn host_names_of_64_kilobytes_are_refused() {
    let setup = Setup::new();
    for length in [256, 4096, 65_000, 65_520] {
        let (mut socket, child) = setup.once(&ECHO);
        // The other side may have had enough before all is written.
        let _refused = socket.write_all(&hello(&vec![b'a'; length]));
        let answer = rest(&mut socket);
        assert!(
            answer.is_empty() || answer.starts_with(&[21, 3]),
            "an alert and no certificate"
        );
        let (log, success) = outcome(child);
        assert!(
            !success && log.starts_with("ip=[127.0.0.1], couriertls: accept: error:"),
            "{length}: {log}"
        );
        assert_eq!(log.lines().count(), 1);
    }
}

#[test]
fn every_cut_of_a_handshake_is_survived() {
    let setup = Setup::new();
    let whole = hello(b"localhost");
    for length in [1, 3, 5, 6, 20, 43, 60, whole.len() - 1] {
        let (mut socket, child) = setup.once(&ECHO);
        socket.write_all(&whole[..length]).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        rest(&mut socket);
        let (log, success) = outcome(child);
        assert!(
            !success && log.starts_with("ip=[127.0.0.1], couriertls: accept: "),
            "{length}: {log}"
        );
    }
}

#[test]
fn a_peer_that_closes_its_half_still_gets_its_answer() {
    let setup = Setup::new();
    // The program reads to the end before it answers.
    let (socket, child) = setup.once(&["/bin/sh", "-c", "cat >/dev/null; echo late"]);
    let mut stream = connect(client(), "localhost", socket).unwrap();
    stream.write_all(b"x\n").unwrap();
    stream.shutdown().unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "late\n");
    assert!(stream.get_shutdown().contains(ShutdownState::RECEIVED));
    drop(stream);
    assert_eq!(outcome(child), (String::new(), true));
}

#[test]
fn a_peer_that_is_cut_off_is_logged_and_the_program_told() {
    let setup = Setup::new();
    let (socket, child) = setup.once(&["/bin/sh", "-c", "cat >&2"]);
    let mut stream = connect(client(), "localhost", socket).unwrap();
    stream.write_all(b"x\n").unwrap();
    // No goodbye.
    stream.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
    let (log, success) = outcome(child);
    assert!(success);
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "DEBUG: ip=[127.0.0.1], Unexpected SSL connection shutdown.",
            "x"
        ]
    );
}

#[test]
fn nobody_renegotiates() {
    let setup = Setup::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut openssl = Command::new("openssl");
    openssl
        .args(["s_client", "-tls1_2", "-connect"])
        .arg(listener.local_addr().unwrap().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let Ok(mut peer) = openssl.spawn() else {
        support::skip("no openssl command here");
        return;
    };
    let child = setup.once_accepted(
        &[
            "/bin/sh",
            "-c",
            "echo ready; read line; echo \"got $line\" >&2",
        ],
        listener.accept().unwrap().0,
    );
    let mut stdin = peer.stdin.take().unwrap();
    let mut said = String::new();
    let mut stdout = peer.stdout.take().unwrap();
    let mut byte = [0];
    while !said.ends_with("ready\n") {
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{said}");
        said.push(char::from(byte[0]));
    }
    stdin.write_all(b"R\n").unwrap();
    let output = peer.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("no renegotiation"), "{errors}");
    let (log, _) = outcome(child);
    assert!(log.contains("got \n"), "the program reads an end: {log}");
}
