//! What couriertcpd's command line asks for, checked before anything is started (contract: couriertcpd 1.1).

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::socket::Backlog;

use crate::arguments::Arguments;
use crate::dnslist::{Kind, List};
use crate::identity::Identity;
use crate::listen;
use crate::proxy::Rules;
use crate::slots::Whole;

const NAMES: &[&str] = &[
    "access",
    "accesslocal",
    "address",
    "allow",
    "block",
    "denymsg",
    "drop",
    "group",
    "haproxy",
    "haproxyfrom",
    "listen",
    "maxperc",
    "maxperip",
    "maxperipv6bits",
    "maxprocs",
    "nodnslookup",
    "noidentlookup",
    "pid",
    "proxy",
    "renew",
    "restart",
    "stderr",
    "stderrlogger",
    "stderrloggername",
    "stop",
    "user",
    "validate",
    "warn",
];

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// `-stop` with its pid file.
    Stop(PathBuf),
    /// `-restart` with its pid file.
    Restart(PathBuf),
    /// Listen.
    Serve(Box<Service>),
    /// `-validate`: say whether that would work.
    Validate(Box<Service>),
}

/// Where descriptor 2 of the daemon and of the sessions leads.
#[derive(Debug)]
pub enum Stderr {
    /// Where it led before.
    Inherited,
    /// Appended to this file.
    File(PathBuf),
    /// The daemon's stays; a session's is the connection.
    Socket,
    /// To a logger: its path and its argument.
    Logger(CString, CString),
}

/// Everything the listener needs to know.
#[derive(Debug)]
pub struct Service {
    /// What to listen on.
    pub entries: Vec<listen::Entry>,
    /// `-listen`, else the system's maximum.
    pub backlog: Backlog,
    /// `-access`.
    pub access: Option<PathBuf>,
    /// `-accesslocal`.
    pub access_local: bool,
    /// `-denymsg`, without the line feed that follows it.
    pub deny_message: Option<Vec<u8>>,
    /// `-block` and `-allow`, in their order.
    pub lists: Vec<List>,
    /// `-drop`: names of variables.
    pub drop: Vec<Vec<u8>>,
    /// `-user` and `-group`.
    pub identity: Identity,
    /// `-maxprocs`.
    pub max_processes: usize,
    /// `-maxperip`.
    pub max_per_address: usize,
    /// `-maxperipv6bits`.
    pub whole: Whole,
    /// `-maxperc`.
    pub max_per_block: usize,
    /// From how many connections on a warning is logged.
    pub warn: usize,
    /// Whether TCPREMOTEHOST and TCPLOCALHOST are looked up.
    pub names: bool,
    /// `-haproxy` and `-haproxyfrom`.
    pub proxies: Rules,
    /// `-renew`: the script that starts a successor in our place.
    pub renew: Option<CString>,
    /// `-pid`.
    pub pid_file: Option<PathBuf>,
    /// `-stderr`, `-stderrlogger`, `-stderrloggername`.
    pub stderr: Stderr,
    /// The program and its arguments, its name included.
    pub argv: Vec<CString>,
}

