//! courierlogger: starts a program and logs its standard error. See courierlogger(8).

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    courier::sys::log::install_panic_hook();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    couriertcpd::logger::main(&arguments)
}
