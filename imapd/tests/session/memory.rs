//! What is remembered between sessions never changes what a client sees.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::client::{Home, Session};
use crate::fetch::{MIXED, SIMPLE, on_inbox};

const FILE: &str = "courierimapcache";

/// Everything that is remembered, alone and together, beside what is not.
const COMMANDS: &[&str] = &[
    "a FETCH 1:* RFC822.SIZE",
    "b FETCH 1:* ENVELOPE",
    "c FETCH 1:* (BODY BODYSTRUCTURE)",
    "d FETCH 1:* BODY.PEEK[HEADER.FIELDS (Subject FROM date Message-ID References Content-Type)]",
    "e FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY.PEEK[HEADER.FIELDS (To X-Priority)] BODYSTRUCTURE)",
    "f FETCH 1:* (BODY.PEEK[HEADER.FIELDS (Received Subject)] BODY.PEEK[HEADER.FIELDS.NOT (Subject)])",
    "g FETCH 1:* INTERNALDATE",
    "h FETCH 1:* BODY.PEEK[HEADER.FIELDS (Subject)]<3.5>",
    "i SEARCH SUBJECT e",
    "j SEARCH HEADER References \"\"",
    "k SEARCH FROM example OR TO a CC b",
    "l UID FETCH 1:* (ENVELOPE BODY.PEEK[TEXT])",
    "p SORT (SUBJECT FROM) UTF-8 ALL",
    "q SORT (REVERSE DATE SIZE DISPLAYTO CC) UTF-8 ALL",
    "r THREAD REFERENCES UTF-8 ALL",
    "s THREAD ORDEREDSUBJECT UTF-8 ALL",
    "m ENABLE UTF8=ACCEPT",
    "n FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY)",
    "o FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY)",
];

fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .collect();
    paths.sort();
    assert!(paths.len() > 100);
    let read = |path| ("S", fs::read(path).unwrap());
    let mut messages: Vec<_> = paths.into_iter().map(read).collect();
    messages.push(("", Vec::new()));
    messages.push(("", b"Subject: no end".to_vec()));
    messages.push(("", b" strange\nSubject: a\n : b\n\nx".to_vec()));
    messages.push(("", SIMPLE.to_vec()));
    messages.push(("", MIXED.to_vec()));
    messages
}

fn borrowed<'a>(messages: &'a [(&'static str, Vec<u8>)]) -> Vec<(&'static str, &'a [u8])> {
    let borrow = |(flags, bytes): &'a (&'static str, Vec<u8>)| (*flags, bytes.as_slice());
    messages.iter().map(borrow).collect()
}

/// A home with these messages, of which none is `\\Recent` any more.
fn home(messages: &[(&str, &[u8])]) -> Home {
    let home = crate::fetch::home(messages);
    on_inbox(&home, &["a NOOP"]);
    home
}

fn cache(home: &Home) -> PathBuf {
    home.maildir().join(FILE)
}

/// Sizes in the names, as our own deliveries have them: a hit looks at no file at all then.
fn with_sizes(home: &Home) {
    let directory = home.maildir().join("cur");
    for entry in fs::read_dir(&directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let (base, info) = name.split_once(":2,").unwrap();
        let size = entry.metadata().unwrap().len();
        fs::rename(
            entry.path(),
            directory.join(format!("{base},S={size}:2,{info}")),
        )
        .unwrap();
    }
    on_inbox(home, &["a NOOP"]);
}

