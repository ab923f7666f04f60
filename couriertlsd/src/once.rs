//! One connection without the service: what `couriertls` does by itself (`couriertlsd -once`), as server or client.
//!
//! Two processes take part. This one read the certificates, starts the TLS process and waits; it never sees an
//! encrypted octet. The TLS process becomes the mail user and confines itself before the handshake. When it reports
//! success this process becomes the program, so that the process id that couriertcpd counts is the session's; without
//! a program it copies to and from descriptors 0 and 1, or, with `-localfd`, waits.

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
use courier::sys::log::{Level, log, reason};
use courier::sys::process::{self, Fork, Identity};
use courier::sys::sandbox::{self, RelayFilter};
use courier::sys::user::{Query, directly};
use openssl::ssl::SslContext;

use crate::cache::Cache;
use crate::context::{self, HostLookup, Policy};
use crate::material::Material;
use crate::message::Message;
use crate::relay::{Network, Plain};
use crate::report::Report;
use crate::session::{Role, Session};
use crate::settings::Settings;
use crate::starttls::{self, Protocol};
use crate::verification::Verification;
use crate::{pump, remote, sys, ticket};

/// Serves one connection as `options` say.
pub(crate) fn run(options: &Options, settings: Settings) -> ExitCode {
    let status = match options.status_fd.map(sys::take_descriptor).transpose() {
        Ok(status) => status,
        Err(error) => {
            let text = reason(&error);
            log(Level::Err, format_args!("couriertls: -statusfd: {text}"));
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

/// A connection before its handshake.
struct Connection {
    policy: Policy,
    role: Role,
    /// A client needs none.
    material: Option<Material>,
    user: Option<String>,
    network: OwnedFd,
}

fn serve(
    options: &Options,
    settings: &Arc<Settings>,
    report: &mut Report,
) -> Result<ExitCode, String> {
    let failed = |what: &str, error: &io::Error| {
        settings.line(&format!("couriertls: {what}: {}", reason(error)))
    };
    for remark in &settings.remarks {
        report.debug(&settings.line(remark));
    }
    let protocol = match &options.protocol {
        None => None,
        Some(name) => Some(
            Protocol::parse(name)
                .filter(|_| !options.server)
                .ok_or_else(|| format!("--protocol={name} - unknown protocol."))?,
        ),
    };
    let verification = Verification::load(settings, options.verify.as_deref())
        .map_err(|text| settings.line(&text))?;
    let mut cache = None;
    let material = if options.server {
        cache = open_cache(settings, report).map(Arc::new);
        let keys = match &cache {
            Some(cache) => cache.keys(),
            None => ticket::fresh().map(|key| vec![key]),
        };
        let keys = keys.map_err(|error| failed("ticket keys", &error))?;
        sys::set_ticket_keys(keys.into_iter().map(|dated| dated.key).collect());
        Some(Material::for_address(settings).map_err(|error| settings.line(&error.to_string()))?)
    } else {
        Material::for_client(settings).map_err(|error| settings.line(&error.to_string()))?
    };
    let network = remote::open(options)?;
    if let Some(protocol) = protocol {
        starttls::ask(&network, protocol, io::stdout().lock())
            .map_err(|error| settings.line(&format!("couriertls: {error}")))?;
    }
    let connection = Connection {
        policy: Policy {
            settings: Arc::clone(settings),
            verification: Arc::new(verification),
            cache,
        },
        role: Role {
            client: !options.server,
            domain: options.verify.clone(),
            host: options.host.clone(),
        },
        material,
        user: options.user.clone(),
        network,
    };
    let dump = options.print_x509.map(sys::take_descriptor).transpose();
    let dump = dump.map_err(|error| failed("-printx509", &error))?;
    let (plain, other) = match options.local_fd {
        Some(number) => {
            let plain = sys::take_descriptor(number).map_err(|error| failed("-localfd", &error))?;
            (plain, None)
        }
        None => {
            let (plain, other) = fd::socket_pair().map_err(|error| failed("socketpair", &error))?;
            (plain, Some(other))
        }
    };
    in_two_processes(options, connection, (plain, other), dump, report)
}

impl Connection {
    /// Becomes the user that was asked for, gives up what is not needed any more and shakes hands; `None` if that
    /// failed and has been said.
    fn shake_hands(
        self,
        plain: OwnedFd,
        lookup: Arc<HostLookup>,
        report: &mut Report,
    ) -> Result<Option<(Session, Plain)>, String> {
        let settings = &self.policy.settings;
        let context: SslContext = match &self.material {
            Some(material) if !self.role.client => context::server(&self.policy, material, lookup),
            material => context::client(&self.policy, material.as_ref()),
        }
        .map_err(|error| {
            let path = self.material.as_ref().map(|material| &material.path);
            let path = path.map(|path| path.display().to_string());
            settings.line(&format!(
                "couriertls: {}: {error}",
                path.unwrap_or_default()
            ))
        })?;
        if let Some(user) = &self.user {
            become_user(user).map_err(|text| settings.line(&text))?;
        }
        let text = |error: io::Error| settings.line(&format!("couriertls: {}", reason(&error)));
        let network = Network::new(self.network).map_err(text)?;
        let plain = Plain::new(plain).map_err(text)?;
        confine(report);
        let session = Session::start(network, &context, &self.role, settings, report);
        Ok(session.map(|session| (session, plain)))
    }
}

/// From here on nothing is opened; certificates of other hosts come through a socket.
fn confine(report: &mut Report) {
    // The C library reads the time zone's file when it first turns a time into a date, which checking a
    // certificate does.
    let _date = openssl::asn1::Asn1Time::days_from_now(0);
    if let Err(error) = sandbox::no_files() {
        report.debug(&format!("couriertls: {error}"));
    }
    if let Err(error) = RelayFilter::new().and_then(|filter| filter.install()) {
        report.debug(&format!("couriertls: {error}"));
    }
}

fn print_dump(dump: Option<OwnedFd>, session: &Session) -> Result<(), String> {
    let Some(dump) = dump else {
        return Ok(());
    };
    File::from(dump)
        .write_all(session.peer.text.as_bytes())
        .map_err(|error| format!("couriertls: -printx509: {}", reason(&error)))
}

/// `plain` is for the TLS process; the other end of it, if that is ours too, for this one.
fn in_two_processes(
    options: &Options,
    connection: Connection,
    (plain, other): (OwnedFd, Option<OwnedFd>),
    dump: Option<OwnedFd>,
    report: &mut Report,
) -> Result<ExitCode, String> {
    let settings = Arc::clone(&connection.policy.settings);
    let failed = |what: &str, error: &io::Error| {
        settings.line(&format!("couriertls: {what}: {}", reason(error)))
    };
    let wait = |child| {
        nix::sys::wait::waitpid(child, None)
            .map(|_status| ())
            .map_err(|errno| failed("wait", &errno.into()))
    };
    let program = options.program.first().filter(|_| other.is_some());
    let (here, there) = UnixStream::pair().map_err(|error| failed("socketpair", &error))?;
    match process::fork().map_err(|error| failed("fork", &error))? {
        Fork::Child => {
            // Forked again before a program, so that the session never has a child that it does not know of.
            let again = program.map(|_| process::fork()).transpose();
            let code = match again {
                Ok(Some(Fork::Parent(_))) => 0,
                Ok(None | Some(Fork::Child)) => {
                    drop((here, other));
                    tls_process(connection, plain, dump, there, report);
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
            drop((connection, plain, dump, there));
            if program.is_some() {
                wait(child)?;
            }
            let Some(variables) = answer_until_connected(&settings, here) else {
                return Ok(ExitCode::FAILURE);
            };
            report.succeeded();
            match (other, program) {
                (Some(other), Some(program)) => {
                    let error = become_program(options, &variables, &other);
                    Err(format!("{}: {}", program.to_string_lossy(), reason(&error)))
                }
                (other, _) => {
                    if let Some(other) = other {
                        pump::copy(other).map_err(|error| {
                            settings.line(&format!("couriertls: {}", reason(&error)))
                        })?;
                    }
                    wait(child)?;
                    Ok(ExitCode::SUCCESS)
                }
            }
        }
    }
}

fn tls_process(
    connection: Connection,
    plain: OwnedFd,
    dump: Option<OwnedFd>,
    control: UnixStream,
    report: &mut Report,
) {
    let settings = Arc::clone(&connection.policy.settings);
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
        let Some((session, plain)) = connection.shake_hands(plain, Arc::new(lookup), report)?
        else {
            tell(&Message::Failed);
            return Ok(());
        };
        print_dump(dump, &session)?;
        if tell(&Message::Connected(session.peer.environment())) {
            report.succeeded();
            session.relay(plain, &settings, report);
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
            Err(_gone) => {
                let text = settings.line("couriertls: the TLS process has ended");
                log(Level::Err, format_args!("{text}"));
                return None;
            }
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

/// The session cache file, if there is one that can be used.
fn open_cache(settings: &Settings, report: &mut Report) -> Option<Cache> {
    let path = settings.cache_file.as_deref()?;
    match Cache::open(path, settings.cache_size) {
        Ok(cache) => Some(cache),
        Err(error) => {
            let text = reason(&error);
            report.debug(&settings.line(&format!("couriertls: {}: {text}", path.display())));
            None
        }
    }
}

pub(crate) fn become_user(name: &str) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        // Whoever started us is not privileged, and neither are we.
        return Ok(());
    }
    let user = directly(Query::Name(name.as_bytes(), None))
        .ok()
        .flatten()
        .ok_or_else(|| format!("couriertls: no user {name}"))?;
    let identity = Identity {
        uid: user.uid,
        gid: user.gid,
        groups: Some(user.groups),
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
