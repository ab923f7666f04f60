//! `make fuzz TARGET=handover`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::handover(input));
