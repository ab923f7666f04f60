//! Whether somebody else's lock file still means anything (shared-storage 2).

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::stat::{fstat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use super::held;
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
    /// Nobody can be holding it. Names the file, so that no other one is removed, and the pid in it.
    Stale(Stamp, Option<u32>),
}

/// Looks at the lock file `name`.
pub(super) fn judge(tmp: &Dir, name: &[u8], options: &Options) -> Result<Verdict> {
    let Some(stat) = tmp.stat(name)? else {
        return Ok(Verdict::Free);
    };
    let content = match tmp.read(name, 4096) {
        Ok(Some((content, _))) => content,
        Ok(None) => {
            return Ok(if tmp.stat(name)?.is_none() {
                Verdict::Free
            } else {
                Verdict::Held
            });
        }
        // Unreadable: only its age can tell.
        Err(_) => Vec::new(),
    };
    let identity = (stat.st_dev, stat.st_ino);
    let stale = Verdict::Stale(Stamp::of(&stat), parse(&content).map(|(pid, _)| pid));
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
    tmp.remove(&unique)?;
    Ok(files::modified(&touched?))
}
