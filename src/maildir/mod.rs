//! The Maildir++ store. Knows files, names and UIDs; knows neither MIME nor IMAP.
//!
//! Start at [`Maildir`]: it lists, makes and removes folders and opens a [`Folder`]. `Folder::scan` gives a
//! [`Snapshot`] of the messages; `Folder::rescan` brings it up to date and says in a [`Diff`] what to tell the client.
//! Messages are named by their index in the snapshot (sequence number − 1); file names stay in here.
//!
//! ```no_run
//! use courier::maildir::{FolderName, Maildir, Mode, Options};
//! # fn main() -> Result<(), courier::maildir::Error> {
//! let maildir = Maildir::open(".".as_ref(), Options::from_environment())?;
//! let folder = maildir.folder(&FolderName::inbox())?;
//! let mut view = folder.scan(Mode::ReadWrite)?;
//! let first = folder.open_message(&mut view, 0)?;
//! let news = folder.rescan(&mut view)?;
//! # let _ = (first, news); Ok(()) }
//! ```
//!
//! What it promises: whatever a function reports as done is on disk (`IMAP_FSYNC`), nothing acknowledged is lost or
//! overwritten, UIDs and UIDVALIDITY stay for the life of a mailbox, and other software may change the same files at
//! any time. Contract: maildir.

mod acl;
mod append;
mod arrive;
pub mod cache;
mod change;
pub mod check;
mod copy;
mod error;
mod filename;
mod files;
#[cfg(test)]
mod fixture;
mod flags;
mod folder;
mod follow;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod keyword_files;
mod keywords;
mod listing;
mod lock;
mod maildrop;
mod measure;
mod memory;
mod modseq;
mod name;
mod options;
mod purge;
mod quota;
mod recent;
mod roll;
mod root;
mod scan;
mod shared_index;
mod sizelist;
mod snapshot;
mod status;
mod subscribe;
mod uiddb;
mod uidvalidity;
mod watch;
mod witness;

pub use acl::{Acl, AclReader, Identity, Minimum, Right, Rights};
pub use append::{Appended, Delivery, Details, Pending};
pub use change::{Action, Change, Outcome};
pub use copy::{Copied, Keep};
pub use error::{Error, ErrorKind, Result};
pub use flags::Flags;
pub use folder::{Folder, Mode, OpenMessage};
pub use keywords::{KeywordSet, valid_keyword};
pub use maildrop::{Maildrop, Removed, StoredMessage};
pub use measure::Measure;
pub use memory::{Attributes, Memory};
pub use modseq::Changes;
pub use name::{FolderName, NameError};
pub use options::{Options, Sync};
pub use quota::{QuotaLimits, QuotaUse};
pub use root::{FolderEntry, Maildir, make_folder, make_maildir};
pub use shared_index::{Munging, SharedAccount, SharedIndex, log_unreadable};
pub use snapshot::{Diff, Expunged, Hidden, Message, Snapshot};
pub use status::Status;
pub use watch::Watch;
