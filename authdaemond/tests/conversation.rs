//! The socket protocol, request by request, with a real daemon.

mod support;

use support::{Instance, PASSWORD, auth};

const RC: &str = "authmodulelist=\"authuserdb\"\ndaemons=2\n";

const ALICE: &str = "UID=5000\nGID=5000\nHOME=/srv/mail/alice\nADDRESS=alice\nNAME=Alice Example\nMAILDIR=Maildir\n\
QUOTA=10000000S,500C\nPASSWD=$1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/\nOPTIONS=disablepop3=0,sharedgroup=eng,group=staff\n.\n";

#[test]
fn lookups_answer_with_the_account() {
    let daemon = Instance::start(RC);
    assert_eq!(daemon.ask("PRE . imap alice\n"), ALICE);
    assert_eq!(daemon.ask("PRE authuserdb imap alice\n"), ALICE);
    assert_eq!(
        daemon.ask("FOO=bar baz\nTCPREMOTEIP=192.0.2.5\nPRE . imap alice\n"),
        ALICE
    );
    assert_eq!(daemon.ask("PRE . imap alice\nthis is ignored"), ALICE);
    assert_eq!(
        daemon.ask("PRE . imap bob@example.com\n"),
        "UID=5001\nGID=5001\nHOME=/srv/mail/bob\nADDRESS=bob@example.com\nPASSWD={MD5}zAPnR6avu8v4vnZorP6+5Q==\n.\n"
    );
    assert_eq!(
        daemon.ask("PRE . imap emptymail\n"),
        "UID=5003\nGID=5003\nHOME=/h\nADDRESS=emptymail\nMAILDIR=\n.\n"
    );
    assert!(
        daemon
            .ask("PRE . imap al ice\n")
            .contains("ADDRESS=al ice\n")
    );
}

#[test]
fn lookups_of_what_is_no_account_fail() {
    let daemon = Instance::start(RC);
    for user in [
        "nouser", "", "alice\r", "Alice", "5000=", "rootuid", "rootgid", "nouid", "nohome", "a\0",
    ] {
        assert_eq!(
            daemon.ask(format!("PRE . imap {user}\n")),
            "FAIL\n",
            "{user:?}"
        );
    }
    assert_eq!(daemon.ask("PRE authpam imap alice\n"), "FAIL\n");
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn logins_check_the_password_of_the_service() {
    let daemon = Instance::start(RC);
    let with_clear = ALICE.replace("OPTIONS", "PASSWD2=test123\nOPTIONS");
    assert_eq!(daemon.login("imap", "alice", PASSWORD), with_clear);
    assert_eq!(daemon.ask(auth("imap\nlogin\nalice\ntest123")), with_clear);
    assert_eq!(daemon.login("imap", "alice", "password"), "FAIL\n");
    // systempw counts only where the service has no password of its own.
    let pop3 = daemon.login("pop3", "alice", "password");
    assert!(
        pop3.contains("PASSWD={SHA256}") && pop3.contains("PASSWD2=password\n"),
        "{pop3}"
    );
    for (user, password) in [
        ("alice", ""),
        ("", "test123"),
        ("nouser", "test123"),
        ("emptymail", "test123"),
        ("rootuid", "test123"),
        ("rootgid", "test123"),
        ("bob@example.com", "test124"),
    ] {
        assert_eq!(
            daemon.login("imap", user, password),
            "FAIL\n",
            "{user} {password}"
        );
    }
    assert_eq!(daemon.ask(auth("imap\nplain\nalice\ntest123\n")), "FAIL\n");
    assert_eq!(
        daemon.ask(auth("\nimap\nlogin\nalice\ntest123\n")),
        "FAIL\n"
    );
}

#[test]
fn cram_answers_without_name_quota_and_hash() {
    let daemon = Instance::start(RC);
    let request =
        "imap\ncram-md5\nPDAxMjNAaG9zdD4=\nYWxpY2UgMDRmNzBlNTFhNmM1NTQ2OGQwNjlmYWIwOWNhNzJkNmI=\n";
    assert_eq!(
        daemon.ask(auth(request)),
        "UID=5000\nGID=5000\nHOME=/srv/mail/alice\nADDRESS=alice\nMAILDIR=Maildir\n\
         OPTIONS=disablepop3=0,sharedgroup=eng,group=staff\n.\n"
    );
    // Another challenge, another digest, nonsense.
    assert_eq!(daemon.ask(auth(&request.replace("PDAx", "PDAy"))), "FAIL\n");
    assert_eq!(
        daemon.ask(auth(&request.replace("cram-md5", "cram-sha1"))),
        "FAIL\n"
    );
    assert_eq!(daemon.ask(auth("imap\ncram-md5\n!\n!\n")), "FAIL\n");
}

#[test]
fn the_list_has_every_account_that_somebody_may_be() {
    let daemon = Instance::start(
        "authmodulelist=\"authuserdb authcustom\"\ndaemons=1\nDEFAULTOPTIONS=\"group=all\"\n",
    );
    let list = daemon.ask("ENUMERATE\n");
    let (head, rest) = list.split_once("\n\n").unwrap();
    assert_eq!(head, "# authuserdb");
    let mut lines: Vec<&str> = rest.lines().collect();
    assert_eq!(lines.pop(), Some("."));
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "al ice\t5002\t5002\t/srv/mail/space\t\tgroup=all",
            "alice\t5000\t5000\t/srv/mail/alice\tMaildir\tdisablepop3=0,sharedgroup=eng,group=staff",
            "bob@example.com\t5001\t5001\t/srv/mail/bob\t\tgroup=all",
            "emptymail\t5003\t5003\t/h\t\tgroup=all",
        ]
    );
    assert_eq!(daemon.ask("ENUMERATE everything\n"), list);
}

