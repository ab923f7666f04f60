//! What authldaprc says (contract: auth-modules §8).

use std::ffi::OsString;
use std::fmt;

use crate::rcfile::RcFile;
use crate::wire::{Frame, Kind};

/// Everything the module needs to know.
#[derive(Debug)]
pub struct Settings {
    /// Goes to the helper first.
    pub connection: Frame,
    /// Goes into the environment of the helper: settings of the LDAP library of the original, from authdaemonrc.
    pub environment: Vec<(&'static str, OsString)>,
    /// Where to search.
    pub base: String,
    /// Whether passwords are checked by binding with them.
    pub auth_bind: bool,
    /// The attribute with account names.
    pub mail: String,
    /// Another condition, in parentheses.
    pub filter: Option<String>,
    /// Appended to account names without `@`.
    pub domain: Option<String>,
    /// uid of every account.
    pub glob_uid: Option<u32>,
    /// gid of every account.
    pub glob_gid: Option<u32>,
    /// Attributes with uid and gid.
    pub uid: Option<String>,
    /// As [`uid`](Self::uid).
    pub gid: Option<String>,
    /// The attribute with the home directory.
    pub home: String,
    /// Before every home directory.
    pub root: Option<String>,
    /// Attributes for what their names say.
    pub maildir: Option<String>,
    /// In place of it for the service `courier`.
    pub delivery: Option<String>,
    /// See [`maildir`](Self::maildir).
    pub quota: Option<String>,
    /// See [`maildir`](Self::maildir).
    pub name: Option<String>,
    /// See [`maildir`](Self::maildir).
    pub clear: Option<String>,
    /// See [`maildir`](Self::maildir).
    pub hash: Option<String>,
    /// Attributes that become options, with the names of these.
    pub options: Vec<(String, String)>,
    /// Finds all accounts.
    pub enumerate: String,
    /// Turns a mail address into something to search for.
    pub map: Option<EmailMap>,
}

/// A search before the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailMap {
    /// A filter with `@user@` and `@realm@`.
    pub filter: String,
    /// Where.
    pub base: String,
    /// The attribute that has the result.
    pub attribute: String,
    /// The attribute that the result is searched in.
    pub mail: String,
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsError {
    /// This setting is missing or empty.
    Missing(&'static str),
    /// Its value is not UTF-8.
    Text(&'static str),
    /// Its value is neither a number from 1 up nor the name of a system account or group that has one.
    Id(&'static str),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "{name} is not set"),
            Self::Text(name) => write!(f, "{name} is not UTF-8"),
            Self::Id(name) => write!(f, "{name} is neither a number from 1 up nor a known name"),
        }
    }
}

/// The settings that are the helper's business.
const CONNECTION: [&str; 8] = [
    "LDAP_URI",
    "LDAP_PROTOCOL_VERSION",
    "LDAP_INITBIND",
    "LDAP_BINDDN",
    "LDAP_BINDPW",
    "LDAP_TIMEOUT",
    "LDAP_DEREF",
    "LDAP_TLS",
];

/// The settings of the environment that have a meaning here.
const ENVIRONMENT: [&str; 5] = [
    "LDAPTLS_CACERT",
    "LDAPTLS_CACERTDIR",
    "LDAPTLS_CERT",
    "LDAPTLS_KEY",
    "LDAPTLS_REQCERT",
];

impl Settings {
    /// Reads `file`.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn new(file: &RcFile) -> Result<Self, SettingsError> {
        let text = |name| match file.filled(name).map(std::str::from_utf8) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value.to_owned())),
            Some(Err(_)) => Err(SettingsError::Text(name)),
        };
        let needed = |name| text(name)?.ok_or(SettingsError::Missing(name));
        needed("LDAP_URI")?;
        if is_on(file, "LDAP_INITBIND") {
            needed("LDAP_BINDDN")?;
            needed("LDAP_BINDPW")?;
        }
        let mail = text("LDAP_MAIL")?.unwrap_or_else(|| "mail".to_owned());
        let filter = text("LDAP_FILTER")?.map(parenthesized);
        let user = glob_user(text("LDAP_GLOB_UID")?.as_deref())?;
        let glob_gid = match text("LDAP_GLOB_GID")? {
            Some(group) => Some(glob_group(&group)?),
            None => user.and_then(|(_, gid)| gid),
        };
        let map = match text("LDAP_EMAILMAP")? {
            Some(filter) => Some(EmailMap {
                filter: parenthesized(filter),
                base: needed("LDAP_EMAILMAP_BASEDN")?,
                attribute: text("LDAP_EMAILMAP_ATTRIBUTE")?.unwrap_or_else(|| "handle".to_owned()),
                mail: text("LDAP_EMAILMAP_MAIL")?.unwrap_or_else(|| mail.clone()),
            }),
            None => None,
        };
        Ok(Self {
            connection: connection(file),
            environment: ENVIRONMENT
                .into_iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?)))
                .collect(),
            base: needed("LDAP_BASEDN")?,
            auth_bind: is_on(file, "LDAP_AUTHBIND"),
            enumerate: text("LDAP_ENUMERATE_FILTER")?
                .map(parenthesized)
                .or_else(|| filter.clone())
                .unwrap_or_else(|| format!("({mail}=*)")),
            mail,
            filter,
            domain: text("LDAP_DOMAIN")?,
            glob_uid: user.map(|(uid, _)| uid),
            glob_gid,
            uid: text("LDAP_UID")?,
            gid: text("LDAP_GID")?,
            home: text("LDAP_HOMEDIR")?.unwrap_or_else(|| "homeDir".to_owned()),
            root: text("LDAP_MAILROOT")?,
            maildir: text("LDAP_MAILDIR")?,
            delivery: text("LDAP_DEFAULTDELIVERY")?,
            quota: text("LDAP_MAILDIRQUOTA")?,
            name: text("LDAP_FULLNAME")?,
            clear: text("LDAP_CLEARPW")?,
            hash: text("LDAP_CRYPTPW")?,
            options: text("LDAP_AUXOPTIONS")?
                .map(|list| pairs(&list))
                .unwrap_or_default(),
            map,
        })
    }

    /// All attributes that are of interest.
    pub fn attributes(&self) -> Vec<&str> {
        let mut names = vec![self.mail.as_str(), self.home.as_str()];
        let optional = [
            &self.uid,
            &self.gid,
            &self.maildir,
            &self.delivery,
            &self.quota,
            &self.name,
            &self.clear,
            &self.hash,
        ];
        names.extend(optional.into_iter().flatten().map(String::as_str));
        names.extend(self.options.iter().map(|(attribute, _)| attribute.as_str()));
        names
    }
}

