//! makedat, makedatprog and makeimapaccess on the command line.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use courier_dbm::Reader;
use nix::sys::signal::Signal;

use crate::fixture::{
    COURIERTCPD, Tcpd, command, connect, eventually, free_port, output, read_all, run,
};

const MAKEDAT: &str = env!("CARGO_BIN_EXE_makedat");
const MAKEDATPROG: &str = env!("CARGO_BIN_EXE_makedatprog");
const MAKEIMAPACCESS: &str = env!("CARGO_BIN_EXE_makeimapaccess");

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn option(&self, option: &str, name: &str) -> String {
        format!("-{option}={}", self.path(name).display())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn makedat_makes_a_database_and_nothing_else() {
    let d = Directory::new();
    std::fs::write(d.path("src"), "a\tx\n10.0.0.0/23\tdeny\n").unwrap();
    let arguments = [
        d.option("src", "src"),
        d.option("file", "dat"),
        d.option("tmp", "tmp"),
        "-cidr".into(),
    ];
    let mut with_umask = command("/bin/sh", &["-c", "umask 027; exec \"$@\"", "sh", MAKEDAT]);
    with_umask.args(&arguments);
    assert_eq!(output(with_umask), (0, String::new(), String::new()));
    assert_eq!(d.names(), ["dat", "src"]);
    let mode = std::fs::metadata(d.path("dat"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    let reader = Reader::open(&d.path("dat")).unwrap();
    assert_eq!(reader.get(b"10.0.1").unwrap().unwrap(), b"deny");
    // A failed run leaves it alone.
    drop(reader);
    std::fs::write(d.path("src"), "b\tx\nb\ty\n").unwrap();
    let (status, _, stderr) = run(MAKEDAT, &arguments);
    assert_eq!(status, 1);
    assert!(
        stderr.starts_with("Cannot store record for b - duplicate or out of disk space.\n"),
        "{stderr}"
    );
    assert_eq!(d.names(), ["dat", "src"]);
    assert!(
        Reader::open(&d.path("dat"))
            .unwrap()
            .get(b"a")
            .unwrap()
            .is_some()
    );
}

#[test]
fn makedat_tells_how_it_is_used() {
    let usage = " -src=src -file=file -tmp=tmpfile -hup=hupfile [-cidr]\n";
    for arguments in [
        &[][..],
        &["-src=a", "-file=b"],
        &["-src=a", "-file=b", "-tmp=c", "d"],
        &["-bad"],
    ] {
        let (status, _, stderr) = run(MAKEDAT, arguments);
        assert_eq!(status, 1);
        assert!(
            stderr.starts_with("Usage: ") && stderr.ends_with(usage),
            "{stderr}"
        );
    }
    let (status, stdout, _) = run(MAKEDAT, &["--help"]);
    assert!(status == 0 && stdout.ends_with(usage));
}

#[test]
fn makedat_hangs_up_the_process_it_is_told() {
    let d = Directory::new();
    std::fs::write(d.path("src"), "127.0.0.1\tdeny\n").unwrap();
    let arguments = [
        d.option("src", "src"),
        d.option("file", "a.dat"),
        d.option("tmp", "a.tmp"),
        d.option("hup", "pid"),
    ];
    // No such file: nobody to tell.
    assert_eq!(run(MAKEDAT, &arguments).0, 0);
    let tcpd = Tcpd::start(&["-nodnslookup", &d.option("access", "a.dat")], "echo ok");
    std::fs::write(d.path("pid"), format!("{}\n", tcpd.pid())).unwrap();
    assert_eq!(tcpd.ask(), "");
    std::fs::write(d.path("src"), "127.0.0.1\tallow\n").unwrap();
    assert_eq!(run(MAKEDAT, &arguments).0, 0);
    eventually("the new database", || (tcpd.ask() == "ok\n").then_some(()));
}

#[test]
fn makedatprog_reads_up_to_the_dot() {
    let d = Directory::new();
    let run = |input: &str| {
        let mut child = command(MAKEDATPROG, &["-".into(), d.path("tmp"), d.path("dat")])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    };
    assert!(run("a\tx\n.\nb\ty\n").status.success());
    let reader = Reader::open(&d.path("dat")).unwrap();
    assert_eq!(reader.get(b"a").unwrap().unwrap(), b"x");
    assert_eq!(reader.get(b"b").unwrap(), None);
    let unterminated = run("a\tx\n");
    assert_eq!(unterminated.status.code(), Some(1));
    assert!(!unterminated.stderr.is_empty());
    let (status, _, stderr) = crate::fixture::run(MAKEDATPROG, &["a", "b"]);
    assert_eq!(status, 1);
    assert!(stderr.ends_with(" textfile tmpfile gdbmfile\n"));
}

#[test]
fn makeimapaccess_follows_the_configuration_and_tells_the_listeners() {
    let d = Directory::new();
    let paths = d.path("paths");
    std::fs::write(&paths, format!("sysconfdir={}\n", d.0.path().display())).unwrap();
    let make = || {
        let mut make = command(MAKEIMAPACCESS, &[] as &[&str]);
        make.env("COURIER_PATHS", &paths);
        output(make)
    };
    let (status, _, stderr) = make();
    assert_eq!(status, 1);
    assert!(stderr.starts_with("ERROR: "), "{stderr}");
    std::fs::write(d.path("imapd"), "PIDFILE=x\n").unwrap();
    assert_eq!(make().2, "ERROR: IMAPACCESSFILE is not set\n");
    let root = d.0.path().display();
    let imapd = format!(
        "DIR=\"{root}\"\nIMAPACCESSFILE=\"$DIR/imap access\"\nPIDFILE=${{DIR}}/imapd.pid\n"
    );
    std::fs::write(d.path("imapd"), imapd).unwrap();
    let ssl = format!("SSLPIDFILE='{root}/imapd-ssl.pid'\n");
    std::fs::write(d.path("imapd-ssl"), ssl).unwrap();
    std::fs::create_dir(d.path("imap access")).unwrap();
    std::fs::write(d.path("imap access/list"), "127.0.0.0/8\tdeny\n").unwrap();
    assert_eq!(make(), (0, String::new(), String::new()));
    let port = free_port();
    let list = format!("127.0.0.1.{port}");
    let started = run(
        COURIERTCPD,
        &[
            "-nodnslookup",
            &d.option("pid", "imapd-ssl.pid"),
            &d.option("access", "imap access.dat"),
            &list,
            "/bin/echo",
            "ok",
        ],
    );
    assert_eq!(started.0, 0, "{}", started.2);
    let ask = || read_all(connect(([127, 0, 0, 1], port).into()));
    assert_eq!(ask(), "");
    std::fs::write(d.path("imap access/list"), "127\tallow\n").unwrap();
    assert_eq!(make().0, 0);
    eventually("the new database", || (ask() == "ok\n").then_some(()));
    let pid = std::fs::read_to_string(d.path("imapd-ssl.pid")).unwrap();
    crate::fixture::send(pid.trim().parse().unwrap(), Signal::SIGTERM);
}
