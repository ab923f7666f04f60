//! Pid file, lock and the start/stop/restart protocol that couriertcpd and courierlogger share (contract:
//! couriertcpd 1.4). `FILE.lock` carries an fcntl lock for as long as the daemon lives: "running" is what the lock
//! says, never the pid.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use courier::sys::process::{Fork, exit_now, fork};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

// The kernel's values in the width that struct flock has.
#[allow(clippy::cast_possible_truncation)]
const F_WRLCK: libc::c_short = libc::F_WRLCK as libc::c_short;
#[allow(clippy::cast_possible_truncation)]
const SEEK_SET: libc::c_short = libc::SEEK_SET as libc::c_short;

/// How long after SIGTERM, and then again and again, SIGKILL is sent.
const KILL_AFTER: Duration = Duration::from_secs(10);
/// How long a server may take to be replaced by its successor.
const RENEWED_WITHIN: Duration = Duration::from_secs(20);
/// How long a lock without a readable pid file is waited for.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// The daemon's lock; released when dropped or when the process ends. Not inherited by forked children.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    pid_file: PathBuf,
}

impl Lock {
    /// Takes the lock that belongs to `pid_file`; None when another process holds it.
    ///
    /// # Errors
    /// The lock file cannot be opened or locked.
    pub fn take(pid_file: &Path) -> io::Result<Option<Self>> {
        let path = lock_path(pid_file);
        let file = match open_lock(&path) {
            Ok(file) => file,
            Err(_) => {
                // COMPAT: a lock file that cannot be opened, left by another user, is replaced; so is a link.
                std::fs::remove_file(&path)?;
                open_lock(&path)?
            }
        };
        Ok(set_lock(&file)?.then(|| Self {
            _file: file,
            pid_file: pid_file.to_owned(),
        }))
    }

    /// Writes our process id to the pid file, in one step as others see it.
    ///
    /// # Errors
    /// Those of creating, writing and renaming.
    pub fn write_pid(&self) -> io::Result<()> {
        let pid = std::process::id();
        let temporary = suffixed(&self.pid_file, &format!(".{pid}"));
        // What a crash, or somebody with a link, has left there; mostly nothing.
        let _ = std::fs::remove_file(&temporary);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o666)
            .open(&temporary)
            .and_then(|mut file| writeln!(file, "{pid}"))
            .and_then(|()| std::fs::rename(&temporary, &self.pid_file));
        if written.is_err() {
            // The first error is the one to report.
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }

