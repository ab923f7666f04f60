//! The tools as an administrator uses them.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use support::{Instance, PASSWORD};

const RC: &str = "authmodulelist=\"authuserdb\"\ndaemons=1\n";

const USERDB: &str = env!("CARGO_BIN_EXE_userdb");
const MAKEUSERDB: &str = env!("CARGO_BIN_EXE_makeuserdb");
const USERDBPW: &str = env!("CARGO_BIN_EXE_userdbpw");
const AUTHPASSWD: &str = env!("CARGO_BIN_EXE_authpasswd");
const PW2USERDB: &str = env!("CARGO_BIN_EXE_pw2userdb");
const AUTHTEST: &str = env!("CARGO_BIN_EXE_authtest");
const CONFIG: &str = env!("CARGO_BIN_EXE_courierauthconfig");
const AUTHENUMERATE: &str = env!("CARGO_BIN_EXE_authenumerate");

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    out(output)
}

#[test]
fn an_account_is_made_step_by_step_and_can_log_in() {
    let daemon = Instance::start(RC);
    let set = |arguments: &[&str], input: &str| succeeds(&daemon.tool(USERDB, arguments, input));
    set(
        &["carol", "set", "uid=6000", "gid=6000", "home=/home/carol"],
        "",
    );
    let hash = succeeds(&daemon.tool(USERDBPW, &[], "se cret\n"));
    assert!(hash.starts_with("$y$"), "{hash}");
    set(&["carol", "set", "systempw"], &hash);
    for digest in ["md5", "sha1", "sha256"] {
        let flag = format!("-hmac-{digest}");
        let secret = succeeds(&daemon.tool(USERDBPW, &[&flag], "cramsecret\n"));
        set(&["carol", "set", &format!("hmac-{digest}pw")], &secret);
    }
    assert_eq!(daemon.ask("PRE . imap carol\n"), "FAIL\n");
    succeeds(&daemon.tool(MAKEUSERDB, &[], ""));
    assert!(
        daemon
            .login("imap", "carol", "se cret")
            .starts_with("UID=6000\n")
    );
    assert_eq!(daemon.login("imap", "carol", "secret"), "FAIL\n");
    let shown = set(&["-show", "carol"], "");
    assert!(
        shown.starts_with("uid=6000\ngid=6000\nhome=/home/carol\nsystempw=$y$"),
        "{shown}"
    );
    assert!(
        shown.contains(
            "hmac-md5pw=63e89f623c7c33b871986e1b5046d91ceace469b44d211bf7a7f0c6fd4be739e\n"
        )
    );
    assert!(set(&["-show"], "").contains("alice\nbob@example.com\n"));
    assert_eq!(set(&["-show", "nobody"], ""), "");
    set(&["carol", "unset", "systempw"], "");
    set(&["alice", "del"], "");
    set(&["nobody", "del"], "");
    succeeds(&daemon.tool(MAKEUSERDB, &[], ""));
    assert_eq!(daemon.login("imap", "carol", "se cret"), "FAIL\n");
    assert_eq!(daemon.login("imap", "alice", PASSWORD), "FAIL\n");
}

#[test]
fn userdb_refuses_what_it_cannot_do() {
    let instance = Instance::prepare(RC);
    let before = std::fs::read(instance.path("userdb")).unwrap();
    let run = |arguments: &[&str]| instance.tool(USERDB, arguments, "");
    for arguments in [
        &[][..],
        &["alice"],
        &["alice", "frob", "x=1"],
        &["alice", "del", "x"],
        &["-f", "x"],
        &["-x", "alice", "del"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(out(&output).starts_with("Usage: "), "{output:?}");
    }
    for field in ["a|b=1", "a=1|2", "a=1\nb"] {
        let output = run(&["alice", "set", field]);
        assert_eq!(output.status.code(), Some(22));
        assert_eq!(err(&output), "Invalid field or value.\n");
    }
    assert_eq!(run(&["alice", "set", "uid"]).status.code(), Some(1));
    let directory = instance.path("var");
    let spec = ["-show", "-f", directory.to_str().unwrap()];
    assert!(err(&run(&spec)).ends_with("var: not a file.\n"));
    assert_eq!(std::fs::read(instance.path("userdb")).unwrap(), before);
    std::fs::rename(instance.path("userdb"), instance.path("real")).unwrap();
    std::os::unix::fs::symlink("real", instance.path("userdb")).unwrap();
    let output = run(&["alice", "set", "uid=1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).starts_with("ERROR: Wrong userdb command.\n"));
}

#[test]
fn parallel_edits_all_arrive() {
    let instance = Instance::prepare(RC);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let instance = &instance;
            scope.spawn(move || {
                for round in 0..5 {
                    let name = format!("user{thread}x{round}");
                    succeeds(&instance.tool(USERDB, &[&name, "set", "uid=1"], ""));
                }
            });
        }
    });
    let names = succeeds(&instance.tool(USERDB, &["-show"], ""));
    assert_eq!(
        names
            .lines()
            .filter(|name| name.starts_with("user"))
            .count(),
        40
    );
}

