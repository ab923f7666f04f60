//! authldap with a real server, asked through the daemon's socket.

#![cfg(feature = "ldap")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod support;

use std::path::{Path, PathBuf};

use ldap3::{LdapConn, Scope, SearchEntry};
use nix::sys::signal::Signal;
use support::server::{self, Server};
use support::{Instance, auth, wait_for};

const SCHEMA: &str = "
attributetype ( 2.25.1.1 NAME 'mailbox' SUP name SINGLE-VALUE )
attributetype ( 2.25.1.2 NAME 'quota' SUP name SINGLE-VALUE )
attributetype ( 2.25.1.3 NAME 'clearPassword' SUP name )
attributetype ( 2.25.1.4 NAME 'handle' SUP name )
attributetype ( 2.25.1.5 NAME 'noImap' SUP name )
objectclass ( 2.25.2.1 NAME 'mailAccount' SUP top AUXILIARY MAY ( mailbox $ quota $ clearPassword $ handle $ noImap ) )
";

const ENTRIES: &str = "dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people
";

/// Name, uid, gid, home, and more attributes.
const ACCOUNTS: [(&str, &str, &str, &str, &str); 7] = [
    (
        "alice",
        "5000",
        "6000",
        "/srv/mail/alice",
        "mailbox: Maildir\nquota: 1000S\nuserPassword: {SSHA}vjgrBDcyrmr+a7KVyVs6bcIq2jcBAgME\nnoImap: 0\n",
    ),
    (
        "bob",
        "5001",
        "6001",
        "/srv/mail/bob",
        "clearPassword: cramsecret\n",
    ),
    ("star*", "5002", "6002", "/h", "clearPassword: test123\n"),
    ("root", "0", "6002", "/h", "clearPassword: test123\n"),
    ("relative", "5002", "6002", "h", "clearPassword: test123\n"),
    (
        "crypt",
        "5003",
        "6003",
        "/h",
        "userPassword: {CRYPT}$1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/\n",
    ),
    ("two", "5004", "6004", "/h", "mail: twin@example.com\n"),
];

const RC: &str = "LDAP_BASEDN ou=people,dc=example,dc=com
LDAP_INITBIND 1
LDAP_BINDDN cn=admin,dc=example,dc=com
LDAP_BINDPW adm1n
LDAP_MAIL mail
LDAP_DOMAIN example.com
LDAP_FILTER (objectClass=mailAccount)
LDAP_UID uidNumber
LDAP_GID gidNumber
LDAP_HOMEDIR homeDirectory
LDAP_MAILDIR mailbox
LDAP_MAILDIRQUOTA quota
LDAP_FULLNAME cn
LDAP_CLEARPW clearPassword
LDAP_CRYPTPW userPassword
LDAP_AUXOPTIONS noImap=disableimap,handle=sharedgroup
";

struct Slapd {
    server: Server,
    program: PathBuf,
    port: u16,
}

impl Slapd {
    fn new(program: PathBuf) -> Self {
        let server = Server::prepare("openldap");
        let path = |name: &str| server.path(name).display().to_string();
        std::fs::create_dir(server.path("data")).unwrap();
        server.give(&server.path("data"));
        server::certificate(server.directory.path());
        for name in ["certificate.pem", "key.pem"] {
            server.give(&server.path(name));
        }
        let schema = ["/etc/ldap/schema", "/etc/openldap/schema"]
            .into_iter()
            .find(|directory| Path::new(directory).exists())
            .unwrap();
        let mut configuration = String::new();
        for name in ["core", "cosine", "nis", "inetorgperson"] {
            configuration.push_str(&format!("include {schema}/{name}.schema\n"));
        }
        configuration.push_str(SCHEMA);
        if Path::new("/usr/lib/ldap/back_mdb.la").exists() {
            configuration.push_str("modulepath /usr/lib/ldap\nmoduleload back_mdb\n");
        }
        configuration.push_str(&format!(
            "pidfile {}\nTLSCertificateFile {}\nTLSCertificateKeyFile {}\n\
             database mdb\nmaxsize 10485760\ndbnosync\nsuffix dc=example,dc=com\ndirectory {}\n\
             rootdn cn=admin,dc=example,dc=com\nrootpw adm1n\n\
             access to attrs=userPassword by self write by anonymous auth\naccess to * by * read\n",
            path("pid"),
            path("certificate.pem"),
            path("key.pem"),
            path("data")
        ));
        std::fs::write(server.path("slapd.conf"), configuration).unwrap();
        std::fs::write(server.path("ldif"), entries()).unwrap();
        let slapadd = program.with_file_name("slapadd");
        server.run(&slapadd, &["-f", &path("slapd.conf"), "-l", &path("ldif")]);
        let mut slapd = Self {
            server,
            program,
            port: server::port(),
        };
        slapd.start();
        slapd
    }

