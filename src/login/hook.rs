//! `loginexec`: a program in the maildir that runs once, before the session (contract: login §7.1). It gets neither
//! the client's connection nor the server's configuration.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::sys::log::{Level, log};

/// Names passed on. The rest of the environment is configuration that it has no use for.
const ENVIRONMENT: &[&str] = &[
    "AUTHADDR",
    "AUTHENTICATED",
    "AUTHFULLNAME",
    "AUTHUSER",
    "HOME",
    "HOSTNAME",
    "IMAP_TLS",
    "POP3_TLS",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "MAILDIR",
    "MAILDIRQUOTA",
    "OPTIONS",
    "PATH",
    "PROTOCOL",
    "TCPLOCALIP",
    "TCPLOCALPORT",
    "TCPREMOTEHOST",
    "TCPREMOTEIP",
    "TCPREMOTEPORT",
    "TZ",
    "USER",
];

/// Runs `./loginexec` in the working directory if its owner may execute it, waits for it, and removes it if it ends
/// with status 0. What goes wrong is logged under `user` and stops nothing.
pub fn run(user: &str) {
    let path = Path::new("./loginexec");
    let runnable = std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o100 != 0);
    if !runnable {
        return;
    }
    let mut hook = Command::new(path);
    hook.stdin(Stdio::null()).stdout(Stdio::null()).env_clear();
    for name in ENVIRONMENT {
        if let Some(value) = std::env::var_os(name) {
            hook.env(name, value);
        }
    }
    let mut attempts = 0_u32;
    let status = loop {
        match hook.status() {
            // The process limit is reached: wait for others to end, but not for ever.
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && attempts < 6 => {
                attempts = attempts.saturating_add(1);
                std::thread::sleep(Duration::from_secs(5));
            }
            other => break other,
        }
    };
    match status {
        Ok(status) if status.success() => {
            if let Err(error) = std::fs::remove_file(path) {
                log(
                    Level::Err,
                    format_args!("{user}: unlink loginexec: {error}"),
                );
            }
        }
        Ok(_) => {}
        Err(error) => log(Level::Err, format_args!("{user}: loginexec: {error}")),
    }
}
