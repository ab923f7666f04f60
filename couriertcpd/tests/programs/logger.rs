//! courierlogger in all its forms, against a syslog socket of the test's own.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::fixture::{
    COURIERLOGGER, COURIERTCPD, alive, children, command, connect, eventually, free_port, is_root,
    listening, output, read_all, read_line, run, send, skip,
};

/// A directory that programs see as /dev, in a mount namespace of their own, with our socket as its `log`.
struct Syslog {
    directory: tempfile::TempDir,
    socket: UnixDatagram,
}

/// Puts the test's /dev in place and runs the rest of its arguments there.
const IN_NAMESPACE: &str = r#"dev=$1; shift
mount --make-rprivate / && mount --bind /dev/null "$dev/null" && mount --rbind "$dev" /dev && exec "$@""#;

impl Syslog {
    /// None, with a word why, where mount namespaces cannot be had.
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let dev = directory.path().join("dev");
        std::fs::create_dir(&dev).unwrap();
        std::fs::write(dev.join("null"), "").unwrap();
        let socket = UnixDatagram::bind(dev.join("log")).unwrap();
        // Whoever the logger becomes may send here, as with the real /dev/log.
        let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(dev.join("log"), mode(0o666)).unwrap();
        std::fs::set_permissions(directory.path(), mode(0o755)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(8)))
            .unwrap();
        let syslog = Self { directory, socket };
        let (status, _, stderr) = output(syslog.command(&["true"]));
        if status != 0 {
            skip(&format!(
                "no mount namespace for a private /dev/log: {}",
                stderr.trim()
            ));
            return None;
        }
        Some(syslog)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut all = vec!["--mount"];
        if !is_root() {
            all.push("--map-root-user");
        }
        all.extend(["sh", "-c", IN_NAMESPACE, "sh"]);
        let mut command = command("unshare", &all);
        command.arg(self.path("dev")).args(arguments);
        command
    }

    fn receive(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The next datagram without its date, which is checked for form only.
    fn line(&self) -> String {
        let datagram = self.receive();
        let (priority, rest) = datagram.split_once('>').unwrap();
        // `Mmm dd hh:mm:ss `
        let (date, text) = rest.split_at(16);
        assert_eq!(date.matches(':').count(), 2, "{datagram}");
        assert!(date.ends_with(' '), "{datagram}");
        format!("{priority}>{text}")
    }
}

