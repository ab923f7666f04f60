//! The programs under test.
#![allow(
    clippy::unwrap_used,
    reason = "tests use this, and cannot go on without it"
)]

use std::path::PathBuf;

/// The imapd to test, as [`program`].
///
/// # Panics
/// If it is not built.
pub fn imapd() -> PathBuf {
    program("imapd")
}

/// The program `name`: in `COURIER_BINDIR`, else in the directory that cargo builds programs into.
///
/// # Panics
/// If it is not built.
pub fn program(name: &str) -> PathBuf {
    let directory = std::env::var_os("COURIER_BINDIR")
        .filter(|value| !value.is_empty())
        .map_or_else(
            || {
                let test = std::env::current_exe().unwrap();
                test.parent().unwrap().parent().unwrap().to_owned()
            },
            PathBuf::from,
        );
    let program = directory.join(name);
    assert!(
        program.exists(),
        "{} is not built: run make check, or cargo build first",
        program.display()
    );
    program
}
