//! Files that login programs share, in a directory that need not be root's alone: on Debian the group `courier`, which
//! has no other rights, may write in that of the pid files. So whatever is not a plain file of this user alone is not
//! touched: a link put there would have root empty the file that it leads to.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg, OFlag};

/// How long a login waits for another's lock; then it goes on without the file.
const PATIENCE: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_millis(2);

/// Opens the file, makes it if there is none, and locks it for a moment.
///
/// # Errors
/// Those of open(2); ELOOP for a link; `TimedOut` if somebody holds the lock too long; a text for what is not a plain
/// file of this user alone.
pub(crate) fn lock(path: &Path) -> io::Result<Flock<File>> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    let mut file = open(&mut options, path)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(locked),
            Err((unlocked, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < deadline => {
                file = unlocked;
                std::thread::sleep(RETRY);
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Err(io::ErrorKind::TimedOut.into()),
            Err((_, errno)) => return Err(errno.into()),
        }
    }
}

/// Opens the file for reading only, without a lock.
///
/// # Errors
/// As [`lock`], but for the lock; `NotFound`.
pub(super) fn read(path: &Path) -> io::Result<File> {
    open(&mut File::options(), path)
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // A FIFO is not waited for.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = options.read(true).custom_flags(flags.bits()).open(path)?;
    let found = file.metadata()?;
    let ours = found.uid() == nix::unistd::geteuid().as_raw();
    if ours && found.is_file() && found.nlink() == 1 {
        Ok(file)
    } else {
        Err(io::Error::other("not a plain file of this user alone"))
    }
}
