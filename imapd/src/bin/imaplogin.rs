//! imaplogin: IMAP before login. See [`courier::login`] for its two processes.
#![no_main]
#![allow(unsafe_code, reason = "the entry point")]

use std::ffi::OsString;
use std::process::ExitCode;

use courier::login::monitor::run;
use courier::login::settings::Protocol;

courier::lean_main!(start);

fn start(arguments: &[OsString]) -> ExitCode {
    run(Protocol::Imap, arguments, imapd::prelogin::prepare)
}
