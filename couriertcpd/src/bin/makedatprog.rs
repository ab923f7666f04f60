//! makedatprog: the lower half of makedat, for scripts that call it. See makedat(1).

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    courier::sys::log::install_panic_hook();
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_else(|| "makedatprog".into());
    let arguments: Vec<OsString> = arguments.collect();
    couriertcpd::makedat::program_main(&program.to_string_lossy(), &arguments)
}
