//! A whole session of imapd: the bytes of its client, from any of the states that a session can be in.

use std::fs;
use std::io::{Seek as _, Write as _};
use std::path::Path;

use courier::maildir::check::{Finding, Level, Observer, check};
use courier::maildir::{FolderName, Maildir, Options, Sync, make_maildir};
use imapd::account::Account;
use imapd::receive::Input;
use imapd::session::Session;
use imapd::settings::Settings;

/// How a session gets into each state; the first octet of the input chooses.
const STATES: [&str; 6] = [
    "",
    "s SELECT INBOX\r\n",
    "s EXAMINE INBOX\r\n",
    "s SELECT INBOX\r\ni IDLE\r\n",
    "s SELECT INBOX\r\nl SEARCH TEXT {40+}\r\n",
    "s APPEND INBOX (\\Seen) {60+}\r\n",
];

/// Words for the mutator.
pub(crate) const WORDS: &[&str] = &[
    "\r\na ",
    "\r\n",
    "SELECT INBOX\r\n",
    "EXAMINE INBOX\r\n",
    "CREATE INBOX.New\r\n",
    "DELETE INBOX.New\r\n",
    "RENAME INBOX INBOX.Moved\r\n",
    "LIST \"\" *\r\n",
    "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)\r\n",
    "FETCH * BINARY[1]<1.5>\r\n",
    "STORE 1:* +FLAGS (\\Deleted kw)\r\n",
    "UID COPY 1:* INBOX\r\n",
    "MOVE 1 INBOX\r\n",
    "EXPUNGE\r\n",
    "CLOSE\r\n",
    "SEARCH RETURN (SAVE) TEXT body\r\n",
    "SORT (SUBJECT DATE) UTF-8 $\r\n",
    "THREAD REFS UTF-8 ALL\r\n",
    "APPEND INBOX {16+}\r\nSubject: x\r\n\r\ny\r\n",
    "IDLE\r\nDONE\r\n",
    "ENABLE UTF8=ACCEPT\r\n",
    "{3+}\r\nabc",
    "{3}\r\n",
    "\"",
    "(",
    ")",
    "LOGOUT\r\n",
];

struct Sound;

impl Observer for Sound {
    fn finding(&mut self, finding: &Finding) {
        assert!(finding.level != Level::Problem, "{finding:?}");
    }
    fn progress(&mut self, _: &FolderName, _: u64) {}
}

/// The session must end by itself and leave a maildir without damage.
pub fn imap_session(input: &[u8]) {
    let Some((state, bytes)) = input.split_first() else {
        return;
    };
    // Memory, where there is some: thousands of directories are made.
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let (Ok(dir), Ok(mut client)) = (dir, tempfile::tempfile()) else {
        return;
    };
    let path = dir.path().join("M");
    make_maildir(&path, 0o700).expect("a maildir can be made");
    for (name, text) in [
        (
            "cur/1000000001.M1P1.host:2,S",
            "Subject: one\nTo: a@b\n\nbody\n",
        ),
        (
            "new/1000000002.M2P1.host",
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: message/rfc822\n\nSubject: in\n\nx\n",
        ),
    ] {
        fs::write(path.join(name), text).expect("a message can be written");
    }
    let start = STATES[usize::from(*state) % STATES.len()];
    let fed = client
        .write_all(start.as_bytes())
        .and_then(|()| client.write_all(bytes))
        .and_then(|()| client.rewind());
    if fed.is_err() || nix::unistd::dup2_stdin(&client).is_err() {
        return;
    }
    let options = Options {
        sync: Sync::Never,
        ..Options::default()
    };
    let maildir = Maildir::open(&path, options.clone()).expect("it is there");
    // As the program itself does where it is linked dynamically.
    courier::sys::user::set_ask(courier::sys::user::directly);
    let Ok(account) = Account::from_environment(false, false) else {
        return;
    };
    let source = Input::standard().expect("signals can be redirected");
    let mut session = Session::new(Settings::from_environment(), account, maildir, source);
    while session.turn().is_ok() {
        let replies = session.out.take();
        assert!(replies.is_empty() || replies.ends_with(b"\n"));
    }
    drop(session);
    check(&path, &options, false, &mut Sound).expect("it is still there");
}
