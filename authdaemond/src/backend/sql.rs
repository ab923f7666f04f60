//! `authmysql`, `authpgsql` and `authsqlite`: accounts in a table (contract: auth-modules §9 to §11). The statements
//! are made here; a helper program runs them.

pub mod clause;
pub mod settings;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use courier::auth::account::{AccountInfo, Owner};
use courier::config::paths::Paths;
use courier::sys::log::{Level, log};

use self::clause::{Clause, Dialect, Values};
use self::settings::{ChangeClause, Settings};
use super::configured::{Configured, Down};
use super::helper::{Answer, Helper, RunAs};
use super::id::id;
use super::secrets::{self, Secrets};
use crate::debug::{Debug, Summary, Text};
use crate::module::{Aborted, Change, Context, Module, Verdict};
use crate::password;
use crate::protocol::Auth;
use crate::rcfile::RcFile;
use crate::wire::{Field, Frame, Kind};

/// The module.
#[derive(Debug)]
pub struct Sql {
    dialect: Dialect,
    name: &'static str,
    configured: Configured<Settings>,
    helper: Helper,
    run_as: Option<RunAs>,
}

/// An account of the table.
#[derive(Debug)]
struct Found {
    info: AccountInfo,
    secrets: Secrets,
}

impl Sql {
    /// With its settings in `rc`.
    pub fn new(dialect: Dialect, name: &'static str, rc: &Path, paths: &Paths) -> Self {
        Self {
            dialect,
            name,
            configured: Configured::new(name, rc),
            helper: Helper::new(name, paths),
            run_as: RunAs::mail_user(paths),
        }
    }

    /// The settings, read again if they are new; a helper with the old ones is not used any more.
    fn settings(&mut self) -> Result<&Settings, Down> {
        let dialect = self.dialect;
        let read = |file: &RcFile| Settings::new(dialect, file).map_err(|error| error.to_string());
        if self.configured.refresh(read)? {
            self.helper.stop();
        }
        self.configured.get()
    }

    /// The settings, and the helper running.
    fn ready(&mut self) -> Result<(&Settings, &mut Helper), Down> {
        self.settings()?;
        let settings = self.configured.get()?;
        if !self.helper.is_running() {
            let run_as = match self.dialect {
                Dialect::Sqlite => owner(settings.connection.field(1), self.run_as),
                Dialect::Mysql | Dialect::Pgsql => self.run_as,
            };
            self.helper
                .start(&settings.connection, &settings.environment, run_as)?;
        }
        Ok((settings, &mut self.helper))
    }

    /// Asks the server. `None` as the request means that there can be no such account.
    fn query(
        &mut self,
        request: Option<&Frame>,
        most: usize,
        debug: Debug,
    ) -> Result<Option<Answer>, Down> {
        let name = self.name;
        let Some(request) = request else {
            debug.line(format_args!("{name}: no such account can be asked for"));
            return Ok(None);
        };
        let (_, helper) = self.ready()?;
        debug.line(format_args!(
            "{name}: SQL query: {}",
            Text(request.field(0).unwrap_or_default())
        ));
        helper.ask(request, most).map(Some).map_err(|trouble| {
            trouble.complain(name);
            Down
        })
    }

    fn find(&mut self, service: &[u8], user: &[u8], debug: Debug) -> Result<Option<Found>, Down> {
        self.helper.begin();
        let dialect = self.dialect;
        let settings = self.settings()?;
        let clause = if service == b"courier" {
            &settings.select_delivery
        } else {
            &settings.select
        };
        let names = Names::of(user, &settings.default_domain);
        let request = request(settings, dialect, &names.values(service), clause);
        let Some(answer) = self.query(request.as_ref(), 2, debug)? else {
            return Ok(None);
        };
        if answer.rows.len() > 1 && dialect == Dialect::Sqlite {
            self.complain(user, "more than one row");
            return Err(Down);
        }
        let Some(row) = answer.rows.first() else {
            debug.line(format_args!("{}: no such account", self.name));
            return Ok(None);
        };
        match found(row) {
            Ok(found) => {
                debug.line(format_args!(
                    "{}: {}",
                    self.name,
                    Summary(&found.info, "<null>")
                ));
                Ok(Some(found))
            }
            Err(why) => {
                self.complain(user, why);
                Err(Down)
            }
        }
    }

    fn complain(&self, user: &[u8], why: &str) {
        log(
            Level::Err,
            format_args!("{}: account '{}': {why}", self.name, Text(user)),
        );
    }

