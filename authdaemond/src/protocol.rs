//! The socket protocol: bytes → requests, accounts → replies (contract: authdaemon §4). Knows no socket.

use std::os::unix::ffi::OsStrExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use courier::auth::account::{AccountInfo, Owner};
use courier::auth::client::{BODY_MAX, LINE_MAX, REPLY_MAX};

use crate::cram::Digest;
use crate::debug::Text;

/// Most bytes of lines before the command that are read.
const META_MAX: usize = 16 * 1024;
/// Longest peer address that is kept.
const REMOTE_MAX: usize = 39;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `TCPREMOTEIP=` of a line before the command.
    pub remote: Option<Vec<u8>>,
    /// The command.
    pub command: Command,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Look an account up.
    Pre {
        /// `.` for all modules, or the name of one.
        module: Vec<u8>,
        /// Service name.
        service: Vec<u8>,
        /// Account name; may be empty, may contain spaces.
        user: Vec<u8>,
    },
    /// Check credentials.
    Auth(Auth),
    /// Change a password.
    Passwd {
        /// Service name.
        service: Vec<u8>,
        /// Account name.
        user: Vec<u8>,
        /// Present password.
        old: Vec<u8>,
        /// Future password.
        new: Vec<u8>,
    },
    /// List all accounts.
    Enumerate,
    /// Well-formed but certain to fail: answered `FAIL`.
    Impossible,
}

/// Body of an AUTH request.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// Service name.
    pub service: Vec<u8>,
    /// `login`, `cram-md5` and so on.
    pub authtype: Vec<u8>,
    /// Lines whose meaning depends on `authtype`.
    pub data: Vec<u8>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // `data` holds passwords.
        write!(f, "Auth({}, {})", Text(&self.service), Text(&self.authtype))
    }
}

/// A response to a CRAM challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CramResponse {
    /// Which digest.
    pub digest: Digest,
    /// The challenge, decoded.
    pub challenge: Vec<u8>,
    /// Account name.
    pub user: Vec<u8>,
    /// Hexadecimal digest.
    pub response: Vec<u8>,
}

impl Auth {
    /// User and password, if this is a `login` and has both.
    pub fn login(&self) -> Option<(&[u8], &[u8])> {
        if self.authtype != b"login" {
            return None;
        }
        self.two_lines()
    }

    /// The response, if this is one of the CRAM types and well-formed.
    pub fn cram(&self) -> Option<CramResponse> {
        let digest = Digest::by_authtype(&self.authtype)?;
        let (challenge, response) = self.two_lines()?;
        let challenge = STANDARD.decode(challenge).ok()?;
        let response = STANDARD.decode(response).ok()?;
        // A name may contain spaces, the digest cannot.
        let space = response.iter().rposition(|&byte| byte == b' ')?;
        let (user, digits) = response.split_at(space);
        Some(CramResponse {
            digest,
            challenge,
            user: user.to_vec(),
            response: digits.get(1..)?.to_vec(),
        })
    }

    // COMPAT: empty lines vanish, so that an empty password is a missing one.
    fn two_lines(&self) -> Option<(&[u8], &[u8])> {
        let mut lines = self
            .data
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty());
        Some((lines.next()?, lines.next()?))
    }
}

/// What the bytes received so far are.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Not all of it is there yet.
    Incomplete,
    /// A whole request; anything behind it is ignored.
    Request(Request),
    /// Nothing that could become a request: close.
    Malformed,
}

/// Looks at everything received on a connection so far.
pub fn parse(input: &[u8]) -> Parsed {
    let mut remote = None;
    let mut rest = input;
    loop {
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            return if rest.len() > LINE_MAX || input.len() > META_MAX {
                Parsed::Malformed
            } else {
                Parsed::Incomplete
            };
        };
        let (line, behind) = rest.split_at(end);
        if line.len() > LINE_MAX || input.len() - behind.len() > META_MAX {
            return Parsed::Malformed;
        }
        let behind = behind.get(1..).unwrap_or_default();
        // Whatever comes first, a space or an equals sign, says what the line is.
        match line.iter().position(|&byte| byte == b' ' || byte == b'=') {
            Some(border) if line.get(border) == Some(&b'=') => {
                if let Some(address) = line.strip_prefix(b"TCPREMOTEIP=") {
                    remote = Some(address.get(..REMOTE_MAX).unwrap_or(address).to_vec());
                }
                rest = behind;
            }
            border => {
                let (word, arguments) = line.split_at(border.unwrap_or(line.len()));
                return match command(word, arguments.trim_ascii_start_blanks(), behind) {
                    Ok(Some(command)) => Parsed::Request(Request { remote, command }),
                    Ok(None) => Parsed::Incomplete,
                    Err(Malformed) => Parsed::Malformed,
                };
            }
        }
    }
}

struct Malformed;

/// `Ok(None)`: the body is not complete.
fn command(word: &[u8], arguments: &[u8], behind: &[u8]) -> Result<Option<Command>, Malformed> {
    match word {
        b"PRE" => pre(arguments).map(Some),
        b"AUTH" => auth(arguments, behind),
        b"PASSWD" => passwd(arguments).map(Some),
        b"ENUMERATE" => Ok(Some(Command::Enumerate)),
        _ => Err(Malformed),
    }
}

fn pre(arguments: &[u8]) -> Result<Command, Malformed> {
    let (module, rest) = word(arguments).ok_or(Malformed)?;
    let (service, user) = word(rest).ok_or(Malformed)?;
    if module.is_empty() || service.is_empty() {
        return Err(Malformed);
    }
    if user.contains(&0) {
        return Ok(Command::Impossible);
    }
    Ok(Command::Pre {
        module: module.to_vec(),
        service: service.to_vec(),
        user: user.to_vec(),
    })
}

