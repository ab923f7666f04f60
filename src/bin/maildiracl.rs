//! `maildiracl -COMMAND MAILDIR [FOLDER [IDENTIFIER [RIGHTS]]]`: access control lists of a maildir.

use std::process::ExitCode;

use courier::tools::{self, maildiracl};

fn main() -> ExitCode {
    tools::run("maildiracl", 1, |arguments, out, errors| {
        maildiracl::run(arguments, out, errors)
    })
}
