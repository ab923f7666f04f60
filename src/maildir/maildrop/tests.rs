use super::incoming::TMP_AGE;
use super::*;
use std::cell::RefCell;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

struct Box {
    directory: tempfile::TempDir,
}

impl Box {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for part in ["cur", "new", "tmp"] {
            std::fs::create_dir(directory.path().join(part)).unwrap();
        }
        Self { directory }
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn list(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("courierpop3dsizelist")).unwrap()
    }

    fn names(&self, part: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.directory.path().join(part))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn open(&self) -> Maildrop {
        Maildrop::open(self.directory.path(), &Options::default(), "joe", &length).unwrap()
    }

    fn uidls(&self) -> Vec<String> {
        uidls(&self.open())
    }
}

fn uidls(maildrop: &Maildrop) -> Vec<String> {
    let text = |index| {
        let mut text = Vec::new();
        maildrop.uidl(index, &mut text);
        String::from_utf8(text).unwrap()
    };
    (0..maildrop.len()).map(text).collect()
}

fn length(message: &StoredMessage) -> std::io::Result<Measure> {
    let mut text = Vec::new();
    (&message.file).read_to_end(&mut text)?;
    Ok(Measure {
        size: text.len() as u64,
        utf8: text.first() == Some(&b'U'),
    })
}

const OLD: &str = "/3 3 100\n";

#[test]
fn new_mail_is_taken_in_numbered_and_listed() {
    let mail = Box::new();
    mail.put("courierpop3dsizelist", OLD);
    mail.put("new/20.b.host", "Utf");
    mail.put("new/9.a.host,S=5:1,x", "12345");
    mail.put("cur/100.c.host:2,FS", "1");
    mail.put("cur/.hidden", "");
    let maildrop = mail.open();
    assert_eq!(uidls(&maildrop), ["UID3-100", "UID4-100", "UID5-100"]);
    assert_eq!(
        mail.list(),
        "/3 6 100\n9.a.host,S=5:2, 5 3:100:0\n20.b.host:2, 3 4:100:1\n100.c.host:2,FS 1 5:100:0\n"
    );
    assert_eq!(mail.names("tmp"), [""; 0]);
    assert_eq!(mail.names("new"), [""; 0]);
}

#[test]
fn identifiers_survive_flags_removals_and_a_lost_info_part() {
    let mail = Box::new();
    mail.put("courierpop3dsizelist", OLD);
    mail.put("cur/1.a:2,", "a");
    mail.put("cur/2.b", "b");
    mail.put("cur/3.c:2,", "c");
    assert_eq!(mail.uidls(), ["UID3-100", "UID4-100", "UID5-100"]);
    let list = mail.list();
    let path = |name: &str| mail.directory.path().join(name);
    std::fs::rename(path("cur/1.a:2,"), path("cur/1.a:2,RS")).unwrap();
    std::fs::rename(path("cur/2.b"), path("cur/2.b:2,S")).unwrap();
    assert_eq!(mail.uidls(), ["UID3-100", "UID4-100", "UID5-100"]);
    // Flags alone do not rewrite it.
    assert_eq!(mail.list(), list);
    std::fs::remove_file(path("cur/1.a:2,RS")).unwrap();
    assert_eq!(mail.uidls(), ["UID4-100", "UID5-100"]);
    assert_eq!(
        mail.list(),
        "/3 6 100\n2.b:2,S 1 4:100:0\n3.c:2, 1 5:100:0\n"
    );
    for name in ["cur/2.b:2,S", "cur/3.c:2,"] {
        std::fs::remove_file(path(name)).unwrap();
    }
    // An empty maildir keeps its list, and with it the next number.
    assert_eq!(mail.uidls(), [""; 0]);
    mail.put("cur/4.d:2,", "d");
    assert_eq!(mail.uidls(), ["UID6-100"]);
}

