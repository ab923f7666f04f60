//! Server side of the SASL mechanisms, as state machines: text lines in, text lines and credentials out.
//!
//! The caller frames the lines (`+ ` before a challenge, no line end here), limits their length, and takes the
//! credentials to authdaemond. Contract: login §5.2 and §5.3; RFC 4422, 4616 (PLAIN), 2195 (CRAM-MD5).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub mod cram;
mod login;
mod plain;

use super::account::Secret;

/// Longest response line taken, in bytes. More than authdaemond takes could never succeed.
pub const RESPONSE_MAX: usize = 12 * 1024;

/// The mechanisms that are accepted, whatever a capability list says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// The old draft: user name and password in two steps.
    Login,
    /// RFC 2195.
    CramMd5,
    /// As CRAM-MD5 with SHA-1; Courier's own.
    CramSha1,
    /// As CRAM-MD5 with SHA-256; Courier's own.
    CramSha256,
    /// RFC 4422 appendix A: the identity comes from the peer's certificate.
    External,
}

impl Mechanism {
    /// By its name, in any case.
    pub fn by_name(name: &[u8]) -> Option<Self> {
        let all = [
            (&b"PLAIN"[..], Self::Plain),
            (b"LOGIN", Self::Login),
            (b"CRAM-MD5", Self::CramMd5),
            (b"CRAM-SHA1", Self::CramSha1),
            (b"CRAM-SHA256", Self::CramSha256),
            (b"EXTERNAL", Self::External),
        ];
        all.iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))
            .map(|&(_, mechanism)| mechanism)
    }

    /// The authtype of authdaemond's protocol; `None` for those that are not asked that way.
    pub fn cram_authtype(self) -> Option<&'static str> {
        match self {
            Self::CramMd5 => Some("cram-md5"),
            Self::CramSha1 => Some("cram-sha1"),
            Self::CramSha256 => Some("cram-sha256"),
            Self::Plain | Self::Login | Self::External => None,
        }
    }
}

/// What an exchange ends with; goes to authdaemond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// User name and clear password, for [`super::client::Client::login`].
    Password {
        /// As the peer sent it.
        user: Vec<u8>,
        /// As the peer sent it.
        password: Secret,
    },
    /// For [`super::client::Client::cram`].
    Cram {
        /// `cram-md5` and so on.
        authtype: &'static str,
        /// Base64 text of the challenge.
        challenge: Vec<u8>,
        /// Base64 text of the response.
        response: Vec<u8>,
    },
    /// The identity in the peer's verified certificate, for [`super::client::Client::lookup`].
    External {
        /// The certificate's value.
        user: Vec<u8>,
    },
}

/// Why an exchange ended without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The peer cancelled with `*`.
    Cancelled,
    /// A response is not base64.
    NotBase64,
    /// A response says what the mechanism has no meaning for.
    Malformed,
    /// EXTERNAL without a verified certificate, or for another identity than the certificate's.
    Identity,
}

impl Refusal {
    /// POP3 answers these with "aborted", at once and without the failure delay (`login.md` section 5.4).
    pub fn is_abort(self) -> bool {
        matches!(self, Self::Cancelled | Self::NotBase64 | Self::Malformed)
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this base64 text (may be empty) as a challenge and give the peer's line to [`Exchange::respond`].
    Challenge(Vec<u8>),
    /// The exchange is over: ask authdaemond.
    Done(Credentials),
    /// The exchange is over: it failed.
    Refused(Refusal),
}

/// What an exchange must know beside the peer's lines.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// EXTERNAL: the value of the subject field that `TLS_EXTERNAL` names; `None` or empty when EXTERNAL is not
    /// usable.
    pub external: Option<Vec<u8>>,
    /// CRAM: the challenge, from [`cram::fresh_challenge`]; must never be used twice.
    pub challenge: Vec<u8>,
}

/// One exchange.
#[derive(Debug)]
pub struct Exchange {
    state: State,
}

#[derive(Debug)]
enum State {
    Plain,
    LoginUser,
    LoginPassword(Vec<u8>),
    Cram(&'static str, Vec<u8>),
    External(Vec<u8>),
    Over,
}

impl Exchange {
    /// Begins an exchange. `initial` is the initial response as the peer wrote it; `=` means an empty one.
    pub fn start(mechanism: Mechanism, context: &Context, initial: Option<&[u8]>) -> (Self, Step) {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginUser,
            Mechanism::CramMd5 | Mechanism::CramSha1 | Mechanism::CramSha256 => State::Cram(
                mechanism.cram_authtype().unwrap_or_default(),
                STANDARD.encode(&context.challenge).into_bytes(),
            ),
            Mechanism::External => State::External(context.external.clone().unwrap_or_default()),
        };
        let mut exchange = Self { state };
        let step = exchange.first(initial);
        if !matches!(step, Step::Challenge(_)) {
            exchange.state = State::Over;
        }
        (exchange, step)
    }

    fn first(&mut self, initial: Option<&[u8]>) -> Step {
        match (&self.state, initial) {
            (State::External(identity), _) if identity.is_empty() => {
                Step::Refused(Refusal::Identity)
            }
            // The server speaks first in CRAM, so an initial response has no meaning (RFC 4422 section 3.3).
            (State::Cram(..), Some(_)) => Step::Refused(Refusal::Malformed),
            (State::Cram(_, challenge), None) => Step::Challenge(challenge.clone()),
            (State::LoginUser, None) => Step::Challenge(login::ask_user()),
            (_, None) => Step::Challenge(Vec::new()),
            (_, Some(b"=")) => self.advance(&[]),
            (_, Some(text)) => self.decode_and_advance(text),
        }
    }

    /// Takes the peer's line, without its line end.
    pub fn respond(&mut self, line: &[u8]) -> Step {
        let step = if line.first() == Some(&b'*') {
            Step::Refused(Refusal::Cancelled)
        } else {
            self.decode_and_advance(line)
        };
        if !matches!(step, Step::Challenge(_)) {
            self.state = State::Over;
        }
        step
    }

    fn decode_and_advance(&mut self, text: &[u8]) -> Step {
        if text.len() > RESPONSE_MAX {
            return Step::Refused(Refusal::Malformed);
        }
        if let State::Cram(authtype, challenge) = &self.state {
            return cram::answer(authtype, challenge, text);
        }
        match STANDARD.decode(text) {
            Ok(decoded) => self.advance(&decoded),
            Err(_) => Step::Refused(Refusal::NotBase64),
        }
    }

    fn advance(&mut self, response: &[u8]) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => plain::answer(response),
            State::LoginUser => {
                if response.contains(&0) {
                    return Step::Refused(Refusal::Malformed);
                }
                self.state = State::LoginPassword(response.to_vec());
                Step::Challenge(login::ask_password())
            }
            State::LoginPassword(user) => login::answer(user, response),
            State::External(identity) => {
                // An empty response asks for the certificate's own identity (RFC 4422 appendix A).
                if response.is_empty() || response == identity {
                    Step::Done(Credentials::External { user: identity })
                } else {
                    Step::Refused(Refusal::Identity)
                }
            }
            State::Cram(..) | State::Over => Step::Refused(Refusal::Malformed),
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
