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

/// Names the socket of a service manager that wants to be told, sd_notify(3). Not to be passed on either.
pub const NOTIFY_VARIABLE: &str = "NOTIFY_SOCKET";

/// Tells the service manager, if there is one, that this program is up.
pub fn notify() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Some(path) = std::env::var_os(NOTIFY_VARIABLE) else {
        return;
    };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    // A manager that cannot be told goes by the time.
    let _ = address.and_then(|address| {
        let text = format!("READY=1\nMAINPID={}", std::process::id());
        UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address)
    });
}