    /// Removes the pid file of a daemon that could not start after all.
    pub fn remove_pid(&self) {
        // Absent is as good.
        let _ = std::fs::remove_file(&self.pid_file);
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn lock_path(pid_file: &Path) -> PathBuf {
    suffixed(pid_file, ".lock")
}

/// The directory may be writable for a group without other rights (Debian: courier), whose links are not followed.
fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// True when the exclusive lock on the whole file is ours now.
fn set_lock(file: &File) -> io::Result<bool> {
    let whole = libc::flock {
        l_type: F_WRLCK,
        l_whence: SEEK_SET,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file.as_fd(), FcntlArg::F_SETLK(&whole)) {
        Ok(_) => Ok(true),
        Err(Errno::EACCES | Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// The digits at the start of the pid file; only ids of ordinary processes, never 0, 1 or a group.
fn read_pid(pid_file: &Path) -> Option<Pid> {
    let mut content = Vec::new();
    File::open(pid_file)
        .ok()?
        .take(32)
        .read_to_end(&mut content)
        .ok()?;
    let digits = content
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let pid: i32 = std::str::from_utf8(content.get(..digits)?)
        .ok()?
        .parse()
        .ok()?;
    (pid > 1).then(|| Pid::from_raw(pid))
}

/// Sends SIGHUP to the daemon if one runs.
///
/// # Errors
/// The lock file cannot be opened, or the signal is not permitted.
pub fn restart(pid_file: &Path) -> io::Result<()> {
    let file = open_lock(&lock_path(pid_file))?;
    if set_lock(&file)? {
        return Ok(());
    }
    match read_pid(pid_file) {
        Some(pid) => signal(pid, Signal::SIGHUP),
        None => Ok(()),
    }
}

/// Sends SIGHUP to the process a pid file names, whether it is locked or not (makedat's `-hup`).
///
/// # Errors
/// The signal is not permitted.
pub fn hang_up(pid_file: &Path) -> io::Result<()> {
    match read_pid(pid_file) {
        Some(pid) => signal(pid, Signal::SIGHUP),
        None => Ok(()),
    }
}

/// True if the process handles `signal` or waits for it blocked. One that does not know it would be ended by it, or
/// would do nothing where it was started with the signal ignored: a daemon of an earlier release, or the original's.
pub fn knows(pid: Pid, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let bit = 1_u64 << (signal as i32).saturating_sub(1).clamp(0, 63);
    ["SigBlk:", "SigCgt:"].iter().any(|field| {
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask & bit != 0)
    })
}

/// Asks the daemon for its successor, and waits until that serves. A daemon that cannot do so is asked to read its
/// files again, as [`restart`] does.
///
/// # Errors
/// Those of [`restart`]; the daemon ended, or goes on as before. Its log says why.
pub fn renew(pid_file: &Path) -> io::Result<()> {
    let file = open_lock(&lock_path(pid_file))?;
    if set_lock(&file)? {
        return Ok(());
    }
    let Some(pid) = read_pid(pid_file) else {
        return Ok(());
    };
    if !knows(pid, Signal::SIGUSR2) {
        return signal(pid, Signal::SIGHUP);
    }
    // It writes its pid file anew when it is done.
    let identity = || {
        let metadata = std::fs::metadata(pid_file)?;
        Ok::<_, io::Error>((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
    };
    let before = identity()?;
    signal(pid, Signal::SIGUSR2)?;
    let end = Instant::now() + RENEWED_WITHIN;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
        if identity()? != before {
            return Ok(());
        }
        if set_lock(&file)? {
            return Err(io::Error::other("the server has ended"));
        }
    }
    Err(io::Error::other("the server goes on with the old settings"))
}

/// Asks the daemon to take nothing new and to end with its last session, and waits for that, however long it takes.
///
/// # Errors
/// The lock file cannot be opened, the signal is not permitted, or the daemon does not know it.
pub fn drain(pid_file: &Path) -> io::Result<()> {
    let file = open_lock(&lock_path(pid_file))?;
    if set_lock(&file)? {
        return Ok(());
    }
    let Some(pid) = read_pid(pid_file) else {
        return Err(io::Error::other("locked, but no pid to signal"));
    };
    if !knows(pid, Signal::SIGQUIT) {
        return Err(io::Error::other("this server cannot be drained"));
    }
    signal(pid, Signal::SIGQUIT)?;
    while !set_lock(&file)? {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Ends the daemon if one runs: SIGTERM, then SIGKILL every ten seconds, until the lock is free.
///
/// # Errors
/// The lock file cannot be opened, a signal is not permitted, or there is a lock but never a pid to signal.
pub fn stop(pid_file: &Path) -> io::Result<()> {
    let file = open_lock(&lock_path(pid_file))?;
    let start = Instant::now();
    let mut next = start;
    let mut which = Signal::SIGTERM;
    let mut signalled = false;
    while !set_lock(&file)? {
        if Instant::now() >= next {
            match read_pid(pid_file) {
                Some(pid) => {
                    signal(pid, which)?;
                    signalled = true;
                    which = Signal::SIGKILL;
                    next = Instant::now() + KILL_AFTER;
                }
                // The daemon may be just about to write it.
                None if signalled || start.elapsed() < GIVE_UP_AFTER => {}
                None => return Err(io::Error::other("locked, but no pid to signal")),
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn signal(pid: Pid, signal: Signal) -> io::Result<()> {
    match kill(pid, signal) {
        // Gone in the meantime: what we wanted.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Which process [`daemonise`] returned in.
#[derive(Debug)]
pub enum Daemonised {
    /// The one that was called: the daemon runs (or already ran), or it has failed and said why.
    Starter {
        /// Whether a daemon serves now.
        up: bool,
    },
    /// The daemon, with the lock.
    Daemon(Lock, Starter),
}

/// The waiting starter, seen from the daemon. Dropped without a word, it reports failure.
#[derive(Debug)]
pub struct Starter(OwnedFd);

impl Starter {
    /// Lets the starter exit with success.
    pub fn report_ready(self) {
        // A starter that has been killed does not want to know.
        let _ = nix::unistd::write(&self.0, &[0]);
    }
}

/// Forks twice and takes the lock in the grandchild, which is in a session and process group of its own. A second
/// daemon for the same pid file is not started, which counts as success.
///
/// # Errors
/// Only in the caller's process: pipe or fork failed.
pub fn daemonise(pid_file: &Path) -> io::Result<Daemonised> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    match fork()? {
        Fork::Parent(child) => {
            drop(write);
            // The child ends at once; all it could say is in the pipe.
            let _ = nix::sys::wait::waitpid(child, None);
            let mut byte = [0_u8; 1];
            let up = loop {
                match nix::unistd::read(&read, &mut byte) {
                    Ok(length) => break length == 1,
                    Err(Errno::EINTR) => {}
                    Err(_) => break false,
                }
            };
            return Ok(Daemonised::Starter { up });
        }
        Fork::Child => {}
    }
    drop(read);
    // Fails only for a group leader, which a fresh child is not.
    let _ = nix::unistd::setsid();
    match fork() {
        Ok(Fork::Child) => {}
        Ok(Fork::Parent(_)) => exit_now(0),
        Err(error) => {
            report("fork", &error);
            exit_now(1)
        }
    }
    // Out of the group of the intermediate process, so that the id of our group is our own.
    let _ = nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0));
    match Lock::take(pid_file) {
        Ok(Some(lock)) => Ok(Daemonised::Daemon(lock, Starter(write))),
        Ok(None) => {
            Starter(write).report_ready();
            exit_now(0)
        }
        Err(error) => {
            report(&lock_path(pid_file).to_string_lossy(), &error);
            exit_now(1)
        }
    }
}

fn report(what: &str, error: &io::Error) {
    courier::sys::log::log(
        courier::sys::log::Level::Plain,
        format_args!("{what}: {}", crate::reason(error)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_that_would_signal_everybody_are_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        for (content, pid) in [
            ("4711\n", Some(4711)),
            ("4711 and more", Some(4711)),
            ("0\n", None),
            ("1\n", None),
            ("-5\n", None),
            ("", None),
            ("99999999999999999999\n", None),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read_pid(&path), pid.map(Pid::from_raw), "{content}");
        }
    }

    #[test]
    fn the_pid_file_is_replaced_and_no_temporary_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        std::fs::write(&path, "old").unwrap();
        let lock = Lock::take(&path).unwrap().unwrap();
        lock.write_pid().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!("{}\n", std::process::id())
        );
        let mut names: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["p", "p.lock"]);
    }

    #[test]
    fn links_in_the_way_lead_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        let [precious, nothing] = ["precious", "nologin"].map(|name| directory.path().join(name));
        std::fs::write(&precious, "kept").unwrap();
        let temporary = suffixed(&path, &format!(".{}", std::process::id()));
        for (target, link) in [(&precious, &temporary), (&nothing, &lock_path(&path))] {
            std::os::unix::fs::symlink(target, link).unwrap();
        }
        let lock = Lock::take(&path).unwrap().unwrap();
        lock.write_pid().unwrap();
        assert_eq!(std::fs::read(&precious).unwrap(), b"kept");
        assert!(!nothing.exists());
        assert!(lock_path(&path).symlink_metadata().unwrap().is_file());
        assert!(path.symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn stopping_and_restarting_nothing_succeeds() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        stop(&path).unwrap();
        restart(&path).unwrap();
        assert!(directory.path().join("p.lock").exists());
    }
}
