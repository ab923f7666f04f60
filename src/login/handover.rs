//! From a good login to the mail server: who the session becomes, its home directory, its environment, its program
//! (contract: login §7).

use std::ffi::{CString, OsStr};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::logline::Field;
use super::settings::{Protocol, Settings};
use super::skeleton;
use crate::auth::account::AccountInfo;
use crate::sys::log::{Level, log, reason};
use crate::sys::process::{DropError, Identity, drop_privileges, exec};

/// The program that serves mail and the maildir it gets when the account names none: the two arguments of a login
/// program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Path of imapd or pop3d.
    pub program: CString,
    /// The default maildir, relative to the home directory or absolute.
    pub maildir: CString,
}

/// What the client's conversation adds to the session's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The IMAP tag that the server's first reply carries.
    pub tag: Vec<u8>,
    /// UTF8 was switched on before login (POP3).
    pub utf8: bool,
}

/// An account that has passed every check that can be made before privileges go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    identity: Identity,
    address: Vec<u8>,
    home: PathBuf,
    maildir: Option<CString>,
    options: Vec<u8>,
}

/// The record of an account that authdaemond accepted is not fit for a session: like a wrong password, and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// Checks what authdaemond says about an account, and logs what is wrong with it.
///
/// # Errors
/// [`Refused`].
pub fn check(account: AccountInfo) -> Result<Session, Refused> {
    let refuse = |reason: fmt::Arguments<'_>| {
        log(Level::Warning, reason);
        Refused
    };
    let Some(address) = account.address.clone().filter(|text| !text.is_empty()) else {
        return Err(refuse(format_args!("No address!!")));
    };
    let shown = Field(&address);
    let identity = account
        .identity()
        .map_err(|error| refuse(format_args!("{shown}: {error}")))?;
    if !can_become(&identity) {
        return Err(refuse(format_args!("{shown}: {}", DropError::NotOurs)));
    }
    let Some(home) = account
        .home
        .clone()
        .filter(|home| !home.as_os_str().is_empty())
    else {
        return Err(refuse(format_args!("{shown}: No home directory!!")));
    };
    let maildir = match account.maildir {
        Some(maildir) if !maildir.is_empty() => Some(
            CString::new(maildir.as_bytes())
                .map_err(|error| refuse(format_args!("{shown}: MAILDIR: {error}")))?,
        ),
        _ => None,
    };
    Ok(Session {
        identity,
        address,
        home,
        maildir,
        options: account.options.unwrap_or_default(),
    })
}

/// Without root nothing can be dropped, so the account must be ourselves.
fn can_become(identity: &Identity) -> bool {
    let ours = nix::unistd::geteuid() == identity.uid && nix::unistd::getegid() == identity.gid;
    nix::unistd::geteuid().is_root() || ours
}

/// Why the session could not be started although everything was checked. Privileges may be gone, so the program
/// ends.
#[derive(Debug)]
pub enum HandoverError {
    /// The account's uid and gid could not be taken.
    Privileges(DropError),
    /// The home directory cannot be entered.
    Home(PathBuf, io::Error),
    /// A value cannot be passed on.
    Environment(std::ffi::NulError),
    /// The mail server cannot be executed.
    Exec(CString, io::Error),
}

impl HandoverError {
    /// Logs it as the original does.
    pub fn log(&self, address: &[u8]) {
        let shown = Field(address);
        match self {
            Self::Privileges(error) => log(Level::Err, format_args!("{shown}: {error}")),
            Self::Home(home, error) => {
                log(
                    Level::Warning,
                    format_args!("{shown}: chdir({}) failed!!", home.display()),
                );
                log(Level::Warning, format_args!("error: {}", reason(error)));
            }
            Self::Environment(error) => log(Level::Err, format_args!("{shown}: {error}")),
            Self::Exec(program, error) => log(
                Level::Err,
                format_args!(
                    "exec({}) failed!! {}",
                    Path::new(OsStr::from_bytes(program.as_bytes())).display(),
                    reason(error)
                ),
            ),
        }
    }

    /// The system's word for it.
    pub fn reason(&self) -> String {
        match self {
            Self::Privileges(error) => error.to_string(),
            Self::Home(_, error) | Self::Exec(_, error) => reason(error),
            Self::Environment(error) => error.to_string(),
        }
    }
}

