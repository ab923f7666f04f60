//! What the parser asks the monitor and what it is told: the only words that pass between the process that reads
//! strangers' bytes and the one that has privileges. Every message is one datagram of a sequenced-packet socket, so
//! there is no framing to get wrong; every field has a bound, and anything unexpected ends the session.

use crate::auth::account::Secret;

/// Longest message in bytes. Two strings of [`SECRET_MAX`] and the rest fit.
pub const MESSAGE_MAX: usize = 20 * 1024;
/// Longest user name, password or SASL response in bytes. authdaemond takes less than this altogether.
pub const SECRET_MAX: usize = 8192;
/// Longest IMAP tag that a login may carry, in bytes.
pub const TAG_MAX: usize = 256;
/// Longest SASL mechanism name that is logged, in bytes.
pub const METHOD_MAX: usize = 32;

/// The digests of the CRAM mechanisms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// CRAM-MD5.
    Md5,
    /// CRAM-SHA1.
    Sha1,
    /// CRAM-SHA256.
    Sha256,
}

impl Digest {
    /// All of them.
    const ALL: [Self; 3] = [Self::Md5, Self::Sha1, Self::Sha256];

    /// The authtype of authdaemond's protocol.
    pub fn authtype(self) -> &'static str {
        match self {
            Self::Md5 => "cram-md5",
            Self::Sha1 => "cram-sha1",
            Self::Sha256 => "cram-sha256",
        }
    }

    /// The digest of an authtype.
    pub fn of(authtype: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|digest| digest.authtype() == authtype)
    }
}

/// What the peer offers as proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user name and a password.
    Password {
        /// As typed.
        user: Vec<u8>,
        /// As typed.
        password: Secret,
    },
    /// The base64 text with which the peer answered the monitor's last challenge.
    Cram {
        /// The mechanism's digest.
        digest: Digest,
        /// Base64 of `user SP hex digest`.
        response: Vec<u8>,
    },
    /// The identity in the certificate that TLS verified.
    External,
}

/// One login attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The IMAP tag that the session's first reply will carry; empty for POP3.
    pub tag: Vec<u8>,
    /// The SASL mechanism; `None` for LOGIN and PASS.
    pub method: Option<Vec<u8>>,
    /// The client asked for UTF8 mode before login (POP3).
    pub utf8: bool,
    /// The proof.
    pub credentials: Credentials,
}

/// Why the parser ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// LOGOUT or QUIT.
    Logout,
    /// The peer is gone, or its descriptor failed.
    Disconnected,
    /// The time for logging in is over; the peer has been told.
    TimedOut,
    /// Too many bad commands in a row; the peer has been told.
    Violation,
    /// A line or literal over its budget; the peer has been told.
    Oversize,
    /// Commands in clear behind STARTTLS or STLS; the peer has been told.
    ClearText,
    /// After a temporary failure; the peer has been told.
    Temporary,
}

/// What the parser asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Check these credentials and, if they are good, become that account. The parser is ended then.
    Try(Attempt),
    /// Make a CRAM challenge; one serves one attempt.
    Challenge,
    /// A SASL exchange failed before there were credentials: log it and make the peer wait.
    Failed {
        /// The peer gave up by itself: it need not wait, unless it does so again and again (POP3).
        aborted: bool,
        /// The mechanism that was named; empty when none was.
        method: Vec<u8>,
        /// The user, if the exchange got that far.
        user: Vec<u8>,
    },
    /// The peer was told to begin TLS; the parser ends by itself.
    StartTls {
        /// The command's tag; empty for POP3.
        tag: Vec<u8>,
    },
    /// A command word for the debug log.
    Command(Vec<u8>),
    /// The conversation is over.
    End {
        /// Why.
        end: End,
        /// Bytes read from the peer.
        received: u64,
        /// Bytes written to the peer.
        sent: u64,
    },
}

/// What the monitor answers to [`Request::Try`], [`Request::Challenge`] and [`Request::Failed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// No; the delay has passed.
    Rejected,
    /// The question could not be answered; tell the peer to come back later.
    Temporary,
    /// The password is right, but the account has as many sessions as it may.
    Limit,
    /// The challenge, not yet in base64.
    Challenge(Vec<u8>),
}

const TRY: u8 = 1;
const CHALLENGE: u8 = 2;
const FAILED: u8 = 3;
const START_TLS: u8 = 4;
const COMMAND: u8 = 5;
const END: u8 = 6;
const REJECTED: u8 = 7;
const TEMPORARY: u8 = 8;
const LIMIT: u8 = 9;

const PASSWORD: u8 = 1;
const CRAM: u8 = 2;
const EXTERNAL: u8 = 3;

