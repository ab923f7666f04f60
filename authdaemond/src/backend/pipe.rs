//! `authpipe`: a program of the site's own, kept running and spoken to in the socket protocol
//! (contract: auth-modules §12).

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use courier::auth::account::{AccountInfo, Owner};
use courier::auth::client::REPLY_MAX;
use courier::auth::enumerate::Listed;
use courier::sys::fd::wait_ready;
use courier::sys::log::{Level, log, reason};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;

use crate::module::{Aborted, Change, Context, Module, Verdict};
use crate::protocol::Auth;

/// For a whole reply.
const PATIENCE: Duration = Duration::from_secs(30);
/// For the program to end by itself after its input closed, and again after SIGTERM.
const GRACE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// Longest line of a list.
const LINE_MAX: usize = 8191;

/// The module.
#[derive(Debug)]
pub struct Pipe {
    program: PathBuf,
    enabled: bool,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Pipe {
    /// Disabled for good when `program` is not executable now.
    pub fn new(program: PathBuf) -> Self {
        let enabled = std::fs::metadata(&program)
            .is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0);
        if !enabled {
            log(
                Level::Info,
                format_args!(
                    "authpipe: disabled: {} is not executable",
                    program.display()
                ),
            );
        }
        Self {
            program,
            enabled,
            running: None,
        }
    }

    /// The program, started if it is not running or has said or done something unasked.
    fn running(&mut self) -> io::Result<&mut Running> {
        if let Some(running) = &self.running {
            let unasked = wait_ready(&running.output, PollFlags::POLLIN, Some(Instant::now()))?;
            if unasked {
                self.stop();
            }
        }
        match &mut self.running {
            Some(running) => Ok(running),
            none => Ok(none.insert(start(&self.program)?)),
        }
    }

    /// One request, one reply: up to `.` on a line of its own, or one word.
    fn ask(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        let result = self.running().and_then(|running| {
            let deadline = Instant::now() + PATIENCE;
            write(&running.input, request, deadline)?;
            let mut reply = Vec::new();
            loop {
                let before = reply.len();
                read(&running.output, &mut reply, deadline)?;
                if reply.len() > REPLY_MAX || reply.len() == before {
                    return Err(Errno::EIO.into());
                }
                if reply.ends_with(b"\n.\n") || reply == b"FAIL\n" || reply == b"OK\n" {
                    return Ok(reply);
                }
            }
        });
        if let Err(error) = &result {
            log(
                Level::Err,
                format_args!("authpipe: {}: {}", self.program.display(), reason(error)),
            );
            self.stop();
        }
        result
    }

    fn account(&mut self, request: &[u8]) -> Verdict {
        if !self.enabled {
            return Verdict::Reject;
        }
        let Ok(reply) = self.ask(request) else {
            return Verdict::TempFail;
        };
        if reply == b"FAIL\n" {
            return Verdict::Reject;
        }
        let info = reply
            .strip_suffix(b"\n.\n")
            .and_then(AccountInfo::parse)
            .filter(is_whole);
        match info {
            Some(info) if is_root(&info) => Verdict::Reject,
            Some(info) => Verdict::Accept(Box::new(info)),
            None => {
                log(
                    Level::Err,
                    format_args!("authpipe: reply without ADDRESS, HOME, GID and UID or USERNAME"),
                );
                Verdict::TempFail
            }
        }
    }

