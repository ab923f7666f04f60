//! Connections to the servers of an account, one after the other, in a process of the mail user that reads nothing
//! from any of them. It is not confined further: it asks the resolver, through a program, and starts couriertls.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{KeepAlive, TcpKeepCount, TcpKeepIdle, TcpKeepInterval};

use super::super::parser::mail_user;
use super::super::settings::{Protocol, Settings};
use super::Surroundings;
use super::hosts::{Host, own_address};
use super::services;
use super::talker::Text;
use crate::config::paths::Paths;
use crate::sys::fd;
use crate::sys::log::{Level, log, reason};
use crate::sys::pass;
use crate::sys::process::{Fork, drop_privileges, exec, exit_now, fork};

/// How long a server may take to accept a connection.
const CONNECT_TIME: Duration = Duration::from_secs(30);
/// Most addresses of one server that are tried.
const ADDRESSES_MAX: usize = 16;
/// The program in `libexecdir` that asks the resolver.
const RESOLVER: &str = "systemhost";

/// What the monitor says for: that connection is of no use, the next one.
pub const NEXT: u8 = b'N';

/// What the dialer tells the monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The connection that comes with this is to the host with this index.
    Connected(u8),
    /// The next host is this server.
    Me,
}

impl News {
    fn encode(self) -> Vec<u8> {
        match self {
            Self::Connected(host) => vec![b'C', host],
            Self::Me => vec![b'M'],
        }
    }

    /// Reads a packet; `None` for anything else, and at the end.
    pub fn decode(packet: &[u8]) -> Option<Self> {
        match *packet {
            [b'C', host] => Some(Self::Connected(host)),
            [b'M'] => Some(Self::Me),
            _ => None,
        }
    }
}

/// The body of the process. Comes back when there is nothing left to try or the monitor has what it wants.
pub fn run(around: Surroundings<'_>, hosts: &[Host], channel: &OwnedFd) {
    if let Err(error) = prepare(around.paths, channel) {
        log(Level::Err, format_args!("proxy: {error}"));
        return;
    }
    let dialer = Dialer { around, channel };
    for (index, host) in hosts.iter().enumerate() {
        let Ok(index) = u8::try_from(index) else {
            return;
        };
        if host.is_me(around.settings) {
            dialer.tell_me(host);
            return;
        }
        if dialer.try_host(index, host).is_none() {
            return;
        }
    }
}

/// Leaves the privileges and the client's connection behind.
fn prepare(paths: &Paths, channel: &OwnedFd) -> io::Result<()> {
    let nothing = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    fd::duplicate_to(nothing.as_fd(), 0)?;
    fd::duplicate_to(nothing.as_fd(), 1)?;
    // Closed with all the others.
    std::mem::forget(nothing);
    fd::close_all_but(channel.as_fd())?;
    if nix::unistd::geteuid().is_root() {
        drop_privileges(&mail_user(paths)).map_err(io::Error::other)?;
    }
    nix::sys::prctl::set_no_new_privs()?;
    Ok(())
}

struct Dialer<'a> {
    around: Surroundings<'a>,
    channel: &'a OwnedFd,
}