/// Whether a setting begins with a number other than 0.
fn is_on(file: &RcFile, name: &str) -> bool {
    file.number(name).is_some_and(|number| number != 0)
}

fn connection(file: &RcFile) -> Frame {
    let mut fields: Vec<&[u8]> = Vec::new();
    for name in CONNECTION {
        if let Some(value) = file.filled(name) {
            fields.push(name.as_bytes());
            fields.push(value);
        }
    }
    Frame::new(Kind::Open, fields)
}

fn parenthesized(filter: String) -> String {
    if filter.starts_with('(') {
        filter
    } else {
        format!("({filter})")
    }
}

/// `attr=optname,attr=optname`.
fn pairs(list: &str) -> Vec<(String, String)> {
    list.split(',')
        .filter_map(|item| item.split_once('='))
        .map(|(attribute, option)| (attribute.trim().to_owned(), option.trim().to_owned()))
        .collect()
}

/// uid of a number or a name, and the gid of the latter.
fn glob_user(text: Option<&str>) -> Result<Option<(u32, Option<u32>)>, SettingsError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let known = match text.parse() {
        Ok(number) => Some((number, None)),
        Err(_) => nix::unistd::User::from_name(text)
            .ok()
            .flatten()
            .map(|user| (user.uid.as_raw(), Some(user.gid.as_raw()))),
    };
    match known {
        Some((uid, gid)) if uid != 0 => Ok(Some((uid, gid))),
        _ => Err(SettingsError::Id("LDAP_GLOB_UID")),
    }
}

fn glob_group(text: &str) -> Result<u32, SettingsError> {
    let known = text.parse().ok().or_else(|| {
        let group = nix::unistd::Group::from_name(text).ok().flatten();
        group.map(|group| group.gid.as_raw())
    });
    known
        .filter(|&gid| gid != 0)
        .ok_or(SettingsError::Id("LDAP_GLOB_GID"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings, SettingsError> {
        let text = format!("LDAP_URI ldap://x\nLDAP_BASEDN o=x\n{text}\n##NAME: MARKER:0\n");
        Settings::new(&RcFile::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn defaults_are_the_originals() {
        let ours = settings("").unwrap();
        assert_eq!(
            (ours.mail.as_str(), ours.home.as_str()),
            ("mail", "homeDir")
        );
        assert_eq!(ours.enumerate, "(mail=*)");
        assert!(!ours.auth_bind);
        let ours =
            settings("LDAP_FILTER objectClass=x\nLDAP_AUXOPTIONS a=disableimap,b=group").unwrap();
        assert_eq!(ours.filter.as_deref(), Some("(objectClass=x)"));
        assert_eq!(ours.enumerate, "(objectClass=x)");
        assert_eq!(ours.attributes(), ["mail", "homeDir", "a", "b"]);
    }

    #[test]
    fn numbers_for_everybody_are_each_their_own() {
        let ours = settings("LDAP_GLOB_UID 5000\nLDAP_GLOB_GID 6000").unwrap();
        assert_eq!((ours.glob_uid, ours.glob_gid), (Some(5000), Some(6000)));
        let ours = settings("LDAP_GLOB_UID daemon").unwrap();
        assert!(ours.glob_uid.is_some() && ours.glob_gid.is_some());
        for text in [
            "LDAP_GLOB_UID 0",
            "LDAP_GLOB_UID root",
            "LDAP_GLOB_GID 0",
            "LDAP_GLOB_UID no such",
        ] {
            assert!(settings(text).is_err(), "{text}");
        }
        assert_eq!(
            settings("LDAP_INITBIND 1").unwrap_err(),
            SettingsError::Missing("LDAP_BINDDN")
        );
        assert_eq!(
            settings("LDAP_EMAILMAP (a=@user@)").unwrap_err(),
            SettingsError::Missing("LDAP_EMAILMAP_BASEDN")
        );
    }
}