#[test]
fn trusted_entries_are_not_measured_again() {
    let mail = Box::new();
    mail.put(
        "courierpop3dsizelist",
        "/3 9 100\n1.a:2, 77 2:100:1\n2.b:2, 78 0:0:0\n",
    );
    mail.put("cur/1.a:2,S", "a");
    mail.put("cur/2.b:2,S", "b");
    let refuse = |_: &StoredMessage| -> std::io::Result<Measure> { panic!("measured") };
    let path = mail.directory.path();
    let maildrop = Maildrop::open(path, &Options::default(), "joe", &refuse).unwrap();
    assert_eq!(maildrop.size(0), 77);
    assert!(maildrop.utf8(0));
    assert_eq!(uidls(&maildrop), ["UID2-100", "2.b"]);
}

#[test]
fn an_old_list_is_converted_and_an_unsorted_one_understood() {
    let mail = Box::new();
    mail.put(
        "courierpop3dsizelist",
        "/2 9 100\n20.b:2, 5 8:100\n3.a:2, 5 7:100\n",
    );
    mail.put("cur/3.a:2,", "a");
    mail.put("cur/20.b:2,", "b");
    assert_eq!(mail.uidls(), ["UID7-100", "UID8-100"]);
    assert_eq!(
        mail.list(),
        "/3 9 100\n3.a:2, 5 7:100:0\n20.b:2, 5 8:100:0\n"
    );
}

#[test]
fn a_list_that_cannot_be_written_hides_what_is_not_in_it() {
    if nix::unistd::geteuid().is_root() {
        // Root writes anywhere; a directory in the place of the list is in anybody's way.
        let mail = Box::new();
        std::fs::create_dir_all(mail.directory.path().join("courierpop3dsizelist/x")).unwrap();
        mail.put("cur/1.a:2,", "abc");
        mail.put("cur/2.b:2,", "b");
        let maildrop = mail.open();
        assert_eq!(maildrop.len(), 1);
        assert!(uidls(&maildrop)[0].starts_with("ENOMEM-0000"));
        assert_eq!(uidls(&maildrop)[0].len(), "ENOMEM".len() + 3 * 17);
        assert_eq!(maildrop.size(0), 3);
        return;
    }
    let mail = Box::new();
    mail.put("courierpop3dsizelist", "/3 9 100\n1.a:2, 3 2:100:0\n");
    mail.put("cur/1.a:2,", "abc");
    mail.put("cur/2.b:2,", "b");
    let mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(mail.directory.path().join("tmp"), permissions).unwrap();
    };
    mode(0o500);
    assert_eq!(mail.uidls(), ["UID2-100"]);
    mode(0o700);
}

#[test]
fn the_message_that_stands_in_for_a_list_is_measured() {
    let mail = Box::new();
    mail.put("cur/1.a:2,", "Utf");
    std::fs::remove_dir(mail.directory.path().join("tmp")).unwrap();
    let larger = |message: &StoredMessage| {
        let measure = length(message)?;
        Ok(Measure {
            size: measure.size + 2,
            ..measure
        })
    };
    let path = mail.directory.path();
    let maildrop = Maildrop::open(path, &Options::default(), "joe", &larger).unwrap();
    assert!(uidls(&maildrop)[0].starts_with("ENOMEM-0000"));
    assert_eq!(maildrop.size(0), 5);
    assert!(maildrop.utf8(0));
}

