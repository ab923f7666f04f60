//! IMAP before login, as imaplogin's confined parser speaks it (contract: login §4 and §5; RFC 9051, 2971, 4959,
//! 7888).

pub mod parse;

use courier::auth::sasl::{
    Context, Credentials as Proof, Exchange, Mechanism, Refusal as NoProof, Step,
};
use courier::login::environment::Environment;
use courier::login::message::{Attempt, Credentials, Digest, End, SECRET_MAX, clean_method};
use courier::login::parser::{Dialog, Ending, Refusal, Talk};
use courier::login::peer::{Gone, Line};
use courier::login::settings::Settings;

use crate::capability::{Stage, capability};
use parse::{Literal, Parsed, Verb};

/// Longest line, in bytes; a client that sends a longer one is cut off.
const LINE_MAX: usize = 16 * 1024;
/// Longest command with its literals, in bytes.
const COMMAND_MAX: usize = LINE_MAX + 2 * SECRET_MAX;
/// Literals in one command: a user name and a password.
const LITERALS_MAX: u32 = 2;
/// The bad command in a row that ends the connection.
const BAD_MAX: u32 = 10;

const FAILED: &str = "NO Login failed.";

/// Makes the dialog; everything that needs more than memory happens here, before the parser is confined.
pub fn prepare(environment: &Environment, settings: &Settings) -> Dialog {
    let dialog = Prelogin {
        capability: capability_list(environment, settings),
        id: id_reply(environment),
        bad: 0,
    };
    Box::new(move |talk| dialog.converse(talk))
}

