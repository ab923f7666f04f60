use super::{Duration, SystemTime, UNIX_EPOCH};
use crate::maildir::fixture::{Mailbox, list};
use crate::maildir::{Action, Change, Flags, Folder, Mode, Snapshot};

const OLD: Duration = Duration::from_secs(16 * 60);

/// A mailbox of three messages `1.a`, `2.a`, `3.a` with these files in its keyword directory.
fn mailbox(files: &[(&str, &str)]) -> Mailbox {
    let mailbox = Mailbox::new();
    for number in 1..=3 {
        mailbox.put(&format!("cur/{number}.a:2,"), "x\n");
    }
    std::fs::create_dir(mailbox.path().join("courierimapkeywords")).unwrap();
    for (name, content) in files {
        mailbox.put(&format!("courierimapkeywords/{name}"), content);
    }
    mailbox
}

/// The keywords of each message, sorted.
fn keywords(view: &Snapshot) -> Vec<String> {
    view.messages()
        .iter()
        .map(|message| {
            let mut names: Vec<String> = view
                .keywords(message)
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect();
            names.sort();
            names.join(" ")
        })
        .collect()
}

fn files(mailbox: &Mailbox) -> Vec<String> {
    list(&mailbox.path().join("courierimapkeywords"))
}

fn stable(mailbox: &Mailbox) -> String {
    std::fs::read_to_string(mailbox.path().join("courierimapkeywords/:list")).unwrap_or_default()
}

fn epoch() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        / 300
}

fn change(folder: &Folder, view: &mut Snapshot, index: usize, action: Action, keywords: &[&str]) {
    let keywords = keywords
        .iter()
        .map(|keyword| keyword.as_bytes().to_vec())
        .collect();
    folder
        .change(view, &[index], &Change::new(action, Flags::NONE, keywords))
        .unwrap();
}

#[test]
fn fresh_updates_win_over_merged_ones_and_those_over_the_list() {
    let now = epoch();
    let mailbox = mailbox(&[
        (":list", "one\ntwo\n\n1.a:0\n2.a:0 1\n3.a:1\n9.gone:0\n"),
        ("1.a", "fresh\n"),
        (&format!(".{now}.1.a"), "merged\n"),
        (&format!(".{now}.2.a"), "merged\n"),
        (&format!(".{}.2.a", now - 1), "older\n"),
    ]);
    let view = settled(&mailbox);
    assert_eq!(keywords(&view), ["fresh", "merged", "two"]);
    // Folded: the fresh one is a merged one now, the loser and the unknown message are gone.
    assert_eq!(
        files(&mailbox),
        [
            format!(".{now}.1.a"),
            format!(".{now}.2.a"),
            format!(".{}.1.a", now + 1),
            ":list".to_owned()
        ]
    );
    assert_eq!(
        stable(&mailbox),
        "fresh\nmerged\ntwo\n\n1.a:0\n2.a:1\n3.a:2\n"
    );
}

/// Scans when the directories are old enough for absence to count.
fn settled(mailbox: &Mailbox) -> Snapshot {
    let folder = mailbox.inbox();
    folder.scan(Mode::ReadOnly).unwrap();
    crate::maildir::fixture::settle();
    folder.scan(Mode::ReadWrite).unwrap()
}

#[test]
fn leftovers_go_after_a_quarter_of_an_hour() {
    let mailbox = mailbox(&[
        (":list", "one\n\n1.a:0\n2.a:0\n"),
        (".tmp.1.young", ""),
        (".tmp.1.old", ""),
        (".100.2.a", "one\n"),
        (".100.9.gone", "one\n"),
    ]);
    for old in [".tmp.1.old", ".100.2.a", ".100.9.gone"] {
        mailbox.age(&format!("courierimapkeywords/{old}"), OLD);
    }
    let view = settled(&mailbox);
    assert_eq!(keywords(&view), ["one", "one", ""]);
    assert_eq!(files(&mailbox), [".tmp.1.young", ":list"]);
}

/// A session that was slow to write its list has put it over a newer one: the merged update is all that tells.
#[test]
fn an_old_update_that_the_list_lacks_is_put_into_it_before_it_goes() {
    let mailbox = mailbox(&[
        (":list", "one\n\n1.a:0\n"),
        (".100.1.a", "one\ntwo\n"),
        (".100.2.a", "two\n"),
    ]);
    for old in [".100.1.a", ".100.2.a"] {
        mailbox.age(&format!("courierimapkeywords/{old}"), OLD);
    }
    let view = settled(&mailbox);
    assert_eq!(keywords(&view), ["one two", "two", ""]);
    assert_eq!(stable(&mailbox), "one\ntwo\n\n1.a:0 1\n2.a:1\n");
    let view = settled(&mailbox);
    assert_eq!(keywords(&view), ["one two", "two", ""]);
    assert_eq!(files(&mailbox), [":list"]);
}

/// A writer on a host whose clock is behind the one that merged last.
#[test]
fn an_update_that_is_pushed_aside_counts_more_than_what_was_merged_before() {
    let ahead = epoch() + 7;
    let mailbox = mailbox(&[(&format!(".{ahead}.1.a"), "older\n"), ("1.a", "newer\n")]);
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadOnly).unwrap();
    change(&folder, &mut view, 0, Action::Add, &["mine"]);
    let aside = std::fs::read_to_string(
        mailbox
            .path()
            .join(format!("courierimapkeywords/.{ahead}.1.a")),
    );
    assert_eq!(aside.unwrap(), "newer\n");
    assert_eq!(
        keywords(&mailbox.inbox().scan(Mode::ReadWrite).unwrap())[0],
        "mine newer"
    );
}

