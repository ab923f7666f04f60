//! Starts servers for tests and talks to them.
//!
//! - [`server`]: one private server — ours, Debian's original, or a mixture — on a free loopback port.
//! - [`account`]: its accounts and their maildirs.
//! - [`client`]: a plain IMAP connection that knows lines and literals and nothing else.
//! - [`pop3`]: the same for POP3, and a server for it.
//! - [`script`]: conversation scripts, `tests/conversation/*.t`.
//! - [`mail`]: realistic messages from a seed.
//! - [`programs`]: where the programs under test are.
//! - [`process`]: starting them and ending them again, by process id.
//!
//! `COURIER_UNDER_TEST=reference` runs what [`server::Side::under_test`] decides against the original.

pub mod account;
pub mod client;
mod error;
pub mod mail;
pub mod pair;
pub mod pop3;
pub mod process;
pub mod programs;
pub mod script;
pub mod server;
pub mod tls;

pub use error::Error;

use std::io::Write;

/// Tells why a test does nothing here, in a line that the test runner does not swallow.
pub fn skip(why: &str) {
    // A closed standard error is no reason to fail a test that does not run.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Turns [`Error::Skipped`] into a printed line and a passed test; other errors stay.
///
/// # Errors
/// The test's own error.
pub fn run(test: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    match test() {
        Err(Error::Skipped(why)) => {
            skip(&why);
            Ok(())
        }
        other => other,
    }
}