fn capability_list(environment: &Environment, settings: &Settings) -> String {
    let setting = |name: &str| {
        environment
            .get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let stage = Stage::Login {
        starttls: settings.starttls.is_some(),
        login_disabled: settings.tls_missing(),
        external: settings.external.is_some(),
    };
    capability(setting, stage)
}

/// The untagged ID reply, with as much about this system as IMAP_ID_FIELDS allows.
fn id_reply(environment: &Environment) -> Vec<u8> {
    let fields = environment.number("IMAP_ID_FIELDS");
    let mut text = String::from("* ID (\"name\" \"Courier-IMAP\"");
    if fields & 1 != 0 {
        text.push_str(concat!(" \"version\" \"", env!("CARGO_PKG_VERSION"), "\""));
    }
    if fields & 6 != 0 {
        if let Ok(system) = nix::sys::utsname::uname() {
            let mut add = |bit, name, value: &std::ffi::OsStr| {
                if fields & bit != 0 {
                    let value = value.to_string_lossy().replace(['"', '\\'], "");
                    text.push_str(&format!(" \"{name}\" \"{value}\""));
                }
            };
            add(2, "os", system.sysname());
            add(4, "os-version", system.release());
        }
    }
    text.push_str(" \"vendor\" \"Courier-IMAP in Rust\")\r\n");
    text.into_bytes()
}

struct Prelogin {
    capability: String,
    id: Vec<u8>,
    /// Bad commands in a row.
    bad: u32,
}

/// What follows a command.
enum Next {
    /// Another one.
    Go,
    /// It is bad: to be answered with this line, unless it is one too many in a row.
    Bad(String),
    /// The conversation is over.
    End(Ending),
}

/// What reading a command led to.
enum Read {
    /// These bytes, ready to be parsed.
    Whole(Vec<u8>),
    /// It has been answered already.
    Answered(Next),
}

impl Prelogin {
    fn converse(mut self, talk: &mut Talk<'_>) -> Result<Ending, Gone> {
        if talk.greet {
            let greeting = format!(
                "* OK [CAPABILITY {}] Courier-IMAP ready.\r\n",
                self.capability
            );
            talk.peer.say(greeting.as_bytes());
        }
        loop {
            let next = match read_command(talk)? {
                Read::Whole(command) => self.execute(talk, &command)?,
                Read::Answered(next) => next,
            };
            match next {
                Next::Go => self.bad = 0,
                Next::Bad(line) => {
                    self.bad = self.bad.saturating_add(1);
                    if self.bad >= BAD_MAX {
                        return Ok(fatal(
                            talk,
                            End::Violation,
                            "TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS",
                        ));
                    }
                    talk.peer.say(line.as_bytes());
                }
                Next::End(ending) => return Ok(ending),
            }
        }
    }

    fn execute(&self, talk: &mut Talk<'_>, command: &[u8]) -> Result<Next, Gone> {
        talk.note(parse::command_word(command))?;
        let (tag, verb) = match parse::parse(command) {
            Parsed::Command { tag, verb } => (tag, verb),
            Parsed::Bad { tag, reason } => {
                return Ok(bad(tag, reason));
            }
            // read_command has fetched every literal that can be asked for.
            Parsed::Literal { tag, .. } => {
                return Ok(bad(Some(tag), "Too many literals."));
            }
        };
        match verb {
            Verb::Capability => {
                let line = format!("* CAPABILITY {}\r\n", self.capability);
                talk.peer.say(line.as_bytes());
                reply(talk, tag, "OK CAPABILITY completed");
            }
            Verb::Noop => reply(talk, tag, "OK NOOP completed"),
            Verb::Logout => {
                talk.peer
                    .say(b"* BYE Courier-IMAP server shutting down\r\n");
                reply(talk, tag, "OK LOGOUT completed");
                return Ok(Next::End(Ending::End(End::Logout)));
            }
            Verb::Id => {
                talk.peer.say(&self.id);
                reply(talk, tag, "OK ID completed");
            }
            Verb::StartTls => return start_tls(talk, tag),
            Verb::Login { user, password } => {
                if refused_without_tls(talk, tag) {
                    return Ok(Next::Go);
                }
                let credentials = Credentials::Password {
                    user,
                    password: courier::auth::account::Secret(password),
                };
                return login(talk, tag, None, credentials);
            }
            Verb::Authenticate { mechanism, initial } => {
                if refused_without_tls(talk, tag) {
                    return Ok(Next::Go);
                }
                return authenticate(talk, tag, mechanism, initial);
            }
        }
        Ok(Next::Go)
    }
}

fn reply(talk: &mut Talk<'_>, tag: &[u8], text: &str) {
    talk.peer.say(tag);
    talk.peer.say(b" ");
    talk.peer.say(text.as_bytes());
    talk.peer.say(b"\r\n");
}

fn bad(tag: Option<&[u8]>, reason: &str) -> Next {
    // A tag is ASCII; see is_tag.
    let tag = String::from_utf8_lossy(tag.unwrap_or(b"*"));
    Next::Bad(format!("{tag} BAD {reason}\r\n"))
}

fn fatal(talk: &mut Talk<'_>, end: End, reason: &str) -> Ending {
    let text = format!("* BYE [ALERT] Fatal error: {reason}: \r\n");
    talk.peer.say(text.as_bytes());
    Ending::End(end)
}

/// Reads lines and the literals they announce until a command is whole, within the budgets.
fn read_command(talk: &mut Talk<'_>) -> Result<Read, Gone> {
    let mut command = Vec::new();
    let mut literals = 0_u32;
    loop {
        let limit = command.len().saturating_add(LINE_MAX).min(COMMAND_MAX);
        if talk.peer.read_line(&mut command, limit)? == Line::TooLong {
            let ending = fatal(talk, End::Oversize, "max atom size too small");
            return Ok(Read::Answered(Next::End(ending)));
        }
        let (tag, literal) = match parse::parse(&command) {
            Parsed::Literal { tag, literal } => (Some(tag), Some(literal)),
            Parsed::Bad { tag, .. } => (tag, None),
            Parsed::Command { .. } => return Ok(Read::Whole(command)),
        };
        match literal {
            Some(Literal {
                size: Some(size),
                waits,
            }) if size <= SECRET_MAX && literals < LITERALS_MAX => {
                literals = literals.saturating_add(1);
                if waits {
                    talk.peer.say(b"+ OK\r\n");
                }
                talk.peer.read_exactly(&mut command, size)?;
            }
            _ => {
                let asked = literal.is_some();
                let announced = parse::announced(&command);
                let tag = tag.map(<[u8]>::to_vec);
                return refuse_literal(talk, command, tag.as_deref(), asked, announced);
            }
        }
    }
}

/// A command that is bad already, or whose literal is over the budget. Bytes that the client sends without being
/// asked are read over, so that they are not taken for commands; too many of them end the connection.
fn refuse_literal(
    talk: &mut Talk<'_>,
    command: Vec<u8>,
    tag: Option<&[u8]>,
    asked: bool,
    announced: Option<Literal>,
) -> Result<Read, Gone> {
    let mut announced = announced;
    let mut skipped = 0_usize;
    while let Some(Literal { size, waits: false }) = announced {
        skipped = skipped.saturating_add(size.unwrap_or(usize::MAX));
        if skipped > SECRET_MAX {
            talk.peer.say(b"* BYE IMAP command too long.\r\n");
            return Ok(Read::Answered(Next::End(Ending::End(End::Oversize))));
        }
        talk.peer.skip(size.unwrap_or_default())?;
        let mut rest = Vec::new();
        if talk.peer.read_line(&mut rest, LINE_MAX)? == Line::TooLong {
            let ending = fatal(talk, End::Oversize, "max atom size too small");
            return Ok(Read::Answered(Next::End(ending)));
        }
        announced = parse::announced(&rest);
    }
    if asked {
        return Ok(Read::Answered(bad(tag, "IMAP command too long.")));
    }
    Ok(Read::Whole(command))
}

/// Before TLS, where it is required, a password is refused unseen.
fn refused_without_tls(talk: &mut Talk<'_>, tag: &[u8]) -> bool {
    let missing = talk.settings.tls_missing();
    if missing {
        reply(talk, tag, "NO STARTTLS required");
    }
    missing
}

fn start_tls(talk: &mut Talk<'_>, tag: &[u8]) -> Result<Next, Gone> {
    if talk.settings.starttls.is_none() {
        return Ok(bad(Some(tag), "STARTTLS is not available."));
    }
    if talk.peer.has_more() {
        // Clear text behind STARTTLS is an attack or a fault (RFC 9051 section 6.2.1); neither gets a session.
        talk.peer
            .say(b"* BYE Commands behind STARTTLS before the TLS negotiation.\r\n");
        return Ok(Next::End(Ending::End(End::ClearText)));
    }
    reply(talk, tag, "OK Begin SSL/TLS negotiation now.");
    Ok(Next::End(Ending::StartTls(tag.to_vec())))
}

/// Asks the monitor. Comes back only if the answer is no.
fn login(
    talk: &mut Talk<'_>,
    tag: &[u8],
    method: Option<&[u8]>,
    credentials: Credentials,
) -> Result<Next, Gone> {
    let attempt = Attempt {
        tag: tag.to_vec(),
        method: method.map(clean_method),
        utf8: false,
        credentials,
    };
    match talk.login(attempt)? {
        Refusal::Rejected => {
            reply(talk, tag, FAILED);
            Ok(Next::Go)
        }
        Refusal::Limit => {
            // RFC 5530.
            reply(talk, tag, "NO [LIMIT] Too many sessions of this account.");
            Ok(Next::Go)
        }
        Refusal::Temporary => {
            talk.peer
                .say(b"* BYE Temporary problem, please try again later\r\n");
            Ok(Next::End(Ending::End(End::Temporary)))
        }
    }
}

fn authenticate(
    talk: &mut Talk<'_>,
    tag: &[u8],
    name: &[u8],
    initial: Option<&[u8]>,
) -> Result<Next, Gone> {
    let Some(mechanism) = Mechanism::by_name(name) else {
        let reply = if name.is_empty() {
            "BAD Authentication mechanism missing."
        } else {
            FAILED
        };
        return failed(talk, tag, name, reply);
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
                if talk.peer.read_line(&mut line, LINE_MAX)? == Line::TooLong {
                    let ending = fatal(talk, End::Oversize, "max atom size too small");
                    return Ok(Next::End(ending));
                }
                let line = line.strip_suffix(b"\n").unwrap_or(&line);
                step = exchange.respond(line.strip_suffix(b"\r").unwrap_or(line));
            }
            // What is not an answer at all is an error of form, not a wrong password (RFC 9051 section 6.2.2).
            Step::Refused(NoProof::Cancelled | NoProof::NotBase64) => {
                return failed(talk, tag, name, "BAD Authentication aborted.");
            }
            Step::Refused(_) => return failed(talk, tag, name, FAILED),
            Step::Done(proof) => {
                return match credentials(proof) {
                    Some(credentials) => login(talk, tag, Some(name), credentials),
                    None => failed(talk, tag, name, FAILED),
                };
            }
        }
    }
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

/// An exchange without credentials: logged and delayed by the monitor like any other failure.
fn failed(talk: &mut Talk<'_>, tag: &[u8], mechanism: &[u8], text: &str) -> Result<Next, Gone> {
    talk.failed(false, mechanism, b"")?;
    reply(talk, tag, text);
    Ok(Next::Go)
}
