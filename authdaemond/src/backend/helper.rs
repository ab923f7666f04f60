//! A helper program as a worker sees it: started when first needed, kept running, replaced when it fails, and never
//! waited for longer than a request may take.
//!
//! The helper gets a socket as its standard input and nothing else: no other descriptor, an almost empty
//! environment, and, when the daemon is root, another uid without supplementary groups.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use courier::config::paths::Paths;
use courier::sys::fd::{socket_pair, wait_ready};
use courier::sys::log::{Level, log, reason};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, recv, send};
use std::os::fd::AsRawFd;

use crate::debug::Text;
use crate::wire::{Decoded, Field, Frame, Kind};

/// For everything that one request about one account asks. Less than the 30 s that login programs wait.
const PATIENCE: Duration = Duration::from_secs(20);
/// For each next row of a list of all accounts, and for its end.
const LIST_PATIENCE: Duration = Duration::from_secs(55);
/// For all of such a list.
const LIST_TIME: Duration = Duration::from_secs(3600);
/// Bytes of all rows of such a list, which the worker keeps until it is whole: those of some million accounts.
const LIST_MAX: usize = 256 << 20;
/// For a helper whose socket was closed to end by itself.
const GRACE: Duration = Duration::from_secs(1);

/// Who a helper runs as; only when the daemon is root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// Its uid.
    pub uid: u32,
    /// Its only group.
    pub gid: u32,
}

impl RunAs {
    /// The mail user, if we are root.
    pub fn mail_user(paths: &Paths) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            return None;
        }
        mail_user(&paths.mailuser)
    }
}

fn mail_user(name: &Path) -> Option<RunAs> {
    // Without that user nobody could have installed this; nobody's numbers are as good as any.
    let nobody = RunAs {
        uid: 65534,
        gid: 65534,
    };
    let user = name
        .to_str()
        .and_then(|name| nix::unistd::User::from_name(name).ok().flatten())
        .filter(|user| !user.uid.is_root());
    Some(user.map_or(nobody, |user| RunAs {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
    }))
}

/// What came back instead of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The server said no.
    Refused(Vec<u8>),
    /// The server or the helper cannot be asked. Has been logged.
    Unavailable,
}

impl Trouble {
    /// Logs what the server said, for the module `name`; the rest is in the log already.
    pub fn complain(&self, name: &str) {
        if let Self::Refused(why) = self {
            log(Level::Err, format_args!("{name}: {}", Text(why)));
        }
    }
}

/// A helper program.
#[derive(Debug)]
pub struct Helper {
    /// The module's name, for the log.
    name: &'static str,
    program: PathBuf,
    running: Option<Running>,
    /// When the request that is being answered has taken long enough.
    deadline: Instant,
}

#[derive(Debug)]
struct Running {
    child: Child,
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Helper {
    /// The helper of module `name`: beside authdaemond where both are installed, or where they were built.
    pub fn new(name: &'static str, paths: &Paths) -> Self {
        let installed = paths.libexecdir.join("courier-authlib").join(name);
        let built = paths.libexecdir.join(name);
        Self {
            name,
            program: if built.exists() && !installed.exists() {
                built
            } else {
                installed
            },
            running: None,
            deadline: Instant::now(),
        }
    }

    /// A request begins: from now on its questions have their time, all of them together. A directory is asked three
    /// for a login, and login programs do not wait three times as long.
    pub fn begin(&mut self) {
        self.deadline = Instant::now() + PATIENCE;
    }

    /// Whether it is running.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts it with these settings and, beside a path, nothing but this environment.
    ///
    /// # Errors
    /// [`Trouble::Unavailable`].
    pub fn start(
        &mut self,
        settings: &Frame,
        environment: &[(&str, OsString)],
        run_as: Option<RunAs>,
    ) -> Result<(), Trouble> {
        self.stop();
        let deadline = self.deadline;
        // It is ours as soon as it runs, so that it is also ended and collected where sending fails.
        let started = self
            .spawn(environment, run_as)
            .and_then(|running| self.running.insert(running).send(settings, deadline));
        started.map_err(|error| {
            log(
                Level::Err,
                format_args!(
                    "{}: {}: {}",
                    self.name,
                    self.program.display(),
                    reason(&error)
                ),
            );
            self.stop();
            Trouble::Unavailable
        })
    }

    fn spawn(
        &self,
        environment: &[(&str, OsString)],
        run_as: Option<RunAs>,
    ) -> io::Result<Running> {
        let (ours, theirs) = socket_pair()?;
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null());
        for (name, value) in environment {
            command.env(name, value);
        }
        if let Some(run_as) = run_as {
            // std drops supplementary groups along with the uid.
            command.gid(run_as.gid).uid(run_as.uid);
        }
        Ok(Running {
            child: command.spawn()?,
            socket: ours,
            buffer: Vec::new(),
        })
    }

