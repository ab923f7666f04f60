//! `-user` and `-group` of couriertcpd and courierlogger (contract: couriertcpd 1.1).

use std::ffi::CString;
use std::fmt;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};

/// Who the process becomes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    user: Option<Uid>,
    group: Option<Gid>,
    /// Whose supplementary groups to take; without it the group list is one group.
    name: Option<CString>,
}

/// Why that is not possible; the text is what the original prints.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// No such group.
    Group(String),
    /// No such user; with the reason when there is a better one.
    User(String, Option<Errno>),
    /// The named call failed.
    Call(&'static str, Errno),
    /// Root could be regained.
    Regained,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name) => write!(f, "Group not found: {name}"),
            Self::User(name, None) => write!(f, "getpwnam: {name}: No such user"),
            Self::User(name, Some(errno)) => write!(f, "getpwnam: {name}: {}", errno.desc()),
            Self::Call(call, errno) => write!(f, "{call}: {}", errno.desc()),
            Self::Regained => write!(f, "setuid: privileges could be regained"),
        }
    }
}

impl std::error::Error for Error {}

impl Identity {
    /// Looks the names up: a number or a name each.
    ///
    /// # Errors
    /// [`Error::Group`], [`Error::User`].
    pub fn resolve(user: Option<&str>, group: Option<&str>) -> Result<Self, Error> {
        let mut identity = Self::default();
        if let Some(group) = group.filter(|group| !group.is_empty()) {
            identity.group = Some(match group.parse() {
                Ok(number) => Gid::from_raw(number),
                Err(_) => {
                    Group::from_name(group)
                        .ok()
                        .flatten()
                        .ok_or_else(|| Error::Group(group.into()))?
                        .gid
                }
            });
        }
        if let Some(user) = user.filter(|user| !user.is_empty()) {
            if let Ok(number) = user.parse() {
                identity.user = Some(Uid::from_raw(number));
            } else {
                let entry = User::from_name(user)
                    .map_err(|errno| Error::User(user.into(), Some(errno)))?
                    .ok_or_else(|| Error::User(user.into(), None))?;
                identity.user = Some(entry.uid);
                identity.group = identity.group.or(Some(entry.gid));
                identity.name = CString::new(entry.name).ok();
            }
        }
        Ok(identity)
    }

    /// Becomes it, groups first. Without root only a process that already is it passes.
    ///
    /// # Errors
    /// [`Error::Call`], [`Error::Regained`]; the process may be half-way and must end.
    pub fn assume(&self) -> Result<(), Error> {
        if self.user.is_none() && self.group.is_none() {
            return Ok(());
        }
        let call = |name| move |errno| Error::Call(name, errno);
        let root = nix::unistd::geteuid().is_root();
        let group = self.group.unwrap_or_else(nix::unistd::getgid);
        if self.group.is_some() {
            nix::unistd::setgid(group).map_err(call("setgid"))?;
        }
        if root {
            match &self.name {
                Some(name) => nix::unistd::initgroups(name, group).map_err(call("initgroups"))?,
                None => nix::unistd::setgroups(&[group]).map_err(call("setgroups"))?,
            }
        }
        if let Some(user) = self.user {
            nix::unistd::setuid(user).map_err(call("setuid"))?;
            if !user.is_root() && nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
                return Err(Error::Regained);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_understood() {
        let root = Identity::resolve(Some("root"), None).unwrap();
        assert_eq!(root.user, Some(Uid::from_raw(0)));
        assert_eq!(root.group, Some(Gid::from_raw(0)));
        let number = Identity::resolve(Some("4711"), Some("12")).unwrap();
        assert_eq!(number.user, Some(Uid::from_raw(4711)));
        assert_eq!(number.group, Some(Gid::from_raw(12)));
        assert_eq!(number.name, None);
        assert_eq!(Identity::resolve(None, None).unwrap(), Identity::default());
    }

    #[test]
    fn unknown_names_are_reported_in_the_original_words() {
        assert_eq!(
            Identity::resolve(None, Some("no such"))
                .unwrap_err()
                .to_string(),
            "Group not found: no such"
        );
        assert!(
            Identity::resolve(Some("no such"), None)
                .unwrap_err()
                .to_string()
                .starts_with("getpwnam: ")
        );
    }
}
