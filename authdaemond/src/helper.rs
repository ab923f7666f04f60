//! What the helper programs share: a loop that reads requests from the worker on descriptor 0 and writes what the
//! server said back. Each helper speaks one server's protocol and knows nothing about accounts or passwords; it runs
//! without privilege and ends when the worker closes its side.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use courier::sys::confine::hide;
use courier::sys::fd::stdin;
use courier::sys::log::{Level, install_panic_hook, log, reason};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use crate::wire::{Decoded, Field, Frame, Kind};

/// How long the worker may take to read an answer; it reads at once, or it is gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// A connection that was of use so recently is not asked whether it still is.
const UNDOUBTED: Duration = Duration::from_secs(60);

/// Bytes of memory; far more than the longest answer needs, and less than brings a machine down.
const MEMORY: u64 = 1 << 30;

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The server said no: a wrong password, a faulty statement. Asking again gives the same answer.
    Refused(String),
    /// The server is away, or its answer is.
    Unavailable(String),
}

/// The settings that the worker sent.
#[derive(Debug, Default)]
pub struct Settings(Vec<(Vec<u8>, Vec<u8>)>);

impl Settings {
    fn of(frame: &Frame) -> Self {
        let mut fields = frame
            .fields
            .iter()
            .map(|field| field.clone().unwrap_or_default());
        let mut pairs = Vec::new();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            pairs.push((name, value));
        }
        Self(pairs)
    }

    /// The value of `name`; `None` when it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|(known, _)| known == name.as_bytes())
            .map(|(_, value)| value.as_slice())
            .filter(|value| !value.is_empty())
    }

    /// As [`get`](Self::get), if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// The leading digits of [`get`](Self::get).
    pub fn number(&self, name: &str) -> Option<u64> {
        let value = self.text(name)?;
        let digits = value.len() - value.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        value.get(..digits)?.parse().ok()
    }
}

/// Where the rows of an answer go.
#[derive(Debug)]
pub struct Rows<'a> {
    socket: &'a UnixStream,
    /// Whether the worker has got any.
    begun: bool,
}

impl<'a> Rows<'a> {
    fn new(socket: &'a UnixStream) -> Self {
        Self {
            socket,
            begun: false,
        }
    }

    /// Sends one row.
    ///
    /// # Errors
    /// The row is too long for the worker, or the worker is gone.
    pub fn send(&mut self, fields: Vec<Field>) -> Result<(), Problem> {
        let frame = Frame {
            kind: Kind::Row,
            fields,
        };
        self.begun = true;
        send(self.socket, &frame).map_err(|error| Problem::Unavailable(reason(&error)))
    }
}

/// A connection to a server of one kind.
pub trait Backend {
    /// Carries one request out and says how many rows it concerned.
    ///
    /// # Errors
    /// [`Problem`].
    fn answer(&mut self, request: &Frame, rows: &mut Rows<'_>) -> Result<u64, Problem>;
}

/// A connection that stays open from one request to the next.
#[derive(Debug)]
pub struct Kept<C> {
    /// The connection, and when it was last of use.
    open: Option<(C, Instant)>,
}

impl<C> Default for Kept<C> {
    fn default() -> Self {
        Self { open: None }
    }
}

impl<C> Kept<C> {
    /// Does `work` with the connection. It is made if there is none, asked with `alive` if it was not used for a
    /// while, and made once more if it turns out to be broken, unless rows were sent already.
    ///
    /// # Errors
    /// Those of the last try.
    pub fn with(
        &mut self,
        rows: &mut Rows<'_>,
        connect: impl Fn() -> Result<C, Problem>,
        alive: impl FnOnce(&mut C) -> bool,
        mut work: impl FnMut(&mut C, &mut Rows<'_>) -> Result<u64, Problem>,
    ) -> Result<u64, Problem> {
        if let Some((mut connection, used)) = self.open.take() {
            if used.elapsed() < UNDOUBTED || alive(&mut connection) {
                match work(&mut connection, rows) {
                    Err(Problem::Unavailable(why)) if rows.begun => {
                        return Err(Problem::Unavailable(why));
                    }
                    Err(Problem::Unavailable(_)) => {}
                    answer => {
                        self.open = Some((connection, Instant::now()));
                        return answer;
                    }
                }
            }
        }
        let mut connection = connect()?;
        let answer = work(&mut connection, rows);
        if !matches!(answer, Err(Problem::Unavailable(_))) {
            self.open = Some((connection, Instant::now()));
        }
        answer
    }
}

/// A helper's life. `open` makes the back end from the settings; it connects when it is first asked something.
pub fn run<B: Backend>(open: impl FnOnce(&Settings) -> Result<B, Problem>) -> ExitCode {
    install_panic_hook();
    let result = limit_memory()
        .and_then(|()| end_with_worker())
        .and_then(|()| hide().map_err(io::Error::other))
        .and_then(|()| stdin().try_clone_to_owned())
        .and_then(|socket| serve(&UnixStream::from(socket), open));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(
                Level::Err,
                format_args!(
                    "not usable by hand; authdaemond starts it ({})",
                    reason(&error)
                ),
            );
            ExitCode::FAILURE
        }
    }
}

/// Client libraries take messages of any length that a server announces.
fn limit_memory() -> io::Result<()> {
    // The administrator's limit may be lower, and cannot be raised.
    let (_, most) = getrlimit(Resource::RLIMIT_DATA)?;
    let limit = most.min(MEMORY);
    Ok(setrlimit(Resource::RLIMIT_DATA, limit, limit)?)
}

/// Has the kernel end this process along with the worker. One that waits for its server does not see its socket
/// closed, and some servers let it wait for ever.
fn end_with_worker() -> io::Result<()> {
    // A worker that was gone before this call is noticed by the first look at the socket.
    Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?)
}

fn serve<B: Backend>(
    socket: &UnixStream,
    open: impl FnOnce(&Settings) -> Result<B, Problem>,
) -> io::Result<()> {
    socket.set_write_timeout(Some(WRITE_PATIENCE))?;
    let mut buffer = Vec::new();
    let Some(first) = receive(socket, &mut buffer)? else {
        return Ok(());
    };
    if first.kind != Kind::Open {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut backend = open(&Settings::of(&first));
    while let Some(request) = receive(socket, &mut buffer)? {
        let answer = match &mut backend {
            Ok(backend) => backend.answer(&request, &mut Rows::new(socket)),
            Err(problem) => Err(problem.clone()),
        };
        let frame = match &answer {
            Ok(count) => Frame::new(Kind::Done, [count.to_string().as_bytes()]),
            Err(Problem::Refused(why)) => Frame::new(Kind::Refused, [why.as_bytes()]),
            Err(Problem::Unavailable(why)) => Frame::new(Kind::Unavailable, [why.as_bytes()]),
        };
        send(socket, &frame)?;
    }
    Ok(())
}

fn send(mut socket: &UnixStream, frame: &Frame) -> io::Result<()> {
    let bytes = frame
        .encode()
        .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    socket.write_all(&bytes)
}

/// The next request; `None` when the worker has closed its side.
fn receive(mut socket: &UnixStream, buffer: &mut Vec<u8>) -> io::Result<Option<Frame>> {
    let mut chunk = [0_u8; 8192];
    loop {
        match Frame::decode(buffer) {
            Decoded::Frame(frame, length) => {
                buffer.drain(..length);
                return Ok(Some(frame));
            }
            Decoded::Broken => return Err(io::ErrorKind::InvalidData.into()),
            Decoded::Incomplete => {}
        }
        match socket.read(&mut chunk) {
            Ok(0) => return Ok(None),
            Ok(count) => buffer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
