//! Rubbish, floods and broken surroundings through the real chain: a clear reply and one log line each, no panic, no
//! process left behind, bounded memory, and other sessions undisturbed.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::client::Client;
use harness::process::{output, peak_resident_kib, tree};
use harness::server::{PASSWORD, Server, Setup, Side, connect};
use harness::{Error, mail};
use nix::unistd::getuid;

/// No process may grow beyond this, whatever it is sent. The programs start with 4 to 6 MiB, most of it shared.
const MEMORY_KIB: u64 = 24 * 1024;

fn server() -> Result<Server, Error> {
    Server::start(&Setup::new(Side::Ours, &["joe"]))
}

/// The end of every test: nothing panicked, every session process has ended, and the server still serves.
fn sound(server: &Server) -> Result<(), Error> {
    let end = Instant::now() + Duration::from_secs(5);
    while tree(server.listener.id().as_raw()).len() > 1 {
        if Instant::now() > end {
            return Err(Error::new("a session process is left behind"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let log = server.log();
    assert!(!log.contains("panic"), "{log}");
    let auth_log = server.auth_log();
    assert!(!auth_log.contains("panic"), "{auth_log}");
    Ok(())
}

/// How many log lines contain `word` once there is one.
fn logged(server: &Server, word: &str) -> Result<usize, Error> {
    Ok(server.wait_for_log(&[word])?.len())
}

#[test]
fn a_wrong_password_and_an_unknown_user_cost_one_line_each() -> Result<(), Error> {
    harness::run(|| {
        let server = server()?;
        let refused = |user: &str| -> Result<(), Error> {
            let mut client = Client::connect(server.port)?;
            client.greeting()?;
            let reply = client.command(&format!("LOGIN {user} wrong"))?;
            assert_eq!(reply.tagged, "NO Login failed.");
            client.expect_ok("LOGOUT")?;
            Ok(())
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| refused("nobody"));
            refused("joe")?;
            other
                .join()
                .map_err(|_| Error::new("the other client failed"))?
        })?;
        for user in ["joe", "nobody"] {
            assert_eq!(logged(&server, &format!("LOGIN FAILED, user={user}, "))?, 1);
        }
        sound(&server)
    })
}

#[test]
fn garbage_before_login_ends_the_connection_with_a_reason() -> Result<(), Error> {
    harness::run(|| {
        let server = server()?;
        let mut client = Client::connect(server.port)?;
        client.greeting()?;
        for _ in 0..20 {
            // The server may be gone before the last of it, which is what this is about.
            let _ = client.send(b"\x80\xff\x00\x01{}{+}\"\\ GET / HTTP/1.1\x7f\r\n");
        }
        let mut last = String::new();
        while let Ok(response) = client.response() {
            last = response.line();
        }
        assert!(
            last.contains("TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS"),
            "{last}"
        );
        assert_eq!(
            logged(&server, "TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS")?,
            1
        );
        sound(&server)
    })
}

#[test]
fn garbage_after_login_ends_the_session_with_a_reason() -> Result<(), Error> {
    harness::run(|| {
        let server = server()?;
        let mut client = Client::login(server.port, "joe", PASSWORD)?;
        for _ in 0..20 {
            // As above.
            let _ = client.send(b"\x80\xff\x00\x01{}{+}\"\\ GET / HTTP/1.1\x7f\r\n");
        }
        let mut last = String::new();
        while let Ok(response) = client.response() {
            last = response.line();
        }
        assert!(
            last.contains("TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS"),
            "{last}"
        );
        let line = "ERR: joe: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS";
        assert_eq!(logged(&server, line)?, 1);
        sound(&server)
    })
}

#[test]
fn half_a_command_and_a_disconnect_are_logged_as_such() -> Result<(), Error> {
    harness::run(|| {
        let server = server()?;
        let mut client = Client::connect(server.port)?;
        client.greeting()?;
        client.send(b"a LOGIN jo")?;
        client.half_close()?;
        while client.response().is_ok() {}
        assert_eq!(logged(&server, "DEBUG: Disconnected, ip=[")?, 1);

        let mut client = Client::login(server.port, "joe", PASSWORD)?;
        client.send(b"b SELECT IN")?;
        client.half_close()?;
        while client.response().is_ok() {}
        assert_eq!(logged(&server, "INFO: DISCONNECTED, user=joe, ")?, 1);

        let mut client = Client::login(server.port, "joe", PASSWORD)?;
        client.send(b"c APPEND INBOX {100}\r\nhalf of the mess")?;
        client.half_close()?;
        while client.response().is_ok() {}
        let account = server.account("joe")?;
        assert_eq!(account.messages("INBOX")?.len(), 0);
        assert_eq!(
            files_in(&account.maildir().join("tmp"))?,
            Vec::<PathBuf>::new()
        );
        sound(&server)
    })
}

#[test]
fn absurd_literals_are_refused_and_the_session_goes_on() -> Result<(), Error> {
    harness::run(|| {
        let server = server()?;
        for size in [
            "99999999999999999999",
            "18446744073709551615",
            "4294967296",
            "1000000000",
        ] {
            let mut client = Client::connect(server.port)?;
            client.greeting()?;
            let reply = client.command(&format!("LOGIN {{{size}}}"))?;
            assert!(!reply.ok(), "{size}: {reply:?}");
            client.expect_ok("NOOP")?;
            client.expect_ok(&format!("LOGIN joe {PASSWORD}"))?;
            let reply = client.command(&format!("SELECT {{{size}}}"))?;
            assert!(!reply.ok(), "{size}: {reply:?}");
            client.expect_ok("SELECT INBOX")?;
            client.expect_ok("LOGOUT")?;
        }
        let mut client = Client::login(server.port, "joe", PASSWORD)?;
        let reply = client.command("APPEND INBOX {99999999999999999999}")?;
        assert!(!reply.ok(), "{reply:?}");
        client.expect_ok("NOOP")?;
        drop(client);
        sound(&server)
    })
}

#[test]
fn a_hundred_megabytes_without_a_line_end_are_not_kept() -> Result<(), Error> {
    harness::run(|| {
        let server = server()?;
        let replies = flood(&server, b"", b"A")?;
        assert!(
            replies.contains("* BYE") || replies.contains(" BAD "),
            "{replies:?}"
        );
        let replies = flood(
            &server,
            format!("a LOGIN joe {PASSWORD}\r\n").as_bytes(),
            b"A",
        )?;
        assert!(
            replies.contains("* BYE") || replies.contains(" BAD "),
            "{replies:?}"
        );
        // The same inside a quoted string, and as a list that never ends.
        flood(
            &server,
            format!("a LOGIN joe {PASSWORD}\r\nb SELECT \"").as_bytes(),
            b"x",
        )?;
        flood(
            &server,
            format!("a LOGIN joe {PASSWORD}\r\nb SEARCH ").as_bytes(),
            b"(",
        )?;
        flood(
            &server,
            format!("a LOGIN joe {PASSWORD}\r\nb SEARCH ").as_bytes(),
            b"NOT ",
        )?;
        sound(&server)
    })
}

/// Sends `start` and then 100 MB of `filler`; returns what the server says to the lot and checks the memory of all its
/// processes meanwhile.
fn flood(server: &Server, start: &[u8], filler: &[u8]) -> Result<String, Error> {
    const TOTAL: usize = 100_000_000;
    let mut stream = connect(server.port)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    let mut writer = stream.try_clone()?;
    let root = server.listener.id().as_raw();
    let done = AtomicBool::new(false);
    let peak = AtomicU64::new(0);
    let mut replies = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for id in tree(root) {
                    peak.fetch_max(peak_resident_kib(id).unwrap_or(0), Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        scope.spawn(|| {
            let chunk = filler.repeat(64 * 1024 / filler.len());
            let mut left = TOTAL;
            // A server that hangs up on a flood does the right thing.
            let _ = writer.write_all(start);
            while left > 0 && writer.write_all(&chunk).is_ok() {
                left = left.saturating_sub(chunk.len());
            }
            let _ = writer.write_all(b"\r\n");
            let _ = writer.shutdown(std::net::Shutdown::Write);
        });
        let mut buffer = [0; 4096];
        while let Ok(count) = stream.read(&mut buffer) {
            if count == 0 {
                break;
            }
            replies.extend_from_slice(&buffer[..count]);
        }
        done.store(true, Ordering::Relaxed);
    });
    let peak = peak.load(Ordering::Relaxed);
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    assert!(
        replies.len() < 100_000,
        "{} bytes of replies",
        replies.len()
    );
    Ok(String::from_utf8_lossy(&replies).into_owned())
}

#[test]
fn nul_bytes_are_refused_and_do_no_harm() -> Result<(), Error> {
    harness::run(|| {
        let server = server()?;
        let mut client = Client::connect(server.port)?;
        client.greeting()?;
        client.send(b"a LOGIN joe\0x secret\r\n")?;
        let reply = client.reply_to("a")?;
        assert!(!reply.ok(), "{reply:?}");
        client.send(b"b LOGIN {4+}\r\njoe\0 secret\r\n")?;
        let reply = client.reply_to("b")?;
        assert!(!reply.ok(), "{reply:?}");
        client.expect_ok(&format!("LOGIN joe {PASSWORD}"))?;
        client.send(b"c CREATE \"INBOX.a\0b\"\r\n")?;
        let reply = client.reply_to("c")?;
        assert!(!reply.ok(), "{reply:?}");
        client.send(b"d CREATE {9+}\r\nINBOX.a\0b\r\n")?;
        let reply = client.reply_to("d")?;
        assert!(!reply.ok(), "{reply:?}");
        client.send(b"e SEARCH SUBJECT {3+}\r\na\0b\r\n")?;
        client.reply_to("e")?;
        let list = client.expect_ok("LIST \"\" *")?;
        assert_eq!(list.untagged.len(), 1, "{list:?}");
        // A message may be refused for it, but what is stored is stored whole.
        client.send(b"f APPEND INBOX {9+}\r\nA: b\r\n\r\n\0\r\n")?;
        let reply = client.reply_to("f")?;
        let stored = server.account("joe")?.messages("INBOX")?;
        if reply.ok() {
            assert_eq!(stored[0].1, b"A: b\n\n\0".to_vec());
        } else {
            assert!(stored.is_empty());
        }
        client.expect_ok("LOGOUT")?;
        sound(&server)
    })
}

#[test]
fn a_missing_maildir_is_told_and_logged() -> Result<(), Error> {
    harness::run(|| {
        let server = server()?;
        fs::remove_dir_all(server.account("joe")?.maildir())?;
        let mut client = Client::connect(server.port)?;
        client.greeting()?;
        client.send(format!("a LOGIN joe {PASSWORD}\r\n").as_bytes())?;
        let bye = client.response()?.line();
        assert!(
            bye.starts_with("* BYE [ALERT] Fatal error: No such file or directory"),
            "{bye}"
        );
        client.closed()?;
        assert_eq!(logged(&server, "ERR: joe: No such file or directory")?, 1);
        sound(&server)
    })
}

#[test]
fn an_unreadable_folder_is_refused_and_the_session_goes_on() -> Result<(), Error> {
    harness::run(|| {
        let server = server()?;
        let account = server.account("joe")?;
        account.make_folder(".Locked")?;
        account.deliver("INBOX", &mail::message(1, 1, 500))?;
        let folder = account.folder(".Locked").join("cur");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o000))?;
        let mut client = Client::login(server.port, "joe", PASSWORD)?;
        let reply = client.command("SELECT INBOX.Locked")?;
        assert!(reply.tagged.starts_with("NO "), "{reply:?}");
        let reply = client.command("STATUS INBOX.Locked (MESSAGES)")?;
        assert!(reply.tagged.starts_with("NO "), "{reply:?}");
        let reply = client.expect_ok("SELECT INBOX")?;
        reply.with("1 EXISTS")?;
        client.expect_ok("LOGOUT")?;
        server.wait_for_log(&["ERR:", "Permission denied"])?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        sound(&server)
    })
}

