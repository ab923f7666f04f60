//! authmysql with a real server, asked through the daemon's socket.

#![cfg(feature = "mysql")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod support;

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use nix::sys::signal::Signal;
use support::server::{self, Server};
use support::{Instance, wait_for};

const TABLE: &str = "
    CREATE DATABASE mail; USE mail;
    CREATE TABLE passwd (id varchar(128) PRIMARY KEY, crypt varchar(128), clear varchar(128), name varchar(128), uid int,
        gid int unsigned, home varchar(255), maildir varchar(255), quota decimal(12), options varchar(255));
    INSERT INTO passwd (id, crypt, uid, gid, home, name, maildir, quota, options) VALUES
        ('alice', '$1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/', 5000, 5000, '/srv/mail/alice', 'Alice Example', 'Maildir',
         10000000, 'group=staff');
    INSERT INTO passwd (id, clear, uid, gid, home) VALUES
        ('bob@example.com', 'cramsecret', 5001, 5001, '/srv/mail/bob'), ('o''hara', 'test123', 5002, 5002, '/h'),
        ('root', 'test123', 0, 5002, '/h'), ('minus', 'test123', -1, 1, '/h');
    CREATE USER courier@localhost IDENTIFIED BY 'se\\'cret'; GRANT ALL ON mail.* TO courier@localhost;
    CREATE USER courier@'127.0.0.1' IDENTIFIED BY 'se\\'cret' REQUIRE SSL; GRANT ALL ON mail.* TO courier@'127.0.0.1';";

const RC: &str = "MYSQL_OPT 0
MYSQL_USERNAME courier
MYSQL_PASSWORD se'cret
MYSQL_DATABASE mail
MYSQL_USER_TABLE passwd
MYSQL_CRYPT_PWFIELD crypt
MYSQL_CLEAR_PWFIELD clear
MYSQL_NAME_FIELD name
MYSQL_MAILDIR_FIELD maildir
MYSQL_QUOTA_FIELD quota
MYSQL_AUXOPTIONS_FIELD options
";

const ALICE: &str = "UID=5000\nGID=5000\nHOME=/srv/mail/alice\nADDRESS=alice\nNAME=Alice Example\nMAILDIR=Maildir\n\
QUOTA=10000000\nPASSWD=$1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/\nOPTIONS=group=staff\n.\n";

fn configure(daemon: &Instance, connection: &str, rc: &str) {
    daemon.configure("authmysqlrc", &format!("{connection}\n{rc}"));
}

struct Mariadb {
    server: Server,
    program: std::path::PathBuf,
    port: u16,
}

impl Mariadb {
    fn new(program: std::path::PathBuf, install: &std::path::Path) -> Self {
        let server = Server::prepare("mysql");
        let data = format!("--datadir={}", server.path("data").display());
        server.run(
            install,
            &[
                "--no-defaults",
                &data,
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--innodb-log-file-size=4M",
                "--innodb-buffer-pool-size=8M",
                "--innodb-flush-method=nosync",
            ],
        );
        server::certificate(server.directory.path());
        for name in ["certificate.pem", "key.pem"] {
            server.give(&server.path(name));
        }
        let mut mariadb = Self {
            server,
            program,
            port: server::port(),
        };
        mariadb.start();
        mariadb
            .client()
            .query_drop("SET SESSION sql_mode=''")
            .unwrap();
        let mut client = mariadb.client();
        for statement in TABLE
            .split(';')
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            client.query_drop(statement).unwrap();
        }
        mariadb
    }

    fn start(&mut self) {
        let path = |name: &str| self.server.path(name).display().to_string();
        let arguments = [
            "--no-defaults".to_owned(),
            format!("--datadir={}", path("data")),
            format!("--socket={}", path("socket")),
            format!("--port={}", self.port),
            format!("--pid-file={}", path("pid")),
            "--bind-address=127.0.0.1".to_owned(),
            "--skip-name-resolve".to_owned(),
            "--innodb-buffer-pool-size=8M".to_owned(),
            "--innodb-flush-method=nosync".to_owned(),
            format!("--ssl-cert={}", path("certificate.pem")),
            format!("--ssl-key={}", path("key.pem")),
        ];
        let socket = self.socket();
        let program = self.program.clone();
        self.server
            .start(&program, &arguments, |_| connect(&socket).is_ok());
    }

    fn socket(&self) -> String {
        self.server.path("socket").display().to_string()
    }

    fn client(&self) -> Conn {
        connect(&self.socket()).unwrap()
    }

    fn value(&self, sql: &str) -> String {
        self.client().query_first(sql).unwrap().unwrap()
    }
}

fn connect(socket: &str) -> mysql::Result<Conn> {
    Conn::new(OptsBuilder::new().socket(Some(socket)).user(Some("root")))
}

