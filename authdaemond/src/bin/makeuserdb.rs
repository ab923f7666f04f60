//! makeuserdb: compiles the account text.

use std::process::ExitCode;

use authdaemond::tools;

fn main() -> ExitCode {
    courier::sys::log::install_panic_hook();
    tools::makeuserdb::run(&tools::program(), &tools::arguments())
}
