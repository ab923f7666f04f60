//! Logs that are lost, damaged, foreign, from elsewhere, or cannot be written.

use super::*;

#[test]
fn a_lost_log_starts_anew_above_everything() {
    let log = Log::new(3);
    let mut view = log.open();
    log.expunge(&mut view, 1);
    let mut client = Client::of(&view);
    let before = view.highest_modseq();
    fs::remove_file(log.path()).unwrap();
    // With a session in the middle, and without.
    log.flag(&mut view, 0);
    assert!(view.highest_modseq() > before);
    client.learn(&view);
    fs::remove_file(log.path()).unwrap();
    let fresh = log.open();
    assert!(fresh.highest_modseq() > view.highest_modseq());
    let changes = fresh.changes_since(before);
    assert_eq!(changes.changed, [0, 1]);
    // What was expunged before is not known any more: whatever is not there.
    assert_eq!(changes.vanished, [(2, 2)]);
    log.look(&mut view);
    assert_eq!(view.highest_modseq(), fresh.highest_modseq());
}

#[test]
fn a_new_log_is_above_the_times_of_the_folder() {
    let log = Log::new(2);
    // A clock that was ten years ahead when the folder was changed.
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(10 * 365 * 86400);
    let cur = File::open(log.mailbox.path().join("cur")).unwrap();
    cur.set_modified(later).unwrap();
    let micros = later
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_micros();
    let mut view = log.folder.scan(Mode::ReadWrite).unwrap();
    log.folder.track(&mut view).unwrap();
    let first = view.highest_modseq();
    assert!(u128::from(first) > micros);
    log.flag(&mut view, 0);
    assert_eq!(view.highest_modseq(), first + 1);
    // One that says what no clock can mean is not believed.
    let log = Log::new(2);
    let absurd = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1 << 33);
    let cur = File::open(log.mailbox.path().join("cur")).unwrap();
    cur.set_modified(absurd).unwrap();
    let view = log.open();
    assert!(view.highest_modseq() < 1 << 52);
}

#[test]
fn a_damaged_log_is_made_anew_and_a_torn_end_is_not_damage() {
    let log = Log::new(4);
    let mut view = log.open();
    let early = Client::of(&view);
    log.flag(&mut view, 1);
    log.expunge(&mut view, 2);
    log.change(&mut view, 0, Action::Add, Flags::SEEN);
    let good = fs::read(log.path()).unwrap();
    let told = view.highest_modseq();
    let current = Client::of(&view);
    let put = |bytes: &[u8]| {
        // In place: another inode would be a copy.
        fs::write(log.path(), bytes).unwrap();
    };
    let check = |bytes: &[u8], anew: bool, what: &str| {
        let before = fs::read(log.path()).unwrap();
        // A log that was replaced meanwhile has another inode.
        if before != good {
            fs::write(log.path(), &good).unwrap();
        }
        let inode = fs::metadata(log.path()).unwrap().ino();
        put(bytes);
        let fresh = log.open();
        for client in [&early, &current] {
            client.clone().learn(&fresh);
        }
        assert!(fresh.highest_modseq() >= told, "{what}");
        let renewed = fs::metadata(log.path()).unwrap().ino() != inode;
        assert_eq!(renewed, anew, "{what}");
        if renewed {
            // Back to the file whose identity is in its header.
            fs::remove_file(log.path()).unwrap();
        }
        renewed
    };
    // Of the last file only, in which the identity is right: one that survives every check.
    for cut in [1, RECORD - 1] {
        assert!(!check(&good[..good.len() - cut], false, "torn"));
    }
    for tail in [vec![0_u8; RECORD * 3], vec![7_u8; 5]] {
        assert!(!check(&[good.clone(), tail].concat(), false, "tail"));
    }
    let mut at = 0;
    while at < good.len() {
        let log = Log::new(4);
        let mut view = log.open();
        let early = Client::of(&view);
        log.flag(&mut view, 1);
        log.flag(&mut view, 2);
        let told = view.highest_modseq();
        let mut bytes = fs::read(log.path()).unwrap();
        if at >= bytes.len() {
            break;
        }
        // What is said there of the folder at rest is used if it checks, and else not.
        if (64..HEADER).contains(&at) {
            at += 13;
            continue;
        }
        bytes[at] ^= 0x40;
        fs::write(log.path(), &bytes).unwrap();
        let inode = fs::metadata(log.path()).unwrap().ino();
        let fresh = log.open();
        assert!(fresh.highest_modseq() > told, "octet {at}");
        assert_ne!(fs::metadata(log.path()).unwrap().ino(), inode);
        early.clone().learn(&fresh);
        Client::of(&view).learn(&fresh);
        at += 13;
    }
    for length in [0, 1, HEADER - 1, HEADER, HEADER + RECORD, HEADER + 1] {
        let log = Log::new(4);
        let view = log.open();
        let told = view.highest_modseq();
        let bytes = fs::read(log.path()).unwrap();
        fs::write(log.path(), &bytes[..length]).unwrap();
        let fresh = log.open();
        assert!(fresh.highest_modseq() > told, "cut at {length}");
        Client::of(&view).learn(&fresh);
    }
}

