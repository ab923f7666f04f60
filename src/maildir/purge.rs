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
        self.purge_older_than(Duration::from_secs(u64::from(days.max(1)) * 86400))
    }

    fn purge_older_than(&self, age: Duration) -> Result<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maildir::QuotaLimits;
    use crate::maildir::fixture::Mailbox;
    use std::time::Instant;

    /// Purges until so many messages are gone: only the system sets the time that counts.
    fn purge(folder: &Folder, wanted: usize) {
        let end = Instant::now() + Duration::from_secs(20);
        let mut removed = 0;
        while removed < wanted {
            removed += folder.purge_older_than(Duration::from_millis(1)).unwrap();
            assert!(Instant::now() < end, "{removed} of {wanted}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(removed, wanted);
    }

    #[test]
    fn old_messages_go_and_leave_the_quota() {
        let mailbox = Mailbox::new();
        let (old, trash) = (mailbox.folder("Old"), mailbox.folder("Trash"));
        for folder in [".Old", ".Trash"] {
            mailbox.put(&format!("{folder}/cur/1.a:2,S"), "12345");
            mailbox.put(&format!("{folder}/cur/2.b:2,ST"), "123");
            mailbox.put(&format!("{folder}/new/3.c,S=7"), "");
        }
        mailbox
            .maildir
            .set_quota(QuotaLimits::parse(b"100S"))
            .unwrap();
        let counted = "100S\n          12            2\n";
        let file = || std::fs::read_to_string(mailbox.path().join("maildirsize")).unwrap();
        assert_eq!(file(), counted);
        // A day is not over yet.
        assert_eq!(old.purge_older(0).unwrap(), 0);
        purge(&trash, 3);
        assert_eq!(file(), counted);
        purge(&old, 3);
        let used = mailbox.maildir.quota().unwrap().unwrap();
        assert_eq!((used.bytes, used.messages), (0, 0));
    }
}
