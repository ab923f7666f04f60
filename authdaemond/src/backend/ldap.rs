//! `authldap`: accounts in a directory (contract: auth-modules §8). Filters are made here; a helper program asks the
//! server.

pub mod settings;

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use courier::auth::account::{AccountInfo, Owner, Secret};
use courier::config::paths::Paths;
use courier::sys::log::{Level, log};

use self::settings::{EmailMap, Settings};
use super::configured::{Configured, Down};
use super::helper::{Answer, Helper, RunAs, Trouble};
use super::id::id;
use super::secrets::{Question, Secrets};
use crate::debug::{Debug, Summary, Text};
use crate::module::{Aborted, Change, Context, Module, Verdict};
use crate::password;
use crate::protocol::Auth;
use crate::rcfile::RcFile;
use crate::wire::{Field, Frame, Kind};

const NAME: &str = "authldap";
/// Most entries of a search for one account; a second one is one too many.
const ENTRIES: &str = "2";
/// Most entries of a list.
const LISTED: &str = "1000000";

/// The module.
#[derive(Debug)]
pub struct Ldap {
    configured: Configured<Settings>,
    helper: Helper,
    run_as: Option<RunAs>,
}

/// An account of the directory.
#[derive(Debug)]
struct Found {
    /// The name of its entry.
    dn: Vec<u8>,
    info: AccountInfo,
    secrets: Secrets,
}

impl Ldap {
    /// With its settings in `rc`.
    pub fn new(rc: &Path, paths: &Paths) -> Self {
        Self {
            configured: Configured::new(NAME, rc),
            helper: Helper::new(NAME, paths),
            run_as: RunAs::mail_user(paths),
        }
    }

    /// The settings, read again if they are new, and the helper running.
    fn ready(&mut self) -> Result<(&Settings, &mut Helper), Down> {
        let read = |file: &RcFile| Settings::new(file).map_err(|error| error.to_string());
        if self.configured.refresh(read)? {
            self.helper.stop();
        }
        let settings = self.configured.get()?;
        if !self.helper.is_running() {
            self.helper
                .start(&settings.connection, &settings.environment, self.run_as)?;
        }
        Ok((settings, &mut self.helper))
    }

    fn find(&mut self, service: &[u8], user: &[u8], debug: Debug) -> Result<Option<Found>, Down> {
        self.helper.begin();
        let (settings, helper) = self.ready()?;
        let (attribute, value) = match &settings.map {
            Some(map) if user.contains(&b'@') => match mapped(map, helper, user, debug)? {
                Some(value) => (&map.mail, value),
                None => return Ok(None),
            },
            _ => (
                &settings.mail,
                with_domain(user, settings.domain.as_deref()),
            ),
        };
        let own = format!("({attribute}={})", escaped(&value));
        let filter = match &settings.filter {
            Some(filter) => format!("(&{filter}{own})"),
            None => own,
        };
        let attributes = settings.attributes();
        let Some(row) = only(helper, &settings.base, &filter, &attributes, debug)? else {
            return Ok(None);
        };
        let entry = Entry(&row);
        match account(settings, &entry, user, service) {
            Ok(info) => {
                debug.line(format_args!("{NAME}: {}", Summary(&info, "<null>")));
                let value = |name: &Option<String>| {
                    let value = entry.one(name.as_deref()?)?;
                    (!value.is_empty()).then(|| value.to_vec())
                };
                Ok(Some(Found {
                    dn: entry.dn().to_vec(),
                    info,
                    secrets: Secrets {
                        hash: value(&settings.hash),
                        clear: value(&settings.clear),
                        prefer_clear: true,
                    },
                }))
            }
            Err(why) => {
                log(
                    Level::Err,
                    format_args!("authldaplib: refuse to authenticate {}: {why}", Text(user)),
                );
                Err(Down)
            }
        }
    }

