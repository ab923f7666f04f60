//! SIGINT and SIGTERM stop the run at its next step, so that the servers are ended as after a whole one.

use std::sync::atomic::{AtomicBool, Ordering};

use harness::Error;
use nix::sys::signal::{SigSet, Signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Takes the signals over. Call it before any other thread is started; started programs get them as usual.
///
/// # Errors
/// The kernel's.
pub(crate) fn watch() -> Result<(), Error> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    std::thread::spawn(move || {
        if signals.wait().is_ok() {
            INTERRUPTED.store(true, Ordering::Relaxed);
        }
    });
    Ok(())
}

/// An error once a signal has come.
///
/// # Errors
/// That one.
pub(crate) fn check() -> Result<(), Error> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        Err(Error::new("interrupted"))
    } else {
        Ok(())
    }
}