#[test]
fn a_corrupt_uid_database_costs_the_numbers_and_no_mail() -> Result<(), Error> {
    harness::run(|| {
        let server = server()?;
        let account = server.account("joe")?;
        for index in 0..5 {
            account.place("INBOX", &mail::message(1, index, 500), "S")?;
        }
        let database = account.maildir().join("courierimapuiddb");
        let rubbish: [&[u8]; 5] = [
            b"",
            b"\0\0\0\0\0\0\0\0",
            b"1 99999999999999999999 99999999999999999999\n",
            b"1 5 3\n1\n2 \n\n18446744073709551616 x\n\xff\xff\n",
            b"9 1 1\n",
        ];
        for bytes in rubbish {
            account.write(&database, bytes)?;
            let mut client = Client::login(server.port, "joe", PASSWORD)?;
            let reply = client.expect_ok("SELECT INBOX")?;
            reply.with("* 5 EXISTS")?;
            let reply = client.expect_ok("UID FETCH 1:* (UID BODY.PEEK[])")?;
            let uids: Vec<u64> = reply
                .untagged
                .iter()
                .filter_map(|response| {
                    let line = response.line();
                    line.split_once("(UID ")?.1.split(' ').next()?.parse().ok()
                })
                .collect();
            assert_eq!(uids.len(), 5, "{bytes:?}");
            assert!(uids.windows(2).all(|pair| pair[0] < pair[1]), "{uids:?}");
            client.expect_ok("LOGOUT")?;
        }
        sound(&server)
    })
}

