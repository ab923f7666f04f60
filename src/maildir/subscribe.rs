//! `courierimapsubscribed`: one full folder name a line, in order of subscription (contract: maildir 6). Changed
//! under the root's lock, so that no change is lost; names of other namespaces (`#shared...`) are kept as they are.

use super::error::{Error, ErrorKind, Result};
use super::files;
use super::lock::Lock;
use super::name::FolderName;
use super::options::Sync;
use super::root::Maildir;

const FILE: &[u8] = b"courierimapsubscribed";
/// Largest file read.
const LIMIT: u64 = 16 << 20;

impl Maildir {
    /// The subscribed names in full form (`INBOX.Sent`, `#shared.mary.Pub`), in the file's order. They need not
    /// exist, and may be anything that somebody wrote there.
    ///
    /// # Errors
    /// An unreadable file; a missing one is an empty list.
    pub fn subscriptions(&self) -> Result<Vec<Vec<u8>>> {
        let Some((bytes, _)) = self.root.dir.read(FILE, LIMIT)? else {
            return Ok(Vec::new());
        };
        Ok(bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(<[u8]>::to_vec)
            .collect())
    }

    /// Adds a name in full form, as given; nothing happens if it is there already.
    ///
    /// # Errors
    /// `InvalidName` for an empty name or one with a line feed; otherwise why the file cannot be replaced.
    pub fn subscribe(&self, name: &[u8]) -> Result<()> {
        if name.is_empty() || memchr::memchr2(b'\n', 0, name).is_some() {
            return Err(Error::new(
                ErrorKind::InvalidName,
                "subscribe",
                &self.root.dir.path_of(FILE),
            ));
        }
        let _lock = Lock::acquire(&self.root.tmp, &self.root.options)?;
        let mut names = self.subscriptions()?;
        if names.iter().any(|line| same(line, name)) {
            return Ok(());
        }
        names.push(name.to_vec());
        self.write_subscriptions(&names)
    }

    /// Removes a name in full form. Whether it was there.
    ///
    /// # Errors
    /// Why the file cannot be read or replaced.
    pub fn unsubscribe(&self, name: &[u8]) -> Result<bool> {
        let _lock = Lock::acquire(&self.root.tmp, &self.root.options)?;
        let mut names = self.subscriptions()?;
        let before = names.len();
        names.retain(|line| !same(line, name));
        if names.len() == before {
            return Ok(false);
        }
        self.write_subscriptions(&names)?;
        Ok(true)
    }

    /// Lets the subscriptions of a renamed folder and those below follow. The caller holds the root's lock.
    pub(crate) fn rename_subscriptions(&self, from: &FolderName, to: &FolderName) -> Result<()> {
        let mut names = self.subscriptions()?;
        let mut changed = false;
        for line in &mut names {
            if let Ok(name) = FolderName::from_full(line) {
                if let Some(Ok(new)) = name.renamed(from, to) {
                    *line = new.to_full();
                    changed = true;
                }
            }
        }
        if !changed {
            return Ok(());
        }
        let mut kept: Vec<Vec<u8>> = Vec::with_capacity(names.len());
        for name in names {
            if !kept.iter().any(|line| same(line, &name)) {
                kept.push(name);
            }
        }
        self.write_subscriptions(&kept)
    }

    fn write_subscriptions(&self, names: &[Vec<u8>]) -> Result<()> {
        let mut content = Vec::new();
        for name in names {
            content.extend_from_slice(name);
            content.push(b'\n');
        }
        files::replace_file(
            &self.root.tmp,
            &self.root.dir,
            FILE,
            &content,
            "imapsubscribe",
            &self.root.options.host,
            self.root.options.sync != Sync::Never,
        )?;
        Ok(())
    }
}

/// Exact comparison, but for a leading INBOX in any case.
fn same(a: &[u8], b: &[u8]) -> bool {
    match (FolderName::from_full(a), FolderName::from_full(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}
