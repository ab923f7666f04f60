//! The monitor: the login program's own process, root when couriertcpd is. It reads nothing from the peer. It
//! answers the parser's questions, keeps the time, writes the log, and becomes the session at the end.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::WaitStatus;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::environment::Environment;
use super::handover::{Origin, Refused, Server, Session, check};
use super::logline::{self, Field, Place};
use super::message::{Answer, Attempt, Credentials, End, Request};
use super::parser::{self, Parser, Prepare};
use super::peer::last_words;
use super::proxy::{self, Plan, Proxied, Reached, Surroundings};
use super::settings::{Protocol, Settings};
use super::tls;
use super::{brake, enter};
use crate::auth::account::AccountInfo;
use crate::auth::client::{Client, Outcome};
use crate::auth::sasl::cram;
use crate::config::paths::Paths;
use crate::sys::fd;
use crate::sys::log::{Level, install_panic_hook, log, reason};

/// How long a peer may take to log in.
const LOGIN_TIME: Duration = Duration::from_secs(60);
/// How much longer the parser may take to say so.
const GRACE: Duration = Duration::from_secs(2);

/// SASL exchanges that may be given up without a delay.
const ABORTED_MAX: u32 = 3;

const SHUT_DOWN: &str = "Courier-IMAP server shut down by signal.";

/// A login program from beginning to end: `arguments` are the mail server and the default maildir, `prepare` makes
/// the protocol's dialog. Returns when the session did not come to a login.
pub fn run(protocol: Protocol, arguments: &[OsString], prepare: Prepare) -> ExitCode {
    install_panic_hook();
    let Some(server) = server(arguments) else {
        let text = match protocol {
            Protocol::Imap => "imaplogin expected exactly two arguments.",
            Protocol::Pop3 => "pop3login requires exactly two arguments.",
        };
        last_words(fd::stdout(), &protocol.farewell(text));
        return ExitCode::FAILURE;
    };
    match Monitor::start(protocol, server, prepare).and_then(|mut monitor| monitor.serve()) {
        Ok(code) => code,
        Err(error) => {
            log(Level::Err, format_args!("{}: {error}", protocol.program()));
            last_words(fd::stdout(), &protocol.temporary());
            ExitCode::FAILURE
        }
    }
}

fn server(arguments: &[OsString]) -> Option<Server> {
    let [program, maildir] = arguments else {
        return None;
    };
    Some(Server {
        program: CString::new(program.as_bytes()).ok()?,
        maildir: CString::new(maildir.as_bytes()).ok()?,
    })
}

struct Monitor {
    server: Server,
    prepare: Prepare,
    paths: Paths,
    environment: Environment,
    settings: Settings,
    client: Client,
    signals: SignalFd,
    parser: Parser,
    /// Made by the last [`Request::Challenge`], gone with the next attempt.
    challenge: Option<Vec<u8>>,
    /// SASL exchanges that the peer has given up.
    aborted: u32,
    start: Instant,
    deadline: Instant,
}

/// What woke the monitor.
enum Event {
    Message(Vec<u8>),
    ParserGone,
    Signal,
    Time,
}

/// What follows a request.
enum Next {
    Answer(Answer),
    Nothing,
    Exit(ExitCode),
}

