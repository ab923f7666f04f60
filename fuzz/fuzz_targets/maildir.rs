//! `make fuzz TARGET=maildir`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::maildir(input));
