//! LIST: which ports on which addresses, and the sockets for them (contract: couriertcpd 1.2).

use std::ffi::CString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, listen, setsockopt,
    socket, sockopt,
};

/// False in a `./configure --without-ipv6` build: IPv4 sockets only, addresses without the `::ffff:` prefix.
pub const IPV6: bool = match option_env!("COURIER_CONFIG_IPV6") {
    Some(choice) => !matches!(choice.as_bytes(), b"no"),
    None => true,
};

/// One entry of LIST: an address, or None for every address, and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    address: Option<IpAddr>,
    port: u16,
}

/// Why there is nothing to listen on.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// Neither a service nor a number from 1 to 65535.
    Port(String),
    /// Not an address.
    Address(String),
    /// The named call failed for the named entry.
    Call(&'static str, Errno, String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(text) => write!(f, "Invalid port: {text}"),
            Self::Address(text) => write!(f, "Invalid IP address: {text}"),
            Self::Call(call, errno, entry) => write!(f, "{call}: {} ({entry})", errno.desc()),
        }
    }
}

impl std::error::Error for Error {}

/// Reads LIST: comma-separated `PORT` or `ADDRESS.PORT`, split at the last dot. `default` (`-address`) stands for
/// every address that is missing or `0`.
///
/// # Errors
/// [`Error::Port`], [`Error::Address`].
pub fn parse(list: &str, default: Option<&str>) -> Result<Vec<Entry>, Error> {
    list.split(',')
        .map(|entry| {
            let (address, port) = match entry.rsplit_once('.') {
                Some((address, port)) => (Some(address), port),
                None => (None, entry),
            };
            let address = address
                .filter(|address| *address != "0")
                .or(default)
                .filter(|address| !address.is_empty() && *address != "0");
            Ok(Entry {
                address: match address {
                    Some(text) => {
                        Some(parse_address(text).ok_or_else(|| Error::Address(text.into()))?)
                    }
                    None => None,
                },
                port: parse_port(port).ok_or_else(|| Error::Port(port.into()))?,
            })
        })
        .collect()
}

/// A port number, or the name of a TCP service.
pub fn parse_port(text: &str) -> Option<u16> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|&port| port != 0);
    }
    crate::sys::tcp_service(&CString::new(text).ok()?)
}

/// An IPv6 address, or IPv4 as inet_aton reads it: one to four parts, decimal, octal with a leading `0` or
/// hexadecimal with `0x`; the last part fills the remaining bytes.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let parts = text
        .split('.')
        .map(|part| match part.as_bytes() {
            [b'0', b'x' | b'X', rest @ ..] if !rest.starts_with(b"+") => {
                u32::from_str_radix(std::str::from_utf8(rest).ok()?, 16).ok()
            }
            [b'0', _, ..] => u32::from_str_radix(part, 8).ok(),
            [b'0'..=b'9', ..] => part.parse().ok(),
            _ => None,
        })
        .collect::<Option<Vec<u32>>>()?;
    let (&last, leading) = parts.split_last()?;
    let mut address = 0_u32;
    for &part in leading {
        if part > 255 || leading.len() > 3 {
            return None;
        }
        address = (address << 8) | part;
    }
    let left = 4_usize.checked_sub(leading.len())?;
    let bits = u32::try_from(left.checked_mul(8)?).ok()?;
    let address = u64::from(address).checked_shl(bits)?;
    let last = u64::from(last);
    if last.checked_shr(bits)? != 0 {
        return None;
    }
    u32::try_from(address | last)
        .ok()
        .map(|address| IpAddr::V4(Ipv4Addr::from(address)))
}

