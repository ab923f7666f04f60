//! Pure functions over bytes and character sets.
//!
//! - [`base64`]: the lenient decoder for mail (the `base64` crate does everything strict).
//! - [`casefold`]: what SEARCH compares: case folded, white space collapsed.
//! - [`charset`]: the one door to character set conversion.
//! - [`collate`]: what SORT and THREAD compare: `i;unicode-casemap`.
//! - [`date`]: IMAP dates, INTERNALDATE, the RFC 5322 Date header.
//! - [`decimal`]: numbers into bytes.
//! - [`mutf7`]: mailbox names on the wire.
//! - [`pattern`]: the wildcards of LIST and LSUB.
//! - [`rfc2047`]: encoded words in headers.
//! - [`utf7`]: UTF-7 in mail.

pub mod base64;
pub mod casefold;
pub mod charset;
pub mod collate;
pub mod date;
pub mod decimal;
pub mod html;
mod legacy;
pub mod mutf7;
pub mod pattern;
pub mod rfc2047;
pub mod utf7;
