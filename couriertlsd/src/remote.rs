//! Where the peer is: on a descriptor that whoever started us opened, or at an address to connect to
//! (contract: couriertls 1).

use std::ffi::CString;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;

use courier::handover::Options;
use courier::sys::fd;
use courier::sys::log::reason;

use crate::sys;

/// The connection to the peer; on failure what the original says, word for word.
///
/// With `-tcpd` nothing may write to the peer but the relay: descriptor 1 becomes the log.
pub(crate) fn open(options: &Options) -> Result<OwnedFd, String> {
    let failed = |error: io::Error| format!("couriertls: network: {}", reason(&error));
    if options.tcpd {
        let network = fd::stdin().try_clone_to_owned().map_err(failed)?;
        fd::duplicate_to(fd::stderr(), 1).map_err(failed)?;
        return Ok(network);
    }
    if let Some(number) = options.remote_fd {
        return sys::take_descriptor(number).map_err(failed);
    }
    match (&options.host, &options.port) {
        (Some(host), Some(port)) => connect(host, port),
        _ => Err("specify remote location.".to_owned()),
    }
}

/// Tries every address of `host`.
fn connect(host: &str, port: &str) -> Result<OwnedFd, String> {
    let number = port.parse().ok().filter(|&number| number > 0).or_else(|| {
        let name = CString::new(port).ok()?;
        sys::tcp_service(&name)
    });
    let number: u16 = number.ok_or_else(|| format!("{port}: invalid port."))?;
    let addresses = (host, number)
        .to_socket_addrs()
        .map_err(|_unknown| format!("{host}: not found."))?;
    let mut last = format!("{host}: not found.");
    for address in addresses {
        match TcpStream::connect(address) {
            Ok(stream) => return Ok(OwnedFd::from(stream)),
            Err(error) => last = format!("connect: {}", reason(&error)),
        }
    }
    Err(last)
}
