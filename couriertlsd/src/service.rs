//! The service: contexts made once, one forked child for each connection handed over.
//!
//! The listening process runs as the mail user, reads nothing of any peer and opens no file. A child shares its
//! memory (contexts, ticket keys) until it writes, may open nothing, and ends with its connection. That children
//! are forked without exec means that they all have one memory layout; the threat model weighs that.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use courier::handover::{PACKET_MAX, Reply, Request};
use courier::sys::log::{Level, log, reason};
use courier::sys::process::{self, Fork};
use courier::sys::sandbox::{self, RelayFilter};
use courier::sys::{fd, pass};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::socket::{SockFlag, accept4};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use openssl::ssl::SslContext;

use crate::cache::Cache;
use crate::compact::Filling;
use crate::context::{self, Policy};
use crate::material::{Material, host_name};
use crate::relay::{Network, Plain};
use crate::report::Report;
use crate::session::{Role, Session};
use crate::settings::Settings;
use crate::ticket::{self, Dated};
use crate::verification::Verification;
use crate::{loader, sys, warm};

/// A client that has connected must send its packet within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clients that have connected and not sent yet; more are turned away.
const WAITING_MAX: usize = 256;
/// More authorities than this were not chosen one by one: a bundle of public ones.
const MANY_AUTHORITIES: usize = 16;
/// Addresses with contexts of their own.
const ADDRESSES_MAX: usize = 64;

pub(crate) struct Service {
    settings: Arc<Settings>,
    /// What clients must agree with.
    wanted: Vec<(OsString, OsString)>,
    policy: Policy,
    /// Absent in a child: nobody listens there once this process has gone.
    listener: Option<OwnedFd>,
    loader: OwnedFd,
    contexts: HashMap<OsString, SslContext>,
    default: SslContext,
    /// For the children: the name of the host that a client asks for travels here.
    questions: Arc<Mutex<Option<Questions>>>,
    keys: Vec<Dated>,
    /// What confines the children; absent where the kernel has none.
    filter: Option<RelayFilter>,
    filling: Filling,
    /// Where packets are received: the same pages each time, so that no child keeps a copy of its own.
    packet: Box<[u8]>,
    waiting: Vec<(OwnedFd, Instant)>,
}

/// How a child asks the loader without making descriptors.
struct Questions {
    loader: OwnedFd,
    here: UnixStream,
    there: UnixStream,
}

impl Service {
    pub(crate) fn new(
        settings: Arc<Settings>,
        wanted: Vec<(OsString, OsString)>,
        material: &Material,
        listener: OwnedFd,
        loader: OwnedFd,
    ) -> Result<Self, String> {
        if let Err(error) = sandbox::check_no_files() {
            log(
                Level::Info,
                format_args!("couriertlsd: connections are confined by a filter only: {error}"),
            );
        }
        let verification = Verification::load(&settings, None)?;
        if verification.authorities() > MANY_AUTHORITIES {
            log(
                Level::Warning,
                format_args!(
                    "couriertlsd: each of the {} authorities in TLS_TRUSTCERTS can vouch for any client",
                    verification.authorities()
                ),
            );
        }
        let policy = Policy {
            settings: Arc::clone(&settings),
            verification: Arc::new(verification),
            cache: open_cache(&settings).map(Arc::new),
        };
        let questions = Arc::default();
        let default = make_context(&policy, material, &questions)?;
        let mut service = Self {
            settings,
            wanted,
            policy,
            listener: Some(listener),
            loader,
            contexts: HashMap::new(),
            default,
            questions,
            keys: Vec::new(),
            filter: RelayFilter::new()
                .inspect_err(|error| {
                    log(
                        Level::Warning,
                        format_args!("couriertlsd: connections are not confined: {error}"),
                    );
                })
                .ok(),
            filling: Filling::default(),
            packet: vec![0; PACKET_MAX].into_boxed_slice(),
            waiting: Vec::new(),
        };
        service.rotate_keys();
        warm::up(&service.default);
        service.filling = Filling::new();
        Ok(service)
    }

