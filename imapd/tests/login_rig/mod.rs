//! Runs the built imaplogin on a socket, with an authdaemond made of a closure and a mail server made of a shell
//! script that reports how it was started.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)] // test code: a failure is a failed test

use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The login program of the package under test.
pub(crate) fn program() -> &'static str {
    option_env!("CARGO_BIN_EXE_imaplogin")
        .or(option_env!("CARGO_BIN_EXE_pop3login"))
        .unwrap()
}

/// The uid and gid of the account when the tests run as root.
pub(crate) const ACCOUNT: u32 = 5000;

/// Reports everything a session can see, then what is left in the socket. Descriptor 10 is the script itself.
const PROBE: &str = r#"#!/bin/sh
echo "started $0 $1"
tr '\0' '\n' </proc/$$/environ | sed 's/^/env /'
find /proc/$$/fd -type l ! -lname "$0" -printf 'fd %f %l\n'
grep -E '^(Uid|Gid|Groups|Seccomp|NoNewPrivs|SigBlk|SigIgn|NSpid):' /proc/$$/status | sed 's/^/status /'
echo "cwd $(readlink /proc/$$/cwd)"
echo end
exec cat
"#;

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// `UID=..`, `GID=..` of an account that this process may become.
pub(crate) fn ids() -> (u32, u32) {
    if is_root() {
        (ACCOUNT, ACCOUNT)
    } else {
        (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        )
    }
}

/// Makes a script that can be executed. Another process writes it: a file that is open for writing, be it in a child
/// that another test has just forked off this process, cannot be executed.
pub(crate) fn put_program(path: &Path, text: &str) {
    let mut writer = Command::new("sh")
        .args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = writer.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    assert!(writer.wait().unwrap().success());
}

/// A directory with everything one imaplogin needs.
pub(crate) struct Rig {
    directory: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Rig {
    /// With an authdaemond that answers each request by `reply`.
    pub(crate) fn new(reply: impl Fn(&str) -> Option<String> + Send + 'static) -> Self {
        let rig = Self::without_daemon();
        let listener = UnixListener::bind(rig.path("socket")).unwrap();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                answer(connection.unwrap(), &reply);
            }
        });
        rig
    }

    /// With an account `alice`, password `secret`.
    pub(crate) fn with_alice() -> Self {
        let rig = Self::without_daemon();
        let account = rig.account("alice", "");
        rig.serve(move |request| {
            Some(if request.ends_with("\nlogin\nalice\nsecret\n") {
                account.clone()
            } else {
                "FAIL\n".to_owned()
            })
        });
        rig
    }

    /// With nobody listening on the socket.
    pub(crate) fn without_daemon() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        put_program(&path("probe"), PROBE);
        std::fs::create_dir(path("home")).unwrap();
        let paths = format!(
            "authdaemonvar={}\nmailuser=daemon\nmailgroup=daemon\n",
            directory.path().display()
        );
        std::fs::write(path("paths"), paths).unwrap();
        Self {
            directory,
            variables: Vec::new(),
        }
    }

    pub(crate) fn serve(&self, reply: impl Fn(&str) -> Option<String> + Send + 'static) {
        let listener = UnixListener::bind(self.path("socket")).unwrap();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                answer(connection.unwrap(), &reply);
            }
        });
    }

    /// authdaemond's words for an account that lives in this directory.
    pub(crate) fn account(&self, name: &str, extra: &str) -> String {
        let (uid, gid) = ids();
        let home = self.path("home");
        format!(
            "UID={uid}\nGID={gid}\nHOME={}\nADDRESS={name}\n{extra}.\n",
            home.display()
        )
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Makes `program` the mail server in place of the probe.
    pub(crate) fn replace_probe(&self, program: &str) {
        // As in `put_program`.
        let copied = Command::new("cp")
            .arg(program)
            .arg(self.path("probe"))
            .status();
        assert!(copied.unwrap().success());
    }

    /// Moves a maildir into the account's home directory and gives it to the account.
    pub(crate) fn adopt_maildir(&self, maildir: &Path) {
        let to = self.path("home/Maildir");
        std::fs::create_dir(&to).unwrap();
        give(&to);
        copy_and_give(maildir, &to);
    }

    /// Starts imaplogin with the probe as its mail server.
    pub(crate) fn start(&self) -> Login {
        let (client, server) = UnixStream::pair().unwrap();
        let input: OwnedFd = server.try_clone().unwrap().into();
        self.start_on(input.into(), OwnedFd::from(server).into(), client)
    }

    /// The same with any descriptors for the peer; `client` is the other end of both.
    pub(crate) fn start_on(&self, input: Stdio, output: Stdio, client: UnixStream) -> Login {
        let log = self.path("log");
        let mut command = Command::new(program());
        command
            .arg(self.path("probe"))
            .arg("Maildir")
            .env_clear()
            .env("COURIER_PATHS", self.path("paths"))
            .env("TCPREMOTEIP", "::ffff:192.0.2.7")
            .env("TCPREMOTEPORT", "4711")
            .env("TCPLOCALPORT", "143")
            .env("PATH", "/usr/bin:/bin")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(input)
            .stdout(output)
            .stderr(File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        // Only the child may hold the server's end, or its end of file would never be seen.
        drop(command);
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Login {
            child,
            reader: BufReader::new(client.try_clone().unwrap()),
            client,
            log,
            rig: None,
        }
    }
}

fn give(path: &Path) {
    let (uid, gid) = ids();
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
}

fn copy_and_give(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_and_give(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
        give(&target);
    }
}

/// Reads one request as far as a whole one reaches, and answers it; `None` closes without a word.
fn answer(mut connection: UnixStream, reply: &dyn Fn(&str) -> Option<String>) {
    connection
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&request) {
        match connection.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => request.extend_from_slice(&buffer[..count]),
        }
    }
    if let Some(text) = reply(&String::from_utf8_lossy(&request)) {
        // The asker may be gone in tests that kill it.
        connection.write_all(text.as_bytes()).ok();
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some(command) = text
        .lines()
        .find(|line| line.starts_with("AUTH ") || line.starts_with("PRE "))
    else {
        return false;
    };
    match command.strip_prefix("AUTH ") {
        None => text.ends_with('\n'),
        Some(length) => {
            let start = text.find(command).unwrap() + command.len() + 1;
            request.len() >= start + length.parse::<usize>().unwrap()
        }
    }
}

