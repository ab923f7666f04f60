//! `make fuzz TARGET=digest_row`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::digest_row(input));
