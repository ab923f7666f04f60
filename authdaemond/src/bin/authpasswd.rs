//! authpasswd: prints the stored form of a password.

use std::process::ExitCode;

use authdaemond::tools;

fn main() -> ExitCode {
    courier::sys::log::install_panic_hook();
    tools::hashing::authpasswd(&tools::program(), &tools::arguments())
}
