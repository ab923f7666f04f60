//! A new couriertcpd in the place of the running one, without a connection or a session noticing: same process id, same
//! children, same listening sockets, but what the start script makes of the settings now, and the program as it is
//! installed now.
//!
//! The old one runs the script that `-renew` names in a child, which ends as couriertcpd with the new options and
//! environment. That one serves nobody but says how it was executed, if it could serve ([`QUESTION`]). The old one then
//! writes down its sockets and sessions and executes the same, which finds the note ([`VARIABLE`]). Signals wait
//! meanwhile, and so does whoever connects, in the socket's queue.

use std::ffi::{CStr, CString, OsStr};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::net::{Ipv6Addr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use courier::sys::log::{Level, log};
use courier::sys::process::{self, Fork, exit_now, fork};
use courier::sys::readiness;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::environment::Environment;

/// Names the descriptor of the note. Never passed on to sessions.
pub const VARIABLE: &str = "COURIERTCPD_STATE";
/// Names the descriptor for the answer of a successor to be. Never passed on either.
pub const QUESTION: &str = "COURIERTCPD_QUESTION";
/// First line of the note if the sockets are systemd's.
const ACTIVATED: &str = "activated\n";
/// Longest note that is read, in bytes: more sessions than there are process ids.
const NOTE_MAX: u64 = 1 << 28;

/// A session that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Its process.
    pub pid: Pid,
    /// Who connected.
    pub peer: Ipv6Addr,
    /// Who is behind the proxy that connected; `::` if nobody, or not known yet.
    pub client: Ipv6Addr,
}

/// What the new process takes over.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Open listening sockets.
    pub listeners: Vec<TcpListener>,
    /// Sessions, some of which may have ended since.
    pub sessions: Vec<Session>,
    /// The sockets are systemd's: they are served, wherever LIST says.
    pub activated: bool,
}

/// Takes over what a predecessor has left, and closes every other descriptor from 3 up. To be called first thing in
/// main; empty when there was no predecessor.
pub fn take_over() -> Inherited {
    let note = std::env::var_os(VARIABLE).and_then(|number| {
        read_note(&number)
            .inspect_err(|error| {
                let why = crate::reason(error);
                log(
                    Level::Err,
                    format_args!("the sessions before this start are not known: {why}"),
                );
            })
            .ok()
    });
    let Some(note) = note else {
        if let Some(inherited) = activated() {
            return inherited;
        }
        // What is no number names nothing that could be kept; `answer` says so.
        let question = std::env::var(QUESTION).ok();
        let kept = question.and_then(|number| number.parse().ok());
        crate::sys::close_inherited_but(kept.as_slice());
        return Inherited::default();
    };
    let (numbers, sessions) = decode(&note);
    Inherited {
        listeners: adopt_listeners(&numbers),
        sessions: sessions.into_iter().filter(is_alive).collect(),
        activated: note.starts_with(ACTIVATED),
    }
}

/// The note in the descriptor that is called `number`.
fn read_note(number: &OsStr) -> io::Result<String> {
    let mut file = inherited(number)?;
    let mut note = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(NOTE_MAX).read_to_string(&mut note)?;
    Ok(note)
}

/// The descriptor that a variable names, which this process was started with.
fn inherited(number: &OsStr) -> io::Result<File> {
    let file = number
        .to_str()
        .and_then(|text| text.parse::<RawFd>().ok())
        .filter(|&number| number > 2)
        .and_then(crate::sys::adopt)
        .map(File::from);
    Ok(file.ok_or(Errno::EBADF)?)
}

/// What systemd has opened for us, sd_listen_fds(3).
fn activated() -> Option<Inherited> {
    // Without numbers, or with nonsense, it is not for us.
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return None;
    }
    let count = i32::try_from(number("LISTEN_FDS")?).ok()?;
    let numbers: Vec<RawFd> = (3..count.checked_add(3)?).collect();
    Some(Inherited {
        listeners: adopt_listeners(&numbers),
        sessions: Vec::new(),
        activated: true,
    })
}

/// Takes over those of the descriptors that listen for TCP connections, and closes every other one.
fn adopt_listeners(numbers: &[RawFd]) -> Vec<TcpListener> {
    let listeners: Vec<TcpListener> = numbers
        .iter()
        .filter_map(|&number| crate::sys::adopt(number))
        .filter(|socket| set_inheritable(socket.as_fd(), false).is_ok())
        .filter(|socket| getsockopt(socket, sockopt::AcceptConn).unwrap_or(false))
        .map(TcpListener::from)
        .filter(|socket| socket.local_addr().is_ok() && socket.set_nonblocking(true).is_ok())
        .collect();
    let mut kept: Vec<RawFd> = listeners.iter().map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    crate::sys::close_inherited_but(&kept);
    listeners
}