fn feed(mut command: Command, input: &[u8]) {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn standard_input_is_logged_with_its_levels() {
    let Some(syslog) = Syslog::new() else { return };
    let input = b"plain\nERR: bad\nWARN: odd\nALERT: now\nCRIT:worse\nDEBUG: d\nINFO:   i\ncontrol \x01\x1b bytes\ttab\nunfinished";
    feed(syslog.command(&[COURIERLOGGER, "abc"]), input);
    // mail is 2, so 16 and the level.
    for expected in [
        "<22>abc: plain",
        "<19>abc: bad",
        "<20>abc: odd",
        "<17>abc: now",
        "<18>abc: worse",
        "<23>abc: d",
        "<22>abc: i",
        "<22>abc: control .. bytes\ttab",
        "<22>abc: unfinished",
    ] {
        assert_eq!(syslog.line(), expected);
    }
    let options = [COURIERLOGGER, "-name=abc", "-facility=local3"];
    let long = ["WARN: two\n".as_bytes(), &[b'x'; 3000], b"\nnext\n"].concat();
    feed(syslog.command(&options), &long);
    assert_eq!(syslog.line(), "<156>abc: two");
    assert_eq!(syslog.line(), format!("<158>abc: {}", "x".repeat(511)));
    assert_eq!(syslog.line(), "<158>abc: next");
}

#[test]
fn a_programs_standard_error_is_logged_under_its_name() {
    let Some(syslog) = Syslog::new() else { return };
    let script = "echo lost; ls -l /proc/$$/fd | sed 's/.* \\([0-9]* ->\\)/\\1/' >&2; exit 3";
    let (status, stdout, stderr) = output(syslog.command(&[COURIERLOGGER, "sh", "-c", script]));
    // The status of the program is not passed on.
    assert_eq!((status, stdout.as_str(), stderr.as_str()), (0, "", ""));
    syslog.line();
    assert_eq!(syslog.line(), "<22>sh: 0 -> /dev/null");
    assert_eq!(syslog.line(), "<22>sh: 1 -> /dev/null");
    assert!(syslog.line().starts_with("<22>sh: 2 -> pipe:"));
}

#[test]
fn lines_arrive_again_after_syslogd_has_restarted() {
    let Some(mut syslog) = Syslog::new() else {
        return;
    };
    let mut child = syslog
        .command(&[COURIERLOGGER, "abc"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "one").unwrap();
    assert_eq!(syslog.line(), "<22>abc: one");
    let path = syslog.path("dev/log");
    std::fs::remove_file(&path).unwrap();
    syslog.socket = UnixDatagram::bind(&path).unwrap();
    syslog
        .socket
        .set_read_timeout(Some(Duration::from_secs(8)))
        .unwrap();
    writeln!(input, "two").unwrap();
    assert_eq!(syslog.line(), "<22>abc: two");
    drop(input);
    child.wait().unwrap();
}

#[test]
fn lines_go_to_standard_error_when_asked_for() {
    let mut logger = command(
        COURIERLOGGER,
        &[
            "-name=imapd",
            "-stderr",
            "sh",
            "-c",
            "echo WARN: odd >&2; echo plain >&2",
        ],
    );
    logger.current_dir("/usr");
    assert_eq!(
        output(logger),
        (0, String::new(), "imapd: odd\nimapd: plain\n".into())
    );
}

#[test]
fn a_program_that_does_not_exist_is_said_in_the_log() {
    let arguments = ["-stderr", "no-such-program"];
    assert_eq!(
        run(COURIERLOGGER, &arguments),
        (
            0,
            String::new(),
            "no-such-program: exec: No such file or directory\n".into()
        )
    );
}

/// A logger with a pid file, stopped with the test.
struct Logger {
    directory: tempfile::TempDir,
}

impl Logger {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn option(&self) -> String {
        format!("-pid={}", self.path("pid").display())
    }

    fn start(&self, options: &[&str], program: &[&str]) -> (i32, String, String) {
        let pid = self.option();
        let mut arguments = vec![pid.as_str(), "-start", "-name=test"];
        arguments.extend(options);
        arguments.extend(program);
        let mut logger = command(COURIERLOGGER, &arguments);
        logger.current_dir(self.directory.path());
        output(logger)
    }

    fn order(&self, order: &str) -> i32 {
        run(COURIERLOGGER, &[self.option().as_str(), order]).0
    }

    fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.path("pid")).unwrap();
        text.trim_end().parse().unwrap()
    }

    fn program(&self) -> u32 {
        eventually("the program", || children(self.pid()).first().copied())
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        self.order("-stop");
    }
}

#[test]
fn a_daemon_keeps_its_program_and_ends_with_it() {
    let logger = Logger::new();
    assert_eq!(logger.start(&[], &["sleep", "60"]).0, 0);
    let (pid, program) = (logger.pid(), logger.program());
    // The logger has left the caller's directory; the program has not.
    let directory = |pid: u32| std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    assert_eq!(directory(pid), PathBuf::from("/"));
    assert_eq!(directory(program), logger.directory.path());
    assert_eq!(logger.start(&[], &["sleep", "60"]).0, 0);
    assert_eq!((logger.pid(), logger.program()), (pid, program));
    assert_eq!(logger.order("-stop"), 0);
    assert!(!alive(pid) && !alive(program));
    assert_eq!(logger.order("-stop"), 0);
}

#[test]
fn the_caller_learns_that_the_program_could_not_start() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let list = format!("127.0.0.1.{port}");
    let logger = Logger::new();
    let (status, _, stderr) = logger.start(&[], &[COURIERTCPD, &list, "/bin/true"]);
    assert_eq!(status, 1);
    assert_eq!(
        stderr,
        format!("bind: Address already in use (127.0.0.1.{port})\n")
    );
    assert!(!logger.path("pid").exists());
    let (status, _, stderr) = logger.start(&[], &["no-such-program"]);
    assert_eq!(
        (status, stderr.as_str()),
        (1, "exec: No such file or directory\n")
    );
}

