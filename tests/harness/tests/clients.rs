//! Real programs as clients: Python's imaplib, Perl's Mail::IMAPClient, curl, mutt and mbsync, against the side that
//! `COURIER_UNDER_TEST` names.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use harness::account::{Account, stored_form};
use harness::client::Client;
use harness::process::output;
use harness::server::{PASSWORD, Server, Setup, Side};
use harness::{Error, mail, programs};

fn server(user: &str) -> Result<Server, Error> {
    Server::start(&Setup::new(Side::under_test()?, &[user]))
}

#[test]
fn imaplib_finds_every_answer_right() -> Result<(), Error> {
    harness::run(|| {
        let python = programs::installed("python3")?;
        let server = server("snake")?;
        let script = programs::source_root().join("tests/clients/imaplib_session.py");
        let printed = output(
            Command::new(python)
                .arg(script)
                .arg(server.port.to_string())
                .args(["snake", PASSWORD]),
        )?;
        assert_eq!(String::from_utf8_lossy(&printed).trim(), "ok");
        Ok(())
    })
}

#[test]
fn perls_imapclient_finds_every_answer_right() -> Result<(), Error> {
    harness::run(|| {
        let perl = programs::installed("perl")?;
        let module = Command::new(&perl)
            .args(["-MMail::IMAPClient", "-e", "1"])
            .output()?;
        if !module.status.success() {
            return Err(Error::Skipped(
                "Perl's Mail::IMAPClient is not installed".to_owned(),
            ));
        }
        let server = server("camel")?;
        let script = programs::source_root().join("tests/clients/imapclient_session.pl");
        let printed = output(
            Command::new(perl)
                .arg(script)
                .arg(server.port.to_string())
                .args(["camel", PASSWORD]),
        )?;
        assert_eq!(String::from_utf8_lossy(&printed).trim(), "ok");
        Ok(())
    })
}

#[test]
fn curl_lists_uploads_and_downloads() -> Result<(), Error> {
    harness::run(|| {
        let curl = programs::installed("curl")?;
        let server = server("curly")?;
        let files = tempfile::tempdir()?;
        let sent = mail::message(11, 1, 6000);
        let upload = files.path().join("upload");
        fs::write(&upload, &sent)?;
        let run = |path: &str, arguments: &[&str]| {
            output(
                Command::new(&curl)
                    .args(["--silent", "--show-error", "--max-time", "20", "--user"])
                    .arg(format!("curly:{PASSWORD}"))
                    .args(arguments)
                    .arg(format!("imap://127.0.0.1:{}/{path}", server.port)),
            )
        };
        run("INBOX", &["--upload-file", &upload.to_string_lossy()])?;
        let list = run("", &[])?;
        assert!(
            String::from_utf8_lossy(&list).contains("\"INBOX\""),
            "{list:?}"
        );
        assert!(run("INBOX;UID=1", &[])? == sent, "the download differs");
        assert!(
            run("INBOX;MAILINDEX=1", &[])? == sent,
            "the download differs"
        );
        let found = run("INBOX?ALL", &[])?;
        assert_eq!(String::from_utf8_lossy(&found).trim(), "* SEARCH 1");
        let status = run("", &["--request", "STATUS INBOX (MESSAGES)"])?;
        let status = String::from_utf8_lossy(&status).into_owned();
        assert!(status.contains("MESSAGES 1"), "{status}");
        let wrong = Command::new(&curl)
            .args(["--silent", "--user", "curly:wrong", "--max-time", "20"])
            .arg(format!("imap://127.0.0.1:{}/", server.port))
            .output()?;
        assert_eq!(wrong.status.code(), Some(67), "login denied");
        Ok(())
    })
}

