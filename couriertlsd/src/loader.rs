//! The process with privilege: it reads certificates and keys, watches their files, and gives the service new
//! ones. It never sees an octet of a peer's but a host name that the other side has checked already.
//!
//! Requests are packets: `H` and a host name or `A` and an address, with a stream socket that takes the answer
//! (a [`Message`]). On its own account the loader sends `U` and a certificate with its key in PEM.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use courier::sys::log::{Level, log};
use courier::sys::{fd, pass};
use nix::poll::PollFlags;

use crate::material::{Material, suffixed};
use crate::message::Message;
use crate::settings::{Settings, VerifyPeer};
use crate::verification::trust_files;

/// How often the files are looked at.
const WATCH: Duration = Duration::from_secs(2);
/// From this many days before its end on, a certificate's end is a warning.
const DAYS_TO_WARN: i32 = 14;
/// Addresses whose certificates are watched.
const ADDRESSES_MAX: usize = 64;
/// Longest request.
const REQUEST_MAX: usize = 512;

/// Asks the loader at the other end of `socket` for the certificate of an address or host.
///
/// # Errors
/// Those of the sockets.
pub(crate) fn ask(socket: &OwnedFd, kind: u8, name: &str) -> io::Result<Option<Material>> {
    let (mut here, there) = UnixStream::pair()?;
    ask_over(socket, kind, name, &mut here, &there)
}

/// As [`ask`], with a pair of sockets made before, for a process that can make none.
///
/// # Errors
/// Those of the sockets.
pub(crate) fn ask_over(
    socket: &OwnedFd,
    kind: u8,
    name: &str,
    here: &mut UnixStream,
    there: &UnixStream,
) -> io::Result<Option<Material>> {
    let mut packet = vec![kind];
    packet.extend_from_slice(name.as_bytes());
    pass::send(socket, &packet, &[there.as_fd()])?;
    Ok(Message::receive(here)?.into_material())
}

/// The certificate for connections to the settings' address, with its end logged when it is near.
pub(crate) fn load(settings: &Settings) -> Option<Material> {
    match Material::for_address(settings) {
        Ok(material) => {
            log_end(&material);
            Some(material)
        }
        Err(error) => {
            log(Level::Err, format_args!("{error}"));
            None
        }
    }
}

/// Says how long the certificate is good for.
fn log_end(material: &Material) {
    let now = openssl::asn1::Asn1Time::days_from_now(0);
    let left = material
        .chain
        .first()
        .zip(now.ok())
        .and_then(|(leaf, now)| now.diff(leaf.not_after()).ok());
    let Some(left) = left else {
        return;
    };
    let path = material.path.display();
    let days = left.days;
    if days < 0 || left.secs < 0 {
        log(
            Level::Err,
            format_args!("couriertlsd: {path}: the certificate has expired"),
        );
    } else {
        let level = if days < DAYS_TO_WARN {
            Level::Warning
        } else {
            Level::Info
        };
        log(
            level,
            format_args!("couriertlsd: {path}: the certificate expires in {days} days"),
        );
    }
}

/// Why [`Loader::run`] has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to, or the other side is gone.
    Stopped,
    /// What peers' certificates are checked against has changed: the service needs a new start.
    Restart,
}

/// What the watched files looked like.
type Stamps = Vec<(PathBuf, Option<(SystemTime, u64, u64)>)>;

