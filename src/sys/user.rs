//! The system's user database, asked through NSS, which may do anything the administrator configured: load libraries,
//! ask the network. Programs that are started for every connection do not call this themselves, see
//! [`crate::auth::system`].

use std::ffi::CString;
use std::io;
use std::sync::OnceLock;

use nix::unistd::{Gid, Uid, User};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query<'a> {
    /// The user of this name, with the groups that he has beside this one, or beside his own.
    Name(&'a [u8], Option<Gid>),
    /// The user with this number.
    Uid(Uid),
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Login name.
    pub name: String,
    /// Number.
    pub uid: Uid,
    /// Primary group.
    pub gid: Gid,
    /// The group asked for, or the primary one, and the supplementary groups.
    pub groups: Vec<Gid>,
}

/// How the database is asked; `None` when it has no such user.
pub type Ask = fn(Query<'_>) -> io::Result<Option<Entry>>;

static ASK: OnceLock<Ask> = OnceLock::new();

/// Chooses how this program asks, if that has not been chosen: programs that are linked to the C library dynamically
/// ask [`directly`].
pub fn set_ask(ask: Ask) {
    ASK.get_or_init(|| ask);
}

/// What was chosen.
pub fn chosen() -> Option<Ask> {
    ASK.get().copied()
}

/// Asks the C library.
///
/// # Errors
/// Those of the lookup, or a name with a NUL or not in UTF-8.
pub fn directly(query: Query<'_>) -> io::Result<Option<Entry>> {
    let (user, gid) = match query {
        Query::Name(name, gid) => {
            let text = std::str::from_utf8(name)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            (User::from_name(text)?, gid)
        }
        Query::Uid(uid) => (User::from_uid(uid)?, None),
    };
    let Some(user) = user else {
        return Ok(None);
    };
    let name = CString::new(user.name.as_str())?;
    let groups = nix::unistd::getgrouplist(&name, gid.unwrap_or(user.gid))?;
    Ok(Some(Entry {
        name: user.name,
        uid: user.uid,
        gid: user.gid,
        groups,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_with_the_groups_that_were_asked_for() {
        let root = directly(Query::Name(b"root", None)).unwrap().unwrap();
        assert!(root.uid.is_root() && root.groups.contains(&root.gid));
        let seven = Gid::from_raw(7);
        let with = directly(Query::Name(b"root", Some(seven))).unwrap();
        assert!(with.unwrap().groups.contains(&seven));
        let same = directly(Query::Uid(root.uid)).unwrap().unwrap();
        assert_eq!(same, root);
        assert_eq!(
            directly(Query::Name(b"no-such-user-here", None)).unwrap(),
            None
        );
        assert!(directly(Query::Name(b"a\xff", None)).is_err());
    }
}
