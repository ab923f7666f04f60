//! SQL with holes: statements of the configuration whose `$(name)` become *parameters* of the statement, never text
//! of it (contract: auth-modules §7).
//!
//! The original inserts escaped text and asks the author to write single quotes around it. Here a quoted piece of
//! SQL that contains `$(name)` becomes one parameter altogether; so `'$(local_part)@$(domain)'` works as before and
//! nothing that a user types is ever parsed as SQL.

use std::fmt;

/// Whose SQL it is; they quote differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL and MariaDB, in their default mode.
    Mysql,
    /// PostgreSQL.
    Pgsql,
    /// SQLite.
    Sqlite,
}

impl Dialect {
    /// The `number`th parameter, from 1.
    fn placeholder(self, number: usize) -> String {
        match self {
            Self::Mysql => "?".to_owned(),
            Self::Pgsql => format!("${number}"),
            Self::Sqlite => format!("?{number}"),
        }
    }
}

/// What a hole is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// The account as the user wrote it, with the default domain if it had none.
    Login,
    /// The account up to the first `@`.
    LocalPart,
    /// The rest, or the default domain.
    Domain,
    /// The service.
    Service,
    /// The new password.
    NewPassword,
    /// Its hash.
    NewHash,
    /// A name that means nothing; expands to nothing.
    Unknown,
}

impl Variable {
    fn by_name(name: &[u8]) -> Self {
        match name {
            b"local_part" => Self::LocalPart,
            b"domain" => Self::Domain,
            b"service" => Self::Service,
            b"newpass" => Self::NewPassword,
            b"newpass_crypt" => Self::NewHash,
            _ => Self::Unknown,
        }
    }
}

/// A part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// SQL, as it stands.
    Sql(Vec<u8>),
    /// A parameter, put together from these.
    Parameter(Vec<Part>),
    /// A part of an identifier: letters, digits and underscores, or the statement is not run.
    Identifier(Variable),
}

/// A part of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// This text.
    Text(Vec<u8>),
    /// What stands for this.
    Variable(Variable),
}

/// A statement with holes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clause(pub Vec<Piece>);

/// Why a clause of the configuration cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClauseError {
    /// A quote is not closed.
    Quote,
}

impl fmt::Display for ClauseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quote => f.write_str("a quote is not closed"),
        }
    }
}

/// What fills the holes. All of it is foreign.
#[derive(Clone, Copy, Default)]
pub struct Values<'a> {
    /// See [`Variable::Login`].
    pub login: &'a [u8],
    /// See [`Variable::LocalPart`].
    pub local_part: &'a [u8],
    /// See [`Variable::Domain`].
    pub domain: &'a [u8],
    /// See [`Variable::Service`].
    pub service: &'a [u8],
    /// See [`Variable::NewPassword`].
    pub new_password: &'a [u8],
    /// See [`Variable::NewHash`].
    pub new_hash: &'a [u8],
}

impl Values<'_> {
    fn of(&self, variable: Variable) -> &[u8] {
        match variable {
            Variable::Login => self.login,
            Variable::LocalPart => self.local_part,
            Variable::Domain => self.domain,
            Variable::Service => self.service,
            Variable::NewPassword => self.new_password,
            Variable::NewHash => self.new_hash,
            Variable::Unknown => b"",
        }
    }
}

/// A value would become a part of the statement and is not a plain word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAWord;