/// Reads the command line after the program's name, which `program` is for messages.
///
/// # Errors
/// The line to print before exiting with status 1.
pub fn parse(program: &str, arguments: &[OsString]) -> Result<Action, String> {
    let arguments = Arguments::parse(arguments, NAMES)
        .map_err(|unknown| format!("{program}: Invalid option: {}", unknown.0))?;
    let pid_file = arguments
        .last("pid")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let stop = arguments.has("stop");
    if stop || arguments.has("restart") {
        let pid_file = pid_file.ok_or_else(|| format!("{program}: -pid argument is required."))?;
        return Ok(if stop {
            Action::Stop(pid_file)
        } else {
            Action::Restart(pid_file)
        });
    }
    let [list, command @ ..] = arguments.operands.as_slice() else {
        return Err(usage(program));
    };
    let argv = command
        .iter()
        .map(|argument| CString::new(argument.as_bytes()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_nul| usage(program))?;
    let Some(served) = argv.first() else {
        return Err(usage(program));
    };
    let mut lists = Vec::new();
    for (kind, name) in [(Kind::Block, "block"), (Kind::Allow, "allow")] {
        lists.extend(
            arguments
                .all(name)
                .into_iter()
                .map(|(at, text)| (at, kind, text)),
        );
    }
    lists.sort_by_key(|(at, ..)| *at);
    let lists = lists
        .into_iter()
        .map(|(_, kind, text)| List::parse(kind, &text))
        .collect::<Result<Vec<_>, _>>()?;
    let count = |name: &str, shown: &str, default: usize| match arguments.last(name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|&number| number > 0)
            .ok_or_else(|| format!("Invalid -{shown} option.")),
    };
    let max_processes = count("maxprocs", "maxprocsarg", 40)?;
    let max_per_address = count("maxperip", "maxperip", 4)?;
    let whole = match arguments.last("maxperipv6bits") {
        None => Whole::default(),
        Some(text) => text
            .parse()
            .ok()
            .filter(|bits| (1..=128).contains(bits))
            .map(Whole)
            .ok_or("Invalid -maxperipv6bits option.")?,
    };
    let max_per_block = count("maxperc", "maxperc", max_processes)?;
    let backlog = match arguments.last("listen") {
        None => Backlog::MAXCONN,
        Some(text) => text
            .parse()
            .ok()
            .filter(|&number: &i32| number > 0)
            .and_then(|number| Backlog::new(number.min(i32::from(Backlog::MAXCONN))).ok())
            .ok_or("Invalid -listen option.")?,
    };
    let warn = arguments
        .last("warn")
        .and_then(|text| text.parse().ok())
        .filter(|&warn| warn <= max_processes)
        .unwrap_or_else(|| max_processes.saturating_sub(max_processes / 10 + 1));
    let access = arguments
        .last("access")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let access_local = arguments.has("accesslocal");
    let list = list.to_str().unwrap_or_default();
    let address = arguments.last("address");
    let renew = arguments.last("renew").filter(|path| !path.is_empty());
    if renew.is_some() && pid_file.is_some() {
        return Err(format!(
            "{program}: -renew is for a server under courierlogger, without -pid"
        ));
    }
    let service = Box::new(Service {
        entries: listen::parse(list, address.as_deref()).map_err(|error| error.to_string())?,
        backlog,
        access,
        access_local,
        deny_message: arguments.last("denymsg").map(String::into_bytes),
        lists,
        drop: match arguments.last("drop") {
            None => Vec::new(),
            Some(names) => drop_names(&names),
        },
        identity: Identity::resolve(
            arguments.last("user").as_deref(),
            arguments.last("group").as_deref(),
        )
        .map_err(|error| error.to_string())?,
        max_processes,
        max_per_address,
        whole,
        max_per_block,
        warn,
        names: !arguments.has("nodnslookup"),
        proxies: Rules::parse(
            arguments.last("haproxy").as_deref(),
            arguments.last("haproxyfrom").as_deref(),
        )?,
        renew: renew
            .map(CString::new)
            .transpose()
            .map_err(|_nul| usage(program))?,
        pid_file,
        stderr: stderr(&arguments, served)?,
        argv,
    });
    Ok(if arguments.has("validate") {
        Action::Validate(service)
    } else {
        Action::Serve(service)
    })
}

fn usage(program: &str) -> String {
    format!("Usage: {program} [options] port prog arg1 arg2...")
}

fn drop_names(list: &str) -> Vec<Vec<u8>> {
    let names: Vec<_> = list
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.as_bytes().to_vec())
        .collect();
    if names.is_empty() {
        vec![b"BLOCK".to_vec()]
    } else {
        names
    }
}

