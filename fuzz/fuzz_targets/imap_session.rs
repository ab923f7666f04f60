//! `cargo fuzz run imap_session`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::imap_session(input));
