//! Who a system account is, for programs that are started for every connection. These are linked statically where
//! that is possible, and a static program cannot use NSS: the C library would load the system's name service libraries
//! into it, which must be exactly its own version. So they ask `systemuser`, a program that is linked like any other.
//! Only accounts that authdaemond names by a system user cost that.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use nix::unistd::{Gid, Uid};

use crate::config::paths::Paths;
use crate::sys::process::Identity;
use crate::sys::user::{Entry, Query, chosen};

/// Name of the program, in `libexecdir`.
const PROGRAM: &str = "systemuser";

/// The user that `query` asks for: through the program, unless something else was chosen.
///
/// # Errors
/// Those of the lookup; `Ok(None)` when there is no such user.
pub fn entry(query: Query<'_>) -> io::Result<Option<Entry>> {
    match chosen() {
        Some(ask) => ask(query),
        None => by_program(query),
    }
}

/// Which groups an identity brings along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups {
    /// The primary group of the system database alone.
    Primary,
    /// The primary group and all supplementary groups of the system database.
    All,
    /// This group and all supplementary groups of the system database.
    AllWith(Gid),
}

/// The identity of system user `name`.
///
/// # Errors
/// As [`entry`].
pub fn identity(name: &[u8], groups: Groups) -> io::Result<Option<Identity>> {
    let asked = match groups {
        Groups::Primary | Groups::All => None,
        Groups::AllWith(gid) => Some(gid),
    };
    let Some(entry) = entry(Query::Name(name, asked))? else {
        return Ok(None);
    };
    Ok(Some(Identity {
        uid: entry.uid,
        gid: asked.unwrap_or(entry.gid),
        groups: match groups {
            Groups::Primary => None,
            Groups::All | Groups::AllWith(_) => Some(entry.groups),
        },
    }))
}

/// Asks the program.
///
/// # Errors
/// It cannot be started, or says that the lookup failed.
pub fn by_program(query: Query<'_>) -> io::Result<Option<Entry>> {
    let paths = Paths::load().map_err(io::Error::other)?;
    let program = paths.libexecdir.join(PROGRAM);
    let mut command = Command::new(&program);
    match query {
        Query::Name(name, gid) => {
            command.arg("name").arg(OsStr::from_bytes(name));
            if let Some(gid) = gid {
                command.arg(gid.to_string());
            }
        }
        Query::Uid(uid) => {
            command.arg("uid").arg(uid.to_string());
        }
    }
    // Its standard error is the log's.
    let output = command
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
    match output.status.code() {
        Some(0) => parse(&output.stdout).map(Some).ok_or_else(|| {
            io::Error::other(format!("{}: not its usual answer", program.display()))
        }),
        Some(1) => Ok(None),
        _ => Err(io::Error::other(format!(
            "{}: {}",
            program.display(),
            output.status
        ))),
    }
}

/// What `systemuser` prints: uid, gid, groups and name, a line each.
pub fn format(entry: &Entry) -> String {
    let groups: Vec<String> = entry.groups.iter().map(Gid::to_string).collect();
    format!(
        "{}\n{}\n{}\n{}\n",
        entry.uid,
        entry.gid,
        groups.join(" "),
        entry.name
    )
}

fn parse(answer: &[u8]) -> Option<Entry> {
    let text = std::str::from_utf8(answer).ok()?.strip_suffix('\n')?;
    let mut lines = text.split('\n');
    let uid = lines.next()?.parse().ok().map(Uid::from_raw)?;
    let gid = lines.next()?.parse().ok().map(Gid::from_raw)?;
    let groups = lines
        .next()?
        .split(' ')
        .map(|group| group.parse().ok().map(Gid::from_raw))
        .collect::<Option<_>>()?;
    let name = lines.next().filter(|name| !name.is_empty())?.to_owned();
    if lines.next().is_some() {
        return None;
    }
    Some(Entry {
        name,
        uid,
        gid,
        groups,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_is_written_and_nothing_else_is() {
        let entry = Entry {
            name: "DOMAIN\\a user".to_owned(),
            uid: Uid::from_raw(1000),
            gid: Gid::from_raw(100),
            groups: [100, 7, 4_294_967_294].map(Gid::from_raw).to_vec(),
        };
        let text = format(&entry);
        assert_eq!(parse(text.as_bytes()), Some(entry));
        for end in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..end]), None, "{end}");
        }
        for wrong in [
            "1\n2\n3\nx\ny\n",
            "1\n2\n\nx\n",
            "1\n-2\n3\nx\n",
            "1\n2\n3\n\n",
        ] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
