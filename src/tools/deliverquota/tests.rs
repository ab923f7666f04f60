use super::*;
use crate::maildir::{make_folder, make_maildir};

struct Account {
    dir: tempfile::TempDir,
}

impl Account {
    fn new(quota: &str) -> Self {
        let account = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        make_maildir(&account.maildir(), 0o700).unwrap();
        if !quota.is_empty() {
            Maildir::open(&account.maildir(), Options::default())
                .unwrap()
                .set_quota(QuotaLimits::parse(quota.as_bytes()))
                .unwrap();
        }
        account
    }

    fn maildir(&self) -> PathBuf {
        self.dir.path().join("M")
    }

    /// Exit code, output and errors.
    fn deliver(&self, options: &[&str], folder: &str, message: &str, known: bool) -> (u8, String) {
        let mut arguments: Vec<OsString> = options.iter().map(OsString::from).collect();
        arguments.push(self.maildir().join(folder).into_os_string());
        let mut paths = Paths::compiled_in();
        paths.sysconfdir = self.dir.path().to_path_buf();
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let size = known.then_some(message.len() as u64);
        let code = run(
            &arguments,
            &mut message.as_bytes(),
            size,
            &paths,
            &mut out,
            &mut errors,
        )
        .unwrap();
        out.extend_from_slice(&errors);
        (code, String::from_utf8(out).unwrap())
    }

    fn new_files(&self, folder: &str) -> Vec<(String, String)> {
        let path = self.maildir().join(folder).join("new");
        let mut files: Vec<(String, String)> = fs::read_dir(path)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs::read_to_string(&path).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    fn size(&self) -> String {
        fs::read_to_string(self.maildir().join("maildirsize")).unwrap_or_default()
    }
}

const DONE: (u8, String) = (0, String::new());

#[test]
fn command_lines() {
    let parse = |words: &[&str]| {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        parse(&words)
    };
    let job = parse(&["-c", "-w90", "-W", "text", "M", "10C"]).unwrap();
    assert!(job.create);
    assert_eq!((job.warn, job.text), (Some(90), Some("text".into())));
    assert_eq!(job.quota, Some(QuotaLimits::parse(b"10C")));
    assert_eq!(parse(&["-w", "-1", "M"]).unwrap().warn, None);
    for words in [
        &[][..],
        &["-w"],
        &["-w", "101", "M"],
        &["-wx", "M"],
        &["-x", "M"],
        &["-c"],
    ] {
        assert_eq!(parse(words), None, "{words:?}");
    }
    let account = Account::new("");
    assert_eq!(account.deliver(&["-w", "101"], "", "x", true).0, 73);
}

#[test]
fn messages_are_delivered_as_they_are_and_counted() {
    let account = Account::new("20S,9C");
    make_folder(&account.maildir(), &FolderName::new(b"A").unwrap()).unwrap();
    make_folder(&account.maildir(), &FolderName::new(b"Trash").unwrap()).unwrap();
    assert_eq!(account.deliver(&[], "", "a\r\nb", true), DONE);
    assert_eq!(account.deliver(&[], ".A", "12345", false), DONE);
    let files = account.new_files("");
    assert_eq!(files.len(), 1);
    assert!(files[0].0.ends_with(",S=4"), "{}", files[0].0);
    assert_eq!(files[0].1, "a\r\nb");
    assert_eq!(
        account.size(),
        "20S,9C\n           0            0\n           4            1\n           5            1\n"
    );
    for known in [true, false] {
        let (code, text) = account.deliver(&[], ".A", "123456789012", known);
        assert_eq!((code, text.as_str()), (77, "Mail quota exceeded.\n"));
    }
    assert_eq!(account.new_files(".A").len(), 1);
    assert_eq!(
        fs::read_dir(account.maildir().join(".A/tmp"))
            .unwrap()
            .count(),
        0
    );
    // The trash does not count.
    assert_eq!(account.deliver(&[], ".Trash", "123456789012", true), DONE);
    assert_eq!(account.size(), "20S,9C\n           9            2\n");
    let (code, text) = account.deliver(&[], "nowhere", "x", true);
    assert_eq!(code, 75);
    assert!(
        text.ends_with("nowhere: No such file or directory\n"),
        "{text}"
    );
    assert_eq!(account.deliver(&["-c"], "deep/er", "x", true), DONE);
    assert_eq!(account.new_files("deep/er").len(), 1);
}

#[test]
fn an_account_that_becomes_full_is_warned_once() {
    let account = Account::new("10C");
    make_folder(&account.maildir(), &FolderName::new(b"A").unwrap()).unwrap();
    let text = "From: postmaster\nSubject: Full\n\nAlmost full.\n";
    fs::write(account.dir.path().join("quotawarnmsg"), text).unwrap();
    // By file, the percentage is that before the message.
    for _ in 0..5 {
        assert_eq!(account.deliver(&["-w", "45"], ".A", "x", true), DONE);
    }
    assert!(account.new_files("").is_empty());
    for _ in 0..2 {
        assert_eq!(account.deliver(&["-w", "45"], ".A", "x", true), DONE);
    }
    let warnings = account.new_files("");
    assert_eq!(warnings.len(), 1);
    let (name, warning) = &warnings[0];
    assert!(name.contains("_warn") && name.ends_with(&format!(",S={}", warning.len())));
    assert!(
        warning.starts_with("Date: ") && warning.ends_with(text),
        "{warning}"
    );
    assert!(warning.contains("\nMessage-Id: <"));
    assert!(account.size().ends_with(&format!(
        "{:>12} {:>12}\n           1            1\n",
        warning.len(),
        1
    )));
    // A pipe counts the message itself, and another text can be given; no text, no warning.
    fs::remove_file(account.maildir().join("quotawarn")).unwrap();
    fs::remove_file(account.dir.path().join("quotawarnmsg")).unwrap();
    assert_eq!(account.deliver(&["-w", "90"], ".A", "x", false), DONE);
    assert_eq!(account.new_files("").len(), 1);
    let other = account.dir.path().join("other");
    fs::write(&other, text).unwrap();
    let options = ["-w", "90", "-W", other.to_str().unwrap()];
    let (code, _) = account.deliver(&options, ".A", "x", true);
    assert_eq!(code, 0);
    // Refused, and warned; the warning is let in.
    let (code, _) = account.deliver(&options, ".A", "x", true);
    assert_eq!(code, 77);
    assert_eq!(account.new_files("").len(), 2);
}