/// A word, and what follows the blanks behind it. `None` when no blank follows.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|&byte| byte == b' ')?;
    let (word, rest) = text.split_at(end);
    Some((word, rest.trim_ascii_start_blanks()))
}

fn auth(arguments: &[u8], behind: &[u8]) -> Result<Option<Command>, Malformed> {
    let text = std::str::from_utf8(arguments.trim_ascii()).map_err(|_| Malformed)?;
    let length: usize = text.parse().map_err(|_| Malformed)?;
    if length > BODY_MAX {
        return Err(Malformed);
    }
    let Some(body) = behind.get(..length) else {
        return Ok(None);
    };
    let mut lines = body.splitn(3, |&byte| byte == b'\n');
    let (Some(service), Some(authtype), Some(data)) = (lines.next(), lines.next(), lines.next())
    else {
        return Err(Malformed);
    };
    if body.contains(&0) {
        return Ok(Some(Command::Impossible));
    }
    Ok(Some(Command::Auth(Auth {
        service: service.to_vec(),
        authtype: authtype.to_vec(),
        data: data.to_vec(),
    })))
}

fn passwd(arguments: &[u8]) -> Result<Command, Malformed> {
    let mut fields = arguments.split(|&byte| byte == b'\t');
    let (Some(service), Some(user), Some(old), Some(new)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(Malformed);
    };
    if arguments.iter().any(|&byte| byte < 0x20 && byte != b'\t') {
        return Ok(Command::Impossible);
    }
    Ok(Command::Passwd {
        service: service.to_vec(),
        user: user.to_vec(),
        old: old.to_vec(),
        new: new.to_vec(),
    })
}

trait TrimBlanks {
    fn trim_ascii_start_blanks(&self) -> &[u8];
}

impl TrimBlanks for [u8] {
    /// Without leading spaces; tabs and returns are data.
    fn trim_ascii_start_blanks(&self) -> &[u8] {
        let blanks = self.iter().take_while(|&&byte| byte == b' ').count();
        self.get(blanks..).unwrap_or_default()
    }
}

/// Why an account cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsendable {
    /// A value contains a line feed or NUL; nothing is escaped, so it could forge lines.
    Control,
    /// No reader takes so long a reply.
    TooLong,
}

/// The reply to PRE and AUTH.
///
/// # Errors
/// [`Unsendable`].
pub fn account_reply(account: &AccountInfo) -> Result<Vec<u8>, Unsendable> {
    let mut reply = Vec::with_capacity(512);
    let mut line = |key: &str, value: &[u8]| {
        reply.extend_from_slice(key.as_bytes());
        reply.push(b'=');
        reply.extend_from_slice(value);
        reply.push(b'\n');
        if value.contains(&b'\n') || value.contains(&0) {
            Err(Unsendable::Control)
        } else {
            Ok(())
        }
    };
    match &account.owner {
        Some(Owner::System(name)) => line("USERNAME", name)?,
        Some(Owner::Virtual(uid)) => line("UID", uid.to_string().as_bytes())?,
        None => {}
    }
    if let Some(gid) = account.gid {
        line("GID", gid.to_string().as_bytes())?;
    }
    let name = account.name.as_deref().map(|name| {
        // The room and phone numbers of a gecos field follow the first comma.
        name.split(|&byte| byte == b',').next().unwrap_or_default()
    });
    for (key, value) in [
        (
            "HOME",
            account
                .home
                .as_ref()
                .map(|home| home.as_os_str().as_bytes()),
        ),
        ("ADDRESS", account.address.as_deref()),
        ("NAME", name),
        (
            "MAILDIR",
            account.maildir.as_ref().map(|maildir| maildir.as_bytes()),
        ),
        ("QUOTA", account.quota.as_deref()),
        (
            "PASSWD",
            account.hash.as_ref().map(|hash| hash.0.as_slice()),
        ),
        (
            "PASSWD2",
            account.clear.as_ref().map(|clear| clear.0.as_slice()),
        ),
        (
            "OPTIONS",
            account
                .options
                .as_deref()
                .filter(|options| !options.is_empty()),
        ),
    ] {
        if let Some(value) = value {
            line(key, value)?;
        }
    }
    reply.extend_from_slice(b".\n");
    if reply.len() > REPLY_MAX {
        return Err(Unsendable::TooLong);
    }
    Ok(reply)
}

/// One line of the ENUMERATE reply; `None` when a value cannot be sent in one.
pub fn listed(account: &AccountInfo) -> Option<Vec<u8>> {
    let uid = match account.owner {
        Some(Owner::Virtual(uid)) => uid.to_string(),
        _ => return None,
    };
    let gid = account.gid?.to_string();
    let fields: [&[u8]; 6] = [
        account.address.as_deref()?,
        uid.as_bytes(),
        gid.as_bytes(),
        account.home.as_ref()?.as_os_str().as_bytes(),
        account
            .maildir
            .as_ref()
            .map_or(&b""[..], |maildir| maildir.as_bytes()),
        account.options.as_deref().unwrap_or_default(),
    ];
    if fields
        .iter()
        .any(|field| field.iter().any(|byte| b"\t\n\0".contains(byte)))
    {
        return None;
    }
    let mut line = fields.join(&b'\t');
    line.push(b'\n');
    Some(line)
}

#[cfg(test)]
mod tests;