#[test]
fn without_authdaemond_the_problem_is_temporary() -> Result<(), Error> {
    harness::run(|| {
        let mut setup = Setup::new(Side::Ours, &["joe"]);
        setup.without_authdaemond = true;
        let server = Server::start(&setup)?;
        let mut client = Client::connect(server.port)?;
        client.greeting()?;
        client.send(format!("a LOGIN joe {PASSWORD}\r\n").as_bytes())?;
        let bye = client.response()?.line();
        assert_eq!(bye, "* BYE Temporary problem, please try again later");
        client.closed()?;
        assert_eq!(logged(&server, "ERR: authdaemon: s_connect() failed: ")?, 1);
        assert_eq!(logged(&server, "LOGIN FAILED, user=joe, ")?, 1);
        sound(&server)
    })
}

/// A small file system that is gone again after the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Result<Self, Error> {
        if !getuid().is_root() {
            return Err(Error::Skipped(
                "a full disk needs root to mount one".to_owned(),
            ));
        }
        output(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o"])
                .arg(format!("size={size},mode=0755"))
                .arg("tmpfs")
                .arg(at),
        )
        .map_err(|error| Error::Skipped(format!("a full disk: {error}")))?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a session may still have its working directory there.
        if output(Command::new("umount").arg("-l").arg(&self.0)).is_err() {
            harness::skip("the small disk could not be unmounted");
        }
    }
}