impl Session {
    /// The account's identity, what log lines call `user`.
    pub fn address(&self) -> &[u8] {
        &self.address
    }

    /// Becomes the account and execs the server with descriptors 0, 1 and 2 (all others are close-on-exec). The
    /// parser must be gone. Returns only on failure.
    pub fn start(
        &self,
        settings: &Settings,
        environment: &Environment,
        server: &Server,
        origin: &Origin,
    ) -> HandoverError {
        if let Some(skeleton) = &settings.skeleton {
            skeleton::make_home(skeleton, &self.home, &self.identity);
        }
        if let Err(error) = drop_privileges(&self.identity) {
            return HandoverError::Privileges(error);
        }
        if let Err(error) = std::env::set_current_dir(&self.home) {
            return HandoverError::Home(self.home.clone(), error);
        }
        let environment = match self.environment(settings, environment, origin).for_exec() {
            Ok(environment) => environment,
            Err(error) => return HandoverError::Environment(error),
        };
        let maildir = self.maildir.as_ref().unwrap_or(&server.maildir);
        let arguments = [server.program.clone(), maildir.clone()];
        let error = exec(&server.program, &arguments, &environment);
        HandoverError::Exec(server.program.clone(), error)
    }

    fn environment(
        &self,
        settings: &Settings,
        inherited: &Environment,
        origin: &Origin,
    ) -> Environment {
        let mut environment = inherited.clone();
        environment.set("AUTHENTICATED", &self.address);
        environment.set("OPTIONS", &self.options);
        match settings.protocol {
            Protocol::Imap => {
                environment.set("IMAPLOGINTAG", &origin.tag);
                environment.set("PROTOCOL", b"IMAP");
                environment.set_default("TCPREMOTEIP", &settings.remote_ip);
                environment.set_default("TCPREMOTEPORT", &settings.remote_port);
                environment.set_default("TCPLOCALPORT", b"143");
            }
            Protocol::Pop3 => environment.set("UTF8", if origin.utf8 { b"1" } else { b"0" }),
        }
        environment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(extra: &str) -> AccountInfo {
        // Ours, so that the checks pass without root.
        let uid = nix::unistd::geteuid().as_raw().max(1);
        let gid = nix::unistd::getegid().as_raw().max(1);
        let reply = format!("ADDRESS=al\nUID={uid}\nGID={gid}\nHOME=/tmp\n{extra}");
        AccountInfo::parse(reply.as_bytes()).unwrap()
    }

    #[test]
    fn accounts_without_a_name_or_an_identity_and_root_are_refused() {
        for reply in [
            "UID=5\nGID=5\nHOME=/",
            "ADDRESS=x\nGID=5\nHOME=/",
            "ADDRESS=x\nUID=0\nGID=5\nHOME=/",
            "ADDRESS=x\nUID=5\nGID=0\nHOME=/",
        ] {
            let account = AccountInfo::parse(reply.as_bytes()).unwrap();
            assert!(matches!(check(account), Err(Refused)), "{reply}");
        }
        assert!(check(account("")).is_ok());
    }

    #[test]
    fn the_environment_is_the_inherited_one_and_the_contracts_additions() {
        let inherited = Environment::from([
            ("IMAP_KEYWORDS", "1"),
            ("AUTHENTICATED", "stale"),
            ("TCPREMOTEIP", "192.0.2.1"),
            ("IMAPLOGINTAG", "stale"),
        ]);
        let settings = Settings::read(Protocol::Imap, &inherited);
        let session = check(account("OPTIONS=disableimap=0\n")).unwrap();
        let origin = Origin {
            tag: b"a1".to_vec(),
            utf8: false,
        };
        let environment = session.environment(&settings, &inherited, &origin);
        let mut lines = environment.for_exec().unwrap();
        lines.sort();
        assert_eq!(
            lines,
            [
                c"AUTHENTICATED=al",
                c"IMAPLOGINTAG=a1",
                c"IMAP_KEYWORDS=1",
                c"OPTIONS=disableimap=0",
                c"PROTOCOL=IMAP",
                c"TCPLOCALPORT=143",
                c"TCPREMOTEIP=192.0.2.1",
                c"TCPREMOTEPORT=N/A",
            ]
            .map(|line| line.to_owned())
        );
    }
}
