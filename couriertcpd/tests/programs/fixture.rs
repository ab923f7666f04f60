//! A couriertcpd of one's own, and clients for it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as SocketName, UnixListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub(crate) const COURIERTCPD: &str = env!("CARGO_BIN_EXE_couriertcpd");
pub(crate) const COURIERLOGGER: &str = env!("CARGO_BIN_EXE_courierlogger");

/// Longest that anything may take here.
const PATIENCE: Duration = Duration::from_secs(8);

/// Waits until `check` has an answer.
pub(crate) fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = check() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

pub(crate) fn skip(why: &str) {
    writeln!(std::io::stderr().lock(), "skipped: {why}").unwrap();
}

/// A port that nobody listens on and no other test is given while this process lives: below the range the kernel
/// takes ports of outgoing connections from, and reserved by the name of an abstract socket.
pub(crate) fn free_port() -> u16 {
    static RESERVED: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let mut reserved = RESERVED.lock().unwrap();
    let start = std::process::id().wrapping_mul(61);
    let candidates = (0..PORTS)
        .map(|step| start.wrapping_add(step))
        .map(|number| 15_000 + (number % PORTS) as u16);
    for port in candidates {
        let name = SocketName::from_abstract_name(format!("courier-test-port-{port}")).unwrap();
        let Ok(reservation) = UnixListener::bind_addr(&name) else {
            continue;
        };
        let in_use = |address: IpAddr| {
            let error = TcpListener::bind((address, port)).err();
            error.is_some_and(|error| error.kind() == ErrorKind::AddrInUse)
        };
        if !in_use(Ipv4Addr::UNSPECIFIED.into()) && !in_use(Ipv6Addr::UNSPECIFIED.into()) {
            reserved.push(reservation);
            return port;
        }
    }
    panic!("no free port");
}

/// How many ports tests choose from.
const PORTS: u32 = 15_000;

/// Whether somebody listens on `port`, found without connecting.
pub(crate) fn listening(port: u16) -> bool {
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
        std::fs::read_to_string(table)
            .unwrap_or_default()
            .lines()
            .any(|line| {
                let mut fields = line.split_whitespace();
                let local = fields.nth(1).unwrap_or_default();
                local.ends_with(&format!(":{port:04X}")) && fields.nth(1) == Some("0A")
            })
    })
}

/// A running couriertcpd, ended with the test.
pub(crate) struct Tcpd {
    pub(crate) child: Child,
    pub(crate) port: u16,
    pub(crate) directory: tempfile::TempDir,
}

impl Tcpd {
    /// Starts it on a free port of 127.0.0.1 with `options` before LIST, serving `script` in a shell.
    pub(crate) fn start(options: &[&str], script: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), options, script)
    }

    /// As [`start`](Self::start); standard error goes to the file `log` in `directory`.
    pub(crate) fn start_in(directory: tempfile::TempDir, options: &[&str], script: &str) -> Self {
        for _attempt in 0..3 {
            let port = free_port();
            let list = format!("127.0.0.1.{port}");
            let mut arguments = options.to_vec();
            arguments.extend([list.as_str(), "/bin/sh", "-c", script]);
            let mut child = command(COURIERTCPD, &arguments)
                .stderr(File::create(directory.path().join("log")).unwrap())
                .spawn()
                .unwrap();
            let up = eventually("couriertcpd", || {
                if listening(port) {
                    return Some(true);
                }
                child.try_wait().unwrap().map(|_ended| false)
            });
            if up {
                return Self {
                    child,
                    port,
                    directory,
                };
            }
            let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
            assert!(log.contains("Address already in use"), "{log}");
        }
        panic!("no free port in three attempts");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        eventually(text, || self.log().contains(text).then_some(()));
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(SocketAddr::from(([127, 0, 0, 1], self.port)))
    }

    /// Connects and reads all there is until the other side closes.
    pub(crate) fn ask(&self) -> String {
        read_all(self.connect())
    }

    /// As [`ask`](Self::ask), as the client with the address 127.0.0.`host`.
    pub(crate) fn ask_from(&self, host: u8) -> String {
        read_all(self.connect_from(host))
    }

    pub(crate) fn connect_from(&self, host: u8) -> TcpStream {
        let socket = nix::sys::socket::socket(
            nix::sys::socket::AddressFamily::Inet,
            nix::sys::socket::SockType::Stream,
            nix::sys::socket::SockFlag::SOCK_CLOEXEC,
            None,
        )
        .unwrap();
        use std::os::fd::AsRawFd;
        let from = nix::sys::socket::SockaddrIn::new(127, 0, 0, host, 0);
        nix::sys::socket::bind(socket.as_raw_fd(), &from).unwrap();
        let to = nix::sys::socket::SockaddrIn::new(127, 0, 0, 1, self.port);
        nix::sys::socket::connect(socket.as_raw_fd(), &to).unwrap();
        with_timeout(TcpStream::from(socket))
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        send(self.pid(), signal);
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the end of couriertcpd", || child.try_wait().unwrap())
    }

    /// Processes started by couriertcpd that have not been waited for, zombies included.
    pub(crate) fn children(&self) -> Vec<u32> {
        children(self.pid())
    }
}

impl Drop for Tcpd {
    fn drop(&mut self) {
        let ended = self.child.try_wait().unwrap().is_some();
        if !ended {
            self.signal(nix::sys::signal::Signal::SIGTERM);
            self.child.wait().unwrap();
        }
    }
}

pub(crate) fn send(pid: u32, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
}

/// Whether `pid` exists and is no zombie.
pub(crate) fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

pub(crate) fn children(pid: u32) -> Vec<u32> {
    let wanted = pid.to_string();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|child| {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            let after_name = stat.rsplit(')').next().unwrap_or_default().to_owned();
            after_name.split_whitespace().nth(1) == Some(&wanted)
        })
        .collect()
}

/// A command with nothing on its standard input and a small environment.
pub(crate) fn command<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .stdin(Stdio::null());
    command
}

/// Exit status, standard output and standard error of a program that ends by itself.
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> (i32, String, String) {
    output(command(program, arguments))
}

pub(crate) fn output(mut command: Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let status = output.status;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        status
            .code()
            .or_else(|| status.signal().map(|number| -number))
            .unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    try_connect(address).unwrap()
}

pub(crate) fn try_connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    TcpStream::connect(address).map(with_timeout)
}

fn with_timeout(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(crate) fn read_all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    match stream.read_to_string(&mut text) {
        Ok(_) => text,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => text,
        Err(error) => panic!("reading the connection: {error}"),
    }
}

/// One line without its line feed.
pub(crate) fn read_line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            // A read with a time limit ends so when this process was stopped meanwhile.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(1) if byte != *b"\n" => line.push(byte[0]),
            read => {
                read.unwrap();
                break;
            }
        }
    }
    String::from_utf8(line).unwrap()
}

pub(crate) fn make_database(path: &Path, records: &[(&str, &str)]) {
    let temporary = path.with_extension("new");
    let mut writer = courier_dbm::Writer::create(&temporary, 0o644).unwrap();
    for (key, value) in records {
        assert!(writer.insert(key.as_bytes(), value.as_bytes()).unwrap());
    }
    writer.commit(path).unwrap();
}
