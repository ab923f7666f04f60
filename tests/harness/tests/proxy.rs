//! Accounts that another server serves, through whole chains: ours before ours, and Debian's login programs beside
//! ours before the same server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use harness::client::Client;
use harness::server::{PASSWORD, Server, Setup, Side};
use harness::tls::{self, Tls, certificate};
use harness::{Error, mail, programs};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server before the one at `host`, with the account `user`.
fn front(side: Side, user: &str, host: &str) -> Setup {
    let mut setup = Setup::new(side, &[user])
        .with("IMAP_PROXY", "1")
        .with("POP3_PROXY", "1");
    setup
        .options
        .insert(user.to_owned(), format!("mailhost={host}"));
    setup
}

/// Makes it a POP3 server.
fn pop3(mut setup: Setup, side: Side) -> Result<Setup, Error> {
    setup.command = Some(match side {
        Side::Ours => vec![
            programs::ours("pop3login")?.into(),
            programs::ours("pop3d")?.into(),
            "Maildir".into(),
        ],
        Side::Reference => vec![
            "/usr/lib/courier/courier/courierpop3login".into(),
            "/usr/lib/courier/courier/courierpop3d".into(),
            "Maildir".into(),
        ],
    });
    Ok(setup)
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Uses the mailbox that `client` is logged in to.
fn use_mailbox(client: &mut Client, user: &str, back: &Server) -> Result<(), Error> {
    let message = mail::message(1, 1, 100_000);
    client.append("INBOX", &message)?;
    client.expect_ok("SELECT INBOX")?;
    let reply = client.expect_ok("FETCH 1 BODY.PEEK[]")?;
    assert_eq!(reply.with("FETCH")?.literals, [message]);
    // What arrives in a folder that is open is told through the relay, too.
    client.send(b"idle1 IDLE\r\n")?;
    while !client.response()?.line().starts_with('+') {}
    back.account(user)?
        .deliver("INBOX", &mail::message(2, 1, 1000))?;
    while !client.response()?.line().contains("2 EXISTS") {}
    client.send(b"DONE\r\n")?;
    client.reply_to("idle1")?;
    client.expect_ok("LOGOUT")?;
    client.closed()
}

#[test]
fn a_session_at_the_other_server_is_a_session() -> Result<(), Error> {
    harness::run(|| {
        let back = Server::start(&Setup::new(Side::Ours, &["joe"]).with("IMAP_PROXY", "1"))?;
        let front = Server::start(&front(Side::Ours, "joe", &local(back.port)))?;
        let mut client = Client::connect(front.port)?;
        client.greeting()?;
        let reply = client.expect_ok(&format!("LOGIN joe {PASSWORD}"))?;
        assert_eq!(reply.tagged, "OK connected to proxy server.");
        use_mailbox(&mut client, "joe", &back)?;
        let line = front.wait_for_log(&["LOGOUT, user=joe, ip=[::ffff:127.0.0.1]"])?;
        assert!(line[0].contains(", headers=0, body=0, rcvd="), "{line:?}");
        front.wait_for_log(&[
            "LOGIN, user=joe, ip=[::ffff:127.0.0.1], port=[",
            "protocol=IMAP",
        ])?;
        // The server behind has no mailhost for it, says so, and serves it.
        back.wait_for_log(&["WARN: proxy enabled, but no proxy host defined for joe"])?;
        back.wait_for_log(&["LOGOUT, user=joe, ip=["])?;
        // Nothing of the mailbox is here.
        let here = front.account("joe")?.maildir();
        assert!(!here.join("courierimapuiddb").exists());
        // A wrong password is refused here, and the other server is not asked.
        let mut client = Client::connect(front.port)?;
        client.greeting()?;
        let reply = client.command("LOGIN joe wrong")?;
        assert_eq!(reply.tagged, "NO Login failed.");
        assert!(!back.log().contains("LOGIN FAILED"));
        Ok(())
    })
}

#[test]
fn tls_before_and_behind() -> Result<(), Error> {
    harness::run(|| {
        let mut setup = Setup::new(Side::Ours, &["joe"]);
        setup.tls = Some(Tls::new(Side::Ours));
        let back = Server::start(&setup)?;
        // The name is looked up, and has to be that of the certificate.
        let host = format!("localhost:{}", back.tls_port);
        let trusted = certificate(back.state());
        let mut setup = front(Side::Ours, "joe", &host).with("IMAP_PROXY_TLS", "1");
        setup.tls = Some(Tls::new(Side::Ours).with("TLS_TRUSTCERTS", &trusted.to_string_lossy()));
        let before = Server::start(&setup)?;
        for starttls in [true, false] {
            let (mut client, mut child) = Client::through(&mut tls::client(&before, starttls)?)?;
            if starttls {
                while !client
                    .response()?
                    .line()
                    .ends_with("Begin SSL/TLS negotiation now.")
                {}
            } else {
                client.greeting()?;
            }
            let reply = client
                .expect_ok(&format!("LOGIN joe {PASSWORD}"))
                .map_err(|error| error.in_context(&before.log()))?;
            assert_eq!(reply.tagged, "OK connected to proxy server.");
            client.expect_ok("SELECT INBOX")?;
            client.expect_ok("LOGOUT")?;
            drop(client);
            child.wait()?;
            let line = before.wait_for_log(&["LOGIN, user=joe, ", "protocol=IMAP"])?;
            assert!(
                line.iter().all(|line| line.ends_with(", starttls=1")),
                "{line:?}"
            );
        }
        let line = back.wait_for_log(&["LOGIN, user=joe, "])?;
        assert!(line[0].ends_with(", starttls=1"), "{line:?}");
        // An authority that has not signed the certificate: nothing is sent there.
        let mut setup = front(Side::Ours, "joe", &host).with("IMAP_PROXY_TLS", "1");
        setup.tls = Some(Tls::new(Side::Ours).with(
            "TLS_TRUSTCERTS",
            &certificate(before.state()).to_string_lossy(),
        ));
        let other = Server::start(&setup)?;
        let mut client = Client::connect(other.port)?;
        client.greeting()?;
        client.send(format!("t LOGIN joe {PASSWORD}\r\n").as_bytes())?;
        let line = client.response()?.line();
        assert_eq!(line, "* BYE Temporary problem, please try again later");
        other.wait_for_log(&["WARN: Did not receive greeting from localhost:"])?;
        assert_eq!(back.wait_for_log(&["LOGIN, user=joe, "])?.len(), 2);
        Ok(())
    })
}

/// What a POP3 server answers to `commands`, sent in one piece.
fn pop3_session(port: u16, commands: &str) -> Result<String, Error> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(commands.as_bytes())?;
    let mut replies = String::new();
    stream.read_to_string(&mut replies)?;
    Ok(replies)
}

