//! POP3 before login, as pop3login's confined parser speaks it (contract: pop3d §2, login §5.3; RFC 1939, 2449,
//! 2595, 3206, 5034, 6856).

use courier::auth::account::Secret;
use courier::auth::sasl::{Context, Credentials as Proof, Exchange, Mechanism, Step};
use courier::login::environment::Environment;
use courier::login::message::{Attempt, Credentials, Digest, End, SECRET_MAX, clean_method};
use courier::login::parser::{Dialog, Ending, Refusal, Talk};
use courier::login::peer::{Gone, Line};
use courier::login::settings::Settings;

use crate::capability::{capability, language};
use crate::command::{Command, LINE_MAX, without_line_end};

/// Longest line of a SASL exchange, in bytes: base64 of as much as authdaemond takes.
const RESPONSE_MAX: usize = 12 * 1024;

const INVALID: &str = "-ERR Invalid command.";
const TOO_LONG: &str = "-ERR Line too long.";
const TLS_REQUIRED: &str = "-ERR TLS required to log in.";

/// Makes the dialog; what needs more than memory happens here, before the parser is confined.
pub fn prepare(environment: &Environment, settings: &Settings) -> Dialog {
    let dialog = Prelogin {
        capability: capability(
            |name| environment.get(name).map(<[u8]>::to_vec),
            settings.tls,
            settings.starttls.is_some(),
            settings.external.is_some(),
        ),
        user: None,
        utf8: false,
    };
    Box::new(move |talk| dialog.converse(talk))
}

struct Prelogin {
    capability: Vec<u8>,
    /// The name of the last USER; survives a failed PASS, but not STLS, behind which a new parser begins.
    user: Option<Vec<u8>>,
    /// UTF8 was sent.
    utf8: bool,
}

/// The end of the conversation, or nothing.
type Next = Option<Ending>;

impl Prelogin {
    fn converse(mut self, talk: &mut Talk<'_>) -> Result<Ending, Gone> {
        if talk.greet {
            reply(talk, "+OK Hello there.");
        }
        loop {
            let mut line = Vec::new();
            if talk.peer.read_line(&mut line, LINE_MAX)? == Line::TooLong {
                talk.peer.skip_line()?;
                reply(talk, TOO_LONG);
                continue;
            }
            if let Some(ending) = self.execute(talk, &Command::parse(&line))? {
                return Ok(ending);
            }
        }
    }

    fn execute(&mut self, talk: &mut Talk<'_>, command: &Command<'_>) -> Result<Next, Gone> {
        talk.note(&command.word)?;
        if command.argument.contains(&0) {
            reply(talk, INVALID);
            return Ok(None);
        }
        match command.word.as_slice() {
            b"QUIT" => {
                reply(talk, "+OK Better luck next time.");
                return Ok(Some(Ending::End(End::Logout)));
            }
            b"CAPA" => talk.peer.say(&self.capability),
            b"LANG" => talk.peer.say(language(command.argument).as_bytes()),
            b"UTF8" => {
                self.utf8 = true;
                reply(talk, "+OK UTF8 enabled");
            }
            b"STLS" => return Ok(start_tls(talk)),
            b"USER" => self.user(talk, command.argument),
            b"PASS" => return self.pass(talk, command.argument),
            b"AUTH" => return self.authenticate(talk, command),
            _ => reply(talk, INVALID),
        }
        Ok(None)
    }

    fn user(&mut self, talk: &mut Talk<'_>, name: &[u8]) {
        if talk.settings.tls_missing() {
            reply(talk, TLS_REQUIRED);
        } else if name.is_empty() {
            reply(talk, INVALID);
        } else {
            self.user = Some(name.to_vec());
            reply(talk, "+OK Password required.");
        }
    }

    fn pass(&self, talk: &mut Talk<'_>, password: &[u8]) -> Result<Next, Gone> {
        let Some(user) = self.user.clone().filter(|_| !password.is_empty()) else {
            reply(talk, "-ERR USER/PASS required.");
            return Ok(None);
        };
        let credentials = Credentials::Password {
            user,
            password: Secret(password.to_vec()),
        };
        self.login(talk, None, credentials, "-ERR [AUTH] Login failed.")
    }

