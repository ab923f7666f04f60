//! Accounts in a database through the whole chain: imaplogin asks authdaemond, that asks authsqlite, and imapd serves
//! the account that came back.

use harness::Error;
use harness::client::Client;
use harness::process::write_file;
use harness::server::{Server, Setup, Side};
use nix::sys::signal::{Signal, kill};
use rusqlite::Connection;

/// `joe` of userdb becomes `joe@example.com` of a table, with another password.
fn server() -> Result<Server, Error> {
    let server = Server::start(&Setup::new(Side::Ours, &["joe"]))?;
    let joe = server.account("joe")?;
    let directory = server.state().join("accounts");
    std::fs::create_dir(&directory)?;
    let database = directory.join("database");
    let fault = |error: rusqlite::Error| Error::new(error.to_string());
    let connection = Connection::open(&database).map_err(fault)?;
    connection
        .execute_batch(
            "CREATE TABLE passwd (id TEXT, clear TEXT, uid INTEGER, gid INTEGER, home TEXT);",
        )
        .map_err(fault)?;
    connection
        .execute(
            "INSERT INTO passwd VALUES ('joe@example.com', 'tab''le', ?1, ?2, ?3)",
            (joe.uid, joe.gid, joe.home.display().to_string()),
        )
        .map_err(fault)?;
    let settings = format!(
        "SQLITE_DATABASE {}\nSQLITE_USER_TABLE passwd\nSQLITE_CLEAR_PWFIELD clear\n\
         DEFAULT_DOMAIN example.com\n##NAME: MARKER:0\n",
        database.display()
    );
    let etc = server.state().join("etc");
    write_file(&etc.join("authsqliterc"), settings, 0o600)?;
    let modules = "authmodulelist=\"authsqlite authuserdb\"\ndaemons=2\n";
    write_file(&etc.join("authdaemonrc"), modules, 0o644)?;
    Ok(server)
}

#[test]
fn an_account_of_a_table_reads_its_mail() -> Result<(), Error> {
    let mut server = server()?;
    server
        .account("joe")?
        .deliver("INBOX", b"Subject: of a table\n\ntext\n")?;
    let log = server.state().join("auth.log");
    let asked = server.auth_log();
    let Some(authdaemond) = &mut server.authdaemond else {
        return Err(Error::new("no authdaemond"));
    };
    kill(authdaemond.id(), Signal::SIGHUP)?;
    authdaemond.wait_until(&log, || {
        let now = std::fs::read_to_string(&log).unwrap_or_default();
        now.get(asked.len()..)
            .is_some_and(|now| now.contains("Installation complete: authuserdb"))
    })?;
    for user in ["joe", "joe@example.com"] {
        let mut client = Client::login(server.port, user, "\"tab'le\"")?;
        client.expect_ok("SELECT INBOX")?;
        let reply = client.expect_ok("FETCH 1 BODY[HEADER.FIELDS (SUBJECT)]")?;
        let text = reply.with("FETCH")?.literals.concat();
        assert_eq!(text, b"Subject: of a table\r\n\r\n");
        client.expect_ok("LOGOUT")?;
    }
    Ok(())
}
