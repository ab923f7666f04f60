//! makeimapaccess: rebuilds the IMAP access database. See makeimapaccess(8).

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    courier::sys::log::install_panic_hook();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    couriertcpd::imapaccess::main(&arguments)
}
