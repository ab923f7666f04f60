//! `authuserdb`: accounts from the two databases that makeuserdb compiles (contract: auth-modules §4.4).
//!
//! Both databases stay open and are reopened when the file under their name is another one; a lookup costs two
//! stat calls and a few reads.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use courier::auth::account::{AccountInfo, Owner, Secret};
use courier::sys::log::{Level, log, reason};
use courier_dbm::Reader;

use crate::cram::{self, Digest};
use crate::debug::{Debug, Optional, Summary, Text};
use crate::module::{Aborted, Change, Context, Module, Verdict};
use crate::password;
use crate::protocol::Auth;
use crate::userdb::record::{Assignment, field, number};
use crate::userdb::text::{self, Edit, Target};
use crate::userdb::{compile, database, shadow_database};

/// The module.
#[derive(Debug)]
pub struct Userdb {
    source: PathBuf,
    open: Database,
    secret: Database,
}

/// A password field: its name and the hash.
type Stored = (Vec<u8>, Vec<u8>);

/// Why a record could not be read.
#[derive(Debug)]
struct Down;

impl Userdb {
    /// For the source text `source`, whose databases lie beside it.
    pub fn new(source: &Path) -> Self {
        Self {
            source: source.to_owned(),
            open: Database::new(database(source)),
            secret: Database::new(shadow_database(source)),
        }
    }

    /// The account's record and what it says; `None` when there is none that anybody could become.
    fn find(&mut self, user: &[u8], debug: Debug) -> Result<Option<(Vec<u8>, AccountInfo)>, Down> {
        debug.line(format_args!("userdb: looking up '{}'", Text(user)));
        let Some(record) = self.open.get(user, debug)? else {
            return Ok(None);
        };
        let Some(info) = account(user, &record) else {
            debug.line(format_args!(
                "userdb: '{}' lacks a usable uid, gid or home",
                Text(user)
            ));
            return Ok(None);
        };
        let shown = |name: &str| Optional(field(&record, name.as_bytes()), "<unset>").to_string();
        debug.line(format_args!(
            "userdb: home={}, uid={}, gid={}, shell={}, mail={}, quota={}, gecos={}, options={}",
            shown("home"),
            shown("uid"),
            shown("gid"),
            shown("shell"),
            shown("mail"),
            shown("quota"),
            shown("gecos"),
            shown("options"),
        ));
        Ok(Some((record, info)))
    }

    /// The stored hash for `service` and the field that it is in.
    fn hash(&mut self, user: &[u8], service: &[u8], debug: Debug) -> Result<Option<Stored>, Down> {
        let Some(record) = self.secret.get(user, debug)? else {
            return Ok(None);
        };
        let own = [service, b"pw"].concat();
        for name in [own.as_slice(), b"systempw"] {
            if let Some(hash) = field(&record, name) {
                debug.line(format_args!("found {} in userdbshadow", Text(name)));
                return Ok(Some((name.to_vec(), hash.to_vec())));
            }
        }
        Ok(None)
    }

    fn login(
        &mut self,
        service: &[u8],
        user: &[u8],
        supplied: &[u8],
        context: &mut Context<'_>,
    ) -> Result<Verdict, Down> {
        let debug = context.debug;
        let Some((_, mut info)) = self.find(user, debug)? else {
            return Ok(Verdict::Reject);
        };
        let Some((_, hash)) = self.hash(user, service, debug)? else {
            debug.line(format_args!("userdb: no password available to compare"));
            return Ok(Verdict::Reject);
        };
        debug.line(format_args!("authuserdb: {}", Summary(&info, "<null>")));
        if !context.checker.verify(&hash, supplied) {
            if debug.0 > 1 {
                debug.secret(format_args!(
                    "supplied password '{}' does not match encrypted password '{}'",
                    Text(supplied),
                    Text(&hash)
                ));
            } else {
                debug.line(format_args!(
                    "supplied password does not match encrypted password"
                ));
            }
            return Ok(Verdict::Reject);
        }
        debug.line(format_args!("password matches successfully"));
        info.hash = Some(Secret(hash));
        info.clear = Some(Secret(supplied.to_vec()));
        Ok(Verdict::Accept(Box::new(info)))
    }

