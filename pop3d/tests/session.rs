//! pop3d on its descriptors, as pop3login or inetd starts it.

#![allow(clippy::unwrap_used)] // test code: a failure is a failed test

#[path = "../../imapd/tests/login_rig/mod.rs"]
mod login_rig;

use std::fs::Permissions;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use login_rig::{Login, Rig, is_root};

/// A maildir and the environment of a session on it.
struct Mail {
    directory: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// The word after `name=` in a log line.
fn counter(line: &str, name: &str) -> usize {
    let value = line.split(&format!(", {name}=")).nth(1).unwrap();
    value.split(',').next().unwrap().parse().unwrap()
}

/// What a session left behind.
struct Ran {
    reply: String,
    log: String,
    code: Option<i32>,
}

impl Mail {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for part in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(directory.path().join("Maildir").join(part)).unwrap();
        }
        Self {
            directory,
            variables: Vec::new(),
        }
    }

    /// Two messages, the list of which is old enough to have a known validity.
    fn with_two() -> Self {
        let mail = Self::new();
        mail.put("courierpop3dsizelist", "/3 1 1000\n");
        mail.put("cur/100.a,S=26:2,", "From: a@example.com\n\nabc\n");
        mail.put("new/200.b", "From: b@example.com\n\n.1\n2\n3");
        mail
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("Maildir").join(name)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path("cur"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    fn run(&self, commands: impl AsRef<[u8]>) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pop3d"))
            .arg("Maildir")
            .current_dir(self.directory.path())
            .env_clear()
            .env("AUTHENTICATED", "joe")
            .env("TCPREMOTEIP", "192.0.2.7")
            .env("TCPREMOTEPORT", "50123")
            .env("PATH", "/usr/bin:/bin")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A session that refuses reads nothing.
        let mut input = child.stdin.take().unwrap();
        let commands = commands.as_ref().to_vec();
        let writer = std::thread::spawn(move || input.write_all(&commands).is_ok());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Ran {
            reply: String::from_utf8_lossy(&output.stdout).into_owned(),
            log: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }

    /// The replies to `commands`, without the greeting.
    #[track_caller]
    fn ask(&self, commands: &str) -> String {
        let ran = self.run(commands.replace('\n', "\r\n"));
        let rest = ran.reply.strip_prefix("+OK logged in.\r\n");
        assert!(rest.is_some(), "{}{}", ran.reply, ran.log);
        rest.unwrap().replace("\r\n", "\n")
    }
}

#[test]
fn sizes_numbers_and_identifiers() {
    let mail = Mail::with_two();
    assert_eq!(
        mail.ask("STAT\nLIST\nlist 2\nUIDL\nUIDL 1 2\nQUIT\n"),
        "+OK 2 61\n\
         +OK POP3 clients that break here, they violate STD53.\n1 28\n2 33\n.\n\
         +OK 2 33\n\
         +OK\n1 UID1-1000\n2 UID2-1000\n.\n\
         +OK 1 UID1-1000\n\
         +OK Bye-bye.\n"
    );
    assert_eq!(
        mail.read("courierpop3dsizelist"),
        "/3 3 1000\n100.a,S=26:2, 28 1:1000:0\n200.b:2, 33 2:1000:0\n"
    );
}

#[test]
fn messages_are_sent_whole_or_in_part() {
    let mail = Mail::with_two();
    assert_eq!(
        mail.ask("RETR 2\nTOP 2 1\nTOP 1 0\nTOP 1\nTOP 9\nTOP 1 -1\n"),
        "+OK 33 octets follow.\nFrom: b@example.com\n\n..1\n2\n3\n.\n\
         +OK headers follow.\nFrom: b@example.com\n\n..1\n.\n\
         +OK headers follow.\nFrom: a@example.com\n\n.\n\
         -ERR Invalid command.\n\
         -ERR Invalid message number.\n\
         +OK headers follow.\nFrom: a@example.com\n\nabc\n.\n"
    );
    // RETR marks as seen, TOP does not.
    assert_eq!(mail.names(), ["100.a,S=26:2,", "200.b:2,S"]);
}

#[test]
fn deletion_happens_at_quit_only() {
    let mut mail = Mail::with_two();
    mail.set("POP3_LOG_DELETIONS", "1");
    mail.put("maildirsize", "1000S\n          51            2\n");
    let commands = "DELE 1\nDELE 1\nRETR 1\nLIST\nUIDL\nSTAT\n";
    let replies = "+OK Deleted.\n-ERR Invalid message number.\n-ERR Invalid message number.\n\
                   +OK POP3 clients that break here, they violate STD53.\n2 33\n.\n\
                   +OK\n2 UID2-1000\n.\n+OK 1 33\n";
    // Without QUIT, and with RSET, nothing is deleted.
    assert_eq!(mail.ask(commands), replies);
    assert_eq!(mail.names().len(), 2);
    assert!(
        mail.ask(&format!("{commands}RSET\nSTAT\nQUIT\n"))
            .ends_with("+OK Resurrected.\n+OK 2 61\n+OK Bye-bye.\n")
    );
    assert_eq!(mail.names().len(), 2);
    let ran = mail.run(format!("{commands}QUIT\n"));
    assert!(ran.reply.ends_with("+OK Bye-bye.\r\n"), "{}", ran.reply);
    assert_eq!(mail.names(), ["200.b:2,"]);
    assert!(
        mail.read("maildirsize")
            .ends_with("\n         -26           -1\n")
    );
    let lines: Vec<&str> = ran.log.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "INFO: LOGIN, user=joe, ip=[192.0.2.7], port=[50123]",
            "INFO: DELETED, user=joe, ip=[192.0.2.7], port=[50123], filename=cur/100.a,S=26:2,",
        ]
    );
    assert!(
        lines[2].starts_with(
            "INFO: LOGOUT, user=joe, ip=[192.0.2.7], port=[50123], top=0, retr=0, rcvd="
        ),
        "{}",
        lines[2]
    );
    assert_eq!(ran.code, Some(0));
}

