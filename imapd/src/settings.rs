//! What imapd takes from its environment: configuration, and what imaplogin says about the session.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use courier::login::confine::Wanted;
use courier::maildir::{FolderName, Identity};

use crate::capability::{append_limit, is_on};

/// Settings of one session (contract: imapd 2, config 3).
#[derive(Debug, Clone)]
pub struct Settings {
    /// `IMAPLOGINTAG`: the client's tag of LOGIN; `None` in a pre-authenticated session.
    pub login_tag: Option<Vec<u8>>,
    /// `IMAP_TLS`: the connection is encrypted.
    pub tls: bool,
    /// `PROTOCOL`, for the log; `IMAP` if unset.
    pub protocol: Vec<u8>,
    /// `OPTIONS`: account options from authdaemond.
    pub options: AccountOptions,
    /// `IMAP_KEYWORDS` non-zero: clients may set keywords.
    pub keywords: bool,
    /// `IMAP_CHECK_ALL_FOLDERS`: `\Marked` and `\Unmarked` for every listed folder.
    pub check_all_folders: bool,
    /// `IMAP_DISABLETHREADSORT` positive: SORT and THREAD are refused.
    pub no_thread_sort: bool,
    /// `IMAP_OBSOLETE_CLIENT`: `\Noinferiors` in place of `\HasNoChildren`, no `\HasChildren`.
    pub obsolete_client: bool,
    /// `IMAP_MAILBOX_SANITY_CHECK`: the maildir must belong to the session's uid and gid.
    pub sanity_check: bool,
    /// `IMAP_IDLE_TIMEOUT`: seconds between polls of IDLE where the kernel cannot tell of changes.
    pub idle_poll: Duration,
    /// `IMAP_EMPTYTRASH`, raw.
    pub empty_trash: Option<Vec<u8>>,
    /// `IMAP_TRASHFOLDERNAME`, `Trash` if unset or impossible.
    pub trash: FolderName,
    /// `IMAP_MOVE_EXPUNGE_TO_TRASH`: expunged messages go to the trash folder.
    pub expunge_to_trash: bool,
    /// `IMAP_LOG_DELETIONS`: a log line per expunged message.
    pub log_deletions: bool,
    /// `OUTBOX`: name on disk (`.Outbox`) of the folder whose messages are to be sent.
    pub outbox: Option<Vec<u8>>,
    /// `IMAP_SANDBOX`: whether the session confines itself.
    pub sandbox: Wanted,
    /// `IMAP_APPENDLIMIT`: octets of the largest message that APPEND takes; `None` for no limit.
    pub append_limit: Option<u64>,
    /// `IMAP_SHAREDINDEXFILE`: the accounts below `#shared.`.
    pub shared_index: Option<Vec<u8>>,
    /// `IMAP_SHAREDMUNGENAMES`: their names with backslashes where others have blanks.
    pub munge_shared_names: bool,
    /// `IMAP_CLIENT_WORKAROUNDS`: what long-dead clients need.
    pub client_workarounds: bool,
    /// `IMAPDEBUGFILE`: a file of the maildir that records the session if it exists.
    pub debug_file: Option<Vec<u8>>,
    /// `IMAP_ID_FIELDS`: 1 version, 2 operating system, 4 its release.
    pub id_fields: u32,
}

/// The comma list `name=value` in `OPTIONS`.
#[derive(Debug, Clone, Default)]
pub struct AccountOptions(Vec<u8>);

