//! The one thing that OpenSSL's wrapper leaves unsafe: offering a session for resumption.

use openssl::error::ErrorStack;
use openssl::ssl::{ConnectConfiguration, SslSession};

/// Offers `session`, which a context with the settings of `configuration`'s made.
///
/// # Errors
/// Out of memory.
pub(crate) fn offer(
    configuration: &mut ConnectConfiguration,
    session: &SslSession,
) -> Result<(), ErrorStack> {
    // SAFETY: the session is a copy that belongs to no context yet.
    unsafe { configuration.set_session(session) }
}
