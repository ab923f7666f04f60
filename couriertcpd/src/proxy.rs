//! The PROXY protocol, versions 1 and 2: a load balancer in front of us says who the client is (contract:
//! couriertcpd 1.9; the HAProxy "PROXY protocol" specification). Read in the child, exactly to the end of the
//! header, so that whatever the client sends behind it stays in the socket.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use courier::sys::fd::wait_ready;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, recv};

use crate::listen::parse_address;
use crate::slots::mapped;

/// How long a header is waited for unless `-haproxy` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longest header line of version 1, its LF included.
const LINE_MAX: usize = 255;
/// Longest header of version 2 that is accepted; 64 KiB could be announced, a few hundred bytes are used.
const BINARY_MAX: usize = 4096;

/// The first bytes of a version 2 header.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const BINARY_HEAD: usize = 16;

// TLV types and bits of version 2.
const TLV_SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 0x01;

/// One item of `-haproxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    timeout: Duration,
    address: Option<Ipv6Addr>,
    port: Option<u16>,
}

/// A network from which headers are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Network {
    first: u128,
    last: u128,
}

/// `-haproxy` and `-haproxyfrom`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// In the order in which they are tried.
    rules: Vec<Rule>,
    from: Vec<Network>,
}

impl Rules {
    /// Reads the values of both options; None where the option was not given.
    ///
    /// # Errors
    /// The message to print.
    pub fn parse(rules: Option<&str>, from: Option<&str>) -> Result<Self, String> {
        let mut parsed = match rules {
            None => Vec::new(),
            Some(list) => list.split(',').map(rule).collect::<Result<Vec<_>, _>>()?,
        };
        // COMPAT: later items win.
        parsed.reverse();
        let from = match from {
            None => Vec::new(),
            Some(list) => list
                .split(',')
                .map(|text| network(text).ok_or_else(|| format!("Invalid IP address: {text}")))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            rules: parsed,
            from,
        })
    }

    /// Whether there is any port with a proxy before it.
    pub fn any(&self) -> bool {
        !self.rules.is_empty()
    }

    /// How long a header is waited for on a connection that arrived at `local`; None when there is none.
    pub fn timeout(&self, local: SocketAddr) -> Option<Duration> {
        self.rules
            .iter()
            .find(|rule| {
                rule.port.is_none_or(|port| port == local.port())
                    && rule
                        .address
                        .is_none_or(|address| address == mapped(local.ip()))
            })
            .map(|rule| rule.timeout)
    }

    /// Whether `peer` may send headers: without `-haproxyfrom` everybody may.
    pub fn accepts(&self, peer: IpAddr) -> bool {
        self.from.is_empty() || self.lists(peer)
    }

    /// Whether `peer` is in a listed network.
    pub fn lists(&self, peer: IpAddr) -> bool {
        let peer = u128::from(mapped(peer));
        self.from
            .iter()
            .any(|network| (network.first..=network.last).contains(&peer))
    }
}

/// `[TIMEOUT][/port=[IP.]PORT]`
fn rule(text: &str) -> Result<Rule, String> {
    let (timeout, place) = match text.split_once('/') {
        Some((timeout, place)) => (timeout, Some(place)),
        None => (text, None),
    };
    let invalid = || format!("Invalid -haproxy option: {text}");
    let timeout = match timeout {
        "" => TIMEOUT,
        seconds => seconds
            .parse()
            .ok()
            .filter(|&seconds: &u64| (1..=3600).contains(&seconds))
            .map(Duration::from_secs)
            .ok_or_else(invalid)?,
    };
    let Some(place) = place else {
        return Ok(Rule {
            timeout,
            address: None,
            port: None,
        });
    };
    let place = place.strip_prefix("port=").ok_or_else(invalid)?;
    let (address, port) = match place.rsplit_once('.') {
        Some((address, port)) => (Some(address), port),
        None => (None, place),
    };
    let address = match address {
        None | Some("" | "0") => None,
        Some(text) => Some(
            parse_address(text)
                .map(mapped)
                .ok_or_else(|| format!("Invalid IP address: {text}"))?,
        ),
    };
    Ok(Rule {
        timeout,
        address,
        port: Some(crate::listen::parse_port(port).ok_or_else(|| format!("Invalid port: {port}"))?),
    })
}

fn network(text: &str) -> Option<Network> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let width = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let bits: u32 = match bits {
        Some(bits) => bits.parse().ok()?,
        None => width,
    };
    let host = width.checked_sub(bits)?;
    let mask = 1_u128
        .checked_shl(host)
        .map_or(u128::MAX, |bit| bit.wrapping_sub(1));
    let address = u128::from(mapped(address));
    Some(Network {
        first: address & !mask,
        last: address | mask,
    })
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The proxy speaks for itself (a health check) or does not know: the socket's own addresses stand.
    Own,
    /// The client, and where it connected to.
    For {
        /// The client.
        source: SocketAddr,
        /// The address it used.
        destination: SocketAddr,
        /// The client's connection to the proxy is encrypted.
        tls: bool,
    },
}

