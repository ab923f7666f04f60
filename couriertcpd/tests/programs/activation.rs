//! Started by systemd: with sockets that are open already, and somebody who waits for readiness.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::fixture::{
    COURIERTCPD, command, connect, eventually, free_port, listening, read_all, send,
};

/// Makes standard input descriptor 3, as systemd does, and becomes the rest of its arguments.
const ACTIVATE: &str =
    "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=x; exec \"$@\"";

#[test]
fn sockets_of_systemd_are_served_and_readiness_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let manager = UnixDatagram::bind(path("notify")).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(8)))
        .unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let unused = free_port();
    std::fs::write(path("word"), "first").unwrap();
    let successor = format!(
        "#!/bin/sh\nexec {COURIERTCPD} -nodnslookup -renew=$0 127.0.0.1.{unused} /bin/sh -c \
         'echo {} $(env | grep -c -e LISTEN -e NOTIFY -e COURIERTCPD); ls /proc/self/fd | wc -w'\n",
        "$(cat \"$WORD\")"
    );
    std::fs::write(path("successor"), successor).unwrap();
    std::fs::set_permissions(path("successor"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut child = command("/bin/sh", &["-c", ACTIVATE, "sh", &path("successor")])
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .env("NOTIFY_SOCKET", path("notify"))
        .env("WORD", path("word"))
        .spawn()
        .unwrap();
    let mut told = [0; 200];
    let length = manager.recv(&mut told).unwrap();
    let pid = child.id();
    assert_eq!(
        std::str::from_utf8(&told[..length]).unwrap(),
        format!("READY=1\nMAINPID={pid}")
    );
    assert!(!listening(unused));
    // Nothing of it reaches the session: three descriptors, and the one of ls.
    assert_eq!(read_all(connect(address)), "first 0\n4\n");
    // A successor goes on with the same sockets.
    std::fs::write(path("word"), "second").unwrap();
    send(pid, Signal::SIGUSR2);
    eventually("the successor", || {
        (read_all(connect(address)) == "second 0\n4\n").then_some(())
    });
    assert!(!listening(unused));
    send(pid, Signal::SIGTERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn sockets_for_another_process_are_none_of_ours() {
    let port = free_port();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let list = format!("127.0.0.1.{port}");
    let strange = ACTIVATE.replace("$$", "1");
    let start = [
        "-c",
        &strange,
        "sh",
        COURIERTCPD,
        "-nodnslookup",
        &list,
        "/bin/echo",
        "own",
    ];
    let mut child = command("/bin/sh", &start)
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .spawn()
        .unwrap();
    eventually("its own port", || listening(port).then_some(()));
    assert_eq!(read_all(connect(([127, 0, 0, 1], port).into())), "own\n");
    send(child.id(), Signal::SIGTERM);
    assert!(child.wait().unwrap().success());
}
