//! authmysql: the helper program of the module of that name. Runs statements on a MySQL or MariaDB server; started by
//! authdaemond only, which also puts the authorities that the settings name into its environment.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use authdaemond::helper::{self, Backend, Kept, Problem, Rows, Settings};
use authdaemond::wire::{Field, Frame, Kind};
use courier::sys::log::{Level, log, reason};
use mysql::consts::CapabilityFlags;
use mysql::prelude::Queryable;
use mysql::{ClientIdentity, Conn, Opts, OptsBuilder, Params, SslOpts, Value};

/// For the connection to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// For each answer; the worker waits little longer.
const ANSWER: Duration = Duration::from_secs(15);
/// Where servers of this machine have their sockets.
const SOCKETS: [&str; 3] = [
    "/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];
/// Duplicate entry, truncated or incorrect value: complaints that quote the value, which may be a password, and which
/// therefore lose their text.
const QUOTING: [u16; 5] = [1062, 1292, 1366, 1367, 1411];

/// One server.
struct Mysql {
    options: Opts,
    connection: Kept<Conn>,
    /// Our certificate and key in the form that the client wants: a file without a name, open as long as it is used.
    _identity: Option<File>,
}

fn main() -> ExitCode {
    helper::run(open)
}

fn open(settings: &Settings) -> Result<Mysql, Problem> {
    let mut identity = None;
    let mut options = OptsBuilder::new()
        .user(settings.text("USERNAME"))
        .pass(settings.text("PASSWORD"))
        .db_name(settings.text("DATABASE"))
        .prefer_socket(false)
        .tcp_connect_timeout(Some(CONNECT))
        .read_timeout(Some(ANSWER))
        .write_timeout(Some(ANSWER))
        // A row that is set to what it was counts as changed.
        .additional_capabilities(CapabilityFlags::CLIENT_FOUND_ROWS);
    if let Some(set) = settings.text("CHARACTER_SET") {
        let set: String = set
            .chars()
            .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
            .collect();
        options = options.init(vec![format!("SET NAMES '{set}'")]);
    }
    let port = settings
        .number("PORT")
        .and_then(|port| u16::try_from(port).ok())
        .filter(|&port| port != 0);
    match socket(settings, port) {
        Some(socket) => options = options.socket(socket.to_str()),
        None => {
            options = options
                .ip_or_hostname(settings.text("SERVER"))
                .tcp_port(port.unwrap_or(3306));
            if settings.get("SSL_CACERT").is_some() || settings.get("SSL_CAPATH").is_some() {
                let (tls, file) = tls(settings)?;
                options = options.ssl_opts(tls);
                identity = file;
            }
        }
    }
    if settings.get("SSL_CIPHER").is_some() {
        log(
            Level::Warning,
            format_args!("authmysql: MYSQL_SSL_CIPHER has no effect: the TLS library chooses"),
        );
    }
    if settings.number("OPT").is_some_and(|flags| flags != 0) {
        log(
            Level::Warning,
            format_args!("authmysql: MYSQL_OPT has no effect"),
        );
    }
    Ok(Mysql {
        options: options.into(),
        connection: Kept::default(),
        _identity: identity,
    })
}

/// The socket to use: the one of the settings, or, as with the C client, one of the usual places for `localhost`.
fn socket(settings: &Settings, port: Option<u16>) -> Option<PathBuf> {
    if let Some(socket) = settings.get("SOCKET") {
        return Some(PathBuf::from(OsStr::from_bytes(socket)));
    }
    if settings.get("SERVER") != Some(b"localhost") || port.is_some() {
        return None;
    }
    SOCKETS
        .iter()
        .map(PathBuf::from)
        .find(|socket| socket.exists())
}

/// The certificate must be for the server's name: the client trusts the system's authorities beside those that are
/// configured, so an authority alone proves nothing.
fn tls(settings: &Settings) -> Result<(SslOpts, Option<File>), Problem> {
    let options = SslOpts::default();
    let path = |name| {
        settings
            .get(name)
            .map(|path| Path::new(OsStr::from_bytes(path)))
    };
    let (Some(certificate), Some(key)) = (path("SSL_CERT"), path("SSL_KEY")) else {
        return Ok((options, None));
    };
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| {
            Problem::Unavailable(format!("{}: {}", path.display(), reason(&error)))
        })
    };
    let archive = archive(&read(certificate)?, &read(key)?)
        .map_err(|error| Problem::Unavailable(format!("MYSQL_SSL_CERT, MYSQL_SSL_KEY: {error}")))?;
    let keep = || {
        let descriptor =
            nix::sys::memfd::memfd_create(c"identity", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
        let mut file = File::from(descriptor);
        file.write_all(&archive)?;
        Ok::<_, std::io::Error>(file)
    };
    let file = keep().map_err(|error| Problem::Unavailable(reason(&error)))?;
    let name = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let options = options.with_client_identity(Some(ClientIdentity::new(name)));
    Ok((options, Some(file)))
}

