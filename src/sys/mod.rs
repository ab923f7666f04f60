//! The one place for unsafe code in this crate; everything exported is safe to call.

pub mod clock;
pub mod confine;
pub mod dir;
pub mod endpoint;
pub mod fd;
#[cfg_attr(
    not(all(
        target_endian = "little",
        any(
            target_arch = "x86_64",
            target_arch = "aarch64",
            target_arch = "riscv64"
        )
    )),
    path = "filter/none.rs"
)]
mod filter;
pub mod find;
pub mod fresh;
pub mod heap;
pub mod iconv;
mod landlock;
pub mod library;
pub mod localtime;
pub mod log;
pub mod map;
pub mod notify;
pub mod pass;
pub mod pidfd;
pub mod process;
pub mod random;
pub mod readiness;
pub mod rename;
pub mod sandbox;
pub mod start;
pub mod user;
pub mod whole;