#[test]
fn the_last_line_accounts_for_the_session() {
    let mut mail = Mail::with_two();
    let commands = "STAT\r\nTOP 1 0\r\nTOP 2 1\r\nRETR 2\r\nRETR 1\r\nUIDL\r\nNOOP\r\nx\r\n";
    for mark in ["", ", stls=1"] {
        let plain = mail.run(format!("{commands}QUIT\r\n"));
        // CAPA and LANG are answered and not counted.
        let ran = mail.run(format!("{commands}CAPA\r\nLANG\r\nQUIT\r\n"));
        assert!(ran.reply.len() > plain.reply.len());
        let line = ran.log.lines().last().unwrap();
        assert_eq!(counter(line, "sent"), plain.reply.len());
        assert_eq!(counter(line, "rcvd"), commands.len() + 6 + 6 + 6);
        // Bytes as stored: 21 and 21 of the headers, 3 of the line; 25 and 27 of the messages.
        let expected = format!(
            "INFO: LOGOUT, user=joe, ip=[192.0.2.7], port=[50123], top=45, retr=52, rcvd={}, sent={}, time=",
            counter(line, "rcvd"),
            counter(line, "sent")
        );
        let time = line.strip_prefix(&expected).unwrap_or(line);
        assert_eq!(time.trim_start_matches(|c: char| c.is_ascii_digit()), mark);
        mail.set("POP3_TLS", "1");
    }
}

/// `mail` behind a pop3login that lets joe in with any password.
fn behind_pop3login(mail: &Mail) -> Rig {
    let rig = Rig::without_daemon();
    let account = rig.account("joe", "");
    rig.serve(move |_| Some(account.clone()));
    rig.replace_probe(env!("CARGO_BIN_EXE_pop3d"));
    rig.adopt_maildir(&mail.path(""));
    rig
}

/// A session of joe's in which the first two messages are marked.
fn with_two_marked(rig: &Rig) -> Login {
    let mut login = rig.start();
    login.expect("+OK Hello there.");
    login.send("USER joe\r\nPASS x\r\nDELE 1\r\nDELE 2\r\n");
    for line in [
        "+OK Password required.",
        "+OK logged in.",
        "+OK Deleted.",
        "+OK Deleted.",
    ] {
        login.expect(line);
    }
    login
}

