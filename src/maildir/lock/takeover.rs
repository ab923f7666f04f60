//! Taking over a stale lock (shared-storage 3).

use super::judge::{self, Verdict, judge};
use super::{BREAK, Held, LOCK, discard, give_back, held, is_file, make, take};
use crate::maildir::error::Result;
use crate::maildir::files::{Dir, Stamp};
use crate::maildir::keyword_files;
use crate::maildir::options::Options;
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
        if let Verdict::Stale(stamp) = judge(tmp, BREAK, options)? {
            remove_if(tmp, BREAK, stamp)?;
            return Ok(Takeover::Changed);
        }
        return Ok(Takeover::No);
    };
    let result = match judge(tmp, LOCK, options) {
        Ok(Verdict::Stale(stamp)) => replace_stale(tmp, options, stamp),
        Ok(Verdict::Free) => Ok(Takeover::Changed),
        Ok(Verdict::Held) => Ok(Takeover::No),
        Err(error) => Err(error),
    };
    let removed = give_back(tmp, BREAK, breaker.identity);
    if let (Err(error), Ok(_)) = (&removed, &result) {
        // It is nobody's now: stale when this process ends, or old.
        log(Level::Err, format_args!("{error}"));
    }
    if matches!(result, Ok(Takeover::Taken(_))) {
        log(
            Level::Info,
            format_args!("removed the stale lock {}", tmp.path_of(LOCK).display()),
        );
    }
    result
}

/// Puts a lock of ours in the place of the stale one, which had that stamp.
fn replace_stale(tmp: &Dir, options: &Options, stale: Stamp) -> Result<Takeover> {
    let (unique, file, stat) = make(tmp, options)?;
    let identity = (stat.st_dev, stat.st_ino);
    if judge::stamp(tmp, LOCK)? != Some(stale) {
        discard(tmp, &unique);
        return Ok(Takeover::Changed);
    }
    held().insert(identity);
    if let Err(error) = tmp.replace(&unique, tmp, LOCK) {
        // It may be done, and only the answer be lost.
        let done = tmp.is_on_network() && is_file(tmp, LOCK, identity).unwrap_or(false);
        if !done {
            held().remove(&identity);
            discard(tmp, &unique);
            return Err(error);
        }
    }
    let lock = Held {
        identity,
        _file: file,
    };
    remove_staged(tmp, options);
    Ok(Takeover::Taken(lock))
}

/// Removes the files that others had ready to put in place under this lock: its old holder, and those before, whom
/// that one may have taken it from without coming so far as this.
fn remove_staged(tmp: &Dir, options: &Options) {
    let remove = |dir: &Dir, dot: bool| {
        let mut names = Vec::new();
        let listed = dir.list(|entry| {
            if is_staged(entry.name) && entry.name.starts_with(b".") == dot {
                names.push(entry.name.to_vec());
            }
        });
        // Nothing more can be done than to try: those processes are stopped or dead in all likelihood.
        let removed = names.iter().try_for_each(|name| dir.remove(name));
        if let Err(error) = listed.and(removed) {
            log(Level::Err, format_args!("{error}"));
        }
    };
    remove(tmp, false);
    if let Ok(keywords) = tmp.open_dir(b"../courierimapkeywords") {
        if keywords.is_on_network() {
            // This host may remember a listing from before they were made.
            if let Err(error) = keyword_files::refresh(&keywords, options) {
                log(Level::Err, format_args!("{error}"));
            }
        }
        remove(&keywords, true);
    }
}

/// True for the name of a file that this program made under a folder's lock: `...P<pid>_<purpose><number>...`.
fn is_staged(name: &[u8]) -> bool {
    ["_imapuid", "_keywords", "_pop3"].iter().any(|purpose| {
        let Some(start) = memchr::memmem::find(name, purpose.as_bytes()) else {
            return false;
        };
        let (before, rest) = name.split_at(start);
        let number = rest.get(purpose.len()..).and_then(<[u8]>::first);
        let mut pid = before.rsplitn(2, |byte| *byte == b'P');
        number.is_some_and(u8::is_ascii_digit)
            && pid
                .next()
                .is_some_and(|pid| !pid.is_empty() && pid.iter().all(u8::is_ascii_digit))
            && pid.next().is_some()
    })
}

/// Removes `name` if it is still the very file that was judged; times included, as inode numbers are used again.
fn remove_if(tmp: &Dir, name: &[u8], stamp: Stamp) -> Result<()> {
    if judge::stamp(tmp, name)? == Some(stamp) {
        tmp.remove(name)?;
    }
    Ok(())
}
