//! authsqlite: the helper program of the module of that name. Runs statements on an SQLite file, which it alone can
//! reach, and is started by authdaemond only.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use authdaemond::helper::{self, Backend, Problem, Rows, Settings};
use authdaemond::wire::{Field, Frame, Kind};
use courier::sys::confine::{self, Access, Place};
use courier::sys::log::{Level, log, reason};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};

/// How long another process may keep the file locked.
const BUSY: Duration = Duration::from_secs(5);

/// One file.
struct Sqlite {
    path: PathBuf,
    /// The connection, with what identifies its file: a file under the same name may be another one tomorrow.
    open: Option<((u64, u64), Connection)>,
}

fn main() -> ExitCode {
    helper::run(open)
}

fn open(settings: &Settings) -> Result<Sqlite, Problem> {
    let missing = || Problem::Unavailable("SQLITE_DATABASE is not set".to_owned());
    let path = PathBuf::from(OsStr::from_bytes(
        settings.get("DATABASE").ok_or_else(missing)?,
    ));
    let path = path
        .canonicalize()
        .map_err(|error| Problem::Unavailable(format!("{}: {}", path.display(), reason(&error))))?;
    confine_to(path.parent().unwrap_or_else(|| Path::new("/")));
    Ok(Sqlite { path, open: None })
}

/// Leaves this process nothing but the directory of the file. A kernel that cannot do that is older than Debian 12's;
/// there the uid alone protects.
fn confine_to(directory: &Path) {
    let places = [
        Place {
            path: directory,
            access: Access::Change,
        },
        Place {
            path: Path::new("/dev/urandom"),
            access: Access::ReadFile,
        },
    ];
    let confined = confine::files(&places, |path, error| {
        log(
            Level::Warning,
            format_args!("authsqlite: {}: {}", path.display(), reason(&error)),
        );
    })
    .and_then(|()| confine::calls());
    if let Err(error) = confined {
        log(
            Level::Info,
            format_args!("authsqlite: not confined: {error}"),
        );
    }
}

/// Bytes that SQLite takes for text, so that they compare with what is stored as text.
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// As the text that SQLite itself would make of it.
fn column(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Field> {
    Ok(match row.get_ref(index)? {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
        ValueRef::Real(number) => Some(number.to_string().into_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
    })
}

impl Sqlite {
    fn connection(&mut self) -> Result<&Connection, Problem> {
        let metadata = std::fs::metadata(&self.path).map_err(|error| {
            Problem::Unavailable(format!("{}: {}", self.path.display(), reason(&error)))
        })?;
        let identity = (metadata.dev(), metadata.ino());
        if self.open.as_ref().is_none_or(|(open, _)| *open != identity) {
            self.open = None;
        }
        match &mut self.open {
            Some((_, connection)) => Ok(connection),
            none => {
                // One thread, one process, and never a file that is not there yet.
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(&self.path, flags)
                    .map_err(|error| problem(&error))?;
                connection
                    .busy_timeout(BUSY)
                    .and_then(|()| connection.pragma_update(None, "temp_store", "MEMORY"))
                    .map_err(|error| problem(&error))?;
                Ok(&none.insert((identity, connection)).1)
            }
        }
    }
}

fn problem(error: &rusqlite::Error) -> Problem {
    let text = error.to_string();
    match error.sqlite_error_code() {
        // Faults of the statement or of the data it would make.
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::Unknown) => {
            Problem::Refused(text)
        }
        _ => Problem::Unavailable(text),
    }
}

fn run(connection: &Connection, request: &Frame, rows: &mut Rows<'_>) -> Result<u64, Problem> {
    let refused = |why: &str| Problem::Refused(why.to_owned());
    let sql = request
        .field(0)
        .and_then(|sql| std::str::from_utf8(sql).ok())
        .ok_or_else(|| refused("the statement is not UTF-8"))?;
    let mut statement = connection
        .prepare_cached(sql)
        .map_err(|error| problem(&error))?;
    let values = request.fields.iter().skip(1);
    for (index, value) in values.enumerate() {
        let value = Text(value.as_deref().unwrap_or_default());
        statement
            .raw_bind_parameter(index + 1, value)
            .map_err(|error| problem(&error))?;
    }
    let columns = statement.column_count();
    let mut found = statement.raw_query();
    while let Some(row) = found.next().map_err(|error| problem(&error))? {
        let fields: rusqlite::Result<Vec<Field>> =
            (0..columns).map(|index| column(row, index)).collect();
        rows.send(fields.map_err(|error| problem(&error))?)?;
    }
    drop(found);
    Ok(connection.changes())
}

impl Backend for Sqlite {
    fn answer(&mut self, request: &Frame, rows: &mut Rows<'_>) -> Result<u64, Problem> {
        if request.kind != Kind::Query {
            return Err(Problem::Refused("not a question for a database".to_owned()));
        }
        let answer = self
            .connection()
            .and_then(|connection| run(connection, request, rows));
        if matches!(answer, Err(Problem::Unavailable(_))) {
            self.open = None;
        }
        answer
    }
}