    fn cram(&mut self, auth: &Auth, debug: Debug) -> Result<Verdict, Down> {
        let Some(cram) = auth.cram() else {
            return Ok(Verdict::Reject);
        };
        let Some((_, mut info)) = self.find(&cram.user, debug)? else {
            return Ok(Verdict::Reject);
        };
        let secrets = self.secret.get(&cram.user, debug)?.unwrap_or_default();
        let [own, general] = hmac_fields(&auth.service, cram.digest);
        let Some(stored) = field(&secrets, &own).or_else(|| field(&secrets, &general)) else {
            debug.line(format_args!("userdb: no {} secret", Text(&general)));
            return Ok(Verdict::Reject);
        };
        if !cram::verify(cram.digest, stored, &cram.challenge, &cram.response) {
            debug.line(format_args!("userdb: wrong response to the challenge"));
            return Ok(Verdict::Reject);
        }
        // COMPAT: what Courier leaves out of its answer to CRAM.
        info.name = None;
        info.quota = None;
        Ok(Verdict::Accept(Box::new(info)))
    }

    /// The fields that change when `old` becomes `new`; empty when `old` is not a password of the account.
    fn replacements(
        &mut self,
        service: &[u8],
        user: &[u8],
        old: &[u8],
        new: &[u8],
        context: &mut Context<'_>,
    ) -> Result<Vec<Assignment>, Down> {
        let mut changes = Vec::new();
        if let Some((name, hash)) = self.hash(user, service, context.debug)? {
            if context.checker.verify(&hash, old) {
                if let Some(hash) = password::successor(&hash, new) {
                    changes.push((name, Some(hash)));
                }
            }
        }
        let secrets = self.secret.get(user, context.debug)?.unwrap_or_default();
        for digest in Digest::ALL {
            let before = cram::precompute(digest, old);
            for name in hmac_fields(service, digest) {
                if field(&secrets, &name)
                    .is_some_and(|stored| password::same(stored, before.as_bytes()))
                {
                    let after = cram::precompute(digest, new).into_bytes();
                    changes.push((name, Some(after)));
                }
            }
        }
        Ok(changes)
    }
}

/// The fields that may hold a CRAM secret, in the order in which they count.
fn hmac_fields(service: &[u8], digest: Digest) -> [Vec<u8>; 2] {
    let general = format!("hmac-{}pw", digest.name()).into_bytes();
    [[service, b"-", general.as_slice()].concat(), general]
}

/// What a record says. `None` unless it has a uid and gid, both not 0, and a home directory.
fn account(user: &[u8], record: &[u8]) -> Option<AccountInfo> {
    let bytes = |name: &[u8]| field(record, name).map(<[u8]>::to_vec);
    let id = |name: &[u8]| number(field(record, name)?).filter(|&number| number != 0);
    Some(AccountInfo {
        owner: Some(Owner::Virtual(id(b"uid")?)),
        gid: Some(id(b"gid")?),
        home: Some(OsString::from_vec(bytes(b"home").filter(|home| !home.is_empty())?).into()),
        address: Some(user.to_vec()),
        name: bytes(b"gecos"),
        maildir: bytes(b"mail").map(OsString::from_vec),
        quota: bytes(b"quota"),
        hash: None,
        clear: None,
        options: bytes(b"options"),
    })
}

