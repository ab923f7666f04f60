//! `make fuzz TARGET=imap_prelogin`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::imap_prelogin(input));