/// The loader's loop state.
pub(crate) struct Loader<'a> {
    settings: &'a Settings,
    socket: &'a OwnedFd,
    stamps: Stamps,
    trust: Stamps,
    /// Addresses that the service has asked for: their certificates are watched, too.
    addresses: Vec<String>,
    next_look: Instant,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(settings: &'a Settings, socket: &'a OwnedFd) -> Self {
        Self {
            settings,
            socket,
            stamps: stamps(settings, &[]),
            trust: trust_stamps(settings),
            addresses: Vec::new(),
            next_look: Instant::now() + WATCH,
        }
    }

    /// Answers requests and watches files until `stop` says so. `stop` is asked after every wake-up, which comes
    /// at least once a second.
    pub(crate) fn run(&mut self, mut stop: impl FnMut() -> bool) -> io::Result<Ended> {
        while !stop() {
            let deadline = Instant::now() + Duration::from_secs(1);
            if fd::wait_ready(self.socket, PollFlags::POLLIN, Some(deadline))? && !self.answer()? {
                return Ok(Ended::Stopped);
            }
            if Instant::now() >= self.next_look {
                if self.look()? == Some(Ended::Restart) {
                    return Ok(Ended::Restart);
                }
                self.next_look = Instant::now() + WATCH;
            }
        }
        Ok(Ended::Stopped)
    }

    /// Answers one request; false when nobody is left to ask.
    fn answer(&mut self) -> io::Result<bool> {
        let (packet, mut descriptors) = match pass::receive(self.socket, REQUEST_MAX) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(true),
            Err(error) => return Err(error),
        };
        if packet.is_empty() && descriptors.is_empty() {
            return Ok(false);
        }
        let (Some((&kind, name)), Some(reply)) = (packet.split_first(), descriptors.pop()) else {
            return Ok(true);
        };
        let found = std::str::from_utf8(name).ok().and_then(|name| match kind {
            b'H' => Material::for_host(self.settings, name),
            b'A' => {
                // Only what can be an address becomes part of a file name.
                let address: std::net::IpAddr = name.parse().ok()?;
                let address = address.to_string();
                let settings = Settings {
                    local_ip: Some(address.clone()),
                    ..self.settings.clone()
                };
                if !self.addresses.contains(&address) && self.addresses.len() < ADDRESSES_MAX {
                    self.addresses.push(address);
                    self.stamps = stamps(self.settings, &self.addresses);
                }
                Some(Material::for_address(&settings))
            }
            _ => None,
        });
        let answer = match found {
            Some(Ok(material)) => Message::of_material(&material),
            Some(Err(error)) => {
                log(Level::Err, format_args!("{error}"));
                Message::None
            }
            None => Message::None,
        };
        let mut reply = UnixStream::from(reply);
        // A connection process that never reads must not hold up the others.
        let sent = reply
            .set_write_timeout(Some(Duration::from_secs(1)))
            .and_then(|()| answer.send(&mut reply));
        if let Err(error) = sent {
            log(
                Level::Debug,
                format_args!("couriertlsd: answer to a connection: {error}"),
            );
        }
        Ok(true)
    }

    fn look(&mut self) -> io::Result<Option<Ended>> {
        let trust = trust_stamps(self.settings);
        if trust != self.trust {
            self.trust = trust;
            log(
                Level::Info,
                format_args!("couriertlsd: TLS_TRUSTCERTS: read again"),
            );
            return Ok(Some(Ended::Restart));
        }
        let now = stamps(self.settings, &self.addresses);
        if now == self.stamps {
            return Ok(None);
        }
        self.stamps = now;
        // With something broken in place the old pair goes on serving; the log says what is wrong.
        let Some(material) = load(self.settings) else {
            return Ok(None);
        };
        let Message::Material(pem) = Message::of_material(&material) else {
            return Ok(None);
        };
        let mut packet = b"U".to_vec();
        packet.extend_from_slice(&pem);
        pass::send(self.socket, &packet, &[])?;
        log(
            Level::Info,
            format_args!("couriertlsd: {}: read again", material.path.display()),
        );
        Ok(None)
    }
}

fn stamps(settings: &Settings, addresses: &[String]) -> Stamps {
    let files = [&settings.certificate, &settings.private_key];
    let of_addresses = files
        .into_iter()
        .flatten()
        .flat_map(|path| addresses.iter().map(|address| suffixed(path, address)));
    files
        .into_iter()
        .chain([&settings.dh_parameters])
        .flatten()
        .cloned()
        .chain(of_addresses)
        .map(|path| {
            let stamp = stamp(&path);
            (path, stamp)
        })
        .collect()
}

fn trust_stamps(settings: &Settings) -> Stamps {
    // A directory may hold hundreds; where no certificate is asked for none of them matters.
    let trust = settings
        .trust
        .as_deref()
        .filter(|_| settings.verify_peer != VerifyPeer::None);
    let files = trust.map(trust_files);
    files
        .unwrap_or_default()
        .into_iter()
        .map(|path| {
            let stamp = stamp(&path);
            (path, stamp)
        })
        .collect()
}

fn stamp(path: &Path) -> Option<(SystemTime, u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}