impl Clause {
    /// The statement with placeholders, and the values of its parameters.
    ///
    /// # Errors
    /// [`NotAWord`].
    pub fn fill(
        &self,
        dialect: Dialect,
        values: &Values<'_>,
    ) -> Result<(Vec<u8>, Vec<Vec<u8>>), NotAWord> {
        let mut sql = Vec::new();
        let mut parameters = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Sql(text) => sql.extend_from_slice(text),
                Piece::Parameter(parts) => {
                    let mut value = Vec::new();
                    for part in parts {
                        value.extend_from_slice(match part {
                            Part::Text(text) => text,
                            Part::Variable(variable) => values.of(*variable),
                        });
                    }
                    parameters.push(value);
                    sql.extend_from_slice(dialect.placeholder(parameters.len()).as_bytes());
                }
                Piece::Identifier(variable) => {
                    let value = values.of(*variable);
                    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                    if !value.iter().all(plain) {
                        return Err(NotAWord);
                    }
                    sql.extend_from_slice(value);
                }
            }
        }
        Ok((sql, parameters))
    }

    /// Reads a clause of the configuration.
    ///
    /// # Errors
    /// [`ClauseError`].
    pub fn parse(dialect: Dialect, text: &[u8]) -> Result<Self, ClauseError> {
        let mut reader = Reader {
            dialect,
            rest: text,
            pieces: Vec::new(),
            sql: Vec::new(),
        };
        reader.run()?;
        reader.flush();
        Ok(Self(reader.pieces))
    }
}

/// Takes `$(name)` off the beginning of `text`. A missing parenthesis swallows the rest, as in the original.
fn variable(text: &[u8]) -> Option<(Variable, &[u8])> {
    let inner = text.strip_prefix(b"$(")?;
    let end = inner
        .iter()
        .position(|&byte| byte == b')')
        .unwrap_or(inner.len());
    let (name, rest) = inner.split_at(end);
    Some((Variable::by_name(name), rest.get(1..).unwrap_or_default()))
}

/// What stands between two quotes, as it is read.
#[derive(Default)]
struct Parts {
    done: Vec<Part>,
    /// What came since the last variable.
    text: Vec<u8>,
}

impl Parts {
    /// Takes `$(name)` off the beginning of `rest`; `None` when something else is there.
    fn take_variable<'a>(&mut self, rest: &'a [u8]) -> Option<&'a [u8]> {
        let (variable, behind) = variable(rest)?;
        self.end_text();
        self.done.push(Part::Variable(variable));
        Some(behind)
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.done.push(Part::Text(std::mem::take(&mut self.text)));
        }
    }

    /// The parts; `None` if no variable is among them.
    fn finish(mut self) -> Option<Vec<Part>> {
        if self.done.is_empty() {
            return None;
        }
        self.end_text();
        Some(self.done)
    }
}

struct Reader<'a> {
    dialect: Dialect,
    rest: &'a [u8],
    pieces: Vec<Piece>,
    sql: Vec<u8>,
}

