//! A whole maildir of which one file is hostile.

use std::fs;
use std::path::Path;

use courier::maildir::check::{Finding, Observer, Repair, check};
use courier::maildir::{FolderName, Maildir, Mode, Options, Sync, make_maildir};

const FILES: [&str; 12] = [
    "courierimapuiddb",
    "courierimapuidmark",
    "courierimapuidvalidity",
    "courierimapkeywords/:list",
    "courierimapkeywords/1000.M1.h",
    "courierimapsubscribed",
    "maildirsize",
    "courierpop3dsizelist",
    "courierimapcache",
    "courierimapindex",
    "courierimapindex.log",
    "courierimapacl",
];

struct Repairs;

impl Observer for Repairs {
    fn finding(&mut self, finding: &Finding) {
        let failed = matches!(finding.repair, Repair::Failed(_));
        assert!(!failed, "{finding:?}");
    }
    fn progress(&mut self, _: &FolderName, _: u64) {}
}

/// The first octet says which file of the store holds the rest. Sessions and the check must cope, the check must be
/// content after its repair, and neither may give a message another UID than the other.
pub fn maildir(input: &[u8]) {
    let Some((which, content)) = input.split_first() else {
        return;
    };
    // Memory, where there is some: thousands of directories are made.
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let Ok(dir) = dir else { return };
    let path = dir.path().join("M");
    if let Err(error) = prepare(&path, usize::from(*which) % FILES.len(), content) {
        panic!("preparing: {error}");
    }
    let options = Options {
        sync: Sync::Never,
        ..Options::default()
    };
    let look = |mode: Mode| {
        let maildir = Maildir::open(&path, options.clone()).expect("the directories are there");
        let _ = maildir.subscriptions();
        let folder = maildir.folder(&FolderName::inbox()).expect("so is INBOX");
        let mut view = folder.scan(mode).expect("the messages can be listed");
        let _ = folder.rescan(&mut view).expect("and again");
        let uids: Vec<u32> = view
            .messages()
            .iter()
            .map(|message| message.uid())
            .collect();
        assert!(uids.is_sorted_by(|a, b| a < b));
        assert!(uids.last().is_none_or(|last| *last < view.uid_next()));
        for message in view.messages() {
            view.keywords(message).for_each(drop);
        }
        (view.uid_validity(), uids)
    };
    let before = look(Mode::ReadWrite);
    assert_eq!(before.1.len(), 3);
    for repair in [false, true] {
        let summary = check(&path, &options, repair, &mut Repairs).expect("it is a maildir");
        assert_eq!(summary.files, 3);
    }
    let summary = check(&path, &options, false, &mut Repairs).expect("it still is");
    assert!(summary.unrepaired <= summary.problems);
    assert_eq!(look(Mode::ReadWrite), before);
}

fn prepare(path: &Path, which: usize, content: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    make_maildir(path, 0o700)?;
    fs::create_dir(path.join("courierimapkeywords"))?;
    for name in ["1000.M1.h:2,S", "1001.M1.h:2,", "1002.M1.h,S=4:2,F"] {
        fs::write(path.join("cur").join(name), "text")?;
    }
    let good = [
        "1 77 0000000004\n1 1000.M1.h\n2 1001.M1.h\n3 1002.M1.h,S=4\n",
        "1 77 1001\n",
        "77\n",
        "work\n\n1001.M1.h:0\n",
    ];
    for (index, file) in FILES.iter().enumerate() {
        if index == which {
            fs::write(path.join(file), content)?;
        } else if let Some(text) = good.get(index) {
            fs::write(path.join(file), text)?;
        }
    }
    use std::os::unix::fs::PermissionsExt as _;
    for file in [
        "courierimapcache",
        "courierimapindex",
        "courierimapindex.log",
    ] {
        if path.join(file).exists() {
            fs::set_permissions(path.join(file), fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}
