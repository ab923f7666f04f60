//! authdaemond: answers questions about accounts on a UNIX socket; runs in the foreground, logs to descriptor 2.

use std::process::ExitCode;

use authdaemond::pool;
use courier::config::paths::Paths;
use courier::sys::log::{Level, install_panic_hook, log};

fn main() -> ExitCode {
    install_panic_hook();
    if std::env::args_os().len() > 1 {
        log(
            Level::Err,
            format_args!("authdaemond: no arguments are understood"),
        );
        log(
            Level::Err,
            format_args!(
                "The authdaemond script in the sbin directory starts and stops the daemon"
            ),
        );
        return ExitCode::FAILURE;
    }
    let outcome = Paths::load()
        .map_err(|error| error.to_string())
        .and_then(|paths| {
            // Whatever the starting process left open must not stay open for the daemon's life.
            courier::sys::fd::close_from(3).map_err(|error| error.to_string())?;
            pool::run(&paths).map_err(|error| error.to_string())
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(Level::Err, format_args!("{error}"));
            ExitCode::FAILURE
        }
    }
}
