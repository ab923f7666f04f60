//! The environment as the login programs read it and hand it on: a copy that can be changed, because the process's
//! own must not be (and need not be, since exec gets it explicitly).

use std::ffi::{CString, NulError};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;

use crate::sys::endpoint;

/// `NAME=value` pairs in the order in which they were inherited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Environment {
    /// A copy of this process's environment.
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars_os()
                .map(|(name, value)| (name.into_vec(), value.into_vec()))
                .collect(),
        }
    }

    /// A copy of this process's environment; if it does not say who is at the other end of `connection`, the
    /// connection is asked (inetd sets no variables).
    pub fn of_connection(connection: BorrowedFd<'_>) -> Self {
        let mut environment = Self::of_process();
        let known = endpoint::variables(connection, |name| !environment.text(name).is_empty());
        for (name, value) in known {
            environment.set(name, value.as_bytes());
        }
        environment
    }

    /// All names and values.
    pub fn all(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// The value of `name`, if it is set.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.variables
            .iter()
            .find(|(known, _)| known == name.as_bytes())
            .map(|(_, value)| value.as_slice())
    }

    /// The value of `name`; empty when it is not set.
    pub fn text(&self, name: &str) -> &[u8] {
        self.get(name).unwrap_or_default()
    }

    /// The number that the value of `name` begins with, as C's atoi reads it; 0 when there is none.
    pub fn number(&self, name: &str) -> i64 {
        leading_number(self.text(name))
    }

    /// True when the value of `name` begins with `y` or `Y`.
    pub fn yes(&self, name: &str) -> bool {
        matches!(self.text(name).first(), Some(b'y' | b'Y'))
    }

    /// Sets `name` to `value`, once, whatever was inherited.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.variables.retain(|(known, _)| known != name.as_bytes());
        self.variables
            .push((name.as_bytes().to_vec(), value.to_vec()));
    }

    /// Sets `name` to `value` unless it is set and not empty.
    pub fn set_default(&mut self, name: &str, value: &[u8]) {
        if self.text(name).is_empty() {
            self.set(name, value);
        }
    }

    /// Removes every variable whose name begins with `prefix`.
    pub fn remove_prefix(&mut self, prefix: &str) {
        self.variables
            .retain(|(name, _)| !name.starts_with(prefix.as_bytes()));
    }

    /// The form that exec takes.
    ///
    /// # Errors
    /// A value contains a NUL, which only a corrupt answer of authdaemond can bring.
    pub fn for_exec(&self) -> Result<Vec<CString>, NulError> {
        self.variables
            .iter()
            .map(|(name, value)| CString::new([name.as_slice(), b"=", value.as_slice()].concat()))
            .collect()
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            environment.set(name, value.as_bytes());
        }
        environment
    }
}

/// What C's atoi makes of `text`, held at the limits of i64.
pub fn leading_number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let number =
        digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0_i64, |number, byte| {
                number
                    .saturating_mul(10)
                    .saturating_add(i64::from(byte.saturating_sub(b'0')))
            });
    if negative {
        number.saturating_neg()
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_replaces_every_inherited_copy() {
        let mut environment = Environment {
            variables: vec![
                (b"A".to_vec(), b"1".to_vec()),
                (b"B".to_vec(), b"2".to_vec()),
                (b"A".to_vec(), b"3".to_vec()),
            ],
        };
        environment.set("A", b"4");
        assert_eq!(
            environment.for_exec().unwrap(),
            [c"B=2".to_owned(), c"A=4".to_owned()]
        );
    }

    #[test]
    fn numbers_and_flags_are_read_as_c_programs_read_them() {
        for (text, number) in [
            ("", 0),
            ("1", 1),
            (" 12x", 12),
            ("-3", -3),
            ("yes", 0),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(leading_number(text.as_bytes()), number, "{text}");
        }
        let environment = Environment::from([("A", "YES"), ("B", "no"), ("C", "")]);
        assert!(environment.yes("A") && !environment.yes("B") && !environment.yes("C"));
        assert!(!environment.yes("D"));
    }
}
