//! The socket: made under a temporary name and renamed, so that a restart takes over without a gap, and open only
//! to root, the mail user and the mail group.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use courier::config::paths::Paths;
use courier::sys::log::{Level, log};
use nix::sys::socket::{getsockopt, sockopt};

use crate::sys;

/// A listening socket in the file system.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode, to tell whether the path is still ours.
    identity: (u64, u64),
    allowed: Allowed,
}

/// Who may ask.
#[derive(Debug, Clone)]
struct Allowed {
    users: Vec<u32>,
    group: Option<u32>,
}

impl Listener {
    /// Makes the socket in `paths.authdaemonvar`.
    ///
    /// # Errors
    /// When the directory is missing or open to everybody, or the socket cannot be made.
    pub fn bind(paths: &Paths) -> io::Result<Self> {
        check_directory(&paths.authdaemonvar)?;
        let path = paths.authdaemond_socket();
        let temporary = Paths::with_suffix(&path, ".tmp");
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixListener::bind(&temporary)?;
        // std asks for a backlog of 128; the original for the system's maximum.
        nix::sys::socket::listen(&socket, nix::sys::socket::Backlog::MAXCONN)?;
        socket.set_nonblocking(true)?;
        // The directory decides who reaches it.
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o777))?;
        let metadata = fs::symlink_metadata(&temporary)?;
        fs::rename(&temporary, &path)?;
        Ok(Self {
            socket,
            path,
            identity: (metadata.dev(), metadata.ino()),
            allowed: Allowed::new(paths),
        })
    }

    /// The next peer that may ask; `None` when nobody waits (any more), or the one that did was turned away.
    ///
    /// # Errors
    /// Those of accept(2) that are about us and not about the peer: EMFILE, ENFILE, ENOMEM.
    pub fn accept(&self) -> io::Result<Option<OwnedFd>> {
        let peer = match self.socket.accept() {
            Ok((peer, _address)) => peer,
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS)
                ) =>
            {
                return Err(error);
            }
            Err(_) => return Ok(None),
        };
        if peer.set_nonblocking(true).is_err() {
            return Ok(None);
        }
        let peer = OwnedFd::from(peer);
        Ok(self.allowed.admits(&peer).then_some(peer))
    }

    /// Removes the socket at the end of a clean shutdown, unless another daemon has put its own there.
    pub fn remove(&self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|now| (now.dev(), now.ino()) == self.identity);
        if ours {
            // A socket that stays behind only makes clients say "connection refused".
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn check_directory(directory: &Path) -> io::Result<()> {
    let metadata = fs::metadata(directory).map_err(|error| {
        io::Error::new(error.kind(), format!("{}: {error}", directory.display()))
    })?;
    if !metadata.is_dir() || metadata.mode() & 0o002 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{}: must be a directory that others cannot write",
                directory.display()
            ),
        ));
    }
    if metadata.mode() & 0o005 != 0 {
        log(
            Level::Warning,
            format_args!(
                "{}: should not be open to others (mode {:o})",
                directory.display(),
                metadata.mode() & 0o777
            ),
        );
    }
    Ok(())
}

impl Allowed {
    /// root, the mail user, the mail group, and whoever runs this daemon.
    fn new(paths: &Paths) -> Self {
        let mut users = vec![0, nix::unistd::geteuid().as_raw()];
        let user = paths
            .mailuser
            .to_str()
            .and_then(|name| nix::unistd::User::from_name(name).ok().flatten());
        users.extend(user.map(|user| user.uid.as_raw()));
        let group = paths
            .mailgroup
            .to_str()
            .and_then(|name| nix::unistd::Group::from_name(name).ok().flatten());
        Self {
            users,
            group: group.map(|group| group.gid.as_raw()),
        }
    }

    fn admits(&self, peer: &OwnedFd) -> bool {
        let Ok(credentials) = getsockopt(peer, sockopt::PeerCredentials) else {
            return false;
        };
        let in_group = |group: u32| {
            credentials.gid() == group || sys::peer_groups(peer.as_fd()).contains(&group)
        };
        let admitted = self.users.contains(&credentials.uid()) || self.group.is_some_and(in_group);
        if !admitted {
            log(
                Level::Warning,
                format_args!(
                    "connection refused: uid {} pid {} is neither root nor of the mail user or group",
                    credentials.uid(),
                    credentials.pid()
                ),
            );
        }
        admitted
    }
}
