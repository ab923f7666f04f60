//! One connection: access list, limits, environment, descriptors, exec (contract: couriertcpd 1.6). Everything that a
//! peer, a file or a name service can delay happens in a forked child. Where nothing can, the parent starts the
//! program itself ([`at_once`], [`spawn`]).

use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use courier::access::{Verdict, local_keys, remote_keys};
use courier::sys::log::{Level, log};
use courier::sys::{fd, process};
use courier_dbm::Reader;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::Pid;

use crate::dnslist::{self, Record};
use crate::environment::Environment;
use crate::listen::IPV6;
use crate::options::{Service, Stderr};
use crate::proxy::{self, Header};
use crate::shared_slots::SharedSlots;
use crate::slots::{Slots, mapped};
use crate::sys::Shared;
use crate::sys::spawn::{self, Stack};

/// Cells of [`Context::page`]: when a message of each kind was last written.
pub mod cell {
    /// A denied address.
    pub const DENIED: usize = 0;
    /// A full block.
    pub const BLOCK: usize = 1;
    /// A damaged access database.
    pub const DATABASE: usize = 2;
    /// A proxy header that was not accepted.
    pub const PROXY: usize = 3;
    /// How many there are.
    pub const COUNT: usize = 4;
}

/// Seconds between two messages of one kind, where the contract does not want each of them.
pub const QUIET: u64 = 60;

/// What the child finds when it is forked.
#[derive(Debug)]
pub struct Context<'a> {
    /// The command line.
    pub service: &'a Service,
    /// `-access`, open.
    pub access: Option<&'a Reader>,
    /// The other sessions.
    pub slots: &'a Slots,
    /// What every session's environment starts from.
    pub environment: &'a Environment,
    /// Shared message times.
    pub page: &'a Shared,
    /// With `-haproxy`: the sessions by the addresses that the headers gave, and our own slot among them.
    pub proxied: Option<(&'a SharedSlots, usize)>,
}

/// Serves one connection; ends the process in any case.
pub fn run(context: &Context<'_>, connection: TcpStream, peer: SocketAddr) -> ! {
    let status = match prepare(context, &connection, peer) {
        Ok(environment) => exec(context, &connection, &environment),
        Err(Refused { say_why, status }) => {
            if let (true, Some(message)) = (say_why, &context.service.deny_message) {
                let line = [message.as_slice(), b"\n"].concat();
                // A peer that is gone misses nothing.
                let _ = (&connection).write_all(&line);
            }
            status
        }
    };
    drop(connection);
    process::exit_now(status)
}

struct Refused {
    say_why: bool,
    status: i32,
}

const QUIETLY: Refused = Refused {
    say_why: false,
    status: 0,
};
const WITH_MESSAGE: Refused = Refused {
    say_why: true,
    status: 0,
};
const FAILED: Refused = Refused {
    say_why: false,
    status: 1,
};

fn prepare(
    context: &Context<'_>,
    connection: &TcpStream,
    peer: SocketAddr,
) -> Result<Environment, Refused> {
    // From here on SIGTERM ends this process like any session.
    if nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).is_err()
    {
        return Err(FAILED);
    }
    let Ok(local) = connection.local_addr() else {
        log(Level::Plain, format_args!("getsockname failed."));
        return Err(FAILED);
    };
    let service = context.service;
    let mut environment = context.environment.clone();
    if let (Some(access), true) = (context.access, service.access_local) {
        let keys = local_keys(mapped(local.ip()), local.port());
        if !apply_access(context, access, &keys, &mut environment)? {
            return Err(QUIETLY);
        }
    }
    let ends = Ends { peer, local };
    let (ends, through_proxy) = match service.proxies.timeout(local) {
        Some(timeout) => (
            read_header(context, connection, ends, timeout, &mut environment)?,
            true,
        ),
        None => (ends, false),
    };
    let (remote_address, local_address) = (mapped(ends.peer.ip()), mapped(ends.local.ip()));
    if let Some((slots, own)) = context.proxied {
        slots.enter(own, remote_address);
    }
    if let Some(access) = context.access {
        let keys = remote_keys(remote_address);
        if !apply_access(context, access, &keys, &mut environment)? {
            if context.page.once_in(cell::DENIED, QUIET) {
                let shown = shown(remote_address);
                log(Level::Info, format_args!("access denied, ip=[{shown}]"));
            }
            return Err(WITH_MESSAGE);
        }
    }
    check_limits(context, remote_address, &environment)?;
    set_ends(&mut environment, ends);
    let mut set = |name: &str, value: &str| environment.set(name.as_bytes(), value.as_bytes());
    if through_proxy {
        let (address, port) = (shown(local_address), ends.local.port());
        set(
            "TCPREMOTEINFO",
            &format!("proxy via {address}, port {port}"),
        );
    }
    if service.names {
        let (remote_name, local_name) = crate::lookup::names(remote_address, local_address);
        if let Some(name) = remote_name {
            set("TCPREMOTEHOST", &name);
        }
        if let Some(name) = local_name {
            set("TCPLOCALHOST", &name);
        }
    }
    if !service.lists.is_empty() {
        let shown = shown(remote_address);
        let ask = dnslist::within(dnslist::LIMIT, |name, record| {
            crate::sys::ask_dns(
                name,
                match record {
                    Record::A => 1,
                    Record::Txt => 16,
                },
            )
        });
        dnslist::apply(
            &service.lists,
            remote_address,
            &shown,
            &mut environment,
            &ask,
        );
    }
    if is_dropped(service, &environment) {
        let shown = shown(remote_address);
        log(
            Level::Warning,
            format_args!("dropped blocked connection from {shown}"),
        );
        return Err(WITH_MESSAGE);
    }
    Ok(environment)
}

