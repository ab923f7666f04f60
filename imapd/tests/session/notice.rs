//! How a session notices what others do: by one inotify instance at most, and without it by polling.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use crate::client::{Home, Session};

/// More than what is merely listed.
const LARGE: usize = 300;

fn fill(home: &Home, folder: &str) {
    for number in 0..LARGE {
        home.place(folder, &format!("{number}.a:2,"));
    }
    // Old enough that nothing can have happened since unseen.
    std::thread::sleep(std::time::Duration::from_millis(50));
}

/// Inotify instances that the process has.
fn instances(session: &Session) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", session.pid())).unwrap();
    descriptors
        .filter(|entry| {
            let link = fs::read_link(entry.as_ref().unwrap().path());
            link.is_ok_and(|target| target.as_os_str() == "anon_inode:inotify")
        })
        .count()
}

#[test]
fn a_session_has_one_inotify_instance_at_most() {
    let home = Home::new();
    home.folder(".Other");
    fill(&home, ".");
    fill(&home, ".Other");
    let mut session = home.start();
    if fs::read_dir(format!("/proc/{}/fd", session.pid())).is_err() {
        // A confined session is nobody's to look at but root's.
        writeln!(std::io::stderr().lock(), "skipped: not root").unwrap();
        return;
    }
    let mut most = 0;
    for _ in 0..2 {
        for folder in ["INBOX", "INBOX.Other"] {
            session.ask(&format!("SELECT {folder}"), "OK");
            for command in [
                "NOOP",
                "STORE 1 +FLAGS (\\Seen)",
                "NOOP",
                "COPY 2 INBOX.Other",
                "STATUS INBOX (MESSAGES UNSEEN)",
                "STATUS INBOX.Other (MESSAGES)",
                "NOOP",
            ] {
                session.ask(command, "OK");
                most = most.max(instances(&session));
            }
            for _ in 0..2 {
                session.send(b"i IDLE\r\n");
                session.expect("+ entering idle mode");
                home.deliver(".Other", &format!("{}.{most}", session.pid()));
                most = most.max(instances(&session));
                session.send(b"DONE\r\n");
                while !session.line().starts_with("i OK") {}
            }
        }
        session.ask("EXAMINE INBOX", "OK");
        session.ask("NOOP", "OK");
        session.ask("UNSELECT", "OK");
        assert_eq!(instances(&session), 0);
    }
    assert_eq!(most, 1);
}

/// A session to which the kernel refuses what `limit` counts; `None`, with the reason printed, where such a limit cannot
/// be set for one process alone.
fn limited(home: &Home, limit: &str) -> Option<Session> {
    let script = format!("echo 0 > /proc/sys/user/{limit} && exec \"$@\"");
    let unshare = |program: &[&std::ffi::OsStr]| {
        let mut command = home.command();
        let environment: Vec<_> = command
            .get_envs()
            .map(|(name, value)| (name.to_owned(), value.map(std::ffi::OsStr::to_owned)))
            .collect();
        let imapd = command.get_program().to_owned();
        command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "sh", "-c", &script, "sh"])
            .current_dir(home.path())
            .env_clear();
        for (name, value) in environment {
            command.env(name, value.unwrap_or_default());
        }
        match program {
            [] => command.arg(imapd),
            program => command.args(program),
        };
        command.env("PATH", "/usr/bin:/bin");
        command
    };
    let probe = unshare(&["true".as_ref()]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        let reason = "skipped: no user namespace with limits of its own";
        writeln!(std::io::stderr().lock(), "{reason}").unwrap();
        return None;
    }
    let mut session = Session::spawn(unshare(&[]));
    session.expect("* PREAUTH");
    Some(session)
}

fn polls(limit: &str) {
    let home = Home::new();
    fill(&home, ".");
    let Some(mut session) = limited(&home, limit) else {
        return;
    };
    session.ask("SELECT INBOX", "OK");
    session.ask("NOOP", "OK");
    for round in 0..2 {
        session.send(b"i IDLE\r\n");
        session.expect("+ entering idle mode");
        home.deliver(".", &format!("{round}.b"));
        session.expect(&format!("* {} EXISTS", LARGE + 1 + round));
        session.expect("* ");
        let old = home.maildir().join(format!("cur/{round}.a:2,"));
        fs::rename(&old, home.maildir().join(format!("cur/{round}.a:2,S"))).unwrap();
        let fetch = session.expect(&format!("* {} FETCH (FLAGS (", round + 1));
        assert!(fetch.contains("\\Seen"), "{fetch}");
        session.send(b"DONE\r\n");
        session.expect("i OK");
    }
    // Another folder's watch fails just the same, and is not told of again.
    home.folder(".Other");
    session.ask("SELECT INBOX.Other", "OK");
    session.send(b"i IDLE\r\n");
    session.expect("+ entering idle mode");
    session.send(b"DONE\r\n");
    session.expect("i OK");
    let log = session.end().log;
    let lines = log.matches("polling for changes").count();
    assert_eq!(lines, 1, "{log}");
}

#[test]
fn without_inotify_instances_it_polls_and_says_so_once() {
    polls("max_inotify_instances");
}

#[test]
fn without_inotify_watches_it_polls_and_says_so_once() {
    polls("max_inotify_watches");
}
