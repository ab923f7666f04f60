//! Accounts that another server serves: the login programs check the password, log in there for the client and pass
//! the conversation on (IMAP_PROXY, POP3_PROXY; contract: login §9).
//!
//! Nothing of it happens with privileges. The [`dialer`], a process of the mail user, looks the account's servers up
//! and connects to one after the other. For each connection that it gets the monitor starts a [`talker`], confined as
//! the parser is, which logs in there and says how that went. When it has, the monitor itself becomes the mail user,
//! confines itself and turns into the [`relay`], in the process that couriertcpd counts.
//!
//! - [`hosts`]: the account option `mailhost`, and which names mean this server.
//! - [`services`]: the port where a service is.
//! - [`dialer`], [`talker`], [`dialog`], [`relay`]: as above; the dialog is what the talker says.
//! - [`session`]: from the login there to the end of the relay.
//! - [`helper`]: child processes of the monitor.

pub mod dialer;
pub mod dialog;
pub mod helper;
pub mod hosts;
pub mod relay;
pub mod services;
pub mod session;
pub mod talker;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use nix::sys::signalfd::SignalFd;

use self::dialer::News;
use self::dialog::{Login, Outcome};
use self::helper::Helper;
use self::hosts::Host;
use self::talker::Text;
use super::environment::Environment;
use super::handover::Origin;
use super::logline::Field;
use super::message::Credentials;
use super::settings::Settings;
use crate::auth::account::{AccountInfo, Secret};
use crate::config::paths::Paths;
use crate::sys::fd;
use crate::sys::log::{Level, log};
use crate::sys::pass;

/// How much earlier than the client's time is over no server is asked any more, so that the client is told.
const RESERVE: Duration = Duration::from_secs(1);
/// Longest packet between the processes, in bytes.
const PACKET_MAX: usize = 16;

/// What is to be done with an account whose password is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Serve it here.
    Local,
    /// Log in for it at one of these servers.
    Remote(Proxied),
    /// It cannot be logged in anywhere: as a wrong password; logged.
    Refused,
}

/// An account of other servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxied {
    /// Its name there, and in log lines.
    pub address: Vec<u8>,
    /// Its password there.
    pub password: Secret,
    /// The servers, in order.
    pub hosts: Vec<Host>,
}

/// Decides about an account; `credentials` are those that it was found with.
pub fn plan(settings: &Settings, account: &AccountInfo, credentials: &Credentials) -> Plan {
    // An account without a name is refused by the checks of every account.
    let Some(address) = account.address.as_deref().filter(|name| !name.is_empty()) else {
        return Plan::Local;
    };
    if !settings.proxy {
        return Plan::Local;
    }
    let shown = Field(address);
    let hosts = hosts::of_account(account.options.as_deref().unwrap_or_default());
    let Some(first) = hosts.first() else {
        log(
            Level::Warning,
            format_args!("proxy enabled, but no proxy host defined for {shown}"),
        );
        return Plan::Local;
    };
    let typed = match credentials {
        Credentials::Password { password, .. } => Some(password),
        Credentials::Cram { .. } | Credentials::External => account.clear.as_ref(),
    };
    let Some(password) = typed.filter(|password| !password.0.is_empty()) else {
        log(
            Level::Warning,
            format_args!("proxy enabled, but no password for {shown}"),
        );
        return Plan::Refused;
    };
    if first.is_me(settings) {
        if settings.debug > 0 {
            let name = Text(&first.text);
            log(
                Level::Debug,
                format_args!("Proxy host {name} is me, normal login."),
            );
        }
        return Plan::Local;
    }
    // They would end the command that they are to be part of, and begin another.
    let ends_line = |text: &[u8]| text.iter().any(|byte| b"\r\n\0".contains(byte));
    if ends_line(address) || ends_line(&password.0) {
        log(
            Level::Warning,
            format_args!("proxy: a line end in the name or the password of {shown}"),
        );
        return Plan::Refused;
    }
    Plan::Remote(Proxied {
        address: address.to_vec(),
        password: password.clone(),
        hosts,
    })
}

/// How the servers of an account could be reached.
#[derive(Debug)]
pub enum Reached {
    /// Logged in: the connection.
    Server(OwnedFd),
    /// The next of them is this server.
    Local,
    /// None took the login, and at least one refused the name or the password.
    Refused,
    /// None could be reached, or none behaved.
    Unreachable,
    /// This process is to end.
    Interrupted,
}

/// What the monitor is and has, as far as its helpers need it.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Where things are.
    pub paths: &'a Paths,
    /// What the login program was started with, and what TLS has added.
    pub environment: &'a Environment,
    /// What it says.
    pub settings: &'a Settings,
    /// Tells that the program is to end. It is only looked at.
    pub signals: &'a SignalFd,
    /// When the client's time for logging in is over.
    pub deadline: Instant,
}

