//! authldap: the helper program of the module of that name. Searches a directory, binds to it and changes entries;
//! started by authdaemond only, with the LDAPTLS_ variables of its environment.

use std::collections::HashSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use authdaemond::helper::{self, Backend, Kept, Problem, Rows, Settings};
use authdaemond::wire::{Field, Frame, Kind};
use courier::sys::log::{Level, log, reason};
use ldap3::{
    DerefAliases, LdapConn, LdapConnSettings, LdapError, LdapResult, Mod, Scope, SearchEntry,
    SearchOptions,
};
use native_tls::{Certificate, Identity, TlsConnector};

/// Seconds for a connection and for a search, unless the settings say otherwise.
const TIMEOUT: u64 = 5;
/// Seconds for the list of all accounts.
const LONG: i32 = 3600;
/// A search for more entries than this is one for a list.
const FEW: i32 = 100;

/// One directory.
struct Ldap {
    addresses: Vec<String>,
    timeout: Duration,
    initial: Option<(String, String)>,
    aliases: DerefAliases,
    starttls: bool,
    connector: TlsConnector,
    verify: bool,
    connection: Kept<LdapConn>,
    /// For trying passwords, so that the other one stays bound as whoever may search.
    trial: Kept<LdapConn>,
}

fn main() -> ExitCode {
    helper::run(open)
}

fn open(settings: &Settings) -> Result<Ldap, Problem> {
    let text = |name| settings.text(name).map(str::to_owned);
    let is_on = |name| settings.number(name).is_some_and(|number| number != 0);
    if settings.number("LDAP_PROTOCOL_VERSION") == Some(2) {
        log(
            Level::Warning,
            format_args!("authldap: LDAP_PROTOCOL_VERSION 2 has no effect: version 3 is spoken"),
        );
    }
    let requirement = std::env::var("LDAPTLS_REQCERT").unwrap_or_default();
    let verify = !["never", "allow"].contains(&requirement.to_ascii_lowercase().as_str());
    Ok(Ldap {
        addresses: text("LDAP_URI")
            .unwrap_or_default()
            .split([',', ' ', '\t'])
            .filter(|address| !address.is_empty())
            .map(str::to_owned)
            .collect(),
        timeout: Duration::from_secs(settings.number("LDAP_TIMEOUT").unwrap_or(TIMEOUT).max(1)),
        initial: is_on("LDAP_INITBIND").then(|| {
            let text = |name| text(name).unwrap_or_default();
            (text("LDAP_BINDDN"), text("LDAP_BINDPW"))
        }),
        aliases: match settings
            .text("LDAP_DEREF")
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            Some("searching") => DerefAliases::Searching,
            Some("finding") => DerefAliases::Finding,
            Some("always") => DerefAliases::Always,
            _ => DerefAliases::Never,
        },
        starttls: is_on("LDAP_TLS"),
        connector: connector(verify)?,
        verify,
        connection: Kept::default(),
        trial: Kept::default(),
    })
}

fn unavailable(error: impl Display) -> Problem {
    Problem::Unavailable(error.to_string())
}

/// What the LDAPTLS_ variables say. Authorities that they name are the only ones; without, the system's count.
fn connector(verify: bool) -> Result<TlsConnector, Problem> {
    let variable = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|error| unavailable(format_args!("{}: {}", path.display(), reason(&error))))
    };
    let mut builder = TlsConnector::builder();
    let file = variable("LDAPTLS_CACERT");
    let directory = variable("LDAPTLS_CACERTDIR");
    builder.disable_built_in_roots(file.is_some() || directory.is_some());
    let mut add = |content: &[u8]| {
        for authority in Certificate::stack_from_pem(content).map_err(unavailable)? {
            builder.add_root_certificate(authority);
        }
        Ok(())
    };
    if let Some(file) = file {
        add(&read(&file)?)?;
    }
    if let Some(directory) = directory {
        let fault =
            |error| unavailable(format_args!("{}: {}", directory.display(), reason(&error)));
        for entry in std::fs::read_dir(&directory).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            // Such directories also have directories, and links to certificates that are gone.
            if path.is_file() {
                add(&read(&path)?)?;
            }
        }
    }
    if let (Some(certificate), Some(key)) = (variable("LDAPTLS_CERT"), variable("LDAPTLS_KEY")) {
        let key = openssl::pkey::PKey::private_key_from_pem(&read(&key)?)
            .and_then(|key| key.private_key_to_pem_pkcs8())
            .map_err(unavailable)?;
        let identity = Identity::from_pkcs8(&read(&certificate)?, &key).map_err(unavailable)?;
        builder.identity(identity);
    }
    builder
        .danger_accept_invalid_certs(!verify)
        .danger_accept_invalid_hostnames(!verify)
        .build()
        .map_err(unavailable)
}

