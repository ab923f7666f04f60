//! The bodies of the command-line tools of this crate.
