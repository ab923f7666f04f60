//! neomutt at a terminal: opening, reading, flagging, deleting, saving to a folder, quitting, and what is left of it in
//! the maildir.

use std::process::Command;

use harness::process::output;
use harness::server::{PASSWORD, Server, Setup, Side};
use harness::{Error, programs};

const USER: &str = "newt";

#[test]
fn neomutt_reads_flags_deletes_and_saves() -> Result<(), Error> {
    harness::run(|| {
        let neomutt = programs::installed("neomutt")?;
        let python = programs::installed("python3")?;
        let server = Server::start(&Setup::new(Side::under_test()?, &[USER]))?;
        let account = server.account(USER)?;
        account.make_folder(".Kept")?;
        for subject in ["Kumquat", "Quagmire", "Zeppelin", "Bagpipe"] {
            let letter = format!(
                "From: ann@example.net\nSubject: {subject}\nMessage-ID: <{subject}@example.net>\n\n\
                 Body-of-{subject}\n"
            );
            account.deliver("INBOX", letter.as_bytes())?;
        }
        let home = tempfile::tempdir()?;
        let printed = output(
            Command::new(python)
                .arg(programs::source_root().join("tests/clients/neomutt_session.py"))
                .arg(neomutt)
                .arg(server.port.to_string())
                .args([USER, PASSWORD])
                .arg(account.maildir())
                .current_dir(home.path()),
        )?;
        assert_eq!(String::from_utf8_lossy(&printed).trim(), "ok");
        let subjects_and_flags = |folder: &str| -> Result<Vec<(String, String)>, Error> {
            let mut found = Vec::new();
            for (name, text) in account.messages(folder)? {
                let text = String::from_utf8_lossy(&text).into_owned();
                let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
                let subject = subject.unwrap_or_default().to_owned();
                let flags = name.split_once(":2,").map_or("", |(_, flags)| flags);
                assert!(
                    text.ends_with(&format!("\n\nBody-of-{subject}\n")),
                    "{text}"
                );
                found.push((subject, flags.to_owned()));
            }
            found.sort();
            Ok(found)
        };
        let pair = |subject: &str, flags: &str| (subject.to_owned(), flags.to_owned());
        assert_eq!(
            subjects_and_flags("INBOX")?,
            [
                pair("Kumquat", "S"),
                pair("Quagmire", "F"),
                pair("Xylophone", ""),
                pair("Yardstick", "S")
            ]
        );
        assert_eq!(subjects_and_flags(".Kept")?, [pair("Bagpipe", "S")]);
        Ok(())
    })
}