    /// Whether the server takes `password` for that of `dn`.
    fn bind(
        &mut self,
        dn: &[u8],
        password: &[u8],
        context: &mut Context<'_>,
    ) -> Result<bool, Down> {
        let (_, helper) = self.ready()?;
        context.checker.already_spent();
        match helper.ask(&Frame::new(Kind::Bind, [dn, password]), 0) {
            Ok(_) => Ok(true),
            Err(Trouble::Refused(why)) => {
                context
                    .debug
                    .line(format_args!("{NAME}: bind failed: {}", Text(&why)));
                Ok(false)
            }
            Err(Trouble::Unavailable) => Err(Down),
        }
    }

    fn authenticate(&mut self, auth: &Auth, context: &mut Context<'_>) -> Result<Verdict, Down> {
        let question = Question::of(auth);
        let Some(user) = question.user() else {
            return Ok(Verdict::Reject);
        };
        let Some(found) = self.find(&auth.service, user, context.debug)? else {
            return Ok(Verdict::Reject);
        };
        if !self.configured.get()?.auth_bind {
            return Ok(question.decide(found.info, &found.secrets, context));
        }
        let Question::Login(_, password) = question else {
            return Ok(Verdict::Reject);
        };
        if !self.bind(&found.dn, password, context)? {
            return Ok(Verdict::Reject);
        }
        let mut info = found.info;
        info.hash = found.secrets.hash.map(Secret);
        info.clear = Some(Secret(password.to_vec()));
        Ok(Verdict::Accept(Box::new(info)))
    }

    fn change(
        &mut self,
        service: &[u8],
        user: &[u8],
        old: &[u8],
        new: &[u8],
        context: &mut Context<'_>,
    ) -> Result<Change, Down> {
        let Some(found) = self.find(service, user, context.debug)? else {
            return Ok(Change::NotMine);
        };
        let by_bind = self.configured.get()?.auth_bind;
        let right = if by_bind {
            self.bind(&found.dn, old, context)?
        } else {
            found.secrets.verify(old, context)
        };
        if !right {
            return Ok(Change::NotMine);
        }
        // Where nobody may read the hash it is written in a form that directory servers check themselves.
        let stored = found.secrets.hash.as_deref().unwrap_or(b"{CRYPT}");
        let Some(new_hash) = password::successor(stored, new) else {
            return Ok(Change::Failed);
        };
        let (settings, helper) = self.ready()?;
        let hidden = by_bind && found.secrets.clear.is_none() && found.secrets.hash.is_none();
        let mut fields = vec![Some(found.dn), by_bind.then(|| old.to_vec())];
        let mut set = |name: &Option<String>, there: bool, value: &[u8]| {
            if let Some(name) = name.as_ref().filter(|_| there) {
                fields.push(Some(name.clone().into_bytes()));
                fields.push(Some(value.to_vec()));
            }
        };
        set(&settings.clear, found.secrets.clear.is_some(), new);
        set(
            &settings.hash,
            found.secrets.hash.is_some() || hidden,
            &new_hash,
        );
        if fields.len() == 2 {
            log(
                Level::Err,
                format_args!("{NAME}: no password attribute to change"),
            );
            return Ok(Change::Failed);
        }
        let request = Frame {
            kind: Kind::Modify,
            fields,
        };
        match helper.ask(&request, 0) {
            Ok(_) => Ok(Change::Changed),
            Err(trouble) => {
                trouble.complain(NAME);
                Ok(Change::Failed)
            }
        }
    }
}

/// The one entry that a search finds; none if it finds several.
fn only(
    helper: &mut Helper,
    base: &str,
    filter: &str,
    attributes: &[&str],
    debug: Debug,
) -> Result<Option<Vec<Field>>, Down> {
    debug.line(format_args!("{NAME}: search {base} for {filter}"));
    let fields = [base, filter, ENTRIES]
        .into_iter()
        .chain(attributes.iter().copied());
    let request = Frame::new(Kind::Search, fields.map(str::as_bytes));
    let Answer { mut rows, .. } = helper.ask(&request, 2).map_err(|trouble| {
        trouble.complain(NAME);
        Down
    })?;
    match rows.len() {
        1 => Ok(rows.pop()),
        count => {
            debug.line(format_args!("{NAME}: {count} entries found, not one"));
            Ok(None)
        }
    }
}