/// A running imaplogin and the client's end of its connection.
pub(crate) struct Login {
    pub(crate) child: Child,
    pub(crate) client: UnixStream,
    reader: BufReader<UnixStream>,
    log: PathBuf,
    rig: Option<Rig>,
}

impl Login {
    /// Keeps its files as long as this.
    pub(crate) fn keep(&mut self, rig: Rig) {
        self.rig = Some(rig);
    }

    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) {
        self.client.write_all(text.as_ref()).unwrap();
    }

    /// One line without its line end; empty at the end of file.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).unwrap();
        let line = String::from_utf8_lossy(&line);
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    pub(crate) fn greeting(&mut self) -> String {
        let line = self.line();
        assert!(line.starts_with("* OK [CAPABILITY IMAP4rev1"), "{line}");
        assert!(line.contains("] Courier-IMAP ready."), "{line}");
        line
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    /// Sends a line and expects one back.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str, expected: &str) {
        self.send(format!("{command}\r\n"));
        self.expect(expected);
    }

    /// Everything until the end of file.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// What the probe reports.
    pub(crate) fn report(&mut self) -> Report {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "{}", self.log());
            if line == "end" {
                return Report(lines);
            }
            lines.push(line);
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The exit status, and the log then.
    pub(crate) fn finish(&mut self) -> (Option<i32>, String) {
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), self.log());
            }
            assert!(Instant::now() < limit, "imaplogin does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The parser's process id.
    pub(crate) fn parser(&self) -> u32 {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.trim().parse().unwrap()
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().ok();
        }
        self.child.wait().ok();
    }
}

/// A field of `/proc/PID/status`.
pub(crate) fn status(pid: u32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// The probe's lines.
pub(crate) struct Report(Vec<String>);

impl Report {
    /// The lines that begin with `word`, without it.
    pub(crate) fn all(&self, word: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '))
            .collect()
    }

    #[track_caller]
    pub(crate) fn one(&self, word: &str) -> &str {
        let all = self.all(word);
        assert_eq!(all.len(), 1, "{word}: {all:?}");
        all[0]
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.all("env")
            .into_iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    /// Numbers of the open descriptors, in order.
    pub(crate) fn descriptors(&self) -> Vec<&str> {
        let mut numbers: Vec<_> = self
            .all("fd")
            .into_iter()
            .filter_map(|line| line.split(' ').next())
            .collect();
        numbers.sort_unstable();
        numbers
    }

    pub(crate) fn status(&self, field: &str) -> String {
        let line = self
            .all("status")
            .into_iter()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Resident memory of `pid` in KiB.
pub(crate) fn resident(pid: u32) -> u64 {
    status(pid, "VmRSS")
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

pub(crate) fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