    fn change(
        &mut self,
        service: &[u8],
        user: &[u8],
        old: &[u8],
        new: &[u8],
        context: &mut Context<'_>,
    ) -> Result<Change, Down> {
        let Some(found) = self.find(service, user, context.debug)? else {
            return Ok(Change::NotMine);
        };
        if !found.secrets.verify(old, context) {
            return Ok(Change::NotMine);
        }
        let stored = found.secrets.hash.as_deref().unwrap_or_default();
        let Some(new_hash) = password::successor(stored, new) else {
            self.complain(user, "the new password cannot be hashed");
            return Ok(Change::Failed);
        };
        let dialect = self.dialect;
        let settings = self.settings()?;
        let (clause, counts) = match &settings.change {
            ChangeClause::Custom(clause) => (Some(clause), dialect == Dialect::Sqlite),
            // A clear password is not put where none was.
            ChangeClause::Columns { hash, both } if found.secrets.clear.is_none() => {
                (hash.as_ref().or(both.as_ref()), true)
            }
            ChangeClause::Columns { hash, both } => (both.as_ref().or(hash.as_ref()), true),
        };
        let Some(clause) = clause else {
            return Ok(Change::Failed);
        };
        let names = Names::of(user, &settings.default_domain);
        let values = Values {
            new_password: new,
            new_hash: &new_hash,
            ..names.values(service)
        };
        let request = request(settings, dialect, &values, clause);
        let answer = self.query(request.as_ref(), 1, context.debug)?;
        Ok(match answer {
            Some(answer) if !counts || answer.count > 0 => Change::Changed,
            _ => Change::Failed,
        })
    }
}

/// The statement that `clause` becomes. `None` when these values cannot be those of an account: no server takes NUL
/// in a text, and one that speaks UTF-8 nothing else.
fn request(
    settings: &Settings,
    dialect: Dialect,
    values: &Values<'_>,
    clause: &Clause,
) -> Option<Frame> {
    let (sql, parameters) = clause.fill(dialect, values).ok()?;
    let possible = |value: &Vec<u8>| {
        !value.contains(&0) && (!settings.utf8 || std::str::from_utf8(value).is_ok())
    };
    if !parameters.iter().all(possible) {
        return None;
    }
    let fields = std::iter::once(sql.as_slice()).chain(parameters.iter().map(Vec::as_slice));
    Some(Frame::new(Kind::Query, fields))
}

/// SQLite's files belong to somebody, who can read and write them and make the journal beside them: that is who the
/// helper becomes. Files of root's are used as root, which the original always was.
fn owner(database: Option<&[u8]>, mail_user: Option<RunAs>) -> Option<RunAs> {
    mail_user?;
    let path = PathBuf::from(OsString::from_vec(database?.to_vec()));
    let metadata = std::fs::metadata(path).ok()?;
    (metadata.uid() != 0).then(|| RunAs {
        uid: metadata.uid(),
        gid: metadata.gid(),
    })
}

/// The forms of an account's name that statements use.
struct Names<'a> {
    login: Vec<u8>,
    local_part: &'a [u8],
    domain: &'a [u8],
}

impl<'a> Names<'a> {
    fn of(user: &'a [u8], default_domain: &'a [u8]) -> Self {
        match user.iter().position(|&byte| byte == b'@') {
            Some(at) => {
                let (local_part, domain) = user.split_at(at);
                Self {
                    login: user.to_vec(),
                    local_part,
                    domain: domain.get(1..).unwrap_or_default(),
                }
            }
            None => {
                let mut login = user.to_vec();
                if !default_domain.is_empty() {
                    login.push(b'@');
                    login.extend_from_slice(default_domain);
                }
                Self {
                    login,
                    local_part: user,
                    domain: default_domain,
                }
            }
        }
    }

    fn values<'b>(&'b self, service: &'b [u8]) -> Values<'b> {
        Values {
            login: &self.login,
            local_part: self.local_part,
            domain: self.domain,
            service,
            new_password: b"",
            new_hash: b"",
        }
    }
}

/// Column `index`; NULL and the empty text are the same.
fn column(row: &[Field], index: usize) -> Option<&[u8]> {
    row.get(index)?.as_deref().filter(|value| !value.is_empty())
}

/// Reads username, crypt, clear, uid, gid, home, maildir, quota, fullname, options.
fn found(row: &[Field]) -> Result<Found, &'static str> {
    if row.len() < 6 {
        return Err("the row has fewer than 6 columns");
    }
    let bytes = |index| column(row, index).map(<[u8]>::to_vec);
    Ok(Found {
        info: AccountInfo {
            name: bytes(8),
            maildir: bytes(6).map(OsString::from_vec),
            quota: bytes(7),
            options: bytes(9),
            ..identity(column(row, 0), row, 3)?
        },
        secrets: Secrets {
            hash: bytes(1),
            clear: bytes(2),
            prefer_clear: false,
        },
    })
}

/// Name, and uid, gid and home from column `first` on.
fn identity(name: Option<&[u8]>, row: &[Field], first: usize) -> Result<AccountInfo, &'static str> {
    let home = column(row, first + 2).ok_or("no home directory")?;
    if !home.starts_with(b"/") {
        return Err("the home directory is not an absolute path");
    }
    let number = |index| id(column(row, index)?);
    Ok(AccountInfo {
        owner: Some(Owner::Virtual(
            number(first).ok_or("uid is not a number from 1 up, refused")?,
        )),
        gid: Some(number(first + 1).ok_or("gid is not a number from 1 up, refused")?),
        home: Some(OsString::from_vec(home.to_vec()).into()),
        address: Some(name.ok_or("no name")?.to_vec()),
        ..AccountInfo::default()
    })
}

