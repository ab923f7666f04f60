//! What each program links is a contract: a library costs every connection its start-up time, and a root
//! daemon its trust. Read from binaries of the `linkcheck` profile (release without LTO), which `make check`
//! builds and names in `COURIER_LINKCHECK`.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What every program may link. The loader's own name is not listed: its form depends on the architecture.
const EVERYBODY: &[&str] = &["libc", "libgcc_s"];

/// Programs that are started for every connection: not even the shared unwinder, which costs each start its loading.
const PER_CONNECTION: &[&str] = &["couriertls", "imapd", "imaplogin", "pop3d", "pop3login"];

/// Programs that may link more, and what.
const MORE: &[(&str, &[&str])] = &[
    // Access database.
    ("couriertcpd", &["libgdbm"]),
    // Writers of databases.
    ("makedat", &["libgdbm"]),
    ("makedatprog", &["libgdbm"]),
    ("makeimapaccess", &["libgdbm"]),
    ("makeuserdb", &["libgdbm"]),
    // userdb on GDBM, crypt(3) hashes, system accounts.
    ("authdaemond", &["libgdbm", "libcrypt", "libpam"]),
    // The TLS service, and the only user of OpenSSL.
    ("couriertlsd", &["libssl", "libcrypto"]),
    // Make crypt(3) hashes.
    ("userdbpw", &["libcrypt"]),
    ("authpasswd", &["libcrypt"]),
];

/// The programs in `directory`, which is where cargo puts them beside its own folders and `.d` files.
fn programs(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let metadata = path.metadata().unwrap();
            metadata.is_file()
                && metadata.permissions().mode() & 0o111 != 0
                && path.extension().is_none()
        })
        .collect();
    found.sort();
    found
}

/// `libc.so.6` → `libc`.
fn needed(program: &Path) -> Vec<String> {
    let output = Command::new("readelf")
        .arg("-d")
        .arg(program)
        .output()
        .unwrap();
    assert!(output.status.success(), "readelf {}", program.display());
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| {
            line.split_once('[')?
                .1
                .split(".so")
                .next()
                .map(str::to_owned)
        })
        .filter(|library| !library.starts_with("ld-linux"))
        .collect()
}

#[test]
fn programs_link_only_their_listed_libraries() {
    let Some(directory) = std::env::var_os("COURIER_LINKCHECK") else {
        let mut stderr = std::io::stderr().lock();
        writeln!(
            stderr,
            "skipped: COURIER_LINKCHECK names no build; make check-linkage does"
        )
        .unwrap();
        return;
    };
    let programs = programs(Path::new(&directory));
    assert!(
        !programs.is_empty(),
        "nothing built in {}",
        Path::new(&directory).display()
    );
    let mut faults = Vec::new();
    for program in programs {
        let name = program.file_name().unwrap().to_string_lossy().into_owned();
        let more = MORE
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(&[][..], |(_, more)| more);
        for library in needed(&program) {
            if library == "libgcc_s" && PER_CONNECTION.contains(&name.as_str()) {
                faults.push(format!("{name} links {library}"));
            }
            if !EVERYBODY.contains(&library.as_str()) && !more.contains(&library.as_str()) {
                faults.push(format!("{name} links {library}"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
