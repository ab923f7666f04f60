//! How the peer's certificate is checked: `TLS_VERIFYPEER`, `TLS_TRUSTCERTS`, `-verify` (contract: couriertls 3).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use courier::sys::log::reason;
use openssl::error::ErrorStack;
use openssl::hash::{Hasher, MessageDigest, hash};
use openssl::ssl::{SslContextBuilder, SslFiletype, SslVerifyMode};
use openssl::x509::X509;
use openssl::x509::store::{X509Lookup, X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;

use crate::settings::{Settings, VerifyPeer};
use crate::sys;

/// How client certificates are checked. Read from files once, so that a process without access to any can make
/// contexts for more hosts. Only authorities in `TLS_TRUSTCERTS` count, never those of the system.
pub(crate) struct Verification {
    mode: SslVerifyMode,
    store: Option<X509Store>,
    /// Named to clients as acceptable; a bundle of many would only fill the handshake.
    authorities: Vec<X509>,
    /// Digest of everything here: a session that was made under other rules must not be resumed.
    identity: Vec<u8>,
}

/// Where a list of revoked certificates begins in a file.
const REVOCATION_LIST: &[u8] = b"-----BEGIN X509 CRL-----";
/// More authorities than this are not listed to clients.
const LISTED_MAX: usize = 64;

impl Verification {
    /// Reads what the settings name. With a `domain` (`-verify`) a certificate is mandatory.
    pub(crate) fn load(settings: &Settings, domain: Option<&str>) -> Result<Self, String> {
        let text = |error: ErrorStack| format!("couriertls: {error}");
        let mut verification = Self {
            mode: match (domain, settings.verify_peer) {
                (Some(_), _) | (None, VerifyPeer::Require) => {
                    SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT
                }
                (None, VerifyPeer::Peer) => SslVerifyMode::PEER,
                (None, VerifyPeer::None) => SslVerifyMode::NONE,
            },
            store: None,
            authorities: Vec::new(),
            identity: Vec::new(),
        };
        if domain.is_some() && settings.trust.is_none() {
            return Err("couriertls: TLS_TRUSTCERTS not set: No such file or directory".to_owned());
        }
        if let Some(trust) = settings
            .trust
            .as_deref()
            .filter(|_| verification.mode != SslVerifyMode::NONE)
        {
            verification.read(trust)?;
        } else if settings.verify_peer != VerifyPeer::Require {
            // Nothing to check a certificate against: none is asked for, unless one is required, which then fails.
            verification.mode = SslVerifyMode::NONE;
        }
        verification.identity = verification.digest(domain).map_err(text)?;
        Ok(verification)
    }

    fn read(&mut self, trust: &Path) -> Result<(), String> {
        let text = |error: ErrorStack| format!("couriertls: {error}");
        let mut store = X509StoreBuilder::new().map_err(text)?;
        let mut revocation = false;
        for file in trust_files(trust) {
            let refuse = |why: &str| Err(format!("couriertls: {}: {why}", file.display()));
            let pem = match std::fs::read(&file) {
                Ok(pem) => pem,
                // Nobody to trust.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                // It might have said who is revoked.
                Err(error) => return refuse(&reason(&error)),
            };
            let digest = hash(MessageDigest::sha256(), &pem).map_err(text)?;
            self.identity.extend_from_slice(&digest);
            self.add_authorities(&pem, &mut store).map_err(text)?;
            // Lists of revoked certificates may stand anywhere among the authorities.
            if pem
                .windows(REVOCATION_LIST.len())
                .any(|bytes| bytes == REVOCATION_LIST)
            {
                let lists = store
                    .add_lookup(X509Lookup::file())
                    .and_then(|lookup| lookup.load_crl_file(&file, SslFiletype::PEM));
                if !lists.is_ok_and(|count| count > 0) {
                    return refuse("a revocation list that cannot be read");
                }
                revocation = true;
            }
        }
        if revocation {
            store
                .set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)
                .map_err(text)?;
        }
        self.store = Some(store.build());
        Ok(())
    }

    fn digest(&self, domain: Option<&str>) -> Result<Vec<u8>, ErrorStack> {
        let mut hasher = Hasher::new(MessageDigest::sha256())?;
        hasher.update(&self.mode.bits().to_le_bytes())?;
        hasher.update(&self.identity)?;
        hasher.update(domain.unwrap_or_default().as_bytes())?;
        Ok(hasher.finish()?.to_vec())
    }

    /// See the field.
    pub(crate) fn identity(&self) -> &[u8] {
        &self.identity
    }

    /// How many authorities can vouch for a peer.
    pub(crate) fn authorities(&self) -> usize {
        self.authorities.len()
    }

    fn add_authorities(
        &mut self,
        pem: &[u8],
        store: &mut X509StoreBuilder,
    ) -> Result<(), ErrorStack> {
        for authority in X509::stack_from_pem(pem).unwrap_or_default() {
            store.add_cert(authority.clone())?;
            self.authorities.push(authority);
        }
        Ok(())
    }

    /// Puts the rules into a context.
    pub(crate) fn apply(&self, builder: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        builder.set_verify(self.mode);
        if self.authorities.len() <= LISTED_MAX {
            for authority in &self.authorities {
                builder.add_client_ca(authority)?;
            }
        }
        match &self.store {
            Some(store) => builder.set_verify_cert_store(sys::share_store(store)),
            None => Ok(()),
        }
    }
}

/// The files that `TLS_TRUSTCERTS` names: itself, or those of a directory, in order. Of a hashed directory
/// (`c_rehash`) these are `xxxxxxxx.N` and `xxxxxxxx.rN`; of any other, every regular file whose name does not begin
/// with a dot, as GnuTLS has it.
pub(crate) fn trust_files(trust: &Path) -> Vec<PathBuf> {
    if !trust.is_dir() {
        return vec![trust.to_owned()];
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(trust)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !entry.file_name().as_bytes().starts_with(b"."))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let hashed = |path: &PathBuf| {
        let stem = path.file_stem().map(OsStr::as_bytes).unwrap_or_default();
        let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        stem.len() == 8
            && stem.iter().all(u8::is_ascii_hexdigit)
            && digits(ending.strip_prefix('r').unwrap_or(ending))
    };
    if files.iter().any(hashed) {
        files.retain(hashed);
    }
    files
}