    /// Serves until the loader goes away.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        loop {
            let Some(listener) = &self.listener else {
                return Ok(());
            };
            let mut fds = vec![
                PollFd::new(listener.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.loader.as_fd(), PollFlags::POLLIN),
            ];
            fds.extend(
                self.waiting
                    .iter()
                    .map(|(client, _)| PollFd::new(client.as_fd(), PollFlags::POLLIN)),
            );
            match nix::poll::poll(&mut fds, PollTimeout::from(1000_u16)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
            if ready.get(1) == Some(&true) && !self.take_update()? {
                return Ok(());
            }
            self.serve_waiting(ready.get(2..).unwrap_or_default());
            if ready.first() == Some(&true) {
                self.accept();
            }
            self.reap();
            self.rotate_keys();
        }
    }

    fn accept(&mut self) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        while let Some(Ok(client)) = self
            .listener
            .as_ref()
            .map(|listener| accept4(listener.as_raw_fd(), flags))
        {
            let client = sys::accepted(client);
            // Most clients have sent already when they are accepted: no second wait for those.
            match self.serve(&client) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.waiting.len() < WAITING_MAX {
                        self.waiting.push((client, Instant::now() + PATIENCE));
                    }
                }
                Err(error) => log(Level::Debug, format_args!("couriertlsd: {error}")),
                Ok(()) => {}
            }
        }
    }

    fn serve_waiting(&mut self, ready: &[bool]) {
        if self.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        let waiting = std::mem::take(&mut self.waiting);
        for (index, (client, deadline)) in waiting.into_iter().enumerate() {
            if ready.get(index) == Some(&true) {
                if let Err(error) = self.serve(&client) {
                    log(Level::Debug, format_args!("couriertlsd: {error}"));
                }
            } else if now < deadline {
                self.waiting.push((client, deadline));
            }
        }
    }

    /// Takes one connection over and forks its child.
    fn serve(&mut self, client: &OwnedFd) -> io::Result<()> {
        let (length, descriptors) = pass::receive_into(client, &mut self.packet)?;
        let packet = self.packet.get(..length).unwrap_or_default();
        let refuse = || pass::send(client, &Reply::Refused.encode(), &[]);
        let Some(request) =
            Request::decode(packet).filter(|request| request.descriptors() == descriptors.len())
        else {
            return refuse();
        };
        if request.settings != self.wanted {
            return refuse();
        }
        let context = self.context_for(&request);
        match process::fork() {
            Ok(Fork::Parent(_)) => Ok(()),
            Ok(Fork::Child) => {
                self.listener = None;
                self.waiting.clear();
                // The listening process leaves the end to the loader; that of a connection can be ended by itself.
                if let Err(errno) =
                    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
                {
                    log(
                        Level::Err,
                        format_args!("couriertlsd: sigprocmask: {errno}"),
                    );
                }
                self.serve_connection(client, &request, descriptors, &context);
                process::exit_now(0)
            }
            Err(error) => {
                log(Level::Err, format_args!("couriertlsd: fork: {error}"));
                pass::send(client, &Reply::Failed.encode(), &[])
            }
        }
    }

    fn context_for(&mut self, request: &Request) -> SslContext {
        if let Some(context) = self.contexts.get(&request.local_ip) {
            return context.clone();
        }
        let address = request
            .local_ip
            .to_str()
            .map(crate::settings::plain_address)
            .unwrap_or_default();
        if self.contexts.len() >= ADDRESSES_MAX || address.is_empty() {
            return self.default.clone();
        }
        self.filling = Filling::default();
        let context = loader::ask(&self.loader, b'A', &address)
            .ok()
            .flatten()
            .and_then(|material| make_context(&self.policy, &material, &self.questions).ok())
            .unwrap_or_else(|| self.default.clone());
        self.contexts
            .insert(request.local_ip.clone(), context.clone());
        self.filling = Filling::new();
        context
    }

    fn serve_connection(
        &self,
        client: &OwnedFd,
        request: &Request,
        descriptors: Vec<OwnedFd>,
        context: &SslContext,
    ) {
        let mut descriptors = descriptors.into_iter();
        let (Some(log_fd), Some(network), Some(plain)) =
            (descriptors.next(), descriptors.next(), descriptors.next())
        else {
            return;
        };
        let status = request.has_status.then(|| descriptors.next()).flatten();
        let dump = request.has_dump.then(|| descriptors.next()).flatten();
        let mut settings = (*self.settings).clone();
        settings.remote_ip = request
            .remote_ip
            .to_str()
            .filter(|ip| !ip.is_empty())
            .map(str::to_owned);
        let mut report = Report::new(status);
        let (network, plain) = match self.prepare(&log_fd, network, plain) {
            Ok((questions, network, plain)) => {
                *self
                    .questions
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(questions);
                (network, plain)
            }
            Err(error) => return report.fail(&settings.line(&format!("couriertls: {error}"))),
        };
        drop(log_fd);
        // What the kernel lacks was said when the service started; the filter below is there all the same.
        let _said_before = sandbox::no_files();
        if let Some(Err(error)) = self.filter.as_ref().map(RelayFilter::install) {
            log(Level::Debug, format_args!("couriertlsd: {error}"));
        }
        let session = Session::start(network, context, &Role::default(), &settings, &mut report);
        let reply = match &session {
            Some(session) => Reply::Connected(
                session
                    .peer
                    .environment()
                    .into_iter()
                    .map(|(name, value)| (OsString::from(name), OsString::from(value)))
                    .collect(),
            ),
            None => Reply::Failed,
        };
        if let (Some(session), Some(dump)) = (&session, dump) {
            if let Err(error) =
                io::Write::write_all(&mut std::fs::File::from(dump), session.peer.text.as_bytes())
            {
                report.fail(&settings.line(&format!("couriertls: -printx509: {error}")));
                return;
            }
        }
        // Whoever handed a STARTTLS connection over does not wait for the answer; nobody minds then.
        let told = pass::send(client, &reply.encode(), &[]);
        if let (Some(session), true) = (session, told.is_ok() || request.has_status) {
            report.succeeded();
            session.relay(plain, &settings, &mut report);
        }
    }

    /// Everything that a confined process cannot do any more.
    fn prepare(
        &self,
        log_fd: &OwnedFd,
        network: OwnedFd,
        plain: OwnedFd,
    ) -> io::Result<(Questions, Network, Plain)> {
        fd::duplicate_to(log_fd.as_fd(), 2)?;
        let (here, there) = UnixStream::pair()?;
        let questions = Questions {
            loader: self.loader.try_clone()?,
            here,
            there,
        };
        Ok((questions, Network::new(network)?, Plain::new(plain)?))
    }

    /// New certificate from the loader; false when the loader is gone.
    fn take_update(&mut self) -> io::Result<bool> {
        let (packet, _) = match pass::receive(&self.loader, PACKET_MAX * 4) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(true),
            Err(error) => return Err(error),
        };
        let Some((kind, pem)) = packet.split_first() else {
            return Ok(false);
        };
        let material = crate::message::Message::Material(pem.to_vec())
            .into_material()
            .filter(|_| *kind == b'U');
        if let Some(material) = material {
            self.filling = Filling::default();
            match make_context(&self.policy, &material, &self.questions) {
                Ok(context) => {
                    warm::up(&context);
                    self.default = context;
                    self.contexts.clear();
                }
                Err(error) => log(Level::Err, format_args!("couriertlsd: {error}")),
            }
            self.filling = Filling::new();
        }
        Ok(true)
    }

    fn reap(&self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    log(
                        Level::Err,
                        format_args!("couriertlsd: connection process {pid} ended by {signal}"),
                    );
                }
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// New ticket keys when it is time; from the cache file, where other services may have made them.
    fn rotate_keys(&mut self) {
        if !ticket::is_due(&self.keys) {
            return;
        }
        let shared = self.policy.cache.as_ref().map(|cache| cache.keys());
        let mut keys = match shared {
            Some(Ok(keys)) => keys,
            None => self.keys.clone(),
            Some(Err(error)) => {
                log(
                    Level::Err,
                    format_args!("couriertlsd: ticket keys: {}", reason(&error)),
                );
                self.keys.clone()
            }
        };
        match ticket::rotate(&mut keys) {
            Ok(_) => {
                sys::set_ticket_keys(keys.iter().map(|dated| dated.key).collect());
                self.keys = keys;
            }
            Err(error) => log(
                Level::Err,
                format_args!("couriertlsd: ticket keys: {}", reason(&error)),
            ),
        }
    }
}

