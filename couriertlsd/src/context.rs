//! From settings and certificates to contexts that OpenSSL accepts connections with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{
    AlpnError, NameType, SniError, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslMode,
    SslOptions, SslSessionCacheMode, SslVerifyMode,
};
use openssl::x509::X509;
use openssl::x509::store::{X509Lookup, X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;

use crate::material::Material;
use crate::settings::{Settings, VerifyPeer};
use crate::sys;

/// Where the certificate of a host that a client named comes from. The name has not been checked.
pub(crate) type HostLookup = dyn Fn(&str) -> Option<Material> + Send + Sync;

/// A context for the server side: `material` unless the client names a host that `lookup` knows.
pub(crate) fn server(
    settings: &Arc<Settings>,
    verification: &Arc<Verification>,
    material: &Material,
    lookup: Arc<HostLookup>,
) -> Result<SslContext, ErrorStack> {
    let mut builder = base(settings, verification, material)?;
    let for_hosts = (Arc::clone(settings), Arc::clone(verification));
    builder.set_servername_callback(move |ssl, _alert| {
        let Some(name) = ssl.servername(NameType::HOST_NAME).map(str::to_owned) else {
            return Ok(());
        };
        let Some(material) = lookup(&name) else {
            return Ok(());
        };
        let (settings, verification) = &for_hosts;
        base(settings, verification, &material)
            .map(SslContextBuilder::build)
            .and_then(|context| ssl.set_ssl_context(&context))
            .map_err(|_unusable| SniError::ALERT_FATAL)
    });
    Ok(builder.build())
}

fn base(
    settings: &Settings,
    verification: &Verification,
    material: &Material,
) -> Result<SslContextBuilder, ErrorStack> {
    let mut builder = SslContextBuilder::new(SslMethod::tls_server())?;
    builder.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::RELEASE_BUFFERS,
    );
    builder.set_min_proto_version(Some(settings.strength.floor))?;
    let mut options = SslOptions::NO_COMPRESSION | SslOptions::NO_SSLV2 | SslOptions::NO_SSLV3;
    if !settings.strength.renegotiation {
        options |= SslOptions::NO_RENEGOTIATION;
    }
    if settings.strength.server_preference {
        options |= SslOptions::CIPHER_SERVER_PREFERENCE;
    }
    builder.set_options(options);
    // An invalid string of the administrator's leaves the library's default in force, as the original does.
    if builder.set_cipher_list(&settings.strength.ciphers).is_err() {
        builder.set_cipher_list("DEFAULT:!aNULL:!eNULL")?;
    }
    let mut chain = material.chain.iter();
    if let Some(leaf) = chain.next() {
        builder.set_certificate(leaf)?;
    }
    for issuer in chain {
        builder.add_extra_chain_cert(issuer.clone())?;
    }
    builder.set_private_key(&material.key)?;
    match &material.dh {
        Some(dh) => builder.set_tmp_dh(dh)?,
        None => sys::use_automatic_dh(&mut builder),
    }
    // Sessions of one certificate must not be resumed under another (RFC 6066 section 3).
    let identity = material
        .chain
        .first()
        .and_then(|leaf| leaf.digest(openssl::hash::MessageDigest::sha256()).ok());
    if let Some(identity) = identity {
        builder.set_session_id_context(identity.get(..32).unwrap_or_default())?;
    }
    builder
        .set_session_cache_mode(SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_AUTO_CLEAR);
    sys::set_session_lifetime(&mut builder, settings.timeout);
    sys::use_ticket_keys(&mut builder);
    // One is enough for clients that use one connection after the other, and each costs an encryption.
    builder.set_num_tickets(1)?;
    verification.apply(&mut builder)?;
    if !settings.alpn.is_empty() {
        let protocols = settings.alpn.clone();
        builder.set_alpn_select_callback(move |_ssl, offered| {
            names(offered)
                .find(|name| protocols.iter().any(|known| known.as_bytes() == *name))
                .ok_or(AlpnError::ALERT_FATAL)
        });
    }
    Ok(builder)
}

