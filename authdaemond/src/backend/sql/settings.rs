//! What authmysqlrc, authpgsqlrc and authsqliterc say, as statements (contract: auth-modules §9 to §11).

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;

use super::clause::{Clause, ClauseError, Dialect, Part, Piece, Variable};
use crate::rcfile::RcFile;
use crate::wire::{Frame, Kind};

/// Everything a module needs to know.
#[derive(Debug)]
pub struct Settings {
    /// Goes to the helper first.
    pub connection: Frame,
    /// Goes into the environment of the helper.
    pub environment: Vec<(&'static str, OsString)>,
    /// Appended to accounts without `@`; may be empty.
    pub default_domain: Vec<u8>,
    /// Finds one account.
    pub select: Clause,
    /// The same for the service `courier`, which wants where to deliver.
    pub select_delivery: Clause,
    /// Lists all accounts.
    pub enumerate: Clause,
    /// Stores new passwords.
    pub change: ChangeClause,
    /// Whether values must be UTF-8 for the server to take them.
    pub utf8: bool,
}

/// How new passwords are stored.
#[derive(Debug)]
pub enum ChangeClause {
    /// The administrator's own statement; how many rows it concerned says nothing.
    Custom(Clause),
    /// Ours.
    Columns {
        /// Sets the hash, if there is a column for it.
        hash: Option<Clause>,
        /// Sets hash and clear password, or the latter alone where there is no other.
        both: Option<Clause>,
    },
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsError {
    /// This setting is missing or empty.
    Missing(String),
    /// No column has passwords, of any kind. The prefix of the settings' names.
    NoPassword(&'static str),
    /// This setting is not a number.
    NotANumber(String),
    /// This statement cannot be read.
    Clause(String, ClauseError),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "{name} is not set"),
            Self::NoPassword(prefix) => {
                write!(
                    f,
                    "neither {prefix}CRYPT_PWFIELD nor {prefix}CLEAR_PWFIELD is set"
                )
            }
            Self::NotANumber(name) => write!(f, "{name} is not a number"),
            Self::Clause(name, error) => write!(f, "{name}: {error}"),
        }
    }
}

/// The settings that are the helper's business, by dialect.
fn connection_names(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Mysql => &[
            "SERVER",
            "SOCKET",
            "PORT",
            "OPT",
            "USERNAME",
            "PASSWORD",
            "DATABASE",
            "CHARACTER_SET",
            "SSL_KEY",
            "SSL_CERT",
            "SSL_CACERT",
            "SSL_CAPATH",
            "SSL_CIPHER",
        ],
        Dialect::Pgsql => &["CONNECTION", "CHARACTER_SET"],
        Dialect::Sqlite => &["DATABASE"],
    }
}

/// The common beginning of all names in a file.
pub fn prefix(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Mysql => "MYSQL_",
        Dialect::Pgsql => "PGSQL_",
        Dialect::Sqlite => "SQLITE_",
    }
}

struct Source<'a> {
    dialect: Dialect,
    file: &'a RcFile,
}

impl<'a> Source<'a> {
    fn name(&self, name: &str) -> String {
        format!("{}{name}", prefix(self.dialect))
    }

    fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.file.filled(&self.name(name))
    }

    fn needed(&self, name: &str) -> Result<&'a [u8], SettingsError> {
        self.get(name)
            .ok_or_else(|| SettingsError::Missing(self.name(name)))
    }

    fn clause(&self, name: &str) -> Result<Option<Clause>, SettingsError> {
        self.get(name)
            .map(|text| Clause::parse(self.dialect, text))
            .transpose()
            .map_err(|error| SettingsError::Clause(self.name(name), error))
    }
}

impl Settings {
    /// Makes statements of what `file` says.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn new(dialect: Dialect, file: &RcFile) -> Result<Self, SettingsError> {
        let source = Source { dialect, file };
        source.check_connection()?;
        let select = source.clause("SELECT_CLAUSE")?;
        let enumerate = source.clause("ENUMERATE_CLAUSE")?;
        let change = source.clause("CHPASS_CLAUSE")?;
        let columns = if select.is_none()
            || enumerate.is_none()
            || change.is_none()
            || dialect == Dialect::Mysql
        {
            Some(Columns::new(&source)?)
        } else {
            None
        };
        Ok(Self {
            connection: source.connection(),
            environment: source.environment(),
            default_domain: file.get("DEFAULT_DOMAIN").unwrap_or_default().to_vec(),
            select_delivery: select.clone().unwrap_or_else(|| {
                let columns = columns.as_ref();
                columns
                    .map(|columns| columns.select(columns.delivery))
                    .unwrap_or_default()
            }),
            select: select.unwrap_or_else(|| {
                let columns = columns.as_ref();
                columns
                    .map(|columns| columns.select(columns.maildir))
                    .unwrap_or_default()
            }),
            enumerate: enumerate
                .unwrap_or_else(|| columns.as_ref().map(Columns::enumerate).unwrap_or_default()),
            change: match (change, &columns) {
                (Some(clause), _) => ChangeClause::Custom(clause),
                (None, Some(columns)) => columns.change(dialect),
                (None, None) => ChangeClause::Columns {
                    hash: None,
                    both: None,
                },
            },
            utf8: source
                .get("CHARACTER_SET")
                .is_none_or(|set| set.to_ascii_lowercase().starts_with(b"utf")),
        })
    }
}

