//! couriertls as a client: where to connect, what is asked of the server's certificate, STARTTLS.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    dead_code,
    reason = "the other test programs use the rest of the support"
)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use openssl::ssl::{SslAcceptor, SslAcceptorBuilder, SslMethod, SslStream, SslVerifyMode};
use support::{Identity, Wish, identity, rest};

/// What a server does once the handshake is over.
type Talk = fn(&mut SslStream<TcpStream>) -> String;

/// A server for one connection.
struct Peer {
    port: u16,
    done: JoinHandle<Result<String, String>>,
}

fn acceptor(identity: &Identity) -> SslAcceptorBuilder {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    builder.set_certificate(&identity.certificate).unwrap();
    builder.set_private_key(&identity.key).unwrap();
    builder
}

/// `before` is exchanged in the clear: what is sent, and the line waited for after it.
fn serve(
    builder: SslAcceptorBuilder,
    before: &'static [(&'static str, &'static str)],
    talk: Talk,
) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let done = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket
            .set_read_timeout(Some(std::time::Duration::from_secs(20)))
            .unwrap();
        for (line, command) in before {
            socket.write_all(line.as_bytes()).unwrap();
            let mut heard = vec![0; command.len()];
            socket.read_exact(&mut heard).unwrap();
            assert_eq!(String::from_utf8_lossy(&heard), *command);
        }
        let mut stream = builder
            .build()
            .accept(socket)
            .map_err(|error| error.to_string())?;
        let heard = talk(&mut stream);
        // The client may have gone first.
        let _gone = stream.shutdown();
        Ok(heard)
    });
    Peer { port, done }
}

/// Reads a line, answers it.
fn answer(stream: &mut SslStream<TcpStream>) -> String {
    let mut line = String::new();
    BufReader::new(&mut *stream).read_line(&mut line).unwrap();
    stream
        .write_all(format!("you said {line}").as_bytes())
        .unwrap();
    line
}

struct Authority {
    directory: tempfile::TempDir,
    identity: Identity,
}

impl Authority {
    fn new() -> Self {
        let authority = Self {
            directory: tempfile::tempdir().unwrap(),
            identity: identity(&Wish {
                name: "authority",
                authority: true,
                ..Wish::default()
            }),
        };
        let pem = authority.identity.certificate.to_pem().unwrap();
        std::fs::write(authority.trust(), pem).unwrap();
        authority
    }

    fn trust(&self) -> PathBuf {
        self.directory.path().join("trust.pem")
    }

    fn certify(&self, name: &str) -> Identity {
        identity(&Wish {
            name,
            issuer: Some(&self.identity),
            ..Wish::default()
        })
    }
}

