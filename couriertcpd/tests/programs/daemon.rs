//! `-pid`, `-stop`, `-restart`: pid file, lock and what the caller learns.

use std::path::Path;

use crate::fixture::{
    COURIERTCPD, alive, connect, eventually, free_port, listening, read_all, read_line, run,
};

struct Daemon {
    directory: tempfile::TempDir,
    port: u16,
}

impl Daemon {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            port: free_port(),
        }
    }

    fn option(&self) -> String {
        format!("-pid={}", self.directory.path().join("pid").display())
    }

    fn start(&self, options: &[&str], script: &str) -> (i32, String, String) {
        let (pid, list) = (self.option(), format!("127.0.0.1.{}", self.port));
        let mut arguments = vec!["-nodnslookup", pid.as_str()];
        arguments.extend(options);
        arguments.extend([list.as_str(), "/bin/sh", "-c", script]);
        run(COURIERTCPD, &arguments)
    }

    fn order(&self, option: &str) -> (i32, String, String) {
        run(COURIERTCPD, &[self.option().as_str(), option])
    }

    fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.directory.path().join("pid")).unwrap();
        assert!(text.ends_with('\n'));
        text.trim_end().parse().unwrap()
    }

    fn connect(&self) -> std::net::TcpStream {
        connect(([127, 0, 0, 1], self.port).into())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.order("-stop");
    }
}

fn ok() -> (i32, String, String) {
    (0, String::new(), String::new())
}

#[test]
fn the_starter_returns_when_the_port_is_open_and_the_pid_is_written() {
    let daemon = Daemon::new();
    assert_eq!(daemon.start(&[], "echo hello; exec cat"), ok());
    assert!(listening(daemon.port));
    let pid = daemon.pid();
    assert!(alive(pid));
    // Nothing of the starter is held open.
    for fd in 0..3 {
        let target = std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
        assert_eq!(target, Path::new("/dev/null"));
    }
    let mut client = daemon.connect();
    assert_eq!(read_line(&mut client), "hello");
    let session = crate::fixture::children(pid);
    assert_eq!(session.len(), 1);
    // A second start is a success that changes nothing.
    assert_eq!(daemon.start(&[], "echo other"), ok());
    assert_eq!(daemon.pid(), pid);
    // Stopping ends the sessions too; the files stay, the lock does not.
    assert_eq!(daemon.order("-stop"), ok());
    assert!(!alive(pid));
    eventually("the end of the session", || {
        (!alive(session[0])).then_some(())
    });
    assert!(!listening(daemon.port));
    assert_eq!(daemon.pid(), pid);
    assert_eq!(daemon.order("-stop"), ok());
    assert_eq!(daemon.start(&[], "echo again"), ok());
    assert_ne!(daemon.pid(), pid);
    assert_eq!(read_all(daemon.connect()), "again\n");
}

#[test]
fn restart_reloads_the_access_list() {
    let daemon = Daemon::new();
    let database = daemon.directory.path().join("a.dat");
    crate::fixture::make_database(&database, &[("127.0.0.1", "deny")]);
    let option = format!("-access={}", database.display());
    assert_eq!(daemon.start(&[&option], "echo ok"), ok());
    let pid = daemon.pid();
    assert_eq!(read_all(daemon.connect()), "");
    crate::fixture::make_database(&database, &[("127.0.0.1", "allow")]);
    assert_eq!(daemon.order("-restart"), ok());
    eventually("the new database", || {
        (read_all(daemon.connect()) == "ok\n").then_some(())
    });
    assert_eq!(daemon.pid(), pid);
}

#[test]
fn a_stale_pid_is_never_signalled() {
    let daemon = Daemon::new();
    // This process would notice SIGHUP or SIGTERM.
    std::fs::write(
        daemon.directory.path().join("pid"),
        format!("{}\n", std::process::id()),
    )
    .unwrap();
    assert_eq!(daemon.order("-restart"), ok());
    assert_eq!(daemon.order("-stop"), ok());
}

#[test]
fn orders_without_a_pid_file_are_refused() {
    for order in ["-stop", "-restart"] {
        let (status, _, stderr) = run(COURIERTCPD, &[order]);
        assert_eq!(status, 1);
        assert!(
            stderr.ends_with(": -pid argument is required.\n"),
            "{stderr}"
        );
    }
}

#[test]
fn a_place_where_nothing_can_be_written_is_reported() {
    let (status, _, stderr) = run(
        COURIERTCPD,
        &["-pid=/nonexistent/pid", "127.0.0.1.1", "/bin/true"],
    );
    assert_eq!(status, 1);
    assert_eq!(stderr, "/nonexistent/pid.lock: No such file or directory\n");
}
