//! One session: reads a command, executes it, writes its reply; until the end.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use courier::maildir::{Identity, Maildir, Options};
use courier::sys::log::{Level, log, reason};
use nix::errno::Errno;

use crate::account::{Account, Counters, Ending, Nobody};
use crate::capability::{Stage, capability};
use crate::command;
use crate::grammar::cursor::SyntaxError;
use crate::grammar::{Command, split_tag};
use crate::receive::{
    COMMAND_TIMEOUT, Closed, Input, LineEnd, Literal, MAX_COMMAND, MAX_LITERAL, MAX_LITERALS,
    MAX_SKIPPED,
};
use crate::reply::{Code, Reply, Status};
use crate::settings::Settings;
use crate::shares::Shares;
use crate::startup::{self, Refusal};
use crate::state::Selected;
use crate::trace::Trace;
use crate::writer::{Disconnected, Writer};

/// Wrong commands in a row that end the session.
const MAX_VIOLATIONS: u32 = 10;

/// Why the session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// LOGOUT was answered.
    Logout,
    /// The client is gone.
    Disconnected,
    /// The client was silent for too long.
    TimedOut,
    /// A signal asked for the end.
    Signalled,
    /// The selected mailbox does not exist any more.
    MailboxGone,
    /// Something that no command can repair. The text goes to the client and to the log.
    Fatal(String),
}

impl From<Closed> for End {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Disconnected => Self::Disconnected,
            Closed::TimedOut => Self::TimedOut,
            Closed::Signalled => Self::Signalled,
        }
    }
}

impl From<Disconnected> for End {
    fn from(Disconnected: Disconnected) -> Self {
        Self::Disconnected
    }
}

/// What executing a command yields: its tagged reply, or the end of the session.
pub type Executed = Result<Reply, End>;

/// Everything that commands work on.
#[derive(Debug)]
pub struct Session {
    /// To the client.
    pub out: Writer,
    /// From the client.
    pub input: Input,
    /// The configuration.
    pub settings: Settings,
    /// Who is served.
    pub account: Account,
    /// The account's mail.
    pub maildir: Maildir,
    /// Whose folders there are besides.
    pub shares: Shares,
    /// Whom access control lists mean by this user.
    pub identity: Identity,
    /// The selected mailbox.
    pub selected: Option<Selected>,
    /// `ENABLE UTF8=ACCEPT` was given: names and strings are UTF-8 on the wire.
    pub utf8: bool,
    /// `headers` and `body` are kept by FETCH; the others are filled in at the end.
    pub counters: Counters,
    /// Set by a command that ends the session once its reply is written.
    pub ending: Option<End>,
    /// Of the command in progress.
    pub tag: Vec<u8>,
    violations: u32,
    warned_too_long: bool,
}

/// A framed command.
enum Received {
    /// All of it.
    Command(Vec<u8>),
    /// An APPEND up to the announcement of its first message, whose bytes are next.
    Append(Vec<u8>, Literal),
    /// Not to be executed, as the reply says, and already read to its end. As much of it as was kept.
    Refused(Vec<u8>, Reply),
}

/// Runs imapd: everything from the environment to the last log line.
pub fn run(argument: Option<OsString>) -> ExitCode {
    let settings = Settings::from_environment();
    let mut out = Writer::standard();
    match start(settings, &mut out, argument) {
        Ok(mut session) => {
            // The writer has gathered the greeting; it is sent with the first wait for input.
            std::mem::swap(&mut session.out, &mut out);
            session.serve()
        }
        Err(Stop::Silent) => ExitCode::SUCCESS,
        Err(Stop::Failed) => ExitCode::FAILURE,
        Err(Stop::Refused(refusal, name)) => refuse(&mut out, &refusal, &name),
    }
}

/// Why there is no session.
enum Stop {
    /// Nobody is there to be told.
    Silent,
    /// Already logged.
    Failed,
    /// The client is told; with the account's name for the log.
    Refused(Refusal, String),
}

