//! Access control lists of folders: `courierimapacl` in the folder, `courierimaphieracl/NAME` for a name that exists
//! only above others (contract: shared-folders A). Knows files, entries and the computation; what a right allows is for
//! those who ask.
//!
//! A folder without a list of its own has that of its parent. Reading writes nothing; before the list of a folder is
//! changed, those that would follow it get what they have now as their own, so that nobody opens all that lies below a
//! folder by opening the folder.

mod list;
mod rights;
mod store;

pub use list::{Acl, Identity, Minimum};
pub use rights::{Right, Rights};
pub use store::AclReader;
pub(crate) use store::FILE;