fn stderr(arguments: &Arguments, served: &CString) -> Result<Stderr, String> {
    if let Some(logger) = arguments
        .last("stderrlogger")
        .filter(|path| !path.is_empty())
    {
        let name = match arguments.last("stderrloggername") {
            Some(name) if !name.is_empty() => name.into_bytes(),
            _ => Path::new(std::ffi::OsStr::from_bytes(served.to_bytes()))
                .file_name()
                .map(|name| name.as_bytes().to_vec())
                .unwrap_or_default(),
        };
        let invalid = |_nul| String::from("Invalid -stderrlogger option.");
        return Ok(Stderr::Logger(
            CString::new(logger).map_err(invalid)?,
            CString::new(name).map_err(invalid)?,
        ));
    }
    Ok(match arguments.last("stderr").as_deref() {
        None | Some("") => Stderr::Inherited,
        Some("socket") => Stderr::Socket,
        Some(path) => Stderr::File(PathBuf::from(path)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Action, String> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        parse("couriertcpd", &arguments)
    }

    fn service(options: &[&str]) -> Service {
        let mut arguments = options.to_vec();
        arguments.extend(["143", "/bin/prog", "-x"]);
        match run(&arguments).unwrap() {
            Action::Serve(service) => *service,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let service = service(&[]);
        assert_eq!(service.max_processes, 40);
        assert_eq!(service.max_per_address, 4);
        assert_eq!(service.max_per_block, 40);
        assert_eq!(service.warn, 35);
        assert!(service.names);
        assert_eq!(service.argv, [c"/bin/prog".into(), CString::from(c"-x")]);
    }

    #[test]
    fn options_of_old_and_new_configuration_files_are_accepted() {
        let service = service(&[
            "-nodnslookup",
            "-noidentlookup",
            "-proxy",
            "-address=0",
            "-maxprocs=10",
            "-warn=11",
            "-access=",
        ]);
        assert!(!service.names);
        // Out of range, so the default stays.
        assert_eq!(service.warn, 8);
        assert_eq!(service.max_per_block, 10);
        assert_eq!(service.access, None);
    }

    #[test]
    fn bad_command_lines_get_the_original_messages() {
        for (arguments, message) in [
            (
                &["-foo", "143", "p"][..],
                "couriertcpd: Invalid option: -foo",
            ),
            (&["--stop"], "couriertcpd: Invalid option: --stop"),
            (&["-stop"], "couriertcpd: -pid argument is required."),
            (
                &["-restart", "-pid"],
                "couriertcpd: -pid argument is required.",
            ),
            (
                &["143"],
                "Usage: couriertcpd [options] port prog arg1 arg2...",
            ),
            (&["-maxprocs=0", "143", "p"], "Invalid -maxprocsarg option."),
            (
                &["-maxprocs=5x", "143", "p"],
                "Invalid -maxprocsarg option.",
            ),
            (&["-maxperip=-1", "143", "p"], "Invalid -maxperip option."),
            (&["-maxperc=", "143", "p"], "Invalid -maxperc option."),
            (
                &["-maxperipv6bits=129", "143", "p"],
                "Invalid -maxperipv6bits option.",
            ),
            (&["-listen=0", "143", "p"], "Invalid -listen option."),
            (&["0", "p"], "Invalid port: 0"),
            (&["-haproxy=x", "143", "p"], "Invalid -haproxy option: x"),
            (&["-haproxyfrom=x", "143", "p"], "Invalid IP address: x"),
            (
                &["-block=zone.example/x", "143", "p"],
                "Invalid -block option: zone.example/x",
            ),
        ] {
            assert_eq!(run(arguments).unwrap_err(), message);
        }
    }

    #[test]
    fn dns_lists_keep_the_order_of_the_command_line() {
        let service = service(&["-block=a", "-allow=b", "-block=c,V"]);
        let expected = [(Kind::Block, "a"), (Kind::Allow, "b"), (Kind::Block, "c,V")];
        let expected = expected.map(|(kind, text)| List::parse(kind, text).unwrap());
        assert_eq!(service.lists, expected);
    }

    #[test]
    fn drop_takes_a_list_and_defaults_to_block() {
        assert!(service(&[]).drop.is_empty());
        assert_eq!(service(&["-drop"]).drop, [b"BLOCK"]);
        assert_eq!(service(&["-drop=A,B"]).drop, [b"A", b"B"]);
    }

    #[test]
    fn the_logger_is_named_after_the_program() {
        match service(&["-stderrlogger=/sbin/logger", "-stderr=/tmp/x"]).stderr {
            Stderr::Logger(path, name) => {
                assert_eq!(path.as_c_str(), c"/sbin/logger");
                assert_eq!(name.as_c_str(), c"prog");
            }
            other => panic!("{other:?}"),
        }
    }
}
