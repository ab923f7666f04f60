//! Certificates made for a test, a client, and ways to start couriertlsd.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslStream, SslVerifyMode};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};

/// Held for reading while a child is started, for writing while descriptors exist that any child would inherit.
pub(crate) static SPAWNING: RwLock<()> = RwLock::new(());

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

/// What a certificate says.
pub(crate) struct Wish<'a> {
    pub(crate) name: &'a str,
    pub(crate) mail: Option<&'a str>,
    pub(crate) issuer: Option<&'a Identity>,
    pub(crate) days: i64,
    pub(crate) authority: bool,
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Self {
            name: "localhost",
            mail: None,
            issuer: None,
            days: 30,
            authority: false,
        }
    }
}

pub(crate) fn identity(wish: &Wish<'_>) -> Identity {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", wish.name).unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder
        .set_issuer_name(
            wish.issuer
                .map_or(&name, |issuer| issuer.certificate.subject_name()),
        )
        .unwrap();
    let mut random = [0; 8];
    openssl::rand::rand_bytes(&mut random).unwrap();
    builder
        .set_serial_number(
            &BigNum::from_slice(&random)
                .unwrap()
                .to_asn1_integer()
                .unwrap(),
        )
        .unwrap();
    builder.set_pubkey(&key).unwrap();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    builder
        .set_not_before(&Asn1Time::from_unix(now - 100 * 86_400).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::from_unix(now + wish.days * 86_400).unwrap())
        .unwrap();
    let mut names = SubjectAlternativeName::new();
    names.dns(wish.name);
    if let Some(mail) = wish.mail {
        names.email(mail);
    }
    let issuer = wish.issuer.map(|issuer| issuer.certificate.as_ref());
    let names = names.build(&builder.x509v3_context(issuer, None)).unwrap();
    builder.append_extension(names).unwrap();
    if wish.authority {
        builder
            .append_extension(BasicConstraints::new().critical().ca().build().unwrap())
            .unwrap();
    }
    builder
        .sign(
            wish.issuer.map_or(&key, |issuer| &issuer.key),
            MessageDigest::sha256(),
        )
        .unwrap();
    Identity {
        certificate: builder.build(),
        key,
    }
}

impl Identity {
    pub(crate) fn write(&self, path: &Path) {
        let mut pem = self.certificate.to_pem().unwrap();
        pem.extend(self.key.private_key_to_pem_pkcs8().unwrap());
        std::fs::write(path, pem).unwrap();
    }
}

/// Gives the identity's certificate its key, which was exchanged, and signs it with that.
pub(crate) fn sign_anew(identity: &mut Identity) {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let name = identity.certificate.subject_name();
    builder.set_subject_name(name).unwrap();
    builder.set_issuer_name(name).unwrap();
    builder.set_pubkey(&identity.key).unwrap();
    builder
        .set_not_before(identity.certificate.not_before())
        .unwrap();
    builder
        .set_not_after(identity.certificate.not_after())
        .unwrap();
    builder
        .sign(&identity.key, MessageDigest::sha256())
        .unwrap();
    identity.certificate = builder.build();
}

/// A list in PEM, signed by `authority`, that revokes `bad`; `None` without the openssl command. `directory` gets
/// files of its own.
pub(crate) fn revocation_list(
    directory: &Path,
    authority: &Identity,
    bad: &Identity,
) -> Option<Vec<u8>> {
    let work = directory.join("revocation");
    std::fs::create_dir(&work).unwrap();
    let file = |name: &str| work.join(name);
    let serial = bad.certificate.serial_number().to_bn().unwrap();
    std::fs::write(
        file("index"),
        format!(
            "R\t391231235959Z\t250101000000Z\t{}\tunknown\t/CN=user\n",
            serial.to_hex_str().unwrap()
        ),
    )
    .unwrap();
    std::fs::write(
        file("config"),
        format!(
            "[ca]\ndefault_ca=ca\n[other]\n[ca]\ndatabase={}\ndefault_md=sha256\ndefault_crl_days=30\n",
            file("index").display()
        ),
    )
    .unwrap();
    authority.write(&file("authority"));
    let output = Command::new("openssl")
        .args(["ca", "-gencrl", "-config"])
        .arg(file("config"))
        .arg("-keyfile")
        .arg(file("authority"))
        .arg("-cert")
        .arg(file("authority"))
        .output()
        .ok()?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(output.stdout)
}

