//! The daemon as a process: start, reload, dying workers, end.

mod support;

use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Instance, PASSWORD, auth, wait_for};

const RC: &str = "authmodulelist=\"authuserdb\"\ndaemons=2\n";

#[test]
fn it_starts_listens_and_ends_cleanly() {
    let mut daemon = Instance::start(RC);
    wait_for("two workers", || daemon.workers().len() == 2);
    let metadata = std::fs::metadata(daemon.socket()).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o777);
    assert!(!daemon.path("var/socket.tmp").exists());
    let workers = daemon.workers();
    assert_eq!(daemon.stop(), Some(0));
    assert!(!daemon.socket().exists());
    for worker in workers {
        assert!(
            kill(Pid::from_raw(worker), None).is_err(),
            "worker {worker} is left"
        );
    }
}

/// Ends the daemon even when the test fails.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already; its workers follow it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_daemon_takes_over_without_losing_its_socket_to_the_first() {
    let mut first = Instance::start(RC);
    let before = std::fs::metadata(first.socket()).unwrap();
    let mut second = first.command(env!("CARGO_BIN_EXE_authdaemond"));
    let mut second = Ended(second.stderr(Stdio::null()).spawn().unwrap());
    wait_for("the new socket", || {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(first.socket()).is_ok_and(|now| now.ino() != before.ino())
    });
    assert_eq!(first.stop(), Some(0));
    assert!(
        first
            .login("imap", "alice", PASSWORD)
            .starts_with("UID=5000\n")
    );
    kill(
        Pid::from_raw(i32::try_from(second.0.id()).unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert!(second.0.wait().unwrap().success());
}

#[test]
fn a_worker_that_dies_is_replaced_alone() {
    let daemon = Instance::start("authmodulelist=\"authuserdb\"\ndaemons=3\n");
    wait_for("three workers", || daemon.workers().len() == 3);
    let before = daemon.workers();
    kill(Pid::from_raw(before[0]), Signal::SIGKILL).unwrap();
    wait_for("the replacement", || {
        let now = daemon.workers();
        now.len() == 3 && !now.contains(&before[0])
    });
    let now = daemon.workers();
    assert!(before[1..].iter().all(|worker| now.contains(worker)));
    assert!(
        daemon
            .login("imap", "alice", PASSWORD)
            .starts_with("UID=5000\n")
    );
    assert!(daemon.log().contains("ERR: worker "), "{}", daemon.log());
    assert!(!daemon.log().contains("restarting"), "{}", daemon.log());
}

#[test]
fn a_reload_takes_every_setting_from_the_file() {
    let daemon = Instance::start(RC);
    wait_for("two workers", || daemon.workers().len() == 2);
    let old = daemon.workers();
    std::fs::write(
        daemon.path("authdaemonrc"),
        "authmodulelist=\"nosuchmod authuserdb\"\ndaemons=1\nDEFAULTOPTIONS=\"group=new\"\n",
    )
    .unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_for("one new worker", || {
        let now = daemon.workers();
        now.len() == 1 && !old.contains(&now[0])
    });
    let reply = daemon.login("imap", "bob@example.com", PASSWORD);
    assert!(reply.contains("OPTIONS=group=new\n"), "{reply}");
    let log = daemon.log();
    for line in [
        "INFO: stopping authdaemond children\n",
        "INFO: restarting authdaemond children\n",
        "INFO: Uninstalling authuserdb\n",
        "INFO: Installing libnosuchmod.so.0\nINFO: file not found\n",
    ] {
        assert!(log.contains(line), "missing {line:?} in\n{log}");
    }
}

#[test]
fn a_reload_of_nonsense_keeps_the_old_settings() {
    let daemon = Instance::start(RC);
    std::fs::write(daemon.path("authdaemonrc"), "nonsense\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_for("the complaint", || {
        daemon.log().contains("ERR: Bad line in ")
    });
    assert!(
        daemon
            .login("imap", "alice", PASSWORD)
            .starts_with("UID=5000\n")
    );
    wait_for("two workers", || daemon.workers().len() == 2);
}

#[test]
fn reloading_again_and_again_loses_no_request() {
    let daemon = Instance::start(RC);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let reply = daemon.ask("PRE . imap alice\n");
                        assert!(reply.starts_with("UID=5000\n"), "{reply:?}");
                    }
                })
            })
            .collect();
        for _ in 0..10 {
            daemon.signal(Signal::SIGHUP);
            std::thread::sleep(Duration::from_millis(20));
        }
        for client in clients {
            client.join().unwrap();
        }
    });
}

#[test]
fn the_request_in_hand_is_answered_before_the_end() {
    let mut daemon = Instance::start(RC);
    let mut peer = daemon.connect();
    let request = auth("imap\nlogin\nalice\ntest123\n");
    peer.write_all(&request[..20]).unwrap();
    // Give a worker the time to take the connection.
    std::thread::sleep(Duration::from_millis(100));
    daemon.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(100));
    peer.write_all(&request[20..]).unwrap();
    let mut reply = String::new();
    peer.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("UID=5000\n"), "{reply}");
    let begun = Instant::now();
    daemon.stop();
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[test]
fn workers_end_with_their_parent() {
    let daemon = Instance::start(RC);
    wait_for("two workers", || daemon.workers().len() == 2);
    let workers = daemon.workers();
    daemon.signal(Signal::SIGKILL);
    // They are no longer children of anybody here who would collect them; gone or collected by init both count.
    wait_for("the workers' end", || {
        workers.iter().all(|worker| {
            std::fs::read_to_string(format!("/proc/{worker}/stat"))
                .map_or(true, |stat| stat.contains(") Z "))
        })
    });
}