/// The environment of a connection that is served without asking or telling anybody: no access list, no proxy, no
/// name or DNS list to look up, and within its limits. The parent starts its program itself, without a fork, which copies a
/// process only to throw it away. `None`: a forked child has to look closer.
pub fn at_once(
    context: &Context<'_>,
    connection: &TcpStream,
    peer: SocketAddr,
) -> Option<Environment> {
    let service = context.service;
    let looks_up = service.names || !service.lists.is_empty();
    // Whether a slot for it was free or not, the header of a proxy has to be read.
    if context.access.is_some() || service.proxies.any() || looks_up {
        return None;
    }
    let local = connection.local_addr().ok()?;
    let mut environment = context.environment.clone();
    if exceeded(context, mapped(peer.ip()), &environment).is_some()
        || is_dropped(service, &environment)
    {
        return None;
    }
    set_ends(&mut environment, Ends { peer, local });
    Some(environment)
}

fn set_ends(environment: &mut Environment, ends: Ends) {
    let mut set = |name: &str, value: &str| environment.set(name.as_bytes(), value.as_bytes());
    set("TCPREMOTEIP", &shown(mapped(ends.peer.ip())));
    set("TCPREMOTEPORT", &ends.peer.port().to_string());
    set("TCPLOCALIP", &shown(mapped(ends.local.ip())));
    set("TCPLOCALPORT", &ends.local.port().to_string());
}

/// Whether one of the variables of `-drop` says that the connection is unwanted.
fn is_dropped(service: &Service, environment: &Environment) -> bool {
    service
        .drop
        .iter()
        .any(|name| environment.get(name).is_some_and(|value| !value.is_empty()))
}

/// Both ends of a connection.
#[derive(Debug, Clone, Copy)]
struct Ends {
    peer: SocketAddr,
    local: SocketAddr,
}

/// Reads the header of a proxy: the ends of the connection as the client sees them.
fn read_header(
    context: &Context<'_>,
    connection: &TcpStream,
    ends: Ends,
    timeout: Duration,
    environment: &mut Environment,
) -> Result<Ends, Refused> {
    let proxies = &context.service.proxies;
    let refuse = |why: &dyn std::fmt::Display| {
        if context.page.once_in(cell::PROXY, QUIET) {
            let from = shown(mapped(ends.peer.ip()));
            log(Level::Plain, format_args!("haproxy: {why}, ip=[{from}]"));
        }
        Err(QUIETLY)
    };
    if !proxies.accepts(ends.peer.ip()) {
        return refuse(&"not a listed proxy");
    }
    match proxy::read(connection.as_fd(), timeout) {
        Ok(Header::Own) => Ok(ends),
        Ok(Header::For {
            source,
            destination,
            tls,
        }) => {
            // Only a proxy that the administrator named is believed in what makes a session secure.
            if tls && proxies.lists(ends.peer.ip()) {
                for (name, value) in TLS_DONE {
                    environment.set(name.as_bytes(), value.as_bytes());
                }
            }
            Ok(Ends {
                peer: source,
                local: destination,
            })
        }
        Err(proxy::Error::Silent) => Err(QUIETLY),
        Err(error) => refuse(&error),
    }
}

