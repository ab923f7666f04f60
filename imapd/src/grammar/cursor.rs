//! The reading position in one framed command, with its budgets. Every parser of this folder works on it; none
//! reads from the socket. Literals stand in the bytes as they came: `{5}` CRLF and five bytes.

use std::fmt;

/// Most tokens (atoms, strings, numbers, set elements, list openings) that one command may have.
pub const MAX_TOKENS: u32 = 65_536;
/// Deepest nesting of parentheses and of NOT/OR in one command.
pub const MAX_DEPTH: u32 = 200;

/// The command does not follow the grammar, or exceeds a budget. All of them are answered with BAD, so no detail
/// is kept beyond what the reply text can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyntaxError {
    /// Not what the grammar allows here.
    Malformed,
    /// The bytes end with the announcement of a literal that is a string: good so far. Seen only by those who parse
    /// a command before all of it is there (APPEND).
    Incomplete,
    /// [`MAX_TOKENS`] or [`MAX_DEPTH`] exceeded.
    TooComplex,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed | Self::Incomplete => "Error in IMAP command received by server.",
            Self::TooComplex => "Error in IMAP command received by server: too complex.",
        })
    }
}

impl std::error::Error for SyntaxError {}

/// What every parser returns.
pub type Parsed<T> = Result<T, SyntaxError>;

/// A reading position in one command.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    tokens_left: u32,
    depth_left: u32,
}

impl<'a> Cursor<'a> {
    /// Starts at the first byte of `command`, which ends before its final CRLF.
    pub fn new(command: &'a [u8]) -> Self {
        Self {
            rest: command,
            tokens_left: MAX_TOKENS,
            depth_left: MAX_DEPTH,
        }
    }

    /// The next byte, not consumed.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// What has not been consumed.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Consumes `byte` if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Consumes `byte`, which must be next.
    ///
    /// # Errors
    /// Something else is next.
    pub fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(SyntaxError::Malformed)
        }
    }

    /// Consumes `text` (given in upper case) if it is next, in any case.
    pub fn eat_text(&mut self, text: &[u8]) -> bool {
        match self.rest.split_at_checked(text.len()) {
            Some((head, rest)) if head.eq_ignore_ascii_case(text) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// `SP`. More than one blank is accepted: the original takes any run of them for one, and clients exist that
    /// send two.
    ///
    /// # Errors
    /// No blank is next.
    pub fn space(&mut self) -> Parsed<()> {
        if self.blanks() {
            Ok(())
        } else {
            Err(SyntaxError::Malformed)
        }
    }

    /// Consumes any blanks; true if there was one.
    pub fn blanks(&mut self) -> bool {
        let mut any = false;
        while self.eat(b' ') || self.eat(b'\t') {
            any = true;
        }
        any
    }

    /// The command must end here, trailing blanks aside.
    ///
    /// # Errors
    /// There are more arguments.
    pub fn end(&mut self) -> Parsed<()> {
        self.blanks();
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(SyntaxError::Malformed)
        }
    }

    /// Consumes the longest run of bytes for which `accept` holds; may be empty.
    pub fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self
            .rest
            .iter()
            .position(|&byte| !accept(byte))
            .unwrap_or(self.rest.len());
        self.take(length).unwrap_or_default()
    }

    /// Consumes exactly `count` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let (head, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(SyntaxError::Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    /// Spends one token of the budget.
    ///
    /// # Errors
    /// The budget is spent.
    pub fn token(&mut self) -> Parsed<()> {
        self.tokens_left = self
            .tokens_left
            .checked_sub(1)
            .ok_or(SyntaxError::TooComplex)?;
        Ok(())
    }

    /// Runs `parse` one level deeper.
    ///
    /// # Errors
    /// Those of `parse`, or the nesting is too deep.
    pub fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.token()?;
        self.depth_left = self
            .depth_left
            .checked_sub(1)
            .ok_or(SyntaxError::TooComplex)?;
        let parsed = parse(self)?;
        self.depth_left = self.depth_left.saturating_add(1);
        Ok(parsed)
    }

    /// A parenthesised, blank-separated list of at least `least` (0 or 1) items.
    ///
    /// # Errors
    /// Not such a list, or an item's error.
    pub fn list<T>(
        &mut self,
        least: usize,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.nested(|cursor| {
            cursor.expect(b'(')?;
            let mut items = Vec::new();
            cursor.blanks();
            while !cursor.eat(b')') {
                items.push(item(cursor)?);
                if cursor.peek() != Some(b')') {
                    cursor.space()?;
                }
            }
            if items.len() < least {
                return Err(SyntaxError::Malformed);
            }
            Ok(items)
        })
    }

    /// ```abnf
    /// number   = 1*DIGIT     ; 0 <= n < 4,294,967,296
    /// number64 = 1*DIGIT     ; 0 <= n <= 9,223,372,036,854,775,807   (RFC 9051)
    /// ```
    ///
    /// # Errors
    /// No digit is next, or the value exceeds 63 bits.
    pub fn number64(&mut self) -> Parsed<u64> {
        self.token()?;
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return Err(SyntaxError::Malformed);
        }
        digits
            .iter()
            .try_fold(0_u64, |value, &digit| {
                value
                    .checked_mul(10)?
                    .checked_add(u64::from(digit.wrapping_sub(b'0')))
            })
            .filter(|&value| i64::try_from(value).is_ok())
            .ok_or(SyntaxError::Malformed)
    }

    /// ```abnf
    /// number = 1*DIGIT     ; 0 <= n < 4,294,967,296
    /// ```
    ///
    /// # Errors
    /// No digit is next, or the value exceeds 32 bits.
    pub fn number(&mut self) -> Parsed<u32> {
        u32::try_from(self.number64()?).map_err(|_| SyntaxError::Malformed)
    }

    /// ```abnf
    /// nz-number = digit-nz *DIGIT     ; 0 < n < 4,294,967,296
    /// ```
    /// A leading zero is accepted, as the original does.
    ///
    /// # Errors
    /// As [`Self::number`], or the value is 0.
    pub fn nz_number(&mut self) -> Parsed<u32> {
        match self.number()? {
            0 => Err(SyntaxError::Malformed),
            value => Ok(value),
        }
    }

    /// A word of letters, digits, `.`, `-`, `=`, `_`, `+` in upper case: command names and their items. Empty if none
    /// is next.
    ///
    /// # Errors
    /// Token budget.
    pub fn word(&mut self) -> Parsed<Vec<u8>> {
        self.token()?;
        let mut word = self
            .take_while(|byte| byte.is_ascii_alphanumeric() || b".-=_+".contains(&byte))
            .to_vec();
        word.make_ascii_uppercase();
        Ok(word)
    }
}