    fn list(&mut self, each: &mut dyn FnMut(AccountInfo)) -> io::Result<()> {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;
        let running = self.running()?;
        write(&running.input, b"ENUMERATE\n", Instant::now() + PATIENCE)?;
        let mut pending = Vec::new();
        loop {
            while let Some(end) = pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).take(end).collect();
                if line == b"." {
                    return Ok(());
                }
                let Some(listed) = Listed::parse(&line) else {
                    continue;
                };
                let optional = |text: &[u8]| (!text.is_empty()).then(|| text.to_vec());
                each(AccountInfo {
                    owner: Some(Owner::Virtual(listed.uid)),
                    gid: Some(listed.gid),
                    home: Some(OsString::from_vec(listed.home.to_vec()).into()),
                    address: Some(listed.name.to_vec()),
                    maildir: optional(listed.maildir).map(OsString::from_vec),
                    options: optional(listed.options),
                    ..AccountInfo::default()
                });
            }
            let before = pending.len();
            if before > LINE_MAX {
                return Err(Errno::EIO.into());
            }
            read(&running.output, &mut pending, Instant::now() + PATIENCE)?;
            if pending.len() == before {
                return Err(Errno::EIO.into());
            }
        }
    }

    /// Ends the program, gently at first.
    fn stop(&mut self) {
        let Some(Running {
            mut child,
            input,
            output,
        }) = self.running.take()
        else {
            return;
        };
        drop((input, output));
        let pid = i32::try_from(child.id()).map(nix::unistd::Pid::from_raw);
        for grace in GRACE {
            let deadline = Instant::now() + grace;
            while Instant::now() < deadline {
                if !matches!(child.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            if let Ok(pid) = pid {
                // It may have ended meanwhile.
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            }
        }
        // Nothing is left to try when even this fails.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.stop();
    }
}

fn start(program: &std::path::Path) -> io::Result<Running> {
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Errno::EPIPE.into());
    };
    for fd in [input.as_fd(), output.as_fd()] {
        let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
        fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    }
    Ok(Running {
        child,
        input,
        output,
    })
}

fn write(input: &ChildStdin, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(input, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                if !wait_ready(input, PollFlags::POLLOUT, Some(deadline))? {
                    return Err(Errno::ETIMEDOUT.into());
                }
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Appends what has come; nothing at end of file.
fn read(output: &ChildStdout, buffer: &mut Vec<u8>, deadline: Instant) -> io::Result<()> {
    let mut chunk = [0_u8; 4096];
    loop {
        match nix::unistd::read(output, &mut chunk) {
            Ok(count) => {
                buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
                return Ok(());
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                if !wait_ready(output, PollFlags::POLLIN, Some(deadline))? {
                    return Err(Errno::ETIMEDOUT.into());
                }
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn is_whole(info: &AccountInfo) -> bool {
    info.owner.is_some() && info.gid.is_some() && info.home.is_some() && info.address.is_some()
}

/// A program may name a system account whose uid is 0.
fn is_root(info: &AccountInfo) -> bool {
    match &info.owner {
        Some(Owner::System(name)) => std::str::from_utf8(name)
            .ok()
            .and_then(|name| nix::unistd::User::from_name(name).ok().flatten())
            .is_none_or(|user| user.uid.is_root()),
        _ => false,
    }
}

impl Module for Pipe {
    fn name(&self) -> &'static str {
        "authpipe"
    }

    fn authenticate(&mut self, auth: &Auth, _context: &mut Context<'_>) -> Verdict {
        let body = [auth.service.as_slice(), &auth.authtype, &auth.data].join(&b'\n');
        let mut request = format!("AUTH {}\n", body.len()).into_bytes();
        request.extend_from_slice(&body);
        self.account(&request)
    }

    fn lookup(&mut self, service: &[u8], user: &[u8], _context: &mut Context<'_>) -> Verdict {
        self.account(&[b"PRE . ", service, b" ", user, b"\n"].concat())
    }

    fn change_password(
        &mut self,
        service: &[u8],
        user: &[u8],
        old: &[u8],
        new: &[u8],
        _context: &mut Context<'_>,
    ) -> Change {
        if !self.enabled {
            return Change::NotMine;
        }
        let fields = [service, user, old, new].join(&b'\t');
        match self.ask(&[b"PASSWD ", fields.as_slice(), b"\n"].concat()) {
            Ok(reply) if reply == b"OK\n" => Change::Changed,
            Ok(_) => Change::NotMine,
            Err(_) => Change::Failed,
        }
    }

    fn idle(&mut self) {}

    fn enumerate(
        &mut self,
        _context: &mut Context<'_>,
        each: &mut dyn FnMut(AccountInfo),
    ) -> Result<(), Aborted> {
        if !self.enabled {
            return Ok(());
        }
        self.list(each).map_err(|error| {
            log(
                Level::Err,
                format_args!("authpipe: {}: {}", self.program.display(), reason(&error)),
            );
            self.stop();
            Aborted
        })
    }
}
