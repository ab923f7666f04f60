//! What a confined session can still reach, from the list of what somebody who has taken it over would try.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::errno::Errno;

use super::{Wanted, session};
use crate::sys::process::{Fork, exit_now, fork};

/// Runs `work` in a child whose working directory is `maildir`, confined; returns what it reports, or `None` where
/// the kernel cannot confine.
fn confined(
    maildir: &Path,
    more: &[std::path::PathBuf],
    work: fn() -> Vec<String>,
) -> Option<Vec<String>> {
    let (reading, writing) = nix::unistd::pipe().unwrap();
    match fork().unwrap() {
        Fork::Child => {
            drop(reading);
            let entered = std::env::set_current_dir(maildir).is_ok();
            let report = if entered && session("ann", Wanted::Required, more).is_ok() {
                work().join("\n")
            } else {
                "unconfined".to_owned()
            };
            let mut writing = fs::File::from(writing);
            let written = writing.write_all(report.as_bytes());
            exit_now(i32::from(written.is_err()))
        }
        Fork::Parent(child) => {
            drop(writing);
            let mut report = String::new();
            fs::File::from(reading).read_to_string(&mut report).unwrap();
            nix::sys::wait::waitpid(child, None).unwrap();
            if report == "unconfined" {
                let line = b"skipped: this kernel has no Landlock or no seccomp filters\n";
                std::io::stdout().lock().write_all(line).unwrap();
                return None;
            }
            Some(report.lines().map(str::to_owned).collect())
        }
    }
}

fn said<T>(what: &str, result: std::io::Result<T>) -> String {
    let outcome = match result {
        Ok(_) => "yes".to_owned(),
        Err(error) => error.raw_os_error().map_or_else(
            || error.to_string(),
            |code| format!("{:?}", Errno::from_raw(code)),
        ),
    };
    format!("{what}: {outcome}")
}

fn errno<T>(result: nix::Result<T>) -> std::io::Result<T> {
    result.map_err(std::io::Error::from)
}

/// A maildir with a folder on "another disk", one that somebody shares, and a neighbour.
fn place() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for directory in [
        "Maildir/cur",
        "Maildir/new",
        "Maildir/tmp",
        "Maildir/.Sent/cur",
        "elsewhere/cur",
        "shared/cur",
        "index/cur",
        "neighbour/cur",
        "Maildir/shared-folders/boss/.News",
    ] {
        fs::create_dir_all(home.path().join(directory)).unwrap();
    }
    for file in [
        "Maildir/new/mail",
        "elsewhere/cur/mail",
        "shared/cur/mail",
        "index/cur/mail",
        "neighbour/cur/mail",
    ] {
        fs::write(home.path().join(file), "mail").unwrap();
    }
    let program = home.path().join("Maildir/program");
    fs::write(&program, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    symlink(
        home.path().join("elsewhere"),
        home.path().join("Maildir/.Elsewhere"),
    )
    .unwrap();
    symlink("/nonexistent/place", home.path().join("Maildir/.Broken")).unwrap();
    symlink(
        home.path().join("shared"),
        home.path().join("Maildir/shared-folders/boss/.News/shared"),
    )
    .unwrap();
    home
}