#[test]
fn the_start_script_chain_starts_reloads_and_stops() {
    let logger = Logger::new();
    let port = free_port();
    let list = format!("127.0.0.1.{port}");
    let database = logger.path("a.dat");
    crate::fixture::make_database(&database, &[("127.0.0.1", "deny")]);
    let access = format!("-access={}", database.display());
    let program = [
        COURIERTCPD,
        "-nodnslookup",
        &access,
        &list,
        "/bin/sh",
        "-c",
        "echo ${COURIERLOGGER_PID-unset}; exec cat",
    ];
    assert_eq!(logger.start(&[], &program).0, 0);
    assert!(listening(port));
    let (pid, tcpd) = (logger.pid(), logger.program());
    let client = || connect(([127, 0, 0, 1], port).into());
    assert_eq!(read_all(client()), "");
    crate::fixture::make_database(&database, &[("127.0.0.1", "allow")]);
    // What makeimapaccess does: couriertcpd's option on courierlogger's pid file.
    assert_eq!(
        run(COURIERTCPD, &[logger.option().as_str(), "-restart"]).0,
        0
    );
    let mut session = eventually("the new database", || {
        let mut session = client();
        (read_line(&mut session) == "unset").then_some(session)
    });
    assert_eq!((logger.pid(), logger.program()), (pid, tcpd));
    assert_eq!(logger.order("-stop"), 0);
    assert!(!alive(pid) && !alive(tcpd) && !listening(port));
    assert_eq!(read_line(&mut session), "");
}

#[test]
fn a_program_that_says_it_is_up_is_not_waited_for() {
    // The second of grace is not used up, on a busy machine in one of a few attempts.
    let script = "kill -USR1 $COURIERLOGGER_PID; exec sleep 60";
    let quick = (0..5).any(|_attempt| {
        let logger = Logger::new();
        let start = std::time::Instant::now();
        assert_eq!(logger.start(&[], &["sh", "-c", script]).0, 0);
        start.elapsed() < Duration::from_millis(900)
    });
    assert!(quick);
}

#[test]
fn a_program_that_ends_on_sighup_is_started_again_at_once() {
    let logger = Logger::new();
    assert_eq!(logger.start(&[], &["sleep", "60"]).0, 0);
    let (pid, first) = (logger.pid(), logger.program());
    assert_eq!(logger.order("-restart"), 0);
    let second = eventually("the new program", || {
        children(pid).into_iter().find(|&child| child != first)
    });
    assert_eq!(logger.pid(), pid);
    // Just forked, it may still be where the logger is.
    eventually("the caller's directory", || {
        let directory = std::fs::read_link(format!("/proc/{second}/cwd")).ok()?;
        (directory == logger.directory.path()).then_some(())
    });
    // Without SIGHUP or -respawn that is the end.
    send(second, Signal::SIGKILL);
    eventually("a third program or the end", || {
        (!alive(pid) || children(pid).iter().any(|&child| child != second)).then_some(())
    });
    eventually("the end", || (!alive(pid)).then_some(()));
}

#[test]
fn respawn_waits_and_a_stop_in_between_is_the_end() {
    let logger = Logger::new();
    let file = logger.path("runs").display().to_string();
    let script = format!("echo run >>'{file}'; sleep 0.2");
    assert_eq!(logger.start(&["-respawn"], &["sh", "-c", &script]).0, 0);
    let runs = || std::fs::read_to_string(&file).unwrap().lines().count();
    let pid = logger.pid();
    eventually("the pause", || children(pid).is_empty().then_some(()));
    let start = std::time::Instant::now();
    eventually("the second run", || (runs() == 2).then_some(()));
    assert!(start.elapsed() > Duration::from_secs(4));
    eventually("the second pause", || {
        children(pid).is_empty().then_some(())
    });
    let start = std::time::Instant::now();
    assert_eq!(logger.order("-stop"), 0);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(runs(), 2);
}

#[test]
fn identities_are_given_up_by_the_logger_and_on_request_by_the_program() {
    if !is_root() {
        skip("-user needs root");
        return;
    }
    let uid = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    for (options, expected) in [
        (&["-user=12345", "-group=54321"][..], "0"),
        (&["-user=12345", "-droproot"], "12345"),
    ] {
        let logger = Logger::new();
        assert_eq!(logger.start(options, &["sleep", "60"]).0, 0);
        let program = logger.program();
        eventually("sleep", || {
            let name = std::fs::read_to_string(format!("/proc/{program}/comm")).ok()?;
            (name == "sleep\n").then_some(())
        });
        assert_eq!(uid(program), expected);
        assert_eq!(uid(logger.pid()), "12345");
        // A logger of another identity cannot signal its program; end it here.
        send(program, Signal::SIGKILL);
        let pid = logger.pid();
        eventually("the end", || (!alive(pid)).then_some(()));
    }
}

#[test]
fn orders_need_a_pid_file() {
    for order in ["-stop", "-restart", "-start"] {
        let (status, _, stderr) = run(COURIERLOGGER, &[order]);
        assert_eq!((status, stderr.as_str()), (1, "-pid argument required\n"));
    }
    let (status, _, stderr) = run(COURIERLOGGER, &[] as &[&str]);
    assert_eq!(status, 1);
    assert_eq!(stderr.lines().count(), 2);
}
