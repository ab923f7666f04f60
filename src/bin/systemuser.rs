//! `systemuser name NAME [GID]`, `systemuser uid UID`: what the system's user database says about somebody.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use courier::sys::log::{Level, install_panic_hook, log};
use courier::tools::systemuser;

fn main() -> ExitCode {
    install_panic_hook();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let result = systemuser::run(
        &arguments,
        &mut io::stdout().lock(),
        &mut io::stderr().lock(),
    );
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log(Level::Err, format_args!("systemuser: output: {error}"));
            ExitCode::from(2)
        }
    }
}