impl Module for Sql {
    fn name(&self) -> &'static str {
        self.name
    }

    fn authenticate(&mut self, auth: &Auth, context: &mut Context<'_>) -> Verdict {
        let question = secrets::Question::of(auth);
        let Some(user) = question.user() else {
            return Verdict::Reject;
        };
        match self.find(&auth.service, user, context.debug) {
            Ok(Some(found)) => question.decide(found.info, &found.secrets, context),
            Ok(None) => Verdict::Reject,
            Err(Down) => Verdict::TempFail,
        }
    }

    fn lookup(&mut self, service: &[u8], user: &[u8], context: &mut Context<'_>) -> Verdict {
        let found = self.find(service, user, context.debug);
        Verdict::of(found.map(|found| found.map(|found| found.secrets.shown_in(found.info))))
    }

    fn change_password(
        &mut self,
        service: &[u8],
        user: &[u8],
        old: &[u8],
        new: &[u8],
        context: &mut Context<'_>,
    ) -> Change {
        self.change(service, user, old, new, context)
            .unwrap_or(Change::Failed)
    }

    fn idle(&mut self) {
        self.helper.stop();
    }

    fn enumerate(
        &mut self,
        context: &mut Context<'_>,
        each: &mut dyn FnMut(AccountInfo),
    ) -> Result<(), Aborted> {
        let (dialect, name, debug) = (self.dialect, self.name, context.debug);
        self.helper.begin();
        let (settings, helper) = self.ready().map_err(|Down| Aborted)?;
        let values = Values {
            local_part: b"*",
            domain: &settings.default_domain,
            ..Values::default()
        };
        let request = request(settings, dialect, &values, &settings.enumerate).ok_or(Aborted)?;
        debug.line(format_args!(
            "{name}: SQL query: {}",
            Text(request.field(0).unwrap_or_default())
        ));
        let listed = helper.list(&request, |row| match identity(column(&row, 0), &row, 1) {
            Ok(info) => each(AccountInfo {
                maildir: column(&row, 4).map(|path| OsString::from_vec(path.to_vec())),
                options: column(&row, 5).map(<[u8]>::to_vec),
                ..info
            }),
            Err(why) => debug.line(format_args!(
                "{name}: '{}' not listed: {why}",
                Text(column(&row, 0).unwrap_or_default())
            )),
        });
        listed.map_err(|trouble| {
            trouble.complain(name);
            Aborted
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&str>]) -> Vec<Field> {
        values
            .iter()
            .map(|value| value.map(|value| value.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn a_row_becomes_an_account() {
        let columns = [
            Some("a@b"),
            Some("$6$"),
            None,
            Some("5000"),
            Some(" 50 "),
            Some("/h"),
        ];
        let Found { info, secrets } = found(&row(&columns)).unwrap();
        assert_eq!(info.owner, Some(Owner::Virtual(5000)));
        assert_eq!(info.gid, Some(50));
        assert_eq!(info.address.as_deref(), Some(&b"a@b"[..]));
        assert_eq!(info.maildir, None);
        assert_eq!(secrets.hash.as_deref(), Some(&b"$6$"[..]));
        assert_eq!(secrets.clear, None);
    }

    #[test]
    fn rows_that_lie_are_refused() {
        let good = [
            Some("a"),
            Some("x"),
            None,
            Some("5000"),
            Some("50"),
            Some("/h"),
        ];
        assert!(found(&row(&good)).is_ok());
        assert!(found(&row(&good[..5])).is_err());
        for (index, values) in [
            (0, vec![None, Some("")]),
            (
                3,
                vec![
                    None,
                    Some(""),
                    Some("0"),
                    Some("-1"),
                    Some("5x"),
                    Some("4294967295"),
                    Some("99999999999"),
                    Some("+5"),
                ],
            ),
            (4, vec![None, Some("0"), Some("-1"), Some("00")]),
            (5, vec![None, Some(""), Some("relative/home")]),
        ] {
            for value in values {
                let mut bad = good;
                bad[index] = value;
                assert!(found(&row(&bad)).is_err(), "{index} {value:?}");
            }
        }
    }

    #[test]
    fn names_have_the_default_domain_where_they_have_none() {
        let names = Names::of(b"a", b"example.com");
        assert_eq!(names.login, b"a@example.com");
        assert_eq!(
            (names.local_part, names.domain),
            (&b"a"[..], &b"example.com"[..])
        );
        let names = Names::of(b"a@b@c", b"example.com");
        assert_eq!(names.login, b"a@b@c");
        assert_eq!((names.local_part, names.domain), (&b"a"[..], &b"b@c"[..]));
        assert_eq!(Names::of(b"a", b"").login, b"a");
    }
}
