//! imaplogin as couriertcpd starts it.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

#[path = "../login_rig/mod.rs"]
mod login_rig;

mod brake;
mod confine;
mod failures;
mod handover;
mod input;
mod limit;
mod mechanisms;
mod starttls;

use std::io::Write;

fn skipped(why: &str) {
    writeln!(std::io::stdout().lock(), "skipped: {why}").unwrap();
}