#[test]
fn pop3_at_the_other_server() -> Result<(), Error> {
    harness::run(|| {
        let back = Server::start(&pop3(Setup::new(Side::Ours, &["joe"]), Side::Ours)?)?;
        back.account("joe")?
            .deliver("INBOX", b"Subject: x\r\n\r\n.\r\n")?;
        let setup = front(Side::Ours, "joe", &local(back.port));
        let front = Server::start(&pop3(setup, Side::Ours)?)?;
        let commands =
            format!("UTF8\r\nUSER joe\r\nPASS {PASSWORD}\r\nSTAT\r\nTOP 1 5\r\nQUIT\r\n");
        assert_eq!(
            pop3_session(front.port, &commands)?,
            "+OK Hello there.\r\n+OK UTF8 enabled\r\n+OK Password required.\r\n\
             +OK Connected to proxy server.\r\n+OK 1 17\r\n+OK headers follow.\r\nSubject: x\r\n\r\n..\r\n.\r\n\
             +OK Bye-bye.\r\n"
        );
        front.wait_for_log(&["LOGIN, user=joe, ", "], protocol="])?;
        front.wait_for_log(&["LOGOUT, user=joe, ", "top=0, retr=0, rcvd=21, sent="])?;
        Ok(())
    })
}

/// A server made of what it says.
struct Scripted {
    port: u16,
    heard: Receiver<Vec<String>>,
}

impl Scripted {
    /// Each connection hears the lines in turn: the first at once, each other one after a line of its peer's.
    fn new(lines: &[&str]) -> Result<Self, Error> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        let (sender, heard) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heard = converse(&stream, &lines).unwrap_or_default();
                drop(stream);
                if sender.send(heard).is_err() {
                    return;
                }
            }
        });
        Ok(Self { port, heard })
    }
}

fn converse(stream: &TcpStream, lines: &[String]) -> std::io::Result<Vec<String>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut heard = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            let mut said = String::new();
            reader.read_line(&mut said)?;
            heard.push(said);
        }
        (&mut &*stream).write_all(line.as_bytes())?;
    }
    Ok(heard)
}

/// The session's lines of a log, without ports.
fn told(log: &str) -> Vec<String> {
    log.lines()
        .filter(|line| line.contains("LOGIN") || line.contains("WARN: "))
        .map(|line| {
            let (start, rest) = line.split_once("port=[").unwrap_or((line, ""));
            format!("{start}{}", rest.split_once(']').map_or("", |(_, end)| end))
        })
        .collect()
}

