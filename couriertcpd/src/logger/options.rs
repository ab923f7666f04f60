//! courierlogger's command line.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::arguments::{Arguments, Unknown};
use crate::identity::Identity;

const NAMES: &[&str] = &[
    "drain", "droproot", "facility", "group", "name", "pid", "renew", "respawn", "restart",
    "start", "stderr", "stop", "user",
];

const USAGE: &str = "Usage: courierlogger [-name=name] [-pid=pidfile] [-facility=type]
       [-start|-stop|-restart] [cmd [args...]]";

/// Names of syslog facilities on Linux.
const FACILITIES: &[(&str, libc::c_int)] = &[
    ("auth", libc::LOG_AUTH),
    ("authpriv", libc::LOG_AUTHPRIV),
    ("cron", libc::LOG_CRON),
    ("daemon", libc::LOG_DAEMON),
    ("ftp", libc::LOG_FTP),
    ("kern", libc::LOG_KERN),
    ("lpr", libc::LOG_LPR),
    ("mail", libc::LOG_MAIL),
    ("news", libc::LOG_NEWS),
    ("user", libc::LOG_USER),
    ("uucp", libc::LOG_UUCP),
    ("local0", libc::LOG_LOCAL0),
    ("local1", libc::LOG_LOCAL1),
    ("local2", libc::LOG_LOCAL2),
    ("local3", libc::LOG_LOCAL3),
    ("local4", libc::LOG_LOCAL4),
    ("local5", libc::LOG_LOCAL5),
    ("local6", libc::LOG_LOCAL6),
    ("local7", libc::LOG_LOCAL7),
];

/// What to do.
#[derive(Debug)]
pub(super) enum Action {
    /// `-stop` with its pid file.
    Stop(PathBuf),
    /// `-restart` with its pid file.
    Restart(PathBuf),
    /// `-renew` with its pid file.
    Renew(PathBuf),
    /// `-drain` with its pid file.
    Drain(PathBuf),
    /// Log something.
    Run(Box<Run>),
}

/// Log standard input, or start a program and log its standard error.
#[derive(Debug)]
pub(super) struct Run {
    /// The tag.
    pub(super) name: CString,
    /// A `LOG_` facility.
    pub(super) facility: libc::c_int,
    /// Lines go to our standard error instead of syslog (not in the original).
    pub(super) to_stderr: bool,
    /// Become a daemon with this pid file.
    pub(super) pid_file: Option<PathBuf>,
    /// Start the program again when it ends.
    pub(super) respawn: bool,
    /// Who the logger becomes.
    pub(super) identity: Identity,
    /// The program too.
    pub(super) drop_root: bool,
    /// The program; empty to log standard input.
    pub(super) argv: Vec<CString>,
}

