//! POP3 through the whole chain: real programs as clients, and Debian's courier-pop on the same maildir.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::account::{Account, wire_form};
use harness::client::Client;
use harness::pop3::{server, session};
use harness::process::output;
use harness::server::{PASSWORD, Server, Setup, Side};
use harness::{Error, mail, programs};

/// The contents of a maildir's messages, as they travel, in the order of their names.
fn wire_messages(directory: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let mut files = Vec::new();
    for part in ["cur", "new"] {
        let Ok(entries) = fs::read_dir(directory.join(part)) else {
            continue;
        };
        for entry in entries {
            files.push(entry?.path());
        }
    }
    files.sort();
    files
        .iter()
        .map(|path| Ok(wire_form(&fs::read(path)?)))
        .collect()
}

#[test]
fn poplib_finds_every_answer_right() -> Result<(), Error> {
    harness::run(|| {
        let python = programs::installed("python3")?;
        let server = server(Side::Ours, "snake", &[])?;
        let account = server.account("snake")?;
        account.deliver("INBOX", &mail::message(1, 1, 4000))?;
        account.deliver("INBOX", b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n")?;
        let script = programs::source_root().join("tests/clients/poplib_session.py");
        let printed = output(
            Command::new(python)
                .arg(script)
                .arg(server.port.to_string())
                .args(["snake", PASSWORD]),
        )?;
        assert_eq!(String::from_utf8_lossy(&printed).trim(), "ok");
        server.wait_for_log(&["INFO: LOGOUT, user=snake, ip=[::ffff:127.0.0.1]"])?;
        Ok(())
    })
}

/// What IMAP has read is not read again by POP3, and gives the same sizes.
#[test]
fn sizes_come_from_what_imap_remembers() -> Result<(), Error> {
    harness::run(|| {
        let imap = Server::start(&Setup::new(Side::Ours, &["both"]))?;
        let both = imap.account("both")?.clone();
        let pop3 = server(Side::Ours, "other", std::slice::from_ref(&both))?;
        let messages: [&[u8]; 7] = [
            b"Subject: plain\n\nx\n",
            b"Subject: CRLF\r\n\r\nx\r\n",
            b"Subject: unfinished\n\nx",
            b"Subject: j\xfcrgen\n\nx\n",
            "Subject: body\n\nj\u{fc}rgen\r".as_bytes(),
            b"",
            b"Subject: changed\n\nabc\n",
        ];
        let cur = both.maildir().join("cur");
        for (number, message) in messages.iter().enumerate() {
            both.write(&cur.join(format!("{number}.both:2,S")), message)?;
        }
        let sizes = |port: u16, user: &str| -> Result<String, Error> {
            let replies = session(port, user, "LIST\r\nQUIT\r\n")?;
            Ok(String::from_utf8_lossy(&replies).into_owned())
        };
        let read = sizes(pop3.port, "both")?;
        assert!(read.contains("\r\n6 2\r\n"), "{read}");
        let list = both.maildir().join("courierpop3dsizelist");
        let written = fs::read_to_string(&list)?;
        for command in ["FETCH 1:* BODYSTRUCTURE", "FETCH 1:* RFC822.SIZE"] {
            fs::remove_file(&list)?;
            let mut client = Client::login(imap.port, "both", PASSWORD)?;
            client.expect_ok("SELECT INBOX")?;
            client.expect_ok(command)?;
            client.expect_ok("LOGOUT")?;
            // In place: file, name and length are what they were, so that only a reader of the file sees it.
            both.write(&cur.join("6.both:2,S"), b"Subject: changed\n\n\n\n\n\n")?;
            assert_eq!(sizes(pop3.port, "both")?, read, "{command}");
            let flags = |text: &str| -> Vec<String> {
                text.lines()
                    .map(|line| line.rsplit(':').next().unwrap_or_default().to_owned())
                    .collect()
            };
            let again = fs::read_to_string(&list)?;
            assert_eq!(flags(&again)[1..], flags(&written)[1..], "{command}");
            fs::remove_file(both.maildir().join("courierimapcache"))?;
            both.write(&cur.join("6.both:2,S"), messages[6])?;
        }
        Ok(())
    })
}

#[test]
fn curl_lists_and_downloads() -> Result<(), Error> {
    harness::run(|| {
        let curl = programs::installed("curl")?;
        let server = server(Side::Ours, "curly", &[])?;
        let sent = mail::message(2, 1, 6000);
        server.account("curly")?.deliver("INBOX", &sent)?;
        let run = |path: &str| {
            output(
                Command::new(&curl)
                    .args(["--silent", "--show-error", "--max-time", "20", "--user"])
                    .arg(format!("curly:{PASSWORD}"))
                    .arg(format!("pop3://127.0.0.1:{}/{path}", server.port)),
            )
        };
        assert!(run("1")? == wire_form(&sent), "the download differs");
        let list = run("")?;
        let expected = format!("1 {}\r\n", wire_form(&sent).len());
        assert_eq!(String::from_utf8_lossy(&list), expected);
        let wrong = Command::new(&curl)
            .args(["--silent", "--user", "curly:wrong", "--max-time", "20"])
            .arg(format!("pop3://127.0.0.1:{}/", server.port))
            .output()?;
        assert_eq!(wrong.status.code(), Some(67), "login denied");
        Ok(())
    })
}

/// What stands behind the header, which clients add to and rewrite.
fn body(message: &[u8]) -> Vec<u8> {
    let blank = message.windows(4).position(|four| four == b"\r\n\r\n");
    let body = message.get(blank.unwrap_or_default()..).unwrap_or_default();
    body.to_vec()
}

/// A client fetches five messages into the maildir `out` below its home, leaving them on the server, and fetches only
/// the sixth when it runs again. `prepare` writes its configuration and gives its arguments.
fn fetches_once(
    user: &str,
    program: &str,
    prepare: impl FnOnce(&Path, u16) -> Result<Vec<String>, Error>,
) -> Result<(), Error> {
    harness::run(|| {
        let program = programs::installed(program)?;
        let server = server(Side::Ours, user, &[])?;
        let account = server.account(user)?;
        for number in 0..5 {
            account.deliver("INBOX", &mail::message(30 + number, 1, 3000))?;
        }
        let files = tempfile::tempdir()?;
        let home = files.path();
        for part in ["out/cur", "out/new", "out/tmp"] {
            fs::create_dir_all(home.join(part))?;
        }
        let arguments = prepare(home, server.port)?;
        let run = || {
            Command::new(&program)
                .args(&arguments)
                .env("HOME", home)
                .env("LC_ALL", "C.UTF-8")
                .current_dir(home)
                .output()
        };
        let bodies = |directory: &Path| -> Result<Vec<Vec<u8>>, Error> {
            let messages = wire_messages(directory)?;
            let mut bodies: Vec<_> = messages.iter().map(|message| body(message)).collect();
            bodies.sort();
            Ok(bodies)
        };
        for count in [5, 6] {
            let ran = run()?;
            let text = format!(
                "{}{}{}",
                String::from_utf8_lossy(&ran.stderr),
                String::from_utf8_lossy(&ran.stdout),
                server.log()
            );
            let fetched = bodies(&home.join("out"))?;
            assert_eq!(fetched.len(), count, "{text}");
            assert!(
                fetched == bodies(&account.maildir())?,
                "a message differs: {text}"
            );
            account.deliver("INBOX", &mail::message(99, 1, 3000))?;
        }
        Ok(())
    })
}

/// Writes a configuration file that is nobody else's to read, as clients insist on.
fn configure(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// For clients that hand each message to a program: one that writes it into the maildir.
fn delivery_script(home: &Path) -> Result<PathBuf, Error> {
    let script = home.join("deliver");
    fs::write(
        &script,
        "#!/bin/sh\nexec cat >\"$HOME/out/new/$$.$(date +%N)\"\n",
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
    Ok(script)
}

#[test]
fn fetchmail_fetches_once() -> Result<(), Error> {
    fetches_once("fetch", "fetchmail", |home, port| {
        let deliver = delivery_script(home)?;
        let text = format!(
            "poll 127.0.0.1 protocol POP3 port {port} uidl\n\
             user fetch password {PASSWORD} keep sslproto '' mda {}\n",
            deliver.display()
        );
        configure(&home.join("rc"), &text)?;
        Ok(["--fetchmailrc", "rc", "--pidfile", "pid", "--nosyslog"]
            .map(str::to_owned)
            .to_vec())
    })
}

#[test]
fn getmail_fetches_once() -> Result<(), Error> {
    fetches_once("get", "getmail", |home, port| {
        // getmail refuses to write a maildir as root itself.
        let text = format!(
            "[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {port}\nusername = get\n\
             password = {PASSWORD}\n[destination]\ntype = MDA_external\npath = {}\nallow_root_commands = true\n\
             [options]\nread_all = false\ndelete = false\ndelivered_to = false\nreceived = false\n",
            delivery_script(home)?.display()
        );
        configure(&home.join("rc"), &text)?;
        let home = home.display();
        Ok(vec![
            format!("--getmaildir={home}"),
            "--rcfile=rc".to_owned(),
        ])
    })
}

#[test]
fn mpop_fetches_once() -> Result<(), Error> {
    fetches_once("mpop", "mpop", |home, port| {
        let text = format!(
            "defaults\naccount test\nhost 127.0.0.1\nport {port}\ntls off\nauth user\nuser mpop\n\
             password {PASSWORD}\nkeep on\nreceived_header off\nuidls_file {home}/uidls\ndelivery maildir {home}/out\n",
            home = home.display()
        );
        configure(&home.join("rc"), &text)?;
        Ok(["--file=rc", "test"].map(str::to_owned).to_vec())
    })
}

/// What a client sees: the sizes, the identifiers and every byte of every message.
fn everything(port: u16, user: &str, count: usize) -> Result<Vec<u8>, Error> {
    let mut commands = String::from("STAT\r\nLIST\r\nUIDL\r\n");
    for number in 1..=count {
        commands.push_str(&format!("TOP {number} 3\r\nRETR {number}\r\n"));
    }
    session(port, user, &(commands + "QUIT\r\n"))
}

/// Two servers on one maildir by turns, `first` being the one that numbers it.
fn by_turns(first: Side, second: Side) -> Result<(), Error> {
    harness::run(|| {
        if std::env::var_os("COURIER_INTEROP").is_none() {
            return Err(Error::Skipped(
                "interchange with Debian's Courier: run by make check-interop".to_owned(),
            ));
        }
        let one = server(first, "joe", &[])?;
        let joe = one.account("joe")?.clone();
        let two = server(second, "other", std::slice::from_ref(&joe))?;
        for number in 0..20 {
            joe.deliver("INBOX", &mail::message(number, 2, 5000))?;
        }
        joe.place("INBOX", b"Subject: dots\r\n\r\nx\r\n.\r\n..\r\n", "FS")?;
        joe.place("INBOX", "Subject: j\u{fc}rgen\r\n\r\nx\r\n".as_bytes(), "")?;
        let seen = everything(one.port, "joe", 21)?;
        let same = |port, words: &str| -> Result<(), Error> {
            let again = everything(port, "joe", 21)?;
            assert!(
                again == seen,
                "{words}:\n{}\n---\n{}",
                String::from_utf8_lossy(&again),
                String::from_utf8_lossy(&seen)
            );
            Ok(())
        };
        same(two.port, "the second server shows something else")?;
        // New mail for one, deletions by the other; numbers and identifiers go on.
        session(two.port, "joe", "DELE 1\r\nDELE 2\r\nQUIT\r\n")?;
        joe.deliver("INBOX", &mail::message(77, 1, 2000))?;
        let list = |port| session(port, "joe", "LIST\r\nUIDL\r\nQUIT\r\n");
        let (theirs, ours) = (list(two.port)?, list(one.port)?);
        assert_eq!(
            String::from_utf8_lossy(&theirs),
            String::from_utf8_lossy(&ours)
        );
        joe.deliver("INBOX", &mail::message(78, 1, 2000))?;
        let (ours, theirs) = (list(one.port)?, list(two.port)?);
        assert_eq!(
            String::from_utf8_lossy(&theirs),
            String::from_utf8_lossy(&ours)
        );
        assert!(
            String::from_utf8_lossy(&ours).contains("UID24-"),
            "{}",
            String::from_utf8_lossy(&ours)
        );
        Ok(())
    })
}

#[test]
fn their_pop3d_goes_on_with_our_list() -> Result<(), Error> {
    by_turns(Side::Ours, Side::Reference)
}

#[test]
fn our_pop3d_goes_on_with_their_list() -> Result<(), Error> {
    by_turns(Side::Reference, Side::Ours)
}

/// One account with Debian's server and with ours.
fn both_servers() -> Result<(Server, Server, Account), Error> {
    if std::env::var_os("COURIER_INTEROP").is_none() {
        return Err(Error::Skipped(
            "comparison with Debian's Courier: run by make check-interop".to_owned(),
        ));
    }
    let theirs = server(Side::Reference, "joe", &[])?;
    let joe = theirs.account("joe")?.clone();
    let ours = server(Side::Ours, "other", std::slice::from_ref(&joe))?;
    Ok((theirs, ours, joe))
}

/// `text` without the validity of a list that was begun just now.
fn without_now(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(|line| match line.rsplit_once('-') {
        Some((start, number)) if number.len() >= 10 => format!("{start}-now\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn old_lists_and_odd_names_give_the_originals_identifiers() -> Result<(), Error> {
    harness::run(|| {
        let (theirs, ours, joe) = both_servers()?;
        let names: [&[u8]; 8] = [
            b"9.z:2,",
            b"1000.\xfc:2,",
            b"1000.a!b:2,",
            b"1000.a,S=9:2,FS",
            b"1000.a:2,",
            b"1000.a b+'c:2,",
            b"1000.aB:2,",
            b"1001.new:2,",
        ];
        let cur = joe.maildir().join("cur");
        let list = joe.maildir().join("courierpop3dsizelist");
        for name in names {
            let name = std::ffi::OsStr::from_bytes(name);
            joe.write(&cur.join(name), b"A: b\n\nxy\n")?;
        }
        let entries = |form: &dyn Fn(usize) -> String| -> Vec<u8> {
            let mut text = Vec::new();
            for (number, name) in names.iter().enumerate().take(7) {
                text.extend_from_slice(name);
                text.extend_from_slice(form(number).as_bytes());
            }
            text
        };
        let lists: [Vec<u8>; 9] = [
            [
                b"/3 57 33\n".to_vec(),
                entries(&|number| format!(" 12 {}:33:0\n", number + 40)),
            ]
            .concat(),
            // From another server, or from before there was a validity.
            [
                b"/3 57 33\n".to_vec(),
                entries(&|number| format!(" 12 {}:0:0\n", number % 3)),
            ]
            .concat(),
            [
                b"/2 57 33\n".to_vec(),
                entries(&|number| format!(" 12 {}:33\n", number + 40)),
            ]
            .concat(),
            [
                b"/1 57 33\n".to_vec(),
                entries(&|number| format!(" 12 {}\n", number + 40)),
            ]
            .concat(),
            b"/9 57 33\n".to_vec(),
            b"/3 57\n".to_vec(),
            b"/3 57 33\nnonsense\n\n9.z:2, x 2:33:0\n9.z:2, 12 2:33:0\n0.gone:2, 12 1:33:0\n"
                .to_vec(),
            b"nonsense\n".to_vec(),
            Vec::new(),
        ];
        for content in lists {
            let what = String::from_utf8_lossy(&content).into_owned();
            let seen = |port: u16| -> Result<(String, String), Error> {
                joe.write(&list, &content)?;
                let replies = session(port, "joe", "STAT\r\nLIST\r\nUIDL\r\nQUIT\r\n")?;
                let again = session(port, "joe", "STAT\r\nLIST\r\nUIDL\r\nQUIT\r\n")?;
                assert_eq!(without_now(&again), without_now(&replies), "{what}");
                // Whichever time it is.
                let written = fs::read(&list)?;
                let lines = String::from_utf8_lossy(&written)
                    .lines()
                    .map(|line| {
                        let words = line
                            .split([' ', ':'])
                            .map(|word| match word.parse::<u64>() {
                                Ok(number) if number > 1_700_000_000 => "now",
                                _ => word,
                            });
                        words.collect::<Vec<_>>().join(" ")
                    })
                    .collect::<Vec<_>>();
                Ok((without_now(&replies), lines.join("\n")))
            };
            assert_eq!(seen(ours.port)?, seen(theirs.port)?, "{what}");
        }
        Ok(())
    })
}

#[test]
fn log_lines_are_the_originals() -> Result<(), Error> {
    harness::run(|| {
        let (theirs, ours, joe) = both_servers()?;
        joe.place("INBOX", b"Subject: a\r\n\r\n.x\r\n", "S")?;
        joe.place("INBOX", "Subject: j\u{fc}\r\n\r\nx\r\n".as_bytes(), "S")?;
        let long = "x".repeat(9000);
        for commands in [
            "STAT\r\nLIST\r\nUIDL\r\nUTF8\r\nTOP 1 0\r\nRETR 1\r\nRETR 2\r\nCAPA\r\nNOOP\r\nx\r\nQUIT\r\n",
            "DELE 1\r\nRSET\r\nRETR 9\r\n",
        ] {
            let commands =
                commands.replace("NOOP\r\n", &format!("NOOP {}\r\nNOOP\r\n", &long[..200]));
            let lines = |server: &Server| -> Result<Vec<String>, Error> {
                let before = server.log().lines().count();
                let mut stream = TcpStream::connect(("127.0.0.1", server.port))?;
                stream.write_all(format!("USER joe\r\nPASS {PASSWORD}\r\n").as_bytes())?;
                let mut text = Vec::new();
                let mut byte = [0; 512];
                stream.set_read_timeout(Some(Duration::from_secs(20)))?;
                while !text.ends_with(b"+OK logged in.\r\n") {
                    let count = stream.read(&mut byte)?;
                    text.extend_from_slice(byte.get(..count).unwrap_or_default());
                    if count == 0 {
                        return Err(Error::new("no login"));
                    }
                }
                stream.write_all(commands.as_bytes())?;
                stream.shutdown(std::net::Shutdown::Write)?;
                stream.read_to_end(&mut text)?;
                let end = Instant::now() + Duration::from_secs(20);
                let mut log = server.log();
                while !log
                    .lines()
                    .skip(before)
                    .any(|line| line.contains(", time="))
                {
                    if Instant::now() > end {
                        return Err(Error::new(format!("no last line in:\n{log}")));
                    }
                    std::thread::sleep(Duration::from_millis(10));
                    log = server.log();
                }
                let port = stream.local_addr()?.port().to_string();

                Ok(log
                    .lines()
                    .skip(before)
                    .map(|line| {
                        let line = line.replace(&port, "PORT");
                        let time = line.find(", time=").unwrap_or(line.len());
                        line.get(..time).unwrap_or_default().to_owned()
                    })
                    .collect())
            };
            let (ours, theirs) = (lines(&ours)?, lines(&theirs)?);
            assert_eq!(ours, theirs);
            assert_eq!(ours.len(), 3, "{ours:?}");
        }
        Ok(())
    })
}
