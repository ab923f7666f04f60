//! `systemuser name NAME [GID]`, `systemuser uid UID`: what the system's user database says about somebody.

use std::process::ExitCode;

use courier::tools::{self, systemuser};

fn main() -> ExitCode {
    tools::run("systemuser", 2, |arguments, out, errors| {
        systemuser::run(arguments, out, errors)
    })
}