#[test]
fn a_message_that_was_renamed_is_found_for_reading_and_removal() {
    let mail = Box::new();
    mail.put("cur/1.a,S=1:2,", "a");
    mail.put("cur/2.b:2,", "bb");
    mail.put("cur/3.c:2,T", "ccc");
    mail.put("cur/4.d:2,", "d");
    mail.put("maildirsize", "100S\n           7            4\n");
    let mut maildrop = mail.open();
    let path = |name: &str| mail.directory.path().join(name);
    std::fs::rename(path("cur/1.a,S=1:2,"), path("cur/1.a,S=1:2,F")).unwrap();
    std::fs::rename(path("cur/2.b:2,"), path("cur/2.b:2,R")).unwrap();
    std::fs::remove_file(path("cur/4.d:2,")).unwrap();
    let mut text = String::new();
    maildrop
        .open_message(0)
        .unwrap()
        .file
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "a");
    maildrop.mark_seen(0);
    assert_eq!(maildrop.file_name(0), b"1.a,S=1:2,FS");
    assert_eq!(
        maildrop.open_message(3).unwrap_err().kind(),
        ErrorKind::Gone
    );
    let names = RefCell::new(Vec::new());
    let gone = |name: &[u8]| {
        let name = std::ffi::OsStr::from_bytes(name);
        names.borrow_mut().push(name.to_owned());
    };
    let removed = maildrop.remove(&[0, 1, 2, 3], &gone);
    assert_eq!(
        (removed.done, removed.missing, removed.failed),
        (vec![0, 1, 2], vec![3], vec![])
    );
    assert_eq!(names.into_inner(), ["1.a,S=1:2,FS", "2.b:2,R", "3.c:2,T"]);
    assert_eq!(mail.names("cur"), [""; 0]);
    let quota = std::fs::read_to_string(path("maildirsize")).unwrap();
    assert!(quota.ends_with("\n          -3           -2\n"), "{quota}");
}

#[test]
fn a_foreign_info_part_is_left_alone() {
    let mail = Box::new();
    mail.put("cur/1.a:1,x", "a");
    mail.put("cur/2.b", "b");
    mail.put("cur/3.c:2,FT", "b");
    let mut maildrop = mail.open();
    for index in 0..3 {
        maildrop.mark_seen(index);
    }
    assert_eq!(mail.names("cur"), ["1.a:1,x", "2.b:2,S", "3.c:2,FST"]);
}

#[test]
fn half_a_maildir_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let error = Maildrop::open(directory.path(), &Options::default(), "joe", &length).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSuchFolder);
}

#[test]
fn old_leftovers_in_tmp_go_and_young_ones_stay() {
    let mail = Box::new();
    mail.put("tmp/1.young", "");
    mail.put("tmp/2.old", "");
    let old = File::open(mail.directory.path().join("tmp/2.old")).unwrap();
    old.set_modified(SystemTime::now() - TMP_AGE - Duration::from_secs(60))
        .unwrap();
    mail.open();
    assert_eq!(mail.names("tmp"), ["1.young"]);
}

/// Remembers `measure` of the file at `path`, as imapd would.
fn remember(mail: &Box, path: &str, measure: Measure) {
    use crate::maildir::cache::{Cache, Field, Key, Storage};
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let directory = File::open(mail.directory.path()).unwrap();
    let file = std::fs::metadata(mail.directory.path().join(path)).unwrap();
    let mut cache = Cache::open(directory.as_fd(), Storage::Local).unwrap();
    cache.refresh();
    let key = Key {
        base: filename::base(path.rsplit('/').next().unwrap().as_bytes()),
        inode: u64::from(snapshot::Message::fold_inode(file.ino())),
        size: file.len(),
    };
    cache.add(&key, &[(Field::Pop3, &measure.encode())]);
    cache.flush().unwrap();
}

