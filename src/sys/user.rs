//! Who a name is: lookups in the system's user database (through NSS, so they may do anything the administrator
//! configured; never call them in a confined process).

use std::ffi::CString;
use std::io;

use nix::unistd::{Gid, User};

use super::process::Identity;

/// Which groups an identity brings along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups {
    /// The primary group of the system database alone.
    Primary,
    /// The primary group and all supplementary groups of the system database.
    All,
    /// This group and all supplementary groups of the system database.
    AllWith(Gid),
}

/// The identity of system user `name`.
///
/// # Errors
/// Those of the lookup, or a name with a NUL or not in UTF-8; `Ok(None)` when there is no such user.
pub fn identity(name: &[u8], groups: Groups) -> io::Result<Option<Identity>> {
    let text = std::str::from_utf8(name)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let Some(user) = User::from_name(text)? else {
        return Ok(None);
    };
    Ok(Some(Identity {
        uid: user.uid,
        gid: match groups {
            Groups::Primary | Groups::All => user.gid,
            Groups::AllWith(gid) => gid,
        },
        name: match groups {
            Groups::Primary => None,
            Groups::All | Groups::AllWith(_) => Some(CString::new(name)?),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_the_groups_that_were_asked_for() {
        let root = identity(b"root", Groups::Primary).unwrap().unwrap();
        assert!(root.uid.is_root() && root.name.is_none());
        let with = identity(b"root", Groups::AllWith(Gid::from_raw(7)))
            .unwrap()
            .unwrap();
        assert_eq!(with.gid.as_raw(), 7);
        assert_eq!(with.name.as_deref(), Some(c"root"));
        assert_eq!(identity(b"no-such-user-here", Groups::All).unwrap(), None);
    }
}
