//! Drives the built imapd over pipes, on maildirs made for each test.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::explicit_write,
    reason = "these functions are parts of tests"
)]

mod badinput;
mod client;
mod confine;
mod fetch;
mod flags;
mod folders;
mod hostile;
mod idle;
mod large;
mod many;
mod memory;
mod messages;
mod notice;
mod search;
mod settings;
mod small;
mod sort;
mod start;
mod unchanged;
