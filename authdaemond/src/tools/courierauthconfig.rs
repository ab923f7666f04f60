//! `courierauthconfig [--version[=VERSION]] [--configfiles] [--cppflags] [--ldflags]`: what the configure scripts of
//! other packages ask (contract: auth-modules §14).

use std::path::Path;
use std::process::ExitCode;

use courier::config::paths::Paths;

use super::{paths, print};

/// The release of the original's library whose socket, files and tools these are: that is what is asked about.
const LEVEL: &str = "0.71.4";

/// Runs the tool. Flags that are not known are ignored.
pub fn run(arguments: &[Vec<u8>]) -> ExitCode {
    let paths = match paths() {
        Ok(paths) => paths,
        Err(code) => return code,
    };
    let mut text = Vec::new();
    for argument in arguments {
        match argument.as_slice() {
            b"--version" => text.extend_from_slice(format!("{LEVEL}\n").as_bytes()),
            b"--configfiles" => text.extend_from_slice(&files(&paths)),
            // There is no library to compile or link with.
            b"--cppflags" | b"--ldflags" => text.push(b'\n'),
            other => {
                if let Some(wanted) = other.strip_prefix(b"--version=") {
                    let enough = numbers(LEVEL.as_bytes()) >= numbers(wanted);
                    text.extend_from_slice(if enough { b"yes\n" } else { b"no\n" });
                }
            }
        }
    }
    print(&text)
}

/// `0.71.4` as numbers, without what follows a number directly and without zeros at the end.
fn numbers(version: &[u8]) -> Vec<u32> {
    let mut numbers: Vec<u32> = version
        .split(|&byte| byte == b'.')
        .map(|part| crate::rcfile::leading_number(part).unwrap_or(0))
        .collect();
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    numbers
}

fn files(paths: &Paths) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let beside = |name: &str| paths.authdaemonrc.with_file_name(name);
    let number = |name: &Path, group: bool| {
        let name = name.to_str().unwrap_or_default();
        let number = if group {
            let group = nix::unistd::Group::from_name(name).ok().flatten();
            group.map(|group| group.gid.as_raw())
        } else {
            let user = nix::unistd::User::from_name(name).ok().flatten();
            user.map(|user| user.uid.as_raw())
        };
        number.map(|number| number.to_string()).unwrap_or_default()
    };
    let mut text = Vec::new();
    let mut line = |name: &str, value: &[u8]| {
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value);
        text.push(b'\n');
    };
    line("userdb", paths.userdb.as_os_str().as_bytes());
    line("authdaemonrc", paths.authdaemonrc.as_os_str().as_bytes());
    for name in ["authldaprc", "authmysqlrc", "authpgsqlrc"] {
        line(name, beside(name).as_os_str().as_bytes());
    }
    line("mailuser", paths.mailuser.as_os_str().as_bytes());
    line("mailgroup", paths.mailgroup.as_os_str().as_bytes());
    line("mailuid", number(&paths.mailuser, false).as_bytes());
    line("mailgid", number(&paths.mailgroup, true).as_bytes());
    line("sbindir", paths.sbindir.as_os_str().as_bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        for (earlier, later) in [
            ("0.60", "0.71.4"),
            ("0.71.4", "0.71.10"),
            ("0.71", "0.71.4"),
            ("0.9", "0.71"),
        ] {
            assert!(numbers(earlier.as_bytes()) < numbers(later.as_bytes()));
        }
        assert_eq!(numbers(b"0.71.0"), numbers(b"0.71"));
        assert_eq!(numbers(b"0.71.4.20230101").len(), 4);
        assert_eq!(numbers(b"rubbish"), Vec::<u32>::new());
    }
}