    /// Asks, with at most `most` rows for an answer.
    ///
    /// # Errors
    /// [`Trouble`]. A helper that could not answer is stopped.
    pub fn ask(&mut self, request: &Frame, most: usize) -> Result<Answer, Trouble> {
        let mut rows = Vec::new();
        let deadline = self.deadline;
        let count = self.converse(
            request,
            |_| deadline,
            |row| {
                if rows.len() < most {
                    rows.push(row);
                }
                Ok(())
            },
        )?;
        Ok(Answer { rows, count })
    }

    /// Asks for a list; `each` gets the rows.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn list(&mut self, request: &Frame, each: impl FnMut(Vec<Field>)) -> Result<(), Trouble> {
        self.list_within(LIST_MAX, request, each)
    }

    /// As [`list`](Self::list), with `room` bytes for all rows.
    fn list_within(
        &mut self,
        mut room: usize,
        request: &Frame,
        mut each: impl FnMut(Vec<Field>),
    ) -> Result<(), Trouble> {
        let end = Instant::now() + LIST_TIME;
        let until = |now| end.min(now + LIST_PATIENCE);
        self.converse(request, until, |row| {
            // What stands around a row and its fields counts, too: a row without any must not be free.
            let sizes = row
                .iter()
                .map(|field| 8 + field.as_ref().map_or(0, Vec::len));
            let size = sizes.sum::<usize>() + 8;
            room = room.checked_sub(size).ok_or(Errno::EFBIG)?;
            each(row);
            Ok(())
        })?;
        Ok(())
    }

    fn converse(
        &mut self,
        request: &Frame,
        deadline: impl Fn(Instant) -> Instant,
        mut each: impl FnMut(Vec<Field>) -> io::Result<()>,
    ) -> Result<u64, Trouble> {
        let name = self.name;
        let Some(running) = &mut self.running else {
            return Err(Trouble::Unavailable);
        };
        let mut exchange = || {
            running.send(request, deadline(Instant::now()))?;
            loop {
                let frame = running.receive(deadline(Instant::now()))?;
                match frame.kind {
                    Kind::Row => each(frame.fields)?,
                    _ => return Ok::<Frame, io::Error>(frame),
                }
            }
        };
        let end = match exchange() {
            Ok(end) => end,
            Err(error) => {
                log(
                    Level::Err,
                    format_args!("{name}: {}: {}", self.program.display(), reason(&error)),
                );
                self.stop();
                return Err(Trouble::Unavailable);
            }
        };
        let text = end.field(0).unwrap_or_default();
        match end.kind {
            Kind::Done => Ok(std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0)),
            Kind::Refused => Err(Trouble::Refused(text.to_vec())),
            _ => {
                log(Level::Err, format_args!("{name}: {}", Text(text)));
                Err(Trouble::Unavailable)
            }
        }
    }

    /// Closes its socket, upon which it ends.
    pub fn stop(&mut self) {
        let Some(Running {
            mut child, socket, ..
        }) = self.running.take()
        else {
            return;
        };
        drop(socket);
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            match child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // It may have ended meanwhile, and is ours to collect either way.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a helper answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Rows, as many as were wanted at most.
    pub rows: Vec<Vec<Field>>,
    /// How many rows the request concerned.
    pub count: u64,
}

