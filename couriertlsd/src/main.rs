//! The only program that links OpenSSL: it speaks TLS with the peer and plain text with a program.
//!
//! Without arguments it is the service (`daemon`). `couriertlsd -once` serves one connection as couriertls does; its options are those of couriertls.

mod cache;
mod compact;
mod context;
mod daemon;
mod dump;
mod handshake;
mod idn;
mod loader;
mod material;
mod message;
mod once;
mod pump;
mod relay;
mod remote;
mod report;
mod service;
mod session;
mod settings;
mod starttls;
mod strength;
#[allow(unsafe_code)]
mod sys;
mod ticket;
mod trace;
mod verification;
mod warm;

use std::ffi::OsString;
use std::process::ExitCode;

use courier::config::paths::Paths;
use courier::handover::Options;
use courier::sys::log::{self, Level};

use settings::Settings;

fn main() -> ExitCode {
    log::install_panic_hook();
    let mut arguments = std::env::args_os();
    let name = arguments
        .next()
        .unwrap_or_else(|| OsString::from("couriertlsd"));
    let mut rest: Vec<OsString> = arguments.collect();
    let refuse = |text: std::fmt::Arguments<'_>| {
        log::log(
            Level::Plain,
            format_args!("{}: {text}", name.to_string_lossy()),
        );
        ExitCode::FAILURE
    };
    match rest.first().and_then(|word| word.to_str()) {
        None => match Paths::load() {
            Ok(paths) => daemon::run(&paths),
            Err(error) => refuse(format_args!("{error}")),
        },
        Some("-once") => {
            rest.remove(0);
            match Options::parse(&rest) {
                Ok(options) => once::run(&options, Settings::read(|name| std::env::var_os(name))),
                Err(error) => refuse(format_args!("{error}")),
            }
        }
        Some(other) => refuse(format_args!(
            "{other}: expected nothing, or -once and the options of couriertls"
        )),
    }
}
