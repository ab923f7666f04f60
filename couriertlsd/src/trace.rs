//! What `TLS_DEBUG` adds to the log: what a client offered, and what became of it.
//!
//! Neither keys nor what is transmitted is ever logged. A process has one connection, so the offer is a static.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use openssl::ssl::{ErrorCode, NameType, SslRef};

use crate::sys;

/// The logger cuts lines at 511 octets; this much of one is for the offer.
const OFFER_MAX: usize = 400;
/// The extension with the versions of TLS that a client speaks (RFC 8446 section 4.2.1).
const SUPPORTED_VERSIONS: u32 = 43;

/// What the client of this process offered.
static OFFER: Mutex<String> = Mutex::new(String::new());

/// Remembers what the client offers; only while its hello is being looked at.
pub(crate) fn remember_offer(ssl: &SslRef) {
    let mut offer = String::new();
    let versions = sys::hello_extension(ssl, SUPPORTED_VERSIONS).and_then(<[u8]>::split_first);
    match versions {
        Some((_length, versions)) => {
            for version in versions.chunks_exact(2) {
                add(&mut offer, version_name(version));
            }
        }
        None => add(&mut offer, "TLSv1.2 or older"),
    }
    let known = ssl
        .client_hello_ciphers()
        .and_then(|bytes| ssl.bytes_to_cipher_list(bytes, false).ok());
    let mut left_out = 0_usize;
    for cipher in known.iter().flat_map(|lists| lists.suites.iter()) {
        if offer.len() < OFFER_MAX {
            add(&mut offer, cipher.name());
        } else {
            left_out = left_out.saturating_add(1);
        }
    }
    if left_out > 0 {
        // Writing to a String cannot fail.
        let _infallible = write!(offer, " and {left_out} more");
    }
    *OFFER.lock().unwrap_or_else(PoisonError::into_inner) = offer;
}

fn add(offer: &mut String, word: &str) {
    if !offer.is_empty() && !word.is_empty() {
        offer.push(' ');
    }
    offer.push_str(word);
}

fn version_name(version: &[u8]) -> &'static str {
    match version {
        [3, 1] => "TLSv1",
        [3, 2] => "TLSv1.1",
        [3, 3] => "TLSv1.2",
        [3, 4] => "TLSv1.3",
        // Random values that clients send so that servers stay tolerant (RFC 8701), and drafts.
        _ => "",
    }
}

/// Lines about a connection after its handshake, whether it succeeded or not.
pub(crate) fn lines(ssl: &SslRef) -> Vec<String> {
    let mut lines = Vec::new();
    let offer = std::mem::take(&mut *OFFER.lock().unwrap_or_else(PoisonError::into_inner));
    if !offer.is_empty() {
        lines.push(format!("TLS: client offers {offer}"));
    }
    let host = ssl
        .servername_raw(NameType::HOST_NAME)
        .map(|host| host.escape_ascii().to_string());
    if let Some(host) = host {
        lines.push(format!(
            "TLS: client asks for {}",
            host.get(..OFFER_MAX).unwrap_or(&host)
        ));
    }
    if !ssl.is_init_finished() {
        lines.push(format!("TLS: ended at: {}", ssl.state_string_long()));
        return lines;
    }
    let cipher = ssl
        .current_cipher()
        .map_or("no cipher", |cipher| cipher.name());
    let mut agreed = format!("TLS: {}, {cipher}", ssl.version_str());
    if let Some(protocol) = ssl.selected_alpn_protocol() {
        // Writing to a String cannot fail.
        let _infallible = write!(agreed, ", protocol {}", protocol.escape_ascii());
    }
    agreed.push_str(if ssl.session_reused() {
        ", resumed"
    } else {
        ", full handshake"
    });
    agreed.push_str(match ssl.peer_certificate() {
        Some(_) if ssl.verify_result() == openssl::x509::X509VerifyResult::OK => {
            ", certificate verified"
        }
        Some(_) => ", certificate not verified",
        None => ", no certificate",
    });
    lines.push(agreed);
    lines
}

/// All that the library says about a failure, of which the ordinary log has the last word only.
pub(crate) fn causes(error: &openssl::ssl::Error) -> Vec<String> {
    let mut lines: Vec<String> = error
        .ssl_error()
        .into_iter()
        .flat_map(|stack| stack.errors())
        .map(|cause| format!("TLS: {cause}"))
        .collect();
    if error.code() == ErrorCode::SYSCALL {
        if let Some(io) = error.io_error() {
            lines.push(format!("TLS: {}", courier::sys::log::reason(io)));
        }
    }
    lines
}