fn put(message: &mut Vec<u8>, field: &[u8]) {
    // Longer fields cannot be sent at all: the decoder's bounds are lower.
    let length = u16::try_from(field.len()).unwrap_or(u16::MAX);
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(field.get(..usize::from(length)).unwrap_or_default());
}

impl Request {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(128);
        match self {
            Self::Try(attempt) => {
                message.push(TRY);
                put(&mut message, &attempt.tag);
                message.push(u8::from(attempt.method.is_some()));
                put(&mut message, attempt.method.as_deref().unwrap_or_default());
                message.push(u8::from(attempt.utf8));
                match &attempt.credentials {
                    Credentials::Password { user, password } => {
                        message.push(PASSWORD);
                        put(&mut message, user);
                        put(&mut message, &password.0);
                    }
                    Credentials::Cram { digest, response } => {
                        message.push(CRAM);
                        message.push(digest_code(*digest));
                        put(&mut message, response);
                    }
                    Credentials::External => message.push(EXTERNAL),
                }
            }
            Self::Challenge => message.push(CHALLENGE),
            Self::Failed {
                aborted,
                method,
                user,
            } => {
                message.push(FAILED);
                message.push(u8::from(*aborted));
                put(&mut message, method);
                put(&mut message, user);
            }
            Self::StartTls { tag } => {
                message.push(START_TLS);
                put(&mut message, tag);
            }
            Self::Command(word) => {
                message.push(COMMAND);
                put(&mut message, word);
            }
            Self::End {
                end,
                received,
                sent,
            } => {
                message.push(END);
                message.push(end_code(*end));
                message.extend_from_slice(&received.to_be_bytes());
                message.extend_from_slice(&sent.to_be_bytes());
            }
        }
        message
    }

    /// Reads a datagram; `None` for anything that [`Request::encode`] does not write or that is over a bound.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let mut reader = Reader(message);
        let request = match reader.byte()? {
            TRY => {
                let tag = tag(reader.field(TAG_MAX)?)?;
                let is_sasl = reader.flag()?;
                let name = method(reader.field(METHOD_MAX)?)?;
                if !is_sasl && !name.is_empty() {
                    return None;
                }
                let utf8 = reader.flag()?;
                let credentials = match reader.byte()? {
                    PASSWORD => Credentials::Password {
                        user: reader.field(SECRET_MAX)?.to_vec(),
                        password: Secret(reader.field(SECRET_MAX)?.to_vec()),
                    },
                    CRAM => Credentials::Cram {
                        digest: digest(reader.byte()?)?,
                        response: reader.field(SECRET_MAX)?.to_vec(),
                    },
                    EXTERNAL => Credentials::External,
                    _ => return None,
                };
                Self::Try(Attempt {
                    tag,
                    method: is_sasl.then_some(name),
                    utf8,
                    credentials,
                })
            }
            CHALLENGE => Self::Challenge,
            FAILED => Self::Failed {
                aborted: reader.flag()?,
                method: method(reader.field(METHOD_MAX)?)?,
                user: reader.field(SECRET_MAX)?.to_vec(),
            },
            START_TLS => Self::StartTls {
                tag: tag(reader.field(TAG_MAX)?)?,
            },
            COMMAND => Self::Command(method(reader.field(METHOD_MAX)?)?),
            END => Self::End {
                end: end(reader.byte()?)?,
                received: reader.number()?,
                sent: reader.number()?,
            },
            _ => return None,
        };
        reader.0.is_empty().then_some(request)
    }
}

impl Answer {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Rejected => vec![REJECTED],
            Self::Temporary => vec![TEMPORARY],
            Self::Limit => vec![LIMIT],
            Self::Challenge(text) => {
                let mut message = vec![CHALLENGE];
                put(&mut message, text);
                message
            }
        }
    }

    /// Reads a datagram; `None` for anything else.
    pub fn decode(message: &[u8]) -> Option<Self> {
        let mut reader = Reader(message);
        let answer = match reader.byte()? {
            REJECTED => Self::Rejected,
            TEMPORARY => Self::Temporary,
            LIMIT => Self::Limit,
            CHALLENGE => Self::Challenge(reader.field(SECRET_MAX)?.to_vec()),
            _ => return None,
        };
        reader.0.is_empty().then_some(answer)
    }
}

/// True when `tag` can be an IMAP tag (RFC 9051, `tag`) and so be put into a reply and an environment variable.
pub fn is_tag(tag: &[u8]) -> bool {
    !tag.is_empty()
        && tag.len() <= TAG_MAX
        && tag
            .iter()
            .all(|&byte| byte.is_ascii_graphic() && !b"(){%*\"\\+".contains(&byte))
}

