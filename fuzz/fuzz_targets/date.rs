//! `make fuzz TARGET=date`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::date(input));
