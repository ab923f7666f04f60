//! Accounts of a test server and their maildirs, written straight to disk as a delivery agent would.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use nix::unistd::{Gid, Uid, chown, getgid, getuid};
use sha2::Digest;

use crate::Error;
use crate::process::write_file;

/// One account of a test server.
#[derive(Debug, Clone)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// Clear password.
    pub password: String,
    /// Its uid and gid (one number): unused by anybody else when we are root, else our own.
    pub uid: u32,
    /// Its gid.
    pub gid: u32,
    /// Home directory; the maildir is `Maildir` in it.
    pub home: PathBuf,
    /// The maildir as userdb names it, relative to the home or absolute.
    pub maildir_field: String,
    /// Account options, `name=value,...`; may be empty.
    pub options: String,
}

impl Account {
    /// An account below `homes` with an empty maildir.
    ///
    /// # Errors
    /// A directory could not be made or given away.
    pub fn create(
        homes: &Path,
        name: &str,
        password: &str,
        ids: (u32, u32),
    ) -> Result<Self, Error> {
        let account = Self {
            name: name.to_owned(),
            password: password.to_owned(),
            uid: ids.0,
            gid: ids.1,
            home: homes.join(name),
            maildir_field: "Maildir".to_owned(),
            options: String::new(),
        };
        account.directory(&account.home)?;
        account.make_maildir(&account.maildir())?;
        Ok(account)
    }

    /// The maildir.
    pub fn maildir(&self) -> PathBuf {
        self.home.join("Maildir")
    }

    /// The directory of `folder`: `INBOX`, or a Maildir++ name such as `.Work.Old`.
    pub fn folder(&self, folder: &str) -> PathBuf {
        if folder == "INBOX" {
            self.maildir()
        } else {
            self.maildir().join(folder)
        }
    }

    /// Makes an empty folder (`.Work`).
    ///
    /// # Errors
    /// A directory could not be made.
    pub fn make_folder(&self, folder: &str) -> Result<(), Error> {
        let path = self.folder(folder);
        self.make_maildir(&path)?;
        self.write(&path.join("maildirfolder"), b"")
    }

    /// Replaces the maildir by a fresh empty one.
    ///
    /// # Errors
    /// A file could not be removed or made.
    pub fn reset(&self) -> Result<(), Error> {
        let maildir = self.maildir();
        if maildir.exists() {
            fs::remove_dir_all(&maildir).map_err(|error| Error::io("remove", &maildir, &error))?;
        }
        self.make_maildir(&maildir)
    }