/// What a client, the server behind and the log have heard of one session through the login program of `side`.
fn observed(
    side: Side,
    is_pop3: bool,
    settings: &[(&str, &str)],
    back: &Scripted,
    commands: &[&str],
) -> Result<[Vec<String>; 3], Error> {
    let port = back.port;
    // Theirs knows no ports but those of services.
    let host = match side {
        Side::Ours => local(port),
        Side::Reference => "127.0.0.1".to_owned(),
    };
    let mut setup = front(side, "joe", &host);
    setup.services = Some(format!("imap {port}/tcp\npop3 {port}/tcp\n"));
    for (name, value) in settings {
        setup = setup.with(name, value);
    }
    if is_pop3 {
        setup = pop3(setup, side)?;
    }
    let server = Server::start(&setup)?;
    let mut stream = TcpStream::connect(("127.0.0.1", server.port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut replies = Vec::new();
    let mut line = String::new();
    reader.read_line(&mut line)?;
    for command in commands {
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        line.clear();
        reader.read_line(&mut line)?;
        // Response codes are ours.
        replies.push(line.replace("[AUTH] ", ""));
    }
    let mut rest = String::new();
    reader.read_to_string(&mut rest).ok();
    replies.push(rest);
    let heard = back
        .heard
        .recv_timeout(PATIENCE)
        .map_err(|_| Error::new("the server behind was not asked"))?;
    server.wait_for_log(&["LOGIN"])?;
    let log = told(&server.log().replace(&format!(":{port}"), ""));
    Ok([replies, heard, log])
}

fn interop(test: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    harness::run(|| {
        if std::env::var_os("COURIER_INTEROP").is_none() {
            return Err(Error::Skipped(
                "Debian's Courier as a proxy: run by make check-interop".to_owned(),
            ));
        }
        test()
    })
}

/// The client, the server behind and the log hear the same through ours and theirs.
fn same(
    is_pop3: bool,
    settings: &[(&str, &str)],
    lines: &[&str],
    commands: &[&str],
) -> Result<(), Error> {
    interop(|| {
        let through = |side| {
            let back = Scripted::new(lines)?;
            observed(side, is_pop3, settings, &back, commands)
        };
        // A refusal takes each of them five seconds.
        let (ours, theirs) = std::thread::scope(|scope| {
            let theirs = scope.spawn(|| through(Side::Reference));
            (through(Side::Ours), theirs.join())
        });
        let theirs = theirs.map_err(|_panicked| Error::new("the other thread has failed"))?;
        assert_eq!(ours?, theirs?);
        Ok(())
    })
}

const LOGIN: &str = "a1 LOGIN joe secret";
const PASS: &str = "PASS secret";

#[test]
fn imap_is_passed_on_as_theirs_does() -> Result<(), Error> {
    let lines = ["* OK hi\r\n", "* x\r\na1 OK in\r\n", "b OK no\r\n"];
    same(false, &[], &lines, &[LOGIN, "b NOOP"])
}

#[test]
fn a_foreign_imap_server_is_shown_as_theirs_does() -> Result<(), Error> {
    let lines = [
        "* OK hi\r\n",
        "a1 OK in\r\n",
        "a1 OK capa done\r\n",
        "b\r\n",
    ];
    same(
        false,
        &[("IMAP_PROXY_FOREIGN", "1")],
        &lines,
        &[LOGIN, "b NOOP"],
    )
}

#[test]
fn imap_is_refused_as_theirs_does() -> Result<(), Error> {
    let lines = ["* OK hi\r\n", "a1 NO no\r\n"];
    same(false, &[], &lines, &[LOGIN, "b LOGOUT"])
}

#[test]
fn pop3_is_passed_on_as_theirs_does() -> Result<(), Error> {
    let lines = ["+OK hi\r\n", "+OK\r\n", "+OK in\r\n", "+OK 0 0\r\n"];
    same(true, &[], &lines, &["USER joe", PASS, "STAT"])
}

#[test]
fn a_pop3_user_is_refused_as_theirs_does() -> Result<(), Error> {
    let lines = ["+OK hi\r\n", "-ERR\r\n"];
    same(true, &[], &lines, &["USER joe", PASS, "QUIT"])
}

#[test]
fn a_pop3_password_is_refused_as_theirs_does() -> Result<(), Error> {
    let lines = ["+OK hi\r\n", "+OK\r\n", "-ERR\r\n"];
    same(true, &[], &lines, &["USER joe", PASS, "QUIT"])
}

#[test]
fn ours_before_theirs_and_theirs_before_ours() -> Result<(), Error> {
    interop(|| {
        for (before, behind) in [(Side::Ours, Side::Reference), (Side::Reference, Side::Ours)] {
            let back = Server::start(&Setup::new(behind, &["joe"]))?;
            let host = match before {
                Side::Ours => local(back.port),
                Side::Reference => "127.0.0.1".to_owned(),
            };
            let mut setup = front(before, "joe", &host);
            setup.services = Some(format!("imap {}/tcp\n", back.port));
            let front = Server::start(&setup)?;
            let mut client = Client::connect(front.port)?;
            client.greeting()?;
            let reply = client.expect_ok(&format!("LOGIN joe {PASSWORD}"))?;
            assert_eq!(reply.tagged, "OK connected to proxy server.");
            use_mailbox(&mut client, "joe", &back)?;
        }
        Ok(())
    })
}
