//! `makeuserdb [-f file]`: compiles the source text.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use super::{complain, fail, paths};
use crate::userdb::compile::{CompileError, compile};

/// Exit status when the source is readable by others, the original's.
const PERMISSIONS: u8 = 255;

/// Runs the tool.
pub fn run(program: &str, arguments: &[Vec<u8>]) -> ExitCode {
    let words: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    let result = match words.as_slice() {
        [] => match paths() {
            Ok(paths) => compile(&paths.userdb),
            Err(code) => return code,
        },
        [b"-f", file] => compile(Path::new(OsStr::from_bytes(file))),
        _ => return fail(format_args!("Usage: {program} [-f file]")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{error}"));
            match error {
                CompileError::Permissions(_) => ExitCode::from(PERMISSIONS),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