    /// Delivers `message` (CRLF or LF lines) to `new` of `folder` and returns its file name.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn deliver(&self, folder: &str, message: &[u8]) -> Result<String, Error> {
        let name = fresh_name();
        self.store(folder, "new", &name, message)?;
        Ok(name)
    }

    /// Puts `message` into `cur` of `folder` with the flag letters `flags` (`FRS`).
    ///
    /// # Errors
    /// The file could not be written.
    pub fn place(&self, folder: &str, message: &[u8], flags: &str) -> Result<String, Error> {
        let name = format!("{}:2,{flags}", fresh_name());
        self.store(folder, "cur", &name, message)?;
        Ok(name)
    }

    /// Puts `message` into `cur` of `folder` `count` times. The files share their content by hard links where they can:
    /// hundreds of thousands are made in seconds.
    ///
    /// # Errors
    /// A file could not be written.
    pub fn place_many(
        &self,
        folder: &str,
        message: &[u8],
        flags: &str,
        count: usize,
    ) -> Result<(), Error> {
        // Below what any file system in use allows.
        const LINKS: usize = 30_000;
        let cur = self.folder(folder).join("cur");
        let mut first = None;
        for number in 0..count {
            first = match first.filter(|_| number % LINKS != 0) {
                Some(first) => {
                    let path = cur.join(format!("{}:2,{flags}", fresh_name()));
                    fs::hard_link(&first, &path)
                        .map_err(|error| Error::io("link to", &path, &error))?;
                    Some(first)
                }
                None => Some(cur.join(self.place(folder, message, flags)?)),
            };
        }
        Ok(())
    }

    /// The messages of `folder` as (file name, content), `cur` and `new` together, sorted by name.
    ///
    /// # Errors
    /// A directory or file could not be read.
    pub fn messages(&self, folder: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut found = Vec::new();
        for part in ["cur", "new"] {
            let directory = self.folder(folder).join(part);
            for entry in
                fs::read_dir(&directory).map_err(|error| Error::io("list", &directory, &error))?
            {
                let path = entry?.path();
                let content = fs::read(&path).map_err(|error| Error::io("read", &path, &error))?;
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                found.push((name.into_owned(), content));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Writes `content` to `path`, owned by the account.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn write(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        write_file(path, content, 0o600)?;
        self.give(path)
    }

    /// The account's line of a userdb file, with the password as a SHA-256 hash, which costs a server next to nothing.
    pub fn userdb_line(&self) -> String {
        let options = if self.options.is_empty() {
            String::new()
        } else {
            format!("|options={}", self.options)
        };
        format!(
            "{}\tuid={}|gid={}|home={}|mail={}{options}|systempw={}\n",
            self.name,
            self.uid,
            self.gid,
            self.home.display(),
            self.maildir_field,
            password_hash(&self.password),
        )
    }

    fn store(&self, folder: &str, part: &str, name: &str, message: &[u8]) -> Result<(), Error> {
        let directory = self.folder(folder);
        let temporary = directory.join("tmp").join(name);
        self.write(&temporary, &stored_form(message))?;
        let target = directory.join(part).join(name);
        fs::rename(&temporary, &target).map_err(|error| Error::io("rename to", &target, &error))
    }

    fn make_maildir(&self, path: &Path) -> Result<(), Error> {
        self.directory(path)?;
        for part in ["tmp", "new", "cur"] {
            self.directory(&path.join(part))?;
        }
        Ok(())
    }

    fn directory(&self, path: &Path) -> Result<(), Error> {
        DirBuilder::new()
            .mode(0o700)
            .create(path)
            .map_err(|error| Error::io("mkdir", path, &error))?;
        self.give(path)
    }

    fn give(&self, path: &Path) -> Result<(), Error> {
        if getuid().is_root() {
            let ids = (Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)));
            chown(path, ids.0, ids.1).map_err(|errno| Error::io("chown", path, &errno.into()))?;
        }
        Ok(())
    }
}

/// uid and gid for the sessions of one test server: as root a number that nothing else uses (gamin's server is shared
/// by everything of one uid, so the number must be fresh for every server), else our own.
pub fn fresh_ids() -> (u32, u32) {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    if !getuid().is_root() {
        return (getuid().as_raw(), getgid().as_raw());
    }
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    // Below 60000: beyond lie `nobody` and the peers' own accounts.
    let id = 20_000 + (std::process::id().wrapping_mul(97).wrapping_add(number)) % 40_000;
    (id, id)
}

/// The userdb form of `password`: `{SHA256}` and base64.
pub fn password_hash(password: &str) -> String {
    let digest = sha2::Sha256::digest(password.as_bytes());
    format!(
        "{{SHA256}}{}",
        base64::engine::general_purpose::STANDARD.encode(digest)
    )
}

/// `message` as a maildir stores it: LF line ends.
pub fn stored_form(message: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(message.len());
    for (index, &byte) in message.iter().enumerate() {
        if byte == b'\r' && message.get(index + 1) == Some(&b'\n') {
            continue;
        }
        stored.push(byte);
    }
    stored
}

/// `message` as it travels: CRLF line ends.
pub fn wire_form(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + message.len() / 40);
    for (index, &byte) in message.iter().enumerate() {
        let after_cr = index > 0 && message.get(index - 1) == Some(&b'\r');
        if byte == b'\n' && !after_cr {
            wire.push(b'\r');
        }
        wire.push(byte);
    }
    wire
}

fn fresh_name() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs());
    format!("{now}.M{number:06}P{}.test", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_survive_the_round_trip() {
        assert_eq!(stored_form(b"a\r\nb\rc\r\n"), b"a\nb\rc\n");
        assert_eq!(wire_form(b"a\nb\r\nc"), b"a\r\nb\r\nc");
    }

    #[test]
    fn passwords_are_stored_as_base64_of_sha256() {
        assert_eq!(
            password_hash("secret"),
            "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols="
        );
    }
}