/// Logs in for `account` at the first of its servers that lets it.
///
/// # Errors
/// Processes or descriptors could not be had.
pub fn reach(around: Surroundings<'_>, account: &Proxied, origin: &Origin) -> io::Result<Reached> {
    let around = Surroundings {
        deadline: around
            .deadline
            .checked_sub(RESERVE)
            .unwrap_or(around.deadline),
        ..around
    };
    let dialer = Helper::start(|channel| dialer::run(around, &account.hosts, &channel))?;
    let mut refused = false;
    loop {
        let Some(news) = await_packet(around, &dialer)? else {
            return Ok(Reached::Interrupted);
        };
        let (bytes, mut descriptors) = news;
        let Some(news) = News::decode(&bytes) else {
            break;
        };
        let (host, connection) = match (news, descriptors.pop()) {
            (News::Me, _) => return Ok(Reached::Local),
            (News::Connected(host), Some(connection)) => (host, connection),
            (News::Connected(_), None) => break,
        };
        let Some(host) = account.hosts.get(usize::from(host)) else {
            break;
        };
        let login = Login {
            protocol: around.settings.protocol,
            tag: &origin.tag,
            utf8: origin.utf8,
            address: &account.address,
            password: &account.password.0,
        };
        let talker =
            Helper::start(|channel| talker::run(around, &login, host, &connection, &channel))?;
        let Some((bytes, _)) = await_packet(around, &talker)? else {
            return Ok(Reached::Interrupted);
        };
        match Outcome::decode(&bytes) {
            Some(Outcome::LoggedIn) => return Ok(Reached::Server(connection)),
            Some(Outcome::Refused) => refused = true,
            Some(Outcome::Failed) | None => {}
        }
        drop((talker, connection));
        if pass::send(&dialer.channel(), &[dialer::NEXT], &[]).is_err() {
            // It has ended; what it says about that is nothing.
            break;
        }
    }
    Ok(if refused {
        Reached::Refused
    } else {
        Reached::Unreachable
    })
}

/// A packet and its descriptors: empty when the helper has ended or the time is over.
type Packet = (Vec<u8>, Vec<OwnedFd>);

/// Waits for a helper. `None` if the program is to end.
fn await_packet(around: Surroundings<'_>, helper: &Helper) -> io::Result<Option<Packet>> {
    let fds = [
        (around.signals.as_fd(), PollFlags::POLLIN),
        (helper.channel(), PollFlags::POLLIN),
    ];
    match fd::wait_any(fds, Some(around.deadline))? {
        Some([true, _]) => Ok(None),
        None => Ok(Some((Vec::new(), Vec::new()))),
        Some([false, _]) => match pass::receive(&helper.channel(), PACKET_MAX) {
            Ok(packet) => Ok(Some(packet)),
            // It was ended in the middle.
            Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => {
                Ok(Some((Vec::new(), Vec::new())))
            }
            Err(error) => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::settings::Protocol;

    fn plan_of(options: &str, more: &str, typed: Option<&[u8]>) -> Plan {
        let settings = Settings::read(
            Protocol::Imap,
            &Environment::from([("IMAP_PROXY", "1"), ("PROXY_HOSTNAME", "here")]),
        );
        let reply = format!("ADDRESS=al\nOPTIONS={options}\n{more}");
        let account = AccountInfo::parse(reply.as_bytes()).unwrap();
        let credentials = typed.map_or(Credentials::External, |password| Credentials::Password {
            user: b"al".to_vec(),
            password: Secret(password.to_vec()),
        });
        plan(&settings, &account, &credentials)
    }

    #[test]
    fn an_account_is_served_here_unless_it_says_otherwise() {
        assert_eq!(plan_of("a=b", "", Some(b"x")), Plan::Local);
        assert_eq!(plan_of("mailhost=", "", Some(b"x")), Plan::Local);
        assert_eq!(plan_of("mailhost=here", "", Some(b"x")), Plan::Local);
        assert_eq!(plan_of("mailhost=HERE.", "", Some(b"x")), Plan::Local);
        let Plan::Remote(proxied) = plan_of("mailhost=there,x=1", "", Some(b"x y")) else {
            panic!("not proxied");
        };
        assert_eq!(proxied.address, b"al");
        assert_eq!(proxied.password.0, b"x y");
        assert_eq!(proxied.hosts.len(), 1);
    }

    #[test]
    fn the_password_is_the_typed_one_or_that_of_the_account() {
        assert_eq!(plan_of("mailhost=there", "", None), Plan::Refused);
        assert_eq!(plan_of("mailhost=there", "PASSWD2=\n", None), Plan::Refused);
        let Plan::Remote(proxied) = plan_of("mailhost=there", "PASSWD2=clear\n", None) else {
            panic!("not proxied");
        };
        assert_eq!(proxied.password.0, b"clear");
    }

    #[test]
    fn what_would_end_the_command_is_refused() {
        for password in ["x\r\na LOGOUT", "x\n", "x\0", "\r"] {
            let plan = plan_of("mailhost=there", "", Some(password.as_bytes()));
            assert_eq!(plan, Plan::Refused, "{password:?}");
        }
        let plan = plan_of("mailhost=there", "ADDRESS=a\rb\n", Some(b"x"));
        assert_eq!(plan, Plan::Refused);
    }
}
