//! The POP3 server: what it can do, the commands before login and after it.
#![forbid(unsafe_code)]

pub mod capability;
pub mod command;
pub mod measure;
pub mod prelogin;
pub mod sending;
pub mod session;
pub mod settings;
pub mod wire;
pub mod wrap;