#[test]
fn what_cannot_be_removed_is_told() {
    let mail = Mail::with_two();
    let rig = behind_pop3login(&mail);
    let mut login = with_two_marked(&rig);
    // Not even root can unlink a directory.
    let path = rig.path("home/Maildir/cur/100.a,S=26:2,");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    login.send("QUIT\r\n");
    assert_eq!(
        login.rest(),
        "-ERR [SYS/TEMP] Some deleted messages could not be removed.\r\n"
    );
    assert!(login_rig::exists(&path));
    assert!(!login_rig::exists(&rig.path("home/Maildir/cur/200.b:2,")));
    let (code, log) = login.finish();
    assert_eq!(code, Some(0));
    assert!(log.contains("ERR: unlink "), "{log}");
}

#[test]
fn messages_that_others_renamed_or_removed_meanwhile() {
    let mail = Mail::new();
    for number in 1..=4 {
        mail.put(&format!("cur/{number}.m:2,"), "A: b\n\nx\n");
    }
    let rig = behind_pop3login(&mail);
    let mut login = with_two_marked(&rig);
    let path = |name: &str| rig.path("home/Maildir/cur").join(name);
    std::fs::rename(path("1.m:2,"), path("1.m:2,FS")).unwrap();
    std::fs::remove_file(path("2.m:2,")).unwrap();
    std::fs::remove_file(path("3.m:2,")).unwrap();
    std::fs::rename(path("4.m:2,"), path("4.m:2,R")).unwrap();
    login.ask("RETR 3", "-ERR Can't open the message file - it's gone!");
    login.ask("RETR 4", "+OK 11 octets follow.");
    login.send("QUIT\r\n");
    assert!(login.rest().ends_with(".\r\n+OK Bye-bye.\r\n"));
    let left: Vec<_> = std::fs::read_dir(rig.path("home/Maildir/cur"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["4.m:2,RS"]);
}

#[test]
fn commands_behind_pass_are_answered() {
    let mail = Mail::with_two();
    let rig = behind_pop3login(&mail);
    let mut login = rig.start();
    login.send("UTF8\r\nUSER joe\r\nPASS x\r\nSTAT\r\nDELE 1\r\nQUIT\r\n");
    let rest = login.rest();
    assert_eq!(
        rest,
        "+OK Hello there.\r\n+OK UTF8 enabled\r\n+OK Password required.\r\n+OK logged in.\r\n+OK 2 61\r\n\
         +OK Deleted.\r\n+OK Bye-bye.\r\n"
    );
    let (code, log) = login.finish();
    assert_eq!(code, Some(0));
    assert!(
        log.contains("\nINFO: LOGIN, user=joe, ip=[::ffff:192.0.2.7], port=[4711]\n"),
        "{log}"
    );
}

#[test]
fn two_sessions_at_once_delete_each_message_once() {
    let mail = Mail::with_two();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let directory = mail.directory.path().to_owned();
            std::thread::spawn(move || {
                let mut child = Command::new(env!("CARGO_BIN_EXE_pop3d"))
                    .arg("Maildir")
                    .current_dir(directory)
                    .env_clear()
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                let mut input = child.stdin.take().unwrap();
                input.write_all(b"UIDL\r\nDELE 1\r\nQUIT\r\n").unwrap();
                let output = child.wait_with_output().unwrap();
                String::from_utf8(output.stdout).unwrap()
            })
        })
        .collect();
    for thread in threads {
        let reply = thread.join().unwrap();
        assert!(reply.ends_with("+OK Bye-bye.\r\n"), "{reply}");
        // Whoever came second gave nobody's identifier to another message.
        assert!(reply.contains("UID2-1000\r\n"), "{reply}");
    }
    assert!(mail.names().len() <= 1);
}

#[test]
fn bad_input_is_refused_and_costs_nothing() {
    let mail = Mail::with_two();
    let long = "x".repeat(1 << 20);
    let replies = mail.ask(&format!(
        "\nLAST\nAPOP\nUSER x\nSTLS\nDELE\nDELE 0\nDELE -1\nDELE 3\nDELE 99999999999999999999\nRETR x\n{long}\n\
         DELE 2x\nNOOP\nSTAT 9\n"
    ));
    let huge = [
        "-9223372036854775808",
        "9223372036854775808",
        "18446744073709551617",
    ];
    for command in ["LIST", "UIDL", "RETR", "TOP", "DELE"] {
        for number in huge {
            let reply = mail.ask(&format!("{command} {number} 1\n"));
            assert_eq!(
                reply, "-ERR Invalid message number.\n",
                "{command} {number}"
            );
        }
    }
    for lines in huge {
        let reply = mail.ask(&format!("TOP 1 {lines}\n"));
        assert!(reply.ends_with("\n\nabc\n.\n"), "{lines}: {reply}");
    }
    let invalid = "-ERR Invalid command.\n".repeat(5);
    let number = "-ERR Invalid message number.\n".repeat(6);
    assert_eq!(
        replies,
        format!("{invalid}{number}-ERR Line too long.\n+OK Deleted.\n+OK Yup.\n+OK 1 28\n")
    );
    assert_eq!(mail.names().len(), 2);
}

