//! pw2userdb: prints the system accounts as account text.

use std::process::ExitCode;

use authdaemond::tools;

fn main() -> ExitCode {
    courier::sys::log::install_panic_hook();
    tools::pw2userdb::run(&tools::arguments())
}
