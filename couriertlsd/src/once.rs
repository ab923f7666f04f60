//! One connection without the service: what `couriertls` does by itself (`couriertlsd -once`), as server or client.
//!
//! Two processes take part unless the plain side is `-localfd`. This one read the certificates, starts the TLS
//! process and waits; it never sees an encrypted octet. The TLS process becomes the mail user before the handshake.
//! When it reports success this process becomes the program, so that the process id that couriertcpd counts is
//! the session's; without a program it copies to and from descriptors 0 and 1.

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
    let Some(number) = options.local_fd else {
        return in_two_processes(options, connection, dump, report);
    };
    let plain = sys::take_descriptor(number).map_err(|error| failed("-localfd", &error))?;
    let lookup = {
        let settings = Arc::clone(settings);
        move |name: &str| file_lookup(&settings, name)
    };
    let session = connection.shake_hands(Arc::new(lookup), report)?;
    let Some((session, plain)) = session.zip(prepare(plain, settings)) else {
        return Ok(ExitCode::FAILURE);
    };
    print_dump(dump, &session)?;
    report.succeeded();
    confine(report);
    session.relay(plain, settings, report);
    // What the standard library does before an ordinary exit is not allowed any more.
    process::exit_now(0)
}

impl Connection {
    /// Becomes the user that was asked for and shakes hands; `None` if that failed and has been said.
    fn shake_hands(
        self,
        lookup: Arc<HostLookup>,
        report: &mut Report,
    ) -> Result<Option<Session>, String> {
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
        let network = Network::new(self.network)
            .map_err(|error| settings.line(&format!("couriertls: {}", reason(&error))))?;
        Ok(Session::start(
            network, &context, &self.role, settings, report,
        ))
    }
}

fn prepare(plain: OwnedFd, settings: &Settings) -> Option<Plain> {
    match Plain::new(plain) {
        Ok(plain) => Some(plain),
        Err(error) => {
            let text = format!("couriertls: plain side: {}", reason(&error));
            log(Level::Plain, format_args!("{}", settings.line(&text)));
            None
        }
    }
}

/// The handshake is over: from here on nothing is opened.
fn confine(report: &mut Report) {
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

fn in_two_processes(
    options: &Options,
    connection: Connection,
    dump: Option<OwnedFd>,
    report: &mut Report,
) -> Result<ExitCode, String> {
    let settings = Arc::clone(&connection.policy.settings);
    let failed = |what: &str, error: &io::Error| {
        settings.line(&format!("couriertls: {what}: {}", reason(error)))
    };
    let (plain, other) = fd::socket_pair().map_err(|error| failed("socketpair", &error))?;
    let (here, there) = UnixStream::pair().map_err(|error| failed("socketpair", &error))?;
    match process::fork().map_err(|error| failed("fork", &error))? {
        Fork::Child => {
            // Forked again, so that the session never has a child that it does not know of.
            let code = match process::fork() {
                Ok(Fork::Parent(_)) => 0,
                Ok(Fork::Child) => {
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
            nix::sys::wait::waitpid(child, None).map_err(|errno| failed("wait", &errno.into()))?;
            let Some(variables) = answer_until_connected(&settings, here) else {
                return Ok(ExitCode::FAILURE);
            };
            report.succeeded();
            if options.program.is_empty() {
                pump::copy(other)
                    .map_err(|error| settings.line(&format!("couriertls: {}", reason(&error))))?;
                return Ok(ExitCode::SUCCESS);
            }
            let error = become_program(options, &variables, &other);
            let name = options
                .program
                .first()
                .map(|name| name.to_string_lossy().into_owned());
            Err(format!("{}: {}", name.unwrap_or_default(), reason(&error)))
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
        let session = connection.shake_hands(Arc::new(lookup), report)?;
        let Some((session, plain)) = session.zip(prepare(plain, &settings)) else {
            tell(&Message::Failed);
            return Ok(());
        };
        print_dump(dump, &session)?;
        if tell(&Message::Connected(session.peer.environment())) {
            report.succeeded();
            confine(report);
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
