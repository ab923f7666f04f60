//! The handshake, as server or client, and what is said when it fails.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use courier::sys::log::reason;
use nix::poll::PollFlags;
use openssl::ssl::{ErrorCode, SslStream};
use openssl::x509::X509VerifyResult;

use crate::relay::Network;
use crate::trace;

/// X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
const MISMATCHES: [i32; 2] = [62, 64];

/// Why a handshake did not succeed.
#[derive(Debug)]
pub(crate) enum HandshakeFailure {
    TimedOut,
    /// The peer's certificate is good, but for somebody else.
    OtherOwner,
    /// The text of the library, or of the socket.
    Failed {
        text: String,
        /// All that the library said, for `TLS_DEBUG`.
        causes: Vec<String>,
    },
}

/// Shakes hands within `limit`, on the side that the stream was prepared for.
pub(crate) fn shake(
    stream: &mut SslStream<Network>,
    limit: Duration,
) -> Result<(), HandshakeFailure> {
    let deadline = Instant::now() + limit;
    loop {
        let result = stream.do_handshake();
        let failed = |error: io::Error| HandshakeFailure::Failed {
            text: reason(&error),
            causes: Vec::new(),
        };
        let flushed = match (stream.get_mut().send(), &result) {
            (Ok(flushed), _) => flushed,
            (Err(error), Ok(())) => return Err(failed(error)),
            // The alert that says why could not be sent: the cause is more telling.
            (Err(_), Err(error)) => return Err(failure(stream, error)),
        };
        let events = match result {
            Ok(()) if flushed => return Ok(()),
            Ok(()) => PollFlags::POLLOUT,
            Err(error) => match error.code() {
                ErrorCode::WANT_READ if flushed => PollFlags::POLLIN,
                ErrorCode::WANT_READ => PollFlags::POLLIN | PollFlags::POLLOUT,
                ErrorCode::WANT_WRITE => PollFlags::POLLOUT,
                _ => return Err(failure(stream, &error)),
            },
        };
        let ready = courier::sys::fd::wait_ready(stream.get_ref().socket(), events, Some(deadline))
            .map_err(failed)?;
        // A peer that sends octet by octet is always ready.
        if !ready || Instant::now() >= deadline {
            return Err(HandshakeFailure::TimedOut);
        }
        stream.get_mut().readable();
    }
}

fn failure(stream: &SslStream<Network>, error: &openssl::ssl::Error) -> HandshakeFailure {
    let verdict = stream.ssl().verify_result();
    let mut text = error_text(error);
    if verdict != X509VerifyResult::OK && text.contains("certificate verify failed") {
        if MISMATCHES.contains(&verdict.as_raw()) {
            return HandshakeFailure::OtherOwner;
        }
        // Writing to a String cannot fail.
        let _infallible = write!(text, " ({})", verdict.error_string());
    }
    HandshakeFailure::Failed {
        text,
        causes: trace::causes(error),
    }
}

/// The most telling part of an OpenSSL failure, as the original writes it.
fn error_text(error: &openssl::ssl::Error) -> String {
    let last = error.ssl_error().and_then(|stack| stack.errors().last());
    match (last, error.io_error()) {
        (Some(last), _) => format!(
            "error:{:08X}:{}::{}",
            last.code(),
            last.library().unwrap_or_default(),
            last.reason().unwrap_or_default()
        ),
        (None, Some(error)) => reason(error),
        (None, None) => "connection closed during the handshake".to_owned(),
    }
}