#[test]
fn what_imap_has_read_is_not_read_again() {
    let mail = Box::new();
    mail.put("courierpop3dsizelist", OLD);
    let known = Measure {
        size: 1000,
        utf8: true,
    };
    mail.put("cur/1.a,S=3:2,", "abc");
    remember(&mail, "cur/1.a,S=3:2,", known);
    mail.put("cur/2.b:2,S", "abcd");
    remember(&mail, "cur/2.b:2,S", known);
    // Another file under a known name, and files that grew or were never read.
    mail.put("cur/3.c:2,", "a");
    remember(&mail, "cur/3.c:2,", known);
    mail.put("other", "a");
    std::fs::rename(
        mail.directory.path().join("other"),
        mail.directory.path().join("cur/3.c:2,"),
    )
    .unwrap();
    mail.put("cur/4.d:2,", "a");
    remember(&mail, "cur/4.d:2,", known);
    mail.put("cur/4.d:2,", "ab");
    mail.put("cur/5.e:2,", "abcde");
    let read = RefCell::new(Vec::new());
    let measure = |file: &StoredMessage| {
        let measure = length(file)?;
        read.borrow_mut().push(measure.size);
        Ok(measure)
    };
    let directory = mail.directory.path();
    let maildrop = Maildrop::open(directory, &Options::default(), "joe", &measure).unwrap();
    let sizes: Vec<u64> = (0..maildrop.len())
        .map(|index| maildrop.size(index))
        .collect();
    assert_eq!(sizes, [1000, 1000, 1, 2, 5]);
    assert!(maildrop.utf8(0) && !maildrop.utf8(4));
    assert_eq!(*read.borrow(), [1, 2, 5]);
    // From now on the list is what counts.
    remember(&mail, "cur/5.e:2,", known);
    assert_eq!(mail.open().size(4), 5);
}

