//! One connection from handshake to goodbye, in the process that faces the peer.

use std::net::IpAddr;
use std::time::Duration;

use courier::sys::log::{Level, log};
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslStream};
use openssl::x509::verify::X509CheckFlags;

use crate::dump::Peer;
use crate::handshake::{self, HandshakeFailure};
use crate::idn;
use crate::relay::{self, End, Network, Plain};
use crate::report::Report;
use crate::settings::Settings;
use crate::trace;

/// A peer that has not finished its handshake by then is let go.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(60);

/// Our side of the handshake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Role {
    /// We are the client.
    pub(crate) client: bool,
    /// The peer's certificate must be for this domain or address.
    pub(crate) domain: Option<String>,
    /// The host that we say we want, as a client.
    pub(crate) host: Option<String>,
}

impl Role {
    /// What failures of the handshake are called in the log.
    fn call(&self) -> &'static str {
        if self.client { "connect" } else { "accept" }
    }

    fn prepare(&self, context: &SslContext) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(context)?;
        if let Some(domain) = &self.domain {
            let parameters = ssl.param_mut();
            match domain.parse::<IpAddr>() {
                Ok(address) => parameters.set_ip(address)?,
                Err(_name) => {
                    parameters.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
                    parameters.set_host(&idn::to_ace(domain).unwrap_or_else(|| domain.clone()))?;
                }
            }
        }
        if self.client {
            let host = self.domain.as_deref().or(self.host.as_deref());
            // Addresses are not host names (RFC 6066 section 3).
            let host = host
                .filter(|host| host.parse::<IpAddr>().is_err())
                .and_then(idn::to_ace);
            if let Some(host) = host {
                ssl.set_hostname(&host)?;
            }
            ssl.set_connect_state();
        } else {
            ssl.set_accept_state();
        }
        Ok(ssl)
    }
}

/// A connection whose handshake succeeded.
pub(crate) struct Session {
    stream: SslStream<Network>,
    pub(crate) peer: Peer,
}

impl Session {
    /// Shakes hands on `network`. Failures are said on `report` and leave nothing else to do but end.
    pub(crate) fn start(
        network: Network,
        context: &SslContext,
        role: &Role,
        settings: &Settings,
        report: &mut Report,
    ) -> Option<Self> {
        let call = role.call();
        let mut failed = |text: &str| {
            report.fail(&settings.line(text));
            None
        };
        let stream = role
            .prepare(context)
            .and_then(|ssl| SslStream::new(ssl, network));
        let mut stream = match stream {
            Ok(stream) => stream,
            Err(error) => return failed(&format!("couriertls: {call}: {error}")),
        };
        let shaken = handshake::shake(&mut stream, HANDSHAKE_LIMIT);
        if settings.debug {
            let mut lines = trace::lines(stream.ssl());
            if let Err(HandshakeFailure::Failed { causes, .. }) = &shaken {
                lines.extend_from_slice(causes);
            }
            for line in lines {
                log(Level::Debug, format_args!("{}", settings.line(&line)));
            }
        }
        match shaken {
            Ok(()) => {}
            Err(HandshakeFailure::TimedOut) => {
                return failed(&format!("couriertls: {call}: Connection timed out"));
            }
            Err(HandshakeFailure::OtherOwner) => {
                let domain = role.domain.as_deref().unwrap_or_default();
                return failed(&format!("Certificate owner mismatch: {domain}"));
            }
            Err(HandshakeFailure::Failed { text, .. }) => {
                return failed(&format!("couriertls: {call}: {text}"));
            }
        }
        if role.client && settings.min_dh_bits > 0 {
            use openssl::pkey::Id;
            // No key: this handshake exchanged none.
            let key = stream.ssl().peer_tmp_key().ok();
            let weak = key.filter(|key| key.id() == Id::DH && key.bits() < settings.min_dh_bits);
            if let Some(key) = weak {
                return failed(&format!(
                    "couriertls: {call}: the server's Diffie-Hellman group has {} bits only",
                    key.bits()
                ));
            }
        }
        let peer = Peer::of(stream.ssl());
        Some(Self { stream, peer })
    }

    /// Copies between the peer and `plain` until both have closed.
    pub(crate) fn relay(mut self, plain: Plain, settings: &Settings, report: &mut Report) {
        match relay::relay(&mut self.stream, plain) {
            Ok(End::Closed) => {}
            Ok(End::Truncated) => {
                report.debug(&settings.line("Unexpected SSL connection shutdown."))
            }
            Err(error) => report.fail(&settings.line(&format!(
                "couriertls: read: {}",
                courier::sys::log::reason(&error)
            ))),
        }
    }
}
