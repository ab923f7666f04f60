//! Which certificate and key serve a connection, and reading them (contract: couriertls 3.1).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use courier::sys::log::{Level, log, reason};
use openssl::dh::Dh;
use openssl::pkey::{PKey, Params, Private};
use openssl::x509::X509;

use crate::idn;
use crate::settings::Settings;

/// Larger files are not certificates.
const FILE_MAX: u64 = 4 << 20;

/// A certificate chain, leaf first, and its key.
pub(crate) struct Material {
    pub(crate) chain: Vec<X509>,
    pub(crate) key: PKey<Private>,
    pub(crate) dh: Option<Dh<Params>>,
    /// Where it came from, for log lines.
    pub(crate) path: PathBuf,
}

/// Why there is no certificate. The text is what the log says after the peer's address.
#[derive(Debug)]
pub(crate) enum MaterialError {
    NotConfigured,
    Io(PathBuf, io::Error),
    /// The file holds no certificate, or one that cannot be read.
    Certificate(PathBuf),
    /// No unencrypted private key.
    Key(PathBuf),
    /// The key belongs to another certificate.
    Mismatch(PathBuf),
}

impl fmt::Display for MaterialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured => write!(f, "couriertls: TLS_CERTFILE is not set"),
            Self::Io(path, error) => {
                write!(f, "couriertls: {}: {}", path.display(), reason(error))
            }
            Self::Certificate(path) => {
                write!(f, "couriertls: {}: no usable certificate", path.display())
            }
            Self::Key(path) => write!(
                f,
                "couriertls: {}: no unencrypted private key",
                path.display()
            ),
            Self::Mismatch(path) => write!(
                f,
                "couriertls: {}: the private key belongs to another certificate",
                path.display()
            ),
        }
    }
}

impl Material {
    /// The certificate for connections to this server's address when the client names no host, or none that has
    /// a certificate of its own.
    pub(crate) fn for_address(settings: &Settings) -> Result<Self, MaterialError> {
        let certificate = settings
            .certificate
            .as_deref()
            .ok_or(MaterialError::NotConfigured)?;
        if let Some(address) = &settings.local_ip {
            if let Some(found) = Self::with_suffix(settings, certificate, address) {
                return found;
            }
        }
        Self::read(
            certificate,
            settings.private_key.as_deref(),
            settings.dh_parameters.as_deref(),
        )
    }

    /// The certificate that a client shows, if the settings name one that can be read.
    pub(crate) fn for_client(settings: &Settings) -> Result<Option<Self>, MaterialError> {
        let readable = settings
            .certificate
            .as_deref()
            .filter(|path| std::fs::File::open(path).is_ok());
        readable
            .map(|path| Self::read(path, settings.private_key.as_deref(), None))
            .transpose()
    }

    /// The certificate for host `name` as the client sent it: the exact name first, then its parents, then the
    /// same in Unicode; `None` if there is no file for any.
    pub(crate) fn for_host(settings: &Settings, name: &str) -> Option<Result<Self, MaterialError>> {
        let certificate = settings.certificate.as_deref()?;
        let ace = host_name(name)?;
        let unicode = idn::to_unicode(&ace);
        for name in std::iter::once(ace).chain(unicode) {
            let mut rest = Some(name.as_str());
            while let Some(suffix) = rest {
                if let Some(found) = Self::with_suffix(settings, certificate, suffix) {
                    return Some(found);
                }
                rest = suffix.split_once('.').map(|(_, parent)| parent);
            }
        }
        None
    }

    fn with_suffix(
        settings: &Settings,
        certificate: &Path,
        suffix: &str,
    ) -> Option<Result<Self, MaterialError>> {
        let path = suffixed(certificate, suffix);
        if std::fs::File::open(&path).is_err() {
            return None;
        }
        let key = settings
            .private_key
            .as_deref()
            .map(|key| suffixed(key, suffix));
        Some(Self::read(
            &path,
            key.as_deref(),
            settings.dh_parameters.as_deref(),
        ))
    }

    fn read(
        certificate: &Path,
        key: Option<&Path>,
        dh: Option<&Path>,
    ) -> Result<Self, MaterialError> {
        let pem = read_limited(certificate)
            .map_err(|error| MaterialError::Io(certificate.to_owned(), error))?;
        let chain = X509::stack_from_pem(&pem).unwrap_or_default();
        let Some(leaf) = chain.first() else {
            return Err(MaterialError::Certificate(certificate.to_owned()));
        };
        // An unreadable separate key file means that the key is with the certificate, as the contract has it.
        let separate = key.map(|path| (path, read_limited(path)));
        let (key_path, key_pem) = match &separate {
            Some((path, Ok(pem))) => (*path, pem),
            _ => (certificate, &pem),
        };
        let key = match (
            PKey::private_key_from_pem_callback(key_pem, |_| Ok(0)),
            separate,
        ) {
            (Ok(key), _) => key,
            // Where it is not there either, that is what is wrong.
            (Err(_absent), Some((path, Err(error)))) if error.kind() != io::ErrorKind::NotFound => {
                return Err(MaterialError::Io(path.to_owned(), error));
            }
            (Err(_encrypted_or_absent), _) => {
                return Err(MaterialError::Key(key_path.to_owned()));
            }
        };
        let matches = leaf.public_key().is_ok_and(|public| public.public_eq(&key));
        if !matches {
            return Err(MaterialError::Mismatch(key_path.to_owned()));
        }
        let dh = dh
            .and_then(parameters)
            .or_else(|| Dh::params_from_pem(&pem).ok());
        Ok(Self {
            chain,
            key,
            dh,
            path: certificate.to_owned(),
        })
    }
}

/// The parameters in `path`. That there is no such file is usual; that it cannot be used is said.
fn parameters(path: &Path) -> Option<Dh<Params>> {
    let complain = |why: &str| {
        log(
            Level::Warning,
            format_args!("couriertls: TLS_DHPARAMS: {}: {why}", path.display()),
        );
    };
    match read_limited(path) {
        Ok(pem) => Dh::params_from_pem(&pem)
            .inspect_err(|_malformed| complain("no Diffie-Hellman parameters"))
            .ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            complain(&reason(&error));
            None
        }
    }
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut content = Vec::new();
    std::fs::File::open(path)?
        .take(FILE_MAX)
        .read_to_end(&mut content)?;
    Ok(content)
}

/// `path.suffix`.
pub(crate) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// `name` in lower case if it is a host name: letters, digits, hyphens and underscores in labels that are not
/// empty. Nothing else may become part of a file name.
pub(crate) fn host_name(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    (name.len() <= 253 && name.split('.').all(label)).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_names_reach_the_file_system() {
        assert_eq!(
            host_name("Mail.Example.ORG").as_deref(),
            Some("mail.example.org")
        );
        assert_eq!(
            host_name("mail.example.org.").as_deref(),
            Some("mail.example.org")
        );
        for bad in [
            "",
            ".",
            "a..b",
            "../etc/passwd",
            "a/b",
            "a\0b",
            "a b",
            "é.example",
        ] {
            assert_eq!(host_name(bad), None, "{bad:?}");
        }
        assert_eq!(host_name(&"a".repeat(65_536)), None);
    }
}
