//! Which names LIST and LSUB may show: those that exist, or are subscribed, and that the user has the right to see. Names
//! below `#shared.` only where a pattern begins with that (contract: shared-folders B2): looking for them costs a look
//! at the lists of all folders of every account there.

use std::collections::BTreeSet;

use courier::maildir::{AclReader, FolderName, Right};
use courier::text::pattern::Pattern;

use crate::folder::{BadName, Place, SHARED};
use crate::grammar::list::List;
use crate::reply::Reply;
use crate::session::Session;

/// The patterns of a command.
pub(super) struct Wanted {
    /// With the reference before them.
    pub(super) patterns: Vec<Pattern>,
    /// Some look for the user's own folders.
    own: bool,
    /// What the others begin with behind `#shared.`, up to their first wildcard.
    shared: Vec<Vec<u8>>,
}

impl Wanted {
    /// The patterns with the reference before them. One that is no name of any mailbox matches nothing.
    pub(super) fn new(session: &Session, list: &List) -> Self {
        let mut wanted = Self {
            patterns: Vec::new(),
            own: false,
            shared: Vec::new(),
        };
        let strip = |name: &str| name.strip_suffix('.').unwrap_or(name).to_owned();
        let Ok(reference) = session.decode_name(&list.reference) else {
            return wanted;
        };
        let reference = strip(&reference);
        for pattern in &list.patterns {
            let Ok(pattern) = session.decode_name(pattern) else {
                continue;
            };
            let pattern = strip(&pattern);
            let mut full = match (reference.is_empty(), pattern.is_empty()) {
                (true, _) => pattern,
                (false, true) => reference.clone(),
                (false, false) => format!("{reference}.{pattern}"),
            };
            // INBOX counts in any case.
            if let Some(inbox) = full.get_mut(..5) {
                if inbox.eq_ignore_ascii_case("INBOX") {
                    inbox.make_ascii_uppercase();
                }
            }
            match full.as_bytes().strip_prefix(SHARED) {
                Some(name) => {
                    let wildcard = memchr::memchr2(b'*', b'%', name);
                    let start = name.get(..wildcard.unwrap_or(name.len()));
                    wanted.shared.push(start.unwrap_or_default().to_vec());
                }
                None => wanted.own = true,
            }
            wanted.patterns.push(Pattern::new(full.as_bytes()));
        }
        wanted
    }

    /// True if some pattern matches the name.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// The full names of the folders that exist, among those that the patterns are about. `reader` is of the user's own
    /// maildir.
    ///
    /// # Errors
    /// The reply of the command: the user's own folders cannot be listed.
    pub(super) fn existing(
        &self,
        session: &Session,
        reader: &mut AclReader<'_>,
    ) -> Result<BTreeSet<Vec<u8>>, Reply> {
        let mut names = BTreeSet::new();
        if self.own {
            let folders = session
                .maildir
                .folders()
                .map_err(|error| session.failed(&error))?;
            for folder in folders {
                if folder.selectable && may_see(session, reader, &folder.name, true) {
                    names.insert(folder.name.to_full());
                }
            }
        }
        for start in &self.shared {
            for (node, _) in session.shares.index().beginning_with(start) {
                let node = [SHARED, node].concat();
                // The user's own account, and those that cannot be opened, are not there.
                if let Ok(account) = session.place_of(&node) {
                    add_folders(session, &account, &mut names);
                }
            }
        }
        Ok(names)
    }

    /// The subscribed names, among those that the patterns are about; they need not exist.
    ///
    /// # Errors
    /// The reply of the command: the file cannot be read.
    pub(super) fn subscribed(&self, session: &Session) -> Result<BTreeSet<Vec<u8>>, Reply> {
        let names = session
            .maildir
            .subscriptions()
            .map_err(|error| session.failed(&error))?;
        let mut subscribed = BTreeSet::new();
        for name in names {
            if name.starts_with(SHARED) {
                if !self.shared.is_empty() {
                    subscribed.insert(name);
                }
            } else if self.own {
                if let Ok(name) = FolderName::from_full(&name) {
                    subscribed.insert(name.to_full());
                }
            }
        }
        Ok(subscribed)
    }
}

/// Adds the full names of an account's folders that the user may see.
fn add_folders(session: &Session, account: &Place, names: &mut BTreeSet<Vec<u8>>) {
    let folders = match account.maildir.folders() {
        Ok(folders) => folders,
        Err(error) => return session.log_error(&error),
    };
    let mut reader = AclReader::new(&account.maildir);
    for folder in folders {
        if folder.selectable && may_see(session, &mut reader, &folder.name, false) {
            names.insert(account.at(folder.name).full());
        }
    }
}

/// Whether the user may see a full name. One whose list cannot be read stays out of sight, with a log line.
pub(super) fn may_see_full(session: &Session, reader: &mut AclReader<'_>, full: &[u8]) -> bool {
    match session.place_of(full) {
        Ok(place) if place.own => may_see(session, reader, &place.name, true),
        Ok(place) => {
            let mut reader = AclReader::new(&place.maildir);
            may_see(session, &mut reader, &place.name, false)
        }
        Err(BadName) => false,
    }
}

fn may_see(session: &Session, reader: &mut AclReader<'_>, name: &FolderName, own: bool) -> bool {
    match reader.acl(name) {
        Ok(acl) => session.rights_by(&acl, own).has(Right::Lookup),
        Err(error) => {
            session.log_error(&error);
            false
        }
    }
}
