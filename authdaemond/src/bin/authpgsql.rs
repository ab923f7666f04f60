//! authpgsql: the helper program of the module of that name. Runs statements on a PostgreSQL server; started by
//! authdaemond only.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::process::ExitCode;
use std::time::Duration;

use authdaemond::helper::{self, Backend, Kept, Problem, Rows, Settings};
use authdaemond::pgsql::{Conninfo, Trust};
use authdaemond::wire::{Field, Frame, Kind};
use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVerifyMode};
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{Format, FromSql, IsNull, ToSql, Type, private::BytesMut};
use postgres::{Client, Config, Statement};
use postgres_openssl::MakeTlsConnector;

/// For the connection to be made, unless the settings say otherwise.
const CONNECT: Duration = Duration::from_secs(10);
/// For a doubtful connection to answer.
const ALIVE: Duration = Duration::from_secs(5);
/// Statements that are kept prepared: there are four of them.
const PREPARED_MAX: usize = 8;

/// One server.
struct Pgsql {
    config: Config,
    trust: Trust,
    character_set: Option<String>,
    connection: Kept<Connection>,
}

struct Connection {
    client: Client,
    prepared: HashMap<String, Statement>,
}

fn main() -> ExitCode {
    helper::run(open)
}

fn open(settings: &Settings) -> Result<Pgsql, Problem> {
    let fault = |why: String| Problem::Unavailable(format!("PGSQL_CONNECTION: {why}"));
    let text = settings
        .text("CONNECTION")
        .ok_or_else(|| fault("not set, or not UTF-8".to_owned()))?;
    let conninfo = Conninfo::parse(text).map_err(fault)?;
    let mut config: Config = conninfo
        .rest
        .parse()
        .map_err(|error: postgres::Error| fault(chain(&error)))?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    if config.get_application_name().is_none() {
        config.application_name("authpgsql");
    }
    Ok(Pgsql {
        config,
        trust: conninfo.trust,
        character_set: settings.text("CHARACTER_SET").map(str::to_owned),
        connection: Kept::default(),
    })
}

