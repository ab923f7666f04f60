//! STORE and keywords.

use std::fs;

use crate::client::Home;

#[test]
fn store_adds_removes_and_replaces() {
    let home = Home::new();
    home.place(".", "1.a:2,");
    home.place(".", "2.b:2,S");
    let ended = home.run(
        b"z SELECT INBOX\r\ny SELECT INBOX\r\na STORE 1 +FLAGS (\\Seen \\Flagged)\r\nb STORE 1 -FLAGS \\Seen\r\n\
          c STORE 1:2 FLAGS (\\Answered)\r\nd STORE 1:2 +FLAGS.SILENT (\\Deleted)\r\ne UID STORE 2 FLAGS (\\Draft)\r\n\
          f UID STORE 99 +FLAGS (\\Seen)\r\ng STORE 3 +FLAGS (\\Seen)\r\nh STORE 1 +FLAGS (\\Recent)\r\n\
          i STORE 2:1 FLAGS ()\r\n",
    );
    ended.has(&[
        "* 1 FETCH (FLAGS (\\Flagged \\Seen))\r\na OK STORE completed.",
        "* 1 FETCH (FLAGS (\\Flagged))\r\nb OK",
        "* 1 FETCH (FLAGS (\\Answered))\r\n* 2 FETCH (FLAGS (\\Answered))\r\nc OK STORE completed.\r\nd OK",
        "* 2 FETCH (UID 2 FLAGS (\\Draft))\r\ne OK STORE completed.\r\nf OK",
        "g BAD Invalid message sequence number.",
        "h BAD",
        "* 1 FETCH (FLAGS ())\r\n* 2 FETCH (FLAGS ())\r\ni OK",
    ]);
    assert!(home.maildir().join("cur/1.a:2,").exists());
}

#[test]
fn keywords_live_in_their_own_files() {
    let home = Home::new();
    home.place(".", "1.a:2,");
    home.place(".", "2.b:2,");
    let ended = home.run(
        b"y SELECT INBOX\r\nz SELECT INBOX\r\na STORE 1 +FLAGS ($Forwarded Work)\r\nb STORE 2 +FLAGS.SILENT (work)\r\n\
          c STORE 1 -FLAGS (WORK)\r\nd STORE 1 FLAGS (\\Seen)\r\n",
    );
    ended.has(&[
        "* FLAGS ($Forwarded Work \\Draft",
        "* OK [PERMANENTFLAGS ($Forwarded Work \\* \\Draft",
        "* 1 FETCH (FLAGS ($Forwarded Work))\r\na OK STORE completed.\r\nb OK",
        "* 1 FETCH (FLAGS ($Forwarded))\r\nc OK",
        "* 1 FETCH (FLAGS (\\Seen))\r\n* FLAGS (Work \\Draft",
        "d OK",
    ]);
    let ended = home.run(b"a SELECT INBOX\r\n");
    ended.has(&["* FLAGS (Work \\Draft"]);
}

#[test]
fn changes_of_others_are_kept_and_shown() {
    let home = Home::new();
    home.place(".", "1.a:2,");
    let mut session = home.start();
    session.ask("SELECT INBOX", "OK");
    fs::rename(
        home.maildir().join("cur/1.a:2,"),
        home.maildir().join("cur/1.a:2,F"),
    )
    .unwrap();
    let lines = session.ask("STORE 1 +FLAGS.SILENT (\\Seen)", "OK");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("* 1 FETCH (FLAGS (\\Flagged \\Seen"),
        "{lines:?}"
    );
    assert!(home.maildir().join("cur/1.a:2,FS").exists());
    fs::remove_file(home.maildir().join("cur/1.a:2,FS")).unwrap();
    let lines = session.ask("STORE 1 -FLAGS (\\Seen)", "OK");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let lines = session.ask("NOOP", "OK");
    assert_eq!(lines[0], "* 1 EXPUNGE");
}

#[test]
fn nothing_is_changed_in_a_mailbox_that_is_only_examined() {
    let home = Home::new();
    home.place(".", "1.a:2,T");
    home.deliver(".", "2.b");
    let ended = home.run(
        b"a EXAMINE INBOX\r\nb STORE 1 +FLAGS (\\Seen)\r\nc EXPUNGE\r\nd MOVE 1 INBOX\r\ne CLOSE\r\n\
          f STATUS INBOX (MESSAGES DELETED)\r\n",
    );
    ended.has(&[
        "a OK [READ-ONLY]",
        "b NO Current box is selected READ-ONLY.",
        "c NO Cannot expunge read-only mailbox.",
        "d NO",
        "e OK mailbox closed.",
        "(MESSAGES 2 DELETED 1)",
    ]);
    assert!(home.maildir().join("cur/1.a:2,T").exists());
    assert!(home.maildir().join("new/2.b").exists());
}
