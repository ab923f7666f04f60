//! `userdbpw` and `authpasswd`: read a password, print its stored form.

use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use super::{fail, print};
use crate::cram::{Digest, precompute};
use crate::password::{Form, hash};
use crate::sys::terminal::NoEcho;

/// Longest password.
const PASSWORD_MAX: u64 = 8 * 1024;
/// Longest method name that authpasswd looks at.
const METHOD_MAX: usize = 15;

/// `userdbpw [-md5 | -hmac-md5 | -hmac-sha1 | -hmac-sha256]`.
pub fn userdbpw(program: &str, arguments: &[Vec<u8>]) -> ExitCode {
    let words: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    let form = match words.as_slice() {
        // The original's default is DES with eight significant characters; this is what its crypt(3) reads as well.
        [] => Ok(Form::Yescrypt),
        [b"-md5"] => Ok(Form::Md5Crypt),
        [flag] => match Digest::ALL
            .into_iter()
            .find(|digest| flag.strip_prefix(b"-hmac-") == Some(digest.name().as_bytes()))
        {
            Some(digest) => Err(digest),
            None => return fail(format_args!("{program}: invalid argument.")),
        },
        _ => return fail(format_args!("{program}: invalid argument.")),
    };
    let password = match read() {
        Ok(Some(password)) => password,
        Ok(None) => return ExitCode::FAILURE,
        Err(error) => return fail(format_args!("{program}: {error}")),
    };
    match form {
        Ok(form) => print_hash(program, form, &password),
        Err(digest) => print(format!("{}\n", precompute(digest, &password)).as_bytes()),
    }
}

/// `authpasswd [method]`.
pub fn authpasswd(program: &str, arguments: &[Vec<u8>]) -> ExitCode {
    let form = match arguments.first() {
        None => Form::Md5Crypt,
        Some(method) => {
            let method = method.get(..METHOD_MAX).unwrap_or(method);
            let name = String::from_utf8_lossy(method);
            // COMPAT: an unknown method means {SSHA}.
            Form::by_name(&name)
                .or_else(|| Form::by_word(&name))
                .unwrap_or(Form::Ssha)
        }
    };
    match read() {
        Ok(Some(password)) => print_hash(program, form, &password),
        Ok(None) => ExitCode::FAILURE,
        Err(error) => fail(format_args!("{program}: {error}")),
    }
}

fn print_hash(program: &str, form: Form, password: &[u8]) -> ExitCode {
    match hash(form, password) {
        Some(mut hash) => {
            hash.push(b'\n');
            print(&hash)
        }
        None => fail(format_args!("{program}: this password cannot be hashed.")),
    }
}

/// One line of standard input, asked for twice on a terminal. `None` at end of file.
fn read() -> io::Result<Option<Vec<u8>>> {
    let input = io::stdin();
    let Some(echo) = NoEcho::on(input.as_fd()) else {
        return line();
    };
    let password = loop {
        let first = ask("Password: ")?;
        let again = ask("Reenter password: ")?;
        if first == again {
            break first;
        }
        writeln!(io::stderr(), "Passwords don't match.")?;
    };
    drop(echo);
    Ok(password)
}

fn ask(prompt: &str) -> io::Result<Option<Vec<u8>>> {
    let mut terminal = io::stderr().lock();
    terminal.write_all(prompt.as_bytes())?;
    terminal.flush()?;
    let answer = line()?;
    // The user's own line end was not shown.
    terminal.write_all(b"\n")?;
    Ok(answer)
}

fn line() -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if io::stdin()
        .lock()
        .take(PASSWORD_MAX)
        .read_until(b'\n', &mut line)?
        == 0
    {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(line))
}
