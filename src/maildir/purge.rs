//! Removing what was left behind in `tmp`, and old messages from trash folders (contract: maildir 4, 11).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::stat::FileStat;

use super::error::Result;
use super::filename;
use super::folder::{Folder, Inner};
use super::quota::{self, Amount};
use super::root::remove_tree;
use crate::sys::dir::Kind;

/// Age by ctime at which a file in `tmp` is a leftover.
const TMP_AGE: Duration = Duration::from_secs(36 * 3600);

/// True if the inode has not changed for longer than `age`.
fn is_older(stat: &FileStat, age: Duration) -> bool {
    let changed = UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_ctime).unwrap_or(0));
    SystemTime::now()
        .duration_since(changed)
        .is_ok_and(|passed| passed > age)
}

/// Removes leftovers from the folder's `tmp`. Best effort: nothing depends on it.
pub(crate) fn tmp(inner: &Inner) {
    let mut names = Vec::new();
    // An unreadable tmp shows itself where it is needed.
    let _ = inner.tmp.list(|entry| {
        if !entry.name.starts_with(b".") {
            names.push((entry.name.to_vec(), entry.kind));
        }
    });
    for (name, kind) in names {
        let Ok(Some(stat)) = inner.tmp.stat(&name) else {
            continue;
        };
        if !is_older(&stat, TMP_AGE) {
            continue;
        }
        // Directories: folders half made or half removed.
        let _ = match kind {
            Kind::Directory => remove_tree(&inner.tmp, &name),
            _ => inner.tmp.remove(&name),
        };
    }
}

impl Folder {
    /// Removes the messages whose ctime is older than `days` (at least 1) days, in `cur` and `new`, as
    /// `IMAP_EMPTYTRASH` does at login and logout (contract: maildir 11). Returns how many. They leave the quota.
    ///
    /// # Errors
    /// A directory that cannot be read. Files that cannot be removed are passed over.
    pub fn purge_older(&self, days: u32) -> Result<usize> {
        let age = Duration::from_secs(u64::from(days.max(1)) * 86400);
        let mut removed = 0;
        let mut left = Amount::default();
        let mut listed = Ok(());
        for dir in [&self.inner.new, &self.inner.cur] {
            let mut names = Vec::new();
            listed = dir.list(|entry| {
                if !entry.name.starts_with(b".") && entry.kind != Kind::Directory {
                    names.push(entry.name.to_vec());
                }
            });
            if listed.is_err() {
                break;
            }
            for name in names {
                if let Ok(Some(stat)) = dir.stat(&name) {
                    if is_older(&stat, age) && dir.unlink(&name).is_ok() {
                        removed += 1;
                        if quota::counts(self.name(), filename::flags(&name)) {
                            let size = u64::try_from(stat.st_size).unwrap_or(0);
                            left.subtract(filename::stored_size(&name).unwrap_or(size));
                        }
                    }
                }
            }
        }
        self.inner.root.settle(left);
        listed.map(|()| removed)
    }
}
