//! The one way from a mailbox name on the wire to a folder. Whoever asks says what for, that is with which right and
//! for which command; what does not exist and what the user has no rights on at all get the same answer, so that names
//! cannot be probed. A [`Place`] says in which maildir a name is: the user's own, or below `#shared.` somebody else's.

use courier::maildir::{
    Acl, Error, ErrorKind, Folder, FolderName, Maildir, NameError, Options, Right, Rights,
};
use courier::sys::log::{Level, log};
use courier::text::mutf7;

use crate::reply::{Code, Reply};
use crate::session::Session;

/// With one of these rights a user may know that a mailbox exists (RFC 4314 section 4, MYRIGHTS).
pub const KNOWING: &[u8] = b"lricxea";

/// What the names of other accounts' folders begin with.
pub const SHARED: &[u8] = b"#shared.";

/// A mailbox name that cannot name anything of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadName;

/// Where a mailbox name leads, whether there is a folder or not.
#[derive(Debug, Clone)]
pub struct Place {
    /// The maildir.
    pub maildir: Maildir,
    /// The name in it.
    pub name: FolderName,
    /// The maildir is the user's own.
    pub own: bool,
    /// The login name of the maildir's owner.
    pub owner: Vec<u8>,
    /// The full name of the maildir's INBOX.
    root: Vec<u8>,
}

impl Place {
    /// The full name, as on disk: `INBOX.a`, `#shared.bob.a`.
    pub fn full(&self) -> Vec<u8> {
        if self.name.is_inbox() {
            self.root.clone()
        } else {
            [&self.root, &b"."[..], self.name.as_bytes()].concat()
        }
    }

    /// Another name in the same maildir.
    #[must_use]
    pub fn at(&self, name: FolderName) -> Self {
        Self {
            name,
            ..self.clone()
        }
    }

    /// True if both are in one maildir.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.root == other.root
    }
}

/// A folder with what the user may do there.
#[derive(Debug, Clone)]
pub struct Found {
    /// The folder.
    pub folder: Folder,
    /// The user's rights.
    pub rights: Rights,
    /// Where it is.
    pub place: Place,
}

impl Session {
    /// Where a wire name leads. `INBOX` counts in any case.
    ///
    /// # Errors
    /// [`BadName`]: wrong encoding, a `/`, an empty component, or outside INBOX.
    pub fn place(&self, wire: &[u8]) -> Result<Place, BadName> {
        self.place_of(self.decode_name(wire)?.as_bytes())
    }

    /// As [`Self::place`], for a full name as on disk.
    ///
    /// # Errors
    /// [`BadName`]: as there; also for a name below `#shared.` that no account has.
    pub fn place_of(&self, full: &[u8]) -> Result<Place, BadName> {
        if let Some(name) = full.strip_prefix(SHARED) {
            return self.shared_place(name);
        }
        Ok(Place {
            maildir: self.maildir.clone(),
            name: FolderName::from_full(full).map_err(bad_name)?,
            own: true,
            owner: self.identity.user.clone(),
            root: b"INBOX".to_vec(),
        })
    }

    /// A name below `#shared.` (contract: shared-folders B2). The user's own account is not there, nor one whose maildir
    /// cannot be opened.
    fn shared_place(&self, name: &[u8]) -> Result<Place, BadName> {
        let (node, account, rest) = self.shares.index().find(name).ok_or(BadName)?;
        let options = Options {
            quota: None,
            ..self.maildir.options().clone()
        };
        let maildir = Maildir::open(&account.maildir, options).map_err(|error| {
            if error.kind() != ErrorKind::NoSuchFolder {
                self.log_error(&error);
            }
            BadName
        })?;
        if maildir.is_same(&self.maildir) {
            return Err(BadName);
        }
        let name = if rest.is_empty() && name.len() == node.len() {
            FolderName::inbox()
        } else {
            FolderName::new(rest).map_err(bad_name)?
        };
        Ok(Place {
            maildir,
            name,
            own: false,
            owner: account.name.clone(),
            root: [SHARED, node].concat(),
        })
    }

    /// A name or pattern from the wire in the form used on disk.
    ///
    /// # Errors
    /// [`BadName`]: not modified UTF-7, or after `ENABLE UTF8=ACCEPT` not UTF-8.
    pub fn decode_name(&self, wire: &[u8]) -> Result<String, BadName> {
        if self.utf8 {
            mutf7::check_utf8(wire)
                .map(str::to_owned)
                .map_err(|_| BadName)
        } else {
            mutf7::decode(wire).map_err(|_| BadName)
        }
    }

    /// A name as the wire shows it; `None` (and a log line) for one that cannot be shown.
    pub fn encode_name(&self, full: &[u8]) -> Option<Vec<u8>> {
        let encoded = if self.utf8 {
            mutf7::check_utf8(full).map(|name| name.as_bytes().to_vec())
        } else {
            mutf7::encode(full).map(String::into_bytes)
        };
        match encoded {
            Ok(name) => Some(name),
            Err(error) => {
                log(
                    Level::Err,
                    format_args!("folder name {}: {error}", full.escape_ascii()),
                );
                None
            }
        }
    }

