//! Who is at the other end of a connection, for programs that something else than couriertcpd started (inetd,
//! xinetd, systemd): it sets no TCPREMOTEIP.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::BorrowedFd;

/// Built with IPv6: IPv4 addresses are shown in IPv6's form, as couriertcpd does and log filters expect.
const IPV6: bool = match option_env!("COURIER_CONFIG_IPV6") {
    Some(word) => !matches!(word.as_bytes(), b"no"),
    None => true,
};

/// The variables of couriertcpd that say where a TCP connection comes from and goes to. Empty if `connection` is
/// none, or if `has` says that TCPREMOTEIP is known already.
pub fn variables(
    connection: BorrowedFd<'_>,
    has: impl Fn(&str) -> bool,
) -> Vec<(&'static str, String)> {
    if has("TCPREMOTEIP") {
        return Vec::new();
    }
    // Whatever it is: only a TCP connection has addresses of this kind.
    let Ok(stream) = connection.try_clone_to_owned().map(TcpStream::from) else {
        return Vec::new();
    };
    let (Ok(remote), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else {
        return Vec::new();
    };
    let (remote, local) = (parts(remote), parts(local));
    vec![
        ("TCPREMOTEIP", remote.0),
        ("TCPREMOTEPORT", remote.1),
        ("TCPLOCALIP", local.0),
        ("TCPLOCALPORT", local.1),
    ]
}

/// Address and port as couriertcpd shows them.
fn parts(address: SocketAddr) -> (String, String) {
    let shown = match address.ip() {
        IpAddr::V4(v4) if IPV6 => v4.to_ipv6_mapped().to_string(),
        IpAddr::V6(v6) if !IPV6 => ip_v4_of(v6),
        ip => ip.to_string(),
    };
    (shown, address.port().to_string())
}

fn ip_v4_of(v6: Ipv6Addr) -> String {
    v6.to_ipv4_mapped()
        .map_or_else(|| v6.to_string(), |v4| v4.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_connection_tells_where_it_comes_from() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let known = variables(server.as_fd(), |_| false);
        let ip = if IPV6 {
            "::ffff:127.0.0.1"
        } else {
            "127.0.0.1"
        };
        let local = client.peer_addr().unwrap().port().to_string();
        assert_eq!(
            known,
            [
                ("TCPREMOTEIP", ip.to_owned()),
                ("TCPREMOTEPORT", peer.port().to_string()),
                ("TCPLOCALIP", ip.to_owned()),
                ("TCPLOCALPORT", local),
            ]
        );
        assert_eq!(variables(server.as_fd(), |name| name == "TCPREMOTEIP"), []);
        let (plain, _other) = UnixStream::pair().unwrap();
        assert_eq!(variables(plain.as_fd(), |_| false), []);
    }
}
