//! `maildirmake [options] MAILDIR`: makes a maildir or a folder in one.

use std::process::ExitCode;

use courier::tools::{self, maildirmake};

fn main() -> ExitCode {
    tools::run("maildirmake", 1, |arguments, out, errors| {
        maildirmake::run(arguments, out, errors)
    })
}
