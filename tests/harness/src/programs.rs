//! Where the programs under test are: `COURIER_BINDIR`, else this workspace's own target directory, which is then
//! brought up to date once per test process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::Error;

/// The top of the source tree.
pub fn source_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .ancestors()
        .nth(2)
        .unwrap_or(manifest)
        .to_path_buf()
}

/// The script that unpacks and enters Debian's packages.
pub fn peers_script() -> PathBuf {
    source_root().join("tests/peers/peers")
}

/// The directory that holds all our programs.
///
/// # Errors
/// They could not be built.
pub fn directory() -> Result<PathBuf, Error> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(build).clone().map_err(Error::Failed)
}

/// The path of our program `name`.
///
/// # Errors
/// It does not exist.
pub fn ours(name: &str) -> Result<PathBuf, Error> {
    let path = directory()?.join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(Error::new(format!("{} does not exist", path.display())))
    }
}

/// The first `name` in `PATH` or in the administrator's directories.
///
/// # Errors
/// [`Error::Skipped`] when there is none.
pub fn installed(name: &str) -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| Error::Skipped(format!("{name} is not installed")))
}

fn build() -> Result<PathBuf, String> {
    if let Some(directory) = std::env::var_os("COURIER_BINDIR").filter(|value| !value.is_empty()) {
        return std::fs::canonicalize(&directory).map_err(|error| {
            format!(
                "COURIER_BINDIR: {}: {error}",
                Path::new(&directory).display()
            )
        });
    }
    // A test program lies in <target>/<profile>/deps, others right in <target>/<profile>.
    let own = std::env::current_exe().map_err(|error| format!("current_exe: {error}"))?;
    let directory = own
        .ancestors()
        .skip(1)
        .find(|directory| !directory.ends_with("deps"))
        .ok_or("the test program has no target directory")?
        .to_path_buf();
    // A plain `cargo test -p harness` builds no other package's programs.
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(source_root())
        .args(["build", "--quiet", "--offline", "--bins"]);
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo
        .output()
        .map_err(|error| format!("cargo build: {error}"))?;
    if output.status.success() {
        Ok(directory)
    } else {
        Err(format!(
            "cargo build: {}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}