fn run(variables: &[(&str, &str)], arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_couriertlsd"))
        .arg("-once")
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A client that could not connect reads nothing.
    let _gone = stdin.write_all(input.as_bytes());
    let reader = std::thread::spawn(move || child.wait_with_output().unwrap());
    let output = reader.join().unwrap();
    // Open until now: an end of input ends the connection.
    drop(stdin);
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn standard_input_and_output_are_the_plain_side() {
    let peer = serve(acceptor(&identity(&Wish::default())), &[], answer);
    let output = run(
        &[],
        &["-host=localhost", &format!("-port={}", peer.port)],
        "hello\n",
    );
    assert_eq!(text(&output.stdout), "you said hello\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(peer.done.join().unwrap().unwrap(), "hello\n");
}

#[test]
fn the_certificate_must_be_for_the_domain_and_from_a_trusted_authority() {
    let authority = Authority::new();
    let other = Authority::new();
    let attempt = |name: &str, domain: &str, trust: Option<&Authority>| {
        let peer = serve(acceptor(&authority.certify(name)), &[], answer);
        let trust = trust.map(|authority| authority.trust().to_string_lossy().into_owned());
        let variables: Vec<(&str, &str)> = trust
            .iter()
            .map(|trust| ("TLS_TRUSTCERTS", trust.as_str()))
            .collect();
        let port = format!("-port={}", peer.port);
        let verify = format!("-verify={domain}");
        let output = run(&variables, &["-host=127.0.0.1", &port, &verify], "hello\n");
        // A client that gives up before it connects leaves the server waiting.
        drop(TcpStream::connect(("127.0.0.1", peer.port)));
        let heard = peer.done.join().unwrap();
        assert_eq!(heard.is_ok(), output.status.success());
        (
            output.status.success(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let trusted = Some(&authority);
    for (name, domain) in [
        ("mail.example.org", "mail.example.org"),
        ("mail.example.org", "MAIL.Example.org"),
        ("*.example.org", "imap.example.org"),
        ("xn--bcher-kva.example", "bücher.example"),
    ] {
        let (success, said) = attempt(name, domain, trusted);
        assert!(success, "{name} {domain}: {said}");
        assert_eq!(said, "you said hello\n");
    }
    for (name, domain) in [
        ("mail.example.org", "imap.example.org"),
        ("*.example.org", "a.b.example.org"),
        ("*.example.org", "example.org"),
    ] {
        let (success, said) = attempt(name, domain, trusted);
        assert!(!success);
        assert_eq!(said, format!("Certificate owner mismatch: {domain}\n"));
    }
    let (success, said) = attempt("a.example", "a.example", Some(&other));
    assert!(
        !success
            && said.starts_with("couriertls: connect: error:")
            && said.contains("certificate verify failed ("),
        "{said}"
    );
    let (success, said) = attempt("a.example", "a.example", None);
    assert!(!success);
    assert_eq!(
        said,
        "couriertls: TLS_TRUSTCERTS not set: No such file or directory\n"
    );
}

#[test]
fn a_program_learns_whose_certificate_was_verified() {
    let authority = Authority::new();
    let trust = authority.trust().to_string_lossy().into_owned();
    let script = ["/bin/sh", "-c", "echo hi; read answer; env >&2"];
    let environment = |verify: bool| {
        let peer = serve(acceptor(&authority.certify("a.example")), &[], answer);
        let port = format!("-port={}", peer.port);
        let mut arguments = vec!["-host=127.0.0.1", &port];
        if verify {
            arguments.push("-verify=a.example");
        }
        arguments.extend(script);
        let variables = [
            ("TLS_TRUSTCERTS", trust.as_str()),
            ("TLS_VERIFYPEER", "NONE"),
            ("TLS_SUBJECT_CN", "forged"),
        ];
        let output = run(&variables, &arguments, "");
        assert!(output.status.success());
        assert_eq!(peer.done.join().unwrap().unwrap(), "hi\n");
        text(&output.stderr)
    };
    let verified = environment(true);
    assert!(
        verified.contains("TLS_SUBJECT_CN=a.example\n"),
        "{verified}"
    );
    assert!(
        verified.contains("TLS_CONNECTED_PROTOCOL=TLSv1."),
        "{verified}"
    );
    let unverified = environment(false);
    assert!(!unverified.contains("TLS_SUBJECT_"), "{unverified}");
}

#[test]
fn starttls_comes_first_when_a_protocol_is_named() {
    let port = |peer: &Peer| format!("-port={}", peer.port);
    let peer = serve(
        acceptor(&identity(&Wish::default())),
        &[("* OK ready\r\n", "x STARTTLS\r\n"), ("x OK begin\r\n", "")],
        answer,
    );
    let output = run(
        &[],
        &["-host=127.0.0.1", &port(&peer), "-protocol=imap"],
        "hello\n",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "* OK ready\r\nx STARTTLS\r\nx OK begin\r\nyou said hello\n"
    );
    peer.done.join().unwrap().unwrap();

    // What was injected behind the reply is not taken for something that came over TLS.
    let peer = serve(
        acceptor(&identity(&Wish::default())),
        &[
            ("+OK ready\r\n", "STLS\r\n"),
            ("+OK begin\r\n+OK injected\r\n", ""),
        ],
        answer,
    );
    let output = run(
        &[],
        &["-host=127.0.0.1", &port(&peer), "-protocol=pop3"],
        "",
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("unexpected clear text"),
        "{}",
        text(&output.stderr)
    );
    peer.done.join().unwrap().unwrap_err();
}

#[test]
fn what_cannot_be_done_is_said_in_the_originals_words() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = unused.local_addr().unwrap().port().to_string();
    drop(unused);
    for (arguments, said) in [
        (
            &["-host=127.0.0.1", "-port=none-such"] as &[&str],
            "none-such: invalid port.\n",
        ),
        (
            &["-host=no-such-host.invalid", "-port=993"],
            "no-such-host.invalid: not found.\n",
        ),
        (
            &["-host=127.0.0.1", &format!("-port={refused}")],
            "connect: Connection refused\n",
        ),
        (
            &["-tcpd", "-protocol=nntp"],
            "--protocol=nntp - unknown protocol.\n",
        ),
    ] {
        let output = run(&[], arguments, "");
        assert_eq!(text(&output.stderr), said);
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn a_client_shows_its_certificate_and_offers_protocols() {
    let authority = Authority::new();
    let own = authority.directory.path().join("client.pem");
    authority.certify("user").write(&own);
    let mut builder = acceptor(&identity(&Wish::default()));
    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    builder.set_ca_file(authority.trust()).unwrap();
    builder.set_alpn_select_callback(|_, offered| {
        openssl::ssl::select_next_proto(b"\x04imap", offered)
            .ok_or(openssl::ssl::AlpnError::ALERT_FATAL)
    });
    let peer = serve(builder, &[], |stream| {
        answer(stream);
        let certificate = stream.ssl().peer_certificate().unwrap();
        let protocol = stream.ssl().selected_alpn_protocol().unwrap().to_vec();
        format!("{:?} {}", certificate.subject_name(), text(&protocol))
    });
    let output = run(
        &[
            ("TLS_CERTFILE", &own.to_string_lossy()),
            ("TLS_ALPN", "smtp,imap"),
        ],
        &["-host=127.0.0.1", &format!("-port={}", peer.port)],
        "hello\n",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let seen = peer.done.join().unwrap().unwrap();
    assert!(seen.contains("user") && seen.ends_with(" imap"), "{seen}");
}

#[test]
fn descriptors_can_be_given_instead_of_an_address() {
    let peer = serve(acceptor(&identity(&Wish::default())), &[], answer);
    let socket = TcpStream::connect(("127.0.0.1", peer.port)).unwrap();
    let (dump, dump_writer) = nix::unistd::pipe().unwrap();
    let mut child = {
        let _alone = support::SPAWNING.write().unwrap();
        for fd in [socket.as_raw_fd(), dump_writer.as_raw_fd()] {
            // SAFETY: the descriptors are open here; children inherit them without close-on-exec.
            #[allow(unsafe_code)]
            let cleared = unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
            assert_eq!(cleared, 0);
        }
        Command::new(env!("CARGO_BIN_EXE_couriertlsd"))
            .arg("-once")
            .arg(format!("-remotefd={}", socket.as_raw_fd()))
            .arg(format!("-printx509={}", dump_writer.as_raw_fd()))
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    drop((socket, dump_writer));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello\n").unwrap();
    assert_eq!(
        text(&rest(child.stdout.as_mut().unwrap())),
        "you said hello\n"
    );
    drop(stdin);
    assert!(child.wait().unwrap().success());
    let dump = text(&rest(&mut std::fs::File::from(dump)));
    assert!(
        dump.starts_with(
            "Subject:\n   CN=localhost\n\nSubject-Alt-Name-DNS: localhost\nNot-Before: 20"
        ),
        "{dump}"
    );
    assert!(dump.contains("\nVersion: TLSv1.3\nBits: "), "{dump}");
    peer.done.join().unwrap().unwrap();
}
