//! Starting the service: the socket, the loader that keeps the privileges, the listening process without them.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use courier::config::paths::Paths;
use courier::handover;
use courier::sys::fd;
use courier::sys::log::{Level, log, reason};
use courier::sys::process::{self, Fork};
use courier::sys::readiness;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::loader::{self, Ended, Loader};
use crate::material::Material;
use crate::once::become_user;
use crate::service::Service;
use crate::settings::Settings;

/// Runs the service in the foreground until SIGTERM, SIGINT or SIGHUP.
pub(crate) fn run(paths: &Paths) -> ExitCode {
    match serve(paths) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            log(Level::Err, format_args!("couriertlsd: {text}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(paths: &Paths) -> Result<(), String> {
    let settings = Arc::new(Settings::read(|name| std::env::var_os(name)));
    for remark in &settings.remarks {
        log(Level::Warning, format_args!("couriertlsd: {remark}"));
    }
    let wanted = handover::tls_settings(std::env::vars_os());
    let material = loader::load(&settings).ok_or("no certificate to serve with")?;
    // Before there is a socket: whoever finds it may send a signal, which has to remove it again.
    let text = |error: nix::errno::Errno| error.desc().to_owned();
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), None).map_err(text)?;
    let signal_fd = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(text)?;
    let path = socket_path(paths);
    let listener =
        listen_at(&path, paths).map_err(|error| format!("{}: {error}", path.display()))?;
    readiness::report();
    let mut material = material;
    loop {
        let (ours, theirs) = fd::message_pair().map_err(|error| error.to_string())?;
        let service = match process::fork().map_err(|error| error.to_string())? {
            Fork::Child => {
                drop(ours);
                let code = match listening_process(
                    paths, &settings, wanted, &material, listener, theirs,
                ) {
                    Ok(()) => 0,
                    Err(error) => {
                        log(Level::Err, format_args!("couriertlsd: {error}"));
                        1
                    }
                };
                process::exit_now(code);
            }
            Fork::Parent(child) => child,
        };
        drop(theirs);
        let mut stopped = false;
        let mut ended = false;
        let watched = Loader::new(&settings, &ours).run(|| {
            stopped |= matches!(signal_fd.read_signal(), Ok(Some(_)));
            ended |= !matches!(
                waitpid(service, Some(WaitPidFlag::WNOHANG)),
                Ok(WaitStatus::StillAlive)
            );
            stopped || ended
        });
        let restart = match watched {
            Ok(ended) => ended == Ended::Restart,
            Err(error) => {
                let text = reason(&error);
                log(Level::Err, format_args!("couriertlsd: loader: {text}"));
                false
            }
        };
        if stopped {
            std::fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            return stop(service, ended);
        }
        // It ends by itself when nobody is left to ask, after it has started what it has accepted.
        drop(ours);
        if restart && !ended {
            ended = ends_soon(service);
        }
        stop(service, ended)?;
        if !restart {
            log(
                Level::Err,
                format_args!("couriertlsd: the listening process has ended; starting another"),
            );
            std::thread::sleep(Duration::from_secs(1));
        }
        material = loader::load(&settings).unwrap_or(material);
    }
}

/// Whether `service` ends within a few seconds.
fn ends_soon(service: Pid) -> bool {
    for _ in 0..50 {
        if !matches!(
            waitpid(service, Some(WaitPidFlag::WNOHANG)),
            Ok(WaitStatus::StillAlive)
        ) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
}

fn stop(service: Pid, ended: bool) -> Result<(), String> {
    if ended {
        return Ok(());
    }
    kill(service, Signal::SIGKILL).map_err(|errno| errno.desc().to_owned())?;
    waitpid(service, None)
        .map(|_| ())
        .map_err(|errno| errno.desc().to_owned())
}

fn listening_process(
    paths: &Paths,
    settings: &Arc<Settings>,
    wanted: Vec<(OsString, OsString)>,
    material: &Material,
    listener: OwnedFd,
    loader: OwnedFd,
) -> Result<(), String> {
    // The signals stay blocked: they reach the whole process group, but it is the loader that decides when to end.
    // Before the privileges go: the authorities for client certificates may be readable by root only.
    let mut service = Service::new(Arc::clone(settings), wanted, material, listener, loader)?;
    become_user(&paths.mailuser.to_string_lossy())?;
    service.run().map_err(|error| error.to_string())
}

/// `COURIERTLSD_SOCKET`, else the default beside the pid files.
pub(crate) fn socket_path(paths: &Paths) -> PathBuf {
    match std::env::var_os("COURIERTLSD_SOCKET") {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => paths.piddir.join(handover::SOCKET_NAME),
    }
}

/// Listens at `path`, which only root and the mail user can connect to. A socket left behind by a service that is
/// gone is replaced; one that answers is not.
fn listen_at(path: &Path, paths: &Paths) -> io::Result<OwnedFd> {
    let make = || {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)
    };
    let address = UnixAddr::new(path)?;
    if path.symlink_metadata().is_ok() {
        if connect(make()?.as_raw_fd(), &address).is_ok() {
            return Err(io::Error::from(io::ErrorKind::AddrInUse));
        }
        std::fs::remove_file(path)?;
    }
    // Under another name until it listens: a client that finds the socket can connect.
    let mut preparing = path.as_os_str().to_owned();
    preparing.push(format!(".{}", std::process::id()));
    let preparing = PathBuf::from(preparing);
    let listener = make()?;
    bind(listener.as_raw_fd(), &UnixAddr::new(&preparing)?)?;
    std::fs::set_permissions(&preparing, std::fs::Permissions::from_mode(0o600))?;
    if nix::unistd::geteuid().is_root() {
        let name = String::from_utf8_lossy(paths.mailuser.as_os_str().as_bytes()).into_owned();
        if let Some(user) = nix::unistd::User::from_name(&name)? {
            nix::unistd::chown(&preparing, Some(user.uid), Some(user.gid))?;
        }
    }
    listen(&listener, Backlog::MAXCONN)?;
    std::fs::rename(&preparing, path)?;
    Ok(listener)
}
