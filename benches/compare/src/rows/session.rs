//! Connections, SELECT and NOOP.

use harness::Error;

use crate::options::Options;
use crate::target::{Sample, Target, USER};
use crate::wire::Wire;

/// Connect, LOGIN, LOGOUT, over and over.
pub(super) fn login(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    target.intact(options, 10)?;
    let port = target.port();
    target.measure(|| {
        for _ in 0..options.logins {
            let mut wire = Wire::login(port, USER)?;
            wire.ok("LOGOUT")?;
        }
        Ok(())
    })
}

/// The first SELECT ever.
pub(super) fn select_cold(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    target.unseen(options, options.messages)?;
    let mut wire = target.session()?;
    target.measure(|| wire.ok("SELECT INBOX"))
}

/// SELECT of what was selected before, on a new connection.
pub(super) fn select_again(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    target.intact(options, options.messages)?;
    target.selected()?.ok("LOGOUT")?;
    let mut wire = target.session()?;
    target.measure(|| wire.ok("SELECT INBOX"))
}

/// NOOP when nothing happens.
pub(super) fn noop(target: &mut Target, options: &Options) -> Result<Sample, Error> {
    target.intact(options, options.messages)?;
    let mut wire = target.selected()?;
    target.measure(|| {
        for _ in 0..100 {
            wire.ok("NOOP")?;
        }
        Ok(())
    })
}
