//! Settings of the store, most of them the original's environment variables.

use std::env;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::filename;
use super::name::FolderName;
use super::quota::QuotaLimits;

/// `IMAP_FSYNC`: what is on disk when a command is answered with OK (architecture, Durability).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// Nothing is waited for.
    Never,
    /// New messages and UIDs are; one directory sync per command.
    #[default]
    Batched,
    /// Flag changes and expunges as well.
    Always,
}

/// Settings of one opened [`super::Maildir`].
#[derive(Debug, Clone)]
pub struct Options {
    /// `IMAP_USELOCKS`: take `tmp/courier.lock`. On unless set to something not starting with `1`.
    pub use_locks: bool,
    /// `IMAP_FSYNC=always|batched|never`.
    pub sync: Sync,
    /// Host part of new message names: `HOSTNAME`, else the host's name. Fit for file names.
    pub host: String,
    /// The trash folder, which cannot be deleted or renamed: `IMAP_TRASHFOLDERNAME`, default `Trash`.
    pub trash: FolderName,
    /// Longest wait for a folder lock that another process holds.
    pub lock_wait: Duration,
    /// `MAILDIR_SKIP_SYMLINK_CHECKS` non-zero: follow symbolic links to message files however they lead.
    pub follow_links: bool,
    /// Access control lists count and are kept; off for accounts with the option `disableshared`.
    pub acls: bool,
    /// `MAILDIRQUOTA`: the limits that a message added by APPEND gives the account; those of `maildirsize` if `None`.
    pub quota: Option<QuotaLimits>,
}

impl Default for Options {
    /// As with an empty environment.
    fn default() -> Self {
        Self {
            use_locks: true,
            sync: Sync::default(),
            host: filename::host_part(host_name().as_bytes()),
            trash: FolderName::new(b"Trash").unwrap_or_default(),
            lock_wait: Duration::from_secs(60),
            follow_links: false,
            acls: true,
            quota: None,
        }
    }
}

impl Options {
    /// From this process's environment. Values that make no sense count as unset.
    pub fn from_environment() -> Self {
        let mut options = Self::default();
        if let Some(value) = env::var_os("IMAP_USELOCKS") {
            options.use_locks = value.as_bytes().first() == Some(&b'1');
        }
        if let Some(value) = env::var_os("IMAP_FSYNC") {
            options.sync = match value.as_bytes() {
                b"always" => Sync::Always,
                b"never" => Sync::Never,
                _ => Sync::Batched,
            };
        }
        if let Some(value) = env::var_os("HOSTNAME") {
            if !value.is_empty() {
                options.host = filename::host_part(value.as_bytes());
            }
        }
        if let Some(value) = env::var_os("IMAP_TRASHFOLDERNAME") {
            if let Ok(name) = FolderName::new(value.as_bytes()) {
                options.trash = name;
            }
        }
        if let Some(value) = env::var_os("MAILDIRQUOTA") {
            options.quota = Some(QuotaLimits::parse(value.as_bytes()));
        }
        if let Some(value) = env::var_os("MAILDIR_SKIP_SYMLINK_CHECKS") {
            options.follow_links = value
                .as_bytes()
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .any(|byte| *byte != b'0');
        }
        options
    }
}

/// The host's name from the kernel; it also identifies the holder of a lock.
pub(crate) fn host_name() -> String {
    match nix::unistd::gethostname() {
        Ok(name) if !name.is_empty() => name.to_string_lossy().into_owned(),
        _ => "localhost".to_owned(),
    }
}