fn start(
    settings: Settings,
    out: &mut Writer,
    argument: Option<OsString>,
) -> Result<Session, Stop> {
    let account = match Account::from_environment(settings.login_tag.is_some(), settings.tls) {
        Ok(account) => account,
        Err(Nobody::NoName) => {
            let refusal = Refusal::Bye("AUTHENTICATED environment variable not set.");
            return Err(Stop::Refused(refusal, String::new()));
        }
        Err(Nobody::NoPeer) => return Err(Stop::Silent),
        Err(Nobody::UnknownUid(uid)) => {
            log(
                Level::Err,
                format_args!("uid {uid} not found in passwd file"),
            );
            return Err(Stop::Failed);
        }
    };
    let refused = |refusal| Stop::Refused(refusal, account.name.clone());
    let shares =
        startup::enter(&settings, &account, &Settings::maildir(argument)).map_err(refused)?;
    let mut options = Options::from_environment();
    options.acls = !settings.options.is_set("disableshared");
    let maildir = Maildir::open(Path::new("."), options).map_err(|error| {
        let reason = error.errno().unwrap_or(Errno::EIO).desc();
        refused(Refusal::Fatal(
            format!("{reason}: {reason}"),
            error.to_string(),
        ))
    })?;
    command::trash::purge(&settings, &maildir);
    if settings.protocol == b"SMAP1" {
        out.put(b"-ERR SMAP1 is not supported by this server.\r\n");
        log(
            Level::Err,
            format_args!("SMAP1 is not supported, {account}"),
        );
        // Whoever it was asked for that dialect reads the line or not.
        out.flush().ok();
        return Err(Stop::Silent);
    }
    startup::check_clock(&maildir).map_err(refused)?;
    if let Some(path) = &settings.debug_file {
        out.trace = Trace::open(path).map_err(|error| {
            let reason = reason(&error);
            refused(Refusal::Fatal(
                format!("{reason}: {reason}"),
                format!("IMAPDEBUGFILE {}: {reason}", path.escape_ascii()),
            ))
        })?;
    }
    startup::prepare_connection().map_err(|error| {
        log(Level::Err, format_args!("{}: {error}", account.name));
        Stop::Failed
    })?;
    let input = Input::standard().map_err(|error| {
        log(Level::Err, format_args!("{}: {error}", account.name));
        Stop::Failed
    })?;
    match &settings.login_tag {
        Some(tag) => Reply::ok("LOGIN Ok.").write(tag, out),
        None => out.put(b"* PREAUTH Ready.\r\n"),
    }
    startup::check_options(&settings).map_err(refused)?;
    account.log_login(&settings.protocol);
    let mut session = Session::new(settings, account, maildir, input);
    session.shares = shares;
    Ok(session)
}

/// Tells the client why no session begins.
fn refuse(out: &mut Writer, refusal: &Refusal, name: &str) -> ExitCode {
    let code = match refusal {
        Refusal::Bye(text) => {
            out.text(format_args!("* BYE {text}\r\n"));
            ExitCode::SUCCESS
        }
        Refusal::Fatal(text, reason) => {
            out.text(format_args!("* BYE [ALERT] Fatal error: {text}\r\n"));
            log(Level::Err, format_args!("{name}: {reason}"));
            ExitCode::FAILURE
        }
    };
    // A client that is gone has nobody to tell it to, and the log line is written.
    out.flush().ok();
    code
}

impl Session {
    /// A session in which nothing has been said yet. What it says is gathered in memory until its writer is exchanged.
    pub fn new(settings: Settings, account: Account, maildir: Maildir, input: Input) -> Self {
        Self {
            out: Writer::memory(),
            input,
            identity: settings.identity(&account.name),
            shares: Shares::default(),
            settings,
            account,
            maildir,
            selected: None,
            utf8: false,
            counters: Counters::default(),
            ending: None,
            tag: Vec::new(),
            violations: 0,
            warned_too_long: false,
        }
    }

