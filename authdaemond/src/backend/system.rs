//! `authpam`, `authpwd`, `authshadow`: accounts of the operating system (contract: auth-modules §6).

use std::ffi::{CString, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use courier::auth::account::{AccountInfo, Owner, Secret};
use courier::config::paths::Paths;
use courier::sys::log::{Level, log, reason};
use courier::sys::process::{Fork, exit_now, fork};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::PollFlags;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{User, pipe2};

use crate::debug::{Debug, Summary, Text};
use crate::module::{Aborted, Change, Context, Module, Verdict};
use crate::protocol::Auth;
use crate::sys::{self, pam};

/// A PAM stack or a password program that takes longer is ended.
const PATIENCE: Duration = Duration::from_secs(60);
/// Accounts below belong to the system and are not listed.
const FIRST_LISTED_UID: u32 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pam,
    Passwd,
    Shadow,
}

/// One of the three modules.
#[derive(Debug)]
pub struct System {
    kind: Kind,
    /// Changes passwords, run as the account.
    passwd_program: PathBuf,
}

impl System {
    fn new(kind: Kind, paths: &Paths) -> Self {
        Self {
            kind,
            passwd_program: paths.libexecdir.join("courier-authlib/authsystem.passwd"),
        }
    }

    /// `authpam`.
    pub fn pam(paths: &Paths) -> Self {
        Self::new(Kind::Pam, paths)
    }

    /// `authpwd`.
    pub fn passwd(paths: &Paths) -> Self {
        Self::new(Kind::Passwd, paths)
    }

    /// `authshadow`.
    pub fn shadow(paths: &Paths) -> Self {
        Self::new(Kind::Shadow, paths)
    }

    /// The system account of that name; `Ok(None)` when there is none that may log in.
    fn find(&self, user: &[u8], debug: Debug) -> Result<Option<User>, Errno> {
        let name = self.name();
        let found = match std::str::from_utf8(user) {
            Ok(text) if !text.contains('\0') => User::from_name(text)?,
            _ => None,
        };
        let Some(found) = found else {
            debug.line(format_args!(
                "{name}: username '{}' not found in password file",
                Text(user)
            ));
            return Ok(None);
        };
        if found.uid.is_root() || found.gid.as_raw() == 0 {
            debug.line(format_args!("{name}: '{}' has uid 0 or gid 0", Text(user)));
            return Ok(None);
        }
        Ok(Some(found))
    }

    fn login(
        &self,
        service: &[u8],
        found: &User,
        user: &[u8],
        supplied: &[u8],
        context: &mut Context<'_>,
    ) -> bool {
        let debug = context.debug;
        match self.kind {
            Kind::Pam => {
                // PAM takes its own time over failures.
                context.checker.already_spent();
                ask_pam(service, user, supplied, context.remote)
            }
            Kind::Passwd => {
                let matched = context.checker.verify(found.passwd.as_bytes(), supplied);
                report(matched, debug);
                matched
            }
            Kind::Shadow => {
                let Some(shadow) = CString::new(user).ok().and_then(|name| sys::shadow(&name))
                else {
                    debug.line(format_args!("authshadow: no shadow entry"));
                    return false;
                };
                let matched = context.checker.verify(&shadow.hash, supplied);
                report(matched, debug);
                if matched && expired(&shadow, today()) {
                    debug.line(format_args!(
                        "authshadow: the account or its password has expired"
                    ));
                    return false;
                }
                matched
            }
        }
    }

    fn record(&self, user: &[u8], found: &User) -> AccountInfo {
        let mut hash = found.passwd.as_bytes().to_vec();
        if self.kind != Kind::Passwd {
            if let Some(shadow) = CString::new(user).ok().and_then(|name| sys::shadow(&name)) {
                hash = shadow.hash;
            }
        }
        AccountInfo {
            owner: Some(Owner::System(user.to_vec())),
            gid: Some(found.gid.as_raw()),
            home: Some(found.dir.clone()),
            address: Some(user.to_vec()),
            name: Some(found.gecos.as_bytes().to_vec()),
            hash: Some(Secret(hash)),
            ..AccountInfo::default()
        }
    }
}

fn report(matched: bool, debug: Debug) {
    debug.line(format_args!(
        "{}",
        if matched {
            "password matches successfully"
        } else {
            "supplied password does not match encrypted password"
        }
    ));
}

/// Days since 1970.
fn today() -> i64 {
    let seconds = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    i64::try_from(seconds / 86_400).unwrap_or(i64::MAX)
}

fn expired(shadow: &sys::Shadow, today: i64) -> bool {
    let account = shadow.expires > 0 && shadow.expires < today;
    let password = shadow.last_change != -1
        && shadow.max_age != -1
        && shadow.last_change.saturating_add(shadow.max_age) < today;
    account || password
}