#[test]
fn the_order_is_the_originals() {
    // As Debian's courierpop3d numbers them.
    let names: [&[u8]; 9] = [
        b"9.z:2,",
        b"1000.\xfc:2,",
        b"1000.a!b:2,",
        b"1000.a,S=3:2,FS",
        b"1000.a:2,",
        b"1000.a;x:2,",
        b"1000.aB:2,",
        b"1000.ab:2,S",
        b"1001:2,",
    ];
    let mail = Box::new();
    mail.put("courierpop3dsizelist", OLD);
    let cur = mail.directory.path().join("cur");
    for name in names.iter().rev() {
        std::fs::write(cur.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    for _ in 0..2 {
        let maildrop = mail.open();
        let shown: Vec<&[u8]> = (0..maildrop.len())
            .map(|index| maildrop.file_name(index))
            .collect();
        assert_eq!(shown, names);
        assert_eq!(uidls(&maildrop)[8], "UID11-100");
    }
}

proptest::proptest! {
    #[test]
    fn the_short_key_orders_as_the_whole_name(
        mut names in proptest::collection::vec("[017]{0,3}[.a:!\u{e9}]{0,18}(:2,S|)", 0..12),
    ) {
        let key = |name: &String| {
            let base = filename::base(name.as_bytes()).to_vec();
            (filename::leading_number(name.as_bytes()), order_key(&base), base)
        };
        let mut by_key = names.clone();
        by_key.sort_by(|a, b| {
            let (a, b) = (key(a), key(b));
            (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| base_order(&a.2, &b.2))
        });
        names.sort_by(|a, b| {
            let (a, b) = (key(a), key(b));
            a.0.cmp(&b.0).then_with(|| base_order(&a.2, &b.2))
        });
        proptest::prop_assert_eq!(by_key, names);
    }
}

/// `count` messages that an earlier session has listed, in a directory that has been left alone for a moment.
fn large(count: usize) -> Box {
    let mail = Box::new();
    mail.put("courierpop3dsizelist", OLD);
    for number in 0..count {
        mail.put(&format!("cur/{}.m:2,", 1000 + number), "abc");
    }
    mail.open();
    // Times that are too young are not trusted.
    std::thread::sleep(Duration::from_millis(50));
    mail.open();
    mail
}

const INDEX: &str = "courierimapindex.pop3";

/// All that a client sees, and the names.
fn shown(maildrop: &Maildrop) -> Vec<(String, u64, Vec<u8>)> {
    uidls(maildrop)
        .into_iter()
        .enumerate()
        .map(|(index, uidl)| {
            (
                uidl,
                maildrop.size(index),
                maildrop.file_name(index).to_vec(),
            )
        })
        .collect()
}

#[test]
fn a_large_maildir_at_rest_is_not_listed() {
    let mail = large(300);
    let path = mail.directory.path().join(INDEX);
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let listed = shown(&mail.open());
    assert_eq!(listed.len(), 300);
    let unlisted = mail.open();
    assert!(unlisted.listed_at.is_none(), "it was listed");
    assert_eq!(shown(&unlisted), listed);
    // The first session is enough where the directory is old.
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(mail.directory.path().join("courierpop3dsizelist")).unwrap();
    mail.put("courierpop3dsizelist", OLD);
    assert!(mail.open().listed_at.is_some());
    assert!(mail.open().listed_at.is_none());
    std::thread::sleep(Duration::from_millis(50));
    // Another list, another directory, another file: all are noticed.
    std::fs::write(&path, "rubbish").unwrap();
    assert!(mail.open().listed_at.is_some());
    assert!(mail.open().listed_at.is_none());
    mail.put("courierpop3dsizelist", &mail.list());
    assert!(mail.open().listed_at.is_some());
    mail.put("new/9000.new", "abc");
    assert_eq!(mail.open().len(), 301);
    std::fs::remove_file(mail.directory.path().join("cur/1000.m:2,")).unwrap();
    assert_eq!(mail.open().len(), 300);
}

#[test]
fn small_young_or_doubled_maildirs_are_listed() {
    let small = large(20);
    assert!(!small.directory.path().join(INDEX).exists());
    let mail = large(300);
    std::fs::hard_link(
        mail.directory.path().join("cur/1000.m:2,"),
        mail.directory.path().join("cur/1000.m:2,S"),
    )
    .unwrap();
    std::thread::sleep(Duration::from_millis(50));
    for _ in 0..2 {
        let maildrop = mail.open();
        assert!(maildrop.listed_at.is_some());
        assert_eq!(maildrop.len(), 300);
    }
}

#[test]
fn names_that_are_out_of_date_are_found_with_one_listing() {
    let mail = large(300);
    let cur = mail.directory.path().join("cur");
    for number in 0..300 {
        let name = format!("{}.m:2,", 1000 + number);
        std::fs::rename(cur.join(&name), cur.join(format!("{name}S"))).unwrap();
    }
    std::thread::sleep(Duration::from_millis(50));
    // Flags do not rewrite the list.
    mail.open();
    let mut maildrop = mail.open();
    assert!(maildrop.listed_at.is_none());
    assert_eq!(maildrop.file_name(7), b"1007.m:2,");
    std::fs::remove_file(cur.join("1005.m:2,S")).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    maildrop.open_message(7).unwrap();
    let located = maildrop.located_at;
    assert!(located.is_some());
    for index in 0..300 {
        assert_eq!(maildrop.open_message(index).is_ok(), index != 5, "{index}");
    }
    assert_eq!(maildrop.located_at, located);
    maildrop.mark_seen(7);
    let removed = maildrop.remove(&[5, 7], &|_| {});
    assert_eq!((removed.done, removed.missing), (vec![7], vec![5]));
    assert_eq!(mail.open().len(), 298);
}

#[test]
fn a_message_that_keeps_being_renamed_is_not_taken_for_a_missing_one() {
    for _ in 0..60 {
        let mail = Box::new();
        mail.put("cur/1.a:2,", "a");
        let mut maildrop = mail.open();
        let cur = mail.directory.path().join("cur");
        let renamer = std::thread::spawn(move || {
            let names = [cur.join("1.a:2,"), cur.join("1.a:2,S")];
            // Until it is gone.
            for turn in 0..300 {
                let (from, to) = (&names[turn % 2], &names[(turn + 1) % 2]);
                if std::fs::rename(from, to).is_err() {
                    break;
                }
            }
        });
        let removed = maildrop.remove(&[0], &|_| {});
        renamer.join().unwrap();
        let gone = mail.names("cur").is_empty();
        assert_eq!(gone, removed.failed.is_empty(), "{removed:?}");
        assert_eq!(removed.missing, []);
    }
}
