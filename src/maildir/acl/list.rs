//! One access control list: its text, and who has which rights by it.

use super::rights::Rights;

/// Rights that the owner must keep.
const OWNER: &[u8] = b"al";

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The login name.
    pub user: Vec<u8>,
    /// The groups of the account's options.
    pub groups: Vec<Vec<u8>>,
}

/// What a change of a list must leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Minimum {
    /// `a` and `l` for the owner.
    Owner,
    /// All rights for administrators.
    Administrators,
}

/// The entries of a list: an identifier as it stands in the file, and its rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    entries: Vec<(Vec<u8>, Rights)>,
    /// The list of a server where lists have no function: the owner does not get `a`.
    fixed: bool,
}

impl Default for Acl {
    /// The list of an INBOX that has none.
    fn default() -> Self {
        Self {
            entries: vec![
                (b"owner".to_vec(), Rights::all()),
                (b"administrators".to_vec(), Rights::all()),
            ],
            fixed: false,
        }
    }
}

impl Acl {
    /// The list of every folder where lists are off (`disableshared`): the owner has all rights but `a`.
    pub fn fixed() -> Self {
        Self {
            entries: vec![(b"owner".to_vec(), Rights::new(b"ceilrstwx"))],
            fixed: true,
        }
    }

    /// Reads `IDENTIFIER SP RIGHTS` lines. Nothing is an error: a line without rights gives none, a repeated
    /// identifier replaces what it had. Administrators get what is always theirs.
    pub fn parse(text: &[u8]) -> Self {
        let mut acl = Self {
            entries: Vec::new(),
            fixed: false,
        };
        for line in text.split(|byte| *byte == b'\n') {
            let end = memchr::memchr(b' ', line).unwrap_or(line.len());
            let (identifier, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
            if !identifier.is_empty() {
                acl.set(identifier, Rights::new(rest.trim_ascii()));
            }
        }
        acl.grant_administrators();
        acl
    }

    /// The text of the file.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (identifier, rights) in &self.entries {
            text.extend_from_slice(identifier);
            text.push(b' ');
            text.extend_from_slice(rights.letters());
            text.push(b'\n');
        }
        text
    }

    /// Identifiers and rights, in the file's order.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &Rights)> {
        self.entries
            .iter()
            .map(|(identifier, rights)| (identifier.as_slice(), rights))
    }

    /// The rights that stand behind an identifier.
    pub fn get(&self, identifier: &[u8]) -> Option<&Rights> {
        self.entries()
            .find_map(|(known, rights)| (known == identifier).then_some(rights))
    }

    /// Gives an identifier these rights in place of what it had.
    pub fn set(&mut self, identifier: &[u8], rights: Rights) {
        match self
            .entries
            .iter_mut()
            .find(|(known, _)| known == identifier)
        {
            Some((_, old)) => *old = rights,
            None => self.entries.push((identifier.to_vec(), rights)),
        }
    }

    /// Removes an identifier.
    pub fn remove(&mut self, identifier: &[u8]) {
        self.entries.retain(|(known, _)| known != identifier);
    }

    /// Removes all identifiers.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The rights of `who`; `owner`: the folder is theirs. The union of all entries that mean them, less the union of
    /// all negative ones.
    pub fn rights(&self, who: &Identity, owner: bool) -> Rights {
        let rights = self.union(|identifier| is_meant(identifier, who, owner));
        if owner && !self.fixed {
            // Nobody can be locked out of the list of their own folder.
            return rights.with(&Rights::new(b"a"));
        }
        rights
    }

    /// The rights of whoever is all of these identifiers at once (`owner`, `user=NAME`, `group=NAME`).
    pub fn rights_of(&self, identifiers: &[&[u8]]) -> Rights {
        let names = |prefix: &[u8]| -> Vec<Vec<u8>> {
            identifiers
                .iter()
                .filter_map(|identifier| identifier.strip_prefix(prefix))
                .map(<[u8]>::to_vec)
                .collect()
        };
        let mut groups = names(b"group=");
        if identifiers.contains(&&b"administrators"[..]) {
            groups.push(b"administrators".to_vec());
        }
        let users = names(b"user=");
        let owner = identifiers.contains(&&b"owner"[..]);
        let rights = self.union(|identifier| {
            let mut users = users.iter().map(|user| Identity {
                user: user.clone(),
                groups: Vec::new(),
            });
            let all = Identity {
                user: Vec::new(),
                groups: groups.clone(),
            };
            is_meant(identifier, &all, owner) || users.any(|who| is_meant(identifier, &who, false))
        });
        if owner && !self.fixed {
            return rights.with(&Rights::new(b"a"));
        }
        rights
    }

    /// What the list fails to leave to those who must keep it, if anything; `owner` is the owner's login name.
    pub fn missing(&self, owner: &[u8]) -> Option<Minimum> {
        let nobody = Identity::default();
        let mut alone = |identifier: &[u8]| {
            matches!(identifier, b"owner") || is_meant(identifier, &nobody, false)
        };
        if !self.union(&mut alone).has_all(OWNER) {
            return Some(Minimum::Owner);
        }
        let named = Identity {
            user: owner.to_vec(),
            groups: Vec::new(),
        };
        let mut with_name = |identifier: &[u8]| is_meant(identifier, &named, true);
        if !self.union(&mut with_name).has_all(OWNER) {
            return Some(Minimum::Owner);
        }
        let administrators = Identity {
            user: Vec::new(),
            groups: vec![b"administrators".to_vec()],
        };
        let mut all = |identifier: &[u8]| is_meant(identifier, &administrators, false);
        if !self.union(&mut all).has_all(Rights::ALL) {
            return Some(Minimum::Administrators);
        }
        None
    }

    fn union(&self, mut meant: impl FnMut(&[u8]) -> bool) -> Rights {
        let mut positive = Rights::default();
        let mut negative = Rights::default();
        for (identifier, rights) in self.entries() {
            match identifier.strip_prefix(b"-") {
                Some(identifier) if meant(identifier) => negative = negative.with(rights),
                None if meant(identifier) => positive = positive.with(rights),
                _ => {}
            }
        }
        positive.without(&negative)
    }

    /// Administrators have all rights, whatever the file says, and cannot lose `l` and `a`.
    fn grant_administrators(&mut self) {
        const GROUP: &[u8] = b"group=administrators";
        const PLAIN: &[u8] = b"administrators";
        let identifier = if self.get(GROUP).is_some() {
            self.remove(PLAIN);
            GROUP
        } else {
            PLAIN
        };
        let rights = self.get(identifier).cloned().unwrap_or_default();
        self.set(identifier, rights.with(&Rights::all()));
        for negative in [&b"-administrators"[..], b"-group=administrators"] {
            let Some(rights) = self.get(negative) else {
                continue;
            };
            let rights = rights.without(&Rights::new(b"al"));
            if rights.is_empty() {
                self.remove(negative);
            } else {
                self.set(negative, rights);
            }
        }
    }
}