impl Reader<'_> {
    fn flush(&mut self) {
        if !self.sql.is_empty() {
            self.pieces.push(Piece::Sql(std::mem::take(&mut self.sql)));
        }
    }

    fn run(&mut self) -> Result<(), ClauseError> {
        while let Some((&byte, behind)) = self.rest.split_first() {
            if let Some((variable, behind)) = variable(self.rest) {
                self.rest = behind;
                self.flush();
                self.pieces.push(match variable {
                    // The administrator's own word: where it stands without quotes it may name a column.
                    Variable::Service => Piece::Identifier(variable),
                    _ => Piece::Parameter(vec![Part::Variable(variable)]),
                });
                continue;
            }
            match byte {
                b'\'' => self.quoted(b'\'')?,
                b'"' => self.quoted(b'"')?,
                b'`' if self.dialect != Dialect::Pgsql => self.quoted(b'`')?,
                b'$' if self.dialect == Dialect::Pgsql => self.dollars()?,
                _ => {
                    self.sql.push(byte);
                    self.rest = behind;
                }
            }
        }
        Ok(())
    }

    /// From one quote to the next of its kind; two of them stand for one.
    fn quoted(&mut self, quote: u8) -> Result<(), ClauseError> {
        let is_string = quote == b'\'' || (quote == b'"' && self.dialect == Dialect::Mysql);
        let escapes = match self.dialect {
            Dialect::Mysql => is_string,
            // E'…' alone has backslashes.
            Dialect::Pgsql => quote == b'\'' && self.follows_e(),
            Dialect::Sqlite => false,
        };
        let begin = self.rest;
        let mut rest = self.rest.get(1..).unwrap_or_default();
        let mut parts = Parts::default();
        loop {
            if let Some(behind) = parts.take_variable(rest) {
                rest = behind;
                continue;
            }
            let Some((&byte, behind)) = rest.split_first() else {
                return Err(ClauseError::Quote);
            };
            rest = behind;
            if byte == quote {
                let Some(behind) = rest.strip_prefix(&[quote]) else {
                    break;
                };
                rest = behind;
            } else if byte == b'\\' && escapes {
                let Some((&next, behind)) = rest.split_first() else {
                    return Err(ClauseError::Quote);
                };
                rest = behind;
                parts.text.extend_from_slice(unescaped(self.dialect, &next));
                continue;
            }
            parts.text.push(byte);
        }
        self.rest = rest;
        let Some(parts) = parts.finish() else {
            let length = begin.len() - rest.len();
            self.sql
                .extend_from_slice(begin.get(..length).unwrap_or_default());
            return Ok(());
        };
        if is_string {
            if escapes && self.dialect == Dialect::Pgsql {
                // The E of E'…' goes with the quotes.
                self.sql.pop();
            }
            self.flush();
            self.pieces.push(Piece::Parameter(parts));
            return Ok(());
        }
        self.sql.push(quote);
        for part in parts {
            match part {
                Part::Text(text) => {
                    for byte in text {
                        if byte == quote {
                            self.sql.push(quote);
                        }
                        self.sql.push(byte);
                    }
                }
                Part::Variable(variable) => {
                    self.flush();
                    self.pieces.push(Piece::Identifier(variable));
                }
            }
        }
        self.sql.push(quote);
        Ok(())
    }

    /// Whether the SQL so far ends in a lone E.
    fn follows_e(&self) -> bool {
        let mut bytes = self.sql.iter().rev();
        matches!(bytes.next(), Some(b'e' | b'E'))
            && bytes
                .next()
                .is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
    }

    /// PostgreSQL's `$tag$…$tag$`; a dollar that begins none is literal.
    fn dollars(&mut self) -> Result<(), ClauseError> {
        let tag = self.rest.get(1..).unwrap_or_default();
        let end = tag
            .iter()
            .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
            .unwrap_or(tag.len());
        let quote_length = end + 2;
        if tag.get(end) != Some(&b'$') || tag.first().is_some_and(u8::is_ascii_digit) {
            self.sql.push(b'$');
            self.rest = tag;
            return Ok(());
        }
        let quote = self.rest.get(..quote_length).unwrap_or_default();
        let mut rest = self.rest.get(quote_length..).unwrap_or_default();
        let mut parts = Parts::default();
        while !rest.starts_with(quote) {
            if let Some(behind) = parts.take_variable(rest) {
                rest = behind;
                continue;
            }
            let Some((&byte, behind)) = rest.split_first() else {
                return Err(ClauseError::Quote);
            };
            parts.text.push(byte);
            rest = behind;
        }
        let behind = rest.get(quote_length..).unwrap_or_default();
        if let Some(parts) = parts.finish() {
            self.flush();
            self.pieces.push(Piece::Parameter(parts));
        } else {
            let length = self.rest.len() - behind.len();
            self.sql
                .extend_from_slice(self.rest.get(..length).unwrap_or_default());
        }
        self.rest = behind;
        Ok(())
    }
}

