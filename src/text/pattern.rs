//! Mailbox patterns of LIST and LSUB (RFC 3501 section 6.3.8): `*` matches anything, `%` anything but the hierarchy
//! separator, everything else itself.

/// The hierarchy separator of every namespace of ours.
pub const SEPARATOR: u8 = b'.';

/// A parsed pattern. The cost of matching is bounded by the *name's* length (at worst its cube, in practice linear),
/// never by the number of wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    /// Number of literal bytes: a shorter name cannot match.
    literals: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `%`
    Level,
    /// `*`
    Any,
}

impl Pattern {
    /// Reads a pattern. Every sequence of bytes is one; adjacent wildcards are merged.
    #[must_use]
    pub fn new(pattern: &[u8]) -> Self {
        let mut tokens: Vec<Token> = Vec::with_capacity(pattern.len());
        let mut literals = 0;
        for &byte in pattern {
            let token = match byte {
                b'*' => Token::Any,
                b'%' => Token::Level,
                _ => {
                    literals += 1;
                    tokens.push(Token::Byte(byte));
                    continue;
                }
            };
            match tokens.last_mut() {
                Some(Token::Any) => {}
                Some(last @ Token::Level) => *last = token,
                _ => tokens.push(token),
            }
        }
        Self { tokens, literals }
    }

    /// Whether the pattern has no wildcards, so that it names one mailbox.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.literals == self.tokens.len()
    }

    /// Whether the whole of `name` matches. Bytes are compared exactly.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        // Backtracking needs the last `*` only, and the last `%` after it: an earlier one can give nothing that the
        // later one could not. `%` may not run over a separator.
        if self.literals > name.len() {
            return false;
        }
        let (mut token, mut at) = (0, 0);
        let mut any: Option<(usize, usize)> = None;
        let mut level: Option<(usize, usize)> = None;
        loop {
            let step = match (self.tokens.get(token), name.get(at)) {
                (Some(Token::Any), _) => {
                    token += 1;
                    any = Some((token, at));
                    level = None;
                    continue;
                }
                (Some(Token::Level), _) => {
                    token += 1;
                    level = Some((token, at));
                    continue;
                }
                (None, None) => return true,
                (Some(Token::Byte(expected)), Some(byte)) => expected == byte,
                // The name ended first: no later start can match what needs more bytes than are left, but a `%`
                // or `*` that took less might not exist either; growing them only shortens the rest.
                (Some(Token::Byte(_)), None) => return false,
                (None, Some(_)) => false,
            };
            if step {
                token += 1;
                at += 1;
                continue;
            }
            if let Some((after, from)) = level {
                if name.get(from).is_some_and(|&byte| byte != SEPARATOR) {
                    level = Some((after, from + 1));
                    token = after;
                    at = from + 1;
                    continue;
                }
                level = None;
            }
            let Some((after, from)) = any else {
                return false;
            };
            if from >= name.len() {
                return false;
            }
            any = Some((after, from + 1));
            token = after;
            at = from + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, SEPARATOR};
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    /// The definition, taken literally.
    fn reference(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|n| reference(rest, &name[n..])),
            Some((b'%', rest)) => (0..=name.len())
                .take_while(|&n| !name[..n].contains(&SEPARATOR))
                .any(|n| reference(rest, &name[n..])),
            Some((byte, rest)) => name.first() == Some(byte) && reference(rest, &name[1..]),
        }
    }

    #[test]
    fn examples() {
        for (pattern, name, expected) in [
            ("*", "INBOX.a.b", true),
            ("%", "INBOX", true),
            ("%", "INBOX.a", false),
            ("INBOX.%", "INBOX.a", true),
            ("INBOX.%", "INBOX.a.b", false),
            ("INBOX.*b", "INBOX.a.b", true),
            ("%.%", "INBOX.a", true),
            ("*%", "a.b", true),
            ("", "", true),
            ("", "a", false),
            ("inbox", "INBOX", false),
        ] {
            assert_eq!(
                Pattern::new(pattern.as_bytes()).matches(name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
        assert!(Pattern::new(b"INBOX.a").is_literal());
        assert!(!Pattern::new(b"INBOX.%").is_literal());
    }

    #[test]
    fn hostile_patterns_take_bounded_time() {
        let name = [b'a'; 1000];
        let start = Instant::now();
        for unit in ["*a", "%a", "*%a", "%*a", "a*"] {
            let mut pattern = unit.repeat(999);
            pattern.push('b');
            assert!(!Pattern::new(pattern.as_bytes()).matches(&name));
            assert!(
                !Pattern::new(format!("*{}", "%a".repeat(400) + "b").as_bytes()).matches(&name)
            );
        }
        assert!(start.elapsed() < Duration::from_secs(2));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn agrees_with_the_definition(pattern in "[ab.*%]{0,8}", name in "[ab.]{0,10}") {
            prop_assert_eq!(
                Pattern::new(pattern.as_bytes()).matches(name.as_bytes()),
                reference(pattern.as_bytes(), name.as_bytes())
            );
        }
    }
}
