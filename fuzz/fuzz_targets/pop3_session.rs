//! `cargo fuzz run pop3_session`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::pop3_session(input));
