//! The list of all accounts (contract: authdaemon, ENUMERATE).

use std::io;
use std::time::{Duration, Instant};

use super::client::{Client, Failure};
use super::wire;

/// Longest line of the list; a longer one is skipped.
const LINE_MAX: usize = 8191;
/// Limit for each wait for more of the list.
const WAIT: Duration = Duration::from_secs(60);

/// One account of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a> {
    /// The account's name.
    pub name: &'a [u8],
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
    /// Home directory.
    pub home: &'a [u8],
    /// Maildir, relative to the home directory or absolute; may be empty.
    pub maildir: &'a [u8],
    /// Account options; may be empty.
    pub options: &'a [u8],
}

impl<'a> Listed<'a> {
    /// Reads one line. `None` for blank lines, comments, lines with too few fields or bad numbers, and accounts
    /// with uid 0 or gid 0, which nobody may become.
    // COMPAT: the line ends at the first `#`, as Courier's readers cut it.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.split(|&byte| byte == b'#').next()?;
        let mut fields = line.split(|&byte| byte == b'\t');
        let number = |field: &[u8]| -> Option<u32> {
            let number = std::str::from_utf8(field).ok()?.parse().ok()?;
            (number != 0).then_some(number)
        };
        Some(Self {
            name: fields.next().filter(|name| !name.is_empty())?,
            uid: number(fields.next()?)?,
            gid: number(fields.next()?)?,
            home: fields.next()?,
            maildir: fields.next().unwrap_or_default(),
            options: fields.next().unwrap_or_default(),
        })
    }
}

/// What a caller of [`Client::enumerate`] may run into.
#[derive(Debug)]
pub enum EnumerateError {
    /// The daemon's side; [`Failure::NoReply`] when the list broke off, so that accounts may be missing.
    Daemon(Failure),
    /// What the caller's own function returned.
    Caller(io::Error),
}

impl Client {
    /// Calls `each` for every account in the daemon's list.
    ///
    /// # Errors
    /// [`EnumerateError`]; the list is complete only if there is none.
    pub fn enumerate(
        &self,
        mut each: impl FnMut(Listed<'_>) -> io::Result<()>,
    ) -> Result<(), EnumerateError> {
        let daemon = EnumerateError::Daemon;
        let socket = wire::open(&self.socket, self.timeouts.connect)
            .map_err(|error| daemon(Failure::Connect(error)))?;
        let exchange = |error| daemon(Failure::Exchange(error));
        wire::write(&socket, b"ENUMERATE\n", self.timeouts.write).map_err(exchange)?;
        let mut buffer = vec![0_u8; 16 * 1024];
        let mut line = Vec::new();
        // Set while the rest of an overlong line goes by.
        let mut skipping = false;
        loop {
            let count =
                wire::read(&socket, &mut buffer, Instant::now() + WAIT).map_err(exchange)?;
            if count == 0 {
                return Err(daemon(Failure::NoReply));
            }
            let mut rest = buffer.get(..count).unwrap_or_default();
            while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let (head, tail) = rest.split_at(end);
                rest = tail.get(1..).unwrap_or_default();
                line.extend_from_slice(head);
                if !skipping && line == b"." {
                    return Ok(());
                }
                if !skipping && line.len() <= LINE_MAX {
                    if let Some(listed) = Listed::parse(&line) {
                        each(listed).map_err(EnumerateError::Caller)?;
                    }
                }
                line.clear();
                skipping = false;
            }
            if line.len() + rest.len() > LINE_MAX {
                line.clear();
                skipping = true;
            } else if !skipping {
                line.extend_from_slice(rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_and_without_the_later_fields() {
        let listed =
            Listed::parse(b"al ice\t5000\t5001\t/srv/a\tMaildir\tdisableshared=1").unwrap();
        assert_eq!(listed.name, b"al ice");
        assert_eq!((listed.uid, listed.gid), (5000, 5001));
        assert_eq!(listed.maildir, b"Maildir");
        assert_eq!(listed.options, b"disableshared=1");
        assert_eq!(Listed::parse(b"a\t1\t2\t/h").unwrap().maildir, b"");
    }

    #[test]
    fn headings_and_accounts_that_nobody_may_be_are_left_out() {
        for line in [
            "",
            "# authuserdb",
            "a#b\t1\t1\t/h",
            "a\t0\t1\t/h",
            "a\t1\t0\t/h",
            "a\tx\t1\t/h",
            "\t1\t1\t/h",
            "a\t1",
        ] {
            assert_eq!(Listed::parse(line.as_bytes()), None, "{line}");
        }
    }
}
