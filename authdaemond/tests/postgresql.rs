//! authpgsql with a real server, asked through the daemon's socket.

#![cfg(feature = "pgsql")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod support;

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::{Client, NoTls};
use support::server::{self, Server};
use support::{Instance, wait_for};

const TABLE: &str = "
    CREATE TABLE passwd (id text PRIMARY KEY, crypt text, clear varchar(64), name text, uid int, gid bigint,
        home text NOT NULL, maildir text, defaultdelivery text, quota numeric, options text, since date DEFAULT now(),
        CHECK (clear <> 'forbidden'));
    INSERT INTO passwd (id, crypt, uid, gid, home, name, maildir, quota, options) VALUES
        ('alice', '$1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/', 5000, 5000, '/srv/mail/alice', 'Alice Example', 'Maildir',
         10000000, 'group=staff');
    INSERT INTO passwd (id, clear, uid, gid, home) VALUES
        ('bob@example.com', 'cramsecret', 5001, 5001, '/srv/mail/bob'), ('o''hara', 'test123', 5002, 5002, '/h'),
        ('root', 'test123', 0, 5002, '/h'), ('homeless', 'test123', 1, 1, '');
";

const RC: &str = "PGSQL_USER_TABLE passwd
PGSQL_CRYPT_PWFIELD crypt
PGSQL_CLEAR_PWFIELD clear
PGSQL_NAME_FIELD name
PGSQL_MAILDIR_FIELD maildir
PGSQL_QUOTA_FIELD quota
PGSQL_AUXOPTIONS_FIELD options
";

const ALICE: &str = "UID=5000\nGID=5000\nHOME=/srv/mail/alice\nADDRESS=alice\nNAME=Alice Example\nMAILDIR=Maildir\n\
QUOTA=10000000\nPASSWD=$1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/\nOPTIONS=group=staff\n.\n";

fn configure(daemon: &Instance, connection: &str, rc: &str) {
    daemon.configure(
        "authpgsqlrc",
        &format!("PGSQL_CONNECTION {connection}\n{rc}"),
    );
}

struct Postgresql {
    server: Server,
    programs: PathBuf,
    port: u16,
}

impl Postgresql {
    fn new(programs: PathBuf) -> Self {
        let server = Server::prepare("postgres");
        let data = server.path("data");
        server.run(
            &programs.join("initdb"),
            &[
                "-D",
                data.to_str().unwrap(),
                "-N",
                "-A",
                "trust",
                "-U",
                "courier",
                "--no-locale",
                "-E",
                "UTF8",
            ],
        );
        server::certificate(server.directory.path());
        for name in ["certificate.pem", "key.pem"] {
            server.give(&server.path(name));
        }
        let key = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(server.path("key.pem"), key).unwrap();
        let mut postgresql = Self {
            server,
            programs,
            port: server::port(),
        };
        postgresql.start();
        postgresql.client().batch_execute(TABLE).unwrap();
        postgresql
    }

    fn start(&mut self) {
        let path = |name: &str| self.server.path(name).display().to_string();
        let arguments = [
            "-D".to_owned(),
            path("data"),
            "-k".to_owned(),
            self.directory().display().to_string(),
            format!("--port={}", self.port),
            "--listen_addresses=127.0.0.1".to_owned(),
            "--fsync=off".to_owned(),
            "--ssl=on".to_owned(),
            format!("--ssl_cert_file={}", path("certificate.pem")),
            format!("--ssl_key_file={}", path("key.pem")),
        ];
        let connection = self.connection();
        let program = self.programs.join("postgres");
        self.server.start(&program, &arguments, |_| {
            Client::connect(&connection, NoTls).is_ok()
        });
    }

    fn directory(&self) -> &Path {
        self.server.directory.path()
    }

    fn connection(&self) -> String {
        format!(
            "host={} port={} user=courier dbname=postgres",
            self.directory().display(),
            self.port
        )
    }

    fn client(&self) -> Client {
        Client::connect(&self.connection(), NoTls).unwrap()
    }

    fn value(&self, sql: &str) -> String {
        self.client().query_one(sql, &[]).unwrap().get(0)
    }
}

