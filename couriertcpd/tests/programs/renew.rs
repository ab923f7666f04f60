//! A successor in the place of the running couriertcpd, and the end by draining, as the start scripts order them.

use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;

use crate::fixture::{
    COURIERLOGGER, COURIERTCPD, alive, children, command, connect, eventually, free_port,
    listening, output, read_all, read_line, send, try_connect,
};

/// couriertcpd under courierlogger, with settings in a file and a script that starts successors.
struct Service {
    directory: tempfile::TempDir,
    port: u16,
}

impl Service {
    /// Serves a program that says `word` and repeats what it is told, with `options`.
    fn start(word: &str, options: &str) -> Self {
        let service = Self {
            directory: tempfile::tempdir().unwrap(),
            port: free_port(),
        };
        service.set(word, options);
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = renew ] && exec {COURIERTCPD} -renew=$0 $(cat {})\n",
            service.path("settings").display()
        );
        service.script("successor", &script);
        let mut start = command(COURIERLOGGER, &[service.option(), "-start".into()]);
        start
            .args(["-name=test", "-stderr", COURIERTCPD])
            .arg(format!("-renew={}", service.path("successor").display()))
            .args(service.read("settings").split_whitespace())
            .stderr(File::create(service.path("log")).unwrap());
        assert!(start.status().unwrap().success(), "{}", service.log());
        assert!(listening(service.port));
        service
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn log(&self) -> String {
        self.read("log")
    }

    fn script(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn set(&self, word: &str, options: &str) {
        let program = self.script(
            &format!("program-{word}"),
            &format!("#!/bin/sh\necho {word} $(ls /proc/self/fd | wc -w) $(env | grep -c STATE)\nexec cat\n"),
        );
        let settings = format!(
            "-nodnslookup -maxperip=50 {options} 127.0.0.1.{} {program}",
            self.port
        );
        std::fs::write(self.path("settings"), settings).unwrap();
    }

    fn option(&self) -> String {
        format!("-pid={}", self.path("pid").display())
    }

    fn order(&self, order: &str) -> (i32, String, String) {
        output(command(COURIERLOGGER, &[self.option().as_str(), order]))
    }

    fn spawn(&self, order: &str) -> Child {
        let mut command = command(COURIERLOGGER, &[self.option().as_str(), order]);
        command.stderr(Stdio::null()).spawn().unwrap()
    }

    fn logger(&self) -> u32 {
        self.read("pid").trim_end().parse().unwrap()
    }

    fn listener(&self) -> u32 {
        let children = children(self.logger());
        assert_eq!(children.len(), 1);
        children[0]
    }

    fn connect(&self) -> TcpStream {
        connect(([127, 0, 0, 1], self.port).into())
    }

    /// A connection that was greeted, and the greeting's first word.
    fn greeted(&self) -> (TcpStream, String) {
        let mut client = self.connect();
        let line = read_line(&mut client);
        // ls has a directory open beside the three; nothing else is inherited.
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        assert_eq!(rest, "4 0", "{}", self.log());
        let word = word.to_owned();
        (client, word)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.order("-stop");
    }
}

fn echoes(client: &mut TcpStream) -> bool {
    client.write_all(b"still there?\n").is_ok() && read_line(client) == "still there?"
}

#[test]
fn a_successor_takes_over_without_losing_a_connection_or_a_session() {
    let service = Service::start("old", "");
    let (mut before, word) = service.greeted();
    assert_eq!(word, "old");
    let (logger, listener) = (service.logger(), service.listener());
    // Clients come all the time.
    let stop = Arc::new(AtomicBool::new(false));
    let crowd = {
        let (stop, port) = (Arc::clone(&stop), service.port);
        std::thread::spawn(move || {
            let mut words = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let mut client = try_connect(([127, 0, 0, 1], port).into()).unwrap();
                let line = read_line(&mut client);
                words.push(line.split(' ').next().unwrap_or_default().to_owned());
            }
            words
        })
    };
    for round in 0..3 {
        let word = format!("new{round}");
        service.set(&word, "");
        assert_eq!(service.order("-renew"), (0, String::new(), String::new()));
        let (mut client, greeting) = service.greeted();
        assert_eq!(greeting, word);
        assert!(echoes(&mut client));
    }
    assert!(echoes(&mut before));
    stop.store(true, Ordering::Relaxed);
    let words = crowd.join().unwrap();
    assert!(
        words
            .iter()
            .all(|word| word == "old" || word.starts_with("new")),
        "{words:?}"
    );
    assert!(words.iter().any(|word| word.starts_with("new")));
    // Same processes, and sessions of before are still its children: they end with it.
    assert_eq!((service.logger(), service.listener()), (logger, listener));
    assert_eq!(service.order("-stop").0, 0);
    assert_eq!(read_all(before), "");
    assert!(!alive(listener));
}

