//! The POP3 server: what it can do, the commands before login and after it.
#![forbid(unsafe_code)]

pub mod capability;
pub mod command;
pub mod prelogin;
