//! Settings that say how the maildir is used.

use std::os::unix::fs::symlink;

use crate::client::{Home, run};

/// Names of the messages in `cur`.
fn names(home: &Home) -> Vec<String> {
    std::fs::read_dir(home.maildir().join("cur"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn new_messages_are_named_after_the_host() {
    for (host, part) in [
        ("mx.example.net", ".mx.example.net,S="),
        ("a/b:c", ".a\\057b\\072c,S="),
    ] {
        let home = Home::new();
        let mut command = home.command();
        command.env("HOSTNAME", host);
        run(command, b"a APPEND INBOX {5+}\r\nx: y\n\r\n").has(&["a OK"]);
        let names = names(&home);
        assert_eq!(names.len(), 1);
        assert!(names[0].contains(part), "{names:?}");
    }
}

#[test]
fn links_to_messages_are_followed_once_unless_told_otherwise() {
    let home = Home::new();
    let store = home.maildir().join("store");
    std::fs::create_dir(&store).unwrap();
    std::fs::write(store.join("real"), "Subject: x\n\nHello.\n").unwrap();
    symlink("real", store.join("link")).unwrap();
    symlink("../store/real", home.maildir().join("cur/1.a:2,S")).unwrap();
    symlink("../store/link", home.maildir().join("cur/2.b:2,S")).unwrap();
    let commands = b"a SELECT INBOX\r\nb FETCH 1 BODY.PEEK[TEXT]\r\nc FETCH 2 BODY.PEEK[TEXT]\r\n";
    home.run(commands).has(&["b OK", "c NO [EXPUNGEISSUED]"]);
    let mut command = home.command();
    command.env("MAILDIR_SKIP_SYMLINK_CHECKS", "1");
    run(command, commands).has(&["b OK", "* 2 FETCH", "c OK"]);
}

#[test]
fn settings_of_the_original_without_a_function_are_accepted() {
    let home = Home::new();
    let mut command = home.command();
    command
        .env("IMAP_ENHANCEDIDLE", "1")
        .env("IMAP_BROKENUIDV", "1")
        .env("SMAP_CAPABILITY", "SMAP1")
        .env("SENDMAIL", "/usr/sbin/sendmail")
        .env("HEADERFROM", "X-IMAP-Sender")
        .env("AUTHADDR", "ann@example.net");
    let ended = run(
        command,
        b"a CAPABILITY\r\nb CREATE INBOX.a\r\nc DELETE INBOX.a\r\n",
    );
    ended.has(&["a OK", "b OK", "c OK"]);
    ended.has_not("SMAP");
}