#[test]
fn sessions_of_before_count_and_are_reaped() {
    let service = Service::start("old", "-maxprocs=2");
    let (before, _) = service.greeted();
    service.set("new", "-maxprocs=2 -maxperip=1");
    assert_eq!(service.order("-renew").0, 0);
    // The one address has its one connection.
    assert_eq!(read_all(service.connect()), "");
    drop(before);
    let listener = service.listener();
    eventually("the session's end", || {
        children(listener).is_empty().then_some(())
    });
    assert_eq!(service.greeted().1, "new");
}

#[test]
fn ports_come_and_go() {
    let service = Service::start("old", "");
    let other = free_port();
    let settings = service.read("settings");
    let first = format!("127.0.0.1.{}", service.port);
    let with = |list: String| {
        std::fs::write(service.path("settings"), settings.replace(&first, &list)).unwrap();
        assert_eq!(service.order("-renew").0, 0, "{}", service.log());
    };
    with(format!("{first},127.0.0.1.{other}"));
    assert!(listening(service.port) && listening(other));
    with(format!("127.0.0.1.{other}"));
    assert!(!listening(service.port) && listening(other));
    let mut client = connect(([127, 0, 0, 1], other).into());
    assert!(read_line(&mut client).starts_with("old "));
}

#[test]
fn settings_that_cannot_be_used_change_nothing() {
    let service = Service::start("old", "");
    let (mut before, _) = service.greeted();
    let settings = service.read("settings");
    let refused = |what: &str| {
        let mut order = service.spawn("-renew");
        eventually(what, || service.log().contains(what).then_some(()));
        assert_eq!(service.greeted().1, "old");
        order.kill().unwrap();
        order.wait().unwrap();
    };
    std::fs::write(service.path("settings"), "-maxprocs=none 1 x").unwrap();
    refused("the settings of now cannot be used; going on with the old ones");
    assert!(service.log().contains("Invalid -maxprocsarg option."));
    // Valid as far as can be told beforehand, but the port is taken by somebody else.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let list = format!("127.0.0.1.{}", taken.local_addr().unwrap().port());
    let first = format!("127.0.0.1.{}", service.port);
    std::fs::write(service.path("settings"), settings.replace(&first, &list)).unwrap();
    refused("listening where the old server listened");
    std::fs::remove_file(service.path("successor")).unwrap();
    let mut order = service.spawn("-renew");
    eventually("the third refusal", || {
        let log = service.log();
        (log.matches("going on with the old ones").count() == 2).then_some(())
    });
    order.kill().unwrap();
    order.wait().unwrap();
    assert!(echoes(&mut before));
    assert_eq!(service.greeted().1, "old");
}

#[test]
fn a_stop_during_the_change_is_heard() {
    let service = Service::start("old", "");
    let (before, _) = service.greeted();
    // Takes its time to answer.
    let slow = format!(
        "#!/bin/sh\ntouch {}\nsleep 1\nexec {COURIERTCPD} $(cat {})\n",
        service.path("reached").display(),
        service.path("settings").display()
    );
    service.script("successor", &slow);
    let mut order = service.spawn("-renew");
    eventually("the script", || {
        service.path("reached").exists().then_some(())
    });
    assert_eq!(service.order("-stop").0, 0);
    assert_eq!(read_all(before), "");
    assert!(!order.wait().unwrap().success());
    assert!(!listening(service.port));
}

/// Opening it to write waits for a reader: for one who starts a program with this as its log.
fn fifo(service: &Service) -> PathBuf {
    let fifo = service.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fifo
}

/// Whether a process sleeps, with this in its command line.
fn sleeps_with(pid: u32, option: &str) -> bool {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    let asleep = read("stat").is_ok_and(|stat| stat.contains(") S "));
    asleep && read("cmdline").is_ok_and(|line| line.contains(option))
}

#[test]
fn a_session_that_ends_during_the_change_is_not_waited_for() {
    let service = Service::start("old", "");
    let (before, _) = service.greeted();
    let listener = service.listener();
    let sessions = children(listener);
    let fifo = fifo(&service);
    let option = format!("-stderr={}", fifo.display());
    service.set("new", &option);
    let mut renewal = service.spawn("-renew");
    // The successor knows its sessions then, and is not done with its start.
    eventually("the successor", || {
        sleeps_with(listener, &option).then_some(())
    });
    drop(before);
    eventually("the end of the session", || {
        (!sessions.iter().any(|&pid| sleeps_with(pid, ""))).then_some(())
    });
    let _log = File::open(&fifo).unwrap();
    assert!(renewal.wait().unwrap().success());
    let mut order = service.spawn("-drain");
    eventually("the end", || order.try_wait().unwrap());
    assert!(!alive(listener));
}

