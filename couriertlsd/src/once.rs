//! One connection without the service: what `couriertls` does by itself (`couriertlsd -once`).
//!
//! With a program, two processes take part. This one read the certificates, starts the TLS process and waits;
//! it never sees an octet of the peer's. The TLS process becomes the mail user before the handshake. When it
//! reports success this process becomes the program, so that the process id that couriertcpd counts is the
//! session's.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use courier::handover::Options;
use courier::sys::fd;
use courier::sys::log::{Level, log};
use courier::sys::process::{self, Fork, Identity};
use openssl::ssl::SslContext;

use crate::context::{self, HostLookup, Verification};
use crate::material::Material;
use crate::message::Message;
use crate::pump;
use crate::relay::{Network, Plain};
use crate::report::Report;
use crate::session::Session;
use crate::settings::Settings;
use crate::{sys, ticket};

/// Serves one connection as `options` say.
pub(crate) fn run(options: &Options, settings: Settings) -> ExitCode {
    let status = match options.status_fd.map(sys::take_descriptor).transpose() {
        Ok(status) => status,
        Err(error) => {
            log(Level::Err, format_args!("couriertls: -statusfd: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::new(status);
    match serve(options, &Arc::new(settings), &mut report) {
        Ok(code) => code,
        Err(text) => {
            report.fail(&text);
            ExitCode::FAILURE
        }
    }
}

fn serve(
    options: &Options,
    settings: &Arc<Settings>,
    report: &mut Report,
) -> Result<ExitCode, String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        settings.line(&format!("couriertls: {what}: {error}"))
    };
    for remark in &settings.remarks {
        report.debug(&settings.line(remark));
    }
    let material =
        Material::for_address(settings).map_err(|error| settings.line(&error.to_string()))?;
    sys::set_ticket_keys(
        ticket_keys(settings, report).map_err(|error| failed("ticket keys", &error))?,
    );
    let network = network(options).map_err(|error| failed("network", &error))?;
    if !options.program.is_empty() && options.local_fd.is_none() {
        return with_program(options, settings, &material, network, report);
    }
    let lookup = {
        let settings = Arc::clone(settings);
        move |name: &str| file_lookup(&settings, name)
    };
    let context = context(settings, &material, Arc::new(lookup))?;
    if let Some(user) = &options.user {
        become_user(user)?;
    }
    let plain = match options.local_fd {
        Some(number) => sys::take_descriptor(number).map_err(|error| failed("-localfd", &error))?,
        None => pump::standard_streams().map_err(|error| failed("fork", &error))?,
    };
    let dump = options.print_x509.map(sys::take_descriptor).transpose();
    let dump = dump.map_err(|error| failed("-printx509", &error))?;
    let network = Network::new(network).map_err(|error| failed("network", &error))?;
    let plain = Plain::new(plain).map_err(|error| failed("plain side", &error))?;
    let Some(session) = Session::accept(network, &context, settings, report) else {
        return Ok(ExitCode::FAILURE);
    };
    print_dump(dump, &session)?;
    report.succeeded();
    session.relay(plain, settings, report);
    Ok(ExitCode::SUCCESS)
}

fn print_dump(dump: Option<OwnedFd>, session: &Session) -> Result<(), String> {
    let Some(dump) = dump else {
        return Ok(());
    };
    File::from(dump)
        .write_all(session.peer.text.as_bytes())
        .map_err(|error| format!("couriertls: -printx509: {error}"))
}

fn with_program(
    options: &Options,
    settings: &Arc<Settings>,
    material: &Material,
    network: OwnedFd,
    report: &mut Report,
) -> Result<ExitCode, String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        settings.line(&format!("couriertls: {what}: {error}"))
    };
    let (plain, programs) = fd::socket_pair().map_err(|error| failed("socketpair", &error))?;
    let (here, there) = UnixStream::pair().map_err(|error| failed("socketpair", &error))?;
    match process::fork().map_err(|error| failed("fork", &error))? {
        Fork::Child => {
            // Forked again, so that the session never has a child that it does not know of.
            let code = match process::fork() {
                Ok(Fork::Parent(_)) => 0,
                Ok(Fork::Child) => {
                    drop((here, programs));
                    tls_process(options, settings, material, network, plain, there, report);
                    0
                }
                Err(error) => {
                    report.fail(&failed("fork", &error));
                    1
                }
            };
            process::exit_now(code);
        }
        Fork::Parent(child) => {
            drop((network, plain, there));
            nix::sys::wait::waitpid(child, None).map_err(|error| failed("wait", &error))?;
            let Some(variables) = answer_until_connected(settings, here) else {
                return Ok(ExitCode::FAILURE);
            };
            let error = become_program(options, &variables, &programs);
            let name = options
                .program
                .first()
                .map(|name| name.to_string_lossy().into_owned());
            Err(format!("{}: {error}", name.unwrap_or_default()))
        }
    }
}

fn tls_process(
    options: &Options,
    settings: &Arc<Settings>,
    material: &Material,
    network: OwnedFd,
    plain: OwnedFd,
    control: UnixStream,
    report: &mut Report,
) {
    let control = Arc::new(Mutex::new(Some(control)));
    let lookup = {
        let control = Arc::clone(&control);
        move |name: &str| ask(&control, name)
    };
    let tell = |message: &Message| {
        let mut control = control.lock().unwrap_or_else(PoisonError::into_inner);
        // Once it has been told the other side becomes the program, and the socket is of no use.
        control
            .take()
            .is_some_and(|mut control| message.send(&mut control).is_ok())
    };
    let serve = || -> Result<(), String> {
        let context = context(settings, material, Arc::new(lookup))?;
        if let Some(user) = &options.user {
            become_user(user)?;
        }
        let network = Network::new(network)
            .map_err(|error| settings.line(&format!("couriertls: {error}")))?;
        let plain =
            Plain::new(plain).map_err(|error| settings.line(&format!("couriertls: {error}")))?;
        let Some(session) = Session::accept(network, &context, settings, report) else {
            tell(&Message::Failed);
            return Ok(());
        };
        if tell(&Message::Connected(session.peer.environment())) {
            report.succeeded();
            session.relay(plain, settings, report);
        }
        Ok(())
    };
    if let Err(text) = serve() {
        report.fail(&text);
        tell(&Message::Failed);
    }
}

