//! The ports of services, from the system's list. It is read here and not asked for through the C library, which
//! could load libraries of the name services (see [`crate::auth::system`]).

use std::fs::File;
use std::io::Read;

/// Longest list that is read, in bytes.
const LIST_MAX: u64 = 1024 * 1024;

/// The port of the service `name` in `/etc/services`, whatever the transport; else `usual`.
pub fn port(name: &str, usual: u16) -> u16 {
    let mut list = String::new();
    let read =
        File::open("/etc/services").and_then(|file| file.take(LIST_MAX).read_to_string(&mut list));
    read.ok().and_then(|_| find(&list, name)).unwrap_or(usual)
}

fn find(list: &str, name: &str) -> Option<u16> {
    list.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let official = words.next()?;
        let (port, _) = words.next()?.split_once('/')?;
        let known = official == name || words.any(|alias| alias == name);
        port.parse().ok().filter(|_| known)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found_by_its_name_or_another() {
        let list = "# imap 1/tcp\nimap2\t143/tcp  imap # comment pop3\n\npop3 110/tcp\npop3 x\n";
        assert_eq!(find(list, "imap"), Some(143));
        assert_eq!(find(list, "pop3"), Some(110));
        assert_eq!(find(list, "imaps"), None);
        assert_eq!(port("no-such-service-here", 7), 7);
    }
}