/// What a mail address is searched for as.
fn mapped(
    map: &EmailMap,
    helper: &mut Helper,
    user: &[u8],
    debug: Debug,
) -> Result<Option<Vec<u8>>, Down> {
    let at = user
        .iter()
        .position(|&byte| byte == b'@')
        .unwrap_or(user.len());
    let (name, realm) = user.split_at(at);
    let realm = realm.get(1..).unwrap_or_default();
    let filter = filled(&map.filter, &escaped(name), &escaped(realm));
    let row = only(helper, &map.base, &filter, &[map.attribute.as_str()], debug)?;
    Ok(row.and_then(|row| Entry(&row).one(&map.attribute).map(<[u8]>::to_vec)))
}

/// `filter` with its two variables replaced, once: what users type is not looked at again.
fn filled(filter: &str, user: &str, realm: &str) -> String {
    let mut text = String::new();
    let mut rest = filter;
    while let Some(at) = rest.find('@') {
        let (before, behind) = rest.split_at(at);
        text.push_str(before);
        if let Some(behind) = behind.strip_prefix("@user@") {
            text.push_str(user);
            rest = behind;
        } else if let Some(behind) = behind.strip_prefix("@realm@") {
            text.push_str(realm);
            rest = behind;
        } else {
            text.push('@');
            rest = behind.get(1..).unwrap_or_default();
        }
    }
    text.push_str(rest);
    text
}

fn with_domain(user: &[u8], domain: Option<&str>) -> Vec<u8> {
    match domain {
        Some(domain) if !user.contains(&b'@') => [user, b"@", domain.as_bytes()].concat(),
        _ => user.to_vec(),
    }
}

/// A value for a filter (RFC 4515 section 3): whatever could end it, and whatever is not ASCII, as digits.
fn escaped(value: &[u8]) -> String {
    value.iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_graphic() && !b"*()\\".contains(&byte) || byte == b' ' {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\{byte:02x}");
        }
        text
    })
}

/// A row of a search: the entry's name, then attributes and values by turns.
struct Entry<'a>(&'a [Field]);

impl<'a> Entry<'a> {
    fn dn(&self) -> &'a [u8] {
        self.0
            .first()
            .and_then(Option::as_deref)
            .unwrap_or_default()
    }

    /// The first value of an attribute, whose name is written in any case. More of them are worth a warning.
    fn one(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.0.get(1..)?.chunks_exact(2).filter_map(|pair| {
            let [Some(attribute), Some(value)] = pair else {
                return None;
            };
            attribute
                .eq_ignore_ascii_case(name.as_bytes())
                .then_some(value.as_slice())
        });
        let first = values.next();
        if values.next().is_some() {
            log(
                Level::Warning,
                format_args!(
                    "{NAME}: {} has several values of {name}; the first is used",
                    Text(self.dn())
                ),
            );
        }
        first
    }

    fn filled(&self, name: &str) -> Option<&'a [u8]> {
        self.one(name).filter(|value| !value.is_empty())
    }
}

/// uid or gid: that of the entry, if an attribute is configured and there, or everybody's.
fn own_id(entry: &Entry<'_>, attribute: Option<&str>, everybody: Option<u32>) -> Option<u32> {
    match attribute.and_then(|name| entry.filled(name)) {
        Some(value) => id(value),
        None => everybody,
    }
}

