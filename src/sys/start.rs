//! Starting a program that is started for every connection, without what the standard library does before `main`
//! for programs that live long: it reads `/proc/self/maps`, sets up an alternate signal stack and handlers for
//! stack overflow, and checks the standard descriptors, which couriertcpd guarantees. Measured, together with a
//! static unwinder: a tenth of the processor time of an exec.

/// Makes `$main`, a `fn() -> ExitCode`, the program's entry. The file that uses it says `#![no_main]`. The exit
/// status is 0 or 1.
#[macro_export]
macro_rules! lean_main {
    ($main:path) => {
        // Where unwinding is never used, as with `panic = "abort"`, the static form of the unwinder is enough, and
        // no process loads the shared one.
        #[link(name = "gcc_eh", kind = "static", modifiers = "-bundle")]
        unsafe extern "C" {}

        /// Called by the C library's start code.
        // SAFETY: the one `main` of this program; nothing else in it has that name.
        #[unsafe(no_mangle)]
        extern "C" fn main() -> std::ffi::c_int {
            // Linked statically, a program cannot ask the user database itself, and not load every library; see there.
            #[cfg(target_feature = "crt-static")]
            $crate::sys::library::linked_statically();
            #[cfg(not(target_feature = "crt-static"))]
            $crate::sys::user::set_ask($crate::sys::user::directly);
            $crate::sys::start::run($main)
        }
    };
}

/// Calls `main` as the standard library would: with SIGPIPE ignored, so that a peer that is gone is an error and
/// not the end.
pub fn run(main: fn() -> std::process::ExitCode) -> std::ffi::c_int {
    if super::process::ignore_signal(nix::sys::signal::Signal::SIGPIPE).is_err() {
        return 1;
    }
    match main() {
        std::process::ExitCode::SUCCESS => 0,
        _ => 1,
    }
}
