//! `make fuzz TARGET=keyword_update`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::keyword_update(input));
