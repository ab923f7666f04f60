//! One imapd process and its maildir.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(8);

/// A home directory with an empty maildir in it.
pub(crate) struct Home {
    directory: tempfile::TempDir,
}

/// What a session that has ended left behind.
pub(crate) struct Ended {
    pub(crate) output: String,
    pub(crate) log: String,
    pub(crate) status: ExitStatus,
}

/// A session that runs.
pub(crate) struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    log: Receiver<Vec<u8>>,
    pending: Vec<u8>,
    /// The line that [`Self::pass_over`] ended with.
    last: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(directory.path().join("Maildir").join(part)).unwrap();
        }
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn maildir(&self) -> PathBuf {
        self.path().join("Maildir")
    }

    /// Puts a message into `cur` of a folder (`.` for INBOX), with a file name that gives its flags.
    pub(crate) fn place(&self, folder: &str, name: &str) -> PathBuf {
        let path = self.maildir().join(folder).join("cur").join(name);
        fs::write(&path, format!("Subject: {name}\n\nBody of {name}.\n")).unwrap();
        path
    }

    /// Delivers a message to `new`.
    pub(crate) fn deliver(&self, folder: &str, name: &str) {
        let tmp = self.maildir().join(folder).join("tmp").join(name);
        fs::write(&tmp, format!("Subject: {name}\n\nBody of {name}.\n")).unwrap();
        fs::rename(tmp, self.maildir().join(folder).join("new").join(name)).unwrap();
    }

    pub(crate) fn folder(&self, name: &str) {
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(self.maildir().join(name).join(part)).unwrap();
        }
    }

    /// A command that starts imapd here, pre-authenticated, with nothing else in its environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imapd"));
        command
            .current_dir(self.path())
            .env_clear()
            .env("AUTHENTICATED", "ann")
            .env("TZ", "UTC")
            .env("IMAP_KEYWORDS", "1");
        command
    }

    /// Starts a session and takes the greeting.
    pub(crate) fn start(&self) -> Session {
        let mut session = Session::spawn(self.command());
        session.expect("* PREAUTH");
        session
    }

    /// Sends all of `input` at once, and the end of input.
    pub(crate) fn run(&self, input: &[u8]) -> Ended {
        run(self.command(), input)
    }
}

/// As [`Home::run`] with a command of the caller's.
pub(crate) fn run(command: Command, input: &[u8]) -> Ended {
    let mut session = Session::spawn(command);
    session.send(input);
    session.end()
}

impl Session {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = follow(child.stdout.take().unwrap());
        let log = follow(child.stderr.take().unwrap());
        Self {
            input: child.stdin.take(),
            child,
            output,
            log,
            pending: Vec::new(),
            last: String::new(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends bytes as they are. A session that ends early does not read them.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if let Some(input) = &mut self.input {
            input.write_all(bytes).ok();
        }
    }

    /// Sends a command and returns everything up to its tagged reply, which must begin with `status`.
    pub(crate) fn ask(&mut self, command: &str, status: &str) -> Vec<String> {
        self.send(format!("t {command}\r\n").as_bytes());
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if let Some(reply) = line.strip_prefix("t ") {
                assert!(
                    reply.starts_with(status),
                    "{command}: {reply:?}, before it {lines:?}"
                );
                lines.push(line);
                return lines;
            }
            lines.push(line);
        }
    }

    /// Reads and drops output up to and including a line that begins with `start`; returns how many bytes that was.
    /// For large replies: as patient as a loaded machine may need.
    pub(crate) fn pass_over(&mut self, start: &str) -> usize {
        const MOST: Duration = Duration::from_secs(120);
        let needle = format!("\r\n{start}");
        let mut seen = 0;
        let deadline = Instant::now() + MOST;
        loop {
            // The line may also be the first of all.
            let found = if self.pending.starts_with(start.as_bytes()) {
                self.last = self.line();
                return seen + self.last.len() + 2;
            } else {
                memchr::memmem::find(&self.pending, needle.as_bytes())
            };
            if let Some(at) = found {
                let rest = self.pending.split_off(at + 2);
                seen += self.pending.len();
                self.pending = rest;
                self.last = self.line();
                return seen + self.last.len() + 2;
            }
            // What may be the beginning of it stays.
            let keep = self.pending.len().min(needle.len() - 1);
            seen += self.pending.len() - keep;
            self.pending.drain(..self.pending.len() - keep);
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.pending.extend(bytes),
                Err(RecvTimeoutError::Timeout) => panic!("no {start} in time"),
                Err(RecvTimeoutError::Disconnected) => panic!("the session ended"),
            }
        }
    }

    /// The line that [`Self::pass_over`] ended with, behind its tag.
    pub(crate) fn last_line(&self) -> &str {
        self.last.split_once(' ').map_or("", |(_, rest)| rest)
    }

    /// Reads and drops lines up to one that begins with `start`.
    pub(crate) fn skip_to(&mut self, start: &str) {
        while !self.line().starts_with(start) {}
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return String::from_utf8_lossy(&line).trim_end().to_owned();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.pending.extend(bytes),
                Err(RecvTimeoutError::Timeout) => panic!("no reply in time"),
                Err(RecvTimeoutError::Disconnected) => panic!("the session ended"),
            }
        }
    }

    /// The next line must begin with `start`.
    pub(crate) fn expect(&mut self, start: &str) -> String {
        let line = self.line();
        assert!(line.starts_with(start), "{line:?} in place of {start:?}");
        line
    }

    /// No line may come for a while.
    pub(crate) fn expect_silence(&mut self) {
        if let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(200)) {
            panic!("unexpected {:?}", String::from_utf8_lossy(&bytes));
        }
    }

    /// Most memory that the process has had, in kB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Closes the input and waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.input.take());
        self.end_of_itself()
    }

    /// Waits for an end that needs no end of the input.
    pub(crate) fn end_of_itself(mut self) -> Ended {
        let mut output = std::mem::take(&mut self.pending);
        drain(&self.output, &mut output);
        let mut log = Vec::new();
        drain(&self.log, &mut log);
        let status = self.child.wait().unwrap();
        Ended {
            output: String::from_utf8_lossy(&output).into_owned(),
            log: String::from_utf8_lossy(&log).into_owned(),
            status,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Already gone in most cases.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Ended {
    /// The output must hold these pieces, in this order.
    pub(crate) fn has(&self, pieces: &[&str]) {
        let mut rest = self.output.as_str();
        for piece in pieces {
            match rest.find(piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => panic!("no {piece:?} (in order) in:\n{}", self.output),
            }
        }
    }

    pub(crate) fn has_not(&self, piece: &str) {
        assert!(
            !self.output.contains(piece),
            "{piece:?} in:\n{}",
            self.output
        );
    }

    pub(crate) fn logged(&self, piece: &str) {
        assert!(
            self.log.contains(piece),
            "no {piece:?} in log:\n{}",
            self.log
        );
    }
}

fn follow(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Ok(read) = from.read(&mut buffer) {
            if read == 0 || sender.send(buffer[..read].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

fn drain(from: &Receiver<Vec<u8>>, to: &mut Vec<u8>) {
    loop {
        match from.recv_timeout(PATIENCE) {
            Ok(bytes) => to.extend(bytes),
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => panic!("the session does not end"),
        }
    }
}
