//! How full an account is, and when it was last told (contract: quota 3.1).

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::account::QuotaUse;
use crate::maildir::error::{Error, Result};
use crate::maildir::files;
use crate::maildir::root::Maildir;

/// Its time is that of the last warning.
const FILE: &[u8] = b"quotawarn";
/// Least time between two warnings.
const PAUSE: Duration = Duration::from_secs(86_400);
/// Above so many bytes the percentage is computed in units of 1024.
const LARGE: u64 = 20_000_000;

impl QuotaUse {
    /// How much of the limits is used, in percent, of the one that is nearer; 100 if one is exceeded.
    pub fn percent(&self) -> u64 {
        let percent = |used: u64, limit: u64| {
            if limit == 0 {
                return 0;
            }
            if used > limit {
                return 100;
            }
            let unit = if limit > LARGE { 1024 } else { 1 };
            (used / unit).saturating_mul(100) / (limit / unit)
        };
        percent(self.bytes, self.limits.bytes).max(percent(self.messages, self.limits.messages))
    }
}

impl Maildir {
    /// True, at most once in 24 hours: the account may be warned now.
    ///
    /// # Errors
    /// The file that remembers the time cannot be written.
    pub fn may_warn(&self) -> Result<bool> {
        let dir = &self.root.dir;
        if let Some((_, stat)) = dir.open_file(FILE)? {
            let age = SystemTime::now().duration_since(files::modified(&stat));
            if age.is_ok_and(|age| age < PAUSE) {
                return Ok(false);
            }
        }
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_TRUNC
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_CLOEXEC;
        let file = nix::fcntl::openat(dir, FILE, flags, Mode::from_bits_truncate(0o644))
            .map_err(|errno| dir.error("open", FILE, errno))?;
        std::fs::File::from(file)
            .write_all(b"\n")
            .map_err(|error| Error::std("write", &dir.path_of(FILE), &error))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maildir::QuotaLimits;
    use crate::maildir::fixture::Mailbox;

    #[test]
    fn percentages() {
        let percent = |limits: &[u8], bytes, messages| {
            QuotaUse {
                limits: QuotaLimits::parse(limits),
                bytes,
                messages,
            }
            .percent()
        };
        assert_eq!(percent(b"1000S,10C", 450, 5), 50);
        assert_eq!(percent(b"1000S,10C", 999, 5), 99);
        assert_eq!(percent(b"1000S", 1001, 5), 100);
        assert_eq!(percent(b"30000000S", 15_000_000, 5), 50);
        assert_eq!(percent(b"7C", 1_000_000, 0), 0);
    }

    #[test]
    fn one_warning_a_day() {
        let mailbox = Mailbox::new();
        assert!(mailbox.maildir.may_warn().unwrap());
        assert!(!mailbox.maildir.may_warn().unwrap());
        mailbox.age("quotawarn", Duration::from_secs(86_500));
        assert!(mailbox.maildir.may_warn().unwrap());
        assert_eq!(
            std::fs::metadata(mailbox.path().join("quotawarn"))
                .unwrap()
                .len(),
            1
        );
    }
}