#[test]
fn a_full_disk_refuses_new_mail_and_keeps_the_old() -> Result<(), Error> {
    harness::run(|| {
        let server = server()?;
        let account = server.account("joe")?;
        let _disk = SmallDisk::mount(&account.home, "1m")?;
        account.reset()?;
        let mut client = Client::login(server.port, "joe", PASSWORD)?;
        let small = mail::message(1, 1, 2000);
        client.append("INBOX", &small)?;
        client.append("INBOX", &small)?;
        client.expect_ok("SELECT INBOX")?;

        let huge = mail::message(1, 2, 3_000_000);
        let Err(Error::Failed(refused)) = client.append("INBOX", &huge) else {
            return Err(Error::new("three megabytes were stored on one"));
        };
        assert!(refused.contains("NO "), "{refused}");
        // Nothing stays behind, and the rest of the message is not taken for commands.
        client.expect_ok("NOOP")?;
        assert_eq!(
            files_in(&account.maildir().join("tmp"))?,
            Vec::<PathBuf>::new()
        );
        assert_eq!(
            logged(&server, "ERR: error storing a message, user=joe, errno=28")?,
            1
        );

        // Fill the disk to the last block: deleting must still work.
        let filler = account.home.join("filler");
        let chunk = vec![b'x'; 4096];
        let mut file = fs::File::create(&filler)?;
        while file.write_all(&chunk).is_ok() {}
        let reply = client.expect_ok("FETCH 1:2 BODY.PEEK[]")?;
        assert!(
            reply
                .untagged
                .iter()
                .all(|response| response.literals == [small.clone()])
        );
        client.expect_ok("STORE 1 +FLAGS (\\Deleted)")?;
        client.expect_ok("EXPUNGE")?;
        let reply = client.expect_ok("UID SEARCH ALL")?;
        reply.with("* SEARCH 2")?;
        drop(file);
        fs::remove_file(&filler)?;
        client.append("INBOX", &small)?;
        client.expect_ok("LOGOUT")?;
        sound(&server)
    })
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(directory).map_err(|error| Error::io("list", directory, &error))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}
