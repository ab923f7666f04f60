//! A private authdaemond: its own directory, accounts, socket and log.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should say where"
)]

mod accounts;
pub(crate) mod server;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) const USERDB: &str = "# accounts of the contract's transcript\n\
alice\tuid=5000|gid=5000|home=/srv/mail/alice|mail=Maildir|quota=10000000S,500C|gecos=Alice Example,Room 5|options=disablepop3=0,sharedgroup=eng,group=staff|systempw={SHA256}XohImNooBHFR0OVvjcYpJ3NgPQ1qq73WKhHvch0VQtg=|imappw=$1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/|hmac-md5pw=63e89f623c7c33b871986e1b5046d91ceace469b44d211bf7a7f0c6fd4be739e\n\
bob@example.com\tuid=5001|gid=5001|home=/srv/mail/bob|systempw={MD5}zAPnR6avu8v4vnZorP6+5Q==\n\
al ice\tuid=5002|gid=5002|home=/srv/mail/space|systempw={MD5RAW}cc03e747a6afbbcbf8be7668acfebee5\n\
emptymail\tuid=5003|gid=5003|home=/h|mail\n\
rootuid\tuid=0|gid=5000|home=/h|systempw={MD5}zAPnR6avu8v4vnZorP6+5Q==\n\
rootgid\tuid=5000|gid=0|home=/h|systempw={MD5}zAPnR6avu8v4vnZorP6+5Q==\n\
nouid\tuid=|gid=5000|home=/h|systempw={MD5}zAPnR6avu8v4vnZorP6+5Q==\n\
nohome\tuid=5000|gid=5000|systempw={MD5}zAPnR6avu8v4vnZorP6+5Q==\n\
5000=\talice\n";

/// The password of most accounts and of alice's service imap.
pub(crate) const PASSWORD: &str = "test123";

pub(crate) struct Instance {
    pub(crate) directory: tempfile::TempDir,
    daemon: Option<Child>,
}

impl Instance {
    /// Accounts and settings; nothing runs yet.
    pub(crate) fn prepare(rc: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("ad").tempdir().unwrap();
        let path = directory.path();
        std::fs::create_dir(path.join("var")).unwrap();
        std::fs::set_permissions(path.join("var"), std::fs::Permissions::from_mode(0o750)).unwrap();
        std::fs::write(path.join("authdaemonrc"), rc).unwrap();
        let paths = format!(
            "userdb={0}/userdb\nauthdaemonvar={0}/var\nauthdaemonrc={0}/authdaemonrc\nlibexecdir={0}/libexec\n",
            path.display()
        );
        std::fs::write(path.join("paths"), paths).unwrap();
        let instance = Self {
            directory,
            daemon: None,
        };
        instance.accounts(USERDB);
        instance
    }

    /// Running, with the accounts above.
    pub(crate) fn start(rc: &str) -> Self {
        let mut instance = Self::prepare(rc);
        instance.launch();
        instance
    }

    /// Puts a built helper program where the daemon looks for it.
    pub(crate) fn helper(&self, name: &str, program: &str) {
        let directory = self.path("libexec/courier-authlib");
        std::fs::create_dir_all(&directory).unwrap();
        // A copy: the mail user of a root daemon need not be able to enter the directory of the build.
        std::fs::copy(program, directory.join(name)).unwrap();
        for directory in [self.directory.path(), &self.path("libexec"), &directory] {
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn accounts(&self, text: &str) {
        let path = self.path("userdb");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let output = self.tool(env!("CARGO_BIN_EXE_makeuserdb"), &[], "");
        assert!(output.status.success(), "{output:?}");
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("COURIER_PATHS", self.path("paths"));
        for name in ["DEBUG_LOGIN", "DEFAULTOPTIONS", "DEFDOMAIN", "TCPREMOTEIP"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn tool(&self, program: &str, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .command(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A tool that ends without reading is fine.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    pub(crate) fn launch(&mut self) {
        let command = self.command(env!("CARGO_BIN_EXE_authdaemond"));
        self.launch_as(command);
    }

    pub(crate) fn launch_as(&mut self, mut command: Command) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        self.daemon = Some(child);
        let socket = self.socket();
        wait_for("the socket", || UnixStream::connect(&socket).is_ok());
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("var/socket")
    }

    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.path("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn pid(&self) -> Pid {
        let id = self.daemon.as_ref().unwrap().id();
        Pid::from_raw(i32::try_from(id).unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Process ids of the workers.
    pub(crate) fn workers(&self) -> Vec<i32> {
        let pid = self.pid();
        let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let mut workers: Vec<i32> = list
            .split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect();
        workers.sort_unstable();
        workers
    }

    /// Ends the daemon and says with which status.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let mut child = self.daemon.take()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            if begun.elapsed() > Duration::from_secs(8) {
                child.kill().unwrap();
                panic!("the daemon did not end; log:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    /// One request, and everything up to the end of file.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        // A malformed request may be answered by a close before all of it is written.
        let _ = stream.write_all(request.as_ref());
        let mut reply = Vec::new();
        // A reset after the close counts as the end as well.
        let _ = stream.read_to_end(&mut reply);
        String::from_utf8_lossy(&reply).into_owned()
    }

    pub(crate) fn login(&self, service: &str, user: &str, password: &str) -> String {
        self.ask(auth(&format!("{service}\nlogin\n{user}\n{password}\n")))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
            // Twice: no patience needed.
            let _ = kill(pid, Signal::SIGTERM);
            let _ = kill(pid, Signal::SIGTERM);
            let _ = child.wait();
        }
    }
}

pub(crate) fn auth(body: &str) -> Vec<u8> {
    format!("AUTH {}\n{body}", body.len()).into_bytes()
}

pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "waited too long for {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the process with this id runs; one that ended and was not collected yet does not.
pub(crate) fn is_alive(id: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) fn skipped(why: &str) {
    // A test that cannot tell why it was skipped is skipped all the same.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
