//! Bytes of one framed command → typed command. Pure: knows neither store nor socket. One file per topic; the
//! doc comment of each parser is the rule it implements (RFC 3501 and RFC 9051 section 9, extensions by number).

pub mod astring;
pub mod cursor;
pub mod date;
pub mod fetch;
pub mod search;
pub mod sequence;
