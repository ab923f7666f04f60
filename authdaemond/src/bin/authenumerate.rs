//! authenumerate: lists all accounts.

use std::process::ExitCode;

use authdaemond::tools;

fn main() -> ExitCode {
    courier::sys::log::install_panic_hook();
    tools::authenumerate::run(&tools::arguments())
}
