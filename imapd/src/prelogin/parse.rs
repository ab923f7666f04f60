//! The grammar before login: a handful of commands, strings, and one flat list (RFC 9051 section 9). It is apart
//! from the grammar of sessions on purpose: nothing here nests, and every size has a small fixed bound.
//!
//! [`parse`] looks at everything a command has sent so far and either has it, or knows that it is wrong, or needs
//! the bytes of a literal.

use courier::login::message::{SECRET_MAX, is_tag};

/// Most strings in the list of an ID command (RFC 2971: thirty pairs).
const ID_STRINGS_MAX: usize = 60;

/// What stands in the bytes so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole command.
    Command {
        /// Its tag.
        tag: &'a [u8],
        /// What it asks for.
        verb: Verb<'a>,
    },
    /// The bytes end with the announcement of a literal that belongs there.
    Literal {
        /// The command's tag.
        tag: &'a [u8],
        /// Its size.
        literal: Literal,
    },
    /// No command that this server knows.
    Bad {
        /// The tag, if there was one.
        tag: Option<&'a [u8]>,
        /// For the client's log.
        reason: &'static str,
    },
}

/// An announced literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Literal {
    /// Size in bytes; `None` if the number is larger than any budget.
    pub size: Option<usize>,
    /// The client waits for `+` (no plus sign in the announcement).
    pub waits: bool,
}

/// The commands before login.
#[derive(Debug, PartialEq, Eq)]
pub enum Verb<'a> {
    /// CAPABILITY
    Capability,
    /// NOOP
    Noop,
    /// LOGOUT
    Logout,
    /// STARTTLS
    StartTls,
    /// ID, whose argument is checked and forgotten
    Id,
    /// LOGIN
    Login {
        /// User name.
        user: Vec<u8>,
        /// Password.
        password: Vec<u8>,
    },
    /// AUTHENTICATE; the mechanism is empty when none was named
    Authenticate {
        /// As written.
        mechanism: &'a [u8],
        /// The initial response as written (RFC 4959).
        initial: Option<&'a [u8]>,
    },
}

const SYNTAX: &str = "Error in IMAP command received by server.";

/// Why a piece of a command cannot be taken.
enum Fault {
    Syntax(&'static str),
    Literal(Literal),
}

type Taken<T> = Result<T, Fault>;

/// Reads `bytes`: lines with their line ends, and literals after the lines that announced them.
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut cursor = Cursor { rest: bytes };
    cursor.skip_blanks();
    let tag = cursor.word();
    if !is_tag(tag) {
        return Parsed::Bad {
            tag: None,
            reason: SYNTAX,
        };
    }
    match verb(&mut cursor) {
        Ok(verb) => Parsed::Command { tag, verb },
        Err(Fault::Literal(literal)) => Parsed::Literal { tag, literal },
        Err(Fault::Syntax(reason)) => Parsed::Bad {
            tag: Some(tag),
            reason,
        },
    }
}

/// The command word in `bytes`, for the debug log.
pub fn command_word(bytes: &[u8]) -> &[u8] {
    let mut cursor = Cursor { rest: bytes };
    cursor.skip_blanks();
    cursor.word();
    cursor.skip_blanks();
    cursor.word()
}

/// The literal that the last line of `bytes` announces, whether or not one may stand there: without waiting for
/// an answer a client sends its bytes after any `{n+}`.
pub fn announced(bytes: &[u8]) -> Option<Literal> {
    let line = without_line_end(bytes);
    let start = line.iter().rposition(|&byte| byte == b'{')?;
    let (literal, rest) = announcement(line.get(start..)?)?;
    rest.is_empty().then_some(literal)
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// `{n}` or `{n+}` at the start of `text`, and what follows it.
fn announcement(text: &[u8]) -> Option<(Literal, &[u8])> {
    let digits = text.strip_prefix(b"{")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    let (number, rest) = digits.split_at(end);
    let (waits, rest) = match rest.strip_prefix(b"+") {
        Some(rest) => (false, rest),
        None => (true, rest),
    };
    let rest = rest.strip_prefix(b"}")?;
    if number.is_empty() {
        return None;
    }
    let size = std::str::from_utf8(number).ok()?.parse().ok();
    Some((Literal { size, waits }, rest))
}

fn verb<'a>(cursor: &mut Cursor<'a>) -> Taken<Verb<'a>> {
    cursor.blanks()?;
    let word = cursor.word();
    let verb = match word.to_ascii_uppercase().as_slice() {
        b"CAPABILITY" => Verb::Capability,
        b"NOOP" => Verb::Noop,
        b"LOGOUT" => Verb::Logout,
        b"STARTTLS" => Verb::StartTls,
        b"ID" => {
            cursor.blanks()?;
            id(cursor)?;
            Verb::Id
        }
        b"LOGIN" => {
            cursor.blanks()?;
            let user = cursor.string()?;
            cursor.blanks()?;
            let password = cursor.string()?;
            Verb::Login { user, password }
        }
        b"AUTHENTICATE" => {
            cursor.skip_blanks();
            let mechanism = cursor.word();
            cursor.skip_blanks();
            let initial = cursor.word();
            Verb::Authenticate {
                mechanism,
                initial: (!initial.is_empty()).then_some(initial),
            }
        }
        _ => return Err(Fault::Syntax(SYNTAX)),
    };
    cursor.skip_blanks();
    if matches!(cursor.rest, b"\r\n" | b"\n") {
        Ok(verb)
    } else {
        Err(Fault::Syntax(SYNTAX))
    }
}

