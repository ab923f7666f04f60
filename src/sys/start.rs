//! Starting a program that is started for every connection, without what the standard library does before `main`
//! for programs that live long: it reads `/proc/self/maps`, sets up an alternate signal stack and handlers for
//! stack overflow, and checks the standard descriptors, which couriertcpd guarantees. Measured, together with a
//! static unwinder: a tenth of the processor time of an exec.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

/// Makes `$main`, a `fn(&[OsString]) -> ExitCode` that takes the arguments after the program's name, the program's
/// entry. The file that uses it says `#![no_main]`. The exit status is 0 or 1. (Without its own `main` the standard
/// library knows the arguments only with some C libraries.)
#[macro_export]
macro_rules! lean_main {
    ($main:path) => {
        // Where unwinding is never used, as with `panic = "abort"`, the static form of the unwinder is enough, and
        // no process loads the shared one.
        #[cfg_attr(
            target_env = "gnu",
            link(name = "gcc_eh", kind = "static", modifiers = "-bundle")
        )]
        unsafe extern "C" {}

        /// Called by the C library's start code.
        // SAFETY: the one `main` of this program; nothing else in it has that name.
        #[unsafe(no_mangle)]
        extern "C" fn main(
            count: std::ffi::c_int,
            words: *const *const std::ffi::c_char,
        ) -> std::ffi::c_int {
            // Linked statically, a program cannot ask the user database itself, and not load every library; see there.
            #[cfg(target_feature = "crt-static")]
            $crate::sys::library::linked_statically();
            #[cfg(not(target_feature = "crt-static"))]
            $crate::sys::user::set_ask($crate::sys::user::directly);
            // SAFETY: these are what the C library's start code passes.
            let arguments = unsafe { $crate::sys::start::arguments(count, words) };
            $crate::sys::start::run($main, &arguments)
        }
    };
}

/// The arguments after the program's name.
///
/// # Safety
/// `words` points to `count` strings that end in NUL.
#[must_use]
pub unsafe fn arguments(count: c_int, words: *const *const c_char) -> Vec<OsString> {
    let count = usize::try_from(count).unwrap_or(0);
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: there are `count` of them, as the caller says.
    let words = unsafe { std::slice::from_raw_parts(words, count) };
    let of = |&word| {
        // SAFETY: it ends in NUL, as the caller says.
        let word = unsafe { CStr::from_ptr(word) };
        OsStr::from_bytes(word.to_bytes()).to_owned()
    };
    words.iter().skip(1).map(of).collect()
}

/// Calls `main` as the standard library would: with SIGPIPE ignored, so that a peer that is gone is an error and
/// not the end.
pub fn run(main: fn(&[OsString]) -> std::process::ExitCode, arguments: &[OsString]) -> c_int {
    if super::process::ignore_signal(nix::sys::signal::Signal::SIGPIPE).is_err() {
        return 1;
    }
    match main(arguments) {
        std::process::ExitCode::SUCCESS => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_is_no_argument() {
        let words = [c"program", c"one", c"", c"\xff"].map(CStr::as_ptr);
        let of = |count| {
            // SAFETY: there are as many.
            unsafe { arguments(count, words.as_ptr()) }
        };
        assert_eq!(of(4), [&b"one"[..], b"", b"\xff"].map(OsStr::from_bytes));
        assert!(of(1).is_empty());
        // exec may be given nothing at all.
        assert!(of(0).is_empty());
    }
}