/// True for a child of ours that still runs. One that has ended is forgotten here, in place of the signal that the
/// script in between may have taken.
fn is_alive(session: &Session) -> bool {
    matches!(
        waitpid(session.pid, Some(WaitPidFlag::WNOHANG)),
        Ok(WaitStatus::StillAlive)
    )
}

fn encode(listeners: &[TcpListener], sessions: &[Session], activated: bool) -> String {
    let mut note = String::new();
    if activated {
        note.push_str(ACTIVATED);
    }
    for listener in listeners {
        // Writing to a String cannot fail.
        let _ = writeln!(note, "listener {}", listener.as_raw_fd());
    }
    for Session { pid, peer, client } in sessions {
        // As above.
        let _ = writeln!(note, "session {pid} {peer} {client}");
    }
    note
}

fn decode(note: &str) -> (Vec<RawFd>, Vec<Session>) {
    let (mut listeners, mut sessions) = (Vec::new(), Vec::new());
    for line in note.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["listener", number] => listeners.extend(number.parse::<RawFd>()),
            ["session", pid, peer, client] => {
                if let (Ok(pid), Ok(peer), Ok(client)) = (pid.parse(), peer.parse(), client.parse())
                {
                    let pid = Pid::from_raw(pid);
                    sessions.push(Session { pid, peer, client });
                }
            }
            _ => {}
        }
    }
    listeners.retain(|&number| number > 2);
    listeners.sort_unstable();
    listeners.dedup();
    sessions.retain(|session| session.pid.as_raw() > 1);
    (listeners, sessions)
}

/// Who has started us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// A courierlogger that waits to be told when we serve.
    pub announced: bool,
    /// systemd, with sockets.
    pub activated: bool,
}

/// The answer of a successor to be, when it comes: how it would have been executed.
#[derive(Debug)]
pub struct Question {
    /// The process that answers.
    pub pid: Pid,
    answer: File,
}

/// Runs `command renew`, which has to execute couriertcpd as it would to start the server; that looks whether it could
/// serve, and [`answer`]s instead.
///
/// # Errors
/// No processes, no memory.
pub fn ask(command: &CStr, environment: &Environment) -> io::Result<Question> {
    let answer = File::from(memfd_create(c"couriertcpd", MFdFlags::MFD_CLOEXEC)?);
    match fork()? {
        Fork::Parent(pid) => Ok(Question { pid, answer }),
        Fork::Child => {
            let unblocked = SigSet::empty();
            let mut environment = environment.clone();
            let number = answer.as_raw_fd().to_string();
            environment.set(QUESTION.as_bytes(), number.as_bytes());
            if set_inheritable(answer.as_fd(), true).is_ok()
                && nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&unblocked), None)
                    .is_ok()
            {
                let argv = [command.to_owned(), c"renew".to_owned()];
                let error = process::exec(command, &argv, environment.entries());
                let command = command.to_string_lossy();
                log(
                    Level::Err,
                    format_args!("{command}: {}", crate::reason(&error)),
                );
            }
            exit_now(126)
        }
    }
}

/// If this process was started by [`ask`]: says how it was executed; false otherwise.
///
/// # Errors
/// The descriptor is not there, or cannot be written.
pub fn answer() -> io::Result<bool> {
    let Some(number) = std::env::var_os(QUESTION) else {
        return Ok(false);
    };
    let mut file = inherited(&number)?;
    let mut text = Vec::new();
    let mut put = |kind: u8, word: &[u8]| {
        text.push(kind);
        text.extend_from_slice(word);
        text.push(0);
    };
    put(b'p', std::env::current_exe()?.as_os_str().as_bytes());
    let mask = umask(Mode::empty());
    umask(mask);
    put(b'u', mask.bits().to_string().as_bytes());
    for argument in std::env::args_os() {
        put(b'a', argument.as_bytes());
    }
    for (name, value) in std::env::vars_os().filter(|(name, _)| name != QUESTION) {
        put(b'e', &[name.as_bytes(), b"=", value.as_bytes()].concat());
    }
    file.write_all(&text)?;
    Ok(true)
}

/// What [`answer`] wrote.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    program: CString,
    argv: Vec<CString>,
    environment: Vec<CString>,
    umask: Option<Mode>,
}