/// What an error says. Of a complaint of the server's only the message: its details quote rows, with passwords.
fn told(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(complaint) => format!("{}: {}", complaint.severity(), complaint.message()),
        None => chain(error),
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn problem(error: &postgres::Error) -> Problem {
    let text = told(error);
    match error.code() {
        // Connection, resources, operator's intervention, system: it may be better in a moment.
        Some(code)
            if ["08", "53", "57", "58"]
                .iter()
                .any(|class| code.code().starts_with(class)) =>
        {
            Problem::Unavailable(text)
        }
        Some(_) => Problem::Refused(text),
        None => Problem::Unavailable(text),
    }
}

fn connector(trust: &Trust) -> Result<MakeTlsConnector, Problem> {
    let prepare = || {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        if let Some(file) = &trust.authorities {
            builder.set_ca_file(file)?;
        }
        if let Some(file) = &trust.certificate {
            builder.set_certificate_chain_file(file)?;
        }
        if let Some(file) = &trust.key {
            builder.set_private_key_file(file, SslFiletype::PEM)?;
        }
        if !trust.verify {
            builder.set_verify(SslVerifyMode::NONE);
        }
        let mut connector = MakeTlsConnector::new(builder.build());
        let verify_name = trust.verify_name;
        connector.set_callback(move |configuration, _| {
            configuration.set_verify_hostname(verify_name);
            Ok(())
        });
        Ok::<_, openssl::error::ErrorStack>(connector)
    };
    prepare().map_err(|error| Problem::Unavailable(format!("TLS settings: {error}")))
}

fn connect(
    config: &Config,
    trust: &Trust,
    character_set: Option<&str>,
) -> Result<Connection, Problem> {
    let failed = |error: postgres::Error| Problem::Unavailable(told(&error));
    let mut client = config.connect(connector(trust)?).map_err(failed)?;
    if let Some(set) = character_set {
        let set: String = set
            .chars()
            .filter(|letter| letter.is_ascii_alphanumeric() || "-_".contains(*letter))
            .collect();
        client
            .batch_execute(&format!("SET client_encoding TO '{set}'"))
            .map_err(failed)?;
    }
    Ok(Connection {
        client,
        prepared: HashMap::new(),
    })
}

/// A value as the text that it was in the configuration, whatever the type of the column: the server reads it as it
/// reads a quoted literal.
#[derive(Debug)]
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.extend_from_slice(self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.to_sql(kind, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
}

/// A column of one of the types that [`is_plain`] knows, as text.
struct Column(Vec<u8>);

impl<'a> FromSql<'a> for Column {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let number = match *kind {
            Type::INT2 => Some(i64::from(i16::from_sql(kind, raw)?)),
            Type::INT4 => Some(i64::from(i32::from_sql(kind, raw)?)),
            Type::INT8 => Some(i64::from_sql(kind, raw)?),
            Type::OID => Some(i64::from(u32::from_sql(kind, raw)?)),
            _ => None,
        };
        Ok(Self(match number {
            Some(number) => number.to_string().into_bytes(),
            None => raw.to_vec(),
        }))
    }

    fn accepts(kind: &Type) -> bool {
        is_plain(kind)
    }
}

/// Whether the server sends the type as text or as an integer.
fn is_plain(kind: &Type) -> bool {
    matches!(
        *kind,
        Type::INT2
            | Type::INT4
            | Type::INT8
            | Type::OID
            | Type::TEXT
            | Type::VARCHAR
            | Type::BPCHAR
            | Type::NAME
            | Type::UNKNOWN
    )
}

impl Connection {
    /// The statement, prepared so that every column comes as something that can be read.
    fn prepare(&mut self, sql: &str) -> Result<Statement, postgres::Error> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let mut statement = self.client.prepare(sql)?;
        let columns = statement.columns();
        if columns.iter().any(|column| !is_plain(column.type_())) {
            let names = |suffix: &str| {
                let names: Vec<String> = (0..columns.len())
                    .map(|number| format!("c{number}{suffix}"))
                    .collect();
                names.join(", ")
            };
            let wrapped = format!(
                "SELECT {} FROM ({}) AS found({})",
                names("::text"),
                sql.trim_end().trim_end_matches(';'),
                names("")
            );
            statement = self.client.prepare(&wrapped)?;
        }
        if self.prepared.len() >= PREPARED_MAX {
            self.prepared.clear();
        }
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn run(&mut self, request: &Frame, rows: &mut Rows<'_>) -> Result<u64, Problem> {
        let sql = request
            .field(0)
            .and_then(|sql| std::str::from_utf8(sql).ok())
            .ok_or_else(|| Problem::Refused("the statement is not UTF-8".to_owned()))?;
        let fault = |error: postgres::Error| problem(&error);
        let statement = self.prepare(sql).map_err(fault)?;
        let values: Vec<Text<'_>> = request
            .fields
            .iter()
            .skip(1)
            .map(|value| Text(value.as_deref().unwrap_or_default()))
            .collect();
        if values.len() != statement.params().len() {
            let why = "the statement has other parameters than were given";
            return Err(Problem::Refused(why.to_owned()));
        }
        let mut found = self
            .client
            .query_raw(
                &statement,
                values.iter().map(|value| value as &(dyn ToSql + Sync)),
            )
            .map_err(fault)?;
        let mut count = 0;
        while let Some(row) = found.next().map_err(fault)? {
            let fields: Result<Vec<Field>, postgres::Error> = (0..row.len())
                .map(|index| {
                    let column: Option<Column> = row.try_get(index)?;
                    Ok(column.map(|Column(value)| value))
                })
                .collect();
            rows.send(fields.map_err(fault)?)?;
            count += 1;
        }
        Ok(found.rows_affected().unwrap_or(count))
    }
}

impl Backend for Pgsql {
    fn answer(&mut self, request: &Frame, rows: &mut Rows<'_>) -> Result<u64, Problem> {
        if request.kind != Kind::Query {
            return Err(Problem::Refused("not a question for a database".to_owned()));
        }
        let (config, trust) = (&self.config, &self.trust);
        let character_set = self.character_set.as_deref();
        self.connection.with(
            rows,
            || connect(config, trust, character_set),
            |connection| connection.client.is_valid(ALIVE).is_ok(),
            |connection, rows| connection.run(request, rows),
        )
    }
}
