//! Libraries of the system in a statically linked program. glibc can load them there too, as its character set
//! conversion does, but only if they belong to its own release; after an update of the system they may not, and what
//! then happens is undefined. So it is looked up first.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static STATIC: AtomicBool = AtomicBool::new(false);
static SAME_RELEASE: OnceLock<bool> = OnceLock::new();

/// Where the C library is that a module of it would be linked to, by the loader's usual search.
const LIBC: &[&str] = if cfg!(target_arch = "x86_64") {
    &["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6"]
} else if cfg!(target_arch = "aarch64") {
    &["/lib/aarch64-linux-gnu/libc.so.6", "/lib64/libc.so.6"]
} else if cfg!(target_arch = "riscv64") {
    &["/lib/riscv64-linux-gnu/libc.so.6", "/lib64/lp64d/libc.so.6"]
} else {
    &[]
};

/// What else is read when a library is loaded.
const LOADER: &[&str] = if cfg!(target_arch = "x86_64") {
    &["/etc/ld.so.cache", "/lib64/ld-linux-x86-64.so.2"]
} else if cfg!(target_arch = "aarch64") {
    &["/etc/ld.so.cache", "/lib/ld-linux-aarch64.so.1"]
} else if cfg!(target_arch = "riscv64") {
    &["/etc/ld.so.cache", "/lib/ld-linux-riscv64-lp64d.so.1"]
} else {
    &[]
};

/// Says that this program is linked statically.
pub fn linked_statically() {
    STATIC.store(true, Ordering::Relaxed);
}

/// Files that must stay readable for this program to load a library.
pub fn needed() -> impl Iterator<Item = &'static str> {
    let is_static = STATIC.load(Ordering::Relaxed);
    let files = LIBC.iter().chain(LOADER).copied();
    files.filter(move |_| is_static)
}

/// Whether this program can load libraries of the system.
pub fn loadable() -> bool {
    !STATIC.load(Ordering::Relaxed) || *SAME_RELEASE.get_or_init(same_release)
}

fn same_release() -> bool {
    let installed = LIBC.iter().find_map(|path| std::fs::read(path).ok());
    installed
        .zip(release())
        .is_some_and(|(library, release)| is_release(&library, release))
}

/// glibc's banner ends so, for people who start the library as a program.
fn is_release(library: &[u8], release: &[u8]) -> bool {
    let banner = [b" release version ", release, b".\n"].concat();
    memchr::memmem::find(library, &banner).is_some()
}

#[cfg(target_env = "gnu")]
fn release() -> Option<&'static [u8]> {
    // SAFETY: no preconditions; the answer is a constant string.
    let version = unsafe { libc::gnu_get_libc_version() };
    // SAFETY: as above: it ends in NUL and lives for ever.
    let version = unsafe { std::ffi::CStr::from_ptr(version) };
    Some(version.to_bytes())
}

#[cfg(not(target_env = "gnu"))]
fn release() -> Option<&'static [u8]> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_release_is_taken() {
        let library = b"\0GNU C Library (X 2.36-9) stable release version 2.36.\nCopyright\0";
        assert!(is_release(library, b"2.36"));
        for other in [&b"2.3"[..], b"2.37", b"36", b"2.36-9"] {
            assert!(!is_release(library, other));
        }
    }

    #[test]
    fn this_system_is_of_the_release_that_the_tests_run_with() {
        // Elsewhere the library may lie in another place, and nothing is loaded then.
        if LIBC.iter().any(|path| std::path::Path::new(path).exists()) && cfg!(target_env = "gnu") {
            assert!(same_release());
        }
    }
}
