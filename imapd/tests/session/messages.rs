//! APPEND, COPY, MOVE, EXPUNGE.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use crate::client::{Home, run};

#[test]
fn append_stores_bytes_flags_and_date() {
    let home = Home::new();
    let ended = home.run(
        b"z SELECT INBOX\r\na APPEND INBOX (\\Seen \\Flagged kw) \" 2-Jan-2020 03:04:05 +0100\" {22}\r\n\
          Subject: x\r\n\r\nBody\r\n\r\n\r\n",
    );
    ended.has(&[
        "+ OK\r\n",
        "* 1 EXISTS",
        "a OK [APPENDUID ",
        " 1] APPEND Ok.\r\n",
    ]);
    let file = fs::read_dir(home.maildir().join("cur"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert!(
        file.file_name().to_string_lossy().ends_with(",S=18:2,FS"),
        "{file:?}"
    );
    assert_eq!(fs::read(file.path()).unwrap(), b"Subject: x\n\nBody\n\n");
    assert_eq!(
        file.metadata().unwrap().modified().unwrap(),
        UNIX_EPOCH + Duration::from_secs(1_577_930_645)
    );
    let ended = home.run(b"a SELECT INBOX\r\n");
    ended.has(&["* FLAGS (kw ", "* 0 RECENT"]);
}

#[test]
fn append_of_several_messages_is_all_or_nothing() {
    let home = Home::new();
    let ended = home.run(
        b"a APPEND INBOX {3+}\r\nabc (\\Seen) {3+}\r\ndef\r\n\
          b APPEND INBOX {3+}\r\nabc (\\Recent) {3+}\r\ndef\r\n\
          c APPEND INBOX {3+}\r\nabc x\r\n\
          d APPEND INBOX {0+}\r\n\r\n\
          e APPEND INBOX {3+}\r\nabc {0+}\r\n\r\n\
          f APPEND INBOX UTF8 (~{3+}\r\nabc)\r\n\
          g APPEND INBOX UTF8 (~{3+}\r\nabc\r\n\
          h STATUS INBOX (MESSAGES UNSEEN)\r\n",
    );
    ended.has(&[
        "a OK [APPENDUID ",
        " 1:2] APPEND Ok.",
        "b BAD",
        "c BAD",
        "d NO [CANNOT]",
        "e NO [CANNOT]",
        "f OK [APPENDUID ",
        " 3]",
        "g BAD",
        "(MESSAGES 3 UNSEEN 2)",
    ]);
    assert_eq!(fs::read_dir(home.maildir().join("tmp")).unwrap().count(), 0);
}

#[test]
fn the_outbox_refuses_what_it_cannot_send() {
    let home = Home::new();
    home.folder(".Outbox");
    home.place(".", "1.a:2,");
    let mut command = home.command();
    command.env("OUTBOX", ".Outbox");
    let ended = run(
        command,
        b"a APPEND INBOX.Outbox {3}\r\nb SELECT INBOX\r\nc COPY 1 INBOX.Outbox\r\nd MOVE 1 INBOX.Outbox\r\n",
    );
    ended.has(&["a NO [CANNOT]", "c NO [CANNOT]", "d NO [CANNOT]"]);
}

#[test]
fn copy_and_move_report_uids() {
    let home = Home::new();
    home.folder(".Work");
    for name in ["1.a:2,S", "2.b:2,F", "3.c:2,", "4.d:2,T"] {
        home.place(".", name);
    }
    let ended = home.run(
        b"a SELECT INBOX\r\nb COPY 1,3:4 INBOX.Work\r\nc UID COPY 99 INBOX.Work\r\nd COPY 1 INBOX.none\r\n\
          e COPY 9 INBOX.Work\r\nf UID MOVE 2 INBOX.Work\r\ng MOVE 1:* INBOX.Work\r\nh MOVE 1 INBOX.Work\r\n\
          i STATUS INBOX.Work (MESSAGES UNSEEN DELETED UIDNEXT)\r\nj SELECT INBOX.Work\r\nk COPY 1 INBOX.Work\r\n",
    );
    ended.has(&[
        "b OK [COPYUID ",
        " 1,3:4 1:3] COPY completed.",
        "c OK COPY completed.",
        "d NO [TRYCREATE]",
        "e BAD",
        "* OK [COPYUID ",
        " 2 4] Moved\r\n* 2 EXPUNGE",
        "f OK MOVE completed.",
        "* OK [COPYUID ",
        " 1,3:4 5:7] Moved\r\n* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n* 0 EXISTS",
        "g OK",
        "h BAD",
        "(MESSAGES 7 UIDNEXT 8 UNSEEN 5 DELETED 2)",
        "* 8 EXISTS",
        "k OK [COPYUID ",
        " 1 8]",
    ]);
}

#[test]
fn expunge_forms() {
    let home = Home::new();
    for name in ["1.a:2,", "2.b:2,T", "3.c:2,T", "4.d:2,T", "5.e:2,"] {
        home.place(".", name);
    }
    let ended = home.run(
        b"a SELECT INBOX\r\nb UID EXPUNGE 1:2,5\r\nc EXPUNGE\r\nd EXPUNGE\r\ne STORE 1 +FLAGS.SILENT (\\Deleted)\r\n\
          f UNSELECT\r\ng SELECT INBOX\r\nh CLOSE\r\ni STATUS INBOX (MESSAGES)\r\n",
    );
    ended.has(&[
        "* 2 EXPUNGE\r\n* 4 EXISTS",
        "b OK",
        "* 2 EXPUNGE\r\n* 2 EXPUNGE\r\n* 2 EXISTS",
        "c OK EXPUNGE completed\r\nd OK EXPUNGE completed",
        "e OK",
        "* 2 EXISTS",
        "g OK [READ-WRITE] Ok\r\nh OK mailbox closed.\r\n",
        "(MESSAGES 1)",
    ]);
}

#[test]
fn expunged_messages_go_to_the_trash_if_asked() {
    let home = Home::new();
    home.place(".", "1.a:2,DST");
    home.place(".", "2.b:2,T");
    home.folder(".Kept");
    let mut command = home.command();
    command
        .env("IMAP_MOVE_EXPUNGE_TO_TRASH", "1")
        .env("IMAP_LOG_DELETIONS", "1");
    let ended = run(
        command,
        b"a CAPABILITY\r\nb SELECT INBOX\r\nc COPY 2 INBOX.Kept\r\nd EXPUNGE\r\ne STATUS INBOX.Trash (MESSAGES DELETED)\r\n\
          f SELECT INBOX.Trash\r\ng STORE 1 +FLAGS (\\Deleted)\r\nh EXPUNGE\r\ni STATUS INBOX.Trash (MESSAGES)\r\n",
    );
    ended.has(&[
        " XMAGICTRASH ",
        "d OK",
        "(MESSAGES 1 DELETED 0)",
        "g OK",
        "h OK",
        "(MESSAGES 0)",
    ]);
    ended.logged("INFO: EXPUNGED, user=ann, ip=[127.0.0.1], port=[0], old_name=./cur/1.a:2,DST, new_name=.Trash/cur/");
    ended.logged(":2,S: only new_name will be left\n");
    ended.logged("old_name=./cur/1.a:2,DST\n");
    ended.logged("INFO: EXPUNGED, user=ann, ip=[127.0.0.1], port=[0], old_name=./cur/2.b:2,T\n");
    ended.logged("old_name=./.Trash/cur/");
}
