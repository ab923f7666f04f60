//! Whether somebody else's lock file still means anything (shared-storage 2).

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::stat::{FileStat, fstat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use super::{discard, held};
use crate::maildir::error::Result;
use crate::maildir::files::{self, Dir, Stamp};
use crate::maildir::options::{Options, host_name};

/// Age at which any lock is stale.
const STALE_AFTER: Duration = Duration::from_secs(120);

/// What a look at somebody's lock file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No lock file.
    Free,
    /// The owner may be alive.
    Held,
    /// Nobody can be holding it. Names the file, so that no other one is removed.
    Stale(Stamp),
}

/// Looks at the lock file `name`.
pub(super) fn judge(tmp: &Dir, name: &[u8], options: &Options) -> Result<Verdict> {
    let (content, stat) = match read(tmp, name) {
        Ok(Some(read)) => read,
        Ok(None) => {
            return Ok(if tmp.stat(name)?.is_none() {
                Verdict::Free
            } else {
                Verdict::Held
            });
        }
        // Unreadable: only its age can tell.
        Err(_) => match tmp.stat(name)? {
            Some(stat) => (Vec::new(), stat),
            None => return Ok(Verdict::Free),
        },
    };
    let identity = (stat.st_dev, stat.st_ino);
    let stale = Verdict::Stale(Stamp::of(&stat));
    match owner(&content, host_name().as_bytes()) {
        Some(pid) if pid == std::process::id() && !held().contains(&identity) => {
            return Ok(stale);
        }
        Some(pid) => {
            let dead = i32::try_from(pid)
                .is_ok_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH));
            if dead {
                return Ok(stale);
            }
        }
        None => {}
    }
    // Younger by the local clock and by a margin for its error: no need to bother the server.
    let age = server_now(tmp, options)?
        .duration_since(files::modified(&stat))
        .unwrap_or_default();
    Ok(if age > STALE_AFTER {
        stale
    } else {
        Verdict::Held
    })
}

/// A lock file's content and what it is: both of one file, and the one that the server has, whatever this host
/// remembers.
fn read(tmp: &Dir, name: &[u8]) -> Result<Option<(Vec<u8>, FileStat)>> {
    tmp.look_again(name);
    let Some((file, stat)) = tmp.open_file(name)? else {
        return Ok(None);
    };
    let content = tmp.read_opened(name, &file, &stat, 4096)?;
    Ok(Some((content, stat)))
}

/// What tells one lock file from another, as [`judge`] had it.
pub(super) fn stamp(tmp: &Dir, name: &[u8]) -> Result<Option<Stamp>> {
    tmp.look_again(name);
    match tmp.open_file(name) {
        Ok(Some((_, stat))) => Ok(Some(Stamp::of(&stat))),
        Ok(None) | Err(_) => tmp.stamp_of(name),
    }
}

/// Pid and host in a lock file; `None` for unparsable content.
fn parse(content: &[u8]) -> Option<(u32, &[u8])> {
    let colon = memchr::memchr(b':', content)?;
    let (pid, rest) = content.split_at_checked(colon)?;
    let pid: u32 = std::str::from_utf8(pid).ok()?.parse().ok()?;
    (pid > 0).then_some((pid, rest.get(1..)?))
}

/// The pid in a lock file of this host; `None` for other hosts and unparsable content.
fn owner(content: &[u8], host: &[u8]) -> Option<u32> {
    let (pid, found) = parse(content)?;
    (found == host).then_some(pid)
}

/// The file server's time, by a file made there.
fn server_now(tmp: &Dir, options: &Options) -> Result<std::time::SystemTime> {
    let (unique, file) = tmp.create_unique("courierlock", &options.host, 0o644)?;
    let unique = unique.tmp();
    let touched = futimens(&file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW)
        .and_then(|()| fstat(&file))
        .map_err(|errno| tmp.error("stat", &unique, errno));
    discard(tmp, &unique);
    Ok(files::modified(&touched?))
}
