//! authsqlite: accounts in a real file, asked for through the daemon's socket.

#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod support;

use rusqlite::Connection;
use support::{Instance, auth, wait_for};

const TABLE: &str = "
    CREATE TABLE passwd (id TEXT PRIMARY KEY, crypt TEXT, clear TEXT, name TEXT, uid, gid, home TEXT,
        maildir TEXT, defaultdelivery TEXT, quota TEXT, options TEXT, active INTEGER DEFAULT 1);
    INSERT INTO passwd (id, crypt, uid, gid, home, name, maildir, defaultdelivery, quota, options) VALUES
        ('alice', '$1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/', 5000, 5000, '/srv/mail/alice', 'Alice Example', 'Maildir',
         './Deliver', '10000000S', 'group=staff');
    INSERT INTO passwd (id, clear, uid, gid, home) VALUES
        ('bob@example.com', 'cramsecret', '5001', '5001', '/srv/mail/bob'),
        ('o''hara', 'test123', 5002, 5002, '/h'),
        ('root', 'test123', 0, 5002, '/h'),
        ('negative', 'test123', -5, 5002, '/h'),
        ('relative', 'test123', 5002, 5002, 'h'),
        ('homeless', 'test123', 5002, 5002, NULL),
        ('forger', 'test123', 5002, 5002, '/h' || char(10) || 'UID=1');
    INSERT INTO passwd (id, crypt, clear, uid, gid, home) VALUES
        ('empty', '', '', 5003, 5003, '/h'),
        ('hashonly', '{MD5}zAPnR6avu8v4vnZorP6+5Q==', '', 5004, 5004, '/h');
    INSERT INTO passwd (id, clear, uid, gid, home, active) VALUES ('gone', 'test123', 5002, 5002, '/h', 0);
";

const RC: &str = "SQLITE_USER_TABLE passwd
SQLITE_CRYPT_PWFIELD crypt
SQLITE_CLEAR_PWFIELD clear
SQLITE_NAME_FIELD name
SQLITE_MAILDIR_FIELD maildir
SQLITE_DEFAULTDELIVERY defaultdelivery
SQLITE_QUOTA_FIELD quota
SQLITE_AUXOPTIONS_FIELD options
SQLITE_WHERE_CLAUSE active=1
";

struct Fixture {
    daemon: Instance,
}

impl Fixture {
    fn new(rc: &str) -> Self {
        let mut daemon =
            Instance::prepare("authmodulelist=\"authsqlite\"\ndaemons=1\nDEBUG_LOGIN=1\n");
        daemon.helper("authsqlite", env!("CARGO_BIN_EXE_authsqlite"));
        let fixture_directory = daemon.path("db");
        std::fs::create_dir(&fixture_directory).unwrap();
        let database = fixture_directory.join("accounts");
        Connection::open(&database)
            .unwrap()
            .execute_batch(TABLE)
            .unwrap();
        configure(&daemon, rc);
        daemon.launch();
        Self { daemon }
    }

    fn sql(&self, text: &str) {
        Connection::open(self.daemon.path("db/accounts"))
            .unwrap()
            .execute_batch(text)
            .unwrap();
    }

    fn value(&self, text: &str) -> String {
        Connection::open(self.daemon.path("db/accounts"))
            .unwrap()
            .query_row(text, [], |row| row.get(0))
            .unwrap()
    }
}

fn configure(daemon: &Instance, rc: &str) {
    let database = daemon.path("db/accounts");
    let database = format!("SQLITE_DATABASE {}\n{rc}", database.display());
    daemon.configure("authsqliterc", &database);
}

const ALICE: &str = "UID=5000\nGID=5000\nHOME=/srv/mail/alice\nADDRESS=alice\nNAME=Alice Example\nMAILDIR=Maildir\n\
QUOTA=10000000S\nPASSWD=$1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/\nOPTIONS=group=staff\n.\n";

