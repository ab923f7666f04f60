//! Handshakes with itself, before the first child is made.
//!
//! OpenSSL looks algorithms up when they are first used, and keeps them. Done in every child this would cost each
//! connection time and a quarter of a megabyte of memory; done once here, children find everything in place.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use openssl::error::ErrorStack;
use openssl::ssl::{
    Ssl, SslContext, SslMethod, SslOptions, SslSession, SslSessionCacheMode, SslStream,
    SslVerifyMode, SslVersion,
};

use crate::sys;

/// More turns than any handshake takes.
const TURNS: usize = 20;

type Queue = Rc<RefCell<VecDeque<u8>>>;

/// One end of a connection within this process.
struct End {
    input: Queue,
    output: Queue,
}

impl Read for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.borrow_mut().read(buffer)? {
            0 => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shakes hands with `context` as the clients of today and of some years ago do, in full and with a session to
/// resume. What fails (where client certificates are required, say) leaves the rest to the children.
pub(crate) fn up(context: &SslContext) {
    for (version, options) in [
        (SslVersion::TLS1_3, SslOptions::empty()),
        (SslVersion::TLS1_2, SslOptions::empty()),
        (SslVersion::TLS1_2, SslOptions::NO_TICKET),
    ] {
        // The errors stay in OpenSSL's queue, where a child would find them.
        if shake(context, version, options).is_err() {
            let _read = ErrorStack::get();
        }
    }
}

fn shake(context: &SslContext, version: SslVersion, options: SslOptions) -> Result<(), ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls_client())?;
    builder.set_verify(SslVerifyMode::NONE);
    builder.set_max_proto_version(Some(version))?;
    builder.set_options(options);
    builder.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
    let latest = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&latest);
    builder.set_new_session_callback(move |_, session| {
        *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    });
    let client = builder.build();
    let take = || latest.lock().unwrap_or_else(PoisonError::into_inner).take();
    converse(context, &client, None)?;
    if let Some(session) = take() {
        converse(context, &client, Some(&session))?;
    }
    Ok(())
}

/// A handshake, a few octets each way, a goodbye.
fn converse(
    server: &SslContext,
    client: &SslContext,
    session: Option<&SslSession>,
) -> Result<(), ErrorStack> {
    let (one, other) = (Queue::default(), Queue::default());
    let mut ssl = Ssl::new(server)?;
    ssl.set_accept_state();
    let input = Rc::clone(&one);
    let output = Rc::clone(&other);
    let mut serving = SslStream::new(ssl, End { input, output })?;
    let mut ssl = Ssl::new(client)?;
    if let Some(session) = session {
        sys::offer_session(&mut ssl, session)?;
    }
    ssl.set_connect_state();
    let mut asking = SslStream::new(
        ssl,
        End {
            input: other,
            output: one,
        },
    )?;
    let mut buffer = [0; 64];
    for _ in 0..TURNS {
        // Whether there is something to do yet shows in what is left to do.
        let asked = asking.do_handshake().is_ok() && asking.ssl_write(b"NOOP").is_ok();
        let heard = serving.do_handshake().is_ok() && serving.ssl_read(&mut buffer).is_ok();
        if asked && heard {
            // What fails here is looked up by the children, when they need it.
            let _answered = serving.ssl_write(b"OK");
            let _read = asking.ssl_read(&mut buffer);
            break;
        }
    }
    for stream in [&mut asking, &mut serving] {
        // As above.
        let _said = stream.shutdown();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::pkey::PKey;
    use openssl::ssl::SslContextBuilder;

    #[test]
    fn handshakes_succeed_and_sessions_are_resumed() {
        let mut builder = SslContextBuilder::new(SslMethod::tls_server()).unwrap();
        let key = PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap();
        let mut certificate = openssl::x509::X509::builder().unwrap();
        certificate.set_pubkey(&key).unwrap();
        let now = openssl::asn1::Asn1Time::days_from_now(0).unwrap();
        certificate.set_not_before(&now).unwrap();
        certificate.set_not_after(&now).unwrap();
        certificate
            .sign(&key, openssl::hash::MessageDigest::sha256())
            .unwrap();
        builder.set_certificate(&certificate.build()).unwrap();
        builder.set_private_key(&key).unwrap();
        builder.set_session_id_context(b"test").unwrap();
        // Each of the three kinds of client finishes two handshakes.
        let finished = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&finished);
        builder.set_new_session_callback(move |ssl, _| {
            seen.lock()
                .unwrap()
                .push((ssl.version2(), ssl.session_reused()));
        });
        let context = builder.build();
        up(&context);
        assert!(ErrorStack::get().errors().is_empty());
        let finished = finished.lock().unwrap();
        for version in [SslVersion::TLS1_3, SslVersion::TLS1_2] {
            assert!(
                finished.iter().any(|(found, _)| *found == Some(version)),
                "{finished:?}"
            );
        }
        assert!(
            finished.contains(&(Some(SslVersion::TLS1_3), true)),
            "{finished:?}"
        );
    }
}
