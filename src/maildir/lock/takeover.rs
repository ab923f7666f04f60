//! Taking over a stale lock (shared-storage 3).

use super::judge::{Verdict, judge};
use super::{BREAK, Held, LOCK, held, take};
use crate::maildir::error::Result;
use crate::maildir::files::{self, Dir, Stamp};
use crate::maildir::options::{Options, host_name};
use crate::sys::log::{Level, log};

/// What [`take_over`] did.
pub(super) enum Takeover {
    /// The lock is ours.
    Taken(Held),
    /// It may be free now.
    Changed,
    /// It is not stale, or somebody else is at it.
    No,
}

/// Makes a stale lock ours under the exclusive right to do so. It is never free in between: until what its old
/// holder had ready is removed nobody else may begin.
pub(super) fn take_over(tmp: &Dir, options: &Options) -> Result<Takeover> {
    let Some(breaker) = take(tmp, BREAK, options)? else {
        // Somebody else is at it, or died at it.
        if let Verdict::Stale(stamp, _) = judge(tmp, BREAK, options)? {
            remove_if(tmp, BREAK, stamp)?;
            return Ok(Takeover::Changed);
        }
        return Ok(Takeover::No);
    };
    let result = match judge(tmp, LOCK, options) {
        Ok(Verdict::Stale(stamp, pid)) => replace_stale(tmp, options, stamp, pid),
        Ok(Verdict::Free) => Ok(Takeover::Changed),
        Ok(Verdict::Held) => Ok(Takeover::No),
        Err(error) => Err(error),
    };
    let ours = tmp
        .stat(BREAK)?
        .is_some_and(|stat| (stat.st_dev, stat.st_ino) == breaker.identity);
    let removed = if ours { tmp.remove(BREAK) } else { Ok(()) };
    held().remove(&breaker.identity);
    removed?;
    if matches!(result, Ok(Takeover::Taken(_))) {
        log(
            Level::Info,
            format_args!("removed the stale lock {}", tmp.path_of(LOCK).display()),
        );
    }
    result
}

/// Puts a lock of ours in the place of the stale one, which had that stamp and pid.
fn replace_stale(tmp: &Dir, options: &Options, stale: Stamp, pid: Option<u32>) -> Result<Takeover> {
    let (unique, file) = tmp.create_unique("courierlock", &options.host, 0o644)?;
    let unique = unique.tmp();
    let content = format!("{}:{}", std::process::id(), host_name());
    let replaced = files::write_all(&file, content.as_bytes(), false, &tmp.path_of(&unique))
        .and_then(|stat| {
            if tmp.stamp_of(LOCK)? != Some(stale) {
                return Ok(None);
            }
            let identity = (stat.st_dev, stat.st_ino);
            held().insert(identity);
            match tmp.replace(&unique, tmp, LOCK) {
                // Done, and only the answer is lost.
                Err(_) if tmp.is_on_network() && files::is_in_place(tmp, LOCK, &stat) => {}
                Ok(()) => {}
                Err(error) => {
                    held().remove(&identity);
                    return Err(error);
                }
            }
            Ok(Some(identity))
        });
    let Ok(Some(identity)) = replaced else {
        tmp.remove(&unique)?;
        return replaced.map(|_| Takeover::Changed);
    };
    let lock = Held {
        identity,
        _file: file,
    };
    if let Some(pid) = pid {
        remove_staged(tmp, pid);
    }
    Ok(Takeover::Taken(lock))
}

/// Removes the files that a process had ready to put in place under its lock. A process with that pid on another
/// host may lose one too: it then does its work again, as the stopped one does.
fn remove_staged(tmp: &Dir, pid: u32) {
    let remove = |dir: &Dir, dot: bool| {
        let mut names = Vec::new();
        let listed = dir.list(|entry| {
            if is_staged(entry.name, pid) && entry.name.starts_with(b".") == dot {
                names.push(entry.name.to_vec());
            }
        });
        // Nothing more can be done than to try: the process is stopped or dead in all likelihood.
        let removed = names.iter().try_for_each(|name| dir.remove(name));
        if let Err(error) = listed.and(removed) {
            log(Level::Err, format_args!("{error}"));
        }
    };
    remove(tmp, false);
    if let Ok(keywords) = tmp.open_dir(b"../courierimapkeywords") {
        remove(&keywords, true);
    }
}

/// True for the name of a file that this program made under a folder's lock: `...P<pid>_<purpose><number>...`.
fn is_staged(name: &[u8], pid: u32) -> bool {
    let middle = format!("P{pid}_");
    memchr::memmem::find(name, middle.as_bytes())
        .and_then(|start| name.get(start + middle.len()..))
        .is_some_and(|rest| {
            ["imapuid", "keywords", "pop3"].iter().any(|purpose| {
                rest.strip_prefix(purpose.as_bytes())
                    .and_then(<[u8]>::first)
                    .is_some_and(u8::is_ascii_digit)
            })
        })
}

/// Removes `name` if it is still the very file that was judged; times included, as inode numbers are used again.
fn remove_if(tmp: &Dir, name: &[u8], stamp: Stamp) -> Result<()> {
    if tmp.stamp_of(name)? == Some(stamp) {
        tmp.remove(name)?;
    }
    Ok(())
}