impl Settings {
    /// From this process's environment.
    pub fn from_environment() -> Self {
        let bytes = |name: &str| env::var_os(name).map(OsString::into_vec);
        let filled = |name: &str| bytes(name).filter(|value| !value.is_empty());
        let number = |name: &str| filled(name).map(|value| leading_number(&value));
        let on = |name: &str| number(name).is_some_and(|value| value != 0);
        Self {
            login_tag: bytes("IMAPLOGINTAG"),
            tls: on("IMAP_TLS"),
            protocol: filled("PROTOCOL").unwrap_or_else(|| b"IMAP".to_vec()),
            options: AccountOptions(bytes("OPTIONS").unwrap_or_default()),
            keywords: on("IMAP_KEYWORDS"),
            check_all_folders: on("IMAP_CHECK_ALL_FOLDERS"),
            no_thread_sort: on("IMAP_DISABLETHREADSORT"),
            obsolete_client: on("IMAP_OBSOLETE_CLIENT"),
            sanity_check: number("IMAP_MAILBOX_SANITY_CHECK").is_none_or(|value| value != 0),
            idle_poll: Duration::from_secs(match number("IMAP_IDLE_TIMEOUT") {
                None | Some(0) => 60,
                Some(seconds) => u64::from(seconds),
            }),
            empty_trash: filled("IMAP_EMPTYTRASH"),
            trash: filled("IMAP_TRASHFOLDERNAME")
                .and_then(|name| FolderName::new(&name).ok())
                .or_else(|| FolderName::new(b"Trash").ok())
                .unwrap_or_default(),
            expunge_to_trash: on("IMAP_MOVE_EXPUNGE_TO_TRASH"),
            log_deletions: filled("IMAP_LOG_DELETIONS")
                .is_some_and(|value| value.first() != Some(&b'0')),
            outbox: filled("OUTBOX"),
            sandbox: Wanted::from_setting(bytes("IMAP_SANDBOX").as_deref()),
            append_limit: filled("IMAP_APPENDLIMIT").and_then(|value| append_limit(&value)),
            shared_index: filled("IMAP_SHAREDINDEXFILE"),
            munge_shared_names: on("IMAP_SHAREDMUNGENAMES"),
            client_workarounds: on("IMAP_CLIENT_WORKAROUNDS"),
            debug_file: filled("IMAPDEBUGFILE"),
            id_fields: number("IMAP_ID_FIELDS").unwrap_or(0),
        }
    }

    /// The maildir: the program's argument, else `MAILDIR`, else `./Maildir`.
    pub fn maildir(argument: Option<OsString>) -> PathBuf {
        argument
            .or_else(|| env::var_os("MAILDIR").filter(|path| !path.is_empty()))
            .map_or_else(|| PathBuf::from("./Maildir"), PathBuf::from)
    }

    /// An environment variable as text, for [`crate::capability::capability`].
    pub fn text(name: &str) -> Option<String> {
        env::var_os(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }
}

impl Settings {
    /// Whom access control lists mean: the login name as it is (`fallback` where the session has none) and the groups.
    pub fn identity(&self, fallback: &str) -> Identity {
        let user = env::var_os("AUTHENTICATED")
            .map(OsString::into_vec)
            .filter(|user| !user.is_empty())
            .unwrap_or_else(|| fallback.as_bytes().to_vec());
        let groups = self.options.values("group").map(<[u8]>::to_vec).collect();
        Identity { user, groups }
    }
}

impl AccountOptions {
    /// The values of every entry of this name.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|&byte| byte == b',').filter_map(move |entry| {
            let entry = entry.trim_ascii_start();
            entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
        })
    }

    /// True if the option is set to a number that is not 0, or to something that begins with `t`, `T`, `y` or `Y`.
    /// The first entry of a name counts (contract: authdaemon 7).
    pub fn is_set(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| {
            matches!(value.first(), Some(b't' | b'T' | b'y' | b'Y'))
                || is_on(&String::from_utf8_lossy(value))
        })
    }

    /// The value of the first entry of this name.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.0.split(|&byte| byte == b',').find_map(|entry| {
            let entry = entry.trim_ascii_start();
            entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
        })
    }
}

/// The decimal number that a setting begins with; 0 if none, all ones if it is too large.
fn leading_number(value: &[u8]) -> u32 {
    value
        .trim_ascii_start()
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_u32, |number, &digit| {
            number
                .saturating_mul(10)
                .saturating_add(u32::from(digit.wrapping_sub(b'0')))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_options() {
        let options =
            AccountOptions(b"group=x,disableimap=1,disableimap=0,wbnodsn=Yes,a=".to_vec());
        assert!(options.is_set("disableimap"));
        assert!(options.is_set("wbnodsn"));
        for name in ["group", "a", "disable", "none", "imap"] {
            assert!(!options.is_set(name), "{name}");
        }
    }

    #[test]
    fn numbers_are_read_as_atoi_reads_them() {
        assert_eq!(leading_number(b" 12x"), 12);
        assert_eq!(leading_number(b"x"), 0);
        assert_eq!(leading_number(b"99999999999"), u32::MAX);
    }
}
