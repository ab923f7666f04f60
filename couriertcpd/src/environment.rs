//! The environment of a session: couriertcpd's own, with variables set over it.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

/// `NAME=value` strings, each name once.
#[derive(Debug, Clone, Default)]
pub struct Environment(Vec<CString>);

impl Environment {
    /// Takes over `variables`, except those named in `without`.
    pub fn new(variables: impl Iterator<Item = (OsString, OsString)>, without: &[&str]) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            if without.iter().any(|unwanted| name == *unwanted) {
                continue;
            }
            environment.set(&name.into_vec(), &value.into_vec());
        }
        environment
    }

    /// Sets `name`, over an older value if there is one. A name or value with a NUL cannot be passed on and is
    /// left out.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        let Ok(entry) = CString::new([name, b"=", value].concat()) else {
            return;
        };
        match self.position(name) {
            Some(slot) => *slot = entry,
            None => self.0.push(entry),
        }
    }

    /// The value of `name`.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.0
            .iter()
            .find_map(|entry| value_of(entry.to_bytes(), name))
    }

    /// For exec.
    pub fn entries(&self) -> &[CString] {
        &self.0
    }

    fn position(&mut self, name: &[u8]) -> Option<&mut CString> {
        self.0
            .iter_mut()
            .find(|entry| value_of(entry.to_bytes(), name).is_some())
    }
}

fn value_of<'a>(entry: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    entry.strip_prefix(name)?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_inherited_filtered_and_overridden() {
        let inherited = [("A", "1"), ("TCPREMOTEIP", "x"), ("AB", "2")]
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let mut environment = Environment::new(inherited.into_iter(), &["TCPREMOTEIP"]);
        assert_eq!(environment.get(b"TCPREMOTEIP"), None);
        environment.set(b"A", b"3=4");
        environment.set(b"C", b"");
        environment.set(b"D", b"a\0b");
        assert_eq!(environment.get(b"A"), Some(&b"3=4"[..]));
        assert_eq!(environment.get(b"C"), Some(&b""[..]));
        assert_eq!(environment.get(b"D"), None);
        assert_eq!(
            environment.entries(),
            [c"A=3=4", c"AB=2", c"C="].map(CString::from)
        );
    }
}
