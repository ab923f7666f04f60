//! The library that every program of this project stands on. It binds no C library but libc.
//!
//! Modules may use those above them in this list only (`tests/module_order.rs` checks it):
//!
//! - [`sys`]: the only unsafe code: processes, descriptors, signals, logging.
//! - [`text`]: bytes and character sets: modified UTF-7, RFC 2047, dates, patterns.
//! - [`config`]: compiled-in paths and their override, settings from the environment, `.dist` merging.
//! - [`mime`]: structure of RFC 5322/2045 messages; knows no files.
//! - [`maildir`]: the Maildir++ store; knows neither MIME nor IMAP.
//! - [`auth`]: the client side of authdaemond and the SASL mechanisms.
//! - [`roster`]: who is on.
//! - [`login`]: what imaplogin and pop3login share: monitor, parser process, hand-over.
//! - [`handover`]: how couriertls hands a connection to the TLS service.
//! - [`access`]: access-file values, shared by couriertcpd and the tools.
//! - [`tools`]: the bodies of the command-line tools.

pub mod access;
pub mod auth;
pub mod config;
#[cfg(test)]
mod cpu_time;
pub mod handover;
pub mod login;
pub mod maildir;
pub mod mime;
pub mod roster;
#[allow(unsafe_code)]
pub mod sys;
pub mod text;
pub mod tools;
