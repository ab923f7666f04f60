//! imapd: the IMAP server of one session, on descriptors 0 and 1. See imapd(8).
#![no_main]
#![allow(unsafe_code, reason = "the entry point")]

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

courier::lean_main!(start);

fn start(arguments: &[OsString]) -> ExitCode {
    courier::sys::log::install_panic_hook();
    let argument = arguments.first().cloned();
    if argument.as_deref().is_some_and(|word| word == "--version") {
        let line = concat!("Courier-IMAP ", env!("CARGO_PKG_VERSION"), "\n");
        return match std::io::stdout().lock().write_all(line.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    imapd::session::run(argument)
}
