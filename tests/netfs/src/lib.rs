//! A FUSE file system for tests that misbehaves the way network file systems do: attributes, names and listings
//! are cached for a while, replies get lost, handles go stale, space runs out at close. Two mounts of one
//! directory are two hosts: nothing one does wakes an inotify watch of the other, and locks do not cross.
//!
//! It needs root and `/dev/fuse`; [`unavailable`] says what is missing.

mod faults;
mod fs;
mod inodes;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use faults::{Caching, Faults};

/// Why network tests cannot run here, or `None` when they can.
pub fn unavailable() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("not root");
    }
    let usable = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .is_ok();
    (!usable).then_some("no usable /dev/fuse")
}

/// One host's view of a directory; unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    point: PathBuf,
    faults: Arc<Faults>,
    session: Option<fuser::BackgroundSession>,
}

impl Mount {
    /// Mounts `source` at the existing directory `point`.
    ///
    /// # Errors
    /// The kernel's, EPERM without the privilege to mount.
    pub fn new(source: &Path, point: &Path, caching: Caching, seed: u64) -> io::Result<Self> {
        let faults = Arc::new(Faults::none(seed));
        let mut config = fuser::Config::default();
        config.mount_options = vec![
            fuser::MountOption::FSName("netfs".to_owned()),
            fuser::MountOption::DefaultPermissions,
        ];
        config.acl = fuser::SessionACL::All;
        config.n_threads = Some(4);
        let filesystem = fs::NetworkFs::new(source, caching, Arc::clone(&faults))?;
        let session = fuser::spawn_mount(filesystem, point, &config)?;
        Ok(Self {
            point: point.to_owned(),
            faults,
            session: Some(session),
        })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// The switches.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let detached = nix::mount::umount2(&self.point, nix::mount::MntFlags::MNT_DETACH);
        if let (Ok(()), Some(session)) = (detached, self.session.take()) {
            // The mount is gone either way; a session error at this point has nobody to be told to.
            drop(session);
        }
    }
}