/// What the server's answer means.
fn checked(result: &LdapResult) -> Result<(), Problem> {
    let text = format!("result {} {}", result.rc, result.text);
    match result.rc {
        0 => Ok(()),
        // operationsError, timeLimitExceeded, adminLimitExceeded, busy, unavailable, other: perhaps later.
        1 | 3 | 11 | 51 | 52 | 80 => Err(Problem::Unavailable(text)),
        _ => Err(Problem::Refused(text)),
    }
}

impl Ldap {
    /// Connects to the first server that answers.
    fn connect(&self) -> Result<LdapConn, Problem> {
        let mut problem = unavailable("LDAP_URI names no server");
        for address in &self.addresses {
            let settings = LdapConnSettings::new()
                .set_conn_timeout(self.timeout)
                .set_connector(self.connector.clone())
                .set_no_tls_verify(!self.verify)
                .set_starttls(self.starttls);
            match LdapConn::with_settings(settings, address) {
                Ok(mut connection) => {
                    connection.with_timeout(self.timeout);
                    return Ok(connection);
                }
                Err(error) => problem = unavailable(format_args!("{address}: {error}")),
            }
        }
        Err(problem)
    }

    /// As [`connect`](Self::connect), and says who we are.
    fn introduced(&self) -> Result<LdapConn, Problem> {
        let mut connection = self.connect()?;
        if let Some((name, password)) = &self.initial {
            bind(&mut connection, name, password, self.timeout).map_err(
                |problem| match problem {
                    // Our own name and password are nothing that a user could have typed wrongly.
                    Problem::Refused(why) => {
                        Problem::Unavailable(format!("LDAP_BINDDN, LDAP_BINDPW: {why}"))
                    }
                    other => other,
                },
            )?;
        }
        Ok(connection)
    }

    fn search(
        &self,
        connection: &mut LdapConn,
        request: &Frame,
        rows: &mut Rows<'_>,
    ) -> Result<u64, Problem> {
        let mut words = request.fields.iter().map(|field| {
            let bytes = field.as_deref().unwrap_or_default();
            std::str::from_utf8(bytes).map_err(|_| Problem::Refused("not UTF-8".to_owned()))
        });
        let mut next = || words.next().unwrap_or(Ok(""));
        let (base, filter, limit) = (next()?, next()?, next()?);
        let attributes: Vec<&str> = words.collect::<Result<_, _>>()?;
        let limit: i32 = limit.parse().unwrap_or(FEW);
        let (seconds, wait) = if limit > FEW {
            (LONG, None)
        } else {
            let seconds = i32::try_from(self.timeout.as_secs()).unwrap_or(LONG);
            (seconds, Some(self.timeout))
        };
        let options = SearchOptions::new()
            .deref(self.aliases)
            .sizelimit(limit)
            .timelimit(seconds);
        connection.with_search_options(options);
        if let Some(wait) = wait {
            connection.with_timeout(wait);
        }
        let fault = |error: LdapError| match error {
            LdapError::FilterParsing => Problem::Refused("the filter cannot be read".to_owned()),
            error => unavailable(error),
        };
        let mut found = connection
            .streaming_search(base, Scope::Subtree, filter, attributes)
            .map_err(fault)?;
        let mut count = 0;
        while let Some(entry) = found.next().map_err(fault)? {
            if entry.is_ref() || entry.is_intermediate() {
                continue;
            }
            rows.send(fields(SearchEntry::construct(entry)))?;
            count += 1;
        }
        let result = found.result();
        // noSuchObject: nothing is there. sizeLimitExceeded: what came is enough to know.
        if result.rc == 32 || (result.rc == 4 && limit <= FEW) {
            return Ok(count);
        }
        checked(&result).map(|()| count)
    }
}