#[test]
fn passwords_change_in_the_text_and_in_the_databases() {
    let daemon = Instance::start(RC);
    assert_eq!(daemon.ask("PASSWD imap\talice\twrong\tnewone\n"), "FAIL\n");
    assert_eq!(
        daemon.ask("PASSWD imap\talice\ttest123\tnew one\textra\n"),
        "OK\n"
    );
    assert_eq!(daemon.login("imap", "alice", PASSWORD), "FAIL\n");
    assert!(
        daemon
            .login("imap", "alice", "new one")
            .starts_with("UID=5000\n")
    );
    assert!(
        daemon
            .login("pop3", "alice", "password")
            .starts_with("UID=5000\n")
    );
    let text = std::fs::read_to_string(daemon.path("userdb")).unwrap();
    // A weak form is replaced by a strong one, the others stay.
    assert!(text.contains("|imappw=$y$"), "{text}");
    assert!(text.contains("systempw={SHA256}"), "{text}");
    // The CRAM secret changes on its own password.
    assert_eq!(
        daemon.ask("PASSWD imap\talice\tcramsecret\tothersecret\n"),
        "OK\n"
    );
    let text = std::fs::read_to_string(daemon.path("userdb")).unwrap();
    assert!(!text.contains("63e89f623c7c33b8"), "{text}");
    for request in [
        "PASSWD imap\talice\tnew one\ta|b\n",
        "PASSWD imap\talice\tnew one\ta'b\n",
        "PASSWD imap\talice\tnew one\t\n",
        "PASSWD imap\tnouser\tnew one\tx\n",
        "PASSWD im/ap\tsub/alice\tnew one\tx\n",
        "PASSWD imap\talice\tnew one\ta\rb\n",
    ] {
        assert_eq!(daemon.ask(request), "FAIL\n", "{request:?}");
    }
    assert_eq!(daemon.ask("PASSWD imap\talice\tnew one\n"), "");
}

#[test]
fn the_accounts_are_those_of_the_newest_database() {
    let daemon = Instance::start(RC);
    assert_eq!(daemon.ask("PRE . imap carol\n"), "FAIL\n");
    for number in 1..4 {
        daemon.accounts(&format!("carol\tuid=600{number}|gid=6000|home=/c\n"));
        for _ in 0..4 {
            let reply = daemon.ask("PRE . imap carol\n");
            assert!(reply.starts_with(&format!("UID=600{number}\n")), "{reply}");
        }
        assert_eq!(daemon.ask("PRE . imap alice\n"), "FAIL\n");
    }
    std::fs::remove_file(daemon.path("userdb.dat")).unwrap();
    assert_eq!(daemon.ask("PRE . imap carol\n"), "FAIL\n");
    // A damaged database says nothing about who exists.
    std::fs::write(daemon.path("userdb.dat"), "garbage").unwrap();
    assert_eq!(daemon.ask("PRE . imap carol\n"), "");
    assert!(daemon.log().contains("ERR: userdb: "), "{}", daemon.log());
}

#[test]
fn default_options_fill_in_and_debug_lines_explain() {
    let rc = format!(
        "{RC}DEFAULTOPTIONS=\"disablewebmail=1,sharedgroup=sales,group=g2\"\nDEBUG_LOGIN=1\n"
    );
    let daemon = Instance::start(&rc);
    let reply = daemon.login("imap", "alice", PASSWORD);
    assert!(
        reply.contains("OPTIONS=disablepop3=0,sharedgroup=eng,group=staff,disablewebmail=1\n"),
        "{reply}"
    );
    assert_eq!(daemon.login("imap", "alice", "hunter2"), "FAIL\n");
    assert_eq!(daemon.login("imap", "mal\x1b[1m", "x"), "FAIL\n");
    let log = daemon.log();
    for line in [
        "INFO: modules=\"authuserdb\", daemons=2\n",
        "INFO: Installing libauthuserdb.so.0\n",
        "INFO: Installation complete: authuserdb\n",
        "DEBUG: received auth request, service=imap, authtype=login\n",
        "DEBUG: authuserdb: trying this module\n",
        "DEBUG: userdb: looking up 'alice'\n",
        "DEBUG: userdb: home=/srv/mail/alice, uid=5000, gid=5000, shell=<unset>, mail=Maildir, quota=10000000S,500C, \
         gecos=Alice Example,Room 5, options=disablepop3=0,sharedgroup=eng,group=staff\n",
        "DEBUG: found imappw in userdbshadow\n",
        "DEBUG: password matches successfully\n",
        "\nAuthenticated: sysusername=<null>, sysuserid=5000, sysgroupid=5000, homedir=/srv/mail/alice, address=alice, \
         fullname=Alice Example,Room 5, maildir=Maildir, quota=10000000S,500C, \
         options=disablepop3=0,sharedgroup=eng,group=staff\n",
        "DEBUG: supplied password does not match encrypted password\n",
        "DEBUG: authuserdb: REJECT - try next module\n",
        "DEBUG: FAIL, all modules rejected\n",
        "DEBUG: userdb: looking up 'mal.[1m'\n",
    ] {
        assert!(log.contains(line), "missing {line:?} in\n{log}");
    }
    assert!(!log.contains("hunter2"), "{log}");
}