#[test]
fn files_that_cannot_be_keyword_files_are_passed_over() {
    let mailbox = mailbox(&[(":list", "one\n\n1.a:0\n"), ("2.a", "two\n")]);
    let large = std::fs::File::create(mailbox.path().join("courierimapkeywords/3.a")).unwrap();
    large.set_len(1 << 40).unwrap();
    let view = mailbox.inbox().scan(Mode::ReadOnly).unwrap();
    assert_eq!(keywords(&view), ["one", "two", ""]);
    let list = std::fs::File::create(mailbox.path().join("courierimapkeywords/:list")).unwrap();
    list.set_len(1 << 40).unwrap();
    let view = mailbox.inbox().scan(Mode::ReadWrite).unwrap();
    assert_eq!(keywords(&view), ["", "two", ""]);
    assert_eq!(stable(&mailbox), "two\n\n2.a:0\n");
}

#[test]
fn an_empty_update_clears_and_an_examine_changes_nothing() {
    let mailbox = mailbox(&[(":list", "one\n\n1.a:0\n2.a:0\n"), ("1.a", "")]);
    let view = mailbox.inbox().scan(Mode::ReadOnly).unwrap();
    assert_eq!(keywords(&view), ["", "one", ""]);
    assert_eq!(files(&mailbox), ["1.a", ":list"]);
}

#[test]
fn a_change_is_one_file_and_merges_with_what_others_wrote() {
    let mailbox = mailbox(&[(":list", "Work\n\n1.a:0\n")]);
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    // Another session adds one that this one has not seen.
    mailbox.put("courierimapkeywords/1.a", "Work\nother\n");
    change(&folder, &mut view, 0, Action::Add, &["mine", "WORK"]);
    let update = std::fs::read_to_string(mailbox.path().join("courierimapkeywords/1.a")).unwrap();
    let mut lines: Vec<&str> = update.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["Work", "mine", "other"]);
    // The pending one stayed readable.
    assert_eq!(
        files(&mailbox),
        [
            format!(".{}.1.a", epoch() + 1),
            "1.a".to_owned(),
            ":list".to_owned()
        ]
    );
    change(&folder, &mut view, 0, Action::Remove, &["work"]);
    assert_eq!(keywords(&view), ["mine other", "", ""]);
    change(&folder, &mut view, 1, Action::Replace, &["x"]);
    change(&folder, &mut view, 1, Action::Replace, &[]);
    folder.rescan(&mut view).unwrap();
    assert_eq!(keywords(&view), ["mine other", "", ""]);
    assert!(list(&mailbox.path().join("tmp")).is_empty());
}

#[test]
fn one_keyword_on_many_messages_is_one_file_with_many_names() {
    use std::os::unix::fs::MetadataExt;
    let mailbox = mailbox(&[]);
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    let all = Change::new(Action::Add, Flags::NONE, vec![b"$Junk".to_vec()]);
    folder.change(&mut view, &[0, 1, 2], &all).unwrap();
    let stat = std::fs::metadata(mailbox.path().join("courierimapkeywords/2.a")).unwrap();
    assert_eq!(stat.nlink(), 3);
    let again = folder.scan(Mode::ReadWrite).unwrap();
    assert_eq!(keywords(&again), ["$Junk", "$Junk", "$Junk"]);
    // The other session sees it as a change of three messages.
    let diff = folder.rescan(&mut view).unwrap();
    assert!(diff.changed.is_empty());
}

#[test]
fn changes_by_others_are_reported_once() {
    let mailbox = mailbox(&[]);
    let folder = mailbox.inbox();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    let mut other = folder.scan(Mode::ReadWrite).unwrap();
    change(&folder, &mut other, 1, Action::Add, &["x"]);
    // A change of ours to another message does not swallow it.
    change(&folder, &mut view, 0, Action::Add, &["y"]);
    let diff = folder.rescan(&mut view).unwrap();
    assert_eq!(diff.changed, [1]);
    assert_eq!(keywords(&view), ["y", "x", ""]);
    assert!(folder.rescan(&mut view).unwrap().changed.is_empty());
}

#[test]
fn what_is_no_file_in_the_directory_does_no_harm() {
    let mailbox = mailbox(&[(":list", "one\n\n1.a:0\n")]);
    let path = mailbox.path().join("courierimapkeywords");
    std::fs::create_dir(path.join("2.a")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", path.join("3.a")).unwrap();
    nix::unistd::mkfifo(&path.join("4.a"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let view = mailbox.inbox().scan(Mode::ReadWrite).unwrap();
    assert_eq!(keywords(&view), ["one", "", ""]);
}

#[test]
fn sessions_in_threads_lose_no_keyword() {
    race(&mailbox(&[]));
}

/// A directory that takes several reads to list, so that it changes in the middle of them.
#[test]
fn sessions_lose_no_keyword_in_a_large_directory() {
    let mailbox = mailbox(&[]);
    for number in 0..400 {
        let name = format!(
            "courierimapkeywords/.{}.{number}{}",
            epoch(),
            "x".repeat(180)
        );
        mailbox.put(&name, "other\n");
    }
    race(&mailbox);
}

/// Four sessions add eight keywords each to three messages; all must be there.
fn race(mailbox: &Mailbox) {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                let folder = mailbox.inbox();
                let mut view = folder.scan(Mode::ReadWrite).unwrap();
                for number in 0..8 {
                    change(
                        &folder,
                        &mut view,
                        number % 3,
                        Action::Add,
                        &[&format!("t{thread}n{number}")],
                    );
                    folder.rescan(&mut view).unwrap();
                }
            });
        }
    });
    let view = mailbox.inbox().scan(Mode::ReadWrite).unwrap();
    let all: usize = keywords(&view)
        .iter()
        .map(|names| names.split(' ').count())
        .sum();
    assert_eq!(all, 32, "{:?}", keywords(&view));
}
