//! `maildirmake [options] MAILDIR`: makes a maildir or a folder in one.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use courier::sys::log::{Level, install_panic_hook, log};
use courier::tools::maildirmake;

fn main() -> ExitCode {
    install_panic_hook();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let result = maildirmake::run(
        &arguments,
        &mut io::stdout().lock(),
        &mut io::stderr().lock(),
    );
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log(Level::Plain, format_args!("maildirmake: output: {error}"));
            ExitCode::FAILURE
        }
    }
}
