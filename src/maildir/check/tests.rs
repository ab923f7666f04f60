mod account;
mod derived;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use super::{Finding, Level, Observer, Repair, Summary, check, remove_derived};
use crate::maildir::cache::{Cache, Field, Key, Storage};
use crate::maildir::fixture::{Mailbox, append, names, settle, uids};
use crate::maildir::{FolderName, Mode, Options};

#[derive(Default)]
struct Collected(Vec<Finding>);

impl Observer for Collected {
    fn finding(&mut self, finding: &Finding) {
        self.0.push(finding.clone());
    }
    fn progress(&mut self, _: &FolderName, _: u64) {}
}

fn run(mailbox: &Mailbox, repair: bool) -> (Summary, Vec<Finding>) {
    let mut found = Collected::default();
    let summary = check(&mailbox.path(), &Options::default(), repair, &mut found).unwrap();
    (summary, found.0)
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.code).collect()
}

/// Everything about every file below `path`.
fn tree(path: &Path) -> BTreeMap<std::path::PathBuf, (u32, u64, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![path.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = match metadata.is_file() {
            true => fs::read(&path).unwrap_or_default(),
            false => Vec::new(),
        };
        if metadata.is_dir() {
            waiting.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        found.insert(
            path,
            (
                metadata.mode(),
                metadata.ino(),
                metadata.mtime_nsec(),
                metadata.ctime_nsec(),
                content,
            ),
        );
    }
    found
}

/// A maildir with three messages, UIDs 1 to 3, and a folder with two.
fn used() -> Mailbox {
    let mailbox = Mailbox::new();
    for folder in [mailbox.inbox(), mailbox.folder("Work")] {
        for text in ["Subject: a\r\n\r\none\r\n", "Subject: b\r\n\r\ntwo\r\n"] {
            append(&folder, text).unwrap();
        }
    }
    append(&mailbox.inbox(), "Subject: c\r\n\r\nthree\r\n").unwrap();
    mailbox
}

/// UIDVALIDITY and UIDs with names of INBOX.
fn state(mailbox: &Mailbox) -> (u32, Vec<u32>, Vec<String>) {
    let view = mailbox.inbox().scan(Mode::ReadOnly).unwrap();
    (view.uid_validity(), uids(&view), names(&view))
}

/// Does damage to a used maildir, expects these findings, all repairable, and that the repair leaves none, loses no
/// UID and changes nothing without being asked.
fn repaired(expected: &[&str], damage: impl FnOnce(&Mailbox)) -> Mailbox {
    let mailbox = used();
    let (summary, findings) = run(&mailbox, false);
    assert_eq!(
        (summary.problems, codes(&findings)),
        (0, vec![]),
        "{findings:?}"
    );
    let before = state(&mailbox);
    damage(&mailbox);
    settle();
    let files = tree(&mailbox.path());
    let (summary, findings) = run(&mailbox, false);
    assert_eq!(codes(&findings), expected, "{findings:?}");
    let can = |finding: &Finding| finding.repair == Repair::Possible;
    assert!(findings.iter().all(can), "{findings:?}");
    assert_eq!(summary.repaired, 0);
    assert_eq!(tree(&mailbox.path()), files, "changed without being asked");
    let (summary, findings) = run(&mailbox, true);
    assert_eq!(codes(&findings), expected);
    let done = |finding: &Finding| finding.repair == Repair::Done;
    assert!(findings.iter().all(done), "{findings:?}");
    assert_eq!(summary.unrepaired, 0);
    let (summary, findings) = run(&mailbox, false);
    assert_eq!(summary.problems, 0, "after the repair: {findings:?}");
    let (validity, uids, names) = state(&mailbox);
    assert_eq!(validity, before.0);
    for (uid, name) in before.1.iter().zip(&before.2) {
        if let Some(position) = uids.iter().position(|other| other == uid) {
            let base = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
            assert_eq!(base(&names[position]), base(name), "UID {uid}");
        }
    }
    mailbox
}

/// Does damage that has no repair: the findings are there with and without asking, and nothing is changed.
fn explained(expected: &[&str], level: Level, damage: impl FnOnce(&Mailbox)) {
    let mailbox = used();
    damage(&mailbox);
    settle();
    let files = tree(&mailbox.path());
    for repair in [false, true] {
        let (summary, findings) = run(&mailbox, repair);
        assert_eq!(codes(&findings), expected, "{findings:?}");
        for finding in &findings {
            assert_eq!((finding.level, &finding.repair), (level, &Repair::None));
        }
        let problems = if level == Level::Problem {
            findings.len()
        } else {
            0
        };
        assert_eq!(summary.unrepaired, u64::try_from(problems).unwrap());
        assert_eq!(tree(&mailbox.path()), files);
    }
}

fn edit(mailbox: &Mailbox, file: &str, change: impl FnOnce(String) -> String) {
    let path = mailbox.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, change(text)).unwrap();
}

const DB: &str = "courierimapuiddb";