#[test]
fn the_environment_wins_over_the_file_where_they_differ() {
    let mut daemon =
        Instance::prepare("authmodulelist=authuserdb\ndaemons=1\nDEFAULTOPTIONS=\"group=file\"\n");
    let mut command = daemon.command(env!("CARGO_BIN_EXE_authdaemond"));
    command.env("DEFAULTOPTIONS", "group=environment");
    daemon.launch_as(command);
    let reply = daemon.ask("PRE . imap bob@example.com\n");
    assert!(reply.contains("OPTIONS=group=environment\n"), "{reply}");
}

#[test]
fn a_start_that_cannot_work_says_why_and_fails() {
    let run = |instance: &Instance, arguments: &[&str]| {
        let output = instance.tool(env!("CARGO_BIN_EXE_authdaemond"), arguments, "");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let instance = Instance::prepare(RC);
    assert_eq!(run(&instance, &["start"]).lines().count(), 2);
    std::fs::write(instance.path("authdaemonrc"), "authmodulelist\n").unwrap();
    assert!(run(&instance, &[]).starts_with("ERR: Bad line in "));
    std::fs::write(instance.path("authdaemonrc"), "daemons=-1\n").unwrap();
    assert!(run(&instance, &[]).contains("daemons=-1"));
    std::fs::remove_file(instance.path("authdaemonrc")).unwrap();
    assert!(run(&instance, &[]).contains("No such file or directory"));
    std::fs::write(instance.path("authdaemonrc"), RC).unwrap();
    let mode = |mode| {
        std::fs::set_permissions(instance.path("var"), std::fs::Permissions::from_mode(mode))
            .unwrap();
    };
    mode(0o777);
    assert!(run(&instance, &[]).contains("others cannot write"));
    mode(0o750);
    std::fs::remove_dir(instance.path("var")).unwrap();
    assert!(run(&instance, &[]).contains("No such file or directory"));
}

#[test]
fn the_stock_list_starts_and_a_module_with_half_a_configuration_refuses_temporarily() {
    let stock = "authmodulelist=\"authuserdb authpam authpgsql authldap authmysql authsqlite authcustom authpipe\"\n";
    let daemon = Instance::start(stock);
    assert!(
        daemon
            .login("imap", "alice", PASSWORD)
            .starts_with("UID=5000\n")
    );
    assert_eq!(daemon.login("imap", "no such user", "x"), "FAIL\n");
    assert!(daemon.log().contains("missing 'daemons' setting, using 1"));
    assert!(daemon.ask("ENUMERATE\n").ends_with("\n.\n"));
    std::fs::write(daemon.path("authldaprc"), "LDAP_URI ldap://localhost\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    assert!(
        daemon
            .login("imap", "alice", PASSWORD)
            .starts_with("UID=5000\n")
    );
    wait_for("the new worker", || {
        daemon.login("imap", "no such user", "x").is_empty()
    });
    assert!(
        daemon
            .log()
            .contains("ERR: authldap: marker line not found in ")
    );
}

#[test]
fn only_root_the_mail_user_and_its_group_are_answered() {
    use std::os::unix::process::CommandExt;
    if !nix::unistd::geteuid().is_root() {
        return support::skipped("only root can become somebody else");
    }
    let Ok(Some(mail)) = nix::unistd::User::from_name("daemon") else {
        return support::skipped("there is no system account called daemon");
    };
    let mut daemon = Instance::prepare(RC);
    let paths = std::fs::read_to_string(daemon.path("paths")).unwrap();
    std::fs::write(
        daemon.path("paths"),
        format!("{paths}mailuser=daemon\nmailgroup=daemon\n"),
    )
    .unwrap();
    // A directory that lets everybody in: the daemon itself turns them away.
    for path in [daemon.directory.path().to_owned(), daemon.path("var")] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    // Other users may not be able to run programs from the build directory.
    let authtest = daemon.path("authtest");
    std::fs::copy(env!("CARGO_BIN_EXE_authtest"), &authtest).unwrap();
    daemon.launch();
    let run = |uid: u32, gid: u32| {
        let mut command = daemon.command(authtest.to_str().unwrap());
        command.uid(uid).gid(gid).arg("alice").output().unwrap()
    };
    let stranger = 65_533;
    assert!(run(mail.uid.as_raw(), stranger).status.success());
    assert!(run(stranger, mail.gid.as_raw()).status.success());
    let refused = run(stranger, stranger);
    assert_eq!(refused.status.code(), Some(1));
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(message, "Authentication FAILED: Input/output error\n");
    let log = daemon.log();
    assert!(
        log.contains("WARN: connection refused: uid 65533 "),
        "{log}"
    );
    assert!(
        log.contains("var: should not be open to others (mode 755)\n"),
        "{log}"
    );
}