/// Why a header was not accepted; the texts are the original's.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// Nothing at all came before the end: a port scan or a health check, not worth a line.
    Silent,
    /// Incomplete for too long.
    Timeout,
    /// No end in sight.
    TooLong,
    /// Ended in the middle.
    Closed,
    /// Something else than a header.
    Missing,
    /// A header that makes no sense.
    Malformed,
    /// TCP4 with something else than IPv4 addresses.
    Address4,
    /// TCP6 with something else than IPv6 addresses.
    Address6,
    /// Neither TCP4 nor TCP6 nor UNKNOWN.
    Protocol(String),
    /// The socket failed.
    Socket(Errno),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent | Self::Closed => f.write_str("connection closed"),
            Self::Timeout => f.write_str("timeout"),
            Self::TooLong => f.write_str("response too long"),
            Self::Missing => f.write_str("missing PROXY statement"),
            Self::Malformed => f.write_str("malformed PROXY statement"),
            Self::Address4 => f.write_str("cannot parse TCP4 address"),
            Self::Address6 => f.write_str("cannot parse TCP6 address"),
            Self::Protocol(name) => write!(f, "unknown protocol: {name}"),
            Self::Socket(errno) => write!(f, "recv: {}", errno.desc()),
        }
    }
}

impl std::error::Error for Error {}

/// Reads one header from a stream socket and not a byte more.
///
/// # Errors
/// [`Error`]; how much was read is then undefined and the connection is to be closed.
pub fn read(socket: BorrowedFd<'_>, timeout: Duration) -> Result<Header, Error> {
    let deadline = Instant::now() + timeout;
    let mut header = Vec::with_capacity(LINE_MAX);
    loop {
        let wanted = match framed(&header)? {
            Framed::Line(length) => return parse_line(header.get(..length).unwrap_or_default()),
            Framed::Binary => return parse_binary(&header),
            Framed::More(wanted) => wanted,
        };
        let mut buffer = [0_u8; BINARY_MAX];
        let room = buffer.get_mut(..wanted).ok_or(Error::TooLong)?;
        let seen = receive(socket, room, MsgFlags::MSG_PEEK, deadline)?;
        let seen = room.get(..seen).unwrap_or_default();
        if seen.is_empty() {
            return Err(if header.is_empty() {
                Error::Silent
            } else {
                Error::Closed
            });
        }
        // Everything that was seen belongs to the header, except what is behind a line's end.
        let binary = header.first().or_else(|| seen.first()) == SIGNATURE.first();
        let take = match seen.iter().position(|&byte| byte == b'\n') {
            Some(end) if !binary => end.saturating_add(1),
            _ => seen.len(),
        };
        let room = buffer.get_mut(..take).ok_or(Error::TooLong)?;
        let taken = receive(socket, room, MsgFlags::empty(), deadline)?;
        header.extend_from_slice(room.get(..taken).unwrap_or_default());
    }
}

fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: MsgFlags,
    deadline: Instant,
) -> Result<usize, Error> {
    loop {
        match wait_ready(&socket.as_fd(), PollFlags::POLLIN, Some(deadline)) {
            Ok(true) => {}
            Ok(false) => return Err(Error::Timeout),
            Err(error) => return Err(socket_error(&error)),
        }
        match recv(socket.as_raw_fd(), buffer, flags) {
            Ok(length) => return Ok(length),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(Errno::ECONNRESET) => return Ok(0),
            Err(errno) => return Err(Error::Socket(errno)),
        }
    }
}