/// What a backslash and `byte` stand for inside quotes.
fn unescaped(dialect: Dialect, byte: &u8) -> &[u8] {
    match (byte, dialect) {
        (b'n', _) => b"\n",
        (b't', _) => b"\t",
        (b'r', _) => b"\r",
        (b'b', _) => b"\x08",
        (b'0', Dialect::Mysql) => b"\0",
        (b'Z', Dialect::Mysql) => b"\x1a",
        // For LIKE, which reads the backslash itself.
        (b'%', Dialect::Mysql) => b"\\%",
        (b'_', Dialect::Mysql) => b"\\_",
        _ => std::slice::from_ref(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(dialect: Dialect, text: &str) -> (String, Vec<String>) {
        let values = Values {
            login: b"o'hara@example.com",
            local_part: b"o'hara",
            domain: b"example.com",
            service: b"imap",
            new_password: b"n\\'",
            new_hash: b"$6$x",
        };
        let (sql, parameters) = Clause::parse(dialect, text.as_bytes())
            .unwrap()
            .fill(dialect, &values)
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(sql), parameters.into_iter().map(text).collect())
    }

    #[test]
    fn quoted_variables_become_parameters() {
        let (sql, parameters) = filled(
            Dialect::Pgsql,
            "SELECT a, 'x' FROM t WHERE id = '$(local_part)@$(domain)' AND d='$(domain)'",
        );
        assert_eq!(sql, "SELECT a, 'x' FROM t WHERE id = $1 AND d=$2");
        assert_eq!(parameters, ["o'hara@example.com", "example.com"]);
        let (sql, parameters) = filled(
            Dialect::Mysql,
            "UPDATE t SET p=\"$(newpass)\", c='it''s \\'$(newpass_crypt)' WHERE `k`='$(local_part)'",
        );
        assert_eq!(sql, "UPDATE t SET p=?, c=? WHERE `k`=?");
        assert_eq!(parameters, ["n\\'", "it's '$6$x", "o'hara"]);
        let (sql, parameters) = filled(Dialect::Sqlite, "x '$(domain)' like '%$(local_part)%'");
        assert_eq!(sql, "x ?1 like ?2");
        assert_eq!(parameters, ["example.com", "%o'hara%"]);
    }

    #[test]
    fn variables_without_quotes_are_no_sql_either() {
        let (sql, parameters) = filled(
            Dialect::Mysql,
            "SELECT $(service)_ok WHERE id=$(local_part)",
        );
        assert_eq!(sql, "SELECT imap_ok WHERE id=?");
        assert_eq!(parameters, ["o'hara"]);
        let (sql, _) = filled(Dialect::Pgsql, "SELECT \"$(service)\"\"x\" FROM t");
        assert_eq!(sql, "SELECT \"imap\"\"x\" FROM t");
        let clause = Clause::parse(Dialect::Sqlite, b"SELECT \"$(local_part)\"").unwrap();
        let values = Values {
            local_part: b"a\"b",
            ..Values::default()
        };
        assert_eq!(clause.fill(Dialect::Sqlite, &values), Err(NotAWord));
    }

    #[test]
    fn each_dialect_has_its_own_quotes() {
        let (sql, parameters) = filled(
            Dialect::Pgsql,
            "E'\\'$(domain)' $$it's$$ $a$$(domain)$a$ $1",
        );
        assert_eq!(sql, "$1 $$it's$$ $2 $1");
        assert_eq!(parameters, ["'example.com", "example.com"]);
        // No backslash in ordinary strings.
        let (sql, parameters) = filled(Dialect::Pgsql, "'\\' '$(domain)'");
        assert_eq!(sql, "'\\' $1");
        assert_eq!(parameters, ["example.com"]);
        for (dialect, text) in [
            (Dialect::Mysql, "'\\'"),
            (Dialect::Mysql, "`a"),
            (Dialect::Pgsql, "$a$ x"),
            (Dialect::Sqlite, "'$(local_part"),
        ] {
            assert_eq!(
                Clause::parse(dialect, text.as_bytes()),
                Err(ClauseError::Quote),
                "{text}"
            );
        }
    }

    #[test]
    fn unknown_variables_are_empty_and_lone_dollars_stay() {
        let (sql, parameters) = filled(Dialect::Mysql, "'$(nothing)' $ $x '$'");
        assert_eq!(sql, "? $ $x '$'");
        assert_eq!(parameters, [""]);
    }
}