#[test]
fn accounts_of_a_table_log_in() {
    let fixture = Fixture::new(RC);
    let daemon = &fixture.daemon;
    daemon.alice_logs_in(ALICE);
    assert_eq!(
        daemon.ask("PRE . courier alice\n"),
        ALICE.replace("MAILDIR=Maildir", "MAILDIR=./Deliver")
    );
    let bob = daemon.login("imap", "bob@example.com", "cramsecret");
    assert_eq!(
        bob,
        "UID=5001\nGID=5001\nHOME=/srv/mail/bob\nADDRESS=bob@example.com\nPASSWD2=cramsecret\n.\n"
    );
    // Only clear passwords can answer a challenge, and an empty one is none.
    let response =
        |line: &str| daemon.ask(auth(&format!("imap\ncram-md5\nPDAxMjNAaG9zdD4=\n{line}\n")));
    // "bob@example.com 04f70e51a6c55468d069fab09ca72d6b"
    assert!(
        response("Ym9iQGV4YW1wbGUuY29tIDA0ZjcwZTUxYTZjNTU0NjhkMDY5ZmFiMDljYTcyZDZi")
            .starts_with("UID=5001\n")
    );
    // "hashonly" and "empty", with the HMAC of an empty secret.
    for line in [
        "aGFzaG9ubHkgYzVjMzk5MDkxM2VjMDIzYzQ3NDJlN2I2YzQ3ZDY4ODk=",
        "ZW1wdHkgYzVjMzk5MDkxM2VjMDIzYzQ3NDJlN2I2YzQ3ZDY4ODk=",
    ] {
        assert_eq!(response(line), "FAIL\n");
    }
    assert_eq!(daemon.login("imap", "empty", "x"), "FAIL\n");
    assert!(
        daemon
            .ask("PRE . imap empty\n")
            .ends_with("HOME=/h\nADDRESS=empty\n.\n")
    );
    // The list, and through authtest.
    let list = daemon.ask("ENUMERATE\n");
    assert!(
        list.starts_with(
            "# authsqlite\n\nalice\t5000\t5000\t/srv/mail/alice\tMaildir\tgroup=staff\n"
        ),
        "{list}"
    );
    assert!(
        !list.contains("\nroot\t") && !list.contains("\ngone\t"),
        "{list}"
    );
    assert!(list.ends_with("\n.\n"), "{list}");
    let tested = daemon.tool(env!("CARGO_BIN_EXE_authtest"), &["alice", "test123"], "");
    let text = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(
        text.contains("Authenticated: alice  (uid 5000, gid 5000)"),
        "{text}"
    );
}

#[test]
fn what_users_type_is_never_sql() {
    let fixture = Fixture::new(RC);
    let daemon = &fixture.daemon;
    daemon.logs_in("o'hara", 5002);
    daemon.nobody_is(&[
        "x' OR '1'='1",
        "alice'--",
        "alice\" --",
        "alice;",
        "%",
        "_____",
        "\\' OR 1=1",
        "gone",
        "a\0",
        "\u{fffd}é",
        "' UNION SELECT 'a','b','c',1,1,'/h",
    ]);
    assert_eq!(daemon.ask("PRE authsqlite imap x' OR '1'='1\n"), "FAIL\n");
    assert_eq!(daemon.ask(b"PRE authsqlite imap \xff\xfe\n"), "FAIL\n");
    let long = "x".repeat(8000);
    assert_eq!(daemon.ask(format!("PRE . imap {long}\n")), "FAIL\n");
}

#[test]
fn rows_that_lie_are_temporary_failures() {
    let fixture = Fixture::new(RC);
    let daemon = &fixture.daemon;
    daemon.nothing_is_said_about(&["root", "negative", "relative", "homeless", "forger"]);
    let log = daemon.log();
    assert!(
        log.contains("ERR: authsqlite: account 'root': uid is not a number from 1 up, refused"),
        "{log}"
    );
    assert!(
        log.contains(
            "ERR: authsqlite: account 'relative': the home directory is not an absolute path"
        ),
        "{log}"
    );
    assert!(!log.contains("test123"), "{log}");
    assert!(
        daemon
            .login("imap", "alice", "test123")
            .starts_with("UID=5000\n")
    );
}

#[test]
fn passwords_change_and_stay_where_they_were() {
    let fixture = Fixture::new(RC);
    let daemon = &fixture.daemon;
    assert_eq!(
        daemon.ask("PASSWD imap\talice\twrong\tnewsecret\n"),
        "FAIL\n"
    );
    assert_eq!(
        daemon.ask("PASSWD imap\talice\ttest123\tnew'secret\n"),
        "OK\n"
    );
    assert!(
        fixture
            .value("SELECT crypt FROM passwd WHERE id='alice'")
            .starts_with("$y$")
    );
    assert_eq!(
        fixture.value("SELECT count(*) || '' FROM passwd WHERE id='alice' AND clear IS NULL"),
        "1"
    );
    assert_eq!(daemon.login("imap", "alice", "test123"), "FAIL\n");
    assert!(
        daemon
            .login("imap", "alice", "new'secret")
            .starts_with("UID=5000\n")
    );
    assert_eq!(
        daemon.ask("PASSWD imap\tbob@example.com\tcramsecret\tother\n"),
        "OK\n"
    );
    assert_eq!(
        fixture.value("SELECT clear FROM passwd WHERE id='bob@example.com'"),
        "other"
    );
    assert_eq!(daemon.ask("PASSWD imap\tnobody\ta\tb\n"), "FAIL\n");
}