fn socket_error(error: &io::Error) -> Error {
    Error::Socket(Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

/// How far a header has come.
enum Framed {
    /// A complete line of that length without its end.
    Line(usize),
    /// A complete binary header.
    Binary,
    /// So many bytes more may be looked at.
    More(usize),
}

fn framed(header: &[u8]) -> Result<Framed, Error> {
    if header.first() == SIGNATURE.first() {
        let compared = header.len().min(SIGNATURE.len());
        if header.get(..compared) != SIGNATURE.get(..compared) {
            return Err(Error::Missing);
        }
        let total = match header.get(14..BINARY_HEAD) {
            Some(&[high, low]) => {
                BINARY_HEAD.saturating_add(usize::from(u16::from_be_bytes([high, low])))
            }
            _ => BINARY_HEAD,
        };
        if total > BINARY_MAX {
            return Err(Error::TooLong);
        }
        return Ok(match total.checked_sub(header.len()) {
            Some(0) | None => Framed::Binary,
            Some(missing) => Framed::More(missing),
        });
    }
    if let Some(line) = header.strip_suffix(b"\n") {
        return Ok(Framed::Line(line.strip_suffix(b"\r").unwrap_or(line).len()));
    }
    let expected = b"PROXY ";
    let compared = header.len().min(expected.len());
    if header.get(..compared) != expected.get(..compared) {
        return Err(Error::Missing);
    }
    match LINE_MAX.checked_sub(header.len()) {
        Some(0) | None => Err(Error::TooLong),
        // Before the first byte nothing says that this is a line: do not run past a short binary header.
        Some(_) if header.is_empty() => Ok(Framed::More(SIGNATURE.len())),
        Some(left) => Ok(Framed::More(left)),
    }
}

/// `PROXY TCP4|TCP6 SOURCE DESTINATION SOURCEPORT DESTINATIONPORT`
fn parse_line(line: &[u8]) -> Result<Header, Error> {
    let text = std::str::from_utf8(line).map_err(|_binary| Error::Malformed)?;
    let mut words = text.split(' ');
    if words.next() != Some("PROXY") {
        return Err(Error::Missing);
    }
    let protocol = words.next().ok_or(Error::Malformed)?;
    if protocol == "UNKNOWN" {
        return Ok(Header::Own);
    }
    let rest: Vec<&str> = words.collect();
    let [source, destination, source_port, destination_port] = rest.as_slice() else {
        return Err(match protocol {
            "TCP4" | "TCP6" => Error::Malformed,
            _ => Error::Protocol(protocol.into()),
        });
    };
    let address = |text: &str| match protocol {
        "TCP4" => text
            .parse()
            .map(IpAddr::V4)
            .map_err(|_invalid| Error::Address4),
        "TCP6" => text
            .parse()
            .map(IpAddr::V6)
            .map_err(|_invalid| Error::Address6),
        _ => Err(Error::Protocol(protocol.into())),
    };
    let port = |text: &str| text.parse().map_err(|_invalid| Error::Malformed);
    Ok(Header::For {
        source: SocketAddr::new(address(source)?, port(source_port)?),
        destination: SocketAddr::new(address(destination)?, port(destination_port)?),
        tls: false,
    })
}

fn parse_binary(header: &[u8]) -> Result<Header, Error> {
    let (Some(&command), Some(&family), Some(body)) =
        (header.get(12), header.get(13), header.get(BINARY_HEAD..))
    else {
        return Err(Error::Malformed);
    };
    match command {
        0x20 => return Ok(Header::Own),
        0x21 => {}
        _ => return Err(Error::Malformed),
    }
    let (source, destination, options) = match family {
        0x11 => {
            let (addresses, options) = body.split_first_chunk::<12>().ok_or(Error::Malformed)?;
            let [a, b, c, d, e, f, g, h, i, j, k, l] = *addresses;
            (
                SocketAddr::new(
                    IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
                    u16::from_be_bytes([i, j]),
                ),
                SocketAddr::new(
                    IpAddr::V4(Ipv4Addr::new(e, f, g, h)),
                    u16::from_be_bytes([k, l]),
                ),
                options,
            )
        }
        0x21 => {
            let (source, rest) = body.split_first_chunk::<16>().ok_or(Error::Malformed)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or(Error::Malformed)?;
            let (ports, options) = rest.split_first_chunk::<4>().ok_or(Error::Malformed)?;
            let [i, j, k, l] = *ports;
            (
                SocketAddr::new(
                    IpAddr::V6(Ipv6Addr::from(*source)),
                    u16::from_be_bytes([i, j]),
                ),
                SocketAddr::new(
                    IpAddr::V6(Ipv6Addr::from(*destination)),
                    u16::from_be_bytes([k, l]),
                ),
                options,
            )
        }
        // Unspecified, a datagram or a UNIX socket: nothing that could stand for an address of ours.
        _ => return Ok(Header::Own),
    };
    Ok(Header::For {
        source,
        destination,
        tls: tls(options)?,
    })
}

/// Whether the options say that the client uses TLS.
fn tls(options: &[u8]) -> Result<bool, Error> {
    let mut rest = options;
    let mut found = false;
    while let Some((&[kind, high, low], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (Some(value), Some(next)) = (after.get(..length), after.get(length..)) else {
            return Err(Error::Malformed);
        };
        if kind == TLV_SSL {
            found = value.first().is_some_and(|client| client & CLIENT_SSL != 0);
        }
        rest = next;
    }
    if rest.is_empty() {
        Ok(found)
    } else {
        Err(Error::Malformed)
    }
}

#[cfg(test)]
mod tests;
