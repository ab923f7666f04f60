//! One private IMAP server: authdaemond and couriertcpd with what it starts, on a free loopback port, with every file
//! in a temporary directory. Ours, Debian's original, or any mixture of the two at the chain's joints.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{SocketAddr as SocketName, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::unistd::{Gid, Uid, User, chown, getgid, getuid};

use crate::account::{Account, fresh_ids};
use crate::process::{Process, output, write_file};
use crate::tls::{self, Tls};
use crate::{Error, programs};

/// Which implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This project.
    Ours,
    /// Debian's Courier packages.
    Reference,
}

impl Side {
    /// What `COURIER_UNDER_TEST` asks for; ours by default.
    ///
    /// # Errors
    /// Neither `ours` nor `reference`.
    pub fn under_test() -> Result<Self, Error> {
        match std::env::var("COURIER_UNDER_TEST").as_deref() {
            Err(_) | Ok("" | "ours") => Ok(Self::Ours),
            Ok("reference") => Ok(Self::Reference),
            Ok(other) => Err(Error::new(format!(
                "COURIER_UNDER_TEST={other}: expected ours or reference"
            ))),
        }
    }
}

/// Who provides which link of the chain.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    /// couriertcpd and imaplogin.
    pub login: Side,
    /// authdaemond and makeuserdb.
    pub auth: Side,
    /// imapd.
    pub session: Side,
}

impl Parts {
    /// The whole chain from one side.
    pub const fn all(side: Side) -> Self {
        Self {
            login: side,
            auth: side,
            session: side,
        }
    }
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Who provides which link.
    pub parts: Parts,
    /// Names of the accounts; the password of each is [`PASSWORD`].
    pub accounts: Vec<String>,
    /// Accounts of another server that this one serves too.
    pub guests: Vec<Account>,
    /// Account options by name, as in userdb's `options`.
    pub options: BTreeMap<String, String>,
    /// What userdb says of an account's maildir, by name, where that is not `Maildir`.
    pub maildirs: BTreeMap<String, String>,
    /// What couriertcpd runs instead of imaplogin.
    pub command: Option<Vec<OsString>>,
    /// What imaplogin runs instead of imapd.
    pub session_program: Option<PathBuf>,
    /// Settings that differ from [`SETTINGS`]; they win.
    pub environment: BTreeMap<String, String>,
    /// STARTTLS, and a second port that speaks TLS from the start.
    pub tls: Option<Tls>,
    /// Start no authdaemond.
    pub without_authdaemond: bool,
    /// The `cgroup.procs` file of the control group that accounts for the server's processes.
    pub cgroup: Option<PathBuf>,
    /// Lines that come first in `/etc/services`, where Debian's programs look for the ports of other servers.
    pub services: Option<String>,
    /// Where the state directory is made; the system's temporary directory when absent.
    pub below: Option<PathBuf>,
}

impl Setup {
    /// A server of `side` with the accounts `names`.
    pub fn new(side: Side, names: &[&str]) -> Self {
        Self {
            parts: Parts::all(side),
            accounts: names.iter().map(|&name| name.to_owned()).collect(),
            guests: Vec::new(),
            options: BTreeMap::new(),
            maildirs: BTreeMap::new(),
            command: None,
            session_program: None,
            environment: BTreeMap::new(),
            tls: None,
            without_authdaemond: false,
            cgroup: None,
            services: None,
            below: None,
        }
    }

