//! Texts with holes.

use std::collections::BTreeMap;

/// What names stand for.
pub type Bindings = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(Vec<u8>),
    Hole(Class, Option<String>),
    Value(String),
    Length(String),
    /// Digits that differ from a value.
    Other(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Any,
    Number,
    Word,
}

/// A text with holes; see the module [`super`] for the syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    source: String,
}

impl Pattern {
    /// Reads `source`. What looks like no hole is text, so Message-IDs and the like need no quoting.
    ///
    /// # Errors
    /// A hole that is not written right.
    pub fn new(source: &str) -> Result<Self, String> {
        let mut tokens: Vec<Token> = Vec::new();
        let mut rest = source;
        while !rest.is_empty() {
            let hole = rest
                .strip_prefix('<')
                .and_then(|inner| inner.split_once('>'))
                .and_then(|(name, tail)| Some((token(name)?, tail)));
            if let Some((found, tail)) = hole {
                tokens.push(found?);
                rest = tail;
                continue;
            }
            let mut next = rest.char_indices().skip(1).map(|(index, _)| index);
            let (character, tail) = rest.split_at(next.next().unwrap_or(rest.len()));
            push_text(&mut tokens, character.as_bytes());
            rest = tail;
        }
        Ok(Self {
            tokens,
            source: source.to_owned(),
        })
    }

    /// As written in the script.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// `self` and `other` in one, with CRLF after `other` if `line`.
    #[must_use]
    pub fn joined(mut self, other: Self, line: bool) -> Self {
        self.tokens.extend(other.tokens);
        if line {
            push_text(&mut self.tokens, b"\r\n");
        }
        self.source.push_str(&other.source);
        self
    }

    /// The text, every hole filled.
    ///
    /// # Errors
    /// A hole without a value.
    pub fn fill(&self, bindings: &Bindings) -> Result<Vec<u8>, String> {
        let mut text = Vec::new();
        for token in &self.tokens {
            match token {
                Token::Text(bytes) => text.extend_from_slice(bytes),
                Token::Hole(..) | Token::Other(_) => {
                    return Err(format!("nothing to fill into {:?}", self.source));
                }
                Token::Value(_) | Token::Length(_) => {
                    text.extend_from_slice(&constant(token, bindings)?);
                }
            }
        }
        Ok(text)
    }

    /// Whether all of `text` matches; remembers what named holes took.
    ///
    /// # Errors
    /// A name without a value.
    pub fn matches(&self, text: &[u8], bindings: &mut Bindings) -> Result<bool, String> {
        let mut taken = Vec::new();
        let matched = walk(&self.tokens, text, bindings, &mut taken)?;
        if matched {
            bindings.extend(taken);
        }
        Ok(matched)
    }
}

fn push_text(tokens: &mut Vec<Token>, bytes: &[u8]) {
    if let Some(Token::Text(last)) = tokens.last_mut() {
        last.extend_from_slice(bytes);
    } else {
        tokens.push(Token::Text(bytes.to_vec()));
    }
}

/// The token in `<name>`, `None` if it is none.
fn token(name: &str) -> Option<Result<Token, String>> {
    if let Some(hex) = name.strip_prefix("hex:") {
        return Some(bytes_of(hex).map(Token::Text));
    }
    if let Some(of) = name.strip_prefix("len:") {
        return Some(Ok(Token::Length(of.to_owned())));
    }
    if let Some(than) = name.strip_prefix('!') {
        return Some(Ok(Token::Other(than.to_owned())));
    }
    if let Some(variable) = name.strip_prefix('$') {
        return Some(match variable.split_once(':') {
            None => Ok(Token::Value(variable.to_owned())),
            Some((variable, kind)) => class(kind)
                .map(|class| Token::Hole(class, Some(variable.to_owned())))
                .ok_or_else(|| format!("unknown kind of hole: <{name}>")),
        });
    }
    if name == "user" || name == "password" {
        return Some(Ok(Token::Value(name.to_owned())));
    }
    class(name).map(|class| Ok(Token::Hole(class, None)))
}

fn class(name: &str) -> Option<Class> {
    match name {
        "any" => Some(Class::Any),
        "num" | "uid" => Some(Class::Number),
        "word" => Some(Class::Word),
        _ => None,
    }
}