#[test]
fn a_torn_end_is_overwritten() {
    let log = Log::new(3);
    let mut view = log.open();
    log.flag(&mut view, 0);
    let inode = fs::metadata(log.path()).unwrap().ino();
    for (index, tail) in [(1, &[9_u8; 17][..]), (2, &[0; 100])] {
        let whole = fs::read(log.path()).unwrap();
        fs::write(log.path(), [&whole[..], tail].concat()).unwrap();
        let mut view = log.open();
        let mut client = Client::of(&view);
        log.change(&mut view, index, Action::Add, Flags::SEEN);
        assert_eq!(client.learn(&view).len(), 1);
        let bytes = fs::read(log.path()).unwrap();
        assert_eq!(bytes.len(), whole.len() + RECORD);
        assert_eq!(bytes[..whole.len()], whole);
        assert_eq!(fs::metadata(log.path()).unwrap().ino(), inode);
        let again = log.open();
        assert_eq!(again.highest_modseq(), view.highest_modseq());
    }
}

#[test]
fn half_a_batch_counts_as_nothing() {
    let log = Log::new(4);
    let mut view = log.open();
    let told = view.highest_modseq();
    let before = fs::read(log.path()).unwrap();
    let change = Change::new(Action::Add, Flags::SEEN, Vec::new());
    log.folder.change(&mut view, &[0, 1, 2], &change).unwrap();
    let after = fs::read(log.path()).unwrap();
    assert_eq!(after.len(), before.len() + 3 * RECORD);
    let logged = view.highest_modseq();
    for records in [1, 2] {
        fs::write(log.path(), &after[..before.len() + records * RECORD]).unwrap();
        let mut modseqs = Modseqs::default();
        let file = File::open(log.path()).unwrap();
        let size = file.metadata().unwrap().len();
        let end = log::read(&file, HEADER as u64, before.len() as u64, size, |record| {
            modseqs.apply(record);
        });
        assert_eq!(end.unwrap().place, before.len() as u64);
        assert_eq!(modseqs.last, told);
    }
    let fresh = log.open();
    assert!(fresh.highest_modseq() > told);
    Client {
        modseq: told,
        ..Client::of(&view)
    }
    .learn(&fresh);
    assert_ne!(fresh.modseq(0), logged);
}

