//! What a session's program finds: environment, descriptors, signals, process group.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use nix::sys::signal::Signal;

use crate::fixture::{
    COURIERTCPD, Tcpd, alive, command, eventually, free_port, is_root, listening, output,
    read_line, skip,
};

/// Says its process id and stays until the client goes.
const STAY: &str = "echo $$; exec cat";

fn status_mask(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

fn bit(signal: Signal) -> u64 {
    1 << (signal as i32 - 1)
}

#[test]
fn the_program_has_descriptors_0_1_and_2_and_nothing_else() {
    // The shell itself: one that is just being replaced has the loader's descriptors too.
    let tcpd = Tcpd::start(&["-nodnslookup"], "echo $$; read line");
    let mut client = tcpd.connect();
    let pid: u32 = read_line(&mut client).parse().unwrap();
    let mut links: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let target = std::fs::read_link(&path).unwrap();
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                target.to_str().unwrap().to_owned(),
            )
        })
        .collect();
    links.sort();
    let names: Vec<_> = links.iter().map(|(name, _target)| name.as_str()).collect();
    assert_eq!(names, ["0", "1", "2"], "{links:?}");
    assert!(links[0].1.starts_with("socket:"));
    assert_eq!(links[0].1, links[1].1);
    assert_eq!(links[2].1, tcpd.path("log").to_str().unwrap());
    // Blocking, as programs expect.
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/0")).unwrap();
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .unwrap();
    assert_eq!(u32::from_str_radix(flags.trim(), 8).unwrap() & 0o4000, 0);
}

#[test]
fn a_descriptor_that_the_starter_leaks_goes_no_further() {
    let port = free_port();
    let script = format!(
        "exec 7</dev/null; exec {COURIERTCPD} -nodnslookup 127.0.0.1.{port} /bin/ls /proc/self/fd"
    );
    let mut child = command("/bin/sh", &["-c", &script]).spawn().unwrap();
    eventually("couriertcpd", || listening(port).then_some(()));
    let text = crate::fixture::read_all(crate::fixture::connect(([127, 0, 0, 1], port).into()));
    crate::fixture::send(child.id(), Signal::SIGTERM);
    child.wait().unwrap();
    // 3 is the directory that ls reads.
    assert_eq!(
        text.split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2", "3"]
    );
}

#[test]
fn the_environment_is_the_inherited_one_and_the_connection() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let list = format!("127.0.0.1.{port}");
    let mut child = command(COURIERTCPD, &["-nodnslookup", &list, "/usr/bin/env", "-0"])
        .env("IMAP_ULIMITD", "a b\nc")
        .env("TCPREMOTEHOST", "stale.example")
        .env("TCPREMOTEINFO", "stale")
        .env("COURIERLOGGER_PID", "1")
        .current_dir(directory.path())
        .spawn()
        .unwrap();
    eventually("couriertcpd", || listening(port).then_some(()));
    let client = crate::fixture::connect(([127, 0, 0, 1], port).into());
    let from = client.local_addr().unwrap().port();
    let text = crate::fixture::read_all(client);
    crate::fixture::send(child.id(), Signal::SIGTERM);
    child.wait().unwrap();
    let mut variables: Vec<_> = text.split_terminator('\0').collect();
    variables.sort_unstable();
    assert_eq!(
        variables,
        [
            "IMAP_ULIMITD=a b\nc",
            "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "TCPLOCALIP=::ffff:127.0.0.1",
            &format!("TCPLOCALPORT={port}"),
            "TCPREMOTEIP=::ffff:127.0.0.1",
            &format!("TCPREMOTEPORT={from}"),
        ]
    );
}

#[test]
fn signals_group_directory_and_umask_are_the_programs_own_business() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let list = format!("127.0.0.1.{port}");
    // The starter ignores SIGHUP, as nohup does.
    let script = format!(
        "trap '' HUP; umask 027; exec {COURIERTCPD} -nodnslookup {list} /bin/sh -c 'umask; {STAY}'"
    );
    let mut child = command("/bin/sh", &["-c", &script])
        .current_dir(directory.path())
        .spawn()
        .unwrap();
    eventually("couriertcpd", || listening(port).then_some(()));
    let mut client = crate::fixture::connect(([127, 0, 0, 1], port).into());
    assert_eq!(read_line(&mut client), "0027");
    let pid: u32 = read_line(&mut client).parse().unwrap();
    eventually("cat", || {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name == "cat\n").then_some(())
    });
    assert_eq!(status_mask(pid, "SigBlk:"), 0);
    let ignored = status_mask(pid, "SigIgn:");
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGCHLD,
        Signal::SIGPIPE,
    ] {
        assert_eq!(ignored & bit(signal), 0, "{signal}");
    }
    let group = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after = stat.rsplit(')').next().unwrap().to_owned();
        after.split_whitespace().nth(2).unwrap().to_owned()
    };
    assert_eq!(group(pid), child.id().to_string());
    assert_eq!(
        std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap(),
        directory.path()
    );
    crate::fixture::send(child.id(), Signal::SIGTERM);
    child.wait().unwrap();
}

#[test]
fn keep_alive_is_on_and_small_writes_are_not_delayed() {
    let tcpd = Tcpd::start(&["-nodnslookup"], STAY);
    let mut client = tcpd.connect();
    read_line(&mut client);
    let (mine, theirs) = (client.local_addr().unwrap().port(), tcpd.port);
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table
        .lines()
        .find(|line| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next().unwrap().ends_with(&format!(":{theirs:04X}"))
                && fields.next().unwrap().ends_with(&format!(":{mine:04X}"))
        })
        .unwrap();
    // The timer field: 02 is a pending keep-alive.
    let timer = line.split_whitespace().nth(5).unwrap();
    assert!(timer.starts_with("02:"), "{line}");
}