impl Source<'_> {
    fn check_connection(&self) -> Result<(), SettingsError> {
        match self.dialect {
            Dialect::Mysql => {
                if self.get("SOCKET").is_none() {
                    self.needed("SERVER")?;
                }
                for name in ["PORT", "OPT"] {
                    let name = self.name(name);
                    if self.file.number(&name).is_none() {
                        return Err(SettingsError::NotANumber(name));
                    }
                }
                self.needed("USERNAME")?;
                self.needed("DATABASE")?;
            }
            Dialect::Pgsql => {
                self.needed("CONNECTION")?;
            }
            Dialect::Sqlite => {
                self.needed("DATABASE")?;
            }
        }
        Ok(())
    }

    /// The authorities that MySQL's client trusts: its TLS library takes them from these variables.
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        if self.dialect != Dialect::Mysql {
            return Vec::new();
        }
        let path = |name| self.get(name).unwrap_or(b"/dev/null").to_vec();
        vec![
            ("SSL_CERT_FILE", OsString::from_vec(path("SSL_CACERT"))),
            ("SSL_CERT_DIR", OsString::from_vec(path("SSL_CAPATH"))),
        ]
    }

    fn connection(&self) -> Frame {
        let mut fields: Vec<&[u8]> = Vec::new();
        for &name in connection_names(self.dialect) {
            // The name in the comments of the original's file, and the one that its code reads.
            let value = match name {
                "SSL_CIPHER" => self.get(name).or_else(|| self.get("SSL_CIPHERS")),
                _ => self.get(name),
            };
            if let Some(value) = value {
                fields.push(name.as_bytes());
                fields.push(value);
            }
        }
        Frame::new(Kind::Open, fields)
    }
}

/// SQL expressions of the statements that are made here.
struct Columns<'a> {
    table: &'a [u8],
    login: &'a [u8],
    hash: Option<&'a [u8]>,
    clear: Option<&'a [u8]>,
    uid: &'a [u8],
    gid: &'a [u8],
    home: &'a [u8],
    maildir: &'a [u8],
    delivery: &'a [u8],
    quota: &'a [u8],
    name: &'a [u8],
    options: &'a [u8],
    condition: Option<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn new(source: &Source<'a>) -> Result<Self, SettingsError> {
        let or = |name, default: &'static str| source.get(name).unwrap_or(default.as_bytes());
        let maildir = or("MAILDIR_FIELD", "''");
        // The original set `''` for a column that is not there.
        let given = |name| source.get(name).filter(|&field| field != b"''");
        let columns = Self {
            table: source.needed("USER_TABLE")?,
            login: or("LOGIN_FIELD", "id"),
            hash: given("CRYPT_PWFIELD"),
            clear: given("CLEAR_PWFIELD"),
            uid: or("UID_FIELD", "uid"),
            gid: or("GID_FIELD", "gid"),
            home: or("HOME_FIELD", "home"),
            maildir,
            delivery: source
                .get("DEFAULTDELIVERY")
                .or_else(|| source.get("DEFAULTDELIVERY_FIELD"))
                .unwrap_or(maildir),
            quota: or("QUOTA_FIELD", "''"),
            name: or("NAME_FIELD", "''"),
            options: or("AUXOPTIONS_FIELD", "''"),
            condition: source.get("WHERE_CLAUSE"),
        };
        if columns.hash.is_none() && columns.clear.is_none() {
            return Err(SettingsError::NoPassword(prefix(source.dialect)));
        }
        Ok(columns)
    }

    fn select(&self, maildir: &[u8]) -> Clause {
        let fields = [
            self.login,
            self.hash.unwrap_or(b"''"),
            self.clear.unwrap_or(b"''"),
            self.uid,
            self.gid,
            self.home,
            maildir,
            self.quota,
            self.name,
            self.options,
        ];
        let mut pieces = vec![
            Piece::Sql(
                [
                    b"SELECT ",
                    fields.join(&b", "[..]).as_slice(),
                    b" FROM ",
                    self.table,
                    b" WHERE ",
                    self.login,
                    b" = ",
                ]
                .concat(),
            ),
            login(),
        ];
        pieces.extend(self.and_condition());
        Clause(pieces)
    }

    fn and_condition(&self) -> Option<Piece> {
        let condition = self.condition?;
        Some(Piece::Sql([b" AND (", condition, b")"].concat()))
    }

    fn enumerate(&self) -> Clause {
        let fields = [
            self.login,
            self.uid,
            self.gid,
            self.home,
            self.maildir,
            self.options,
        ];
        let condition = self.condition.unwrap_or(b"1=1");
        Clause(vec![Piece::Sql(
            [
                b"SELECT ",
                fields.join(&b", "[..]).as_slice(),
                b" FROM ",
                self.table,
                b" WHERE ",
                condition,
            ]
            .concat(),
        )])
    }

    fn change(&self, dialect: Dialect) -> ChangeClause {
        let update = |settings: &[(&[u8], Variable)]| {
            let mut pieces = vec![Piece::Sql([b"UPDATE ", self.table, b" SET "].concat())];
            for (index, (column, variable)) in settings.iter().enumerate() {
                let comma: &[u8] = if index == 0 { b"" } else { b", " };
                pieces.push(Piece::Sql([comma, column, b" = "].concat()));
                pieces.push(Piece::Parameter(vec![Part::Variable(*variable)]));
            }
            pieces.push(Piece::Sql([b" WHERE ", self.login, b" = "].concat()));
            pieces.push(login());
            if dialect == Dialect::Pgsql {
                pieces.extend(self.and_condition());
            }
            Clause(pieces)
        };
        let hash = self.hash.map(|column| (column, Variable::NewHash));
        let clear = self.clear.map(|column| (column, Variable::NewPassword));
        let both: Vec<_> = clear.into_iter().chain(hash).collect();
        ChangeClause::Columns {
            hash: hash.map(|hash| update(&[hash])),
            both: clear.is_some().then(|| update(&both)),
        }
    }
}

