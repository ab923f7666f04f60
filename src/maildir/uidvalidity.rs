//! New UIDVALIDITY values (architecture 4.3): above every value that a mailbox of this account ever had, so that a
//! mailbox created anew under an old name is never taken for the old one.
//!
//! The counter is `courierimapuidvalidity` in the root: the highest value given, in decimal. It is changed under the
//! root's lock.

use super::error::{Error, Result};
use super::files;
use super::lock::Lock;
use super::options::Sync;
use super::root::Root;

const COUNTER: &[u8] = b"courierimapuidvalidity";
/// The original counts from here instead of 1970.
const EPOCH: u64 = 1_000_000_000;

impl Root {
    /// A value never used before: max(server time − 10^9, counter + 1). `locked`: the caller holds the root's lock.
    pub(crate) fn new_uid_validity(&self, locked: bool) -> Result<u32> {
        let _lock = match locked {
            true => None,
            false => Some(Lock::acquire(&self.tmp, &self.options)?),
        };
        let now = self.server_time()?;
        let value = now
            .saturating_sub(EPOCH)
            .max(u64::from(self.uid_validity_counter()) + 1);
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        self.write_counter(value)?;
        Ok(value)
    }

    /// Makes sure that later values are above `value`. The caller holds the root's lock.
    pub(crate) fn raise_uid_validity(&self, value: u32) -> Result<()> {
        if self.uid_validity_counter() >= value {
            return Ok(());
        }
        self.write_counter(value)
    }

    fn write_counter(&self, value: u32) -> Result<()> {
        files::replace_file(
            &self.tmp,
            &self.dir,
            COUNTER,
            format!("{value}\n").as_bytes(),
            "imapuid",
            &self.options.host,
            self.options.sync != Sync::Never,
        )?;
        Ok(())
    }

    /// The counter; 0 if it is missing or makes no sense: the time alone decides then, as with the original.
    fn uid_validity_counter(&self) -> u32 {
        match self.dir.read(COUNTER, 64) {
            Ok(Some((bytes, _))) => std::str::from_utf8(bytes.trim_ascii())
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            _ => 0,
        }
    }

    /// Seconds since 1970 by the file server's clock.
    fn server_time(&self) -> Result<u64> {
        let (name, file) = self
            .tmp
            .create_unique("imapuid", &self.options.host, 0o600)?;
        let stat = nix::sys::stat::fstat(&file)
            .map_err(|errno| Error::io("stat", &self.tmp.path_of(&name.tmp()), errno));
        self.tmp.remove(&name.tmp())?;
        Ok(u64::try_from(stat?.st_mtime).unwrap_or(0))
    }
}
