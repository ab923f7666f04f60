//! `maildiracl -COMMAND MAILDIR [FOLDER [IDENTIFIER [RIGHTS]]]`: access control lists of a maildir.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use courier::sys::log::{Level, install_panic_hook, log};
use courier::tools::maildiracl;

fn main() -> ExitCode {
    install_panic_hook();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let result = maildiracl::run(
        &arguments,
        &mut io::stdout().lock(),
        &mut io::stderr().lock(),
    );
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log(Level::Plain, format_args!("maildiracl: output: {error}"));
            ExitCode::FAILURE
        }
    }
}
