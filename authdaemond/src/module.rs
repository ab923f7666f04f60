//! What an authentication module is, and which ones there are (contract: auth-modules §1).

use std::path::Path;

use courier::auth::account::AccountInfo;
use courier::config::paths::Paths;
use courier::sys::log::{Level, log};

use crate::backend::sql::{Sql, clause::Dialect};
use crate::backend::{custom::Custom, ldap::Ldap, pipe::Pipe, system, userdb::Userdb};
use crate::debug::{Debug, Text};
use crate::password::Checker;
use crate::protocol::Auth;

/// What a module says about credentials or an account.
#[derive(Debug)]
pub enum Verdict {
    /// This is the account.
    Accept(Box<AccountInfo>),
    /// Not mine, or wrong: the next module is asked.
    Reject,
    /// My back end is down: nobody else is asked and the peer gets no answer.
    TempFail,
}

impl Verdict {
    /// The answer to a request that needs no password.
    pub fn of<E>(found: Result<Option<AccountInfo>, E>) -> Self {
        match found {
            Ok(Some(info)) => Self::Accept(Box::new(info)),
            Ok(None) => Self::Reject,
            Err(_) => Self::TempFail,
        }
    }
}

/// What a module says about a password change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Done.
    Changed,
    /// Not mine, or the old password is wrong: the next module is asked.
    NotMine,
    /// Mine, and it failed: nobody else is asked.
    Failed,
}

/// A list that broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aborted;

/// What a module may need beside the request.
#[derive(Debug)]
pub struct Context<'a> {
    /// Where debug lines go.
    pub debug: Debug,
    /// Checks stored passwords.
    pub checker: &'a mut Checker,
    /// Address of whoever logs in, if the peer said.
    pub remote: Option<&'a [u8]>,
}

/// One source of accounts. Lives in one worker, for as long as the worker.
pub trait Module {
    /// Its name in `authmodulelist`.
    fn name(&self) -> &'static str;
    /// Checks credentials.
    fn authenticate(&mut self, auth: &Auth, context: &mut Context<'_>) -> Verdict;
    /// Looks an account up.
    fn lookup(&mut self, service: &[u8], user: &[u8], context: &mut Context<'_>) -> Verdict;
    /// Changes a password after checking the old one.
    fn change_password(
        &mut self,
        service: &[u8],
        user: &[u8],
        old: &[u8],
        new: &[u8],
        context: &mut Context<'_>,
    ) -> Change;
    /// Nothing was asked for minutes: close what is open.
    fn idle(&mut self);
    /// Whether the module has a heading in the list of accounts.
    fn lists(&self) -> bool {
        true
    }
    /// Calls `each` for every account.
    ///
    /// # Errors
    /// [`Aborted`] when accounts may be missing.
    fn enumerate(
        &mut self,
        context: &mut Context<'_>,
        each: &mut dyn FnMut(AccountInfo),
    ) -> Result<(), Aborted>;
}

/// The modules that names can stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// userdb.
    Userdb,
    /// PAM.
    Pam,
    /// The passwd file.
    Passwd,
    /// The shadow file.
    Shadow,
    /// A program.
    Pipe,
    /// The original's stub for site code; rejects everything.
    Custom,
    /// A table on a server or in a file.
    Sql(Dialect),
    /// A directory.
    Ldap,
}

/// Modules that count as installed when their configuration file is there.
const CONFIGURED: [(&str, &str, Kind); 4] = [
    ("authldap", "authldaprc", Kind::Ldap),
    ("authmysql", "authmysqlrc", Kind::Sql(Dialect::Mysql)),
    ("authpgsql", "authpgsqlrc", Kind::Sql(Dialect::Pgsql)),
    ("authsqlite", "authsqliterc", Kind::Sql(Dialect::Sqlite)),
];

impl Kind {
    fn by_name(name: &[u8], directory: &Path) -> Option<Self> {
        match name {
            b"authuserdb" => Some(Self::Userdb),
            b"authpam" => Some(Self::Pam),
            b"authpwd" => Some(Self::Passwd),
            b"authshadow" => Some(Self::Shadow),
            b"authpipe" => Some(Self::Pipe),
            b"authcustom" => Some(Self::Custom),
            _ => CONFIGURED
                .into_iter()
                .find(|(known, rc, _)| known.as_bytes() == name && directory.join(rc).exists())
                .map(|(_, _, kind)| kind),
        }
    }

    fn build(self, paths: &Paths) -> Box<dyn Module> {
        match self {
            Self::Userdb => Box::new(Userdb::new(&paths.userdb)),
            Self::Pam => Box::new(system::System::pam(paths)),
            Self::Passwd => Box::new(system::System::passwd(paths)),
            Self::Shadow => Box::new(system::System::shadow(paths)),
            Self::Pipe => Box::new(Pipe::new(rc_directory(paths).join("authProg"))),
            Self::Custom => Box::new(Custom),
            Self::Sql(dialect) => {
                let kind = Self::Sql(dialect);
                let names = CONFIGURED.into_iter().find(|(.., known)| *known == kind);
                let (name, rc, _) = names.unwrap_or(("authsqlite", "authsqliterc", kind));
                Box::new(Sql::new(
                    dialect,
                    name,
                    &rc_directory(paths).join(rc),
                    paths,
                ))
            }
            Self::Ldap => Box::new(Ldap::new(&rc_directory(paths).join("authldaprc"), paths)),
        }
    }
}

fn rc_directory(paths: &Paths) -> &Path {
    paths
        .authdaemonrc
        .parent()
        .unwrap_or_else(|| Path::new("/"))
}

/// Finds out what the names of `authmodulelist` stand for and logs it the way the original does. Names that stand
/// for nothing are skipped. A database module whose configuration file is absent counts as not installed: the
/// original's stock list names modules that come in packages of their own.
pub fn install(names: &[Vec<u8>], paths: &Paths) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for name in names {
        log(
            Level::Info,
            format_args!("Installing lib{}.so.0", Text(name)),
        );
        match Kind::by_name(name, rc_directory(paths)) {
            Some(kind) => {
                log(
                    Level::Info,
                    format_args!("Installation complete: {}", Text(name)),
                );
                kinds.push(kind);
            }
            None => log(Level::Info, format_args!("file not found")),
        }
    }
    kinds
}

/// The modules themselves; for a worker.
pub fn build(kinds: &[Kind], paths: &Paths) -> Vec<Box<dyn Module>> {
    kinds.iter().map(|kind| kind.build(paths)).collect()
}
