//! What the tests of the store share: a maildir in a temporary directory.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{
    Appended, Details, Folder, FolderName, Maildir, Message, Options, Snapshot, make_maildir,
};

/// A fresh maildir in a temporary directory.
pub(crate) struct Mailbox {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) maildir: Maildir,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Maildir");
        make_maildir(&path, 0o700).unwrap();
        let maildir = Maildir::open(&path, Options::default()).unwrap();
        Self { dir, maildir }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("Maildir")
    }

    pub(crate) fn inbox(&self) -> Folder {
        self.maildir.folder(&FolderName::inbox()).unwrap()
    }

    pub(crate) fn put(&self, name: &str, content: &str) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    pub(crate) fn db(&self) -> String {
        std::fs::read_to_string(self.path().join("courierimapuiddb")).unwrap()
    }
}

pub(crate) fn uids(view: &Snapshot) -> Vec<u32> {
    view.messages().iter().map(Message::uid).collect()
}

pub(crate) fn names(view: &Snapshot) -> Vec<String> {
    view.messages()
        .iter()
        .map(|message| String::from_utf8_lossy(view.name(message)).into_owned())
        .collect()
}

pub(crate) fn settle() {
    std::thread::sleep(Duration::from_millis(25));
}

pub(crate) fn list(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

impl Mailbox {
    /// The folder `name`, made if need be.
    pub(crate) fn folder(&self, name: &str) -> Folder {
        let name = FolderName::new(name.as_bytes()).unwrap();
        match self.maildir.folder(&name) {
            Ok(folder) => folder,
            Err(_) => self.maildir.create(&name).unwrap(),
        }
    }

    /// Makes `path` old enough to be purged or ignored.
    pub(crate) fn age(&self, name: &str, age: Duration) {
        let file = std::fs::File::open(self.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
}

/// Adds one message with this text.
pub(crate) fn append(folder: &Folder, text: &str) -> super::Result<Appended> {
    let mut delivery = folder.deliver()?;
    delivery.write_wire(text.as_bytes())?;
    folder.append(vec![delivery.finish(Details::default())?])
}

/// A small tmpfs below `dir`, or a printed reason why there is none. Unmounted when dropped.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn new(dir: &Path, kilobytes: u32) -> Option<Self> {
        let path = dir.join("disk");
        std::fs::create_dir(&path).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={kilobytes}k"))
            .arg("tmpfs")
            .arg(&path)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(path)),
            _ => {
                use std::io::Write as _;
                let mut stderr = std::io::stderr().lock();
                writeln!(stderr, "skipped: no tmpfs can be mounted here").unwrap();
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Fills the disk to the last block.
    pub(crate) fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.0.join("ballast"))
            .unwrap();
        for size in [4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub(crate) fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A lazy unmount works although the test's descriptors are open; a failure leaves a mount in a temporary
        // directory that the test's runner will complain about.
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}
