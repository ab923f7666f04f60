//! The account option `mailhost`: the servers of an account, and whether one of them is this server.

use std::net::{IpAddr, SocketAddr};

use super::super::environment::Environment;
use super::super::settings::Settings;
use crate::auth::options;

/// Most servers of one account.
const HOSTS_MAX: usize = 16;

/// One server: `NAME`, `NAME:PORT`, an address, or an address in brackets with or without `:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// As the option has it.
    pub text: Vec<u8>,
    /// Name or address.
    pub name: Vec<u8>,
    /// The port, where one is given.
    pub port: Option<u16>,
}

/// The servers that `options` name, in order: the values of `mailhost`, however often it stands there. A comma ends an
/// option, so the further names of a list are options themselves; what follows a `mailhost`, has no value and looks
/// like a host is taken for one of them.
pub fn of_account(options: &[u8]) -> Vec<Host> {
    let mut hosts = Vec::new();
    let mut in_list = false;
    for (key, value) in options::items(options) {
        let text = if key == b"mailhost" {
            in_list = true;
            value
        } else if in_list && value.is_empty() && key.iter().any(|byte| b".:".contains(byte)) {
            key
        } else {
            in_list = false;
            continue;
        };
        if !text.is_empty() && hosts.len() < HOSTS_MAX {
            hosts.push(Host::parse(text));
        }
    }
    hosts
}

impl Host {
    /// Reads one. What makes no sense is a name that nobody will find.
    pub fn parse(text: &[u8]) -> Self {
        let (name, port) = split(text).unwrap_or((text, None));
        Self {
            text: text.to_vec(),
            name: name.to_vec(),
            port,
        }
    }

    /// Whether this is the name of this server: PROXY_HOSTNAME or what the system calls itself, which the name stands
    /// for if the system cannot tell. With a port it is another server, perhaps on the same machine.
    pub fn is_me(&self, settings: &Settings) -> bool {
        self.port.is_none()
            && (same_name(&self.name, &settings.proxy_hostname)
                || nix::unistd::gethostname()
                    .map_or(true, |ours| same_name(&self.name, ours.as_encoded_bytes())))
    }
}

/// Host names differ in neither case nor a dot at the end.
fn same_name(one: &[u8], other: &[u8]) -> bool {
    let bare = |name: &[u8]| name.strip_suffix(b".").unwrap_or(name).to_ascii_lowercase();
    !one.is_empty() && bare(one) == bare(other)
}

fn split(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    if let Some(rest) = text.strip_prefix(b"[") {
        let end = rest.iter().position(|&byte| byte == b']')?;
        let (address, behind) = rest.split_at(end);
        return match behind.strip_prefix(b"]")? {
            b"" => Some((address, None)),
            port => Some((address, Some(number(port.strip_prefix(b":")?)?))),
        };
    }
    let mut colons = text.iter().enumerate().filter(|&(_, &byte)| byte == b':');
    match (colons.next(), colons.next()) {
        (Some((colon, _)), None) => {
            let (name, port) = text.split_at(colon);
            Some((name, Some(number(port.get(1..)?)?)))
        }
        // None, or the many of an address.
        _ => Some((text, None)),
    }
}

fn number(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port != 0)
}

/// Where the client's connection came in, as far as couriertcpd says so.
pub fn own_address(environment: &Environment) -> Option<SocketAddr> {
    let text = |name| std::str::from_utf8(environment.text(name)).ok();
    let address: IpAddr = text("TCPLOCALIP")?.parse().ok()?;
    let port = text("TCPLOCALPORT")?.parse().ok()?;
    Some(SocketAddr::new(address.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, Option<u16>) {
        let host = Host::parse(text.as_bytes());
        (String::from_utf8(host.name).unwrap(), host.port)
    }

    #[test]
    fn a_host_may_have_a_port() {
        for (text, name, port) in [
            ("mail.example.com", "mail.example.com", None),
            ("mail.example.com:1143", "mail.example.com", Some(1143)),
            ("192.0.2.1:65535", "192.0.2.1", Some(65535)),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("[2001:db8::1]:143", "2001:db8::1", Some(143)),
            // Nonsense stays one name.
            ("mail:", "mail:", None),
            ("mail:0", "mail:0", None),
            ("mail:+5", "mail:+5", None),
            ("mail:65536", "mail:65536", None),
            ("[::1", "[::1", None),
            ("[::1]x", "[::1]x", None),
        ] {
            assert_eq!(parsed(text), (name.to_owned(), port), "{text}");
        }
    }

    #[test]
    fn a_list_goes_on_behind_the_commas() {
        let names = |options: &str| -> Vec<String> {
            of_account(options.as_bytes())
                .into_iter()
                .map(|host| String::from_utf8(host.text).unwrap())
                .collect()
        };
        assert_eq!(names("disablepop3=0,mailhost=a"), ["a"]);
        assert_eq!(
            names("mailhost=a.example,b.example:99,disableimap"),
            ["a.example", "b.example:99"]
        );
        assert_eq!(names("mailhost=a,mailhost=b,x=1,c.example"), ["a", "b"]);
        assert_eq!(names("a.example,mailhost=,,b.example"), ["b.example"]);
        assert_eq!(names("mailhosts=a,mailhost"), [""; 0]);
        assert_eq!(names(&"mailhost=a,".repeat(99)).len(), HOSTS_MAX);
    }

    #[test]
    fn the_connections_own_end_is_known() {
        let environment =
            Environment::from([("TCPLOCALIP", "::ffff:127.0.0.1"), ("TCPLOCALPORT", "143")]);
        assert_eq!(
            own_address(&environment),
            Some("127.0.0.1:143".parse().unwrap())
        );
        assert_eq!(own_address(&Environment::default()), None);
    }
}
