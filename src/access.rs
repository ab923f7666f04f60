//! Access-file values and keys: what the records of `imapaccess` say about a peer (contract: couriertcpd 3).
//!
//! Knows neither sockets nor database files: couriertcpd looks up [`remote_keys`] one after another, the first
//! record found decides.

use std::net::Ipv6Addr;

/// One `NAME=VALUE` that a record adds to the environment of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Never empty, no `=`, no NUL.
    pub name: Vec<u8>,
    /// May be empty; no NUL.
    pub value: Vec<u8>,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Close the connection.
    Deny,
    /// Serve it, with these variables.
    Allow(Vec<Assignment>),
}

impl Verdict {
    /// Reads the value of a record. Anything that starts with `deny` denies; an optional leading `allow` is
    /// skipped; the rest is a comma list of `NAME=VALUE` or `NAME`. Quotes protect commas and are removed, blanks
    /// around an item too. Items that cannot be environment variables are left out.
    pub fn parse(value: &[u8]) -> Self {
        if value.starts_with(b"deny") {
            return Self::Deny;
        }
        let list = value.strip_prefix(b"allow").unwrap_or(value);
        let mut assignments = Vec::new();
        let mut item = Vec::new();
        let mut quote = None;
        for &byte in list {
            match (byte, quote) {
                (b'\'' | b'"', None) => quote = Some(byte),
                (_, Some(open)) if open == byte => quote = None,
                (b',', None) => {
                    assignments.extend(assignment(&item));
                    item.clear();
                }
                _ => item.push(byte),
            }
        }
        assignments.extend(assignment(&item));
        Self::Allow(assignments)
    }
}

fn assignment(item: &[u8]) -> Option<Assignment> {
    let item = item.trim_ascii();
    if item.contains(&0) {
        return None;
    }
    let (name, value) = match item.iter().position(|&byte| byte == b'=') {
        Some(equals) => {
            let (name, rest) = item.split_at(equals);
            (name, rest.get(1..).unwrap_or_default())
        }
        None => (item, &b""[..]),
    };
    (!name.is_empty()).then(|| Assignment {
        name: name.to_vec(),
        value: value.to_vec(),
    })
}

/// The full key of an address: `192.0.2.7` for IPv4 and IPv4-mapped addresses, else a colon and eight groups of
/// four lower-case hexadecimal digits, `:2001:0db8:…:0001`.
pub fn address_key(address: Ipv6Addr) -> String {
    match address.to_ipv4_mapped() {
        Some(v4) => v4.to_string(),
        None => address
            .segments()
            .iter()
            .map(|group| format!(":{group:04x}"))
            .collect(),
    }
}

/// The keys to try for a peer's address, most specific first, `*` last.
pub fn remote_keys(address: Ipv6Addr) -> Vec<Vec<u8>> {
    let mut keys = Vec::with_capacity(9);
    push_prefixes(&mut keys, address_key(address));
    keys.push(b"*".to_vec());
    keys
}

/// The keys to try for our own end of the connection: with the port, without, shorter prefixes, any address with
/// this port, `*`.
pub fn local_keys(address: Ipv6Addr, port: u16) -> Vec<Vec<u8>> {
    let mut keys = Vec::with_capacity(11);
    push_prefixes(&mut keys, format!("{}.{port}", address_key(address)));
    keys.push(format!("*.{port}").into_bytes());
    keys.push(b"*".to_vec());
    keys
}

/// Pushes `key` and what is left after cutting at the last dot (the last colon when there is no dot), again and
/// again.
fn push_prefixes(keys: &mut Vec<Vec<u8>>, key: String) {
    let mut key = key;
    while !key.is_empty() {
        let cut = key.rfind('.').or_else(|| key.rfind(':')).unwrap_or(0);
        keys.push(key.clone().into_bytes());
        key.truncate(cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(list: &[(&str, &str)]) -> Verdict {
        Verdict::Allow(
            list.iter()
                .map(|(name, value)| Assignment {
                    name: name.as_bytes().to_vec(),
                    value: value.as_bytes().to_vec(),
                })
                .collect(),
        )
    }

    #[test]
    fn values_read_as_the_original_reads_them() {
        assert_eq!(Verdict::parse(b"deny"), Verdict::Deny);
        assert_eq!(Verdict::parse(b"denyX,A=1"), Verdict::Deny);
        assert_eq!(Verdict::parse(b"allow"), allow(&[]));
        assert_eq!(Verdict::parse(b""), allow(&[]));
        assert_eq!(Verdict::parse(b"1"), allow(&[("1", "")]));
        assert_eq!(
            Verdict::parse(b"allow,FOO,BAR=\"a,b c\""),
            allow(&[("FOO", ""), ("BAR", "a,b c")])
        );
        assert_eq!(Verdict::parse(b"X=1,,Y"), allow(&[("X", "1"), ("Y", "")]));
        assert_eq!(
            Verdict::parse(b"allow, A = 1 ,'B'='x\"y'"),
            allow(&[("A ", " 1"), ("B", "x\"y")])
        );
        // Seen with the original: the five letters are skipped, whatever follows.
        assert_eq!(Verdict::parse(b"allow FOO=1"), allow(&[("FOO", "1")]));
    }

    #[test]
    fn items_that_cannot_be_variables_are_left_out() {
        assert_eq!(Verdict::parse(b"allow,=x,A\0B=1"), allow(&[]));
        assert_eq!(Verdict::parse(b"allow,\"A=1"), allow(&[("A", "1")]));
    }

    #[test]
    fn an_ipv4_peer_is_looked_up_by_octets() {
        let address = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(
            remote_keys(address),
            [&b"192.0.2.7"[..], b"192.0.2", b"192.0", b"192", b"*"]
        );
    }

    #[test]
    fn an_ipv6_peer_is_looked_up_by_groups() {
        let keys = remote_keys("2001:db8::1".parse().unwrap());
        assert_eq!(keys[0], b":2001:0db8:0000:0000:0000:0000:0000:0001");
        assert_eq!(keys[1], b":2001:0db8:0000:0000:0000:0000:0000");
        assert_eq!(keys[7], b":2001");
        assert_eq!(keys[8], b"*");
        assert_eq!(keys.len(), 9);
    }

    #[test]
    fn the_local_end_is_looked_up_with_its_port_first() {
        let keys = local_keys("::ffff:192.0.2.7".parse().unwrap(), 143);
        assert_eq!(
            keys,
            [
                &b"192.0.2.7.143"[..],
                b"192.0.2.7",
                b"192.0.2",
                b"192.0",
                b"192",
                b"*.143",
                b"*"
            ]
        );
    }
}
