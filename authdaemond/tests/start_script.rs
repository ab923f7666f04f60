//! The start script, with courierlogger between it and the daemon.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use support::{Instance, PASSWORD, wait_for};

/// Where courierlogger, which another package builds, can be found.
fn courierlogger() -> Option<PathBuf> {
    let directory = match std::env::var_os("COURIER_BINDIR") {
        Some(directory) => PathBuf::from(directory),
        None => PathBuf::from(env!("CARGO_BIN_EXE_authdaemond"))
            .parent()?
            .to_owned(),
    };
    let path = directory.join("courierlogger");
    path.exists().then_some(path)
}

/// Stops the daemon even when the test fails.
struct Stopped<F: Fn(&str) -> Option<i32>>(F);

impl<F: Fn(&str) -> Option<i32>> Drop for Stopped<F> {
    fn drop(&mut self) {
        (self.0)("stop");
    }
}

#[test]
fn start_restart_and_stop() {
    let Some(logger) = courierlogger() else {
        support::skipped("courierlogger is not built");
        return;
    };
    let instance = Instance::prepare(
        "authmodulelist=\"authuserdb\"\ndaemons=1\nDEFAULTOPTIONS=\"group=one\"\nLOGGEROPTS=\"-name=test -facility=mail\"\n",
    );
    let directory = instance.directory.path().display().to_string();
    std::fs::remove_dir(instance.path("var")).unwrap();
    let libexec = instance.path("libexec/courier-authlib");
    std::fs::create_dir_all(&libexec).unwrap();
    std::os::unix::fs::symlink(
        env!("CARGO_BIN_EXE_authdaemond"),
        libexec.join("authdaemond"),
    )
    .unwrap();
    let sbin = instance.path("sbin");
    std::fs::create_dir(&sbin).unwrap();
    std::os::unix::fs::symlink(logger, sbin.join("courierlogger")).unwrap();
    let template = include_str!("../../rc-scripts/authdaemond.rc.in");
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .unwrap()
        .unwrap();
    let script = template
        .replace("@sbindir@", sbin.to_str().unwrap())
        .replace("@libexecdir@", &format!("{directory}/libexec"))
        .replace("@authdaemonvar@", &format!("{directory}/var"))
        .replace("@authdaemonrc@", &format!("{directory}/authdaemonrc"))
        .replace("@mailuser@:@mailgroup@", &user.name);
    let path = sbin.join("authdaemond");
    std::fs::write(&path, script).unwrap();
    let run = |request: &str| {
        let status = Command::new("/bin/sh")
            .arg(&path)
            .arg(request)
            .env("COURIER_PATHS", instance.path("paths"))
            .env("DEFAULTOPTIONS", "group=fromthecaller")
            .status()
            .unwrap();
        status.code()
    };
    let _stopped = Stopped(run);
    assert_eq!(run("start"), Some(0));
    wait_for("the socket", || instance.socket().exists());
    let mode = std::fs::metadata(instance.path("var"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o750);
    let bob = "PRE . imap bob@example.com\n";
    assert!(instance.ask(bob).contains("OPTIONS=group=one\n"));
    assert!(
        instance
            .login("imap", "alice", PASSWORD)
            .starts_with("UID=5000\n")
    );
    // What the script exported is what the file said, so the file is followed.
    std::fs::write(
        instance.path("authdaemonrc"),
        "authmodulelist=\"authuserdb\"\ndaemons=1\nDEFAULTOPTIONS=\"group=two\"\n",
    )
    .unwrap();
    assert_eq!(run("restart"), Some(0));
    wait_for("the new options", || {
        instance.ask(bob).contains("OPTIONS=group=two\n")
    });
    assert_eq!(run("stop"), Some(0));
    wait_for("the end", || !instance.socket().exists());
    assert_eq!(run("frobnicate"), Some(1));
}
