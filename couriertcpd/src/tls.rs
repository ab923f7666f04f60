//! couriertls: hands a connection to the TLS service and becomes the program that serves its plain side, or
//! becomes `couriertlsd -once` where the service is absent, refuses, or cannot do what is asked. Links no OpenSSL
//! and reads no octet of the peer's (contract: couriertls).

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use courier::config::paths::Paths;
use courier::handover::{self, Options, PACKET_MAX, Reply, Request};
use courier::sys::log::{Level, log};
use courier::sys::{endpoint, fd, pass, process};
use nix::poll::PollFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use crate::sys;

/// How long the service may take; it gives a handshake a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs couriertls with the words after its name.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(error) => {
            log(Level::Plain, format_args!("couriertls: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let paths = match Paths::load() {
        Ok(paths) => paths,
        Err(error) => {
            log(Level::Err, format_args!("couriertls: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let environment = environment(options.server && options.tcpd);
    match hand_over(&options, &paths, &environment) {
        Outcome::Connected(variables, plain) => {
            let error = become_program(&options, environment, variables, &plain);
            let name = options.program.first().map(|name| name.to_string_lossy());
            log(
                Level::Plain,
                format_args!("{}: {}", name.unwrap_or_default(), crate::reason(&error)),
            );
            ExitCode::FAILURE
        }
        Outcome::Given => ExitCode::SUCCESS,
        Outcome::Failed => ExitCode::FAILURE,
        Outcome::Alone => {
            let error = serve_alone(arguments, &paths, &environment);
            let text = crate::reason(&error);
            log(
                Level::Err,
                format_args!("couriertls: {}: {text}", tls_program(&paths).display()),
            );
            ExitCode::FAILURE
        }
    }
}

/// The inherited variables, and those of couriertcpd if something else has started this program with a connection.
fn environment(connected: bool) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<_> = std::env::vars_os().collect();
    if connected {
        let known = endpoint::variables(fd::stdin(), |name| {
            std::env::var_os(name).is_some_and(|value| !value.is_empty())
        });
        variables.retain(|(name, _)| !known.iter().any(|(known, _)| name == known));
        variables.extend(
            known
                .into_iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
    }
    variables
}

enum Outcome {
    /// The handshake succeeded; the program gets these variables and this socket.
    Connected(Vec<(OsString, OsString)>, OwnedFd),
    /// The service has everything: the login program waits on the descriptors that went along.
    Given,
    /// The handshake failed, and the service has said why.
    Failed,
    /// Nothing has happened to the connection yet: serve it without the service.
    Alone,
}

fn hand_over(options: &Options, paths: &Paths, environment: &[(OsString, OsString)]) -> Outcome {
    // The service knows servers only, those that check no domain, and runs as the mail user only.
    let as_mail_user = options
        .user
        .as_deref()
        .is_none_or(|user| OsStr::new(user) == paths.mailuser.as_os_str());
    if !options.server || !options.tcpd || options.verify.is_some() || !as_mail_user {
        return Outcome::Alone;
    }
    let plain = match (options.local_fd, options.program.is_empty()) {
        (Some(number), _) => sys::named_descriptor(number).map(Plain::Named),
        (None, false) => fd::socket_pair()
            .ok()
            .map(|(service, program)| Plain::Pair(service, program)),
        (None, true) => None,
    };
    let Some(plain) = plain else {
        return Outcome::Alone;
    };
    let variable = |name: &str| {
        let found = environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let request = Request {
        settings: handover::tls_settings(std::env::vars_os()),
        local_ip: variable("TCPLOCALIP"),
        remote_ip: variable("TCPREMOTEIP"),
        has_status: options.status_fd.is_some(),
        has_dump: options.print_x509.is_some(),
    };
    let mut descriptors = vec![fd::stderr(), fd::stdin(), plain.for_service()];
    for number in [options.status_fd, options.print_x509]
        .into_iter()
        .flatten()
    {
        match sys::named_descriptor(number) {
            Some(descriptor) => descriptors.push(descriptor),
            None => return Outcome::Alone,
        }
    }
    let Ok(service) = connect_to_service(paths) else {
        return Outcome::Alone;
    };
    if pass::send(&service, &request.encode(), &descriptors).is_err() {
        return Outcome::Alone;
    }
    drop(descriptors);
    match (answer(&service), plain) {
        (Some(Reply::Connected(variables)), Plain::Pair(_, program)) => {
            Outcome::Connected(variables, program)
        }
        (Some(Reply::Connected(_)), Plain::Named(_)) => Outcome::Given,
        (Some(Reply::Refused), _) => Outcome::Alone,
        // Without an answer the service may have begun to read: too late to serve the connection otherwise.
        (Some(Reply::Failed) | None, _) => Outcome::Failed,
    }
}

enum Plain {
    Named(BorrowedFd<'static>),
    Pair(OwnedFd, OwnedFd),
}

impl Plain {
    fn for_service(&self) -> BorrowedFd<'_> {
        match self {
            Self::Named(descriptor) => *descriptor,
            Self::Pair(service, _) => service.as_fd(),
        }
    }
}

fn answer(service: &OwnedFd) -> Option<Reply> {
    let deadline = Instant::now() + PATIENCE;
    if !fd::wait_ready(service, PollFlags::POLLIN, Some(deadline)).ok()? {
        return None;
    }
    let (packet, _) = pass::receive(service, PACKET_MAX).ok()?;
    Reply::decode(&packet)
}

fn connect_to_service(paths: &Paths) -> io::Result<OwnedFd> {
    let path = match std::env::var_os("COURIERTLSD_SOCKET") {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => paths.piddir.join(handover::SOCKET_NAME),
    };
    let service = socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    connect(service.as_raw_fd(), &UnixAddr::new(&path)?)?;
    Ok(service)
}

fn tls_program(paths: &Paths) -> PathBuf {
    paths.libexecdir.join("couriertlsd")
}

fn serve_alone(
    arguments: &[OsString],
    paths: &Paths,
    environment: &[(OsString, OsString)],
) -> io::Error {
    let exec = || -> io::Result<io::Error> {
        let mut words = vec![OsString::from("couriertls"), OsString::from("-once")];
        words.extend_from_slice(arguments);
        let words = words
            .iter()
            .map(|word| c_string(word))
            .collect::<io::Result<Vec<_>>>()?;
        let environment = environment
            .iter()
            .map(variable)
            .collect::<io::Result<Vec<_>>>()?;
        Ok(process::exec(
            &c_string(tls_program(paths).as_os_str())?,
            &words,
            &environment,
        ))
    };
    exec().unwrap_or_else(|error| error)
}

/// The program takes this process's place, with the plain side as descriptors 0 and 1 and what is known of the
/// peer in its environment, which says nothing of the kind from anywhere else.
fn become_program(
    options: &Options,
    inherited: Vec<(OsString, OsString)>,
    variables: Vec<(OsString, OsString)>,
    plain: &OwnedFd,
) -> io::Error {
    let exec = || -> io::Result<io::Error> {
        fd::duplicate_to(plain.as_fd(), 0)?;
        fd::duplicate_to(plain.as_fd(), 1)?;
        let words = options
            .program
            .iter()
            .map(|word| c_string(word))
            .collect::<io::Result<Vec<_>>>()?;
        let program = words.first().cloned().unwrap_or_default();
        let environment = inherited
            .into_iter()
            .filter(|(name, _)| {
                let name = name.as_bytes();
                !name.starts_with(b"TLS_SUBJECT_") && name != b"TLS_CONNECTED_PROTOCOL"
            })
            .chain(variables)
            .map(|pair| variable(&pair))
            .collect::<io::Result<Vec<_>>>()?;
        fd::close_from(3)?;
        Ok(process::exec(&program, &words, &environment))
    };
    exec().unwrap_or_else(|error| error)
}

fn variable((name, value): &(OsString, OsString)) -> io::Result<CString> {
    let mut line = name.clone();
    line.push("=");
    line.push(value);
    c_string(&line)
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}