/// The session cache file, else memory of this service alone.
fn open_cache(settings: &Settings) -> Option<Cache> {
    let complain = |what: &str, error: &io::Error| {
        log(
            Level::Warning,
            format_args!("couriertlsd: {what}: {}", reason(error)),
        );
    };
    if let Some(path) = &settings.cache_file {
        match Cache::open(path, settings.cache_size) {
            Ok(cache) => return Some(cache),
            Err(error) => complain(&path.display().to_string(), &error),
        }
    }
    match Cache::in_memory(settings.memory_sessions) {
        Ok(cache) => Some(cache),
        Err(error) => {
            complain("session cache", &error);
            None
        }
    }
}

fn make_context(
    policy: &Policy,
    material: &Material,
    questions: &Arc<Mutex<Option<Questions>>>,
) -> Result<SslContext, String> {
    let questions = Arc::clone(questions);
    let lookup = move |name: &str| {
        let name = host_name(name)?;
        let mut questions = questions.lock().unwrap_or_else(PoisonError::into_inner);
        let Questions {
            loader,
            here,
            there,
        } = questions.as_mut()?;
        loader::ask_over(loader, b'H', &name, here, there)
            .ok()
            .flatten()
    };
    context::server(policy, material, Arc::new(lookup)).map_err(|error| error.to_string())
}