#[test]
fn statements_of_ones_own_get_their_values_as_parameters() {
    let fixture = Fixture::new(
        "DEFAULT_DOMAIN example.com
SQLITE_SELECT_CLAUSE SELECT name || '@' || domain, hash, '', 5000, 5000, '/srv/' || name \\
   FROM own WHERE name = '$(local_part)' AND domain = '$(domain)' AND '$(service)' <> 'pop3'
SQLITE_ENUMERATE_CLAUSE SELECT name || '@' || domain, 5000, 5000, '/srv/' || name FROM own
SQLITE_CHPASS_CLAUSE UPDATE own SET hash='$(newpass_crypt)', remark='was: $(newpass)' \\
   WHERE name='$(local_part)' AND domain='$(domain)'",
    );
    fixture.sql(
        "CREATE TABLE own (name TEXT, domain TEXT, hash TEXT, remark TEXT);
         INSERT INTO own VALUES ('alice', 'example.com', '{MD5}zAPnR6avu8v4vnZorP6+5Q==', ''),
                                ('twin', 'example.com', 'a', ''), ('twin', 'example.com', 'b', '');",
    );
    let daemon = &fixture.daemon;
    for user in ["alice", "alice@example.com"] {
        let reply = daemon.login("imap", user, "test123");
        assert!(
            reply.contains("HOME=/srv/alice\nADDRESS=alice@example.com\n"),
            "{reply}"
        );
    }
    assert_eq!(daemon.ask("PRE authsqlite pop3 alice\n"), "FAIL\n");
    assert_eq!(
        daemon.ask("PRE authsqlite imap alice@example.org\n"),
        "FAIL\n"
    );
    assert_eq!(daemon.ask("PRE authsqlite imap twin\n"), "");
    assert_eq!(daemon.ask("PASSWD imap\talice\ttest123\tne'w\n"), "OK\n");
    assert_eq!(
        fixture.value("SELECT remark FROM own WHERE name='alice'"),
        "was: ne'w"
    );
    assert!(
        daemon
            .ask("ENUMERATE\n")
            .starts_with("# authsqlite\n\nalice@example.com\t5000\t5000\t/srv/alice\t\t\n")
    );
}

#[test]
fn a_file_that_cannot_be_used_is_a_temporary_failure() {
    let fixture = Fixture::new(RC);
    let daemon = &fixture.daemon;
    let database = daemon.path("db/accounts");
    assert_eq!(daemon.ask("PRE . imap alice\n"), ALICE);
    // Gone: nothing is made in its place.
    std::fs::rename(&database, daemon.path("db/aside")).unwrap();
    assert_eq!(daemon.ask("PRE . imap alice\n"), "");
    assert_eq!(daemon.ask("PASSWD imap\talice\ttest123\tx\n"), "FAIL\n");
    assert!(!daemon.ask("ENUMERATE\n").ends_with(".\n"));
    assert!(!database.exists());
    std::fs::write(&database, "this is no database").unwrap();
    assert_eq!(daemon.login("imap", "alice", "test123"), "");
    // Another file under the same name.
    std::fs::rename(daemon.path("db/aside"), &database).unwrap();
    assert_eq!(daemon.ask("PRE . imap alice\n"), ALICE);
    // New settings count at once, faulty ones not at all.
    configure(daemon, &RC.replace("active=1", "active=0"));
    assert_eq!(daemon.ask("PRE authsqlite imap alice\n"), "FAIL\n");
    std::fs::write(daemon.path("authsqliterc"), "SQLITE_DATABASE /half").unwrap();
    assert!(daemon.ask("PRE . imap gone\n").starts_with("UID=5002\n"));
    wait_for("the complaint", || {
        daemon
            .log()
            .contains("ERR: authsqlite: marker line not found in ")
    });
    configure(
        daemon,
        &RC.replace("USER_TABLE passwd", "USER_TABLE absent"),
    );
    assert_eq!(daemon.login("imap", "alice", "test123"), "");
    wait_for("the server's words", || {
        daemon.log().contains("no such table")
    });
    // A helper that dies is replaced.
    configure(daemon, RC);
    assert_eq!(daemon.ask("PRE . imap alice\n"), ALICE);
}

#[test]
fn the_helper_belongs_to_the_owner_of_the_file() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !nix::unistd::geteuid().is_root() {
        support::skipped("only root can start a helper as somebody else");
        return;
    }
    let fixture = Fixture::new(RC);
    let daemon = &fixture.daemon;
    for path in ["db", "db/accounts"] {
        chown(daemon.path(path), Some(4711), Some(4712)).unwrap();
    }
    assert_eq!(daemon.ask("PRE . imap alice\n"), ALICE);
    let worker = daemon.workers()[0];
    let children =
        std::fs::read_to_string(format!("/proc/{worker}/task/{worker}/children")).unwrap();
    let helper: i32 = children.trim().parse().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{helper}/status")).unwrap();
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace()
            .skip(1)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("Uid:"), "4711 4711 4711 4711");
    assert_eq!(line("Gid:"), "4712 4712 4712 4712");
    assert_eq!(line("Groups:"), "");
    let descriptors: Vec<String> = std::fs::read_dir(format!("/proc/{helper}/fd"))
        .unwrap()
        .map(|entry| {
            std::fs::read_link(entry.unwrap().path())
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    assert!(
        !descriptors.iter().any(|name| name.contains("userdb")),
        "{descriptors:?}"
    );
    assert_eq!(daemon.ask("PASSWD imap\talice\ttest123\tnew\n"), "OK\n");
    assert_eq!(
        std::fs::metadata(daemon.path("db/accounts")).unwrap().uid(),
        4711
    );
}
