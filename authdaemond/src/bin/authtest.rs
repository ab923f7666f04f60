//! authtest: asks authdaemond about one account.

use std::process::ExitCode;

use authdaemond::tools;

fn main() -> ExitCode {
    courier::sys::log::install_panic_hook();
    tools::authtest::run(&tools::arguments())
}