#[test]
fn a_signal_as_soon_as_the_pid_file_is_there_is_kept() {
    let service = Service::start("old", "");
    let fifo = fifo(&service);
    let port = free_port();
    let pid_file = service.path("other-pid");
    let pid = format!("-pid={}", pid_file.display());
    let log = format!("-stderr={}", fifo.display());
    let list = format!("127.0.0.1.{port}");
    let options = [&pid, &log, "-nodnslookup", &list, "/bin/cat"];
    let mut start = command(COURIERTCPD, &options).spawn().unwrap();
    let server: u32 = eventually("the pid file", || {
        let text = std::fs::read_to_string(&pid_file).ok()?;
        text.trim_end().parse().ok()
    });
    eventually("the server", || sleeps_with(server, &log).then_some(()));
    send(server, Signal::SIGHUP);
    let _log = File::open(&fifo).unwrap();
    assert!(start.wait().unwrap().success());
    assert!(listening(port));
    let stop = command(COURIERTCPD, &[pid.as_str(), "-stop"]);
    assert_eq!(output(stop).0, 0);
}

#[test]
fn draining_takes_nothing_new_and_ends_with_the_last_session() {
    let service = Service::start("old", "");
    let (mut before, _) = service.greeted();
    let (logger, listener) = (service.logger(), service.listener());
    let mut order = service.spawn("-drain");
    eventually("a closed port", || {
        try_connect(([127, 0, 0, 1], service.port).into())
            .is_err()
            .then_some(())
    });
    assert!(echoes(&mut before));
    assert!(order.try_wait().unwrap().is_none());
    drop(before);
    assert!(order.wait().unwrap().success());
    assert!(!alive(logger) && !alive(listener));
    // And what is not running is drained already.
    assert_eq!(service.order("-drain").0, 0);
    assert_eq!(service.order("-renew").0, 0);
}

#[test]
fn a_stop_ends_what_is_draining() {
    let service = Service::start("old", "");
    let (before, _) = service.greeted();
    let mut order = service.spawn("-drain");
    eventually("a closed port", || (!listening(service.port)).then_some(()));
    assert_eq!(service.order("-stop").0, 0);
    assert_eq!(read_all(before), "");
    assert!(order.wait().unwrap().success());
}

#[test]
fn a_program_that_knows_no_successor_is_told_to_read_its_files_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let script = "trap 'echo hup >>\"$0\"' HUP; while :; do sleep 0.1; done";
    let pid = format!("-pid={}", path("pid"));
    let start = [
        pid.as_str(),
        "-start",
        "/bin/sh",
        "-c",
        script,
        &path("told"),
    ];
    assert_eq!(output(command(COURIERLOGGER, &start)).0, 0);
    assert_eq!(
        output(command(COURIERLOGGER, &[pid.as_str(), "-renew"])).0,
        0
    );
    eventually("SIGHUP", || std::fs::read_to_string(path("told")).ok());
    assert_eq!(
        output(command(COURIERLOGGER, &[pid.as_str(), "-stop"])).0,
        0
    );
    // A daemon that would be ended by the signal is not sent it, nor one that ignores it waited for.
    for trap in ["-", "''"] {
        refuses_to_drain(&pid, &format!("trap {trap} QUIT; exec sleep 60"), &path);
    }
}

fn refuses_to_drain(pid: &str, script: &str, path: &dyn Fn(&str) -> String) {
    let mut other = command("sh", &["-c", script]).spawn().unwrap();
    let name = format!("/proc/{}/comm", other.id());
    eventually("sleep", || {
        (std::fs::read_to_string(&name).unwrap() == "sleep\n").then_some(())
    });
    std::fs::write(path("pid"), format!("{}\n", other.id())).unwrap();
    let _lock = locked(&path("pid.lock"));
    assert_eq!(output(command(COURIERLOGGER, &[pid, "-drain"])).0, 1);
    assert!(alive(other.id()));
    send(other.id(), Signal::SIGKILL);
    other.wait().unwrap();
}

/// Holds the lock as another process.
fn locked(path: &str) -> impl Drop + use<> {
    struct Holder(Child);
    impl Drop for Holder {
        fn drop(&mut self) {
            // Gone already is as good.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let script = "import fcntl, sys, time\nf = open(sys.argv[1], 'r+')\nfcntl.lockf(f, fcntl.LOCK_EX)\nprint('ok', flush=True)\ntime.sleep(60)";
    let mut child = command("python3", &["-c", script, path])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 2];
    std::io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut ready).unwrap();
    Holder(child)
}

#[test]
fn a_note_that_cannot_be_read_is_logged() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = format!("-pid={}", directory.path().join("pid").display());
    for number in ["99", "x"] {
        let mut command = command(COURIERTCPD, &[pid_file.as_str(), "-stop"]);
        command.env("COURIERTCPD_STATE", number);
        let (_, _, said) = output(command);
        let line = "ERR: the sessions before this start are not known: Bad file descriptor\n";
        assert!(said.contains(line), "{number}: {said}");
    }
}