impl Monitor {
    fn start(protocol: Protocol, server: Server, prepare: Prepare) -> io::Result<Self> {
        let start = Instant::now();
        // Whatever couriertcpd or a wrapper left open is no business of ours nor of the session's.
        fd::close_from(3)?;
        let environment = Environment::of_connection(fd::stdin());
        let settings = Settings::read(protocol, &environment);
        let paths = Paths::load().map_err(io::Error::other)?;
        let mut client = Client::from_env(&paths);
        client.remote = environment.get("TCPREMOTEIP").map(<[u8]>::to_vec);
        let ending = SigSet::from_iter([Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT]);
        // Blocked in the parser too, so that it does not end before the monitor has heard the signal.
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&ending), None)?;
        log(
            Level::Debug,
            format_args!("Connection, {}", Place(&settings)),
        );
        let deadline = start + LOGIN_TIME;
        let parser = Parser::start(&paths, &environment, &settings, prepare, true, deadline)?;
        let signals = SignalFd::with_flags(&ending, SfdFlags::SFD_CLOEXEC)?;
        Ok(Self {
            server,
            prepare,
            paths,
            environment,
            settings,
            client,
            signals,
            parser,
            challenge: None,
            aborted: 0,
            start,
            deadline,
        })
    }

    fn serve(&mut self) -> io::Result<ExitCode> {
        loop {
            let message = match self.next_event()? {
                Event::Message(message) => message,
                Event::ParserGone => return Ok(self.parser_gone()),
                Event::Signal => return Ok(self.shut_down()),
                Event::Time => return Ok(self.time_is_over()),
            };
            let Some(request) = Request::decode(&message) else {
                log(
                    Level::Err,
                    format_args!(
                        "malformed request from the parser, {}",
                        Place(&self.settings)
                    ),
                );
                self.parser.end();
                return Ok(ExitCode::FAILURE);
            };
            match self.handle(request)? {
                Next::Exit(code) => return Ok(code),
                Next::Nothing => {}
                // A parser that has ended meanwhile shows as the next event.
                Next::Answer(answer) => {
                    if let Err(error) = parser::send(self.parser.channel(), &answer.encode()) {
                        if error.raw_os_error() != Some(libc::EPIPE) {
                            return Err(error);
                        }
                    }
                }
            }
        }
    }

    fn next_event(&self) -> io::Result<Event> {
        let channel = self.parser.channel();
        let fds = [
            (self.signals.as_fd(), PollFlags::POLLIN),
            (channel, PollFlags::POLLIN),
        ];
        match fd::wait_any(fds, Some(self.deadline + GRACE))? {
            None => Ok(Event::Time),
            Some([true, _]) => Ok(Event::Signal),
            Some([false, _]) => match parser::receive(channel) {
                Ok(message) if message.is_empty() => Ok(Event::ParserGone),
                Ok(message) => Ok(Event::Message(message)),
                Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => {
                    Ok(Event::ParserGone)
                }
                Err(error) => Err(error),
            },
        }
    }

    fn handle(&mut self, request: Request) -> io::Result<Next> {
        match request {
            Request::Try(attempt) => Ok(self.attempt(&attempt)),
            Request::Challenge => {
                let challenge = cram::fresh_challenge()?;
                self.challenge = Some(challenge.clone());
                Ok(Next::Answer(Answer::Challenge(challenge)))
            }
            Request::Failed {
                aborted,
                method,
                user,
            } => {
                self.aborted = self.aborted.saturating_add(u32::from(aborted));
                if aborted && self.aborted <= ABORTED_MAX {
                    self.log_failed(Some(&method), &user);
                    return Ok(Next::Answer(Answer::Rejected));
                }
                Ok(self.reject(Some(&method), &user))
            }
            Request::Command(word) => {
                self.debug(1, format_args!("command={}", Field(&word)));
                Ok(Next::Nothing)
            }
            Request::StartTls { tag } => self.start_tls(&tag),
            Request::End {
                end,
                received,
                sent,
            } => Ok(self.ended(end, received, sent)),
        }
    }

    fn debug(&self, level: i64, text: std::fmt::Arguments<'_>) {
        if self.settings.debug >= level {
            log(
                Level::Debug,
                format_args!("LOGIN: ip=[{}], {text}", Field(&self.settings.remote_ip)),
            );
        }
    }

    fn attempt(&mut self, attempt: &Attempt) -> Next {
        let method = attempt.method.as_deref();
        let challenge = self.challenge.take();
        let service = self.settings.service.as_slice();
        let mut user = Vec::new();
        let outcome = if self.settings.tls_missing() {
            // The dialogs refuse this themselves; one that does not must not get further.
            Outcome::Rejected
        } else {
            match &attempt.credentials {
                Credentials::Password {
                    user: name,
                    password,
                } => {
                    user.clone_from(name);
                    self.debug(1, format_args!("username={}", Field(name)));
                    self.debug(2, format_args!("password={}", Field(&password.0)));
                    self.client.login(service, name, &password.0)
                }
                Credentials::Cram { digest, response } => match challenge {
                    Some(challenge) => {
                        user = cram_user(response);
                        let challenge = STANDARD.encode(challenge);
                        let authtype = digest.authtype();
                        self.client
                            .cram(service, authtype, challenge.as_bytes(), response)
                    }
                    None => Outcome::Rejected,
                },
                Credentials::External => match &self.settings.external {
                    Some(identity) => {
                        user.clone_from(identity);
                        self.client.lookup(service, identity)
                    }
                    None => Outcome::Rejected,
                },
            }
        };
        match outcome {
            Outcome::Rejected => self.wrong(attempt, &user),
            Outcome::Temporary(failure) => {
                failure.log();
                self.temporary(method, &user, &failure.to_string())
            }
            Outcome::Accepted(account) => self.accepted(attempt, *account, &user),
        }
    }

    /// A right password: the session begins, here or at another server.
    fn accepted(&mut self, attempt: &Attempt, account: AccountInfo, user: &[u8]) -> Next {
        let method = attempt.method.as_deref();
        let origin = Origin {
            tag: attempt.tag.clone(),
            utf8: attempt.utf8,
        };
        match proxy::plan(&self.settings, &account, &attempt.credentials) {
            Plan::Local => {}
            Plan::Refused => return self.reject(method, user),
            Plan::Remote(proxied) => match self.reach(&proxied, &origin) {
                Ok(Reached::Server(server)) => {
                    self.parser.end();
                    let error = self.relay(&proxied, &origin, &server);
                    return self.too_late(method, user, &error.to_string());
                }
                Ok(Reached::Local) => {}
                Ok(Reached::Refused) => return self.reject(method, user),
                Ok(Reached::Unreachable) => {
                    return self.temporary(method, user, "no mail server of the account answers");
                }
                // The next round of the loop sees the signal.
                Ok(Reached::Interrupted) => return Next::Nothing,
                Err(error) => return self.temporary(method, user, &reason(&error)),
            },
        }
        match check(account) {
            Ok(session) if enter::enter(&self.paths, &self.settings, session.address()) => {
                self.become_session(&session, &origin, method, user)
            }
            Ok(_too_many) => Next::Answer(Answer::Limit),
            Err(Refused) => self.reject(method, user),
        }
    }

    fn reach(&self, proxied: &Proxied, origin: &Origin) -> io::Result<Reached> {
        let around = Surroundings {
            paths: &self.paths,
            environment: &self.environment,
            settings: &self.settings,
            signals: &self.signals,
            deadline: self.deadline,
        };
        proxy::reach(around, proxied, origin)
    }

    /// Passes the rest of the session on. Returns only if that cannot begin; the parser must be gone.
    fn relay(&self, proxied: &Proxied, origin: &Origin, server: &OwnedFd) -> io::Error {
        let session = proxy::session::Session {
            settings: &self.settings,
            foreign: self.settings.proxy_foreign,
            address: &proxied.address,
            protocol: self.environment.text("PROTOCOL"),
            tag: &origin.tag,
        };
        let Err(error) = session.run(&self.paths, &self.signals, server);
        error
    }

    /// Logs a failure at once and answers when the delay has passed. The slot in couriertcpd's table stays taken
    /// meanwhile, whether or not the peer waits: that is what slows down guessing.
    fn reject(&self, method: Option<&[u8]>, user: &[u8]) -> Next {
        self.reject_after(brake::DELAY, method, user)
    }

    /// The same for credentials that authdaemond did not like.
    fn wrong(&self, attempt: &Attempt, user: &[u8]) -> Next {
        let tried = match &attempt.credentials {
            Credentials::Password { password, .. } => Some(&password.0),
            // Never twice the same: each counts.
            Credentials::Cram { response, .. } => Some(response),
            Credentials::External => None,
        };
        let delay = match tried {
            Some(tried) if !self.settings.tls_missing() => {
                brake::delay(&self.paths, &self.settings, user, tried)
            }
            _ => brake::DELAY,
        };
        self.reject_after(delay, attempt.method.as_deref(), user)
    }

    fn reject_after(&self, delay: Duration, method: Option<&[u8]>, user: &[u8]) -> Next {
        self.log_failed(method, user);
        let until = (Instant::now() + delay).min(self.deadline);
        match fd::wait_ready(&self.signals, PollFlags::POLLIN, Some(until)) {
            // A signal is handled by the next round of the loop.
            Ok(_) => {}
            Err(error) => log(Level::Err, format_args!("poll: {error}")),
        }
        Next::Answer(Answer::Rejected)
    }

    fn log_failed(&self, method: Option<&[u8]>, user: &[u8]) {
        let line = logline::login_failed(&self.settings, method, user);
        log(Level::Info, format_args!("{line}"));
    }

    fn temporary(&self, method: Option<&[u8]>, user: &[u8], reason: &str) -> Next {
        self.log_failed(method, user);
        log(Level::Err, format_args!("authentication error: {reason}"));
        Next::Answer(Answer::Temporary)
    }

    /// The parser goes, then the privileges, then this program. Comes back only if something fails, when the peer
    /// can only be told to come back later.
    fn become_session(
        &mut self,
        session: &Session,
        origin: &Origin,
        method: Option<&[u8]>,
        user: &[u8],
    ) -> Next {
        self.parser.end();
        let error = session.start(&self.settings, &self.environment, &self.server, origin);
        error.log(session.address());
        self.too_late(method, user, &error.reason())
    }

    /// Logs a failure when the parser is gone already; the answer goes to the peer itself.
    fn too_late(&self, method: Option<&[u8]>, user: &[u8], reason: &str) -> Next {
        self.temporary(method, user, reason);
        last_words(fd::stdout(), &self.settings.protocol.temporary());
        Next::Exit(ExitCode::FAILURE)
    }

    fn start_tls(&mut self, tag: &[u8]) -> io::Result<Next> {
        // It ends by itself, and must be gone before another process talks on the connection.
        self.parser.reap();
        let place = Place(&self.settings).to_string();
        let Some(couriertls) = self.settings.starttls.clone() else {
            log(
                Level::Err,
                format_args!("the parser asks for TLS that is not offered, {place}"),
            );
            return Ok(Next::Exit(ExitCode::FAILURE));
        };
        let deadline = self.deadline;
        match tls::start(
            &couriertls,
            &mut self.environment,
            self.settings.protocol,
            deadline,
        ) {
            Ok(()) => {}
            Err(error) => {
                log(
                    Level::Info,
                    format_args!("STARTTLS failed, {place}: {error}"),
                );
                // Text in clear would mean nothing to a peer in the middle of a handshake, and going on in clear
                // would be worse.
                return Ok(Next::Exit(ExitCode::FAILURE));
            }
        }
        self.debug(1, format_args!("tag={}, TLS is on", Field(tag)));
        self.settings = Settings::read(self.settings.protocol, &self.environment);
        self.challenge = None;
        self.parser = Parser::start(
            &self.paths,
            &self.environment,
            &self.settings,
            self.prepare,
            false,
            deadline,
        )?;
        Ok(Next::Nothing)
    }

    fn ended(&mut self, end: End, received: u64, sent: u64) -> Next {
        let time = self.start.elapsed();
        let imap = self.settings.protocol == Protocol::Imap;
        match end {
            End::Logout => {
                let line = if imap {
                    logline::logout(&self.settings, received, sent)
                } else {
                    format!("LOGOUT, {}", Place(&self.settings))
                };
                log(Level::Info, format_args!("{line}"));
            }
            End::Violation => self.log_fault("TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS"),
            End::Oversize => self.log_fault("command too long"),
            End::ClearText => self.log_fault("commands in clear behind STARTTLS"),
            End::Disconnected | End::TimedOut | End::Temporary => {}
        }
        if !(imap && matches!(end, End::Logout)) {
            self.log_disconnected(time);
        }
        // It may linger a moment, so that the peer can read why it was turned away.
        self.parser.reap();
        Next::Exit(match end {
            End::Logout | End::Disconnected => ExitCode::SUCCESS,
            End::TimedOut | End::Violation | End::Oversize | End::ClearText | End::Temporary => {
                ExitCode::FAILURE
            }
        })
    }

    fn log_fault(&self, text: &str) {
        log(
            Level::Err,
            format_args!("{text}, {}", Place(&self.settings)),
        );
    }

    fn log_disconnected(&self, time: Duration) {
        let line = logline::disconnected(&self.settings, time);
        log(Level::Debug, format_args!("{line}"));
    }

    fn parser_gone(&mut self) -> ExitCode {
        match self.parser.reap() {
            Some(WaitStatus::Signaled(_, signal, _)) => log(
                Level::Err,
                format_args!(
                    "the parser was ended by {signal}, {}",
                    Place(&self.settings)
                ),
            ),
            status => log(
                Level::Err,
                format_args!("the parser ended ({status:?}), {}", Place(&self.settings)),
            ),
        }
        self.log_disconnected(self.start.elapsed());
        ExitCode::FAILURE
    }

    fn time_is_over(&mut self) -> ExitCode {
        self.parser.end();
        self.log_disconnected(self.start.elapsed());
        ExitCode::FAILURE
    }

    fn shut_down(&mut self) -> ExitCode {
        self.parser.end();
        self.farewell(SHUT_DOWN);
        let line = logline::shut_down(&self.settings, self.start.elapsed());
        log(Level::Plain, format_args!("{line}"));
        ExitCode::SUCCESS
    }

    fn farewell(&self, text: &str) {
        last_words(fd::stdout(), &self.settings.protocol.farewell(text));
    }
}

/// The user name in a CRAM response, for the log only.
fn cram_user(response: &[u8]) -> Vec<u8> {
    let Ok(mut decoded) = STANDARD.decode(response) else {
        return Vec::new();
    };
    let end = decoded.iter().rposition(|&byte| byte == b' ');
    decoded.truncate(end.unwrap_or_default());
    decoded
}