#[test]
fn accounts_of_a_server_log_in() {
    let (Some(program), Some(install)) = (
        server::installed(&["/usr/sbin/mariadbd", "/usr/libexec/mariadbd"]),
        server::installed(&["/usr/bin/mariadb-install-db"]),
    ) else {
        support::skipped("MariaDB's server is not installed");
        return;
    };
    let mut mariadb = Mariadb::new(program, &install);
    let local = format!("MYSQL_SOCKET {}\nMYSQL_PORT 0", mariadb.socket());
    let mut daemon = Instance::prepare("authmodulelist=\"authmysql\"\ndaemons=1\nDEBUG_LOGIN=1\n");
    daemon.helper("authmysql", env!("CARGO_BIN_EXE_authmysql"));
    configure(&daemon, &local, RC);
    daemon.launch();

    daemon.alice_logs_in(ALICE);
    daemon.logs_in("o'hara", 5002);
    daemon.nobody_is(&[
        "x' OR '1'='1",
        "x\\' OR 1=1 -- ",
        "alice'#",
        "?",
        "a\0",
        "\u{e9}",
        "alice\" or \"",
    ]);
    daemon.nothing_is_said_about(&["root", "minus"]);
    daemon.lists("\nbob@example.com\t5001\t5001\t/srv/mail/bob\t\t\n");
    daemon.alice_changes_her_password();
    assert!(
        mariadb
            .value("SELECT crypt FROM mail.passwd WHERE id='alice'")
            .starts_with("$y$")
    );
    // To what it was before: a row is found, though nothing in it changes.
    assert_eq!(
        daemon.ask("PASSWD imap\tbob@example.com\tcramsecret\tcramsecret\n"),
        "OK\n"
    );
    // Letters that the column cannot hold: the server's complaint quotes them, the log must not.
    assert_eq!(
        daemon.ask("PASSWD imap\tbob@example.com\tcramsecret\t\u{43f}\u{430}\u{440}\n"),
        "FAIL\n"
    );
    wait_for("the log", || daemon.log().contains("1366"));
    let log = daemon.log();
    assert!(!log.contains("xD0") && !log.contains("xBF"), "{log}");

    // One connection serves all that; one that breaks is made again without anybody noticing.
    let list = "SELECT GROUP_CONCAT(id) FROM information_schema.processlist WHERE user='courier'";
    let id = mariadb.value(list);
    assert!(id.parse::<u32>().is_ok(), "{id}");
    mariadb.client().query_drop(format!("KILL {id}")).unwrap();
    assert!(daemon.ask("PRE . imap alice\n").starts_with("UID=5000\n"));
    assert_ne!(mariadb.value(list), id);

    // Statements of one's own.
    configure(
        &daemon,
        &local,
        &format!(
            "{RC}DEFAULT_DOMAIN example.com
MYSQL_SELECT_CLAUSE SELECT id, crypt, clear, uid, gid, home, NOW() FROM passwd \\
   WHERE id = CONCAT(\"$(local_part)\", '@$(domain)') AND '$(service)' <> 'pop3'
MYSQL_CHPASS_CLAUSE UPDATE passwd SET clear='it\\'s $(newpass)', name='$(newpass_crypt)' \\
   WHERE id='$(local_part)@$(domain)'"
        ),
    );
    let reply = daemon.login("imap", "bob", "cramsecret");
    assert!(
        reply.contains("ADDRESS=bob@example.com\nMAILDIR=20"),
        "{reply}"
    );
    assert_eq!(daemon.ask("PRE . pop3 bob\n"), "FAIL\n");
    assert_eq!(daemon.ask("PASSWD imap\tbob\tcramsecret\tn'\\\n"), "OK\n");
    assert_eq!(
        mariadb.value("SELECT clear FROM mail.passwd WHERE uid=5001"),
        "it's n'\\"
    );

    // TLS: the certificate has to be for the name.
    let certificate = mariadb.server.path("certificate.pem");
    for (host, good) in [("localhost", true), ("127.0.0.1", false)] {
        let connection = format!(
            "MYSQL_SERVER {host}\nMYSQL_PORT {}\nMYSQL_SSL_CACERT {}",
            mariadb.port,
            certificate.display()
        );
        configure(&daemon, &connection, RC);
        let reply = daemon.ask("PRE . imap alice\n");
        assert_eq!(
            reply.starts_with("UID=5000\n"),
            good,
            "{host}\n{}",
            daemon.log()
        );
    }

    // The server goes, and comes back.
    configure(&daemon, &local, RC);
    assert!(daemon.ask("PRE . imap alice\n").starts_with("UID=5000\n"));
    mariadb.server.kill(Signal::SIGKILL);
    assert_eq!(daemon.ask("PRE . imap alice\n"), "");
    assert_eq!(daemon.login("imap", "alice", "ne'w"), "");
    assert!(!daemon.ask("ENUMERATE\n").ends_with(".\n"));
    mariadb.start();
    assert!(daemon.ask("PRE . imap alice\n").starts_with("UID=5000\n"));
    wait_for("the log", || daemon.log().contains("ERR: authmysql: "));
    let log = daemon.log();
    assert!(!log.contains("ne'w") && !log.contains("se'cret"), "{log}");
    assert_eq!(daemon.stop(), Some(0));
}
