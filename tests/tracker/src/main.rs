//! `tracker MAILDIR`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let served = std::env::args_os()
        .nth(1)
        .ok_or_else(|| std::io::Error::other("usage: tracker MAILDIR"))
        .and_then(|maildir| {
            let input = std::io::stdin().lock();
            tracker::serve(maildir.as_ref(), input, std::io::stdout().lock())
        });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            courier::sys::log::log(courier::sys::log::Level::Err, format_args!("{error}"));
            ExitCode::FAILURE
        }
    }
}