#[test]
fn makeuserdb_says_what_is_wrong() {
    let instance = Instance::prepare(RC);
    let path = instance.path("userdb");
    let mode =
        |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o640);
    let output = instance.tool(MAKEUSERDB, &[], "");
    assert_eq!(output.status.code(), Some(255));
    assert!(err(&output).contains("MAY NOT HAVE GROUP OR WORLD PERMISSIONS!!"));
    mode(0o600);
    std::fs::write(&path, "a\tuid=1\na\tuid=2\n").unwrap();
    let output = instance.tool(MAKEUSERDB, &[], "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        err(&output),
        "Cannot store record for a - duplicate or out of disk space.\n"
    );
    assert_eq!(
        instance.tool(MAKEUSERDB, &["-x"], "").status.code(),
        Some(1)
    );
    let other = instance.path("other");
    std::fs::write(&other, "a\tuid=1\n").unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    succeeds(&instance.tool(MAKEUSERDB, &["-f", other.to_str().unwrap()], ""));
    let file_mode = |name| {
        std::fs::metadata(instance.path(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(file_mode("other.dat"), 0o644);
    assert_eq!(file_mode("othershadow.dat"), 0o600);
    assert!(!instance.path("other.tmp").exists());
    std::fs::remove_file(&path).unwrap();
    assert!(
        err(&instance.tool(MAKEUSERDB, &[], "")).ends_with("userdb: No such file or directory\n")
    );
}

#[test]
fn hashes_are_of_the_kind_asked_for_and_verify() {
    let instance = Instance::prepare(RC);
    for (program, arguments, prefix) in [
        (USERDBPW, &[][..], "$y$"),
        (USERDBPW, &["-md5"], "$1$"),
        (AUTHPASSWD, &[], "$1$"),
        (AUTHPASSWD, &["md5"], "{MD5}"),
        (AUTHPASSWD, &["MD5RAW"], "{MD5RAW}"),
        (AUTHPASSWD, &["Sha"], "{SHA}"),
        (AUTHPASSWD, &["ssha"], "{SSHA}"),
        (AUTHPASSWD, &["sha256"], "{SHA256}"),
        (AUTHPASSWD, &["sha512"], "{SHA512}"),
        (AUTHPASSWD, &["crypt"], "$y$"),
        (AUTHPASSWD, &["bcrypt"], "$2b$"),
        (AUTHPASSWD, &["argon2id"], "$argon2id$"),
        (AUTHPASSWD, &["PBKDF2-SHA256"], "$pbkdf2-sha256$"),
        (AUTHPASSWD, &["scram-sha-256"], "SCRAM-SHA-256$"),
        (AUTHPASSWD, &["scram-sha-1"], "SCRAM-SHA-1$"),
        (AUTHPASSWD, &["whatever"], "{SSHA}"),
    ] {
        for password in ["pass word", ""] {
            let hash = succeeds(&instance.tool(program, arguments, &format!("{password}\nmore\n")));
            assert!(hash.starts_with(prefix), "{arguments:?} {hash}");
            assert!(authdaemond::password::verify(
                hash.trim_end().as_bytes(),
                password.as_bytes()
            ));
        }
        assert_eq!(instance.tool(program, arguments, "").status.code(), Some(1));
    }
    let output = instance.tool(USERDBPW, &["-hmac-sha512"], "x\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).ends_with("userdbpw: invalid argument.\n"));
}

#[test]
fn system_accounts_become_mail_accounts() {
    let daemon = Instance::start(RC);
    let file = |name: &str, text: &str| {
        std::fs::write(daemon.path(name), text).unwrap();
        daemon.path(name).to_str().unwrap().to_owned()
    };
    let passwd = file(
        "passwd",
        "carol:x:6000:6001:Carol,,:/home/carol:/bin/sh\nroot:x:0:0::/root:/bin/sh\n",
    );
    let shadow = file(
        "shadow",
        "carol:$1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/:1::::::\nroot:*:1::::::\n",
    );
    let text = succeeds(&daemon.tool(
        PW2USERDB,
        &[&format!("--passwd={passwd}"), &format!("--shadow={shadow}")],
        "",
    ));
    daemon.accounts(&text);
    let reply = daemon.login("imap", "carol", PASSWORD);
    assert!(
        reply.starts_with("UID=6000\nGID=6001\nHOME=/home/carol\nADDRESS=carol\nNAME=Carol\n"),
        "{reply}"
    );
    assert_eq!(daemon.ask("PRE . imap root\n"), "FAIL\n");
    assert_eq!(
        daemon.tool(PW2USERDB, &["--bogus"], "").status.code(),
        Some(255)
    );
    assert_eq!(
        daemon
            .tool(PW2USERDB, &["--passwd=/nonexistent"], "")
            .status
            .code(),
        Some(1)
    );
}

#[test]
fn authtest_prints_what_the_original_prints() {
    let daemon = Instance::start(RC);
    assert_eq!(
        succeeds(&daemon.tool(AUTHTEST, &["-s", "imap", "alice", PASSWORD], "")),
        "Authentication succeeded.\n\n     Authenticated: alice  (uid 5000, gid 5000)\n    \
         Home Directory: /srv/mail/alice\n           Maildir: Maildir\n             Quota: 10000000S,500C\n\
         Encrypted Password: $1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/\nCleartext Password: test123\n           \
         Options: disablepop3=0,sharedgroup=eng,group=staff\n"
    );
    let looked_up = succeeds(&daemon.tool(AUTHTEST, &["bob@example.com"], ""));
    assert!(
        looked_up.contains("           Maildir: (none)\n"),
        "{looked_up}"
    );
    assert!(
        looked_up.contains("Cleartext Password: (none)\n"),
        "{looked_up}"
    );
    succeeds(&daemon.tool(AUTHTEST, &["-spop3", "-", "alice", "password"], ""));
    for arguments in [
        &["nouser"][..],
        &["alice", "wrong"],
        &["-simap", "alice", "password"],
    ] {
        let output = daemon.tool(AUTHTEST, arguments, "");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            err(&output),
            "Authentication FAILED: Operation not permitted\n"
        );
    }
    for arguments in [&[][..], &["-x", "alice"], &["-s"], &["a", "b", "c", "d"]] {
        let output = daemon.tool(AUTHTEST, arguments, "");
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).starts_with("Usage: authtest"));
    }
    let output = daemon.tool(AUTHTEST, &["-simap", "alice", PASSWORD, "changed"], "");
    assert!(
        output.status.success() && err(&output) == "Password change succeeded.\n",
        "{output:?}"
    );
    succeeds(&daemon.tool(AUTHTEST, &["-simap", "alice", "changed"], ""));
    let with_domain = daemon
        .command(AUTHTEST)
        .env("DEFDOMAIN", "@example.com")
        .args(["bob", PASSWORD])
        .output()
        .unwrap();
    succeeds(&with_domain);
}