#[test]
fn a_log_from_a_backup_is_noticed() {
    let log = Log::new(3);
    let mut view = log.open();
    log.flag(&mut view, 0);
    let backup = fs::read(log.path()).unwrap();
    log.change(&mut view, 0, Action::Remove, Flags::FLAGGED);
    log.change(&mut view, 1, Action::Add, Flags::SEEN);
    let mut client = Client::of(&view);
    // The folder is put back as it was, with its log.
    log.rename("0.a:2,", "0.a:2,F");
    log.rename("1.a:2,S", "1.a:2,");
    let put_back = || {
        let copy = log.mailbox.path().join("copy");
        fs::write(&copy, &backup).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(copy, log.path()).unwrap();
    };
    put_back();
    settle();
    let fresh = log.open();
    assert!(fresh.highest_modseq() > client.modseq);
    client.learn(&fresh);
    // Under the feet of a session.
    put_back();
    log.look(&mut view);
    assert!(view.highest_modseq() > client.modseq);
    client.learn(&view);
    let told = view.highest_modseq();
    // A copy within the machine has another inode or was made at another time.
    let bytes = fs::read(log.path()).unwrap();
    fs::remove_file(log.path()).unwrap();
    fs::write(log.path(), bytes).unwrap();
    fs::set_permissions(log.path(), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(log.open().highest_modseq() > told);
}

#[test]
fn a_mailbox_created_anew_has_a_log_of_its_own() {
    let log = Log::new(3);
    let view = log.open();
    let name = log.mailbox.path();
    let db = log.mailbox.db();
    let other = format!("1 {} 0000000004\n", view.uid_validity() + 7);
    fs::write(
        name.join("courierimapuiddb"),
        db.lines().skip(1).fold(other, |db, line| db + line + "\n"),
    )
    .unwrap();
    settle();
    let fresh = log.open();
    assert_ne!(fresh.uid_validity(), view.uid_validity());
    assert!(fresh.highest_modseq() > view.highest_modseq());
}

#[test]
fn a_log_of_another_kind_or_owner_is_replaced() {
    type Plant<'a> = &'a dyn Fn(&std::path::Path);
    let plants: [(&str, Plant); 4] = [
        ("mode", &|path| {
            let mode = fs::Permissions::from_mode(0o644);
            fs::set_permissions(path, mode).unwrap();
        }),
        ("link", &|path| {
            let elsewhere = path.with_file_name("elsewhere");
            fs::rename(path, &elsewhere).unwrap();
            std::os::unix::fs::symlink(elsewhere, path).unwrap();
        }),
        ("fifo", &|path| {
            fs::remove_file(path).unwrap();
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("huge", &|path| {
            // Sparse: nothing of that size may be read.
            let file = File::options().write(true).open(path).unwrap();
            file.set_len(1 << 40).unwrap();
        }),
    ];
    for (what, plant) in plants {
        let log = Log::new(3);
        let told = log.open().highest_modseq();
        plant(&log.path());
        let view = log.open();
        assert!(view.has_lasting_modseqs(), "{what}");
        assert!(view.highest_modseq() > told, "{what}");
        let stat = fs::symlink_metadata(log.path()).unwrap();
        assert!(stat.is_file() && stat.mode() & 0o777 == 0o600, "{what}");
    }
    // What cannot be replaced is worked around.
    let log = Log::new(3);
    fs::create_dir(log.path()).unwrap();
    let mut view = log.open();
    assert!(!view.has_lasting_modseqs());
    let mut client = Client::of(&view);
    log.flag(&mut view, 1);
    assert_eq!(client.learn(&view), [2]);
    log.expunge(&mut view, 0);
    client.learn(&view);
}

#[test]
fn in_a_folder_of_somebody_else_the_numbers_are_the_sessions_own() {
    if !nix::unistd::geteuid().is_root() {
        use std::io::Write as _;
        writeln!(std::io::stderr().lock(), "skipped: not root").unwrap();
        return;
    }
    let log = Log::new(3);
    std::os::unix::fs::chown(log.mailbox.path(), Some(1234), None).unwrap();
    let mut view = log.open();
    assert!(!view.has_lasting_modseqs() && !log.path().exists());
    let told = view.highest_modseq();
    let mut client = Client::of(&view);
    log.flag(&mut view, 1);
    assert!(view.modseq(1) > told);
    assert_eq!(client.learn(&view), [2]);
    assert!(!log.path().exists());
    // The next session starts above.
    let next = log.open();
    assert!(next.highest_modseq() > view.highest_modseq());
    client.learn(&next);
}

#[test]
fn a_full_disk_fails_no_command_and_repeats_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::new(dir.path(), 400) else {
        return;
    };
    let path = disk.path().join("Maildir");
    make_maildir(&path, 0o700).unwrap();
    for number in 0..3 {
        fs::write(path.join(format!("cur/{number}.a:2,")), "x\n").unwrap();
    }
    settle();
    let maildir = Maildir::open(&path, Options::default()).unwrap();
    let folder = maildir.folder(&FolderName::inbox()).unwrap();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    folder.track(&mut view).unwrap();
    let mut client = Client::of(&view);
    // To the end of its block the log takes records even now.
    let block = 4096 / RECORD;
    let flip = |view: &mut Snapshot, round: usize| {
        let action = match round % 2 {
            0 => Action::Add,
            _ => Action::Remove,
        };
        let change = Change::new(action, Flags::SEEN, Vec::new());
        folder.change(view, &[0], &change).unwrap();
    };
    let mut round = 0;
    while view.modseqs.as_ref().unwrap().read.unwrap().2 + RECORD as u64 <= 4096 {
        flip(&mut view, round);
        round += 1;
        assert!(round < block);
    }
    client.learn(&view);
    disk.fill();
    let told = view.highest_modseq();
    flip(&mut view, round);
    assert_eq!(view.highest_modseq(), told, "it is not in the log");
    assert!(view.modseq(0) > told);
    assert_eq!(view.changes_since(told).changed, [0]);
    let provisional = view.modseq(0);
    let mut kept = client.clone();
    kept.learn(&view);
    assert_eq!(kept.modseq, told);
    disk.free();
    settle();
    folder.rescan(&mut view).unwrap();
    assert!(view.highest_modseq() > provisional);
    assert!(view.modseq(0) > provisional);
    client.learn(&view);
    kept.learn(&view);
    let mut again = folder.scan(Mode::ReadWrite).unwrap();
    folder.track(&mut again).unwrap();
    assert_eq!(again.highest_modseq(), view.highest_modseq());
}

#[test]
fn a_log_that_stays_locked_is_not_waited_for_without_end() {
    let mailbox = Mailbox::new();
    for number in 0..3 {
        mailbox.put(&format!("cur/{number}.a:2,"), "x\n");
    }
    settle();
    let options = Options {
        lock_wait: std::time::Duration::from_millis(50),
        ..Options::default()
    };
    let maildir = Maildir::open(&mailbox.path(), options).unwrap();
    let folder = maildir.folder(&FolderName::inbox()).unwrap();
    let mut view = folder.scan(Mode::ReadWrite).unwrap();
    folder.track(&mut view).unwrap();
    let mut client = Client::of(&view);
    let path = mailbox.path().join("courierimapindex.log");
    let file = File::options().read(true).write(true).open(path).unwrap();
    sync::lock(&file, std::time::Duration::ZERO).unwrap();
    let change = Change::new(Action::Add, Flags::SEEN, Vec::new());
    folder.change(&mut view, &[1], &change).unwrap();
    assert_eq!(view.highest_modseq(), client.modseq);
    drop(file);
    folder.rescan(&mut view).unwrap();
    assert!(view.highest_modseq() > client.modseq);
    assert_eq!(client.learn(&view), [2]);
}

/// The log is read before the folder is. When that then fails the view stays, and what it shows is older than what the
/// log says: the numbers there must not be told with it.
#[test]
fn a_look_that_fails_tells_no_number_of_a_later_state() {
    let log = Log::new(3);
    let (mut view, mut other) = (log.open(), log.open());
    let told = view.highest_modseq();
    let mut client = Client::of(&view);
    log.flag(&mut other, 0);
    log.expunge(&mut other, 2);
    // Too large to be one: all that there is in this folder cannot be read.
    let (uids_at, aside) = ["courierimapuiddb", "aside"]
        .map(|name| log.mailbox.path().join(name))
        .into();
    fs::rename(&uids_at, &aside).unwrap();
    File::create(&uids_at).unwrap().set_len(1 << 40).unwrap();
    settle();
    log.folder.rescan(&mut view).unwrap_err();
    assert_eq!(uids(&view), [1, 2, 3]);
    assert_eq!(view.highest_modseq(), told);
    for index in [0, 2] {
        assert!(view.modseq(index) > other.highest_modseq(), "{index}");
    }
    client.learn(&view);
    fs::rename(&aside, &uids_at).unwrap();
    log.look(&mut view);
    assert_eq!(client.learn(&view), [1]);
    assert_eq!(uids(&view), [1, 2]);
    log.look(&mut other);
    assert_eq!(view.modseq(0), other.modseq(0));
}
