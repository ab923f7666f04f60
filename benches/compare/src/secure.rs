//! TLS for the client: full handshakes, or the last session resumed.

use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};

use harness::Error;
use openssl::error::ErrorStack;
use openssl::ssl::{
    SslConnector, SslMethod, SslSession, SslSessionCacheMode, SslStream, SslVerifyMode,
};

use crate::sys;
use crate::target::USER;
use crate::wire::{Wire, socket};

/// Makes connections to one server.
pub(crate) struct Secure {
    connector: SslConnector,
    /// As DER: OpenSSL marks the session itself when a connection that uses it ends without a goodbye.
    latest: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Secure {
    /// A client without a session to resume.
    ///
    /// # Errors
    /// OpenSSL refuses.
    pub(crate) fn new() -> Result<Self, Error> {
        Self::make().map_err(|error| Error::new(error.to_string()))
    }

    fn make() -> Result<Self, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_verify(SslVerifyMode::NONE);
        builder
            .set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        let latest = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&latest);
        builder.set_new_session_callback(move |_, session| {
            *keep.lock().unwrap_or_else(PoisonError::into_inner) = session.to_der().ok();
        });
        Ok(Self {
            connector: builder.build(),
            latest,
        })
    }

    /// A logged-in connection to `port`; with `resume` it offers the latest session. A
    /// server that does not know it pays for a full handshake, as it would in life.
    ///
    /// # Errors
    /// The handshake fails, or the server refuses.
    pub(crate) fn log_in(&self, port: u16, resume: bool) -> Result<Wire, Error> {
        let stream = self.shake(socket(port)?, resume)?;
        let mut wire = Wire::over(stream)?;
        wire.log_in(USER)?;
        Ok(wire)
    }

    fn shake(&self, socket: TcpStream, resume: bool) -> Result<SslStream<TcpStream>, Error> {
        let text = |error: ErrorStack| Error::new(error.to_string());
        let mut configuration = self.connector.configure().map_err(text)?;
        configuration.set_verify_hostname(false);
        if resume {
            let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(der) = latest.as_ref() {
                let session = SslSession::from_der(der).map_err(text)?;
                sys::offer(&mut configuration, &session).map_err(text)?;
            }
        }
        configuration
            .connect("localhost", socket)
            .map_err(|error| Error::new(format!("handshake: {error}")))
    }
}
