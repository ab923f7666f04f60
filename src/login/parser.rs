//! The process that speaks to the peer before login: forked from the monitor, without privileges, and confined so
//! that all it can do is talk to the peer and to the monitor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::signal::Signal;
use nix::sys::socket::MsgFlags;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid};

use super::environment::Environment;
use super::message::{Answer, Attempt, End, MESSAGE_MAX, Request};
use super::peer::{Gone, Peer, last_words};
use super::settings::Settings;
use crate::auth::system::{Groups, identity};
use crate::config::paths::Paths;
use crate::sys::fd;
use crate::sys::log::{Level, log};
use crate::sys::process::{Fork, Identity, drop_privileges, exit_now, fork};
use crate::sys::sandbox::{self, Ceilings};

/// Heap that the parser may use, in bytes: its buffers are a few times the largest command.
const HEAP_MAX: u64 = 8 * 1024 * 1024;
/// Processor time it may use, in seconds; a login takes about a thousandth of one.
const CPU_MAX: u64 = 10;
/// The uid and gid taken when the mail user does not exist: `nobody` on every system.
const NOBODY: u32 = 65534;

/// A protocol's side of the conversation, run in the parser.
pub type Dialog = Box<dyn FnOnce(&mut Talk<'_>) -> Result<Ending, Gone>>;

/// Makes a [`Dialog`] before the parser is confined, from the environment and the settings.
pub type Prepare = fn(&Environment, &Settings) -> Dialog;

/// How a conversation ended from the dialog's view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It is over; the peer has been told.
    End(End),
    /// The peer was told to begin TLS, in the command with this tag (empty for POP3).
    StartTls(Vec<u8>),
}

/// A login that the monitor refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Wrong; the delay has passed.
    Rejected,
    /// Could not be checked.
    Temporary,
    /// Right, but the account has as many sessions as it may.
    Limit,
}

/// What a dialog works with: the peer, the settings, and the questions it may ask the monitor.
#[derive(Debug)]
pub struct Talk<'a> {
    /// The connection to the peer.
    pub peer: Peer<'a>,
    /// The session's settings.
    pub settings: &'a Settings,
    /// False when the conversation goes on after STARTTLS, where no greeting is sent.
    pub greet: bool,
    channel: &'a OwnedFd,
}

// Everything the dialogs ask of the monitor.
impl Talk<'_> {
    /// Asks for a login. Returns only if it is refused: after a success this process is ended.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn login(&mut self, attempt: Attempt) -> Result<Refusal, Gone> {
        match self.ask(&Request::Try(attempt))? {
            Answer::Temporary => Ok(Refusal::Temporary),
            Answer::Limit => Ok(Refusal::Limit),
            Answer::Rejected | Answer::Challenge(_) => Ok(Refusal::Rejected),
        }
    }

    /// Asks for a CRAM challenge, not yet in base64. The next [`Talk::login`] answers it.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn challenge(&mut self) -> Result<Vec<u8>, Gone> {
        match self.ask(&Request::Challenge)? {
            Answer::Challenge(text) => Ok(text),
            Answer::Rejected | Answer::Temporary | Answer::Limit => Err(Gone::Monitor),
        }
    }

    /// Reports a SASL exchange that failed without credentials; returns when the delay has passed, which may be at
    /// once if the peer `aborted` it.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn failed(&mut self, aborted: bool, method: &[u8], user: &[u8]) -> Result<(), Gone> {
        let request = Request::Failed {
            aborted,
            method: super::message::clean_method(method),
            user: user.to_vec(),
        };
        self.ask(&request).map(drop)
    }

    /// Names a command to the debug log, if there is one.
    ///
    /// # Errors
    /// [`Gone::Monitor`].
    pub fn note(&mut self, command: &[u8]) -> Result<(), Gone> {
        if self.settings.debug > 0 {
            self.tell(&Request::Command(super::message::clean_method(command)))?;
        }
        Ok(())
    }

    fn tell(&mut self, request: &Request) -> Result<(), Gone> {
        send(self.channel.as_fd(), &request.encode()).map_err(|_| Gone::Monitor)
    }

    fn ask(&mut self, request: &Request) -> Result<Answer, Gone> {
        self.peer.flush()?;
        self.tell(request)?;
        let deadline = Some(self.peer.deadline());
        match fd::wait_ready(self.channel, PollFlags::POLLIN, deadline) {
            Ok(true) => {}
            Ok(false) => return Err(Gone::Time),
            Err(_) => return Err(Gone::Monitor),
        }
        match receive(self.channel.as_fd()) {
            Ok(message) => Answer::decode(&message).ok_or(Gone::Monitor),
            Err(_) => Err(Gone::Monitor),
        }
    }
}

