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

/// Of these, the ones that take even libc with them where make finds its archive (`COURIER_STATIC`).
const STATIC: &[&str] = &["imapd", "imaplogin", "pop3d", "pop3login"];

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
    // Ask directories and databases on behalf of authdaemond.
    ("authldap", &["libssl", "libcrypto"]),
    ("authmysql", &["libssl", "libcrypto", "libm"]),
    ("authpgsql", &["libssl", "libcrypto"]),
    ("authsqlite", &["libsqlite3"]),
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
    let linked_statically = std::env::var_os("COURIER_STATIC").is_some_and(|word| word == "yes");
    let mut faults = Vec::new();
    for program in programs {
        let name = program.file_name().unwrap().to_string_lossy().into_owned();
        let more = MORE
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(&[][..], |(_, more)| more);
        for library in needed(&program) {
            if linked_statically && STATIC.contains(&name.as_str()) {
                faults.push(format!("{name} is not static, it links {library}"));
            }
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

/// What asks the user database or the resolver through the C library's name services. In a static program these load
/// libraries of the system that must be exactly of its own version, so its code must not name them.
const NAME_SERVICES: &[&str] = &[
    "User::from_",
    "Group::from_",
    "getgrouplist",
    "initgroups",
    "getpwnam",
    "getpwuid",
    "getgrnam",
    "getgrgid",
    "to_socket_addrs",
    "ToSocketAddrs",
    "getaddrinfo",
    "home_dir",
    "sys::user::directly",
];

/// Where they may stand: the lookup itself; who chooses it for dynamic programs; the program that does it for static
/// ones.
const ASKS: &[&str] = &[
    "src/sys/user.rs",
    "src/sys/start.rs",
    "src/tools/systemhost.rs",
    "src/tools/systemuser.rs",
];

fn rust_files(path: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn programs_of_a_connection_use_no_name_service() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["src", "imapd/src", "pop3d/src"] {
        rust_files(&root.join(directory), &mut files);
    }
    let mut faults = Vec::new();
    for file in files {
        let name = file
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if ASKS.contains(&name.as_str()) {
            continue;
        }
        let source = std::fs::read_to_string(&file).unwrap();
        // Tests are not in the programs.
        let code = source.split("#[cfg(test)]").next().unwrap();
        for line in code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            // What the log says is no call.
            let code: String = line.split('"').step_by(2).collect();
            if NAME_SERVICES.iter().any(|word| code.contains(word)) {
                faults.push(format!("{name}: {}", line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