/// Reads the command line after the program's name.
///
/// # Errors
/// The text to print before exiting with status 1.
pub(super) fn parse(arguments: &[OsString]) -> Result<Action, String> {
    let compatible_name = match arguments {
        [] => return Err(USAGE.into()),
        [name] if !name.as_bytes().starts_with(b"-") => Some(name.clone()),
        _ => None,
    };
    let parsed = Arguments::parse(arguments, NAMES)
        .map_err(|Unknown(argument)| format!("Unknown option '{argument}'"))?;
    for name in ["name", "facility", "pid", "user", "group"] {
        if parsed.has(name) && parsed.last(name).is_none_or(|value| value.is_empty()) {
            let given = arguments
                .iter()
                .map(|argument| argument.to_string_lossy())
                .find(|argument| argument.trim_end_matches('=') == format!("-{name}"))
                .unwrap_or_default();
            return Err(format!("Unknown option '{given}'"));
        }
    }
    let pid_file = parsed.last("pid").map(PathBuf::from);
    let action = ["stop", "restart", "renew", "drain"]
        .into_iter()
        .find(|name| parsed.has(name));
    if let Some(action) = action {
        let pid_file = pid_file.ok_or("-pid argument required")?;
        return Ok(match action {
            "stop" => Action::Stop(pid_file),
            "restart" => Action::Restart(pid_file),
            "renew" => Action::Renew(pid_file),
            _ => Action::Drain(pid_file),
        });
    }
    if parsed.has("start") && pid_file.is_none() {
        return Err("-pid argument required".into());
    }
    let argv = match compatible_name {
        Some(_) => Vec::new(),
        None => parsed
            .operands
            .iter()
            .map(|argument| CString::new(argument.as_bytes()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_nul| USAGE)?,
    };
    let name = compatible_name
        .or_else(|| parsed.last("name").map(OsString::from))
        .or_else(|| {
            let program = std::ffi::OsStr::from_bytes(argv.first()?.to_bytes());
            Path::new(program).file_name().map(OsString::from)
        })
        .and_then(|name| CString::new(name.as_bytes()).ok())
        .ok_or("-name option required for standalone logger")?;
    if pid_file.is_some() && argv.is_empty() {
        return Err("-start must be followed by a command to execute".into());
    }
    let facility = match parsed.last("facility") {
        None => libc::LOG_MAIL,
        Some(wanted) => {
            FACILITIES
                .iter()
                .find(|(name, _number)| *name == wanted)
                .ok_or_else(|| format!("Unknown facility name '{wanted}'"))?
                .1
        }
    };
    let identity = Identity::resolve(
        parsed.last("user").as_deref(),
        parsed.last("group").as_deref(),
    )
    .map_err(|error| error.to_string())?;
    Ok(Action::Run(Box::new(Run {
        name,
        facility,
        to_stderr: parsed.has("stderr"),
        pid_file,
        respawn: parsed.has("respawn"),
        identity,
        drop_root: parsed.has("droproot"),
        argv,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Action, String> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        parse(&arguments)
    }

    fn ok(arguments: &[&str]) -> Run {
        match run(arguments).unwrap() {
            Action::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_five_forms_are_told_apart() {
        let a = ok(&["abc"]);
        assert_eq!((a.name.as_c_str(), a.argv.len()), (c"abc", 0));
        let b = ok(&["-name=abc", "-facility=local3"]);
        assert_eq!((b.argv.len(), b.facility), (0, libc::LOG_LOCAL3));
        let c = ok(&["-respawn", "/usr/bin/prog", "-x"]);
        assert_eq!((c.name.as_c_str(), c.argv.len()), (c"prog", 2));
        assert!(c.respawn && c.pid_file.is_none());
        let d = ok(&["-pid=/p", "prog"]);
        assert_eq!(d.pid_file.unwrap(), Path::new("/p"));
        assert!(matches!(run(&["-pid=/p", "-stop"]), Ok(Action::Stop(_))));
        assert!(matches!(
            run(&["-restart", "-pid=/p"]),
            Ok(Action::Restart(_))
        ));
    }

    #[test]
    fn bad_command_lines_get_the_original_messages() {
        for (arguments, message) in [
            (&[][..], USAGE),
            (&["-x"], "Unknown option '-x'"),
            (&["--name=0"], "Unknown option '--name=0'"),
            (&["-name"], "Unknown option '-name'"),
            (&["-name=", "x"], "Unknown option '-name='"),
            (&["-start"], "-pid argument required"),
            (&["-stop"], "-pid argument required"),
            (&["-restart"], "-pid argument required"),
            (&["-renew"], "-pid argument required"),
            (&["-drain"], "-pid argument required"),
            (&["-respawn"], "-name option required for standalone logger"),
            (
                &["-pid=/p", "-start"],
                "-name option required for standalone logger",
            ),
            (
                &["-pid=/p", "-name=x"],
                "-start must be followed by a command to execute",
            ),
            (&["-facility=zz", "-name=x"], "Unknown facility name 'zz'"),
        ] {
            assert_eq!(run(arguments).unwrap_err(), message);
        }
    }
}
