//! From settings and certificates to contexts that OpenSSL accepts connections with.

use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::hash::{Hasher, MessageDigest};
use openssl::ssl::{
    AlpnError, NameType, SniError, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions,
    SslSessionCacheMode,
};

use crate::material::Material;
use crate::settings::Settings;
use crate::sys;
use crate::verification::Verification;

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

/// A context for the client side, with a certificate to show if there is one.
pub(crate) fn client(
    settings: &Settings,
    verification: &Verification,
    material: Option<&Material>,
) -> Result<SslContext, ErrorStack> {
    let mut builder = common(SslMethod::tls_client(), settings, verification)?;
    if let Some(material) = material {
        show(&mut builder, material)?;
    }
    if !settings.alpn.is_empty() {
        let mut offer = Vec::new();
        for name in &settings.alpn {
            // Longer names are dropped where the setting is read.
            offer.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            offer.extend_from_slice(name.as_bytes());
        }
        builder.set_alpn_protos(&offer)?;
    }
    Ok(builder.build())
}

/// What both sides have in common.
fn common(
    method: SslMethod,
    settings: &Settings,
    verification: &Verification,
) -> Result<SslContextBuilder, ErrorStack> {
    let mut builder = SslContextBuilder::new(method)?;
    builder.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::RELEASE_BUFFERS,
    );
    builder.set_min_proto_version(Some(settings.strength.floor))?;
    builder.set_max_proto_version(settings.strength.ceiling)?;
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
    verification.apply(&mut builder)?;
    Ok(builder)
}

fn show(builder: &mut SslContextBuilder, material: &Material) -> Result<(), ErrorStack> {
    let mut chain = material.chain.iter();
    if let Some(leaf) = chain.next() {
        builder.set_certificate(leaf)?;
    }
    for issuer in chain {
        builder.add_extra_chain_cert(issuer.clone())?;
    }
    builder.set_private_key(&material.key)
}

fn base(
    settings: &Settings,
    verification: &Verification,
    material: &Material,
) -> Result<SslContextBuilder, ErrorStack> {
    let mut builder = common(SslMethod::tls_server(), settings, verification)?;
    show(&mut builder, material)?;
    match &material.dh {
        Some(dh) => builder.set_tmp_dh(dh)?,
        None => sys::use_automatic_dh(&mut builder),
    }
    // A session of one certificate must not be resumed under another (RFC 6066 section 3), nor one that was made
    // without a client's certificate where one is asked for.
    let mut identity = Hasher::new(MessageDigest::sha256())?;
    if let Some(leaf) = material.chain.first() {
        identity.update(&leaf.digest(MessageDigest::sha256())?)?;
    }
    identity.update(verification.identity())?;
    builder.set_session_id_context(&identity.finish()?)?;
    builder
        .set_session_cache_mode(SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_AUTO_CLEAR);
    sys::set_session_lifetime(&mut builder, settings.timeout);
    sys::use_ticket_keys(&mut builder);
    // One is enough for clients that use one connection after the other, and each costs an encryption.
    builder.set_num_tickets(1)?;
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
