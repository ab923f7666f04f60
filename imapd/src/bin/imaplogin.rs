//! imaplogin: IMAP before login. See [`courier::login`] for its two processes.
#![no_main]
#![allow(unsafe_code, reason = "the entry point")]

use std::process::ExitCode;

use courier::login::monitor::run;
use courier::login::settings::Protocol;

courier::lean_main!(start);

fn start() -> ExitCode {
    run(
        Protocol::Imap,
        std::env::args_os().skip(1),
        imapd::prelogin::prepare,
    )
}
