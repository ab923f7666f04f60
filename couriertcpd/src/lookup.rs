//! TCPREMOTEHOST and TCPLOCALHOST: the name of an address, believed only if it leads back to that address. Runs in
//! the child, by way of the system's name service, and never longer than [`LIMIT`] (the original may wait minutes).

use std::net::{IpAddr, Ipv6Addr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::slots::mapped;
use crate::sys::{Lookup, addresses_of, name_of};

/// For both names of a connection together.
const LIMIT: Duration = Duration::from_secs(30);

/// Looks both ends up at the same time. The answers are what the variables are set to: a name, `softdnserr` when
/// the name service could not be asked in time, None for no (credible) name.
pub fn names(remote: Ipv6Addr, local: Ipv6Addr) -> (Option<String>, Option<String>) {
    let deadline = Instant::now() + LIMIT;
    let (remote, local) = (start(remote), start(local));
    (wait(&remote, deadline), wait(&local, deadline))
}

/// The thread is never joined: exec ends it together with the lookup it is stuck in.
fn start(address: Ipv6Addr) -> mpsc::Receiver<Lookup<String>> {
    let (sender, receiver) = mpsc::channel();
    let spawned = std::thread::Builder::new().spawn({
        let sender = sender.clone();
        move || {
            // Nobody waits any more: then nobody needs the answer.
            let _ = sender.send(confirmed(address));
        }
    });
    if spawned.is_err() {
        // The receiver is still there, so this cannot fail.
        let _ = sender.send(Lookup::Temporary);
    }
    receiver
}

fn wait(receiver: &mpsc::Receiver<Lookup<String>>, deadline: Instant) -> Option<String> {
    let left = deadline.saturating_duration_since(Instant::now());
    match receiver.recv_timeout(left) {
        Ok(Lookup::Found(name)) => Some(name),
        Ok(Lookup::Absent) => None,
        Ok(Lookup::Temporary) | Err(_) => Some("softdnserr".into()),
    }
}

fn confirmed(address: Ipv6Addr) -> Lookup<String> {
    let asked = match address.to_ipv4_mapped() {
        Some(v4) => IpAddr::V4(v4),
        None => IpAddr::V6(address),
    };
    let name = match name_of(asked) {
        Lookup::Found(name) => name,
        other => return other,
    };
    match addresses_of(&name) {
        Lookup::Found(list) if list.iter().any(|&found| mapped(found) == address) => {
            Lookup::Found(name)
        }
        Lookup::Found(_) | Lookup::Absent => Lookup::Absent,
        Lookup::Temporary => Lookup::Temporary,
    }
}
