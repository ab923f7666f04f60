//! `maildircheck [--repair] [--json] [--remove-derived] MAILDIR...`: explains and repairs damage.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use courier::sys::log::{Level, install_panic_hook, log};
use courier::tools::maildircheck;

fn main() -> ExitCode {
    install_panic_hook();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let terminal = io::stderr().is_terminal();
    let result = maildircheck::run(
        &arguments,
        &mut io::stdout().lock(),
        &mut io::stderr().lock(),
        terminal,
    );
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            log(Level::Plain, format_args!("maildircheck: output: {error}"));
            ExitCode::from(maildircheck::TROUBLE)
        }
    }
}
