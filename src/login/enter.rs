//! Entering a session into the roster, and the limit of sessions per account.

use std::io::ErrorKind;

use super::logline::{Field, Place};
use super::settings::{Protocol, Settings};
use crate::config::paths::Paths;
use crate::roster::{self, Entered, Entry, GROUP, Service};
use crate::sys::log::{Level, log, reason};

/// Enters the session that this process is about to become; false if the account has as many as it may, which is
/// logged. A roster that cannot be used keeps nobody out.
pub(super) fn enter(paths: &Paths, settings: &Settings, account: &[u8]) -> bool {
    let limit = settings.account_limit.min(GROUP);
    if !settings.roster && limit == 0 {
        return true;
    }
    let service = match settings.protocol {
        Protocol::Imap => Service::Imap,
        Protocol::Pop3 => Service::Pop3,
    };
    let (ip, port) = (&settings.remote_ip, &settings.remote_port);
    let session = Entry::now(service, settings.tls, account, ip, port);
    let path = roster::path(paths);
    let complain = |level, text: &str| log(level, format_args!("{}: {text}", path.display()));
    match roster::enter(&path, &session, limit) {
        Ok(Entered::Yes) => true,
        Ok(Entered::Full) => {
            complain(Level::Debug, "no room for another session");
            true
        }
        Ok(Entered::Limit(count)) => {
            // Not the words of a wrong password, which has others shut the address out.
            let (user, place) = (Field(account), Place(settings));
            log(
                Level::Info,
                format_args!("LIMIT, user={user}, {place}, sessions={count}"),
            );
            false
        }
        Err(error) => {
            // Where nobody counts on it, a place that does not exist or is not ours is no news.
            let usual = matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::PermissionDenied
            );
            if limit > 0 {
                complain(
                    Level::Err,
                    &format!("{}; MAXPERACCOUNT is not checked", reason(&error)),
                );
            } else if !usual {
                complain(Level::Warning, &reason(&error));
            }
            true
        }
    }
}
