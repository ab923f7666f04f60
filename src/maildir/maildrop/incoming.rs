//! What a session does to `tmp` and `new` before it reads `cur` (contract: pop3d 3).

use std::time::{Duration, SystemTime};

use nix::errno::Errno;

use crate::maildir::filename;
use crate::maildir::files::{self, Dir};
use crate::sys::dir::Kind;
use crate::sys::log::{Level, log};

/// Age by mtime at which a file in `tmp` is a leftover.
pub(super) const TMP_AGE: Duration = Duration::from_secs(48 * 3600);

/// Removes leftovers of interrupted deliveries. Best effort.
pub(super) fn purge(tmp: &Dir) {
    let mut names = Vec::new();
    // An unreadable tmp shows itself where it is needed.
    let _ = tmp.list(|entry| {
        if !entry.name.starts_with(b".") && entry.kind != Kind::Directory {
            names.push(entry.name.to_vec());
        }
    });
    for name in names {
        if let Ok(Some(stat)) = tmp.stat(&name) {
            let old = SystemTime::now()
                .duration_since(files::modified(&stat))
                .is_ok_and(|age| age > TMP_AGE);
            if old {
                // The next session tries again.
                let _ = tmp.remove(&name);
            }
        }
    }
}

/// Moves new mail to `cur`. Ends at the first failure, which is logged: the messages stay where they are.
pub(super) fn take_in(new: &Dir, cur: &Dir) {
    let mut names = Vec::new();
    if let Err(error) = new.list(|entry| {
        if !entry.name.starts_with(b".") && entry.kind != Kind::Directory {
            names.push(entry.name.to_vec());
        }
    }) {
        log(Level::Err, format_args!("{error}"));
        return;
    }
    for name in names {
        let target = if filename::has_info(&name) {
            name.clone()
        } else {
            let mut target = filename::base(&name).to_vec();
            target.extend_from_slice(b":2,");
            target
        };
        match new.rename_message(&name, cur, &target) {
            Ok(()) => {}
            // Another session moved it.
            Err(Errno::ENOENT) => {}
            Err(errno) => {
                let (from, to) = (new.path_of(&name), cur.path_of(&target));
                log(
                    Level::Err,
                    format_args!(
                        "rename({},{}) failed: {}",
                        from.display(),
                        to.display(),
                        errno.desc()
                    ),
                );
                return;
            }
        }
    }
}
