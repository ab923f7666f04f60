//! The programs of this package as an administrator meets them: real processes, sockets on the loopback, files.

// A test ends where it cannot go on, and says why it was left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod activation;
mod connection;
mod daemon;
mod databases;
mod dns_lists;
mod fixture;
mod limits;
mod listening;
mod logger;
mod proxied;
mod renew;
