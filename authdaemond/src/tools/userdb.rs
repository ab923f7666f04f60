//! `userdb`: shows and edits the source text (contract: auth-modules §5).

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{complain, fail, paths, print};
use crate::userdb::record;
use crate::userdb::text::{Edit, Target, TextError, edit, read_lines};

/// Longest value read from standard input.
const VALUE_MAX: u64 = 64 * 1024;
/// Exit status for what the format cannot hold, the original's.
const INVALID: u8 = 22;

/// Runs the tool.
pub fn run(program: &str, arguments: &[Vec<u8>]) -> ExitCode {
    let paths = match paths() {
        Ok(paths) => paths,
        Err(code) => return code,
    };
    if std::fs::symlink_metadata(&paths.userdb).is_ok_and(|userdb| userdb.is_symlink()) {
        complain(format_args!("ERROR: Wrong userdb command."));
        return fail(format_args!(
            "       {} is a symbolic link; use the command of the system that it belongs to.",
            paths.userdb.display()
        ));
    }
    let words: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    match words.as_slice() {
        [b"-show"] => show(&paths.userdb, None),
        [b"-show", b"-f", file] => show(&path(file), None),
        [b"-show", b"-f", file, name] => show(&path(file), Some(name)),
        [b"-show", spec] => {
            let target = Target::within(&paths.userdb, spec);
            show(&target.file, Some(&target.name))
        }
        [b"-f", file, name, command, rest @ ..] => {
            let target = Target {
                file: path(file),
                name: name.to_vec(),
            };
            change(program, &target, command, rest)
        }
        [spec, command, rest @ ..] if !spec.starts_with(b"-") => {
            change(program, &Target::within(&paths.userdb, spec), command, rest)
        }
        _ => usage(program),
    }
}

fn path(file: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(file))
}

fn usage(program: &str) -> ExitCode {
    print(
        format!(
            "Usage: {program} [path/.../ | -f file ]name set field=value field=value...\n       \
             {program} [path/.../ | -f file ]name unset field field...\n       \
             {program} [path/.../ | -f file ]name del\n       \
             {program} -show [path/... | -f file ] [name]\n"
        )
        .as_bytes(),
    );
    ExitCode::FAILURE
}

fn report(error: &TextError) -> ExitCode {
    complain(format_args!("{error}"));
    match error {
        TextError::Invalid => ExitCode::from(INVALID),
        TextError::NotAFile(_) | TextError::Io(..) => ExitCode::FAILURE,
    }
}

/// The names in `file`, or the fields of one.
fn show(file: &Path, name: Option<&[u8]>) -> ExitCode {
    let lines = match read_lines(file) {
        Ok(lines) => lines,
        Err(error) => return report(&error),
    };
    let mut output = Vec::new();
    for line in lines
        .iter()
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
    {
        let tab = line
            .iter()
            .position(|&byte| byte == b'\t')
            .unwrap_or(line.len());
        let (known, rest) = line.split_at(tab);
        match name {
            None => {
                output.extend_from_slice(known);
                output.push(b'\n');
            }
            Some(name) if name == known => {
                for (field, value) in record::fields(rest.get(1..).unwrap_or_default()) {
                    output.extend_from_slice(field);
                    if let Some(value) = value {
                        output.push(b'=');
                        output.extend_from_slice(value);
                    }
                    output.push(b'\n');
                }
                break;
            }
            Some(_) => {}
        }
    }
    print(&output)
}

fn change(program: &str, target: &Target, command: &[u8], arguments: &[&[u8]]) -> ExitCode {
    let change = match (command, arguments) {
        (b"set", arguments) => match assignments(target, arguments) {
            Ok(assignments) => Edit::Set(assignments),
            Err(code) => return code,
        },
        (b"unset", names) => Edit::Unset(names.iter().map(|name| name.to_vec()).collect()),
        (b"del", []) => Edit::Delete,
        _ => return usage(program),
    };
    match edit(target, &change) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

/// `field=value` each; the value of a lone `field` is the next line of standard input.
fn assignments(target: &Target, arguments: &[&[u8]]) -> Result<Vec<record::Assignment>, ExitCode> {
    let mut assignments = Vec::new();
    for argument in arguments {
        let equals = argument.iter().position(|&byte| byte == b'=');
        let (field, value) = argument.split_at(equals.unwrap_or(argument.len()));
        let value = match equals {
            Some(_) => value.get(1..).unwrap_or_default().to_vec(),
            None => ask(target, field)?,
        };
        assignments.push((field.to_vec(), Some(value)));
    }
    Ok(assignments)
}

fn ask(target: &Target, field: &[u8]) -> Result<Vec<u8>, ExitCode> {
    let input = io::stdin();
    if input.is_terminal() {
        let mut terminal = io::stderr().lock();
        let prompt = [target.name.as_slice(), b".", field, b": "].concat();
        // Without a prompt the answer is still read.
        let _ = terminal.write_all(&prompt).and_then(|()| terminal.flush());
    }
    let mut value = Vec::new();
    match input.lock().take(VALUE_MAX).read_until(b'\n', &mut value) {
        Ok(0) => Err(ExitCode::FAILURE),
        Ok(_) => {
            if value.last() == Some(&b'\n') {
                value.pop();
            }
            Ok(value)
        }
        Err(error) => Err(fail(format_args!("standard input: {error}"))),
    }
}
