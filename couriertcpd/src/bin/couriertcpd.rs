//! couriertcpd: accepts connections and starts a login program for each. See couriertcpd(8).

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    courier::sys::log::install_panic_hook();
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_else(|| "couriertcpd".into());
    let arguments: Vec<OsString> = arguments.collect();
    couriertcpd::tcpd::main(&program.to_string_lossy(), &arguments)
}
