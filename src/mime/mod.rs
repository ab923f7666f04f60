//! MIME structure of messages: one pass over the bytes, offsets and line counts. Knows no files.