fn login() -> Piece {
    Piece::Parameter(vec![Part::Variable(Variable::Login)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::sql::clause::Values;

    const MYSQL: &str = "MYSQL_SERVER localhost\nMYSQL_PORT 0\nMYSQL_OPT 0\nMYSQL_USERNAME u\n\
        MYSQL_DATABASE d\nMYSQL_USER_TABLE t\nMYSQL_CRYPT_PWFIELD crypt\n";

    fn settings(dialect: Dialect, text: &str) -> Result<Settings, SettingsError> {
        let file = RcFile::parse(format!("{text}\n##NAME: MARKER:0\n").as_bytes()).unwrap();
        Settings::new(dialect, &file)
    }

    fn sql(dialect: Dialect, clause: &Clause) -> String {
        let (sql, _) = clause.fill(dialect, &Values::default()).unwrap();
        String::from_utf8(sql).unwrap()
    }

    #[test]
    fn the_statements_are_the_originals_with_parameters() {
        let ours = settings(
            Dialect::Mysql,
            &format!("{MYSQL}MYSQL_CLEAR_PWFIELD clear\nMYSQL_WHERE_CLAUSE active=1\nMYSQL_DEFAULTDELIVERY dd\n"),
        )
        .unwrap();
        assert_eq!(
            sql(Dialect::Mysql, &ours.select),
            "SELECT id, crypt, clear, uid, gid, home, '', '', '', '' FROM t WHERE id = ? AND (active=1)"
        );
        assert_eq!(
            sql(Dialect::Mysql, &ours.select_delivery),
            "SELECT id, crypt, clear, uid, gid, home, dd, '', '', '' FROM t WHERE id = ? AND (active=1)"
        );
        assert_eq!(
            sql(Dialect::Mysql, &ours.enumerate),
            "SELECT id, uid, gid, home, '', '' FROM t WHERE active=1"
        );
        let ChangeClause::Columns { hash, both } = ours.change else {
            panic!("not ours");
        };
        assert_eq!(
            sql(Dialect::Mysql, &hash.unwrap()),
            "UPDATE t SET crypt = ? WHERE id = ?"
        );
        assert_eq!(
            sql(Dialect::Mysql, &both.unwrap()),
            "UPDATE t SET clear = ?, crypt = ? WHERE id = ?"
        );
    }

    #[test]
    fn what_must_be_there_is_missed() {
        for line in MYSQL.lines() {
            let without = MYSQL.replace(line, "");
            assert!(settings(Dialect::Mysql, &without).is_err(), "{line}");
        }
        assert!(settings(Dialect::Mysql, MYSQL).is_ok());
        let error = settings(Dialect::Sqlite, "SQLITE_DATABASE /x\nSQLITE_USER_TABLE t");
        assert_eq!(
            error.unwrap_err().to_string(),
            "neither SQLITE_CRYPT_PWFIELD nor SQLITE_CLEAR_PWFIELD is set"
        );
        // Three statements of one's own need no table.
        let own = "PGSQL_CONNECTION x\nPGSQL_SELECT_CLAUSE a\nPGSQL_CHPASS_CLAUSE b\nPGSQL_ENUMERATE_CLAUSE c\n";
        assert!(settings(Dialect::Pgsql, own).is_ok());
        assert!(settings(Dialect::Pgsql, &own.replace("ENUMERATE", "X")).is_err());
        assert_eq!(
            settings(
                Dialect::Pgsql,
                &format!("{own}\nPGSQL_SELECT_CLAUSE2 x").replace("CLAUSE a", "CLAUSE '")
            )
            .unwrap_err(),
            SettingsError::Clause("PGSQL_SELECT_CLAUSE".into(), ClauseError::Quote)
        );
    }
}