/// mutt files a copy of what it sends (batch mode proper), then a second run, in a terminal of its own, tags all
/// messages and copies them to a local mailbox.
#[test]
fn mutt_files_a_copy_and_copies_mail_out() -> Result<(), Error> {
    harness::run(|| {
        let mutt = programs::installed("mutt")?;
        let terminal = programs::installed("script")?;
        let server = server("dog")?;
        let account = server.account("dog")?;
        let received = mail::message(12, 2, 3000);
        account.deliver("INBOX", &received)?;
        Client::login(server.port, "dog", PASSWORD)?.expect_ok("CREATE INBOX.Sent")?;

        let files = tempfile::tempdir()?;
        let home = files.path();
        let configuration = format!(
            "set imap_user=dog\nset imap_pass={PASSWORD}\nset folder=imap://127.0.0.1:{port}/\n\
             set spoolfile=imap://127.0.0.1:{port}/INBOX\nset record=imap://127.0.0.1:{port}/INBOX.Sent\n\
             set ssl_starttls=no\nset ssl_force_tls=no\nset imap_authenticators=login\nset imap_passive=yes\n\
             set sendmail=/bin/true\nset from=dog@example.net\nset hostname=example.net\nset copy=yes\n\
             set confirmappend=no\nset confirmcreate=no\nset delete=no\nset move=no\nset sleep_time=0\n\
             set mbox_type=mbox\nset header_cache=''\nset wait_key=no\nset quit=yes\nset resolve=no\n",
            port = server.port
        );
        fs::write(home.join("rc"), configuration)?;
        fs::write(home.join("text"), "Hello from a batch job.\n")?;
        let environment = |command: &mut Command| {
            command
                .env("HOME", home)
                .env("TERM", "xterm")
                .env("LC_ALL", "C.UTF-8")
                .env("TZ", "UTC")
                .current_dir(home);
        };
        let mut send = Command::new(&mutt);
        environment(&mut send);
        send.args([
            "-F",
            "rc",
            "-s",
            "a batch job",
            "-i",
            "text",
            "--",
            "friend@example.com",
        ]);
        output(&mut send)?;
        let copies = account.messages(".Sent")?;
        assert_eq!(copies.len(), 1);
        let copy = String::from_utf8_lossy(&copies[0].1).into_owned();
        assert!(copy.contains("Subject: a batch job\n"), "{copy}");
        assert!(copy.ends_with("Hello from a batch job.\n"), "{copy}");
        assert!(copies[0].0.contains(":2,S"), "{}", copies[0].0);

        let push =
            "set my_x=1; push '<tag-pattern>~A<enter><tag-prefix><copy-message>out<enter><exit>'";
        let mut read = Command::new(&terminal);
        environment(&mut read);
        read.arg("-qec")
            .arg(format!("{} -F rc -e \"{push}\"", mutt.display()))
            .arg("/dev/null");
        output(&mut read)?;
        let copied = fs::read(home.join("out"))?;
        let body = stored_form(&received);
        let body = body
            .windows(2)
            .position(|pair| pair == b"\n\n")
            .and_then(|at| body.get(at + 2..))
            .unwrap_or_default();
        assert!(
            copied.windows(body.len()).any(|window| window == body),
            "the copied message differs:\n{}",
            String::from_utf8_lossy(&copied)
        );
        Ok(())
    })
}

/// Flags and text of every message of a folder.
type Folder = Vec<(String, Vec<u8>)>;