/// PEM files as the one archive that the client reads.
fn archive(certificate: &[u8], key: &[u8]) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    use openssl::pkcs12::Pkcs12;
    use openssl::pkey::PKey;
    use openssl::stack::Stack;
    use openssl::x509::X509;
    let mut chain = X509::stack_from_pem(certificate)?.into_iter();
    let mut builder = Pkcs12::builder();
    let key = PKey::private_key_from_pem(key)?;
    builder.pkey(&key);
    if let Some(first) = chain.next() {
        builder.cert(&first);
    }
    let mut authorities = Stack::new()?;
    for certificate in chain {
        authorities.push(certificate)?;
    }
    builder.ca(authorities);
    builder.build2("")?.to_der()
}

fn problem(error: &mysql::Error) -> Problem {
    let text = match error {
        mysql::Error::MySqlError(server) if QUOTING.contains(&server.code) => {
            format!("ERROR {} ({})", server.code, server.state)
        }
        error => error.to_string(),
    };
    match error {
        // Too many connections, shutdown, killed, lock waits: it may be better in a moment.
        mysql::Error::MySqlError(server)
            if ![1040, 1053, 1077, 1203, 1205, 1213, 1317, 1927].contains(&server.code) =>
        {
            Problem::Refused(text)
        }
        _ => Problem::Unavailable(text),
    }
}

/// A value as text.
fn column(value: Value) -> Field {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        Value::Int(number) => Some(number.to_string().into_bytes()),
        Value::UInt(number) => Some(number.to_string().into_bytes()),
        Value::Float(number) => Some(number.to_string().into_bytes()),
        Value::Double(number) => Some(number.to_string().into_bytes()),
        other => Some(other.as_sql(true).trim_matches('\'').as_bytes().to_vec()),
    }
}

fn run(connection: &mut Conn, request: &Frame, rows: &mut Rows<'_>) -> Result<u64, Problem> {
    let fault = |error: mysql::Error| problem(&error);
    let sql = request
        .field(0)
        .and_then(|sql| std::str::from_utf8(sql).ok())
        .ok_or_else(|| Problem::Refused("the statement is not UTF-8".to_owned()))?;
    let statement = connection.prep(sql).map_err(fault)?;
    let values: Vec<Value> = request
        .fields
        .iter()
        .skip(1)
        .map(|value| Value::Bytes(value.clone().unwrap_or_default()))
        .collect();
    if values.len() != usize::from(statement.num_params()) {
        let why = "the statement has other parameters than were given";
        return Err(Problem::Refused(why.to_owned()));
    }
    let parameters = if values.is_empty() {
        Params::Empty
    } else {
        Params::Positional(values)
    };
    let mut result = connection
        .exec_iter(&statement, parameters)
        .map_err(fault)?;
    let changed = result.affected_rows();
    // What a procedure returns besides its first set is dropped with the result.
    if let Some(set) = result.iter() {
        for row in set {
            let fields = row.map_err(fault)?.unwrap_raw();
            rows.send(
                fields
                    .into_iter()
                    .map(|value| value.and_then(column))
                    .collect(),
            )?;
        }
    }
    Ok(changed)
}

impl Backend for Mysql {
    fn answer(&mut self, request: &Frame, rows: &mut Rows<'_>) -> Result<u64, Problem> {
        if request.kind != Kind::Query {
            return Err(Problem::Refused("not a question for a database".to_owned()));
        }
        let options = &self.options;
        self.connection.with(
            rows,
            || Conn::new(options.clone()).map_err(|error| Problem::Unavailable(error.to_string())),
            |connection| connection.ping().is_ok(),
            |connection, rows| run(connection, request, rows),
        )
    }
}