#[test]
fn a_low_uidnext_is_raised_and_no_uid_given_twice() {
    let mailbox = repaired(&["uiddb-next"], |mailbox| {
        edit(mailbox, DB, |text| {
            let (first, rest) = text.split_once('\n').unwrap();
            let validity = first.split(' ').nth(1).unwrap();
            format!("1 {validity} 2\n{rest}")
        });
    });
    append(&mailbox.inbox(), "new\r\n").unwrap();
    let (_, uids, _) = state(&mailbox);
    assert_eq!(uids.len(), 4);
    assert!(uids[3] > 3);
}

#[test]
fn repeated_torn_and_senseless_lines_go_and_all_else_stays() {
    let all = [
        "uiddb-duplicate-uid",
        "uiddb-duplicate-name",
        "uiddb-lines",
        "uiddb-torn",
    ];
    let mailbox = repaired(&all, |mailbox| {
        edit(mailbox, DB, |text| {
            let first = text
                .lines()
                .nth(1)
                .unwrap()
                .split_once(' ')
                .unwrap()
                .1
                .to_owned();
            let (header, rest) = text.split_once('\n').unwrap();
            let validity = header.split(' ').nth(1).unwrap();
            format!("1 {validity} 0000000009\n{rest}2 other\n7 {first}\n\u{1}\u{2}rubbish\n-5 x\n8")
        });
    });
    assert_eq!(state(&mailbox).1, [1, 2, 3]);
}

#[test]
fn a_lost_first_line_comes_back_from_its_copy() {
    let header = |text: String, line: &str| format!("{line}\n{}", text.split_once('\n').unwrap().1);
    repaired(&["uiddb-header"], |mailbox| {
        edit(mailbox, DB, |text| header(text, "\u{0}\u{0}\u{0}"));
    });
    repaired(&["uiddb-header"], |mailbox| {
        edit(mailbox, DB, |text| {
            let validity = text.split(' ').nth(1).unwrap().to_owned();
            header(text, &format!("1 {validity}"))
        });
    });
    repaired(&["uidmark"], |mailbox| {
        mailbox.put("courierimapuidmark", "x")
    });
    repaired(&["uidmark"], |mailbox| {
        mailbox.put("courierimapuidmark", "1 5 9000\n")
    });
    repaired(&["uiddb-missing"], |mailbox| {
        // Of the folder, whose UIDs are not compared.
        fs::remove_file(mailbox.path().join(".Work").join(DB)).unwrap();
    });
    explained(&["uiddb-header"], Level::Problem, |mailbox| {
        fs::remove_file(mailbox.path().join("courierimapuidmark")).unwrap();
        edit(mailbox, DB, |text| header(text, "x 1 1"));
    });
}

#[test]
fn a_database_that_is_no_file_or_closed_is_told() {
    explained(&["uiddb-type"], Level::Problem, |mailbox| {
        let path = mailbox.path().join(DB);
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    });
    explained(&["uiddb-gone"], Level::Note, |mailbox| {
        let name = state(mailbox).2[1].clone();
        fs::remove_file(mailbox.path().join("cur").join(name)).unwrap();
    });
    if nix::unistd::geteuid().is_root() {
        // Only root reads it then, and the mode is what is left to tell.
        repaired(&["uiddb-mode"], |mailbox| mode(mailbox, DB, 0o000));
    }
}

