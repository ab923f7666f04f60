//! couriertls: TLS for one connection, by way of the TLS service. See couriertls(1).
#![no_main]
#![allow(unsafe_code, reason = "the entry point")]

use std::ffi::OsString;
use std::process::ExitCode;

courier::lean_main!(start);

fn start() -> ExitCode {
    courier::sys::log::install_panic_hook();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    couriertcpd::tls::main(&arguments)
}
