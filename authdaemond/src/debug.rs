//! `DEBUG_LOGIN` lines (contract: authdaemon §8). Everything a peer or a database said goes through [`Text`].

use std::fmt::{self, Write};

use courier::auth::account::{AccountInfo, Owner, Secret};
use courier::sys::log::{Level, log};

/// Longest debug text.
const TEXT_MAX: usize = 1023;

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debug(pub u8);

impl Debug {
    /// Logs when debugging is on.
    pub fn line(self, text: fmt::Arguments<'_>) {
        if self.0 > 0 {
            write_line(Level::Debug, text);
        }
    }

    /// Logs only at the level that shows passwords.
    pub fn secret(self, text: fmt::Arguments<'_>) {
        if self.0 > 1 {
            write_line(Level::Debug, text);
        }
    }

    /// The line about a successful login, which the original writes without a level.
    pub fn authenticated(self, account: &AccountInfo) {
        if self.0 > 0 {
            write_line(
                Level::Plain,
                format_args!("Authenticated: {}", Summary(account, "<null>")),
            );
        }
        if self.0 > 1 {
            let shown = |secret: &Option<Secret>| match secret {
                Some(Secret(text)) => Text(text).to_string(),
                None => "<null>".into(),
            };
            write_line(
                Level::Plain,
                format_args!(
                    "Authenticated: clearpasswd={}, passwd={}",
                    shown(&account.clear),
                    shown(&account.hash)
                ),
            );
        }
    }
}

fn write_line(level: Level, text: fmt::Arguments<'_>) {
    let mut line = text.to_string();
    // Text contains nothing but ASCII by now, so every byte is a boundary; otherwise leave it whole.
    if line.len() > TEXT_MAX && line.is_char_boundary(TEXT_MAX) {
        line.truncate(TEXT_MAX);
    }
    log(level, format_args!("{line}"));
}

/// Bytes for a log line: what is not printable ASCII becomes `.`.
#[derive(Clone, Copy)]
pub struct Text<'a>(pub &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0.iter().take(TEXT_MAX) {
            let printable = (0x20..0x7f).contains(&byte);
            f.write_char(if printable { char::from(byte) } else { '.' })?;
        }
        Ok(())
    }
}

/// As [`Text`], with a word for what is unset.
#[derive(Clone, Copy)]
pub struct Optional<'a>(pub Option<&'a [u8]>, pub &'static str);

impl fmt::Display for Optional<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => Text(text).fmt(f),
            None => f.write_str(self.1),
        }
    }
}

/// An account without its secrets, as the original lists it; the second field is the word for what is unset.
pub struct Summary<'a>(pub &'a AccountInfo, pub &'static str);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::os::unix::ffi::OsStrExt;
        let Self(account, unset) = self;
        let (name, uid) = match &account.owner {
            Some(Owner::System(name)) => (Some(name.as_slice()), None),
            Some(Owner::Virtual(uid)) => (None, Some(uid.to_string())),
            None => (None, None),
        };
        let gid = account.gid.map(|gid| gid.to_string());
        write!(
            f,
            "sysusername={}, sysuserid={}, sysgroupid={}, homedir={}, address={}, fullname={}, maildir={}, quota={}, options={}",
            Optional(name, unset),
            Optional(uid.as_deref().map(str::as_bytes), unset),
            Optional(gid.as_deref().map(str::as_bytes), unset),
            Optional(
                account
                    .home
                    .as_ref()
                    .map(|home| home.as_os_str().as_bytes()),
                unset
            ),
            Optional(account.address.as_deref(), unset),
            Optional(account.name.as_deref(), unset),
            Optional(
                account.maildir.as_ref().map(|maildir| maildir.as_bytes()),
                unset
            ),
            Optional(account.quota.as_deref(), unset),
            Optional(account.options.as_deref(), unset),
        )
    }
}