#[test]
fn the_second_session_sees_what_the_first_saw() {
    let messages = corpus();
    for sizes in [false, true] {
        let home = home(&borrowed(&messages));
        if sizes {
            with_sizes(&home);
        }
        let first = on_inbox(&home, COMMANDS);
        assert!(fs::metadata(cache(&home)).unwrap().len() > 10_000);
        assert_eq!(
            fs::metadata(cache(&home)).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let second = on_inbox(&home, COMMANDS);
        assert!(first == second, "remembered something else");
        // Each command in a session without any memory.
        for command in COMMANDS {
            for name in [FILE, "courierimapcache.sort", "courierimapcache.thread"] {
                fs::remove_file(home.maildir().join(name)).ok();
            }
            let enable = "m ENABLE UTF8=ACCEPT";
            let alone = if command.starts_with(['n', 'o']) {
                on_inbox(&home, &[enable, command])
            } else {
                on_inbox(&home, &[command])
            };
            let tag = &command[..2];
            let end = alone.find(&format!("\r\n{tag}")).map_or(0, |at| at + 2);
            let begin = alone.find("\r\nm OK").map_or(0, |at| at + 2);
            let begin = if command.starts_with(['n', 'o']) {
                begin + alone[begin..].find("\r\n").unwrap() + 2
            } else {
                0
            };
            assert!(first.contains(&alone[begin..end]), "{command}");
        }
    }
}

#[test]
fn a_damaged_digest_is_made_anew() {
    const ASKED: &[&str] = &[
        "a SORT (SUBJECT DATE) UTF-8 ALL",
        "b THREAD REFERENCES UTF-8 ALL",
        "c SEARCH SUBJECT e",
    ];
    let messages = corpus();
    let home = home(&borrowed(&messages));
    let first = on_inbox(&home, ASKED);
    for name in ["courierimapcache.sort", "courierimapcache.thread"] {
        let path = home.maildir().join(name);
        let good = fs::read(&path).unwrap();
        assert!(good.len() > 1000, "{name}");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        for content in [&bad[..], &good[..good.len() / 2], b"", b"rubbish"] {
            fs::write(&path, content).unwrap();
            for _ in 0..2 {
                assert!(on_inbox(&home, ASKED) == first, "{name}");
            }
            // Whole again for the third session.
            assert!(fs::read(&path).unwrap().len() >= good.len(), "{name}");
        }
        // Written by a process that was killed in between, and the same twice.
        fs::write(&path, [&good[..], &good[..], &good[..100]].concat()).unwrap();
        assert!(on_inbox(&home, ASKED) == first, "{name}");
    }
}

#[test]
fn a_hit_does_not_open_the_message() {
    let home = home(&[("S", SIMPLE), ("", MIXED)]);
    with_sizes(&home);
    let asked = [
        "a FETCH 1:2 (RFC822.SIZE ENVELOPE BODYSTRUCTURE INTERNALDATE BODY.PEEK[HEADER.FIELDS (Subject)])",
        "b SORT (REVERSE SUBJECT FROM TO CC DATE SIZE ARRIVAL) UTF-8 ALL",
        "c SORT (DISPLAYFROM DISPLAYTO) UTF-8 SUBJECT e",
        "d THREAD REFERENCES UTF-8 ALL",
        "e THREAD ORDEREDSUBJECT UTF-8 ALL",
    ];
    let first = on_inbox(&home, &asked);
    // Same name, same inode, same size, other content: shows where the answer comes from. No software does this.
    for entry in fs::read_dir(home.maildir().join("cur")).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::metadata(&path).unwrap();
        let length = usize::try_from(metadata.len()).unwrap();
        fs::write(&path, vec![b'x'; length]).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(metadata.modified().unwrap()).unwrap();
    }
    assert_eq!(on_inbox(&home, &asked), first);
}

#[test]
fn a_non_peeking_selection_sets_seen_all_the_same() {
    let home = home(&[("", SIMPLE)]);
    let peek = on_inbox(&home, &["a FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject)]"]);
    assert!(!peek.contains("Seen"));
    let fetched = on_inbox(&home, &["a FETCH 1 BODY[HEADER.FIELDS (Subject)]"]);
    assert!(fetched.contains("* 1 FETCH (FLAGS (\\Seen))"), "{fetched}");
}