/// Runs PAM in a child, since its modules change the process that they run in.
fn ask_pam(service: &[u8], user: &[u8], password: &[u8], remote: Option<&[u8]>) -> bool {
    let strings = (
        CString::new(service),
        CString::new(user),
        CString::new(password),
        remote.and_then(|remote| CString::new(remote).ok()),
    );
    let (Ok(service), Ok(user), Ok(password), remote) = strings else {
        return false;
    };
    // A service name is a file name for PAM.
    if service.is_empty() || service.as_bytes().contains(&b'/') {
        return false;
    }
    let (ours, theirs) = match pipe2(OFlag::O_CLOEXEC) {
        Ok(pipe) => pipe,
        Err(errno) => {
            log(Level::Err, format_args!("authpam: pipe: {}", errno.desc()));
            return false;
        }
    };
    let child = match fork() {
        Ok(Fork::Child) => {
            drop(ours);
            if pam::authenticate(&service, &user, &password, remote.as_deref()) {
                // The parent takes silence for no.
                let _ = nix::unistd::write(&theirs, b"+");
            }
            exit_now(0)
        }
        Ok(Fork::Parent(child)) => child,
        Err(error) => {
            log(
                Level::Err,
                format_args!("authpam: fork: {}", reason(&error)),
            );
            return false;
        }
    };
    drop(theirs);
    let answered =
        courier::sys::fd::wait_ready(&ours, PollFlags::POLLIN, Some(Instant::now() + PATIENCE));
    let mut answer = [0_u8; 1];
    if matches!(answered, Ok(true)) {
        // A read that fails is a no.
        let _ = nix::unistd::read(&ours, &mut answer);
    } else {
        log(
            Level::Err,
            format_args!("authpam: no answer from PAM, giving up"),
        );
        // It may have ended meanwhile.
        let _ = kill(child, Signal::SIGKILL);
    }
    let status = loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            other => break other,
        }
    };
    matches!(status, Ok(WaitStatus::Exited(_, 0))) && answer == *b"+"
}

impl Module for System {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Pam => "authpam",
            Kind::Passwd => "authpwd",
            Kind::Shadow => "authshadow",
        }
    }

    fn authenticate(&mut self, auth: &Auth, context: &mut Context<'_>) -> Verdict {
        let Some((user, password)) = auth.login() else {
            return Verdict::Reject;
        };
        match self.find(user, context.debug) {
            Err(errno) => {
                log(
                    Level::Err,
                    format_args!("{}: {}", self.name(), errno.desc()),
                );
                Verdict::TempFail
            }
            Ok(None) => Verdict::Reject,
            Ok(Some(found)) => {
                let mut info = self.record(user, &found);
                context.debug.line(format_args!(
                    "{}: {}",
                    self.name(),
                    Summary(&info, "<null>")
                ));
                if !self.login(&auth.service, &found, user, password, context) {
                    return Verdict::Reject;
                }
                info.clear = Some(Secret(password.to_vec()));
                Verdict::Accept(Box::new(info))
            }
        }
    }

    fn lookup(&mut self, _service: &[u8], user: &[u8], context: &mut Context<'_>) -> Verdict {
        match self.find(user, context.debug) {
            Err(errno) => {
                log(
                    Level::Err,
                    format_args!("{}: {}", self.name(), errno.desc()),
                );
                Verdict::TempFail
            }
            Ok(None) => Verdict::Reject,
            Ok(Some(found)) => Verdict::Accept(Box::new(self.record(user, &found))),
        }
    }

    fn change_password(
        &mut self,
        _service: &[u8],
        user: &[u8],
        old: &[u8],
        new: &[u8],
        context: &mut Context<'_>,
    ) -> Change {
        if user.contains(&b'@') {
            return Change::NotMine;
        }
        let found = match self.find(user, context.debug) {
            Ok(Some(found)) => found,
            Ok(None) => return Change::NotMine,
            Err(_) => return Change::Failed,
        };
        context.checker.already_spent();
        let mut input = old.to_vec();
        input.push(b'\n');
        input.extend_from_slice(new);
        input.push(b'\n');
        match self.run_passwd(&found, &input) {
            Ok(true) => Change::Changed,
            Ok(false) => Change::Failed,
            Err(error) => {
                log(
                    Level::Err,
                    format_args!("{}: {}", self.passwd_program.display(), reason(&error)),
                );
                Change::Failed
            }
        }
    }

    fn idle(&mut self) {}

    fn enumerate(
        &mut self,
        _context: &mut Context<'_>,
        each: &mut dyn FnMut(AccountInfo),
    ) -> Result<(), Aborted> {
        for entry in sys::passwd_entries() {
            if entry.uid < FIRST_LISTED_UID || entry.gid == 0 {
                continue;
            }
            each(AccountInfo {
                owner: Some(Owner::Virtual(entry.uid)),
                gid: Some(entry.gid),
                home: Some(PathBuf::from(OsString::from_vec(entry.home))),
                address: Some(entry.name),
                ..AccountInfo::default()
            });
        }
        Ok(())
    }
}

impl System {
    /// Runs the program that changes a password, as the account, with both passwords on its input.
    fn run_passwd(&self, found: &User, input: &[u8]) -> std::io::Result<bool> {
        let mut command = Command::new(&self.passwd_program);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/");
        if nix::unistd::geteuid().is_root() {
            command.gid(found.gid.as_raw()).uid(found.uid.as_raw());
        } else if nix::unistd::geteuid() != found.uid {
            return Ok(false);
        }
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not want to read both says so by its status.
            let _ = stdin.write_all(input);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status.success());
            }
            if Instant::now() >= deadline {
                child.kill()?;
                child.wait()?;
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_follows_the_shadow_file() {
        let shadow = |last_change, max_age, expires| sys::Shadow {
            hash: Vec::new(),
            last_change,
            max_age,
            expires,
        };
        assert!(!expired(&shadow(-1, -1, -1), 100));
        assert!(!expired(&shadow(0, 99_999, 0), 100));
        assert!(expired(&shadow(0, -1, 99), 100));
        assert!(!expired(&shadow(0, -1, 100), 100));
        assert!(expired(&shadow(50, 49, -1), 100));
        assert!(!expired(&shadow(50, 50, -1), 100));
    }
}
