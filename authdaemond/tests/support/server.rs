//! Private servers of the databases and directories that authdaemond asks: their own data, on UNIX sockets and
//! loopback, as an unprivileged user, gone with the test.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

/// A server program with its data.
pub(crate) struct Server {
    pub(crate) directory: tempfile::TempDir,
    /// Whom the server runs as, if not as we do.
    user: Option<(u32, u32)>,
    process: Option<Child>,
    arguments: Vec<String>,
}

/// The first of `candidates` that is there.
pub(crate) fn installed(candidates: &[&str]) -> Option<PathBuf> {
    candidates
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

/// PostgreSQL's directory of programs, the newest.
pub(crate) fn postgresql() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|directory| directory.join("postgres").exists())
        .collect();
    versions.sort();
    versions.pop().or_else(|| {
        let fedora = PathBuf::from("/usr/bin");
        fedora.join("initdb").exists().then_some(fedora)
    })
}

impl Server {
    /// An empty place for a server that runs as `name`, when we are root; as ourselves otherwise.
    pub(crate) fn prepare(name: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("sv").tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let user = nix::unistd::geteuid().is_root().then(|| {
            let user = User::from_name(name)
                .unwrap()
                .unwrap_or_else(|| User::from_name("nobody").unwrap().unwrap());
            (user.uid.as_raw(), user.gid.as_raw())
        });
        let server = Self {
            directory,
            user,
            process: None,
            arguments: Vec::new(),
        };
        server.give(server.directory.path());
        server
    }

    /// Makes the server's user the owner.
    pub(crate) fn give(&self, path: &Path) {
        if let Some((uid, gid)) = self.user {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `program` as the server's user.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.gid(gid).uid(uid);
        }
        command
    }

    /// Runs `program` to its end.
    pub(crate) fn run(&self, program: &Path, arguments: &[&str]) {
        let output = self.command(program).args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{}: {}{}",
            program.display(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Starts the server itself and waits until `ready` says that it answers.
    pub(crate) fn start(
        &mut self,
        program: &Path,
        arguments: &[String],
        ready: impl Fn(&Self) -> bool,
    ) {
        self.arguments = arguments.to_vec();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let child = self
            .command(program)
            .args(arguments)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(child);
        let begun = Instant::now();
        while !ready(self) {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(60),
                "{} does not answer: {}",
                program.display(),
                String::from_utf8_lossy(&std::fs::read(self.path("log")).unwrap())
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the server at once, as a crash would.
    pub(crate) fn kill(&mut self, signal: Signal) {
        if let Some(mut child) = self.process.take() {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            kill(pid, signal).unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
            // For PostgreSQL: leave at once, with all processes. The others are killed if it means nothing to them.
            let _ = kill(pid, Signal::SIGQUIT);
            let begun = Instant::now();
            while matches!(child.try_wait(), Ok(None)) {
                if begun.elapsed() > Duration::from_secs(3) {
                    let _ = child.kill();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// A certificate for `localhost` in `certificate.pem` with its key in `key.pem`, signed by itself.
pub(crate) fn certificate(directory: &Path) {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .arg("-keyout")
        .arg(directory.join("key.pem"))
        .arg("-out")
        .arg(directory.join("certificate.pem"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A port that nobody listens on.
pub(crate) fn port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