fn mode(mailbox: &Mailbox, file: &str, mode: u32) {
    let path = mailbox.path().join(file);
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn missing_directories_and_markers_are_made() {
    repaired(&["missing", "marker"], |mailbox| {
        fs::remove_dir(mailbox.path().join("new")).unwrap();
        fs::remove_file(mailbox.path().join(".Work/maildirfolder")).unwrap();
    });
    repaired(&["missing"], |mailbox| {
        fs::remove_dir(mailbox.path().join(".Work/tmp")).unwrap();
    });
    explained(&["marker"], Level::Problem, |mailbox| {
        mailbox.put("maildirfolder", "")
    });
    explained(&["not-a-directory"], Level::Problem, |mailbox| {
        fs::remove_dir(mailbox.path().join("new")).unwrap();
        mailbox.put("new", "");
    });
    explained(&["folder-name", "folder-empty"], Level::Note, |mailbox| {
        fs::create_dir(mailbox.path().join(".a..b")).unwrap();
        fs::create_dir(mailbox.path().join(".Other")).unwrap();
    });
}

#[test]
fn modes_are_put_right() {
    repaired(&["mode", "mode", "mode"], |mailbox| {
        mode(mailbox, "cur", 0o777);
        let name = state(mailbox).2[0].clone();
        mode(mailbox, &format!("cur/{name}"), 0o000);
        mode(mailbox, ".Work", 0o707);
    });
}

#[test]
fn files_of_others_are_told() {
    if !nix::unistd::geteuid().is_root() {
        use std::io::Write as _;
        writeln!(
            std::io::stderr().lock(),
            "skipped: only root can give files away"
        )
        .unwrap();
        return;
    }
    explained(&["owner", "owner"], Level::Problem, |mailbox| {
        let chown = |file: &str| {
            std::os::unix::fs::chown(mailbox.path().join(file), Some(4321), None).unwrap();
        };
        chown("new");
        let found = mailbox.folder("Work").scan(Mode::ReadOnly).unwrap();
        for name in names(&found) {
            chown(&format!(".Work/cur/{name}"));
        }
    });
}

#[test]
fn what_is_no_message_is_told_and_left_alone() {
    explained(&["stray", "stray", "stray"], Level::Problem, |mailbox| {
        let cur = mailbox.path().join("cur");
        fs::create_dir(cur.join("1.dir.h:2,")).unwrap();
        symlink("/nowhere/at/all", cur.join("1.link.h:2,")).unwrap();
        let fifo = mailbox.path().join("new/1.fifo.h");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    });
    explained(&["size", "empty", "name"], Level::Note, |mailbox| {
        mailbox.put("cur/1.size.h,S=9:2,", "not nine octets");
        mailbox.put("cur/1.empty.h:2,", "");
        mailbox.put("new/ \n1.name", "text");
    });
}

#[test]
fn a_link_to_a_message_is_a_message() {
    let mailbox = used();
    mailbox.put("elsewhere", "text");
    symlink(
        mailbox.path().join("elsewhere"),
        mailbox.path().join("cur/1.link.h:2,"),
    )
    .unwrap();
    assert_eq!(codes(&run(&mailbox, false).1), [""; 0]);
}

#[test]
fn two_names_of_one_message_become_one_and_two_messages_two() {
    let mailbox = repaired(&["duplicate-name"], |mailbox| {
        let name = state(mailbox).2[0].clone();
        let cur = mailbox.path().join("cur");
        fs::hard_link(cur.join(&name), cur.join(format!("{name}S"))).unwrap();
    });
    assert_eq!(state(&mailbox).1, [1, 2, 3]);
    let mailbox = repaired(&["duplicate-name", "duplicate-name"], |mailbox| {
        let base = state(mailbox).2[0].split(':').next().unwrap().to_owned();
        mailbox.put(&format!("cur/{base}"), "hidden, 16 octet");
        mailbox.put(&format!("new/{base}"), "hidden, also 16.");
    });
    let folder = mailbox.inbox();
    let view = folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!(uids(&view), [1, 2, 3, 4, 5]);
}

#[test]
fn old_temporary_files_go_and_new_ones_stay() {
    let mailbox = used();
    mailbox.put("tmp/1.new", "");
    assert_eq!(codes(&run(&mailbox, true).1), [""; 0]);
    assert!(mailbox.path().join("tmp/1.new").exists());
}

#[test]
fn keyword_lists_lose_what_makes_no_sense() {
    let list = "courierimapkeywords/:list";
    let directory = |mailbox: &Mailbox| {
        let path = mailbox.path().join("courierimapkeywords");
        if !path.exists() {
            fs::create_dir(path).unwrap();
        }
    };
    let mailbox = repaired(&["keywords-list"], |mailbox| {
        directory(mailbox);
        let bases: Vec<String> = state(mailbox)
            .2
            .iter()
            .map(|name| name.split(':').next().unwrap().to_owned())
            .collect();
        let [a, b, _] = bases.as_slice() else {
            panic!()
        };
        mailbox.put(
            list,
            &format!("work\nhome\n\n{a}:1\n\u{1}rubbish\n{b}:0 9\n{b}"),
        );
    });
    let view = mailbox.inbox().scan(Mode::ReadOnly).unwrap();
    let words = |index: usize| -> Vec<Vec<u8>> {
        view.keywords(view.get(index).unwrap())
            .map(<[u8]>::to_vec)
            .collect()
    };
    assert_eq!(
        (words(0), words(1)),
        (vec![b"home".to_vec()], vec![b"work".to_vec()])
    );
    repaired(&["keywords-tmp"], |mailbox| {
        directory(mailbox);
        mailbox.put("courierimapkeywords/.tmp.1.x", "work\n");
        mailbox.age("courierimapkeywords/.tmp.1.x", Duration::from_secs(1000));
    });
    explained(&["keywords-stray"], Level::Problem, |mailbox| {
        directory(mailbox);
        fs::create_dir(mailbox.path().join("courierimapkeywords/1.x")).unwrap();
    });
    explained(&["keywords-gone"], Level::Note, |mailbox| {
        directory(mailbox);
        mailbox.put("courierimapkeywords/1.gone", "work\n");
    });
}

#[test]
fn what_has_nothing_of_a_maildir_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = Collected::default();
    for path in [dir.path().to_path_buf(), dir.path().join("none")] {
        let error = check(&path, &Options::default(), true, &mut found).unwrap_err();
        assert_eq!(error.kind(), crate::maildir::ErrorKind::NoSuchFolder);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
