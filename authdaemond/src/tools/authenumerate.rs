//! `authenumerate [-s] [-o]`: lists all accounts; what shared folder indexes are built from.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use courier::auth::client::Client;
use courier::auth::enumerate::EnumerateError;
use courier::auth::options;

use super::{fail, paths};

/// Runs the tool.
pub fn run(arguments: &[Vec<u8>]) -> ExitCode {
    let (mut sharing_only, mut with_options) = (false, false);
    for argument in arguments {
        match argument.as_slice() {
            b"-s" => sharing_only = true,
            b"-o" => with_options = true,
            _ => return fail(format_args!("Usage: authenumerate [-s] [-o]")),
        }
    }
    let client = match paths() {
        Ok(paths) => Client::from_env(&paths),
        Err(code) => return code,
    };
    let mut output = BufWriter::new(io::stdout().lock());
    let result = client.enumerate(|account| {
        let excluded = options::find(account.options, b"disableshared")
            .is_some_and(options::leading_number_is_not_zero);
        if sharing_only && excluded {
            return Ok(());
        }
        let (uid, gid) = (account.uid.to_string(), account.gid.to_string());
        let mut fields = vec![
            account.name,
            uid.as_bytes(),
            gid.as_bytes(),
            account.home,
            account.maildir,
        ];
        if with_options {
            fields.push(account.options);
        }
        let mut line = fields.join(&b'\t');
        line.push(b'\n');
        output.write_all(&line)
    });
    match result.and_then(|()| output.flush().map_err(EnumerateError::Caller)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(EnumerateError::Daemon(failure)) => {
            failure.log();
            ExitCode::FAILURE
        }
        Err(EnumerateError::Caller(error)) => fail(format_args!("standard output: {error}")),
    }
}