/// An entry as a row.
fn fields(entry: SearchEntry) -> Vec<Field> {
    let mut row = vec![Some(entry.dn.into_bytes())];
    for (name, values) in entry.attrs {
        for value in values {
            row.push(Some(name.clone().into_bytes()));
            row.push(Some(value.into_bytes()));
        }
    }
    for (name, values) in entry.bin_attrs {
        for value in values {
            row.push(Some(name.clone().into_bytes()));
            row.push(Some(value));
        }
    }
    row
}

fn bind(
    connection: &mut LdapConn,
    name: &str,
    password: &str,
    timeout: Duration,
) -> Result<(), Problem> {
    // RFC 4513 section 5.1.2: a name without a password is nobody, and succeeds.
    if name.is_empty() || password.is_empty() {
        return Err(Problem::Refused("no name or no password".to_owned()));
    }
    let result = connection
        .with_timeout(timeout)
        .simple_bind(name, password)
        .map_err(unavailable)?;
    checked(&result)
}

/// Field `index` as text; a name or password that is not UTF-8 is not one that a directory knows.
fn word(request: &Frame, index: usize) -> Result<&str, Problem> {
    std::str::from_utf8(request.field(index).unwrap_or_default())
        .map_err(|_| Problem::Refused("not UTF-8".to_owned()))
}

fn modify(connection: &mut LdapConn, request: &Frame, timeout: Duration) -> Result<u64, Problem> {
    let changes: Vec<Mod<&[u8]>> = request
        .fields
        .get(2..)
        .unwrap_or_default()
        .chunks_exact(2)
        .filter_map(|pair| match pair {
            [Some(name), Some(value)] => Some(Mod::Replace(
                name.as_slice(),
                HashSet::from([value.as_slice()]),
            )),
            _ => None,
        })
        .collect();
    let result = connection
        .with_timeout(timeout)
        .modify(word(request, 0)?, changes)
        .map_err(unavailable)?;
    checked(&result).map(|()| 1)
}

impl Backend for Ldap {
    fn answer(&mut self, request: &Frame, rows: &mut Rows<'_>) -> Result<u64, Problem> {
        let mut connection = std::mem::take(&mut self.connection);
        let mut trial = std::mem::take(&mut self.trial);
        let timeout = self.timeout;
        let alive = |connection: &mut LdapConn| !connection.is_closed();
        let password = request.field(1).is_some();
        let answer = match request.kind {
            Kind::Search => connection.with(
                rows,
                || self.introduced(),
                alive,
                |connection, rows| self.search(connection, request, rows),
            ),
            Kind::Bind => trial.with(
                rows,
                || self.connect(),
                alive,
                |connection, _| {
                    bind(connection, word(request, 0)?, word(request, 1)?, timeout).map(|()| 1)
                },
            ),
            Kind::Modify if password => trial.with(
                rows,
                || self.connect(),
                alive,
                |connection, _| {
                    bind(connection, word(request, 0)?, word(request, 1)?, timeout)?;
                    modify(connection, request, timeout)
                },
            ),
            Kind::Modify => connection.with(
                rows,
                || self.introduced(),
                alive,
                |connection, _| modify(connection, request, timeout),
            ),
            _ => Err(Problem::Refused(
                "not a question for a directory".to_owned(),
            )),
        };
        self.connection = connection;
        self.trial = trial;
        answer
    }
}
