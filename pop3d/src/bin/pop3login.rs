//! pop3login: POP3 before login. See [`courier::login`] for its two processes.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use courier::login::monitor::run;
use courier::login::settings::Protocol;

fn main() -> ExitCode {
    run(
        Protocol::Pop3,
        std::env::args_os().skip(1),
        pop3d::prelogin::prepare,
    )
}
