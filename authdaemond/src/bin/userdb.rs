//! userdb: shows and edits the account text.

use std::process::ExitCode;

use authdaemond::tools;

fn main() -> ExitCode {
    courier::sys::log::install_panic_hook();
    tools::userdb::run(&tools::program(), &tools::arguments())
}