    /// Asks the monitor. Comes back only if the answer is no.
    fn login(
        &self,
        talk: &mut Talk<'_>,
        method: Option<&[u8]>,
        credentials: Credentials,
        failed: &str,
    ) -> Result<Next, Gone> {
        let attempt = Attempt {
            tag: Vec::new(),
            method: method.map(clean_method),
            utf8: self.utf8,
            credentials,
        };
        match talk.login(attempt)? {
            Refusal::Rejected => {
                reply(talk, failed);
                Ok(None)
            }
            Refusal::Limit => {
                // RFC 2449 section 8.1.2.
                reply(talk, "-ERR [IN-USE] Too many sessions of this account.");
                Ok(None)
            }
            Refusal::Temporary => {
                talk.peer.say(&talk.settings.protocol.temporary());
                Ok(Some(Ending::End(End::Temporary)))
            }
        }
    }

    fn authenticate(&self, talk: &mut Talk<'_>, command: &Command<'_>) -> Result<Next, Gone> {
        const FAILED: &str = "-ERR [AUTH] Authentication failed.";
        let mut words = command.words();
        let (Some(name), initial, None) = (words.next(), words.next(), words.next()) else {
            reply(talk, INVALID);
            return Ok(None);
        };
        if talk.settings.tls_missing() {
            reply(talk, TLS_REQUIRED);
            return Ok(None);
        }
        let Some(mechanism) = Mechanism::by_name(name) else {
            return failed(talk, false, name, FAILED);
        };
        let mut context = Context {
            external: talk.settings.external.clone(),
            challenge: Vec::new(),
        };
        if mechanism.cram_authtype().is_some() {
            context.challenge = talk.challenge()?;
        }
        let (mut exchange, mut step) = Exchange::start(mechanism, &context, initial);
        loop {
            match step {
                Step::Challenge(text) => {
                    talk.peer.say(b"+ ");
                    talk.peer.say(&text);
                    talk.peer.say(b"\r\n");
                    let mut line = Vec::new();
                    if talk.peer.read_line(&mut line, RESPONSE_MAX)? == Line::TooLong {
                        talk.peer.skip_line()?;
                        return failed(talk, false, name, FAILED);
                    }
                    step = exchange.respond(without_line_end(&line));
                }
                Step::Refused(refusal) if refusal.is_abort() => {
                    return failed(talk, true, name, "-ERR Authentication aborted.");
                }
                Step::Refused(_) => return failed(talk, false, name, FAILED),
                Step::Done(proof) => {
                    return match credentials(proof) {
                        Some(credentials) => self.login(talk, Some(name), credentials, FAILED),
                        None => failed(talk, false, name, FAILED),
                    };
                }
            }
        }
    }
}

fn reply(talk: &mut Talk<'_>, line: &str) {
    talk.peer.say(line.as_bytes());
    talk.peer.say(b"\r\n");
}

fn start_tls(talk: &mut Talk<'_>) -> Next {
    if talk.settings.starttls.is_none() {
        reply(talk, "-ERR TLS support not available.");
        return None;
    }
    if talk.peer.has_more() {
        // Commands in clear that would be executed as if they had come through TLS (CVE-2021-38084).
        reply(
            talk,
            "-ERR Commands behind STLS before the TLS negotiation.",
        );
        return Some(Ending::End(End::ClearText));
    }
    reply(talk, "+OK Begin SSL/TLS negotiation now.");
    Some(Ending::StartTls(Vec::new()))
}

/// An exchange without credentials: the monitor logs it and makes the peer wait.
fn failed(talk: &mut Talk<'_>, aborted: bool, mechanism: &[u8], line: &str) -> Result<Next, Gone> {
    talk.failed(aborted, mechanism, b"")?;
    reply(talk, line);
    Ok(None)
}

/// What the monitor is told; `None` for what cannot be sent because it is too long to be right.
fn credentials(proof: Proof) -> Option<Credentials> {
    match proof {
        Proof::Password { user, password } => (user.len() <= SECRET_MAX
            && password.0.len() <= SECRET_MAX)
            .then_some(Credentials::Password { user, password }),
        Proof::Cram {
            authtype, response, ..
        } => {
            let digest = Digest::of(authtype)?;
            (response.len() <= SECRET_MAX).then_some(Credentials::Cram { digest, response })
        }
        Proof::External { .. } => Some(Credentials::External),
    }
}