/// Five folders on both sides, each with messages that the other side lacks: after one run both hold all of them,
/// byte for byte and flag for flag; a second run has nothing to do.
#[test]
fn mbsync_makes_both_sides_equal() -> Result<(), Error> {
    const SEED: u64 = 20;
    const EACH: u64 = 50;
    // The name of the folder on the server's disk, and the local one.
    const FOLDERS: [(&str, &str); 5] = [
        ("INBOX", "INBOX"),
        (".Work", "Work"),
        (".Work.2024", "Work.2024"),
        (".Entw\u{fc}rfe", "Entw&APw-rfe"),
        (".Lists", "Lists"),
    ];
    harness::run(|| {
        let mbsync = programs::installed("mbsync")?;
        let server = server("sync")?;
        let far = server.account("sync")?;
        let files = tempfile::tempdir()?;
        let local = files.path().join("mail");
        fs::create_dir(&local)?;
        let mut expected: BTreeMap<&str, Folder> = BTreeMap::new();
        for (number, (far_name, near_name)) in (0_u64..).zip(FOLDERS) {
            if far_name != "INBOX" {
                far.make_folder(far_name)?;
            }
            let near = local.join(near_name);
            for part in ["", "cur", "new", "tmp"] {
                fs::create_dir(near.join(part))?;
            }
            let folder = expected.entry(near_name).or_default();
            for index in 0..2 * EACH {
                let message = stored_form(&mail::message(SEED + number, index, 4000));
                let flags = ["", "S", "FS", "RS", "DS", "FRS"]
                    .get(usize::try_from(index).unwrap_or(0) % 6)
                    .copied()
                    .unwrap_or_default();
                if index < EACH {
                    far.place(far_name, &message, flags)?;
                } else {
                    let name = format!("cur/170000{index}.near{number}.host:2,{flags}");
                    fs::write(near.join(name), &message)?;
                }
                folder.push((flags.to_owned(), message));
            }
            folder.sort();
        }

        let top = files.path().display();
        let configuration = format!(
            "IMAPAccount test\nHost 127.0.0.1\nPort {}\nUser sync\nPass {PASSWORD}\nSSLType None\nAuthMechs LOGIN\n\n\
             IMAPStore far\nAccount test\n\n\
             MaildirStore near\nPath {top}/mail/\nInbox {top}/mail/INBOX\nSubFolders Verbatim\nFlatten .\n\n\
             Channel both\nFar :far:\nNear :near:\nPatterns *\nSync All\nCreate Both\nExpunge Both\nSyncState *\n",
            server.port
        );
        let rc = files.path().join("rc");
        fs::write(&rc, configuration)?;
        fs::set_permissions(&rc, fs::Permissions::from_mode(0o600))?;
        let synchronise = || {
            let mut command = Command::new(&mbsync);
            command
                .args(["--config".as_ref(), rc.as_os_str()])
                .args(["--quiet", "--all"])
                .env("HOME", files.path())
                .current_dir(files.path());
            output(&mut command)
        };
        synchronise()?;
        for (far_name, near_name) in FOLDERS {
            let expected = &expected[near_name];
            compare(
                expected,
                &far_folder(far, far_name)?,
                &format!("far {far_name}"),
            );
            compare(
                expected,
                &near_folder(&local.join(near_name))?,
                &format!("near {near_name}"),
            );
        }
        let before = (listing(&local)?, listing(&far.maildir())?);
        server.wait_for_log(&["LOGOUT, user=sync"])?;
        synchronise()?;
        assert_eq!(before.0, listing(&local)?);
        assert_eq!(before.1, listing(&far.maildir())?);
        // Nothing travelled either.
        let idle = server.wait_for_log(&["LOGOUT, user=sync", "body=0,"])?;
        assert_eq!(idle.len(), 1, "{idle:?}");
        Ok(())
    })
}

fn compare(expected: &Folder, found: &Folder, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: number of messages");
    for (one, other) in expected.iter().zip(found) {
        assert_eq!(one.0, other.0, "{what}: flags");
        assert!(
            one.1 == other.1,
            "{what}: text differs:\n{}\n--- and:\n{}",
            String::from_utf8_lossy(&one.1),
            String::from_utf8_lossy(&other.1)
        );
    }
}

fn far_folder(account: &Account, name: &str) -> Result<Folder, Error> {
    let messages = account.messages(name)?;
    let mut folder: Folder = messages
        .into_iter()
        .map(|(name, content)| comparable(&name, &content))
        .collect();
    folder.sort();
    Ok(folder)
}

fn near_folder(path: &Path) -> Result<Folder, Error> {
    let mut folder = Folder::new();
    for part in ["cur", "new"] {
        for entry in fs::read_dir(path.join(part))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            folder.push(comparable(&name, &fs::read(entry.path())?));
        }
    }
    folder.sort();
    Ok(folder)
}

/// Flag letters of the file name, and the text without the header that mbsync adds to what it uploads.
fn comparable(name: &str, content: &[u8]) -> (String, Vec<u8>) {
    let flags = name.split_once(":2,").map_or("", |(_, flags)| flags);
    let mut text = Vec::with_capacity(content.len());
    let mut header = true;
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        header &= line != b"\n";
        if !(header && line.starts_with(b"X-TUID: ")) {
            text.extend_from_slice(line);
        }
    }
    (flags.to_owned(), text)
}

/// Every message below `top`, with its size.
fn listing(top: &Path) -> Result<Vec<(String, u64)>, Error> {
    let mut found = Vec::new();
    let mut open = vec![top.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                open.push(entry.path());
            } else if !entry
                .file_name()
                .to_string_lossy()
                .starts_with(".mbsyncstate")
            {
                found.push((entry.path().display().to_string(), metadata.len()));
            }
        }
    }
    found.sort();
    Ok(found)
}
