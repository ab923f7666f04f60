//! `courierwho [--json] [--watch] [ACCOUNT...]`, `courierwho --kick ACCOUNT|PID...`: who is on.

use std::process::ExitCode;

use courier::tools::{self, courierwho};

fn main() -> ExitCode {
    tools::run("courierwho", 2, |arguments, out, errors| {
        courierwho::run(arguments, out, errors)
    })
}
