//! Voluntary quotas in `maildirsize`, shared with the original's programs (contract: quota).
//!
//! The file's first line is the limit; each further line adds or subtracts, the sum is the usage. Lines are appended
//! whole and without a lock, so it drifts; whoever finds it too long, negative or over the limit counts anew.
//! Trash and messages with `\Deleted` do not count.

mod account;
mod limits;
mod recount;
mod warning;

pub use account::QuotaUse;
pub(crate) use account::{Amount, counts, size_of};
pub use limits::QuotaLimits;