#[test]
fn a_flood_of_pipelined_commands_is_answered_in_full() {
    let mail = Mail::with_two();
    let replies = mail.ask(&"NOOP\n".repeat(20_000));
    assert_eq!(replies, "+OK Yup.\n".repeat(20_000));
}

#[test]
fn unicode_headers_are_wrapped_for_clients_without_utf8() {
    let mut mail = Mail::new();
    mail.put("courierpop3dsizelist", "/3 1 1000\n");
    mail.put("cur/1.u:2,", "Subject: j\u{fc}rgen\n\nx\n");
    mail.set("UTF8", "0");
    let replies = mail.ask("LIST\nTOP 1 0\nRETR 1\nUTF8\nRETR 1\n");
    let (list, rest) = replies.split_once("\n.\n").unwrap();
    assert!(list.ends_with("\n1 23"), "{list}");
    let header = "+OK headers follow.\nFrom: Mail Delivery Subsystem <postmaster>\n\
                  Subject: Cannot display Unicode content\nMime-Version: 1.0\n\
                  Content-Type: multipart/mixed; boundary=\"=_";
    assert!(rest.starts_with(header), "{rest}");
    assert!(rest.contains("\nContent-Type: message/global\n\nSubject: j\u{fc}rgen\n\nx\n\n--=_"));
    assert!(
        rest.contains("--\n.\n+OK UTF8 enabled\n+OK 23 octets follow.\nSubject: j\u{fc}rgen\n")
    );
    let list = mail.read("courierpop3dsizelist");
    assert_eq!(list, "/3 2 1000\n1.u:2, 23 1:1000:1\n");
    // Preauthenticated by hand, nothing is wrapped.
    mail.variables.clear();
    assert!(
        mail.ask("TOP 1 0\n")
            .starts_with("+OK headers follow.\nSubject:")
    );
}

#[test]
fn accounts_that_are_locked_or_barred() {
    let mut mail = Mail::with_two();
    mail.set("OPTIONS", "disablepop3=1");
    let ran = mail.run("");
    assert_eq!(ran.reply, "-ERR POP3 access disabled for this account.\r\n");
    assert_eq!((ran.code, ran.log.as_str()), (Some(1), ""));
    mail.set("OPTIONS", "disableinsecurepop3");
    let ran = mail.run("");
    assert_eq!(
        ran.reply,
        "-ERR POP3 access disabled via insecure connection.\r\n"
    );
    mail.set("POP3_TLS", "1");
    let ran = mail.run("QUIT\r\n");
    assert!(ran.reply.ends_with("+OK Bye-bye.\r\n"));
    assert!(
        ran.log
            .contains("INFO: LOGIN, user=joe, ip=[192.0.2.7], port=[50123], stls=1\n")
    );
    assert!(ran.log.ends_with(", stls=1\n"));
    let sticky = Permissions::from_mode(0o1700);
    std::fs::set_permissions(mail.directory.path(), sticky).unwrap();
    let ran = mail.run("");
    assert_eq!(
        ran.reply,
        "-ERR Your account is temporarily unavailable (+t bit set on home directory).\r\n"
    );
    assert_eq!(ran.code, Some(0));
    assert_eq!(
        ran.log,
        "INFO: LOCKED, user=joe, ip=[192.0.2.7], port=[50123]\n"
    );
}

#[test]
fn a_maildir_that_is_none() {
    let mail = Mail::new();
    std::fs::remove_dir(mail.path("cur")).unwrap();
    let ran = mail.run("");
    assert_eq!(ran.reply, "-ERR Maildir invalid (no 'cur' directory)\r\n");
    assert_eq!(ran.code, Some(0));
    std::fs::remove_dir_all(mail.path("")).unwrap();
    let ran = mail.run("");
    assert_eq!(ran.reply, "-ERR chdir Maildir failed\r\n");
    assert_eq!(ran.log, "chdir Maildir: No such file or directory\n");
    assert_eq!(ran.code, Some(1));
}

