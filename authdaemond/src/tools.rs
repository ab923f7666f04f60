//! The bodies of the command-line tools of this crate: each takes its arguments and returns its exit status. The
//! programs in `src/bin` only call them.

pub mod authenumerate;
pub mod authtest;
pub mod courierauthconfig;
pub mod hashing;
pub mod makeuserdb;
pub mod pw2userdb;
pub mod userdb;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use courier::config::paths::Paths;

/// The arguments of the program, without its own name.
pub fn arguments() -> Vec<Vec<u8>> {
    std::env::args_os()
        .skip(1)
        .map(OsString::into_vec)
        .collect()
}

/// The program's own name as it was called, for usage messages.
pub fn program() -> String {
    std::env::args_os()
        .next()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Writes one line to descriptor 2.
fn complain(text: fmt::Arguments<'_>) {
    // Nowhere is left to say that this failed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says what went wrong and fails.
fn fail(text: fmt::Arguments<'_>) -> ExitCode {
    complain(text);
    ExitCode::FAILURE
}

/// Writes `text` to standard output; fails, with a message, when that is not possible.
fn print(text: &[u8]) -> ExitCode {
    let mut output = io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format_args!("standard output: {error}")),
    }
}

/// The installed locations, or the message about why they are not known.
fn paths() -> Result<Paths, ExitCode> {
    Paths::load().map_err(|error| fail(format_args!("{error}")))
}