#[test]
fn another_file_under_the_name_is_another_message() {
    let home = home(&[("S", SIMPLE)]);
    let envelope = ["a FETCH 1 (ENVELOPE RFC822.SIZE)"];
    let first = on_inbox(&home, &envelope);
    let path = fs::read_dir(home.maildir().join("cur"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let other = String::from_utf8(SIMPLE.to_vec())
        .unwrap()
        .replace("Ann", "Eve");
    let beside = home.maildir().join("tmp/other");
    fs::write(&beside, other).unwrap();
    assert_ne!(
        fs::metadata(&beside).unwrap().ino(),
        fs::metadata(&path).unwrap().ino()
    );
    fs::rename(&beside, &path).unwrap();
    let second = on_inbox(&home, &envelope);
    assert_eq!(second, first.replace("Ann", "Eve"));
}

#[test]
fn damage_is_never_shown() {
    let messages = corpus();
    let home = home(&borrowed(&messages));
    let commands = &COMMANDS[..5];
    let expected = on_inbox(&home, commands);
    let good = fs::read(cache(&home)).unwrap();
    let mut state = 12_345_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    for round in 0..8 {
        let mut bad = good.clone();
        match round % 4 {
            0 => bad.truncate(random(good.len())),
            1 => {
                for _ in 0..200 {
                    let at = random(good.len());
                    bad[at] ^= 1 << random(8);
                }
            }
            2 => {
                let (from, to) = (random(good.len() / 2), random(good.len() / 2));
                bad.copy_within(from..from + good.len() / 3, to);
            }
            _ => bad.rotate_left(random(good.len())),
        }
        fs::write(cache(&home), bad).unwrap();
        assert!(on_inbox(&home, commands) == expected, "round {round}");
    }
    // The cache of another mailbox.
    let foreign = self::home(&[("S", MIXED), ("S", SIMPLE)]);
    on_inbox(&foreign, commands);
    fs::copy(cache(&foreign), cache(&home)).unwrap();
    assert!(on_inbox(&home, commands) == expected);
}

#[test]
fn what_cannot_be_written_fails_nothing() {
    let home = home(&[("S", SIMPLE), ("S", MIXED)]);
    let expected = on_inbox(&home, COMMANDS);
    fs::remove_file(cache(&home)).unwrap();
    // A full disk, as far as this file is concerned: nothing can be made where a directory is.
    fs::create_dir(cache(&home)).unwrap();
    let ended =
        home.run(b"s SELECT INBOX\r\na FETCH 1:* ENVELOPE\r\nb FETCH 1:* ENVELOPE\r\nz LOGOUT\r\n");
    ended.has(&["a OK", "b OK"]);
    assert_eq!(ended.log.matches(FILE).count(), 1, "{}", ended.log);
    assert_eq!(on_inbox(&home, COMMANDS), expected);
    fs::remove_dir(cache(&home)).unwrap();
    // No write access: matters only where the tests do not run as root.
    fs::set_permissions(home.maildir(), fs::Permissions::from_mode(0o500)).unwrap();
    let read_only = home.run(b"s EXAMINE INBOX\r\na FETCH 1:* ENVELOPE\r\nz LOGOUT\r\n");
    fs::set_permissions(home.maildir(), fs::Permissions::from_mode(0o700)).unwrap();
    read_only.has(&["* 2 FETCH (ENVELOPE", "a OK"]);
}

#[test]
fn a_full_disk_leaves_fetch_alone() {
    let messages = corpus();
    let home = home(&borrowed(&messages));
    let expected = on_inbox(&home, &COMMANDS[..5]);
    fs::remove_file(cache(&home)).unwrap();
    // As a full disk does it, but for this process alone: writes beyond 20 kB fail.
    let inner = home.command();
    let mut command = std::process::Command::new("/bin/sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f 40; exec \"$0\""])
        .arg(inner.get_program())
        .current_dir(home.path())
        .env_clear()
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    let input = format!(
        "s SELECT INBOX\r\n{}\r\nz LOGOUT\r\n",
        COMMANDS[..5].join("\r\n")
    );
    let ended = crate::client::run(command, input.as_bytes());
    assert!(ended.output.contains(&expected), "{}", ended.log);
    assert!(fs::metadata(cache(&home)).unwrap().len() <= 20_480);
    assert_eq!(ended.log.matches(FILE).count(), 1, "{}", ended.log);
    // What is there of a torn batch is not believed.
    assert!(on_inbox(&home, &COMMANDS[..5]) == expected);
}

#[test]
fn sessions_at_the_same_time_agree() {
    let messages = corpus();
    let home = home(&borrowed(&messages));
    let expected = on_inbox(&home, &["a FETCH 1:* (ENVELOPE BODYSTRUCTURE)"]);
    fs::remove_file(cache(&home)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let seen = on_inbox(&home, &["a FETCH 1:* (ENVELOPE BODYSTRUCTURE)"]);
                    assert!(seen == expected);
                }
            });
        }
    });
}

#[test]
fn what_others_add_is_noticed_and_the_file_stays_small() {
    let home = home(&[("S", SIMPLE)]);
    let mut one = home.start();
    one.ask("SELECT INBOX", "OK");
    let before = one.ask("FETCH 1 ENVELOPE", "OK");
    let mut other = home.start();
    other.ask("SELECT INBOX", "OK");
    assert_eq!(other.ask("FETCH 1 ENVELOPE", "OK"), before);
    grow(&mut one, &mut other, &home);
    let grown = fs::metadata(cache(&home)).unwrap().len();
    one.ask("CLOSE", "OK");
    drop((one, other));
    let left = fs::metadata(cache(&home)).unwrap().len();
    assert!(left < grown / 10, "{grown} {left}");
    assert_eq!(
        on_inbox(&home, &["t FETCH 1 ENVELOPE"]),
        before.join("\r\n") + "\r\n"
    );
}

/// Has hundreds of messages come, be looked at, and go.
fn grow(one: &mut Session, other: &mut Session, home: &Home) {
    for number in 0..400 {
        home.place(".", &format!("{}.M1P1.host:2,", 1_600_000_000 + number));
    }
    for session in [&mut *one, other] {
        session.ask("NOOP", "OK");
        session.ask("FETCH 2:* (ENVELOPE RFC822.SIZE)", "OK");
    }
    one.ask("STORE 2:* +FLAGS.SILENT (\\Deleted)", "OK");
    one.ask("EXPUNGE", "OK");
}