/// True if the identifier, without its minus, means `who`.
fn is_meant(identifier: &[u8], who: &Identity, owner: bool) -> bool {
    let in_group = |name: &[u8]| who.groups.iter().any(|group| group == name);
    match identifier {
        b"anyone" | b"anonymous" => true,
        b"owner" => owner,
        b"administrators" => in_group(b"administrators"),
        [b'u', b's', b'e', b'r', b'=', user @ ..] => !user.is_empty() && user == who.user,
        [b'g', b'r', b'o', b'u', b'p', b'=', group @ ..] => in_group(group),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(user: &str, groups: &[&str]) -> Identity {
        Identity {
            user: user.as_bytes().to_vec(),
            groups: groups
                .iter()
                .map(|group| group.as_bytes().to_vec())
                .collect(),
        }
    }

    #[test]
    fn rights_are_a_union_less_a_union() {
        let acl = Acl::parse(
            b"owner aceilrstwx\nanyone lr\n-user=mary r\nuser=john w\nadministrators aceilrstwx\n",
        );
        let rights = |who: &Identity, owner| {
            String::from_utf8_lossy(acl.rights(who, owner).letters()).into_owned()
        };
        assert_eq!(rights(&who("tom", &[]), false), "lr");
        assert_eq!(rights(&who("mary", &[]), false), "l");
        assert_eq!(rights(&who("john", &["x"]), false), "lrw");
        assert_eq!(rights(&who("x", &["administrators"]), false), "aceilrstwx");
        assert_eq!(rights(&who("joe", &[]), true), "aceilrstwx");
        let acl = Acl::parse(b"owner lr\n-owner a\n");
        assert_eq!(acl.rights(&who("joe", &[]), true).letters(), b"alr");
        // An empty name is nobody's.
        let acl = Acl::parse(b"user= lr\n");
        assert!(acl.rights(&who("", &[]), false).is_empty());
        assert_eq!(
            Acl::fixed().rights(&who("joe", &[]), true).letters(),
            b"ceilrstwx"
        );
    }

    #[test]
    fn odd_files_are_read() {
        let acl = Acl::parse(b"owner   lr\n\nbob\nowner wZ\n-administrators law\nx \xc3\xa9");
        let text = acl.to_text();
        assert_eq!(
            text,
            b"owner Zw\nbob \n-administrators w\nx \xa9\xc3\nadministrators aceilrstwx\n"
        );
        assert_eq!(Acl::parse(&text).to_text(), text);
        let acl = Acl::parse(b"administrators lr\ngroup=administrators lZ\n-administrators a\n");
        assert_eq!(acl.to_text(), b"group=administrators Zaceilrstwx\n");
    }

    #[test]
    fn the_owner_and_administrators_keep_their_minimum() {
        let missing = |text: &[u8]| Acl::parse(text).missing(b"joe");
        assert_eq!(missing(b"owner al\n"), None);
        assert_eq!(missing(b"anyone l\nowner a\n"), None);
        for text in [
            &b""[..],
            b"owner lr",
            b"owner al\n-anyone l",
            b"owner al\n-owner a",
            b"owner al\n-user=joe l",
            b"user=joe al",
        ] {
            assert_eq!(
                missing(text),
                Some(Minimum::Owner),
                "{}",
                text.escape_ascii()
            );
        }
        let mut acl = Acl::default();
        acl.set(b"administrators", Rights::new(b"lr"));
        assert_eq!(acl.missing(b"joe"), Some(Minimum::Administrators));
        assert_eq!(
            missing(b"owner al\n-group=administrators w"),
            Some(Minimum::Administrators)
        );
    }
}