/// A directory with a certificate, and the variables that a connection's couriertlsd gets.
pub(crate) struct Setup {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) variables: Vec<(String, String)>,
    /// Where the tests run as root: connections are served by somebody else, who may not read everything.
    pub(crate) unprivileged: bool,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The mail user must reach the certificate's directory and the socket.
        std::fs::set_permissions(
            directory.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let mut setup = Self {
            directory,
            variables: Vec::new(),
            unprivileged: false,
        };
        identity(&Wish::default()).write(&setup.certificate());
        setup.set("TLS_CERTFILE", &setup.certificate().to_string_lossy());
        setup.set("TCPREMOTEIP", "127.0.0.1");
        setup.set("TLS_VERIFYPEER", "NONE");
        setup
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.path().join("imapd.pem")
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(other, _)| other != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// As [`Setup::once`], for a test that makes descriptors inheritable and holds [`SPAWNING`] for itself.
    pub(crate) fn once_alone(
        &self,
        arguments: &[&str],
        _alone: &RwLockWriteGuard<'_, ()>,
    ) -> (TcpStream, Child) {
        self.start(arguments)
    }

    /// Starts `couriertlsd -once -server -tcpd` with more arguments on one connection; what it logs can be read from
    /// the child.
    pub(crate) fn once(&self, arguments: &[&str]) -> (TcpStream, Child) {
        let _shared = SPAWNING.read().unwrap();
        self.start(arguments)
    }

    fn start(&self, arguments: &[&str]) -> (TcpStream, Child) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let child = self.spawn(arguments, listener.accept().unwrap().0);
        (client, child)
    }

    /// As [`Setup::once`] on a connection that somebody else made.
    pub(crate) fn once_accepted(&self, arguments: &[&str], accepted: TcpStream) -> Child {
        let _shared = SPAWNING.read().unwrap();
        self.spawn(arguments, accepted)
    }

    fn spawn(&self, arguments: &[&str], accepted: TcpStream) -> Child {
        let server = OwnedFd::from(accepted);
        let mut command = Command::new(env!("CARGO_BIN_EXE_couriertlsd"));
        if self.unprivileged && nix::unistd::geteuid().is_root() {
            // Any number will do that is not 0.
            std::os::unix::process::CommandExt::uid(&mut command, 65_534);
            std::os::unix::process::CommandExt::gid(&mut command, 65_534);
        }
        command
            .args(["-once", "-server", "-tcpd"])
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(server.try_clone().unwrap()))
            .stdout(Stdio::from(server))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// A client that checks nothing, to be changed by the test.
pub(crate) fn client() -> SslConnectorBuilder {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    builder
}

/// Shakes hands; the failure as text.
pub(crate) fn connect(
    builder: SslConnectorBuilder,
    name: &str,
    socket: TcpStream,
) -> Result<SslStream<TcpStream>, String> {
    let mut configuration = builder.build().configure().unwrap();
    configuration.set_verify_hostname(false);
    configuration
        .connect(name, socket)
        .map_err(|error| error.to_string())
}

/// Everything until the end.
pub(crate) fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A peer that ends without close_notify ends all the same.
    let _truncated = stream.read_to_end(&mut bytes);
    bytes
}

/// The standard error and success of a child that ends by itself.
pub(crate) fn outcome(child: Child) -> (String, bool) {
    let output = child.wait_with_output().unwrap();
    (
        String::from_utf8_lossy(&output.stderr).into_owned(),
        output.status.success(),
    )
}

/// Waits until `condition` holds, for at most ten seconds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Says on the terminal that a test did not run.
pub(crate) fn skip(reason: &str) {
    let mut stderr = std::io::stderr().lock();
    writeln!(stderr, "skipped: {reason}").unwrap();
}
