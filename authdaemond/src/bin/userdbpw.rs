//! userdbpw: prints the stored form of a password.

use std::process::ExitCode;

use authdaemond::tools;

fn main() -> ExitCode {
    courier::sys::log::install_panic_hook();
    tools::hashing::userdbpw(&tools::program(), &tools::arguments())
}