#[test]
fn accounts_of_a_server_log_in() {
    let Some(programs) = server::postgresql() else {
        support::skipped("PostgreSQL's server is not installed");
        return;
    };
    let mut postgresql = Postgresql::new(programs);
    let mut daemon = Instance::prepare("authmodulelist=\"authpgsql\"\ndaemons=1\nDEBUG_LOGIN=1\n");
    daemon.helper("authpgsql", env!("CARGO_BIN_EXE_authpgsql"));
    configure(&daemon, &postgresql.connection(), RC);
    daemon.launch();

    daemon.alice_logs_in(ALICE);
    daemon.logs_in("o'hara", 5002);
    daemon.nobody_is(&["x' OR '1'='1", "alice'--", "$1", "a\0", "alice\\", "\u{e9}"]);
    daemon.nothing_is_said_about(&["root", "homeless"]);
    daemon.lists("\nbob@example.com\t5001\t5001\t/srv/mail/bob\t\t\n");
    daemon.alice_changes_her_password();
    assert!(
        postgresql
            .value("SELECT crypt FROM passwd WHERE id='alice'")
            .starts_with("$y$")
    );
    assert_eq!(
        daemon.ask("PASSWD imap\tbob@example.com\tcramsecret\tother\n"),
        "OK\n"
    );
    assert_eq!(
        postgresql.value("SELECT clear FROM passwd WHERE id='bob@example.com'"),
        "other"
    );
    // The server's complaint comes with the whole row, which is nothing for a log.
    assert_eq!(
        daemon.ask("PASSWD imap\tbob@example.com\tother\tforbidden\n"),
        "FAIL\n"
    );
    wait_for("the log", || daemon.log().contains("passwd_clear_check"));
    assert!(!daemon.log().contains("forbidden"), "{}", daemon.log());

    // One connection serves all that; one that breaks is made again without anybody noticing.
    let connections =
        "SELECT count(*)::text FROM pg_stat_activity WHERE application_name='authpgsql'";
    assert_eq!(postgresql.value(connections), "1");
    let cut = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE application_name='authpgsql'";
    assert_eq!(postgresql.value(cut), "1");
    assert!(daemon.ask("PRE . imap alice\n").starts_with("UID=5000\n"));

    // Statements of one's own; a parameter may be compared with any type.
    configure(
        &daemon,
        &postgresql.connection(),
        "PGSQL_SELECT_CLAUSE SELECT id, crypt, '', uid, gid, home, since FROM passwd WHERE uid = '$(local_part)' \\
           OR id = E'$(local_part)' || $$$(service)x$$
PGSQL_ENUMERATE_CLAUSE SELECT 'x' || id, uid, gid, home FROM passwd WHERE uid > 0
PGSQL_CHPASS_CLAUSE SELECT 1",
    );
    let reply = daemon.ask("PRE . imap 5000\n");
    assert!(
        reply.starts_with("UID=5000\n") && reply.contains("\nMAILDIR=20"),
        "{reply}"
    );
    assert!(daemon.ask("ENUMERATE\n").contains("\nxalice\t"));
    // Not a number where the server wants one: its own complaint.
    assert_eq!(daemon.ask("PRE . imap fifty\n"), "");
    assert!(
        daemon
            .log()
            .contains("invalid input syntax for type integer")
    );

    // TLS: to a name that the certificate is for, and to one that it is not for.
    let certificate = postgresql.server.path("certificate.pem");
    for (mode, host, good) in [
        ("verify-full", "localhost", true),
        ("verify-full", "127.0.0.1", false),
        ("verify-ca", "127.0.0.1", true),
    ] {
        let connection = format!(
            "host={host} hostaddr=127.0.0.1 port={} user=courier dbname=postgres sslmode={mode} sslrootcert={}",
            postgresql.port,
            certificate.display()
        );
        configure(&daemon, &connection, RC);
        let reply = daemon.ask("PRE . imap alice\n");
        assert_eq!(
            reply.starts_with("UID=5000\n"),
            good,
            "{mode} {host}\n{}",
            daemon.log()
        );
    }
    assert!(daemon.log().contains("certificate verify failed"));

    // The server goes, and comes back.
    configure(&daemon, &postgresql.connection(), RC);
    assert!(daemon.ask("PRE . imap alice\n").starts_with("UID=5000\n"));
    postgresql.server.kill(Signal::SIGINT);
    assert_eq!(daemon.ask("PRE . imap alice\n"), "");
    assert_eq!(daemon.login("imap", "alice", "ne'w"), "");
    assert_eq!(daemon.ask("PASSWD imap\talice\tne'w\tx\n"), "FAIL\n");
    assert!(!daemon.ask("ENUMERATE\n").ends_with(".\n"));
    postgresql.start();
    assert!(daemon.ask("PRE . imap alice\n").starts_with("UID=5000\n"));
    wait_for("the log", || daemon.log().contains("ERR: authpgsql: "));
    let log = daemon.log();
    assert!(!log.contains("ne'w") && !log.contains("test123"), "{log}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_helper_that_waits_for_its_server_is_hidden_and_ends_with_its_worker() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut daemon = Instance::prepare("authmodulelist=\"authpgsql\"\ndaemons=1\n");
    daemon.helper("authpgsql", env!("CARGO_BIN_EXE_authpgsql"));
    let connection = format!("host=127.0.0.1 port={port} user=courier");
    configure(&daemon, &connection, RC);
    daemon.launch();
    let mut asker = daemon.connect();
    asker.write_all(b"PRE . imap alice\n").unwrap();
    // The helper is connected, and this server never says anything.
    let _connected = listener.accept().unwrap();
    let worker = daemon.workers()[0];
    let children = std::fs::read_to_string(format!("/proc/{worker}/task/{worker}/children"));
    let helper = children.unwrap().trim().to_owned();
    assert!(
        support::is_alive(&helper),
        "the helper is not the worker's child"
    );
    // It knows the password of the database: nothing that runs with the same uid looks into it.
    let status = std::fs::read_to_string(format!("/proc/{helper}/status")).unwrap();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let uid = uid.and_then(|uids| uids.split_whitespace().next()).unwrap();
    let metadata = std::fs::metadata(format!("/proc/{helper}/mem")).unwrap();
    assert_ne!(metadata.uid().to_string(), uid);
    // And whatever that server sends, this machine has memory left.
    let limits = std::fs::read_to_string(format!("/proc/{helper}/limits")).unwrap();
    let data = limits
        .lines()
        .find(|line| line.starts_with("Max data size"));
    assert!(data.unwrap().contains(" 1073741824 "), "{limits}");
    // Killed without a word to its helper, as by the second SIGTERM to the daemon.
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    wait_for("the helper's end", || !support::is_alive(&helper));
}