    /// Changes one setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// The password of every test account.
pub const PASSWORD: &str = "secret";

/// The settings of a test server, those of the shipped configuration file as far as they matter.
pub const SETTINGS: [(&str, &str); 9] = [
    (
        "IMAP_CAPABILITY",
        "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE",
    ),
    ("IMAP_KEYWORDS", "1"),
    ("IMAP_ACL", "1"),
    ("IMAP_ENHANCEDIDLE", "1"),
    ("IMAP_IDLE_TIMEOUT", "60"),
    ("IMAP_MAILBOX_SANITY_CHECK", "1"),
    ("IMAP_TRASHFOLDERNAME", "Trash"),
    ("IMAP_USELOCKS", "1"),
    // The original sleeps two seconds in DELETE and RENAME without it.
    ("IMAP_BROKENUIDV", "1"),
];

/// A running server. Dropping it ends its processes and removes its files.
pub struct Server {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The port that speaks TLS from the start; 0 without [`Setup::tls`].
    pub tls_port: u16,
    /// couriertcpd.
    pub listener: Process,
    /// couriertcpd for [`Server::tls_port`].
    pub tls_listener: Option<Process>,
    /// couriertlsd.
    pub tls_service: Option<Process>,
    /// authdaemond, unless [`Setup::without_authdaemond`].
    pub authdaemond: Option<Process>,
    accounts: Vec<Account>,
    state: tempfile::TempDir,
}

impl Server {
    /// Starts what `setup` says and waits until it answers.
    ///
    /// # Errors
    /// [`Error::Skipped`] when the reference cannot run here.
    pub fn start(setup: &Setup) -> Result<Self, Error> {
        let state = state_directory(setup.below.as_deref())?;
        let top = state.path();
        for directory in ["etc", "run", "run/authdaemon", "home"] {
            let path = top.join(directory);
            DirBuilder::new()
                .mode(0o755)
                .create(&path)
                .map_err(|error| Error::io("mkdir", &path, &error))?;
        }
        let ids = fresh_ids();
        let mut accounts = setup.guests.clone();
        for name in &setup.accounts {
            let mut account = Account::create(&top.join("home"), name, PASSWORD, ids)?;
            account.options = setup.options.get(name).cloned().unwrap_or_default();
            if let Some(maildir) = setup.maildirs.get(name) {
                account.maildir_field.clone_from(maildir);
            }
            accounts.push(account);
        }
        write_configuration(top, &accounts)?;
        if let Some(services) = &setup.services {
            write_file(&top.join("services"), services.as_str(), 0o644)?;
        }
        let launcher = Launcher { setup, top };
        output(&mut launcher.makeuserdb()?)?;
        let authdaemond = if setup.without_authdaemond {
            None
        } else {
            let log = top.join("auth.log");
            let command = launcher.accounted(launcher.authdaemond()?);
            let mut process = Process::start("authdaemond", &command, &log)?;
            let socket = top.join("run/authdaemon/socket");
            process.wait_until(&log, || UnixStream::connect(&socket).is_ok())?;
            Some(process)
        };
        let log = top.join("log");
        let mut tls_service = None;
        if let Some(tls) = &setup.tls {
            tls::make_certificate(top)?;
            if tls.service {
                let command = launcher.accounted(launcher.couriertlsd()?);
                let mut process = Process::start("couriertlsd", &command, &log)?;
                let socket = top.join("run/couriertlsd.socket");
                process.wait_until(&log, || socket.exists())?;
                tls_service = Some(process);
            }
        }
        let port = free_port()?;
        let listen = |port: u16, tls: Option<&Tls>| -> Result<Process, Error> {
            let command = launcher.accounted(launcher.couriertcpd(port, tls)?);
            let mut listener = Process::start("couriertcpd", &command, &log)?;
            listener.wait_until(&log, || listening(port))?;
            Ok(listener)
        };
        let listener = listen(port, None)?;
        let tls_port = if setup.tls.is_some() { free_port()? } else { 0 };
        let tls_listener = setup
            .tls
            .as_ref()
            .map(|tls| listen(tls_port, Some(tls)))
            .transpose()?;
        Ok(Self {
            port,
            tls_port,
            listener,
            tls_listener,
            tls_service,
            authdaemond,
            accounts,
            state,
        })
    }

    /// The account `name`.
    ///
    /// # Errors
    /// There is none.
    pub fn account(&self, name: &str) -> Result<&Account, Error> {
        self.accounts
            .iter()
            .find(|account| account.name == name)
            .ok_or_else(|| Error::new(format!("no account {name}")))
    }

