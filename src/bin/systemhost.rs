//! `systemhost NAME`: the addresses of a host.

use std::process::ExitCode;

use courier::tools::{self, systemhost};

fn main() -> ExitCode {
    tools::run("systemhost", 2, |arguments, out, errors| {
        systemhost::run(arguments, out, errors)
    })
}