    fn start(&mut self) {
        let arguments = [
            "-d".to_owned(),
            "0".to_owned(),
            "-f".to_owned(),
            self.server.path("slapd.conf").display().to_string(),
            "-h".to_owned(),
            format!("{} {}", self.local(), self.address("127.0.0.1")),
        ];
        let local = self.local();
        let program = self.program.clone();
        self.server
            .start(&program, &arguments, |_| LdapConn::new(&local).is_ok());
    }

    fn address(&self, host: &str) -> String {
        format!("ldap://{host}:{}", self.port)
    }

    fn local(&self) -> String {
        let path = self.server.path("socket").display().to_string();
        format!("ldapi://{}", path.replace('/', "%2F"))
    }

    fn value(&self, name: &str, attribute: &str) -> String {
        let mut connection = LdapConn::new(&self.local()).unwrap();
        connection
            .simple_bind("cn=admin,dc=example,dc=com", "adm1n")
            .unwrap()
            .success()
            .unwrap();
        let dn = format!("uid={name},ou=people,dc=example,dc=com");
        let (found, _) = connection
            .search(&dn, Scope::Base, "(objectClass=*)", [attribute])
            .unwrap()
            .success()
            .unwrap();
        let entry = SearchEntry::construct(found.into_iter().next().unwrap());
        entry
            .attrs
            .get(attribute)
            .map(|values| values.concat())
            .unwrap_or_default()
    }
}

fn entries() -> String {
    let mut text = ENTRIES.to_owned();
    for (name, uid, gid, home, more) in ACCOUNTS {
        text.push_str(&format!(
            "\ndn: uid={name},ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\n\
             objectClass: mailAccount\nuid: {name}\nsn: x\ncn: Full Name\nmail: {name}@example.com\nuidNumber: {uid}\n\
             gidNumber: {gid}\nhomeDirectory: {home}\n{more}"
        ));
    }
    text.push_str(
        "\ndn: uid=twin,ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\nobjectClass: mailAccount\nuid: twin\n\
         sn: x\ncn: x\nmail: twin@example.com\nhandle: alice@example.com\n",
    );
    text
}

fn configure(daemon: &Instance, address: &str, rc: &str) {
    daemon.configure("authldaprc", &format!("LDAP_URI {address}\n{rc}"));
}

const ALICE: &str = "UID=5000\nGID=6000\nHOME=/srv/mail/alice\nADDRESS=alice\nNAME=Full Name\nMAILDIR=Maildir\n\
QUOTA=1000S\nPASSWD={SSHA}vjgrBDcyrmr+a7KVyVs6bcIq2jcBAgME\nOPTIONS=disableimap=0\n.\n";

