//! TLS for a private server: a certificate, the TLS service, a second port that is encrypted from the start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{output, write_file};
use crate::server::{Server, Side};
use crate::{Error, programs};

/// How a server speaks TLS: STARTTLS on its port, and TLS from the start on another.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Who provides couriertls.
    pub program: Side,
    /// Whether couriertlsd runs; only ours has one.
    pub service: bool,
    /// `TLS_*` settings that differ from those of [`Tls::settings`]; they win.
    pub environment: BTreeMap<String, String>,
    /// Settings of the encrypted port's connections alone, which the service does not have: as from an access file.
    pub of_connections: BTreeMap<String, String>,
}

impl Tls {
    /// couriertls of `program`, with the service if it is ours.
    pub fn new(program: Side) -> Self {
        Self {
            program,
            service: program == Side::Ours,
            environment: BTreeMap::new(),
            of_connections: BTreeMap::new(),
        }
    }

    /// Changes one setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Without the service: a new TLS process for each connection.
    #[must_use]
    pub fn without_service(mut self) -> Self {
        self.service = false;
        self
    }

    /// Where the program is.
    pub(crate) fn couriertls(&self) -> Result<PathBuf, Error> {
        match self.program {
            Side::Ours => programs::ours("couriertls"),
            Side::Reference => Ok(PathBuf::from("/usr/bin/couriertls")),
        }
    }

    /// The variables that every program of the chain gets.
    pub(crate) fn settings(&self, top: &Path) -> Result<BTreeMap<String, String>, Error> {
        let mut settings: BTreeMap<String, String> = [
            ("IMAP_STARTTLS", "YES"),
            ("POP3_STARTTLS", "YES"),
            ("TLS_VERIFYPEER", "NONE"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        for (name, path) in [
            ("COURIERTLS", self.couriertls()?),
            ("TLS_CERTFILE", certificate(top)),
        ] {
            settings.insert(name.to_owned(), path.to_string_lossy().into_owned());
        }
        settings.extend(self.environment.clone());
        Ok(settings)
    }
}

/// Where a server with its state in `top` has its certificate and key.
pub fn certificate(top: &Path) -> PathBuf {
    top.join("etc/tls.pem")
}

/// Our couriertls as a client of `server`: on the port that is encrypted from the start, or by STARTTLS. What is said
/// in the clear before is the first that it writes.
///
/// # Errors
/// It was not built.
pub fn client(server: &Server, starttls: bool) -> Result<Command, Error> {
    let mut command = Command::new(programs::ours("couriertls")?);
    let port = if starttls {
        command.arg("-protocol=imap");
        server.port
    } else {
        server.tls_port
    };
    command
        .args(["-host=127.0.0.1", "-verify=localhost"])
        .arg(format!("-port={port}"))
        .env_clear()
        .env("COURIER_PATHS", server.state().join("paths"))
        .env("TLS_TRUSTCERTS", certificate(server.state()));
    Ok(command)
}

/// Makes the certificate, for `localhost` and 127.0.0.1. Readable by all: Debian's programs and ours have different
/// mail users.
///
/// # Errors
/// [`Error::Skipped`] without openssl.
pub fn make_certificate(top: &Path) -> Result<(), Error> {
    let openssl = programs::installed("openssl")?;
    let path = certificate(top);
    let (key, chain) = (path.with_extension("key"), path.with_extension("crt"));
    output(
        Command::new(openssl)
            .args(["req", "-new", "-x509", "-sha256", "-days", "30", "-nodes"])
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-keyout".as_ref(), key.as_os_str()])
            .args(["-out".as_ref(), chain.as_os_str()]),
    )?;
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error| Error::io("read", path, &error))
    };
    write_file(&path, read(&chain)? + &read(&key)?, 0o644)
}