impl Module for Userdb {
    fn name(&self) -> &'static str {
        "authuserdb"
    }

    fn authenticate(&mut self, auth: &Auth, context: &mut Context<'_>) -> Verdict {
        let verdict = match auth.login() {
            Some((user, password)) => self.login(&auth.service, user, password, context),
            None => self.cram(auth, context.debug),
        };
        verdict.unwrap_or(Verdict::TempFail)
    }

    fn lookup(&mut self, service: &[u8], user: &[u8], context: &mut Context<'_>) -> Verdict {
        let found = self.find(user, context.debug).and_then(|found| {
            let Some((_, mut info)) = found else {
                return Ok(None);
            };
            let hash = self.hash(user, service, context.debug)?;
            info.hash = hash.map(|(_, hash)| Secret(hash));
            Ok(Some(info))
        });
        Verdict::of(found)
    }

    fn change_password(
        &mut self,
        service: &[u8],
        user: &[u8],
        old: &[u8],
        new: &[u8],
        context: &mut Context<'_>,
    ) -> Change {
        // What the text cannot hold, and quotes, which the original's shell tools could not pass on.
        let forbidden = |text: &[u8]| {
            text.iter()
                .any(|&byte| byte < 0x20 || b"|='\"".contains(&byte))
        };
        if [service, user, old, new].into_iter().any(forbidden)
            || user.contains(&b'/')
            || new.is_empty()
        {
            return Change::NotMine;
        }
        let record = match self.open.get(user, context.debug) {
            Ok(Some(record)) => record,
            Ok(None) => return Change::NotMine,
            Err(Down) => return Change::Failed,
        };
        let changes = match self.replacements(service, user, old, new, context) {
            Ok(changes) if changes.is_empty() => return Change::NotMine,
            Ok(changes) => changes,
            Err(Down) => return Change::Failed,
        };
        let mut spec = field(&record, b"_").unwrap_or_default().to_vec();
        spec.extend_from_slice(user);
        let target = Target::within(&self.source, &spec);
        if let Err(error) = text::edit(&target, &Edit::Set(changes)) {
            log(
                Level::Err,
                format_args!("userdb: password not changed: {error}"),
            );
            return Change::Failed;
        }
        if let Err(error) = compile::compile(&self.source) {
            log(
                Level::Err,
                format_args!(
                    "userdb: password changed in the text, but makeuserdb failed: {error}"
                ),
            );
            return Change::Failed;
        }
        Change::Changed
    }

    fn idle(&mut self) {
        self.open.close();
        self.secret.close();
    }

    fn enumerate(
        &mut self,
        context: &mut Context<'_>,
        each: &mut dyn FnMut(AccountInfo),
    ) -> Result<(), Aborted> {
        let Some(reader) = self.open.reader(context.debug).map_err(|Down| Aborted)? else {
            return Ok(());
        };
        for entry in reader.records() {
            let (name, record) = entry.map_err(|error| {
                log(Level::Err, format_args!("userdb: {error}"));
                Aborted
            })?;
            if let Some(info) = account(&name, &record) {
                each(info);
            }
        }
        Ok(())
    }
}

/// A database file that others replace at any time.
#[derive(Debug)]
struct Database {
    path: PathBuf,
    /// The open file and what identifies it.
    current: Option<(Identity, Reader)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Identity {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Database {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            current: None,
        }
    }

    fn close(&mut self) {
        self.current = None;
    }

    fn get(&mut self, key: &[u8], debug: Debug) -> Result<Option<Vec<u8>>, Down> {
        let Some(reader) = self.reader(debug)? else {
            return Ok(None);
        };
        let value = reader.get(key).map_err(|error| {
            log(Level::Err, format_args!("userdb: {error}"));
            Down
        });
        if value.is_err() {
            // A damaged file is looked at afresh next time.
            self.close();
        }
        value
    }

    /// The database as it is now; `None` when there is none, which means no accounts.
    fn reader(&mut self, debug: Debug) -> Result<Option<&Reader>, Down> {
        let identity = match std::fs::metadata(&self.path) {
            Ok(metadata) => Identity::of(&metadata),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                debug.line(format_args!("userdb: no {}", self.path.display()));
                self.close();
                return Ok(None);
            }
            Err(error) => {
                log(
                    Level::Err,
                    format_args!("userdb: {}: {}", self.path.display(), reason(&error)),
                );
                self.close();
                return Err(Down);
            }
        };
        if self
            .current
            .as_ref()
            .is_none_or(|(open, _)| *open != identity)
        {
            self.close();
            let reader = Reader::open(&self.path).map_err(|error| {
                log(Level::Err, format_args!("userdb: {error}"));
                Down
            })?;
            debug.line(format_args!("userdb: opened {}", self.path.display()));
            // If the file was replaced between the two calls, the next request sees another identity and reopens.
            self.current = Some((identity, reader));
        }
        Ok(self.current.as_ref().map(|(_, reader)| reader))
    }
}
