//! pop3login: POP3 before login. See [`courier::login`] for its two processes.
#![no_main]
#![allow(unsafe_code, reason = "the entry point")]

use std::ffi::OsString;
use std::process::ExitCode;

use courier::login::monitor::run;
use courier::login::settings::Protocol;

courier::lean_main!(start);

fn start(arguments: &[OsString]) -> ExitCode {
    run(Protocol::Pop3, arguments, pop3d::prelogin::prepare)
}
