//! `systemuser`: the system's user database for programs that cannot ask it themselves, see [`crate::auth::system`].

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use nix::unistd::{Gid, Uid};

use crate::auth::system;
use crate::sys::user::{Query, directly};

const USAGE: &str = "usage: systemuser name NAME [GID] | systemuser uid UID\n";

/// Runs it with the arguments after its name; returns the exit status: 0, or 1 without such a user, or 2.
///
/// # Errors
/// Output could not be written.
pub fn run(
    arguments: &[OsString],
    output: &mut impl Write,
    errors: &mut impl Write,
) -> io::Result<u8> {
    let Some(query) = query(arguments) else {
        errors.write_all(USAGE.as_bytes())?;
        return Ok(2);
    };
    match directly(query) {
        Ok(Some(entry)) => {
            output.write_all(system::format(&entry).as_bytes())?;
            output.flush()?;
            Ok(0)
        }
        Ok(None) => Ok(1),
        Err(error) => {
            writeln!(errors, "ERR: systemuser: {error}")?;
            Ok(2)
        }
    }
}

fn query(arguments: &[OsString]) -> Option<Query<'_>> {
    let number = |text: &OsString| text.to_str()?.parse().ok();
    match arguments {
        [word, name] if word == "name" => Some(Query::Name(name.as_bytes(), None)),
        [word, name, gid] if word == "name" => {
            let gid = number(gid).map(Gid::from_raw)?;
            Some(Query::Name(name.as_bytes(), Some(gid)))
        }
        [word, uid] if word == "uid" => number(uid).map(Uid::from_raw).map(Query::Uid),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(arguments: &[&str]) -> (u8, String, String) {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let status = run(&arguments, &mut output, &mut errors).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status, text(output), text(errors))
    }

    #[test]
    fn users_are_told_by_name_and_by_number() {
        let (status, output, _) = answer(&["name", "root"]);
        assert!(status == 0 && output.starts_with("0\n0\n0") && output.ends_with("\nroot\n"));
        assert_eq!(answer(&["uid", "0"]), (0, output, String::new()));
        let (status, output, _) = answer(&["name", "root", "7"]);
        assert!(
            status == 0
                && output
                    .lines()
                    .nth(2)
                    .unwrap()
                    .split(' ')
                    .any(|gid| gid == "7")
        );
        assert_eq!(
            answer(&["name", "no-such-user-here"]),
            (1, String::new(), String::new())
        );
        for wrong in [
            &[][..],
            &["name"],
            &["uid", "x"],
            &["name", "root", "x"],
            &["x", "y"],
        ] {
            assert_eq!(
                answer(wrong),
                (2, String::new(), USAGE.to_owned()),
                "{wrong:?}"
            );
        }
    }
}
