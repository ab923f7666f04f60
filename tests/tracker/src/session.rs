//! Running a session and reading its answers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The session has ended.
#[derive(Debug)]
pub struct Gone;

/// A process that serves one client.
#[derive(Debug)]
pub struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What a session has said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// HIGHESTMODSEQ; 0 where it does not last.
    pub highest: u64,
    /// UIDVALIDITY.
    pub validity: u32,
    /// UIDNEXT.
    pub next: u32,
    /// By UID: MODSEQ, and flags and keywords. All messages, or what has changed.
    pub messages: BTreeMap<u32, (u64, String)>,
    /// What is not there any more.
    pub vanished: Vec<(u32, u32)>,
}

impl Answer {
    /// An answer as the program prints it, without the line end; `None` if it is `no` or makes no sense.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("ok ")?.split(' ');
        let mut answer = Self {
            highest: words.next()?.parse().ok()?,
            validity: words.next()?.parse().ok()?,
            next: words.next()?.parse().ok()?,
            ..Self::default()
        };
        for word in words {
            if let Some(range) = word.strip_prefix('-') {
                let (first, last) = range.split_once(':')?;
                answer
                    .vanished
                    .push((first.parse().ok()?, last.parse().ok()?));
                continue;
            }
            let (uid, rest) = word.split_once('/')?;
            let (modseq, state) = rest.split_once('/')?;
            let message = (modseq.parse().ok()?, state.to_owned());
            answer.messages.insert(uid.parse().ok()?, message);
        }
        Some(answer)
    }
}

impl Session {
    /// Starts `program` on the maildir.
    ///
    /// # Errors
    /// Those of spawn.
    pub fn start(program: &Path, maildir: &Path) -> std::io::Result<Self> {
        let mut command = Command::new(program);
        command.arg(maildir);
        Self::spawn(command)
    }

    /// As [`Self::start`] with a command of the caller's.
    ///
    /// # Errors
    /// Those of spawn.
    pub fn spawn(mut command: Command) -> std::io::Result<Self> {
        let mut child = command
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err(std::io::Error::other("no pipes"));
        };
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    /// Process id, to stop or kill it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a command whose answer nobody waits for.
    ///
    /// # Errors
    /// The session has ended.
    pub fn send(&mut self, text: &str) -> Result<(), Gone> {
        let sent = writeln!(self.input, "{text}").and_then(|()| self.input.flush());
        sent.map_err(|_| Gone)
    }

    /// One command; `None` for one that was refused.
    ///
    /// # Errors
    /// The session has ended.
    pub fn command(&mut self, text: &str) -> Result<Option<Answer>, Gone> {
        self.send(text)?;
        let mut line = String::new();
        let read = self.output.read_line(&mut line).map_err(|_| Gone)?;
        match line.strip_suffix('\n') {
            Some(line) if read > 0 => Ok(Answer::parse(line)),
            _ => Err(Gone),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself; either way there is nothing left to do about it.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
