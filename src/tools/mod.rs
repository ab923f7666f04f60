//! Bodies of the command-line tools; `src/bin` only parses options and calls in here.

use std::ffi::OsString;
use std::io::{self, StderrLock, StdoutLock};
use std::process::ExitCode;

use crate::sys::log::{Level, install_panic_hook, log, reason};

pub mod courierwho;
pub mod deliverquota;
pub mod maildiracl;
pub mod maildircheck;
pub mod maildirmake;
pub mod systemhost;
pub mod systemuser;

/// A tool from its command line to its exit status: `body` gets the arguments, standard output and standard error. If
/// it cannot write to them that is logged under the tool's `name`, and `failure` is the status.
pub fn run(
    name: &str,
    failure: u8,
    body: impl FnOnce(&[OsString], &mut StdoutLock<'_>, &mut StderrLock<'_>) -> io::Result<u8>,
) -> ExitCode {
    install_panic_hook();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (out, errors) = (&mut io::stdout().lock(), &mut io::stderr().lock());
    match body(&arguments, out, errors) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            log(
                Level::Plain,
                format_args!("{name}: output: {}", reason(&error)),
            );
            ExitCode::from(failure)
        }
    }
}
