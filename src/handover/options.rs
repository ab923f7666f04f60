//! The command line of couriertls (contract: couriertls 1).

use std::ffi::OsString;
use std::fmt;

use getopts::{Fail, Options as Getopts, ParsingStyle};

/// What couriertls was asked to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Server side of the handshake.
    pub server: bool,
    /// The peer is on descriptor 0; 1 becomes a copy of 2.
    pub tcpd: bool,
    /// The peer is on this descriptor.
    pub remote_fd: Option<i32>,
    /// Connect to this host (client).
    pub host: Option<String>,
    /// Connect to this port (client).
    pub port: Option<String>,
    /// The plain side.
    pub local_fd: Option<i32>,
    /// Where errors of the handshake go; closed without a word on success.
    pub status_fd: Option<i32>,
    /// Where the description of the connection goes.
    pub print_x509: Option<i32>,
    /// The peer's certificate must be for this domain.
    pub verify: Option<String>,
    /// Speak STARTTLS of this protocol first (client).
    pub protocol: Option<String>,
    /// Become this user.
    pub user: Option<String>,
    /// Program and arguments for the plain side.
    pub program: Vec<OsString>,
}

/// Why the command line cannot be obeyed.
#[derive(Debug, PartialEq, Eq)]
pub enum OptionError {
    /// Not an option of couriertls.
    Invalid(String),
    /// The option's value is not a descriptor number.
    Descriptor(&'static str, String),
    /// Nothing says where the peer is.
    NoRemote,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(option) => write!(f, "Invalid option: {option}"),
            Self::Descriptor(option, value) => {
                write!(f, "-{option}={value}: not a descriptor number")
            }
            Self::NoRemote => write!(f, "specify remote location."),
        }
    }
}

impl Options {
    /// Parses everything after the program name.
    ///
    /// # Errors
    /// [`OptionError`], whose text is for the person who typed it.
    pub fn parse(arguments: &[OsString]) -> Result<Self, OptionError> {
        let mut getopts = Getopts::new();
        getopts
            .parsing_style(ParsingStyle::StopAtFirstFree)
            .long_only(true);
        for name in [
            "server",
            "tcpd",
            "remotefd",
            "host",
            "port",
            "localfd",
            "statusfd",
            "printx509",
            "verify",
            "protocol",
            "user",
        ] {
            getopts.optflagopt("", name, "", "");
        }
        let matches = getopts.parse(arguments).map_err(|fail| match fail {
            Fail::UnrecognizedOption(option) => OptionError::Invalid(format!("-{option}")),
            other => OptionError::Invalid(other.to_string()),
        })?;
        // The last one given wins.
        let text = |name: &str| matches.opt_strs(name).pop();
        let number = |name: &'static str| match text(name) {
            None => Ok(None),
            Some(value) => match value.parse() {
                Ok(number) if number >= 0 => Ok(Some(number)),
                _ => Err(OptionError::Descriptor(name, value)),
            },
        };
        let options = Self {
            server: matches.opt_present("server"),
            tcpd: matches.opt_present("tcpd"),
            remote_fd: number("remotefd")?,
            host: text("host"),
            port: text("port"),
            local_fd: number("localfd")?,
            status_fd: number("statusfd")?,
            print_x509: number("printx509")?,
            verify: text("verify").filter(|domain| !domain.is_empty()),
            protocol: text("protocol"),
            user: text("user").filter(|user| !user.is_empty()),
            program: matches.free.iter().map(OsString::from).collect(),
        };
        let located = options.tcpd
            || options.remote_fd.is_some()
            || (options.host.is_some() && options.port.is_some());
        if located {
            Ok(options)
        } else {
            Err(OptionError::NoRemote)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, OptionError> {
        Options::parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_two_ways_in_which_it_is_started() {
        let direct = parse(&[
            "-server",
            "-tcpd",
            "-user=daemon",
            "/sbin/imaplogin",
            "/bin/imapd",
            "-x",
        ])
        .unwrap();
        assert!(direct.server && direct.tcpd);
        assert_eq!(direct.user.as_deref(), Some("daemon"));
        assert_eq!(direct.program, ["/sbin/imaplogin", "/bin/imapd", "-x"]);
        let starttls = parse(&[
            "-statusfd=5",
            "-printx509=6",
            "-localfd=7",
            "-tcpd",
            "-server",
        ])
        .unwrap();
        assert_eq!(
            (starttls.status_fd, starttls.print_x509, starttls.local_fd),
            (Some(5), Some(6), Some(7))
        );
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(parse(&["-frob"]), Err(OptionError::Invalid("-frob".into())));
        assert_eq!(parse(&["-server"]), Err(OptionError::NoRemote));
        assert!(matches!(
            parse(&["-tcpd", "-localfd=x"]),
            Err(OptionError::Descriptor("localfd", _))
        ));
    }
}