#[test]
fn what_a_session_can_still_open() {
    let home = place();
    let more = [home.path().join("index")];
    let Some(report) = confined(&home.path().join("Maildir"), &more, || {
        vec![
            said("read mail", fs::read("new/mail")),
            said("move mail", fs::rename("new/mail", "cur/mail:2,S")),
            said("link mail", fs::hard_link("cur/mail:2,S", ".Sent/cur/copy")),
            said("write", fs::write("tmp/x", "x")),
            said(
                "shorten",
                fs::File::options().write(true).truncate(true).open("tmp/x"),
            ),
            said("make a folder", fs::create_dir(".New")),
            said("remove a folder", fs::remove_dir(".New")),
            said("list", fs::read_dir(".")),
            said("folder behind a link", fs::read(".Elsewhere/cur/mail")),
            said(
                "copy there",
                fs::hard_link("cur/mail:2,S", ".Elsewhere/cur/copy"),
            ),
            said(
                "shared folder",
                fs::read("shared-folders/boss/.News/shared/cur/mail"),
            ),
            said("shared index", fs::read("../index/cur/mail")),
            said(
                "time zones",
                fs::read("/usr/share/zoneinfo/UTC").or_else(|error| {
                    if error.kind() == std::io::ErrorKind::NotFound {
                        Ok(Vec::new())
                    } else {
                        Err(error)
                    }
                }),
            ),
            said("neighbour's mail", fs::read("../neighbour/cur/mail")),
            said("neighbour's list", fs::read_dir("../neighbour")),
            said(
                "write to the neighbour",
                fs::write("../neighbour/cur/x", "x"),
            ),
            said(
                "link from the neighbour",
                fs::hard_link("../neighbour/cur/mail", "cur/theirs"),
            ),
            said("passwd", fs::read("/etc/passwd")),
            said("root", fs::read_dir("/")),
            said("home", fs::read_dir("..")),
            said("processes", fs::read("/proc/1/status")),
            said("own memory", fs::File::open("/proc/self/mem")),
            said("device", fs::File::open("/dev/null")),
            said("make a link", symlink("/etc", ".Etc")),
            said(
                "make a fifo",
                errno(nix::unistd::mkfifo("fifo", nix::sys::stat::Mode::S_IRWXU)),
            ),
        ]
    }) else {
        return;
    };
    let expected = [
        "read mail: yes",
        "move mail: yes",
        "link mail: yes",
        "write: yes",
        "shorten: yes",
        "make a folder: yes",
        "remove a folder: yes",
        "list: yes",
        "folder behind a link: yes",
        "copy there: yes",
        "shared folder: yes",
        "shared index: yes",
        "time zones: yes",
        "neighbour's mail: EACCES",
        "neighbour's list: EACCES",
        "write to the neighbour: EACCES",
        "link from the neighbour: EXDEV",
        "passwd: EACCES",
        "root: EACCES",
        "home: EACCES",
        "processes: EACCES",
        "own memory: EACCES",
        "device: EACCES",
        "make a link: EPERM",
        "make a fifo: EPERM",
    ];
    assert_eq!(report, expected);
}

#[test]
fn what_a_session_can_still_do_besides() {
    let home = place();
    let Some(report) = confined(&home.path().join("Maildir"), &[], || {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
        let open = |family| {
            let made = socket(family, SockType::Stream, SockFlag::empty(), None);
            errno(made.map(|_: OwnedFd| ()))
        };
        let itself = nix::unistd::getpid();
        let parent = nix::unistd::getppid();
        vec![
            said(
                "run a program",
                std::process::Command::new("/bin/true").status(),
            ),
            said(
                "become a program",
                errno(nix::unistd::execv(c"/bin/true", &[c"true"])),
            ),
            said(
                "become one's own",
                errno(nix::unistd::execv(c"./program", &[c"program"])),
            ),
            said(
                "fork",
                fork().map(|side| {
                    if side == Fork::Child {
                        exit_now(0);
                    }
                }),
            ),
            said("network", open(AddressFamily::Inet)),
            said("socket", open(AddressFamily::Unix)),
            said(
                "signal",
                errno(nix::sys::signal::kill(
                    parent,
                    nix::sys::signal::Signal::SIGURG,
                )),
            ),
            said(
                "ask for a process",
                errno(nix::sys::signal::kill(parent, None)),
            ),
            said(
                "ask for itself",
                errno(nix::sys::signal::kill(itself, None)),
            ),
            said(
                "wait",
                errno(nix::poll::poll(&mut [], nix::poll::PollTimeout::ZERO)),
            ),
            said(
                "watch",
                errno(
                    nix::sys::inotify::Inotify::init(nix::sys::inotify::InitFlags::empty())
                        .and_then(|watch| {
                            watch.add_watch("new", nix::sys::inotify::AddWatchFlags::IN_CREATE)
                        }),
                ),
            ),
            said(
                "pipe",
                errno(nix::unistd::pipe().map(|ends| ends.0.as_raw_fd())),
            ),
        ]
    }) else {
        return;
    };
    let expected = [
        "run a program: EPERM",
        "become a program: EPERM",
        "become one's own: EPERM",
        "fork: EPERM",
        "network: EPERM",
        "socket: EPERM",
        "signal: EPERM",
        "ask for a process: yes",
        "ask for itself: yes",
        "wait: yes",
        "watch: yes",
        "pipe: yes",
    ];
    assert_eq!(report, expected);
}

#[test]
fn settings() {
    for (value, wanted) in [
        (None, Wanted::Possible),
        (Some(&b""[..]), Wanted::Possible),
        (Some(b"1"), Wanted::Possible),
        (Some(b"Required"), Wanted::Required),
        (Some(b"OFF"), Wanted::Off),
        (Some(b"0"), Wanted::Off),
    ] {
        assert_eq!(Wanted::from_setting(value), wanted);
    }
}