/// What couriertls sets for a session that it encrypts.
const TLS_DONE: [(&str, &str); 6] = [
    ("IMAP_TLS", "1"),
    ("IMAP_STARTTLS", "NO"),
    ("IMAP_TLS_REQUIRED", "0"),
    ("POP3_TLS", "1"),
    ("POP3_STARTTLS", "NO"),
    ("POP3_TLS_REQUIRED", "0"),
];

/// Looks `keys` up one after another; the first record decides. False means deny; no record at all allows.
fn apply_access(
    context: &Context<'_>,
    access: &Reader,
    keys: &[Vec<u8>],
    environment: &mut Environment,
) -> Result<bool, Refused> {
    for key in keys {
        match access.get(key) {
            Ok(None) => {}
            Ok(Some(value)) => match Verdict::parse(&value) {
                Verdict::Deny => return Ok(false),
                Verdict::Allow(assignments) => {
                    for assignment in assignments {
                        environment.set(&assignment.name, &assignment.value);
                    }
                    return Ok(true);
                }
            },
            Err(error) => {
                if context.page.once_in(cell::DATABASE, QUIET) {
                    log(Level::Err, format_args!("{error}; connection refused"));
                }
                return Err(FAILED);
            }
        }
    }
    Ok(true)
}

/// A limit that a connection would pass.
enum Limit {
    Address,
    Block,
}

fn exceeded(context: &Context<'_>, address: Ipv6Addr, environment: &Environment) -> Option<Limit> {
    let service = context.service;
    let per_address = environment
        .get(b"MAXCPERIP")
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|text| text.trim().parse().ok())
        .filter(|&limit| limit > 0)
        .unwrap_or(service.max_per_address);
    let (from_address, from_block) = match context.proxied {
        Some((slots, own)) => slots.count(own, address, service.whole),
        None => (
            context.slots.from_address(address),
            context.slots.from_block(address),
        ),
    };
    if from_address >= per_address {
        Some(Limit::Address)
    } else if from_block >= service.max_per_block {
        Some(Limit::Block)
    } else {
        None
    }
}

fn check_limits(
    context: &Context<'_>,
    address: Ipv6Addr,
    environment: &Environment,
) -> Result<(), Refused> {
    let shown = shown(address);
    match exceeded(context, address, environment) {
        None => return Ok(()),
        Some(Limit::Address) => log(
            Level::Plain,
            format_args!("ALERT: Maximum connection limit reached for {shown}"),
        ),
        Some(Limit::Block) => {
            if context.page.once_in(cell::BLOCK, QUIET) {
                log(
                    Level::Info,
                    format_args!("Maximum connection limit reached for the network of {shown}"),
                );
            }
        }
    }
    Err(WITH_MESSAGE)
}

/// An address as logs and variables show it.
pub fn shown(address: Ipv6Addr) -> String {
    match address.to_ipv4_mapped() {
        Some(v4) if !IPV6 => v4.to_string(),
        _ => address.to_string(),
    }
}

/// Starts the program of a connection whose environment is known, from the parent. Does what [`exec`] does, in a child
/// that shares the parent's memory until the program has begun.
///
/// # Errors
/// As for fork(2) and execve(2).
pub fn spawn(
    stack: &mut Stack,
    service: &Service,
    connection: &TcpStream,
    environment: &Environment,
) -> Result<Pid, Errno> {
    spawn::spawn(
        stack,
        service.argv.first().ok_or(Errno::ENOENT)?,
        &service.argv,
        environment.entries(),
        connection.as_fd(),
        targets(service),
    )
}

/// The descriptors that the connection becomes.
fn targets(service: &Service) -> &'static [i32] {
    if matches!(service.stderr, Stderr::Socket) {
        &[0, 1, 2]
    } else {
        &[0, 1]
    }
}

/// The connection becomes descriptors 0 and 1 (and 2 with `-stderr=socket`); every other one is close-on-exec.
/// Returns the exit status when the program cannot be started.
fn exec(context: &Context<'_>, connection: &TcpStream, environment: &Environment) -> i32 {
    let service = context.service;
    let socket = connection.as_fd();
    for &target in targets(service) {
        if let Err(error) = fd::duplicate_to(socket, target) {
            log(
                Level::Plain,
                format_args!("dup2: {}", crate::reason(&error)),
            );
            return 1;
        }
    }
    let Some(program) = service.argv.first() else {
        return 1;
    };
    let error = process::exec(program, &service.argv, environment.entries());
    log(
        Level::Plain,
        format_args!("{}: {}", program.to_string_lossy(), crate::reason(&error)),
    );
    1
}
