//! The same over TLS: logins, downloads, idle sessions.

use harness::Error;

use super::{memory, read};
use crate::options::Options;
use crate::secure::Secure;
use crate::target::{Sample, Target};

/// Connect, full handshake, LOGIN, LOGOUT, over and over.
pub(super) fn login(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    logins(target, options, false)
}

/// The same by a client that resumes its last session.
pub(super) fn login_again(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    logins(target, options, true)
}

fn logins(target: &mut Target, options: &Options, resume: bool) -> Result<Sample, Error> {
    target.intact(options, 10)?;
    let port = target.tls_port()?;
    let secure = Secure::new()?;
    secure.log_in(port, false)?.ok("LOGOUT")?;
    target.measure(|| {
        for _ in 0..options.logins {
            secure.log_in(port, resume)?.ok("LOGOUT")?;
        }
        Ok(())
    })
}

/// The whole mailbox.
pub(super) fn bodies(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    target.intact(options, options.messages)?;
    let mut wire = Secure::new()?.log_in(target.tls_port()?, false)?;
    wire.ok("SELECT INBOX")?;
    target.measure(|| wire.ok("FETCH 1:* BODY.PEEK[]"))
}

/// One big message, twice.
pub(super) fn big(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    read::place_big(target, options)?;
    let mut wire = Secure::new()?.log_in(target.tls_port()?, false)?;
    wire.ok("SELECT INBOX")?;
    target.measure(|| {
        wire.ok("FETCH 1 BODY.PEEK[]")?;
        wire.ok("FETCH 1 BODY.PEEK[]")
    })
}

/// What one more session costs, all its processes together.
pub(super) fn idle(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    let secure = Secure::new()?;
    memory::measure(target, options, |target| {
        secure.log_in(target.tls_port()?, false)
    })
}