fn account(
    settings: &Settings,
    entry: &Entry<'_>,
    user: &[u8],
    service: &[u8],
) -> Result<AccountInfo, &'static str> {
    let uid = own_id(entry, settings.uid.as_deref(), settings.glob_uid);
    let gid = own_id(entry, settings.gid.as_deref(), settings.glob_gid);
    let home = entry.filled(&settings.home).ok_or("no home directory")?;
    let home = match &settings.root {
        Some(root) => [root.as_bytes(), b"/", home].concat(),
        None => home.to_vec(),
    };
    if !home.starts_with(b"/") {
        return Err("the home directory is not an absolute path");
    }
    let text = |name: &Option<String>| entry.filled(name.as_deref()?).map(<[u8]>::to_vec);
    let maildir = match &settings.delivery {
        Some(_) if service == b"courier" => &settings.delivery,
        _ => &settings.maildir,
    };
    let options: Vec<Vec<u8>> = settings
        .options
        .iter()
        .filter_map(|(attribute, option)| {
            let value = entry.filled(attribute)?;
            Some([option.as_bytes(), b"=", value].concat())
        })
        .collect();
    Ok(AccountInfo {
        owner: Some(Owner::Virtual(uid.ok_or("uid is not a number from 1 up")?)),
        gid: Some(gid.ok_or("gid is not a number from 1 up")?),
        home: Some(OsString::from_vec(home).into()),
        address: Some(user.to_vec()),
        name: text(&settings.name),
        maildir: text(maildir).map(OsString::from_vec),
        quota: text(&settings.quota),
        hash: None,
        clear: None,
        options: (!options.is_empty()).then(|| options.join(&b',')),
    })
}

impl Module for Ldap {
    fn name(&self) -> &'static str {
        NAME
    }

    fn authenticate(&mut self, auth: &Auth, context: &mut Context<'_>) -> Verdict {
        self.authenticate(auth, context)
            .unwrap_or(Verdict::TempFail)
    }

    fn lookup(&mut self, service: &[u8], user: &[u8], context: &mut Context<'_>) -> Verdict {
        let found = self.find(service, user, context.debug);
        Verdict::of(found.map(|found| found.map(|found| found.secrets.shown_in(found.info))))
    }

    fn change_password(
        &mut self,
        service: &[u8],
        user: &[u8],
        old: &[u8],
        new: &[u8],
        context: &mut Context<'_>,
    ) -> Change {
        self.change(service, user, old, new, context)
            .unwrap_or(Change::Failed)
    }

    fn idle(&mut self) {
        self.helper.stop();
    }

    fn enumerate(
        &mut self,
        context: &mut Context<'_>,
        each: &mut dyn FnMut(AccountInfo),
    ) -> Result<(), Aborted> {
        let debug = context.debug;
        self.helper.begin();
        let (settings, helper) = self.ready().map_err(|Down| Aborted)?;
        let fields = [settings.base.as_str(), settings.enumerate.as_str(), LISTED]
            .into_iter()
            .chain(settings.attributes());
        let request = Frame::new(Kind::Search, fields.map(str::as_bytes));
        let listed = helper.list(&request, |row| {
            let entry = Entry(&row);
            let Some(name) = entry.filled(&settings.mail) else {
                return;
            };
            match account(settings, &entry, name, b"") {
                Ok(info) => each(info),
                Err(why) => {
                    debug.line(format_args!("{NAME}: '{}' not listed: {why}", Text(name)));
                }
            }
        });
        listed.map_err(|trouble| {
            trouble.complain(NAME);
            Aborted
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_type_stays_a_value() {
        assert_eq!(escaped(b"a b@c.d-e"), "a b@c.d-e");
        assert_eq!(
            escaped(b"*)(uid=*))(|(\\\0\xff\xc3\xa9"),
            "\\2a\\29\\28uid=\\2a\\29\\29\\28|\\28\\5c\\00\\ff\\c3\\a9"
        );
        assert_eq!(
            filled("(&(u=@user@)(r=@realm@)(x=a@b))", "@realm@", "r"),
            "(&(u=@realm@)(r=r)(x=a@b))"
        );
    }

    #[test]
    fn the_domain_is_for_names_without_one() {
        assert_eq!(with_domain(b"a", Some("x.y")), b"a@x.y");
        assert_eq!(with_domain(b"a@b", Some("x.y")), b"a@b");
        assert_eq!(with_domain(b"a", None), b"a");
    }
}