fn ask(control: &Mutex<Option<UnixStream>>, name: &str) -> Option<Material> {
    let mut control = control.lock().unwrap_or_else(PoisonError::into_inner);
    let control = control.as_mut()?;
    Message::Host(name.to_owned()).send(control).ok()?;
    Message::receive(control).ok()?.into_material()
}

/// Reads certificates for the TLS process until that reports; `None` if the handshake failed.
fn answer_until_connected(
    settings: &Settings,
    mut control: UnixStream,
) -> Option<Vec<(String, String)>> {
    loop {
        match Message::receive(&mut control) {
            Ok(Message::Host(name)) => {
                let answer = file_lookup(settings, &name)
                    .map_or(Message::None, |found| Message::of_material(&found));
                answer.send(&mut control).ok()?;
            }
            Ok(Message::Connected(variables)) => return Some(variables),
            Ok(Message::Failed) => return None,
            Ok(other) => {
                log(
                    Level::Err,
                    format_args!("couriertls: unexpected message {other:?}"),
                );
                return None;
            }
            // The TLS process is gone; it has said why.
            Err(_gone) => return None,
        }
    }
}

fn file_lookup(settings: &Settings, name: &str) -> Option<Material> {
    match Material::for_host(settings, name)? {
        Ok(material) => Some(material),
        Err(error) => {
            log(
                Level::Err,
                format_args!("{}", settings.line(&error.to_string())),
            );
            None
        }
    }
}

fn context(
    settings: &Arc<Settings>,
    material: &Material,
    lookup: Arc<HostLookup>,
) -> Result<SslContext, String> {
    Verification::load(settings)
        .and_then(|verification| {
            context::server(settings, &Arc::new(verification), material, lookup)
        })
        .map_err(|error| {
            settings.line(&format!("couriertls: {}: {error}", material.path.display()))
        })
}

/// Keys from the session cache file, else keys of this process alone.
fn ticket_keys(settings: &Settings, report: &mut Report) -> io::Result<Vec<sys::TicketKey>> {
    let shared = settings
        .cache_file
        .as_deref()
        .map(|path| (path, ticket::shared(path)));
    let keys = match shared {
        Some((_, Ok(keys))) => keys,
        Some((path, Err(error))) => {
            report.debug(&settings.line(&format!("couriertls: {}: {error}", path.display())));
            vec![ticket::fresh()?]
        }
        None => vec![ticket::fresh()?],
    };
    Ok(keys.into_iter().map(|dated| dated.key).collect())
}

/// The peer's connection. With `-tcpd` nothing may write to it but this module: descriptor 1 becomes the log.
fn network(options: &Options) -> io::Result<OwnedFd> {
    match options.remote_fd {
        Some(number) if !options.tcpd => sys::take_descriptor(number),
        _ => {
            let network = fd::stdin().try_clone_to_owned()?;
            fd::duplicate_to(fd::stderr(), 1)?;
            Ok(network)
        }
    }
}

pub(crate) fn become_user(name: &str) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        // Whoever started us is not privileged, and neither are we.
        return Ok(());
    }
    let user = nix::unistd::User::from_name(name)
        .ok()
        .flatten()
        .ok_or_else(|| format!("couriertls: no user {name}"))?;
    let c_name = CString::new(name).map_err(|_| format!("couriertls: no user {name}"))?;
    let identity = Identity {
        uid: user.uid,
        gid: user.gid,
        name: Some(c_name),
    };
    process::drop_privileges(&identity).map_err(|error| format!("couriertls: {name}: {error}"))?;
    Ok(())
}

/// The program takes this process's place with the plain side as descriptors 0 and 1.
fn become_program(options: &Options, variables: &[(String, String)], plain: &OwnedFd) -> io::Error {
    let exec = || -> io::Result<io::Error> {
        fd::duplicate_to(plain.as_fd(), 0)?;
        fd::duplicate_to(plain.as_fd(), 1)?;
        let program = options
            .program
            .first()
            .map(|name| c_string(name))
            .transpose()?
            .unwrap_or_default();
        let arguments = options
            .program
            .iter()
            .map(|word| c_string(word))
            .collect::<io::Result<Vec<_>>>()?;
        let environment = environment(variables)?;
        fd::close_from(3)?;
        Ok(process::exec(&program, &arguments, &environment))
    };
    exec().unwrap_or_else(|error| error)
}

/// This process's environment with what is known of the peer, and nothing of the kind from anywhere else.
fn environment(variables: &[(String, String)]) -> io::Result<Vec<CString>> {
    let inherited = std::env::vars_os().filter(|(name, _)| {
        let name = name.as_bytes();
        !name.starts_with(b"TLS_SUBJECT_") && name != b"TLS_CONNECTED_PROTOCOL"
    });
    let ours = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    inherited
        .chain(ours)
        .map(|(name, value)| {
            let mut line = name;
            line.push("=");
            line.push(value);
            c_string(&line)
        })
        .collect()
}

fn c_string(text: &std::ffi::OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}
