//! The IMAP server: framing, grammar, commands, replies.
#![forbid(unsafe_code)]

pub mod account;
pub mod capability;
pub mod command;
pub mod content;
pub mod digest;
pub mod folder;
pub mod grammar;
pub mod idle;
pub mod matching;
pub mod prelogin;
pub mod recall;
pub mod receive;
pub mod reply;
pub mod rights;
pub mod section;
pub mod session;
pub mod settings;
pub mod shares;
pub mod startup;
pub mod state;
pub mod threading;
pub mod trace;
pub mod writer;
