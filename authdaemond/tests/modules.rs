//! The modules other than authuserdb.

mod support;

use std::os::unix::fs::PermissionsExt;

use support::{Instance, auth, wait_for};

const PROGRAM: &str = r#"#!/bin/sh
while read -r word rest; do
    case $word in
        PRE)
            case $rest in
                *demo) printf 'UID=5000\nGID=5000\nHOME=/srv/demo\nADDRESS=demo\nFUTURE=x\n.\n' ;;
                *root) printf 'UID=0\nGID=5000\nHOME=/\nADDRESS=root\n.\n' ;;
                *toor) printf 'USERNAME=root\nGID=5000\nHOME=/\nADDRESS=toor\n.\n' ;;
                *down) exit 1 ;;
                *odd) printf 'UID=1\n.\n' ;;
                *) echo FAIL ;;
            esac ;;
        AUTH) dd bs=1 count="$rest" 2>/dev/null | tail -n 1 | grep -q '^secret$' &&
            printf 'UID=5000\nGID=5000\nHOME=/srv/demo\nADDRESS=demo\n.\n' || echo FAIL ;;
        PASSWD) echo OK ;;
        ENUMERATE) printf 'demo\t5000\t5000\t/srv/demo\tM\tx=1\nroot\t0\t0\t/\n.\n' ;;
        *) echo FAIL ;;
    esac
done
"#;

#[test]
fn a_program_answers_for_authpipe() {
    let mut daemon = Instance::prepare("authmodulelist=\"authpipe authuserdb\"\ndaemons=1\n");
    let program = daemon.path("authProg");
    std::fs::write(&program, PROGRAM).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    daemon.launch();
    let demo = "UID=5000\nGID=5000\nHOME=/srv/demo\nADDRESS=demo\n.\n";
    assert_eq!(daemon.ask("PRE . imap demo\n"), demo);
    assert_eq!(daemon.ask(auth("imap\nlogin\ndemo\nsecret\n")), demo);
    assert_eq!(daemon.ask(auth("imap\nlogin\ndemo\nwrong\n")), "FAIL\n");
    assert_eq!(daemon.ask("PRE . imap root\n"), "FAIL\n");
    assert_eq!(daemon.ask("PRE . imap toor\n"), "FAIL\n");
    // What it does not know the next module does.
    assert!(daemon.ask("PRE . imap alice\n").starts_with("UID=5000\n"));
    // A program that ends without a reply is a temporary failure, and is started again for the next request.
    assert_eq!(daemon.ask("PRE . imap down\n"), "");
    assert_eq!(daemon.ask("PRE . imap odd\n"), "");
    assert_eq!(daemon.ask("PRE . imap demo\n"), demo);
    assert_eq!(daemon.ask("PASSWD imap\tdemo\ta\tb\n"), "OK\n");
    let list = daemon.ask("ENUMERATE\n");
    assert!(
        list.starts_with("# authpipe\n\ndemo\t5000\t5000\t/srv/demo\tM\tx=1\n# authuserdb\n\n"),
        "{list}"
    );
    assert!(list.ends_with("\n.\n"), "{list}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn authpipe_without_a_program_stands_aside() {
    let daemon = Instance::start("authmodulelist=\"authpipe authuserdb\"\ndaemons=1\n");
    assert!(daemon.ask("PRE . imap alice\n").starts_with("UID=5000\n"));
    assert_eq!(daemon.ask("PRE . imap nouser\n"), "FAIL\n");
    assert!(daemon.ask("ENUMERATE\n").ends_with("\n.\n"));
    wait_for("the log line", || {
        daemon.log().contains("INFO: authpipe: disabled: ")
    });
}

#[test]
fn system_accounts_are_found_but_never_root() {
    let daemon = Instance::start(
        "authmodulelist=\"authpam authpwd authshadow\"\ndaemons=2\nDEBUG_LOGIN=1\n",
    );
    let Ok(Some(user)) = nix::unistd::User::from_name("daemon") else {
        // Every system that we know has it.
        support::skipped("there is no system account called daemon");
        return;
    };
    for module in ["authpam", "authpwd", "authshadow"] {
        let reply = daemon.ask(format!("PRE {module} imap daemon\n"));
        let head = format!(
            "USERNAME=daemon\nGID={}\nHOME={}\nADDRESS=daemon\nNAME=daemon\n",
            user.gid,
            user.dir.display()
        );
        assert!(reply.starts_with(&head), "{module}: {reply}");
        assert_eq!(daemon.ask(format!("PRE {module} imap root\n")), "FAIL\n");
        assert_eq!(daemon.ask(format!("PRE {module} imap no/such\n")), "FAIL\n");
    }
    assert_eq!(daemon.login("nosuchservice", "daemon", "wrong"), "FAIL\n");
    assert_eq!(daemon.login("../../etc/x", "daemon", "wrong"), "FAIL\n");
    assert_eq!(daemon.ask("PASSWD imap\tno@where\ta\tb\n"), "FAIL\n");
    let list = daemon.ask("ENUMERATE\n");
    assert!(
        list.starts_with("# authpam\n\n") && list.ends_with("\n.\n"),
        "{list}"
    );
    assert!(!list.contains("\nroot\t"), "{list}");
    assert!(
        daemon
            .log()
            .contains("DEBUG: authpam: username 'no/such' not found in password file\n")
    );
}