#[test]
fn accounts_of_a_directory_log_in() {
    let Some(program) = server::installed(&["/usr/sbin/slapd"]) else {
        support::skipped("OpenLDAP's server is not installed");
        return;
    };
    let mut slapd = Slapd::new(program);
    let mut daemon = Instance::prepare("authmodulelist=\"authldap\"\ndaemons=1\nDEBUG_LOGIN=1\n");
    daemon.helper("authldap", env!("CARGO_BIN_EXE_authldap"));
    let local = slapd.local();
    configure(&daemon, &local, RC);
    let mut command = daemon.command(env!("CARGO_BIN_EXE_authdaemond"));
    command.env("LDAPTLS_CACERT", slapd.server.path("certificate.pem"));
    // As /etc/ssl/certs may be: with a directory, a link to what is gone, and something else than certificates.
    let authorities = slapd.server.path("authorities");
    std::fs::create_dir_all(authorities.join("java")).unwrap();
    std::os::unix::fs::symlink("gone.pem", authorities.join("link.pem")).unwrap();
    std::fs::write(authorities.join("README"), "no certificate").unwrap();
    command.env("LDAPTLS_CACERTDIR", authorities);
    daemon.launch_as(command);

    daemon.alice_logs_in(ALICE);
    let full = ALICE.replace("ADDRESS=alice", "ADDRESS=alice@example.com");
    assert_eq!(daemon.ask("PRE . imap alice@example.com\n"), full);
    // "bob 04f70e51a6c55468d069fab09ca72d6b"
    let cram = auth(
        "imap\ncram-md5\nPDAxMjNAaG9zdD4=\nYm9iIDA0ZjcwZTUxYTZjNTU0NjhkMDY5ZmFiMDljYTcyZDZi\n",
    );
    assert!(daemon.ask(cram).starts_with("UID=5001\n"));
    daemon.logs_in("star*", 5002);
    assert!(
        daemon
            .ask("PRE . imap star*\n")
            .contains("PASSWD2=test123\n")
    );
    daemon.nobody_is(&[
        "*",
        "star?",
        "alice)(mail=*",
        "*)(uid=alice",
        "al*",
        "alice\\",
        "a\0",
        "\u{e9}",
        "twin",
        "alice@example.com)(|(uid=*",
        "no)body",
        "",
    ]);
    daemon.nothing_is_said_about(&["root", "relative"]);
    assert!(
        daemon.log().contains(
            "ERR: authldaplib: refuse to authenticate root: uid is not a number from 1 up"
        )
    );
    daemon.lists("\nalice@example.com\t5000\t6000\t/srv/mail/alice\tMaildir\tdisableimap=0\n");
    daemon.alice_changes_her_password();
    assert!(slapd.value("alice", "userPassword").starts_with("{SSHA}"));
    assert_eq!(daemon.ask("PASSWD imap\tcrypt\ttest123\tne'w\n"), "OK\n");
    assert!(
        slapd
            .value("crypt", "userPassword")
            .starts_with("{CRYPT}$y$")
    );
    assert_eq!(daemon.ask("PASSWD imap\tbob\tcramsecret\tother\n"), "OK\n");
    assert_eq!(slapd.value("bob", "clearPassword"), "other");
    assert_eq!(slapd.value("bob", "userPassword"), "");

    // Passwords that nobody may read, checked by binding; everybody's uid; a root for all home directories.
    let binding = RC
        .replace("LDAP_INITBIND 1", "LDAP_AUTHBIND 1")
        .replace("UID uidNumber", "GLOB_UID 7000")
        + "LDAP_MAILROOT /mnt\n";
    configure(&daemon, &local, &binding);
    let reply = daemon.login("imap", "alice", "ne'w");
    assert!(
        reply.starts_with("UID=7000\nGID=6000\nHOME=/mnt//srv/mail/alice\n"),
        "{reply}\n{}",
        daemon.log()
    );
    assert!(!reply.contains("PASSWD="), "{reply}");
    assert_eq!(daemon.login("imap", "alice", "test123"), "FAIL\n");
    assert_eq!(daemon.ask("PASSWD imap\talice\ttest123\tx\n"), "FAIL\n");
    assert_eq!(daemon.ask("PASSWD imap\talice\tne'w\tnewer\n"), "OK\n");
    assert!(
        slapd
            .value("alice", "userPassword")
            .starts_with("{CRYPT}$y$")
    );
    assert!(
        daemon
            .login("imap", "alice", "newer")
            .starts_with("UID=7000\n")
    );

    // A search before the search.
    let mapping = format!(
        "{RC}LDAP_EMAILMAP (&(uid=@user@)(mail=*@realm@))\nLDAP_EMAILMAP_BASEDN dc=example,dc=com\n"
    );
    configure(&daemon, &local, &mapping);
    let reply = daemon.ask("PRE . imap twin@example.com\n");
    assert!(
        reply.contains("HOME=/srv/mail/alice\nADDRESS=twin@example.com\n"),
        "{reply}"
    );
    assert_eq!(daemon.ask("PRE . imap two@example.com\n"), "FAIL\n");

    // StartTLS: to a name that the certificate is for, and to one that it is not for.
    let tls = format!("{RC}LDAP_TLS 1\n");
    for (host, good) in [("localhost", true), ("127.0.0.1", false)] {
        configure(&daemon, &slapd.address(host), &tls);
        let reply = daemon.ask("PRE . imap alice\n");
        assert_eq!(
            reply.starts_with("UID=5000\n"),
            good,
            "{host}\n{}",
            daemon.log()
        );
    }

    // The server goes, and comes back; our own password being wrong is not the user's fault either.
    configure(&daemon, &format!("ldap://127.0.0.1:1, {local}"), RC);
    assert!(daemon.ask("PRE . imap alice\n").starts_with("UID=5000\n"));
    slapd.server.kill(Signal::SIGTERM);
    assert_eq!(daemon.ask("PRE . imap alice\n"), "");
    assert_eq!(daemon.login("imap", "alice", "newer"), "");
    assert!(!daemon.ask("ENUMERATE\n").ends_with(".\n"));
    slapd.start();
    assert!(daemon.ask("PRE . imap alice\n").starts_with("UID=5000\n"));
    configure(&daemon, &local, &RC.replace("adm1n", "other"));
    assert_eq!(daemon.login("imap", "alice", "newer"), "");
    wait_for("the log", || {
        daemon
            .log()
            .contains("ERR: authldap: LDAP_BINDDN, LDAP_BINDPW: result 49")
    });
    let log = daemon.log();
    assert!(
        !log.contains("ne'w") && !log.contains("newer") && !log.contains("adm1n"),
        "{log}"
    );
    assert_eq!(daemon.stop(), Some(0));
}