/// Binds and listens on every entry. A wildcard is one IPv6 socket that takes IPv4 too, and an IPv4 socket where
/// the kernel allows one beside it (or where there is no IPv6).
///
/// Sockets of a predecessor that listen there already are taken over.
///
/// # Errors
/// The first call that failed; everything new is closed again.
pub fn open(
    entries: &[Entry],
    backlog: Backlog,
    inherited: &[TcpListener],
) -> Result<Vec<TcpListener>, Error> {
    let open_one = |address, backlog| match take(address, backlog, inherited) {
        Some(socket) => Ok(socket),
        None => open_one(address, backlog),
    };
    let mut sockets = Vec::with_capacity(entries.len());
    for entry in entries {
        if let Some(address) = entry.address {
            sockets.push(open_one(SocketAddr::new(address, entry.port), backlog)?);
            continue;
        }
        let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), entry.port);
        let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), entry.port);
        if !IPV6 {
            sockets.push(open_one(v4, backlog)?);
            continue;
        }
        match open_one(v6, backlog) {
            Ok(socket) => {
                sockets.push(socket);
                // On Linux the first socket has the IPv4 side already, and this one fails.
                sockets.extend(open_one(v4, backlog));
            }
            // No IPv6 in this kernel, or switched off.
            Err(Error::Call("socket", ..) | Error::Call("bind", Errno::EADDRNOTAVAIL, _)) => {
                sockets.push(open_one(v4, backlog)?);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

/// Copies of sockets that somebody else has opened, with what accepted connections are to inherit.
///
/// # Errors
/// The first call that failed.
pub fn prepare(sockets: &[TcpListener]) -> Result<Vec<TcpListener>, Error> {
    let call = |name| move |errno| Error::Call(name, errno, "an inherited socket".to_owned());
    sockets
        .iter()
        .map(|socket| {
            setsockopt(socket, sockopt::KeepAlive, &true).map_err(call("setsockopt"))?;
            setsockopt(socket, sockopt::TcpNoDelay, &true).map_err(call("setsockopt"))?;
            let copy = socket.try_clone();
            copy.map_err(|error| call("dup")(Errno::from_raw(error.raw_os_error().unwrap_or(0))))
        })
        .collect()
}

/// The inherited socket for `address`, if there is one.
fn take(address: SocketAddr, backlog: Backlog, inherited: &[TcpListener]) -> Option<TcpListener> {
    let socket = inherited
        .iter()
        .find(|socket| socket.local_addr().is_ok_and(|bound| bound == address))?;
    // It listens already: this is about the length of its queue only, and a failure leaves that as it was.
    let _ = listen(socket, backlog);
    socket.set_nonblocking(true).ok()?;
    // With close-on-exec, as the original has it.
    socket.try_clone().ok()
}

fn open_one(address: SocketAddr, backlog: Backlog) -> Result<TcpListener, Error> {
    let call = |name| {
        move |errno| Error::Call(name, errno, format!("{}.{}", address.ip(), address.port()))
    };
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd: OwnedFd = socket(family, SockType::Stream, flags, None).map_err(call("socket"))?;
    setsockopt(&fd, sockopt::ReuseAddr, &true).map_err(call("setsockopt"))?;
    // An address that comes up later may be bound now; where the kernel refuses, bind will tell.
    let _ = setsockopt(&fd, sockopt::IpFreebind, &true);
    // Accepted sockets inherit both: one setting here instead of two calls per connection.
    setsockopt(&fd, sockopt::KeepAlive, &true).map_err(call("setsockopt"))?;
    setsockopt(&fd, sockopt::TcpNoDelay, &true).map_err(call("setsockopt"))?;
    let raw = fd.as_raw_fd();
    match address {
        SocketAddr::V4(v4) => bind(raw, &SockaddrIn::from(v4)),
        SocketAddr::V6(v6) => {
            setsockopt(&fd, sockopt::Ipv6V6Only, &false).map_err(call("setsockopt"))?;
            bind(raw, &SockaddrIn6::from(v6))
        }
    }
    .map_err(call("bind"))?;
    listen(&fd, backlog).map_err(call("listen"))?;
    Ok(TcpListener::from(fd))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: Option<&str>, port: u16) -> Entry {
        Entry {
            address: address.map(|text| text.parse().unwrap()),
            port,
        }
    }

    #[test]
    fn lists_are_split_at_the_last_dot() {
        assert_eq!(
            parse(
                "143,127.0.0.1.144,::1.145,2001:db8::1.imaps,0.146,127.1.147",
                None
            )
            .unwrap(),
            [
                entry(None, 143),
                entry(Some("127.0.0.1"), 144),
                entry(Some("::1"), 145),
                entry(Some("2001:db8::1"), 993),
                entry(None, 146),
                entry(Some("127.0.0.1"), 147),
            ]
        );
    }

    #[test]
    fn the_address_option_fills_in_for_none_and_zero() {
        for (default, expected) in [
            (None, None),
            (Some(""), None),
            (Some("0"), None),
            (Some("127.0.0.1"), Some("127.0.0.1")),
        ] {
            assert_eq!(
                parse("143,0.144,::1.145", default).unwrap(),
                [
                    entry(expected, 143),
                    entry(expected, 144),
                    entry(Some("::1"), 145)
                ]
            );
        }
    }

    #[test]
    fn bad_entries_are_named() {
        for (list, expected) in [
            ("0", "Invalid port: 0"),
            ("65536", "Invalid port: 65536"),
            ("", "Invalid port: "),
            ("143,", "Invalid port: "),
            ("no-such-service", "Invalid port: no-such-service"),
            ("300.1.1.1.143", "Invalid IP address: 300.1.1.1"),
            ("::x.143", "Invalid IP address: ::x"),
        ] {
            assert_eq!(parse(list, None).unwrap_err().to_string(), expected);
        }
        assert_eq!(
            parse("143", Some("a.b")).unwrap_err().to_string(),
            "Invalid IP address: a.b"
        );
    }

    #[test]
    fn addresses_are_read_as_inet_aton_does() {
        for (text, expected) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("127.1", Some("127.0.0.1")),
            ("10.1.2", Some("10.1.0.2")),
            ("0x7f000001", Some("127.0.0.1")),
            ("010.8.0.1", Some("8.8.0.1")),
            ("4294967295", Some("255.255.255.255")),
            ("::1", Some("::1")),
            ("4294967296", None),
            ("1.2.3.256", None),
            ("256.1", None),
            ("1.2.3.4.5", None),
            ("08.1.1.1", None),
            ("1..2", None),
            ("-1", None),
            ("+1", None),
            ("0x", None),
            ("", None),
        ] {
            assert_eq!(
                parse_address(text),
                expected.map(|text| text.parse().unwrap()),
                "{text}"
            );
        }
    }
}