/// The protocol names of an ALPN offer: each a length octet and as many octets.
fn names(offered: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = offered;
    std::iter::from_fn(move || {
        let (&length, tail) = rest.split_first()?;
        let (name, tail) = tail.split_at_checked(usize::from(length))?;
        rest = tail;
        Some(name)
    })
}

/// How client certificates are checked. Read from files once, so that a process without access to any can make
/// contexts for more hosts. Only authorities in `TLS_TRUSTCERTS` count, never those of the system.
pub(crate) struct Verification {
    mode: SslVerifyMode,
    store: Option<X509Store>,
    /// Named to clients as acceptable; a bundle of many would only fill the handshake.
    authorities: Vec<X509>,
}

/// More authorities than this are not listed to clients.
const LISTED_MAX: usize = 64;

impl Verification {
    /// Reads what the settings name.
    pub(crate) fn load(settings: &Settings) -> Result<Self, ErrorStack> {
        let mut verification = Self {
            mode: match settings.verify_peer {
                VerifyPeer::None => SslVerifyMode::NONE,
                VerifyPeer::Peer => SslVerifyMode::PEER,
                VerifyPeer::Require => SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
            },
            store: None,
            authorities: Vec::new(),
        };
        let Some(trust) = settings
            .trust
            .as_deref()
            .filter(|_| verification.mode != SslVerifyMode::NONE)
        else {
            // Nothing to check a certificate against: none is asked for, unless one is required, which then fails.
            if settings.verify_peer != VerifyPeer::Require {
                verification.mode = SslVerifyMode::NONE;
            }
            return Ok(verification);
        };
        let mut store = X509StoreBuilder::new()?;
        let mut revocation = false;
        if trust.is_dir() {
            for (file, is_list) in hashed_files(trust) {
                if is_list {
                    let lists = store
                        .add_lookup(X509Lookup::file())?
                        .load_crl_file(&file, SslFiletype::PEM);
                    revocation |= lists.is_ok_and(|count| count > 0);
                } else {
                    verification.add_authorities(&file, &mut store)?;
                }
            }
        } else {
            verification.add_authorities(trust, &mut store)?;
            // Lists of revoked certificates may stand in the same file.
            let lists = store
                .add_lookup(X509Lookup::file())?
                .load_crl_file(trust, SslFiletype::PEM);
            revocation = lists.is_ok_and(|count| count > 0);
        }
        if revocation {
            store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
        }
        verification.store = Some(store.build());
        Ok(verification)
    }

    fn add_authorities(
        &mut self,
        file: &Path,
        store: &mut X509StoreBuilder,
    ) -> Result<(), ErrorStack> {
        let authorities = std::fs::read(file)
            .ok()
            .and_then(|pem| X509::stack_from_pem(&pem).ok())
            .unwrap_or_default();
        for authority in authorities {
            store.add_cert(authority.clone())?;
            self.authorities.push(authority);
        }
        Ok(())
    }

    fn apply(&self, builder: &mut SslContextBuilder) -> Result<(), ErrorStack> {
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

/// The files of a hashed directory (`c_rehash`), in order: certificates `xxxxxxxx.N`, revocation lists
/// `xxxxxxxx.rN`, which the second value tells.
fn hashed_files(directory: &Path) -> Vec<(PathBuf, bool)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            let ending = path.extension()?.to_str()?;
            if digits(ending) {
                Some((path, false))
            } else {
                ending
                    .strip_prefix('r')
                    .is_some_and(digits)
                    .then_some((path, true))
            }
        })
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    #[test]
    fn alpn_offers_are_read_within_their_bounds() {
        let names: Vec<&[u8]> = super::names(b"\x04imap\x04pop3").collect();
        assert_eq!(names, [b"imap", b"pop3"]);
        assert_eq!(super::names(b"\x09imap").count(), 0);
        assert_eq!(super::names(b"").count(), 0);
    }
}
