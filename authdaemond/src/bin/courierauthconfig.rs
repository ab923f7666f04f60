//! courierauthconfig: tells other packages where things of authdaemond are.

use std::process::ExitCode;

use authdaemond::tools;

fn main() -> ExitCode {
    courier::sys::log::install_panic_hook();
    tools::courierauthconfig::run(&tools::arguments())
}