impl Dialer<'_> {
    fn settings(&self) -> &Settings {
        self.around.settings
    }

    fn debug(&self, text: std::fmt::Arguments<'_>) {
        if self.settings().debug > 0 {
            log(Level::Debug, text);
        }
    }

    /// The monitor is to serve the account itself.
    fn tell_me(&self, host: &Host) {
        let name = Text(&host.text);
        self.debug(format_args!("Proxy host {name} is me, normal login."));
        // A monitor that is gone needs no answer.
        pass::send(self.channel, &News::Me.encode(), &[]).ok();
    }

    /// Offers a connection to each address of `host`. `None` when no more is wanted.
    fn try_host(&self, index: u8, host: &Host) -> Option<()> {
        let name = Text(&host.text);
        let addresses = match resolve(self.around.paths, &host.name) {
            Ok(addresses) => addresses,
            Err(why) => {
                let why = Text(why.as_bytes());
                log(
                    Level::Warning,
                    format_args!("getaddrinfo on proxyhost {name} failed: {why}"),
                );
                return Some(());
            }
        };
        let port = host.port.unwrap_or_else(|| usual_port(self.settings()));
        let ours = own_address(self.around.environment);
        for mut address in addresses.into_iter().take(ADDRESSES_MAX) {
            address.set_port(port);
            if ours == Some(SocketAddr::new(address.ip().to_canonical(), port)) {
                self.tell_me(host);
                return None;
            }
            let Some(connection) = self.connect(address, host) else {
                continue;
            };
            self.debug(format_args!("Proxy connected to {name}"));
            let news = News::Connected(index).encode();
            pass::send(self.channel, &news, &[connection.as_fd()]).ok()?;
            drop(connection);
            let (answer, _) = pass::receive(self.channel, 1).ok()?;
            if answer != [NEXT] {
                return None;
            }
        }
        self.debug(format_args!("Connection to proxyhost {name} failed."));
        Some(())
    }

    fn connect(&self, address: SocketAddr, host: &Host) -> Option<OwnedFd> {
        let left = self
            .around
            .deadline
            .saturating_duration_since(Instant::now());
        let connected = TcpStream::connect_timeout(
            &address,
            left.min(CONNECT_TIME).max(Duration::from_millis(1)),
        )
        .and_then(|stream| {
            stream.set_nodelay(true)?;
            keep_alive(&stream)?;
            Ok(OwnedFd::from(stream))
        });
        let connected = match connected {
            Ok(stream) if self.settings().proxy_tls => self.encrypt(&stream, host),
            other => other,
        };
        connected
            .inspect_err(|error| {
                log(
                    Level::Warning,
                    format_args!("Proxy connection to {address} failed: {}", reason(error)),
                );
            })
            .ok()
    }

    /// Puts couriertls between us and the server: the certificate has to be good and for `host`. It ends with the
    /// connection, long after this process has.
    fn encrypt(&self, server: &OwnedFd, host: &Host) -> io::Result<OwnedFd> {
        let program = self.around.environment.text("COURIERTLS");
        if program.is_empty() {
            return Err(io::Error::other("COURIERTLS is not set"));
        }
        let (ours, clear) = fd::socket_pair()?;
        match fork()? {
            Fork::Parent(_) => Ok(ours),
            Fork::Child => {
                let Err(error) = self.become_couriertls(program, [server, &clear], host);
                let program = Text(program);
                log(Level::Err, format_args!("{program}: {}", reason(&error)));
                exit_now(1)
            }
        }
    }

    fn become_couriertls(
        &self,
        program: &[u8],
        [server, clear]: [&OwnedFd; 2],
        host: &Host,
    ) -> io::Result<Infallible> {
        for kept in [server, clear] {
            // Onto itself: only the close-on-exec mark goes.
            fd::duplicate_to(kept.as_fd(), kept.as_raw_fd())?;
        }
        let number = |option: &str, fd: &OwnedFd| format!("-{option}={}", fd.as_raw_fd());
        let arguments = [
            CString::new("couriertls")?,
            CString::new(number("remotefd", server))?,
            CString::new(number("localfd", clear))?,
            CString::new([b"-verify=", host.name.as_slice()].concat())?,
        ];
        let environment = self.around.environment.for_exec()?;
        Err(exec(&CString::new(program)?, &arguments, &environment))
    }
}

/// A server that is gone without a word is noticed within a quarter of an hour.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    setsockopt(stream, KeepAlive, &true)?;
    setsockopt(stream, TcpKeepIdle, &300)?;
    setsockopt(stream, TcpKeepInterval, &60)?;
    setsockopt(stream, TcpKeepCount, &5)?;
    Ok(())
}

fn usual_port(settings: &Settings) -> u16 {
    match (settings.protocol, settings.proxy_tls) {
        (Protocol::Imap, false) => services::port("imap", 143),
        (Protocol::Imap, true) => services::port("imaps", 993),
        (Protocol::Pop3, false) => services::port("pop3", 110),
        (Protocol::Pop3, true) => services::port("pop3s", 995),
    }
}

/// The addresses of a server, with port 0.
///
/// # Errors
/// The resolver's word for it.
fn resolve(paths: &Paths, name: &[u8]) -> Result<Vec<SocketAddr>, String> {
    let name = std::str::from_utf8(name).map_err(|_| "not a name".to_owned())?;
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, 0)]);
    }
    let program = paths.libexecdir.join(RESOLVER);
    let output = Command::new(&program)
        .arg("--")
        .arg(name)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {}", program.display(), reason(&error)))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(if words.is_empty() {
            output.status.to_string()
        } else {
            words
        });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let addresses: Vec<SocketAddr> = text.lines().filter_map(|line| line.parse().ok()).collect();
    if addresses.is_empty() {
        return Err("no address".to_owned());
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_read_as_they_are_written_and_nothing_else_is() {
        for news in [News::Connected(0), News::Connected(255), News::Me] {
            assert_eq!(News::decode(&news.encode()), Some(news));
        }
        for wrong in [&b""[..], b"C", b"M1", b"C12", b"N"] {
            assert_eq!(News::decode(wrong), None, "{wrong:?}");
        }
    }
}
