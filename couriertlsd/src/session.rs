//! One connection from handshake to goodbye, in the process that faces the peer.

use std::time::Duration;

use openssl::ssl::{Ssl, SslContext, SslStream};

use crate::dump::Peer;
use crate::relay::{self, End, HandshakeFailure, Network, Plain};
use crate::report::Report;
use crate::settings::Settings;

/// A peer that has not finished its handshake by then is let go.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(60);

/// A connection whose handshake succeeded.
pub(crate) struct Session {
    stream: SslStream<Network>,
    pub(crate) peer: Peer,
}

impl Session {
    /// Shakes hands on `network`. Failures are said on `report` and leave nothing else to do but end.
    pub(crate) fn accept(
        network: Network,
        context: &SslContext,
        settings: &Settings,
        report: &mut Report,
    ) -> Option<Self> {
        let stream = Ssl::new(context).and_then(|ssl| SslStream::new(ssl, network));
        let mut stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                report.fail(&settings.line(&format!("couriertls: accept: {error}")));
                return None;
            }
        };
        match relay::accept(&mut stream, HANDSHAKE_LIMIT) {
            Ok(()) => {
                let peer = Peer::of(stream.ssl());
                Some(Self { stream, peer })
            }
            Err(HandshakeFailure::TimedOut) => {
                report.fail(&settings.line("couriertls: accept: Connection timed out"));
                None
            }
            Err(HandshakeFailure::Failed(text)) => {
                report.fail(&settings.line(&format!("couriertls: accept: {text}")));
                None
            }
        }
    }

    /// Copies between the peer and `plain` until both have closed.
    pub(crate) fn relay(mut self, plain: Plain, settings: &Settings, report: &mut Report) {
        match relay::relay(&mut self.stream, plain) {
            Ok(End::Closed) => {}
            Ok(End::Truncated) => {
                report.debug(&settings.line("Unexpected SSL connection shutdown."))
            }
            Err(error) => report.fail(&settings.line(&format!("couriertls: read: {error}"))),
        }
    }
}