impl Answer {
    fn decode(text: &[u8]) -> Self {
        let mut answer = Self::default();
        for word in text.split(|&byte| byte == 0) {
            let Some((kind, word)) = word.split_first() else {
                continue;
            };
            // Without a NUL, having been split at them.
            let word = CString::new(word).unwrap_or_default();
            match kind {
                b'p' => answer.program = word,
                b'a' => answer.argv.push(word),
                b'e' => answer.environment.push(word),
                b'u' => {
                    let bits = word.to_str().ok().and_then(|text| text.parse().ok());
                    answer.umask = bits.and_then(Mode::from_bits);
                }
                _ => {}
            }
        }
        answer
    }
}

impl Question {
    /// Becomes what the answer says. Comes back only if that fails, with everything as before.
    pub fn renew(
        mut self,
        listeners: &[TcpListener],
        sessions: &[Session],
        place: Place,
    ) -> io::Error {
        let mut attempt = || -> io::Result<io::Error> {
            let mut text = Vec::new();
            self.answer.seek(SeekFrom::Start(0))?;
            (&self.answer).take(NOTE_MAX).read_to_end(&mut text)?;
            let mut answer = Answer::decode(&text);
            let mut note = File::from(memfd_create(c"couriertcpd", MFdFlags::empty())?);
            note.write_all(encode(listeners, sessions, place.activated).as_bytes())?;
            for listener in listeners {
                set_inheritable(listener.as_fd(), true)?;
            }
            let mut set = |name: &str, value: String| -> io::Result<()> {
                answer
                    .environment
                    .push(CString::new(format!("{name}={value}"))?);
                Ok(())
            };
            set(VARIABLE, note.as_raw_fd().to_string())?;
            if place.announced {
                set(
                    readiness::LOGGER_VARIABLE,
                    nix::unistd::getppid().to_string(),
                )?;
            }
            let before = answer.umask.map(umask);
            let error = process::exec(&answer.program, &answer.argv, &answer.environment);
            before.map(umask);
            Ok(error)
        };
        let error = attempt().unwrap_or_else(|error| error);
        for listener in listeners {
            // It was set a moment ago; a socket that a session inherits after all does no harm but to linger.
            let _ = set_inheritable(listener.as_fd(), false);
        }
        error
    }
}

fn set_inheritable(socket: BorrowedFd<'_>, on: bool) -> nix::Result<()> {
    let flags = if on {
        FdFlag::empty()
    } else {
        FdFlag::FD_CLOEXEC
    };
    fcntl(socket, FcntlArg::F_SETFD(flags)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sessions = [
            Session {
                pid: Pid::from_raw(4711),
                peer: "::ffff:192.0.2.1".parse().unwrap(),
                client: Ipv6Addr::UNSPECIFIED,
            },
            Session {
                pid: Pid::from_raw(12),
                peer: "2001:db8::1".parse().unwrap(),
                client: "2001:db8::2".parse().unwrap(),
            },
        ];
        for activated in [false, true] {
            let note = encode(std::slice::from_ref(&listener), &sessions, activated);
            assert_eq!(note.starts_with(ACTIVATED), activated);
            assert_eq!(
                decode(&note),
                (vec![listener.as_raw_fd()], sessions.to_vec())
            );
        }
    }

    #[test]
    fn an_answer_is_taken_apart() {
        let answer = Answer::decode(b"u63\0p/bin/x\0ax\0a\0a-y\0eA=b\0?\0");
        let words = |words: &[&CStr]| {
            words
                .iter()
                .map(|&word| word.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(answer.program.as_c_str(), c"/bin/x");
        assert_eq!(answer.argv, words(&[c"x", c"", c"-y"]));
        assert_eq!(answer.environment, words(&[c"A=b"]));
        assert_eq!(answer.umask, Some(Mode::from_bits_truncate(0o77)));
    }

    #[test]
    fn nonsense_in_a_note_is_left_out() {
        let note = "listener 0\nlistener x\nsession 1 :: ::\nsession -1 :: ::\nsession 5 x ::\n\nsession 9\n";
        assert_eq!(decode(note), (vec![], vec![]));
    }

    #[test]
    fn strangers_are_no_sessions() {
        let session = |pid| Session {
            pid: Pid::from_raw(pid),
            peer: Ipv6Addr::LOCALHOST,
            client: Ipv6Addr::UNSPECIFIED,
        };
        // Not a child of ours.
        assert!(!is_alive(&session(nix::unistd::getppid().as_raw())));
    }
}
