//! The IMAP server: framing, grammar, commands, replies.
#![forbid(unsafe_code)]

pub mod capability;
pub mod content;
pub mod grammar;
pub mod matching;
pub mod prelogin;
pub mod receive;
pub mod reply;
pub mod section;
pub mod settings;
pub mod writer;
