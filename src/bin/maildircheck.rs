//! `maildircheck [--repair] [--json] [--remove-derived] MAILDIR...`: explains and repairs damage.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use courier::tools::{self, maildircheck};

fn main() -> ExitCode {
    let terminal = io::stderr().is_terminal();
    tools::run(
        "maildircheck",
        maildircheck::TROUBLE,
        |arguments, out, errors| maildircheck::run(arguments, out, errors, terminal),
    )
}