#[test]
fn loginexec_runs_once_without_the_connection() {
    let mail = Mail::with_two();
    login_rig::put_program(
        &mail.path("loginexec"),
        "#!/bin/sh\necho to the client\nenv >env\nreadlink /proc/self/fd/0 >fd\n",
    );
    assert_eq!(mail.ask("NOOP\n"), "+OK Yup.\n");
    assert!(!login_rig::exists(&mail.path("loginexec")));
    assert!(mail.read("env").contains("AUTHENTICATED=joe\n"));
    assert_eq!(mail.read("fd"), "/dev/null\n");
}

#[test]
fn a_corrupt_list_loses_identifiers_but_no_message() {
    let mail = Mail::with_two();
    for list in [
        &b"\0\xff garbage"[..],
        b"/3 x\n",
        b"/3 5 1000\n\xff\xff\n100.a,S=26:2, x 1:y\n",
    ] {
        mail.put("courierpop3dsizelist", list);
        assert!(mail.ask("STAT\n").starts_with("+OK 2 61\n"));
    }
}

#[test]
fn a_full_disk_hides_new_messages_and_lets_old_ones_go() {
    if !is_root() {
        writeln!(
            std::io::stdout().lock(),
            "skipped: needs root to mount a small file system"
        )
        .unwrap();
        return;
    }
    let mail = Mail::new();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k,nr_inodes=100", "none"])
        .arg(mail.path(""))
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        writeln!(
            std::io::stdout().lock(),
            "skipped: no tmpfs can be mounted here"
        )
        .unwrap();
        return;
    }
    for part in ["cur", "new", "tmp"] {
        std::fs::create_dir(mail.path(part)).unwrap();
    }
    mail.put("cur/1.a:2,", "A: b\n\nx\n");
    let before = mail.ask("UIDL\n");
    mail.put("cur/2.b:2,", "A: b\n\nx\n");
    // So that removing it frees nothing.
    std::fs::hard_link(mail.path("cur/1.a:2,"), mail.path("link")).unwrap();
    // A full page: the next line needs another.
    let quota = "1000S\n".to_owned() + &" ".repeat(4096 - 7) + "\n";
    mail.put("maildirsize", &quota);
    // To the last byte.
    let filler = std::fs::File::create(mail.path("filler")).unwrap();
    for size in [4096, 512, 1] {
        while (&filler).write_all(&vec![0; size]).is_ok() {}
    }
    drop(filler);
    let ran = mail.run("UIDL\r\nDELE 1\r\nQUIT\r\n");
    let rest = mail.names();
    let kept = mail.read("maildirsize");
    // A child that another test has just forked may still have something open there.
    let unmounted = Command::new("umount")
        .arg("-l")
        .arg(mail.path(""))
        .status()
        .unwrap();
    assert!(unmounted.success());
    assert_eq!(before.lines().count(), 3);
    let expected = before.replace('\n', "\r\n");
    assert_eq!(
        ran.reply,
        format!("+OK logged in.\r\n{expected}+OK Deleted.\r\n+OK Bye-bye.\r\n")
    );
    assert!(
        ran.log
            .contains("ERR: Error while saving courierpop3dsizelist, user=joe\n")
    );
    assert_eq!(rest, ["2.b:2,"]);
    assert!(kept == quota);
    assert!(ran.log.contains("ERR: write "), "{}", ran.log);
}

#[test]
fn a_client_that_leaves_is_logged() {
    let mail = Mail::with_two();
    let ran = mail.run("STAT\r\nDELE 1\r\nQUI");
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.log.contains("\nINFO: DISCONNECTED, user=joe, "),
        "{}",
        ran.log
    );
    assert!(ran.log.contains(", rcvd=14, sent="), "{}", ran.log);
    assert_eq!(mail.names().len(), 2);
    // And one that no longer reads.
    let (client, server) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_pop3d"))
        .arg("Maildir")
        .current_dir(mail.directory.path())
        .env_clear()
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(
            server.try_clone().unwrap(),
        )))
        .stdout(Stdio::from(std::os::fd::OwnedFd::from(server)))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    client.shutdown(Shutdown::Both).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