    /// Opens the folder that a wire name means, for `command`, which needs `right`.
    ///
    /// # Errors
    /// The reply of the command.
    pub fn resolve(&self, wire: &[u8], right: Right, command: &str) -> Result<Found, Reply> {
        let place = self.place(wire).map_err(|BadName| missing())?;
        let folder = place.maildir.folder(&place.name).map_err(|error| {
            if matches!(
                error.kind(),
                ErrorKind::NoSuchFolder | ErrorKind::InvalidName | ErrorKind::Denied
            ) {
                if error.kind() == ErrorKind::Denied {
                    self.log_error(&error);
                    if place.own {
                        // It is there: a client that believed otherwise would drop its copy.
                        return Reply::no("Unable to open this mailbox.").with(Code::NoPerm);
                    }
                }
                return match right {
                    Right::Insert => no_target(command),
                    _ => missing(),
                };
            }
            self.failed(&error)
        })?;
        let rights = self.require(&place, right, command, wire)?;
        Ok(Found {
            folder,
            rights,
            place,
        })
    }

    /// The user's rights at a place, which must have `right`.
    ///
    /// # Errors
    /// The reply of the command: it has not, or that cannot be told.
    pub fn require(
        &self,
        place: &Place,
        right: Right,
        command: &str,
        wire: &[u8],
    ) -> Result<Rights, Reply> {
        let rights = self.rights(place).map_err(|error| self.failed(&error))?;
        if rights.has(right) {
            Ok(rights)
        } else if rights.has_any(KNOWING) {
            Err(denied(command, wire, right))
        } else {
            Err(missing())
        }
    }

    /// The user's rights at a place.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn rights(&self, place: &Place) -> Result<Rights, Error> {
        let acl = place.maildir.acl(&place.name)?;
        Ok(self.rights_by(&acl, place.own))
    }

    /// The user's rights by a list.
    pub fn rights_by(&self, acl: &Acl, own: bool) -> Rights {
        acl.rights(&self.identity, own)
    }

    /// The reply to a command that the store could not do, with its log line.
    pub fn failed(&self, error: &Error) -> Reply {
        if !matches!(
            error.kind(),
            ErrorKind::NoSuchFolder
                | ErrorKind::FolderExists
                | ErrorKind::InvalidName
                | ErrorKind::OverQuota
        ) {
            self.log_error(error);
        }
        self.reply_to(error)
    }

    /// As [`Self::failed`], for a failure that is logged otherwise.
    pub fn reply_to(&self, error: &Error) -> Reply {
        match error.kind() {
            ErrorKind::NoSuchFolder => missing(),
            ErrorKind::FolderExists => {
                Reply::no("Mailbox already exists.").with(Code::AlreadyExists)
            }
            ErrorKind::Protected => Reply::no("Not allowed on this mailbox.").with(Code::Cannot),
            ErrorKind::InvalidName => Reply::no("Invalid mailbox name.").with(Code::Cannot),
            ErrorKind::NoSpace => Reply::no("Out of disk space.").with(Code::OverQuota),
            ErrorKind::OverQuota => {
                Reply::no("You exceeded your mail quota.").with(Code::OverQuota)
            }
            ErrorKind::Denied => Reply::no("No permission.").with(Code::NoPerm),
            ErrorKind::Locked => {
                Reply::no("Mailbox is locked by another process.").with(Code::InUse)
            }
            ErrorKind::Gone => Reply::no("The message is gone.").with(Code::ExpungeIssued),
            ErrorKind::Recreated => {
                Reply::no("The mailbox was created anew; select it again.").with(Code::NonExistent)
            }
            ErrorKind::Exhausted => {
                Reply::no("No unique identifiers are left in this mailbox.").with(Code::Limit)
            }
            ErrorKind::Io => Reply::no("Mailbox cannot be read or written.").with(Code::ServerBug),
        }
    }

    /// Logs a failure of the store.
    pub fn log_error(&self, error: &Error) {
        log(Level::Err, format_args!("{}: {error}", self.account.name));
    }
}

/// Each means the same to the client.
fn bad_name(error: NameError) -> BadName {
    let (NameError::EmptyComponent
    | NameError::ForbiddenByte
    | NameError::TooLong
    | NameError::NotInbox) = error;
    BadName
}

/// The answer about a mailbox that does not exist, or is none of this user's business.
pub fn missing() -> Reply {
    Reply::no("Mailbox does not exist, or must be subscribed to.").with(Code::NonExistent)
}

/// The answer to a command that would add messages to a mailbox that does not exist.
fn no_target(command: &str) -> Reply {
    let text = match command {
        "APPEND" => "Must create mailbox before append",
        _ => "Mailbox does not exist.",
    };
    Reply::no(text).with(Code::TryCreate)
}

/// The answer to a command that needs a right which the user lacks. `mailbox`: its name on the wire.
pub fn denied(command: &str, mailbox: &[u8], right: Right) -> Reply {
    let text = format!(
        "Access denied for {command} on {} (ACL \"{}\" required)",
        String::from_utf8_lossy(mailbox),
        char::from(right.letter())
    );
    Reply::no(text).with(Code::NoPerm)
}
