//! What the mail server gets: the account, its environment, the connection, and what was sent behind the login.

use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use crate::login_rig::{Rig, exists, ids, is_root};
use crate::skipped;

#[test]
fn a_login_execs_the_server_as_the_account_in_the_same_process() {
    let mut rig = Rig::with_alice();
    rig.set("IMAP_KEYWORDS", "1");
    rig.set("AUTHENTICATED", "forged");
    rig.set("IMAPLOGINTAG", "forged");
    let mut login = rig.start();
    login.greeting();
    login.send("t1 LOGIN alice secret\r\n");
    let report = login.report();

    let probe = rig.path("probe");
    assert_eq!(
        report.one("started"),
        format!("{} Maildir", probe.display())
    );
    let mut variables = report.all("env");
    variables.sort_unstable();
    let paths = format!("COURIER_PATHS={}", rig.path("paths").display());
    assert_eq!(
        variables,
        [
            "AUTHENTICATED=alice",
            &paths,
            "IMAPLOGINTAG=t1",
            "IMAP_KEYWORDS=1",
            "OPTIONS=",
            "PATH=/usr/bin:/bin",
            "PROTOCOL=IMAP",
            "TCPLOCALPORT=143",
            "TCPREMOTEIP=::ffff:192.0.2.7",
            "TCPREMOTEPORT=4711",
        ]
    );
    assert_eq!(report.descriptors(), ["0", "1", "2"]);
    let (uid, gid) = ids();
    assert_eq!(report.status("Uid"), format!("{uid} {uid} {uid} {uid}"));
    assert_eq!(report.status("Gid"), format!("{gid} {gid} {gid} {gid}"));
    if is_root() {
        assert_eq!(report.status("Groups"), gid.to_string());
    }
    // Nothing of the parser's cage, and no signal blocked or ignored, reaches the server.
    assert_eq!(report.status("Seccomp"), "0");
    assert_eq!(report.status("NoNewPrivs"), "0");
    assert_eq!(report.status("SigBlk"), "0000000000000000");
    // The two above 31 are left ignored by the C library's posix_spawn in this test; what a shell in the background
    // ignores, the test inherits.
    let ignored = |mask: &str| u64::from_str_radix(mask, 16).unwrap() & 0x7fff_ffff;
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .unwrap();
    let inherited = ignored(own.trim());
    assert_eq!(ignored(&report.status("SigIgn")) & !inherited, 0);
    assert_eq!(report.one("cwd"), rig.path("home").to_str().unwrap());
    assert_eq!(report.status("NSpid"), login.child.id().to_string());
    login.client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(login.rest(), "");
    assert_eq!(
        login.log(),
        "DEBUG: Connection, ip=[::ffff:192.0.2.7], port=[4711]\n"
    );
}

#[test]
fn commands_behind_the_login_stay_in_the_socket() {
    for command in [
        "a LOGIN alice secret\r\n",
        "a LOGIN {5+}\r\nalice {6+}\r\nsecret\r\n",
        "a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n",
        "a AUTHENTICATE LOGIN\r\nYWxpY2U=\r\nc2VjcmV0\r\n",
    ] {
        let rig = Rig::with_alice();
        let mut login = rig.start();
        login.greeting();
        login.send(format!("{command}b NOOP\r\nc LOGOUT\r\n"));
        login.client.shutdown(Shutdown::Write).unwrap();
        let rest = login.rest();
        assert!(
            rest.ends_with("end\nb NOOP\r\nc LOGOUT\r\n"),
            "{command}: {rest}"
        );
    }
}

#[test]
fn commands_behind_the_login_stay_in_a_pipe_too() {
    let rig = Rig::with_alice();
    let (input, output) = nix::unistd::pipe().unwrap();
    let (client, server) = UnixStream::pair().unwrap();
    let mut login = rig.start_on(
        Stdio::from(input),
        Stdio::from(OwnedFd::from(server)),
        client,
    );
    login.greeting();
    nix::unistd::write(&output, b"a LOGIN alice secret\r\nb NOOP\r\n").unwrap();
    drop(output);
    let rest = login.rest();
    assert!(rest.ends_with("end\nb NOOP\r\n"), "{rest}");
}

#[test]
fn the_account_record_decides_maildir_options_and_groups() {
    let mut rig = Rig::without_daemon();
    let account = rig.account(
        "alice@example.com",
        "MAILDIR=./Mail\nOPTIONS=group=x,disableimap=0\n",
    );
    rig.serve(move |request| {
        (request == "TCPREMOTEIP=::ffff:192.0.2.7\nAUTH 40\nimaps\nlogin\nalice@example.com\npass word\n")
            .then(|| account.clone())
    });
    rig.set("DEFDOMAIN", "@example.com");
    rig.set("TCPLOCALPORT", "993");
    rig.set("AUTHSERVICE993", "imaps");
    let mut login = rig.start();
    login.greeting();
    login.send("a1 login \"alice\" {9}\r\n");
    login.expect("+ OK");
    login.send("pass word\r\n");
    let report = login.report();
    assert!(report.one("started").ends_with(" ./Mail"));
    assert_eq!(report.variable("AUTHENTICATED"), Some("alice@example.com"));
    assert_eq!(report.variable("OPTIONS"), Some("group=x,disableimap=0"));
    assert_eq!(report.variable("IMAPLOGINTAG"), Some("a1"));
}

#[test]
fn a_system_account_brings_its_groups() {
    if !is_root() {
        skipped("needs root");
        return;
    }
    let user = nix::unistd::User::from_name("games").unwrap().unwrap();
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    let rig = Rig::new(move |_| {
        Some(format!(
            "USERNAME=games\nGID={gid}\nHOME=/\nADDRESS=games\n.\n"
        ))
    });
    let mut login = rig.start();
    login.greeting();
    login.send("a LOGIN games secret\r\n");
    let report = login.report();
    assert_eq!(report.status("Uid"), format!("{uid} {uid} {uid} {uid}"));
    assert_eq!(report.status("Groups"), gid.to_string());
}

#[test]
fn a_missing_home_is_made_from_the_skeleton() {
    let mut rig = Rig::with_alice();
    std::fs::remove_dir(rig.path("home")).unwrap();
    std::fs::create_dir_all(rig.path("skel/Maildir/new")).unwrap();
    let skeleton = rig.path("skel");
    rig.set("AUTH_MKHOMEDIR_SKEL", skeleton.to_str().unwrap());
    let mut login = rig.start();
    login.greeting();
    login.send("a LOGIN alice secret\r\n");
    assert_eq!(
        login.report().one("cwd"),
        rig.path("home").to_str().unwrap()
    );
    let metadata = std::fs::metadata(rig.path("home/Maildir/new")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&metadata), ids().0);
    assert!(exists(&rig.path("home/Maildir")));
}