#[test]
fn a_program_that_cannot_be_executed_is_named_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let list = format!("127.0.0.1.{port}");
    let log = directory.path().join("log");
    let mut child = command(
        COURIERTCPD,
        &["-nodnslookup", &list, "/nonexistent/imaplogin"],
    )
    .stderr(std::fs::File::create(&log).unwrap())
    .spawn()
    .unwrap();
    eventually("couriertcpd", || listening(port).then_some(()));
    let text = crate::fixture::read_all(crate::fixture::connect(([127, 0, 0, 1], port).into()));
    assert_eq!(text, "");
    crate::fixture::send(child.id(), Signal::SIGTERM);
    child.wait().unwrap();
    assert_eq!(
        std::fs::read_to_string(&log).unwrap(),
        "/nonexistent/imaplogin: No such file or directory\n"
    );
}

#[test]
fn a_program_without_a_slash_is_not_searched_for() {
    let tcpd = Tcpd::start(&["-nodnslookup"], "true");
    assert_eq!(tcpd.ask(), "");
    drop(tcpd);
    let port = free_port();
    let child = command(COURIERTCPD, &["-nodnslookup", &port.to_string(), "true"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    eventually("couriertcpd", || listening(port).then_some(()));
    crate::fixture::read_all(crate::fixture::connect(([127, 0, 0, 1], port).into()));
    crate::fixture::send(child.id(), Signal::SIGTERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "true: No such file or directory\n"
    );
}

#[test]
fn names_are_looked_up_unless_switched_off() {
    let (status, known, _) = output(command("getent", &["hosts", "127.0.0.1"]));
    let name = known.split_whitespace().nth(1).unwrap_or_default();
    if status != 0 || name.is_empty() {
        skip("127.0.0.1 has no name on this machine");
        return;
    }
    let script = "echo ${TCPREMOTEHOST-unset} ${TCPLOCALHOST-unset}";
    let with = Tcpd::start(&[], script);
    assert_eq!(with.ask(), format!("{name} {name}\n"));
    let without = Tcpd::start(&["-nodnslookup", "-noidentlookup"], script);
    assert_eq!(without.ask(), "unset unset\n");
}

#[test]
fn user_and_group_are_assumed_before_anybody_is_served() {
    if !is_root() {
        skip("-user needs root");
        return;
    }
    let tcpd = Tcpd::start(&["-nodnslookup", "-user=nobody"], "id -u; id -g; id -G");
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    assert_eq!(
        tcpd.ask(),
        format!("{}\n{}\n{}\n", nobody.uid, nobody.gid, nobody.gid)
    );
    let numbers = Tcpd::start(
        &["-nodnslookup", "-user=12345", "-group=54321"],
        "id -u; id -g; id -G",
    );
    assert_eq!(numbers.ask(), "12345\n54321\n54321\n");
    let owner = std::fs::metadata(format!("/proc/{}", numbers.pid())).unwrap();
    assert_eq!(owner.uid(), 12345);
}

#[test]
fn standard_error_goes_where_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("errors");
    let option = format!("-stderr={}", file.display());
    let to_file = Tcpd::start(&["-nodnslookup", &option], "echo oops >&2");
    assert_eq!(to_file.ask(), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "oops\n");
    let to_socket = Tcpd::start(&["-nodnslookup", "-stderr=socket"], "echo oops >&2");
    assert_eq!(to_socket.ask(), "oops\n");
    assert_eq!(to_socket.log(), "");
    assert!(!std::path::Path::new("socket").exists());
}

#[test]
fn the_stderr_logger_gets_a_pipe_and_a_name() {
    let directory = tempfile::tempdir().unwrap();
    let seen = directory.path().join("seen");
    let logger = directory.path().join("logger");
    let body = format!(
        "#!/bin/sh\nexec >{}\necho \"$#:$1\"\nexec cat\n",
        seen.display()
    );
    std::fs::write(&logger, body).unwrap();
    let (status, ..) = output(command("chmod", &["755", logger.to_str().unwrap()]));
    assert_eq!(status, 0);
    for (name, expected) in [(None, "1:sh"), (Some("-stderrloggername=imapd"), "1:imapd")] {
        let option = format!("-stderrlogger={}", logger.display());
        let mut options = vec!["-nodnslookup", option.as_str(), "-stderr=/dev/null"];
        options.extend(name);
        let mut tcpd = Tcpd::start(&options, "echo oops >&2");
        assert_eq!(tcpd.ask(), "");
        eventually("the logger", || {
            let text = std::fs::read_to_string(&seen).ok()?;
            (text == format!("{expected}\noops\n")).then_some(())
        });
        tcpd.signal(Signal::SIGTERM);
        tcpd.wait();
        std::fs::remove_file(&seen).unwrap();
    }
}

#[test]
fn sessions_end_with_the_listener_and_leave_no_zombie() {
    let mut tcpd = Tcpd::start(&["-nodnslookup", "-maxperip=100"], STAY);
    for _ in 0..20 {
        let mut client = tcpd.connect();
        read_line(&mut client);
    }
    eventually("the end of the sessions", || {
        tcpd.children().is_empty().then_some(())
    });
    let mut client = tcpd.connect();
    let pid: u32 = read_line(&mut client).parse().unwrap();
    writeln!(client, "still here").unwrap();
    assert_eq!(read_line(&mut client), "still here");
    tcpd.signal(Signal::SIGTERM);
    assert_eq!(tcpd.wait().code(), Some(0));
    eventually("the end of the session", || (!alive(pid)).then_some(()));
}