fn tag(field: &[u8]) -> Option<Vec<u8>> {
    (field.is_empty() || is_tag(field)).then(|| field.to_vec())
}

/// Mechanism names and command words go to the log as they are, so only harmless bytes pass.
fn method(field: &[u8]) -> Option<Vec<u8>> {
    field
        .iter()
        .all(|&byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
        .then(|| field.to_vec())
}

/// `name` as [`Request::decode`] accepts it: upper case, cut, everything unusual replaced by `_`.
pub fn clean_method(name: &[u8]) -> Vec<u8> {
    name.iter()
        .take(METHOD_MAX)
        .map(|byte| match byte.to_ascii_uppercase() {
            byte if byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-' => byte,
            _ => b'_',
        })
        .collect()
}

fn digest_code(digest: Digest) -> u8 {
    match digest {
        Digest::Md5 => 1,
        Digest::Sha1 => 2,
        Digest::Sha256 => 3,
    }
}

fn digest(code: u8) -> Option<Digest> {
    Digest::ALL
        .into_iter()
        .find(|&digest| digest_code(digest) == code)
}

fn end_code(end: End) -> u8 {
    match end {
        End::Logout => 1,
        End::Disconnected => 2,
        End::TimedOut => 3,
        End::Violation => 4,
        End::Temporary => 5,
        End::Oversize => 6,
        End::ClearText => 7,
    }
}

fn end(code: u8) -> Option<End> {
    [
        End::Logout,
        End::Disconnected,
        End::TimedOut,
        End::Violation,
        End::Temporary,
        End::Oversize,
        End::ClearText,
    ]
    .into_iter()
    .find(|&end| end_code(end) == code)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*bytes))
    }

    fn field(&mut self, limit: usize) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length > limit {
            return None;
        }
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        let attempt = |method: Option<&[u8]>, credentials| {
            Request::Try(Attempt {
                tag: b"a1".to_vec(),
                method: method.map(<[u8]>::to_vec),
                utf8: true,
                credentials,
            })
        };
        vec![
            attempt(
                None,
                Credentials::Password {
                    user: vec![b'u'; SECRET_MAX],
                    password: Secret(vec![0xff; SECRET_MAX]),
                },
            ),
            attempt(
                Some(b"CRAM-SHA256"),
                Credentials::Cram {
                    digest: Digest::Sha256,
                    response: b"Zm9v".to_vec(),
                },
            ),
            attempt(Some(b""), Credentials::External),
            Request::Challenge,
            Request::Failed {
                aborted: true,
                method: Vec::new(),
                user: b"x".to_vec(),
            },
            Request::StartTls { tag: Vec::new() },
            Request::Command(b"CAPABILITY".to_vec()),
            Request::End {
                end: End::Violation,
                received: u64::MAX,
                sent: 7,
            },
        ]
    }

    #[test]
    fn requests_survive_the_way() {
        for request in requests() {
            let message = request.encode();
            assert!(message.len() <= MESSAGE_MAX);
            assert_eq!(Request::decode(&message), Some(request));
        }
    }

    #[test]
    fn cut_off_and_lengthened_messages_are_refused() {
        for request in requests() {
            let mut message = request.encode();
            for length in 0..message.len() {
                assert_eq!(Request::decode(&message[..length]), None, "{request:?}");
            }
            message.push(0);
            assert_eq!(Request::decode(&message), None, "{request:?}");
        }
    }

    #[test]
    fn fields_over_their_bound_and_tags_that_could_forge_a_reply_are_refused() {
        let long = Request::Failed {
            aborted: false,
            method: Vec::new(),
            user: vec![b'u'; SECRET_MAX + 1],
        };
        assert_eq!(Request::decode(&long.encode()), None);
        for tag in [&b"a b"[..], b"a\r\n", b"*", b"+", b"a\0"] {
            let request = Request::StartTls { tag: tag.to_vec() };
            assert_eq!(Request::decode(&request.encode()), None, "{tag:?}");
        }
        let forged = Request::Command(b"X, ip=".to_vec());
        assert_eq!(Request::decode(&forged.encode()), None);
    }

    #[test]
    fn answers_survive_the_way() {
        for answer in [
            Answer::Rejected,
            Answer::Temporary,
            Answer::Limit,
            Answer::Challenge(b"PDEyMz4=".to_vec()),
        ] {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        assert_eq!(Answer::decode(b""), None);
        assert_eq!(Answer::decode(&[REJECTED, 0]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_message_harms_the_decoder(message in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            if let Some(request) = Request::decode(&message) {
                proptest::prop_assert_eq!(request.encode(), message);
            }
        }
    }
}
