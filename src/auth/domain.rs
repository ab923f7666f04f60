//! The default domain of login names: `DEFDOMAIN` and `DOMAINSEP` (contract: login §5.4).

use std::os::unix::ffi::OsStringExt;

/// What is appended to a login name that has no domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultDomain {
    domain: Vec<u8>,
    separators: Vec<u8>,
}

impl DefaultDomain {
    /// From the two settings; `None` when `domain` is empty. Without `separators` the first byte of `domain` is
    /// the one that marks a name as complete.
    pub fn new(domain: &[u8], separators: Option<&[u8]>) -> Option<Self> {
        let first = domain.get(..1)?;
        Some(Self {
            domain: domain.to_vec(),
            separators: separators.unwrap_or(first).to_vec(),
        })
    }

    /// From `DEFDOMAIN` and `DOMAINSEP` in the environment.
    pub fn from_env() -> Option<Self> {
        let variable = |name| std::env::var_os(name).map(OsStringExt::into_vec);
        Self::new(&variable("DEFDOMAIN")?, variable("DOMAINSEP").as_deref())
    }

    /// `user` itself when it contains a separator, else with the domain appended.
    pub fn complete(&self, user: &[u8]) -> Vec<u8> {
        let mut name = user.to_vec();
        if !user.iter().any(|byte| self.separators.contains(byte)) {
            name.extend_from_slice(&self.domain);
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_without_a_separator_get_the_domain() {
        let domain = DefaultDomain::new(b"@example.com", None).unwrap();
        assert_eq!(domain.complete(b"bob"), b"bob@example.com");
        assert_eq!(domain.complete(b"bob@x"), b"bob@x");
        assert_eq!(domain.complete(b"bob%x"), b"bob%x@example.com");
        let domain = DefaultDomain::new(b"@example.com", Some(b"%@")).unwrap();
        assert_eq!(domain.complete(b"bob%x"), b"bob%x");
        assert_eq!(DefaultDomain::new(b"", Some(b"@")), None);
        let always = DefaultDomain::new(b".x", Some(b"")).unwrap();
        assert_eq!(always.complete(b"a.b"), b"a.b.x");
    }
}
