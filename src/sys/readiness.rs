//! Telling the process that started us that we serve. `courierlogger -start` puts its process id into the
//! environment of the program it starts and waits for SIGUSR1 from it, so that its own caller learns the truth;
//! a program that knows nothing of this is taken for ready when it has lived for a second.

use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// The variable with courierlogger's process id. Not to be passed on to other programs.
pub const LOGGER_VARIABLE: &str = "COURIERLOGGER_PID";

/// True if a courierlogger that is our parent wants to be told.
pub fn is_awaited() -> bool {
    let expected = std::env::var(LOGGER_VARIABLE)
        .ok()
        .and_then(|text| text.parse().ok())
        .map(Pid::from_raw);
    expected == Some(nix::unistd::getppid())
}

/// Tells a waiting courierlogger, if one is our parent, that this program is up: sockets bound, data readable.
pub fn report() {
    let parent = nix::unistd::getppid();
    if is_awaited() {
        // A logger of another identity cannot be told; it then goes by the time.
        let _ = nix::sys::signal::kill(parent, Signal::SIGUSR1);
    }
}