impl Running {
    fn send(&self, frame: &Frame, deadline: Instant) -> io::Result<()> {
        let bytes = frame
            .encode()
            .map_err(|_| io::Error::from(Errno::EMSGSIZE))?;
        let mut rest = bytes.as_slice();
        let how = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        while !rest.is_empty() {
            match send(self.socket.as_raw_fd(), rest, how) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    if !wait_ready(&self.socket, PollFlags::POLLOUT, Some(deadline))? {
                        return Err(Errno::ETIMEDOUT.into());
                    }
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn receive(&mut self, deadline: Instant) -> io::Result<Frame> {
        let mut chunk = [0_u8; 8192];
        loop {
            // Also where nothing has to be waited for: rows may come without end, each of them at once.
            if Instant::now() > deadline {
                return Err(Errno::ETIMEDOUT.into());
            }
            match Frame::decode(&self.buffer) {
                Decoded::Frame(frame, length) => {
                    self.buffer.drain(..length);
                    return Ok(frame);
                }
                Decoded::Broken => return Err(Errno::EPROTO.into()),
                Decoded::Incomplete => {}
            }
            if !wait_ready(&self.socket, PollFlags::POLLIN, Some(deadline))? {
                return Err(Errno::ETIMEDOUT.into());
            }
            match recv(self.socket.as_raw_fd(), &mut chunk, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return Err(Errno::EPIPE.into()),
                Ok(count) => self
                    .buffer
                    .extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper(program: &str) -> Helper {
        Helper {
            name: "authtested",
            program: PathBuf::from(program),
            running: None,
            deadline: Instant::now(),
        }
    }

    #[test]
    fn rows_that_never_pause_are_not_read_beyond_the_deadline() {
        let (ours, _theirs) = socket_pair().unwrap();
        let end = Frame::new(Kind::Done, [b"1".as_slice()]);
        let mut buffer = Frame::new(Kind::Row, []).encode().unwrap().repeat(1000);
        buffer.extend(end.encode().unwrap());
        let mut helper = helper("/bin/cat");
        helper.running = Some(Running {
            child: Command::new("true").spawn().unwrap(),
            socket: ours,
            buffer,
        });
        let passed = Instant::now();
        let request = Frame::new(Kind::Query, [b"SELECT".as_slice()]);
        let answer = helper.converse(&request, |_| passed, |_| Ok(()));
        assert_eq!(answer, Err(Trouble::Unavailable));
        assert!(!helper.is_running());
    }

    #[test]
    fn a_list_has_an_end() {
        let (ours, _theirs) = socket_pair().unwrap();
        let row = Frame::new(Kind::Row, [b"a name".as_slice()]);
        let mut buffer = row.encode().unwrap().repeat(100);
        buffer.extend(Frame::new(Kind::Row, []).encode().unwrap().repeat(100));
        buffer.extend(Frame::new(Kind::Done, []).encode().unwrap());
        let request = Frame::new(Kind::Query, [b"SELECT".as_slice()]);
        for (room, outcome) in [
            (100 * 22 + 100 * 8, Ok(())),
            (100 * 22 + 100 * 8 - 1, Err(Trouble::Unavailable)),
            (100, Err(Trouble::Unavailable)),
        ] {
            let mut helper = helper("/bin/cat");
            helper.running = Some(Running {
                child: Command::new("true").spawn().unwrap(),
                socket: ours.try_clone().unwrap(),
                buffer: buffer.clone(),
            });
            let mut count = 0;
            let listed = helper.list_within(room, &request, |_| count += 1);
            assert_eq!(listed, outcome, "{room}");
            assert!(count <= room / 8);
        }
    }

    #[test]
    fn the_questions_of_a_request_share_its_time() {
        let (ours, _theirs) = socket_pair().unwrap();
        let end = Frame::new(Kind::Done, [b"1".as_slice()]).encode().unwrap();
        let mut helper = helper("/bin/cat");
        helper.running = Some(Running {
            child: Command::new("true").spawn().unwrap(),
            socket: ours,
            buffer: end.repeat(2),
        });
        let request = Frame::new(Kind::Query, [b"SELECT".as_slice()]);
        helper.begin();
        assert!(helper.ask(&request, 1).is_ok());
        // As if that had taken all of it.
        helper.deadline = Instant::now();
        assert_eq!(helper.ask(&request, 1), Err(Trouble::Unavailable));
    }

    #[test]
    fn a_helper_that_takes_no_settings_is_collected() {
        let mut helper = helper("/bin/cat");
        // More than a frame can hold: sending fails, whatever the program does.
        let settings = Frame::new(Kind::Open, vec![b"x".as_slice(); 5000]);
        for _ in 0..2 {
            let started = helper.start(&settings, &[], None);
            assert_eq!(started, Err(Trouble::Unavailable));
        }
        let children = std::fs::read_to_string("/proc/thread-self/children").unwrap();
        assert_eq!(children, "");
    }
}