fn bytes_of(hex: &str) -> Result<Vec<u8>, String> {
    let digits = hex.as_bytes();
    if digits.len() % 2 != 0 {
        return Err(format!("<hex:{hex}>: odd number of digits"));
    }
    digits
        .chunks(2)
        .map(|pair| {
            let text = std::str::from_utf8(pair).unwrap_or_default();
            u8::from_str_radix(text, 16).map_err(|error| format!("<hex:{hex}>: {error}"))
        })
        .collect()
}

fn constant(token: &Token, bindings: &Bindings) -> Result<Vec<u8>, String> {
    let value = |name: &String| {
        bindings
            .get(name)
            .ok_or_else(|| format!("nothing is called {name}"))
    };
    match token {
        Token::Text(bytes) => Ok(bytes.clone()),
        Token::Value(name) => value(name).cloned(),
        Token::Length(name) => Ok(value(name)?.len().to_string().into_bytes()),
        Token::Hole(..) | Token::Other(_) => Err("a hole has no value".to_owned()),
    }
}

fn accepts(class: Class, byte: u8) -> bool {
    match class {
        Class::Any => true,
        Class::Number => byte.is_ascii_digit(),
        Class::Word => !byte.is_ascii_whitespace() && !b"()[]".contains(&byte),
    }
}

/// Leftmost, shortest match with backtracking; scripts are short.
fn walk(
    tokens: &[Token],
    text: &[u8],
    bindings: &Bindings,
    taken: &mut Vec<(String, Vec<u8>)>,
) -> Result<bool, String> {
    let Some((first, rest)) = tokens.split_first() else {
        return Ok(text.is_empty());
    };
    if let Token::Other(than) = first {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, tail) = text.split_at(digits);
        let value = constant(&Token::Value(than.clone()), bindings)?;
        return Ok(digits > 0 && number != value && walk(rest, tail, bindings, taken)?);
    }
    let Token::Hole(class, name) = first else {
        // A value may have been bound earlier in this very line.
        let bound = match first {
            Token::Value(name) => taken
                .iter()
                .find(|(own, _)| own == name)
                .map(|(_, value)| value.clone()),
            _ => None,
        };
        let expected = bound.map_or_else(|| constant(first, bindings), Ok)?;
        return match text.strip_prefix(expected.as_slice()) {
            Some(text) => walk(rest, text, bindings, taken),
            None => Ok(false),
        };
    };
    let least = usize::from(*class != Class::Any);
    for length in least..=text.len() {
        let (hole, tail) = text.split_at(length);
        if !hole.iter().all(|&byte| accepts(*class, byte)) {
            return Ok(false);
        }
        let before = taken.len();
        if let Some(name) = name {
            taken.push((name.clone(), hole.to_vec()));
        }
        if walk(rest, tail, bindings, taken)? {
            return Ok(true);
        }
        taken.truncate(before);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str, bindings: &mut Bindings) -> bool {
        Pattern::new(pattern)
            .unwrap()
            .matches(text.as_bytes(), bindings)
            .unwrap()
    }

    #[test]
    fn holes_match_what_their_name_says() {
        let none = &mut Bindings::new();
        assert!(matches("* <num> EXISTS", "* 12 EXISTS", none));
        assert!(!matches("* <num> EXISTS", "* EXISTS", none));
        assert!(matches("a OK <any>", "a OK ", none));
        assert!(matches("[<word>] <any>.", "[READ-ONLY] Done. Or so.", none));
        assert!(!matches("[<word>]", "[A B]", none));
        assert!(matches("<id@example> (<any>)", "<id@example> ()", none));
    }

    #[test]
    fn names_remember_and_compare() {
        let bindings = &mut Bindings::new();
        assert!(matches("<$a:num> <$a>", "5 5", bindings));
        assert!(matches("UID <$a>", "UID 5", bindings));
        assert!(!matches("UID <$a>", "UID 6", bindings));
        assert!(matches("UID <!a>.", "UID 55.", bindings));
        assert!(!matches("UID <!a>.", "UID 5.", bindings));
        assert_eq!(
            Pattern::new("x <$a> {<len:a>}").unwrap().fill(bindings),
            Ok(b"x 5 {1}".to_vec())
        );
    }

    #[test]
    fn bytes_can_be_written_in_hexadecimal() {
        let pattern = Pattern::new("a<hex:00ff>b").unwrap();
        assert_eq!(pattern.fill(&Bindings::new()), Ok(b"a\0\xffb".to_vec()));
        assert!(Pattern::new("<hex:0>").is_err());
    }
}
