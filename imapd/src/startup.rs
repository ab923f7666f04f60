//! What happens before the first command: checks of the account, the hook, the greeting (contract: imapd 1.1,
//! login 7.1). The order of the checks is interface: the earlier failure is the one that is told.

use std::env;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use courier::maildir::Maildir;
use courier::sys::fd;
use courier::sys::log::{Level, log, reason};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::account::Account;
use crate::settings::Settings;
use crate::shares::Shares;

/// Largest difference between our clock and the file server's.
const MAX_SKEW: Duration = Duration::from_secs(30);

/// Why no session begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// `* BYE` and this text; exit status 0.
    Bye(&'static str),
    /// `* BYE [ALERT] Fatal error:` and this text, exit status 1; with the log line behind `ERR: user: `.
    Fatal(String, String),
}

/// Steps 5 to 9 of the contract: locked account, the maildir, the hook, its owner. The working directory is the
/// account's home before and the maildir after.
///
/// # Errors
/// [`Refusal`], to be told to the client.
pub fn enter(settings: &Settings, account: &Account, maildir: &Path) -> Result<Shares, Refusal> {
    let open = fs::metadata(".").is_ok_and(|home| home.mode() & 0o1000 == 0);
    if !open {
        account.log_locked();
        return Err(Refusal::Bye(
            "Your account is temporarily unavailable (+t bit set on home directory).",
        ));
    }
    if let Err(error) = env::set_current_dir(maildir) {
        let reason = reason(&error);
        log(
            Level::Plain,
            format_args!(
                "chdir {}: {reason}",
                maildir.as_os_str().as_bytes().escape_ascii()
            ),
        );
        return Err(Refusal::Fatal(format!("{reason}: {reason}"), reason));
    }
    courier::login::hook::run(&account.name);
    let shares = Shares::read(settings);
    let more = shares.directories();
    if courier::login::confine::session(&account.name, settings.sandbox, &more).is_err() {
        let text = "The session cannot be confined";
        return Err(Refusal::Fatal(format!("{text}: "), text.to_owned()));
    }
    if settings.sanity_check && !is_ours() {
        let text = "Account's mailbox directory is not owned by the correct uid or gid";
        return Err(Refusal::Fatal(format!("{text}: "), text.to_owned()));
    }
    Ok(shares)
}

/// Step 16: the file server's clock against ours. A probe that cannot be made tells nothing.
///
/// # Errors
/// The clocks differ by more than 30 seconds.
pub fn check_clock(maildir: &Maildir) -> Result<(), Refusal> {
    match maildir.clock_skew() {
        Some(skew) if skew > MAX_SKEW => Err(Refusal::Bye(
            "Clock skew detected. Check the clock on the file server",
        )),
        _ => Ok(()),
    }
}

/// Steps 19 and 20: account options that forbid this session. Told after the greeting, as always.
///
/// # Errors
/// [`Refusal::Bye`].
pub fn check_options(settings: &Settings) -> Result<(), Refusal> {
    if settings.options.is_set("disableimap") {
        return Err(Refusal::Bye("IMAP access disabled for this account."));
    }
    if settings.options.is_set("disableinsecureimap") && !settings.tls {
        return Err(Refusal::Bye(
            "IMAP access disabled via insecure connection.",
        ));
    }
    Ok(())
}

/// Makes the client's descriptors non-blocking, so that a peer that does not read cannot hold us in a write.
///
/// # Errors
/// A descriptor is not open.
pub fn prepare_connection() -> io::Result<()> {
    for descriptor in [fd::stdin(), fd::stdout()] {
        let flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
        if !flags.contains(OFlag::O_NONBLOCK) {
            fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        }
    }
    // Replies leave in whole writes, so waiting for more only delays them. Not every session is on TCP.
    nix::sys::socket::setsockopt(&fd::stdout(), nix::sys::socket::sockopt::TcpNoDelay, &true).ok();
    Ok(())
}

fn is_ours() -> bool {
    fs::metadata(".").is_ok_and(|directory| {
        directory.uid() == nix::unistd::geteuid().as_raw()
            && directory.gid() == nix::unistd::getegid().as_raw()
    })
}
