use std::collections::BTreeMap;

use courier_dbm::Reader;

use super::*;

struct Fixture(tempfile::TempDir);

impl Fixture {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn make(&self, source: &str, ranges: bool) -> Result<BTreeMap<String, String>, String> {
        make(&Request {
            source: self.path(source),
            target: self.path("dat"),
            temporary: self.path("tmp"),
            ranges,
        })?;
        assert!(
            std::fs::read_dir(self.0.path()).unwrap().all(|entry| !entry
                .unwrap()
                .file_name()
                .as_bytes()
                .starts_with(b"tmp"))
        );
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ok(Reader::open(&self.path("dat"))
            .unwrap()
            .records()
            .map(|record| record.unwrap())
            .map(|(key, value)| (text(key), text(value)))
            .collect())
    }
}

fn map(records: &[(&str, &str)]) -> BTreeMap<String, String> {
    records
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

#[test]
fn lines_become_records_as_the_contract_says() {
    let f = Fixture::new();
    f.write(
        "src",
        "# comment\n\n192.0.2\tdeny\n10\tallow,A=\"1\t2\"\nbare\nempty\t\n\tno key\ntrailing \tx \r\nlast\ty",
    );
    assert_eq!(
        f.make("src", false).unwrap(),
        map(&[
            ("192.0.2", "deny"),
            ("10", "allow,A=\"1\t2\""),
            ("bare", "1"),
            ("empty", "1"),
            ("trailing ", "x \r"),
            ("last", "y"),
        ])
    );
}

#[test]
fn networks_are_expanded_when_asked_for() {
    let f = Fixture::new();
    f.write("src", "10.1.0.0/23\tdeny\n2001:db8::/32 allow\n");
    assert_eq!(
        f.make("src", true).unwrap(),
        map(&[
            ("10.1.0", "deny"),
            ("10.1.1", "deny"),
            (":2001:0db8", "allow")
        ])
    );
    assert_eq!(
        f.make("src", false).unwrap(),
        map(&[("10.1.0.0/23", "deny"), ("2001:db8::/32 allow", "1")])
    );
}

#[test]
fn errors_name_the_line_and_leave_the_old_database() {
    let f = Fixture::new();
    f.write("src", "a\tx\n");
    f.make("src", true).unwrap();
    for (content, message) in [
        (
            "b\tx\nb\ty\n",
            "Cannot store record for b - duplicate or out of disk space.",
        ),
        ("c\tx\n.\nd\ty\n", "src line 2: a line with a single dot"),
        ("10.0.0.0/99\tx\n", "src line 1: not a network"),
        ("::1-f::\tx\n", "src line 1: needs too many"),
    ] {
        f.write("src", content);
        let error = f.make("src", true).unwrap_err();
        assert!(error.contains(message), "{error}");
        let reader = Reader::open(&f.path("dat")).unwrap();
        assert_eq!(reader.get(b"a").unwrap().unwrap(), b"x");
        assert!(!f.path(&format!("tmp.{}", std::process::id())).exists());
    }
    let error = f.make("missing", true).unwrap_err();
    assert!(
        error.ends_with("missing: No such file or directory"),
        "{error}"
    );
}

#[test]
fn a_directory_is_read_file_by_file() {
    let f = Fixture::new();
    std::fs::create_dir(f.path("d")).unwrap();
    std::fs::create_dir(f.path("d/sub")).unwrap();
    f.write("d/a", "a\t1");
    f.write("d/.b", "b\t2\n");
    f.write("d/c~", "c\t3\n");
    f.write("outside", "l\t4\n");
    std::os::unix::fs::symlink(f.path("outside"), f.path("d/link")).unwrap();
    assert_eq!(
        f.make("d", false).unwrap(),
        map(&[("a", "1"), ("b", "2"), ("l", "4")])
    );
}

#[test]
fn leftovers_of_upgrades_are_refused() {
    for (name, message) in [
        ("x.rpmsave", "make any needed changes to"),
        ("x.rpmnew", "found, please investigate"),
        ("x.dpkg-old", "found, please investigate"),
        ("x.dist", "exists, please copy to"),
    ] {
        let f = Fixture::new();
        std::fs::create_dir(f.path("d")).unwrap();
        f.write(&format!("d/{name}"), "");
        let error = f.make("d", false).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_shipped_file_is_skipped_unless_it_is_newer_than_the_live_one() {
    let f = Fixture::new();
    std::fs::create_dir(f.path("d")).unwrap();
    f.write("d/x.dist", "dist\t1\n");
    f.write("d/x", "live\t1\n");
    assert_eq!(f.make("d", false).unwrap(), map(&[("live", "1")]));
    let past = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    std::fs::File::options()
        .write(true)
        .open(f.path("d/x"))
        .unwrap()
        .set_modified(past)
        .unwrap();
    assert!(f.make("d", false).unwrap_err().contains("is newer than"));
}
