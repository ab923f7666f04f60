//! `deliverquota [-c] [-w PERCENT] [-W FILE] MAILDIR [QUOTA] < message`: delivers a message within a quota.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use courier::config::paths::Paths;
use courier::sys::fd;
use courier::sys::log::{Level, install_panic_hook, log};
use courier::tools::deliverquota;
use nix::sys::stat::SFlag;

/// The maildir cannot be used, now: the mail server tries again.
const TEMPORARY: u8 = 75;

/// The size of the message, if it is a regular file.
fn regular_size() -> Option<u64> {
    let stat = nix::sys::stat::fstat(fd::stdin()).ok()?;
    let is_file = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
    u64::try_from(stat.st_size).ok().filter(|_| is_file)
}

fn main() -> ExitCode {
    install_panic_hook();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let paths = match Paths::load() {
        Ok(paths) => paths,
        Err(error) => {
            log(Level::Plain, format_args!("deliverquota: {error}"));
            return ExitCode::from(TEMPORARY);
        }
    };
    let result = deliverquota::run(
        &arguments,
        &mut io::stdin().lock(),
        regular_size(),
        &paths,
        &mut io::stdout().lock(),
        &mut io::stderr().lock(),
    );
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log(Level::Plain, format_args!("deliverquota: output: {error}"));
            ExitCode::from(TEMPORARY)
        }
    }
}
