//! From settings and certificates to contexts that OpenSSL accepts connections with.

use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::hash::{Hasher, MessageDigest};
use openssl::ssl::{
    AlpnError, ClientHelloResponse, SslAlert, SslContext, SslContextBuilder, SslMethod, SslMode,
    SslOptions, SslSessionCacheMode, SslVersion,
};

use crate::cache::Cache;
use crate::material::Material;
use crate::settings::Settings;
use crate::verification::Verification;
use crate::{sys, trace};

/// The extension with the host that a client asks for (RFC 6066 section 3).
const SERVER_NAME: u32 = 0;

/// Where the certificate of a host that a client named comes from. The name has not been checked.
pub(crate) type HostLookup = dyn Fn(&str) -> Option<Material> + Send + Sync;

/// What all contexts of a process have in common.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) settings: Arc<Settings>,
    pub(crate) verification: Arc<Verification>,
    /// Where sessions of clients without tickets are kept.
    pub(crate) cache: Option<Arc<Cache>>,
}

/// A context for the server side: `material` unless the client names a host that `lookup` knows.
pub(crate) fn server(
    policy: &Policy,
    material: &Material,
    lookup: Arc<HostLookup>,
) -> Result<SslContext, ErrorStack> {
    let mut builder = base(policy, material)?;
    let for_hosts = policy.clone();
    // Before a session is looked up, so that one made for another certificate is not found (RFC 6066 section 3).
    builder.set_client_hello_callback(move |ssl, alert| {
        if for_hosts.settings.debug {
            trace::remember_offer(ssl);
        }
        let host = sys::hello_extension(ssl, SERVER_NAME).and_then(server_name);
        if let Some(material) = host.and_then(|host| lookup(&host)) {
            let mut context = base(&for_hosts, &material).inspect_err(|_unusable| {
                *alert = SslAlert::INTERNAL_ERROR;
            })?;
            // The client is told that its choice was heard.
            context.set_servername_callback(|_ssl, _alert| Ok(()));
            ssl.set_ssl_context(&context.build())?;
        }
        Ok(ClientHelloResponse::SUCCESS)
    });
    Ok(builder.build())
}

/// A context for the client side, with a certificate to show if there is one.
pub(crate) fn client(
    policy: &Policy,
    material: Option<&Material>,
) -> Result<SslContext, ErrorStack> {
    let settings = &policy.settings;
    let mut builder = common(SslMethod::tls_client(), policy)?;
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
fn common(method: SslMethod, policy: &Policy) -> Result<SslContextBuilder, ErrorStack> {
    let settings = &policy.settings;
    let mut builder = SslContextBuilder::new(method)?;
    builder.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::RELEASE_BUFFERS,
    );
    // One read for a record's header and its body.
    builder.set_read_ahead(true);
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
    policy.verification.apply(&mut builder)?;
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

fn base(policy: &Policy, material: &Material) -> Result<SslContextBuilder, ErrorStack> {
    let settings = &policy.settings;
    let mut builder = common(SslMethod::tls_server(), policy)?;
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
    identity.update(policy.verification.identity())?;
    builder.set_session_id_context(&identity.finish()?)?;
    // The library's own cache would end with the process, which is to say with the connection.
    builder.set_session_cache_mode(SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL);
    if let Some(cache) = &policy.cache {
        let (kept, found) = (Arc::clone(cache), Arc::clone(cache));
        builder.set_new_session_callback(move |ssl, session| {
            // The sessions of TLS 1.3 travel in tickets.
            if ssl.version2() != Some(SslVersion::TLS1_3) {
                if let Ok(bytes) = session.to_der() {
                    kept.store(session.id(), &bytes);
                }
            }
        });
        sys::use_session_lookup(&mut builder, move |id| found.find(id));
    }
    sys::set_session_lifetime(&mut builder, settings.timeout);
    sys::use_ticket_keys(&mut builder);
    // For clients that open several connections at once: a ticket of TLS 1.3 is for one use. After a resumption the
    // library sends one, so that a client has two again when both are used.
    builder.set_num_tickets(2)?;
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

/// The host name in a server_name extension: a list of names, each a type (0 for a host) and a length (RFC 6066).
fn server_name(extension: &[u8]) -> Option<String> {
    let prefixed = |bytes: &[u8]| -> Option<Vec<u8>> {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        rest.get(..usize::from(u16::from_be_bytes(*length)))
            .map(<[u8]>::to_vec)
    };
    let list = prefixed(extension)?;
    let (&kind, name) = list.split_first()?;
    if kind != 0 {
        return None;
    }
    String::from_utf8(prefixed(name)?).ok()
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
    fn server_names_are_read_within_their_bounds() {
        use super::server_name;
        let whole = b"\0\x07\0\0\x04a.bc";
        assert_eq!(server_name(whole).as_deref(), Some("a.bc"));
        for length in 0..whole.len() {
            assert_eq!(server_name(&whole[..length]), None);
        }
        assert_eq!(server_name(b"\0\x07\x01\0\x04a.bc"), None);
        assert_eq!(server_name(b"\0\x07\0\0\x05a.bc"), None);
        assert_eq!(server_name(b"\0\x04\0\0\x01\xff"), None);
    }

    #[test]
    fn alpn_offers_are_read_within_their_bounds() {
        let names: Vec<&[u8]> = super::names(b"\x04imap\x04pop3").collect();
        assert_eq!(names, [b"imap", b"pop3"]);
        assert_eq!(super::names(b"\x09imap").count(), 0);
        assert_eq!(super::names(b"").count(), 0);
    }
}