/// `NIL`, or a list of quoted names and of values that may be NIL. An empty list is as good as NIL.
fn id(cursor: &mut Cursor<'_>) -> Taken<()> {
    if cursor.nil() {
        return Ok(());
    }
    cursor.expect(b'(')?;
    let mut strings = 0_usize;
    loop {
        cursor.skip_blanks();
        if cursor.accept(b')') {
            break;
        }
        if strings >= ID_STRINGS_MAX {
            return Err(Fault::Syntax("Too many ID parameters."));
        }
        // Names stand in the odd places and are never NIL.
        if strings % 2 == 0 || !cursor.nil() {
            cursor.quoted_or_literal()?;
        }
        strings = strings.saturating_add(1);
    }
    if strings % 2 == 0 {
        Ok(())
    } else {
        Err(Fault::Syntax(SYNTAX))
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn advance(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.advance(1);
        }
        found
    }

    fn expect(&mut self, byte: u8) -> Taken<()> {
        if self.accept(byte) {
            Ok(())
        } else {
            Err(Fault::Syntax(SYNTAX))
        }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.rest.first(), Some(b' ' | b'\t')) {
            self.advance(1);
        }
    }

    fn blanks(&mut self) -> Taken<()> {
        let before = self.rest.len();
        self.skip_blanks();
        if self.rest.len() < before {
            Ok(())
        } else {
            Err(Fault::Syntax(SYNTAX))
        }
    }

    /// Printing ASCII up to a blank or the line end; may be empty.
    fn word(&mut self) -> &'a [u8] {
        let end = self
            .rest
            .iter()
            .position(|byte| !byte.is_ascii_graphic())
            .unwrap_or(self.rest.len());
        self.advance(end)
    }

    fn nil(&mut self) -> bool {
        let is_nil = self
            .rest
            .get(..3)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"NIL"))
            && matches!(self.rest.get(3), Some(b' ' | b'\t' | b')' | b'\r' | b'\n'));
        if is_nil {
            self.advance(3);
        }
        is_nil
    }

    /// An astring. Bare words may hold what clients have always been allowed to type here: parentheses, brackets,
    /// `%` and `*`, but not what begins another form of string.
    fn string(&mut self) -> Taken<Vec<u8>> {
        if matches!(self.rest.first(), Some(b'"' | b'{')) {
            return self.quoted_or_literal();
        }
        let word = self.word();
        if word.is_empty() || word.iter().any(|byte| b"\"\\{".contains(byte)) {
            return Err(Fault::Syntax(SYNTAX));
        }
        Ok(word.to_vec())
    }

    fn quoted_or_literal(&mut self) -> Taken<Vec<u8>> {
        match self.rest.first() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => Err(Fault::Syntax(SYNTAX)),
        }
    }

    fn quoted(&mut self) -> Taken<Vec<u8>> {
        self.advance(1);
        let mut text = Vec::new();
        loop {
            match self.advance(1).first() {
                Some(b'"') => break,
                Some(b'\\') => match self.advance(1).first() {
                    Some(&byte @ (b'"' | b'\\')) => text.push(byte),
                    _ => return Err(Fault::Syntax(SYNTAX)),
                },
                None | Some(b'\0' | b'\r' | b'\n') => return Err(Fault::Syntax(SYNTAX)),
                Some(&byte) => text.push(byte),
            }
        }
        if text.len() > SECRET_MAX {
            return Err(Fault::Syntax("IMAP command too long."));
        }
        if std::str::from_utf8(&text).is_err() {
            return Err(Fault::Syntax(SYNTAX));
        }
        Ok(text)
    }

    fn literal(&mut self) -> Taken<Vec<u8>> {
        let Some((literal, rest)) = announcement(self.rest) else {
            return Err(Fault::Syntax(SYNTAX));
        };
        let Some(rest) = rest
            .strip_prefix(b"\r\n")
            .or_else(|| rest.strip_prefix(b"\n"))
        else {
            return Err(Fault::Syntax(SYNTAX));
        };
        // Nothing of it is there yet, nor is the line that follows it.
        if rest.is_empty() {
            return Err(Fault::Literal(literal));
        }
        self.rest = rest;
        let text = self.advance(literal.size.unwrap_or(usize::MAX));
        if Some(text.len()) != literal.size || text.contains(&0) {
            return Err(Fault::Syntax(SYNTAX));
        }
        Ok(text.to_vec())
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
