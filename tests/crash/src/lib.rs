//! What would a power cut leave behind? A program runs under strace; its changes to the files below one directory
//! are recorded in order; then, for every prefix of that record, the states are made that a disk may be in:
//! everything written, nothing written that was not synced, and everything but one thing that was not synced.
//!
//! The disk is as unkind as POSIX allows: data is safe after fsync or fdatasync of the file, names are safe after
//! fsync of their directory (a rename after fsync of the directory it leads to), and nothing else is.

mod disk;
mod operation;
mod program;
mod record;
mod strace;

pub use disk::{Disk, Node};
pub use operation::{Inode, Operation};
pub use program::{imapd, program};
pub use record::{Recording, State, record};
pub use strace::unavailable;
