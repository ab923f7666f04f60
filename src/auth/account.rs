//! What authdaemond says about an account: the lines of its reply (contract: authdaemon, "Success reply").

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nix::unistd::{Gid, Uid};

use super::system::{self, Groups};
use crate::sys::log::reason;
use crate::sys::process::Identity;

/// A password or hash: shown as `…` by `{:?}`, so that no log line ever carries one by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Whose uid a session takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A system account: uid and supplementary groups come from the system's databases.
    System(Vec<u8>),
    /// A virtual account with this uid and no other groups than its gid.
    Virtual(u32),
}

/// One account, as replied to a login or a lookup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountInfo {
    /// `USERNAME` or `UID`; USERNAME wins when both are there. `None` is a fault of the back end.
    pub owner: Option<Owner>,
    /// `GID`.
    pub gid: Option<u32>,
    /// `HOME`: the home directory.
    pub home: Option<PathBuf>,
    /// `ADDRESS`: the account's identity, what sessions call AUTHENTICATED.
    pub address: Option<Vec<u8>>,
    /// `NAME`: full name.
    pub name: Option<Vec<u8>>,
    /// `MAILDIR`: relative to the home directory or absolute. May be empty, which means the default.
    pub maildir: Option<OsString>,
    /// `QUOTA`: maildir quota text.
    pub quota: Option<Vec<u8>>,
    /// `PASSWD`: the stored hash.
    pub hash: Option<Secret>,
    /// `PASSWD2`: the clear password.
    pub clear: Option<Secret>,
    /// `OPTIONS`: account options, see [`super::options`].
    pub options: Option<Vec<u8>>,
}

/// Why an account cannot be turned into a process identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityError {
    /// The reply has neither a user name nor a uid, or no gid.
    Missing,
    /// uid 0 or gid 0.
    Root,
    /// The system account does not exist (any more).
    Unknown,
    /// The system's user database could not be asked.
    Lookup(String),
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("No UID/GID!!"),
            Self::Root => f.write_str("uid 0 or gid 0 refused"),
            Self::Unknown => f.write_str("no such system account"),
            Self::Lookup(reason) => write!(f, "looking up the system account: {reason}"),
        }
    }
}

impl std::error::Error for IdentityError {}

impl AccountInfo {
    /// Reads the lines of a reply, without the final `.`. Lines in any order, unknown keys and lines without `=`
    /// ignored, the last of several equal keys taken.
    ///
    /// `None` when a uid or gid is not a number below 2^32 - 1: such a reply must not be acted upon.
    pub fn parse(lines: &[u8]) -> Option<Self> {
        let mut info = Self::default();
        let mut uid = None;
        let mut username = None;
        for line in lines.split(|&byte| byte == b'\n') {
            let Some(equals) = line.iter().position(|&byte| byte == b'=') else {
                continue;
            };
            let (key, value) = line.split_at(equals);
            let value = value.get(1..).unwrap_or_default().to_vec();
            match key {
                b"USERNAME" => username = Some(value),
                b"UID" => uid = Some(id(&value)?),
                b"GID" => info.gid = Some(id(&value)?),
                b"HOME" => info.home = Some(PathBuf::from(OsString::from_vec(value))),
                b"ADDRESS" => info.address = Some(value),
                b"NAME" => info.name = Some(value),
                b"MAILDIR" => info.maildir = Some(OsString::from_vec(value)),
                b"QUOTA" => info.quota = Some(value),
                b"PASSWD" => info.hash = Some(Secret(value)),
                b"PASSWD2" => info.clear = Some(Secret(value)),
                b"OPTIONS" => info.options = Some(value),
                _ => {}
            }
        }
        info.owner = username
            .map(Owner::System)
            .or_else(|| uid.map(Owner::Virtual));
        Some(info)
    }

    /// Who the session becomes: a system account's uid and groups are looked up now, a virtual one's are taken as
    /// they stand.
    ///
    /// # Errors
    /// [`IdentityError`]; never an identity with uid 0 or gid 0.
    pub fn identity(&self) -> Result<Identity, IdentityError> {
        let (Some(owner), Some(gid)) = (&self.owner, self.gid) else {
            return Err(IdentityError::Missing);
        };
        let identity = match owner {
            Owner::Virtual(uid) => Identity {
                uid: Uid::from_raw(*uid),
                gid: Gid::from_raw(gid),
                groups: None,
            },
            Owner::System(name) => {
                std::str::from_utf8(name).map_err(|_| IdentityError::Unknown)?;
                system::identity(name, Groups::AllWith(Gid::from_raw(gid)))
                    .map_err(|error| IdentityError::Lookup(reason(&error)))?
                    .ok_or(IdentityError::Unknown)?
            }
        };
        if identity.uid.is_root() || gid == 0 {
            return Err(IdentityError::Root);
        }
        Ok(identity)
    }

    /// The value of an account option; `Some("")` for an option without a value.
    pub fn option(&self, keyword: &[u8]) -> Option<&[u8]> {
        super::options::find(self.options.as_deref().unwrap_or_default(), keyword)
    }
}

/// A uid or gid: decimal digits only, and not -1, which the set*id calls take for "leave as it is".
fn id(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number != u32::MAX).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_in_any_order_and_the_last_duplicate_wins() {
        let info = AccountInfo::parse(
            b"GID=5000\nHOME=/x\nnonsense\nHOME=/srv/mail/alice\nFUTURE=1\nUID=5001\nMAILDIR=\n\
              OPTIONS=disableimap,group=a=b\nADDRESS=alice\n",
        )
        .unwrap();
        assert_eq!(info.owner, Some(Owner::Virtual(5001)));
        assert_eq!(info.gid, Some(5000));
        assert_eq!(info.home, Some("/srv/mail/alice".into()));
        assert_eq!(info.maildir, Some("".into()));
        assert_eq!(info.option(b"group"), Some(&b"a=b"[..]));
        assert_eq!(info.option(b"disableimap"), Some(&b""[..]));
        assert_eq!(info.option(b"disable"), None);
    }

    #[test]
    fn a_uid_that_is_no_number_spoils_the_reply() {
        for uid in ["", "x", "12x", "-1", "+5", "4294967295", "4294967296"] {
            let reply = format!("UID={uid}\nGID=1\n");
            assert_eq!(AccountInfo::parse(reply.as_bytes()), None, "{uid}");
        }
    }

    #[test]
    fn root_has_no_identity() {
        crate::sys::user::set_ask(crate::sys::user::directly);
        for reply in [
            "UID=0\nGID=5",
            "UID=5\nGID=0",
            "USERNAME=root\nGID=5",
            "USERNAME=root\nUID=5\nGID=5",
        ] {
            let info = AccountInfo::parse(reply.as_bytes()).unwrap();
            assert_eq!(info.identity(), Err(IdentityError::Root), "{reply}");
        }
        let info = AccountInfo::parse(b"HOME=/x").unwrap();
        assert_eq!(info.identity(), Err(IdentityError::Missing));
    }

    #[test]
    fn secrets_are_not_shown() {
        let info = AccountInfo::parse(b"PASSWD=hunter2\nPASSWD2=hunter2").unwrap();
        assert!(!format!("{info:?}").contains("hunter2"));
    }
}