    /// Serves commands until the end and logs it.
    fn serve(&mut self) -> ExitCode {
        let end = loop {
            if let Err(end) = self.turn() {
                break end;
            }
        };
        let (ending, code) = match &end {
            End::Logout => {
                // The client need not wait for the purge; whether it still reads changes nothing.
                self.out.flush().ok();
                command::trash::purge(&self.settings, &self.maildir);
                (Ending::Logout, ExitCode::SUCCESS)
            }
            End::Disconnected => {
                // Hardly any client says LOGOUT.
                command::trash::purge(&self.settings, &self.maildir);
                (Ending::Disconnected, ExitCode::SUCCESS)
            }
            End::TimedOut => {
                self.out.put(b"* BYE Disconnected for inactivity.\r\n");
                (Ending::TimedOut, ExitCode::SUCCESS)
            }
            End::Signalled => {
                self.out
                    .put(b"* BYE Courier-IMAP server shut down by signal.\r\n");
                (Ending::Signalled, ExitCode::SUCCESS)
            }
            End::MailboxGone => {
                self.out.put(b"* BYE The selected mailbox was deleted.\r\n");
                (Ending::Disconnected, ExitCode::SUCCESS)
            }
            End::Fatal(text) => {
                self.out
                    .text(format_args!("* BYE [ALERT] Fatal error: {text}: \r\n"));
                log(Level::Err, format_args!("{}: {text}", self.account.name));
                (Ending::Disconnected, ExitCode::FAILURE)
            }
        };
        // Whether the client still reads its BYE changes nothing any more.
        self.out.flush().ok();
        self.counters.received = self.input.received();
        self.counters.sent = self.out.sent();
        self.account.log_end(ending, &self.counters);
        code
    }

    /// One command, with its reply.
    ///
    /// # Errors
    /// The end of the session.
    pub fn turn(&mut self) -> Result<(), End> {
        let (text, executed) = match self.receive()? {
            Received::Command(text) => {
                let executed = self.execute(&text, None)?;
                (text, executed)
            }
            Received::Append(text, literal) => {
                let executed = self.execute(&text, Some(literal))?;
                (text, executed)
            }
            Received::Refused(text, reply) => {
                if reply.code == Some(Code::TooBig) && !self.warned_too_long {
                    self.warned_too_long = true;
                    log(
                        Level::Warning,
                        format_args!("command too long, {}", self.account),
                    );
                }
                (text, reply)
            }
        };
        let tag = split_tag(&text).map_or(&b"*"[..], |(tag, _)| tag);
        if executed.status == Status::Bad {
            self.violations = self.violations.saturating_add(1);
            if self.violations >= MAX_VIOLATIONS {
                return Err(End::Fatal(
                    "TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS".to_owned(),
                ));
            }
        } else {
            self.violations = 0;
        }
        executed.write(tag, &mut self.out);
        self.out.check()?;
        match self.ending.take() {
            Some(end) => Err(end),
            None => Ok(()),
        }
    }

    fn execute(&mut self, text: &[u8], literal: Option<Literal>) -> Executed {
        let parsed = match split_tag(text) {
            Some((tag, mut cursor)) => {
                self.tag = tag.to_vec();
                Command::parse(&mut cursor)
            }
            None => Err(SyntaxError::Malformed),
        };
        match (parsed, literal) {
            (Ok(Command::Append(append)), Some(literal)) => {
                command::append::execute(self, append, literal)
            }
            // An APPEND whose message is not a literal.
            (Ok(Command::Append(_)), None) => Ok(malformed(SyntaxError::Malformed)),
            (Ok(command), _) => command::execute(self, command),
            (Err(error), _) => Ok(malformed(error)),
        }
    }

