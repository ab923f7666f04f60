//! couriertls: TLS for one connection, by way of the TLS service. See couriertls(1).
#![no_main]
#![allow(unsafe_code, reason = "the entry point")]

use std::ffi::OsString;
use std::process::ExitCode;

courier::lean_main!(start);

fn start(arguments: &[OsString]) -> ExitCode {
    courier::sys::log::install_panic_hook();
    couriertcpd::tls::main(arguments)
}
