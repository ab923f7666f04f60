//! Structure of RFC 5322/2045 messages. Knows no files and no IMAP state.
//!
//! - [`scan`]: bytes in, [`tree::Tree`] out: one pass, any piece size, linear time, bounded memory.
//! - [`tree`]: parts with offsets, sizes and line counts as served (messages are stored with LF, or CRLF, and served
//!   with CRLF); lookup of part numbers.
//! - [`structure`]: the tree as ENVELOPE, BODY and BODYSTRUCTURE.
//! - [`header`], [`params`], [`address`]: fields, parameters, addresses.
//! - [`subject`], [`message_id`]: base subjects and message ids, for SORT and THREAD.
//! - [`decode`]: content transfer encodings.

pub mod address;
pub mod decode;
pub mod header;
pub mod message_id;
pub mod params;
pub mod scan;
pub mod structure;
pub mod subject;
pub mod tree;

pub use scan::{Scanner, scan};
pub use tree::{Content, Found, Kind, Mark, Part, Piece, Tree};