    /// Reads the next command, literals of messages excepted.
    fn receive(&mut self) -> Result<Received, End> {
        let mut text = Vec::new();
        let mut literals = 0;
        // Strings that come as literals are not recorded.
        let mut traced = 0;
        loop {
            let line = self.input.line(&mut text, COMMAND_TIMEOUT, &mut self.out)?;
            if let Some(trace) = &self.out.trace {
                trace.read(text.get(traced..).unwrap_or_default(), traced == 0);
            }
            let literal = match line {
                LineEnd::Command => return Ok(Received::Command(text)),
                LineEnd::TooLong(literal) => {
                    self.drain(literal)?;
                    return Ok(Received::Refused(text, too_long()));
                }
                LineEnd::Literal(literal) => literal,
            };
            match append_start(&text) {
                None | Some(Err(SyntaxError::Incomplete)) => {}
                Some(Ok(())) => return Ok(Received::Append(text, literal)),
                Some(Err(error)) => {
                    self.drain(Some(literal))?;
                    return Ok(Received::Refused(text, malformed(error)));
                }
            }
            literals += 1;
            let size = literal.size.filter(|&size| {
                size <= MAX_LITERAL
                    && literals <= MAX_LITERALS
                    && (text.len() as u64).saturating_add(size) <= MAX_COMMAND as u64
            });
            let Some(size) = size else {
                self.drain(Some(literal))?;
                return Ok(Received::Refused(text, too_long()));
            };
            if literal.synchronising {
                self.go_ahead();
            }
            self.input.literal(&mut text, size, &mut self.out)?;
            traced = text.len();
        }
    }

    /// Asks for the bytes of a synchronising literal.
    pub fn go_ahead(&mut self) {
        self.out.put(b"+ OK\r\n");
    }

    /// Reads and drops the rest of a command that will be refused: what the client sends without being asked. A
    /// client that waits to be asked sends nothing more of it.
    ///
    /// # Errors
    /// [`End`]; also if the literal is too large to be worth reading.
    pub fn drain(&mut self, mut literal: Option<Literal>) -> Result<(), End> {
        while let Some(announced) = literal {
            if announced.synchronising {
                return Ok(());
            }
            let Some(size) = announced.size.filter(|&size| size <= MAX_SKIPPED) else {
                return Err(End::Fatal("literal too large".to_owned()));
            };
            self.input.stream(size, &mut self.out, |_| {})?;
            let mut line = Vec::new();
            literal = match self.input.line(&mut line, COMMAND_TIMEOUT, &mut self.out)? {
                LineEnd::Command => None,
                LineEnd::Literal(literal) => Some(literal),
                LineEnd::TooLong(literal) => literal,
            };
        }
        Ok(())
    }

    /// The capability list of this session.
    pub fn capability(&self) -> String {
        let account = self.settings.options.value("imapcapabilityoff");
        let setting = |name: &str| {
            let value = Settings::text(name);
            match (name, account) {
                ("IMAP_CAPABILITY_OFF", Some(account)) => {
                    let account = String::from_utf8_lossy(account);
                    Some(format!("{} {account}", value.unwrap_or_default()))
                }
                _ => value,
            }
        };
        capability(setting, Stage::Session)
    }
}

/// The reply to what is not a command. The original's text, under the word that the RFC wants.
pub fn malformed(error: SyntaxError) -> Reply {
    Reply::bad(error.to_string())
}

fn too_long() -> Reply {
    Reply::bad("IMAP command too long.").with(Code::TooBig)
}

/// How far an APPEND that ends with the announcement of a literal can be understood: with `Ok` the literal is its
/// first message, with [`SyntaxError::Incomplete`] a string before that. `None` for other commands.
fn append_start(text: &[u8]) -> Option<Result<(), SyntaxError>> {
    let (_, cursor) = split_tag(text)?;
    let mut ahead = cursor.clone();
    if !ahead.blanks() || !ahead.eat_text(b"APPEND ") {
        return None;
    }
    let mut cursor = cursor;
    Some(Command::parse(&mut cursor).map(|_| ()))
}
