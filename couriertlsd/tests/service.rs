//! The service: connections handed over, certificates changed while it runs, peers and clients that misbehave.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    dead_code,
    reason = "the other test programs use the rest of the support"
)]

mod support;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use courier::handover::{PACKET_MAX, Reply, Request, tls_settings};
use courier::sys::pass;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect as connect_to, socket,
};
use nix::unistd::Pid;
use openssl::nid::Nid;
use openssl::ssl::{SslOptions, SslSession, SslSessionCacheMode, SslStream, SslVersion};
use support::{Setup, Wish, client, connect, eventually, identity, rest};

struct Service {
    setup: Setup,
    child: Child,
    log: mpsc::Receiver<String>,
}

impl Service {
    fn start(setup: Setup) -> Self {
        let paths = setup.directory.path().join("paths");
        std::fs::write(
            &paths,
            format!(
                "piddir={}\nmailuser=daemon\n",
                setup.directory.path().display()
            ),
        )
        .unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_couriertlsd"))
            .env_clear()
            .env("COURIER_PATHS", &paths)
            .envs(
                setup
                    .variables
                    .iter()
                    .filter(|(name, _)| name.starts_with("TLS_"))
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = mpsc::channel();
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            for line in std::io::BufRead::lines(std::io::BufReader::new(stderr)) {
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        let service = Self { setup, child, log };
        eventually("the socket", || service.socket_path().exists());
        service
    }

    fn socket_path(&self) -> PathBuf {
        self.setup.directory.path().join("couriertlsd.socket")
    }

    /// A client of the service, as couriertls is.
    fn client(&self) -> OwnedFd {
        let client = socket(
            AddressFamily::Unix,
            SockType::SeqPacket,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .unwrap();
        connect_to(
            client.as_raw_fd(),
            &UnixAddr::new(&self.socket_path()).unwrap(),
        )
        .unwrap();
        client
    }

    fn request(&self) -> Request {
        let variables = self
            .setup
            .variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Request {
            settings: tls_settings(variables),
            local_ip: OsString::from("127.0.0.1"),
            remote_ip: OsString::from("192.0.2.7"),
            has_status: false,
            has_dump: false,
        }
    }

    /// Hands a connection over: the peer's end, the clear end, the client that waits for the answer, the log.
    fn hand_over(&self) -> Handed {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let network = listener.accept().unwrap().0;
        let (clear, plain) = UnixStream::pair().unwrap();
        let (log, log_writer) = nix::unistd::pipe().unwrap();
        let client = self.client();
        let descriptors = [log_writer.as_fd(), network.as_fd(), plain.as_fd()];
        pass::send(&client, &self.request().encode(), &descriptors).unwrap();
        Handed {
            peer,
            clear,
            client,
            log: std::fs::File::from(log),
        }
    }

    fn common_name(&self, host: &str) -> String {
        let handed = self.hand_over();
        let stream = connect(client(), host, handed.peer.try_clone().unwrap()).unwrap();
        common_name(&stream)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        self.child.wait().unwrap();
    }
}

struct Handed {
    peer: TcpStream,
    clear: UnixStream,
    client: OwnedFd,
    log: std::fs::File,
}

impl Handed {
    fn answer(&self) -> Option<Reply> {
        Reply::decode(&pass::receive(&self.client, PACKET_MAX).unwrap().0)
    }
}

fn common_name(stream: &SslStream<TcpStream>) -> String {
    let certificate = stream.ssl().peer_certificate().unwrap();
    let name = certificate
        .subject_name()
        .entries_by_nid(Nid::COMMONNAME)
        .next()
        .unwrap();
    name.data().to_string().unwrap()
}

#[test]
fn a_connection_is_served_and_its_client_told() {
    let service = Service::start(Setup::new());
    let mut handed = service.hand_over();
    let mut stream = connect(client(), "localhost", handed.peer.try_clone().unwrap()).unwrap();
    let Some(Reply::Connected(variables)) = handed.answer() else {
        panic!("not connected")
    };
    assert_eq!(variables[0].0, "TLS_CONNECTED_PROTOCOL");
    handed.clear.write_all(b"* OK\r\n").unwrap();
    let mut greeting = [0; 6];
    stream.read_exact(&mut greeting).unwrap();
    stream.write_all(b"a NOOP\r\n").unwrap();
    let mut command = [0; 8];
    handed.clear.read_exact(&mut command).unwrap();
    assert_eq!(&command, b"a NOOP\r\n");
    stream.shutdown().unwrap();
    drop(stream);
    drop(handed.peer);
    assert!(rest(&mut handed.clear).is_empty());
    drop(handed.clear);
    assert!(rest(&mut handed.log).is_empty());
}

#[test]
fn a_failed_handshake_is_logged_where_the_connection_came_from() {
    let service = Service::start(Setup::new());
    let mut handed = service.hand_over();
    handed.peer.write_all(b"a001 CAPABILITY\r\n\r\n").unwrap();
    rest(&mut handed.peer);
    assert_eq!(handed.answer(), Some(Reply::Failed));
    let log = String::from_utf8(rest(&mut handed.log)).unwrap();
    assert!(
        log.starts_with("ip=[192.0.2.7], couriertls: accept: "),
        "{log}"
    );
}

#[test]
fn settings_that_are_not_the_services_are_refused() {
    let service = Service::start(Setup::new());
    let mut request = service.request();
    request.settings.push((
        OsString::from("TLS_CERTFILE"),
        OsString::from("/etc/shadow"),
    ));
    let (null, client) = (std::fs::File::open("/dev/null").unwrap(), service.client());
    pass::send(
        &client,
        &request.encode(),
        &[null.as_fd(), null.as_fd(), null.as_fd()],
    )
    .unwrap();
    assert_eq!(
        Reply::decode(&pass::receive(&client, PACKET_MAX).unwrap().0),
        Some(Reply::Refused)
    );
    // Too few descriptors, and rubbish.
    for packet in [service.request().encode(), b"rubbish".to_vec()] {
        let client = service.client();
        pass::send(&client, &packet, &[null.as_fd()]).unwrap();
        assert_eq!(
            Reply::decode(&pass::receive(&client, PACKET_MAX).unwrap().0),
            Some(Reply::Refused)
        );
    }
    assert_eq!(service.common_name("localhost"), "localhost");
}

#[test]
fn silent_clients_and_endless_handshakes_hold_nobody_up() {
    let service = Service::start(Setup::new());
    let silent: Vec<OwnedFd> = (0..50).map(|_| service.client()).collect();
    let endless: Vec<Handed> = (0..10).map(|_| service.hand_over()).collect();
    let start = Instant::now();
    assert_eq!(service.common_name("localhost"), "localhost");
    assert!(start.elapsed() < Duration::from_secs(4));
    drop((silent, endless));
}

#[test]
fn a_new_certificate_serves_new_connections_and_a_broken_one_does_not() {
    let service = Service::start(Setup::new());
    let path = service.setup.certificate();
    let mut old = service.hand_over();
    let mut stream = connect(client(), "localhost", old.peer.try_clone().unwrap()).unwrap();
    // Never half of a file in place: renamed, as an administrator's tool does.
    let put = |name: &str, write: &dyn Fn(&std::path::Path)| {
        let temporary = service.setup.directory.path().join(name);
        write(&temporary);
        std::fs::rename(&temporary, &path).unwrap();
    };
    put("new", &|target| {
        identity(&Wish {
            name: "renewed",
            ..Wish::default()
        })
        .write(target)
    });
    eventually("the new certificate", || {
        service.common_name("localhost") == "renewed"
    });
    put("broken", &|target| {
        std::fs::write(target, "-----BEGIN NONSENSE-----\n").unwrap()
    });
    let mut said = String::new();
    eventually("a line about the broken file", || {
        said.extend(service.log.try_iter());
        said.contains("no usable certificate")
    });
    assert_eq!(service.common_name("localhost"), "renewed");
    // The connection made before goes on.
    old.clear.write_all(b"still here").unwrap();
    let mut text = [0; 10];
    stream.read_exact(&mut text).unwrap();
}

/// Connects, as a client that keeps its session, or offers one; tells whether it was resumed.
fn resumed(
    service: &Service,
    host: &str,
    options: SslOptions,
    offer: Option<&SslSession>,
) -> (Option<SslSession>, bool) {
    let mut handed = service.hand_over();
    let mut builder = client();
    builder.set_options(options);
    builder
        .set_max_proto_version(Some(SslVersion::TLS1_2))
        .unwrap();
    builder.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
    let (sender, receiver) = mpsc::channel();
    builder.set_new_session_callback(move |_, session| sender.send(session).unwrap());
    let mut configuration = builder.build().configure().unwrap();
    configuration.set_verify_hostname(false);
    if let Some(session) = offer {
        // SAFETY: the context that made the session has the same settings as this one.
        #[allow(unsafe_code)]
        unsafe {
            configuration.set_session(session).unwrap();
        }
    }
    let mut stream = configuration
        .connect(host, handed.peer.try_clone().unwrap())
        .unwrap();
    assert!(matches!(handed.answer(), Some(Reply::Connected(_))));
    let reused = stream.ssl().session_reused();
    stream.shutdown().unwrap();
    assert!(rest(&mut handed.clear).is_empty());
    (receiver.try_iter().last(), reused)
}

#[test]
fn one_connection_resumes_the_session_of_another_with_tickets_and_without() {
    let service = Service::start(Setup::new());
    let path = format!("{}.example.org", service.setup.certificate().display());
    identity(&Wish {
        name: "by-host",
        ..Wish::default()
    })
    .write(path.as_ref());
    for options in [SslOptions::empty(), SslOptions::NO_TICKET] {
        for host in ["localhost", "mail.example.org"] {
            let (session, reused) = resumed(&service, host, options, None);
            assert!(!reused && session.is_some());
            let (_, reused) = resumed(&service, host, options, session.as_ref());
            assert!(reused, "{host} {options:?}");
        }
    }
    // Not under another name.
    let (session, _) = resumed(&service, "localhost", SslOptions::NO_TICKET, None);
    assert!(
        !resumed(
            &service,
            "mail.example.org",
            SslOptions::NO_TICKET,
            session.as_ref()
        )
        .1
    );
}

#[test]
fn two_services_with_one_cache_file_resume_each_others_sessions() {
    let one = {
        let mut setup = Setup::new();
        let cache = setup.directory.path().join("cache");
        std::fs::write(&cache, "").unwrap();
        std::fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        setup.set("TLS_CACHEFILE", &cache.to_string_lossy());
        Service::start(setup)
    };
    let other = {
        let mut setup = Setup::new();
        for (name, value) in &one.setup.variables {
            setup.set(name, value);
        }
        Service::start(setup)
    };
    for options in [SslOptions::empty(), SslOptions::NO_TICKET] {
        let (session, _) = resumed(&one, "localhost", options, None);
        assert!(resumed(&other, "localhost", options, session.as_ref()).1);
    }
}

#[test]
fn a_new_revocation_list_counts_at_once() {
    let mut setup = Setup::new();
    let authority = identity(&Wish {
        name: "authority",
        authority: true,
        ..Wish::default()
    });
    let user = identity(&Wish {
        name: "user",
        issuer: Some(&authority),
        ..Wish::default()
    });
    let Some(list) = support::revocation_list(setup.directory.path(), &authority, &user) else {
        support::skip("no openssl command here");
        return;
    };
    let trust = setup.directory.path().join("trust.pem");
    let mut pem = authority.certificate.to_pem().unwrap();
    std::fs::write(&trust, &pem).unwrap();
    setup.set("TLS_TRUSTCERTS", &trust.to_string_lossy());
    setup.set("TLS_VERIFYPEER", "REQUIREPEER");
    let service = Service::start(setup);
    let served = || {
        let handed = service.hand_over();
        let mut builder = client();
        builder.set_certificate(&user.certificate).unwrap();
        builder.set_private_key(&user.key).unwrap();
        let stream = connect(builder, "localhost", handed.peer.try_clone().unwrap());
        let connected = matches!(handed.answer(), Some(Reply::Connected(_)));
        drop((stream, handed.peer, handed.clear));
        connected
    };
    assert!(served());
    pem.extend(list);
    let new = trust.with_extension("new");
    std::fs::write(&new, pem).unwrap();
    std::fs::rename(&new, &trust).unwrap();
    eventually("the revocation", || !served());
    assert!(
        service
            .log
            .try_iter()
            .any(|line| line == "INFO: couriertlsd: TLS_TRUSTCERTS: read again")
    );
}

#[test]
fn the_certificate_of_an_address_is_watched_too_and_days_left_are_said() {
    let service = Service::start(Setup::new());
    let path = format!("{}.127.0.0.1", service.setup.certificate().display());
    assert_eq!(service.common_name("localhost"), "localhost");
    identity(&Wish {
        name: "by-address",
        ..Wish::default()
    })
    .write(path.as_ref());
    eventually("the address's certificate", || {
        service.common_name("localhost") == "by-address"
    });
    let said: Vec<String> = service.log.try_iter().collect();
    assert!(
        said[0].starts_with("INFO: couriertlsd: /") && said[0].contains("expires in "),
        "{said:?}"
    );
    identity(&Wish {
        days: 3,
        ..Wish::default()
    })
    .write(&service.setup.certificate());
    let mut said = String::new();
    eventually("a warning", || {
        said.extend(service.log.try_iter());
        // Part of the three days has passed already.
        said.contains("WARN: couriertlsd: /")
            && (said.contains("expires in 2 days") || said.contains("expires in 3 days"))
    });
}

#[test]
fn host_names_are_looked_up_by_the_loader() {
    let service = Service::start(Setup::new());
    let path = format!("{}.example.org", service.setup.certificate().display());
    identity(&Wish {
        name: "by-host",
        ..Wish::default()
    })
    .write(path.as_ref());
    // Readable by root only, as keys should be.
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(service.common_name("mail.example.org"), "by-host");
    assert_eq!(service.common_name("other.test"), "localhost");
}

#[test]
fn a_connection_process_is_confined() {
    let service = Service::start(Setup::new());
    let handed = service.hand_over();
    let stream = connect(client(), "localhost", handed.peer.try_clone().unwrap()).unwrap();
    assert!(matches!(handed.answer(), Some(Reply::Connected(_))));
    let listening = children(service.child.id());
    let connections: Vec<u32> = listening.iter().flat_map(|&pid| children(pid)).collect();
    assert_eq!(connections.len(), 1);
    let status = std::fs::read_to_string(format!("/proc/{}/status", connections[0])).unwrap();
    let field = |name: &str| {
        status
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "NoNewPrivs:\t1");
    assert_eq!(field("Seccomp:"), "Seccomp:\t2");
    if nix::unistd::geteuid().is_root() {
        assert!(!field("Uid:").contains("\t0\t"), "{}", field("Uid:"));
        assert!(!field("Groups:").contains(" 0 "), "{}", field("Groups:"));
    }
    drop(stream);
}

#[test]
fn a_socket_left_behind_is_replaced_and_a_living_one_is_not() {
    let setup = Setup::new();
    let path = setup.directory.path().join("couriertlsd.socket");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let service = Service::start(setup);
    eventually("an answer", || {
        let client = socket(
            AddressFamily::Unix,
            SockType::SeqPacket,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .unwrap();
        connect_to(client.as_raw_fd(), &UnixAddr::new(&path).unwrap()).is_ok()
    });
    let second = Command::new(env!("CARGO_BIN_EXE_couriertlsd"))
        .env_clear()
        .env(
            "COURIER_PATHS",
            service.setup.directory.path().join("paths"),
        )
        .env("TLS_CERTFILE", service.setup.certificate())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(text.contains("couriertlsd.socket: "), "{text}");
    assert_eq!(service.common_name("localhost"), "localhost");
}

#[test]
fn a_stop_as_soon_as_there_is_a_socket_removes_it() {
    for _ in 0..5 {
        let setup = Setup::new();
        let path = setup.directory.path().join("couriertlsd.socket");
        let paths = setup.directory.path().join("paths");
        let text = format!(
            "piddir={}\nmailuser=daemon\n",
            setup.directory.path().display()
        );
        std::fs::write(&paths, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_couriertlsd"))
            .env_clear()
            .env("COURIER_PATHS", &paths)
            .env("TLS_CERTFILE", setup.certificate())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        // Without a pause: the sooner, the likelier it is too soon.
        while !path.exists() && Instant::now() < deadline {}
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success() && !path.exists(), "{status}");
    }
}

#[test]
fn the_listening_process_is_replaced_when_it_dies() {
    let service = Service::start(Setup::new());
    assert_eq!(service.common_name("localhost"), "localhost");
    let listening = children(service.child.id());
    kill(
        Pid::from_raw(i32::try_from(listening[0]).unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    eventually("another listening process", || {
        let now = children(service.child.id());
        now.len() == 1 && now != listening
    });
    assert_eq!(service.common_name("localhost"), "localhost");
}

/// Process ids of the living children of `parent`.
fn children(parent: u32) -> Vec<u32> {
    std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}
