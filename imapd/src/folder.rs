//! The one way from a mailbox name on the wire to a folder. Whoever asks says what for; what does not exist and what
//! may not be used for that get the same answer, so that names cannot be probed.

use courier::maildir::{Error, ErrorKind, Folder, FolderName, NameError};
use courier::sys::log::{Level, log};
use courier::text::mutf7;

use crate::reply::{Code, Reply};
use crate::session::Session;

/// What a folder is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// To read it.
    Read,
    /// To add messages to it.
    Insert,
}

/// A mailbox name that cannot name anything of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadName;

impl Session {
    /// The folder that a wire name means, whether it exists or not. `INBOX` counts in any case.
    ///
    /// # Errors
    /// [`BadName`]: wrong encoding, a `/`, an empty component, or outside INBOX.
    pub fn folder_name(&self, wire: &[u8]) -> Result<FolderName, BadName> {
        let name = self.decode_name(wire)?;
        FolderName::from_full(name.as_bytes()).map_err(|error| {
            // Each means the same to the client.
            let (NameError::EmptyComponent
            | NameError::ForbiddenByte
            | NameError::TooLong
            | NameError::NotInbox) = error;
            BadName
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

    /// Opens the folder that a wire name means.
    ///
    /// # Errors
    /// The reply of the command.
    pub fn resolve(&self, wire: &[u8], right: Right) -> Result<Folder, Reply> {
        let name = self.folder_name(wire).map_err(|BadName| missing(None))?;
        self.maildir.folder(&name).map_err(|error| {
            if matches!(
                error.kind(),
                ErrorKind::NoSuchFolder | ErrorKind::InvalidName | ErrorKind::Denied
            ) {
                if error.kind() == ErrorKind::Denied {
                    self.log_error(&error);
                }
                return missing((right == Right::Insert).then_some(Code::TryCreate));
            }
            self.failed(&error)
        })
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
            ErrorKind::NoSuchFolder => missing(None),
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

/// The answer about a mailbox that does not exist, or is none of this user's business.
pub fn missing(code: Option<Code>) -> Reply {
    Reply::no("Mailbox does not exist, or must be subscribed to.")
        .with(code.unwrap_or(Code::NonExistent))
}
