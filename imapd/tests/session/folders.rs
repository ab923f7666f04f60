//! CREATE to UNSUBSCRIBE, LIST, STATUS, SELECT.

use std::fs;

use crate::client::{Home, run};

#[test]
fn folders_come_and_go() {
    let home = Home::new();
    let ended = home.run(
        b"a CREATE INBOX.Work\r\nb CREATE INBOX.Work\r\nc CREATE INBOX\r\nd CREATE INBOX.Dir.\r\n\
          e CREATE Elsewhere\r\nf CREATE INBOX.a/b\r\ng CREATE INBOX..a\r\nh CREATE \"INBOX.A & B\"\r\n\
          i CREATE \"INBOX.&AC4-x\"\r\nj DELETE INBOX.Work\r\nk DELETE INBOX.Work\r\nl DELETE INBOX\r\n\
          m CREATE INBOX.Trash\r\nn DELETE INBOX.Trash\r\no RENAME INBOX.Trash INBOX.T\r\np DELETE INBOX.Work.\r\n",
    );
    ended.has(&[
        "a OK \"INBOX.Work\" created.",
        "b NO [ALREADYEXISTS]",
        "c NO [ALREADYEXISTS] INBOX already exists!",
        "d OK \"INBOX.Dir.\" created.",
        "e NO [CANNOT]",
        "f NO [CANNOT]",
        "g NO [CANNOT]",
        "h NO [CANNOT]",
        "i NO [CANNOT]",
        "j OK Folder deleted.",
        "k NO [NONEXISTENT] Mailbox does not exist, or must be subscribed to.",
        "l NO [CANNOT] Cannot delete this folder.",
        "m OK",
        "n NO [CANNOT] Cannot delete this folder.",
        "o NO [CANNOT] Reserved folder name - cannot rename.",
        "p OK Folder directory delete punted.",
    ]);
    let mut left: Vec<String> = fs::read_dir(home.maildir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    left.sort();
    assert_eq!(left, [".Dir", ".Trash"]);
}

#[test]
fn names_are_utf7_on_the_wire_and_utf8_on_disk() {
    let home = Home::new();
    let ended = home.run(
        "a CREATE INBOX.Entw&APw-rfe\r\nb CREATE INBOX.Entwürfe2\r\nc CREATE \"INBOX.Entwürfe2\"\r\n\
         d LIST \"\" INBOX.E*\r\ne ENABLE UTF8=ACCEPT\r\nf LIST \"\" \"INBOX.Entwü%\"\r\n\
         g CREATE \"INBOX.日本\"\r\nh STATUS \"INBOX.日本\" (MESSAGES)\r\n"
            .as_bytes(),
    );
    ended.has(&[
        "a OK",
        "b BAD",
        "c NO [CANNOT]",
        "* LIST (\\HasNoChildren) \".\" \"INBOX.Entw&APw-rfe\"\r\nd OK",
        "* ENABLED UTF8=ACCEPT",
        "* LIST (\\HasNoChildren) \".\" \"INBOX.Entwürfe\"\r\nf OK",
        "g OK",
        "* STATUS \"INBOX.日本\" (MESSAGES 0)",
    ]);
    assert!(home.maildir().join(".Entwürfe/cur").is_dir());
    assert!(home.maildir().join(".日本/cur").is_dir());
}

#[test]
fn names_that_cannot_be_shown_are_left_out() {
    use std::os::unix::ffi::OsStrExt;
    let home = Home::new();
    home.folder(".Good");
    let bad = home
        .maildir()
        .join(std::ffi::OsStr::from_bytes(b".Bad\xff"));
    fs::create_dir_all(bad.join("cur")).unwrap();
    let ended = home.run(b"a LIST \"\" *\r\nb NOOP\r\n");
    ended.has(&["INBOX.Good", "a OK LIST completed", "b OK"]);
    ended.has_not("Bad");
    ended.logged("ERR: folder name INBOX.Bad\\xff");
}

#[test]
fn list_forms() {
    let home = Home::new();
    for folder in [".a", ".a.b.c", ".x"] {
        home.folder(folder);
    }
    let ended = home.run(
        b"a LIST \"\" \"\"\r\nb LIST \"\" %\r\nc LIST \"\" INBOX.%\r\nd LIST INBOX.a *\r\ne LIST \"\" inbox\r\n\
          f LIST \"\" *.c\r\ng LIST (SUBSCRIBED) \"\" *\r\nh LIST \"\" (INBOX.x INBOX.a) RETURN (STATUS (MESSAGES))\r\n\
          i LIST (FROB) \"\" *\r\nj LIST \"\" #shared.*\r\n",
    );
    ended.has(&[
        "* LIST (\\Noselect) \".\" \"\"\r\na OK",
        "* LIST (\\Unmarked \\HasChildren) \".\" \"INBOX\"\r\nb OK",
        "* LIST (\\HasChildren) \".\" \"INBOX.a\"\r\n* LIST (\\HasNoChildren) \".\" \"INBOX.x\"\r\nc OK",
        "* LIST (\\Noselect \\HasChildren) \".\" \"INBOX.a.b\"\r\n* LIST (\\HasNoChildren) \".\" \"INBOX.a.b.c\"\r\nd OK",
        "\"INBOX\"\r\ne OK",
        "\"INBOX.a.b.c\"\r\nf OK",
        "OK LIST completed\r\n",
        "\"INBOX.a\"\r\n* STATUS \"INBOX.a\" (MESSAGES 0)\r\n* LIST (\\HasNoChildren) \".\" \"INBOX.x\"\r\n* STATUS",
        "h OK",
        "i BAD",
        "j OK",
    ]);
}

#[test]
fn special_uses_go_by_name() {
    let home = Home::new();
    for folder in [
        ".Sent",
        ".Sent Items",
        ".Spam",
        ".Trash",
        ".Other",
        ".a.Sent",
    ] {
        home.folder(folder);
    }
    let ended =
        home.run(b"a LIST (SPECIAL-USE) \"\" * RETURN (SPECIAL-USE)\r\nb LIST \"\" INBOX.O*\r\n");
    ended.has(&[
        "* LIST (\\HasNoChildren \\Sent) \".\" \"INBOX.Sent\"\r\n\
         * LIST (\\HasNoChildren \\Junk) \".\" \"INBOX.Spam\"\r\n\
         * LIST (\\HasNoChildren \\Trash) \".\" \"INBOX.Trash\"\r\na OK",
        "* LIST (\\HasNoChildren) \".\" \"INBOX.Other\"\r\nb OK",
    ]);
}

#[test]
fn marked_and_the_obsolete_client() {
    let home = Home::new();
    home.folder(".a");
    home.deliver(".a", "1.a");
    let mut command = home.command();
    command
        .env("IMAP_CHECK_ALL_FOLDERS", "1")
        .env("IMAP_OBSOLETE_CLIENT", "1");
    run(command, b"a LIST \"\" *\r\n").has(&[
        "* LIST (\\Unmarked) \".\" \"INBOX\"",
        "* LIST (\\Marked \\Noinferiors) \".\" \"INBOX.a\"",
    ]);
}

#[test]
fn subscriptions() {
    let home = Home::new();
    home.folder(".a");
    home.folder(".a.b");
    let ended = home.run(
        b"a SUBSCRIBE INBOX.a.b\r\nb SUBSCRIBE INBOX.gone\r\nc SUBSCRIBE inbox\r\nd LSUB \"\" *\r\n\
          e LSUB \"\" INBOX.%\r\nf UNSUBSCRIBE INBOX.gone\r\ng UNSUBSCRIBE INBOX.never\r\nh LSUB \"\" *\r\n\
          i LIST (SUBSCRIBED) \"\" *\r\nj LIST \"\" INBOX.a.% RETURN (SUBSCRIBED)\r\n\
          k LIST (SUBSCRIBED RECURSIVEMATCH) \"\" INBOX.%\r\nl SUBSCRIBE INBOX.x.\r\n",
    );
    ended.has(&[
        "a OK Folder subscribed.",
        "b OK",
        "c OK",
        "* LSUB (\\HasChildren) \".\" \"INBOX\"\r\n* LSUB (\\HasNoChildren) \".\" \"INBOX.a.b\"\r\n\
         * LSUB (\\HasNoChildren) \".\" \"INBOX.gone\"\r\nd OK",
        "* LSUB (\\Noselect \\HasChildren) \".\" \"INBOX.a\"\r\n* LSUB (\\HasNoChildren) \".\" \"INBOX.gone\"\r\ne OK",
        "f OK Folder unsubscribed.",
        "g OK",
        "\"INBOX.a.b\"\r\nh OK",
        "\\Subscribed) \".\" \"INBOX.a.b\"\r\ni OK",
        "* LIST (\\HasNoChildren \\Subscribed) \".\" \"INBOX.a.b\"\r\nj OK",
        "\"INBOX.a\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\nk OK",
        "l OK Folder directory subscribe punted.",
    ]);
    assert_eq!(
        fs::read_to_string(home.maildir().join("courierimapsubscribed")).unwrap(),
        "INBOX.a.b\nINBOX\n"
    );
}

#[test]
fn rename_takes_children_along_and_keeps_uids() {
    let home = Home::new();
    home.folder(".a");
    home.folder(".a.b");
    home.place(".a.b", "1.x:2,S");
    let ended = home.run(
        b"a STATUS INBOX.a.b (UIDVALIDITY)\r\nb RENAME INBOX.a INBOX.z\r\nc STATUS INBOX.z.b (MESSAGES UIDVALIDITY)\r\n\
          d SELECT INBOX.a\r\ne RENAME INBOX.gone INBOX.y\r\nf RENAME INBOX.z INBOX.z.q\r\ng SELECT INBOX.z.b\r\n\
          h RENAME INBOX.z INBOX.y\r\ni RENAME INBOX.z INBOX\r\nj UNSELECT\r\nk CREATE INBOX.y\r\n\
          l RENAME INBOX.z INBOX.y\r\n",
    );
    ended.has(&[
        "a OK",
        "b OK Folder renamed.",
        "(MESSAGES 1 UIDVALIDITY",
        "d NO [NONEXISTENT]",
        "e NO [NONEXISTENT]",
        "f NO [CANNOT] RENAME failed: Invalid argument",
        "g OK",
        "h NO [CANNOT] Can't RENAME the currently-open folder",
        "i NO [ALREADYEXISTS]",
        "j OK",
        "k OK",
        "l NO [ALREADYEXISTS] RENAME failed: File exists",
    ]);
    let validity = |command: &str| -> String {
        let line = ended
            .output
            .lines()
            .find(|line| line.contains(command))
            .unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(
        validity("\"INBOX.a.b\" (UIDVALIDITY"),
        validity("\"INBOX.z.b\" (MESSAGES")
    );
}

#[test]
fn rename_of_inbox_moves_its_messages() {
    let home = Home::new();
    home.folder(".child");
    home.place(".", "1.a:2,S");
    home.place(".", "2.b:2,");
    let ended = home.run(
        b"a SELECT INBOX\r\nb RENAME INBOX INBOX.Old\r\nc STATUS INBOX.Old (MESSAGES UNSEEN)\r\nd LIST \"\" *\r\n",
    );
    ended.has(&[
        "a OK",
        "* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n* 0 EXISTS",
        "b OK Folder renamed.",
        "(MESSAGES 2 UNSEEN 1)",
        "\"INBOX\"",
        "\"INBOX.Old\"",
        "\"INBOX.child\"",
    ]);
}

#[test]
fn select_tells_what_a_client_needs() {
    let home = Home::new();
    home.place(".", "1.a:2,S");
    home.place(".", "2.b:2,");
    home.deliver(".", "3.c");
    let ended = home
        .run(b"a SELECT inbox\r\nb SELECT INBOX.none\r\nc CHECK\r\nd EXAMINE INBOX\r\ne CHECK\r\n");
    ended.has(&[
        "* FLAGS (\\Draft \\Answered \\Flagged \\Deleted \\Seen \\Recent)\r\n",
        "* OK [PERMANENTFLAGS (\\* \\Draft \\Answered \\Flagged \\Deleted \\Seen)] Limited\r\n",
        "* 3 EXISTS\r\n",
        "RECENT\r\n",
        "* OK [UNSEEN 2]",
        "* OK [UIDVALIDITY ",
        "* OK [MYRIGHTS \"acdilrsw\"] ACL\r\n",
        "* OK [UIDNEXT 4]",
        "a OK [READ-WRITE] Ok\r\n",
        "b NO [NONEXISTENT] Mailbox does not exist, or must be subscribed to.\r\n",
        "c BAD",
        "* OK [PERMANENTFLAGS ()] No permanent flags permitted\r\n",
        "d OK [READ-ONLY] Ok\r\n",
        "e OK CHECK completed\r\n",
    ]);
}

#[test]
fn the_selected_mailbox_cannot_be_deleted_under_any_of_its_names() {
    let home = Home::new();
    home.folder(".a");
    let ended = home.run(
        b"a SELECT INBOX.a\r\nb DELETE INBOX.a\r\nc UNSELECT\r\nd DELETE INBOX.a\r\ne UNSELECT\r\n",
    );
    ended.has(&[
        "b NO [CANNOT] Cannot delete currently-open folder.",
        "c OK",
        "d OK",
        "e BAD",
    ]);
}

#[test]
fn session_commands() {
    let home = Home::new();
    let mut command = home.command();
    command
        .env("IMAP_CAPABILITY", "IMAP4rev1 SORT CONDSTORE AUTH=PLAIN")
        .env("IMAP_ID_FIELDS", "7");
    let ended = run(
        command,
        b"a CAPABILITY\r\nb NAMESPACE\r\nc ENABLE CONDSTORE\r\nd ID (\"name\" \"mutt\" \"os\" NIL)\r\ne ID NIL\r\nf NOOP x\r\n",
    );
    ended.has(&[
        "* CAPABILITY IMAP4rev1 SORT AUTH=PLAIN UIDPLUS",
        " LITERAL+ ENABLE UTF8=ACCEPT\r\na OK CAPABILITY completed\r\n",
        "* NAMESPACE ((\"INBOX.\" \".\")) NIL ((\"#shared.\" \".\")(\"shared.\" \".\"))\r\nb OK NAMESPACE completed.\r\n",
        "* ENABLED\r\nc OK Options enabled\r\n",
        "* ID (\"name\" \"Courier-IMAP\" \"version\" \"",
        "\"os\" \"Linux\" \"os-version\" \"",
        "d OK ID completed\r\n",
        "e OK",
        "f BAD",
    ]);
    ended.has_not("CONDSTORE");
    ended.logged("INFO: ID, user=ann, ip=[127.0.0.1], port=[0], name=mutt, os=(nil)\n");
}

#[test]
fn a_mailbox_deleted_by_another_session_ends_this_one() {
    let home = Home::new();
    home.folder(".a");
    home.place(".a", "1.x:2,");
    let mut session = home.start();
    session.ask("SELECT INBOX.a", "OK");
    home.run(b"a DELETE INBOX.a\r\n").has(&["a OK"]);
    session.ask("NOOP", "OK");
    session.expect("* BYE The selected mailbox was deleted.");
    session.end().logged("INFO: DISCONNECTED");
}

#[test]
fn a_mailbox_made_anew_by_another_session_ends_this_one() {
    let home = Home::new();
    home.folder(".a");
    let mut session = home.start();
    session.ask("SELECT INBOX.a", "OK");
    home.run(b"a DELETE INBOX.a\r\nb CREATE INBOX.a\r\n")
        .has(&["b OK"]);
    session.ask("NOOP", "OK");
    session.expect("* BYE The selected mailbox was deleted.");
}