    /// The directory of everything that belongs to this server.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// What the programs logged so far: couriertcpd, imaplogin, imapd.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.state.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What authdaemond logged so far.
    pub fn auth_log(&self) -> String {
        let bytes = fs::read(self.state.path().join("auth.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits up to five seconds until some log lines contain all of `words`, and returns those lines.
    ///
    /// # Errors
    /// There is none; with the whole log.
    pub fn wait_for_log(&self, words: &[&str]) -> Result<Vec<String>, Error> {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let log = self.log();
            let lines: Vec<String> = log
                .lines()
                .filter(|line| words.iter().all(|word| line.contains(word)))
                .map(str::to_owned)
                .collect();
            if !lines.is_empty() {
                return Ok(lines);
            }
            if Instant::now() > end {
                return Err(Error::new(format!("no log line with {words:?} in:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Builds the commands of one server.
struct Launcher<'a> {
    setup: &'a Setup,
    top: &'a Path,
}

impl Launcher<'_> {
    fn makeuserdb(&self) -> Result<Command, Error> {
        self.command(self.setup.parts.auth, "makeuserdb", "/usr/sbin/makeuserdb")
    }

    fn authdaemond(&self) -> Result<Command, Error> {
        self.command(
            self.setup.parts.auth,
            "authdaemond",
            "/usr/lib/courier/courier-authlib/authdaemond",
        )
    }

    fn couriertlsd(&self) -> Result<Command, Error> {
        self.command(Side::Ours, "couriertlsd", "")
    }

    /// couriertcpd with all that it starts; with `tls`, connections go through couriertls first.
    fn couriertcpd(&self, port: u16, tls: Option<&Tls>) -> Result<Command, Error> {
        let parts = self.setup.parts;
        let couriertls = self.setup.tls.as_ref().map(|tls| tls.program);
        let foreign = parts.session == Side::Reference || couriertls == Some(Side::Reference);
        let mut command = match parts.login {
            Side::Ours if foreign => self.entered(programs::ours("couriertcpd")?.as_os_str())?,
            side => self.command(side, "couriertcpd", "/usr/sbin/couriertcpd")?,
        };
        command
            .args(["-address=127.0.0.1", "-maxprocs=300", "-maxperip=300"])
            .args(["-nodnslookup", "-noidentlookup"])
            .arg(port.to_string());
        if let Some(tls) = tls {
            command
                .envs([("IMAP_TLS", "1"), ("POP3_TLS", "1")])
                .envs([("IMAP_STARTTLS", "NO"), ("POP3_STARTTLS", "NO")])
                .envs(&tls.of_connections)
                .arg(tls.couriertls()?)
                .args(["-server", "-tcpd"]);
            match tls.program {
                Side::Reference => command.arg("-user=courier"),
                Side::Ours if getuid().is_root() => command.arg("-user=daemon"),
                Side::Ours => &mut command,
            };
        }
        if let Some(program) = &self.setup.command {
            command.args(program);
            return Ok(command);
        }
        let imapd = match &self.setup.session_program {
            Some(program) => program.clone(),
            None => program(parts.session, "imapd", "/usr/bin/imapd")?,
        };
        command
            .arg(program(
                parts.login,
                "imaplogin",
                "/usr/lib/courier/courier/imaplogin",
            )?)
            .arg(imapd)
            .arg("Maildir");
        Ok(command)
    }

    fn command(&self, side: Side, ours: &str, reference: &str) -> Result<Command, Error> {
        match side {
            Side::Ours => self.with_environment(Command::new(programs::ours(ours)?)),
            Side::Reference => self.entered(reference.as_ref()),
        }
    }

    /// `program` inside the root of Debian's Courier, which has its configuration and sockets where the packages
    /// compiled them in.
    fn entered(&self, program: &std::ffi::OsStr) -> Result<Command, Error> {
        let bind = |from: &Path, to: &Path| {
            let mut text = OsString::from(from);
            text.push("=");
            text.push(to);
            text
        };
        let programs = programs::directory()?;
        let mut command = Command::new(programs::peers_script());
        command
            .args(["enter", "courier"])
            .arg(self.top)
            .arg(bind(&self.top.join("etc"), Path::new("/etc/courier")))
            .arg(bind(&self.top.join("run"), Path::new("/run/courier")))
            .arg(bind(&programs, &programs))
            .args(
                self.setup
                    .guests
                    .iter()
                    .map(|guest| bind(&guest.home, &guest.home)),
            )
            .arg("--")
            .arg(program);
        self.with_environment(command)
    }

    fn accounted(&self, command: Command) -> Command {
        match &self.setup.cgroup {
            Some(processes) => in_cgroup(&command, processes),
            None => command,
        }
    }

    /// Nothing of the tester's own environment reaches the servers, except what makes instrumented programs work.
    fn with_environment(&self, mut command: Command) -> Result<Command, Error> {
        let kept: Vec<(OsString, OsString)> = std::env::vars_os()
            .filter(|(name, _)| {
                let name = name.to_string_lossy();
                name == "PEERS_CACHE" || name == "LLVM_PROFILE_FILE" || name == "RUST_BACKTRACE"
            })
            .collect();
        command
            .env_clear()
            .envs(kept)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TZ", "UTC")
            .env("COURIER_PATHS", self.top.join("paths"))
            .envs(SETTINGS);
        if let Some(tls) = &self.setup.tls {
            command.envs(tls.settings(self.top)?);
        }
        command.envs(&self.setup.environment);
        Ok(command)
    }
}

/// `command`, started in the control group of this `cgroup.procs` file. Its environment is taken over as it was set.
pub fn in_cgroup(command: &Command, processes: &Path) -> Command {
    let mut wrapped = Command::new("/bin/sh");
    wrapped
        .args(["-c", "echo $$ >\"$1\" && shift && exec \"$@\"", "sh"])
        .arg(processes)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    wrapped
}

fn program(side: Side, ours: &str, reference: &str) -> Result<PathBuf, Error> {
    match side {
        Side::Ours => programs::ours(ours),
        Side::Reference => Ok(PathBuf::from(reference)),
    }
}

/// A fresh directory for a server's state, which sessions of any uid can reach.
///
/// # Errors
/// It could not be made.
pub fn state_directory(below: Option<&Path>) -> Result<tempfile::TempDir, Error> {
    let parent = below.map_or_else(std::env::temp_dir, Path::to_path_buf);
    let state = tempfile::Builder::new()
        .prefix("courier-test-")
        .tempdir_in(parent)?;
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o755))?;
    Ok(state)
}

fn write_configuration(top: &Path, accounts: &[Account]) -> Result<(), Error> {
    let programs = programs::directory()?;
    let root = getuid().is_root();
    let (user, group) = if root {
        ("daemon".to_owned(), "daemon".to_owned())
    } else {
        (name_of_uid()?, name_of_gid()?)
    };
    let bin = programs.display();
    let top_text = top.display();
    let paths = format!(
        "prefix={top_text}\nbindir={bin}\nsbindir={bin}\nlibexecdir={bin}\nsysconfdir={top_text}/etc\n\
         datadir={top_text}/share\nlocalstatedir={top_text}/var\npiddir={top_text}/run\nuserdb={top_text}/etc/userdb\n\
         authdaemonvar={top_text}/run/authdaemon\nauthdaemonrc={top_text}/etc/authdaemonrc\n\
         mailuser={user}\nmailgroup={group}\n"
    );
    write_file(&top.join("paths"), paths, 0o644)?;
    if root {
        let (uid, gid) =
            (User::from_name(&user)?).map_or((0, 0), |user| (user.uid.as_raw(), user.gid.as_raw()));
        let var = top.join("run/authdaemon");
        chown(&var, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        fs::set_permissions(&var, fs::Permissions::from_mode(0o750))?;
    }
    write_file(
        &top.join("etc/authdaemonrc"),
        "authmodulelist=\"authuserdb\"\nauthmodulelistorig=\"authuserdb\"\ndaemons=5\nDEBUG_LOGIN=0\n",
        0o644,
    )?;
    let userdb: String = accounts.iter().map(Account::userdb_line).collect();
    write_file(&top.join("etc/userdb"), userdb, 0o600)?;
    if root {
        let names: BTreeMap<u32, String> = accounts
            .iter()
            .map(|Account { uid, gid, .. }| {
                let line = format!("mail{uid}:x:{uid}:{gid}::/nonexistent:/usr/sbin/nologin\n");
                (*uid, line)
            })
            .collect();
        let passwd: String = names.into_values().collect();
        write_file(&top.join("passwd"), passwd, 0o644)?;
    }
    Ok(())
}

fn name_of_uid() -> Result<String, Error> {
    let user = User::from_uid(getuid())?;
    user.map(|user| user.name)
        .ok_or_else(|| Error::Skipped("our uid has no name in passwd".to_owned()))
}

fn name_of_gid() -> Result<String, Error> {
    let group = nix::unistd::Group::from_gid(getgid())?;
    group
        .map(|group| group.name)
        .ok_or_else(|| Error::Skipped("our gid has no name in group".to_owned()))
}

/// A port that nobody listens on and no other test is given while this process lives: below the range the kernel
/// takes ports of outgoing connections from, and reserved by the name of an abstract socket.
///
/// # Errors
/// All are taken.
pub fn free_port() -> Result<u16, Error> {
    static RESERVED: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    let start = std::process::id().wrapping_mul(61);
    for step in 0..PORTS {
        let port = 15_000 + u16::try_from(start.wrapping_add(step) % PORTS).unwrap_or(0);
        let name = SocketName::from_abstract_name(format!("courier-test-port-{port}"))?;
        let Ok(reservation) = UnixListener::bind_addr(&name) else {
            continue;
        };
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            reserved.push(reservation);
            return Ok(port);
        }
    }
    Err(Error::new("no free port"))
}

/// How many ports tests choose from.
const PORTS: u32 = 15_000;

/// Whether something listens on `port`, without making a connection that a server would log and count.
pub fn listening(port: u16) -> bool {
    let wanted = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next() == Some(wanted.as_str()) && fields.nth(1) == Some("0A")
    })
}

/// Connects to `port` on 127.0.0.1.
///
/// # Errors
/// Nothing accepts there.
pub fn connect(port: u16) -> Result<TcpStream, Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(5))
        .map_err(|error| Error::new(format!("connect to port {port}: {error}")))
}