/// Sends one message. The other side always reads, so this does not wait for long.
///
/// # Errors
/// Those of send(2).
pub fn send(channel: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
    loop {
        match nix::sys::socket::send(channel.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Takes one message that is known to be there; empty at the end of file.
///
/// # Errors
/// Those of recv(2).
pub fn receive(channel: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let receive = |space: &mut [u8], flags: MsgFlags| loop {
        match nix::sys::socket::recv(channel.as_raw_fd(), space, flags | MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    };
    // Its length first: room for the longest one is five pages that nothing else needs.
    let length = receive(&mut [], MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC)?;
    let mut message = vec![0; length.min(MESSAGE_MAX)];
    let length = receive(&mut message, MsgFlags::empty())?;
    message.truncate(length);
    Ok(message)
}

/// The monitor's handle on the parser.
#[derive(Debug)]
pub struct Parser {
    pid: Pid,
    /// The monitor's end.
    channel: OwnedFd,
    reaped: bool,
}

impl Parser {
    /// Forks the parser. `greet` is false after STARTTLS.
    ///
    /// # Errors
    /// Those of socketpair(2) and fork(2).
    pub fn start(
        paths: &Paths,
        environment: &Environment,
        settings: &Settings,
        prepare: Prepare,
        greet: bool,
        deadline: Instant,
    ) -> io::Result<Self> {
        // The lower one goes to the parser, so that it can close everything above.
        let (theirs, ours) = fd::message_pair()?;
        match fork()? {
            Fork::Parent(pid) => Ok(Self {
                pid,
                channel: ours,
                reaped: false,
            }),
            Fork::Child => {
                let dialog = prepare(environment, settings);
                if let Err(error) = confine(paths, &theirs) {
                    log(Level::Err, format_args!("cannot start the parser: {error}"));
                    exit_now(1)
                }
                converse(&theirs, settings, dialog, greet, deadline);
                // `ours` is closed already and must not be dropped; nothing else needs to be.
                exit_now(0)
            }
        }
    }

    /// The monitor's end of the channel.
    pub fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Ends the parser, whatever it is doing, and waits until it is gone: from here on nobody reads from the peer.
    /// Tells how it ended.
    pub fn end(&mut self) -> Option<WaitStatus> {
        if self.reaped {
            return None;
        }
        // ESRCH is impossible for a child that has not been waited for.
        if let Err(errno) = nix::sys::signal::kill(self.pid, Signal::SIGKILL) {
            log(Level::Err, format_args!("kill: {}", errno.desc()));
        }
        self.reap()
    }

    /// Waits for a parser that ends by itself. Tells how it ended.
    pub fn reap(&mut self) -> Option<WaitStatus> {
        while !self.reaped {
            match waitpid(self.pid, None) {
                Err(Errno::EINTR) => {}
                result => {
                    self.reaped = true;
                    return result.ok();
                }
            }
        }
        None
    }
}

/// Gives up everything that conversation does not need, descriptors above `channel` among it.
///
/// # Errors
/// Descriptors cannot be closed, or privileges not be given up.
pub(super) fn confine(paths: &Paths, channel: &OwnedFd) -> io::Result<()> {
    let first_unused = channel.as_raw_fd().unsigned_abs().saturating_add(1);
    fd::close_from(first_unused)?;
    if nix::unistd::geteuid().is_root() {
        // For good, as it makes sure of.
        drop_privileges(&mail_user(paths)).map_err(io::Error::other)?;
    }
    let ceilings = Ceilings {
        descriptors: u64::from(first_unused),
        heap: HEAP_MAX,
        cpu_seconds: CPU_MAX,
    };
    // A kernel without one of the mechanisms is worth a line, not a refused login.
    if let Err(error) = sandbox::limit(ceilings).and_then(|()| sandbox::converse_only()) {
        log(Level::Warning, format_args!("sandbox: {error}"));
    }
    Ok(())
}

/// The mail user. authdaemond's directory belongs to it, which one call tells; the system's user database takes a
/// dozen and may ask the network, so it is for directories that were set up differently.
pub(super) fn mail_user(paths: &Paths) -> Identity {
    if let Ok(directory) = std::fs::metadata(&paths.authdaemonvar) {
        if directory.uid() != 0 && directory.gid() != 0 {
            return Identity {
                uid: Uid::from_raw(directory.uid()),
                gid: Gid::from_raw(directory.gid()),
                groups: None,
            };
        }
    }
    let name = paths.mailuser.as_os_str().as_bytes();
    if let Ok(Some(identity)) = identity(name, Groups::Primary) {
        return identity;
    }
    log(
        Level::Warning,
        format_args!("{}: no such user", paths.mailuser.display()),
    );
    Identity {
        uid: Uid::from_raw(NOBODY),
        gid: Gid::from_raw(NOBODY),
        groups: None,
    }
}

/// Runs the dialog and tells the monitor how it ended.
fn converse(
    channel: &OwnedFd,
    settings: &Settings,
    dialog: Dialog,
    greet: bool,
    deadline: Instant,
) {
    let mut talk = Talk {
        peer: Peer::new(fd::stdin(), fd::stdout(), channel.as_fd(), deadline),
        settings,
        greet,
        channel,
    };
    let ending = dialog(&mut talk).and_then(|ending| talk.peer.flush().map(|()| ending));
    let end = match ending {
        Ok(Ending::StartTls(tag)) => {
            if talk.tell(&Request::StartTls { tag }).is_err() {
                exit_now(1)
            }
            return;
        }
        Ok(Ending::End(end)) => end,
        Err(Gone::Peer) => End::Disconnected,
        Err(Gone::Time) => {
            let text = settings.protocol.farewell("Login timed out.");
            last_words(fd::stdout(), &text);
            End::TimedOut
        }
        Err(Gone::Monitor) => exit_now(1),
    };
    let (received, sent) = talk.peer.counts();
    let request = Request::End {
        end,
        received,
        sent,
    };
    if talk.tell(&request).is_err() {
        exit_now(1)
    }
    if !matches!(end, End::Logout | End::Disconnected) {
        talk.peer.linger();
    }
}