#[test]
fn authenumerate_lists_every_account() {
    let daemon = Instance::start(RC);
    daemon.accounts(
        "a\tuid=5000|gid=5000|home=/a|mail=M|options=x=1\nb\tuid=5001|gid=5001|home=/b|options=disableshared=1\n\
         c\tuid=5002|gid=5002|home=/c|options=disableshared\nroot\tuid=0|gid=5000|home=/r\n",
    );
    let sorted = |arguments: &[&str]| {
        let list = succeeds(&daemon.tool(AUTHENUMERATE, arguments, ""));
        let mut lines: Vec<String> = list.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(
        sorted(&[]),
        [
            "a\t5000\t5000\t/a\tM",
            "b\t5001\t5001\t/b\t",
            "c\t5002\t5002\t/c\t"
        ]
    );
    assert_eq!(
        sorted(&["-s", "-o"]),
        [
            "a\t5000\t5000\t/a\tM\tx=1",
            "c\t5002\t5002\t/c\t\tdisableshared"
        ]
    );
    assert_eq!(
        err(&daemon.tool(AUTHENUMERATE, &["-x"], "")),
        "Usage: authenumerate [-s] [-o]\n"
    );
}

#[test]
fn without_a_daemon_the_tools_say_so() {
    let instance = Instance::prepare(RC);
    for arguments in [&["alice"][..], &["alice", "x"], &["alice", "x", "y"]] {
        let output = instance.tool(AUTHTEST, arguments, "");
        assert_eq!(output.status.code(), Some(1));
        let text = err(&output);
        assert!(
            text.starts_with("ERR: authdaemon: s_connect() failed: No such file or directory\n"),
            "{text}"
        );
        assert!(text.contains("\nAuthentication FAILED: "), "{text}");
    }
    let output = instance.tool(AUTHENUMERATE, &[], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).starts_with("ERR: authdaemon: s_connect() failed: "));
}

#[test]
fn other_packages_learn_where_things_are() {
    let instance = Instance::prepare(RC);
    let ask = |arguments: &[&str]| succeeds(&instance.tool(CONFIG, arguments, ""));
    assert_eq!(
        ask(&["--version=0.60", "--version=0.99", "--unknown"]),
        "yes\nno\n"
    );
    assert_eq!(ask(&["--version"]).trim_end().split('.').count(), 3);
    let files = ask(&["--configfiles"]);
    let names: Vec<&str> = files
        .lines()
        .map(|line| line.split_once('=').unwrap().0)
        .collect();
    assert_eq!(
        names,
        [
            "userdb",
            "authdaemonrc",
            "authldaprc",
            "authmysqlrc",
            "authpgsqlrc",
            "mailuser",
            "mailgroup",
            "mailuid",
            "mailgid",
            "sbindir",
        ]
    );
    let expected = format!("authldaprc={}\n", instance.path("authldaprc").display());
    assert!(files.contains(&expected), "{files}");
    assert_eq!(ask(&[]), "");
}
